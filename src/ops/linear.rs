//! Fully connected layer: `y[n, o] = act(Σ_i weight[o, i] * x[n, i] + bias[o])`.

use std::fmt;
use std::sync::Arc;

use super::{Activation, Operand, Operation, View, Weight, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// As `torch.nn.Linear` on `x.flatten(1)`: features are in NCHW order.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in, 1, 1]`, `in = c * h * w` of the input.
    pub weight: Weight,
    /// One value per output.
    pub bias: Option<Arc<[f32]>>,
    /// Applied last.
    pub activation: Activation,
}

impl Linear {
    /// Output shape for `x`: `[n, out, 1, 1]`. Errors: a mismatched weight or bias; no output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        x.check(op)?;
        let weight = self.weight.shape();
        let features = u64::from(x.c) * u64::from(x.h) * u64::from(x.w);
        if (weight.h, weight.w) != (1, 1) || u64::from(weight.c) != features {
            let detail = format!("weight {weight} expects {} input features, got {features}: {x}", weight.c);
            return Err(Error::mismatch(op, detail));
        }
        if let Some(bias) = &self.bias
            && bias.len() as u64 != u64::from(weight.n)
        {
            let detail = format!("bias has {} values, weight {weight} has {} outputs: {x}", bias.len(), weight.n);
            return Err(Error::mismatch(op, detail));
        }
        if weight.n == 0 {
            return Err(Error::param(op, "weight", weight, "needs at least one output"));
        }
        self.activation.check(op)?;
        Shape::new(x.n, weight.n, 1, 1).check(op)
    }
}

impl Operation for Linear {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape).map_err(|error| x.named_in(error))
    }

    fn work(&self, y: Shape) -> Work {
        Work::of(self.weight.shape(), self.bias.is_some(), y)
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.activation.describe(f)
    }
}
