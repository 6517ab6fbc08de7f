//! Devices with little: what a plan can do without is not asked for.

use std::slice::from_ref;
use std::sync::LazyLock;

use spp_wgpu::reference::{Reference, Values, compare};
use spp_wgpu::wgpu::{self, Adapter, AdapterInfo, DeviceType, Features, Limits};
use spp_wgpu::{Case, Error, Gpu, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::{CONSUMERS, behind_gaps, sppf};
use crate::harness::{CARD, Data, GPU, adapter, assert_same_bits, options, random};

static ADAPTER: LazyLock<Adapter> = LazyLock::new(adapter);

/// The app's device, as the adapter describes itself or as a card.
fn device(features: Features, limits: Limits, is_card: bool) -> Gpu {
    let descriptor =
        wgpu::DeviceDescriptor { required_features: features, required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(ADAPTER.request_device(&descriptor)).unwrap();
    let info = ADAPTER.get_info();
    let card = AdapterInfo { device_type: DeviceType::DiscreteGpu, vendor: 0, name: "card".into(), ..info.clone() };
    Gpu::from_device(if is_card { card } else { info }, device, queue).unwrap()
}

/// wgpu's `downlevel_defaults`, with the features that kernels use and with none; and of them the least of invocations.
fn low() -> [(&'static str, Gpu); 4] {
    let (features, limits) = (Gpu::recommended(&ADAPTER).features, Limits::downlevel_defaults());
    let few =
        Limits { max_compute_invocations_per_workgroup: 128, max_compute_workgroup_size_x: 128, ..limits.clone() };
    [
        ("without features", device(Features::empty(), limits.clone(), false)),
        ("with features", device(features, limits.clone(), false)),
        ("a card", device(features, limits, true)),
        ("a card with few invocations", device(Features::empty(), few, true)),
    ]
}

#[test]
fn every_case_runs_on_downlevel_limits() {
    let (gpus, folder) = (low(), std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case = Case::open(&path).unwrap();
        let (graph, x) = (case.graph().unwrap(), from_ref(&case.input));
        for precision in [Precision::F32, Precision::F16] {
            let bounds = Reference { precision, ..Default::default() }.run_with_bounds(&graph, x).unwrap();
            for (way, gpu) in &gpus {
                let program = Program::with_options(gpu, &graph, &PlanOptions::default().precision(precision)).unwrap();
                assert!(program.plan().needs().max_storage_buffers_per_shader_stage <= 4, "{}", program.plan());
                program.poison().unwrap();
                for ((got, bounds), (name, _)) in program.run(x).unwrap().iter().zip(&bounds).zip(graph.outputs()) {
                    let (_, _, want) = case.outputs.iter().find(|(key, ..)| key == name).unwrap();
                    let Values { bound, cancellation, .. } = bounds.clone();
                    let want = Values { bound, cancellation, precision, ..Values::exact(want) };
                    let difference = compare(got, &want).unwrap();
                    assert!(difference.passes(), "{}, {way}, {precision:?}, {name}: {difference}", path.display());
                }
            }
        }
    }
}

#[test]
fn every_operation_runs_on_downlevel_limits() {
    let gpus = low();
    for consumer in CONSUMERS {
        let graph = behind_gaps(Shape::new(2, 9, 4, 5), consumer);
        let x = [random(Shape::new(2, 9, 4, 5), 1, Data::Uniform)];
        let want = spp_wgpu::reference::run_with_bounds(&graph, &x).unwrap();
        for (way, gpu) in &gpus {
            for (plan, options) in options().into_iter().chain([("as usual", PlanOptions::default())]) {
                let program = match Program::with_options(gpu, &graph, &options) {
                    // The form of a residual that only a pass makes, which then does not run.
                    Err(error) if consumer.0 == "conv and residual of a resized image" => {
                        let limit = "max_storage_buffers_per_shader_stage";
                        assert!(matches!(error, Error::LimitExceeded { limit: of, .. } if of == limit), "{error}");
                        continue;
                    }
                    program => program.unwrap_or_else(|error| panic!("{}, {way}, {plan}: {error}", consumer.0)),
                };
                program.poison().unwrap();
                let difference = compare(&program.run(&x).unwrap()[0], &want[0]).unwrap();
                assert!(difference.passes(), "{}, {way}, {plan}: {difference}", consumer.0);
            }
        }
    }
}

/// Of what plans need, nothing: and all else that wgpu's lowest defaults have.
fn nothing() -> Limits {
    Limits {
        max_storage_buffer_binding_size: 0,
        max_buffer_size: 0,
        max_uniform_buffer_binding_size: 0,
        max_compute_workgroup_storage_size: 0,
        max_compute_invocations_per_workgroup: 0,
        max_compute_workgroup_size_x: 0,
        max_compute_workgroups_per_dimension: 0,
        max_storage_buffers_per_shader_stage: 0,
        ..Limits::downlevel_defaults()
    }
}

/// With a cascade in workgroup memory, tiles of a card, and dispatches of many workgroups.
fn graphs() -> Vec<(Graph, Tensor)> {
    let of = |graph: Graph, shape| (graph, random(shape, 1, Data::Uniform));
    let (small, wide) = (Shape::new(1, 9, 13, 17), Shape::new(1, 64, 20, 20));
    let mut graphs = vec![of(sppf(small, 9, true), small), of(sppf(wide, 32, true), wide)];
    let shape = Shape::new(2, 9, 4, 5);
    graphs.extend(CONSUMERS.iter().map(|consumer| of(behind_gaps(shape, consumer), shape)));
    graphs
}

#[test]
fn a_device_with_just_what_a_plan_needs_runs_it() {
    for (graph, x) in graphs() {
        for profile in [GPU.profile(), CARD.profile()] {
            for precision in [Precision::F32, Precision::F16] {
                let options = PlanOptions::default().precision(precision);
                let plan = Plan::new(&graph, profile, &options).unwrap();
                let needs = plan.needs();
                let gpu = device(needs.features(), needs.limits(nothing()), false);
                let got = Program::from_plan(&gpu, plan.clone()).unwrap().run(from_ref(&x)).unwrap();
                let want = Program::from_plan(&GPU, plan).unwrap().run(from_ref(&x)).unwrap();
                assert_same_bits(&format!("{needs:?}"), &got[0], &want[0]);
            }
        }
    }
}

#[test]
fn a_device_with_less_than_a_plan_needs_is_refused_by_the_limits_name() {
    let graph = &graphs()[1].0;
    let plan = Plan::new(graph, CARD.profile(), &PlanOptions::default()).unwrap();
    let least = || plan.needs().limits(nothing());
    type Lower = fn(&mut Limits);
    let lower: [(&str, Lower); 7] = [
        ("max_storage_buffer_binding_size", |l| l.max_storage_buffer_binding_size -= 4),
        ("max_buffer_size", |l| l.max_buffer_size -= 4),
        ("max_uniform_buffer_binding_size", |l| l.max_uniform_buffer_binding_size -= 4),
        ("max_compute_workgroup_storage_size", |l| l.max_compute_workgroup_storage_size -= 4),
        ("max_compute_invocations_per_workgroup", |l| l.max_compute_invocations_per_workgroup -= 1),
        ("max_compute_workgroups_per_dimension squared", |l| l.max_compute_workgroups_per_dimension -= 1),
        ("max_storage_buffers_per_shader_stage", |l| l.max_storage_buffers_per_shader_stage -= 1),
    ];
    for (name, lower) in lower {
        let mut limits = least();
        lower(&mut limits);
        let refused = Program::from_plan(&device(plan.needs().features(), limits, false), plan.clone());
        assert!(matches!(refused, Err(Error::LimitExceeded { limit, .. }) if limit == name), "{name}: {refused:?}");
    }
}

#[test]
fn a_recommended_device_is_as_its_profile_says_and_as_our_own() {
    let wanted = Gpu::recommended(&ADAPTER);
    let gpu = device(wanted.features, wanted.limits, false);
    assert_eq!(*gpu.profile(), wanted.profile);
    assert_eq!(*GPU.profile(), wanted.profile);
}
