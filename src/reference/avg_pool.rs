//! The mean of each window.

use super::{U, Values, finite_bound};
use crate::ops::AvgPool;
use crate::tensor::Shape;

/// A sum of `n` values has the bound `√Σ bound² + n·u·Σ|x|`; a division is within 2.5 ULP.
pub(super) fn avg_pool(op: &AvgPool, x: &Values, out: Shape) -> Values {
    // The extent begins with the image, or with the padding before it.
    let taps = |axis: usize, position: usize, before: u32, extent: u32| {
        let origin = position as i64 * i64::from(op.stride[axis]) - i64::from(before);
        super::taps(origin, op.kernel[axis], op.dilation[axis], extent)
    };
    let pad = op.padding;
    Values::from_fn(out, x.bounded(), |[n, c, oy, ox]| {
        let rows = || taps(0, oy, pad.top, x.shape.h);
        let columns = || taps(1, ox, pad.left, x.shape.w);
        let [mut sum, mut magnitude, mut carried] = [0.0; 3];
        for iy in rows() {
            for ix in columns() {
                let (value, bound) = x.at([n, c, iy, ix]);
                sum += value;
                magnitude += value.abs();
                carried += bound * bound;
            }
        }
        let count = if op.count_include_pad {
            let padded_h = pad.top + x.shape.h + pad.bottom;
            let padded_w = pad.left + x.shape.w + pad.right;
            taps(0, oy, 0, padded_h).len() * taps(1, ox, 0, padded_w).len()
        } else {
            rows().len() * columns().len()
        } as f64;
        let count = count.max(1.0); // The mean of nothing is 0.
        let mean = sum / count;
        let own = count * U * magnitude / count + 5.0 * U * mean.abs();
        (mean, finite_bound(mean, carried.sqrt() / count + own))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting, tensor};
    use super::*;
    use crate::ops::Padding;

    const ROW: AvgPool = AvgPool { stride: [1, 1], ..AvgPool::new([1, 2]) };

    fn row(x: &[f32], pool: AvgPool) -> Vec<f64> {
        let x = tensor([1, 1, 1, x.len() as u32], x);
        apply(&x, |graph, x| graph.avg_pool("pool", x, pool)).values
    }

    #[test]
    fn padding_counts_only_if_included() {
        let padded = AvgPool { padding: Padding { left: 1, right: 1, ..Padding::default() }, ..ROW };
        assert_eq!(row(&[2.0, 4.0, 8.0], padded), [1.0, 3.0, 6.0, 4.0]);
        assert_eq!(row(&[2.0, 4.0, 8.0], AvgPool { count_include_pad: false, ..padded }), [2.0, 3.0, 6.0, 8.0]);
    }

    /// The last window also extends beyond the padding: taps there never count.
    #[test]
    fn nothing_beyond_the_padding_counts_in_ceil_mode() {
        let pool = AvgPool { kernel: [1, 3], stride: [1, 2], ceil_mode: true, ..ROW };
        assert_eq!(row(&[3.0, 6.0, 9.0, 12.0], pool), [6.0, 10.5]);
        let padded = AvgPool { padding: Padding { right: 1, ..Padding::default() }, ..pool };
        assert_eq!(row(&[3.0, 6.0, 9.0, 12.0, 15.0, 18.0], padded), [6.0, 12.0, 11.0]);
        let stride = AvgPool { stride: [1, 3], kernel: [1, 4], ..padded };
        assert_eq!(row(&[3.0, 6.0, 9.0, 12.0, 15.0], stride), [7.5, 9.0]);
    }

    #[test]
    fn dilated_taps_may_all_miss_the_image() {
        let pool = AvgPool { dilation: [1, 3], padding: Padding { left: 1, right: 1, ..Padding::default() }, ..ROW };
        assert_eq!(row(&[5.0, 7.0], pool), [0.0]);
        assert_eq!(row(&[5.0, 7.0], AvgPool { count_include_pad: false, ..pool }), [0.0]);
        assert_eq!(row(&[1.0, 2.0, 3.0, 4.0, 5.0], AvgPool { dilation: [1, 2], ..ROW }), [2.0, 3.0, 4.0]);
    }

    /// The first two rows of ONNX's averagepool_2d_precomputed_pads, without and with count_include_pad.
    #[test]
    fn values_are_those_of_onnx() {
        let rows = |count_include_pad| {
            let pool = AvgPool { kernel: [5, 5], padding: Padding::symmetric(2, 2), count_include_pad, ..ROW };
            let y = apply(&counting([1, 1, 5, 5]), |graph, x| graph.avg_pool("pool", x, pool)).values;
            y[..10].iter().map(|value| (value * 100.0).round() / 100.0).collect::<Vec<_>>()
        };
        assert_eq!(rows(false), [7.0, 7.5, 8.0, 8.5, 9.0, 9.5, 10.0, 10.5, 11.0, 11.5]);
        assert_eq!(rows(true), [2.52, 3.6, 4.8, 4.08, 3.24, 4.56, 6.4, 8.4, 7.04, 5.52]);
    }

    #[test]
    fn height_and_width_have_their_own_windows() {
        // 1 2 3 / 4 5 6
        let pool = AvgPool { kernel: [2, 1], stride: [1, 2], ..ROW };
        let y = apply(&counting([1, 1, 2, 3]), |graph, x| graph.avg_pool("pool", x, pool));
        assert_eq!(y.values, [2.5, 4.5]);
        assert_eq!(y.bound, [5.0 * U + 5.0 * U * 2.5, 9.0 * U + 5.0 * U * 4.5]);
    }

    #[test]
    fn independent_errors_of_the_operand_are_propagated() {
        let x = Values { bound: vec![3.0, 4.0], ..Values::exact(&tensor([1, 1, 1, 2], &[0.0; 2])) };
        assert_eq!(avg_pool(&ROW, &x, Shape::new(1, 1, 1, 1)).bound, [2.5]);
    }
}
