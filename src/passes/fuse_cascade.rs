//! Pass: pools side by side in a concatenation whose windows nest (5, 9, 13, chained or parallel) become one cascade.

use std::collections::HashMap;

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{MaxPool, MaxPoolCascade};

/// Operands `first .. first + times` of a concatenation, all pools of `root`.
struct Run {
    first: usize,
    times: usize,
    root: NodeId,
    kernel: u32,
}

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let mut runs: HashMap<NodeId, Vec<Run>> = HashMap::new();
    let mut absorbed = Vec::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if matches!(node.op, Op::Concat(_)) {
            let found = find(graph, id, &node.inputs)?;
            absorbed.extend(found.iter().flat_map(|run| &node.inputs[run.first..run.first + run.times]));
            runs.insert(id, found);
        }
    }
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        let mut next = 0;
        for run in runs.get(&id).into_iter().flatten() {
            inputs.extend(node.inputs[next..run.first].iter().map(|input| map[input]));
            let name = &graph.node(node.inputs[run.first])?.name;
            let cascade = MaxPoolCascade { kernel: run.kernel, times: run.times as u32 };
            inputs.push(new.max_pool_cascade(name.clone(), map[&run.root], cascade)?);
            next = run.first + run.times;
        }
        inputs.extend(node.inputs[next..].iter().map(|input| map[input]));
        new.copy(node, &inputs).map(Some)
    })
}

/// The radius of a stride-1 pool that keeps the extent.
fn radius(graph: &Graph, id: NodeId) -> Result<Option<(u32, NodeId)>> {
    let node = graph.node(id)?;
    let Op::MaxPool(pool) = node.op else { return Ok(None) };
    let keeps_extent = pool.kernel[0] % 2 == 1 && pool == MaxPool::same(pool.kernel[0]);
    Ok(keeps_extent.then_some((pool.kernel[0] / 2, node.inputs[0])))
}

/// Follows chained pools to what the first of them reads; radii add up.
fn root(graph: &Graph, mut id: NodeId) -> Result<(u64, NodeId)> {
    let mut total = 0;
    while let Some((radius, before)) = radius(graph, id)? {
        total += u64::from(radius);
        id = before;
    }
    Ok((total, id))
}

fn find(graph: &Graph, concat: NodeId, inputs: &[NodeId]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut first = 0;
    while first < inputs.len() {
        let (step, source) = root(graph, inputs[first])?;
        let mut times = 0;
        while step > 0 && first + times < inputs.len() {
            if root(graph, inputs[first + times])? != (step * (times as u64 + 1), source) {
                break;
            }
            times += 1;
        }
        let members = &inputs[first..first + times];
        if times >= 2 && only_read_by(graph, concat, members) {
            runs.push(Run { first, times, root: source, kernel: step as u32 * 2 + 1 });
            first += times;
        } else {
            first += 1;
        }
    }
    Ok(runs)
}

/// Whether nothing but the concatenation, once, and the members themselves read the members.
fn only_read_by(graph: &Graph, concat: NodeId, members: &[NodeId]) -> bool {
    let declared = graph.outputs().iter().any(|(_, id)| members.contains(id));
    let outside = graph.ids().zip(graph.nodes()).filter(|(id, _)| *id != concat && !members.contains(id));
    let read_outside = outside.flat_map(|(_, node)| &node.inputs).any(|id| members.contains(id));
    let in_concat = graph.nodes()[concat.index()].inputs.iter().filter(|id| members.contains(id)).count();
    !declared && !read_outside && in_concat == members.len()
}
