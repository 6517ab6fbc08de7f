//! The app's own render pass: shapes that move, in a texture.

use spp_wgpu::wgpu::{self, TextureUsages, TextureView};

/// Rows and columns.
pub const SIZE: u32 = 256;

/// A texture of egui's format.
pub fn texture(device: &wgpu::Device, label: &str, size: u32, usage: TextureUsages) -> TextureView {
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d { width: size, height: size, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: usage | TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    });
    texture.create_view(&Default::default())
}

/// A pipeline that covers its target by one triangle, of the shader's `corner` and `shade`.
fn covering(device: &wgpu::Device, label: &str, shader: &str) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(shader.into()),
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(label),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("shade"),
            compilation_options: Default::default(),
            targets: &[Some(wgpu::TextureFormat::Rgba8Unorm.into())],
        }),
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        multiview_mask: None,
        cache: None,
    })
}

/// Draws it.
fn cover(
    encoder: &mut wgpu::CommandEncoder,
    label: &str,
    target: &TextureView,
    pipeline: &wgpu::RenderPipeline,
    bind_group: &wgpu::BindGroup,
) {
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some(label),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: target,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
        })],
        ..Default::default()
    });
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bind_group, &[]);
    pass.draw(0..3, 0..1);
}

/// The shapes.
pub struct Picture {
    pub view: TextureView,
    pipeline: wgpu::RenderPipeline,
    seconds: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
}

impl Picture {
    pub fn new(device: &wgpu::Device) -> Self {
        let pipeline = covering(device, "picture", include_str!("picture.wgsl"));
        let seconds = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("seconds"),
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("picture"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: seconds.as_entire_binding() }],
        });
        Self { view: texture(device, "picture", SIZE, TextureUsages::RENDER_ATTACHMENT), pipeline, seconds, bind_group }
    }

    /// As it looks at this time.
    pub fn draw(&self, queue: &wgpu::Queue, encoder: &mut wgpu::CommandEncoder, seconds: f32) {
        queue.write_buffer(&self.seconds, 0, bytemuck::bytes_of(&[seconds, 0.0, 0.0, 0.0]));
        cover(encoder, "picture", &self.view, &self.pipeline, &self.bind_group);
    }
}
