//! BN-fused activation on its own: `y = act(scale[c] * x + shift[c])`.

use std::fmt;
use std::sync::Arc;

use super::{Activation, Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// A per-channel scale and shift with an activation. Kept in `f64` so that folding into a convolution rounds once.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineActivation {
    /// One factor per channel.
    pub scale: Arc<[f64]>,
    /// One summand per channel.
    pub shift: Arc<[f64]>,
    /// Applied last.
    pub activation: Activation,
}

impl AffineActivation {
    /// The activation alone, for `channels` channels.
    pub fn activation(channels: u32, activation: Activation) -> Self {
        let channels = channels as usize;
        Self { scale: vec![1.0; channels].into(), shift: vec![0.0; channels].into(), activation }
    }

    /// Whether nothing is scaled or shifted.
    pub(crate) fn is_bare_activation(&self) -> bool {
        self.scale.iter().all(|&scale| scale == 1.0) && self.shift.iter().all(|&shift| shift == 0.0)
    }

    /// Batch normalisation at inference: `gamma * (x - mean) / sqrt(var + eps) + beta`, one value of each per channel.
    /// Errors: different lengths; `var + eps` not positive and finite.
    pub fn batch_norm(
        op: &str,
        [gamma, beta, mean, var]: [&[f32]; 4],
        eps: f64,
        activation: Activation,
    ) -> Result<Self> {
        let lengths = [gamma.len(), beta.len(), mean.len(), var.len()];
        if lengths.iter().any(|&len| len != gamma.len()) {
            let detail = format!("weight, bias, running_mean and running_var have {lengths:?} values");
            return Err(Error::mismatch(op, detail));
        }
        let mut scale = Vec::with_capacity(gamma.len());
        let mut shift = Vec::with_capacity(gamma.len());
        for c in 0..gamma.len() {
            let spread = f64::from(var[c]) + eps;
            if !(spread > 0.0 && spread.is_finite()) {
                let reason = format!("running_var[{c}] + eps = {spread} must be positive and finite");
                return Err(Error::param(op, "running_var", var[c], &reason));
            }
            scale.push(f64::from(gamma[c]) / spread.sqrt());
            shift.push(f64::from(beta[c]) - f64::from(mean[c]) * scale[c]);
        }
        Ok(Self { scale: scale.into(), shift: shift.into(), activation })
    }

    /// Output shape for `x`: the same. Errors: a different channel count; a scale or shift that `f32` cannot hold.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.scale.len() as u64 != u64::from(x.c) || self.shift.len() as u64 != u64::from(x.c) {
            let (scale, shift) = (self.scale.len(), self.shift.len());
            return Err(Error::mismatch(op, format!("{scale} scales and {shift} shifts for {} channels: {x}", x.c)));
        }
        let beyond = |value: &&f64| value.is_finite() && (**value as f32).is_infinite();
        for (param, values) in [("scale", &self.scale), ("shift", &self.shift)] {
            if let Some(value) = values.iter().find(beyond) {
                return Err(Error::param(op, param, value, "must be in the range of f32"));
            }
        }
        self.activation.check(op)?;
        Ok(x)
    }
}

impl Operation for AffineActivation {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape).map_err(|error| x.named_in(error))
    }

    fn work(&self, _: Shape) -> Work {
        let parameters = if self.is_bare_activation() { 0 } else { 2 * self.scale.len() as u64 };
        Work { parameters, flops: 0 }
    }

    fn view(&self) -> View {
        View::PIXEL
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_bare_activation() {
            f.write_str(", no scale")?;
        }
        self.activation.describe(f)
    }
}
