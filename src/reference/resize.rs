//! `torch.nn.functional.interpolate`, bilinear with `align_corners=False`, or nearest.

use super::{U, Values, finite_bound};
use crate::ops::{Resize, ResizeMode};
use crate::tensor::Shape;

/// Nearest copies. Bilinear weights what arrives, twice: a weight is a quotient, within 2.5 ULP = 5u in WGSL, then
/// product and sum are rounded: `14u·Σ|w·x|`.
pub(super) fn resize(op: &Resize, x: &Values, out: Shape) -> Values {
    Values::from_fn(out, x.bounded(), |[n, c, oy, ox]| match op.mode {
        ResizeMode::Nearest => x.at([n, c, nearest(oy, x.shape.h, out.h), nearest(ox, x.shape.w, out.w)]),
        ResizeMode::Bilinear => {
            let [mut sum, mut magnitude, mut carried] = [0.0; 3];
            for (iy, wy) in neighbours(oy, x.shape.h, out.h) {
                for (ix, wx) in neighbours(ox, x.shape.w, out.w) {
                    let (x, bound) = x.at([n, c, iy, ix]);
                    sum += wy * wx * x;
                    magnitude += wy * wx * x.abs();
                    carried += wy * wx * bound;
                }
            }
            (sum, finite_bound(sum, carried + 14.0 * U * magnitude))
        }
    })
}

fn nearest(position: usize, extent: u32, out: u32) -> usize {
    position * extent as usize / out as usize
}

/// The pixels on both sides of `(position + 1/2) * extent / out - 1/2` with their weights, as exact fractions; outside
/// the first and last centre, the border pixel. At the last centre that is the pixel itself: 0 times its infinity would
/// be NaN. Before the first centre it is NaN in PyTorch, too.
pub(super) fn neighbours(position: usize, extent: u32, out: u32) -> [(usize, f64); 2] {
    let (extent, out) = (i64::from(extent), i64::from(out));
    let place = (2 * position as i64 + 1) * extent - out;
    let numerator = place.max(0);
    let first = numerator / (2 * out);
    if place == first * 2 * out && first == extent - 1 {
        return [(first as usize, 0.5); 2];
    }
    let weight = (numerator % (2 * out)) as f64 / (2 * out) as f64;
    [(first as usize, 1.0 - weight), ((first + 1).min(extent - 1) as usize, weight)]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting, tensor};
    use super::*;

    fn values(x: &crate::Tensor, out_h: u32, out_w: u32, mode: ResizeMode) -> Vec<f64> {
        apply(x, |graph, x| graph.resize("resize", x, Resize { out_h, out_w, mode })).values
    }

    #[test]
    fn bilinear_matches_pytorch() {
        // The example in torch.nn.Upsample's documentation: scale_factor=2, mode='bilinear', of [[1, 2], [3, 4]].
        let want =
            [[1.00, 1.25, 1.75, 2.00], [1.50, 1.75, 2.25, 2.50], [2.50, 2.75, 3.25, 3.50], [3.00, 3.25, 3.75, 4.00]];
        assert_eq!(values(&counting([1, 1, 2, 2]), 4, 4, ResizeMode::Bilinear), want.concat());
        // 3 columns to 2: centres at 0.25 and 1.75; rows stay.
        assert_eq!(values(&counting([1, 1, 2, 3]), 2, 2, ResizeMode::Bilinear), [1.25, 2.75, 4.25, 5.75]);
        // One pixel fills everything.
        let filled = values(&tensor([1, 1, 1, 1], &[0.1]), 2, 3, ResizeMode::Bilinear);
        assert_eq!(filled.iter().map(|&value| value as f32).collect::<Vec<_>>(), [0.1; 6]);
        // Before its centre, infinity is multiplied by 0.
        let infinite = values(&tensor([1, 1, 1, 1], &[f32::INFINITY]), 1, 5, ResizeMode::Bilinear);
        assert!(infinite[..2].iter().all(|value| value.is_nan()), "{infinite:?}");
        assert_eq!(infinite[2..], [f64::INFINITY; 3]);
    }

    #[test]
    fn nearest_rounds_down() {
        // 3 columns to 5: floor(0, 0.6, 1.2, 1.8, 2.4); 2 rows to 1.
        assert_eq!(values(&counting([1, 1, 2, 3]), 1, 5, ResizeMode::Nearest), [1.0, 1.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn bounds_are_weighted() {
        let x = Values { bound: vec![1.0, 3.0], ..Values::exact(&tensor([1, 1, 1, 2], &[0.0, 4.0])) };
        let op = |mode| Resize { out_h: 1, out_w: 4, mode };
        let bilinear = resize(&op(ResizeMode::Bilinear), &x, Shape::new(1, 1, 1, 4));
        assert_eq!(bilinear.bound, [1.0, 1.5 + 14.0 * U, 2.5 + 42.0 * U, 3.0 + 56.0 * U]);
        assert_eq!(resize(&op(ResizeMode::Nearest), &x, Shape::new(1, 1, 1, 4)).bound, [1.0, 1.0, 3.0, 3.0]);
    }
}
