//! Pass: the order in which nodes are computed. Convolutions at the same depth come together, so that one dispatch
//! computes them all.

use crate::graph::{Graph, NodeId, Op};
use crate::tensor::Precision;

/// Batches in order: convolutions that do not depend on each other and store the same, or a single node.
pub(super) fn run(graph: &Graph, precisions: &[Precision], enabled: bool) -> Vec<Vec<NodeId>> {
    if !enabled {
        return graph.ids().map(|id| vec![id]).collect();
    }
    let depths = depths(graph);
    let is_conv = |id: &NodeId| matches!(graph.nodes()[id.index()].op, Op::Conv(_) | Op::ConvSum(_));
    let mut levels: Vec<Vec<NodeId>> = vec![Vec::new(); depths.iter().max().map_or(0, |deepest| deepest + 1)];
    for id in graph.ids() {
        levels[depths[id.index()]].push(id);
    }
    let batches = levels.into_iter().flat_map(|level| {
        let (convs, others): (Vec<NodeId>, Vec<NodeId>) = level.into_iter().partition(is_conv);
        let (wide, narrow): (Vec<NodeId>, Vec<NodeId>) =
            convs.into_iter().partition(|id| precisions[id.index()] == Precision::F32);
        // A concatenation is as deep as its operands: it comes after them.
        [wide, narrow].into_iter().filter(|convs| !convs.is_empty()).chain(others.into_iter().map(|id| vec![id]))
    });
    batches.collect()
}

/// How many dispatches each node waits for, one after the other. Inputs, constants, and what may cost nothing count as
/// none.
fn depths(graph: &Graph) -> Vec<usize> {
    let mut depths: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let is_free = matches!(node.op, Op::Concat(_) | Op::Constant(_) | Op::Narrow(_) | Op::Reshape(_));
        let deepest = node.inputs.iter().map(|id| depths[id.index()]).max().unwrap_or(0);
        depths.push(deepest + usize::from(!(node.op.is_input() || is_free)));
    }
    depths
}
