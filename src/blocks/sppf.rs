//! SPPF of YOLOv5 v6 by Glenn Jocher, which has no paper: <https://github.com/ultralytics/yolov5>; its later form in
//! YOLO26, <https://github.com/ultralytics/ultralytics>; and SimSPPF of YOLOv6, <https://github.com/meituan/YOLOv6>.

use super::args::Args;
use super::layers::{Layers, Window, yolov6};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Add};
use crate::weights::Scope;

/// `cv2(cat(x, p(x), p(p(x)), p(p(p(x)))))` with `x = cv1(input)`: `[n, c1, h, w] → [n, c2, h, w]`.
/// With `k = 5` it equals [`super::Spp`] with 5, 9 and 13. YOLO26 adds the input to the result, and its `cv1` has no
/// activation: `Sppf { shortcut: true, cv1_activation: Some(Activation::None), ..Sppf::new(c1, c2) }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sppf {
    /// Input channels; half of them inside.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Kernel of the pool, odd.
    pub k: u32,
    /// Pools, each of which pools the one before; at least one.
    pub n: u32,
    /// Add the input to the result. As in PyTorch, only if it has `c2` channels.
    pub shortcut: bool,
    /// Applied after each normalisation.
    pub activation: Activation,
    /// Applied in `cv1`, if that is not the same. There it is none in YOLO26, and in YOLOv8 and YOLO11 if a release of
    /// ultralytics that knows YOLO26 trained them; the published weights of these two are older.
    pub cv1_activation: Option<Activation>,
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
    /// SPPF of YOLOv5: three pools of 5, no shortcut, SiLU, `eps` 1e-3.
    pub fn new(c1: u32, c2: u32) -> Self {
        let (activation, keys) = (Activation::Silu, SppfKeys::Yolov5);
        Self { c1, c2, k: 5, n: 3, shortcut: false, activation, cv1_activation: None, keys, eps: 1e-3 }
    }

    /// SimSPPF of YOLOv6: with ReLU, and keys of its own. (YOLOv6's SPPF has the same keys with SiLU.)
    pub fn sim(c1: u32, c2: u32) -> Self {
        Self { activation: Activation::Relu, keys: SppfKeys::Yolov6, ..Self::new(c1, c2) }
    }

    /// Adds the block. Errors: a channel count other than `c1`, no channels inside, an even kernel, no pool, and
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
        if self.n == 0 {
            return layers.refuse("n", 0, "needs at least one pool");
        }
        let cv1_activation = self.cv1_activation.unwrap_or(self.activation);
        let y = layers.conv_bn(&layer("cv1"), x, hidden, Window::POINT, cv1_activation)?;
        let y = layers.cascade(y, self.k, self.n)?;
        let y = layers.conv_bn(&layer("cv2"), y, self.c2, Window::POINT, self.activation)?;
        if self.shortcut && self.c1 == self.c2 {
            let plain = Add { scale: 1.0, activation: Activation::None };
            return layers.graph.add(weights.path("add"), y, x, plain);
        }
        Ok(y)
    }

    pub(super) fn from_args(args: &Args, new: fn(u32, u32) -> Self) -> Result<Self> {
        args.known(&["c1", "c2", "k", "n", "shortcut", "activation", "cv1_activation", "eps"])?;
        let default = new(args.need("c1")?, args.need("c2")?);
        let activation = args.activation("activation", default.activation)?;
        Ok(Self {
            k: args.count("k", default.k)?,
            n: args.count("n", default.n)?,
            shortcut: args.flag("shortcut", default.shortcut)?,
            activation,
            cv1_activation: Some(args.activation("cv1_activation", activation)?),
            eps: args.number("eps", default.eps)?,
            ..default
        })
    }
}
