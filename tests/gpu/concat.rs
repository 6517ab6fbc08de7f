//! Concatenation copies bits or nothing at all, wherever its operands lie; what reads it does not see the gaps.

use spp_wgpu::ops::{Layout, MaxPool, MaxPoolCascade};
use spp_wgpu::{Graph, NodeId, PlanOptions, Shape, reference};

use crate::graphs::{CONSUMERS, behind_gaps};
use crate::harness::{Data, assert_same_bits, check, check_bits, random, run, with_specials};

/// What to build from an input, and what to declare as outputs.
type Build = fn(&mut Graph, NodeId) -> Vec<NodeId>;

fn pool(graph: &mut Graph, name: &str, x: NodeId) -> NodeId {
    graph.max_pool(name, x, MaxPool::same(3)).unwrap()
}

const CASES: [(&str, Build); 14] = [
    ("a single operand", |g, x| vec![g.concat("cat", &[x]).unwrap()]),
    ("the input twice", |g, x| vec![g.concat("cat", &[x, x]).unwrap()]),
    ("a node twice", |g, x| {
        let p = pool(g, "p", x);
        vec![g.concat("cat", &[p, x, p]).unwrap()]
    }),
    ("operands that are outputs", |g, x| {
        let p = pool(g, "p", x);
        vec![p, g.concat("cat", &[x, p]).unwrap(), x]
    }),
    ("the input in two", |g, x| {
        let p = pool(g, "p", x);
        vec![g.concat("left", &[x, p]).unwrap(), g.concat("right", &[p, x]).unwrap()]
    }),
    ("one in another", |g, x| {
        let [p, q] = ["p", "q"].map(|name| pool(g, name, x));
        let inner = g.concat("inner", &[p, q]).unwrap();
        vec![g.concat("outer", &[x, inner]).unwrap()]
    }),
    ("one in another, which shares an operand", |g, x| {
        let p = pool(g, "p", x);
        let inner = g.concat("inner", &[x, p]).unwrap();
        vec![g.concat("outer", &[p, inner, x]).unwrap(), inner]
    }),
    ("one in another twice", |g, x| {
        let p = pool(g, "p", x);
        let inner = g.concat("inner", &[p, x]).unwrap();
        vec![g.concat("outer", &[inner, inner]).unwrap()]
    }),
    ("three deep", |g, x| {
        let a = g.concat("a", &[x, x]).unwrap();
        let p = pool(g, "p", a);
        let b = g.concat("b", &[p, a]).unwrap();
        vec![g.concat("c", &[b, x]).unwrap()]
    }),
    ("an operand made of another", |g, x| {
        let p = pool(g, "p", x);
        let q = pool(g, "q", p);
        vec![g.concat("cat", &[q, p]).unwrap()]
    }),
    ("a pool of one beside it", |g, x| {
        let inner = g.concat("inner", &[x, x]).unwrap();
        let p = pool(g, "p", inner);
        vec![g.concat("outer", &[inner, p]).unwrap()]
    }),
    ("a cascade in its own buffer", |g, x| {
        let p = pool(g, "p", x);
        let cascade = g.max_pool_cascade("m", p, MaxPoolCascade { kernel: 3, times: 2 }).unwrap();
        vec![g.concat("cat", &[p, cascade]).unwrap(), p]
    }),
    ("rows", |g, x| {
        let [a, b] = ["a", "b"].map(|name| g.layout(name, x, Layout { width: 3 }).unwrap());
        vec![g.concat("cat", &[a, b, a]).unwrap(), b]
    }),
    ("rows and a map", |g, x| {
        let rows = g.layout("rows", x, Layout { width: 3 }).unwrap();
        let map = pool(g, "map", rows);
        vec![g.concat("cat", &[rows, map, rows]).unwrap()]
    }),
];

#[test]
fn copies_bits_however_operands_are_shared() {
    for shape in [Shape::new(2, 9, 4, 3), Shape::new(1, 3, 1, 1), Shape::new(2, 12, 3, 5)] {
        for (name, build) in CASES {
            let mut graph = Graph::new();
            let x = graph.input("x", shape).unwrap();
            for (i, output) in build(&mut graph, x).into_iter().enumerate() {
                graph.output(format!("y{i}"), output).unwrap();
            }
            let x = [with_specials(random(shape, 1, Data::WideRange))];
            check_bits(&format!("{name}, {shape}"), &graph, &x);
            let mut copied = PlanOptions::default();
            copied.concat_slices = false;
            for (got, want) in run(&graph, &x, &copied).iter().zip(reference::run(&graph, &x).unwrap()) {
                assert_same_bits(&format!("{name}, {shape}, copied"), got, &want);
            }
        }
    }
}

#[test]
fn what_reads_it_does_not_see_the_gaps() {
    for consumer in CONSUMERS {
        for shape in [Shape::new(2, 9, 6, 5), Shape::new(1, 9, 2, 3)] {
            let graph = behind_gaps(shape, consumer);
            check(&format!("{}, {shape}", consumer.0), &graph, &[random(shape, 8, Data::Uniform)]);
        }
    }
}
