//! Whole programs: the same bits run after run, threads, the app's own encoder and buffers, limits, lost devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spp_wgpu::ops::{Activation, Add, MaxPool, Paint, Paints};
use spp_wgpu::plan::Role;
use spp_wgpu::reference::compare;
use spp_wgpu::wgpu::{Buffer, BufferBinding, BufferUsages, MapMode, PollType, util::DeviceExt};
use spp_wgpu::{
    Bindings, DeviceProfile, Error, Gpu, GpuOptions, Graph, Plan, PlanOptions, Program, Shape, Tensor, gpu, reference,
    wgpu,
};

use crate::graphs::{CONSUMERS, behind_gaps, same_conv, sppf};
use crate::harness::{Data, GPU, graph, random, run_plan, wrong};

const X: Shape = Shape::new(1, 12, 7, 9);

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.data().iter().map(|v| v.to_bits()).collect()
}

fn program() -> Program {
    Program::new(&GPU, &sppf(X, 9, true)).unwrap()
}

#[test]
fn a_hundred_runs_give_the_same_bits() {
    let (program, x) = (program(), [random(X, 1, Data::Uniform)]);
    let first = bits(&program.run(&x).unwrap()[0]);
    for _ in 0..100 {
        program.poison().unwrap();
        assert_eq!(bits(&program.run(&x).unwrap()[0]), first);
    }
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    let three = Shape { n: 3, ..X };
    let x = random(three, 1, Data::Uniform);
    let together = Program::new(&GPU, &sppf(three, 9, true)).unwrap().run(std::slice::from_ref(&x)).unwrap();
    let images = x.data().chunks(X.len() as usize).zip(together[0].data().chunks(X.len() as usize));
    for (x, want) in images {
        let alone = program().run(&[Tensor::new(X, x.to_vec()).unwrap()]).unwrap();
        assert_eq!(bits(&alone[0]), bits(&Tensor::new(X, want.to_vec()).unwrap()));
    }
}

#[test]
fn a_batch_of_none_gives_empty_results_and_dispatches_nothing() {
    let none = Shape { n: 0, ..X };
    let program = Program::new(&GPU, &sppf(none, 9, true)).unwrap();
    assert_eq!(program.plan().steps.len(), 0);
    let x = [Tensor::new(none, vec![]).unwrap()];
    assert_eq!(program.run(&x).unwrap(), [Tensor::new(none, vec![]).unwrap()]);
    assert_eq!(pollster::block_on(program.run_async(&x)).unwrap()[0].shape(), none);
}

#[test]
fn threads_may_share_a_program() {
    let program = program();
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let program = &program;
            scope.spawn(move || {
                let x = [random(X, seed, Data::Uniform)];
                let alone = Program::new(&GPU, &sppf(X, 9, true)).unwrap().run(&x).unwrap();
                for _ in 0..50 {
                    assert_eq!(bits(&program.run(&x).unwrap()[0]), bits(&alone[0]), "thread {seed}");
                }
            });
        }
    });
}

#[test]
fn another_thread_may_poll_for_an_asynchronous_run() {
    let gpu = Gpu::new(&GpuOptions::default()).unwrap();
    let program = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
    let x = [random(X, 1, Data::Uniform)];
    let want = program.run(&x).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                gpu.poll().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..10 {
            let got = pollster::block_on(program.run_async(&x)).unwrap();
            assert_eq!(bits(&got[0]), bits(&want[0]));
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_dropped_asynchronous_run_does_no_harm() {
    let (program, x) = (program(), [random(X, 1, Data::Uniform)]);
    let want = program.run(&x).unwrap();
    for _ in 0..10 {
        let mut run = Box::pin(program.run_async(&x));
        let waker = std::task::Waker::noop();
        // It may be ready if another test polls the device.
        let _ = run.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready();
        drop(run);
        assert_eq!(bits(&program.run(&x).unwrap()[0]), bits(&want[0]));
    }
}

/// Values in the app's buffer around the slice it lends.
const AROUND: f32 = 7.0;
const OFFSET: u64 = 256;

/// A buffer that holds `values` at [`OFFSET`], and something else around them.
fn lent(values: &[f32]) -> Buffer {
    let around = [AROUND; OFFSET as usize / 4];
    let contents = [&around, values, &around].concat();
    GPU.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(&contents),
        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
    })
}

