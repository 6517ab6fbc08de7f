//! Values that are part of the graph.

use std::fmt;

use super::{Operand, Operation, View, Weight, Work, operands};
use crate::error::Result;
use crate::tensor::Shape;

/// A tensor that every run finds in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its values.
    pub value: Weight,
}

impl Operation for Constant {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [] = operands(op, xs)?;
        self.value.shape().check(op)
    }

    fn work(&self, y: Shape) -> Work {
        Work { parameters: y.len(), flops: 0 }
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
