//! Chained pools in one dispatch equal the pools one by one, bit for bit.

use spp_wgpu::ops::{MaxPool, MaxPoolCascade};
use spp_wgpu::{Graph, PlanOptions, Shape};

use crate::harness::{Data, assert_same_bits, check_bits, graph, random, run, with_specials};

const SHAPES: [Shape; 5] = [
    Shape::new(1, 8, 20, 20),
    Shape::new(2, 9, 7, 11),
    Shape::new(1, 4, 3, 2),
    Shape::new(3, 1, 1, 17),
    Shape::new(1, 5, 40, 3),
];

#[test]
fn bits_equal_the_reference() {
    for shape in SHAPES {
        for (kernel, times) in [(5, 3), (3, 1), (3, 4), (7, 2)] {
            let graph = graph(shape, |graph, x| {
                graph.max_pool_cascade("cascade", x, MaxPoolCascade { kernel, times }).unwrap()
            });
            let x = with_specials(random(shape, 9, Data::WideRange));
            check_bits(&format!("{times} of {kernel} on {shape}"), &graph, &[x]);
        }
    }
}

/// `cat(x, pools of x)`: chained pools of 5, or pools of 5, 9, 13 side by side.
fn pyramid(shape: Shape, chained: bool) -> Graph {
    graph(shape, |graph, x| {
        let x = graph.max_pool("first", x, MaxPool::same(1)).unwrap();
        let mut parts = vec![x];
        for i in 1..=3 {
            let (from, kernel) = if chained { (parts[i - 1], 5) } else { (x, 4 * i as u32 + 1) };
            parts.push(graph.max_pool(format!("m.{i}"), from, MaxPool::same(kernel)).unwrap());
        }
        graph.concat("cat", &parts).unwrap()
    })
}

#[test]
fn chained_equals_parallel_with_every_special_value() {
    for shape in SHAPES {
        let x = [with_specials(random(shape, 3, Data::Uniform))];
        let chained = run(&pyramid(shape, true), &x, &PlanOptions::default());
        let parallel = run(&pyramid(shape, false), &x, &PlanOptions::unfused());
        assert_same_bits(&shape.to_string(), &chained[0], &parallel[0]);
        check_bits("chained", &pyramid(shape, true), &x);
        check_bits("parallel", &pyramid(shape, false), &x);
    }
}
