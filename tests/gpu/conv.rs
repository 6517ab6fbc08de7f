//! Convolution by any kernel the planner chooses: attributes, shapes at tile edges, epilogues, exact integers.

use spp_wgpu::ops::{Activation, Conv, GlobalPool, GlobalPoolKind, Padding};
use spp_wgpu::{Graph, Shape};

use crate::harness::{Data, check, check_bits, graph, random, random_halves};

/// A convolution to try; by default 3x3, stride 1, padding 1, 5 to 6 channels.
struct Case {
    name: &'static str,
    x: Shape,
    out_c: u32,
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: Padding,
    dilation: [u32; 2],
    groups: u32,
    activation: Activation,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "3x3",
            x: Shape::new(2, 5, 9, 7),
            out_c: 6,
            kernel: [3, 3],
            stride: [1, 1],
            padding: Padding::symmetric(1, 1),
            dilation: [1, 1],
            groups: 1,
            activation: Activation::None,
        }
    }
}

impl Case {
    fn graph(&self, data: Data) -> Graph {
        let weight = Shape::new(self.out_c, self.x.c / self.groups, self.kernel[0], self.kernel[1]);
        graph(self.x, |graph, x| {
            let conv = Conv {
                bias: Some(random_halves(Shape::new(1, self.out_c, 1, 1), 7, data).into_data().into()),
                stride: self.stride,
                padding: self.padding,
                dilation: self.dilation,
                groups: self.groups,
                activation: self.activation,
                ..Conv::new(random_halves(weight, 3, data))
            };
            graph.conv("conv", x, conv).unwrap()
        })
    }
}

fn cases() -> Vec<Case> {
    let none = Padding::default();
    let shape = Shape::new;
    vec![
        Case::default(),
        Case { name: "1x1", kernel: [1, 1], padding: none, ..Case::default() },
        Case { name: "1x1 of one pixel", x: shape(1, 3, 1, 1), kernel: [1, 1], padding: none, ..Case::default() },
        Case { name: "1x3", kernel: [1, 3], padding: Padding::symmetric(0, 1), ..Case::default() },
        Case { name: "3x1", kernel: [3, 1], padding: Padding::symmetric(1, 0), ..Case::default() },
        Case { name: "4x4 of stride 2", kernel: [4, 4], stride: [2, 2], ..Case::default() },
        Case { name: "2x4", kernel: [2, 4], padding: none, ..Case::default() },
        Case { name: "stride 3 over kernel 2", kernel: [2, 2], stride: [3, 3], padding: none, ..Case::default() },
        Case { name: "strides differ", stride: [2, 3], ..Case::default() },
        Case { name: "dilation 2, 3", dilation: [2, 3], padding: Padding::symmetric(2, 3), ..Case::default() },
        Case {
            name: "dilation past the border",
            dilation: [12, 12],
            padding: Padding::symmetric(12, 12),
            ..Case::default()
        },
        Case { name: "uneven padding", padding: Padding { top: 2, left: 0, bottom: 1, right: 3 }, ..Case::default() },
        Case { name: "padding over the kernel", padding: Padding::symmetric(5, 4), ..Case::default() },
        Case { name: "one tile", x: shape(1, 16, 8, 8), out_c: 64, ..Case::default() },
        Case { name: "a tile and one", x: shape(1, 17, 5, 13), out_c: 65, ..Case::default() },
        Case { name: "a tile less one", x: shape(1, 15, 7, 9), out_c: 63, ..Case::default() },
        Case { name: "many channels", x: shape(1, 129, 6, 5), out_c: 131, ..Case::default() },
        Case { name: "images across tiles", x: shape(5, 8, 3, 7), out_c: 8, ..Case::default() },
        Case { name: "groups of four", x: shape(2, 8, 6, 5), out_c: 16, groups: 2, ..Case::default() },
        Case { name: "groups of three", x: shape(2, 6, 6, 5), out_c: 10, groups: 2, ..Case::default() },
        Case { name: "groups of one, two each", x: shape(1, 5, 6, 5), out_c: 10, groups: 5, ..Case::default() },
        Case { name: "depthwise", x: shape(2, 7, 6, 5), out_c: 7, groups: 7, ..Case::default() },
        Case {
            name: "depthwise of stride 2",
            x: shape(1, 8, 9, 9),
            out_c: 8,
            groups: 8,
            stride: [2, 2],
            ..Case::default()
        },
        Case { name: "relu", activation: Activation::Relu, ..Case::default() },
        Case { name: "leaky relu", activation: Activation::LeakyRelu(0.2), ..Case::default() },
        Case { name: "silu", activation: Activation::Silu, ..Case::default() },
        Case { name: "sigmoid", activation: Activation::Sigmoid, ..Case::default() },
    ]
}

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for case in cases() {
        for data in [Data::Uniform, Data::WideRange] {
            // Wide-range sums reach 2^14: exp of them tells nothing about the convolution.
            if data == Data::WideRange && matches!(case.activation, Activation::Silu | Activation::Sigmoid) {
                continue;
            }
            check(case.name, &case.graph(data), &[random_halves(case.x, 11, data)]);
        }
    }
}

