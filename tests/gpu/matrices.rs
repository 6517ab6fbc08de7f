//! Matrices are there where they were asked for and can be trusted; and all kernels agree on integers, to the last bit.

use std::time::Duration;

use spp_wgpu::gpu::{ExactGraph, matrices_of};
use spp_wgpu::plan::{DeviceProfile, Matrices, Role, Step};
use spp_wgpu::wgpu::Features;
use spp_wgpu::{Gpu, GpuOptions, Graph, Plan, PlanOptions, Precision, Program, Shape};

use crate::graphs::same_conv;
use crate::harness::on_matrices;
use crate::harness::{CARD, CARD_WITH_MATRICES, GPU, MATRICES, Way, adapter, described, graph, in_f16, options};

fn with_matrices(change: impl FnOnce(&mut GpuOptions)) -> GpuOptions {
    let mut options = GpuOptions::device(&GPU.info().name);
    options.matrices = true;
    change(&mut options);
    options
}

#[test]
fn nobody_gets_matrices_without_asking() {
    assert_eq!(GPU.profile().matrices, Matrices::NONE);
    assert_eq!(GPU.why_no_matrices(), Some("they were not asked for"));
    assert!(!GPU.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX));
    assert_eq!(GPU.self_test().unwrap().graphs, 0);
}

#[test]
fn who_asks_gets_what_the_adapter_has_or_a_reason() {
    let gpu = Gpu::new(&with_matrices(|_| ())).unwrap();
    match matrices_of(&adapter()) {
        Ok(matrices) => {
            assert_eq!((gpu.profile().matrices, gpu.why_no_matrices()), (matrices, None));
            assert!(gpu.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX));
            // Software adapters compile what they run for the first time.
            gpu.self_test().unwrap();
            let tested = gpu.self_test().unwrap();
            println!("{matrices:?}: {tested:?}");
            assert!(tested.mismatch.is_none() && tested.graphs > 0);
            assert_eq!(tested.on_matrices, tested.graphs);
            // Ten times what it may take on an idle machine.
            assert!(tested.time < Duration::from_secs(1), "{:?}", tested.time);
        }
        Err(reason) => {
            println!("no matrices: {reason}");
            assert_eq!((gpu.profile().matrices, gpu.why_no_matrices()), (Matrices::NONE, Some(&*reason)));
            assert!(!gpu.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX));
        }
    }
}

#[test]
fn an_apps_device_has_matrices_if_its_adapter_says_so() {
    let own = Gpu::new(&with_matrices(|_| ())).unwrap();
    let with = |options: &GpuOptions| {
        let (info, device, queue) = (own.info().clone(), own.device().clone(), own.queue().clone());
        Gpu::from_device_with_options(info, device, queue, options).unwrap()
    };
    let untold = with(&with_matrices(|_| ()));
    assert_eq!(untold.profile().matrices, Matrices::NONE);
    assert!(untold.why_no_matrices().unwrap().contains("GpuOptions::adapter"));
    let told = with(&with_matrices(|options| options.adapter = Some(adapter())));
    println!("{:?} {:?}", told.profile().matrices, told.why_no_matrices());
    assert_eq!(told.profile().matrices, own.profile().matrices);
    assert_eq!(told.why_no_matrices().is_some(), own.why_no_matrices().is_some());
    // A device without the feature, of an adapter that may have it.
    let options = with_matrices(|options| options.adapter = Some(adapter()));
    let (info, device, queue) = (GPU.info().clone(), GPU.device().clone(), GPU.queue().clone());
    let without = Gpu::from_device_with_options(info, device, queue, &options).unwrap();
    assert_eq!(without.profile().matrices, Matrices::NONE);
    assert!(without.why_no_matrices().is_some());
}

