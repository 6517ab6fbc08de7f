//! Pass: pools side by side in a concatenation whose windows nest (5, 9, 13, chained or parallel) become one cascade.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{MaxPool, MaxPoolCascade};
use crate::tensor::Shape;

/// Operands `first .. first + times` of a concatenation, all pools of `root`.
struct Run {
    first: usize,
    times: usize,
    root: NodeId,
    cascade: MaxPoolCascade,
}

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let chains = Chain::of_all(graph);
    let reading = graph.reading();
    let mut runs: HashMap<NodeId, Vec<Run>> = HashMap::new();
    let mut absorbed: HashSet<NodeId> = HashSet::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if matches!(node.op, Op::Concat(_)) {
            let found = find(graph, &chains, &reading, id);
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
            inputs.push(new.max_pool_cascade(name.clone(), map[&run.root], run.cascade)?);
            next = run.first + run.times;
        }
        inputs.extend(node.inputs[next..].iter().map(|input| map[input]));
        new.copy(node, &inputs).map(Some)
    })
}

/// Chained pools that keep the extent, up to one node: one pool whose radius is the sum of theirs.
#[derive(Clone, Copy, PartialEq)]
struct Chain {
    radius: u64,
    /// What the first of them reads; the node itself if it is no such pool.
    root: NodeId,
}

impl Chain {
    /// That of each node.
    fn of_all(graph: &Graph) -> Vec<Self> {
        let mut chains: Vec<Self> = Vec::with_capacity(graph.nodes().len());
        for (id, node) in graph.ids().zip(graph.nodes()) {
            chains.push(match node.op {
                Op::MaxPool(pool) if pool.kernel[0] % 2 == 1 && pool == MaxPool::same(pool.kernel[0]) => {
                    let before = chains[node.inputs[0].index()];
                    Self { radius: before.radius + u64::from(pool.kernel[0] / 2), ..before }
                }
                _ => Self { radius: 0, root: id },
            });
        }
        chains
    }
}

fn find(graph: &Graph, chains: &[Chain], reading: &[Vec<NodeId>], concat: NodeId) -> Vec<Run> {
    let inputs = &graph.nodes()[concat.index()].inputs;
    let mut runs = Vec::new();
    let mut first = 0;
    while first < inputs.len() {
        let Chain { radius, root } = chains[inputs[first].index()];
        let nests = |(i, id): &(usize, &NodeId)| {
            chains[id.index()] == Chain { radius: radius * (*i as u64 + 1), root } && radius > 0
        };
        let times = inputs[first..].iter().enumerate().take_while(nests).count();
        let cascade = cascade(graph.nodes()[root.index()].shape, radius, times);
        match cascade {
            Some(cascade) if times >= 2 && only_read_by(graph, reading, concat, &inputs[first..first + times]) => {
                runs.push(Run { first, times, root, cascade });
                first += times;
            }
            _ => first += 1,
        }
    }
    runs
}

/// The cascade of `times` pools of this radius; `None` beyond what a cascade can be. A window that reaches from any
/// pixel to all others need not be larger.
fn cascade(x: Shape, radius: u64, times: usize) -> Option<MaxPoolCascade> {
    let kernel = radius.min(u64::from(x.h.max(x.w))) * 2 + 1;
    let cascade = MaxPoolCascade { kernel: kernel.try_into().ok()?, times: times.try_into().ok()? };
    cascade.output_shape("", x).is_ok().then_some(cascade)
}

/// Whether nothing but the concatenation, once, and the members themselves read the members.
fn only_read_by(graph: &Graph, reading: &[Vec<NodeId>], concat: NodeId, members: &[NodeId]) -> bool {
    let distinct: HashSet<&NodeId> = members.iter().collect();
    let declared = graph.outputs().iter().any(|(_, id)| distinct.contains(id));
    let mut readers = members.iter().flat_map(|id| &reading[id.index()]);
    let only = readers.all(|reader| *reader == concat || distinct.contains(reader));
    let in_concat = graph.nodes()[concat.index()].inputs.iter().filter(|id| distinct.contains(id)).count();
    !declared && only && in_concat == members.len()
}
