//! From pictures in an app's textures to tensors: a part of each, resized, in the order and scale that a network takes.

use std::fmt;

use super::{Operand, Operation, View, Work};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// What a texture holds, which says what formats it may have. Values are what its bytes are over 255, whatever the
/// format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Texels {
    /// `Rgba8Unorm` or `Bgra8Unorm`.
    Rgba8,
    /// `Rgba8UnormSrgb` or `Bgra8UnormSrgb`: shaders are given light, which is turned back into what the bytes say.
    Rgba8Srgb,
    /// `Rgba16Float`: values as they are.
    Rgba16Float,
    /// `R8Unorm`: the brightness plane of NV12.
    R8,
    /// `Rg8Unorm`: the colour plane of NV12, of half as many rows and columns, rounded up.
    Rg8,
}

impl Texels {
    /// Values of a pixel. Networks see the first three of four.
    pub const fn channels(self) -> u32 {
        match self {
            Self::Rgba8 | Self::Rgba8Srgb | Self::Rgba16Float => 4,
            Self::Rg8 => 2,
            Self::R8 => 1,
        }
    }
}

impl fmt::Display for Texels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgba8 => "rgba8",
            Self::Rgba8Srgb => "rgba8 srgb",
            Self::Rgba16Float => "rgba16 float",
            Self::R8 => "r8",
            Self::Rg8 => "rg8",
        })
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Rows above it.
    pub top: u32,
    /// Columns to the left of it.
    pub left: u32,
    /// Its rows.
    pub h: u32,
    /// Its columns.
    pub w: u32,
}

impl Rect {
    pub(crate) const fn whole(h: u32, w: u32) -> Self {
        Self { top: 0, left: 0, h, w }
    }

    /// Errors: an extent of 0; pixels beyond so many rows and columns.
    fn check(&self, op: &str, h: u32, w: u32) -> Result<()> {
        let ends = [(self.top, self.h, h), (self.left, self.w, w)];
        let fits = |(from, len, extent): (u32, u32, u32)| len > 0 && u64::from(from) + u64::from(len) <= extent.into();
        if ends.into_iter().all(fits) {
            return Ok(());
        }
        Err(Error::param(op, "crop", format!("{self:?}"), &format!("must be a part of the picture of {h}x{w}")))
    }
}

/// How a picture fills the result where the ratios of their sides differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fit {
    /// All of it.
    Stretch,
    /// As much as keeps the picture's ratio, in the middle.
    Letterbox {
        /// Around it, in each channel: 114 of 255 where YOLO's authors trained.
        fill: f32,
    },
}

/// The order of the result's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are names")]
pub enum ColorOrder {
    Rgb,
    Bgr,
}

/// What the two planes of NV12 mean: red, green and blue out of brightness and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yuv {
    /// Which standard's matrix.
    pub matrix: YuvMatrix,
    /// Brightness from 0 to 255 and colour from 0 to 255, as in JPEG; else from 16 to 235 and 16 to 240, as in most
    /// video.
    pub full_range: bool,
}

/// The weights of red, green and blue in the brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YuvMatrix {
    /// ITU-R BT.601: video of standard definition, JPEG.
    Bt601,
    /// ITU-R BT.709: video of high definition.
    Bt709,
}

impl YuvMatrix {
    /// Of red and of blue; that of green is what is left of 1.
    pub(crate) const fn weights(self) -> [f64; 2] {
        match self {
            Self::Bt601 => [0.299, 0.114],
            Self::Bt709 => [0.2126, 0.0722],
        }
    }
}

/// What a network sees of a picture: `y[c] = (x[c] - mean[c]) / std[c]`, where `x` is the picture, cropped and resized
/// to `[n, 3, out_h, out_w]` (bilinear, as `align_corners=False`), of values from 0 to 1. Alpha is ignored. A picture
/// is one texture of four channels, or the two planes of NV12, whose colour is that of the middle of four pixels.
///
/// ```
/// use spp_wgpu::ops::{ColorOrder, Texture};
/// // As torchvision's networks, and as those whose authors subtract 104, 117 and 123 from blue, green and red.
/// let torchvision = Texture { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], ..Texture::stretch(224, 224) };
/// let mean = [104.0, 117.0, 123.0].map(|mean: f32| mean / 255.0);
/// let caffe = Texture { order: ColorOrder::Bgr, mean, std: [1.0 / 255.0; 3], ..Texture::stretch(300, 300) };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Texture {
    /// Rows of the result.
    pub out_h: u32,
    /// Columns of the result.
    pub out_w: u32,
    /// The part that is seen; `None`: all of it.
    pub crop: Option<Rect>,
    /// How it fills the result.
    pub fit: Fit,
    /// The result's channels.
    pub order: ColorOrder,
    /// Subtracted from each channel of the result, whose values go from 0 to 1.
    pub mean: [f32; 3],
    /// Then, each channel is divided by this.
    pub std: [f32; 3],
    /// What the planes of NV12 mean; other pictures have no use for it.
    pub yuv: Yuv,
}

