//! A picture as a network wants it, and what the network finds in it as places in the picture.

use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// How a picture of one size becomes an input of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Each axis by its own factor.
    Stretch,
    /// Both axes by one factor, the rest grey (114), half of it on either side: YOLOv3, v5 and after.
    Letterbox,
    /// As `Letterbox`, the rest at the bottom or at the right: YOLOX.
    LetterboxTopLeft,
}

/// What a network was trained to see: `(value · scale - mean) / std`, for values of 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preparation {
    /// How the picture is made to fit.
    pub fit: Fit,
    /// Whether blue is the first channel, not red.
    pub bgr: bool,
    /// Multiplies the values.
    pub scale: f32,
    /// Taken away after that, in the order of the channels.
    pub mean: [f32; 3],
    /// What is left is divided by it, in the order of the channels.
    pub std: [f32; 3],
}

impl Default for Preparation {
    /// RGB in 0..=1 in a letterbox.
    fn default() -> Self {
        Self { fit: Fit::Letterbox, bgr: false, scale: 1.0 / 255.0, mean: [0.0; 3], std: [1.0; 3] }
    }
}

/// Where a picture lies in a network's input. Sizes are rows and columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The size of the picture.
    pub picture: [u32; 2],
    /// The size of what it became.
    pub scaled: [u32; 2],
    /// The row and column of the input at which that begins.
    pub offset: [u32; 2],
}

const GREY: f32 = 114.0;

impl Fit {
    /// Where a picture comes to lie. Errors: no pixels.
    pub fn place(self, picture: [u32; 2], input: [u32; 2]) -> Result<Placement> {
        if picture.contains(&0) || input.contains(&0) {
            let detail = format!("a picture of {picture:?} and an input of {input:?} rows and columns");
            return Err(Error::mismatch("prepare", format!("{detail} have no pixels")));
        }
        let [rows, columns] = [0, 1].map(|axis| f64::from(input[axis]) / f64::from(picture[axis]));
        let factor = rows.min(columns);
        let scaled = match self {
            Self::Stretch => input,
            _ => [0, 1].map(|axis| {
                let pixels = f64::from(picture[axis]) * factor;
                // As the networks' own code rounds; the axis that fits does so exactly.
                let pixels = if self == Self::Letterbox { pixels.round() } else { (pixels + 1e-6).floor() };
                (pixels as u32).clamp(1, input[axis])
            }),
        };
        let offset = match self {
            Self::Letterbox => [0, 1].map(|axis| (input[axis] - scaled[axis]) / 2),
            _ => [0, 0],
        };
        Ok(Placement { picture, scaled, offset })
    }
}

impl Placement {
    /// A box in pixels of the input as one in pixels of the picture, without what reaches beyond it.
    pub fn to_picture(&self, corners: [f32; 4]) -> [f32; 4] {
        let [x0, y0, x1, y1] = corners;
        let map = |value: f32, axis: usize| {
            let pixels = f64::from(self.picture[axis]);
            let value = (f64::from(value) - f64::from(self.offset[axis])) * pixels / f64::from(self.scaled[axis]);
            value.clamp(0.0, pixels) as f32
        };
        [map(x0, 1), map(y0, 0), map(x1, 1), map(y1, 0)]
    }
}

