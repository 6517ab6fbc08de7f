//! A copy of an operand's values in another order: transposes, slices, padding, tiles, lookups.

use std::fmt;
use std::sync::Arc;

use super::strided::{check_len, span};
use super::{Axis, Operand, Operation, Strided, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// The values of `x`, counted in NCHW order, that stand at `[i, j, …]` of the result: `x[offset + walk(i) + walk(j) + …]`,
/// or `fill` where a walk says so. The last axis moves first, and the result's values fill `shape` in NCHW order.
#[derive(Clone, Debug, PartialEq)]
pub struct Rearrange {
    /// Of the result.
    pub shape: Shape,
    /// Added to every index.
    pub offset: u32,
    /// At most [`Strided::MAX_AXES`].
    pub axes: Vec<Walk>,
    /// Where there is no value.
    pub fill: f32,
}

/// How the index moves along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walk {
    /// By equal steps.
    Steps(Axis),
    /// To these places; `None` is a value to fill in.
    Places(Arc<[Option<u32>]>),
}

impl Walk {
    /// Steps along the axis.
    pub fn extent(&self) -> u64 {
        match self {
            Self::Steps(axis) => axis.extent.into(),
            Self::Places(places) => places.len() as u64,
        }
    }

    /// What the index moves by at step `i`; `None` where a value is filled in.
    pub(crate) fn at(&self, i: u64) -> Option<i64> {
        match self {
            Self::Steps(axis) => Some(i as i64 * i64::from(axis.stride)),
            Self::Places(places) => places[i as usize].map(i64::from),
        }
    }

    /// The least and the most that it moves the index by.
    pub(crate) fn reach(&self) -> [i128; 2] {
        match self {
            Self::Steps(axis) => axis.reach(),
            Self::Places(places) => {
                let there = || places.iter().flatten().map(|&place| i128::from(place));
                [there().min().unwrap_or(0), there().max().unwrap_or(0)]
            }
        }
    }
}

impl Rearrange {
    /// A copy in the order of a walk.
    pub fn strided(shape: Shape, walk: &Strided) -> Self {
        let Strided { offset, axes } = walk.merged();
        Self { shape, offset, axes: axes.into_iter().map(Walk::Steps).collect(), fill: 0.0 }
    }

    /// Output shape for `x`. Errors: a walk that leaves its values, another number of values than the shape's, too many
    /// axes.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.axes.len() > Strided::MAX_AXES {
            let (value, max) = (self.axes.len() as u64, Strided::MAX_AXES as u64);
            return Err(Error::TooLarge { op: op.into(), what: "the number of axes", value, max });
        }
        let len = self.axes.iter().fold(1, |len: u64, walk| len.saturating_mul(walk.extent()));
        let shape = check_len(op, self.shape, len)?;
        let [least, most] = span(self.offset, self.axes.iter().map(Walk::reach));
        let is_filled = |walk: &Walk| matches!(walk, Walk::Places(places) if places.iter().all(Option::is_none));
        if len > 0 && !self.axes.iter().any(is_filled) && (least < 0 || most >= x.len_wide() as i128) {
            let detail = format!("a walk over values {least} to {most} leaves the {} values of {x}", x.len());
            return Err(Error::mismatch(op, detail));
        }
        Ok(shape)
    }
}

impl Operation for Rearrange {
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
        write!(f, " {}", self.shape)
    }
}
