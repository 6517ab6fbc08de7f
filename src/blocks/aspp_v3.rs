//! ASPP of "Rethinking Atrous Convolution for Semantic Image Segmentation" (DeepLab v3),
//! <https://arxiv.org/abs/1706.05587>; names as in torchvision's `segmentation.deeplabv3.ASPP`.

use super::args::Args;
use super::layers::{Layers, Window};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation::Relu;
use crate::ops::{GlobalPool, GlobalPoolKind, ResizeMode};
use crate::weights::Scope;

/// A 1x1 convolution, dilated 3x3 convolutions and the image's average side by side, then projected:
/// `[n, c1, h, w] → [n, c2, h, w]`. torchvision's dropout does nothing after training and is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct AsppV3 {
    /// Input channels.
    pub c1: u32,
    /// Output channels, and those of each branch.
    pub c2: u32,
    /// Dilation and padding, one entry per 3x3 convolution.
    pub rates: Vec<u32>,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl AsppV3 {
    /// Rates 12, 24 and 36; `eps` 1e-5. torchvision's `c2` is 256.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, rates: vec![12, 24, 36], eps: 1e-5 }
    }

    /// Adds the block. Errors: a channel count other than `c1`, a rate of 0, and [`crate::Error::Weights`] with all
    /// that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new("aspp_v3", graph, weights, self.eps);
        layers.expect(x, "c1", self.c1)?;
        let conv = |layers: &mut Layers, x, [conv, bn]: [String; 2], window| {
            layers.normalised([&conv, &bn], x, self.c2, window, Relu)
        };
        let names = |i: usize, conv: usize| [conv, conv + 1].map(|layer| format!("convs.{i}.{layer}"));
        let windows = [Window::POINT].into_iter().chain(self.rates.iter().map(|&rate| Window::dilated(rate)));
        let mut branches = Vec::with_capacity(self.rates.len() + 2);
        for (i, window) in windows.enumerate() {
            branches.push(conv(&mut layers, x, names(i, 0), window)?);
        }
        let last = branches.len();
        let name = |part: &str| weights.path(&format!("convs.{last}.{part}"));
        let mean = layers.graph.global_pool(name("0"), x, GlobalPool { kind: GlobalPoolKind::Average })?;
        let mean = conv(&mut layers, mean, names(last, 1), Window::POINT)?;
        branches.push(layers.graph.resize_like(name("resize"), mean, x, ResizeMode::Bilinear)?);
        let all = layers.graph.concat(weights.path("cat"), &branches)?;
        conv(&mut layers, all, ["project.0".into(), "project.1".into()], Window::POINT)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["c1", "c2", "rates", "eps"])?;
        let default = Self::new(args.need("c1")?, args.count("c2", 256)?);
        Ok(Self { rates: args.counts("rates", default.rates)?, eps: args.number("eps", default.eps)?, ..default })
    }
}
