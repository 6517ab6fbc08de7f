//! Scaled addition: `y = act(scale * a + b)`.

use std::fmt;

use super::{Activation, Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `act(scale * a + b)` of two tensors of the same shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    /// Multiplies the first input.
    pub scale: f32,
    /// Applied last.
    pub activation: Activation,
}

impl Add {
    /// Output shape. Errors: different shapes (nothing is broadcast); a scale that is not finite.
    pub fn output_shape(&self, op: &str, [a, b]: [(&str, Shape); 2]) -> Result<Shape> {
        if a.1 != b.1 {
            return Err(Error::mismatch(op, format!("{} from '{}' and {} from '{}' differ", a.1, a.0, b.1, b.0)));
        }
        if !self.scale.is_finite() {
            return Err(Error::param(op, "scale", self.scale, "must be finite"));
        }
        self.activation.check(op)?;
        Ok(a.1)
    }
}

impl Operation for Add {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [a, b] = operands(op, xs)?;
        self.output_shape(op, [(a.name, a.shape), (b.name, b.shape)])
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale != 1.0 {
            write!(f, ", scale {}", self.scale)?;
        }
        self.activation.describe(f)
    }
}
