//! Layers as the blocks' authors wrote them, added to a graph under the names they have in the `state_dict`.

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, AffineActivation, Conv, MaxPool, Padding};
use crate::tensor::Shape;
use crate::weights::{BATCH_NORM, Scope};

/// Where a block is built: its graph, its weights and what all its normalisations add to the variance.
pub(super) struct Layers<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) weights: &'a Scope<'a>,
    block: String,
    eps: f64,
}

/// What a convolution does along height and width.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) kernel: [u32; 2],
    pub(super) stride: u32,
    pub(super) padding: [u32; 2],
    pub(super) dilation: u32,
}

impl Window {
    /// 1x1
    pub(super) const POINT: Self = Self::new([1, 1], [0, 0]);

    pub(super) const fn new(kernel: [u32; 2], padding: [u32; 2]) -> Self {
        Self { kernel, stride: 1, padding, dilation: 1 }
    }

    /// 3x3 that keeps the extent.
    pub(super) const fn dilated(rate: u32) -> Self {
        Self { dilation: rate, ..Self::new([3, 3], [rate, rate]) }
    }

    pub(super) const fn stride(self, stride: u32) -> Self {
        Self { stride, ..self }
    }
}

impl<'a> Layers<'a> {
    pub(super) fn new(block: &str, graph: &'a mut Graph, weights: &'a Scope<'a>, eps: f64) -> Self {
        let name = weights.path("");
        let block = if name.is_empty() { block.into() } else { format!("{block} '{}'", name.trim_end_matches('.')) };
        Self { graph, weights, block, eps }
    }

    /// This block refuses a parameter.
    pub(super) fn refuse<T>(&self, param: &'static str, value: impl ToString, reason: &str) -> Result<T> {
        Err(Error::param(&self.block, param, value, reason))
    }

    /// Errors: `x` has a channel count other than the one the block was made for.
    pub(super) fn expect(&self, x: NodeId, param: &str, channels: u32) -> Result<()> {
        let node = self.graph.node(x)?;
        if node.shape.c == channels {
            return Ok(());
        }
        Err(Error::mismatch(&self.block, format!("{param} = {channels}, but '{}' is {}", node.name, node.shape)))
    }

    /// A channel count that Python computes with `int(…)`. Errors: below 1, over 32 bits, not finite.
    pub(super) fn channels(&self, param: &'static str, value: impl ToString, channels: f64) -> Result<u32> {
        if channels >= 1.0 && channels <= f64::from(u32::MAX) {
            return Ok(channels as u32);
        }
        self.refuse(param, value, &format!("makes {channels} channels inside, but at least 1 is needed"))
    }

    /// A convolution without bias.
    pub(super) fn conv(&mut self, layer: &str, x: NodeId, out_c: u32, window: Window) -> Result<NodeId> {
        let conv = self.weighted(layer, x, out_c, window)?;
        self.graph.conv(self.weights.path(layer), x, conv)
    }

    /// A convolution with bias and activation.
    pub(super) fn conv_bias(
        &mut self,
        layer: &str,
        x: NodeId,
        out_c: u32,
        window: Window,
        activation: Activation,
    ) -> Result<NodeId> {
        let conv = self.weighted(layer, x, out_c, window)?;
        let bias = Some(self.weights.bias(layer, out_c)?.into());
        self.graph.conv(self.weights.path(layer), x, Conv { bias, activation, ..conv })
    }

    /// Batch normalisation and activation.
    pub(super) fn batch_norm(&mut self, layer: &str, x: NodeId, activation: Activation) -> Result<NodeId> {
        let [gamma, beta, mean, var] = self.weights.batch_norm(layer, self.graph.shape(x)?.c)?;
        let name = self.weights.path(layer);
        let op = format!("affine_activation '{name}'");
        let norm = AffineActivation::batch_norm(&op, [&gamma, &beta, &mean, &var], self.eps, activation)?;
        self.graph.affine_activation(name, x, norm)
    }

