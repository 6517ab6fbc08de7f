//! What to compute: nodes in the order they were added, each with its inferred shape.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};
use crate::ops::{self, Activation, Concat, Constant, Conv, Operand, Weight, operations};
use crate::tensor::Shape;

mod cost;
pub(crate) mod draw;
mod pictures;
mod resized;

pub use crate::ops::Op;
pub use cost::GraphCost;

/// The most nodes a graph may hold.
pub const MAX_NODES: usize = 65_536;

/// The most outputs of a graph: whatever asks for one looks through them all.
pub const MAX_OUTPUTS: usize = 4096;

/// A node of one graph; other graphs refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    graph: u32,
    index: u32,
}

impl NodeId {
    /// Position among the nodes of its graph.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// One step of the computation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique in its graph; errors, plans and profiles use it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Where its operands come from: always earlier nodes.
    pub inputs: Vec<NodeId>,
    /// The shape of its result.
    pub shape: Shape,
}

impl Node {
    /// The convolution of a node without activation or residual, whatever its scale. Passes may absorb it.
    pub(crate) fn bare_conv(&self) -> Option<&Conv> {
        let Op::Conv(conv) = &self.op else { return None };
        (conv.activation == Activation::None && self.inputs.len() == 1).then_some(conv)
    }
}

/// A computation under construction. Every builder method infers and checks the shape and returns a handle:
///
/// ```
/// use spp_wgpu::{Graph, Shape, ops::MaxPool};
/// let mut graph = Graph::new();
/// let x = graph.input("x", Shape::new(1, 64, 20, 20))?;
/// let y = graph.max_pool("pool", x, MaxPool::same(5))?;
/// graph.output("y", y)?;
/// # Ok::<(), spp_wgpu::Error>(())
/// ```
///
/// A clone is another graph: it refuses the handles of the first, since either may add nodes of its own. Its handles are
/// those of [`Graph::ids`], in the same order: `clone.ids().nth(handle.index())`.
#[derive(Debug)]
pub struct Graph {
    id: u32,
    nodes: Vec<Node>,
    names: HashSet<String>,
    outputs: Vec<(String, NodeId)>,
    /// For a node of [`Graph::resize_like`], the one whose extent it has; both by position.
    likes: HashMap<usize, usize>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Graph {
    fn clone(&self) -> Self {
        let mut clone = Self { names: self.names.clone(), likes: self.likes.clone(), ..Self::new() };
        let own = |id: &NodeId| NodeId { graph: clone.id, ..*id };
        let node = |node: &Node| Node { inputs: node.inputs.iter().map(own).collect(), ..node.clone() };
        let nodes = self.nodes.iter().map(node).collect();
        let outputs = self.outputs.iter().map(|(name, id)| (name.clone(), own(id))).collect();
        (clone.nodes, clone.outputs) = (nodes, outputs);
        clone
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, nodes: Vec::new(), names: HashSet::new(), outputs: Vec::new(), likes: HashMap::new() }
    }