impl Preparation {
    /// A picture of `size` rows and columns, three bytes per pixel, as `[1, 3, rows, columns]` for an input of that
    /// size. Enlarged, it is interpolated between pixels; reduced, each pixel is a mean of those it stands for, with
    /// weights that fall off in straight lines.
    ///
    /// Errors: another number of bytes, no pixels, numbers that are not finite, a divisor of 0.
    pub fn apply(&self, rgb: &[u8], size: [u32; 2], input: [u32; 2]) -> Result<(Tensor, Placement)> {
        let placement = self.fit.place(size, input)?;
        if rgb.len() as u64 != 3 * u64::from(size[0]) * u64::from(size[1]) {
            let [rows, columns] = size;
            let detail = format!("{} bytes for {rows}x{columns} pixels, which need 3 each", rgb.len());
            return Err(Error::mismatch("prepare", detail));
        }
        for (param, values) in [("scale", [self.scale; 3]), ("mean", self.mean), ("std", self.std)] {
            if values.iter().any(|value| !value.is_finite() || param == "std" && *value == 0.0) {
                let reason = "must be finite, and std not 0";
                return Err(Error::param("prepare", param, format!("{values:?}"), reason));
            }
        }
        let mut tensor = Tensor::filled(Shape::new(1, 3, input[0], input[1]), GREY)?;
        let [rows, columns] = [0, 1].map(|axis| samples(size[axis], placement.scaled[axis]));
        let plane = input[0] as usize * input[1] as usize;
        let channels = tensor.data_mut().chunks_exact_mut(plane);
        for (channel, values) in channels.enumerate() {
            let source = if self.bgr { 2 - channel } else { channel };
            // All rows of the picture with the columns of the input.
            let narrow: Vec<f32> = rgb
                .chunks_exact(3 * size[1] as usize)
                .flat_map(|line| {
                    let value = move |(first, weights): &(usize, Vec<f32>)| {
                        let pixels = line[3 * first + source..].iter().step_by(3).map(|&byte| f32::from(byte));
                        pixels.zip(weights).map(|(pixel, weight)| pixel * weight).sum::<f32>()
                    };
                    columns.iter().map(value)
                })
                .collect();
            let lines = values.chunks_exact_mut(input[1] as usize).skip(placement.offset[0] as usize);
            for (line, (first, weights)) in lines.zip(&rows) {
                let line = &mut line[placement.offset[1] as usize..][..columns.len()];
                line.fill(0.0);
                let sources = narrow.chunks_exact(columns.len()).skip(*first);
                for (source, weight) in sources.zip(weights) {
                    line.iter_mut().zip(source).for_each(|(sum, value)| *sum += value * weight);
                }
            }
            let (mean, std) = (self.mean[channel], self.std[channel]);
            values.iter_mut().for_each(|value| *value = (*value * self.scale - mean) / std);
        }
        Ok((tensor, placement))
    }
}

