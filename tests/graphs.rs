//! Data and graphs shared by the tests with and without a GPU.

use std::sync::Arc;
use std::time::Duration;

use spp_wgpu::ops::*;
use spp_wgpu::plan::{ConvVariant, Hardware, Step, Tile, Tuning};
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, Node, NodeId, Op, Plan, PlanOptions, Shape, Tensor};

/// The numbers a test feeds in: each regime finds different mistakes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Data {
    /// -1 .. 1.
    Uniform,
    /// -3, -2 … 3: sums are exact, so the results must be.
    Integers,
    /// Signs times powers of two from 2^-20 to 2^20.
    WideRange,
}

/// The same numbers for the same seed, everywhere.
pub(crate) fn random(shape: Shape, seed: u64, data: Data) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let value = |u: f32, v: f32| match data {
        Data::Uniform => 2.0 * u - 1.0,
        Data::Integers => (u * 7.0).floor() - 3.0,
        Data::WideRange => (2.0 * u - 1.0) * (v * 40.0 - 20.0).floor().exp2(),
    };
    let values = (0..shape.len()).map(|_| value(next(), next())).collect();
    Tensor::new(shape, values).unwrap()
}

#[test]
fn data_are_what_their_names_say() {
    let values = |data| random(Shape::new(1, 10, 10, 10), 1, data).into_data();
    let count = |data, is: fn(&f32) -> bool| values(data).iter().filter(|v| is(v)).count();
    assert_eq!(values(Data::Uniform), values(Data::Uniform));
    assert_eq!(count(Data::Uniform, |v| v.abs() > 1.0), 0);
    assert!((400..600).contains(&count(Data::Uniform, |v| *v > 0.0)));
    assert_eq!(count(Data::Integers, |v| v.fract() != 0.0 || v.abs() > 3.0), 0);
    assert!(count(Data::Integers, |v| *v == 3.0) > 100);
    assert!(count(Data::WideRange, |v| v.abs() > 1e4) > 100 && count(Data::WideRange, |v| v.abs() < 1e-4) > 100);
}

/// Uniform values, one per channel.
pub(crate) fn vector(channels: u32, seed: u64) -> Arc<[f32]> {
    random(Shape::new(1, channels, 1, 1), seed, Data::Uniform).into_data().into()
}

/// A graph of one input and one output.
pub(crate) fn graph(shape: Shape, build: impl FnOnce(&mut Graph, NodeId) -> NodeId) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", shape).unwrap();
    let y = build(&mut graph, x);
    graph.output("y", y).unwrap();
    graph
}

/// A square convolution that keeps the extent, with a bias.
pub(crate) fn same_conv(out_c: u32, in_c: u32, kernel: u32) -> Conv {
    let weight = random(Shape::new(out_c, in_c, kernel, kernel), u64::from(out_c), Data::Uniform);
    let padding = Padding::symmetric(kernel / 2, kernel / 2);
    Conv { bias: Some(vector(out_c, 3)), padding, ..Conv::new(weight) }
}

/// A scale and shift for each channel.
pub(crate) fn affine(channels: u32, activation: Activation) -> AffineActivation {
    let wide = |seed| vector(channels, seed).iter().map(|&v| f64::from(v)).collect();
    AffineActivation { scale: wide(5), shift: wide(6), activation }
}

/// SPPF as its authors write it, from plain nodes; `hidden` channels in the middle, pools chained or side by side.
pub(crate) fn sppf(shape: Shape, hidden: u32, chained: bool) -> Graph {
    graph(shape, |graph, x| {
        let cbs = |graph: &mut Graph, name: &str, x, out_c, in_c| {
            let conv = Conv { bias: None, ..same_conv(out_c, in_c, 1) };
            let conv = graph.conv(name, x, conv).unwrap();
            graph.affine_activation(format!("{name}.bn"), conv, affine(out_c, Activation::Silu)).unwrap()
        };
        let mut parts = vec![cbs(graph, "cv1", x, hidden, shape.c)];
        for i in 1..=3 {
            let (from, kernel) = if chained { (parts[i - 1], 5) } else { (parts[0], 4 * i as u32 + 1) };
            parts.push(graph.max_pool(format!("m.{i}"), from, MaxPool::same(kernel)).unwrap());
        }
        let cat = graph.concat("cat", &parts).unwrap();
        cbs(graph, "cv2", cat, shape.c, 4 * hidden)
    })
}

