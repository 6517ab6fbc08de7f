//! The network: patches of the picture, a block of the family, and the mean of its channels as a heat map.

use spp_wgpu::blocks::{Aspp, AsppV3, CspSppf, Rfb, RfbA, Spp, SppCspc, SppElan, Sppf};
use spp_wgpu::ops::{Activation, Add, Conv, GlobalPool, GlobalPoolKind, Resize, ResizeMode};
use spp_wgpu::wgpu::{self, BindGroup, BufferUsages, TextureView};
use spp_wgpu::{Bindings, Gpu, Graph, Program, Result, Shape, Tensor, Weights};

use crate::picture::{SIZE, cover, covering};

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
    let x = g.input("picture", Shape::new(1, 3, SIZE, SIZE))?;
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
    let heat = g.conv("heat", above, Conv { activation: Activation::Sigmoid, ..contrast })?;
    g.output("heat", heat)?;
    Ok(graph)
}

/// A block that reads one texture and draws to another.
pub struct Network {
    program: Program,
    bound: Bound,
}

impl Network {
    pub fn new(gpu: &Gpu, block: &str, picture: &TextureView, heat: &TextureView) -> Result<Self> {
        let program = Program::new(gpu, &graph(block)?)?;
        let bound = bind_picture(gpu, &program, picture, heat)?;
        Ok(Self { program, bound })
    }

    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.bound.read(encoder);
        self.program.record(encoder, &self.bound.bindings)?;
        self.bound.draw(encoder);
        Ok(())
    }
}

/// How the network reads the picture and its result becomes one: by the app's own buffers and shaders.
struct Bound {
    bindings: Bindings,
    reader: (wgpu::ComputePipeline, BindGroup),
    painter: (wgpu::RenderPipeline, BindGroup),
    heat: TextureView,
}

fn bind_picture(gpu: &Gpu, program: &Program, picture: &TextureView, heat: &TextureView) -> Result<Bound> {
    let device = gpu.device();
    let buffer = |label, values: u32| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: 4 * u64::from(values),
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let input = buffer("network's picture", 3 * SIZE * SIZE);
    let output = buffer("network's heat map", HEAT_SIZE * HEAT_SIZE);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("read"),
        source: wgpu::ShaderSource::Wgsl(include_str!("read.wgsl").into()),
    });
    let reader = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("read"),
        layout: None,
        module: &module,
        entry_point: Some("read"),
        compilation_options: Default::default(),
        cache: None,
    });
    let painter = covering(device, "heat map", include_str!("heat.wgsl"));
    let bind_group = |label, layout: &wgpu::BindGroupLayout, resources: &[wgpu::BindingResource]| {
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource: resource.clone() })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(label), layout, entries: &entries })
    };
    let reads = [wgpu::BindingResource::TextureView(picture), input.as_entire_binding()];
    let reads = bind_group("read", &reader.get_bind_group_layout(0), &reads);
    let paints = bind_group("heat map", &painter.get_bind_group_layout(0), &[output.as_entire_binding()]);
    Ok(Bound {
        bindings: program.bind(&[input.as_entire_buffer_binding()], &[output.as_entire_buffer_binding()])?,
        reader: (reader, reads),
        painter: (painter, paints),
        heat: heat.clone(),
    })
}

impl Bound {
    fn read(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.reader.0);
        pass.set_bind_group(0, &self.reader.1, &[]);
        pass.dispatch_workgroups(SIZE / 8, SIZE / 8, 1);
    }

    fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        cover(encoder, "heat map", &self.heat, &self.painter.0, &self.painter.1);
    }
}
