//! What recording costs the processor, and that frames after frames cost no memory. wgpu allocates within its encoder,
//! which is not ours to change; so the same calls are made by hand as well, with pipelines and bind groups made from
//! the plan: `record` must allocate exactly as often, but for the question whether the device is lost, which wgpu
//! answers by an error, or by none.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(unsafe_code, reason = "an allocator cannot be implemented without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use spp_wgpu::gpu::Reading;
use spp_wgpu::plan::{Plan, Step};
use spp_wgpu::wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, BufferDescriptor, BufferUsages, CommandEncoder,
    ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor, PollType, ShaderModuleDescriptor, ShaderSource,
};
use spp_wgpu::{Gpu, GpuOptions, Program, Shape, Tensor, Weights, blocks, gpu};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that are allocated, by any thread.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

/// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread allocates, or makes an allocation larger.
fn allocations(call: impl FnOnce()) -> usize {
    let before = COUNT.get();
    call();
    COUNT.get() - before
}

/// What an encoder is given for each step.
type Dispatch = (ComputePipeline, BindGroup, u32, String);

const STORAGE: BufferUsages = BufferUsages::STORAGE;

fn buffer(gpu: &Gpu, size: u64, usage: BufferUsages) -> Buffer {
    gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

/// The steps of a plan whose dispatches all fit one dimension, without this crate's `Program`.
fn dispatches(gpu: &Gpu, plan: &Plan) -> Vec<Dispatch> {
    let buffers: Vec<Buffer> = plan.buffers.iter().map(|b| buffer(gpu, b.bytes(), STORAGE)).collect();
    let dispatch = |step: &Step| {
        let source = ShaderSource::Wgsl(step.source().into());
        let module = gpu.device().create_shader_module(ShaderModuleDescriptor { label: None, source });
        let pipeline = gpu.device().create_compute_pipeline(&ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let params = buffer(gpu, step.params.len() as u64, BufferUsages::UNIFORM);
        let bound = step.bindings.iter().map(|b| (b.slot, &buffers[b.buffer.index()]));
        let bound = bound.chain([(step.shader.params_binding, &params)]);
        let entries: Vec<_> =
            bound.map(|(binding, b)| BindGroupEntry { binding, resource: b.as_entire_binding() }).collect();
        let layout = &pipeline.get_bind_group_layout(0);
        let descriptor = BindGroupDescriptor { label: None, layout, entries: &entries };
        let bind_group = gpu.device().create_bind_group(&descriptor);
        (pipeline, bind_group, u32::try_from(step.workgroups).unwrap(), format!("spp/{}", step.node))
    };
    plan.steps.iter().map(dispatch).collect()
}

fn by_hand(encoder: &mut CommandEncoder, dispatches: &[Dispatch], debug_groups: bool) {
    let descriptor = ComputePassDescriptor { label: Some("spp"), timestamp_writes: None };
    let mut pass = encoder.begin_compute_pass(&descriptor);
    for (pipeline, bind_group, workgroups, group) in dispatches {
        if debug_groups {
            pass.push_debug_group(group);
        }
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, Some(bind_group), &[]);
        pass.dispatch_workgroups(*workgroups, 1, 1);
        if debug_groups {
            pass.pop_debug_group();
        }
    }
}

/// Resident memory is the whole process's.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn recording_allocates_nothing_besides_wgpu() {
    let _alone = ALONE.lock();
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
    [false, true].into_iter().for_each(compare);
}

