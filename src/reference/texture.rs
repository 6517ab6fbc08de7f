//! What a network sees of a picture: cropped, resized, in its own order and scale.

use super::resize::neighbours;
use super::{U, Values, cancellation, finite_bound};
use crate::ops::{ColorOrder, Rect, Texture};
use crate::tensor::Shape;

/// A texel is within 5u of its byte over 255; resizing weights it as [`resize`](super::resize) does; of NV12, what
/// three sums of products lose is relative to their terms; then one product and one sum, of factors that are quotients.
pub(super) fn texture(op: &Texture, xs: &[&Values], out: Shape) -> Values {
    let Shape { h, w, .. } = xs[0].shape;
    let (seen, placed) = (op.seen(h, w), op.placed(h, w));
    let (mut terms, mut sums) = (0.0, 0.0);
    let mut values = Values::from_fn(out, xs[0].bounded(), |[n, c, oy, ox]| {
        let channel = if op.order == ColorOrder::Bgr { 2 - c } else { c };
        let at = [(oy, placed.top, placed.h), (ox, placed.left, placed.w)];
        let within = at.map(|(at, begin, len)| (at as u64).checked_sub(begin.into()).filter(|at| *at < len.into()));
        let (value, bound) = match within {
            [Some(row), Some(column)] => color(op, xs, (seen, placed), [n, row as usize, column as usize], channel),
            _ => (f64::from(op.fill()), 0.0),
        };
        let [mean, std] = [op.mean[c], op.std[c]].map(f64::from);
        let y = (value - mean) / std;
        let size = (value / std).abs() + (mean / std).abs();
        if y.is_finite() {
            terms += (value / std).powi(2) + (mean / std).powi(2);
            sums += y * y;
        }
        (y, finite_bound(y, bound / std.abs() + 8.0 * U * size))
    });
    values.cancellation = cancellation(terms, sums);
    values
}

/// A channel of red, green and blue, and its bound.
fn color(
    op: &Texture,
    xs: &[&Values],
    (seen, placed): (Rect, Rect),
    [n, row, column]: [usize; 3],
    channel: usize,
) -> (f64, f64) {
    let [rows, columns] =
        [(row, seen.top, seen.h, placed.h), (column, seen.left, seen.w, placed.w)].map(Line::of_pixels);
    let [luma, chroma] = match *xs {
        [picture] => return between(picture, [n, channel], [&rows, &columns]),
        [luma, chroma, ..] => [luma, chroma],
        [] => return (f64::NAN, 0.0),
    };
    let [half_rows, half_columns] =
        [(row, seen.top, seen.h, placed.h), (column, seen.left, seen.w, placed.w)].map(Line::of_pairs);
    let (y, y_bound) = between(luma, [n, 0], [&rows, &columns]);
    let chroma = [0, 1].map(|which| between(chroma, [n, which], [&half_rows, &half_columns]));
    // Brightness and colour from 0 to 1 and from -1/2 to 1/2, then red or blue, or green out of both.
    let [(zero, y_scale), (middle, c_scale)] = ranges(op.yuv.full_range);
    let [red, blue] = op.yuv.matrix.weights();
    let green = 1.0 - red - blue;
    let of = match channel {
        0 => [0.0, 2.0 * (1.0 - red)],
        1 => [-2.0 * (1.0 - blue) * blue / green, -2.0 * (1.0 - red) * red / green],
        _ => [2.0 * (1.0 - blue), 0.0],
    };
    let mut sum = (y - zero) * y_scale;
    let mut bound = y_bound * y_scale;
    let mut size = (y + zero) * y_scale;
    for ((value, value_bound), factor) in chroma.into_iter().zip(of) {
        sum += factor * (value - middle) * c_scale;
        bound += (factor * c_scale).abs() * value_bound;
        size += (factor * c_scale).abs() * (value + middle);
    }
    (sum.clamp(0.0, 1.0), bound + 16.0 * U * size)
}

/// Of brightness and of colour: what is subtracted, and what multiplies the rest.
fn ranges(full: bool) -> [(f64, f64); 2] {
    let middle = 128.0 / 255.0;
    if full { [(0.0, 1.0), (middle, 1.0)] } else { [(16.0 / 255.0, 255.0 / 219.0), (middle, 255.0 / 224.0)] }
}

/// Two pixels of a row or a column, and their weights.
struct Line([(usize, f64); 2]);

impl Line {
    /// The place of the middle of pixel `at`, of `len` that show the `seen` from `begin` on: among those.
    fn of_pixels((at, begin, seen, len): (usize, u32, u32, u32)) -> Self {
        Self(neighbours(at, seen, len)).from(begin)
    }

    /// The same among pixels that stand for two each.
    fn of_pairs((at, begin, seen, len): (usize, u32, u32, u32)) -> Self {
        let place = (f64::from(begin) + (at as f64 + 0.5) * f64::from(seen) / f64::from(len)) / 2.0 - 0.5;
        let first = begin / 2;
        Self::among(place - f64::from(first), (begin + seen).div_ceil(2) - first).from(first)
    }

    fn among(place: f64, extent: u32) -> Self {
        let place = place.clamp(0.0, f64::from(extent - 1));
        let share = place.fract();
        let first = place as usize;
        Self([(first, 1.0 - share), ((first + 1).min(extent as usize - 1), share)])
    }

    fn from(self, begin: u32) -> Self {
        Self(self.0.map(|(pixel, weight)| (pixel + begin as usize, weight)))
    }
}

