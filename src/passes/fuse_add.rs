//! Pass: a convolution adds the other summand itself: `act(scale * conv + residual)`, or, if the addition does nothing
//! else, `act(conv) + residual`.

use std::collections::HashMap;

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{Activation, Add, Conv};

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    // For each addition: the convolution that takes it over, and the other summand.
    let mut fused: HashMap<NodeId, (NodeId, NodeId)> = HashMap::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if let (Op::Add(add), &[a, b]) = (&node.op, node.inputs.as_slice()) {
            let adds_only = *add == Add { scale: 1.0, activation: Activation::None };
            let takes_over = |id: NodeId| -> Result<bool> {
                let node = graph.node(id)?;
                let Op::Conv(conv) = &node.op else { return Ok(false) };
                let alone = readers[id.index()] == 1 && node.inputs.len() == 1 && conv.scale == 1.0;
                let takes = conv.activation == Activation::None && conv.can_fold(|_| (add.scale.into(), 0.0));
                Ok(alone && (takes || adds_only))
            };
            if takes_over(a)? {
                fused.insert(id, (a, b));
            } else if add.scale == 1.0 && takes_over(b)? {
                fused.insert(id, (b, a));
            }
        }
    }
    let absorbed: Vec<NodeId> = fused.values().map(|&(conv, _)| conv).collect();
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        if let (Op::Add(Add { scale, activation }), Some((before, residual))) = (&node.op, fused.get(&id)) {
            let before = graph.node(*before)?;
            if let Op::Conv(conv) = &before.op {
                let conv = if conv.activation == Activation::None {
                    Conv { scale: *scale, activation: *activation, ..conv.clone() }
                } else {
                    Conv { adds_last: true, ..conv.clone() }
                };
                return new.conv_add(before.name.clone(), map[&before.inputs[0]], map[residual], conv).map(Some);
            }
        }
        new.copy_mapped(node, map).map(Some)
    })
}
