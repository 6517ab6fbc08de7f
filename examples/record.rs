//! An app with a wgpu device of its own: its buffers, its encoder, its one submission; this crate only adds dispatches.
//!
//! `cargo run --example record` computes SPPF with random weights and compares it with the CPU reference.

use std::error::Error;
use std::sync::mpsc;

use spp_wgpu::reference::{compare, run_with_bounds};
use spp_wgpu::wgpu::util::{BufferInitDescriptor, DeviceExt};
use spp_wgpu::wgpu::{self, BufferUsages};
use spp_wgpu::{Gpu, Graph, Program, Shape, Tensor, Weights, blocks::Sppf};

const SHAPE: Shape = Shape::new(1, 64, 20, 20);
const BYTES: u64 = SHAPE.len() * size_of::<f32>() as u64;

fn main() -> Result<(), Box<dyn Error>> {
    // The app's device, made as any app makes its own. `Gpu::recommended` says with what this crate is fastest; a game
    // would add its own limits and features here.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let wanted = Gpu::recommended(&adapter);
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wanted.limits,
        required_features: wanted.features,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;

    // What to compute. `Weights::open` would read weights from a file.
    let mut graph = Graph::new();
    let x = graph.input("x", SHAPE)?;
    let y = Sppf::new(SHAPE.c, SHAPE.c).build(&mut graph, x, &Weights::seeded(1).scope(""))?;
    graph.output("y", y)?;

    // The device is only lent: wgpu's handles are cheap to clone.
    let gpu = Gpu::from_device(adapter.get_info(), device.clone(), queue.clone())?;
    let program = Program::new(&gpu, &graph)?;

    // The app's buffers. This crate asks for `STORAGE` alone and for dense NCHW floats; the rest is what the app does
    // with them. `frame` stands for whatever the app has on the GPU already.
    let image: Vec<f32> = (0..SHAPE.len()).map(|i| (i as f32 * 0.37).sin()).collect();
    let frame = device.create_buffer_init(&BufferInitDescriptor {
        label: Some("frame"),
        contents: bytemuck::cast_slice(&image),
        usage: BufferUsages::COPY_SRC,
    });
    let buffer = |label, usage| {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size: BYTES, usage, mapped_at_creation: false };
        device.create_buffer(&descriptor)
    };
    let input = buffer("input", BufferUsages::STORAGE | BufferUsages::COPY_DST);
    let output = buffer("output", BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let readback = buffer("readback", BufferUsages::MAP_READ | BufferUsages::COPY_DST);

    // Once: which buffers to use. Then, each frame, the app records its own work around ours and submits it all.
    let bindings = program.bind(&[input.as_entire_buffer_binding()], &[output.as_entire_buffer_binding()])?;
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(&frame, 0, &input, 0, BYTES);
    program.record(&mut encoder, &bindings)?;
    encoder.copy_buffer_to_buffer(&output, 0, &readback, 0, BYTES);
    queue.submit([encoder.finish()]);

    // Waiting is up to the app, too. One that draws the output or computes with it on the GPU need not wait at all.
    let (sender, mapped) = mpsc::channel();
    readback.map_async(wgpu::MapMode::Read, .., move |result| {
        // It goes unheard only if `main` has already failed.
        let _unheard = sender.send(result);
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    mapped.recv()??;
    let got = Tensor::new(SHAPE, bytemuck::pod_collect_to_vec(&readback.get_mapped_range(..)?))?;

    // The reference computes in `f64`, and gives the error that `f32` may have in each value.
    let want = run_with_bounds(&graph, &[Tensor::new(SHAPE, image)?])?;
    let difference = compare(&got, &want[0])?;
    println!("{}: {SHAPE}, largest difference from the reference {:.1e}", gpu.info().name, difference.max_abs);
    if !difference.passes() {
        return Err(format!("that is too much: {difference}").into());
    }
    Ok(())
}
