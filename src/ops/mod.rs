//! The operations: one file each, top to bottom: what it computes, its attributes, its shape rule, the shader's
//! parameters, and how it becomes a dispatch.

use crate::error::{Error, Result};
use crate::plan::{Constant, Shader};
use crate::tensor::Shape;

pub(crate) mod add;
pub(crate) mod affine_activation;
pub(crate) mod concat;
pub(crate) mod conv;
mod conv_choice;
pub(crate) mod conv_direct;
pub(crate) mod conv_grouped;
pub(crate) mod conv_jobs;
pub(crate) mod conv_parts;
pub(crate) mod conv_shift_add;
pub(crate) mod conv_subgroup;
mod conv_sum;
pub(crate) mod global_pool;
pub(crate) mod layout;
pub(crate) mod linear;
pub(crate) mod max_pool;
pub(crate) mod max_pool_cascade;
pub(crate) mod max_pool_cascade_strip;
pub(crate) mod pyramid_pool;
pub(crate) mod resize;
pub(crate) mod softmax;

pub use add::Add;
pub use affine_activation::AffineActivation;
pub use concat::Concat;
pub use conv::Conv;
pub use conv_sum::ConvSum;
pub use global_pool::{GlobalPool, GlobalPoolKind};
pub use layout::Layout;
pub use linear::Linear;
pub use max_pool::MaxPool;
pub use max_pool_cascade::MaxPoolCascade;
pub use pyramid_pool::{PyramidMode, PyramidPool};
pub use resize::{Resize, ResizeMode};
pub use softmax::{Softmax, SoftmaxAxis};

/// What happens to a value before it is stored. `NaN` stays `NaN` in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f32),
    /// `x / (1 + exp(-x))`
    Silu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

impl Activation {
    /// What `shaders/shared/activation.wgsl` calls it, and its slope.
    pub(crate) fn number(self) -> (u32, f32) {
        match self {
            Self::None => (0, 0.0),
            Self::Relu => (1, 0.0),
            Self::LeakyRelu(slope) => (2, slope),
            Self::Silu => (3, 0.0),
            Self::Sigmoid => (4, 0.0),
        }
    }

    /// The same, compiled into a kernel.
    pub(crate) fn constants(self) -> [(&'static str, Constant); 2] {
        let (number, slope) = self.number();
        [("ACTIVATION", Constant::U32(number)), ("SLOPE", Constant::F32(slope))]
    }

    pub(crate) fn check(self, op: &str) -> Result<()> {
        match self {
            Self::LeakyRelu(slope) if !slope.is_finite() => {
                Err(Error::param(op, "slope", slope, "the slope of LeakyReLU must be finite"))
            }
            _ => Ok(()),
        }
    }
}

/// Rows and columns around an image; zeros to a convolution, never chosen by a maximum.
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

/// A window's way along one axis.
struct Axis {
    extent: u32,
    kernel: u32,
    stride: u32,
    dilation: u32,
    before: u32,
    after: u32,
}

impl Axis {
    /// Extent of the window, dilation included. Saturates: two 32-bit attributes multiply beyond 63 bits.
    fn window(&self) -> i64 {
        (i64::from(self.kernel) - 1).saturating_mul(self.dilation.into()).saturating_add(1)
    }

    /// Above every coordinate the shaders form on this axis.
    fn reach(&self) -> i64 {
        [self.extent, self.before, self.after].iter().fold(self.window(), |sum, &x| sum.saturating_add(x.into()))
    }

    /// Output extent; zero or below where the window does not fit. Ceil mode drops a last window that would
    /// start in the padding behind the image, as PyTorch does.
    fn out(&self, ceil_mode: bool) -> i64 {
        let stride = i64::from(self.stride);
        let room = i64::from(self.extent) + i64::from(self.before) + i64::from(self.after) - self.window();
        if room < 0 && !ceil_mode {
            return 0;
        }
        let steps = if ceil_mode { (room + stride - 1).div_euclid(stride) } else { room / stride };
        let starts_behind_image = steps * stride >= i64::from(self.extent) + i64::from(self.before);
        if ceil_mode && starts_behind_image { steps } else { steps + 1 }
    }
}

/// The output of sliding a window over `x`, with the checks that convolution and pooling share.
fn window_output(op: &str, x: Shape, axes: [Axis; 2], channels: u32, ceil_mode: bool) -> Result<Shape> {
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

fn axes(x: Shape, kernel: [u32; 2], stride: [u32; 2], dilation: [u32; 2], padding: Padding) -> [Axis; 2] {
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

/// Invocations of a workgroup in kernels that make one value each; every adapter takes it.
pub(crate) const WG_SIZE: u32 = 64;

/// The workgroups of a dispatch of `len` invocations.
pub(crate) fn workgroups(len: u32) -> u64 {
    u64::from(len.div_ceil(WG_SIZE))
}

/// Every kernel there is.
pub fn shaders() -> [&'static Shader; 17] {
    [
        &add::SHADER,
        &affine_activation::SHADER,
        &concat::SHADER,
        &conv::SHADER,
        &conv_direct::SHADER,
        &conv_grouped::SHADER,
        &conv_subgroup::SHADER,
        &global_pool::SHADER,
        &layout::SHADER,
        &linear::SHADER,
        &max_pool::SHADER,
        &max_pool_cascade::SHADER,
        &max_pool_cascade_strip::SHADER,
        &pyramid_pool::SHADER,
        &resize::SHADER,
        &conv_shift_add::SHADER,
        &softmax::SHADER,
    ]
}
