//! SimCSPSPPF and CSPSPPF of "YOLOv6 v3.0: A Full-Scale Reloading", <https://arxiv.org/abs/2301.05586>,
//! <https://github.com/meituan/YOLOv6>.

use super::args::Args;
use super::layers::{Layers, Window, yolov6};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;
use crate::weights::Scope;

/// A cross-stage split around a cascade of pools: `[n, c1, h, w] → [n, c2, h, w]`.
///
/// ```text
/// x1 = cv4(cv3(cv1(x)));  y0 = cv2(x)
/// y3 = cv6(cv5(cat(x1, p(x1), p(p(x1)), p(p(p(x1))))))
/// y  = cv7(cat(y0, y3))
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CspSppf {
    /// Input channels.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// Kernel of the pool, odd.
    pub k: u32,
    /// `int(c2 * e)` channels inside.
    pub e: f64,
    /// Applied after each normalisation.
    pub activation: Activation,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl CspSppf {
    /// CSPSPPF: a pool of 5, `e` 0.5, SiLU, `eps` 1e-3.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, k: 5, e: 0.5, activation: Activation::Silu, eps: 1e-3 }
    }

    /// SimCSPSPPF: with ReLU.
    pub fn sim(c1: u32, c2: u32) -> Self {
        Self { activation: Activation::Relu, ..Self::new(c1, c2) }
    }

    /// Adds the block. Keys are `cspsppf.cv1.block.conv.weight`, or `cspsppf.cv1.conv.weight` in old files.
    /// Errors: a channel count other than `c1`, no channels inside, an even kernel, and [`crate::Error::Weights`] with
    /// all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let weights = &weights.sub("cspsppf");
        let mut layers = Layers::new("cspsppf", graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        let hidden = layers.channels("e", self.e, f64::from(self.c2) * self.e)?;
        let cv = |layers: &mut Layers, name: &str, x, out_c, kernel| {
            let window = if kernel == 3 { Window::dilated(1) } else { Window::POINT };
            layers.conv_bn(&yolov6(weights, name), x, out_c, window, self.activation)
        };
        let x1 = cv(&mut layers, "cv1", x, hidden, 1)?;
        let x1 = cv(&mut layers, "cv3", x1, hidden, 3)?;
        let x1 = cv(&mut layers, "cv4", x1, hidden, 1)?;
        let y0 = cv(&mut layers, "cv2", x, hidden, 1)?;
        let pools = layers.cascade(x1, self.k, 3)?;
        let y3 = cv(&mut layers, "cv5", pools, hidden, 1)?;
        let y3 = cv(&mut layers, "cv6", y3, hidden, 3)?;
        let both = layers.graph.concat(weights.path("cat_csp"), &[y0, y3])?;
        cv(&mut layers, "cv7", both, self.c2, 1)
    }

    pub(super) fn from_args(args: &Args, new: fn(u32, u32) -> Self) -> Result<Self> {
        args.known(&["c1", "c2", "k", "e", "activation", "eps"])?;
        let default = new(args.need("c1")?, args.need("c2")?);
        let (e, eps) = (args.number("e", default.e)?, args.number("eps", default.eps)?);
        let activation = args.activation("activation", default.activation)?;
        Ok(Self { k: args.count("k", default.k)?, e, activation, eps, ..default })
    }
}