fn at_offset(buffer: &Buffer) -> BufferBinding<'_> {
    BufferBinding { buffer, offset: OFFSET, size: None }
}

fn read(buffer: &Buffer) -> Vec<f32> {
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: BufferUsages::COPY_DST | BufferUsages::MAP_READ,
        mapped_at_creation: false,
    };
    let staging = GPU.device().create_buffer(&descriptor);
    let mut encoder = GPU.device().create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    GPU.queue().submit([encoder.finish()]);
    let mapped = std::sync::Arc::new(AtomicBool::new(false));
    let set = std::sync::Arc::clone(&mapped);
    staging.map_async(MapMode::Read, .., move |result| set.store(result.is_ok(), Ordering::Release));
    while !mapped.load(Ordering::Acquire) {
        GPU.poll().unwrap();
    }
    bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..).unwrap())
}

#[test]
fn records_into_the_apps_encoder_and_buffers() {
    let (program, x) = (program(), random(X, 1, Data::Uniform));
    let want = program.run(std::slice::from_ref(&x)).unwrap();
    let (input, output) = (lent(x.data()), lent(&vec![f32::NAN; want[0].data().len()]));
    let bindings = program.bind(&[at_offset(&input)], &[at_offset(&output)]).unwrap();
    for _ in 0..2 {
        let mut encoder = GPU.device().create_command_encoder(&Default::default());
        program.record(&mut encoder, &bindings).unwrap();
        GPU.queue().submit([encoder.finish()]);
        let got = read(&output);
        let (before, rest) = got.split_at(OFFSET as usize / 4);
        let (values, after) = rest.split_at(want[0].data().len());
        assert_eq!(bits(&Tensor::new(X, values.to_vec()).unwrap()), bits(&want[0]));
        assert!(before.iter().chain(after).all(|v| *v == AROUND), "{before:?} {after:?}");
    }
    assert_eq!(read(&input)[OFFSET as usize / 4..][..x.data().len()], *x.data());
    // The program's own buffers still serve.
    assert_eq!(bits(&program.run(&[x]).unwrap()[0]), bits(&want[0]));
}

