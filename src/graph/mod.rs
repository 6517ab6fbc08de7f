//! What to compute: nodes in the order they were added, each with its inferred shape.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};
use crate::ops::{
    Activation, Add, AffineActivation, Concat, Conv, ConvSum, GlobalPool, Layout, Linear, MaxPool, MaxPoolCascade,
    PyramidPool, Resize, Softmax,
};
use crate::tensor::Shape;

mod cost;
mod describe;
pub(crate) mod draw;

pub use cost::GraphCost;

/// The most nodes a graph holds.
pub const MAX_NODES: usize = 65_536;

/// A node of one graph; another graph refuses it.
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

/// What a node computes.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is documented at the type it holds")]
pub enum Op {
    Input,
    Conv(Conv),
    ConvSum(ConvSum),
    MaxPool(MaxPool),
    MaxPoolCascade(MaxPoolCascade),
    PyramidPool(PyramidPool),
    Concat(Concat),
    AffineActivation(AffineActivation),
    Add(Add),
    Linear(Linear),
    Softmax(Softmax),
    GlobalPool(GlobalPool),
    Resize(Resize),
    Layout(Layout),
}

impl Op {
    /// The operation's one name: shader, module, reference, tests and benches are called the same.
    pub const fn stem(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv(_) => "conv",
            Self::ConvSum(_) => "conv_sum",
            Self::MaxPool(_) => "max_pool",
            Self::MaxPoolCascade(_) => "max_pool_cascade",
            Self::PyramidPool(_) => "pyramid_pool",
            Self::Concat(_) => "concat",
            Self::AffineActivation(_) => "affine_activation",
            Self::Add(_) => "add",
            Self::Linear(_) => "linear",
            Self::Softmax(_) => "softmax",
            Self::GlobalPool(_) => "global_pool",
            Self::Resize(_) => "resize",
            Self::Layout(_) => "layout",
        }
    }
}

/// One step of the computation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique in its graph; errors, plans and profiles call the node so.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Where its operands come from: always earlier nodes.
    pub inputs: Vec<NodeId>,
    /// The shape of its result.
    pub shape: Shape,
}

impl Node {
    /// The convolution of a node that does nothing behind it: no activation, no residual. Passes may take it over.
    pub(crate) fn bare_conv(&self) -> Option<&Conv> {
        match &self.op {
            Op::Conv(conv) if conv.activation == Activation::None && self.inputs.len() == 1 => Some(conv),
            _ => None,
        }
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
#[derive(Clone, Debug)]
pub struct Graph {
    id: u32,
    nodes: Vec<Node>,
    names: HashSet<String>,
    outputs: Vec<(String, NodeId)>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, nodes: Vec::new(), names: HashSet::new(), outputs: Vec::new() }
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
        self.ids().zip(&self.nodes).filter(|(_, node)| matches!(node.op, Op::Input))
    }

    /// Declares a tensor that every run is given, NCHW.
    pub fn input(&mut self, name: impl Into<String>, shape: Shape) -> Result<NodeId> {
        self.push(name.into(), Op::Input, &[], |op| shape.check(op))
    }

    /// Declares a result under a name of its own. Errors: a foreign handle, a name already given to an output.
    pub fn output(&mut self, name: impl Into<String>, id: NodeId) -> Result<()> {
        self.node(id)?;
        let name = name.into();
        if self.outputs.iter().any(|(other, _)| *other == name) {
            return Err(Error::Graph(format!("output '{name}' is declared twice")));
        }
        self.outputs.push((name, id));
        Ok(())
    }

    /// See [`Conv`].
    pub fn conv(&mut self, name: impl Into<String>, x: NodeId, conv: Conv) -> Result<NodeId> {
        let shape = self.shape(x)?;
        let source = self.node(x)?.name.clone();
        let rule = conv.clone();
        self.push(name.into(), Op::Conv(conv), &[x], |op| rule.output_shape(op, shape).map_err(|e| from(e, &source)))
    }

