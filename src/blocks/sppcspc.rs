//! SPPCSPC of "YOLOv7: Trainable bag-of-freebies sets new state-of-the-art for real-time object detectors",
//! <https://arxiv.org/abs/2207.02696>, <https://github.com/WongKinYiu/yolov7>; and SPPFCSPC, its form with cascaded
//! pools.

use super::args::Args;
use super::layers::{Layers, Window};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;
use crate::weights::Scope;

/// A cross-stage split around parallel pools: `[n, c1, h, w] → [n, c2, h, w]`.
///
/// ```text
/// x1 = cv4(cv3(cv1(x)));  y2 = cv2(x)
/// y1 = cv6(cv5(cat(x1, pool_k0(x1), pool_k1(x1), pool_k2(x1))))
/// y  = cv7(cat(y1, y2))
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SppCspc {
    /// Input channels.
    pub c1: u32,
    /// Output channels.
    pub c2: u32,
    /// `int(2 * c2 * e)` channels inside.
    pub e: f64,
    /// Kernels of the pools, odd.
    pub k: [u32; 3],
    /// SPPFCSPC: three pools of `k[0]`, each pooling the one before.
    pub fast: bool,
    /// Applied after each normalisation.
    pub activation: Activation,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl SppCspc {
    /// SPPCSPC: `e` 0.5, pools of 5, 9 and 13, SiLU, `eps` 1e-3.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, e: 0.5, k: [5, 9, 13], fast: false, activation: Activation::Silu, eps: 1e-3 }
    }

    /// SPPFCSPC: three cascaded pools of 5.
    pub fn fast(c1: u32, c2: u32) -> Self {
        Self { fast: true, ..Self::new(c1, c2) }
    }

    /// Adds the block. Errors: a channel count other than `c1`, no channels inside, an even kernel, and
    /// [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new(if self.fast { "sppfcspc" } else { "sppcspc" }, graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        let hidden = layers.channels("e", self.e, 2.0 * f64::from(self.c2) * self.e)?;
        let cv = |layers: &mut Layers, name, x, out_c, kernel| {
            let window = if kernel == 3 { Window::dilated(1) } else { Window::POINT };
            layers.conv_bn(name, x, out_c, window, self.activation)
        };
        let x1 = cv(&mut layers, "cv1", x, hidden, 1)?;
        let x1 = cv(&mut layers, "cv3", x1, hidden, 3)?;
        let x1 = cv(&mut layers, "cv4", x1, hidden, 1)?;
        let pools = if self.fast { layers.cascade(x1, self.k[0], 3) } else { layers.pyramid(x1, &self.k) }?;
        let y1 = cv(&mut layers, "cv5", pools, hidden, 1)?;
        let y1 = cv(&mut layers, "cv6", y1, hidden, 3)?;
        let y2 = cv(&mut layers, "cv2", x, hidden, 1)?;
        let both = layers.graph.concat(weights.path("cat_csp"), &[y1, y2])?;
        cv(&mut layers, "cv7", both, self.c2, 1)
    }

    pub(super) fn from_args(args: &Args, new: fn(u32, u32) -> Self) -> Result<Self> {
        args.known(&["c1", "c2", "e", "k", "activation", "eps"])?;
        let default = new(args.need("c1")?, args.need("c2")?);
        let (e, eps) = (args.number("e", default.e)?, args.number("eps", default.eps)?);
        let activation = args.activation("activation", default.activation)?;
        Ok(Self { e, k: args.three("k", default.k)?, activation, eps, ..default })
    }
}
