//! BasicRFB of "Receptive Field Block Net for Accurate and Fast Object Detection",
//! <https://arxiv.org/abs/1711.07767>, <https://github.com/GOATmessi7/RFBNet>.

use super::args::Args;
use super::layers::{Layers, Window};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation::{self, Relu};
use crate::ops::Add;
use crate::weights::Scope;

/// Three branches of growing dilation, joined by a 1x1 convolution and added to a shortcut:
/// `relu(scale * ConvLinear(cat(branches)) + shortcut(x))`, `[n, c1, h, w] → [n, c2, h / stride, w / stride]`, rounded up.
#[derive(Clone, Debug, PartialEq)]
pub struct Rfb {
    /// Input channels.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Stride of each branch and of the shortcut.
    pub stride: u32,
    /// Multiplies the branches before the shortcut is added.
    pub scale: f32,
    /// Dilation of the first branch; the others have `visual + 1` and `2 * visual + 1`.
    pub visual: u32,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl Rfb {
    /// Stride 1, `scale` 0.1, `visual` 1, `eps` 1e-5.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, stride: 1, scale: 0.1, visual: 1, eps: 1e-5 }
    }

    /// Adds the block. Errors: a channel count other than `c1`, fewer than 16 channels, a stride or `visual` of 0, and
    /// [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new("rfb", graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        if self.c1 < 16 {
            return layers.refuse("c1", self.c1, "must be at least 16: a branch has c1 / 8 / 2 * 3 channels inside");
        }
        let inter = self.c1 / 8;
        let wide = 2 * inter;
        let same = Window::dilated(1);
        let far = |factor: u32, plus: u32| Window::dilated(self.visual.saturating_mul(factor).saturating_add(plus));

        let x0 = layers.conv_bn("branch0.0", x, wide, Window::POINT.stride(self.stride), Relu)?;
        let x0 = layers.conv_bn("branch0.1", x0, wide, far(1, 0), Activation::None)?;

        let x1 = layers.conv_bn("branch1.0", x, inter, Window::POINT, Relu)?;
        let x1 = layers.conv_bn("branch1.1", x1, wide, same.stride(self.stride), Relu)?;
        let x1 = layers.conv_bn("branch1.2", x1, wide, far(1, 1), Activation::None)?;

        let x2 = layers.conv_bn("branch2.0", x, inter, Window::POINT, Relu)?;
        let x2 = layers.conv_bn("branch2.1", x2, inter / 2 * 3, same, Relu)?;
        let x2 = layers.conv_bn("branch2.2", x2, wide, same.stride(self.stride), Relu)?;
        let x2 = layers.conv_bn("branch2.3", x2, wide, far(2, 1), Activation::None)?;

        let joined = layers.graph.concat(weights.path("cat"), &[x0, x1, x2])?;
        join(&mut layers, x, joined, self.c2, self.stride, self.scale)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["c1", "c2", "stride", "scale", "visual", "eps"])?;
        let default = Self::new(args.need("c1")?, args.need("c2")?);
        Ok(Self {
            stride: args.count("stride", default.stride)?,
            scale: args.number("scale", default.scale.into())? as f32,
            visual: args.count("visual", default.visual)?,
            eps: args.number("eps", default.eps)?,
            ..default
        })
    }
}

/// `relu(scale * ConvLinear(branches) + shortcut(x))`
pub(super) fn join(
    layers: &mut Layers,
    x: NodeId,
    branches: NodeId,
    c2: u32,
    stride: u32,
    scale: f32,
) -> Result<NodeId> {
    let linear = layers.conv_bn("ConvLinear", branches, c2, Window::POINT, Activation::None)?;
    let shortcut = layers.conv_bn("shortcut", x, c2, Window::POINT.stride(stride), Activation::None)?;
    layers.graph.add(layers.weights.path("add"), linear, shortcut, Add { scale, activation: Relu })
}
