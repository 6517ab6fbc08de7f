//! Host data: a logical NCHW shape and its values.

use std::fmt;

use crate::error::{Error, Result};

/// The largest element count of one tensor: WGSL indexes with 32 bits, and index sums stay in `i32`.
pub const MAX_ELEMENTS: u64 = i32::MAX as u64;

/// Bytes of host memory that planning, the reference, or stand-ins for missing weights take, unless told otherwise: 2 GiB.
/// A small file may ask for more than any machine has, and Rust aborts where an allocation fails.
pub const MAX_HOST_BYTES: u64 = 2 << 30;

/// What weights and tensors are stored in; sums are always formed in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `f32`.
    #[default]
    F32,
    /// `f16`: half the memory. Every stored tensor adds 2⁻¹¹ of itself to the error, and what exceeds 65 504 becomes
    /// infinite. Any device will do: one without `SHADER_F16` stores two values in each word.
    F16,
}

/// Extents of a tensor: batch, channels, height, width. Vectors have `h = w = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Images.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Rows.
    pub h: u32,
    /// Columns.
    pub w: u32,
}

impl Shape {
    /// Batch, channels, height, width.
    pub const fn new(n: u32, c: u32, h: u32, w: u32) -> Self {
        Self { n, c, h, w }
    }

    /// Elements, exact whatever the extents: below 2^128.
    pub const fn len_wide(self) -> u128 {
        self.n as u128 * self.c as u128 * self.h as u128 * self.w as u128
    }

    /// Elements, saturating at `u64::MAX`; a checked tensor has at most [`MAX_ELEMENTS`].
    pub const fn len(self) -> u64 {
        let len = self.len_wide();
        if len > u64::MAX as u128 { u64::MAX } else { len as u64 }
    }

    /// Whether there is no element: a batch of 0.
    pub const fn is_empty(self) -> bool {
        self.len_wide() == 0
    }

    /// Checks that the element count fits 32-bit indices and that only the batch may be 0.
    pub fn check(self, op: &str) -> Result<Self> {
        for (param, extent) in [("c", self.c), ("h", self.h), ("w", self.w)] {
            if extent == 0 {
                return Err(Error::param(op, param, 0, &format!("a tensor needs a positive extent, got {self}")));
            }
        }
        // An empty batch has no elements, yet its images must not be too large either.
        let one_image = Self { n: self.n.max(1), ..self };
        if one_image.len_wide() > u128::from(MAX_ELEMENTS) {
            let value = one_image.len();
            return Err(Error::TooLarge { op: op.into(), what: "the element count", value, max: MAX_ELEMENTS });
        }
        Ok(self)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.n, self.c, self.h, self.w)
    }
}

/// Values in NCHW order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Vec<f32>,
}

impl Tensor {
    /// Takes `data` in NCHW order. Errors: a length other than the shape's, an extent of 0 (except the batch), too many
    /// elements.
    pub fn new(shape: Shape, data: Vec<f32>) -> Result<Self> {
        shape.check("tensor")?;
        if shape.len() != data.len() as u64 {
            return Err(Error::data(
                "tensor",
                format!("shape {shape} holds {} values, got {}", shape.len(), data.len()),
            ));
        }
        Ok(Self { shape, data })
    }

    /// All values the same. Errors as [`Tensor::new`].
    pub fn filled(shape: Shape, value: f32) -> Result<Self> {
        shape.check("tensor")?;
        Self::new(shape, vec![value; shape.len() as usize])
    }

    /// The extents.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Values, NCHW.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Values, NCHW, to change in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_before_anything_is_allocated() {
        let huge = Shape::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX);
        assert!(matches!(Tensor::new(huge, vec![]), Err(Error::TooLarge { .. })));
        assert!(matches!(Tensor::filled(Shape::new(1, 1, 46341, 46341), 0.0), Err(Error::TooLarge { .. })));
        assert!(matches!(Tensor::filled(Shape::new(1, 0, 2, 2), 0.0), Err(Error::InvalidParam { param: "c", .. })));
        assert!(matches!(Tensor::new(Shape::new(1, 2, 2, 2), vec![0.0; 7]), Err(Error::InvalidData { .. })));
        assert_eq!(Tensor::filled(Shape::new(0, 3, 2, 2), 1.0).unwrap().data(), &[] as &[f32]);
    }
}
