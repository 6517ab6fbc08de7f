//! Formulas: every function on every special value, every way that operands lie beside each other.

use spp_wgpu::ops::*;
use spp_wgpu::{Graph, NodeId, Plan, PlanOptions, Shape, Tensor, reference};

use crate::graphs::same_conv;
use crate::harness::{Data, GPU, assert_same_bits, check, check_bits, graph, random, run, stems, with_specials};

fn map_of(shape: Shape, operands: usize, formula: Formula) -> Map {
    Map { shape, walks: vec![None; operands], formula }
}

fn step(function: Function, terms: &[Term]) -> FormulaStep {
    FormulaStep { function, terms: terms.to_vec() }
}

const A: Term = Term::Operand(0);
const B: Term = Term::Operand(1);
const C: Term = Term::Operand(2);

const UNARY: [Function; 15] = [
    Function::Neg,
    Function::Abs,
    Function::Sign,
    Function::Exp,
    Function::Log,
    Function::Sqrt,
    Function::Reciprocal,
    Function::Erf,
    Function::Floor,
    Function::Ceil,
    Function::Round,
    Function::Trunc,
    Function::Sin,
    Function::Cos,
    Function::Not,
];

const BINARY: [Function; 14] = [
    Function::Add,
    Function::Sub,
    Function::Mul,
    Function::Div,
    Function::Pow,
    Function::Min,
    Function::Max,
    Function::Mod,
    Function::Prelu,
    Function::Equal,
    Function::Less,
    Function::LessOrEqual,
    Function::And,
    Function::Or,
];

fn functions() -> impl Iterator<Item = Function> {
    let activations = Activation::ALL.into_iter().map(Function::Activation);
    UNARY.into_iter().chain(activations).chain(BINARY).chain([Function::Where])
}

const INF: f32 = f32::INFINITY;

/// What a function may stumble over.
const SPECIAL: [f32; 30] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    0.75,
    1.5,
    -1.5,
    2.5,
    -2.5,
    7.0,
    -7.25,
    10.0,
    -10.0,
    0.001,
    -0.001,
    1e-6,
    88.0,
    -88.0,
    65_504.0,
    INF,
    -INF,
    f32::NAN,
    -f32::NAN,
    20.25,
];

/// All pairs of special values, the third of which is another.
fn pairs() -> [Tensor; 3] {
    let len = SPECIAL.len();
    let shape = Shape::new(1, 3, 20, (len * len / 60) as u32);
    let of = |at: fn(usize) -> usize| {
        let values = (0..len * len).map(|i| SPECIAL[at(i) % SPECIAL.len()]).collect();
        Tensor::new(shape, values).unwrap()
    };
    [of(|i| i), of(|i| i / SPECIAL.len()), of(|i| i * 7 + 3)]
}

/// Whether all that reads tensors goes on in pixels, behind a pool, or in values.
fn inputs(graph: &mut Graph, shapes: &[Shape], pixels: bool) -> Vec<NodeId> {
    (0..)
        .zip(shapes)
        .map(|(i, shape)| {
            let x = graph.input(format!("x{i}"), *shape).unwrap();
            if pixels { graph.max_pool(format!("pixels {i}"), x, MaxPool::new([1, 1])).unwrap() } else { x }
        })
        .collect()
}

#[test]
fn every_function_of_special_values() {
    let xs = pairs();
    for function in functions() {
        let xs = &xs[..function.arity()];
        for pixels in [false, true] {
            let mut graph = Graph::new();
            let shapes: Vec<Shape> = xs.iter().map(Tensor::shape).collect();
            let ids = inputs(&mut graph, &shapes, pixels);
            let y = graph.map("y", &ids, map_of(shapes[0], ids.len(), Formula::of(function))).unwrap();
            graph.output("y", y).unwrap();
            let want = reference::run_with_bounds(&graph, xs).unwrap();
            let got = run(&graph, xs, &PlanOptions::default()).remove(0);
            // By value, each within its bound: where terms are as unlike as here, a sum over all says nothing.
            let bad: Vec<_> = (0..got.data().len())
                .filter(|&i| {
                    let (got, want, bound) = (f64::from(got.data()[i]), want[0].values[i], want[0].bound[i]);
                    let same = got == want || got.is_nan() && want.is_nan() || got == f64::from(want as f32);
                    !(same || (got - want).abs() <= bound)
                })
                .map(|i| (xs.iter().map(|x| x.data()[i]).collect::<Vec<_>>(), got.data()[i], want[0].values[i]))
                .take(8)
                .collect();
            assert!(bad.is_empty(), "{function:?}, in pixels: {pixels}: (operands, got, want) {bad:?}");
        }
    }
}

