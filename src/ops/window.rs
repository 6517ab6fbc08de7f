//! Windows that slide over a map: what convolution and pooling share.

use std::fmt;

use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Rows and columns around an image; zeros for a convolution, never chosen by a maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: u32,
    /// Columns to the left.
    pub left: u32,
    /// Rows below.
    pub bottom: u32,
    /// Columns to the right.
    pub right: u32,
}

impl Padding {
    /// `h` rows above and below, `w` columns left and right, as PyTorch's `padding=(h, w)`.
    pub const fn symmetric(h: u32, w: u32) -> Self {
        Self { top: h, left: w, bottom: h, right: w }
    }
}

/// How a window moves along one axis.
pub(super) struct Axis {
    extent: u32,
    kernel: u32,
    stride: u32,
    dilation: u32,
    before: u32,
    after: u32,
}

impl Axis {
    /// Extent of the window, dilation included. Saturates: the product of two 32-bit attributes may exceed 63 bits.
    pub(super) fn window(&self) -> i64 {
        (i64::from(self.kernel) - 1).saturating_mul(self.dilation.into()).saturating_add(1)
    }

    /// Above every coordinate that shaders compute on this axis.
    fn reach(&self) -> i64 {
        [self.extent, self.before, self.after].iter().fold(self.window(), |sum, &x| sum.saturating_add(x.into()))
    }

    /// Output extent; zero or below if the window does not fit. Ceil mode drops a last window that would start past
    /// the image, as PyTorch does.
    fn out(&self, ceil_mode: bool) -> i64 {
        let stride = i64::from(self.stride);
        let room = i64::from(self.extent) + i64::from(self.before) + i64::from(self.after) - self.window();
        if room < 0 && !ceil_mode {
            return 0;
        }
        let steps = if ceil_mode { (room + stride - 1).div_euclid(stride) } else { room / stride };
        let starts_past_image = steps * stride >= i64::from(self.extent) + i64::from(self.before);
        if ceil_mode && starts_past_image { steps } else { steps + 1 }
    }
}

/// The output of sliding a window over `x`, with the checks that convolution and pooling share.
pub(super) fn window_output(op: &str, x: Shape, axes: [Axis; 2], channels: u32, ceil_mode: bool) -> Result<Shape> {
    for axis in &axes {
        for (param, value) in [("kernel", axis.kernel), ("stride", axis.stride), ("dilation", axis.dilation)] {
            if value == 0 {
                return Err(Error::param(op, param, 0, "must be at least 1"));
            }
        }
        let (stride, dilation) = (i64::from(axis.stride), i64::from(axis.dilation));
        for (what, value) in [("window plus padded input", axis.reach()), ("stride", stride), ("dilation", dilation)] {
            if value > i64::from(i32::MAX) {
                let (value, max) = (value as u64, i32::MAX as u64);
                return Err(Error::TooLarge { op: op.into(), what, value, max });
            }
        }
    }
    let [out_h, out_w] = [axes[0].out(ceil_mode), axes[1].out(ceil_mode)];
    if out_h < 1 || out_w < 1 {
        let window = format!("{}x{}", axes[0].window(), axes[1].window());
        return Err(Error::EmptyOutput { op: op.into(), input: x, window, out_h, out_w });
    }
    Shape::new(x.n, channels, out_h as u32, out_w as u32).check(op)
}

/// Down and across `x`.
pub(super) fn axes(x: Shape, kernel: [u32; 2], stride: [u32; 2], dilation: [u32; 2], padding: Padding) -> [Axis; 2] {
    let axis = |extent, i: usize, before, after| Axis {
        extent,
        kernel: kernel[i],
        stride: stride[i],
        dilation: dilation[i],
        before,
        after,
    };
    [axis(x.h, 0, padding.top, padding.bottom), axis(x.w, 1, padding.left, padding.right)]
}

/// `3x1`
pub(super) fn by([h, w]: [u32; 2]) -> String {
    format!("{h}x{w}")
}

/// A window's unusual attributes, each after a comma.
pub(super) fn describe_window(
    f: &mut fmt::Formatter<'_>,
    stride: [u32; 2],
    padding: Padding,
    dilation: [u32; 2],
) -> fmt::Result {
    if stride != [1, 1] {
        write!(f, ", stride {}", by(stride))?;
    }
    let Padding { top, left, bottom, right } = padding;
    if (top, left) != (bottom, right) {
        write!(f, ", padding {top} {left} {bottom} {right}")?;
    } else if (top, left) != (0, 0) {
        write!(f, ", padding {}", by([top, left]))?;
    }
    if dilation != [1, 1] {
        write!(f, ", dilation {}", by(dilation))?;
    }
    Ok(())
}
