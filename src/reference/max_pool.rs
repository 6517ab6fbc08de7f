//! The maximum of each window; `NaN` wins, padding never does.

use super::{NOTHING, Values, larger};
use crate::ops::MaxPool;
use crate::tensor::Shape;

pub(super) fn max_pool(op: &MaxPool, x: &Values, out: Shape) -> Values {
    let taps = |axis: usize, position: usize, before: u32, extent: u32| {
        let origin = position as i64 * i64::from(op.stride[axis]) - i64::from(before);
        super::taps(origin, op.kernel[axis], op.dilation[axis], extent)
    };
    Values::from_fn(out, x.bounded(), |[n, c, oy, ox]| {
        let mut best = NOTHING;
        for iy in taps(0, oy, op.padding.top, x.shape.h) {
            for ix in taps(1, ox, op.padding.left, x.shape.w) {
                best = larger(best, x.at([n, c, iy, ix]));
            }
        }
        best
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting, tensor};
    use super::*;
    use crate::ops::Padding;
    use crate::tensor::Tensor;

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    fn row(x: &[f32], kernel: u32, stride: u32, padding: u32, dilation: u32, ceil_mode: bool) -> Vec<f64> {
        let pool = MaxPool {
            kernel: [1, kernel],
            stride: [1, stride],
            padding: Padding::symmetric(0, padding),
            dilation: [1, dilation],
            ceil_mode,
        };
        values(&tensor([1, 1, 1, x.len() as u32], x), pool)
    }

    fn values(x: &Tensor, pool: MaxPool) -> Vec<f64> {
        apply(x, |graph, x| graph.max_pool("pool", x, pool)).values
    }

    #[test]
    fn windows_follow_stride_and_ceil_mode() {
        let x = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0];
        assert_eq!(row(&x, 3, 2, 0, 1, false), [5.0, 4.0]);
        // A third window starts at 4 and holds 3 and 0.
        assert_eq!(row(&x, 3, 2, 0, 1, true), [5.0, 4.0, 3.0]);
        // Padding 1: windows start at -1, 1, 3 and, in ceil mode, 5.
        assert_eq!(row(&x, 3, 2, 1, 1, false), [5.0, 4.0, 3.0]);
        assert_eq!(row(&x, 3, 2, 1, 1, true), [5.0, 4.0, 3.0, 0.0]);
        // A window that would start at 3, past the image, is dropped.
        assert_eq!(row(&x[..3], 2, 2, 1, 1, true), [5.0, 4.0]);
        // The stride is wider than the window.
        assert_eq!(row(&x, 1, 3, 0, 1, false), [5.0, 2.0]);
    }

    #[test]
    fn height_and_width_have_their_own_windows() {
        // 1 2 3 / 4 5 6
        let pool = MaxPool { kernel: [2, 1], stride: [1, 2], ..MaxPool::new([1, 1]) };
        assert_eq!(values(&counting([1, 1, 2, 3]), pool), [4.0, 6.0]);
        let negative = tensor([1, 1, 1, 2], &[-3.0, -1.0]);
        assert_eq!(values(&negative, MaxPool::same(5)), [-1.0, -1.0]);
    }

    #[test]
    fn dilation_skips_elements_and_may_miss_the_image() {
        let x = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0];
        assert_eq!(row(&x, 2, 1, 0, 3, false), [5.0, 3.0, 4.0]);
        // Taps at -1, 2 and 5, then 1, 4 and 7.
        assert_eq!(row(&x, 3, 2, 1, 3, true), [4.0, 3.0]);
        // Taps at -1 and 1 of a single column: both miss.
        assert_eq!(row(&[7.0], 2, 1, 1, 2, false), [f64::NEG_INFINITY]);
    }

    #[test]
    fn nan_wins_and_infinities_compare() {
        let pooled = row(&[-INF, -INF, NAN, 1.0, INF, 2.0], 2, 1, 0, 1, false);
        assert_eq!(pooled[0], f64::NEG_INFINITY);
        assert!(pooled[1].is_nan() && pooled[2].is_nan());
        assert_eq!(pooled[3..], [f64::INFINITY; 2]);
    }

    #[test]
    fn the_bound_is_the_largest_of_the_window() {
        let x = tensor([1, 1, 1, 4], &[9.0, 1.0, 2.0, 3.0]);
        let x = Values { bound: vec![1.0, 4.0, 2.0, 0.0], ..Values::exact(&x) };
        let pool = MaxPool { stride: [1, 1], ..MaxPool::new([1, 2]) };
        assert_eq!(max_pool(&pool, &x, Shape::new(1, 1, 1, 3)).bound, [4.0, 4.0, 2.0]);
    }
}