    /// All nodes; a node's inputs stand before it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Handles of all nodes, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        let graph = self.id;
        (0..self.nodes.len() as u32).map(move |index| NodeId { graph, index })
    }

    /// The node behind a handle. Errors: a handle of another graph.
    pub fn node(&self, id: NodeId) -> Result<&Node> {
        match self.nodes.get(id.index()) {
            Some(node) if id.graph == self.id => Ok(node),
            _ => Err(Error::Graph(
                "a node handle of another graph was used; handles belong to the graph that made them".into(),
            )),
        }
    }

    /// The shape of a node's result. Errors: a handle of another graph.
    pub fn shape(&self, id: NodeId) -> Result<Shape> {
        self.node(id).map(|node| node.shape)
    }

    /// Named results, in the order they were declared.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// Input nodes, in the order they were declared.
    pub fn inputs(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.ids().zip(&self.nodes).filter(|(_, node)| node.op.is_input())
    }

    /// Declares a tensor that every run is given, NCHW. Errors: a name that is taken or empty, a zero extent other than
    /// `n`, too many elements or nodes.
    pub fn input(&mut self, name: impl Into<String>, shape: Shape) -> Result<NodeId> {
        let name = name.into();
        let shape = shape.check(&format!("input '{name}'"));
        self.push(name, Op::Input, &[], shape)
    }

    /// Declares a result under a name of its own. Errors: a foreign handle, a name already given to an output, a
    /// picture that is an input, a painted one that is an output already, too many outputs.
    pub fn output(&mut self, name: impl Into<String>, id: NodeId) -> Result<()> {
        let node = self.node(id)?;
        let again = self.outputs.iter().any(|(_, other)| *other == id);
        if matches!(node.op, Op::Picture(_)) || (again && matches!(node.op, Op::Paint(_))) {
            return Err(Error::Graph(format!(
                "'{}' is in a texture that is bound once: it cannot be this output",
                node.name
            )));
        }
        let name = name.into();
        if self.outputs.len() >= MAX_OUTPUTS {
            return Err(Error::Graph(format!("more than {MAX_OUTPUTS} outputs; concatenate some of them")));
        }
        if self.outputs.iter().any(|(other, _)| *other == name) {
            return Err(Error::Graph(format!("output '{name}' is declared twice")));
        }
        self.outputs.push((name, id));
        Ok(())
    }

    /// Adds `op` applied to `inputs`; the methods named after operations do the same. Errors: a name that is taken or
    /// empty, a foreign handle, operands that the operation refuses, textures where tensors are needed, an
    /// [`Op::Input`] or [`Op::Picture`], too many nodes.
    pub fn apply(&mut self, name: impl Into<String>, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let op = op.into();
        let Some(operation) = op.operation() else {
            return Err(Error::Graph("an input is declared by Graph::input or Graph::picture".into()));
        };
        let nodes = inputs.iter().map(|&id| self.node(id)).collect::<Result<Vec<_>>>()?;
        let name = name.into();
        for node in &nodes {
            let refused =
                |reason: &str| Err(Error::Graph(format!("{} '{name}' reads '{}': {reason}", op.stem(), node.name)));
            match node.op {
                Op::Paint(_) => return refused("what is painted is in a texture, which only an output is"),
                Op::Picture(_) if !matches!(op, Op::Texture(_) | Op::Paint(_)) => {
                    return refused("it is in a texture; Graph::texture makes a tensor of it");
                }
                _ => {}
            }
        }
        let operands =
            nodes.iter().map(|node| Operand { name: &node.name, shape: node.shape, texels: node.op.texels() });
        let operands: Vec<_> = operands.collect();
        let shape = operation.shape(&format!("{} '{name}'", op.stem()), &operands);
        self.push(name, op, inputs, shape)
    }

    /// `act(scale * conv(x) + residual)`, or `act(scale * conv(x)) + residual`: see [`Conv`], also for the residual's shape.
    /// Errors: a residual of any other shape, and those of [`Graph::apply`].
    pub fn conv_add(&mut self, name: impl Into<String>, x: NodeId, residual: NodeId, conv: Conv) -> Result<NodeId> {
        self.apply(name, conv, &[x, residual])
    }

    /// Adds a node: see [`Concat`]. Errors: those of [`Graph::apply`].
    pub fn concat(&mut self, name: impl Into<String>, inputs: &[NodeId]) -> Result<NodeId> {
        self.apply(name, Concat, inputs)
    }

    /// Adds values that are part of the graph. Errors: a name that is taken or empty, too many nodes.
    pub fn constant(&mut self, name: impl Into<String>, value: impl Into<Weight>) -> Result<NodeId> {
        self.apply(name, Constant { value: value.into() }, &[])
    }

    /// Checks what only the whole graph can tell. Errors: no output, a node that leads to none.
    pub fn check(&self) -> Result<()> {
        if self.outputs.is_empty() {
            return Err(Error::Graph("no output is declared; call Graph::output".into()));
        }
        match self.nodes.iter().zip(self.used()).rev().find(|(_, used)| !used) {
            Some((Node { name, .. }, _)) => {
                Err(Error::Graph(format!("node '{name}' leads to no output; declare it as one or leave it out")))
            }
            None => Ok(()),
        }
    }

    /// For each node, how many nodes and outputs read it.
    pub(crate) fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        let operands = self.nodes.iter().flat_map(|node| &node.inputs);
        for id in operands.chain(self.outputs.iter().map(|(_, id)| id)) {
            readers[id.index()] += 1;
        }
        readers
    }

    /// For each node, the nodes that read it: each once, in order.
    pub(crate) fn reading(&self) -> Vec<Vec<NodeId>> {
        let mut reading: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.ids().zip(&self.nodes) {
            for input in &node.inputs {
                let readers = &mut reading[input.index()];
                if readers.last() != Some(&id) {
                    readers.push(id);
                }
            }
        }
        reading
    }

    /// Rebuilds the graph: `rewrite` adds each node's replacement to the new graph, given the operands' new handles, or
    /// skips it (`None`) if a later node absorbs it. What then leads to no output is left out, inputs aside.
    pub(crate) fn rewritten(
        &self,
        mut rewrite: impl FnMut(&mut Graph, NodeId, &Node, &HashMap<NodeId, NodeId>) -> Result<Option<NodeId>>,
    ) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut map = HashMap::new();
        for (id, node) in self.ids().zip(&self.nodes) {
            if let Some(new) = rewrite(&mut graph, id, node, &map)? {
                map.insert(id, new);
            }
        }
        for (name, id) in &self.outputs {
            let Some(&new) = map.get(id) else {
                return Err(Error::Graph(format!("output '{name}' was absorbed by a pass")));
            };
            graph.output(name.clone(), new)?;
        }
        graph.without_dead_ends()
    }

    fn without_dead_ends(self) -> Result<Self> {
        let used = self.used();
        if self.nodes.iter().zip(&used).all(|(node, used)| *used || node.op.is_input()) {
            return Ok(self);
        }
        self.rewritten(|graph, id, node, map| {
            let kept = used[id.index()] || node.op.is_input();
            if kept { graph.copy_mapped(node, map).map(Some) } else { Ok(None) }
        })
    }

    /// For each node, whether it leads to an output.
    fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.nodes.len()];
        for (_, id) in &self.outputs {
            used[id.index()] = true;
        }
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if used[index] {
                node.inputs.iter().for_each(|input| used[input.index()] = true);
            }
        }
        used
    }

    /// Adds a copy of another graph's node; the operands are this graph's.
    pub(crate) fn copy(&mut self, node: &Node, inputs: &[NodeId]) -> Result<NodeId> {
        self.push(node.name.clone(), node.op.clone(), inputs, Ok(node.shape))
    }

    /// Adds a copy of another graph's node, its operands looked up among those already copied.
    pub(crate) fn copy_mapped(&mut self, node: &Node, map: &HashMap<NodeId, NodeId>) -> Result<NodeId> {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| map[input]).collect();
        self.copy(node, &inputs)
    }

    fn push(&mut self, name: String, op: Op, inputs: &[NodeId], shape: Result<Shape>) -> Result<NodeId> {
        if name.is_empty() || self.names.contains(&name) {
            return Err(Error::Graph(format!("a node's name must be unique and must not be empty: '{name}'")));
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(Error::Graph(format!("more than {MAX_NODES} nodes")));
        }
        let shape = shape?;
        let id = NodeId { graph: self.id, index: self.nodes.len() as u32 };
        self.names.insert(name.clone());
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(id)
    }
}