/// An operation on any map whose channels are a multiple of 24, by its stem and what is special about it.
pub(crate) type Consumer = (&'static str, fn(&mut Graph, NodeId) -> NodeId);

/// Every operation, in each form that the planner treats differently. Benches use them, too.
pub(crate) const CONSUMERS: &[Consumer] = &[
    ("add", |g, x| g.add("y", x, x, Add { scale: 0.5, activation: Activation::None }).unwrap()),
    ("add of other runs", |g, x| {
        let c = channels(g, x);
        let other = g.conv("other", x, Conv { activation: Activation::Relu, ..same_conv(c, c, 1) });
        g.add("y", x, other.unwrap(), Add { scale: 0.5, activation: Activation::LeakyRelu(0.1) }).unwrap()
    }),
    ("add, sigmoid", |g, x| g.add("y", x, x, Add { scale: 0.5, activation: Activation::Sigmoid }).unwrap()),
    ("affine_activation", |g, x| g.affine_activation("y", x, affine(channels(g, x), Activation::Silu)).unwrap()),
    ("affine_activation, sigmoid", |g, x| {
        g.affine_activation("y", x, affine(channels(g, x), Activation::Sigmoid)).unwrap()
    }),
    ("affine_activation, clip", |g, x| {
        g.affine_activation("y", x, affine(channels(g, x), Activation::Clip(0.25, 0.5))).unwrap()
    }),
    ("avg_pool", |g, x| g.avg_pool("y", x, AvgPool::new([2, 2])).unwrap()),
    ("avg_pool, dilated", |g, x| {
        let pool = AvgPool { dilation: [2, 1], padding: Padding::symmetric(1, 1), ..AvgPool::new([2, 2]) };
        g.avg_pool("y", x, AvgPool { count_include_pad: false, ..pool }).unwrap()
    }),
    ("concat", |g, x| {
        let pooled = g.max_pool("pooled", x, MaxPool::same(3)).unwrap();
        g.concat("y", &[pooled, x]).unwrap()
    }),
    ("conv", |g, x| g.conv("y", x, same_conv(6, channels(g, x), 3)).unwrap()),
    ("conv, GELU", |g, x| {
        let conv = Conv { activation: Activation::Gelu, ..same_conv(6, channels(g, x), 3) };
        g.conv("y", x, conv).unwrap()
    }),
    ("conv, depthwise, Mish", |g, x| {
        let c = channels(g, x);
        g.conv("y", x, Conv { groups: c, activation: Activation::Mish, ..same_conv(c, 1, 3) }).unwrap()
    }),
    ("conv, two groups", |g, x| g.conv("y", x, Conv { groups: 2, ..same_conv(8, channels(g, x) / 2, 3) }).unwrap()),
    ("conv, eight groups", |g, x| g.conv("y", x, Conv { groups: 8, ..same_conv(16, channels(g, x) / 8, 3) }).unwrap()),
    ("conv, depthwise", |g, x| {
        let c = channels(g, x);
        g.conv("y", x, Conv { groups: c, ..same_conv(c, 1, 3) }).unwrap()
    }),
    ("conv and residual", |g, x| {
        let c = channels(g, x);
        g.conv_add("y", x, x, same_conv(c, c, 1)).unwrap()
    }),
    ("conv and residual added last", |g, x| {
        let c = channels(g, x);
        let conv = Conv { activation: Activation::Sigmoid, adds_last: true, ..same_conv(c, c, 3) };
        g.conv_add("y", x, x, conv).unwrap()
    }),
    ("conv and residual of an image", |g, x| {
        let c = channels(g, x);
        let pixel = g.global_pool("pixel", x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap();
        g.conv_add("y", x, pixel, same_conv(c, c, 3)).unwrap()
    }),
    ("conv and residual of a resized image", |g, x| {
        let c = channels(g, x);
        let pixel = g.global_pool("pixel", x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap();
        let residual = g.conv("residual", pixel, same_conv(c + 1, c, 1)).unwrap();
        g.conv_add("y", x, residual, same_conv(c, c, 3)).unwrap()
    }),
    ("conv_sum", |g, x| {
        let terms = [1, 3].map(|kernel| same_conv(6, channels(g, x), kernel));
        g.conv_sum("y", &[x, x], ConvSum { terms: terms.into(), activation: Activation::Relu }).unwrap()
    }),
    ("gather", |g, x| {
        // The largest values themselves, by their indices.
        let Shape { n, c, h, w } = g.shape(x).unwrap();
        let indices = g.top_k("indices", x, largest(3, g.shape(x).unwrap())).unwrap();
        let axes = |axis| walk(0, &[(n, axis), (3, 0), (h * w, 1)]);
        let gather = Gather {
            shape: Shape::new(n, 3, h, w),
            x: axes((c * h * w) as i32),
            indices: Strided::dense(&[n, 3, h * w]),
            extent: c,
            stride: h * w,
        };
        g.gather("y", x, indices, gather).unwrap()
    }),
    ("global_pool, average", |g, x| g.global_pool("y", x, GlobalPool { kind: GlobalPoolKind::Average }).unwrap()),
    ("global_pool, max", |g, x| g.global_pool("y", x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap()),
    ("layout", |g, x| g.layout("y", x, Layout { width: 8 }).unwrap()),
    ("linear", |g, x| {
        let Shape { c, h, w, .. } = g.shape(x).unwrap();
        let weight = random(Shape::new(7, c * h * w, 1, 1), 9, Data::Uniform).into();
        g.linear("y", x, Linear { weight, bias: Some(vector(7, 1)), activation: Activation::Relu }).unwrap()
    }),
    ("matmul", |g, x| {
        // The products of all channels with each other.
        let Shape { n, c, h, w } = g.shape(x).unwrap();
        let (image, plane) = ((n, (c * h * w) as i32), (h * w) as i32);
        let a = walk(0, &[image, (c, plane), (h * w, 1)]);
        let b = walk(0, &[image, (h * w, 1), (c, plane)]);
        g.matmul("y", x, x, Matmul { shape: Shape::new(n, 1, c, c), a, b }).unwrap()
    }),
    ("map", |g, x| {
        let shape = g.shape(x).unwrap();
        let c = g.constant("c", random(Shape { n: 1, c: 1, ..shape }, 2, Data::Uniform)).unwrap();
        let formula = Formula {
            steps: vec![
                FormulaStep { function: Function::Mul, terms: vec![Term::Operand(0), Term::Operand(1)] },
                FormulaStep { function: Function::Activation(Activation::Silu), terms: vec![Term::Step(0)] },
                FormulaStep { function: Function::Max, terms: vec![Term::Step(1), Term::Number(0.25)] },
            ],
        };
        g.map("y", &[x, c], Map { shape, walks: vec![None; 2], formula }).unwrap()
    }),
    ("map, of one operand", |g, x| {
        let shape = g.shape(x).unwrap();
        g.map("y", &[x], Map { shape, walks: vec![None], formula: Formula::of(Function::Abs) }).unwrap()
    }),
    ("map, of three operands", |g, x| {
        let (shape, formula) = (g.shape(x).unwrap(), Formula::of(Function::Where));
        let less = g.map("less", &[x, x], Map { shape, walks: vec![None; 2], formula: Formula::of(Function::Less) });
        g.map("y", &[less.unwrap(), x, x], Map { shape, walks: vec![None; 3], formula }).unwrap()
    }),
    ("map of values", |g, x| {
        let shape = g.shape(x).unwrap();
        let walk = turned(shape);
        let turned = |walks| Map { shape, walks, formula: Formula::of(Function::Add) };
        let y = g.map("one", &[x, x], turned(vec![None, Some(walk.clone())])).unwrap();
        let (two, walks) = (
            g.map("two", &[y], Map { formula: Formula::of(Function::Exp), ..turned(vec![Some(walk)]) }),
            vec![None; 3],
        );
        g.map("y", &[two.unwrap(), y, y], Map { shape, walks, formula: Formula::of(Function::Where) }).unwrap()
    }),
    ("max_pool", |g, x| g.max_pool("y", x, MaxPool::new([2, 2])).unwrap()),
    ("max_pool_cascade", |g, x| g.max_pool_cascade("y", x, MaxPoolCascade { kernel: 3, times: 2 }).unwrap()),
    ("narrow", |g, x| {
        // Where there are gaps, some of a run, and some of two.
        let parts = [(12, 3), (4, 9)].map(|part| narrowed(g, x, part));
        g.concat("y", &parts).unwrap()
    }),
    ("narrow, of a run", |g, x| narrowed(g, x, (9, 7))),
    ("narrow, beside what reads it", |g, x| {
        let c = channels(g, x) / 2;
        let [a, b] = [(0, c), (c, c)].map(|part| narrowed(g, x, part));
        let conv = g.conv("conv", b, same_conv(c, c, 3)).unwrap();
        let sum = g.add("sum", b, conv, Add { scale: 1.0, activation: Activation::Silu }).unwrap();
        g.concat("y", &[b, a, sum]).unwrap()
    }),
    ("paint, colours", |g, x| {
        let paints = Paints::Colors { scale: [0.3, 0.2, 0.1], shift: [0.5, 0.4, 0.6] };
        g.paint("y", &[x], Paint { texels: Texels::Rgba16Float, ..Paint::new(5, 7, paints) }).unwrap()
    }),
    ("paint, heat map", |g, x| g.paint("y", &[x], Paint::new(9, 4, Paints::heat([-1.0, 1.0]))).unwrap()),
    ("paint, classes", |g, x| {
        let classes = Paints::classes(channels(g, x));
        g.paint("y", &[x], Paint::new(6, 6, classes)).unwrap()
    }),
    ("pyramid_pool", |g, x| {
        let pool = PyramidPool { levels: vec![3, 1], mode: PyramidMode::Adaptive };
        g.pyramid_pool("y", x, pool).unwrap()
    }),
    ("reduce, mean", |g, x| {
        // Over all but channels, which are last among its axes.
        let Shape { n, c, h, w } = g.shape(x).unwrap();
        let [kept, over] = [vec![axis(c, h * w)], vec![axis(n, c * h * w), axis(h * w, 1)]];
        let kept = Strided { offset: 0, axes: kept };
        g.reduce("y", x, Reduce { shape: Shape::new(1, 1, 1, c), kept, over, kind: ReduceKind::Mean }).unwrap()
    }),
    ("reduce, product", |g, x| reduced(g, x, ReduceKind::Product)),
    ("reduce, min", |g, x| reduced(g, x, ReduceKind::Min)),
    ("reduce, arg max", |g, x| reduced(g, x, ReduceKind::ArgMax { last: true })),
    ("reduce, log of exponentials", |g, x| reduced(g, x, ReduceKind::LogSumExp)),
    ("reduce, expected", |g, x| {
        let weights = vector(channels(g, x), 8);
        reduced(g, x, ReduceKind::Expected(weights))
    }),
    ("resample", |g, x| {
        let Shape { h, w, .. } = g.shape(x).unwrap();
        let [rows, columns] = [(h, 7), (w, 3)].map(|(extent, out)| taps(extent, out, false));
        g.resample("y", x, Resample { rows, columns, fill: 0.0 }).unwrap()
    }),
    ("resample, filled", |g, x| {
        let Shape { h, w, .. } = g.shape(x).unwrap();
        let [rows, columns] = [(h, 7), (w, 6)].map(|(extent, out)| taps(extent, out, true));
        g.resample("y", x, Resample { rows, columns, fill: 0.5 }).unwrap()
    }),
    ("rearrange", |g, x| {
        let shape = g.shape(x).unwrap();
        g.rearrange("y", x, Rearrange::strided(shape, &turned(shape))).unwrap()
    }),
    ("rearrange, of pixels", |g, x| {
        let map = g.conv("map", x, same_conv(6, channels(g, x), 1)).unwrap();
        let shape = g.shape(map).unwrap();
        g.rearrange("y", map, Rearrange::strided(shape, &turned(shape))).unwrap()
    }),
    ("rearrange, padding", |g, x| {
        let Shape { n, c, h, w } = g.shape(x).unwrap();
        let columns = [None].into_iter().chain((0..w - 1).map(Some)).collect();
        let rows = Walk::Steps(Axis { extent: n * c * h, stride: w as i32 });
        let shape = Shape::new(n, c, h, w);
        let axes = vec![rows, Walk::Places(columns)];
        g.rearrange("y", x, Rearrange { shape, offset: 0, axes, fill: 0.5 }).unwrap()
    }),
    ("reshape", |g, x| {
        let Shape { n, c, h, w } = g.shape(x).unwrap();
        g.reshape("y", x, Reshape { shape: Shape::new(n, c / 3, h * 3, w) }).unwrap()
    }),
    ("reshape, rows joined", |g, x| {
        let Shape { n, c, h, w } = g.shape(x).unwrap();
        g.reshape("y", x, Reshape { shape: Shape::new(n, c, 1, h * w) }).unwrap()
    }),
    ("constant", |g, x| {
        let shape = g.shape(x).unwrap();
        let c = g.constant("c", random(shape, 3, Data::Uniform)).unwrap();
        g.concat("y", &[x, c]).unwrap()
    }),
    ("resize, bilinear", |g, x| g.resize("y", x, Resize { out_h: 7, out_w: 3, mode: ResizeMode::Bilinear }).unwrap()),
    ("resize, nearest", |g, x| g.resize("y", x, Resize { out_h: 3, out_w: 8, mode: ResizeMode::Nearest }).unwrap()),
    ("softmax", |g, x| g.softmax("y", x, Softmax::new(SoftmaxAxis::Channels)).unwrap()),
    ("softmax, log", |g, x| g.softmax("y", x, Softmax { log: true, ..Softmax::new(SoftmaxAxis::Channels) }).unwrap()),
    ("softmax of values", |g, x| {
        let Shape { c, h, w, .. } = g.shape(x).unwrap();
        g.softmax("y", x, Softmax::new(SoftmaxAxis::Values { len: c, inner: h * w })).unwrap()
    }),
    ("softmax of rows", |g, x| {
        let rows = g.layout("rows", x, Layout { width: 4 }).unwrap();
        g.softmax("y", rows, Softmax::new(SoftmaxAxis::Columns)).unwrap()
    }),
    ("top_k", |g, x| g.top_k("y", x, largest(2, g.shape(x).unwrap())).unwrap()),
    ("top_k, smallest", |g, x| g.top_k("y", x, TopK { largest: false, ..largest(2, g.shape(x).unwrap()) }).unwrap()),
    ("output", |_, x| x),
];

pub(crate) const fn axis(extent: u32, stride: u32) -> Axis {
    Axis { extent, stride: stride as i32 }
}

/// Channels, by the first and how many.
pub(crate) fn narrowed(graph: &mut Graph, x: NodeId, (start, channels): (u32, u32)) -> NodeId {
    graph.narrow(format!("narrow {}", graph.nodes().len()), x, Narrow { start, channels }).unwrap()
}

/// What is made of the channels at each pixel.
fn reduced(graph: &mut Graph, x: NodeId, kind: ReduceKind) -> NodeId {
    let Shape { n, c, h, w } = graph.shape(x).unwrap();
    let kept = Strided { offset: 0, axes: vec![axis(n, c * h * w), axis(h * w, 1)] };
    let op = Reduce { shape: Shape::new(n, 1, h, w), kept, over: vec![axis(c, h * w)], kind };
    graph.reduce("y", x, op).unwrap()
}

/// One to four taps each, some of weight 0; the first a copy; `gaps` without any.
pub(crate) fn taps(extent: u32, out: u32, gaps: bool) -> Arc<[Taps]> {
    let weights = [0.25, -0.5, 0.0, 0.8125, 0.3];
    let of = |i: u32| match i {
        0 => vec![(0, 1.0)],
        _ if gaps && i % 3 == 1 => Vec::new(),
        _ => (0..1 + i % 4).map(|t| ((i + 2 * t) % extent, weights[((i + t) % 5) as usize])).collect(),
    };
    (0..out).map(of).collect()
}

/// The channels of the `k` largest values of each pixel.
pub(crate) fn largest(k: u32, x: Shape) -> TopK {
    TopK { shape: Shape { c: k, ..x }, k, len: x.c, inner: x.h * x.w, largest: true }
}

/// A walk by the extent and stride of each axis.
pub(crate) fn walk(offset: u32, axes: &[(u32, i32)]) -> Strided {
    Strided { offset, axes: axes.iter().map(|&(extent, stride)| Axis { extent, stride }).collect() }
}

/// Channels last: a walk over a tensor of this shape.
fn turned(shape: Shape) -> Strided {
    let axes = Strided::dense(&[shape.n, shape.c, shape.h, shape.w]).axes;
    Strided { offset: 0, axes: [0, 2, 3, 1].map(|axis| axes[axis]).to_vec() }
}

fn channels(graph: &Graph, x: NodeId) -> u32 {
    graph.shape(x).unwrap().c
}

#[test]
fn every_operation_is_among_the_consumers() {
    for stem in spp_wgpu::Op::STEMS {
        assert!(
            // One reads pictures, and no tensor.
            *stem == "texture" || CONSUMERS.iter().any(|(name, _)| name.split([' ', ',']).next() == Some(stem)),
            "CONSUMERS has no form of {stem}"
        );
    }
}

/// The consumer after a concatenation of 9, 7 and 8 channels: gaps of three channels and of one.
pub(crate) fn behind_gaps(shape: Shape, consumer: &Consumer) -> Graph {
    let shape = Shape { c: 9, ..shape };
    graph(shape, |graph, x| {
        let seven = graph.conv("seven", x, same_conv(7, 9, 1)).unwrap();
        let eight = graph.conv("eight", x, same_conv(8, 9, 3)).unwrap();
        let cat = graph.concat("cat", &[x, seven, eight]).unwrap();
        consumer.1(graph, cat)
    })
}

/// The names of inputs and outputs that are not in textures.
pub(crate) fn tensors(graph: &Graph) -> Vec<String> {
    let inputs = graph.inputs().map(|(_, node)| (&node.name, node));
    let outputs = graph.outputs().iter().map(|(name, id)| (name, graph.node(*id).unwrap()));
    let tensor = |node: &Node| !matches!(node.op, Op::Picture(_) | Op::Paint(_));
    inputs.chain(outputs).filter(|(_, node)| tensor(node)).map(|(name, _)| name.clone()).collect()
}

/// A network that looks at a picture and paints what it finds over it.
pub(crate) fn painted(size: [u32; 2], texels: Texels, texture: Texture, paint: Paint) -> Graph {
    let mut graph = Graph::new();
    let [h, w] = size;
    let picture = graph.picture("picture", Shape::new(1, 4, h, w), texels).unwrap();
    let x = graph.texture("x", &[picture], texture).unwrap();
    let channels = paint_channels(&paint);
    let map = graph.conv("map", x, Conv { activation: Activation::Sigmoid, ..same_conv(channels, 3, 3) }).unwrap();
    let over = graph.paint("over", &[map, picture], paint).unwrap();
    graph.output("y", over).unwrap();
    graph
}

fn paint_channels(paint: &Paint) -> u32 {
    match &paint.paints {
        Paints::Classes { colors } => colors.len() as u32,
        Paints::HeatMap { channel, .. } => channel + 1,
        Paints::Colors { .. } => 3,
    }
}

/// Options by which every convolution that can takes this tile, in parts where it may be split.
pub(crate) fn by_tile(graph: &Graph, profile: &DeviceProfile, options: PlanOptions, tile: Tile) -> PlanOptions {
    let plan = Plan::new(graph, profile, &options).unwrap();
    let mut tuning = Tuning::default();
    for choice in plan.steps.into_iter().filter_map(|step| step.choice) {
        let is_it = |variant: &&ConvVariant| matches!(variant, ConvVariant::Tiled(of) if of.in_parts(1) == tile);
        if let Some(taken) = choice.candidates.iter().filter(is_it).max_by_key(|variant| variant.parts()) {
            tuning.set(choice.class, *taken);
        }
    }
    options.tuned(tuning)
}

/// With hardware that has estimates, and one core, so that any work but one workgroup's can be split.
pub(crate) fn one_core(profile: DeviceProfile) -> DeviceProfile {
    let hardware = DeviceProfile::portable(DeviceClass::Discrete).hardware.map(|of| Hardware { cores: 1, ..of });
    DeviceProfile { hardware, ..profile }
}

/// The same, with every step in as many turns as there can be.
pub(crate) fn briefly(mut options: PlanOptions) -> PlanOptions {
    options.max_dispatch = Duration::ZERO;
    options
}

/// Parts of the sum that a convolution leaves to be added up; `None` for other steps.
pub(crate) fn parts(step: &Step) -> Option<u32> {
    Some(step.choice.as_ref()?.taken.parts())
}

/// The parts of each convolution, in order.
pub(crate) fn all_parts(plan: &Plan) -> Vec<u32> {
    plan.steps.iter().filter_map(parts).collect()
}
