//! Whether a model keeps the images of a batch apart. Files that were exported for one image may have its batch in a
//! Reshape, or look up the first image's boxes for all, and would mix images without a word.
//!
//! A tensor's values lie image by image, so those of one image are a block of it. Each node must compute a block of its
//! result from the same block of what it reads, in the same way for each, and as it does for the file's own batch.

use crate::graph::{Node, NodeId, Op};
use crate::onnx::{Model, Port};
use crate::ops::{Axis, Gather, Map, Matmul, SoftmaxAxis, Strided, Walk, span};
use crate::tensor::Shape;

/// What a node's result holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Holds {
    /// Values of each image.
    Images,
    /// The same for all images; perhaps in as many blocks that are alike.
    Same { in_blocks: bool },
}

/// Errors: the first node of `model`, of a batch of `to`, that does not keep images apart, or computes something else of
/// each than in `alone`, of a batch of `from`.
pub(super) fn kept_apart(alone: &Model, model: &Model, [from, to]: [u32; 2]) -> Result<(), String> {
    let blocks = if to.is_multiple_of(from) { to / from } else { to };
    let graph = &model.graph;
    let is_batched = |port: &Port| port.dims.first().is_some_and(|n| n % blocks == 0);
    let mut of_alone = alone.graph.nodes().iter().filter(|node| !only_moves(&node.op));
    let mut holds: Vec<Holds> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let of = |id: &NodeId| (holds[id.index()], graph.nodes()[id.index()].shape);
        let operands: Vec<(Holds, Shape)> = node.inputs.iter().map(of).collect();
        let of_node = match &node.op {
            Op::Input if model.inputs.iter().any(|port| port.name == node.name && is_batched(port)) => Holds::Images,
            Op::Constant(constant) => {
                let values = constant.value.data();
                let mut parts = values.chunks(values.len().div_ceil(blocks as usize).max(1));
                let first = parts.next();
                let in_blocks = values.len().is_multiple_of(blocks as usize) && parts.all(|part| Some(part) == first);
                Holds::Same { in_blocks }
            }
            _ if operands.iter().all(|(holds, _)| *holds != Holds::Images) => Holds::Same { in_blocks: false },
            _ if is_kept_apart(node, &operands, blocks) => Holds::Images,
            op => return Err(format!("{} '{}'", op.stem(), node.name)),
        };
        let batch = if of_node == Holds::Images { [from, to] } else { [1; 2] };
        if !only_moves(&node.op) && !of_alone.next().is_some_and(|own| computes_alike(own, node, batch)) {
            return Err(format!("{} '{}'", node.op.stem(), node.name));
        }
        holds.push(of_node);
    }
    for (port, (_, id)) in model.outputs.iter().zip(graph.outputs()) {
        if holds[id.index()] == Holds::Images && !is_batched(port) {
            return Err(format!("output '{}' {:?}", port.name, port.dims));
        }
    }
    Ok(())
}

/// What a walk of another form may need, or not.
const fn only_moves(op: &Op) -> bool {
    matches!(op, Op::Constant(_) | Op::Concat(_) | Op::Narrow(_) | Op::Rearrange(_) | Op::Reshape(_))
}

/// Whether two nodes make as much for each image, by sums and the like over as many values.
fn computes_alike(own: &Node, node: &Node, [from, to]: [u32; 2]) -> bool {
    node.shape.len() * u64::from(from) == own.shape.len() * u64::from(to)
        && match (&own.op, &node.op) {
            (Op::Softmax(own), Op::Softmax(op)) => own == op,
            (Op::TopK(own), Op::TopK(op)) => (own.k, own.len, own.inner) == (op.k, op.len, op.inner),
            (Op::Reduce(own), Op::Reduce(op)) => own.over == op.over,
            (Op::Gather(own), Op::Gather(op)) => (own.extent, own.stride) == (op.extent, op.stride),
            (own, op) => own.stem() == op.stem(),
        }
}

fn is_kept_apart(node: &Node, operands: &[(Holds, Shape)], blocks: u32) -> bool {
    let y = node.shape;
    let divides = |shape: Shape| shape.len().is_multiple_of(blocks.into());
    // Layers compute image by image.
    let of_image = |&(holds, x): &(Holds, Shape)| match holds {
        Holds::Images => x.n.is_multiple_of(blocks),
        Holds::Same { in_blocks } => in_blocks && x.n.is_multiple_of(blocks),
    };
    // An image is made of whole rows of `len * inner` values.
    let in_rows = |len: u32, inner: u32| {
        let row = u64::from(len) * u64::from(inner);
        operands.iter().all(|&(_, x)| divides(x) && (x.len() / u64::from(blocks)).is_multiple_of(row))
    };
    divides(y)
        && match &node.op {
            Op::Add(_)
            | Op::AffineActivation(_)
            | Op::AvgPool(_)
            | Op::Concat(_)
            | Op::Conv(_)
            | Op::ConvSum(_)
            | Op::GlobalPool(_)
            | Op::Linear(_)
            | Op::MaxPool(_)
            | Op::MaxPoolCascade(_)
            | Op::Narrow(_)
            | Op::PyramidPool(_)
            | Op::Resample(_)
            | Op::Resize(_) => y.n.is_multiple_of(blocks) && operands.iter().all(of_image),
            Op::Reshape(_) => true,
            Op::Softmax(softmax) => match softmax.axis {
                SoftmaxAxis::Channels | SoftmaxAxis::Columns => operands.iter().all(of_image),
                SoftmaxAxis::Values { len, inner } => in_rows(len, inner),
            },
            Op::TopK(top) => in_rows(top.len, top.inner),
            Op::Rearrange(copy) => {
                let steps = Steps { offset: copy.offset, axes: &copy.axes, beside: ALONE };
                operands.iter().all(|&operand| steps.keep(operand, blocks))
            }
            Op::Map(map) => is_map_kept_apart(map, y, operands, blocks),
            Op::Reduce(reduce) => {
                let beside = span(0, reduce.over.iter().map(Axis::reach));
                operands.iter().all(|&operand| strided(&reduce.kept, beside, operand, blocks))
            }
            Op::Matmul(matmul) => are_products_kept_apart(matmul, operands, blocks),
            Op::Gather(gather) => is_lookup_kept_apart(gather, operands, blocks),
            _ => false,
        }
}