#[test]
fn buffers_that_do_not_fit_are_refused() {
    let program = program();
    let buffer = |bytes, usage| {
        let descriptor = wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
        GPU.device().create_buffer(&descriptor)
    };
    let bytes = X.len() * 4;
    let [input, output] = [(); 2].map(|()| buffer(bytes + 2 * OFFSET, BufferUsages::STORAGE));
    let small = buffer(bytes - 4, BufferUsages::STORAGE);
    let no_storage = buffer(bytes, BufferUsages::COPY_DST);
    let [x, y] = [&input, &output].map(Buffer::as_entire_buffer_binding);
    program.bind(std::slice::from_ref(&x), std::slice::from_ref(&y)).unwrap();
    let sized = |size| BufferBinding { size: std::num::NonZero::new(size), ..y.clone() };
    let at = |offset| BufferBinding { offset, ..x.clone() };
    let whole = Buffer::as_entire_buffer_binding;
    let cases = [
        ("holds", whole(&small), y.clone()),
        ("holds", x.clone(), whole(&small)),
        ("holds", x.clone(), sized(bytes - 4)),
        ("holds", x.clone(), sized(bytes + 2 * OFFSET + 4)),
        ("holds", at(1 << 40), y.clone()),
        ("STORAGE", whole(&no_storage), y.clone()),
        ("STORAGE", x.clone(), whole(&no_storage)),
        ("offset 4", at(4), y.clone()),
        ("bound twice, for 'x'", y.clone(), at_offset(&output)),
    ];
    let refused = |expected: &str, inputs: &[BufferBinding], outputs: &[BufferBinding]| {
        let error = program.bind(inputs, outputs).unwrap_err();
        assert!(matches!(error, Error::InvalidData { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}, expected '{expected}'");
    };
    for (expected, input, output) in cases {
        refused(expected, &[input], &[output]);
    }
    refused("the graph has 1, got 0", &[], std::slice::from_ref(&y));
    refused("the graph has 1, got 2", std::slice::from_ref(&x), &[y.clone(), at(256)]);
}

/// Whatever the number of dispatches: with as many, another program's kernels would run with this one's parameters.
#[test]
fn bindings_of_another_program_are_refused() {
    let other = Shape { h: 9, w: 7, ..X };
    let graphs = [sppf(X, 9, true), sppf(X, 9, false), sppf(other, 9, true), graph(X, |_, x| x)];
    let programs = graphs.each_ref().map(|graph| Program::new(&GPU, graph).unwrap());
    let bindings = programs.each_ref().map(|program| own_bindings(&GPU, program).unwrap());
    for (i, program) in programs.iter().enumerate() {
        for (j, bindings) in bindings.iter().enumerate() {
            let mut encoder = GPU.device().create_command_encoder(&Default::default());
            match program.record(&mut encoder, bindings) {
                Ok(()) => assert_eq!(i, j),
                Err(error) => assert!(i != j && matches!(error, Error::InvalidData { .. }), "{error}"),
            }
            // Nothing was recorded that spoils the app's encoder.
            GPU.queue().submit([encoder.finish()]);
        }
    }
}

/// Parts of one buffer of the app, each at the next offset that a binding may have.
fn arena<const N: usize>(bytes: [u64; N]) -> (Buffer, [u64; N]) {
    let mut end = 0;
    let offsets = bytes.map(|bytes| {
        let begin = end;
        end = (begin + bytes).next_multiple_of(OFFSET);
        begin
    });
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size: end, usage, mapped_at_creation: false };
    (GPU.device().create_buffer(&descriptor), offsets)
}

fn part(arena: &Buffer, offset: u64, bytes: u64) -> BufferBinding<'_> {
    BufferBinding { buffer: arena, offset, size: std::num::NonZero::new(bytes) }
}

#[test]
fn inputs_and_outputs_may_lie_in_one_buffer() {
    let mut graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.input(name, X).unwrap());
    let sum = graph.add("sum", a, b, Add { scale: 1.0, activation: Activation::None }).unwrap();
    let pool = graph.max_pool("pool", sum, MaxPool::same(3)).unwrap();
    graph.output("sum", sum).unwrap();
    graph.output("pool", pool).unwrap();
    let xs = [1, 2].map(|seed| random(X, seed, Data::Integers));
    let program = Program::new(&GPU, &graph).unwrap();
    let want = program.run(&xs).unwrap();

    let bytes = X.len() * 4;
    let (buffer, offsets) = arena([bytes; 4]);
    let parts = offsets.map(|offset| part(&buffer, offset, bytes));
    let bindings = program.bind(&parts[..2], &parts[2..]).unwrap();
    for (x, offset) in xs.iter().zip(offsets) {
        GPU.queue().write_buffer(&buffer, offset, bytemuck::cast_slice(x.data()));
    }
    let mut encoder = GPU.device().create_command_encoder(&Default::default());
    program.record(&mut encoder, &bindings).unwrap();
    GPU.queue().submit([encoder.finish()]);
    let got = read(&buffer);
    let values = |offset: u64| &got[offset as usize / 4..][..X.len() as usize];
    for (want, offset) in xs.iter().chain(&want).zip(offsets) {
        assert_eq!(values(offset), want.data());
    }

    let overlapping = part(&buffer, offsets[2] - OFFSET, bytes);
    for (inputs, outputs) in [
        ([parts[0].clone(), overlapping.clone()], [parts[2].clone(), parts[3].clone()]),
        ([parts[0].clone(), parts[1].clone()], [parts[3].clone(), parts[3].clone()]),
        ([parts[0].clone(), parts[1].clone()], [overlapping, parts[2].clone()]),
    ] {
        let error = program.bind(&inputs, &outputs).unwrap_err();
        assert!(matches!(error, Error::InvalidData { .. }) && error.to_string().contains("bound twice"), "{error}");
    }
}