    /// `act(scale * conv(x) + residual)`: see [`Conv`]. The residual is of the output's shape, or one pixel an image,
    /// `[n, out_c, 1, 1]`, that all pixels of the image get. Errors: a residual of another shape.
    pub fn conv_add(&mut self, name: impl Into<String>, x: NodeId, residual: NodeId, conv: Conv) -> Result<NodeId> {
        let source = self.node(x)?.clone();
        let added = self.node(residual)?.clone();
        let rule = conv.clone();
        self.push(name.into(), Op::Conv(conv), &[x, residual], |op| {
            let out = rule.output_shape(op, source.shape).map_err(|e| from(e, &source.name))?;
            let pixel = Shape { h: 1, w: 1, ..out };
            if ![out, pixel].contains(&added.shape) {
                let (shape, name) = (added.shape, &added.name);
                let detail = format!("residual {shape} from '{name}' is neither the output's {out} nor {pixel}");
                return Err(Error::mismatch(op, detail));
            }
            Ok(out)
        })
    }

    /// See [`ConvSum`]: one input a term.
    pub fn conv_sum(&mut self, name: impl Into<String>, inputs: &[NodeId], sum: ConvSum) -> Result<NodeId> {
        let nodes = inputs.iter().map(|&id| self.node(id)).collect::<Result<Vec<_>>>()?;
        let shapes = nodes.iter().map(|node| (node.name.clone(), node.shape)).collect::<Vec<_>>();
        let rule = sum.clone();
        self.push(name.into(), Op::ConvSum(sum), inputs, |op| rule.output_shape(op, &shapes))
    }

    /// See [`MaxPool`].
    pub fn max_pool(&mut self, name: impl Into<String>, x: NodeId, pool: MaxPool) -> Result<NodeId> {
        let shape = self.shape(x)?;
        self.push(name.into(), Op::MaxPool(pool), &[x], |op| pool.output_shape(op, shape))
    }

    /// See [`MaxPoolCascade`].
    pub fn max_pool_cascade(&mut self, name: impl Into<String>, x: NodeId, cascade: MaxPoolCascade) -> Result<NodeId> {
        let shape = self.shape(x)?;
        self.push(name.into(), Op::MaxPoolCascade(cascade), &[x], |op| cascade.output_shape(op, shape))
    }

    /// See [`PyramidPool`].
    pub fn pyramid_pool(&mut self, name: impl Into<String>, x: NodeId, pool: PyramidPool) -> Result<NodeId> {
        let shape = self.shape(x)?;
        let rule = pool.clone();
        self.push(name.into(), Op::PyramidPool(pool), &[x], |op| rule.output_shape(op, shape))
    }

    /// See [`Concat`].
    pub fn concat(&mut self, name: impl Into<String>, inputs: &[NodeId]) -> Result<NodeId> {
        let nodes = inputs.iter().map(|&id| self.node(id)).collect::<Result<Vec<_>>>()?;
        let shapes = nodes.iter().map(|node| (node.name.clone(), node.shape)).collect::<Vec<_>>();
        self.push(name.into(), Op::Concat(Concat), inputs, |op| Concat.output_shape(op, &shapes))
    }

    /// See [`AffineActivation`].
    pub fn affine_activation(&mut self, name: impl Into<String>, x: NodeId, op: AffineActivation) -> Result<NodeId> {
        let shape = self.shape(x)?;
        let source = self.node(x)?.name.clone();
        let rule = op.clone();
        self.push(name.into(), Op::AffineActivation(op), &[x], |op| {
            rule.output_shape(op, shape).map_err(|e| from(e, &source))
        })
    }

    /// See [`Add`]: `act(scale * a + b)`.
    pub fn add(&mut self, name: impl Into<String>, a: NodeId, b: NodeId, add: Add) -> Result<NodeId> {
        let [na, nb] = [self.node(a)?.clone(), self.node(b)?.clone()];
        self.push(name.into(), Op::Add(add), &[a, b], |op| {
            add.output_shape(op, [(&na.name, na.shape), (&nb.name, nb.shape)])
        })
    }

