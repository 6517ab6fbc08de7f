//! Meaningless input ends in a typed error that names the node and the remedy, never in a panic.

use spp_wgpu::graph::{MAX_NODES, MAX_OUTPUTS};
use spp_wgpu::ops::*;
use spp_wgpu::{Error, Graph, NodeId, Result, Shape, Tensor};

/// Builds on a graph with the nodes `x` [1, 8, 6, 5] and `other` [1, 4, 6, 7].
type Build = fn(&mut Graph, NodeId, NodeId) -> Result<NodeId>;

/// What is wrong, the expected variant of [`Error`], what its text must contain, and how it is built.
type Row = (&'static str, &'static str, &'static [&'static str], Build);

fn weight(n: u32, c: u32, h: u32, w: u32) -> Weight {
    Tensor::filled(Shape::new(n, c, h, w), 1.0).unwrap().into()
}

/// 8 channels to 4.
fn conv() -> Conv {
    Conv::new(weight(4, 8, 3, 3))
}

fn affine(scales: usize, shifts: usize) -> AffineActivation {
    AffineActivation { scale: vec![1.0; scales].into(), shift: vec![0.0; shifts].into(), activation: Activation::None }
}

fn linear(n: u32, c: u32) -> Linear {
    Linear { weight: weight(n, c, 1, 1), bias: None, activation: Activation::None }
}

fn batch_norm(var: f32, eps: f64) -> Result<AffineActivation> {
    AffineActivation::batch_norm("batch_norm 'bn'", [&[1.0], &[0.0], &[0.0], &[var]], eps, Activation::Relu)
}

const SAME: MaxPool = MaxPool::same(3);
const BINS: PyramidPool = PyramidPool { levels: Vec::new(), mode: PyramidMode::Adaptive };
const TO_3X3: Resize = Resize { out_h: 3, out_w: 3, mode: ResizeMode::Nearest };
const SUM: Add = Add { scale: 1.0, activation: Activation::None };
const LEAKY_NAN: Activation = Activation::LeakyRelu(f32::NAN);
const LEAKY_INF: Activation = Activation::LeakyRelu(f32::INFINITY);
const MAX: u32 = u32::MAX;