#[test]
fn all_kernels_agree_on_integers() {
    let ways = options().into_iter().chain([("by default", PlanOptions::default())]);
    let mut ways: Vec<Way> = ways.map(|(way, options)| (way, &*MATRICES, options)).collect();
    ways.extend([("for a card", &*CARD, PlanOptions::default())]);
    ways.extend([("for a card with matrices", &*CARD_WITH_MATRICES, PlanOptions::default())]);
    ways.extend(in_f16(&ways));
    for way in ways {
        // Each form once, or twice.
        let seeds = if way.2.precision == Precision::F16 { 8 } else { 16 };
        let mut matrices = 0;
        for seed in 0..seeds {
            let (plan, mismatch) = ExactGraph::random(seed).unwrap().check(way.1, &way.2, 0..2).unwrap();
            assert!(mismatch.is_none(), "{}: {}", described(&way), mismatch.unwrap());
            matrices += usize::from(plan.steps.iter().any(Step::on_matrices));
        }
        println!("{}: {matrices} of {seeds} graphs on matrices", described(&way));
    }
}

/// Whatever the planner would take.
#[test]
fn every_tile_of_matrices_agrees_on_integers() {
    for seed in 0..8 {
        let exact = ExactGraph::random(seed).unwrap();
        for precision in [Precision::F16, Precision::F32] {
            for way in on_matrices(exact.graph(), precision) {
                let (plan, mismatch) = exact.check(way.1, &way.2, 0..2).unwrap();
                assert!(mismatch.is_none(), "{}: {}", described(&way), mismatch.unwrap());
                assert!(
                    way.2.tuned.is_none() || plan.steps.iter().any(Step::on_matrices),
                    "{}: {plan}",
                    described(&way)
                );
            }
        }
    }
}

/// One weight too large, and one workgroup too few, of each graph.
#[test]
fn a_wrong_kernel_is_found() {
    for seed in 0..8 {
        let exact = ExactGraph::random(seed).unwrap();
        let direct = Program::from_plan(&GPU, exact.direct(&GPU).unwrap()).unwrap();
        let plan = Plan::new(exact.graph(), GPU.profile(), &PlanOptions::default()).unwrap();
        let mut heavy = plan.clone();
        let weights = heavy.buffers.iter_mut().filter_map(|buffer| match &mut buffer.role {
            Role::Constant(words) if buffer.label.contains("weights") => Some(words),
            _ => None,
        });
        for words in weights {
            let mut changed = words.to_vec();
            // The first that counts: others may be padding.
            let first = changed.iter_mut().find(|word| f32::from_bits(**word) != 0.0).unwrap();
            *first = (f32::from_bits(*first) * 3.0).to_bits();
            *words = changed.into();
        }
        let mut short = plan.clone();
        let computes = short.steps.iter_mut().find(|step| step.shader.stem.starts_with("conv")).unwrap();
        computes.workgroups -= 1;
        for (fault, plan, found) in [("none", plan, false), ("a weight", heavy, true), ("a workgroup", short, true)] {
            let tested = Program::from_plan(&GPU, plan).unwrap();
            tested.poison().unwrap();
            let mismatch = exact.compare(&tested, &direct, 0..2).unwrap();
            assert_eq!(mismatch.is_some(), found, "{fault} of seed {seed}: {mismatch:?}");
        }
    }
}

/// Of another size, or for subgroups of other lanes, they would be undefined behaviour or wrong.
#[test]
fn plans_for_other_matrices_are_refused() {
    let conv = |graph: &mut Graph, x| graph.conv("y", x, same_conv(128, 128, 3)).unwrap();
    let graph = graph(Shape::new(1, 128, 64, 64), conv);
    let profile = DeviceProfile::named("navi31").unwrap();
    let plan = Plan::new(&graph, &profile, &PlanOptions::default().precision(Precision::F16)).unwrap();
    assert!(plan.steps.iter().any(Step::on_matrices), "{plan}");
    let error = Program::from_plan(&GPU, plan).unwrap_err().to_string();
    assert!(error.contains("multiplies matrices"), "{error}");
}
