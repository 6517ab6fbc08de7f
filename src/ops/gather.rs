//! Values by indices that are computed.

use std::fmt;

use super::strided::{check_len, together};
use super::{Operand, Operation, Strided, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `y[i] = x[walk(i) + stride * indices[i]]`: ONNX's Gather and GatherElements along an axis of `extent` values that lie
/// `stride` apart. Indices are whole numbers; negative ones count from the axis's end, and those beyond it take its first
/// or last value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Of the result.
    pub shape: Shape,
    /// The walk over `x`, at index 0.
    pub x: Strided,
    /// The walk over the indices: as many steps.
    pub indices: Strided,
    /// Of the axis that is looked up.
    pub extent: u32,
    /// From value to value of that axis.
    pub stride: u32,
}

impl Gather {
    /// Output shape for `x` and `indices` of these shapes. Errors: a walk that leaves them, walks of another length than the
    /// result, or whose axes have no common steps.
    pub fn output_shape(&self, op: &str, [x, indices]: [Shape; 2]) -> Result<Shape> {
        if self.extent == 0 || self.extent > 1 << 24 {
            return Err(Error::param(op, "extent", self.extent, "must be 1 to 2^24, up to where f32 counts"));
        }
        let last = self.stride.checked_mul(self.extent - 1).and_then(|last| last.checked_add(self.x.offset));
        let Some(offset) = last else {
            return Err(Error::param(op, "stride", self.stride, "leaves the operand's values"));
        };
        self.x.check(op, x)?;
        Strided { offset, ..self.x.clone() }.check(op, x)?;
        self.indices.check(op, indices)?;
        together(op, [&self.x.axes, &self.indices.axes])?;
        check_len(op, self.shape, self.x.len())
    }
}

impl Operation for Gather {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x, indices] = operands(op, xs)?;
        self.output_shape(op, [x.shape, indices.shape])
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " from {}", self.extent)
    }
}