    /// See [`Linear`].
    pub fn linear(&mut self, name: impl Into<String>, x: NodeId, linear: Linear) -> Result<NodeId> {
        let shape = self.shape(x)?;
        let source = self.node(x)?.name.clone();
        let rule = linear.clone();
        self.push(name.into(), Op::Linear(linear), &[x], |op| {
            rule.output_shape(op, shape).map_err(|e| from(e, &source))
        })
    }

    /// See [`Softmax`].
    pub fn softmax(&mut self, name: impl Into<String>, x: NodeId, softmax: Softmax) -> Result<NodeId> {
        let shape = self.shape(x)?;
        self.push(name.into(), Op::Softmax(softmax), &[x], |op| softmax.output_shape(op, shape))
    }

    /// See [`GlobalPool`].
    pub fn global_pool(&mut self, name: impl Into<String>, x: NodeId, pool: GlobalPool) -> Result<NodeId> {
        let shape = self.shape(x)?;
        self.push(name.into(), Op::GlobalPool(pool), &[x], |op| pool.output_shape(op, shape))
    }

    /// See [`Resize`].
    pub fn resize(&mut self, name: impl Into<String>, x: NodeId, resize: Resize) -> Result<NodeId> {
        let shape = self.shape(x)?;
        self.push(name.into(), Op::Resize(resize), &[x], |op| resize.output_shape(op, shape))
    }

    /// See [`Layout`].
    pub fn layout(&mut self, name: impl Into<String>, x: NodeId, layout: Layout) -> Result<NodeId> {
        let shape = self.shape(x)?;
        self.push(name.into(), Op::Layout(layout), &[x], |op| layout.output_shape(op, shape))
    }

    /// Checks what only the whole graph can tell: there is an output, and every node leads to one.
    pub fn check(&self) -> Result<()> {
        if self.outputs.is_empty() {
            return Err(Error::Graph("no output is declared; call Graph::output".into()));
        }
        let mut used = vec![false; self.nodes.len()];
        for (_, id) in &self.outputs {
            used[id.index()] = true;
        }
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if !used[index] {
                let name = &node.name;
                return Err(Error::Graph(format!(
                    "node '{name}' leads to no output; declare it as one or leave it out"
                )));
            }
            for input in &node.inputs {
                used[input.index()] = true;
            }
        }
        Ok(())
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

    /// Builds the graph anew: `rewrite` adds what stands for each node to the new graph, given the new handles of the
    /// operands, or skips it (`None`) where a later node absorbs it.
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
        Ok(graph)
    }

    /// Adds a copy of another graph's node; the operands are this graph's.
    pub(crate) fn copy(&mut self, node: &Node, inputs: &[NodeId]) -> Result<NodeId> {
        self.push(node.name.clone(), node.op.clone(), inputs, |_| Ok(node.shape))
    }

    /// Adds a copy of another graph's node, its operands looked up among those already copied.
    pub(crate) fn copy_mapped(&mut self, node: &Node, map: &HashMap<NodeId, NodeId>) -> Result<NodeId> {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| map[input]).collect();
        self.copy(node, &inputs)
    }

    fn push(
        &mut self,
        name: String,
        op: Op,
        inputs: &[NodeId],
        shape: impl FnOnce(&str) -> Result<Shape>,
    ) -> Result<NodeId> {
        if name.is_empty() || !self.names.insert(name.clone()) {
            return Err(Error::Graph(format!("a node name must be given once and not be empty: '{name}'")));
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(Error::Graph(format!("more than {MAX_NODES} nodes")));
        }
        let shape = shape(&format!("{} '{name}'", op.stem())).inspect_err(|_| {
            self.names.remove(&name);
        })?;
        let id = NodeId { graph: self.id, index: self.nodes.len() as u32 };
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(id)
    }
}

/// Adds where the operand came from to a mismatch.
fn from(error: Error, source: &str) -> Error {
    match error {
        Error::ShapeMismatch { op, detail } => Error::ShapeMismatch { op, detail: format!("{detail} from '{source}'") },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_name_is_given_once_and_a_failed_node_frees_it() {
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
