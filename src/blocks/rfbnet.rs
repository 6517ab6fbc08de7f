//! RFBNet-300 and -512 on VGG16 of "Receptive Field Block Net for Accurate and Fast Object Detection",
//! <https://arxiv.org/abs/1711.07767>, <https://github.com/GOATmessi7/RFBNet>, as it runs for detection (phase `test`).

use super::args::Args;
use super::layers::{Layers, Window};
use super::rfb::Rfb;
use super::rfb_a::RfbA;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::Activation::{self, Relu};
use crate::ops::{Layout, MaxPool, Padding, Softmax, SoftmaxAxis};
use crate::weights::Scope;

/// `[n, 3, size, size]` → box offsets `[n, priors, 1, 4]` and softmax scores `[n, priors, 1, num_classes]`, 11 620 priors
/// at 300 and 32 756 at 512.
#[derive(Clone, Debug, PartialEq)]
pub struct RfbNet {
    /// 300 or 512.
    pub size: u32,
    /// Classes, background included: 21 for VOC, 81 for COCO.
    pub num_classes: u32,
    /// Multiplies every channel count of the net, which stays at least 8; 1 in the paper.
    pub width: f64,
    /// What the normalisations add to the variance.
    pub eps: f64,
}

/// A layer of VGG16; a convolution with its output channels.
enum Vgg {
    Conv(u32),
    Pool,
    CeilPool,
}

#[rustfmt::skip]
const VGG: [Vgg; 17] = {
    use Vgg::{CeilPool, Conv, Pool};
    [
        Conv(64), Conv(64), Pool, Conv(128), Conv(128), Pool, Conv(256), Conv(256), Conv(256), CeilPool,
        Conv(512), Conv(512), Conv(512), Pool, Conv(512), Conv(512), Conv(512),
    ]
};

impl RfbNet {
    /// The paper's width; `eps` 1e-5.
    pub fn new(size: u32, num_classes: u32) -> Self {
        Self { size, num_classes, width: 1.0, eps: 1e-5 }
    }

