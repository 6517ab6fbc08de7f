//! The convolution whose groups cut through a vec4: when it is chosen, and groups of every alignment.

use spp_wgpu::ops::{Conv, Padding};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape};

use crate::graphs::same_conv;
use crate::harness::{Data, GPU, check_bits_on_both, check_on_both, graph, random, stems};

fn conv(shape: Shape, out_c: u32, groups: u32) -> Graph {
    // Neighbours of depthwise ones that are not dilated share what they read, in another kernel.
    let padding = Padding::symmetric(1, 2);
    let conv = Conv { groups, padding, stride: [1, 2], dilation: [1, 2], ..same_conv(out_c, shape.c / groups, 3) };
    graph(shape, |graph, x| graph.conv("conv", x, conv).unwrap())
}

#[test]
fn agrees_with_the_reference_for_groups_of_every_alignment() {
    for (in_c, out_c, groups) in [
        (2, 2, 2),
        (3, 3, 3),
        (4, 4, 4),
        (9, 9, 9),
        (5, 10, 5),
        (10, 5, 5),
        (6, 6, 2),
        (14, 10, 2),
        (8, 6, 2),
        (6, 8, 2),
    ] {
        for [n, h, w] in [[1, 1, 1], [2, 5, 3], [1, 2, 9]] {
            let shape = Shape::new(n, in_c, h, w);
            let graph = conv(shape, out_c, groups);
            let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
            let case = format!("{groups} groups of {shape} to {out_c}");
            assert_eq!(stems(&plan), ["conv_grouped"], "{case}");
            check_on_both(&case, &graph, &[random(shape, 1, Data::Uniform)]);
        }
    }
}

#[test]
fn adds_a_residual() {
    let shape = Shape::new(2, 6, 5, 4);
    let weight = || random(Shape::new(6, 3, 3, 3), 4, Data::Integers);
    let graph = graph(shape, |graph, x| {
        let conv = Conv { groups: 2, scale: -3.0, bias: None, ..same_conv(6, 3, 3) };
        graph.conv_add("y", x, x, Conv { weight: weight().into(), ..conv }).unwrap()
    });
    check_bits_on_both("residual", &graph, &[random(shape, 1, Data::Integers)]);
}

/// A depthwise lane reads its own channel only: infinity in one channel leaves the others alone.
#[test]
fn groups_do_not_see_each_other() {
    for (channels, groups) in [(5, 5), (6, 2), (10, 5)] {
        let shape = Shape::new(1, channels, 3, 3);
        let mut x = random(shape, 1, Data::Uniform);
        x.data_mut()[..9].fill(f32::INFINITY);
        let graph = conv(shape, channels, groups);
        let got = crate::harness::run(&graph, &[x], &PlanOptions::default());
        let per_group = got[0].data().len() / groups as usize;
        assert!(got[0].data()[..per_group].iter().all(|v| !v.is_finite()));
        assert!(got[0].data()[per_group..].iter().all(|v| v.is_finite()), "{groups} groups of {channels}");
    }
}
