//! Values by computed indices: any bits, bad indices, rows and single values, slices of concatenations.

use spp_wgpu::ops::{Gather, Strided, TopK};
use spp_wgpu::{Graph, Shape, Tensor};

use crate::graphs::{same_conv, walk};
use crate::harness::{Data, check_bits_on_both, check_on_both, random, with_specials};

fn graph_of(x: Shape, indices: Shape, op: Gather) -> Graph {
    let mut graph = Graph::new();
    let [x, indices] = [("x", x), ("indices", indices)].map(|(name, shape)| graph.input(name, shape).unwrap());
    let y = graph.gather("y", x, indices, op).unwrap();
    graph.output("y", y).unwrap();
    graph
}

/// Whole numbers of an axis, in no order, some from its end.
fn indices(shape: Shape, extent: u32) -> Tensor {
    let mut indices = random(shape, 9, Data::Uniform);
    indices.data_mut().iter_mut().for_each(|value| *value = (*value * extent as f32).floor());
    indices
}

/// Rows of a matrix, as ONNX's Gather takes them: `y[i, j, c] = x[indices[i, j], c]`.
#[test]
fn rows_are_looked_up_as_they_are() {
    let (x, shape) = (Shape::new(1, 1, 11, 6), Shape::new(1, 1, 3, 4));
    let op = Gather {
        shape: Shape::new(1, 3, 4, 6),
        x: walk(0, &[(12, 0), (6, 1)]),
        indices: walk(0, &[(12, 1), (6, 0)]),
        extent: 11,
        stride: 6,
    };
    let values = with_specials(random(x, 1, Data::WideRange));
    check_bits_on_both("rows", &graph_of(x, shape, op), &[values, indices(shape, 11)]);
}

/// As ONNX's GatherElements: an index for each value, along the middle axis.
#[test]
fn each_value_has_an_index_of_its_own() {
    let (x, shape) = (Shape::new(2, 7, 3, 5), Shape::new(2, 4, 3, 5));
    let op = Gather {
        shape,
        x: walk(0, &[(2, 105), (4, 0), (15, 1)]),
        indices: Strided::dense(&[2, 4, 3, 5]),
        extent: 7,
        stride: 15,
    };
    check_bits_on_both("elements", &graph_of(x, shape, op), &[random(x, 1, Data::Integers), indices(shape, 7)]);
}

#[test]
fn indices_beyond_the_axis_take_its_ends() {
    let bad = [0.0, 4.0, 5.0, 6.0, -1.0, -5.0, -6.0, 1e9, -1e9, 1.5, 2.5, 1.4, -0.4, -0.0];
    let bad = [&bad[..], &[f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]].concat();
    let (x, shape) = (Shape::new(1, 1, 1, 5), Shape::new(1, 1, 1, bad.len() as u32));
    let len = bad.len() as u32;
    let op = Gather { shape, x: walk(0, &[(len, 0)]), indices: walk(0, &[(len, 1)]), extent: 5, stride: 1 };
    let graph = graph_of(x, shape, op);
    check_bits_on_both("bad indices", &graph, &[random(x, 2, Data::Integers), Tensor::new(shape, bad).unwrap()]);
}

#[test]
fn walks_of_six_axes_go_any_way() {
    let (x, shape) = (Shape::new(4, 6, 6, 9), Shape::new(2, 3, 2, 6));
    let op = Gather {
        shape: Shape::new(2, 6, 6, 2),
        x: walk(17, &[(2, 648), (3, 100), (2, 54), (3, 18), (2, 9), (2, 3)]),
        indices: walk(71, &[(2, -36), (3, -12), (2, -6), (3, -2), (2, 0), (2, -1)]),
        extent: 4,
        stride: 2,
    };
    check_bits_on_both("six axes", &graph_of(x, shape, op), &[random(x, 3, Data::Integers), indices(shape, 4)]);
}

/// The boxes of the best scores, as in YOLOv10, among other rows.
#[test]
fn the_best_are_looked_up_within_a_graph() {
    let (x, k) = (Shape::new(2, 5, 6, 7), 9);
    let mut graph = Graph::new();
    let input = graph.input("x", x).unwrap();
    let map = graph.conv("map", input, same_conv(5, 5, 3)).unwrap();
    let op = TopK { shape: Shape::new(2, k, 1, 1), k, len: 42, inner: 1, largest: true };
    let scores = graph.conv("scores", input, same_conv(1, 5, 1)).unwrap();
    let best = graph.top_k("best", scores, op).unwrap();
    let of = |first: u32, channels: u32| Gather {
        shape: Shape::new(2, channels, k, 1),
        x: walk(42 * first, &[(2, 210), (channels, 42), (k, 0)]),
        indices: walk(0, &[(2, k as i32), (channels, 0), (k, 1)]),
        extent: 42,
        stride: 1,
    };
    let boxes = graph.gather("boxes", map, best, of(0, 4)).unwrap();
    let classes = graph.gather("classes", map, best, of(3, 2)).unwrap();
    let rows = graph.concat("rows", &[boxes, classes]).unwrap();
    graph.output("y", rows).unwrap();
    for data in [Data::Uniform, Data::Integers] {
        check_on_both("best", &graph, &[random(x, 4, data)]);
    }
}
