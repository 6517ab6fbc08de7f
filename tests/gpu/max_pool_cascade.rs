//! Chained pools in one dispatch equal the pools one by one, bit for bit.

use spp_wgpu::ops::{MaxPool, MaxPoolCascade};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape, reference};

use crate::harness::{CARD, Data, assert_same_bits, check_bits, graph, random, run, run_on, stems, with_specials};

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

/// The kernels of a plan for a GPU, which must yield the reference's bits here, too.
fn stems_for_a_gpu(graph: &Graph) -> Vec<&'static str> {
    let options = PlanOptions::default();
    let stems = stems(&Plan::new(graph, CARD.profile(), &options).unwrap());
    let shape = graph.inputs().next().unwrap().1.shape;
    let x = [with_specials(random(shape, 5, Data::WideRange))];
    let want = reference::run(graph, &x).unwrap();
    assert_same_bits(&format!("{stems:?} on {shape}"), &run_on(&CARD, graph, &x, &options)[0], &want[0]);
    stems
}

#[test]
fn tiles_meet_without_a_seam() {
    // One tile, one short of two, two, three with a margin on both sides.
    for (h, w) in [(1, 1), (28, 32), (29, 33), (44, 53), (45, 7), (3, 90)] {
        for (kernel, times) in [(5, 3), (3, 2), (9, 1)] {
            let cascade = MaxPoolCascade { kernel, times };
            let shape = Shape::new(2, 5, h, w);
            let graph = graph(shape, |graph, x| graph.max_pool_cascade("cascade", x, cascade).unwrap());
            assert_eq!(stems_for_a_gpu(&graph), ["max_pool_cascade"]);
        }
    }
    for shape in SHAPES {
        assert_eq!(stems_for_a_gpu(&pyramid(shape, true)), ["max_pool", "max_pool_cascade"]);
    }
}

#[test]
fn a_reach_beyond_the_tiles_takes_more_dispatches() {
    let stems = |kernel, times, h, w| {
        let cascade = MaxPoolCascade { kernel, times };
        stems_for_a_gpu(&graph(Shape::new(2, 6, h, w), |graph, x| {
            let pools = graph.max_pool_cascade("cascade", x, cascade).unwrap();
            graph.concat("cat", &[x, pools]).unwrap()
        }))
    };
    assert_eq!(stems(9, 4, 28, 32), ["max_pool_cascade"]);
    // A reach of 4 for each pool: 3 at once, then another.
    assert_eq!(stems(9, 4, 29, 33), ["max_pool_cascade"; 2]);
    // A single tile holds any number, of any reach.
    assert_eq!(stems(3, 40, 28, 32), ["max_pool_cascade"]);
    assert_eq!(stems(i32::MAX as u32 - 60, 1, 7, 9), ["max_pool_cascade"]);
    // No tile holds a reach of 16. The input lies beside the results: what is not the last goes by way of another buffer.
    assert_eq!(stems(33, 1, 29, 33), ["max_pool", "concat"]);
    assert_eq!(stems(33, 2, 29, 33), ["max_pool", "concat", "max_pool"]);
}