    /// An activation alone.
    pub(super) fn activation(&mut self, layer: &str, x: NodeId, activation: Activation) -> Result<NodeId> {
        let op = AffineActivation::activation(self.graph.shape(x)?.c, activation);
        self.graph.affine_activation(self.weights.path(layer), x, op)
    }

    /// `{layer}.conv`, then `{layer}.bn` with activation.
    pub(super) fn conv_bn(
        &mut self,
        layer: &str,
        x: NodeId,
        out_c: u32,
        window: Window,
        activation: Activation,
    ) -> Result<NodeId> {
        self.normalised([&format!("{layer}.conv"), &format!("{layer}.bn")], x, out_c, window, activation)
    }

    /// A convolution, its normalisation and an activation. In a file without any key of the normalisation, the
    /// convolution's bias holds what was fused into it.
    pub(super) fn normalised(
        &mut self,
        [conv, bn]: [&str; 2],
        x: NodeId,
        out_c: u32,
        window: Window,
        activation: Activation,
    ) -> Result<NodeId> {
        let has_bias = self.weights.contains(&format!("{conv}.bias"));
        let has_norm = BATCH_NORM.iter().any(|key| self.weights.contains(&format!("{bn}.{key}")));
        let x = match (has_bias, has_norm) {
            (true, false) => return self.conv_bias(conv, x, out_c, window, activation),
            (true, true) => self.conv_bias(conv, x, out_c, window, Activation::None),
            (false, _) => self.conv(conv, x, out_c, window),
        }?;
        self.batch_norm(bn, x, activation)
    }

    /// `x` and its pools side by side: each with a different kernel.
    pub(super) fn pyramid(&mut self, x: NodeId, kernels: &[u32]) -> Result<NodeId> {
        let mut parts = vec![x];
        for (i, &kernel) in kernels.iter().enumerate() {
            parts.push(self.pool(i, x, kernel)?);
        }
        self.graph.concat(self.weights.path("cat"), &parts)
    }

    /// `x` and `n` pools side by side: each pools the one before.
    pub(super) fn cascade(&mut self, x: NodeId, kernel: u32, n: u32) -> Result<NodeId> {
        let mut parts = vec![x];
        for i in 0..n as usize {
            parts.push(self.pool(i, parts[i], kernel)?);
        }
        self.graph.concat(self.weights.path("cat"), &parts)
    }

    fn pool(&mut self, i: usize, x: NodeId, kernel: u32) -> Result<NodeId> {
        if kernel.is_multiple_of(2) {
            return self.refuse("k", kernel, "must be odd, otherwise the pool changes the extent");
        }
        self.graph.max_pool(self.weights.path(&format!("m.{i}")), x, MaxPool::same(kernel))
    }

    fn weighted(&self, layer: &str, x: NodeId, out_c: u32, window: Window) -> Result<Conv> {
        let [kernel_h, kernel_w] = window.kernel;
        let shape = Shape::new(out_c, self.graph.shape(x)?.c, kernel_h, kernel_w);
        Ok(Conv {
            stride: [window.stride; 2],
            padding: Padding::symmetric(window.padding[0], window.padding[1]),
            dilation: [window.dilation; 2],
            ..Conv::new(self.weights.conv_weight(layer, shape)?)
        })
    }
}

/// The name of the layer that holds `conv` and `bn`: YOLOv6 wraps them as `.block`, its first releases do not.
pub(super) fn yolov6(weights: &Scope, layer: &str) -> String {
    let wrapped = format!("{layer}.block");
    let [new, old] = [&wrapped, layer].map(|layer| format!("{layer}.conv.weight"));
    match (weights.contains(&new), weights.contains(&old)) {
        (true, true) => weights.problem(&old, "is present with and without '.block'; only one is needed"),
        (false, true) => return layer.into(),
        _ => {}
    }
    wrapped
}
