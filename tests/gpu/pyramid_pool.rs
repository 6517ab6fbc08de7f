//! Pyramid pooling is exact: both modes, any levels, NaN and padding lanes included.

use spp_wgpu::ops::{Activation, Linear, PyramidMode, PyramidPool};
use spp_wgpu::{Graph, Shape};

use crate::graphs::vector;
use crate::harness::{Data, check_bits_on_both, check_on_both, graph, random, with_specials};

fn pyramid(x: Shape, levels: &[u32], mode: PyramidMode) -> Graph {
    graph(x, |graph, x| graph.pyramid_pool("pool", x, PyramidPool { levels: levels.to_vec(), mode }).unwrap())
}

#[test]
fn bits_equal_the_reference() {
    use PyramidMode::{Adaptive, Padded};
    let cases: [(Shape, &[u32], PyramidMode); 10] = [
        (Shape::new(1, 1, 1, 1), &[1], Padded),
        (Shape::new(2, 10, 13, 13), &[4, 2, 1], Padded), // 210 values: padded to 212
        (Shape::new(1, 3, 12, 16), &[4, 2, 1], Padded),
        (Shape::new(3, 5, 8, 7), &[2, 1], Padded),
        (Shape::new(2, 9, 6, 6), &[3, 3, 6], Padded),
        (Shape::new(1, 4, 5, 13), &[4, 2, 1], Adaptive),
        (Shape::new(2, 8, 7, 11), &[6, 3, 2, 1], Adaptive),
        (Shape::new(1, 5, 3, 2), &[4], Adaptive), // fewer pixels than bins
        (Shape::new(3, 1, 1, 17), &[5, 1], Adaptive),
        (Shape::new(1, 257, 4, 3), &[2], Adaptive),
    ];
    for (shape, levels, mode) in cases {
        for x in [random(shape, 1, Data::WideRange), with_specials(random(shape, 2, Data::Uniform))] {
            check_bits_on_both(&format!("{mode:?} {levels:?} of {shape}"), &pyramid(shape, levels, mode), &[x]);
        }
    }
}

#[test]
fn a_layer_after_it_sees_no_padding() {
    let shape = Shape::new(2, 10, 13, 13);
    let graph = graph(shape, |graph, x| {
        let pool = PyramidPool { levels: vec![4, 2, 1], mode: PyramidMode::Padded };
        let vectors = graph.pyramid_pool("pool", x, pool).unwrap();
        let weight = random(Shape::new(5, 210, 1, 1), 3, Data::Uniform).into();
        let linear = Linear { weight, bias: Some(vector(5, 1)), activation: Activation::None };
        graph.linear("fc", vectors, linear).unwrap()
    });
    check_on_both("fc of 210", &graph, &[random(shape, 1, Data::Uniform)]);
}
