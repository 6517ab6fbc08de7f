//! Pass: a tree of additions whose leaves are all convolutions becomes one sum of convolutions.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{Activation, Add, Conv, ConvSum};

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let trees = Trees::of(graph);
    let mut sums: HashMap<NodeId, Tree> = HashMap::new();
    let mut absorbed: HashSet<NodeId> = HashSet::new();
    // From the roots of the trees down: an addition that is part of a larger tree is absorbed before its turn comes.
    for id in graph.ids().rev() {
        if !absorbed.contains(&id)
            && let Some(tree) = trees.at(id)
        {
            absorbed.extend(&tree.inner);
            absorbed.extend(tree.leaves.iter().map(|leaf| leaf.id));
            sums.insert(id, tree);
        }
    }
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        let (Op::Add(add), Some(tree)) = (&node.op, sums.remove(&id)) else {
            return new.copy_mapped(node, map).map(Some);
        };
        let inputs: Vec<NodeId> = tree.leaves.iter().map(|leaf| map[&leaf.x]).collect();
        let terms = tree.leaves.into_iter().map(|leaf| leaf.conv).collect();
        new.conv_sum(node.name.clone(), &inputs, ConvSum { terms, activation: add.activation }).map(Some)
    })
}

/// The sum of an addition's leaves.
struct Tree {
    leaves: Vec<Leaf>,
    /// The additions below.
    inner: Vec<NodeId>,
}

/// A convolution, multiplied by what stands before it in the sum, and what it reads.
struct Leaf {
    id: NodeId,
    x: NodeId,
    conv: Conv,
}

impl Tree {
    /// Whether the sum of the biases, which comes before all products, is one that `f32` holds.
    fn biases_fit(&self) -> bool {
        let channels = self.leaves.first().map_or(0, |leaf| leaf.conv.weight.shape().n as usize);
        let mut sums = vec![0.0; channels];
        for Leaf { conv, .. } in &self.leaves {
            for (sum, bias) in sums.iter_mut().zip(conv.bias.iter().flat_map(|bias| bias.iter())) {
                *sum += f64::from((bias * conv.scale).abs());
            }
        }
        sums.into_iter().all(|sum| !sum.is_finite() || (sum as f32).is_finite())
    }
}

struct Trees<'a> {
    graph: &'a Graph,
    /// For each node: whether it is a convolution, or an addition of such and of nothing else, that one node reads.
    is_part: Vec<bool>,
}

impl<'a> Trees<'a> {
    fn of(graph: &'a Graph) -> Self {
        let mut is_part: Vec<bool> = Vec::with_capacity(graph.nodes().len());
        for (node, readers) in graph.nodes().iter().zip(graph.readers()) {
            let adds = matches!(&node.op, Op::Add(Add { activation: Activation::None, .. }));
            let of_parts = adds && node.inputs.iter().all(|input| is_part[input.index()]);
            let is_leaf = node.bare_conv().is_some_and(|conv| conv.groups == 1);
            is_part.push(readers == 1 && (is_leaf || of_parts));
        }
        Self { graph, is_part }
    }

    /// The tree of the addition `root`; `None` if it is no addition of parts, or the factors before a convolution cannot
    /// be folded into its weights.
    fn at(&self, root: NodeId) -> Option<Tree> {
        let nodes = self.graph.nodes();
        let mut tree = Tree { leaves: Vec::new(), inner: Vec::new() };
        let Op::Add(add) = &nodes[root.index()].op else { return None };
        let operands = |id: NodeId, add: &Add, factor: f64| {
            let inputs = &nodes[id.index()].inputs;
            [(inputs[1], factor), (inputs[0], factor * f64::from(add.scale))]
        };
        let mut rest = operands(root, add, 1.0).to_vec();
        while let Some((id, factor)) = rest.pop() {
            let node = &nodes[id.index()];
            match &node.op {
                _ if !self.is_part[id.index()] => return None,
                Op::Add(add) => {
                    tree.inner.push(id);
                    rest.extend(operands(id, add, factor));
                }
                Op::Conv(conv) => {
                    let factor = f64::from(conv.scale) * factor;
                    let conv = Conv { scale: factor as f32, ..conv.clone() };
                    let is_exact = conv.scale.is_normal() || factor == 0.0;
                    if !is_exact || !conv.can_fold(|_| (factor, 0.0)) {
                        return None;
                    }
                    tree.leaves.push(Leaf { id, x: node.inputs[0], conv });
                }
                _ => return None,
            }
        }
        tree.biases_fit().then_some(tree)
    }
}
