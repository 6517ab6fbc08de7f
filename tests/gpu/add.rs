//! Scaled addition: scales, activations, operands and result side by side in one buffer.

use spp_wgpu::ops::{Activation, Add, MaxPool};
use spp_wgpu::{Graph, Shape};

use crate::graphs::same_conv;
use crate::harness::{Data, SHAPES, check, check_bits, graph, random, with_specials};

fn sum(shape: Shape, add: Add) -> Graph {
    let mut graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.input(name, shape).unwrap());
    let y = graph.add("add", a, b, add).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for shape in SHAPES {
        for activation in Activation::ALL {
            for (scale, data) in [(1.0, Data::WideRange), (-0.3, Data::Uniform), (0.0, Data::Uniform)] {
                let inputs = [random(shape, 1, data), random(shape, 2, data)];
                let case = format!("{activation:?} of {scale} times {shape}");
                check(&case, &sum(shape, Add { scale, activation }), &inputs);
            }
        }
    }
}

#[test]
fn integers_are_exact_and_specials_are_kept() {
    for shape in SHAPES {
        for activation in [Activation::None, Activation::Relu] {
            let inputs = [random(shape, 1, Data::Integers), with_specials(random(shape, 2, Data::Integers))];
            check_bits(&shape.to_string(), &sum(shape, Add { scale: -2.0, activation }), &inputs);
        }
    }
}

#[test]
fn a_tensor_may_be_added_to_itself() {
    for shape in SHAPES {
        let add = Add { scale: 3.0, activation: Activation::None };
        let graph = graph(shape, |graph, x| graph.add("add", x, x, add).unwrap());
        check_bits(&shape.to_string(), &graph, &[random(shape, 1, Data::Integers)]);
    }
}

/// The summands, and then also their sum, are slices of one concatenation with gaps.
#[test]
fn operands_may_lie_in_a_concatenation() {
    for activation in [Activation::None, Activation::Sigmoid] {
        for sum_too in [false, true] {
            let shape = Shape::new(2, 9, 4, 3);
            let graph = graph(shape, |graph, x| {
                let a = graph.conv("a", x, same_conv(9, 9, 1)).unwrap();
                let b = graph.max_pool("b", x, MaxPool::same(3)).unwrap();
                let sum = graph.add("sum", a, b, Add { scale: 0.5, activation }).unwrap();
                let parts = if sum_too { vec![a, b, sum] } else { vec![b, a] };
                let cat = graph.concat("cat", &parts).unwrap();
                let last = graph.conv("last", cat, same_conv(9, 9 * parts.len() as u32, 1)).unwrap();
                graph.add("y", last, sum, Add { scale: 1.0, activation }).unwrap()
            });
            check(&format!("{activation:?}, the sum inside: {sum_too}"), &graph, &[random(shape, 4, Data::Uniform)]);
        }
    }
}
