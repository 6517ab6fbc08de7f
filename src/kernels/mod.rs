//! How operations become dispatches: one file per shader, with its `Params`, how weights are packed for it, and how it
//! is bound and counted. `contract` says what each operation needs of its operands' memory, and the form of its result.

use std::slice::from_ref;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{Activation, Narrow, Op, SoftmaxAxis, Texels};
use crate::plan::{Builder, Constant, Order, Shader, Slice, Step, joined, padded, piece};
use crate::tensor::Shape;

pub(crate) mod avg_pool;
pub(crate) mod concat;
pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod global_pool;
pub(crate) mod layout;
pub(crate) mod linear;
pub(crate) mod map;
pub(crate) mod matmul;
pub(crate) mod max_pool;
pub(crate) mod max_pool_cascade;
pub(crate) mod max_pool_cascade_strip;
pub(crate) mod paint;
pub(crate) mod pyramid_pool;
pub(crate) mod rearrange;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod resize;
pub(crate) mod softmax;
pub(crate) mod texture;
pub(crate) mod top_k;

use conv::{Job, Parts};

/// Every kernel's shader.
pub static SHADERS: &[&Shader] = &[
    &avg_pool::SHADER,
    &concat::SHADER,
    &conv::tile::SHADER,
    &conv::depthwise::SHADER,
    &conv::direct::SHADER,
    &conv::grouped::SHADER,
    &conv::shift_add::SHADER,
    &conv::subgroup::SHADER,
    &elementwise::SHADER,
    &gather::SHADER,
    &global_pool::SHADER,
    &layout::SHADER,
    &linear::SHADER,
    &map::SHADER,
    &matmul::SHADER,
    &max_pool::SHADER,
    &max_pool_cascade::SHADER,
    &max_pool_cascade_strip::SHADER,
    &paint::SHADER,
    &pyramid_pool::SHADER,
    &rearrange::SHADER,
    &reduce::SHADER,
    &resample::SHADER,
    &resize::SHADER,
    &softmax::SHADER,
    &texture::SHADER,
    &top_k::SHADER,
];

/// The form a tensor has in memory: the order of its values, and its runs of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) order: Order,
    pub(crate) segments: Arc<[u32]>,
    /// In `f32`, whatever else tensors are stored in: results that are counted or compared, and few.
    pub(crate) exact: bool,
}

impl Form {
    const fn nhwc(segments: Arc<[u32]>) -> Self {
        Self { order: Order::Nhwc, segments, exact: false }
    }

    /// NHWC without gaps between channels.
    fn whole(shape: Shape) -> Self {
        Self::nhwc([shape.c].into())
    }

    fn nchw(shape: Shape) -> Self {
        Self { order: Order::Nchw, segments: [shape.c].into(), exact: false }
    }

    /// NCHW, in `f32`.
    fn values(shape: Shape) -> Self {
        Self { exact: true, ..Self::nchw(shape) }
    }
}

/// What a kernel needs of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// NHWC, with channels in any runs.
    Nhwc,
    /// NHWC, without gaps between channels.
    Whole,
    /// NHWC, with channels in the result's runs.
    ResultRuns,
    /// NCHW.
    Nchw,
    /// NCHW, in `f32`, one image right after the other.
    Values,
    /// NCHW, in `f32`, with images at any distance.
    Images,
    /// As it lies: NHWC without gaps between channels, of any type, or NCHW in `f32`.
    Anywhere,
    /// The texture itself.
    Texture,
}

/// An operation's memory contract.
pub(crate) struct Contract {
    /// By operand.
    pub(crate) operands: Vec<Needs>,
    pub(crate) result: Form,
}

