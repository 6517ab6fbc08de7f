//! Convolutions on cooperative matrices: every tile of the adapter's, whatever the planner would take.

use std::slice;

use spp_wgpu::ops::{Activation, Conv, ConvSum, GlobalPool, GlobalPoolKind, Padding};
use spp_wgpu::plan::{Step, Tile};
use spp_wgpu::{Graph, NodeId, Plan, PlanOptions, Precision, Shape, Tensor, reference};

use crate::graphs::{CONSUMERS, all_parts, behind_gaps, same_conv};
use crate::harness::{
    CARD_WITH_MATRICES, Data, MATRICES, Way, assert_same_bits, check_on_matrices, described, graph, halves,
    on_matrices, random, run_on,
};

/// What the adapter's matrices multiply, with the tiles for them.
fn kinds() -> Vec<(Precision, [Tile; 3])> {
    let size = |precision: Precision| MATRICES.profile().matrices.of(precision.element());
    let kinds = [Precision::F16, Precision::F32].into_iter();
    kinds.filter_map(|precision| Some((precision, Tile::of_matrices(size(precision)?)))).collect()
}

fn plan((_, gpu, options): &Way, graph: &Graph) -> Plan {
    Plan::new(graph, gpu.profile(), options).unwrap()
}

fn check_all(case: &str, data: Data, graph: &Graph) {
    let inputs: Vec<Tensor> = graph.inputs().zip(11..).map(|((_, x), seed)| random(x.shape, seed, data)).collect();
    check_on_matrices(case, graph, &inputs, data == Data::Integers);
}

fn conv(x: Shape, out_c: u32, kernel: u32, data: Data, change: impl FnOnce(Conv) -> Conv) -> Graph {
    graph(x, |graph, input| graph.conv("conv", input, change(of(data, out_c, x.c, kernel))).unwrap())
}

/// A square convolution that keeps the extent.
fn of(data: Data, out_c: u32, in_c: u32, kernel: u32) -> Conv {
    let weight = random(Shape::new(out_c, in_c, kernel, kernel), 3, data);
    let bias = random(Shape::new(1, out_c, 1, 1), 7, data).into_data();
    Conv { bias: Some(bias.into()), weight: weight.into(), ..same_conv(1, 1, kernel) }
}

const BOTH: [Data; 2] = [Data::Integers, Data::Uniform];

#[test]
fn every_tile_that_was_asked_for_is_taken() {
    for (precision, tiles) in kinds() {
        let graph = conv(Shape::new(1, 40, 5, 7), 20, 3, Data::Uniform, |conv| conv);
        let ways = on_matrices(&graph, precision);
        for (way, tile) in ways.iter().zip(tiles) {
            let plan = plan(way, &graph);
            assert!(plan.steps.iter().any(Step::on_matrices), "{}: {plan}", described(way));
            assert!(plan.to_string().contains(&tile.to_string()), "{}: {plan}", described(way));
        }
    }
}

/// One pixel and one channel; one less than a tile, a tile, one more; several tiles with some left over.
#[test]
fn edges_of_tiles_are_right() {
    for (_, tiles) in kinds() {
        for Tile { m, n, k, .. } in tiles {
            let rows = [
                ([1, 1, 1], 1, 1),
                ([1, 1, m - 1], n - 1, k - 1),
                ([1, 2, m / 2], n, k),
                ([1, 1, m + 1], n + 1, k + 1),
                // Images lie across tiles.
                ([3, 5, m / 5], 2 * n + 5, 2 * k + 6),
                ([5, 3, 7], 9, k + 13),
            ];
            for ([images, h, w], out_c, in_c) in rows {
                let x = Shape::new(images, in_c, h, w);
                for (kernel, data) in [(1, Data::Integers), (3, Data::Integers), (1, Data::Uniform)] {
                    let case = format!("{kernel}x{kernel}, {x} to {out_c}, {data:?}");
                    check_all(&case, data, &conv(x, out_c, kernel, data, |conv| conv));
                }
            }
        }
    }
}