fn between(x: &Values, [n, c]: [usize; 2], [rows, columns]: [&Line; 2]) -> (f64, f64) {
    let (mut sum, mut magnitude) = (0.0, 0.0);
    for (iy, wy) in rows.0 {
        for (ix, wx) in columns.0 {
            let (value, _) = x.at([n, c, iy, ix]);
            sum += wy * wx * value;
            magnitude += wy * wx * value.abs();
        }
    }
    (sum, finite_bound(sum, 19.0 * U * magnitude))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::ops::{Fit, Texels, Yuv, YuvMatrix};
    use crate::reference::run;
    use crate::tensor::Tensor;

    fn seen(picture: &[f32], [h, w]: [u32; 2], texture: Texture) -> Vec<f32> {
        let mut graph = Graph::new();
        let y = graph.texture_input("x", [h, w], Texels::Rgba8, texture).unwrap();
        graph.output("y", y).unwrap();
        let picture = Tensor::new(Shape::new(1, 4, h, w), picture.to_vec()).unwrap();
        run(&graph, &[picture]).unwrap().remove(0).into_data()
    }

    #[test]
    fn channels_are_ordered_and_normalised() {
        // One pixel of red 0.2, green 0.4, blue 0.6, alpha 0.9.
        let pixel = [0.2, 0.4, 0.6, 0.9];
        assert_eq!(seen(&pixel, [1, 1], Texture::stretch(1, 1)), [0.2, 0.4, 0.6]);
        let bgr = Texture { order: ColorOrder::Bgr, ..Texture::stretch(1, 1) };
        assert_eq!(seen(&pixel, [1, 1], bgr), [0.6, 0.4, 0.2]);
        let scaled = Texture { mean: [0.6, 0.0, 0.2], std: [1.0, 2.0, 0.5], ..bgr };
        assert_eq!(seen(&pixel, [1, 1], scaled), [0.0, 0.2, 0.0]);
    }

    #[test]
    fn a_letterbox_is_filled_and_a_crop_is_all_that_is_seen() {
        // Two rows of four pixels; red counts up by eighths, the rest is 0.
        let picture: Vec<f32> = (0..8).map(|i| i as f32 / 8.0).chain([0.0; 24]).collect();
        let boxed = Texture { fit: Fit::Letterbox { fill: 0.5 }, ..Texture::stretch(4, 4) };
        let red = &seen(&picture, [2, 4], boxed)[..16];
        assert_eq!(red[..4], [0.5; 4]);
        assert_eq!(red[4..12], picture[..8]);
        assert_eq!(red[12..], [0.5; 4]);
        // The two in the middle of the lower row, twice as wide: their neighbours do not show.
        let crop = Texture { crop: Some(Rect { top: 1, left: 1, h: 1, w: 2 }), ..Texture::stretch(1, 4) };
        assert_eq!(seen(&picture, [2, 4], crop)[..4], [0.625, 0.65625, 0.71875, 0.75]);
    }

    /// What ITU-R BT.601 and BT.709 say of white, black, grey, red, green and blue, in bytes of both ranges.
    #[test]
    fn nv12_means_the_colours_of_the_standards() {
        let limited601 =
            [[235, 128, 128], [16, 128, 128], [126, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110]];
        let limited709 =
            [[235, 128, 128], [16, 128, 128], [126, 128, 128], [63, 102, 240], [173, 42, 26], [32, 240, 118]];
        let full601 = [[255, 128, 128], [0, 128, 128], [128, 128, 128], [76, 85, 255], [150, 44, 21], [29, 255, 107]];
        let colors = [[1.0; 3], [0.0; 3], [0.502; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        for (bytes, matrix, full_range) in [
            (limited601, YuvMatrix::Bt601, false),
            (limited709, YuvMatrix::Bt709, false),
            (full601, YuvMatrix::Bt601, true),
        ] {
            for (yuv, want) in bytes.into_iter().zip(colors) {
                let mut graph = Graph::new();
                let texture = Texture { yuv: Yuv { matrix, full_range }, ..Texture::stretch(2, 2) };
                let y = graph.nv12_input("x", [2, 2], texture).unwrap();
                graph.output("y", y).unwrap();
                let [y, u, v] = yuv.map(|byte: u8| f32::from(byte) / 255.0);
                let luma = Tensor::filled(Shape::new(1, 1, 2, 2), y).unwrap();
                let chroma = Tensor::new(Shape::new(1, 2, 1, 1), vec![u, v]).unwrap();
                let got = run(&graph, &[luma, chroma]).unwrap();
                for (c, want) in want.into_iter().enumerate() {
                    // A byte is rounded by up to a half.
                    let got = got[0].data()[4 * c];
                    assert!(
                        (got - want).abs() < 0.008,
                        "{matrix:?} {full_range} {yuv:?}: channel {c} is {got}, not {want}"
                    );
                }
            }
        }
    }

    /// The colour of a pair stands in the middle of it: between two pairs, it is mixed.
    #[test]
    fn colours_lie_in_the_middle_of_their_pixels() {
        let places = |at, begin, seen, len| Line::of_pairs((at, begin, seen, len)).0;
        assert_eq!(places(0, 0, 4, 4), [(0, 1.0), (1, 0.0)]);
        assert_eq!(places(1, 0, 4, 4), [(0, 0.75), (1, 0.25)]);
        assert_eq!(places(2, 0, 4, 4), [(0, 0.25), (1, 0.75)]);
        assert_eq!(places(3, 0, 4, 4), [(1, 1.0), (1, 0.0)]);
        // From the second of a pair on, and up to the first of one.
        assert_eq!(places(0, 1, 2, 2), [(0, 0.75), (1, 0.25)]);
        assert_eq!(places(1, 1, 2, 2), [(0, 0.25), (1, 0.75)]);
    }
}