/// What `op`, which makes `y`, needs of operands that have these forms and shapes, and the form of its result. Gaps
/// between runs of channels hold zeros, so a result may only have gaps if its kernel maps zeros to zeros.
pub(crate) fn contract(op: &Op, operands: &[(&Form, Shape)], y: Shape) -> Contract {
    // An operand's runs once it is in NHWC.
    let runs = |(form, shape): &(&Form, Shape)| match form.order {
        Order::Nhwc | Order::NhwcDense => Arc::clone(&form.segments),
        Order::Nchw => [shape.c].into(),
    };
    let all = |needs: Needs| vec![needs; operands.len()];
    let same_runs = || Form::nhwc(runs(&operands[0]));
    let elementwise = |activation: Activation| Contract {
        operands: all(Needs::ResultRuns),
        result: if activation.at(0.0) == 0.0 { same_runs() } else { Form::whole(y) },
    };
    let windowed = |dilation: [u32; 2]| Contract {
        operands: all(Needs::ResultRuns),
        result: if dilation == [1, 1] { same_runs() } else { Form::whole(y) },
    };
    match op {
        Op::Input | Op::Picture(_) => Contract { operands: Vec::new(), result: Form::whole(y) },
        Op::Add(add) => elementwise(add.activation),
        Op::AffineActivation(affine) => elementwise(affine.activation),
        // A dilated window may miss the image and have no mean.
        Op::AvgPool(pool) => windowed(pool.dilation),
        Op::Concat(_)
            if operands.iter().all(|(form, _)| form.order == Order::Nchw)
                && operands.iter().any(|(form, _)| form.exact) =>
        {
            Contract { operands: all(Needs::Images), result: Form::values(y) }
        }
        Op::Concat(_) if operands.iter().all(|(form, _)| form.order == Order::Nchw) => {
            Contract { operands: all(Needs::Nchw), result: Form::nchw(y) }
        }
        Op::Concat(_) => {
            let runs: Vec<Arc<[u32]>> = operands.iter().map(runs).collect();
            Contract {
                operands: all(Needs::Nhwc),
                result: Form::nhwc(joined(runs.iter().flat_map(|of| of.iter().copied()))),
            }
        }
        Op::Constant(_) => Contract { operands: Vec::new(), result: Form::values(y) },
        Op::Gather(_) | Op::Matmul(_) | Op::Reduce(_) | Op::TopK(_) => {
            Contract { operands: all(Needs::Values), result: Form::values(y) }
        }
        Op::Rearrange(rearrange) => {
            let reads_pixels = operands.iter().all(|(_, x)| rearrange::reads_pixels(rearrange, *x));
            let x = if reads_pixels { Needs::Anywhere } else { Needs::Values };
            Contract { operands: all(x), result: Form::values(y) }
        }
        Op::Map(map) => {
            // Among maps with channels, a map with channels.
            let is_map = |(form, shape): &(&Form, Shape)| form.order != Order::Nchw && *shape == y;
            if map.walks.iter().all(Option::is_none) && operands.iter().any(is_map) {
                Contract { operands: all(Needs::Whole), result: Form::whole(y) }
            } else {
                Contract { operands: all(Needs::Values), result: Form::values(y) }
            }
        }
        Op::Resample(resample) => {
            let result = if resample.fill == 0.0 { same_runs() } else { Form::whole(y) };
            Contract { operands: all(Needs::ResultRuns), result }
        }
        Op::Narrow(narrow) => match operands {
            [(form, _)] if form.order == Order::Nchw => {
                Contract { operands: all(Needs::Images), result: Form::values(y) }
            }
            [operand] => {
                let result = match within(&runs(operand), narrow) {
                    Some((_, segments)) => Form::nhwc(segments),
                    None => Form::whole(y),
                };
                Contract { operands: all(Needs::Nhwc), result }
            }
            _ => Contract { operands: all(Needs::Nhwc), result: Form::whole(y) },
        },
        Op::Reshape(reshape) => match operands {
            [(form, x)] if form.order != Order::Nchw && reshape.keeps_pixels(*x) => {
                Contract { operands: all(Needs::Nhwc), result: same_runs() }
            }
            _ => Contract { operands: all(Needs::Values), result: Form::values(y) },
        },
        Op::Conv(conv) => {
            let x = if conv.groups == 1 { Needs::Nhwc } else { Needs::Whole };
            let residual = operands.get(1).map(|_| Needs::Whole);
            Contract { operands: [x].into_iter().chain(residual).collect(), result: Form::whole(y) }
        }
        Op::ConvSum(_) => Contract { operands: all(Needs::Nhwc), result: Form::whole(y) },
        Op::GlobalPool(_) | Op::Resize(_) => Contract { operands: all(Needs::Nhwc), result: same_runs() },
        Op::Layout(_) => Contract { operands: all(Needs::Nhwc), result: Form::nchw(y) },
        Op::Linear(_) => Contract { operands: all(Needs::Nhwc), result: Form::whole(y) },
        // The maximum of a dilated window that misses the image is not zero.
        Op::MaxPool(pool) => windowed(pool.dilation),
        Op::MaxPoolCascade(cascade) => Contract {
            operands: all(Needs::Nhwc),
            result: Form::nhwc(joined(runs(&operands[0]).repeat(cascade.times as usize))),
        },
        Op::Paint(_) => {
            let operands = [Needs::Whole, Needs::Texture].into_iter().take(operands.len()).collect();
            Contract { operands, result: Form::whole(y) }
        }
        Op::PyramidPool(_) => Contract { operands: all(Needs::Whole), result: Form::whole(y) },
        Op::Softmax(softmax) => match softmax.axis {
            SoftmaxAxis::Channels => Contract { operands: all(Needs::Whole), result: Form::whole(y) },
            SoftmaxAxis::Columns => Contract { operands: all(Needs::Nchw), result: Form::nchw(y) },
            SoftmaxAxis::Values { .. } => Contract { operands: all(Needs::Values), result: Form::values(y) },
        },
        Op::Texture(_) => Contract { operands: all(Needs::Texture), result: Form::whole(y) },
    }
}

/// An operation whose operands lie as its [`contract`] requires, and whose result has its place.
pub(crate) struct Call<'a> {
    pub(crate) id: NodeId,
    pub(crate) node: &'a str,
    pub(crate) op: &'a Op,
    pub(crate) xs: Vec<Slice>,
    /// Operands that are textures, and what these hold; not among `xs`.
    pub(crate) textures: Vec<(Slice, Texels)>,
    /// The first operand's, if still to be added up.
    pub(crate) parts: Option<Parts>,
    pub(crate) y: Slice,
    /// Whether the result's first reader can add up parts of it.
    pub(crate) reader_adds: bool,
}