/// `gelu`, as exporters spell it.
fn gelu() -> Formula {
    Formula {
        steps: vec![
            step(Function::Div, &[A, Term::Number(std::f32::consts::SQRT_2)]),
            step(Function::Erf, &[Term::Step(0)]),
            step(Function::Add, &[Term::Step(1), Term::Number(1.0)]),
            step(Function::Mul, &[A, Term::Step(2)]),
            step(Function::Mul, &[Term::Step(3), Term::Number(0.5)]),
        ],
    }
}

#[test]
fn functions_are_accurate_all_along() {
    let shape = Shape::new(1, 8, 50, 50);
    let values = |from: f32, to: f32| {
        let len = shape.len() as f32;
        Tensor::new(shape, (0..shape.len()).map(|i| from + (to - from) * i as f32 / len).collect()).unwrap()
    };
    for (function, [from, to]) in [
        (Function::Exp, [-80.0, 80.0]),
        (Function::Log, [1e-6, 10.0]),
        (Function::Sqrt, [0.0, 50.0]),
        (Function::Erf, [-5.0, 5.0]),
        (Function::Sin, [-3.0, 3.0]),
        (Function::Cos, [-3.0, 3.0]),
        (Function::Sin, [-6000.0, 6000.0]),
        (Function::Cos, [-6000.0, 6000.0]),
        (Function::Reciprocal, [0.01, 9.0]),
    ] {
        let graph = graph(shape, |graph, x| graph.map("y", &[x], map_of(shape, 1, Formula::of(function))).unwrap());
        check(&format!("{function:?}"), &graph, &[values(from, to)]);
    }
    let gelu = graph(shape, |graph, x| graph.map("y", &[x], map_of(shape, 1, gelu())).unwrap());
    let x = [values(-6.0, 6.0)];
    check("gelu", &gelu, &x);
    let (want, got) = (reference::run(&gelu, &x).unwrap(), run(&gelu, &x, &PlanOptions::default()));
    let apart = got[0].data().iter().zip(want[0].data()).map(|(a, b)| (a - b).abs() - 1e-3 * b.abs());
    assert!(apart.fold(0.0, f32::max) <= 1e-6, "as far as sums in f32 go");
    let erf = graph(shape, |graph, x| graph.map("y", &[x], map_of(shape, 1, Formula::of(Function::Erf))).unwrap());
    let (want, got) = (reference::run(&erf, &x).unwrap(), run(&erf, &x, &PlanOptions::default()));
    let off = got[0].data().iter().zip(want[0].data()).map(|(a, b)| if *b == 0.0 { 0.0 } else { (a / b - 1.0).abs() });
    let off = off.fold(0.0, f32::max);
    assert!(off <= 1e-6, "erf is off by {off:e}");
}

/// `a * b + c`, twice over.
fn mixed() -> Formula {
    Formula {
        steps: vec![
            step(Function::Mul, &[A, B]),
            step(Function::Add, &[Term::Step(0), C]),
            step(Function::Max, &[Term::Step(1), Term::Number(-1.0)]),
            step(Function::Activation(Activation::LeakyRelu(0.25)), &[Term::Step(2)]),
            step(Function::Sub, &[Term::Step(3), A]),
        ],
    }
}

