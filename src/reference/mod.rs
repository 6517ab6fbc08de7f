//! The CPU truth: naive loops over NCHW in `f64`, one file per operation, sharing nothing with the planner or the
//! shaders. Nothing is rounded between nodes; taps outside an image are skipped, never multiplied by zero.
//!
//! # Error bounds
//!
//! Beside each value stands the error that a correct `f32` implementation may have there: what arrives with the
//! operands, plus the operation's own rounding, both scaled as the operation scales them. `u = 2⁻²⁴` is the rounding
//! of one `f32` operation.
//!
//! The bounds are *expected*, not worst case. Rounding errors of a sum of `K` products grow like `√K`, so its own
//! error is `8·√K·u·Σ|w·x|`; errors of different operands are treated as independent, so they add as
//! `√Σ(w·bound)²`. The hard bound would grow with `Σ|w|` at every layer and prove nothing in a deep network.
//! Maxima and copies round nothing: on exact operands their bound is 0, and equality is demanded.
//!
//! # Tensors stored in `f16`
//!
//! The truth stays the same. With [`Precision::F16`] each tensor is rounded as it is stored, inputs included, by up to
//! 2⁻¹¹ of itself, or 2⁻²⁵ near 0; so is each weight. These errors are many and independent: on their way through sums they
//! add as `√Σ²`, and so they do from node to node. An error of one rounding is on average less than half of its most, so
//! sums of them reach four times the root of the sum of squares next to never, and that is what enters the
//! bound. What was stored before is not rounded again by copies and maxima.
//!
//! Values whose magnitude, give or take the bound, reaches 65 520 may become infinite. Their bound is infinite, and that of
//! everything computed from them; [`compare()`] counts them.
//!
//! # Indices
//!
//! Where errors may let values swap places, the index of either is right: its bound is the distance to the farthest that may
//! stand there, and the bound of a value looked up by such an index that to the farthest of those values.
//!
//! # Cancellation
//!
//! The normalised mean squared error, which is the sharper check of a deep network, means nothing where sums cancel:
//! [`Values::cancellation`] says how far they do.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread;

use half::f16;

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Op};
use crate::ops::{GlobalPool, GlobalPoolKind, Reduce, ReduceKind, Resize, ResizeMode};
use crate::tensor::{MAX_HOST_BYTES, Precision, Shape, Tensor};

mod activation;
mod add;
mod affine_activation;
mod avg_pool;
mod compare;
mod concat;
mod constant;
mod conv;
mod conv_sum;
mod gather;
mod global_pool;
mod layout;
mod linear;
mod map;
mod matmul;
mod max_pool;
mod max_pool_cascade;
mod narrow;
mod paint;
mod pyramid_pool;
mod rearrange;
mod reduce;
mod resample;
mod reshape;
mod resize;
mod softmax;
mod texture;
mod top_k;

pub use compare::{Difference, compare};

/// Half the distance from 1 to the next `f32`: the relative error of one rounding.
const U: f64 = f32::EPSILON as f64 / 2.0;

/// Half the distance from 1 to the next `f16`: the relative error of storing one.
const U16: f64 = 1.0 / 2048.0;

/// Half the distance between the least `f16`: the absolute error of storing one.
const TINY16: f64 = 1.0 / 33_554_432.0;

/// What from here on is nearer to infinity, as `f16`, than to the largest one, 65 504.
const INFINITE16: f64 = 65_520.0;

/// How many times its root mean square, were each error as large as it may be, a sum of roundings to `f16` may reach: 16
/// errors however they fall, and seven standard deviations of more.
const STORED_TIMES: f64 = 4.0;

/// What a node evaluates to, and how far off `f32` arithmetic may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Extents of the result.
    pub shape: Shape,
    /// NCHW, not rounded.
    pub values: Vec<f64>,
    /// Allowed error of each value, 0 where the value is not finite, infinite where an `f16` may have overflowed; empty if
    /// only values were asked for.
    pub bound: Vec<f64>,
    /// `Σ term² / Σ value²`, at least 1, over all sums up to here: rounding errors are relative to the terms, so where
    /// those cancel, errors are large beside the values. With [`Precision::F16`], and 1 for each time that it was stored.
    pub cancellation: f64,
    /// What the values are stored in wherever they were computed.
    pub precision: Precision,
}

