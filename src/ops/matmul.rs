//! Products of matrices that are both computed.

use std::fmt;

use super::strided::{check_len, together};
use super::{Operand, Operation, Strided, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `y[.., i, j] = Σ_k a[.., i, k] * b[.., k, j]`. A product with weights is a [`Linear`](super::Linear) layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matmul {
    /// Of the result, whose values are those of `[.., i, j]` in order.
    pub shape: Shape,
    /// The walk over the first operand: any axes, then `i` and `k`.
    pub a: Strided,
    /// The walk over the second operand: the same axes, then `k` and `j`.
    pub b: Strided,
}

impl Matmul {
    /// The extents of the axes before `i`, then those of `i`, `k` and `j`. Errors: walks that do not fit each other.
    pub(crate) fn extents(&self, op: &str) -> Result<(Vec<u32>, [u32; 3])> {
        let extents = |walk: &Strided| walk.axes.iter().map(|axis| axis.extent).collect::<Vec<_>>();
        match (&extents(&self.a)[..], &extents(&self.b)[..]) {
            ([a @ .., i, k], [b @ .., same, j]) if a == b && k == same => Ok((a.to_vec(), [*i, *k, *j])),
            (a, b) => Err(Error::mismatch(op, format!("matrices {a:?} and {b:?} have no product"))),
        }
    }

    /// Output shape for operands of these shapes. Errors: walks that do not fit each other or the operands, an empty sum.
    pub fn output_shape(&self, op: &str, [a, b]: [Shape; 2]) -> Result<Shape> {
        let (batch, [i, k, j]) = self.extents(op)?;
        if k == 0 {
            return Err(Error::param(op, "k", 0, "a sum of nothing"));
        }
        self.a.check(op, a)?;
        self.b.check(op, b)?;
        together(op, [&self.a.axes[..batch.len()], &self.b.axes[..batch.len()]])?;
        let len = batch.iter().chain([&i, &j]).fold(1, |len: u64, &extent| len.saturating_mul(extent.into()));
        check_len(op, self.shape, len)
    }
}

impl Operation for Matmul {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [a, b] = operands(op, xs)?;
        self.output_shape(op, [a.shape, b.shape])
    }

    fn work(&self, y: Shape) -> Work {
        let k = self.a.axes.last().map_or(0, |axis| axis.extent);
        Work { parameters: 0, flops: y.len().saturating_mul(2 * u64::from(k)) }
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.extents("matmul") {
            Ok((_, [i, k, j])) => write!(f, " {i}x{k} by {k}x{j}"),
            Err(_) => Ok(()),
        }
    }
}
