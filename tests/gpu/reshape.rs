//! The same values under another shape: nothing is moved where they lie so already, and everything arrives.

use spp_wgpu::ops::*;
use spp_wgpu::{Graph, NodeId, Plan, PlanOptions, Shape, reference};

use crate::harness::{Data, GPU, assert_same_bits, check_bits, random, run, with_specials};

const X: Shape = Shape::new(2, 6, 4, 5);

const OTHERS: [Shape; 8] = [
    Shape::new(2, 6, 20, 1),
    Shape::new(2, 3, 8, 5),
    Shape::new(2, 12, 1, 10),
    Shape::new(12, 1, 4, 5),
    Shape::new(1, 12, 4, 5),
    Shape::new(1, 1, 1, 240),
    Shape::new(240, 1, 1, 1),
    Shape::new(5, 4, 6, 2),
];

fn to(graph: &mut Graph, x: NodeId, shape: Shape) -> NodeId {
    let name = format!("reshape {}", graph.nodes().len());
    graph.reshape(name, x, Reshape { shape }).unwrap()
}

fn abs(graph: &mut Graph, x: NodeId) -> NodeId {
    let shape = graph.shape(x).unwrap();
    let name = format!("abs {}", graph.nodes().len());
    graph.map(name, &[x], Map { shape, walks: vec![None], formula: Formula::of(Function::Abs) }).unwrap()
}

fn pool(graph: &mut Graph, x: NodeId) -> NodeId {
    let name = format!("pool {}", graph.nodes().len());
    graph.max_pool(name, x, MaxPool::same(3)).unwrap()
}

fn turned(graph: &mut Graph, x: NodeId) -> NodeId {
    let Shape { n, c, h, w } = graph.shape(x).unwrap();
    let axes = Strided::dense(&[n, c, h, w]).axes;
    let walk = Strided { offset: 0, axes: [0, 3, 2, 1].map(|axis| axes[axis]).to_vec() };
    let name = format!("turned {}", graph.nodes().len());
    graph.rearrange(name, x, Rearrange::strided(Shape::new(n, w, h, c), &walk)).unwrap()
}

fn concat(graph: &mut Graph, parts: &[NodeId]) -> NodeId {
    let name = format!("concat {}", graph.nodes().len());
    graph.concat(name, parts).unwrap()
}

/// What to make of an input, and of a shape with as many values and its number of images.
type Build = fn(&mut Graph, NodeId, Shape) -> Vec<NodeId>;

const CASES: [(&str, Build); 14] = [
    ("an input", |g, x, to_| vec![to(g, x, to_)]),
    ("there and back", |g, x, to_| {
        let y = to(g, x, to_);
        let back = g.shape(x).unwrap();
        vec![to(g, y, back), y, x]
    }),
    ("pixels", |g, x, to_| {
        let p = pool(g, x);
        vec![to(g, p, to_), p]
    }),
    ("values", |g, x, to_| {
        let t = turned(g, x);
        let y = to(g, t, to_);
        vec![abs(g, y), y]
    }),
    ("an output of what nobody else reads", |g, x, to_| {
        let t = turned(g, x);
        let back = g.shape(x).unwrap();
        let y = to(g, t, back);
        vec![to(g, y, to_)]
    }),
    ("before pixels", |g, x, to_| {
        let t = turned(g, x);
        let y = to(g, t, to_);
        vec![pool(g, y)]
    }),
    ("in a concatenation", |g, x, to_| {
        let t = turned(g, x);
        let y = to(g, t, to_);
        let z = to(g, x, to_);
        vec![concat(g, &[y, z])]
    }),
    ("of what is read elsewhere, in a concatenation", |g, x, to_| {
        let t = turned(g, x);
        let y = to(g, t, to_);
        let a = abs(g, y);
        vec![concat(g, &[a, y]), t]
    }),
    ("of a concatenation's operand", |g, x, _| {
        let t = turned(g, x);
        let u = abs(g, t);
        let c = concat(g, &[t, u]);
        let back = g.shape(x).unwrap();
        let y = to(g, t, back);
        vec![c, abs(g, y)]
    }),
    ("whose reader lies beside what it reads", |g, x, _| {
        let t = turned(g, x);
        let Shape { n, c, h, w } = g.shape(t).unwrap();
        let y = to(g, t, Shape::new(n, c, 1, h * w));
        let a = abs(g, y);
        let a = to(g, a, Shape::new(n, c, h, w));
        vec![concat(g, &[t, a])]
    }),
    ("of a concatenation", |g, x, to_| {
        let [t, u] = [0, 1].map(|_| turned(g, x));
        let c = concat(g, &[t, u]);
        let n = to_.n;
        let y = to(g, c, Shape::new(n, 480 / n, 1, 1));
        vec![abs(g, y), c]
    }),
    ("of a concatenation in a concatenation", |g, x, _| {
        let [t, u] = [0, 1].map(|_| turned(g, x));
        let c = concat(g, &[t, u]);
        let [y, z] = [c, u].map(|id| {
            let Shape { n, c, h, w } = g.shape(id).unwrap();
            to(g, id, Shape::new(n, c * h, 1, w))
        });
        vec![concat(g, &[z, y]), c]
    }),
    ("of concatenated pixels", |g, x, _| {
        let [p, q] = [0, 1].map(|_| pool(g, x));
        let c = concat(g, &[p, q]);
        let Shape { n, c: channels, h, w } = g.shape(p).unwrap();
        let y = to(g, c, Shape::new(n, 2 * channels, h * w, 1));
        let y = pool(g, y);
        vec![concat(g, &[y, y]), to(g, p, Shape::new(n, channels, 1, h * w))]
    }),
    ("in many turns", |g, x, to_| {
        let mut y = x;
        let back = g.shape(x).unwrap();
        for shape in [to_, back, Shape::new(2, 2, 12, 5), to_] {
            let reshaped = to(g, y, shape);
            y = if shape == to_ { abs(g, reshaped) } else { turned(g, reshaped) };
        }
        vec![y]
    }),
];

#[test]
fn every_value_arrives_however_it_is_placed() {
    for (name, build) in CASES {
        for (from, shape) in OTHERS.into_iter().flat_map(|shape| [X, Shape::new(1, 12, 4, 5)].map(|from| (from, shape)))
        {
            let case = format!("{name}, {from} as {shape}");
            let mut graph = Graph::new();
            let x = graph.input("x", from).unwrap();
            for (i, y) in build(&mut graph, x, shape).into_iter().enumerate() {
                graph.output(format!("y{i}"), y).unwrap();
            }
            let x = [with_specials(random(from, 1, Data::Integers))];
            check_bits(&case, &graph, &x);
            let mut copied = PlanOptions::default();
            copied.concat_slices = false;
            for (got, want) in run(&graph, &x, &copied).iter().zip(reference::run(&graph, &x).unwrap()) {
                assert_same_bits(&format!("{case}, copied"), got, &want);
            }
        }
    }
}

#[test]
fn nothing_is_dispatched_for_it_between_values() {
    let mut graph = Graph::new();
    let x = graph.input("x", X).unwrap();
    let y = to(&mut graph, x, Shape::new(2, 1, 12, 10));
    let y = turned(&mut graph, y);
    let y = to(&mut graph, y, Shape::new(1, 240, 1, 1));
    let y = abs(&mut graph, y);
    let y = to(&mut graph, y, X);
    graph.output("y", y).unwrap();
    let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
    let stems: Vec<_> = plan.steps.iter().map(|step| step.shader.stem).collect();
    assert_eq!(stems, ["rearrange", "map"], "{plan}");
}
