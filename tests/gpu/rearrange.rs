//! A copy in another order keeps every bit, wherever the operand lies.

use std::sync::Arc;

use spp_wgpu::ops::{Axis, MaxPool, Rearrange, Reshape, Strided, Walk};
use spp_wgpu::{Graph, NodeId, Plan, PlanOptions, Shape, Tensor};

use crate::harness::{Data, GPU, check_bits, check_bits_on_both, graph, random, run, stems, with_specials};

fn steps(axes: &[[i32; 2]]) -> Vec<Axis> {
    axes.iter().map(|&[extent, stride]| Axis { extent: extent as u32, stride }).collect()
}

/// A walk over values that lie densely in these extents, in this order of axes.
fn transposed(extents: &[u32], order: &[usize]) -> Strided {
    let axes = Strided::dense(extents).axes;
    Strided { offset: 0, axes: order.iter().map(|&axis| axes[axis]).collect() }
}

fn flat(len: u32) -> Shape {
    Shape::new(1, 1, 1, len)
}

/// Walks over 2 x 6 x 4 x 5 values.
fn walks() -> Vec<(&'static str, Rearrange)> {
    let strided = |offset, axes: &[[i32; 2]]| {
        let walk = Strided { offset, axes: steps(axes) };
        Rearrange::strided(flat(walk.len() as u32), &walk)
    };
    let places = |places: &[i32], stride: u32| {
        let at = |&place: &i32| u32::try_from(place).ok().map(|place| place * stride);
        Walk::Places(places.iter().map(at).collect::<Arc<[_]>>())
    };
    let axis = |extent, stride| Walk::Steps(Axis { extent, stride });
    let mixed = |offset, axes: Vec<Walk>| {
        let len: u64 = axes.iter().map(Walk::extent).product();
        Rearrange { shape: flat(len as u32), offset, axes, fill: -7.5 }
    };
    let transpose = |extents: &[u32], order: &[usize]| Rearrange::strided(flat(240), &transposed(extents, order));
    vec![
        ("all", strided(0, &[[240, 1]])),
        ("one value", strided(77, &[])),
        ("one value often", strided(77, &[[9, 0]])),
        ("backwards", strided(239, &[[240, -1]])),
        ("to the end", transpose(&[2, 6, 4, 5], &[0, 2, 3, 1])),
        ("turned", transpose(&[2, 6, 4, 5], &[3, 2, 1, 0])),
        ("anchors", transpose(&[2, 2, 3, 4, 5], &[0, 1, 3, 4, 2])),
        ("shuffled channels", transpose(&[2, 2, 3, 20], &[0, 2, 1, 3])),
        ("depth to space", transpose(&[2, 1, 2, 3, 4, 5], &[0, 1, 4, 2, 5, 3])),
        ("every other pixel", strided(1, &[[2, 120], [6, 20], [2, 10], [2, 2]])),
        ("some channels backwards", strided(80, &[[2, 120], [3, -20], [20, 1]])),
        ("across channels", strided(3, &[[30, 7]])),
        ("across images", strided(100, &[[4, 30], [3, 1]])),
        ("a slice of channels", strided(40, &[[2, 120], [60, 1]])),
        ("tiles", strided(0, &[[2, 0], [12, 20], [3, 0], [20, 1]])),
        ("padding", mixed(0, vec![axis(12, 20), places(&[-1, 0, 1, 2, 3, -1], 5), places(&[1, 0, 1, 2, 3, 4, 3], 1)])),
        ("backwards and places", mixed(220, vec![axis(12, -20), places(&[3, -1, 0, 0], 5), axis(5, 1)])),
        ("backwards by one and places", mixed(4, vec![places(&[0, -1, 2, 11], 20), axis(5, -1)])),
        (
            "places of images and channels",
            mixed(0, vec![places(&[1, 0, -1], 120), places(&[5, 5, 0], 20), axis(20, 1)]),
        ),
        ("places across channels", mixed(0, vec![places(&[0, 9, 17, -1, 3], 7), axis(19, 6)])),
        ("nothing but what is filled in", mixed(0, vec![axis(6, 1000), places(&[-1, -1], 1)])),
        ("one place", mixed(5, vec![places(&[3], 20), axis(5, 1)])),
    ]
}

fn specials(shape: Shape) -> Tensor {
    with_specials(random(shape, 3, Data::WideRange))
}

const X: Shape = Shape::new(2, 6, 4, 5);

#[test]
fn every_walk_over_an_input_and_over_pixels_copies_bits() {
    for (name, op) in walks() {
        for pixels in [false, true] {
            let graph = graph(X, |graph, x| {
                let x = if pixels { graph.max_pool("x in pixels", x, MaxPool::new([1, 1])).unwrap() } else { x };
                graph.rearrange("y", x, op.clone()).unwrap()
            });
            check_bits_on_both(&format!("{name}, of pixels: {pixels}"), &graph, &[specials(X)]);
        }
    }
}

