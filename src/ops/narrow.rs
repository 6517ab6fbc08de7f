//! Some of a map's channels.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `channels` channels from `start` on, as `torch.narrow` along channels. Where they lie by themselves in memory, nothing
/// is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// The first.
    pub start: u32,
    /// How many.
    pub channels: u32,
}

impl Narrow {
    /// Output shape for `x`. Errors: none, or more channels than there are.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.channels == 0 || u64::from(self.start) + u64::from(self.channels) > u64::from(x.c) {
            let reason = format!("from {} on must be 1 to as many as {x} has", self.start);
            return Err(Error::param(op, "channels", self.channels, &reason));
        }
        Ok(Shape { c: self.channels, ..x })
    }
}

impl Operation for Narrow {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape).map_err(|error| x.named_in(error))
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {} from {}", self.channels, self.start)
    }
}