/// Plans operations that do not depend on each other; convolutions among them share dispatches. Returns the parts left
/// for their reader to add up, if a sum was split.
pub(crate) fn plan(builder: &mut Builder, calls: Vec<Call>) -> Result<Option<Parts>> {
    let mut jobs = Vec::new();
    for call in calls {
        let (node, xs, y) = (call.node, &call.xs, &call.y);
        match call.op {
            Op::Input | Op::Picture(_) => {}
            Op::Add(op) => elementwise::plan_add(builder, node, op, &xs[0], &xs[1], y),
            Op::AffineActivation(op) => elementwise::plan_affine(builder, node, op, &xs[0], y)?,
            Op::AvgPool(op) => avg_pool::plan(builder, node, op, &xs[0], y),
            Op::Concat(_) => concat::plan(builder, node, xs, y)?,
            Op::Conv(conv) => jobs.push(Job::new(call, from_ref(conv), conv.activation)),
            Op::ConvSum(sum) => jobs.push(Job::new(call, &sum.terms, sum.activation)),
            // What they are lies there already.
            Op::Constant(_) | Op::Narrow(_) | Op::Reshape(_) => {}
            Op::Gather(op) => gather::plan(builder, node, op, [&xs[0], &xs[1]], y)?,
            Op::Matmul(op) => matmul::plan(builder, node, op, [&xs[0], &xs[1]], y)?,
            Op::Reduce(op) => reduce::plan(builder, node, op, &xs[0], y)?,
            Op::Resample(op) => resample::plan(builder, node, op, &xs[0], y)?,
            Op::TopK(op) => top_k::plan(builder, node, op, &xs[0], y),
            Op::GlobalPool(op) => global_pool::plan(builder, node, op, &xs[0], y),
            Op::Layout(_) => layout::plan_rows(builder, node, &xs[0], y),
            Op::Linear(op) => linear::plan(builder, node, op, &xs[0], y)?,
            Op::Map(op) => map::plan(builder, node, op, xs, y)?,
            Op::MaxPool(op) => max_pool::plan(builder, node, op, &xs[0], y),
            Op::MaxPoolCascade(op) => max_pool_cascade::plan(builder, node, op, &xs[0], call.parts.as_ref(), y)?,
            Op::Paint(op) => paint::plan(builder, node, op, &xs[0], call.textures.first(), y)?,
            Op::PyramidPool(op) => pyramid_pool::plan(builder, node, op, &xs[0], y)?,
            Op::Rearrange(op) => rearrange::plan(builder, node, op, &xs[0], y)?,
            Op::Resize(op) => resize::plan(builder, node, op, &xs[0], y),
            Op::Softmax(op) => softmax::plan(builder, node, op, &xs[0], y),
            Op::Texture(op) => texture::plan(builder, node, op, &call.textures, y),
        }
    }
    conv::plan(builder, jobs)
}

/// Where the channels of a narrowed map with these runs lie by themselves: the first in memory, and their runs. `None` if
/// others share their vec4s.
pub(crate) fn within(segments: &[u32], narrow: &Narrow) -> Option<(u32, Arc<[u32]>)> {
    let Narrow { start, channels } = *narrow;
    let end = start + channels;
    let (mut logical, mut physical) = (0, 0);
    for &run in segments {
        if (logical..logical + run).contains(&start) && end <= logical + run {
            let from = start - logical;
            let alone = from.is_multiple_of(4) && (channels.is_multiple_of(4) || end == logical + run);
            return alone.then(|| (physical + from, [channels].into()));
        }
        (logical, physical) = (logical + run, physical + padded(run));
    }
    None
}

/// Invocations per workgroup in kernels that compute one value each; every adapter allows it.
pub(crate) const WG_SIZE: u32 = 64;

/// The workgroups of a dispatch of `len` invocations.
pub(crate) fn workgroups(len: u32) -> u64 {
    u64::from(len.div_ceil(WG_SIZE))
}

/// Numbers, compiled into a kernel.
pub(crate) fn sizes<const N: usize>(sizes: [(&'static str, u32); N]) -> [(&'static str, Constant); N] {
    sizes.map(|(name, size)| (name, Constant::U32(size)))
}

/// An activation, compiled into a kernel.
pub(crate) fn activation(activation: Activation) -> [(&'static str, Constant); 3] {
    let [alpha, beta] = activation.parameters().map(Constant::F32);
    [("ACTIVATION", Constant::U32(activation.number())), ("ALPHA", alpha), ("BETA", beta)]
}

/// Binds `x` to be read and `y` to be written: once, if both lie in one buffer.
pub(crate) fn bind(step: Step, x: &Slice, y: &Slice) -> Step {
    let step = if x.buffer == y.buffer {
        step.within(x).piece(piece!("source_within"))
    } else {
        step.reads(2, x).piece(piece!("source_apart"))
    };
    step.writes(0, y)
}
