//! Softmax over channels, over the columns of score rows, or along any axis.

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
    /// Over `len` values that lie `inner` apart: where the values, in NCHW order, are those of a tensor
    /// `[.., len, inner]`, along its axis of `len`.
    Values {
        /// Values that sum to one.
        len: u32,
        /// Values from one of them to the next.
        inner: u32,
    },
}

/// `exp(x - max) / Σ exp(x - max)` along one axis, or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis to sum over.
    pub axis: SoftmaxAxis,
    /// `x - max - ln Σ exp(x - max)` instead, as `torch.log_softmax`.
    pub log: bool,
}

impl Softmax {
    /// Along `axis`, not its logarithm.
    pub const fn new(axis: SoftmaxAxis) -> Self {
        Self { axis, log: false }
    }

    /// Output shape for `x`: the same. Errors: columns of a map whose height is not 1; values that are not as many times
    /// `len * inner`.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.axis == SoftmaxAxis::Columns && x.h != 1 {
            return Err(Error::param(op, "axis", format!("columns of {x}"), "rows of scores have height 1"));
        }
        if let SoftmaxAxis::Values { len, inner } = self.axis {
            let values = u64::from(len) * u64::from(inner);
            if values == 0 || !x.len().is_multiple_of(values) {
                let reason = format!("do not divide the {} values of {x}", x.len());
                return Err(Error::param(op, "len, inner", format!("{len}, {inner}"), &reason));
            }
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
        if let SoftmaxAxis::Values { .. } = self.axis { View::Whole } else { View::PIXEL }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.log { ", log" } else { "" })?;
        match self.axis {
            SoftmaxAxis::Channels => f.write_str(" over channels"),
            SoftmaxAxis::Columns => f.write_str(" over columns"),
            SoftmaxAxis::Values { len, inner: 1 } => write!(f, " over {len}"),
            SoftmaxAxis::Values { len, inner } => write!(f, " over {len}, {inner} apart"),
        }
    }
}
