//! SPPELAN of "YOLOv9: Learning What You Want to Learn Using Programmable Gradient Information",
//! <https://arxiv.org/abs/2402.13616>, <https://github.com/WongKinYiu/yolov9>.

use super::args::Args;
use super::layers::{Layers, Window};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;
use crate::weights::Scope;

/// `cv5(cat(x, p(x), p(p(x)), p(p(p(x)))))` with `x = cv1(input)`: `[n, c1, h, w] → [n, c2, h, w]`. As
/// [`super::Sppf`], but with any number of channels inside; `cv2` to `cv4` are the pools, which have no weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SppElan {
    /// Input channels.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Channels inside.
    pub c3: u32,
    /// Kernel of the pools, odd.
    pub k: u32,
    /// Applied after each normalisation.
    pub activation: Activation,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl SppElan {
    /// Pools of 5, SiLU, `eps` 1e-3.
    pub fn new(c1: u32, c2: u32, c3: u32) -> Self {
        Self { c1, c2, c3, k: 5, activation: Activation::Silu, eps: 1e-3 }
    }

    /// Adds the block. Errors: a channel count other than `c1`, no channels inside, an even kernel, and
    /// [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new("sppelan", graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        let hidden = layers.channels("c3", self.c3, self.c3.into())?;
        let x = layers.conv_bn("cv1", x, hidden, Window::POINT, self.activation)?;
        let x = layers.cascade(x, self.k, 3)?;
        layers.conv_bn("cv5", x, self.c2, Window::POINT, self.activation)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["c1", "c2", "c3", "k", "activation", "eps"])?;
        let default = Self::new(args.need("c1")?, args.need("c2")?, args.need("c3")?);
        Ok(Self {
            k: args.count("k", default.k)?,
            activation: args.activation("activation", default.activation)?,
            eps: args.number("eps", default.eps)?,
            ..default
        })
    }
}
