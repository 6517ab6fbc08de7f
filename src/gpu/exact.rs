//! Random graphs of integers, on which all kernels must agree: every product and every sum is exact in `f32`, and so is
//! every result in `f16`, whatever the order.

use std::fmt;
use std::ops::Range;

use super::{Gpu, Program};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Conv, ConvSum, MaxPool, Padding};
use crate::plan::{ConvKernel, DeviceProfile, Matrices, Plan, PlanOptions};
use crate::tensor::{Shape, Tensor};
use crate::weights::random::Random;

/// `f16` holds halves and quarters of what is left of it, and twice as much whole.
const MAX_SUM: u32 = 1000;
const MAX_INPUT: u32 = 4;
const MAX_BIAS: u32 = 8;

/// Multiplications of one run: milliseconds on a software adapter.
const MAX_PRODUCTS: u32 = 12 << 20;

/// Convolutions, or products of matrices, with what may happen around them.
#[derive(Clone, Debug)]
pub struct ExactGraph {
    seed: u64,
    /// What it is made of.
    form: &'static str,
    graph: Graph,
}

/// Where two kernels disagree.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Of the graph.
    pub seed: u64,
    /// Number of the inputs.
    pub round: u64,
    /// What the graph computes: its nodes that do.
    pub graph: String,
    /// The output.
    pub output: String,
    /// Image, channel, row and column of the first value that differs.
    pub at: [u32; 4],
    /// What the kernels under test made of it.
    pub got: f32,
    /// What it should be.
    pub want: f32,
    /// How many values of the output differ.
    pub count: usize,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, round, graph, output, at: [n, c, h, w], got, want, count } = self;
        write!(
            f,
            "seed {seed}, round {round}: {graph}: {count} values of '{output}' differ, the first at [{n}, {c}, {h}, \
             {w}]: {got} instead of {want}"
        )
    }
}

