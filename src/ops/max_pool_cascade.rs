//! Chained stride-1 max pools with one odd kernel, each result kept: the heart of SPPF, and also of SPP(5, 9, 13).

use std::fmt;

use super::window::by;
use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `p1 = pool(x), p2 = pool(p1), …`, concatenated along channels: `[n, times * c, h, w]`.
/// The i-th result equals one pool of kernel `i * (kernel - 1) + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPoolCascade {
    /// Odd, at least 3; padding is `kernel / 2`, which keeps the extent.
    pub kernel: u32,
    /// How many pools are chained.
    pub times: u32,
}

impl MaxPoolCascade {
    /// Output shape for `x`. Errors: an even kernel or one below 3; no pool at all; a reach beyond 32-bit indices.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.kernel.is_multiple_of(2) || self.kernel < 3 {
            return Err(Error::param(op, "kernel", self.kernel, "must be odd, to keep the extent, and at least 3"));
        }
        if self.times == 0 {
            return Err(Error::param(op, "times", 0, "must be at least 1"));
        }
        let reach = u64::from(self.kernel) * u64::from(self.times) + u64::from(x.h.max(x.w));
        let channels = u64::from(x.c) * u64::from(self.times);
        let max = i32::MAX as u64;
        for (what, value) in [("kernel times count plus input", reach), ("the channel count", channels)] {
            if value > max {
                return Err(Error::TooLarge { op: op.into(), what, value, max });
            }
        }
        Shape::new(x.n, channels as u32, x.h, x.w).check(op)
    }
}

impl Operation for MaxPoolCascade {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::window([self.times * (self.kernel - 1) + 1; 2], [1, 1], [1, 1])
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {} times {}", self.times, by([self.kernel; 2]))
    }
}