    /// Adds the net and returns `(loc, conf)`. Errors: a size other than 300 or 512, an input of the wrong shape,
    /// no classes, a width that leaves a block too narrow, and [`crate::Error::Weights`] with all that is wrong in the
    /// scope.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<(NodeId, NodeId)> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<(NodeId, NodeId)> {
        let mut layers = Layers::new("rfbnet", graph, weights, self.eps);
        self.check(&layers, x)?;
        let (conv4, x) = self.base(&mut layers, x)?;
        let norm = RfbA { scale: 1.0, eps: self.eps, ..RfbA::new(self.channels(512), self.channels(512)) };
        let mut sources = vec![norm.add(layers.graph, conv4, &weights.sub("Norm"))?];
        self.extras(&mut layers, x, &mut sources)?;
        self.heads(&mut layers, &sources)
    }

    fn check(&self, layers: &Layers, x: NodeId) -> Result<()> {
        if ![300, 512].contains(&self.size) {
            return layers.refuse("size", self.size, "must be 300 or 512");
        }
        if self.num_classes == 0 {
            return layers.refuse("num_classes", 0, "must be at least 1");
        }
        // Below that, a block of the net has branches without channels.
        if !(self.width >= 1.0 / 16.0 && self.width <= 16.0) {
            return layers.refuse("width", self.width, "must be from 1/16 to 16");
        }
        layers.expect(x, "input channels", 3)?;
        let shape = layers.graph.shape(x)?;
        if (shape.h, shape.w) != (self.size, self.size) {
            return Err(Error::mismatch("rfbnet", format!("size = {}, but the input is {shape}", self.size)));
        }
        Ok(())
    }

    /// VGG16 up to fc7: the results of conv4_3 and of the last layer.
    fn base(&self, layers: &mut Layers, mut x: NodeId) -> Result<(NodeId, NodeId)> {
        let same = Window::dilated(1);
        let mut conv4 = x;
        // The list that these indices refer to holds a ReLU after each convolution.
        let mut i = 0;
        for layer in &VGG {
            let name = format!("base.{i}");
            i += 1;
            let ceil_mode = matches!(layer, Vgg::CeilPool);
            if let Vgg::Conv(channels) = layer {
                x = layers.conv_bias(&name, x, self.channels(*channels), same, Relu)?;
                i += 1;
            } else {
                x = layers.graph.max_pool(
                    layers.weights.path(&name),
                    x,
                    MaxPool { ceil_mode, ..MaxPool::new([2, 2]) },
                )?;
            }
            if i == 23 {
                conv4 = x;
            }
        }
        let pool5 = MaxPool { stride: [1, 1], padding: Padding::symmetric(1, 1), ..MaxPool::new([3, 3]) };
        x = layers.graph.max_pool(layers.weights.path("base.30"), x, pool5)?;
        x = layers.conv_bias("base.31", x, self.channels(1024), Window::dilated(6), Relu)?;
        x = layers.conv_bias("base.33", x, self.channels(1024), Window::POINT, Relu)?;
        Ok((conv4, x))
    }

    /// The layers after VGG16; `sources` gets what the heads look at.
    fn extras(&self, layers: &mut Layers, x: NodeId, sources: &mut Vec<NodeId>) -> Result<()> {
        let [c128, c256, c512, c1024] = [128, 256, 512, 1024].map(|channels| self.channels(channels));
        let rfb = |c1, c2, stride, visual| Rfb { stride, scale: 1.0, visual, eps: self.eps, ..Rfb::new(c1, c2) };
        let mut blocks = vec![rfb(c1024, c1024, 1, 2), rfb(c1024, c512, 2, 2), rfb(c512, c256, 2, 2)];
        let plain = Window::new([3, 3], [0, 0]);
        let convs = if self.size == 300 {
            vec![(c128, Window::POINT), (c256, plain), (c128, Window::POINT), (c256, plain)]
        } else {
            blocks.extend([rfb(c256, c256, 2, 1), rfb(c256, c256, 2, 1)]);
            vec![(c128, Window::POINT), (c256, Window::new([4, 4], [1, 1]))]
        };
        let mut x = x;
        for (i, block) in blocks.iter().enumerate() {
            x = block.add(layers.graph, x, &layers.weights.sub(&format!("extras.{i}")))?;
            sources.push(x);
        }
        for (i, &(channels, window)) in convs.iter().enumerate() {
            x = layers.conv_bn(&format!("extras.{}", blocks.len() + i), x, channels, window, Relu)?;
            // The 1x1 convolutions only narrow the way to the next map.
            if i % 2 == 1 {
                sources.push(x);
            }
        }
        Ok(())
    }

    fn heads(&self, layers: &mut Layers, sources: &[NodeId]) -> Result<(NodeId, NodeId)> {
        let (mut loc, mut conf) = (Vec::new(), Vec::new());
        for (i, &source) in sources.iter().enumerate() {
            // Priors per pixel: 6, but 4 on the two smallest maps.
            let priors = if i + 2 < sources.len() { 6 } else { 4 };
            for (head, rows, width) in [("loc", &mut loc, 4), ("conf", &mut conf, self.num_classes)] {
                let name = format!("{head}.{i}");
                let channels = width.saturating_mul(priors);
                let scores = layers.conv_bias(&name, source, channels, Window::dilated(1), Activation::None)?;
                rows.push(layers.graph.layout(
                    layers.weights.path(&format!("{name}.rows")),
                    scores,
                    Layout { width },
                )?);
            }
        }
        let loc = layers.graph.concat(layers.weights.path("loc"), &loc)?;
        let conf = layers.graph.concat(layers.weights.path("conf"), &conf)?;
        let softmax = Softmax::new(SoftmaxAxis::Columns);
        Ok((loc, layers.graph.softmax(layers.weights.path("softmax"), conf, softmax)?))
    }

    fn channels(&self, full: u32) -> u32 {
        ((f64::from(full) * self.width) as u32).max(8)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["size", "num_classes", "width", "eps"])?;
        let default = Self::new(args.count("size", 300)?, args.count("num_classes", 21)?);
        Ok(Self { width: args.number("width", default.width)?, eps: args.number("eps", default.eps)?, ..default })
    }
}