fn compare(debug_groups: bool) {
    let mut options = GpuOptions::default();
    options.debug_groups = debug_groups;
    let gpu = Gpu::new(&options).unwrap_or_else(|error| panic!("{error}"));
    let (args, input) = (json!({"size": 300, "width": 0.0625}), Shape::new(1, 3, 300, 300));
    let graph = blocks::build("rfbnet", &args, input, &Weights::seeded(1).scope("")).unwrap();
    let program = Program::new(&gpu, &graph).unwrap();
    let ports = [&program.plan().inputs, &program.plan().outputs];
    let buffers = ports.map(|ports| ports.iter().map(|p| buffer(&gpu, p.shape.len() * 4, STORAGE)).collect::<Vec<_>>());
    let [inputs, outputs] =
        [&buffers[0], &buffers[1]].map(|b| b.iter().map(Buffer::as_entire_buffer_binding).collect::<Vec<_>>());
    let bindings = program.bind(&inputs, &outputs).unwrap();
    let dispatches = dispatches(&gpu, program.plan());

    let (mut recording, mut finishing, mut asking) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..200 {
        let encoder = || gpu.device().create_command_encoder(&Default::default());
        let (mut ours, mut theirs) = (encoder(), encoder());
        let start = Instant::now();
        let recorded = allocations(|| program.record(&mut ours, &bindings).unwrap());
        recording.push(start.elapsed());
        let start = Instant::now();
        let asked = allocations(|| assert!(!gpu.is_lost()));
        asking.push(start.elapsed());
        assert!(asked < 32, "{asked}");
        let wanted = asked + allocations(|| by_hand(&mut theirs, &dispatches, debug_groups));
        assert_eq!(recorded, wanted, "of {} dispatches, recording {i}", dispatches.len());
        let start = Instant::now();
        drop(ours.finish());
        finishing.push(start.elapsed());
    }
    let [recording, finishing, asking] = [recording, finishing, asking].map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let (device, count) = (gpu::describe(gpu.info()), dispatches.len());
    let [recording, finishing] = [recording, finishing].map(|time| time / count as u32);
    let groups = if debug_groups { ", in debug groups" } else { "" };
    println!(
        "{device}{groups}: {recording:?} per dispatch to record, {finishing:?} more in `finish` ({count}, median of 200)"
    );
    println!("{asking:?} of it to ask whether the device is lost");
}

/// Bytes of this process in memory, where Linux says so.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<u64>().unwrap() * 4096)
}

/// An app that records, times and reads every frame, and draws no faster than the device computes.
#[test]
fn ten_thousand_frames_take_no_more_memory_than_the_first() {
    let _alone = ALONE.lock();
    let gpu = Gpu::new(&GpuOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let shape = Shape::new(1, 8, 8, 8);
    let graph = blocks::build("sppf", &json!({"c1": 8, "c2": 8}), shape, &Weights::seeded(1).scope("")).unwrap();
    let program = Program::new(&gpu, &graph).unwrap();
    let x = Tensor::filled(shape, 0.5).unwrap();
    let want = program.run(&[&x]).unwrap();
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    let [input, output] = [&x, &want[0]].map(|tensor| buffer(&gpu, tensor.shape().len() * 4, usage));
    let [i, o] = [&input, &output].map(Buffer::as_entire_buffer_binding);
    let bindings = program.bind(&[i], &[o]).unwrap();
    gpu.queue().write_buffer(&input, 0, bytemuck::cast_slice(x.data()));
    let (mut readings, mut times) = (Vec::<Reading<Vec<Tensor>>>::new(), Vec::<Reading<Duration>>::new());
    let mut arrived = 0;
    let mut frames = |count: usize| {
        for _ in 0..count {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            times.extend(program.time(&mut encoder, &bindings).unwrap());
            readings.extend(program.read(&mut encoder, &bindings).unwrap());
            gpu.queue().submit([encoder.finish()]);
            if readings.len() == 3 {
                gpu.device().poll(PollType::wait_indefinitely()).unwrap();
            }
            times.retain_mut(|time| time.try_take().unwrap().is_none());
            readings.retain_mut(|reading| match reading.try_take().unwrap() {
                Some(got) => {
                    assert_eq!(got, want);
                    arrived += 1;
                    false
                }
                None => true,
            });
        }
        gpu.device().poll(PollType::wait_indefinitely()).unwrap();
        let buffers = gpu.device().generate_allocator_report().map_or_else(Vec::new, |report| report.allocations);
        let (staging, others): (Vec<_>, Vec<_>) = buffers.iter().partition(|buffer| buffer.name == "spp/staging");
        // Three for results, three for times.
        assert!(staging.len() <= 6, "{}", staging.len());
        (resident(), LIVE.load(Ordering::Relaxed), others.len(), arrived)
    };
    let (before, live, others, _) = frames(1000);
    let (after, live_after, others_after, arrived) = frames(9000);
    println!("{before:?} bytes resident, {live} of them ours and wgpu's, then {after:?}, {live_after}");
    // Those of the last few may still be there to take.
    assert!(arrived > 9990, "{arrived}");
    assert_eq!(others_after, others);
    // One word for each frame would be 72 000.
    assert!(live_after < live + (32 << 10), "{live} bytes allocated, then {live_after}");
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + (2 << 20), "{before} bytes resident, then {after}");
    }
}
