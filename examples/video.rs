//! A clip in NV12, as video decoders give it: each frame's two planes go to two textures, which a network reads, with several
//! frames in flight. Prints how many frames a second that makes, and how long after its upload each result is there.
//!
//! `cargo run --release --example video`

use std::error::Error;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use spp_wgpu::blocks::Sppf;
use spp_wgpu::ops::{Activation, Conv};
use spp_wgpu::wgpu::{self, BufferUsages, TextureFormat, TextureUsages};
use spp_wgpu::{Bindings, Gpu, GpuOptions, Graph, Program, Result as SppResult, Shape, Weights};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
const FRAMES: u32 = 120;
/// Frames that are uploaded before the first one's result is waited for.
const IN_FLIGHT: usize = 3;
const PATCH: u32 = 8;
const CHANNELS: u32 = 32;
/// Bytes of a result.
const BYTES: u64 = 4 * (CHANNELS * (WIDTH / PATCH) * (HEIGHT / PATCH)) as u64;

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new(&GpuOptions::default())?;
    let program = Program::new(&gpu, &graph()?)?;
    let reads = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("read"),
        layout: None,
        module: &gpu.device().create_shader_module(wgpu::include_wgsl!("video.wgsl")),
        entry_point: Some("read"),
        compilation_options: Default::default(),
        cache: None,
    });
    let mut slots = Vec::new();
    for _ in 0..IN_FLIGHT {
        slots.push(Slot::new(&gpu, &program, &reads)?);
    }
    // The clip is there before the clock starts: a decoder would run beside.
    let clip: Vec<_> = (0..FRAMES).map(frame).collect();
    // So is the first run, in which drivers compile.
    slots[0].start(&gpu, &program, &reads, &clip[0])?;
    slots[0].finish(&gpu)?;
    let mut latencies = Vec::new();
    let start = Instant::now();
    for (i, planes) in clip.iter().enumerate() {
        let slot = &mut slots[i % IN_FLIGHT];
        latencies.extend(slot.finish(&gpu)?);
        slot.start(&gpu, &program, &reads, planes)?;
    }
    for i in 0..IN_FLIGHT {
        latencies.extend(slots[(clip.len() + i) % IN_FLIGHT].finish(&gpu)?);
    }
    let seconds = start.elapsed().as_secs_f64();

    assert_eq!(latencies.len(), clip.len(), "a frame without a result");
    latencies.sort();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
    println!(
        "{}: {FRAMES} frames of {WIDTH} by {HEIGHT}, {IN_FLIGHT} in flight: {:.1} frames/s, latency {:.1} ms (median), {:.1} ms (p99)",
        gpu.info().name,
        f64::from(FRAMES) / seconds,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

/// SPPF of the frame's patches, with random weights.
fn graph() -> SppResult<Graph> {
    let weights = Weights::seeded(1);
    let mut g = Graph::new();
    let x = g.input("frame", Shape::new(1, 3, HEIGHT, WIDTH))?;
    let patches = Conv::new(weights.scope("patches").conv_weight("conv", Shape::new(CHANNELS, 3, PATCH, PATCH))?);
    let x = g.conv("patches", x, Conv { stride: [PATCH, PATCH], activation: Activation::Silu, ..patches })?;
    let y = Sppf::new(CHANNELS, CHANNELS).build(&mut g, x, &weights.scope("block"))?;
    g.output("features", y)?;
    Ok(g)
}

/// A frame of the clip: its luma, and its chroma at half the size, blue and red in turn. Eight colour bars that wander to the
/// left, above a disc that moves.
fn frame(number: u32) -> [Vec<u8>; 2] {
    let angle = f64::from(number) * 0.1;
    let (disc_x, disc_y) = (160.0 + 90.0 * angle.cos(), 120.0 + 60.0 * angle.sin());
    let colour = |x: u32, y: u32| {
        let (dx, dy) = (f64::from(x) - disc_x, f64::from(y) - disc_y);
        if dx * dx + dy * dy < 40.0 * 40.0 {
            return [0.9, 0.2, 0.1];
        }
        let bar = 7 - (x + 2 * number) / (WIDTH / 8) % 8;
        [1, 2, 0].map(|bit| if bar >> bit & 1 == 1 { 0.75 } else { 0.0 })
    };
    // BT.601 in limited range: luma from 16 to 235, chroma from 16 to 240.
    let luma = |[r, g, b]: [f64; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
    let mut planes = [Vec::new(), Vec::new()];
    for y in 0..HEIGHT {
        planes[0].extend((0..WIDTH).map(|x| (16.0 + 219.0 * luma(colour(x, y))).round() as u8));
    }
    for y in (0..HEIGHT).step_by(2) {
        for x in (0..WIDTH).step_by(2) {
            let [r, g, b] = colour(x, y);
            let chroma = [(b - luma([r, g, b])) / 1.772, (r - luma([r, g, b])) / 1.402];
            planes[1].extend(chroma.map(|c| (128.0 + 224.0 * c).round() as u8));
        }
    }
    planes
}

/// What one frame in flight has to itself. The program's own buffers are shared: the queue runs one frame after another.
struct Slot {
    planes: [wgpu::Texture; 2],
    network: Network,
    readback: wgpu::Buffer,
    /// When the frame was uploaded, and where it is told that its result is there.
    under_way: Option<(Instant, wgpu::SubmissionIndex, mpsc::Receiver<Instant>)>,
}

impl Slot {
    fn new(gpu: &Gpu, program: &Program, reads: &wgpu::ComputePipeline) -> SppResult<Self> {
        let planes = [(1, TextureFormat::R8Unorm), (2, TextureFormat::Rg8Unorm)].map(|(part, format)| {
            gpu.device().create_texture(&wgpu::TextureDescriptor {
                label: Some("plane"),
                size: wgpu::Extent3d { width: WIDTH / part, height: HEIGHT / part, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
                view_formats: &[],
            })
        });
        let network = bind_planes(gpu, program, reads, &planes)?;
        let readback = buffer(gpu, "readback", BYTES, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        Ok(Self { planes, network, readback, under_way: None })
    }

    /// Uploads, computes and reads back, without waiting.
    fn start(
        &mut self,
        gpu: &Gpu,
        program: &Program,
        reads: &wgpu::ComputePipeline,
        planes: &[Vec<u8>; 2],
    ) -> SppResult<()> {
        let uploaded = Instant::now();
        for (texture, bytes) in self.planes.iter().zip(planes) {
            let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(WIDTH), rows_per_image: None };
            gpu.queue().write_texture(texture.as_image_copy(), bytes, layout, texture.size());
        }
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        self.network.record(&mut encoder, program, reads)?;
        encoder.copy_buffer_to_buffer(&self.network.output, 0, &self.readback, 0, BYTES);
        let submission = gpu.queue().submit([encoder.finish()]);
        let (sender, there) = mpsc::channel();
        self.readback.map_async(wgpu::MapMode::Read, .., move |result| {
            // Where it failed, the receiver hears that the sender is gone.
            if result.is_ok() {
                let _unheard = sender.send(Instant::now());
            }
        });
        self.under_way = Some((uploaded, submission, there));
        Ok(())
    }

    /// Waits for the frame that is under way, if there is one: how long it took.
    fn finish(&mut self, gpu: &Gpu) -> Result<Option<Duration>, Box<dyn Error>> {
        let Some((uploaded, submission, there)) = self.under_way.take() else { return Ok(None) };
        gpu.device().poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })?;
        let latency = there.recv()?.duration_since(uploaded);
        let features: Vec<f32> = bytemuck::pod_collect_to_vec(&self.readback.get_mapped_range(..)?);
        self.readback.unmap();
        if features.iter().any(|value| !value.is_finite()) {
            return Err("a result that is not a number".into());
        }
        Ok(Some(latency))
    }
}

/// How the network reads two planes: the app's own shader and buffers.
struct Network {
    planes: wgpu::BindGroup,
    bindings: Bindings,
    output: wgpu::Buffer,
}

fn bind_planes(
    gpu: &Gpu,
    program: &Program,
    reads: &wgpu::ComputePipeline,
    planes: &[wgpu::Texture; 2],
) -> SppResult<Network> {
    let input = buffer(gpu, "input", u64::from(4 * 3 * WIDTH * HEIGHT), BufferUsages::STORAGE);
    let output = buffer(gpu, "output", BYTES, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let views = planes.each_ref().map(|plane| plane.create_view(&Default::default()));
    let planes = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("read"),
        layout: &reads.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::TextureView(&views[0]) },
            wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&views[1]) },
            wgpu::BindGroupEntry { binding: 2, resource: input.as_entire_binding() },
        ],
    });
    let bindings = program.bind(&[input.as_entire_buffer_binding()], &[output.as_entire_buffer_binding()])?;
    Ok(Network { planes, bindings, output })
}

impl Network {
    fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        program: &Program,
        reads: &wgpu::ComputePipeline,
    ) -> SppResult<()> {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(reads);
        pass.set_bind_group(0, &self.planes, &[]);
        pass.dispatch_workgroups(WIDTH / 8, HEIGHT / 8, 1);
        drop(pass);
        program.record(encoder, &self.bindings)
    }
}

fn buffer(gpu: &Gpu, label: &str, size: u64, usage: BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}