impl Values {
    /// Takes the tensor's values as exact.
    pub fn exact(tensor: &Tensor) -> Self {
        let values: Vec<f64> = tensor.data().iter().copied().map(f64::from).collect();
        Self {
            shape: tensor.shape(),
            bound: vec![0.0; values.len()],
            values,
            cancellation: 1.0,
            precision: Precision::F32,
        }
    }

    /// The values rounded to `f32`. Errors: a length that is not the shape's.
    pub fn rounded(&self) -> Result<Tensor> {
        Tensor::new(self.shape, self.values.iter().map(|&value| value as f32).collect())
    }

    /// Fills a result in NCHW order with the value and bound at each `[n, c, y, x]`.
    fn from_fn(shape: Shape, bounded: bool, mut at: impl FnMut([usize; 4]) -> (f64, f64)) -> Self {
        let [n, c, h, w] = extents(shape);
        let len = shape.len() as usize;
        let mut values = Vec::with_capacity(len);
        let mut bounds = Vec::with_capacity(if bounded { len } else { 0 });
        for n in 0..n {
            for c in 0..c {
                for y in 0..h {
                    for x in 0..w {
                        let (value, bound) = at([n, c, y, x]);
                        values.push(value);
                        if bounded {
                            bounds.push(bound);
                        }
                    }
                }
            }
        }
        Self { shape, values, bound: bounds, cancellation: 1.0, precision: Precision::F32 }
    }

    /// The mean square of each channel, as large as its terms were.
    fn energies(&self) -> Vec<f64> {
        let [n, c, h, w] = extents(self.shape);
        let mut sums = vec![0.0; c];
        for (i, plane) in self.values.chunks(h * w).enumerate() {
            sums[i % c] += squares(plane);
        }
        sums.into_iter().map(|sum| sum * self.cancellation / (n * h * w) as f64).collect()
    }

    /// The error of storing a tensor: see the module's page.
    fn store(&mut self) {
        for (bound, &value) in self.bound.iter_mut().zip(&self.values) {
            // As it was before, to the last bit.
            if *bound == 0.0 && f64::from(f16::from_f64(value)) == value || !value.is_finite() {
                continue;
            }
            *bound = bound.hypot(STORED_TIMES * (U16 * value.abs()).max(TINY16));
            if value.abs() + *bound >= INFINITE16 || bound.is_nan() {
                *bound = f64::INFINITY; // 0 times an infinite one is NaN
            }
        }
    }

    fn bounded(&self) -> bool {
        !self.bound.is_empty()
    }

    /// Value and bound at `[n, c, y, x]`.
    fn at(&self, [n, c, y, x]: [usize; 4]) -> (f64, f64) {
        let [_, channels, h, w] = extents(self.shape);
        let index = ((n * channels + c) * h + y) * w + x;
        (self.values[index], self.bound.get(index).copied().unwrap_or(0.0))
    }
}

/// The reference of tensors stored in `precision`, within a budget of host memory; the functions of the same names use the
/// defaults, `f32` and [`MAX_HOST_BYTES`].
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// Bytes that results and what is computed on the way may take at any time.
    pub max_host_bytes: u64,
    /// What an implementation stores tensors and weights in. Values do not depend on it, bounds do.
    pub precision: Precision,
}

impl Default for Reference {
    fn default() -> Self {
        Self { max_host_bytes: MAX_HOST_BYTES, precision: Precision::F32 }
    }
}

/// The graph's outputs in declared order, rounded to `f32`. Inputs come in the order of the graph's input nodes.
/// Errors: a graph that [`Graph::check`] refuses; inputs of a wrong number or shape; more memory than the budget.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    Reference::default().run(graph, inputs)
}

