//! Blocks of the family among the nodes of a model, by how they are connected.

use std::collections::BTreeSet;

use super::Model;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::ops::{Activation, MaxPool};

/// A block that nodes of a model form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What its authors call it, such as `SPPF`.
    pub name: &'static str,
    /// Its nodes, in order.
    pub nodes: Vec<String>,
}

impl Model {
    /// The blocks of the family that its nodes form: SPP, SPPF, SimSPPF, SPPCSPC, SPPFCSPC, CSPSPPF, SimCSPSPPF, ASPP,
    /// ASPP v3, BasicRFB, BasicRFB_a and pyramid pooling. Each is known by its pools or dilated convolutions.
    pub fn blocks(&self) -> Vec<Block> {
        let finder = Finder { graph: &self.graph, reading: self.graph.reading() };
        self.graph.ids().filter_map(|id| finder.around(id)).collect()
    }
}

struct Finder<'a> {
    graph: &'a Graph,
    reading: Vec<Vec<NodeId>>,
}

/// A convolution with what belongs to it: normalisation, activation.
struct Layer {
    /// What it reads.
    from: NodeId,
    nodes: Vec<NodeId>,
    kernel: [u32; 2],
    dilation: [u32; 2],
    activation: Activation,
}

impl<'a> Finder<'a> {
    fn node(&self, id: NodeId) -> &'a Node {
        &self.graph.nodes()[id.index()]
    }

    /// The layer that ends in a node.
    fn layer(&self, id: NodeId) -> Option<Layer> {
        let (mut nodes, mut activation, mut at) = (vec![id], Activation::None, id);
        loop {
            let Node { op, inputs, .. } = self.node(at);
            match op {
                Op::Conv(conv) => {
                    if conv.activation != Activation::None {
                        activation = conv.activation;
                    }
                    let (from, kernel, dilation) = (inputs[0], conv.kernel(), conv.dilation);
                    return Some(Layer { from, nodes, kernel, dilation, activation });
                }
                Op::AffineActivation(affine) => {
                    if affine.activation != Activation::None {
                        activation = affine.activation;
                    }
                }
                Op::Map(map) if inputs.len() == 1 && map.formula.steps.len() == 1 => {}
                _ => return None,
            }
            at = inputs[0];
            nodes.push(at);
        }
    }

    /// The layer that reads a node, if only one does, and where it ends.
    fn next(&self, id: NodeId) -> Option<(NodeId, Layer)> {
        let mut last = None;
        let mut at = id;
        while let [reader] = self.reading[at.index()][..] {
            match self.layer(reader) {
                Some(layer) if layer.from == id => last = Some((reader, layer)),
                _ => break,
            }
            at = reader;
        }
        last
    }

    /// What a pool of stride 1 that keeps the extent reads.
    fn pooled(&self, id: NodeId) -> Option<NodeId> {
        let Node { op, inputs, shape, .. } = self.node(id);
        let Op::MaxPool(MaxPool { stride: [1, 1], kernel, .. }) = op else { return None };
        (kernel != &[1, 1] && self.node(inputs[0]).shape == *shape).then_some(inputs[0])
    }

    fn around(&self, id: NodeId) -> Option<Block> {
        match self.node(id).op {
            Op::Concat(_) => self
                .pools(id)
                .or_else(|| self.dilated_side_by_side(id))
                .or_else(|| self.fields(id))
                .or_else(|| self.pyramid(id)),
            Op::Add(_) => self.dilated_sum(id),
            _ => None,
        }
    }

    fn block(&self, name: &'static str, nodes: impl IntoIterator<Item = NodeId>) -> Option<Block> {
        let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
        Some(Block { name, nodes: nodes.into_iter().map(|id| self.node(id).name.clone()).collect() })
    }

    /// Pools of one map, or of each other, beside that map.
    fn pools(&self, concat: NodeId) -> Option<Block> {
        let inputs = &self.node(concat).inputs;
        let pools: Vec<(NodeId, NodeId)> = inputs.iter().filter_map(|&id| Some((id, self.pooled(id)?))).collect();
        let others: Vec<NodeId> = inputs.iter().copied().filter(|&id| self.pooled(id).is_none()).collect();
        let &[x] = &others[..] else { return None };
        if pools.len() < 2 {
            return None;
        }
        let is_parallel = pools.iter().all(|&(_, from)| from == x);
        let is_chain = pools.iter().all(|&(_, from)| from == x || pools.iter().any(|&(id, _)| id == from))
            && pools.iter().filter(|&&(_, from)| from == x).count() == 1;
        if !is_parallel && !is_chain {
            return None;
        }
        let mut nodes: Vec<NodeId> = pools.iter().map(|&(id, _)| id).chain([concat]).collect();
        let before = self.layer(x);
        let after = self.next(concat);
        let relu = before.as_ref().is_some_and(|layer| layer.activation == Activation::Relu);
        if let (Some(cv4), Some((end, cv5))) = (&before, &after) {
            nodes.extend(cv4.nodes.iter().chain(&cv5.nodes));
            if let Some((name, rest)) = self.cross_stage(cv4, *end, is_chain, relu) {
                return self.block(name, nodes.into_iter().chain(rest));
            }
        }
        let name = match (is_chain, relu) {
            (true, true) => "SimSPPF",
            (true, false) => "SPPF",
            (false, _) => "SPP",
        };
        self.block(name, nodes)
    }

    /// Two layers before, one after, and a layer beside them all: a cross stage partial block.
    fn cross_stage(
        &self,
        cv4: &Layer,
        cv5_end: NodeId,
        is_chain: bool,
        relu: bool,
    ) -> Option<(&'static str, Vec<NodeId>)> {
        let cv3 = self.layer(cv4.from)?;
        let cv1 = self.layer(cv3.from)?;
        let (cv6_end, cv6) = self.next(cv5_end)?;
        let &[join] = &self.reading[cv6_end.index()][..] else { return None };
        let Node { op: Op::Concat(_), inputs, .. } = self.node(join) else { return None };
        let &[first, second] = &inputs[..] else { return None };
        let beside = if first == cv6_end { second } else { first };
        let cv2 = self.layer(beside).filter(|cv2| cv2.from == cv1.from)?;
        let (_, cv7) = self.next(join)?;
        let name = match (is_chain, first == cv6_end, relu) {
            (false, ..) => "SPPCSPC",
            (true, true, false) => "SPPFCSPC",
            (true, false, false) => "CSPSPPF",
            (true, _, true) => "SimCSPSPPF",
        };
        let layers = [cv3, cv1, cv6, cv2, cv7];
        Some((name, layers.into_iter().flat_map(|layer| layer.nodes).chain([join]).collect()))
    }

    /// Dilated convolutions of one map side by side: DeepLab v3.
    fn dilated_side_by_side(&self, concat: NodeId) -> Option<Block> {
        let inputs = &self.node(concat).inputs;
        let layers: Vec<Layer> = inputs.iter().filter_map(|&id| self.layer(id)).collect();
        let dilated: Vec<&Layer> = layers.iter().filter(|layer| layer.dilation[0] > 1).collect();
        let rates: BTreeSet<u32> = dilated.iter().map(|layer| layer.dilation[0]).collect();
        let x = dilated.first()?.from;
        let of_x = layers.iter().filter(|layer| layer.from == x).count();
        if rates.len() < 2 || dilated.iter().any(|layer| layer.from != x) || of_x + 1 < inputs.len() {
            return None;
        }
        let mut nodes: Vec<NodeId> = layers.iter().flat_map(|layer| layer.nodes.clone()).chain([concat]).collect();
        // The pooled branch ends in a resize.
        let pooled =
            inputs.iter().find(|&&id| matches!(self.node(id).op, Op::Resize(_) | Op::Resample(_) | Op::Rearrange(_)));
        if let Some(&resized) = pooled {
            nodes.push(resized);
            let layer = self.layer(self.node(resized).inputs[0])?;
            nodes.extend(layer.nodes.iter().copied().chain([layer.from]));
        }
        if let Some((_, projection)) = self.next(concat) {
            nodes.extend(projection.nodes);
        }
        self.block("ASPP v3", nodes)
    }

    /// Dilated convolutions of one map, added: DeepLab v2.
    fn dilated_sum(&self, sum: NodeId) -> Option<Block> {
        let is_sum = |id: &NodeId| matches!(self.node(*id).op, Op::Add(_));
        if self.reading[sum.index()].iter().any(is_sum) {
            return None;
        }
        let (mut open, mut nodes, mut layers) = (vec![sum], Vec::new(), Vec::new());
        while let Some(id) = open.pop() {
            nodes.push(id);
            if is_sum(&id) {
                open.extend(&self.node(id).inputs);
            } else {
                layers.push(self.layer(id)?);
            }
        }
        let rates: BTreeSet<u32> = layers.iter().map(|layer| layer.dilation[0]).collect();
        let x = layers.first()?.from;
        let fits = rates.len() > 2 && layers.iter().all(|layer| layer.from == x && layer.dilation[0] > 1);
        if fits {
            self.block("ASPP", nodes.into_iter().chain(layers.into_iter().flat_map(|layer| layer.nodes)))
        } else {
            None
        }
    }

    /// Branches of layers from one map, most of them ending in a dilated one: receptive fields.
    fn fields(&self, concat: NodeId) -> Option<Block> {
        let inputs = &self.node(concat).inputs;
        let mut nodes = vec![concat];
        let (mut rates, mut sources) = (BTreeSet::new(), Vec::new());
        for &id in inputs {
            let mut layer = self.layer(id)?;
            rates.insert(layer.dilation[0]);
            let mut from = Vec::new();
            loop {
                from.push(layer.from);
                nodes.extend(&layer.nodes);
                match self.layer(layer.from) {
                    Some(before) if from.len() < 4 => layer = before,
                    _ => break,
                }
            }
            sources.push(from);
        }
        // The last map that all branches come from.
        let x = *sources.first()?.iter().find(|x| sources.iter().all(|from| from.contains(x)))?;
        if !(3..=4).contains(&inputs.len()) || rates.len() < 3 {
            return None;
        }
        nodes.retain(|id| *id > x);
        if let Some((end, linear)) = self.next(concat) {
            nodes.extend(linear.nodes);
            let [sum] = self.reading[end.index()][..] else { return None };
            if let Op::Add(_) = self.node(sum).op {
                nodes.push(sum);
                let shortcuts = self.node(sum).inputs.iter().filter_map(|&id| self.layer(id));
                nodes.extend(
                    shortcuts.filter(|layer| layer.from == x && layer.kernel == [1, 1]).flat_map(|layer| layer.nodes),
                );
            }
        }
        self.block(if inputs.len() == 3 { "BasicRFB" } else { "BasicRFB_a" }, nodes)
    }

    /// Pools of several sizes of one map, as vectors.
    fn pyramid(&self, concat: NodeId) -> Option<Block> {
        let inputs = &self.node(concat).inputs;
        let (mut nodes, mut sources) = (vec![concat], BTreeSet::new());
        for &id in inputs {
            let reshaped = self.node(id);
            let pool = match reshaped.op {
                Op::Reshape(_) => reshaped.inputs[0],
                _ => id,
            };
            let Node { op: Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalPool(_), inputs, .. } = self.node(pool) else {
                return None;
            };
            sources.insert(inputs[0]);
            nodes.extend([id, pool]);
        }
        let is_vector = (self.node(concat).shape.h, self.node(concat).shape.w) == (1, 1);
        if sources.len() == 1 && inputs.len() > 1 && is_vector { self.block("pyramid pooling", nodes) } else { None }
    }
}
