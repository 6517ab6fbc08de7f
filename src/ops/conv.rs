//! 2-D convolution with its epilogue: `y = act(scale * (w * x + bias) + residual)`.
//! Shaders: `conv`, `conv_direct`; truth: `reference::conv`.

use std::sync::Arc;

use super::{Activation, Padding, axes, window_output};
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// A convolution as `torch.nn.Conv2d`, followed by `act(scale * y + residual)` where a residual is given.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[out_c, in_c / groups, kernel_h, kernel_w]`
    pub weight: Arc<Tensor>,
    /// One value an output channel.
    pub bias: Option<Arc<[f32]>>,
    /// Rows, columns.
    pub stride: [u32; 2],
    /// Zeros around the input; each side its own.
    pub padding: Padding,
    /// Rows, columns.
    pub dilation: [u32; 2],
    /// Channels are split into this many groups that do not see each other.
    pub groups: u32,
    /// Applied last.
    pub activation: Activation,
    /// Multiplies the sum, bias included, before the residual is added; 1 unless set.
    pub scale: f32,
}

impl Conv {
    /// Stride 1, no padding, no bias, no activation; set fields with `Conv { stride: [2, 2], ..Conv::new(weight) }`.
    pub fn new(weight: impl Into<Arc<Tensor>>) -> Self {
        Self {
            weight: weight.into(),
            bias: None,
            stride: [1, 1],
            padding: Padding::default(),
            dilation: [1, 1],
            groups: 1,
            activation: Activation::None,
            scale: 1.0,
        }
    }

    /// Height and width of the kernel.
    pub fn kernel(&self) -> [u32; 2] {
        [self.weight.shape().h, self.weight.shape().w]
    }

    /// Output shape for `x`. Errors: zero stride, dilation or groups; groups that do not divide the channels; a weight
    /// or bias of another size; an empty output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let weight = self.weight.shape();
        if self.groups == 0 || !x.c.is_multiple_of(self.groups) || !weight.n.is_multiple_of(self.groups) {
            let reason = format!("must divide {} input and {} output channels", x.c, weight.n);
            return Err(Error::param(op, "groups", self.groups, &reason));
        }
        if weight.n == 0 {
            return Err(Error::param(op, "weight", weight, "needs at least one output channel"));
        }
        if u64::from(weight.c) * u64::from(self.groups) != u64::from(x.c) {
            let expected = u64::from(weight.c) * u64::from(self.groups);
            let detail = format!("weight {weight} expects {expected} input channels, got {}: {x}", x.c);
            return Err(Error::mismatch(op, detail));
        }
        if let Some(bias) = &self.bias
            && bias.len() as u64 != u64::from(weight.n)
        {
            let detail = format!("bias has {} values, weight {weight} {} output channels: {x}", bias.len(), weight.n);
            return Err(Error::mismatch(op, detail));
        }
        if !self.scale.is_finite() {
            return Err(Error::param(op, "scale", self.scale, "must be finite"));
        }
        self.activation.check(op)?;
        window_output(op, x, axes(x, self.kernel(), self.stride, self.dilation, self.padding), weight.n, false)
    }
}