/// The graph's outputs in declared order, with error bounds. Errors: those of [`run`].
pub fn run_with_bounds(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Values>> {
    Reference::default().run_with_bounds(graph, inputs)
}

/// Every node's result in the graph's order, with error bounds: to find where a computation diverges. Holds all
/// intermediates at once. Errors: those of [`run`].
pub fn run_nodes(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Values>> {
    Reference::default().run_nodes(graph, inputs)
}

/// What is computed beside the values.
#[derive(Clone, Copy)]
struct Wanted {
    bounds: bool,
    /// Every node's result, not just the outputs.
    nodes: bool,
}

impl Reference {
    /// See [`run`].
    pub fn run(&self, graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let results = self.evaluate(graph, inputs, Wanted { bounds: false, nodes: false })?;
        outputs(graph, &results).map(Values::rounded).collect()
    }

    /// See [`run_with_bounds`].
    pub fn run_with_bounds(&self, graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Values>> {
        let results = self.evaluate(graph, inputs, Wanted { bounds: true, nodes: false })?;
        Ok(outputs(graph, &results).cloned().collect())
    }

    /// See [`run_nodes`].
    pub fn run_nodes(&self, graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Values>> {
        let results = self.evaluate(graph, inputs, Wanted { bounds: true, nodes: true })?;
        Ok(results.into_iter().flatten().collect())
    }

    /// Runs the nodes in order; a result goes once nobody wants it any more.
    fn evaluate(&self, graph: &Graph, inputs: &[Tensor], wanted: Wanted) -> Result<Vec<Option<Values>>> {
        graph.check()?;
        check_inputs(graph, inputs)?;
        let (needed, max) = (bytes(graph, wanted), self.max_host_bytes);
        if needed > max {
            return Err(Error::HostMemory { what: "the reference".into(), needed, max });
        }
        let mut inputs = inputs.iter();
        let mut readers = graph.readers();
        let mut results: Vec<Option<Values>> = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let operands: Vec<&Values> = node.inputs.iter().filter_map(|id| results[id.index()].as_ref()).collect();
            let next = || input(inputs.next().expect("check_inputs compared their number"), wanted.bounds);
            let mut result = compute(node, &operands, next);
            if !wanted.bounds {
                result.bound = Vec::new();
            }
            let has_own = matches!(
                node.op,
                Op::Add(_)
                    | Op::AffineActivation(_)
                    | Op::Conv(_)
                    | Op::ConvSum(_)
                    | Op::Gather(_)
                    | Op::Linear(_)
                    | Op::Matmul(_)
                    | Op::Map(_)
                    | Op::Paint(_)
                    | Op::Reduce(_)
                    | Op::Resample(_)
                    | Op::Texture(_)
                    | Op::TopK(_)
            );
            if !has_own {
                result.cancellation = operands.iter().map(|x| x.cancellation).fold(1.0, f64::max);
            }
            result.precision = self.precision;
            if self.precision == Precision::F16 && !copies(&node.op) && node.op.texels().is_none() {
                result.store();
                // Roundings add up, each relative to what it rounds; an input begins with one.
                result.cancellation += f64::from(u8::from(!node.op.is_input()));
            }
            results.push(Some(result));
            for id in &node.inputs {
                readers[id.index()] -= 1;
                if readers[id.index()] == 0 && !wanted.nodes {
                    results[id.index()] = None;
                }
            }
        }
        Ok(results)
    }
}

/// Outputs are readers too, so none of them is gone.
fn outputs<'a>(graph: &'a Graph, results: &'a [Option<Values>]) -> impl Iterator<Item = &'a Values> {
    graph.outputs().iter().filter_map(|(_, id)| results[id.index()].as_ref())
}

/// The most host memory that evaluation takes at any time.
fn bytes(graph: &Graph, wanted: Wanted) -> u64 {
    const VALUE: u64 = size_of::<f64>() as u64;
    let per_value = if wanted.bounds { 2 * VALUE } else { VALUE };
    let size = |shape: Shape| shape.len().saturating_mul(per_value);
    let mut readers = graph.readers();
    let (mut alive, mut most) = (0u64, 0u64);
    for node in graph.nodes() {
        // Weights and operands once in f64, and two values beside each result.
        let operands = node.inputs.iter().map(|id| graph.nodes()[id.index()].shape.len()).fold(0, u64::saturating_add);
        let parameters = node.op.operation().map_or(0, |operation| operation.work(node.shape).parameters);
        let beside = parameters.saturating_add(operands).saturating_add(node.shape.len().saturating_mul(2));
        alive = alive.saturating_add(size(node.shape));
        most = most.max(alive.saturating_add(beside.saturating_mul(VALUE)));
        for id in &node.inputs {
            readers[id.index()] -= 1;
            if readers[id.index()] == 0 && !wanted.nodes {
                alive = alive.saturating_sub(size(graph.nodes()[id.index()].shape));
            }
        }
    }
    // What is asked for is copied.
    let asked = graph.outputs().iter().map(|(_, id)| size(graph.nodes()[id.index()].shape));
    most.max(alive).saturating_add(asked.fold(0, u64::saturating_add))
}

/// The graph has checked how many operands each node has, and [`check_inputs`] how many inputs there are.
fn compute(node: &Node, xs: &[&Values], mut input: impl FnMut() -> Values) -> Values {
    let out = node.shape;
    match &node.op {
        Op::Input | Op::Picture(_) => input(),
        Op::Add(op) => add::add(op, xs[0], xs[1]),
        Op::AffineActivation(op) => affine_activation::affine_activation(op, xs[0]),
        Op::AvgPool(op) => avg_pool::avg_pool(op, xs[0], out),
        Op::Concat(_) => concat::concat(xs, out),
        Op::Conv(op) => conv::conv(op, xs[0], xs.get(1).copied(), out),
        Op::ConvSum(op) => conv_sum::conv_sum(op, xs, out),
        Op::Constant(op) => constant::constant(op),
        Op::Gather(op) => gather::gather(op, xs[0], xs[1]),
        Op::GlobalPool(op) => global_pool::global_pool(op, xs[0], out),
        Op::Layout(_) => layout::layout(xs[0], out),
        Op::Linear(op) => linear::linear(op, xs[0], out),
        Op::Map(op) => map::map(op, xs, out),
        Op::Matmul(op) => matmul::matmul(op, xs[0], xs[1]),
        Op::MaxPool(op) => max_pool::max_pool(op, xs[0], out),
        Op::MaxPoolCascade(op) => max_pool_cascade::max_pool_cascade(op, xs[0], out),
        Op::Narrow(op) => narrow::narrow(op, xs[0], out),
        Op::Paint(op) => paint::paint(op, xs[0], xs.get(1).copied(), out),
        Op::PyramidPool(op) => pyramid_pool::pyramid_pool(op, xs[0], out),
        Op::Rearrange(op) => rearrange::rearrange(op, xs[0], out),
        Op::Reduce(op) => reduce::reduce(op, xs[0], out),
        Op::Resample(op) => resample::resample(op, xs[0], out),
        Op::Reshape(_) => reshape::reshape(xs[0], out),
        Op::Resize(op) => resize::resize(op, xs[0], out),
        Op::Softmax(op) => softmax::softmax(op, xs[0]),
        Op::Texture(op) => texture::texture(op, xs, out),
        Op::TopK(op) => top_k::top_k(op, xs[0]),
    }
}

/// Whether all of the results stand in the operands, or are values of an `f16`.
fn copies(op: &Op) -> bool {
    match op {
        Op::Concat(_)
        | Op::Gather(_)
        | Op::Layout(_)
        | Op::Narrow(_)
        | Op::Reshape(_)
        | Op::TopK(_)
        | Op::MaxPool(_)
        | Op::MaxPoolCascade(_)
        | Op::PyramidPool(_) => true,
        Op::GlobalPool(GlobalPool { kind }) => *kind == GlobalPoolKind::Max,
        Op::Rearrange(rearrange) => f16::from_f32(rearrange.fill).to_f32() == rearrange.fill,
        Op::Reduce(Reduce { kind, .. }) => {
            matches!(kind, ReduceKind::Max | ReduceKind::Min | ReduceKind::ArgMax { .. } | ReduceKind::ArgMin { .. })
        }
        Op::Resize(Resize { mode, .. }) => *mode == ResizeMode::Nearest,
        _ => false,
    }
}

/// The square of the error that arrives with a weight of `w` times `x`, over `w²` of [`squared_weight`].
fn carried(precision: Precision, x: f64, bound: f64) -> f64 {
    let stored = match precision {
        Precision::F32 => 0.0,
        Precision::F16 => STORED_TIMES * U16 * x,
    };
    bound * bound + stored * stored
}

/// `w²`; of an `f16` so small that it is rounded as larger ones are, those; infinite if it may be.
fn squared_weight(precision: Precision, w: f64) -> f64 {
    let least = match precision {
        Precision::F32 => 0.0,
        Precision::F16 if w == 0.0 => 0.0,
        Precision::F16 if w.abs() >= INFINITE16 => f64::INFINITY,
        Precision::F16 => TINY16 / U16,
    };
    w.abs().max(least).powi(2)
}

fn input(tensor: &Tensor, bounded: bool) -> Values {
    let exact = Values::exact(tensor);
    if bounded { exact } else { Values { bound: Vec::new(), ..exact } }
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<()> {
    let declared: Vec<&Node> = graph.inputs().map(|(_, node)| node).collect();
    if declared.len() != inputs.len() {
        let names = declared.iter().map(|node| format!("'{}'", node.name)).collect::<Vec<_>>().join(", ");
        let reason = format!("the graph takes {} ({names}), got {}", declared.len(), inputs.len());
        return Err(Error::data("inputs", reason));
    }
    for (node, tensor) in declared.iter().zip(inputs) {
        if node.shape != tensor.shape() {
            let detail = format!("declared as {}, got {}", node.shape, tensor.shape());
            return Err(Error::mismatch(format!("input '{}'", node.name), detail));
        }
    }
    Ok(())
}

fn extents(shape: Shape) -> [usize; 4] {
    [shape.n, shape.c, shape.h, shape.w].map(|extent| extent as usize)
}

/// The `i` for which `0 <= offset + i * step < extent`: taps, or output positions, that meet the image.
fn inside(offset: i64, step: u32, extent: u32) -> Range<usize> {
    let first_at_or_above = |limit: i64| (limit - offset).max(0).unsigned_abs().div_ceil(u64::from(step)) as usize;
    first_at_or_above(0)..first_at_or_above(i64::from(extent))
}

/// Where the taps of a window that begins at `origin` lie, if within the extent.
fn taps(origin: i64, kernel: u32, dilation: u32, extent: u32) -> impl ExactSizeIterator<Item = usize> {
    let inside = inside(origin, dilation, extent);
    let dilation = i64::from(dilation);
    (inside.start..inside.end.min(kernel as usize)).map(move |k| (origin + k as i64 * dilation) as usize)
}

/// The maximum of no values, and its bound.
const NOTHING: (f64, f64) = (f64::NEG_INFINITY, 0.0);

/// The larger value; `NaN` wins, whichever comes first. Two maxima differ by no more than some element of theirs, so
/// the bound is the larger of the two as well.
fn larger(best: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    let value = if other.0 > best.0 || other.0.is_nan() { other.0 } else { best.0 };
    (value, best.1.max(other.1))
}

/// A value that is not finite is compared exactly, so that its meaningless bound never excuses what follows.
fn finite_bound(value: f64, bound: f64) -> f64 {
    if value.is_finite() { bound } else { 0.0 }
}

/// The sum of squares of what is finite.
fn squares(values: &[f64]) -> f64 {
    values.iter().filter(|value| value.is_finite()).map(|value| value * value).sum()
}

/// See [`Values::cancellation`], of sums whose squares, and those of their terms, add up to this.
fn cancellation(terms: f64, sums: f64) -> f64 {
    if terms > sums { terms / sums } else { 1.0 }
}

/// The cancellation with which errors of these squares beside values of those pass: where an index may be another, the
/// bound decides.
fn excusing(precision: Precision, errors: f64, values: f64) -> f64 {
    if errors > 0.0 { (errors / values / compare::max_nmse(precision)[1]).max(1.0) } else { 1.0 }
}

/// Bound of `y`, a sum of `terms` products and a bias: `magnitude` is the sum of their absolute values, `carried` that
/// of the squares of the errors that arrive with the operands.
fn sum_bound(terms: f64, y: f64, magnitude: f64, carried: f64) -> f64 {
    carried.sqrt() + 8.0 * terms.sqrt() * U * magnitude + 2.0 * U * y.abs()
}

/// Hands pieces of `out` to as many threads as the machine has: `work(index of the piece, piece)`.
fn parallel(out: &mut [f64], piece: usize, work: impl Fn(usize, &mut [f64]) + Sync) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(out.len().div_ceil(piece));
    let pieces = Mutex::new(out.chunks_mut(piece).enumerate());
    let worker = || {
        loop {
            let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, piece)) = next else { break };
            work(index, piece);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // If a thread cannot be spawned, the others do its share.
            let _ = thread::Builder::new().spawn_scoped(scope, worker);
        }
        worker();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::NodeId;
    use crate::ops::{Add, Conv, MaxPool};

    pub(super) fn tensor(shape: [u32; 4], data: &[f32]) -> Tensor {
        let [n, c, h, w] = shape;
        Tensor::new(Shape::new(n, c, h, w), data.to_vec()).unwrap()
    }

    /// 1, 2, 3, … in NCHW order.
    pub(super) fn counting(shape: [u32; 4]) -> Tensor {
        let len: u32 = shape.iter().product();
        tensor(shape, &(1..=len).map(|i| i as f32).collect::<Vec<_>>())
    }

    /// One node applied to one input.
    pub(super) fn apply(x: &Tensor, node: impl FnOnce(&mut Graph, NodeId) -> Result<NodeId>) -> Values {
        let mut graph = Graph::new();
        let input = graph.input("x", x.shape()).unwrap();
        let y = node(&mut graph, input).unwrap();
        graph.output("y", y).unwrap();
        let with_bounds = run_with_bounds(&graph, std::slice::from_ref(x)).unwrap().remove(0);
        let [rounded] = run(&graph, std::slice::from_ref(x)).unwrap().try_into().unwrap();
        let bits = |tensor: &Tensor| tensor.data().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&rounded), bits(&with_bounds.rounded().unwrap()), "values depend on whether there are bounds");
        with_bounds
    }

    #[test]
    fn positions_inside_an_image_match_the_definition() {
        for (offset, step, extent) in [(0, 1, 5), (-3, 2, 4), (-4, 2, 4), (7, 3, 5), (2, 3, 9), (-20, 7, 3), (-1, 5, 1)]
        {
            let defined: Vec<i64> = (0..40).filter(|i| (0..extent).contains(&(offset + i * i64::from(step)))).collect();
            let found: Vec<i64> = inside(offset, step, extent as u32).map(|i| i as i64).collect();
            assert_eq!(found, defined, "offset {offset}, step {step}, extent {extent}");
        }
    }

    #[test]
    fn every_piece_is_processed_once() {
        let mut out = vec![0.0; 101];
        parallel(&mut out, 7, |index, piece| piece.iter_mut().for_each(|value| *value += index as f64 + 1.0));
        assert!(out.iter().enumerate().all(|(i, &value)| value == (i / 7) as f64 + 1.0));
        parallel(&mut [], 7, |_, _| unreachable!());
    }

    #[test]
    fn inputs_of_a_wrong_number_or_shape_are_named() {
        let mut graph = Graph::new();
        let a = graph.input("left", Shape::new(1, 1, 1, 2)).unwrap();
        let b = graph.input("right", Shape::new(1, 1, 1, 2)).unwrap();
        let sum = graph.add("sum", a, b, Add { scale: 2.0, activation: Default::default() }).unwrap();
        graph.output("y", sum).unwrap();
        let x = tensor([1, 1, 1, 2], &[1.0, 2.0]);
        assert_eq!(run(&graph, &[x.clone(), x.clone()]).unwrap()[0].data(), [3.0, 6.0]);
        let few = run(&graph, std::slice::from_ref(&x)).unwrap_err().to_string();
        assert!(few.contains("'left', 'right'") && few.contains("got 1"), "{few}");
        let wrong = run(&graph, &[x, tensor([1, 1, 2, 1], &[1.0, 2.0])]).unwrap_err();
        assert!(matches!(&wrong, Error::ShapeMismatch { op, .. } if op.contains("'right'")), "{wrong}");
        assert!(matches!(run(&Graph::new(), &[]), Err(Error::Graph(_))));
    }

    #[test]
    fn outputs_come_in_declared_order_and_survive_their_other_readers() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 1, 1, 3)).unwrap();
        let pool = graph.max_pool("pool", x, MaxPool::new([1, 3])).unwrap();
        let pooled_again = graph.max_pool("again", pool, MaxPool::new([1, 1])).unwrap();
        for (name, id) in [("last", pooled_again), ("x", x), ("middle", pool), ("middle once more", pool)] {
            graph.output(name, id).unwrap();
        }
        let x = tensor([1, 1, 1, 3], &[1.0, 3.0, 2.0]);
        let outputs = run(&graph, std::slice::from_ref(&x)).unwrap();
        let data: Vec<&[f32]> = outputs.iter().map(Tensor::data).collect();
        assert_eq!(data, [&[3.0][..], &[1.0, 3.0, 2.0], &[3.0], &[3.0]]);
        let nodes = run_nodes(&graph, &[x]).unwrap();
        assert_eq!(nodes.iter().map(|node| node.values.len()).collect::<Vec<_>>(), [3, 1, 1]);
    }

    #[test]
    fn an_empty_batch_gives_an_empty_result() {
        let x = tensor([0, 4, 3, 3], &[]);
        let empty = apply(&x, |graph, x| {
            let conv = graph.conv("conv", x, Conv::new(counting([2, 4, 3, 3])))?;
            let both = graph.concat("concat", &[conv, conv])?;
            graph.max_pool("pool", both, MaxPool::new([1, 1]))
        });
        assert_eq!((empty.shape, empty.values.len()), (Shape::new(0, 4, 1, 1), 0));
    }
    /// Bounds of the outputs, with tensors stored in `f16`.
    fn stored(graph: &Graph, x: &Tensor) -> Vec<Values> {
        let reference = Reference { precision: Precision::F16, ..Default::default() };
        reference.run_with_bounds(graph, std::slice::from_ref(x)).unwrap()
    }

    #[test]
    fn what_is_stored_adds_its_rounding_once() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 1, 1, 4)).unwrap();
        let pool = graph.max_pool("pool", x, MaxPool::new([1, 1])).unwrap();
        let both = graph.concat("both", &[pool, pool]).unwrap();
        for (name, id) in [("x", x), ("both", both)] {
            graph.output(name, id).unwrap();
        }
        // The first and the last are values of an f16; the last but one is nearer to 0 than its spacing.
        let x = tensor([1, 1, 1, 4], &[1.5, 3.1, 1e-7, 65_504.0]);
        let [got, both] = stored(&graph, &x).try_into().unwrap();
        let bound = [0.0, 4.0 * f64::from(3.1f32) / 2048.0, 4.0 * 2f64.powi(-25), 0.0];
        assert_eq!(got.bound, bound);
        assert_eq!(both.bound, [bound, bound].concat());
        assert_eq!(got.values, run_with_bounds(&graph, std::slice::from_ref(&x)).unwrap()[0].values);
    }

    #[test]
    fn weights_operands_and_results_are_rounded_independently() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 2, 1, 1)).unwrap();
        let conv = graph.conv("conv", x, Conv::new(tensor([1, 2, 1, 1], &[3.0, 4.0]))).unwrap();
        let linear = crate::ops::Linear {
            weight: tensor([1, 2, 1, 1], &[3.0, 4.0]).into(),
            bias: None,
            activation: Default::default(),
        };
        let linear = graph.linear("linear", x, linear).unwrap();
        graph.output("conv", conv).unwrap();
        graph.output("linear", linear).unwrap();
        // 0.1 is rounded, 1 is not; products 0.3 and 4, the sum 4.3.
        for sum in stored(&graph, &tensor([1, 2, 1, 1], &[0.1, 1.0])) {
            let want = 4.0 / 2048.0 * (2.0 * 0.3f64.powi(2) + 4.0f64.powi(2) + 4.3f64.powi(2)).sqrt();
            assert!((sum.bound[0] / want - 1.0).abs() < 1e-3, "{:?}, want {want}", sum.bound);
        }
    }

    #[test]
    fn what_an_f16_may_not_hold_is_counted_and_proves_nothing() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 4, 1, 1)).unwrap();
        let sum = graph.conv("sum", x, Conv::new(tensor([1, 4, 1, 1], &[0.0, 1.0, 1.0, 1.0]))).unwrap();
        graph.output("x", x).unwrap();
        graph.output("sum", sum).unwrap();
        let [large, sum] = stored(&graph, &tensor([1, 4, 1, 1], &[7e4, 65_504.0, 1.0, -64_992.0])).try_into().unwrap();
        assert_eq!(large.bound, [f64::INFINITY, 0.0, 0.0, 0.0]);
        assert_eq!(sum.bound, [f64::INFINITY], "0 times infinity is NaN");
        let difference =
            |first: f32, second: f32| compare(&tensor([1, 4, 1, 1], &[first, second, 1.0, -64_992.0]), &large).unwrap();
        let overflow = difference(f32::INFINITY, 65_504.0);
        assert!(overflow.passes() && overflow.overflows == 1, "{overflow}");
        assert!(overflow.to_string().ends_with("1 value beyond 65504 became infinite"), "{overflow}");
        let held = difference(7e4, 65_504.0);
        assert!(held.passes() && held.overflows == 0, "{held}");
        assert!(!difference(0.0, 65_504.0).passes(), "a finite value is held to the truth");
        assert!(!difference(f32::INFINITY, f32::INFINITY).passes(), "65504 is the largest f16");
    }
}
