//! Random graphs, devices and options. A seed makes the same ones everywhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, panic, thread};

use spp_wgpu::ops::*;
use spp_wgpu::plan::{Element, Order, PortForm};
use spp_wgpu::{Graph, NodeId, Op, PlanOptions, Shape, Tensor};

use crate::graphs::tensors;

/// What came of a case.
pub(crate) enum Outcome {
    Fine,
    /// Nothing to judge: the device cannot hold it, or `f32` cannot.
    Beyond,
    Faults(String),
}

/// Tries as many cases as an environment variable says, on all cores; `SPP_FUZZ_SEED` is the seed of the first. A panic
/// is a fault, too. Panics if there are faults.
pub(crate) fn all(variable: &str, default: u64, case: impl Fn(&mut Dice) -> Outcome + Sync) {
    let read = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let first = read("SPP_FUZZ_SEED").unwrap_or(1);
    let count = read(variable).unwrap_or(default);
    println!("{variable}={count} SPP_FUZZ_SEED={first}");
    let (next, fine, beyond) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let faults = Mutex::new(Vec::new());
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            match panic::catch_unwind(panic::AssertUnwindSafe(|| case(&mut Dice::new(seed)))) {
                Ok(Outcome::Fine) => drop(fine.fetch_add(1, Ordering::Relaxed)),
                Ok(Outcome::Beyond) => drop(beyond.fetch_add(1, Ordering::Relaxed)),
                Ok(Outcome::Faults(text)) => faults.lock().unwrap().push(format!("SPP_FUZZ_SEED={seed}: {text}")),
                Err(_) => faults.lock().unwrap().push(format!("SPP_FUZZ_SEED={seed}: a panic, see above")),
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(worker)));
    });
    println!("{} fine, {} beyond what can be judged", fine.into_inner(), beyond.into_inner());
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} faults, such as:\n{}", faults.len(), faults[..faults.len().min(3)].join("\n"));
}

