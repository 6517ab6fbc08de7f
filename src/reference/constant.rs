//! Values that are part of the graph.

use super::Values;
use crate::ops::Constant;
use crate::tensor::Precision;

/// As they are given.
pub(super) fn constant(op: &Constant) -> Values {
    let values: Vec<f64> = op.value.data().iter().copied().map(f64::from).collect();
    let bound = vec![0.0; values.len()];
    Values { shape: op.value.shape(), values, bound, cancellation: 1.0, precision: Precision::F32 }
}
