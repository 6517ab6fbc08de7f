//! An app that renders with wgpu: it draws a picture to a texture, a network reads that, and its heat map is drawn back
//! over it, all in one submission on the app's device. Nothing passes through the host but the PNG at the end.
//!
//! `cargo run --example shared_device -- picture.png`

use std::error::Error;
use std::fs::File;

use spp_wgpu::blocks::Sppf;
use spp_wgpu::ops::{
    Activation, Add, Conv, GlobalPool, GlobalPoolKind, Paint, Paints, Resize, ResizeMode, Texels, Texture,
};
use spp_wgpu::wgpu::{self, BufferUsages, TextureUsages};
use spp_wgpu::{Gpu, Graph, Program, Result as SppResult, Shape, Tensor, Weights};

/// Rows and columns of the picture.
const SIZE: u32 = 256;
/// A value of heat for so many pixels, in each direction.
const PATCH: u32 = 4;
const CHANNELS: u32 = 32;
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: shared_device PICTURE.png")?;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    // What the app itself needs, and what makes networks fast on this adapter.
    let wanted = Gpu::recommended(&adapter);
    let descriptor = wgpu::DeviceDescriptor {
        required_features: wanted.features,
        required_limits: wanted.limits,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let shaders = device.create_shader_module(wgpu::include_wgsl!("shared_device.wgsl"));

    let size = wgpu::Extent3d { width: SIZE, height: SIZE, depth_or_array_layers: 1 };
    let texture = |label, usage| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: usage | TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        })
    };
    let picture = texture("picture", TextureUsages::RENDER_ATTACHMENT | TextureUsages::COPY_SRC);
    let heat = texture("heat", TextureUsages::STORAGE_BINDING);
    let view = picture.create_view(&Default::default());
    let draws = covering(&device, &shaders, "draw", None);
    // Where heat is black, it adds nothing.
    let one = wgpu::BlendComponent { dst_factor: wgpu::BlendFactor::One, ..wgpu::BlendComponent::REPLACE };
    let adds = covering(&device, &shaders, "add", Some(wgpu::BlendState { color: one, alpha: one }));
    let added = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("heat"),
        layout: &adds.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::TextureView(&heat.create_view(&Default::default())),
        }],
    });

    // The network reads the one texture and writes the other, as they are.
    let gpu = Gpu::from_device(adapter.get_info(), device.clone(), queue.clone())?;
    let program = Program::new(&gpu, &graph()?)?;
    let bindings = program.bind(&[&picture], &[&heat])?;

    let readback = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("readback"),
        size: u64::from(4 * SIZE * SIZE),
        usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    cover(&mut encoder, &view, &draws, None);
    program.record(&mut encoder, &bindings)?;
    cover(&mut encoder, &view, &adds, Some(&added));
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * SIZE), rows_per_image: None };
    let to = wgpu::TexelCopyBufferInfo { buffer: &readback, layout };
    encoder.copy_texture_to_buffer(picture.as_image_copy(), to, size);
    queue.submit([encoder.finish()]);

    readback.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let mut png = png::Encoder::new(File::create(&path)?, SIZE, SIZE);
    png.set_color(png::ColorType::Rgba);
    png.write_header()?.write_image_data(&readback.get_mapped_range(..)?)?;
    println!("{}: {SIZE} by {SIZE} pixels in {}", gpu.info().name, path.display());
    Ok(())
}

/// A pipeline that covers a texture by one triangle.
fn covering(
    device: &wgpu::Device,
    shaders: &wgpu::ShaderModule,
    entry_point: &str,
    blend: Option<wgpu::BlendState>,
) -> wgpu::RenderPipeline {
    let target = wgpu::ColorTargetState { format: FORMAT, blend, write_mask: wgpu::ColorWrites::ALL };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(entry_point),
        layout: None,
        vertex: wgpu::VertexState {
            module: shaders,
            entry_point: Some("corner"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        fragment: Some(wgpu::FragmentState {
            module: shaders,
            entry_point: Some(entry_point),
            compilation_options: Default::default(),
            targets: &[Some(target)],
        }),
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        multiview_mask: None,
        cache: None,
    })
}

/// Draws over what is there, which is nothing before the first pass.
fn cover(
    encoder: &mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
    pipeline: &wgpu::RenderPipeline,
    bind_group: Option<&wgpu::BindGroup>,
) {
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("app"),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Load, store: wgpu::StoreOp::Store },
        })],
        ..Default::default()
    });
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bind_group, &[]);
    pass.draw(0..3, 0..1);
}

/// SPPF of the picture's patches, with random weights that are the same each time: where its channels' mean is above
/// that of the whole map, it is hot.
fn graph() -> SppResult<Graph> {
    let (weights, c, side) = (Weights::seeded(1), CHANNELS, SIZE / PATCH);
    let mut g = Graph::new();
    // From -1 to 1, as the network takes it.
    let seen = Texture { mean: [0.5; 3], std: [0.5; 3], ..Texture::stretch(SIZE, SIZE) };
    let x = g.texture_input("picture", [SIZE, SIZE], Texels::Rgba8, seen)?;
    let patches = Conv::new(weights.scope("patches").conv_weight("conv", Shape::new(c, 3, PATCH, PATCH))?);
    let x = g.conv("patches", x, Conv { stride: [PATCH, PATCH], activation: Activation::Silu, ..patches })?;
    let x = Sppf::new(c, c).build(&mut g, x, &weights.scope("block"))?;
    let mean = g.conv("mean", x, Conv::new(Tensor::filled(Shape::new(1, c, 1, 1), 1.0 / c as f32)?))?;
    let whole = g.global_pool("whole", mean, GlobalPool { kind: GlobalPoolKind::Average })?;
    let whole = g.resize("everywhere", whole, Resize { out_h: side, out_w: side, mode: ResizeMode::Nearest })?;
    let above = g.add("above", whole, mean, Add { scale: -1.0, activation: Activation::None })?;
    let contrast = Conv::new(Tensor::filled(Shape::new(1, 1, 1, 1), 12.0)?);
    let map = g.conv("map", above, Conv { activation: Activation::Sigmoid, ..contrast })?;
    let heat = g.paint("heat", &[map], Paint::new(SIZE, SIZE, Paints::heat([0.5, 1.1])))?;
    g.output("heat", heat)?;
    Ok(g)
}
