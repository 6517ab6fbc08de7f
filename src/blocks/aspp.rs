//! ASPP of "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected
//! CRFs", <https://arxiv.org/abs/1606.00915>; names as in <https://github.com/kazuto1011/deeplab-pytorch>.

use super::args::Args;
use super::layers::{Layers, Window};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Add};
use crate::weights::Scope;

/// The sum of dilated 3x3 convolutions with bias, `c0` to `c3`: `[n, c1, h, w] → [n, c2, h, w]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aspp {
    /// Input channels.
    pub c1: u32,
    /// Output channels: the classes.
    pub c2: u32,
    /// Dilation and padding, one entry per convolution.
    pub rates: Vec<u32>,
}

impl Aspp {
    /// Rates 6, 12, 18 and 24.
    pub fn new(c1: u32, c2: u32) -> Self {
        Self { c1, c2, rates: vec![6, 12, 18, 24] }
    }

    /// Adds the block. Errors: a channel count other than `c1`, no rate or a rate of 0, and [`crate::Error::Weights`]
    /// with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let mut layers = Layers::new("aspp", graph, weights, 0.0);
        layers.expect(x, "c1", self.c1)?;
        let mut sum = None;
        for (i, &rate) in self.rates.iter().enumerate() {
            let y = layers.conv_bias(&format!("c{i}"), x, self.c2, Window::dilated(rate), Activation::None)?;
            let plain = Add { scale: 1.0, activation: Activation::None };
            sum = Some(match sum {
                None => y,
                Some(sum) => layers.graph.add(weights.path(&format!("sum.{i}")), sum, y, plain)?,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            None => layers.refuse("rates", "[]", "needs at least one rate"),
        }
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["c1", "c2", "rates"])?;
        let default = Self::new(args.need("c1")?, args.need("c2")?);
        Ok(Self { rates: args.counts("rates", default.rates)?, ..default })
    }
}
