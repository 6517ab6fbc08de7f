//! `y[.., i, j] = Σ_k a[.., i, k] * b[.., k, j]`.

use super::{Values, cancellation, parallel, sum_bound};
use crate::ops::{Axis, Matmul, Strided};

/// The bound of a convolution with as many terms, with the errors of both operands.
pub(super) fn matmul(op: &Matmul, a: &Values, b: &Values) -> Values {
    let (batch, [_, depth, columns]) = op.extents("matmul").expect("the graph has checked the walks");
    let [a_starts, b_starts] = [(&op.a, batch.len() + 1), (&op.b, batch.len())].map(|(walk, axes)| {
        Strided { offset: walk.offset, axes: walk.axes[..axes].to_vec() }.indices().collect::<Vec<_>>()
    });
    let rows = a_starts.len() / b_starts.len().max(1);
    let [[_, a_k], [b_k, b_j]] = [&op.a, &op.b].map(|walk| {
        let stride = |axis: &Axis| axis.stride as isize;
        [stride(&walk.axes[batch.len()]), stride(&walk.axes[batch.len() + 1])]
    });
    let [depth, columns] = [depth, columns].map(|extent| extent as isize);
    let bounded = a.bounded() && b.bounded();
    // Value and bound of each, and the squares of its terms and of their sum.
    let mut results = vec![0.0; 4 * op.shape.len() as usize];
    parallel(&mut results, 4 * columns.max(1) as usize, |row, results| {
        for (j, result) in (0..columns).zip(results.chunks_exact_mut(4)) {
            let (mut y, mut magnitude, mut terms, mut carried) = (0.0, 0.0, 0.0, 0.0);
            for k in 0..depth {
                let a_at = a_starts[row].wrapping_add_signed(k * a_k);
                let b_at = b_starts[row / rows].wrapping_add_signed(j * b_j + k * b_k);
                let product = a.values[a_at] * b.values[b_at];
                y += product;
                magnitude += product.abs();
                terms += product * product;
                if bounded {
                    // An error of zero adds nothing, whatever it is multiplied by.
                    let error = |error: f64, other: f64| if error == 0.0 { 0.0 } else { (error * other).powi(2) };
                    let [of_a, of_b] = [a.bound[a_at], b.bound[b_at]];
                    carried += error(of_a, b.values[b_at]) + error(of_b, a.values[a_at]) + error(of_a, of_b);
                }
            }
            let bound = sum_bound(depth as f64, y, magnitude, carried);
            (result[0], result[1]) = if y.is_finite() { (y, bound) } else { (y, 0.0) };
            let terms = terms * a.cancellation.max(b.cancellation);
            if terms.is_finite() {
                (result[2], result[3]) = (terms, y * y);
            }
        }
    });
    let part = |part: usize| results.iter().copied().skip(part).step_by(4);
    Values {
        shape: op.shape,
        values: part(0).collect(),
        bound: if bounded { part(1).collect() } else { Vec::new() },
        cancellation: cancellation(part(2).sum(), part(3).sum()),
        precision: a.precision,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting};
    use super::super::{U, Values};
    use super::*;
    use crate::tensor::Shape;

    fn walk(offset: u32, axes: &[(u32, i32)]) -> Strided {
        Strided { offset, axes: axes.iter().map(|&(extent, stride)| Axis { extent, stride }).collect() }
    }

    #[test]
    fn operands_may_be_transposed_and_repeated() {
        // [[1, 2], [3, 4]] and [[5, 6], [7, 8]], each times the transposed first.
        let op = Matmul {
            shape: Shape::new(2, 1, 2, 2),
            a: walk(0, &[(2, 4), (2, 2), (2, 1)]),
            b: walk(0, &[(2, 0), (2, 1), (2, 2)]),
        };
        let y = apply(&counting([1, 2, 2, 2]), |graph, x| graph.matmul("y", x, x, op));
        assert_eq!(y.values, [5.0, 11.0, 11.0, 25.0, 17.0, 39.0, 23.0, 53.0]);
        assert_eq!(y.bound[0], 8.0 * 2f64.sqrt() * U * 5.0 + 2.0 * U * 5.0);
    }

    #[test]
    fn errors_of_both_operands_are_carried() {
        let of = |values: [f64; 2], bound: [f64; 2]| Values {
            shape: Shape::new(1, 1, 1, 2),
            values: values.into(),
            bound: bound.into(),
            cancellation: 1.0,
            precision: Default::default(),
        };
        let op = Matmul { shape: Shape::new(1, 1, 1, 1), a: walk(0, &[(1, 2), (2, 1)]), b: walk(0, &[(2, 1), (1, 1)]) };
        let y = matmul(&op, &of([3.0, -4.0], [0.1, 0.0]), &of([2.0, 1.0], [0.0, 0.2]));
        assert_eq!(y.values, [2.0]);
        assert!((y.bound[0] - (0.2f64.powi(2) + 0.8f64.powi(2)).sqrt()).abs() < 1e-5, "{:?}", y.bound);
        assert_eq!(y.cancellation, 52.0 / 4.0);
    }
}
