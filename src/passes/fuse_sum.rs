//! Pass: a tree of additions whose leaves are all convolutions becomes one sum of convolutions.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{Activation, Conv, ConvSum};

/// The most inputs that one dispatch can bind.
const MAX_INPUTS: usize = 3;

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    let mut sums: HashMap<NodeId, Vec<Leaf>> = HashMap::new();
    let mut absorbed: HashSet<NodeId> = HashSet::new();
    // From the roots of the trees down: an addition that is part of a larger tree is absorbed before its turn comes.
    for id in graph.ids().rev() {
        if let (Op::Add(_), false) = (&graph.node(id)?.op, absorbed.contains(&id)) {
            let mut tree = Tree { graph, readers: &readers, leaves: Vec::new(), inner: Vec::new() };
            if tree.collect(id, 1.0, true)? && tree.inputs() <= MAX_INPUTS {
                absorbed.extend(tree.inner.iter().filter(|&&inner| inner != id));
                absorbed.extend(tree.leaves.iter().map(|leaf| leaf.conv));
                sums.insert(id, tree.leaves);
            }
        }
    }
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        let (Op::Add(add), Some(leaves)) = (&node.op, sums.get(&id)) else {
            return new.copy_mapped(node, map).map(Some);
        };
        let (mut inputs, mut terms) = (Vec::new(), Vec::new());
        for leaf in leaves {
            let before = graph.node(leaf.conv)?;
            if let Op::Conv(conv) = &before.op {
                inputs.push(map[&before.inputs[0]]);
                terms.push(Conv { scale: conv.scale * leaf.scale, ..conv.clone() });
            }
        }
        let sum = ConvSum { terms, activation: add.activation };
        new.conv_sum(node.name.clone(), &inputs, sum).map(Some)
    })
}

/// A convolution and what its result is multiplied by.
struct Leaf {
    conv: NodeId,
    scale: f32,
}

struct Tree<'a> {
    graph: &'a Graph,
    readers: &'a [usize],
    leaves: Vec<Leaf>,
    inner: Vec<NodeId>,
}

impl Tree<'_> {
    /// Whether all of the tree is additions and convolutions that nothing else reads.
    fn collect(&mut self, id: NodeId, scale: f32, root: bool) -> Result<bool> {
        let node = self.graph.node(id)?;
        if !root && self.readers[id.index()] != 1 {
            return Ok(false);
        }
        if let Op::Add(add) = &node.op
            && (root || add.activation == Activation::None)
        {
            self.inner.push(id);
            return Ok(self.collect(node.inputs[0], scale * add.scale, false)?
                && self.collect(node.inputs[1], scale, false)?);
        }
        let is_leaf = node.bare_conv().is_some_and(|conv| conv.groups == 1);
        if is_leaf {
            self.leaves.push(Leaf { conv: id, scale });
        }
        Ok(is_leaf)
    }

    fn inputs(&self) -> usize {
        let nodes = self.graph.nodes();
        let inputs: HashSet<NodeId> = self.leaves.iter().map(|leaf| nodes[leaf.conv.index()].inputs[0]).collect();
        inputs.len()
    }
}
