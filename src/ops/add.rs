//! Scaled addition: `y = act(scale * a + b)`. Shader: `add`; truth: `reference::add`.

use super::Activation;
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `act(scale * a + b)` of two tensors of one shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    /// Multiplies the first input.
    pub scale: f32,
    /// Applied last.
    pub activation: Activation,
}

impl Add {
    /// Output shape. Errors: shapes that differ (nothing is broadcast), a scale that is not finite.
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