#[test]
fn strides_dilation_and_padding_are_right() {
    type Change = fn(Conv) -> Conv;
    let changes: [(&str, Change); 6] = [
        ("strides", |conv| Conv { stride: [2, 3], ..conv }),
        ("dilation", |conv| Conv { dilation: [2, 3], padding: Padding::symmetric(2, 3), ..conv }),
        ("dilation past the border", |conv| Conv { dilation: [13; 2], padding: Padding::symmetric(13, 13), ..conv }),
        ("uneven padding", |conv| Conv { padding: Padding { top: 2, left: 0, bottom: 1, right: 3 }, ..conv }),
        ("whole windows in the padding", |conv| Conv { padding: Padding::symmetric(6, 5), ..conv }),
        ("no padding", |conv| Conv { padding: Padding::default(), activation: Activation::LeakyRelu(0.5), ..conv }),
    ];
    for (case, change) in changes {
        for data in BOTH {
            check_all(case, data, &conv(Shape::new(2, 37, 9, 7), 43, 3, data, change));
        }
    }
}

/// Before and after the activation, of one pixel for each image, and resized.
#[test]
fn residuals_are_right() {
    for data in BOTH {
        // Sums of sums stay whole numbers of an f16.
        let weight = |conv: Conv| {
            let mut weight = conv.weight.to_tensor().unwrap();
            weight.data_mut().iter_mut().for_each(|weight| *weight = weight.clamp(-1.0, 1.0));
            Conv { weight: weight.into(), activation: Activation::Relu, scale: -0.5, ..conv }
        };
        let of = |out_c, in_c, kernel| weight(of(data, out_c, in_c, kernel));
        let shape = Shape::new(3, 36, 5, 7);
        let max = GlobalPool { kind: GlobalPoolKind::Max };
        type Build<'a> = &'a dyn Fn(&mut Graph, NodeId) -> NodeId;
        let build: [(&str, Build); 4] = [
            ("before", &|graph, x| graph.conv_add("y", x, x, of(36, 36, 3)).unwrap()),
            ("last", &|graph, x| graph.conv_add("y", x, x, Conv { adds_last: true, ..of(36, 36, 3) }).unwrap()),
            ("of the image", &|graph, x| {
                let pixel = graph.global_pool("pixel", x, max).unwrap();
                graph.conv_add("y", x, pixel, of(36, 36, 3)).unwrap()
            }),
            ("resized", &|graph, x| {
                let pixel = graph.global_pool("pixel", x, max).unwrap();
                let pixel = graph.conv("more", pixel, of(37, 36, 1)).unwrap();
                graph.conv_add("y", x, pixel, of(36, 36, 3)).unwrap()
            }),
        ];
        for (case, build) in build {
            check_all(case, data, &graph(shape, build));
        }
    }
}

/// One, two and three inputs, some read twice, of unlike kernels.
#[test]
fn sums_of_convolutions_are_right() {
    for data in BOTH {
        for order in [&[0, 0][..], &[0, 1, 0], &[2, 1, 0, 1]] {
            let widths = [36, 5, 45];
            let mut graph = Graph::new();
            let mut input = |c: u32| graph.input(format!("of {c}"), Shape::new(2, c, 7, 9)).unwrap();
            let count = order.iter().max().unwrap() + 1;
            let xs: Vec<_> = widths.into_iter().take(count).map(&mut input).collect();
            let term = |(i, &x): (usize, &usize)| {
                let dilation = 1 + i as u32;
                let conv = of(data, 41, widths[x], 3);
                Conv { dilation: [dilation; 2], padding: Padding::symmetric(dilation, dilation), ..conv }
            };
            let terms = order.iter().enumerate().map(term).collect();
            let xs: Vec<_> = order.iter().map(|&x| xs[x]).collect();
            let y = graph.conv_sum("y", &xs, ConvSum { terms, activation: Activation::Relu }).unwrap();
            graph.output("y", y).unwrap();
            check_all(&format!("sum of {order:?}"), data, &graph);
        }
    }
}

