//! Average or maximum of each channel: `[n, c, h, w] → [n, c, 1, 1]`.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::Result;
use crate::tensor::Shape;

/// Which statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalPoolKind {
    /// Mean.
    Average,
    /// Maximum; `NaN` wins.
    Max,
}

/// As `torch.nn.AdaptiveAvgPool2d(1)` or `AdaptiveMaxPool2d(1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalPool {
    /// Which statistic.
    pub kind: GlobalPoolKind,
}

impl GlobalPool {
    /// Output shape for `x`: `[n, c, 1, 1]`. Errors: no channels.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        Shape::new(x.n, x.c, 1, 1).check(op)
    }
}

impl Operation for GlobalPool {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {:?}", self.kind)
    }
}
