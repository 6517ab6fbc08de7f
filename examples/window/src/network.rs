//! The network: patches of the picture, a block of the family, and the mean of its channels as a heat map.

use std::time::Duration;

use spp_wgpu::blocks::{Aspp, AsppV3, CspSppf, Rfb, RfbA, Spp, SppCspc, SppElan, Sppf};
use spp_wgpu::gpu::Reading;
use spp_wgpu::ops::{
    Activation, Add, Conv, GlobalPool, GlobalPoolKind, Paint, Paints, Resize, ResizeMode, Texels, Texture,
};
use spp_wgpu::wgpu::{self, TextureView};
use spp_wgpu::{Bindings, Gpu, Graph, Program, Result, Shape, Tensor, Weights};

use crate::picture::SIZE;

/// What there is to choose from.
pub const BLOCKS: [&str; 9] = ["spp", "sppf", "cspsppf", "sppcspc", "sppelan", "aspp", "aspp_v3", "rfb", "rfb_a"];

/// A pixel of the heat map for so many of the picture, in each direction.
const PATCH: u32 = 4;
/// Rows and columns of the heat map.
pub const HEAT_SIZE: u32 = SIZE / PATCH;
const CHANNELS: u32 = 32;

/// The graph of one block, with random weights that are the same each time.
fn graph(block: &str) -> Result<Graph> {
    let weights = Weights::seeded(1);
    let mut graph = Graph::new();
    let g = &mut graph;
    // From -1 to 1, as the network takes it.
    let seen = Texture { mean: [0.5; 3], std: [0.5; 3], ..Texture::stretch(SIZE, SIZE) };
    let x = g.texture_input("picture", [SIZE, SIZE], Texels::Rgba8, seen)?;
    let patches = weights.scope("patches").conv_weight("conv", Shape::new(CHANNELS, 3, PATCH, PATCH))?;
    let x =
        g.conv("patches", x, Conv { stride: [PATCH, PATCH], activation: Activation::Silu, ..Conv::new(patches) })?;
    let (c, weights) = (CHANNELS, &weights.scope("block"));
    let x = match block {
        "spp" => Spp::new(c, c).build(g, x, weights),
        "sppf" => Sppf::new(c, c).build(g, x, weights),
        "cspsppf" => CspSppf::new(c, c).build(g, x, weights),
        "sppcspc" => SppCspc::new(c, c).build(g, x, weights),
        "sppelan" => SppElan::new(c, c, c / 2).build(g, x, weights),
        "aspp" => Aspp::new(c, c).build(g, x, weights),
        "aspp_v3" => AsppV3::new(c, c).build(g, x, weights),
        "rfb" => Rfb::new(c, c).build(g, x, weights),
        _ => RfbA::new(c, c).build(g, x, weights),
    }?;
    // The mean of all channels, compared with that of the whole map, which random weights make anything.
    let mean = Tensor::filled(Shape::new(1, c, 1, 1), 1.0 / c as f32)?;
    let mean = g.conv("mean", x, Conv::new(mean))?;
    let whole = g.global_pool("whole", mean, GlobalPool { kind: GlobalPoolKind::Average })?;
    let whole =
        g.resize("everywhere", whole, Resize { out_h: HEAT_SIZE, out_w: HEAT_SIZE, mode: ResizeMode::Nearest })?;
    let above = g.add("above", whole, mean, Add { scale: -1.0, activation: Activation::None })?;
    let contrast = Conv { bias: Some([-1.0].into()), ..Conv::new(Tensor::filled(Shape::new(1, 1, 1, 1), 12.0)?) };
    let map = g.conv("map", above, Conv { activation: Activation::Sigmoid, ..contrast })?;
    let heat = g.paint("heat", &[map], Paint::new(HEAT_SIZE, HEAT_SIZE, heat_map()))?;
    g.output("heat", heat)?;
    Ok(graph)
}

/// Dark blue, magenta, orange, pale yellow.
fn heat_map() -> Paints {
    let colors = [[0.05, 0.03, 0.25], [0.63, 0.14, 0.50], [0.97, 0.55, 0.25], [0.99, 0.97, 0.70]].into();
    Paints::HeatMap { channel: 0, range: [0.0, 1.0], colors }
}

/// A block that reads one texture and paints another.
pub struct Network {
    program: Program,
    bindings: Bindings,
}

impl Network {
    pub fn new(gpu: &Gpu, block: &str, picture: &TextureView, heat: &TextureView) -> Result<Self> {
        let program = Program::new(gpu, &graph(block)?)?;
        let bindings = program.bind(&[picture.texture()], &[heat.texture()])?;
        Ok(Self { program, bindings })
    }

    /// Records the block, and how long it takes, if the device can tell and no other answer is under way.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Option<Reading<Duration>>> {
        self.program.time(encoder, &self.bindings)
    }
}
