//! The same values under another shape.

use super::Values;
use crate::tensor::Shape;

/// As they are.
pub(super) fn reshape(x: &Values, out: Shape) -> Values {
    Values { shape: out, ..x.clone() }
}
