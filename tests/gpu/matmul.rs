//! Products of computed matrices: any sizes, transposed and repeated operands, products among others of a concatenation.

use spp_wgpu::ops::{Matmul, MaxPool};
use spp_wgpu::{Graph, NodeId, Shape, Tensor};

use crate::graphs::{same_conv, walk};
use crate::harness::{Data, check_bits_on_both, check_on_both, graph, random};

/// `batch` products of matrices; an operand that is transposed holds its columns one after the other.
fn product(batch: u32, [i, k, j]: [u32; 3], transposed: [bool; 2]) -> Matmul {
    let matrix = |[rows, columns]: [u32; 2], transposed| {
        let strides = if transposed { (1, rows as i32) } else { (columns as i32, 1) };
        walk(0, &[(batch, (rows * columns) as i32), (rows, strides.0), (columns, strides.1)])
    };
    Matmul { shape: Shape::new(batch, 1, i, j), a: matrix([i, k], transposed[0]), b: matrix([k, j], transposed[1]) }
}

fn graph_of(batch: u32, [i, k, j]: [u32; 3], transposed: [bool; 2]) -> (Graph, [Shape; 2]) {
    let shapes = [Shape::new(batch, i, k, 1), Shape::new(batch, 1, k, j)];
    let mut graph = Graph::new();
    let [a, b] = [("a", shapes[0]), ("b", shapes[1])].map(|(name, shape)| graph.input(name, shape).unwrap());
    let y = graph.matmul("y", a, b, product(batch, [i, k, j], transposed)).unwrap();
    graph.output("y", y).unwrap();
    (graph, shapes)
}

fn inputs(shapes: [Shape; 2], data: Data) -> [Tensor; 2] {
    [(1, shapes[0]), (2, shapes[1])].map(|(seed, shape)| random(shape, seed, data))
}

const TRANSPOSED: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

#[test]
fn whole_numbers_are_exact_and_others_within_the_bound() {
    let sizes = [[1, 1, 1], [3, 1, 2], [8, 16, 32], [5, 17, 33], [65, 16, 67], [9, 40, 70], [130, 35, 31]];
    for (size, transposed) in sizes.into_iter().flat_map(|size| TRANSPOSED.map(|transposed| (size, transposed))) {
        let (graph, shapes) = graph_of(2, size, transposed);
        let case = format!("{size:?}, transposed {transposed:?}");
        check_bits_on_both(&case, &graph, &inputs(shapes, Data::Integers));
        if transposed == [false, true] {
            check_on_both(&case, &graph, &inputs(shapes, Data::Uniform));
        }
    }
}

/// As long as those of a transformer's layer.
#[test]
fn long_sums_stay_within_the_bound() {
    let (graph, shapes) = graph_of(1, [70, 515, 66], [false, false]);
    check_on_both("515 terms", &graph, &inputs(shapes, Data::Uniform));
}

#[test]
fn what_is_infinite_stays_in_its_row_and_column() {
    let (graph, shapes) = graph_of(1, [12, 18, 9], [false, false]);
    let [mut a, mut b] = inputs(shapes, Data::Integers);
    a.data_mut()[18 * 3 + 17] = f32::INFINITY;
    a.data_mut()[18 * 11 + 17] = f32::NAN;
    b.data_mut()[4] = f32::NEG_INFINITY;
    b.data_mut()[9 * 17..].iter_mut().for_each(|value| *value = 2.0);
    check_bits_on_both("infinities", &graph, &[a, b]);
}

/// Two axes before the matrices, of which one operand has the first and the other the second.
#[test]
fn matrices_may_be_repeated() {
    let mut graph = Graph::new();
    let a = graph.input("a", Shape::new(3, 1, 4, 5)).unwrap();
    let b = graph.input("b", Shape::new(2, 1, 5, 6)).unwrap();
    let op = Matmul {
        shape: Shape::new(3, 2, 4, 6),
        a: walk(0, &[(3, 20), (2, 0), (4, 5), (5, 1)]),
        b: walk(0, &[(3, 0), (2, 30), (5, 6), (6, 1)]),
    };
    let y = graph.matmul("y", a, b, op).unwrap();
    graph.output("y", y).unwrap();
    let inputs = [random(Shape::new(3, 1, 4, 5), 1, Data::Integers), random(Shape::new(2, 1, 5, 6), 2, Data::Integers)];
    check_bits_on_both("repeated", &graph, &inputs);
}

#[test]
fn a_walk_may_begin_later_and_go_backwards() {
    let shape = Shape::new(1, 1, 8, 9);
    let op = Matmul {
        shape: Shape::new(1, 1, 4, 5),
        a: walk(3 * 9 + 8, &[(4, -9), (6, -1)]),
        b: walk(9, &[(6, 9), (5, 2)]),
    };
    let graph = graph(shape, |graph, x| graph.matmul("y", x, x, op).unwrap());
    check_bits_on_both("backwards", &graph, &[random(shape, 3, Data::Integers)]);
}

/// Attention over the pixels of a map, as in YOLO11: queries, keys and values are slices of one convolution's channels.
fn attention(graph: &mut Graph, x: NodeId, [d, of_values]: [u32; 2]) -> NodeId {
    let Shape { n, c, h, w } = graph.shape(x).unwrap();
    let (pixels, all) = (h * w, 2 * d + of_values);
    let qkv = graph.conv("qkv", x, same_conv(all, c, 1)).unwrap();
    let plane = pixels as i32;
    let of = |channel: u32, axes: [(u32, i32); 2]| walk(channel * pixels, &[(n, all as i32 * plane), axes[0], axes[1]]);
    let scores = Matmul {
        shape: Shape::new(n, 1, pixels, pixels),
        a: of(0, [(pixels, 1), (d, plane)]),
        b: of(d, [(d, plane), (pixels, 1)]),
    };
    let scores = graph.matmul("scores", qkv, qkv, scores).unwrap();
    let op = Matmul {
        shape: Shape::new(n, of_values, h, w),
        a: of(2 * d, [(of_values, plane), (pixels, 1)]),
        b: walk(0, &[(n, plane * plane), (pixels, 1), (pixels, plane)]),
    };
    graph.matmul("attended", qkv, scores, op).unwrap()
}

#[test]
fn attention_lies_between_convolutions() {
    let shape = Shape::new(2, 6, 5, 7);
    let graph = graph(shape, |graph, x| {
        let y = attention(graph, x, [4, 9]);
        graph.conv("y", y, same_conv(5, 9, 3)).unwrap()
    });
    check_on_both("attention", &graph, &[random(shape, 4, Data::Uniform)]);
}

#[test]
fn products_are_written_into_a_concatenation() {
    let shape = Shape::new(2, 3, 5, 6);
    let graph = graph(shape, |graph, x| {
        let of_images = |rows: u32| Matmul {
            shape: Shape::new(2, rows, 3, 5),
            a: walk(0, &[(2, 90), (3 * rows, 6), (6, 1)]),
            b: walk(30, &[(2, 90), (6, 1), (5, 6)]),
        };
        let one = graph.matmul("one", x, x, of_images(1)).unwrap();
        let three = graph.matmul("three", x, x, of_images(3)).unwrap();
        let both = graph.concat("both", &[one, three]).unwrap();
        graph.output("rows", both).unwrap();
        graph.max_pool("pool", both, MaxPool::new([1, 1])).unwrap()
    });
    check_bits_on_both("concatenation", &graph, &[random(shape, 5, Data::Integers)]);
}