/// Heads of one input into one concatenation, branches of each, then a convolution of what lies between others at an odd
/// number of vec4s.
#[test]
fn jobs_side_by_side_and_slices_are_right() {
    for data in BOTH {
        let branches = graph(Shape::new(2, 20, 11, 6), |graph, x| {
            let of = |out_c, in_c, kernel| {
                let conv = of(data, out_c, in_c, kernel);
                let mut weight = conv.weight.to_tensor().unwrap();
                weight.data_mut().iter_mut().for_each(|weight| *weight = (*weight / 3.0).trunc());
                Conv { weight: weight.into(), ..conv }
            };
            let widths = [4, 36, 5];
            let heads = widths.map(|c| graph.conv(format!("head of {c}"), x, of(c, 20, 1)).unwrap());
            let branches = widths.into_iter().zip(heads).zip([12, 43, 9]);
            let branches: Vec<_> = branches
                .map(|((in_c, head), c)| graph.conv(format!("branch of {c}"), head, of(c, in_c, 3)).unwrap())
                .collect();
            let cat = graph.concat("cat", &branches).unwrap();
            let one = graph.conv("of the middle", branches[1], of(8, 43, 1)).unwrap();
            let all = graph.conv("of all", cat, of(8, 64, 1)).unwrap();
            graph.concat("y", &[one, cat, all]).unwrap()
        });
        check_all("branches", data, &branches);
    }
    for consumer in CONSUMERS.iter().filter(|(name, _)| name.contains("conv")) {
        check_all(consumer.0, Data::Uniform, &behind_gaps(Shape::new(2, 36, 5, 6), consumer));
    }
}

/// A sum that a card splits among workgroups: only the first part has the bias, and the reader adds up all of them.
#[test]
fn sums_in_parts_are_right() {
    for data in BOTH {
        for (x, out_c, kernel) in [(Shape::new(1, 1030, 5, 7), 65, 1), (Shape::new(2, 150, 3, 3), 33, 3)] {
            let graph = conv(x, out_c, kernel, data, |conv| conv);
            for (precision, _) in kinds() {
                let ways = on_matrices(&graph, precision);
                let in_parts = |way: &&Way| all_parts(&plan(way, &graph)).iter().any(|&parts| parts > 1);
                assert!(ways.iter().filter(in_parts).count() >= 2, "{x} in {precision:?}");
            }
            check_all(&format!("{x} to {out_c}"), data, &graph);
        }
    }
}

/// What is NaN or infinite reaches the windows that see it, and no pixel or channel besides: taps in the padding, rows and
/// columns beyond the map, and padding lanes are left out, not multiplied.
#[test]
fn nan_and_infinity_reach_only_what_sees_them() {
    for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in [0, 17, 35] {
            // The padding takes its place at the first value of x.
            let x = Shape::new(2, 37, 6, 6);
            let mut input = random(x, 1, Data::Integers);
            input.data_mut()[place] = special;
            let of_x = conv(x, 41, 3, Data::Integers, |conv| Conv { dilation: [2; 2], ..conv });
            // Such a weight does meet the zeros of the padding.
            let mut weights = Conv { padding: Padding::default(), ..of(Data::Integers, 41, 37, 3) };
            let mut weight = weights.weight.to_tensor().unwrap();
            weight.data_mut()[place * 9] = special;
            weights.weight = weight.into();
            let of_w = graph(x, |graph, input| graph.conv("conv", input, weights).unwrap());
            for (graph, input) in [(&of_x, &input), (&of_w, &random(x, 1, Data::Integers))] {
                let want = reference::run(graph, slice::from_ref(input)).unwrap();
                let finite = want[0].data().iter().filter(|y| y.is_finite()).count();
                assert!(finite > 0 && finite < want[0].data().len());
                for way in kinds().into_iter().flat_map(|(precision, _)| on_matrices(graph, precision)) {
                    let got = run_on(way.1, graph, slice::from_ref(input), &way.2);
                    assert_same_bits(&described(&way), &got[0], &halves(&want[0]));
                }
            }
        }
    }
}

/// By estimate on a card, by the table on a processor.
#[test]
fn large_maps_are_given_to_matrices() {
    for (precision, _) in kinds() {
        let graph = conv(Shape::new(1, 256, 40, 40), 256, 1, Data::Uniform, |conv| conv);
        let options = PlanOptions::default().precision(precision);
        for gpu in [&*CARD_WITH_MATRICES, &*MATRICES] {
            let plan = Plan::new(&graph, gpu.profile(), &options).unwrap();
            assert!(plan.steps.iter().any(Step::on_matrices), "{plan}");
            let weights = plan.buffers.iter().find(|buffer| buffer.label.contains("weights")).unwrap();
            assert_eq!(weights.element, precision.element(), "{plan}");
        }
    }
}