#[test]
fn integers_are_exact() {
    for case in cases() {
        if !matches!(case.activation, Activation::Silu | Activation::Sigmoid | Activation::LeakyRelu(_)) {
            check_bits(case.name, &case.graph(Data::Integers), &[random(case.x, 11, Data::Integers)]);
        }
    }
}

#[test]
fn adds_a_scaled_residual() {
    for (c, data) in [(6, Data::Uniform), (2, Data::Integers)] {
        // An f16 holds whole numbers up to 2048.
        let values = |shape: Shape, seed: u64| {
            let mut values = random(shape, seed, data);
            if data == Data::Integers {
                values.data_mut().iter_mut().for_each(|value| *value = value.clamp(-1.0, 1.0));
            }
            values
        };
        let shape = Shape::new(2, c, 5, 7);
        let graph = graph(shape, |graph, x| {
            let weight = values(Shape::new(c, c, 3, 3), 5);
            let conv = || Conv { padding: Padding::symmetric(1, 1), ..Conv::new(weight.clone()) };
            let first = graph.conv("first", x, conv()).unwrap();
            let conv = Conv { scale: -2.0, activation: Activation::Relu, ..conv() };
            let second = graph.conv_add("second", first, x, conv.clone()).unwrap();
            graph.conv_add("third", second, first, Conv { adds_last: true, ..conv }).unwrap()
        });
        let x = values(shape, 2);
        if data == Data::Integers { check_bits("residual", &graph, &[x]) } else { check("residual", &graph, &[x]) }
    }
}

/// Every pixel of an image gets the image's value, with one more in two of its halves where there is one; images lie
/// within tiles and across them, and one is a single pixel.
#[test]
fn adds_one_pixel_to_all_of_its_image() {
    for (c, [h, w], more) in
        [(5, [3, 7], 0), (5, [3, 7], 1), (21, [9, 1], 1), (64, [8, 8], 0), (64, [8, 8], 1), (5, [1, 1], 1)]
    {
        for (groups, data) in [(1, Data::Uniform), (1, Data::Integers), (c, Data::Integers)] {
            let shape = Shape::new(3, c, h, w);
            let graph = graph(shape, |graph, x| {
                let max = graph.global_pool("max", x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap();
                let pixel = Conv::new(random(Shape::new(21 * groups + more, c, 1, 1), 5, data));
                let pixel = graph.conv("pixel", max, pixel).unwrap();
                let padding = Padding::symmetric(1, 1);
                let weight = random(Shape::new(21 * groups, c / groups, 3, 3), 6, data);
                let conv = Conv { groups, padding, scale: -2.0, activation: Activation::Relu, ..Conv::new(weight) };
                graph.conv_add("conv", x, pixel, conv).unwrap()
            });
            let (case, x) = (format!("{shape} in {groups} groups"), random(shape, 2, data));
            if data == Data::Integers { check_bits(&case, &graph, &[x]) } else { check(&case, &graph, &[x]) }
        }
    }
}

/// A tap in the padding is left out, not multiplied: infinity elsewhere must not turn into NaN there.
#[test]
fn infinities_reach_only_the_windows_that_see_them() {
    let case = Case { x: Shape::new(1, 4, 6, 6), ..Case::default() };
    let mut x = random(case.x, 1, Data::Integers);
    x.data_mut()[0] = f32::INFINITY;
    let graph = case.graph(Data::Uniform);
    let want = spp_wgpu::reference::run(&graph, std::slice::from_ref(&x)).unwrap();
    for (plan, options) in crate::harness::options() {
        let got = crate::harness::run(&graph, std::slice::from_ref(&x), &options);
        let finite = |tensor: &spp_wgpu::Tensor| tensor.data().iter().map(|v| v.is_finite()).collect::<Vec<_>>();
        assert_eq!(finite(&got[0]), finite(&want[0]), "{plan}");
    }
}
