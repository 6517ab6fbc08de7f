//! `y[i] = x[walk(i) + stride * indices[i]]`.

use super::{Values, excusing, squares};
use crate::ops::Gather;

/// An index that may be another lets the value be another: the bound then covers all that it may be.
pub(super) fn gather(op: &Gather, x: &Values, indices: &Values) -> Values {
    let extent = i64::from(op.extent);
    // A cast takes NaN to 0, and what is beyond to the last.
    let whole = |index: f64| (index.round_ties_even() as i64).clamp(-extent, extent - 1);
    let bounded = x.bounded() && indices.bounded();
    let (cancellation, precision) = (x.cancellation, x.precision);
    let mut y = Values { shape: op.shape, values: Vec::new(), bound: Vec::new(), cancellation, precision };
    let mut excused = 0.0;
    for (first, at) in op.x.indices().zip(op.indices.indices()) {
        let place = |index: i64| {
            let index = if index < 0 { index + extent } else { index };
            first + index as usize * op.stride as usize
        };
        let index = indices.values[at];
        let taken = place(whole(index));
        let value = x.values[taken];
        y.values.push(value);
        if bounded {
            let [least, most] = [-1.0, 1.0].map(|sign: f64| whole(index + sign * indices.bound[at]));
            let mut bound = x.bound[taken];
            if least < most {
                let others = (least..=most).map(place).map(|other| (x.values[other] - value).abs() + x.bound[other]);
                bound =
                    others.fold(bound, |bound, other| if other.is_nan() { f64::INFINITY } else { bound.max(other) });
                excused += bound * bound;
            }
            y.bound.push(bound);
        }
    }
    y.cancellation = y.cancellation.max(excusing(x.precision, excused, squares(&y.values)));
    y
}

#[cfg(test)]
mod tests {
    use super::super::tests::tensor;
    use super::*;
    use crate::ops::{Axis, Strided};
    use crate::tensor::Shape;

    /// Of five values, 10 apart.
    fn looked_up(indices: &[f32], bound: f64) -> Values {
        let len = indices.len() as u32;
        let walk = |stride| Strided { offset: 0, axes: vec![Axis { extent: len, stride }] };
        let op = Gather { shape: Shape::new(1, 1, 1, len), x: walk(0), indices: walk(1), extent: 5, stride: 1 };
        let x = Values::exact(&tensor([1, 1, 1, 5], &[10.0, 20.0, 30.0, 40.0, 50.0]));
        let indices = Values::exact(&tensor([1, 1, 1, len], indices));
        let bound = vec![bound; indices.values.len()];
        gather(&op, &x, &Values { bound, ..indices })
    }

    #[test]
    fn negative_indices_count_from_the_end_and_others_are_clamped() {
        let y = looked_up(&[0.0, 4.0, -1.0, -5.0, 5.0, -6.0, 1e9, f32::NEG_INFINITY, f32::NAN, 1.6, 0.5, 1.5], 0.0);
        assert_eq!(y.values, [10.0, 50.0, 50.0, 10.0, 50.0, 10.0, 50.0, 10.0, 10.0, 30.0, 10.0, 30.0]);
        assert!(y.bound.iter().all(|bound| *bound == 0.0) && y.cancellation == 1.0);
    }

    #[test]
    fn an_index_that_may_be_another_takes_any_of_them() {
        assert_eq!(looked_up(&[1.0, 3.0, -1.0], 0.4).bound, [0.0; 3]);
        let y = looked_up(&[1.0, 3.0, -1.0], 1.0);
        // -1 may be -2 or 0: the last but one, the last, the first.
        assert_eq!((y.values, y.bound), (vec![20.0, 40.0, 50.0], vec![10.0, 10.0, 40.0]));
        assert!(y.cancellation > 1e10);
    }
}
