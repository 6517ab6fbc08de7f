//! `y = Σ_i Σ_j row weight * column weight * x`, of the taps of a row and a column.

use super::{U, Values, cancellation, finite_bound, squares, sum_bound};
use crate::ops::Resample;
use crate::tensor::Shape;

/// Taps of weight 0 do not count. Own rounding: that of a sum of products, each of three factors; a single tap of weight 1
/// is a copy.
pub(super) fn resample(op: &Resample, x: &Values, out: Shape) -> Values {
    let (mut of_terms, mut sums) = (0.0, 0.0);
    let values = Values::from_fn(out, x.bounded(), |[n, c, oy, ox]| {
        let (rows, columns) = (&op.rows[oy], &op.columns[ox]);
        if rows.is_empty() || columns.is_empty() {
            return (op.fill.into(), 0.0);
        }
        let [mut sum, mut magnitude, mut carried] = [0.0; 3];
        let mut taps = Vec::new();
        for &(iy, of_row) in rows.iter().filter(|(_, weight)| *weight != 0.0) {
            for &(ix, of_column) in columns.iter().filter(|(_, weight)| *weight != 0.0) {
                let weight = f64::from(of_row) * f64::from(of_column);
                let (value, bound) = x.at([n, c, iy as usize, ix as usize]);
                sum += weight * value;
                magnitude += (weight * value).abs();
                carried += (weight * bound).powi(2);
                of_terms += squares(&[weight * value]) * x.cancellation;
                taps.push((weight, bound));
            }
        }
        sums += squares(&[sum]);
        match taps[..] {
            [(1.0, bound)] => (sum, finite_bound(sum, bound)),
            _ => {
                let terms = taps.len() as f64;
                (sum, finite_bound(sum, sum_bound(terms, sum, magnitude, carried) + 2.0 * U * magnitude))
            }
        }
    });
    Values { cancellation: cancellation(of_terms, sums), ..values }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;

    #[test]
    fn taps_are_weighted_and_nothing_is_filled() {
        let x = tensor([1, 2, 2, 2], &[1.0, 2.0, 3.0, 4.0, f32::INFINITY, 6.0, 7.0, 8.0]);
        let rows = [vec![(1, 1.0)], vec![], vec![(0, 0.5), (1, 0.25)]];
        let columns = [vec![(0, 0.0), (1, 1.0)], vec![(0, 2.0), (1, -1.0)]];
        let op = Resample { rows: rows.into(), columns: columns.into(), fill: 9.0 };
        let y = apply(&x, |graph, x| graph.resample("y", x, op));
        assert_eq!(y.shape, Shape::new(1, 2, 3, 2));
        assert_eq!(y.values[..6], [4.0, 2.0, 9.0, 9.0, 2.0, 0.5]);
        assert_eq!(y.values[6..], [8.0, 6.0, 9.0, 9.0, 5.0, f64::INFINITY]);
        assert_eq!((y.bound[0], y.bound[2], y.bound[11]), (0.0, 0.0, 0.0));
        assert!(y.bound[5] > 0.0);
    }
}