/// A copy from input to output is one dispatch.
#[test]
fn a_dispatch_that_binds_input_and_output_needs_two_buffers() {
    let program = Program::new(&GPU, &graph(X, |_, x| x)).unwrap();
    let bytes = X.len() * 4;
    let (buffer, [from, to]) = arena([bytes; 2]);
    let error = program.bind(&[part(&buffer, from, bytes)], &[part(&buffer, to, bytes)]).unwrap_err();
    assert!(matches!(error, Error::InvalidData { .. }), "{error:?}");
    assert!(error.to_string().contains("'y' reads 'x'") && error.to_string().contains("two buffers"), "{error}");
}

#[test]
fn a_queue_of_another_device_is_refused() {
    let adapter = adapter();
    // The last one comes from another instance of wgpu.
    let [own, other, stranger] = [&adapter, &adapter, &self::adapter()].map(app_device);
    let refused = |queue: &Gpu| {
        let mixed = Gpu::from_device(own.info().clone(), own.device().clone(), queue.queue().clone());
        assert!(matches!(&mixed, Err(Error::InvalidData { what, .. }) if what == "queue"), "{mixed:?}");
    };
    // wgpu's own handler panics, an app's does not.
    for gpu in [&other, &stranger] {
        refused(gpu);
        gpu.device().on_uncaptured_error(std::sync::Arc::new(|_| {}));
        refused(gpu);
    }
    // All still serve.
    for gpu in [&own, &other, &stranger] {
        Program::new(gpu, &sppf(X, 9, true)).unwrap().run(&[random(X, 1, Data::Uniform)]).unwrap();
    }
}

#[test]
fn a_buffer_from_another_device_is_refused() {
    let adapter = adapter();
    let [own, other] = [(); 2].map(|()| app_device(&adapter));
    let (size, usage) = (X.len() * 4, BufferUsages::STORAGE);
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let [own_buffer, foreign] = [&own, &other].map(|gpu| gpu.device().create_buffer(&descriptor));
    let program = Program::new(&own, &sppf(X, 9, true)).unwrap();
    let bound = program.bind(&[foreign.as_entire_buffer_binding()], &[own_buffer.as_entire_buffer_binding()]);
    assert!(matches!(bound, Err(Error::Gpu(_))), "{bound:?}");
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let program = program();
    let x = random(X, 1, Data::Uniform);
    assert!(matches!(program.run::<Tensor>(&[]), Err(Error::InvalidData { .. })));
    assert!(matches!(program.run(&[x.clone(), x]), Err(Error::InvalidData { .. })));
    let error = program.run(&[random(Shape { h: 9, w: 7, ..X }, 1, Data::Uniform)]).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }) && error.to_string().contains("'x'"), "{error}");
}

/// The adapter of the tests' own device.
fn adapter() -> wgpu::Adapter {
    gpu::adapters().into_iter().find(|adapter| adapter.get_info().name == GPU.info().name).unwrap()
}

/// A device as an app would make it.
fn app_device(adapter: &wgpu::Adapter) -> Gpu {
    // What tiles are chosen by, and thus the order of sums.
    let limits = Gpu::recommended(adapter).limits;
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Gpu::from_device(adapter.get_info(), device, queue).unwrap()
}

#[test]
fn an_apps_device_gives_the_same_bits() {
    let (gpu, x) = (app_device(&adapter()), [random(X, 1, Data::Uniform)]);
    let got = Program::new(&gpu, &sppf(X, 9, true)).unwrap().run(&x).unwrap();
    assert_eq!(bits(&got[0]), bits(&program().run(&x).unwrap()[0]));
}

