//! A clip in NV12, as video decoders give it: each frame's two planes go to two textures, which a network reads, with
//! several frames in flight. Prints how many frames a second that makes, and how long after its upload each result is
//! there.
//!
//! `cargo run --release --example video`

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use spp_wgpu::blocks::Sppf;
use spp_wgpu::gpu::Reading;
use spp_wgpu::ops::{Activation, Conv, Texture};
use spp_wgpu::wgpu::{self, BufferUsages, TextureFormat, TextureUsages};
use spp_wgpu::{Bindings, Gpu, GpuOptions, Graph, Program, Result as SppResult, Shape, Tensor, Weights};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
const FRAMES: u32 = 120;
const PATCH: u32 = 8;
const CHANNELS: u32 = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let options = GpuOptions::default();
    let gpu = Gpu::new(&options)?;
    let program = Program::new(&gpu, &graph()?)?;
    let mut slots = Vec::new();
    for _ in 0..options.frames {
        slots.push(Slot::new(&gpu, &program)?);
    }
    // The clip is there before the clock starts, as a decoder would run beside; and drivers have compiled.
    let clip: Vec<_> = (0..FRAMES).map(frame).collect();
    program.warm_up()?;
    let mut in_flight: VecDeque<InFlight> = VecDeque::new();
    let mut latencies = Vec::new();
    let start = Instant::now();
    for (i, planes) in clip.iter().enumerate() {
        // A slot comes free with the oldest result: a real app would draw meanwhile, or drop this frame.
        while in_flight.len() == slots.len() {
            latencies.extend(oldest(&gpu, &mut in_flight)?);
        }
        in_flight.push_back(slots[i % slots.len()].start(&gpu, &program, planes)?);
    }
    while !in_flight.is_empty() {
        latencies.extend(oldest(&gpu, &mut in_flight)?);
    }
    let seconds = start.elapsed().as_secs_f64();

    assert_eq!(latencies.len(), clip.len(), "a frame without a result");
    latencies.sort();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
    println!(
        "{}: {FRAMES} frames of {WIDTH} by {HEIGHT}, {} in flight: {:.1} frames/s, latency {:.1} ms (median), {:.1} ms (p99)",
        gpu.info().name,
        slots.len(),
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
    let x = g.nv12_input("frame", [HEIGHT, WIDTH], Texture::stretch(HEIGHT, WIDTH))?;
    let patches = Conv::new(weights.scope("patches").conv_weight("conv", Shape::new(CHANNELS, 3, PATCH, PATCH))?);
    let x = g.conv("patches", x, Conv { stride: [PATCH, PATCH], activation: Activation::Silu, ..patches })?;
    let y = Sppf::new(CHANNELS, CHANNELS).build(&mut g, x, &weights.scope("block"))?;
    g.output("features", y)?;
    Ok(g)
}

/// A frame of the clip: its luma, and its chroma at half the size, blue and red in turn. Eight colour bars that wander
/// to the left, above a disc that moves.
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

/// What one frame in flight has to itself: its planes, its result, and the program's scratch space.
struct Slot {
    planes: [wgpu::Texture; 2],
    bindings: Bindings,
}

/// A frame whose result is on its way.
struct InFlight {
    uploaded: Instant,
    features: Reading<Vec<Tensor>>,
}

impl Slot {
    fn new(gpu: &Gpu, program: &Program) -> SppResult<Self> {
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
        let output = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("features"),
            size: program.plan().outputs[0].bytes(),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let bindings = program.bind_apart(&planes.each_ref(), &[&output])?;
        Ok(Self { planes, bindings })
    }

    /// Uploads, computes and reads back, without waiting.
    fn start(&self, gpu: &Gpu, program: &Program, planes: &[Vec<u8>; 2]) -> Result<InFlight, Box<dyn Error>> {
        let uploaded = Instant::now();
        for (texture, bytes) in self.planes.iter().zip(planes) {
            let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(WIDTH), rows_per_image: None };
            gpu.queue().write_texture(texture.as_image_copy(), bytes, layout, texture.size());
        }
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        program.record(&mut encoder, &self.bindings)?;
        let features = program.read(&mut encoder, &self.bindings)?.ok_or("more results on their way than slots")?;
        gpu.queue().submit([encoder.finish()]);
        Ok(InFlight { uploaded, features })
    }
}

/// How long the oldest frame took, if its result has arrived.
fn oldest(gpu: &Gpu, in_flight: &mut VecDeque<InFlight>) -> Result<Option<Duration>, Box<dyn Error>> {
    gpu.poll()?;
    let Some(frame) = in_flight.front_mut() else { return Ok(None) };
    let Some(features) = frame.features.try_take()? else {
        std::thread::yield_now();
        return Ok(None);
    };
    if features[0].data().iter().any(|value| !value.is_finite()) {
        return Err("a result that is not a number".into());
    }
    Ok(in_flight.pop_front().map(|frame| frame.uploaded.elapsed()))
}