#[rustfmt::skip]
const ATTRIBUTES: &[Row] = &[
    ("conv stride 0", "InvalidParam", &["conv 'y': stride = 0"],
        |g, x, _| g.conv("y", x, Conv { stride: [1, 0], ..conv() })),
    ("pool stride 0", "InvalidParam", &["max_pool 'y': stride = 0"],
        |g, x, _| g.max_pool("y", x, MaxPool { stride: [0, 1], ..SAME })),
    ("conv dilation 0", "InvalidParam", &["conv 'y': dilation = 0"],
        |g, x, _| g.conv("y", x, Conv { dilation: [0, 1], ..conv() })),
    ("pool dilation 0", "InvalidParam", &["max_pool 'y': dilation = 0"],
        |g, x, _| g.max_pool("y", x, MaxPool { dilation: [1, 0], ..SAME })),
    ("pool kernel 0", "InvalidParam", &["max_pool 'y': kernel = 0", "at least 1"],
        |g, x, _| g.max_pool("y", x, MaxPool { kernel: [3, 0], ..SAME })),
    ("cascade kernel 0", "InvalidParam", &["'y': kernel = 0", "odd"],
        |g, x, _| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: 0, times: 3 })),
    ("cascade kernel even", "InvalidParam", &["'y': kernel = 4", "odd"],
        |g, x, _| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: 4, times: 3 })),
    ("cascade of nothing", "InvalidParam", &["'y': times = 0"],
        |g, x, _| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: 5, times: 0 })),
    ("groups 0", "InvalidParam", &["conv 'y': groups = 0", "8 input and 4 output"],
        |g, x, _| g.conv("y", x, Conv { groups: 0, ..conv() })),
    ("groups do not divide inputs", "InvalidParam", &["conv 'y': groups = 3", "8 input and 3 output"],
        |g, x, _| g.conv("y", x, Conv { groups: 3, ..Conv::new(weight(3, 8, 1, 1)) })),
    ("groups do not divide outputs", "InvalidParam", &["conv 'y': groups = 4", "8 input and 6 output"],
        |g, x, _| g.conv("y", x, Conv { groups: 4, ..Conv::new(weight(6, 2, 1, 1)) })),
    ("pool padding as wide as its window", "InvalidParam", &["'y': padding = 3", "less than the window (3)"],
        |g, x, _| g.max_pool("y", x, MaxPool { padding: Padding::symmetric(1, 3), ..SAME })),
    ("pool padding as wide as its window, one side", "InvalidParam", &["'y': padding = 3"],
        |g, x, _| g.max_pool("y", x, MaxPool { padding: Padding { bottom: 3, ..SAME.padding }, ..SAME })),
    ("pool padding as wide as its window, dilated", "InvalidParam", &["'y': padding = 5", "less than the window (5)"],
        |g, x, _| g.max_pool("y", x, MaxPool { padding: Padding::symmetric(5, 2), dilation: [2, 2], ..SAME })),
    ("pyramid of no level", "InvalidParam", &["'y': levels = []"],
        |g, x, _| g.pyramid_pool("y", x, BINS)),
    ("pyramid of 0 bins", "InvalidParam", &["'y': levels = [2, 0]"],
        |g, x, _| g.pyramid_pool("y", x, PyramidPool { levels: vec![2, 0], ..BINS })),
    ("padded pyramid that does not fit", "InvalidParam", &["'y': levels = 4", "width 5", "use mode 'adaptive'"],
        |g, x, _| g.pyramid_pool("y", x, PyramidPool { levels: vec![4], mode: PyramidMode::Padded })),
    ("resize to 0", "InvalidParam", &["'y': out_w = 0"],
        |g, x, _| g.resize("y", x, Resize { out_w: 0, ..TO_3X3 })),
    ("layout width 0", "InvalidParam", &["'y': width = 0", "8 channels"],
        |g, x, _| g.layout("y", x, Layout { width: 0 })),
    ("layout width that does not divide", "InvalidParam", &["'y': width = 3", "8 channels"],
        |g, x, _| g.layout("y", x, Layout { width: 3 })),
    ("softmax over columns of a map", "InvalidParam", &["'y': axis", "[1, 8, 6, 5]", "height 1"],
        |g, x, _| g.softmax("y", x, Softmax::new(SoftmaxAxis::Columns))),
    ("conv slope NaN", "InvalidParam", &["conv 'y': slope = NaN"],
        |g, x, _| g.conv("y", x, Conv { activation: LEAKY_NAN, ..conv() })),
    ("linear slope inf", "InvalidParam", &["linear 'y': slope = inf"],
        |g, x, _| g.linear("y", x, Linear { activation: LEAKY_INF, ..linear(2, 240) })),
    ("add slope NaN", "InvalidParam", &["add 'y': slope = NaN"],
        |g, x, _| g.add("y", x, x, Add { activation: LEAKY_NAN, ..SUM })),
    ("affine slope inf", "InvalidParam", &["affine_activation 'y': slope = inf"],
        |g, x, _| g.affine_activation("y", x, AffineActivation::activation(8, LEAKY_INF))),
    ("conv scale NaN", "InvalidParam", &["conv 'y': scale = NaN"],
        |g, x, _| g.conv("y", x, Conv { scale: f32::NAN, ..conv() })),
    ("add scale inf", "InvalidParam", &["add 'y': scale = inf"],
        |g, x, _| g.add("y", x, x, Add { scale: f32::INFINITY, ..SUM })),
    ("conv that adds nothing last", "InvalidParam", &["conv 'y': adds_last = true", "residual"],
        |g, x, _| g.conv("y", x, Conv { adds_last: true, ..conv() })),
    ("variance below 0", "InvalidParam", &["batch_norm 'bn': running_var = -1", "running_var[0]"],
        |_, x, _| batch_norm(-1.0, 1e-5).map(|_| x)),
    ("variance and eps 0", "InvalidParam", &["batch_norm 'bn': running_var = 0"],
        |_, x, _| batch_norm(0.0, 0.0).map(|_| x)),
    ("variance NaN", "InvalidParam", &["batch_norm 'bn': running_var = NaN"],
        |_, x, _| batch_norm(f32::NAN, 1e-5).map(|_| x)),
    ("batch norm of differing lengths", "ShapeMismatch", &["[2, 2, 1, 2]"],
        |_, x, _| AffineActivation::batch_norm("bn", [&[1.0; 2], &[0.0; 2], &[0.0], &[1.0; 2]], 0.0, Activation::Relu)
            .map(|_| x)),
];

