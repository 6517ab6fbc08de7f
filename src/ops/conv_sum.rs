//! The sum of convolutions: `y = act(Σ_t conv_t(x_t))`, one pass of the convolution kernels. It is all of ASPP v2, and the
//! tail of RFB: `relu(scale * linear(cat) + shortcut(x))`. Truth: `reference::conv_sum`.

use super::{Activation, Conv};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Convolutions of one output shape, each of an input of its own, added up.
#[derive(Clone, Debug)]
pub struct ConvSum {
    /// Their scale and bias count; an activation of their own they have not.
    pub terms: Vec<Conv>,
    /// Applied to the sum.
    pub activation: Activation,
}

impl ConvSum {
    /// Output shape for one input a term. Errors: no term; another number of inputs; a term in groups or with an
    /// activation; outputs that differ; and those of [`Conv::output_shape`].
    pub fn output_shape(&self, op: &str, inputs: &[(String, Shape)]) -> Result<Shape> {
        if self.terms.is_empty() || self.terms.len() != inputs.len() {
            let reason = format!("one for each of the {} inputs, and at least one", inputs.len());
            return Err(Error::param(op, "terms", self.terms.len(), &reason));
        }
        self.activation.check(op)?;
        let mut shapes = Vec::new();
        for (term, (name, x)) in self.terms.iter().zip(inputs) {
            if term.groups != 1 || term.activation != Activation::None {
                return Err(Error::param(
                    op,
                    "terms",
                    "in groups or with an activation",
                    "a term is a bare convolution",
                ));
            }
            shapes.push((name, term.output_shape(op, *x)?));
        }
        if shapes.iter().any(|(_, shape)| *shape != shapes[0].1) {
            let all = shapes.iter().map(|(name, shape)| format!("{shape} from '{name}'")).collect::<Vec<_>>();
            return Err(Error::mismatch(op, format!("the terms must agree: {}", all.join(", "))));
        }
        Ok(shapes[0].1)
    }
}
