//! Pass: a convolution adds the other summand itself: `act(scale * conv + residual)`.

use std::collections::HashMap;

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{Add, Conv};

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    // For each addition: the convolution that takes it over, and the other summand.
    let mut fused: HashMap<NodeId, (NodeId, NodeId)> = HashMap::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if let (Op::Add(add), &[a, b]) = (&node.op, node.inputs.as_slice()) {
            let takes_over = |id: NodeId| -> Result<bool> {
                let takes = |conv: &Conv| conv.scale == 1.0 && conv.can_fold(|_| (add.scale.into(), 0.0));
                Ok(readers[id.index()] == 1 && graph.node(id)?.bare_conv().is_some_and(takes))
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
                let conv = Conv { scale: *scale, activation: *activation, ..conv.clone() };
                return new.conv_add(before.name.clone(), map[&before.inputs[0]], map[residual], conv).map(Some);
            }
        }
        new.copy_mapped(node, map).map(Some)
    })
}
