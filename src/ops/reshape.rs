//! The same values under another shape.

use std::fmt;

use super::strided::check_len;
use super::{Operand, Operation, View, Work, operands};
use crate::error::Result;
use crate::tensor::Shape;

/// As `torch.reshape`: the values stay in NCHW order. Where they lie so already, nothing is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// Of the result.
    pub shape: Shape,
}

impl Reshape {
    /// Output shape for `x`. Errors: another number of values.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        check_len(op, self.shape, x.len())
    }

    /// Whether each pixel keeps its channels: all that changes is how pixels are counted.
    pub(crate) fn keeps_pixels(&self, x: Shape) -> bool {
        (x.n, x.c) == (self.shape.n, self.shape.c)
    }
}

impl Operation for Reshape {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape).map_err(|error| x.named_in(error))
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.shape)
    }
}