fn is_map_kept_apart(map: &Map, y: Shape, operands: &[(Holds, Shape)], blocks: u32) -> bool {
    map.walks.iter().zip(operands).all(|(walk, &(holds, x))| match walk {
        Some(walk) => strided(walk, ALONE, (holds, x), blocks),
        None if x.len() == 1 => holds != Holds::Images,
        None if x == y && holds != (Holds::Same { in_blocks: false }) => true,
        None if !y.n.is_multiple_of(blocks) => false,
        None if x.n == 1 => holds != Holds::Images,
        None => holds != Holds::Same { in_blocks: false },
    })
}

fn are_products_kept_apart(matmul: &Matmul, operands: &[(Holds, Shape)], blocks: u32) -> bool {
    let (Ok((batch, [rows, ..])), &[a, b]) = (matmul.extents(""), operands) else { return false };
    // Images are matrices, or rows of one that is multiplied by what is the same for all.
    if batch.iter().all(|&extent| extent == 1) {
        return rows.is_multiple_of(blocks) && b.0 != Holds::Images && strided(&matmul.a, ALONE, a, blocks);
    }
    strided(&matmul.a, ALONE, a, blocks) && strided(&matmul.b, ALONE, b, blocks)
}

fn is_lookup_kept_apart(gather: &Gather, operands: &[(Holds, Shape)], blocks: u32) -> bool {
    let &[x, indices] = operands else { return false };
    let last = i128::from(gather.stride) * (i128::from(gather.extent) - 1);
    strided(&gather.x, [0, last], x, blocks) && strided(&gather.indices, ALONE, indices, blocks)
}

fn strided(walk: &Strided, beside: [i128; 2], operand: (Holds, Shape), blocks: u32) -> bool {
    let axes: Vec<Walk> = walk.axes.iter().copied().map(Walk::Steps).collect();
    Steps { offset: walk.offset, axes: &axes, beside }.keep(operand, blocks)
}

/// Nothing is read beside the value of a step.
const ALONE: [i128; 2] = [0; 2];

/// A walk over an operand.
struct Steps<'a> {
    offset: u32,
    axes: &'a [Walk],
    /// What is read beside the value of each step: from so many values after it to so many.
    beside: [i128; 2],
}

impl Steps<'_> {
    /// Whether its blocks of steps are alike, each over a block of the operand, or all over what is the same.
    fn keep(&self, (holds, x): (Holds, Shape), blocks: u32) -> bool {
        let Some(at) = self.axes.iter().position(|axis| axis.extent() != 1) else { return false };
        let outer = &self.axes[at];
        if !outer.extent().is_multiple_of(blocks.into()) || outer.extent() == 0 {
            return false;
        }
        let steps = outer.extent() / u64::from(blocks);
        let (shift, image) = match outer {
            Walk::Steps(axis) => {
                (steps as i64 * i64::from(axis.stride), Walk::Steps(Axis { extent: steps as u32, ..*axis }))
            }
            Walk::Places(places) => {
                let mut images = places.chunks(steps as usize);
                let (Some(first), Some(second)) = (images.next(), images.next()) else { return false };
                let pairs = first.iter().zip(second).find_map(|(&first, &second)| first.zip(second));
                let Some((here, next)) = pairs else { return false };
                let shift = i64::from(next) - i64::from(here);
                let moved = |place: &Option<u32>, by: i64| place.map(|place| i64::from(place) + by);
                let is_moved = |(image, others): (usize, &[Option<u32>])| {
                    let by = shift * image as i64;
                    first.iter().zip(others).all(|(first, other)| moved(first, by) == moved(other, 0))
                };
                if !places.chunks(steps as usize).enumerate().all(is_moved) {
                    return false;
                }
                (shift, Walk::Places(first.into()))
            }
        };
        let block = (x.len() / u64::from(blocks)) as i64;
        let inner = self.axes.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, axis)| axis);
        let [least, most] = span(self.offset, inner.chain([&image]).map(Walk::reach));
        let [before, after] = self.beside;
        let within = least + before >= 0 && most + after < block.into();
        let in_blocks = shift == block && within && x.len().is_multiple_of(blocks.into());
        match holds {
            Holds::Images => in_blocks,
            Holds::Same { in_blocks: alike } => shift == 0 || alike && in_blocks,
        }
    }
}
