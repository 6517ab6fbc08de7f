//! The sum of convolutions: `y = act(Σ_t conv_t(x_t))`, one pass of the convolution kernels. It is all of ASPP v2,
//! and the tail of RFB: `relu(scale * linear(cat) + shortcut(x))`.

use std::fmt;

use super::window::by;
use super::{Activation, Conv, Operand, Operation, View, Work};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Convolutions of the same output shape, each on its own input, added up.
#[derive(Clone, Debug)]
pub struct ConvSum {
    /// Their scale and bias count; they have no activation of their own.
    pub terms: Vec<Conv>,
    /// Applied to the sum.
    pub activation: Activation,
}

impl ConvSum {
    /// Output shape for one input per term: that of each term. Errors: no term; a wrong number of inputs; a term with
    /// groups, an activation or a residual; outputs that differ; and those of [`Conv::output_shape`].
    pub fn output_shape(&self, op: &str, inputs: &[(String, Shape)]) -> Result<Shape> {
        if self.terms.is_empty() || self.terms.len() != inputs.len() {
            let reason = format!("needs one for each of the {} inputs, and at least one", inputs.len());
            return Err(Error::param(op, "terms", self.terms.len(), &reason));
        }
        self.activation.check(op)?;
        let mut shapes = Vec::new();
        for (term, (name, x)) in self.terms.iter().zip(inputs) {
            if term.groups != 1 || term.activation != Activation::None || term.adds_last {
                return Err(Error::param(
                    op,
                    "terms",
                    "with groups, an activation or a residual",
                    "a term must be a bare convolution",
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

impl Operation for ConvSum {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let inputs: Vec<_> = xs.iter().map(|x| (x.name.to_owned(), x.shape)).collect();
        self.output_shape(op, &inputs)
    }

    fn work(&self, y: Shape) -> Work {
        self.terms.iter().fold(Work::NONE, |sum, term| sum + term.work(y))
    }

    fn view(&self) -> View {
        self.terms.iter().fold(View::PIXEL, |view, term| view.union(term.view()))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self.terms.iter().map(|term| by(term.kernel())).collect();
        write!(f, " of {}", terms.join(", "))?;
        self.activation.describe(f)
    }
}
