//! SPPF of YOLOv5 v6 by Glenn Jocher, which has no paper: <https://github.com/ultralytics/yolov5>; and SimSPPF of
//! YOLOv6, <https://github.com/meituan/YOLOv6>.

use super::args::Args;
use super::layers::{Layers, Window, yolov6};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;
use crate::weights::Scope;

/// `cv2(cat(x, p(x), p(p(x)), p(p(p(x)))))` with `x = cv1(input)`: `[n, c1, h, w] → [n, c2, h, w]`.
/// With `k = 5` it equals [`super::Spp`] with 5, 9 and 13.
#[derive(Clone, Debug, PartialEq)]
pub struct Sppf {
    /// Input channels; half of them inside.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Kernel of the pool, odd.
    pub k: u32,
    /// Applied after each normalisation.
    pub activation: Activation,
    /// How the file spells the layers.
    pub keys: SppfKeys,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

/// How the two projects spell the same layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SppfKeys {
    /// `cv1.conv.weight`
    Yolov5,
    /// `sppf.cv1.block.conv.weight`, or `sppf.cv1.conv.weight` in the first releases.
    Yolov6,
}

impl Sppf {
    /// SPPF of YOLOv5: a pool of 5, SiLU, `eps` 1e-3.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, k: 5, activation: Activation::Silu, keys: SppfKeys::Yolov5, eps: 1e-3 }
    }

    /// SimSPPF of YOLOv6: with ReLU, and keys of its own. (YOLOv6's SPPF has the same keys with SiLU.)
    pub fn sim(c1: u32, c2: u32) -> Self {
        Self { activation: Activation::Relu, keys: SppfKeys::Yolov6, ..Self::new(c1, c2) }
    }

    /// Adds the block. Errors: a channel count other than `c1`, no channels inside, an even kernel, and
    /// [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let yolov5 = self.keys == SppfKeys::Yolov5;
        let weights = &weights.sub(if yolov5 { "" } else { "sppf" });
        let layer = |cv: &str| if yolov5 { cv.into() } else { yolov6(weights, cv) };
        let mut layers = Layers::new(if yolov5 { "sppf" } else { "simsppf" }, graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        let hidden = layers.channels("c1", self.c1, f64::from(self.c1 / 2))?;
        let x = layers.conv_bn(&layer("cv1"), x, hidden, Window::POINT, self.activation)?;
        let x = layers.cascade(x, self.k)?;
        layers.conv_bn(&layer("cv2"), x, self.c2, Window::POINT, self.activation)
    }

    pub(super) fn from_args(args: &Args, new: fn(u32, u32) -> Self) -> Result<Self> {
        args.known(&["c1", "c2", "k", "eps"])?;
        let default = new(args.need("c1")?, args.need("c2")?);
        Ok(Self { k: args.count("k", default.k)?, eps: args.number("eps", default.eps)?, ..default })
    }
}
