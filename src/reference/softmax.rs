//! `exp(x - max) / Σ exp(x - max)` along an axis, or its logarithm.

use super::{U, Values, extents, finite_bound};
use crate::ops::{Softmax, SoftmaxAxis};

/// Errors `e` of the operands change `y_i` by `y_i (e_i - Σ_j y_j e_j)`, to first order, and its logarithm by what is in the
/// brackets; 1e-6 is for the operation itself, whose results are at most 1. A logarithm is off by as much as the sum
/// relative to itself; between 1 and 2 WGSL's own is by 2⁻²¹, beyond by 3 ULP; and both differences are rounded.
pub(super) fn softmax(op: &Softmax, x: &Values) -> Values {
    let [_, c, h, w] = extents(x.shape);
    let (len, stride) = match op.axis {
        SoftmaxAxis::Channels => (c, h * w),
        SoftmaxAxis::Columns => (w, 1),
        SoftmaxAxis::Values { len, inner } => (len as usize, inner as usize),
    };
    let mut y = x.clone();
    for first in (0..x.values.len()).filter(|i| i / stride % len == 0) {
        let row = (first..).step_by(stride).take(len);
        let most = row.clone().map(|i| x.values[i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.clone().map(|i| (x.values[i] - most).exp()).sum();
        let shares: Vec<f64> = row.clone().map(|i| (x.values[i] - most).exp() / sum).collect();
        let carried: f64 = row.clone().zip(&shares).map(|(i, share)| share * x.bound.get(i).unwrap_or(&0.0)).sum();
        for (i, share) in row.zip(shares) {
            let distance = x.values[i] - most;
            y.values[i] = if op.log { distance - sum.ln() } else { share };
            if x.bounded() {
                let arrived = x.bound[i] + carried;
                let bound = if op.log {
                    arrived + 1.5e-6 + U * (distance.abs() + 6.0 * sum.ln() + y.values[i].abs())
                } else {
                    share * arrived + 1e-6
                };
                y.bound[i] = finite_bound(y.values[i], bound);
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;
    use crate::tensor::Shape;

    // softmax of [ln 1, ln 2, ln 5] is [1, 2, 5] / 8.
    const LOGS: [f32; 3] = [0.0, std::f32::consts::LN_2, 1.609_438];
    const PARTS: [f64; 3] = [0.125, 0.25, 0.625];

    fn close(got: &[f64], want: [f64; 3]) {
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-7), "{got:?}, want {want:?}");
    }

    #[test]
    fn rows_or_channels_sum_to_one_however_large_their_values() {
        let [a, b, c] = LOGS;
        let columns = tensor([1, 2, 1, 3], &[a, b, c, c + 1024.0, a + 1024.0, b + 1024.0]);
        let y = apply(&columns, |graph, x| graph.softmax("rows", x, Softmax::new(SoftmaxAxis::Columns))).values;
        close(&y[..3], PARTS);
        // Near 1024 an f32 has steps of 2^-13.
        assert!((y[3] - 0.625).abs() < 1e-4 && (y[3..].iter().sum::<f64>() - 1.0).abs() < 1e-15);
        let channels = tensor([1, 3, 1, 2], &[a, c, b, b, c, a]);
        let y = apply(&channels, |graph, x| graph.softmax("c", x, Softmax::new(SoftmaxAxis::Channels))).values;
        close(&[y[0], y[2], y[4]], PARTS);
        close(&[y[5], y[3], y[1]], PARTS);
    }

    #[test]
    fn any_axis_and_logarithms() {
        let [a, b, c] = LOGS;
        // [2, 3, 2], along the middle.
        let x = tensor([1, 1, 4, 3], &[a, c, b, b, c, a, b, a, a, c, c, b]);
        let axis = SoftmaxAxis::Values { len: 3, inner: 2 };
        let y = apply(&x, |graph, x| graph.softmax("y", x, Softmax::new(axis))).values;
        close(&[y[0], y[2], y[4]], PARTS);
        close(&[y[5], y[3], y[1]], PARTS);
        close(&[y[8], y[6], y[10]], PARTS);
        close(&[y[7], y[11], y[9]], PARTS);
        let logs = apply(&x, |graph, x| graph.softmax("y", x, Softmax { axis, log: true })).values;
        assert!(logs.iter().zip(&y).all(|(log, y)| (log - y.ln()).abs() < 1e-12), "{logs:?}");
        let far = tensor([1, 1, 1, 2], &[-1e30, 1.0]);
        let rows = Softmax { axis: SoftmaxAxis::Columns, log: true };
        assert_eq!(apply(&far, |graph, x| graph.softmax("y", x, rows)).values[1], 0.0);
    }

    #[test]
    fn nan_spoils_its_row_and_minus_infinity_gets_nothing() {
        let x = tensor([1, 2, 1, 2], &[f32::NAN, 1.0, f32::NEG_INFINITY, 1.0]);
        let y = apply(&x, |graph, x| graph.softmax("rows", x, Softmax::new(SoftmaxAxis::Columns)));
        assert!(y.values[..2].iter().all(|value| value.is_nan()));
        assert_eq!(y.values[2..], [0.0, 1.0]);
        assert_eq!(y.bound, [0.0, 0.0, 1e-6, 1e-6]);
    }

    #[test]
    fn bounds_cover_small_changes_of_the_operands() {
        let row = |values: [f64; 3]| Values {
            shape: Shape::new(1, 1, 1, 3),
            values: values.to_vec(),
            bound: vec![1e-4; 3],
            cancellation: 1.0,
            precision: Default::default(),
        };
        let softmax = |x: &Values| softmax(&Softmax::new(SoftmaxAxis::Columns), x);
        let y = softmax(&row([0.0, 1.0, 2.0]));
        let moved = softmax(&row([1e-4, 1.0 - 1e-4, 2.0 - 1e-4]));
        for i in 0..3 {
            let change = (moved.values[i] - y.values[i]).abs();
            assert!(change < y.bound[i] && y.bound[i] < 2e-4 * y.values[i] + 2e-6, "{change} {}", y.bound[i]);
        }
    }
}