/// A way to use a device, with what it is used on.
type Stage = (&'static str, fn(&Gpu, &Program, &Program) -> Result<(), Error>);

/// Every way, each of which must find out by itself that the device is lost.
const STAGES: [Stage; 14] = [
    ("Gpu::poll", |gpu, _, _| gpu.poll().map(drop)),
    ("Gpu::save_pipelines", |gpu, _, _| gpu.save_pipelines().map(drop)),
    ("Gpu::from_device", |gpu, _, _| {
        Gpu::from_device(gpu.info().clone(), gpu.device().clone(), gpu.queue().clone()).map(drop)
    }),
    ("Program::new", |gpu, _, _| Program::new(gpu, &sppf(X, 9, true)).map(drop)),
    ("Program::from_plan", |gpu, _, _| {
        let plan = Plan::new(&sppf(X, 9, true), gpu.profile(), &PlanOptions::default())?;
        Program::from_plan(gpu, plan).map(drop)
    }),
    ("Program::run", |_, program, _| program.run(&[random(X, 1, Data::Uniform)]).map(drop)),
    ("Program::run of nothing", |_, _, none| none.run(&[Tensor::new(Shape { n: 0, ..X }, vec![]).unwrap()]).map(drop)),
    ("Program::run_async", |_, program, _| {
        pollster::block_on(program.run_async(&[random(X, 1, Data::Uniform)])).map(drop)
    }),
    ("Program::bind", |gpu, program, _| own_bindings(gpu, program).map(drop)),
    ("Program::warm_up", |_, program, _| program.warm_up()),
    ("Program::poison", |_, program, _| program.poison()),
    ("Program::gpu_time", |_, program, _| program.gpu_time().map(drop)),
    ("Program::gpu_step_times", |_, program, _| program.gpu_step_times().map(drop)),
    ("Gpu::is_lost", |gpu, _, _| if gpu.is_lost() { Err(Error::DeviceLost("said so".into())) } else { Ok(()) }),
];

/// Bindings to new buffers, as an app would make them.
fn own_bindings(gpu: &Gpu, program: &Program) -> Result<Bindings, Error> {
    let (size, usage) = (X.len() * 4, BufferUsages::STORAGE);
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let [x, y] = [(); 2].map(|()| gpu.device().create_buffer(&descriptor));
    program.bind(&[x.as_entire_buffer_binding()], &[y.as_entire_buffer_binding()])
}

fn assert_lost(stage: &str, got: Result<(), Error>) {
    assert!(matches!(&got, Err(Error::DeviceLost(reason)) if !reason.is_empty()), "{stage}: {got:?}");
}

/// wgpu's own handler panics at errors that nobody catches; an app's device has it.
#[test]
fn a_lost_device_is_an_error_at_every_stage() {
    let adapter = adapter();
    for (stage, call) in STAGES {
        for own in [true, false] {
            let gpu = if own { Gpu::new(&GpuOptions::default()).unwrap() } else { app_device(&adapter) };
            let [program, none] = [1, 0].map(|n| Program::new(&gpu, &sppf(Shape { n, ..X }, 9, true)).unwrap());
            let unused = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
            program.run(&[random(X, 1, Data::Uniform)]).unwrap();
            let bindings = own_bindings(&gpu, &program).unwrap();
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            assert!(!gpu.is_lost());
            gpu.device().destroy();
            // First after the loss, and for a program that has run before or not.
            assert_lost(stage, call(&gpu, &unused, &none));
            assert_lost("Program::record", program.record(&mut encoder, &bindings));
            for (stage, call) in STAGES {
                assert_lost(stage, call(&gpu, &program, &none));
            }
        }
    }
}

#[test]
fn recording_on_a_lost_device_is_an_error() {
    for gpu in [Gpu::new(&GpuOptions::default()).unwrap(), app_device(&adapter())] {
        let program = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
        let bindings = own_bindings(&gpu, &program).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        gpu.device().destroy();
        assert_lost("Program::record", program.record(&mut encoder, &bindings));
    }
}

#[test]
fn a_device_lost_under_way_gives_right_values_or_that_error() {
    let (adapter, x) = (adapter(), [random(X, 1, Data::Uniform)]);
    let want = bits(&program().run(&x).unwrap()[0]);
    for round in 0..20 {
        let gpu = if round % 2 == 0 { Gpu::new(&GpuOptions::default()).unwrap() } else { app_device(&adapter) };
        let program = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
        std::thread::scope(|scope| {
            let until_lost = || loop {
                match program.run(&x) {
                    Ok(got) => assert_eq!(bits(&got[0]), want),
                    lost => break assert_lost("Program::run", lost.map(drop)),
                }
            };
            let polls = || loop {
                if let Err(error) = gpu.poll() {
                    break assert_lost("Gpu::poll", Err(error));
                }
            };
            scope.spawn(until_lost);
            scope.spawn(until_lost);
            scope.spawn(polls);
            std::thread::sleep(Duration::from_millis(3 * round));
            gpu.device().destroy();
        });
    }
}

#[test]
fn an_apps_device_keeps_its_callback_which_may_say_why_it_was_lost() {
    let gpu = app_device(&adapter());
    let told = std::sync::Arc::new(AtomicBool::new(false));
    let tells = (gpu.loss(), std::sync::Arc::clone(&told));
    gpu.device().set_device_lost_callback(move |_, _| {
        tells.1.store(true, Ordering::Release);
        tells.0.mark("the app said so");
    });
    let program = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
    // wgpu calls it once nothing is under way; building has begun uploads.
    gpu.device().poll(PollType::wait_indefinitely()).unwrap();
    gpu.device().destroy();
    gpu.device().poll(PollType::Poll).unwrap();
    assert!(told.load(Ordering::Acquire));
    let error = program.run(&[random(X, 1, Data::Uniform)]).unwrap_err();
    assert!(matches!(&error, Error::DeviceLost(reason) if reason == "the app said so"), "{error}");
    drop((program, gpu));
    assert_eq!(std::sync::Arc::strong_count(&told), 1, "the callback keeps the device, and the device its callback");
}

#[test]
fn a_device_that_is_marked_lost_stays_lost() {
    for (said, expected) in [("driver reset", "driver reset"), ("", "no reason was given")] {
        let gpu = app_device(&adapter());
        let program = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
        gpu.mark_lost(said);
        gpu.mark_lost("later");
        assert!(gpu.clone().is_lost());
        let error = program.run(&[random(X, 1, Data::Uniform)]).unwrap_err();
        assert!(matches!(&error, Error::DeviceLost(reason) if reason == expected), "{error}");
    }
}

/// Waits that time out while another thread polls: wgpu may panic in them.
#[test]
fn runs_that_time_out_while_others_poll_say_so() {
    let mut options = GpuOptions::default();
    options.timeout = Duration::ZERO;
    let gpu = Gpu::new(&options).unwrap();
    let (program, x) = (Program::new(&gpu, &sppf(X, 9, true)).unwrap(), [random(X, 1, Data::Uniform)]);
    let want = bits(&self::program().run(&x).unwrap()[0]);
    let done = AtomicBool::new(false);
    let timeouts: usize = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    gpu.poll().unwrap();
                }
            });
        }
        let runs = || {
            (0..200).filter(|_| match program.run(&x) {
                Ok(got) => bits(&got[0]) != want,
                Err(Error::Timeout(_)) => true,
                Err(error) => panic!("{error}"),
            })
        };
        let threads = [(); 8].map(|()| scope.spawn(move || runs().count()));
        let counts = threads.map(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
        counts.iter().sum()
    });
    assert!(timeouts > 0);
}