/// For each of `to` pixels along an axis, the first of `from` that it is made of, and the weights of that and the next
/// ones, which fall off from the middle to nothing at a distance of one pixel, of the larger kind.
fn samples(from: u32, to: u32) -> Vec<(usize, Vec<f32>)> {
    let step = f64::from(from) / f64::from(to);
    let reach = step.max(1.0);
    let sample = |i| {
        let middle = (f64::from(i) + 0.5) * step;
        let first = (middle - reach).max(0.0) as usize;
        let end = ((middle + reach).ceil() as usize).min(from as usize);
        let weight = |pixel: usize| (1.0 - (pixel as f64 + 0.5 - middle).abs() / reach).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        (first, (first..end).map(|pixel| (weight(pixel) / sum) as f32).collect())
    };
    (0..to).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: Preparation = Preparation { fit: Fit::Stretch, bgr: false, scale: 1.0, mean: [0.0; 3], std: [1.0; 3] };

    #[test]
    fn a_letterbox_keeps_the_proportions_and_boxes_find_their_way_back() {
        // 300x451 into 416x416, by 416/451: 276.7 rows.
        let [centred, top_left, stretched] =
            [Fit::Letterbox, Fit::LetterboxTopLeft, Fit::Stretch].map(|fit| fit.place([300, 451], [416, 416]).unwrap());
        assert_eq!((centred.scaled, centred.offset), ([277, 416], [69, 0]));
        assert_eq!((top_left.scaled, top_left.offset), ([276, 416], [0, 0]));
        assert_eq!((stretched.scaled, stretched.offset), ([416, 416], [0, 0]));
        let whole = [0.0, 0.0, 451.0, 300.0];
        assert_eq!(centred.to_picture([0.0, 69.0, 416.0, 346.0]), whole);
        assert_eq!(centred.to_picture([-9.0, 0.0, 500.0, 416.0]), whole, "cut at the borders of the picture");
        assert_eq!(top_left.to_picture([0.0, 0.0, 416.0, 276.0]), whole);
        assert_eq!(stretched.to_picture([208.0, 0.0, 416.0, 208.0]), [225.5, 0.0, 451.0, 150.0]);
        // As thin as can be: one pixel is left.
        assert_eq!(Fit::Letterbox.place([1, 60_000], [32, 32]).unwrap().scaled, [1, 32]);
        for sizes in [([0, 5], [4, 4]), ([5, 5], [4, 0])] {
            Fit::Stretch.place(sizes.0, sizes.1).unwrap_err();
        }
    }

    #[test]
    fn values_are_interpolated_ordered_and_scaled() {
        // Six pixels to two: the left one's middle is the second pixel's, its weights fall to 0 in three pixels on either
        // side: 2/3, 1, 2/3 and 1/3.
        let six: Vec<u8> = [0, 30, 60, 90, 120, 150].into_iter().flat_map(|x| [x; 3]).collect();
        let (tensor, _) = RAW.apply(&six, [1, 6], [1, 2]).unwrap();
        let weights = [4.0, 6.0, 4.0, 2.0, 0.0].map(|w| w / 6.0);
        let left: f32 = weights.iter().zip([0.0, 30.0, 60.0, 90.0, 120.0]).map(|(w, x)| w * x).sum::<f32>();
        let left = left / weights.iter().sum::<f32>();
        assert!((tensor.data()[0] - left).abs() < 1e-4 && (tensor.data()[1] - (150.0 - left)).abs() < 1e-4);
        // Two pixels, red and blue: at 1x4, the outer samples are the pixels, the inner ones a quarter of the way off.
        let rgb = [100, 20, 0, 0, 20, 200];
        let (tensor, _) = RAW.apply(&rgb, [1, 2], [1, 4]).unwrap();
        assert_eq!(tensor.data(), [[100.0, 75.0, 25.0, 0.0], [20.0; 4], [0.0, 50.0, 150.0, 200.0]].as_flattened());
        let bgr = Preparation { bgr: true, scale: 0.5, mean: [10.0, 0.0, 0.0], std: [2.0, 1.0, 1.0], ..RAW };
        let (tensor, _) = bgr.apply(&rgb, [1, 2], [1, 2]).unwrap();
        assert_eq!(tensor.data(), [-5.0, 45.0, 10.0, 10.0, 50.0, 0.0]);
        // What the picture leaves free is 114, scaled like the rest.
        let boxed = Preparation { fit: Fit::Letterbox, ..bgr };
        let (tensor, placement) = boxed.apply(&rgb, [1, 2], [4, 2]).unwrap();
        assert_eq!(placement.offset, [1, 0]);
        assert_eq!(tensor.data()[..8], [23.5, 23.5, -5.0, 45.0, 23.5, 23.5, 23.5, 23.5]);
    }

    #[test]
    fn wrong_sizes_and_numbers_are_refused() {
        RAW.apply(&[0; 11], [2, 2], [4, 4]).unwrap_err();
        RAW.apply(&[], [0, 2], [4, 4]).unwrap_err();
        RAW.apply(&[0; 12], [2, 2], [1 << 16, 1 << 16]).unwrap_err();
        for wrong in [
            Preparation { std: [1.0, 0.0, 1.0], ..RAW },
            Preparation { mean: [f32::NAN; 3], ..RAW },
            Preparation { scale: f32::INFINITY, ..RAW },
        ] {
            assert!(matches!(wrong.apply(&[0; 12], [2, 2], [4, 4]), Err(Error::InvalidParam { .. })));
        }
    }
}
