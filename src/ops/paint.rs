//! From tensors to an app's textures: plain colours, a heat map, or classes, alone or over a picture.

use std::fmt;
use std::sync::Arc;

use super::texture::MAX_EXTENT;
use super::{Operand, Operation, Texels, Texture, View, Work};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// What colour a value gets: from 0 to 1, red, green and blue.
pub type Color = [f32; 3];

/// What is painted.
#[derive(Clone, Debug, PartialEq)]
pub enum Paints {
    /// The first three channels as red, green and blue: `scale * x + shift`, from 0 to 1.
    Colors {
        /// Multiplies each channel.
        scale: [f32; 3],
        /// Added to each channel.
        shift: [f32; 3],
    },
    /// One channel, as a colour between those that stand at equal distances.
    HeatMap {
        /// Which channel; a 1x1 convolution makes one out of many.
        channel: u32,
        /// What values get the first and the last colour; those beyond get these, too, and `NaN` the first.
        range: [f32; 2],
        /// Two or more.
        colors: Arc<[Color]>,
    },
    /// The channel with the largest value, the first of several, as the colour of this number; `NaN` is the largest.
    Classes {
        /// One for each channel.
        colors: Arc<[Color]>,
    },
}

impl Paints {
    /// Channel 0 from black over red and yellow to white.
    pub fn heat(range: [f32; 2]) -> Self {
        let colors = [[0.0; 3], [0.6, 0.0, 0.1], [1.0, 0.4, 0.0], [1.0, 0.9, 0.2], [1.0; 3]].into();
        Self::HeatMap { channel: 0, range, colors }
    }

    /// Channel 0 from dark violet over green to yellow: seven of the colours of matplotlib's `viridis`.
    pub fn viridis(range: [f32; 2]) -> Self {
        let bytes = [
            [68, 1, 84],
            [68, 57, 131],
            [49, 104, 142],
            [33, 145, 140],
            [53, 183, 121],
            [144, 215, 67],
            [253, 231, 37],
        ];
        let colors = bytes.iter().map(|color| color.map(|byte: u8| f32::from(byte) / 255.0)).collect();
        Self::HeatMap { channel: 0, range, colors }
    }

    /// Classes in the colours of PASCAL VOC, of which the first, the background, is black.
    pub fn classes(count: u32) -> Self {
        // Bits of the class, three by three, from the highest bit of each colour down.
        let color =
            |class: u32| [0, 1, 2].map(|k| (0..8).fold(0, |byte, i| byte | (class >> (3 * i + k) & 1) << (7 - i)));
        let colors = (0..count).map(|class| color(class).map(|byte: u32| byte as f32 / 255.0)).collect();
        Self::Classes { colors }
    }

    /// What a value is looked up in; empty if nothing is.
    pub(crate) fn colors(&self) -> &[Color] {
        match self {
            Self::Colors { .. } => &[],
            Self::HeatMap { colors, .. } | Self::Classes { colors } => colors,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Colors { .. } => "colours",
            Self::HeatMap { .. } => "heat map",
            Self::Classes { .. } => "classes",
        }
    }
}

/// A map as a texture of `[n, 4, out_h, out_w]`, resized to it (bilinear, as `align_corners=False`): red, green and
/// blue as bytes over 255, as they are to be shown, and an alpha of `opacity`. Over a picture of the same size, the
/// second operand, colours are mixed with the picture's by `opacity`, and alpha is 1. Only a graph output may read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Paint {
    /// Rows of the texture.
    pub out_h: u32,
    /// Columns of the texture.
    pub out_w: u32,
    /// What the texture holds: [`Texels::Rgba8`] in `Rgba8Unorm`, or [`Texels::Rgba16Float`].
    pub texels: Texels,
    /// What of the map is shown, and how.
    pub paints: Paints,
    /// From 0 to 1.
    pub opacity: f32,
    /// What made the network's input of a picture as large as the texture: the map is put where in the picture it
    /// belongs, and what the network did not see stays as the picture, or transparent.
    pub through: Option<Texture>,
}

impl Paint {
    /// All of the map, opaque, in `Rgba8Unorm`.
    pub const fn new(out_h: u32, out_w: u32, paints: Paints) -> Self {
        Self { out_h, out_w, texels: Texels::Rgba8, paints, opacity: 1.0, through: None }
    }

