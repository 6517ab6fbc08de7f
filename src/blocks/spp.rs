//! SPP of YOLOv3-SPP and YOLOv5 up to v5: parallel max pools between two 1x1 convolutions. The idea is He et al.,
//! "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition", <https://arxiv.org/abs/1406.4729>;
//! names as in <https://github.com/ultralytics/yolov5>.

use super::args::Args;
use super::layers::{Layers, Window};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;
use crate::weights::Scope;

/// `cv2(cat(x, pool_k0(x), pool_k1(x), …))` with `x = cv1(input)`: `[n, c1, h, w] → [n, c2, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spp {
    /// Input channels; half of them inside.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Kernels of the pools, odd.
    pub k: Vec<u32>,
    /// Applied after each normalisation. The keys of old weights are the same, but YOLOv3 (not ultralytics' later
    /// releases of it) and YOLOv5 up to v2 have LeakyReLU(0.1), YOLOv5 v3 has Hardswish, and SiLU came with v4.
    pub activation: Activation,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl Spp {
    /// Pools of 5, 9 and 13, SiLU, `eps` 1e-3.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, k: vec![5, 9, 13], activation: Activation::Silu, eps: 1e-3 }
    }

    /// Adds the block. Errors: a channel count other than `c1`, no channels inside, an even kernel or none, and
    /// [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new("spp", graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        if self.k.is_empty() {
            return layers.refuse("k", "[]", "needs at least one kernel");
        }
        let hidden = layers.channels("c1", self.c1, f64::from(self.c1 / 2))?;
        let x = layers.conv_bn("cv1", x, hidden, Window::POINT, self.activation)?;
        let x = layers.pyramid(x, &self.k)?;
        layers.conv_bn("cv2", x, self.c2, Window::POINT, self.activation)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["c1", "c2", "k", "activation", "eps"])?;
        let default = Self::new(args.need("c1")?, args.need("c2")?);
        Ok(Self {
            k: args.counts("k", default.k)?,
            activation: args.activation("activation", default.activation)?,
            eps: args.number("eps", default.eps)?,
            ..default
        })
    }
}