/// SplitMix64: <https://prng.di.unimi.it/splitmix64.c>
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In `0..end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// In `from..=to`.
    pub(crate) fn within(&mut self, from: u32, to: u32) -> u32 {
        from + self.below((to - from + 1) as usize) as u32
    }

    /// Once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// In `-1.0..1.0`.
    pub(crate) fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn values(&mut self, len: u64) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }
}

/// How large maps are, and how long sums.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Most operations; some need several nodes.
    pub(crate) operations: u32,
    pub(crate) extent: u32,
    pub(crate) channels: &'static [u32],
}

impl Size {
    /// To be computed.
    pub(crate) const SMALL: Self = Self { operations: 12, extent: 9, channels: &[1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 20] };
}

/// A graph of all kinds of operations, whose every loose end is an output.
pub(crate) fn graph(dice: &mut Dice, size: Size) -> Graph {
    let mut making = Making { graph: Graph::new(), dice, size, ids: Vec::new(), ends: Vec::new() };
    for i in 0..making.dice.pick(&[1, 1, 1, 2, 4]) {
        let shape = making.shape();
        let like_first = i > 0 && !making.dice.once_in(4);
        let shape = if like_first { Shape { c: shape.c, ..making.at(0) } } else { shape };
        let id = making.graph.input(format!("input {i}"), shape).unwrap();
        making.ids.push(id);
    }
    for _ in 0..making.dice.within(1, size.operations) {
        making.step();
    }
    let Making { mut graph, dice, ids, ends, .. } = making;
    let is_read = |graph: &Graph, id: NodeId| graph.nodes().iter().any(|node| node.inputs.contains(&id));
    for id in ids.into_iter().chain(ends) {
        if !is_read(&graph, id) || dice.once_in(8) {
            graph.output(format!("output {}", id.index()), id).unwrap();
        }
    }
    graph
}

/// A line for each node, to see what went wrong.
pub(crate) fn listed(graph: &Graph) -> String {
    let line = |node: &spp_wgpu::Node| {
        let inputs: Vec<&str> = node.inputs.iter().map(|&id| graph.node(id).unwrap().name.as_str()).collect();
        format!("  {}: {} of {inputs:?} -> {}", node.name, node.op, node.shape)
    };
    graph.nodes().iter().map(line).collect::<Vec<_>>().join("\n")
}

struct Making<'a> {
    graph: Graph,
    dice: &'a mut Dice,
    size: Size,
    /// What may be read.
    ids: Vec<NodeId>,
    ends: Vec<NodeId>,
}

impl Making<'_> {
    fn shape(&mut self) -> Shape {
        let Size { extent, channels, .. } = self.size;
        let n = self.dice.pick(&[1, 1, 1, 2, 3]);
        Shape::new(n, self.dice.pick(channels), self.dice.within(1, extent), self.dice.within(1, extent))
    }

    fn at(&self, i: usize) -> Shape {
        self.graph.shape(self.ids[i]).unwrap()
    }

    fn shape_of(&self, id: NodeId) -> Shape {
        self.graph.shape(id).unwrap()
    }

    /// Recent nodes more often.
    fn node(&mut self) -> NodeId {
        let len = self.ids.len();
        let back = self.dice.below(len).min(self.dice.below(len));
        self.ids[len - 1 - back]
    }

    /// Nodes, perhaps with repetition, whose maps are as large as that of `x`, which is the first.
    fn beside(&mut self, x: NodeId, count: usize) -> Vec<NodeId> {
        let of = |shape: Shape| (shape.n, shape.h, shape.w);
        let like: Vec<NodeId> =
            self.ids.iter().copied().filter(|&id| of(self.shape_of(id)) == of(self.shape_of(x))).collect();
        let mut nodes: Vec<NodeId> = (1..count).map(|_| self.dice.pick(&like)).collect();
        let at = self.dice.below(count);
        nodes.insert(at, x);
        nodes
    }

    /// A node of the same shape as `x`, perhaps `x` itself.
    fn like(&mut self, x: NodeId) -> NodeId {
        let like: Vec<NodeId> = self.ids.iter().copied().filter(|&id| self.shape_of(id) == self.shape_of(x)).collect();
        self.dice.pick(&like)
    }

    /// Adds an operation, unless it is refused.
    fn add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Option<NodeId> {
        let op = op.into();
        let id = self.graph.apply(format!("{} {}", op.stem(), self.graph.nodes().len()), op, inputs).ok()?;
        let Size { extent, .. } = self.size;
        if self.shape_of(id).len() > 64 * u64::from(extent * extent) {
            // Nothing is made of it, or sizes would grow without end.
            self.ends.push(id);
            return None;
        }
        self.ids.push(id);
        Some(id)
    }

    fn step(&mut self) -> Option<NodeId> {
        let x = self.node();
        match self.dice.below(37) {
            34..=36 => self.narrow(x),
            28 | 29 => self.map(x),
            30 | 31 => self.rearranged(x),
            32 => self.reshaped(x),
            33 => self.constant(x),
            22 => self.folding(x),
            23 => self.chains_of_pools(x),
            24 => self.image_pooling(x),
            25 => self.resample(x),
            26 => self.reduce(x),
            27 => {
                let ((len, inner), log) = (self.an_axis(x), self.dice.once_in(2));
                self.add(Softmax { axis: SoftmaxAxis::Values { len, inner }, log }, &[x])
            }
            0..=3 => self.conv(x),
            4 => {
                let conv = self.a_conv(x)?;
                let y = conv.output_shape("", self.shape_of(x)).ok()?;
                let pixel = Shape { h: 1, w: 1, ..y };
                let fits: Vec<NodeId> =
                    self.ids.iter().copied().filter(|&id| [y, pixel].contains(&self.shape_of(id))).collect();
                let residual = *fits.get(self.dice.below(fits.len().max(1)))?;
                self.add(conv, &[x, residual])
            }
            5 => self.sum_of_convs(x),
            6 => {
                let b = self.like(x);
                let add = Add { scale: self.factor(), activation: self.activation() };
                self.add(add, &[x, b])
            }
            7 => self.tree_of_convs(x),
            8 | 9 => self.affine(x),
            10 => self.pool(x),
            11 => self.chains_of_pools(x),
            12 => {
                let cascade =
                    MaxPoolCascade { kernel: self.dice.pick(&[3, 5, 5, 7, 9, 33]), times: self.dice.within(1, 4) };
                let y = self.add(cascade, &[x])?;
                if self.dice.once_in(2) { self.add(Concat, &[x, y]) } else { Some(y) }
            }
            13..=15 => {
                let count = self.dice.below(3) + 2;
                let parts = self.beside(x, count);
                self.add(Concat, &parts)
            }
            16 => {
                let kind = self.dice.pick(&[GlobalPoolKind::Average, GlobalPoolKind::Max]);
                self.add(GlobalPool { kind }, &[x])
            }
            17 => {
                let like = self.node();
                let Shape { h, w, .. } = self.shape_of(like);
                let mode = self.dice.pick(&[ResizeMode::Bilinear, ResizeMode::Nearest]);
                self.add(Resize { out_h: h, out_w: w, mode }, &[x])
            }
            18 => self.image_pooling(x),
            19 => {
                let kernel = [0, 1].map(|_| self.dice.within(1, 4));
                let pool = AvgPool {
                    padding: Padding::symmetric(kernel[0] / 2, kernel[1] / 2),
                    stride: [0, 1].map(|_| self.dice.pick(&[1, 1, 2])),
                    ceil_mode: self.dice.once_in(2),
                    ..AvgPool::new(kernel)
                };
                self.add(pool, &[x])
            }
            20 => {
                let mode = self.dice.pick(&[PyramidMode::Adaptive, PyramidMode::Padded]);
                let levels = (0..self.dice.within(1, 3)).map(|_| self.dice.within(1, 4)).collect();
                let y = self.add(PyramidPool { levels, mode }, &[x])?;
                self.linear(y)
            }
            _ => {
                let rows = self.dice.once_in(2);
                if !rows {
                    return self.add(Softmax::new(SoftmaxAxis::Channels), &[x]);
                }
                let c = self.shape_of(x).c;
                let widths: Vec<u32> = (1..=c).filter(|width| c.is_multiple_of(*width)).collect();
                let width = self.dice.pick(&widths);
                let y = self.add(Layout { width }, &[x])?;
                self.add(Softmax::new(SoftmaxAxis::Columns), &[y])
            }
        }
    }

    /// The extent of an axis, and how far apart its values are.
    fn an_axis(&mut self, x: NodeId) -> (u32, u32) {
        let Shape { n, c, h, w } = self.shape_of(x);
        self.dice.pick(&[(n, c * h * w), (c, h * w), (h, w), (w, 1)])
    }

    /// Some channels, or all in two parts, perhaps swapped, with something made of one of them.
    fn narrow(&mut self, x: NodeId) -> Option<NodeId> {
        let c = self.shape_of(x).c;
        let part = |making: &mut Self, start: u32, end: u32| {
            let narrow = Narrow { start, channels: end - start };
            making.add(narrow, &[x])
        };
        let at = self.dice.within(0, c - 1);
        let at = if self.dice.once_in(2) { at } else { at / 4 * 4 };
        if at == 0 || self.dice.once_in(3) {
            let end = self.dice.within(at + 1, c);
            return part(self, at, end);
        }
        let mut parts = vec![part(self, 0, at)?, part(self, at, c)?];
        if self.dice.once_in(2) {
            let (of, count) = (self.dice.pick(&parts), self.dice.pick(self.size.channels));
            let conv = self.term(of, count);
            parts.push(self.add(conv, &[of])?);
        }
        if self.dice.once_in(2) {
            parts.reverse();
        }
        self.add(Concat, &parts)
    }

    /// What is given one by one must not take longer to make than all the rest.
    const MOST_LISTED: u32 = 1024;

    /// Over one axis.
    fn reduce(&mut self, x: NodeId) -> Option<NodeId> {
        use ReduceKind::{ArgMax, ArgMin, Expected, L1, L2, LogSumExp, Max, Mean, Min, Product, Sum, SumSquare};
        let (len, inner) = self.an_axis(x);
        let Shape { n, c, h, w } = self.shape_of(x);
        if len > Self::MOST_LISTED {
            return None;
        }
        let outer = (n * c * h * w) / len / inner;
        let axis = |extent: u32, stride: u32| Axis { extent, stride: stride as i32 };
        let (last, weights) = (self.dice.once_in(2), self.dice.values(len.into()).into());
        let kinds = [Sum, Mean, Max, Min, Product, L1, L2, SumSquare, LogSumExp, Expected(weights)];
        let kinds: Vec<ReduceKind> = kinds.into_iter().chain([ArgMax { last }, ArgMin { last }]).collect();
        let kind = kinds[self.dice.below(kinds.len())].clone();
        let kept = Strided { offset: 0, axes: vec![axis(outer, len * inner), axis(inner, 1)] };
        let shape = Shape { n: 1, c: 1, h: outer, w: inner };
        // As many images as before, where there can be, so that results fit into concatenations.
        let shape = if outer.is_multiple_of(n) { Shape { n, c: outer / n, h: 1, ..shape } } else { shape };
        self.add(Reduce { shape, kept, over: vec![axis(len, inner)], kind }, &[x])
    }

    fn resample(&mut self, x: NodeId) -> Option<NodeId> {
        let like = self.node();
        let (from, to) = (self.shape_of(x), self.shape_of(like));
        if [from.h, from.w, to.h, to.w].into_iter().any(|extent| extent > Self::MOST_LISTED) {
            return None;
        }
        let copies = self.dice.once_in(3);
        let mut axis = |extent: u32, out: u32| -> std::sync::Arc<[Taps]> {
            let tap = |dice: &mut Dice| {
                let weight = if copies { 1.0 } else { dice.value() };
                (dice.within(0, extent - 1), if dice.once_in(9) { 0.0 } else { weight })
            };
            let count = if copies { [1, 1] } else { [self.dice.within(0, 1), 4] };
            let taps = |_| {
                let count = self.dice.within(count[0], count[1]);
                (0..count).map(|_| tap(self.dice)).collect()
            };
            (0..out).map(taps).collect()
        };
        let (rows, columns) = (axis(from.h, to.h), axis(from.w, to.w));
        let fill = self.dice.pick(&[0.0, 0.0, 1.5]);
        self.add(Resample { rows, columns, fill }, &[x])
    }

    /// Of functions that make no large number of small ones, and jump nowhere.
    fn map(&mut self, x: NodeId) -> Option<NodeId> {
        let shape = self.shape_of(x);
        let spreads = |of: Shape| {
            let fits = |from: u32, to: u32| from == to || from == 1;
            fits(of.n, shape.n) && fits(of.c, shape.c) && fits(of.h, shape.h) && fits(of.w, shape.w)
        };
        let like: Vec<NodeId> = self.ids.iter().copied().filter(|&id| spreads(self.shape_of(id))).collect();
        let count = self.dice.below(3) + 1;
        let mut inputs: Vec<NodeId> = (1..count).map(|_| self.dice.pick(&like)).collect();
        inputs.insert(self.dice.below(count), x);
        let mut steps = Vec::new();
        for i in 0..self.dice.within(1, 4) {
            let function = match self.dice.below(9) {
                0 => Function::Add,
                1 => Function::Sub,
                2 => Function::Mul,
                3 => Function::Min,
                4 => Function::Max,
                5 => Function::Abs,
                6 => Function::Neg,
                7 => Function::Erf,
                _ => Function::Activation(self.activation()),
            };
            let terms = (0..function.arity()).map(|_| match self.dice.below(4) {
                0 if i > 0 => Term::Step(self.dice.below(i as usize) as u32),
                1 => Term::Number(self.factor()),
                _ => Term::Operand(self.dice.below(count) as u32),
            });
            let mut terms: Vec<Term> = terms.collect();
            // Compilers make 0 of the difference of two infinities that are one.
            if function == Function::Sub {
                terms[1] = Term::Number(self.factor());
            }
            steps.push(FormulaStep { function, terms });
        }
        let walk = |dice: &mut Dice, of: Shape| {
            if of != shape || !dice.once_in(4) {
                return None;
            }
            let backwards =
                Strided { offset: of.len() as u32 - 1, axes: vec![Axis { extent: of.len() as u32, stride: -1 }] };
            Some(dice.pick(&[0, 1])).map(|kind| if kind == 0 { backwards } else { Strided::dense(&[of.len() as u32]) })
        };
        let shapes: Vec<Shape> = inputs.iter().map(|&id| self.shape_of(id)).collect();
        let walks = shapes.into_iter().map(|of| walk(self.dice, of)).collect();
        self.add(Map { shape, walks, formula: Formula { steps } }, &inputs)
    }

    /// Turned, cut, repeated, padded.
    fn rearranged(&mut self, x: NodeId) -> Option<NodeId> {
        let Shape { n, c, h, w } = self.shape_of(x);
        let extents = [n, c, h, w];
        let mut axes: Vec<(usize, Walk)> = Vec::new();
        let mut offset = 0;
        for (i, axis) in Strided::dense(&extents).axes.into_iter().enumerate() {
            let Axis { extent, stride } = axis;
            let walk = match self.dice.below(8) {
                0 => {
                    offset += (extent - 1) * stride as u32;
                    Walk::Steps(Axis { extent, stride: -stride })
                }
                1 => Walk::Steps(Axis { extent: extent.div_ceil(2), stride: 2 * stride }),
                2 => {
                    let padded = [None].into_iter().chain((0..extent).map(|i| Some(i * stride as u32)));
                    Walk::Places(padded.collect())
                }
                3 => {
                    let from = self.dice.below(extent as usize) as u32;
                    offset += from * stride as u32;
                    Walk::Steps(Axis { extent: extent - from, stride })
                }
                _ => Walk::Steps(axis),
            };
            axes.push((i, walk));
        }
        let [i, j] = [0, 1].map(|_| self.dice.below(4));
        axes.swap(i, j);
        let extent = |i: usize| axes[i].1.extent() as u32;
        let shape = Shape::new(extent(0), extent(1), extent(2), extent(3));
        let fill = self.dice.value();
        let axes = axes.into_iter().map(|(_, walk)| walk).collect();
        self.add(Rearrange { shape, offset, axes, fill }, &[x])
    }

    fn reshaped(&mut self, x: NodeId) -> Option<NodeId> {
        let Shape { n, c, h, w } = self.shape_of(x);
        let shape = self.dice.pick(&[
            Shape::new(n, c, 1, h * w),
            Shape::new(n, c * h, 1, w),
            Shape::new(n, 1, c, h * w),
            Shape::new(n * c, 1, h, w),
            Shape::new(1, n * c, w, h),
            Shape::new(n, c, w, h),
            Shape::new(n, h, w, c),
        ]);
        self.add(Reshape { shape }, &[x])
    }

    fn constant(&mut self, x: NodeId) -> Option<NodeId> {
        let shape = self.shape_of(x);
        let one = |dice: &mut Dice, extent: u32| if dice.once_in(3) { 1 } else { extent };
        let of = Shape::new(1, one(self.dice, shape.c), one(self.dice, shape.h), one(self.dice, shape.w));
        let values = self.dice.values(of.len());
        let c = self.add(Constant { value: Tensor::new(of, values).unwrap().into() }, &[])?;
        let formula = Formula::of(self.dice.pick(&[Function::Add, Function::Mul, Function::Max]));
        self.add(Map { shape, walks: vec![None; 2], formula }, &[x, c])
    }

    /// Mostly around 1, sometimes as far away as `f32` goes.
    fn factor(&mut self) -> f32 {
        match self.dice.below(12) {
            0 => self.dice.pick(&[1e30, 1e-30, -1e20, 1e-38, 0.0]),
            1..=5 => 2.0 * self.dice.value(),
            _ => 1.0,
        }
    }

    fn activation(&mut self) -> Activation {
        if self.dice.once_in(2) { Activation::None } else { self.dice.pick(&Activation::ALL) }
    }

    fn weight(&mut self, shape: Shape) -> Tensor {
        let factor = if self.dice.once_in(40) { self.dice.pick(&[1e30, 1e-30, 1e-38]) } else { 1.0 };
        let values = self.dice.values(shape.len()).into_iter().map(|value| value * factor).collect();
        Tensor::new(shape, values).unwrap()
    }

    fn a_conv(&mut self, x: NodeId) -> Option<Conv> {
        let c = self.shape_of(x).c;
        let groups: Vec<u32> = (1..=c).filter(|groups| c.is_multiple_of(*groups)).collect();
        let groups = if self.dice.once_in(5) { self.dice.pick(&groups) } else { 1 };
        let out_c = if groups == 1 { self.dice.pick(self.size.channels) } else { groups * self.dice.within(1, 3) };
        let kernel = self.dice.pick(&[[1, 1], [1, 1], [1, 1], [3, 3], [3, 3], [1, 3], [3, 1], [5, 5], [2, 2]]);
        let dilation = self.dice.pick(&[1, 1, 1, 1, 2, 3]);
        let keeps = Padding::symmetric(kernel[0] / 2 * dilation, kernel[1] / 2 * dilation);
        let padding = match self.dice.below(6) {
            0 => Padding::default(),
            1 => Padding { top: self.dice.within(0, 3), right: self.dice.within(0, 3), ..keeps },
            _ => keeps,
        };
        let weight = self.weight(Shape::new(out_c, c / groups, kernel[0], kernel[1]));
        let bias = if self.dice.once_in(2) { Some(self.dice.values(out_c.into()).into()) } else { None };
        let stride = if self.dice.once_in(6) { [0, 1].map(|_| self.dice.within(1, 3)) } else { [1, 1] };
        let scale = self.factor();
        let activation = self.activation();
        Some(Conv { bias, stride, padding, dilation: [dilation; 2], groups, activation, scale, ..Conv::new(weight) })
    }

    fn conv(&mut self, x: NodeId) -> Option<NodeId> {
        let conv = self.a_conv(x)?;
        self.add(conv, &[x])
    }

    /// One that keeps the extents and may be a term.
    fn term(&mut self, x: NodeId, out_c: u32) -> Conv {
        let kernel = self.dice.pick(&[1, 1, 3]);
        let dilation = self.dice.pick(&[1, 1, 2]);
        let weight = self.weight(Shape::new(out_c, self.shape_of(x).c, kernel, kernel));
        let pad = kernel / 2 * dilation;
        let bias = if self.dice.once_in(2) { Some(self.dice.values(out_c.into()).into()) } else { None };
        Conv { bias, padding: Padding::symmetric(pad, pad), dilation: [dilation; 2], ..Conv::new(weight) }
    }

    fn sum_of_convs(&mut self, x: NodeId) -> Option<NodeId> {
        let count = self.dice.below(6) + 1;
        let (inputs, out_c) = (self.beside(x, count), self.dice.pick(self.size.channels));
        let terms = inputs.iter().map(|&x| self.term(x, out_c)).collect();
        let activation = self.activation();
        self.add(ConvSum { terms, activation }, &inputs)
    }

    /// Convolutions as nodes of their own, and additions of them.
    fn tree_of_convs(&mut self, x: NodeId) -> Option<NodeId> {
        let count = self.dice.below(4) + 2;
        let (inputs, out_c) = (self.beside(x, count), self.dice.pick(self.size.channels));
        let mut sum = None;
        for x in inputs {
            let conv = self.term(x, out_c);
            let conv = self.add(conv, &[x])?;
            sum = Some(match sum {
                None => conv,
                Some(sum) => {
                    let activation = if self.dice.once_in(6) { self.activation() } else { Activation::None };
                    let (scale, swap) = (self.factor(), self.dice.once_in(3));
                    self.add(Add { scale, activation }, &if swap { [conv, sum] } else { [sum, conv] })?
                }
            });
        }
        sum
    }

    fn affine(&mut self, x: NodeId) -> Option<NodeId> {
        let c = u64::from(self.shape_of(x).c);
        let extreme = if self.dice.once_in(12) { self.dice.pick(&[1e30, 1e-30, 1e10, 1e-38, 0.0]) } else { 1.0 };
        let scale = self.dice.values(c).into_iter().map(|value| f64::from(value) * extreme).collect();
        let shift = self.dice.values(c).into_iter().map(f64::from).collect();
        let activation = self.activation();
        self.add(AffineActivation { scale, shift, activation }, &[x])
    }

    fn pool(&mut self, x: NodeId) -> Option<NodeId> {
        let kernel = [0, 1].map(|_| self.dice.within(1, 5));
        let half = |kernel: u32, dice: &mut Dice| dice.within(0, kernel / 2);
        let [h, w] = kernel;
        let padding = Padding {
            top: half(h, self.dice),
            bottom: half(h, self.dice),
            left: half(w, self.dice),
            right: half(w, self.dice),
        };
        let stride = [0, 1].map(|_| self.dice.within(1, 3));
        let dilation = [0, 1].map(|_| self.dice.pick(&[1, 1, 2]));
        let ceil_mode = self.dice.once_in(2);
        self.add(MaxPool { stride, padding, dilation, ceil_mode, ..MaxPool::new(kernel) }, &[x])
    }

    /// Pools that keep the extent, chained, or in chains of their own that are longer each, their results side by side.
    fn chains_of_pools(&mut self, x: NodeId) -> Option<NodeId> {
        let kernel = self.dice.pick(&[3, 5, 5, 9, 41, 201, (1 << 29) + 1, 858_993_461]);
        let every = self.dice.below(5) + 1;
        let mut parts = if self.dice.once_in(2) { vec![x] } else { Vec::new() };
        let (mut y, from_the_start) = (x, self.dice.once_in(2));
        for part in 1..=self.dice.below(2) + 2 {
            let (start, len) = if from_the_start { (x, part * every) } else { (y, every) };
            y = start;
            for _ in 0..len {
                y = self.add(MaxPool::same(kernel), &[y])?;
            }
            parts.push(y);
        }
        if parts.is_empty() { Some(y) } else { self.add(Concat, &parts) }
    }

    /// The tail of ASPP v3: a pixel for each image, resized, beside maps, projected.
    fn image_pooling(&mut self, x: NodeId) -> Option<NodeId> {
        let Shape { h, w, .. } = self.shape_of(x);
        let kind = self.dice.pick(&[GlobalPoolKind::Average, GlobalPoolKind::Max]);
        let pixel = self.add(GlobalPool { kind }, &[x])?;
        let mode = self.dice.pick(&[ResizeMode::Bilinear, ResizeMode::Bilinear, ResizeMode::Nearest]);
        let image = self.add(Resize { out_h: h, out_w: w, mode }, &[pixel])?;
        let mut parts = self.beside(x, 2);
        let at = self.dice.below(3);
        parts.insert(at, image);
        let cat = self.add(Concat, &parts)?;
        let out_c = self.dice.pick(self.size.channels);
        let weight = self.weight(Shape::new(out_c, self.shape_of(cat).c, 1, 1));
        let activation = self.activation();
        self.add(Conv { activation, ..Conv::new(weight) }, &[cat])
    }

    /// Factors that leave `f32` if they are multiplied before what they are applied to, though no result does.
    fn folding(&mut self, x: NodeId) -> Option<NodeId> {
        let (before, weight, after) = self.dice.pick(&[(1e-25, 1e30, 1e10), (1e25, 1e-30, 1e-15), (1e-10, 1.0, 1e10)]);
        let scaled = |graph: &Self, x: NodeId, scale: f64| {
            let c = graph.shape_of(x).c as usize;
            AffineActivation { scale: vec![scale; c].into(), shift: vec![0.0; c].into(), activation: Activation::None }
        };
        let first = scaled(self, x, before);
        let small = self.add(first, &[x])?;
        let mut conv = self.a_conv(small)?;
        let values = conv.weight.data().iter().map(|w| w.clamp(-1.0, 1.0) * weight).collect();
        conv = Conv {
            weight: Tensor::new(conv.weight.shape(), values).unwrap().into(),
            bias: None,
            activation: Activation::None,
            scale: 1.0,
            ..conv
        };
        let y = self.add(conv, &[small])?;
        if self.dice.once_in(2) {
            let last = scaled(self, y, after);
            return self.add(last, &[y]);
        }
        let z = self.like(y);
        self.add(Add { scale: after as f32, activation: Activation::None }, &[y, z])
    }

    fn linear(&mut self, x: NodeId) -> Option<NodeId> {
        let shape = self.shape_of(x);
        let features = shape.c * shape.h * shape.w;
        let out = self.dice.within(1, 9);
        let weight = self.weight(Shape::new(out, features, 1, 1)).into();
        let activation = self.activation();
        self.add(Linear { weight, bias: None, activation }, &[x])
    }
}

/// Each pass on or off, each kernel, perhaps a budget.
pub(crate) fn options(dice: &mut Dice) -> PlanOptions {
    use spp_wgpu::plan::ConvKernel::{Auto, Direct, Subgroup, Tiled};
    let mut options = PlanOptions::default();
    let switches = [
        &mut options.fold_affine,
        &mut options.fuse_add,
        &mut options.fuse_sum,
        &mut options.fuse_maps,
        &mut options.image_bias,
        &mut options.fuse_cascade,
        &mut options.group_convs,
        &mut options.concat_slices,
        &mut options.split_sums,
        &mut options.reuse_buffers,
    ];
    let all = dice.once_in(2);
    switches.into_iter().for_each(|switch| *switch = all || !dice.once_in(3));
    options.conv_kernel = dice.pick(&[Auto, Auto, Auto, Tiled, Subgroup, Direct]);
    options.max_bytes = if dice.once_in(8) { Some(1 << dice.within(8, 26)) } else { None };
    options
}

/// Some inputs and outputs in another form.
pub(crate) fn ports(dice: &mut Dice, graph: &Graph, mut options: PlanOptions, elements: &[Element]) -> PlanOptions {
    for name in tensors(graph) {
        if dice.once_in(3) {
            let order = dice.pick(&[Order::Nchw, Order::NhwcDense, Order::NhwcDense]);
            options = options.port(name, PortForm { element: dice.pick(elements), order });
        }
    }
    options
}
