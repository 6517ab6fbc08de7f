//! What `src/gpu/trusted.rs` lets through: kernels without checks.

use spp_wgpu::{Gpu, GpuOptions, Plan, PlanOptions, Program, Shape, Tensor, reference};

use crate::graphs::sppf;
use crate::harness::{Data, random, wrong};

fn gpu(change: impl FnOnce(&mut GpuOptions)) -> Gpu {
    let mut options = GpuOptions::default();
    change(&mut options);
    Gpu::new(&options).unwrap()
}

/// Runs a block that has convolutions, a cascade and both layouts.
fn runs(gpu: &Gpu) {
    let graph = sppf(Shape::new(2, 12, 8, 9), 9, true);
    let x = [random(graph.inputs().next().unwrap().1.shape, 1, Data::Uniform)];
    let want = reference::run_with_bounds(&graph, &x).unwrap();
    let check = |program: Program| {
        program.poison().unwrap();
        let got: Vec<Tensor> = program.run(&x).unwrap();
        assert_eq!(wrong(&graph, &got, &want), [""; 0]);
    };
    check(Program::new(gpu, &graph).unwrap());
    // The same sources with checks, on one device.
    check(Program::from_plan(gpu, Plan::new(&graph, gpu.profile(), &PlanOptions::default()).unwrap()).unwrap());
}

#[test]
fn kernels_compute_the_same_with_and_without_checks() {
    for checked in [false, true] {
        runs(&gpu(|options| options.checked = checked));
    }
}