#[test]
fn operands_are_spread_over_the_result_in_every_way() {
    for y in [Shape::new(2, 6, 3, 4), Shape::new(1, 8, 5, 2), Shape::new(3, 1, 4, 5), Shape::new(2, 5, 1, 1)] {
        let spread = |mask: u32| {
            let extent = |i: u32, extent: u32| if mask >> i & 1 == 1 { 1 } else { extent };
            Shape::new(extent(0, y.n), extent(1, y.c), extent(2, y.h), extent(3, y.w))
        };
        for mask in 0..16 {
            for pixels in [false, true] {
                let shapes = [spread(mask * 5 % 16), spread(mask), y];
                let mut graph = Graph::new();
                let ids = inputs(&mut graph, &shapes, pixels);
                let id = graph.map("y", &ids, map_of(y, 3, mixed())).unwrap();
                graph.output("y", id).unwrap();
                let xs: Vec<Tensor> = (1..).zip(shapes).map(|(i, shape)| random(shape, i, Data::Integers)).collect();
                check_bits(&format!("{shapes:?}, in pixels: {pixels}"), &graph, &xs);
            }
        }
    }
}

#[test]
fn none_is_as_large_as_the_result() {
    let shapes = [Shape::new(2, 5, 1, 1), Shape::new(1, 1, 3, 4)];
    for pixels in [false, true] {
        let mut graph = Graph::new();
        let ids = inputs(&mut graph, &shapes, pixels);
        let y = graph.map("y", &ids, map_of(Shape::new(2, 5, 3, 4), 2, Formula::of(Function::Sub))).unwrap();
        graph.output("y", y).unwrap();
        check_bits(&format!("{pixels}"), &graph, &[0, 1].map(|i| random(shapes[i], 1, Data::Integers)));
    }
}

#[test]
fn constants_and_walks_stand_beside_maps() {
    let shape = Shape::new(2, 6, 4, 5);
    let walk = |offset, axes: &[[i32; 2]]| {
        let axes = axes.iter().map(|&[extent, stride]| Axis { extent: extent as u32, stride }).collect();
        Some(Strided { offset, axes })
    };
    for (name, walks) in [
        ("as it is", [None, None]),
        ("transposed", [None, walk(0, &[[2, 120], [20, 1], [6, 20]])]),
        ("backwards", [walk(239, &[[240, -1]]), None]),
        ("both", [walk(0, &[[2, 120], [20, 1], [6, 20]]), walk(119, &[[2, 0], [6, -20], [20, -1]])]),
        ("which goes with no other", [walk(0, &[[16, 1], [15, 16]]), walk(0, &[[15, 1], [16, 15]])]),
        (
            "of many axes",
            [
                walk(0, &[[2, 1], [2, 2], [2, 4], [3, 8], [2, 24], [5, 48]]),
                walk(0, &[[5, 1], [2, 5], [3, 10], [2, 30], [2, 60], [2, 120]]),
            ],
        ),
        ("one value", [walk(5, &[[240, 0]]), None]),
    ] {
        for pixels in [false, true] {
            let mut graph = Graph::new();
            let x = inputs(&mut graph, &[shape], pixels)[0];
            let c = graph.constant("c", random(shape, 8, Data::Integers)).unwrap();
            let op = Map { shape, walks: walks.to_vec(), formula: Formula::of(Function::Sub) };
            let y = graph.map("y", &[x, c], op).unwrap();
            graph.output("y", y).unwrap();
            check_bits(&format!("{name}, in pixels: {pixels}"), &graph, &[random(shape, 2, Data::Integers)]);
        }
    }
}

#[test]
fn constants_of_every_shape_meet_a_convolution() {
    let shape = Shape::new(2, 6, 4, 5);
    for of in [Shape::new(1, 1, 1, 1), Shape::new(1, 6, 1, 1), Shape::new(1, 1, 4, 5), Shape::new(2, 1, 1, 5), shape] {
        let graph = graph(shape, |graph, x| {
            let conv = graph.conv("conv", x, same_conv(6, 6, 1)).unwrap();
            let c = graph.constant("c", random(of, 5, Data::Uniform)).unwrap();
            graph.map("y", &[conv, c, conv], map_of(shape, 3, mixed())).unwrap()
        });
        check(&format!("{of}"), &graph, &[random(shape, 2, Data::Uniform)]);
        let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
        assert_eq!(stems(&plan)[1..], ["map"], "one dispatch, in the convolution's order: {plan}");
    }
}