/// The most rows and columns of a picture, and of what is made of it: places between pixels are exact fractions in 32
/// bits.
pub(crate) const MAX_EXTENT: u32 = 1 << 14;

impl Texture {
    /// All of the picture, stretched; red, green and blue from 0 to 1; NV12 in BT.601 of limited range.
    pub const fn stretch(out_h: u32, out_w: u32) -> Self {
        Self {
            out_h,
            out_w,
            crop: None,
            fit: Fit::Stretch,
            order: ColorOrder::Rgb,
            mean: [0.0; 3],
            std: [1.0; 3],
            yuv: Yuv { matrix: YuvMatrix::Bt601, full_range: false },
        }
    }

    /// As [`Texture::stretch`], but the picture keeps its ratio amid grey of 114, as YOLO's authors train.
    pub const fn letterbox(out_h: u32, out_w: u32) -> Self {
        Self { fit: Fit::Letterbox { fill: 114.0 / 255.0 }, ..Self::stretch(out_h, out_w) }
    }

    /// What is around the picture, from 0 to 1.
    pub(crate) fn fill(&self) -> f32 {
        if let Fit::Letterbox { fill } = self.fit { fill } else { 0.0 }
    }

    /// The part of a picture of so many rows and columns that is seen.
    pub fn seen(&self, h: u32, w: u32) -> Rect {
        self.crop.unwrap_or(Rect::whole(h, w))
    }

    /// Where that lies in the result. Letterboxed, sides are rounded to whole pixels; of an odd rest, the larger half
    /// is below or to the right.
    pub fn placed(&self, h: u32, w: u32) -> Rect {
        let Self { out_h, out_w, .. } = *self;
        let seen = self.seen(h, w);
        if self.fit == Fit::Stretch || seen.h == 0 || seen.w == 0 {
            return Rect::whole(out_h, out_w);
        }
        // `out / side`, rounded, of the side that does not fill the result.
        let scaled = |side: u32, out: u32, other: u32| {
            let [side, out, other] = [side, out, other].map(u128::from);
            ((2 * side * out + other) / (2 * other)).max(1) as u32
        };
        let [wide, high] = [u64::from(seen.w) * u64::from(out_h), u64::from(seen.h) * u64::from(out_w)];
        let [rows, columns] =
            if wide > high { [scaled(seen.h, out_w, seen.w), out_w] } else { [out_h, scaled(seen.w, out_h, seen.h)] };
        let [top, left] = [(out_h, rows), (out_w, columns)].map(|(out, side)| out.saturating_sub(side) / 2);
        Rect { top, left, h: rows, w: columns }
    }

    /// Output shape for a picture of this shape: `[n, 3, out_h, out_w]`. Errors: an extent of 0 or over 16 384; a crop
    /// beyond the picture; a mean, a divisor or a fill that is not finite, or a divisor so small that quotients are
    /// not.
    pub fn output_shape(&self, op: &str, picture: Shape) -> Result<Shape> {
        for (param, value) in [("out_h", self.out_h), ("out_w", self.out_w), ("h", picture.h), ("w", picture.w)] {
            if value == 0 || value > MAX_EXTENT {
                return Err(Error::param(op, param, value, &format!("must be from 1 to {MAX_EXTENT}")));
            }
        }
        self.seen(picture.h, picture.w).check(op, picture.h, picture.w)?;
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(Error::param(op, "mean", mean, "must be finite"));
        }
        if let Some(std) = self.std.iter().find(|std| !std.is_normal() || !std.recip().is_normal()) {
            return Err(Error::param(op, "std", std, "must be finite and not 0, and so must be 1 over it"));
        }
        if !self.fill().is_finite() {
            return Err(Error::param(op, "fill", self.fill(), "must be finite"));
        }
        Shape::new(picture.n, 3, self.out_h, self.out_w).check(op)
    }
}