/// Its every bit, unlike in tests that take all NaNs for one.
#[test]
fn the_payload_of_nan_stays() {
    let bits: Vec<u32> = (0..240).map(|i| 0x7f80_0001 + i * 0x7107 + ((i & 1) << 31)).collect();
    let x = Tensor::new(X, bits.iter().map(|&bits| f32::from_bits(bits)).collect()).unwrap();
    for order in [[0, 2, 3, 1], [3, 2, 1, 0]] {
        let walk = transposed(&[2, 6, 4, 5], &order);
        let graph = graph(X, |graph, x| graph.rearrange("y", x, Rearrange::strided(X, &walk)).unwrap());
        let y = run(&graph, std::slice::from_ref(&x), &PlanOptions::default()).remove(0);
        let at = |i: usize| {
            let (mut rest, mut at) = (i as i32, 0);
            for axis in walk.axes.iter().rev() {
                at += rest % axis.extent as i32 * axis.stride;
                rest /= axis.extent as i32;
            }
            at as usize
        };
        assert!(y.data().iter().enumerate().all(|(i, y)| y.to_bits() == bits[at(i)]), "{order:?}");
    }
}

/// Detectors' heads: pixels of anchors of numbers, one map after the other, in one dispatch each.
fn heads(n: u32) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(n, 3, 8, 6)).unwrap();
    let mut rows = Vec::new();
    for (level, stride) in [1u32, 2, 4].into_iter().enumerate() {
        let conv = crate::graphs::same_conv(2 * 7, 3, 3);
        let conv = spp_wgpu::ops::Conv { stride: [stride; 2], ..conv };
        let map = graph.conv(format!("map {level}"), x, conv).unwrap();
        let Shape { h, w, .. } = graph.shape(map).unwrap();
        let walk = transposed(&[n, 2, 7, h, w], &[0, 1, 3, 4, 2]);
        let turned = Rearrange::strided(Shape::new(n, 2, h * w, 7), &walk);
        let turned = graph.rearrange(format!("turned {level}"), map, turned).unwrap();
        let reshape = Reshape { shape: Shape::new(n, 2 * h * w, 1, 7) };
        rows.push(graph.reshape(format!("rows {level}"), turned, reshape).unwrap());
    }
    let y = graph.concat("y", &rows).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn heads_go_straight_into_their_concatenation() {
    for n in [1, 3] {
        let graph = heads(n);
        crate::harness::check(&format!("{n} images"), &graph, &[random(Shape::new(n, 3, 8, 6), 1, Data::Uniform)]);
        let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
        let rearranged = stems(&plan).into_iter().filter(|stem| *stem == "rearrange").count();
        let layouts = plan.steps.iter().filter(|step| step.shader.stem == "layout").count();
        assert_eq!([rearranged, layouts], [3, 1], "the input alone is converted: {plan}");
    }
}

type Build = fn(&mut Graph, NodeId) -> NodeId;

#[test]
fn what_lies_between_other_channels_is_read_there() {
    let turned = |graph: &mut Graph, x: NodeId| {
        let shape = graph.shape(x).unwrap();
        let walk = transposed(&[shape.n, shape.c, shape.h, shape.w], &[0, 3, 1, 2]);
        let shape = Shape::new(shape.n, shape.w, shape.c, shape.h);
        graph.rearrange("y", x, Rearrange::strided(shape, &walk)).unwrap()
    };
    let cases: [(&str, Build); 3] = [
        ("a slice", |g, x| {
            let [a, b] = [5, 3].map(|c| g.conv(format!("{c}"), x, crate::graphs::same_conv(c, 6, 1)).unwrap());
            let cat = g.concat("cat", &[a, b]).unwrap();
            g.output("cat", cat).unwrap();
            b
        }),
        ("with gaps", |g, x| {
            let [a, b] = [5, 3].map(|c| g.conv(format!("{c}"), x, crate::graphs::same_conv(c, 6, 1)).unwrap());
            g.concat("cat", &[a, b]).unwrap()
        }),
        ("rows", |g, x| {
            let rows =
                g.rearrange("rows", x, Rearrange::strided(X, &transposed(&[2, 6, 4, 5], &[0, 1, 2, 3]))).unwrap();
            let relu = g.layout("layout", x, spp_wgpu::ops::Layout { width: 3 }).unwrap();
            let rows = g.reshape("reshape", rows, Reshape { shape: g.shape(relu).unwrap() }).unwrap();
            g.concat("cat", &[relu, rows, relu]).unwrap()
        }),
    ];
    for (name, build) in cases {
        let graph = graph(X, |graph, x| {
            let x = build(graph, x);
            turned(graph, x)
        });
        crate::harness::check(name, &graph, &[random(X, 4, Data::Uniform)]);
    }
}

#[test]
fn nothing_is_made_of_nothing() {
    let shape = Shape::new(0, 6, 4, 5);
    let walk = transposed(&[0, 6, 4, 5], &[0, 2, 3, 1]);
    let graph =
        graph(shape, |graph, x| graph.rearrange("y", x, Rearrange::strided(Shape::new(0, 4, 5, 6), &walk)).unwrap());
    check_bits("empty", &graph, &[Tensor::new(shape, Vec::new()).unwrap()]);
}