#[test]
fn numbers_that_are_none_arrive() {
    let shape = Shape::new(1, 3, 2, 2);
    for (number, function) in [
        (f32::INFINITY, Function::Min),
        (f32::NEG_INFINITY, Function::Max),
        (f32::NAN, Function::Add),
        (f32::MAX, Function::Mul),
        (-0.0, Function::Mul),
        (f32::NAN, Function::Less),
    ] {
        let formula = Formula { steps: vec![step(function, &[A, Term::Number(number)])] };
        let graph = graph(shape, |graph, x| graph.map("y", &[x], map_of(shape, 1, formula)).unwrap());
        let x = [with_specials(random(shape, 3, Data::Uniform))];
        let want = reference::run(&graph, &x).unwrap();
        assert_same_bits(&format!("{function:?} {number}"), &run(&graph, &x, &PlanOptions::default())[0], &want[0]);
    }
}

/// More numbers than a vector of four, and as many steps as there may be.
#[test]
fn the_longest_formula() {
    let steps = (0..Formula::MAX_STEPS as u32).map(|i| {
        let before = if i == 0 { A } else { Term::Step(i - 1) };
        step(if i % 2 == 0 { Function::Add } else { Function::Sub }, &[before, Term::Number(i as f32)])
    });
    let formula = Formula { steps: steps.collect() };
    let shape = Shape::new(1, 3, 2, 5);
    let graph = graph(shape, |graph, x| graph.map("y", &[x], map_of(shape, 1, formula)).unwrap());
    check_bits("longest", &graph, &[random(shape, 3, Data::Integers)]);
}

/// Side by side with others, of several images.
#[test]
fn results_go_into_concatenations() {
    for n in [1, 2] {
        for pixels in [false, true] {
            let shape = Shape::new(n, 5, 4, 3);
            let mut graph = Graph::new();
            let x = inputs(&mut graph, &[shape], pixels)[0];
            let pool = |graph: &mut Graph, name: &str| graph.max_pool(name, x, MaxPool::same(3)).unwrap();
            let other = if pixels { pool(&mut graph, "other") } else { x };
            let a = graph.map("a", &[x], map_of(shape, 1, Formula::of(Function::Abs))).unwrap();
            let b = graph.map("b", &[a, other], map_of(shape, 2, Formula::of(Function::Sub))).unwrap();
            let cat = graph.concat("cat", &[a, b]).unwrap();
            graph.output("cat", cat).unwrap();
            check_bits(&format!("{n} images, in pixels: {pixels}"), &graph, &[random(shape, 3, Data::Integers)]);
        }
    }
}

/// A plan's kernels, with and without the pass.
fn fused_and_not(graph: &Graph) -> [Vec<&'static str>; 2] {
    [true, false].map(|on| {
        let mut options = PlanOptions::default();
        options.fuse_maps = on;
        stems(&Plan::new(graph, GPU.profile(), &options).unwrap())
    })
}

/// `relu6(2 * x - 0.5) * x + c`, each a node.
fn chain(graph: &mut Graph, x: NodeId, c: NodeId) -> NodeId {
    let shape = graph.shape(x).unwrap();
    let mut y = x;
    for (i, (function, terms)) in [
        (Function::Mul, vec![A, Term::Number(2.0)]),
        (Function::Sub, vec![A, Term::Number(0.5)]),
        (Function::Max, vec![A, Term::Number(0.0)]),
        (Function::Min, vec![Term::Number(6.0), A]),
        (Function::Mul, vec![A, B]),
        (Function::Add, vec![B, A]),
    ]
    .into_iter()
    .enumerate()
    {
        let beside = [x, c][i % 2];
        let inputs: Vec<NodeId> = if terms.contains(&B) { vec![y, beside] } else { vec![y] };
        let formula = Formula { steps: vec![step(function, &terms)] };
        y = graph.map(format!("{i}"), &inputs, map_of(shape, inputs.len(), formula)).unwrap();
    }
    y
}

