//! Values that are part of the graph, wherever they are read.

use spp_wgpu::ops::{Add, MaxPool, Reshape};
use spp_wgpu::{Graph, NodeId, PlanOptions, Shape, reference};

use crate::graphs::same_conv;
use crate::harness::{Data, assert_same_bits, check, check_bits, random, run, with_specials};

const X: Shape = Shape::new(2, 6, 3, 4);

/// What to make of an input and a constant of the same shape.
type Build = fn(&mut Graph, NodeId, NodeId) -> Vec<NodeId>;

const CASES: [(&str, Build); 9] = [
    ("an output", |_, x, c| vec![c, x]),
    ("an output twice", |_, x, c| vec![c, c, x]),
    ("beside an input", |g, x, c| vec![g.concat("y", &[x, c, x]).unwrap()]),
    ("twice", |g, x, c| vec![g.concat("y", &[c, x, c]).unwrap()]),
    ("beside pixels", |g, x, c| {
        let pool = g.max_pool("pool", x, MaxPool::same(3)).unwrap();
        vec![g.concat("y", &[pool, c]).unwrap(), c]
    }),
    ("a pool", |g, x, c| vec![g.max_pool("y", c, MaxPool::same(3)).unwrap(), x]),
    ("added", |g, x, c| vec![g.add("y", x, c, Add { scale: 2.0, activation: Default::default() }).unwrap()]),
    ("reshaped", |g, x, c| {
        let y = g.reshape("y", c, Reshape { shape: Shape::new(2, 3, 6, 4) }).unwrap();
        vec![y, g.reshape("back", y, Reshape { shape: X }).unwrap(), x]
    }),
    ("reshaped beside an input", |g, x, c| {
        let [x, y] = [x, c]
            .map(|id| g.reshape(format!("{}", id.index()), id, Reshape { shape: Shape::new(2, 3, 6, 4) }).unwrap());
        vec![g.concat("y", &[x, y]).unwrap(), y]
    }),
];

#[test]
fn its_bits_are_everywhere() {
    for (name, build) in CASES {
        let mut graph = Graph::new();
        let x = graph.input("x", X).unwrap();
        let c = graph.constant("c", with_specials(random(X, 2, Data::Integers))).unwrap();
        for (i, y) in build(&mut graph, x, c).into_iter().enumerate() {
            graph.output(format!("y{i}"), y).unwrap();
        }
        let x = [random(X, 1, Data::Integers)];
        check_bits(name, &graph, &x);
        let mut copied = PlanOptions::default();
        copied.concat_slices = false;
        for (got, want) in run(&graph, &x, &copied).iter().zip(reference::run(&graph, &x).unwrap()) {
            assert_same_bits(&format!("{name}, copied"), got, &want);
        }
    }
}

#[test]
fn a_convolution_reads_it() {
    let mut graph = Graph::new();
    let x = graph.input("x", X).unwrap();
    let c = graph.constant("c", random(X, 2, Data::Uniform)).unwrap();
    let y = graph.conv_add("y", c, x, same_conv(6, 6, 3)).unwrap();
    graph.output("y", y).unwrap();
    check("conv", &graph, &[random(X, 1, Data::Uniform)]);
}
