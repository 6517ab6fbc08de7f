//! Concatenation along channels.

use std::fmt;

use super::{Operand, Operation, View, Work};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Inputs side by side along channels, as `torch.cat(…, 1)`: `[n, Σ c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat;

impl Concat {
    /// Output shape. Errors: no input; inputs that differ in batch, height or width.
    pub fn output_shape(&self, op: &str, inputs: &[(String, Shape)]) -> Result<Shape> {
        let Some((_, first)) = inputs.first() else {
            return Err(Error::param(op, "inputs", 0, "needs at least one"));
        };
        if inputs.iter().any(|(_, s)| (s.n, s.h, s.w) != (first.n, first.h, first.w)) {
            let all = inputs.iter().map(|(name, shape)| format!("{shape} from '{name}'")).collect::<Vec<_>>();
            return Err(Error::mismatch(op, format!("batch, height and width must agree: {}", all.join(", "))));
        }
        let channels: u64 = inputs.iter().map(|(_, s)| u64::from(s.c)).sum();
        let max = crate::tensor::MAX_ELEMENTS;
        if channels > max {
            return Err(Error::TooLarge { op: op.into(), what: "the channel count", value: channels, max });
        }
        Shape { c: channels as u32, ..*first }.check(op)
    }
}

impl Operation for Concat {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let inputs: Vec<_> = xs.iter().map(|x| (x.name.to_owned(), x.shape)).collect();
        self.output_shape(op, &inputs)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
