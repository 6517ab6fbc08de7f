//! Some of a map's channels: nothing is moved where they lie by themselves, and everything arrives.

use spp_wgpu::ops::*;
use spp_wgpu::{Graph, NodeId, Plan, PlanOptions, Shape, reference};

use crate::graphs::{narrowed, same_conv};
use crate::harness::{Data, GPU, assert_same_bits, check, check_bits_on_both, random, run, stems, with_specials};

/// What to make of an input with 14 channels.
type Build = fn(&mut Graph, NodeId) -> Vec<NodeId>;

fn pool(graph: &mut Graph, x: NodeId) -> NodeId {
    graph.max_pool(format!("pool {}", graph.nodes().len()), x, MaxPool::same(3)).unwrap()
}

fn concat(graph: &mut Graph, parts: &[NodeId]) -> NodeId {
    graph.concat(format!("concat {}", graph.nodes().len()), parts).unwrap()
}

fn reshaped(graph: &mut Graph, x: NodeId, shape: Shape) -> NodeId {
    graph.reshape(format!("reshape {}", graph.nodes().len()), x, Reshape { shape }).unwrap()
}

/// Plain values: rows become columns and back.
fn values(graph: &mut Graph, x: NodeId) -> NodeId {
    let mut y = x;
    for _ in 0..2 {
        let Shape { n, c, h, w } = graph.shape(y).unwrap();
        let axes = Strided::dense(&[n, c, h, w]).axes;
        let walk = Strided { offset: 0, axes: [0, 1, 3, 2].map(|axis| axes[axis]).to_vec() };
        let name = format!("turned {}", graph.nodes().len());
        y = graph.rearrange(name, y, Rearrange::strided(Shape::new(n, c, w, h), &walk)).unwrap();
    }
    y
}

/// Starts on a vec4 and off one, ends on one, off one and at the last channel.
const PARTS: [(u32, u32); 7] = [(0, 14), (0, 8), (8, 6), (4, 4), (4, 5), (3, 5), (13, 1)];

fn halves(graph: &mut Graph, x: NodeId, at: u32) -> [NodeId; 2] {
    let c = graph.shape(x).unwrap().c;
    [(0, at), (at, c - at)].map(|part| narrowed(graph, x, part))
}

const CASES: [(&str, Build); 22] = [
    ("an input's", |g, x| PARTS.map(|part| narrowed(g, x, part)).to_vec()),
    ("an input's, read", |g, x| {
        PARTS
            .map(|part| {
                let part = narrowed(g, x, part);
                pool(g, part)
            })
            .to_vec()
    }),
    ("a map's", |g, x| {
        let p = pool(g, x);
        PARTS.map(|part| narrowed(g, p, part)).to_vec()
    }),
    ("a map's, read", |g, x| {
        let p = pool(g, x);
        PARTS
            .map(|part| {
                let part = narrowed(g, p, part);
                pool(g, part)
            })
            .to_vec()
    }),
    ("an output's", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 8);
        vec![p, pool(g, a), b]
    }),
    ("some of some", |g, x| {
        let p = pool(g, x);
        let some = narrowed(g, p, (4, 10));
        let [a, b] = halves(g, some, 4);
        vec![pool(g, a), pool(g, b), narrowed(g, a, (1, 2))]
    }),
    ("of a concatenation", |g, x| {
        let [p, q] = [0, 1].map(|_| pool(g, x));
        let cat = concat(g, &[p, q]);
        // A whole run, the end of one, the middle of the second, over both, all.
        let parts = [(0, 14), (14, 14), (8, 6), (18, 4), (10, 8), (0, 28)].map(|part| narrowed(g, cat, part));
        parts.into_iter().flat_map(|part| [part, pool(g, part)]).collect()
    }),
    ("halves swapped", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 8);
        vec![concat(g, &[b, a])]
    }),
    ("halves swapped, off vec4s", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 7);
        vec![concat(g, &[b, a])]
    }),
    ("halves of an input swapped", |g, x| {
        let [a, b] = halves(g, x, 8);
        vec![concat(g, &[b, a]), concat(g, &[a, b])]
    }),
    ("one beside its reader", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 8);
        let c = pool(g, b);
        vec![concat(g, &[a, b, c])]
    }),
    ("one beside its reader, and the whole", |g, x| {
        let p = pool(g, x);
        let b = narrowed(g, p, (8, 6));
        let c = pool(g, b);
        vec![concat(g, &[p, c]), concat(g, &[c, p, b])]
    }),
    ("one beside a chain of readers", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 8);
        let c = pool(g, b);
        let d = pool(g, c);
        vec![concat(g, &[d, a, b, c])]
    }),
    ("in two concatenations", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 8);
        let c = concat(g, &[a, x]);
        let d = narrowed(g, c, (0, 8));
        vec![concat(g, &[d, b]), c]
    }),
    ("of a concatenation beside it", |g, x| {
        let p = pool(g, x);
        let cat = concat(g, &[p, x]);
        let [a, b] = halves(g, cat, 20);
        let c = pool(g, a);
        vec![concat(g, &[cat, b, c])]
    }),
    ("a cascade's", |g, x| {
        let p = pool(g, x);
        let cascade = g.max_pool_cascade("m", p, MaxPoolCascade { kernel: 3, times: 2 }).unwrap();
        let cat = concat(g, &[p, cascade]);
        vec![narrowed(g, cascade, (14, 14)), narrowed(g, cat, (0, 14)), narrowed(g, cat, (14, 20))]
    }),
    ("a cascade of some", |g, x| {
        let p = pool(g, x);
        let [a, b] = halves(g, p, 8);
        let cascade = g.max_pool_cascade("m", b, MaxPoolCascade { kernel: 3, times: 2 }).unwrap();
        vec![concat(g, &[b, cascade]), a]
    }),
    ("values", |g, x| {
        let v = values(g, x);
        let parts = PARTS.map(|part| narrowed(g, v, part));
        parts.into_iter().flat_map(|part| [part, values(g, part), pool(g, part)]).collect()
    }),
    ("values in a concatenation", |g, x| {
        let v = values(g, x);
        let [a, b] = halves(g, v, 5);
        let c = values(g, b);
        vec![concat(g, &[b, a]), concat(g, &[v, c])]
    }),
    ("a constant's", |g, x| {
        let c = g.constant("c", random(g.shape(x).unwrap(), 3, Data::Integers)).unwrap();
        let [a, b] = halves(g, c, 5);
        vec![pool(g, a), b, concat(g, &[b, x])]
    }),
    ("under another shape", |g, x| {
        let p = pool(g, x);
        let Shape { n, h, w, .. } = g.shape(p).unwrap();
        let [a, b] = halves(g, p, 8);
        let rows = reshaped(g, b, Shape::new(n, 6, 1, h * w));
        let flat = reshaped(g, a, Shape::new(n, 8 * h * w, 1, 1));
        vec![pool(g, rows), narrowed(g, rows, (4, 2)), narrowed(g, flat, (3, 5)), pool(g, b)]
    }),
    ("under another shape, of values", |g, x| {
        let v = values(g, x);
        let Shape { n, h, w, .. } = g.shape(v).unwrap();
        let flat = reshaped(g, v, Shape::new(n, 7, 2 * h, w));
        let [a, b] = halves(g, flat, 3);
        let back = reshaped(g, b, Shape::new(n, 8, h, w));
        vec![values(g, a), back, concat(g, &[back, x])]
    }),
];

