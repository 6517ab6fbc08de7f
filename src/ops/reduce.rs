//! Sums, means, extremes and their places over some axes of a tensor.

use std::fmt;
use std::sync::Arc;

use super::strided::check_len;
use super::{Axis, Operand, Operation, Strided, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::{MAX_ELEMENTS, Shape};

/// At each step of the walk `kept`, what is made of the values that the axes `over` reach from there.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// Of the result, whose values are in the order of the walk.
    pub shape: Shape,
    /// A step for each value of the result.
    pub kept: Strided,
    /// The axes that are reduced. The last moves first.
    pub over: Vec<Axis>,
    /// What is made of them.
    pub kind: ReduceKind,
}

/// What is made of several values. `NaN` among them makes `NaN`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named as in ONNX")]
pub enum ReduceKind {
    Sum,
    Mean,
    Max,
    Min,
    Product,
    /// Of the absolute values.
    L1,
    /// The root of the sum of squares.
    L2,
    SumSquare,
    /// `ln Σ exp x`
    LogSumExp,
    /// Which of them is the largest, counted along the axes; of equal ones the first, or the last. `NaN` is the largest.
    ArgMax {
        last: bool,
    },
    /// Which of them is the smallest.
    ArgMin {
        last: bool,
    },
    /// `Σ w * softmax(x)`, one weight for each of them: the mean of a distribution, as in YOLOv8's boxes.
    Expected(Arc<[f32]>),
}

impl Reduce {
    /// Values that make one.
    pub(crate) fn count(&self) -> u64 {
        self.over.iter().fold(1, |count: u64, axis| count.saturating_mul(axis.extent.into()))
    }

    /// Output shape for `x`. Errors: a walk that leaves it, nothing to reduce or too much, a wrong number of
    /// weights.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let all = Strided { axes: self.kept.axes.iter().chain(&self.over).copied().collect(), ..self.kept.clone() };
        for part in [&self.kept, &Strided { offset: 0, axes: self.over.clone() }] {
            if part.merged().axes.len() > 3 {
                let value = part.merged().axes.len() as u64;
                return Err(Error::TooLarge {
                    op: op.into(),
                    what: "the number of axes kept or reduced",
                    value,
                    max: 3,
                });
            }
        }
        if self.count() == 0 {
            return Err(Error::param(op, "over", 0, "there is nothing to reduce"));
        }
        if let ReduceKind::Expected(weights) = &self.kind
            && weights.len() as u64 != self.count()
        {
            return Err(Error::mismatch(op, format!("{} weights for {} values of {x}", weights.len(), self.count())));
        }
        // Places are counted in f32.
        let is_place = matches!(self.kind, ReduceKind::ArgMax { .. } | ReduceKind::ArgMin { .. });
        let (value, max) = (self.count(), if is_place { 1 << 24 } else { MAX_ELEMENTS });
        if value > max {
            return Err(Error::TooLarge {
                op: op.into(),
                what: "the number of values that one is made of",
                value,
                max,
            });
        }
        all.check(op, x)?;
        check_len(op, self.shape, self.kept.len())
    }
}

impl Operation for Reduce {
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
        match &self.kind {
            ReduceKind::Expected(_) => write!(f, " expected of {}", self.count()),
            ReduceKind::ArgMax { last } | ReduceKind::ArgMin { last } => {
                let which = if matches!(self.kind, ReduceKind::ArgMax { .. }) { "arg max" } else { "arg min" };
                write!(f, " {which} of {}{}", self.count(), if *last { ", the last" } else { "" })
            }
            kind => write!(f, " {kind:?} of {}", self.count()),
        }
    }
}