impl Operation for Texture {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let is = |x: &Operand, wanted: &[Texels]| x.texels.is_some_and(|texels| wanted.contains(&texels));
        match xs {
            [picture] if picture.texels.is_some_and(|texels| texels.channels() == 4) => {
                self.output_shape(op, picture.shape).map_err(|error| picture.named_in(error))
            }
            [luma, chroma] if is(luma, &[Texels::R8]) && is(chroma, &[Texels::Rg8]) => {
                let Shape { n, h, w, .. } = luma.shape;
                let needed = Shape::new(n, 2, h.div_ceil(2), w.div_ceil(2));
                if chroma.shape != needed {
                    let detail = format!(
                        "colour plane {} from '{}' beside brightness {} from '{}' must be {needed}",
                        chroma.shape, chroma.name, luma.shape, luma.name
                    );
                    return Err(Error::mismatch(op, detail));
                }
                self.output_shape(op, luma.shape).map_err(|error| luma.named_in(error))
            }
            _ => {
                let given: Vec<String> = xs.iter().map(Operand::described).collect();
                let reason =
                    format!("{op} takes one picture of four channels, or planes r8 and rg8; got {}", given.join(", "));
                Err(Error::Graph(reason))
            }
        }
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Rect { top, left, h, w }) = self.crop {
            write!(f, ", {h}x{w} from {top}, {left}")?;
        }
        f.write_str(if self.fit == Fit::Stretch { ", stretched" } else { ", letterboxed" })?;
        f.write_str(if self.order == ColorOrder::Rgb { ", rgb" } else { ", bgr" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letterbox_keeps_the_ratio_and_lies_in_the_middle() {
        let placed = |h, w, out_h, out_w| {
            let Rect { top, left, h, w } = Texture::letterbox(out_h, out_w).placed(h, w);
            [top, left, h, w]
        };
        assert_eq!(placed(720, 1280, 640, 640), [140, 0, 360, 640]);
        assert_eq!(placed(1280, 720, 640, 640), [0, 140, 640, 360]);
        assert_eq!(placed(640, 640, 640, 640), [0, 0, 640, 640]);
        // 1080 of 1920 to 640: 360; 427.5 is rounded up, and of the 213 around it 106 are above.
        assert_eq!(placed(513, 768, 640, 640), [106, 0, 428, 640]);
        assert_eq!(placed(1, 16_384, 32, 32), [15, 0, 1, 32], "never nothing");
        assert_eq!(Texture::stretch(7, 9).placed(100, 3), Rect::whole(7, 9));
        // What no texture has.
        let most = u32::MAX;
        assert_eq!(placed(most, most - 1, most, most), [0, 0, most, most - 1]);
        assert_eq!(placed(most, most, 0, 0), [0, 0, 0, 1]);
    }

    #[test]
    fn what_is_no_part_of_the_picture_is_refused() {
        let shape = Shape::new(1, 4, 10, 20);
        let of = |top, left, h, w| Texture { crop: Some(Rect { top, left, h, w }), ..Texture::stretch(5, 5) };
        assert_eq!(of(2, 3, 8, 17).output_shape("t", shape).unwrap(), Shape::new(1, 3, 5, 5));
        for crop in [of(3, 0, 8, 1), of(0, 0, 0, 1), of(0, 20, 1, 1), of(u32::MAX, 0, 2, 2)] {
            assert!(matches!(crop.output_shape("t", shape), Err(Error::InvalidParam { param: "crop", .. })));
        }
        for (texture, param) in [
            (Texture::stretch(0, 5), "out_h"),
            (Texture::stretch(5, 16_385), "out_w"),
            (Texture { std: [1.0, 0.0, 1.0], ..Texture::stretch(5, 5) }, "std"),
            (Texture { std: [1.0, 1e39, 1.0].map(|v| v as f32), ..Texture::stretch(5, 5) }, "std"),
            (Texture { mean: [f32::NAN, 0.0, 1.0], ..Texture::stretch(5, 5) }, "mean"),
            (Texture { fit: Fit::Letterbox { fill: f32::INFINITY }, ..Texture::stretch(5, 5) }, "fill"),
        ] {
            let error = texture.output_shape("t", shape).unwrap_err();
            assert!(matches!(error, Error::InvalidParam { param: found, .. } if found == param), "{error}");
        }
    }
}
