//! Sums of convolutions in one pass, and convolutions that share a dispatch.

use spp_wgpu::ops::{Activation, Add, Conv, ConvSum, Padding};
use spp_wgpu::{Graph, PlanOptions, Shape};

use crate::graphs::{Data, random};
use crate::harness::{GPU, check, check_bits, run, stems};

fn conv(out_c: u32, in_c: u32, kernel: u32, dilation: u32, data: Data) -> Conv {
    let pad = kernel / 2 * dilation;
    Conv {
        bias: Some(random(Shape::new(1, out_c, 1, 1), u64::from(kernel + dilation), data).into_data().into()),
        padding: Padding::symmetric(pad, pad),
        dilation: [dilation; 2],
        ..Conv::new(random(Shape::new(out_c, in_c, kernel, kernel), 3, data))
    }
}

/// Two inputs of different widths, kernels of different sizes, one scaled.
fn two_sources(data: Data) -> Graph {
    let mut graph = Graph::new();
    let a = graph.input("a", Shape::new(2, 5, 7, 9)).unwrap();
    let b = graph.input("b", Shape::new(2, 12, 7, 9)).unwrap();
    let terms = vec![Conv { scale: 2.0, ..conv(10, 5, 3, 2, data) }, conv(10, 12, 1, 1, data), conv(10, 5, 1, 1, data)];
    let y = graph.conv_sum("y", &[a, b, a], ConvSum { terms, activation: Activation::Relu }).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn terms_of_two_inputs_add_up() {
    for data in [Data::Uniform, Data::Integers] {
        let inputs = [random(Shape::new(2, 5, 7, 9), 1, data), random(Shape::new(2, 12, 7, 9), 2, data)];
        match data {
            Data::Integers => check_bits("integers", &two_sources(data), &inputs),
            _ => check("uniform", &two_sources(data), &inputs),
        }
    }
}

/// Branches as in RFB: heads on one input, then kernels and dilations that differ, then the sum of two.
fn branches(data: Data) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(2, 8, 11, 6)).unwrap();
    let mut parts = Vec::new();
    for (i, (width, dilation)) in [(4, 1), (8, 2), (5, 3)].into_iter().enumerate() {
        let head = graph.conv(format!("head {i}"), x, conv(width, 8, 1, 1, data)).unwrap();
        parts.push(graph.conv(format!("branch {i}"), head, conv(8, width, 3, dilation, data)).unwrap());
    }
    let cat = graph.concat("cat", &parts).unwrap();
    let linear = graph.conv("linear", cat, conv(12, 24, 1, 1, data)).unwrap();
    let shortcut = graph.conv("shortcut", x, conv(12, 8, 1, 1, data)).unwrap();
    let y = graph.add("y", linear, shortcut, Add { scale: 0.5, activation: Activation::Relu }).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn convolutions_that_wait_for_as_many_others_share_a_dispatch() {
    let plan = spp_wgpu::Plan::new(&branches(Data::Uniform), GPU.profile(), &PlanOptions::default()).unwrap();
    let convs = stems(&plan).iter().filter(|stem| stem.starts_with("conv")).count();
    assert_eq!(convs, 3, "heads, branches, tail:\n{plan}");
    for data in [Data::Uniform, Data::Integers] {
        check("branches", &branches(data), &[random(Shape::new(2, 8, 11, 6), 5, data)]);
    }
}

#[test]
fn each_pass_alone_changes_nothing_but_the_plan() {
    let graph = branches(Data::Integers);
    let x = [random(Shape::new(2, 8, 11, 6), 5, Data::Integers)];
    let all = run(&graph, &x, &PlanOptions::default());
    let changes: [fn(&mut PlanOptions); 3] =
        [|o| o.group_convs = false, |o| o.fuse_sum = false, |o| o.concat_slices = false];
    for change in changes {
        let mut options = PlanOptions::default();
        change(&mut options);
        assert_eq!(run(&graph, &x, &options)[0].data(), all[0].data());
    }
}