#[rustfmt::skip]
const SHAPES: &[Row] = &[
    ("kernel over padded rows", "EmptyOutput", &["conv 'y'", "[1, 8, 6, 5]", "(7x1)", "0x5"],
        |g, x, _| g.conv("y", x, Conv::new(weight(4, 8, 7, 1)))),
    ("dilated kernel over padded columns", "EmptyOutput", &["conv 'y'", "(3x9)", "4x0"],
        |g, x, _| g.conv("y", x, Conv { dilation: [1, 4], padding: Padding::symmetric(0, 1), ..conv() })),
    ("pool over the map", "EmptyOutput", &["max_pool 'y'", "(7x7)", "0x0"],
        |g, x, _| g.max_pool("y", x, MaxPool::new([7, 7]))),
    ("ceil mode far over the map", "EmptyOutput", &["max_pool 'y'", "1x-1"],
        |g, x, _| g.max_pool("y", x, MaxPool { ceil_mode: true, stride: [1, 1], ..MaxPool::new([6, 7]) })),
    ("no channels", "InvalidParam", &["input 'z': c = 0", "[1, 0, 6, 5]"],
        |g, _, _| g.input("z", Shape::new(1, 0, 6, 5))),
    ("no rows", "InvalidParam", &["input 'z': h = 0"],
        |g, _, _| g.input("z", Shape::new(1, 8, 0, 5))),
    ("no columns", "InvalidParam", &["input 'z': w = 0"],
        |g, _, _| g.input("z", Shape::new(1, 8, 6, 0))),
    ("conv without outputs", "InvalidParam", &["conv 'y': weight = [0, 8, 3, 3]"],
        |g, x, _| g.conv("y", x, Conv::new(weight(0, 8, 3, 3)))),
    ("linear without outputs", "InvalidParam", &["linear 'y': weight = [0, 240, 1, 1]"],
        |g, x, _| g.linear("y", x, linear(0, 240))),
    ("conv with mismatched channels", "ShapeMismatch",
        &["conv 'y'", "weight [4, 8, 3, 3] expects 8", "got 4: [1, 4, 6, 7] from 'other'"],
        |g, _, o| g.conv("y", o, conv())),
    ("grouped conv with mismatched channels", "ShapeMismatch",
        &["weight [4, 8, 3, 3] expects 16", "got 8: [1, 8, 6, 5] from 'x'"],
        |g, x, _| g.conv("y", x, Conv { groups: 2, ..conv() })),
    ("conv bias of the wrong length", "ShapeMismatch", &["conv 'y'", "3 values", "4 output channels", "'x'"],
        |g, x, _| g.conv("y", x, Conv { bias: Some(vec![0.0; 3].into()), ..conv() })),
    ("conv_add with mismatched channels", "ShapeMismatch", &["conv 'y'", "expects 8", "'other'"],
        |g, x, o| g.conv_add("y", o, x, conv())),
    ("conv_add with a mismatched residual", "ShapeMismatch",
        &["conv 'y'", "[1, 4, 6, 7] from 'other'", "[1, 4, 4, 3], [1, 4, 1, 1] and [1, 5, 1, 1]"],
        |g, x, o| g.conv_add("y", x, o, conv())),
    ("conv_add of a pixel, last", "ShapeMismatch", &["conv 'y'", "[1, 4, 1, 1] from 'z', added last", "[1, 4, 4, 3]"],
        |g, x, _| {
            let z = g.input("z", Shape::new(1, 4, 1, 1))?;
            g.conv_add("y", x, z, Conv { adds_last: true, ..conv() })
        }),
    ("conv_add of a column", "ShapeMismatch", &["conv 'y'", "[1, 4, 4, 1] from 'z'", "[1, 4, 4, 3]"],
        |g, x, _| { let z = g.input("z", Shape::new(1, 4, 4, 1))?; g.conv_add("y", x, z, conv()) }),
    ("conv_add of a mismatched pixel", "ShapeMismatch", &["[1, 1, 1, 1] from 'z'", "[1, 4, 1, 1]"],
        |g, x, _| { let z = g.input("z", Shape::new(1, 1, 1, 1))?; g.conv_add("y", x, z, conv()) }),
    ("conv_add of one pixel for all images", "ShapeMismatch", &["[1, 4, 1, 1] from 'z'", "[2, 4, 1, 1]"],
        |g, _, _| {
            let [x, z] = [("x2", Shape::new(2, 8, 6, 5)), ("z", Shape::new(1, 4, 1, 1))].map(|(n, s)| g.input(n, s));
            g.conv_add("y", x?, z?, conv())
        }),
    ("linear with mismatched features", "ShapeMismatch", &["linear 'y'", "expects 239", "got 240: [1, 8, 6, 5] from 'x'"],
        |g, x, _| g.linear("y", x, linear(2, 239))),
    ("linear with a kernel", "ShapeMismatch", &["linear 'y'", "[2, 240, 1, 2]"],
        |g, x, _| g.linear("y", x, Linear { weight: weight(2, 240, 1, 2), ..linear(1, 1) })),
    ("linear bias of the wrong length", "ShapeMismatch", &["linear 'y'", "3 values", "2 outputs", "'x'"],
        |g, x, _| g.linear("y", x, Linear { bias: Some(vec![0.0; 3].into()), ..linear(2, 240) })),
    ("affine with mismatched channels", "ShapeMismatch",
        &["affine_activation 'y'", "8 scales", "4 channels: [1, 4, 6, 7] from 'other'"],
        |g, _, o| g.affine_activation("y", o, affine(8, 8))),
    ("affine short of a shift", "ShapeMismatch", &["8 scales and 7 shifts", "'x'"],
        |g, x, _| g.affine_activation("y", x, affine(8, 7))),
    ("concat of nothing", "InvalidParam", &["concat 'y': inputs = 0"],
        |g, _, _| g.concat("y", &[])),
    ("concat of differing columns", "ShapeMismatch",
        &["concat 'y'", "[1, 8, 6, 5] from 'x', [1, 4, 6, 7] from 'other', [1, 8, 6, 5] from 'x'"],
        |g, x, o| g.concat("y", &[x, o, x])),
    ("concat of differing batches", "ShapeMismatch", &["[2, 8, 6, 5] from 'z'"],
        |g, x, _| { let z = g.input("z", Shape::new(2, 8, 6, 5))?; g.concat("y", &[x, z]) }),
    ("concat of differing rows", "ShapeMismatch", &["[1, 8, 1, 5] from 'z'"],
        |g, x, _| { let z = g.input("z", Shape::new(1, 8, 1, 5))?; g.concat("y", &[x, z]) }),
    ("add of mismatched extents", "ShapeMismatch", &["add 'y'", "[1, 8, 6, 5] from 'x'", "[1, 4, 6, 7] from 'other'"],
        |g, x, o| g.add("y", x, o, SUM)),
    ("add does not broadcast", "ShapeMismatch", &["[1, 8, 1, 1] from 'z'"],
        |g, x, _| { let z = g.input("z", Shape::new(1, 8, 1, 1))?; g.add("y", x, z, SUM) }),
];

