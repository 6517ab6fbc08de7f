//! The depthwise convolution: kernels and strides of every kind, rows that end anywhere, several in one dispatch.

use spp_wgpu::ops::{Activation, Conv, Padding};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape};

use crate::graphs::same_conv;
use crate::harness::{Data, GPU, check_bits_on_both, check_on_both, graph, random, stems};

fn depthwise(channels: u32, kernel: [u32; 2], stride: [u32; 2], padding: Padding) -> Conv {
    let weight = random(Shape::new(channels, 1, kernel[0], kernel[1]), 3, Data::Uniform);
    Conv { weight: weight.into(), groups: channels, stride, padding, ..same_conv(channels, 1, 1) }
}

fn alone(shape: Shape, conv: Conv) -> Graph {
    graph(shape, |graph, x| graph.conv("conv", x, conv).unwrap())
}

#[test]
fn agrees_with_the_reference_for_every_kernel_and_stride() {
    let around = Padding::symmetric;
    let uneven = Padding { top: 2, left: 0, bottom: 0, right: 3 };
    for (kernel, stride, padding) in [
        ([3, 3], [1, 1], around(1, 1)),
        ([3, 3], [2, 2], around(1, 1)),
        ([3, 3], [1, 2], around(0, 1)),
        ([5, 5], [1, 1], around(2, 2)),
        ([5, 5], [2, 2], around(2, 2)),
        ([1, 2], [3, 1], around(0, 0)),
        ([1, 1], [1, 2], around(0, 0)),
        ([2, 7], [1, 2], around(1, 3)),
        ([3, 4], [2, 1], uneven),
    ] {
        for [n, c, h, w] in [[1, 2, 3, 8], [2, 5, 5, 7], [1, 8, 3, 13], [1, 12, 6, 9], [1, 3, 4, 10]] {
            let shape = Shape::new(n, c, h, w);
            let graph = alone(shape, depthwise(c, kernel, stride, padding));
            let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
            let case = format!("{kernel:?} by {stride:?} over {shape}");
            assert_eq!(stems(&plan), ["conv_depthwise"], "{case}");
            check_on_both(&case, &graph, &[random(shape, 1, Data::Uniform)]);
        }
    }
}

#[test]
fn rows_may_be_dilated_and_a_residual_added() {
    let shape = Shape::new(2, 6, 7, 5);
    let weight = random(Shape::new(6, 1, 3, 3), 4, Data::Integers);
    let conv =
        Conv { dilation: [2, 1], padding: Padding::symmetric(2, 1), scale: -3.0, bias: None, ..same_conv(6, 1, 3) };
    let conv = Conv { weight: weight.into(), groups: 6, ..conv };
    let graph = graph(shape, |graph, x| graph.conv_add("y", x, x, conv).unwrap());
    let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
    assert_eq!(stems(&plan), ["conv_depthwise"]);
    check_bits_on_both("residual", &graph, &[random(shape, 1, Data::Integers)]);
}

/// Those with kernels and strides of the same width share a dispatch.
#[test]
fn several_are_made_at_once() {
    let shape = Shape::new(1, 8, 6, 7);
    let graph = graph(shape, |graph, x| {
        let conv = |activation| Conv { activation, ..depthwise(8, [3, 3], [1, 1], Padding::symmetric(1, 1)) };
        let a = graph.conv("a", x, conv(Activation::Silu)).unwrap();
        let b = graph.conv("b", x, conv(Activation::None)).unwrap();
        let c = graph.conv("c", x, depthwise(8, [5, 5], [1, 1], Padding::symmetric(2, 2))).unwrap();
        graph.concat("y", &[a, b, c]).unwrap()
    });
    let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
    assert_eq!(stems(&plan), ["conv_depthwise", "conv_depthwise"]);
    check_on_both("three", &graph, &[random(shape, 1, Data::Uniform)]);
}

/// Infinity in one channel leaves the others alone, and what is beyond the image is no value.
#[test]
fn channels_and_borders_do_not_see_each_other() {
    let shape = Shape::new(1, 5, 3, 6);
    let mut x = random(shape, 1, Data::Uniform);
    x.data_mut()[..18].fill(f32::INFINITY);
    let conv = depthwise(5, [3, 3], [1, 1], Padding::symmetric(1, 1));
    let got = crate::harness::run(&alone(shape, conv), &[x], &PlanOptions::default());
    assert!(got[0].data()[..18].iter().all(|v| !v.is_finite()));
    assert!(got[0].data()[18..].iter().all(|v| v.is_finite()));
    // Only the first column sees the infinite one; the row above ends with another.
    let mut x = random(shape, 2, Data::Uniform);
    (0..3).for_each(|row| x.data_mut()[row * 6 + 5] = f32::NAN);
    let conv = depthwise(5, [3, 2], [1, 1], Padding { top: 1, left: 1, bottom: 1, right: 0 });
    let got = crate::harness::run(&alone(shape, conv), &[x], &PlanOptions::default());
    let nan = |row: usize| (0..6).map(|column| got[0].data()[row * 6 + column].is_nan()).collect::<Vec<_>>();
    (0..3).for_each(|row| assert_eq!(nan(row), [false, false, false, false, false, true]));
}
