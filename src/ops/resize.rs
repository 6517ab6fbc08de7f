//! Resizing, as `torch.nn.functional.interpolate`.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// How a value between pixels is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// `mode="bilinear", align_corners=False`
    Bilinear,
    /// `mode="nearest"`: pixel `floor(out * in_size / out_size)`
    Nearest,
}

/// A map resized to `[n, c, out_h, out_w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Rows of the output.
    pub out_h: u32,
    /// Columns of the output.
    pub out_w: u32,
    /// Interpolation.
    pub mode: ResizeMode,
}

/// Coordinates are exact fractions `((2 * out + 1) * in_size - out_size) / (2 * out_size)` in 32 bits.
const MAX_EXTENT: u32 = 1 << 15;

impl Resize {
    /// Output shape for `x`. Errors: an extent of 0 or over 32 768.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        for (param, value) in [("out_h", self.out_h), ("out_w", self.out_w)] {
            if value == 0 {
                return Err(Error::param(op, param, 0, "must be at least 1"));
            }
        }
        for value in [self.out_h, self.out_w, x.h, x.w] {
            if value > MAX_EXTENT {
                let (value, max) = (u64::from(value), u64::from(MAX_EXTENT));
                return Err(Error::TooLarge { op: op.into(), what: "a resized extent", value, max });
            }
        }
        Shape::new(x.n, x.c, self.out_h, self.out_w).check(op)
    }
}

impl Operation for Resize {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {:?}", self.mode)
    }
}