#[rustfmt::skip]
const SIZES: &[Row] = &[
    ("elements beyond i32", "TooLarge", &["input 'z'", "2147488281", "2147483647"],
        |g, _, _| g.input("z", Shape::new(1, 1, 46341, 46341))),
    ("elements beyond i32 in an image of an empty batch", "TooLarge", &["input 'z'", "2147488281"],
        |g, _, _| g.input("z", Shape::new(0, 1, 46341, 46341))),
    ("elements beyond u64", "TooLarge", &["input 'z'", "18446744073709551615"],
        |g, _, _| g.input("z", Shape::new(MAX, MAX, MAX, MAX))),
    ("pool of 2³¹ dilation", "TooLarge", &["max_pool 'y'", "window"],
        |g, x, _| g.max_pool("y", x, MaxPool { dilation: [1 << 31, 1], ..SAME })),
    ("pool of 2³¹ dilation, one tap", "TooLarge", &["max_pool 'y'", "dilation is 2147483648"],
        |g, x, _| g.max_pool("y", x, MaxPool { dilation: [1, 1 << 31], ..MaxPool::new([1, 1]) })),
    ("pool of huge stride", "TooLarge", &["max_pool 'y'", "stride is 4294967295"],
        |g, x, _| g.max_pool("y", x, MaxPool { stride: [MAX, 1], ..SAME })),
    ("pool window beyond i64", "TooLarge", &["max_pool 'y'", "window"],
        |g, x, _| g.max_pool("y", x, MaxPool { kernel: [MAX; 2], dilation: [MAX; 2], ..SAME })),
    ("pool padding beyond i32", "TooLarge", &["max_pool 'y'", "window"],
        |g, x, _| g.max_pool("y", x, MaxPool::same(MAX))),
    ("conv padding beyond i32", "TooLarge", &["conv 'y'", "8589934599"],
        |g, x, _| g.conv("y", x, Conv { padding: Padding::symmetric(MAX, MAX), ..conv() })),
    ("conv padding to too many elements", "TooLarge", &["conv 'y'", "element count"],
        |g, x, _| g.conv("y", x, Conv { padding: Padding::symmetric(1 << 20, 1 << 20), ..conv() })),
    ("cascade of huge kernel", "TooLarge", &["'y'", "kernel times count"],
        |g, x, _| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: MAX, times: MAX })),
    ("cascade of many pools", "TooLarge", &["'y'", "channel count"],
        |g, x, _| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: 3, times: 1 << 29 })),
    ("cascade that reaches beyond i32", "TooLarge", &["'y'", "2147483653"],
        |g, x, _| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: i32::MAX as u32, times: 1 })),
    ("pyramid of huge levels", "TooLarge", &["'y'", "vector"],
        |g, x, _| g.pyramid_pool("y", x, PyramidPool { levels: vec![MAX; 9], ..BINS })),
    ("resize to huge", "TooLarge", &["'y'", "4294967295"],
        |g, x, _| g.resize("y", x, Resize { out_h: MAX, ..TO_3X3 })),
    ("concat to too many elements", "TooLarge", &["concat 'y'", "channel count is 4294967296"],
        |g, _, _| { let z = g.input("z", Shape::new(1, 1 << 30, 1, 1))?; g.concat("y", &[z, z, z, z]) }),
    ("graph: name twice", "Graph", &["'x'"],
        |g, x, _| g.max_pool("x", x, SAME)),
    ("graph: no name", "Graph", &["not be empty"],
        |g, x, _| g.max_pool("", x, SAME)),
    ("graph: foreign handle", "Graph", &["another graph"],
        |g, _, _| { let z = Graph::new().input("z", Shape::new(1, 1, 1, 1))?; g.max_pool("y", z, SAME) }),
    ("graph: foreign handle among others", "Graph", &["another graph"],
        |g, x, _| { let z = Graph::new().input("z", Shape::new(1, 1, 1, 1))?; g.concat("y", &[x, z]) }),
];