#[test]
fn chains_are_one_dispatch() {
    let shape = Shape::new(2, 6, 4, 5);
    for pixels in [false, true] {
        let mut graph = Graph::new();
        let x = inputs(&mut graph, &[shape], pixels)[0];
        let c = graph.constant("c", random(Shape::new(1, 6, 1, 1), 5, Data::Integers)).unwrap();
        let y = chain(&mut graph, x, c);
        graph.output("y", y).unwrap();
        check_bits(&format!("in pixels: {pixels}"), &graph, &[random(shape, 1, Data::Integers)]);
        let maps = fused_and_not(&graph).map(|stems| stems.into_iter().filter(|stem| *stem == "map").count());
        assert_eq!(maps, [1, 6], "in pixels: {pixels}");
    }
}

#[test]
fn what_others_read_stays_and_so_does_what_is_walked_over() {
    type Build = fn(&mut Graph, NodeId, NodeId) -> Vec<NodeId>;
    let shape = Shape::new(2, 6, 4, 5);
    let cases: [(&str, usize, Build); 7] = [
        ("an output", 2, |g, a, x| {
            let y = g.map("y", &[a, x], map_of(Shape::new(2, 6, 4, 5), 2, Formula::of(Function::Add))).unwrap();
            vec![a, y]
        }),
        ("read twice by one", 1, |g, a, _| {
            vec![g.map("y", &[a, a], map_of(Shape::new(2, 6, 4, 5), 2, Formula::of(Function::Mul))).unwrap()]
        }),
        ("read by a pool, too", 2, |g, a, x| {
            let y = g.map("y", &[a, x], map_of(Shape::new(2, 6, 4, 5), 2, Formula::of(Function::Add))).unwrap();
            vec![y, g.max_pool("pool", a, MaxPool::same(3)).unwrap()]
        }),
        ("walked over in order", 1, |g, a, _| {
            let shape = Shape::new(2, 6, 4, 5);
            let walks = vec![Some(Strided::dense(&[240]))];
            vec![g.map("y", &[a], Map { walks, ..map_of(shape, 1, Formula::of(Function::Neg)) }).unwrap()]
        }),
        ("walked over backwards", 2, |g, a, _| {
            let shape = Shape::new(2, 6, 4, 5);
            let walks = vec![Some(Strided { offset: 239, axes: vec![Axis { extent: 240, stride: -1 }] })];
            vec![g.map("y", &[a], Map { walks, ..map_of(shape, 1, Formula::of(Function::Neg)) }).unwrap()]
        }),
        ("spread", 2, |g, a, x| {
            let pixel = g
                .map(
                    "p",
                    &[a],
                    Map {
                        walks: vec![Some(Strided { offset: 3, axes: vec![Axis { extent: 6, stride: 20 }] })],
                        ..map_of(Shape::new(1, 6, 1, 1), 1, Formula::of(Function::Neg))
                    },
                )
                .unwrap();
            vec![g.map("y", &[x, pixel], map_of(Shape::new(2, 6, 4, 5), 2, Formula::of(Function::Sub))).unwrap(), a]
        }),
        ("too many operands", 2, |g, a, x| {
            let shape = Shape::new(2, 6, 4, 5);
            let [b, c, d] = [1, 2, 3].map(|i| g.constant(format!("{i}"), random(shape, i, Data::Integers)).unwrap());
            let y = g.map("first", &[a, b, x], map_of(shape, 3, mixed())).unwrap();
            vec![g.map("y", &[y, c, d], map_of(shape, 3, mixed())).unwrap()]
        }),
    ];
    for (name, count, build) in cases {
        let mut graph = Graph::new();
        let x = graph.input("x", shape).unwrap();
        let rows = Rearrange::strided(shape, &Strided::dense(&[240]));
        let x = graph.rearrange("rows", x, rows).unwrap();
        let a = graph.map("a", &[x], map_of(shape, 1, Formula::of(Function::Abs))).unwrap();
        for (i, y) in build(&mut graph, a, x).into_iter().enumerate() {
            graph.output(format!("y{i}"), y).unwrap();
        }
        check_bits(name, &graph, &[random(shape, 1, Data::Integers)]);
        let count = if name == "spread" { 3 } else { count };
        let maps = fused_and_not(&graph)[0].iter().filter(|stem| **stem == "map").count();
        assert_eq!(maps, count, "{name}");
    }
}
