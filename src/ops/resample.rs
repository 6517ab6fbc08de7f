//! Resizing by any weights: cubic, antialiased, aligned corners, cropped.

use std::fmt;
use std::sync::Arc;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `y[n, c, oy, ox] = Σ_i Σ_j rows[oy][i].weight * columns[ox][j].weight * x[n, c, rows[oy][i].at, columns[ox][j].at]`, as
/// ONNX's Resize in all its forms. [`Resize`](super::Resize) is the common ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Resample {
    /// For each row of the result.
    pub rows: Arc<[Taps]>,
    /// For each column of the result.
    pub columns: Arc<[Taps]>,
    /// The value of rows and columns without taps.
    pub fill: f32,
}

/// Where the rows or columns of an operand are read for one of the result, and how they are weighted.
pub type Taps = Vec<(u32, f32)>;

impl Resample {
    /// Output shape for `x`. Errors: an empty result, taps beyond `x`, weights that are not finite.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        for (param, axis, extent) in [("rows", &self.rows, x.h), ("columns", &self.columns, x.w)] {
            if axis.is_empty() {
                return Err(Error::param(op, param, 0, "must be at least 1"));
            }
            if let Some((at, weight)) = axis.iter().flatten().find(|(at, weight)| *at >= extent || !weight.is_finite())
            {
                let reason = format!("must be a place in {x} and a finite weight");
                return Err(Error::param(op, param, format!("{at}, {weight}"), &reason));
            }
        }
        let extents = [self.rows.len(), self.columns.len()].map(|len| u32::try_from(len).unwrap_or(u32::MAX));
        Shape::new(x.n, x.c, extents[0], extents[1]).check(op)
    }
}

impl Operation for Resample {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape).map_err(|error| x.named_in(error))
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = |axis: &[Taps]| axis.iter().map(Vec::len).max().unwrap_or(0);
        write!(f, " {}x{} taps", most(&self.rows), most(&self.columns))
    }
}