#[test]
fn every_bad_input_is_refused_with_its_reason() {
    let failures = [ATTRIBUTES, SHAPES, SIZES].concat().into_iter().filter_map(|(what, variant, fragments, build)| {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 8, 6, 5)).unwrap();
        let other = graph.input("other", Shape::new(1, 4, 6, 7)).unwrap();
        let Err(error) = build(&mut graph, x, other) else {
            return Some(format!("{what}: accepted"));
        };
        let text = error.to_string();
        let is_variant = format!("{error:?}").split(|c: char| !c.is_alphanumeric()).next() == Some(variant);
        let right = is_variant && fragments.iter().all(|fragment| text.contains(fragment));
        (!right).then(|| format!("{what}: expected {variant} with {fragments:?}, got {error:?}: {text}"))
    });
    let failures = failures.collect::<Vec<_>>();
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n"));
}

/// What looks wrong but has a meaning.
#[test]
fn unusual_input_is_accepted() {
    let nan = Weight::from(Tensor::filled(Shape::new(2, 8, 1, 1), f32::NAN).unwrap());
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(0, 8, 6, 5)).unwrap();
    let shape = |graph: &Graph, id: Result<NodeId>| graph.shape(id.unwrap()).unwrap();

    let one = graph.concat("concat of one", &[x]);
    assert_eq!(shape(&graph, one), Shape::new(0, 8, 6, 5));
    let twice = graph.concat("concat of the same", &[x, x]);
    assert_eq!(shape(&graph, twice), Shape::new(0, 16, 6, 5));
    let more_bins = graph.pyramid_pool("more bins than rows", x, PyramidPool { levels: vec![7], ..BINS });
    assert_eq!(shape(&graph, more_bins), Shape::new(0, 8 * 49, 1, 1));
    let weights = graph.conv("weights that are not finite", x, Conv::new(nan));
    assert_eq!(shape(&graph, weights), Shape::new(0, 2, 6, 5));
    batch_norm(0.0, 1e-5).unwrap();
    batch_norm(1.0, 0.0).unwrap();
}