/// A builder method for each operation; those of [`Concat`] and [`Constant`] are written out above.
macro_rules! builder {
    ($stem:ident $Op:ident ()) => {};
    ($stem:ident $Op:ident ($($x:ident),*)) => {
        #[doc = concat!("Adds a node: see [`", stringify!($Op), "`](ops::", stringify!($Op), "). Errors: those of [`Graph::apply`].")]
        pub fn $stem(&mut self, name: impl Into<String>, $($x: NodeId,)* op: ops::$Op) -> Result<NodeId> {
            self.apply(name, op, &[$($x),*])
        }
    };
    ($stem:ident $Op:ident [$inputs:ident]) => {
        #[doc = concat!("Adds a node: see [`", stringify!($Op), "`](ops::", stringify!($Op), "). Errors: those of [`Graph::apply`].")]
        pub fn $stem(&mut self, name: impl Into<String>, $inputs: &[NodeId], op: ops::$Op) -> Result<NodeId> {
            self.apply(name, op, $inputs)
        }
    };
}

macro_rules! builders {
    ($($stem:ident: $Op:ident $operands:tt),* $(,)?) => {
        impl Graph {
            $(builder!($stem $Op $operands);)*
        }
    };
}
operations!(builders);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::MaxPool;

    fn x(graph: &mut Graph) -> NodeId {
        graph.input("x", Shape::new(1, 8, 6, 5)).unwrap()
    }

    #[test]
    fn a_handle_of_another_graph_is_refused() {
        let (mut a, mut b) = (Graph::new(), Graph::new());
        let foreign = x(&mut a);
        x(&mut b);
        assert!(matches!(b.max_pool("p", foreign, MaxPool::same(3)), Err(Error::Graph(_))));
        assert!(matches!(b.output("y", foreign), Err(Error::Graph(_))));
    }

    #[test]
    fn a_clone_is_a_graph_of_its_own_with_handles_in_the_same_order() {
        let mut a = Graph::new();
        let input = x(&mut a);
        let pool = a.max_pool("p", input, MaxPool::same(3)).unwrap();
        a.output("y", pool).unwrap();
        let mut b = a.clone();
        for (one, other) in [(&a, &b), (&b, &a)] {
            let ids: Vec<_> = one.ids().collect();
            assert!(ids.iter().all(|&id| one.node(id).is_ok() && other.node(id).is_err()));
            assert_eq!(one.nodes()[1].inputs, ids[..1]);
            assert_eq!(one.outputs(), [("y".to_string(), ids[1])]);
            one.check().unwrap();
        }
        assert!(b.max_pool("q", pool, MaxPool::same(3)).is_err());
        assert!(b.max_pool("p", b.ids().next().unwrap(), MaxPool::same(3)).is_err(), "the name is taken");
        let own = b.ids().nth(pool.index()).unwrap();
        b.max_pool("q", own, MaxPool::same(3)).unwrap();
        assert_eq!((a.nodes().len(), b.nodes().len()), (2, 3));
        a.max_pool("r", pool, MaxPool::same(3)).unwrap();
    }

    #[test]
    fn names_are_unique_and_a_failed_node_frees_its_name() {
        let mut graph = Graph::new();
        let x = x(&mut graph);
        assert!(graph.max_pool("p", x, MaxPool { kernel: [0, 3], ..MaxPool::same(3) }).is_err());
        graph.max_pool("p", x, MaxPool::same(3)).unwrap();
        assert!(matches!(graph.max_pool("p", x, MaxPool::same(3)), Err(Error::Graph(_))));
    }

    #[test]
    fn a_graph_without_output_or_with_a_loose_end_is_refused() {
        let mut graph = Graph::new();
        let x = x(&mut graph);
        assert!(graph.check().unwrap_err().to_string().contains("no output"));
        graph.output("y", x).unwrap();
        graph.check().unwrap();
        graph.max_pool("loose", x, MaxPool::same(3)).unwrap();
        assert!(graph.check().unwrap_err().to_string().contains("'loose'"));
        assert!(matches!(graph.output("y", x), Err(Error::Graph(_))));
    }
}
