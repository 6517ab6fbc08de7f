//! BN-fused activation on its own: `y = act(scale[c] * x + shift[c])`.
//! Shader: `affine_activation`; truth: `reference::affine_activation`.

use std::sync::Arc;

use super::{Activation, WG_SIZE, workgroups};
use crate::error::{Error, Result};
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// A per-channel scale and shift with an activation. Kept in `f64` so that folding into a convolution rounds once.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineActivation {
    /// One factor a channel.
    pub scale: Arc<[f64]>,
    /// One summand a channel.
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

    /// Inference-time batch normalisation: `gamma * (x - mean) / sqrt(var + eps) + beta`.
    /// Errors: lengths that differ; `var + eps` not above zero.
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

    /// Output shape for `x`. Errors: another channel count.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.scale.len() as u64 != u64::from(x.c) || self.shift.len() as u64 != u64::from(x.c) {
            let (scale, shift) = (self.scale.len(), self.shift.len());
            return Err(Error::mismatch(op, format!("{scale} scales and {shift} shifts for {} channels: {x}", x.c)));
        }
        self.activation.check(op)?;
        Ok(x)
    }
}

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "affine_activation",
    text: shader!("affine_activation"),
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y` of the same runs of channels.
pub(crate) fn plan(planner: &mut Planner, node: &str, affine: &AffineActivation, x: &Slice, y: &Slice) {
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let map = x.channel_map();
    let packed =
        |values: &[f64]| -> Vec<f32> { map.iter().map(|c| c.map_or(0.0, |c| values[c as usize] as f32)).collect() };
    let scale = planner.weights(format!("scale of '{node}'"), &packed(&affine.scale));
    let shift = planner.weights(format!("shift of '{node}'"), &packed(&affine.shift));
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x);
    let step = step.table(1, scale, map.len()).table(2, shift, map.len()).writes(3, y).flops(2 * y.shape.len());
    planner.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constants(affine.activation.constants()));
}