#[test]
fn every_value_arrives_wherever_it_lies() {
    for (name, build) in CASES {
        for shape in [Shape::new(2, 14, 3, 5), Shape::new(1, 14, 4, 3)] {
            let mut graph = Graph::new();
            let x = graph.input("x", shape).unwrap();
            for (i, y) in build(&mut graph, x).into_iter().enumerate() {
                graph.output(format!("y{i}"), y).unwrap();
            }
            let x = [with_specials(random(shape, 1, Data::Integers))];
            check_bits_on_both(&format!("{name}, {shape}"), &graph, &x);
            let want = reference::run(&graph, &x).unwrap();
            for (how, change) in [
                ("copied", (|o| o.concat_slices = false) as fn(&mut PlanOptions)),
                ("nothing used again", |o| o.reuse_buffers = false),
            ] {
                let mut options = PlanOptions::default();
                change(&mut options);
                for (got, want) in run(&graph, &x, &options).iter().zip(&want) {
                    assert_same_bits(&format!("{name}, {shape}, {how}"), got, want);
                }
            }
        }
    }
}

/// A split stage: convolutions of one half and of each other, one with a shortcut, all side by side.
#[test]
fn convolutions_read_it_in_the_concatenation_that_they_write() {
    for (c, half) in [(16, 8), (24, 12), (14, 7), (12, 6)] {
        let shape = Shape::new(2, 5, 6, 7);
        let mut graph = Graph::new();
        let x = graph.input("x", shape).unwrap();
        let y = graph.conv("y", x, same_conv(c, 5, 1)).unwrap();
        let [a, b] = halves(&mut graph, y, half);
        let c1 = graph.conv("c1", b, same_conv(half, half, 3)).unwrap();
        let c2 = graph.conv_add("c2", c1, b, same_conv(half, half, 3)).unwrap();
        let cat = concat(&mut graph, &[a, b, c2]);
        let last = graph.conv("last", cat, same_conv(6, 3 * half, 1)).unwrap();
        graph.output("last", last).unwrap();
        check(&format!("{c} channels"), &graph, &[random(shape, 2, Data::Uniform)]);
    }
}

#[test]
fn nothing_is_dispatched_for_halves_of_vec4s() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 16, 6, 7)).unwrap();
    let p = pool(&mut graph, x);
    let [a, b] = halves(&mut graph, p, 8);
    let [a, b] = [a, b].map(|part| pool(&mut graph, part));
    let sum = graph.add("sum", a, b, Add { scale: 1.0, activation: Activation::None }).unwrap();
    graph.output("sum", sum).unwrap();
    let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
    assert_eq!(stems(&plan), ["max_pool", "max_pool", "max_pool", "elementwise"], "{plan}");
}