#[test]
fn a_poll_does_not_wait_for_another_threads_run() {
    let gpu = Gpu::new(&GpuOptions::default()).unwrap();
    let shape = Shape::new(1, 64, 64, 64);
    let graph = graph(shape, |graph, x| graph.conv("y", x, same_conv(64, 64, 3)).unwrap());
    let (program, x) = (Program::new(&gpu, &graph).unwrap(), [random(shape, 1, Data::Uniform)]);
    program.run(&x).unwrap();
    let start = Instant::now();
    let mut polls = Vec::new();
    let count = std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            // However fast the adapter is, long enough to poll often.
            let mut count = 0;
            while count < 5 || start.elapsed() < Duration::from_millis(200) {
                program.run(&x).unwrap();
                count += 1;
            }
            count
        });
        while !runs.is_finished() {
            let start = Instant::now();
            gpu.poll().unwrap();
            polls.push(start.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        runs.join().unwrap()
    });
    let run = start.elapsed() / count;
    polls.sort_unstable();
    let median = polls[polls.len() / 2];
    println!("{} polls, their median {median:?}, the longest {:?}; a run {run:?}", polls.len(), polls[polls.len() - 1]);
    assert!(polls.len() > 20 && median < run / 10);
}

#[test]
fn two_hundred_programs_come_and_go() {
    let x = [random(X, 1, Data::Uniform)];
    let want = bits(&program().run(&x).unwrap()[0]);
    for i in 0..200 {
        let program = program();
        if i % 20 == 0 {
            assert_eq!(bits(&program.run(&x).unwrap()[0]), want);
        }
    }
    GPU.device().poll(PollType::Poll).unwrap();
}