#[test]
fn outputs_are_checked() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 8, 6, 5)).unwrap();
    let text = |result: Result<()>| match result {
        Err(error @ Error::Graph(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(text(graph.check()).contains("call Graph::output"));
    graph.output("y", x).unwrap();
    assert!(text(graph.output("y", x)).contains("'y' is declared twice"));
    let foreign = Graph::new().input("z", Shape::new(1, 1, 1, 1)).unwrap();
    assert!(text(graph.output("z", foreign)).contains("another graph"));
    graph.max_pool("loose", x, SAME).unwrap();
    assert!(text(graph.check()).contains("node 'loose' leads to no output"));
}

/// The longest chain there may be, walked, cloned and dropped on a small stack: nothing recurses over the graph.
#[test]
fn the_longest_graph_needs_no_stack() {
    let run = || {
        let mut graph = Graph::new();
        let mut x = graph.input("x", Shape::new(1, 1, 1, 1)).unwrap();
        for i in 1..MAX_NODES {
            x = graph.add(format!("{i}"), x, x, SUM).unwrap();
        }
        let error = graph.add("one more", x, x, SUM).unwrap_err();
        assert!(matches!(&error, Error::Graph(_)) && error.to_string().contains("65536 nodes"), "{error}");
        graph.output("y", x).unwrap();
        graph.check().unwrap();
        assert_eq!(graph.clone().to_dot().matches(" -> ").count(), 2 * (MAX_NODES - 1) + 1);
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn outputs_are_limited() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 1, 1, 1)).unwrap();
    let y = graph.add("y", x, x, SUM).unwrap();
    for i in 0..MAX_OUTPUTS {
        graph.output(format!("{i}"), y).unwrap();
    }
    let error = graph.output("one more", y).unwrap_err();
    assert!(matches!(&error, Error::Graph(_)) && error.to_string().contains("4096 outputs"), "{error}");
}
