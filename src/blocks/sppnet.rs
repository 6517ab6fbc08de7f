//! SPP_NET of <https://github.com/yifanjiang19/sppnet-pytorch>, after He et al., "Spatial Pyramid Pooling in Deep
//! Convolutional Networks for Visual Recognition", <https://arxiv.org/abs/1406.4729>.

use super::args::Args;
use super::layers::{Layers, Window};
use super::pyramid_pool::PyramidPool;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation::{self, LeakyRelu, Sigmoid};
use crate::ops::{Linear, PyramidMode};
use crate::weights::Scope;

/// Four 4x4 convolutions, the pyramid, two linear layers and a sigmoid: `[n, input_nc, h, w] → [n, classes, 1, 1]` for
/// images of any size that the pyramid can split.
///
/// The published code calls an `LReLU1` that it never defines; here it is LeakyReLU(0.2), as in the pix2pix
/// discriminator that the layers come from. `BN3` and `conv5`, defined there but not used, may be in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct SppNet {
    /// Input channels.
    pub input_nc: u32,
    /// Channels after the first convolution; 2, 4 and 8 times as many after the others.
    pub ndf: u32,
    /// Features between the linear layers.
    pub hidden: u32,
    /// Outputs.
    pub classes: u32,
    /// Bins along each side, one entry per level of the pyramid.
    pub levels: Vec<u32>,
    /// How bins are laid out.
    pub mode: PyramidMode,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

impl SppNet {
    /// `ndf` 64, 4096 hidden features, 1000 classes, padded levels 4, 2 and 1, `eps` 1e-5.
    pub fn new(input_nc: u32) -> Self {
        let PyramidPool { levels, mode } = PyramidPool::new();
        Self { input_nc, ndf: 64, hidden: 4096, classes: 1000, levels, mode, eps: 1e-5 }
    }

    /// Adds the net. Errors: a channel count other than `input_nc`, an image too small or one the pyramid cannot split
    /// (mode `adaptive` splits any), and [`crate::Error::Weights`] with all that is wrong in the scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        weights.ignore("BN3");
        weights.ignore("conv5");
        let mut layers = Layers::new("sppnet", graph, weights, self.eps);
        layers.expect(x, "input_nc", self.input_nc)?;
        let channels = |factor| self.ndf.saturating_mul(factor);
        let window = Window::new([4, 4], [1, 1]);
        let x = layers.conv("conv1", x, channels(1), window.stride(2))?;
        let x = layers.activation("LReLU1", x, LeakyRelu(0.2))?;
        let x = layers.normalised(["conv2", "BN1"], x, channels(2), window, LeakyRelu(0.01))?;
        let x = layers.normalised(["conv3", "BN2"], x, channels(4), window, LeakyRelu(0.01))?;
        let x = layers.conv("conv4", x, channels(8), window)?;
        let pool = PyramidPool { levels: self.levels.clone(), mode: self.mode };
        let x = pool.add(layers.graph, x, weights)?;
        let x = linear(&mut layers, "fc1", x, self.hidden, Activation::None)?;
        linear(&mut layers, "fc2", x, self.classes, Sigmoid)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["input_nc", "ndf", "hidden", "classes", "levels", "mode", "eps"])?;
        let default = Self::new(args.count("input_nc", 3)?);
        Ok(Self {
            ndf: args.count("ndf", default.ndf)?,
            hidden: args.count("hidden", default.hidden)?,
            classes: args.count("classes", default.classes)?,
            levels: args.counts("levels", default.levels)?,
            mode: args.mode(default.mode)?,
            eps: args.number("eps", default.eps)?,
            ..default
        })
    }
}

fn linear(layers: &mut Layers, layer: &str, x: NodeId, out: u32, activation: Activation) -> Result<NodeId> {
    let weight = layers.weights.linear_weight(layer, out, layers.graph.shape(x)?.c)?;
    let bias = Some(layers.weights.bias(layer, out)?.into());
    layers.graph.linear(layers.weights.path(layer), x, Linear { weight, bias, activation })
}