/// 4 410 000 invocations are 68 907 workgroups: over the 65 535 of one dimension.
#[test]
fn a_dispatch_over_the_limit_of_one_dimension_is_right() {
    let x = random(Shape::new(1, 4, 2100, 2100), 1, Data::Uniform);
    let pool = MaxPool { stride: [1, 1], ..MaxPool::new([1, 2]) };
    let graph = graph(x.shape(), |graph, x| graph.max_pool("pool", x, pool).unwrap());
    let program = Program::new(&GPU, &graph).unwrap();
    assert!(program.plan().steps.iter().any(|step| step.workgroups > 65_535));
    program.poison().unwrap();
    let got = program.run(std::slice::from_ref(&x)).unwrap();
    for (x, y) in x.data().chunks(2100).zip(got[0].data().chunks(2099)) {
        assert!(y.iter().zip(x.windows(2)).all(|(y, x)| *y == x[0].max(x[1])));
    }
}

#[test]
fn every_operation_folds_over_small_limits() {
    let shape = Shape::new(2, 9, 6, 5);
    let x = [random(shape, 1, Data::Uniform)];
    // Rows of four hold sixteen workgroups, which is too few for some; on GPUs several invocations share what one could do.
    let enough = 8;
    for max_workgroups in [4, enough] {
        let profile = DeviceProfile { max_workgroups, ..GPU.profile().clone() };
        let mut folded = 0;
        for consumer in CONSUMERS {
            let graph = behind_gaps(shape, consumer);
            let plan = match Plan::new(&graph, &profile, &PlanOptions::default()) {
                Err(Error::LimitExceeded { .. }) if max_workgroups < enough => continue,
                plan => plan.unwrap(),
            };
            folded += plan.steps.iter().filter(|step| step.workgroups > u64::from(max_workgroups)).count();
            let want = reference::run_with_bounds(&graph, &x).unwrap();
            let case = format!("{}, rows of {max_workgroups}", consumer.0);
            assert_eq!(wrong(&graph, &run_plan(plan, &x), &want), [""; 0], "{case}");
        }
        assert!(folded > 15, "{folded}");
    }
}

#[test]
fn a_memory_budget_is_kept() {
    let graph = sppf(X, 9, true);
    let needed = program().plan().bytes();
    let build = |max| {
        let mut options = PlanOptions::default();
        options.max_bytes = Some(max);
        Program::with_options(&GPU, &graph, &options)
    };
    build(needed).unwrap();
    let error = build(needed - 1).unwrap_err();
    assert!(matches!(error, Error::MemoryBudget { planned, max } if planned == needed && max == needed - 1), "{error}");
}

/// Each result fits a buffer of the device, all of them together do not.
#[test]
fn more_results_than_can_be_read_at_once_are_refused() {
    let max_buffer_size = 4096;
    let limits =
        wgpu::Limits { max_buffer_size, max_storage_buffer_binding_size: max_buffer_size, ..wgpu::Limits::defaults() };
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter().request_device(&descriptor)).unwrap();
    let gpu = Gpu::from_device(GPU.info().clone(), device, queue).unwrap();
    let mut graph = Graph::new();
    let x = graph.input("x", X).unwrap();
    graph.output("y", x).unwrap();
    graph.output("z", x).unwrap();
    let program = Program::new(&gpu, &graph).unwrap();
    let error = program.run(&[random(X, 1, Data::Uniform)]).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { limit: "max_buffer_size", needed: 6048, .. }), "{error}");
}

