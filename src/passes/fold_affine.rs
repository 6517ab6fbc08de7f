//! Pass: a convolution takes over the scale, shift and activation after it. Folded in `f64`, rounded once, if `f32` can
//! hold the products.

use std::collections::HashMap;

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{AffineActivation, Conv};

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    // For each affine that can be folded: the convolution before it.
    let mut folds: HashMap<NodeId, NodeId> = HashMap::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if let (Op::AffineActivation(affine), [before]) = (&node.op, node.inputs.as_slice())
            && let Some(conv) = graph.node(*before)?.bare_conv()
            && readers[before.index()] == 1
            && conv.scale == 1.0
            && conv.can_fold(|o| (affine.scale[o], affine.shift[o]))
        {
            folds.insert(id, *before);
        }
    }
    let absorbed: Vec<NodeId> = folds.values().copied().collect();
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        if let (Op::AffineActivation(affine), Some(before)) = (&node.op, folds.get(&id)) {
            let before = graph.node(*before)?;
            if let Op::Conv(conv) = &before.op {
                let folded = fold(conv, affine)?;
                return new.conv(before.name.clone(), map[&before.inputs[0]], folded).map(Some);
            }
        }
        new.copy_mapped(node, map).map(Some)
    })
}

fn fold(conv: &Conv, affine: &AffineActivation) -> Result<Conv> {
    let bias = (0..affine.scale.len()).map(|o| {
        let bias = conv.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]));
        (bias * affine.scale[o] + affine.shift[o]) as f32
    });
    let bias = Some(bias.collect());
    Ok(Conv { weight: conv.weight.scaled(&affine.scale)?, bias, activation: affine.activation, ..conv.clone() })
}