    /// Output shape for a map `x`: `[n, 4, out_h, out_w]`. Errors: an extent of 0 or over 16 384; texels that no shader
    /// writes; a number that is not finite; an opacity beyond 1; too few channels or colours.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        x.check(op)?;
        for (param, value) in [("out_h", self.out_h), ("out_w", self.out_w), ("h", x.h), ("w", x.w)] {
            if value == 0 || value > MAX_EXTENT {
                return Err(Error::param(op, param, value, &format!("must be from 1 to {MAX_EXTENT}")));
            }
        }
        if !matches!(self.texels, Texels::Rgba8 | Texels::Rgba16Float) {
            return Err(Error::param(
                op,
                "texels",
                self.texels,
                "must be Rgba8 or Rgba16Float: shaders write no others",
            ));
        }
        if !(0.0..=1.0).contains(&self.opacity) {
            return Err(Error::param(op, "opacity", self.opacity, "must be from 0 to 1"));
        }
        let finite = |param: &'static str, values: &[f32]| match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::param(op, param, value, "must be finite")),
            None => Ok(()),
        };
        match &self.paints {
            Paints::Colors { scale, shift } => {
                finite("scale", scale)?;
                finite("shift", shift)?;
                if x.c < 3 {
                    return Err(Error::mismatch(op, format!("colours need three channels, got {x}")));
                }
            }
            Paints::HeatMap { channel, range, colors } => {
                finite("range", range)?;
                if *channel >= x.c {
                    return Err(Error::param(op, "channel", channel, &format!("the map has {} channels", x.c)));
                }
                let [low, high] = *range;
                if !(1.0 / (high - low)).is_normal() {
                    return Err(Error::param(
                        op,
                        "range",
                        format!("{range:?}"),
                        "must have two ends apart from each other",
                    ));
                }
                if colors.len() < 2 {
                    return Err(Error::param(op, "colors", colors.len(), "must be two or more"));
                }
            }
            Paints::Classes { colors } if colors.len() as u64 != u64::from(x.c) => {
                return Err(Error::param(op, "colors", colors.len(), &format!("must be one for each channel of {x}")));
            }
            Paints::Classes { .. } => {}
        }
        finite("colors", self.paints.colors().as_flattened())?;
        if let Some(through) = &self.through {
            through.output_shape(&format!("{op}, through"), Shape::new(x.n, 4, self.out_h, self.out_w))?;
        }
        Shape::new(x.n, 4, self.out_h, self.out_w).check(op)
    }
}

impl Operation for Paint {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let (x, picture) = match xs {
            [x] => (x, None),
            [x, picture] => (x, Some(picture)),
            xs => return Err(Error::Graph(format!("{op} got {} operands, expected 1, or 2 with a picture", xs.len()))),
        };
        if x.texels.is_some() {
            return Err(Error::Graph(format!("{op} paints a tensor, got {}", x.described())));
        }
        let out = self.output_shape(op, x.shape).map_err(|error| x.named_in(error))?;
        match picture {
            Some(picture) if picture.texels.is_none_or(|texels| texels.channels() != 4) => {
                Err(Error::Graph(format!("{op} paints over a picture of four channels, got {}", picture.described())))
            }
            Some(picture) if picture.shape != out => {
                let detail =
                    format!("picture {} from '{}' is not as large as the texture, {out}", picture.shape, picture.name);
                Err(Error::mismatch(op, detail))
            }
            _ => Ok(out),
        }
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", {} in {}", self.paints.name(), self.texels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voc_has_its_colours() {
        let bytes = |paints: Paints| -> Vec<[u8; 3]> {
            paints.colors().iter().map(|color| color.map(|value| (value * 255.0).round() as u8)).collect()
        };
        // Background, aeroplane, bicycle, bird, and the twentieth, a monitor.
        let colors = bytes(Paints::classes(21));
        assert_eq!(colors[..4], [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]);
        assert_eq!(colors[20], [0, 64, 128]);
    }

    #[test]
    fn what_cannot_be_painted_is_refused() {
        let x = Shape::new(1, 4, 5, 6);
        let of = |paints| Paint::new(10, 12, paints);
        assert_eq!(of(Paints::heat([0.0, 1.0])).output_shape("p", x).unwrap(), Shape::new(1, 4, 10, 12));
        let classes = |count| of(Paints::classes(count));
        for (paint, param) in [
            (classes(3), "colors"),
            (classes(5), "colors"),
            (of(Paints::heat([1.0, 1.0])), "range"),
            (of(Paints::heat([0.0, f32::INFINITY])), "range"),
            (of(Paints::HeatMap { channel: 4, range: [0.0, 1.0], colors: [[0.0; 3]; 2].into() }), "channel"),
            (of(Paints::HeatMap { channel: 0, range: [0.0, 1.0], colors: [[0.0; 3]].into() }), "colors"),
            (of(Paints::Colors { scale: [1.0, f32::NAN, 1.0], shift: [0.0; 3] }), "scale"),
            (Paint { opacity: 1.5, ..classes(4) }, "opacity"),
            (Paint { opacity: f32::NAN, ..classes(4) }, "opacity"),
            (Paint { texels: Texels::R8, ..classes(4) }, "texels"),
            (Paint { out_h: 0, ..classes(4) }, "out_h"),
        ] {
            let error = paint.output_shape("p", x).unwrap_err();
            assert!(matches!(error, Error::InvalidParam { param: found, .. } if found == param), "{error}");
        }
    }
}
