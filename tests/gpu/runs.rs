//! Whole programs: the same bits run after run, threads, the app's own encoder and buffers, limits, lost devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spp_wgpu::ops::MaxPool;
use spp_wgpu::plan::Role;
use spp_wgpu::wgpu::{Buffer, BufferBinding, BufferUsages, MapMode, PollType, util::DeviceExt};
use spp_wgpu::{
    DeviceProfile, Error, Gpu, GpuOptions, Graph, Plan, PlanOptions, Program, Shape, Tensor, gpu, reference, wgpu,
};

use crate::graphs::{CONSUMERS, behind_gaps, sppf};
use crate::harness::{Data, GPU, assert_same_bits, graph, random, run_plan, wrong};

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
        ("twice", y.clone(), at_offset(&output)),
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
    assert!(matches!(program.run(&[]), Err(Error::InvalidData { .. })));
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
    let limits = Gpu::required_limits();
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

#[test]
fn a_lost_device_is_an_error() {
    for gpu in [Gpu::new(&GpuOptions::default()).unwrap(), app_device(&adapter())] {
        let program = Program::new(&gpu, &sppf(X, 9, true)).unwrap();
        let x = [random(X, 1, Data::Uniform)];
        program.run(&x).unwrap();
        gpu.device().destroy();
        for _ in 0..2 {
            let got = program.run(&x);
            assert!(matches!(got, Err(Error::DeviceLost(_))), "{got:?}");
        }
        let got = pollster::block_on(program.run_async(&x));
        assert!(matches!(got, Err(Error::DeviceLost(_))), "{got:?}");
        let rebuilt = Program::new(&gpu, &sppf(X, 9, true));
        assert!(matches!(rebuilt, Err(Error::DeviceLost(_))), "{rebuilt:?}");
    }
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
    // Rows of four hold sixteen workgroups, which is too few for some.
    for max_workgroups in [4, 5] {
        let profile = DeviceProfile { max_workgroups, ..GPU.profile().clone() };
        let mut folded = 0;
        for consumer in CONSUMERS {
            let graph = behind_gaps(shape, consumer);
            let plan = match Plan::new(&graph, &profile, &PlanOptions::default()) {
                Err(Error::LimitExceeded { .. }) if max_workgroups < 5 => continue,
                plan => plan.unwrap(),
            };
            folded += plan.steps.iter().filter(|step| step.workgroups > u64::from(max_workgroups)).count();
            let want = reference::run_with_bounds(&graph, &x).unwrap();
            let case = format!("{}, rows of {max_workgroups}", consumer.0);
            assert_eq!(wrong(&graph, &run_plan(plan, &x), &want), [""; 0], "{case}");
        }
        assert!(folded > 20, "{folded}");
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
    let x = [Tensor::new(inputs[0].1, vec![]).unwrap(), random(X, 1, Data::Uniform)];
    let got = Program::new(&GPU, &graph).unwrap().run(&x).unwrap();
    for (got, want) in got.iter().zip(reference::run(&graph, &x).unwrap()) {
        assert_same_bits("some", got, &want);
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
