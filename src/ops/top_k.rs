//! Where the largest or smallest values are.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// The indices of the `k` largest or smallest values along one axis, in their order; of equal values the first comes
/// first. `NaN` is larger than all numbers, as in PyTorch. Values in NCHW order are those of `[.., len, inner]`, indices
/// those of `[.., k, inner]`. [`Gather`](super::Gather) looks up the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    /// Of the result.
    pub shape: Shape,
    /// How many.
    pub k: u32,
    /// Extent of the axis.
    pub len: u32,
    /// From value to value of the axis.
    pub inner: u32,
    /// Or the smallest.
    pub largest: bool,
}

impl TopK {
    /// The most indices of one row.
    pub const MAX_K: u32 = 1024;

    /// Output shape for `x`. Errors: more indices than values or than [`TopK::MAX_K`]; an axis that is not there.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let row = u64::from(self.len) * u64::from(self.inner);
        if row == 0 || !x.len().is_multiple_of(row) || self.len > 1 << 24 {
            let axis = format!("{} values, {} apart", self.len, self.inner);
            return Err(Error::mismatch(op, format!("{x} has no axis of {axis} (at most 2^24)")));
        }
        if self.k == 0 || self.k > self.len.min(Self::MAX_K) {
            let reason = format!("must be 1 to {}, of {} values", Self::MAX_K, self.len);
            return Err(Error::param(op, "k", self.k, &reason));
        }
        super::strided::check_len(op, self.shape, x.len() / u64::from(self.len) * u64::from(self.k))
    }
}

impl Operation for TopK {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape).map_err(|error| x.named_in(error))
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {} of {}", self.k, self.len)
    }
}
