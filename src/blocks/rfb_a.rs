//! BasicRFB_a of "Receptive Field Block Net for Accurate and Fast Object Detection",
//! <https://arxiv.org/abs/1711.07767>, <https://github.com/GOATmessi7/RFBNet>: the block after conv4_3.

use super::args::Args;
use super::layers::{Layers, Window};
use super::rfb::join;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation::{self, Relu};
use crate::weights::Scope;

/// As [`super::Rfb`], with four branches and 3x1 and 1x3 convolutions: `[n, c1, h, w] → [n, c2, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RfbA {
    /// Input channels.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Must be 1: the authors' code strides in some branches only, which then do not fit together with the others.
    pub stride: u32,
    /// Multiplies the branches before the shortcut is added.
    pub scale: f32,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl RfbA {
    /// Stride 1, `scale` 0.1, `eps` 1e-5.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, stride: 1, scale: 0.1, eps: 1e-5 }
    }

    /// Adds the block. Errors: a channel count other than `c1`, fewer than 16 channels, a stride other than 1, and
    /// [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new("rfb_a", graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        if self.stride != 1 {
            let reason = "must be 1: as published, only branches 2 and 3 stride, so the branches do not fit together";
            return layers.refuse("stride", self.stride, reason);
        }
        if self.c1 < 16 {
            return layers.refuse("c1", self.c1, "must be at least 16: a branch has c1 / 4 / 4 * 3 channels inside");
        }
        let inter = self.c1 / 4;
        let (tall, flat) = (Window::new([3, 1], [1, 0]), Window::new([1, 3], [0, 1]));

        let x0 = layers.conv_bn("branch0.0", x, inter, Window::POINT, Relu)?;
        let x0 = layers.conv_bn("branch0.1", x0, inter, Window::dilated(1), Activation::None)?;

        let x1 = layers.conv_bn("branch1.0", x, inter, Window::POINT, Relu)?;
        let x1 = layers.conv_bn("branch1.1", x1, inter, tall, Relu)?;
        let x1 = layers.conv_bn("branch1.2", x1, inter, Window::dilated(3), Activation::None)?;

        let x2 = layers.conv_bn("branch2.0", x, inter, Window::POINT, Relu)?;
        let x2 = layers.conv_bn("branch2.1", x2, inter, flat, Relu)?;
        let x2 = layers.conv_bn("branch2.2", x2, inter, Window::dilated(3), Activation::None)?;

        let x3 = layers.conv_bn("branch3.0", x, inter / 2, Window::POINT, Relu)?;
        let x3 = layers.conv_bn("branch3.1", x3, inter / 4 * 3, flat, Relu)?;
        let x3 = layers.conv_bn("branch3.2", x3, inter, tall, Relu)?;
        let x3 = layers.conv_bn("branch3.3", x3, inter, Window::dilated(5), Activation::None)?;

        let joined = layers.graph.concat(weights.path("cat"), &[x0, x1, x2, x3])?;
        join(&mut layers, x, joined, self.c2, 1, self.scale)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["c1", "c2", "stride", "scale", "eps"])?;
        let default = Self::new(args.need("c1")?, args.need("c2")?);
        Ok(Self {
            stride: args.count("stride", default.stride)?,
            scale: args.number("scale", default.scale.into())? as f32,
            eps: args.number("eps", default.eps)?,
            ..default
        })
    }
}
