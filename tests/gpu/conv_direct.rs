//! The convolution without workgroup memory: when it is chosen, and the edges of its blocks.

use spp_wgpu::ops::{Activation, Conv};
use spp_wgpu::plan::ConvKernel;
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, Plan, PlanOptions, Shape, Tensor, reference};

use crate::graphs::same_conv;
use crate::harness::{CARD, Data, GPU, check, graph, random, run_on, run_plan, stems, wrong};

fn conv(shape: Shape, out_c: u32, groups: u32) -> Graph {
    let conv = Conv { groups, activation: Activation::Silu, ..same_conv(out_c, shape.c / groups, 3) };
    graph(shape, |graph, x| graph.conv("conv", x, conv).unwrap())
}

fn direct() -> PlanOptions {
    let mut options = PlanOptions::default();
    options.conv_kernel = ConvKernel::Direct;
    options
}

#[test]
fn software_adapters_and_groups_of_whole_vec4s_use_it() {
    let stem = |class, groups, options: &PlanOptions| {
        let graph = conv(Shape::new(1, 16, 5, 4), 8, groups);
        stems(&Plan::new(&graph, &DeviceProfile::portable(class), options).unwrap())
    };
    let auto = PlanOptions::default();
    assert_eq!(stem(DeviceClass::Software, 1, &auto), ["conv_direct"]);
    assert_eq!(stem(DeviceClass::Discrete, 1, &auto), ["conv"]);
    assert_eq!(stem(DeviceClass::Discrete, 2, &auto), ["conv_direct"]);
    assert_eq!(stem(DeviceClass::Discrete, 1, &direct()), ["conv_direct"]);
    let profile = DeviceProfile { max_invocations: 64, ..DeviceProfile::portable(DeviceClass::Discrete) };
    let small = Plan::new(&conv(Shape::new(1, 16, 5, 4), 8, 1), &profile, &auto).unwrap();
    assert_eq!(stems(&small), ["conv_direct"], "a device too small for the tiles");
}

/// As [`check`], and by this kernel as a card has it.
fn check_on_both(case: &str, graph: &Graph, x: &[Tensor]) {
    check(case, graph, x);
    let want = reference::run_with_bounds(graph, x).unwrap();
    assert_eq!(wrong(graph, &run_on(&CARD, graph, x, &direct()), &want), [""; 0], "{case}, on a card");
}

#[test]
fn agrees_with_the_reference_at_the_edges_of_its_blocks() {
    // Blocks have 32 output channels and eight pixels, or 64 on GPUs.
    for out_c in [1, 31, 32, 33, 65] {
        for [h, w] in [[1, 1], [1, 5], [3, 1], [2, 2], [5, 7], [9, 15]] {
            let shape = Shape::new(2, 6, h, w);
            check_on_both(&format!("{shape} to {out_c}"), &conv(shape, out_c, 1), &[random(shape, 1, Data::Uniform)]);
        }
    }
    for (in_c, out_c, groups) in [(8, 72, 2), (72, 8, 2), (12, 36, 3)] {
        let shape = Shape::new(1, in_c, 3, 5);
        let case = format!("{groups} groups of {shape}");
        check_on_both(&case, &conv(shape, out_c, groups), &[random(shape, 1, Data::Uniform)]);
    }
}

#[test]
fn folded_dispatches_agree() {
    let shape = Shape::new(1, 4, 7, 9);
    let graph = conv(shape, 70, 1);
    let x = [random(shape, 2, Data::Uniform)];
    let want = reference::run_with_bounds(&graph, &x).unwrap();
    // 63 pixels in eight tiles, 70 channels in three blocks: 24 workgroups.
    for max_workgroups in [5, 8, 23, 24] {
        let profile = DeviceProfile { max_workgroups, ..GPU.profile().clone() };
        let plan = Plan::new(&graph, &profile, &direct()).unwrap();
        assert_eq!(wrong(&graph, &run_plan(plan, &x), &want), [""; 0], "rows of {max_workgroups}");
    }
}
