//! Softmax over channels, or over the columns of score rows.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// The axis whose values sum to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftmaxAxis {
    /// `torch.softmax(x, 1)`: at each pixel, over channels.
    Channels,
    /// `torch.softmax(x, -1)`: over each row of width `w`, as [`super::Layout`] makes them.
    Columns,
}

/// `exp(x - max) / Σ exp(x - max)` along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis to sum over.
    pub axis: SoftmaxAxis,
}

impl Softmax {
    /// Output shape for `x`: the same. Errors: columns of a map whose height is not 1.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.axis == SoftmaxAxis::Columns && x.h != 1 {
            return Err(Error::param(op, "axis", format!("columns of {x}"), "rows of scores have height 1"));
        }
        Ok(x)
    }
}

impl Operation for Softmax {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    // Along channels, or along the columns of rows that each come from one pixel.
    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.axis {
            SoftmaxAxis::Channels => " over channels",
            SoftmaxAxis::Columns => " over columns",
        })
    }
}