/// Two inputs with different batches: one result may be empty while another is not.
#[test]
fn only_some_results_may_be_empty() {
    let mut graph = Graph::new();
    let inputs = [("none", Shape { n: 0, ..X }), ("some", X)];
    let [none, some] = inputs.map(|(name, shape)| graph.input(name, shape).unwrap());
    for (name, x) in [("no pool", none), ("pool", some)] {
        let pool = graph.max_pool(name, x, MaxPool::same(3)).unwrap();
        graph.output(name, pool).unwrap();
    }
    // In textures, too, and the empty one last.
    for (name, x) in [("paint", some), ("no paint", none)] {
        let painted = graph.paint(name, &[x], Paint::new(3, 5, Paints::heat([0.0, 1.0]))).unwrap();
        graph.output(name, painted).unwrap();
    }
    let x = [Tensor::new(inputs[0].1, vec![]).unwrap(), random(X, 1, Data::Uniform)];
    let got = Program::new(&GPU, &graph).unwrap().run(&x).unwrap();
    for (got, want) in got.iter().zip(reference::run_with_bounds(&graph, &x).unwrap()) {
        assert!(compare(got, &want).unwrap().err_over_bound <= 1.0);
    }
}

/// Weights are on the device, and what else a plan says is still there.
#[test]
fn a_program_keeps_no_constants_in_memory() {
    fn constants(plan: &Plan) -> impl Iterator<Item = &Arc<[u32]>> {
        plan.buffers.iter().filter_map(|buffer| match &buffer.role {
            Role::Constant(values) => Some(values),
            _ => None,
        })
    }
    let mut released = 0;
    for consumer in CONSUMERS {
        let graph = behind_gaps(X, consumer);
        let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
        let own = Program::new(&GPU, &graph).unwrap();
        let given = Program::from_plan(&GPU, plan.clone()).unwrap();
        for program in [&own, &given] {
            assert_eq!(constants(program.plan()).map(|values| values.len()).sum::<usize>(), 0, "{}", program.plan());
            assert_eq!(program.plan().to_string(), plan.to_string());
            assert_eq!(program.plan().to_dot(), plan.to_dot());
        }
        for values in constants(&plan) {
            assert_eq!(Arc::strong_count(values), 1, "a copy of '{}' is somewhere", consumer.0);
            released += values.len();
        }
    }
    assert!(released > 10_000, "{released}");
}

/// The fields of a plan are public: what it names may be gone.
#[test]
fn a_plan_that_names_what_is_not_there_is_refused() {
    type Change = (&'static str, fn(&mut Plan));
    let changes: [Change; 7] = [
        ("a constant", |plan| {
            let values = plan.buffers.iter_mut().find_map(|buffer| match &mut buffer.role {
                Role::Constant(values) => Some(values),
                _ => None,
            });
            let values = values.unwrap();
            *values = values[1..].into();
        }),
        ("what was uploaded", |plan| *plan = program().plan().clone()),
        ("buffers", |plan| plan.buffers.clear()),
        ("inputs", |plan| plan.inputs.clear()),
        ("outputs", |plan| plan.outputs.clear()),
        ("an output beyond the last", |plan| plan.buffers[0].role = Role::Output(7)),
        ("workgroups", |plan| plan.profile.max_workgroups = 0),
    ];
    for (what, change) in changes {
        let mut plan = Plan::new(&sppf(X, 9, true), GPU.profile(), &PlanOptions::default()).unwrap();
        change(&mut plan);
        let _counted = (plan.bytes(), plan.cost(), plan.dispatches());
        let refused = Program::from_plan(&GPU, plan);
        assert!(matches!(refused, Err(Error::InvalidData { .. })), "without {what}: {refused:?}");
    }
}