impl ExactGraph {
    /// The same for a seed everywhere; eight that follow each other have each form once. Errors: none but a fault of
    /// this function.
    pub fn random(seed: u64) -> Result<Self> {
        let mut making = Making { graph: Graph::new(), random: Random::new(seed, "exact"), of: MAX_SUM };
        let (form, made) = match seed % 8 {
            0 => ("a product", making.product()),
            1 => ("a convolution", making.convolution()),
            2 => ("a sum of convolutions", making.sum()),
            3 => ("convolutions side by side", making.jobs()),
            4 => ("slices of a concatenation", making.slices()),
            5 => ("long sums on a small map", making.deep()),
            6 => ("few channels on a large map", making.wide()),
            _ => ("a residual", making.residual()),
        };
        made?;
        Ok(Self { seed, form, graph: making.graph })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// `a product: conv 1x1, relu, of [1, 64, 14, 16] -> [1, 96, 14, 16]`
    pub fn describe(&self) -> String {
        let all = self.graph.nodes();
        let nodes = all.iter().filter(|node| !node.inputs.is_empty()).map(|node| {
            let inputs: Vec<_> = node.inputs.iter().map(|id| all[id.index()].shape.to_string()).collect();
            format!("{}, of {} -> {}", node.op, inputs.join(" and "), node.shape)
        });
        format!("{}: {}", self.form, nodes.collect::<Vec<_>>().join("; "))
    }

    /// Other integers in each round.
    pub fn inputs(&self, round: u64) -> Result<Vec<Tensor>> {
        let mut random = Random::new(self.seed, &format!("round {round}"));
        let shapes: Vec<Shape> = self.graph.inputs().map(|(_, node)| node.shape).collect();
        shapes.into_iter().map(|shape| integers(&mut random, shape, MAX_INPUT)).collect()
    }

    /// The plan that others are compared with: no matrices, no tiles, everything in `f32`.
    pub fn direct(&self, gpu: &Gpu) -> Result<Plan> {
        let profile = DeviceProfile { matrices: Matrices::NONE, ..gpu.profile().clone() };
        let options = PlanOptions { conv_kernel: ConvKernel::Direct, ..PlanOptions::default() };
        Plan::new(&self.graph, &profile, &options)
    }

    /// Runs both programs of this graph with the inputs of each round, and stops at the first difference: any but the
    /// sign of a zero. Errors: those of [`Program::run`].
    pub fn compare(&self, tested: &Program, direct: &Program, rounds: Range<u64>) -> Result<Option<Mismatch>> {
        for round in rounds {
            let inputs = self.inputs(round)?;
            let (got, want) = (tested.run(&inputs)?, direct.run(&inputs)?);
            for (((output, _), got), want) in self.graph.outputs().iter().zip(&got).zip(&want) {
                if let Some(mismatch) = self.difference(round, output, got, want) {
                    return Ok(Some(mismatch));
                }
            }
        }
        Ok(None)
    }

    fn difference(&self, round: u64, output: &str, got: &Tensor, want: &Tensor) -> Option<Mismatch> {
        // A value that is NaN differs from everything.
        let differs = |(_, (got, want)): &(usize, (&f32, &f32))| got != want;
        let mut differing = got.data().iter().zip(want.data()).enumerate().filter(differs);
        let (i, (&got, &wanted)) = differing.next()?;
        let Shape { c, h, w, .. } = want.shape();
        let i = i as u32;
        Some(Mismatch {
            seed: self.seed,
            round,
            graph: self.describe(),
            output: output.into(),
            at: [i / (c * h * w), i / (h * w) % c, i / w % h, i % w],
            got,
            want: wanted,
            count: 1 + differing.count(),
        })
    }

    /// Plans with these options and runs as many rounds, every buffer poisoned first. Returns the plan, too, without its
    /// constants. Errors: those of [`Program::with_options`] and [`Program::run`].
    pub fn check(&self, gpu: &Gpu, options: &PlanOptions, rounds: Range<u64>) -> Result<(Plan, Option<Mismatch>)> {
        let tested = Program::with_options(gpu, &self.graph, options)?;
        let direct = Program::from_own_plan(gpu, self.direct(gpu)?)?;
        tested.poison()?;
        let mismatch = self.compare(&tested, &direct, rounds)?;
        Ok((tested.plan().clone(), mismatch))
    }
}

/// From `-most` to `most`.
fn integers(random: &mut Random, shape: Shape, most: u32) -> Result<Tensor> {
    Tensor::new(shape, (0..shape.len()).map(|_| integer(random, most)).collect())
}

fn integer(random: &mut Random, most: u32) -> f32 {
    (random.uniform() * f64::from(2 * most + 1)).floor() as f32 - most as f32
}

struct Making {
    graph: Graph,
    random: Random,
    /// Largest sum of a convolution.
    of: u32,
}

impl Making {
    fn below(&mut self, end: usize) -> usize {
        (self.random.uniform() * end as f64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn channels(&mut self) -> u32 {
        self.pick(&[3, 4, 12, 16, 20, 31, 32, 40, 48, 64, 64, 80, 96, 128, 128, 144])
    }

    /// A map for sums of `k` products and `out_c` channels, no larger than can be computed at once.
    fn map(&mut self, k: u32, out_c: u32, largest: u32) -> Shape {
        let n = self.pick(&[1, 1, 2, 3]);
        let pixels = MAX_PRODUCTS / k / out_c / n;
        let longest = largest.min(pixels.isqrt().max(1));
        let [h, w] = [0, 1].map(|_| longest - self.below(longest.div_ceil(3) as usize) as u32);
        Shape::new(n, 1, h, w)
    }

    fn input(&mut self, shape: Shape) -> Result<NodeId> {
        let name = format!("x{}", self.graph.nodes().len());
        self.graph.input(name, shape)
    }

    fn output(&mut self, id: NodeId) -> Result<()> {
        let name = format!("y{}", self.graph.outputs().len());
        self.graph.output(name, id)
    }

    fn name(&self, stem: &str) -> String {
        format!("{stem} {}", self.graph.nodes().len())
    }

    /// Of ones, where that keeps sums small enough; else most weights are zero, each channel's at other places.
    fn weight(&mut self, shape: Shape) -> Result<Tensor> {
        let (k, allowed) = (shape.c * shape.h * shape.w, self.of / MAX_INPUT);
        let share = (0.9 * f64::from(allowed) / f64::from(k)).min(1.0);
        let mut data = Vec::with_capacity(shape.len() as usize);
        for _ in 0..shape.n {
            let mut left = allowed;
            for _ in 0..k {
                let value = if left > 0 && self.random.uniform() < share { integer(&mut self.random, 1) } else { 0.0 };
                left -= value.abs() as u32;
                data.push(value);
            }
        }
        Tensor::new(shape, data)
    }

    fn conv(&mut self, in_c: u32, out_c: u32, kernel: [u32; 2], dilation: u32) -> Result<Conv> {
        let weight = self.weight(Shape::new(out_c, in_c, kernel[0], kernel[1]))?;
        let bias = (self.below(3) > 0).then(|| (0..out_c).map(|_| integer(&mut self.random, MAX_BIAS)).collect());
        let [h, w] = kernel.map(|extent| extent / 2 * dilation);
        Ok(Conv { bias, padding: Padding::symmetric(h, w), dilation: [dilation; 2], ..Conv::new(weight) })
    }

    /// The same with an epilogue.
    fn finished(&mut self, conv: Conv) -> Conv {
        Conv { scale: self.pick(&[1.0, 1.0, -1.0, 0.5, 2.0]), activation: self.activation(), ..conv }
    }

    fn activation(&mut self) -> Activation {
        self.pick(&[Activation::None, Activation::Relu, Activation::LeakyRelu(0.5)])
    }

    /// One convolution of an input of its own.
    fn single(&mut self, [in_c, out_c]: [u32; 2], kernel: [u32; 2], dilation: u32, largest: u32) -> Result<()> {
        let map = self.map(in_c * kernel[0] * kernel[1], out_c, largest);
        let x = self.input(Shape { c: in_c, ..map })?;
        let conv = self.conv(in_c, out_c, kernel, dilation)?;
        let conv = self.finished(conv);
        let name = self.name("conv");
        let y = self.graph.conv(name, x, conv)?;
        self.output(y)
    }

    fn product(&mut self) -> Result<()> {
        let channels = [self.channels(), self.channels()];
        self.single(channels, [1, 1], 1, 40)
    }

    fn convolution(&mut self) -> Result<()> {
        let (in_c, out_c) = (self.channels(), self.channels());
        let kernel = self.pick(&[[3, 3], [3, 3], [3, 3], [1, 3], [3, 1], [5, 5], [2, 2]]);
        let dilation = self.pick(&[1, 1, 2, 3, 6]);
        let map = self.map(in_c * kernel[0] * kernel[1], out_c, 30);
        // What keeps the window within the padded map, whatever the padding.
        let least = 5 * dilation;
        let x = self.input(Shape { c: in_c, h: map.h.max(least), w: map.w.max(least), ..map })?;
        let conv = self.conv(in_c, out_c, kernel, dilation)?;
        let keeps = conv.padding;
        let padding = match self.below(4) {
            0 => Padding::default(),
            1 => Padding { top: keeps.top + 1, left: 0, ..keeps },
            _ => keeps,
        };
        let stride = [self.pick(&[1, 1, 2, 3]), self.pick(&[1, 1, 2])];
        let conv = self.finished(Conv { stride, padding, ..conv });
        let name = self.name("conv");
        let y = self.graph.conv(name, x, conv)?;
        self.output(y)
    }

    fn sum(&mut self) -> Result<()> {
        let count = 2 + self.below(3);
        let out_c = self.channels();
        self.of = MAX_SUM / count as u32;
        let channels: Vec<u32> = (0..count).map(|_| self.channels()).collect();
        let map = self.map(channels.iter().sum::<u32>() * 5, out_c, 24);
        let (mut terms, mut xs) = (Vec::new(), Vec::new());
        for in_c in channels {
            let kernel = self.pick(&[[1, 1], [3, 3]]);
            let dilation = self.pick(&[1, 1, 2, 5]);
            xs.push(self.input(Shape { c: in_c, ..map })?);
            let term = self.conv(in_c, out_c, kernel, dilation)?;
            terms.push(Conv { scale: self.pick(&[1.0, 1.0, -1.0, 0.5]), ..term });
        }
        let (name, activation) = (self.name("sum"), self.activation());
        let y = self.graph.conv_sum(name, &xs, ConvSum { terms, activation })?;
        self.output(y)
    }

    fn jobs(&mut self) -> Result<()> {
        let in_c = self.channels();
        let outs: Vec<u32> = (0..2 + self.below(2)).map(|_| self.channels()).collect();
        let map = self.map(in_c * 5, outs.iter().sum(), 24);
        let x = self.input(Shape { c: in_c, ..map })?;
        for out_c in outs {
            let (kernel, dilation) = (self.pick(&[[1, 1], [3, 3]]), self.pick(&[1, 2]));
            let conv = self.conv(in_c, out_c, kernel, dilation)?;
            let conv = self.finished(conv);
            let name = self.name("conv");
            let y = self.graph.conv(name, x, conv)?;
            self.output(y)?;
        }
        Ok(())
    }

    /// Convolutions that write into a concatenation, and one that reads from another.
    fn slices(&mut self) -> Result<()> {
        let [a, b, c, d] = [0; 4].map(|_| self.channels());
        let map = self.map((a + b) * 4, b + c + d, 24);
        let x = self.input(Shape { c: a, ..map })?;
        let other = self.input(Shape { c: b, ..map })?;
        let [first, second] = [[a, b], [b, c]].map(|[in_c, out_c]| {
            let kernel = self.pick(&[[1, 1], [3, 3]]);
            let conv = self.conv(in_c, out_c, kernel, 1)?;
            Ok(self.finished(conv))
        });
        let name = self.name("conv");
        let first = self.graph.conv(name, x, first?)?;
        let name = self.name("conv");
        let second = self.graph.conv(name, other, second?)?;
        let name = self.name("concat");
        let written = self.graph.concat(name, &[first, x, second])?;
        self.output(written)?;
        let name = self.name("pool");
        let pool = MaxPool { stride: [1, 1], padding: Padding::symmetric(1, 1), ..MaxPool::new([3, 3]) };
        let pooled = self.graph.max_pool(name, x, pool)?;
        let name = self.name("concat");
        let read = self.graph.concat(name, &[other, pooled])?;
        let conv = self.conv(a + b, d, [1, 1], 1)?;
        let conv = self.finished(conv);
        let name = self.name("conv");
        let y = self.graph.conv(name, read, conv)?;
        self.output(y)
    }

    fn deep(&mut self) -> Result<()> {
        let channels = [self.pick(&[192, 256, 384, 512]), self.channels()];
        let kernel = self.pick(&[[1, 1], [3, 3]]);
        self.single(channels, kernel, 1, 6)
    }

    fn wide(&mut self) -> Result<()> {
        let channels = [self.pick(&[3, 8, 16, 32]), self.pick(&[8, 16, 32, 40])];
        let kernel = self.pick(&[[1, 1], [3, 3]]);
        self.single(channels, kernel, 1, 150)
    }

    /// Before or after the activation, or one pixel for all of an image's.
    fn residual(&mut self) -> Result<()> {
        let (in_c, out_c) = (self.channels(), self.channels());
        let kernel = self.pick(&[[1, 1], [3, 3]]);
        let map = self.map(in_c * kernel[0] * kernel[1], out_c, 30);
        let x = self.input(Shape { c: in_c, ..map })?;
        let kind = self.below(3);
        let residual = Shape { c: out_c, ..map };
        let residual = self.input(if kind == 0 { Shape { h: 1, w: 1, ..residual } } else { residual })?;
        let conv = self.conv(in_c, out_c, kernel, 1)?;
        let conv = Conv { adds_last: kind == 2, ..self.finished(conv) };
        let name = self.name("conv");
        let y = self.graph.conv_add(name, x, residual, conv)?;
        self.output(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// By the reference: no value is beyond what `f16` holds exactly.
    #[test]
    fn results_are_exact_in_half_precision() {
        for seed in 0..64 {
            let exact = ExactGraph::random(seed).unwrap();
            for output in reference::run(exact.graph(), &exact.inputs(seed).unwrap()).unwrap() {
                let inexact = output.data().iter().find(|&&y| half::f16::from_f32(y).to_f32() != y);
                assert_eq!(inexact, None, "seed {seed}: {}", exact.describe());
                let distinct: std::collections::BTreeSet<_> = output.data().iter().map(|y| y.to_bits()).collect();
                assert!(distinct.len() > 4 || output.data().len() < 64, "seed {seed}: {}", exact.describe());
            }
        }
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        let exact = ExactGraph::random(0).unwrap();
        let want = integers(&mut Random::new(1, ""), Shape::new(2, 3, 4, 5), 9).unwrap();
        assert!(exact.difference(0, "y", &want, &want).is_none());
        for (value, other) in [(f32::NAN, 0.0), (f32::INFINITY, 0.0), (100.0, 0.0)] {
            let mut got = want.clone();
            // Image 1, channel 2, row 1, column 3.
            got.data_mut()[((3 + 2) * 4 + 1) * 5 + 3] = value;
            got.data_mut()[119] = value;
            let found = exact.difference(7, "y", &got, &want).unwrap();
            assert_eq!((found.at, found.count, found.round), ([1, 2, 1, 3], 2, 7), "{found} {other}");
        }
    }
}
