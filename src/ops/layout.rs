//! Reordering between NCHW and NHWC. The planner puts it at the borders of a graph; as a node it turns a map of
//! scores into rows.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Channels last, cut into rows: `x.permute(0, 2, 3, 1).reshape(n, -1, width)` as `[n, rows, 1, width]`.
/// SSD-style heads store their predictions this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Values per row; divides the channel count.
    pub width: u32,
}

impl Layout {
    /// Output shape for `x`: `[n, rows, 1, width]`. Errors: a width that does not divide the channels.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        x.check(op)?;
        if self.width == 0 || !x.c.is_multiple_of(self.width) {
            return Err(Error::param(op, "width", self.width, &format!("must divide the {} channels", x.c)));
        }
        let rows = u64::from(x.c / self.width) * u64::from(x.h) * u64::from(x.w);
        let max = crate::tensor::MAX_ELEMENTS;
        if rows > max {
            return Err(Error::TooLarge { op: op.into(), what: "the row count", value: rows, max });
        }
        Shape::new(x.n, rows as u32, 1, self.width).check(op)
    }
}

impl Operation for Layout {
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
        write!(f, ", rows of {}", self.width)
    }
}
