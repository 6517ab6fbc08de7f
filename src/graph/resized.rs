//! The same graph for inputs of other shapes.

use super::{Graph, NodeId, Op};
use crate::error::{Error, Result};
use crate::ops::{Resize, ResizeMode};
use crate::tensor::Shape;

impl Graph {
    /// Resizes `x` to the rows and columns of `like`, also of a graph that is [`Graph::resized`]. Errors: those of
    /// [`Graph::apply`].
    pub fn resize_like(
        &mut self,
        name: impl Into<String>,
        x: NodeId,
        like: NodeId,
        mode: ResizeMode,
    ) -> Result<NodeId> {
        let extent = self.shape(like)?;
        let id = self.resize(name, x, Resize { out_h: extent.h, out_w: extent.w, mode })?;
        self.likes.insert(id.index(), like.index());
        Ok(id)
    }

    /// The same graph for inputs of these shapes, in the order in which they were declared, pictures included: every
    /// other shape is inferred anew, and weights are shared. What is painted over a picture is as large as that; what a
    /// [`Texture`](crate::ops::Texture) makes of one, and what is painted alone, keep their extent. Errors: a wrong
    /// number of shapes, and what an operation refuses at this size, such as a linear layer over another number of
    /// features, a crop beyond a picture, or operands that no longer fit each other because one of them comes from a
    /// [`Resize`] to a fixed extent; [`Graph::resize_like`] follows.
    pub fn resized(&self, shapes: &[Shape]) -> Result<Self> {
        let inputs = self.inputs().count();
        if inputs != shapes.len() {
            return Err(Error::data("shapes", format!("the graph has {inputs} inputs, got {}", shapes.len())));
        }
        let mut rest = shapes;
        let mut graph = Self { likes: self.likes.clone(), ..Self::new() };
        let own = |graph: &Self, id: &NodeId| NodeId { graph: graph.id, ..*id };
        for (index, node) in self.nodes.iter().enumerate() {
            let mut op = node.op.clone();
            if let (Op::Resize(resize), Some(&like)) = (&mut op, self.likes.get(&index)) {
                let Shape { h, w, .. } = graph.nodes[like].shape;
                (resize.out_h, resize.out_w) = (h, w);
            }
            if let (Op::Paint(paint), [_, picture]) = (&mut op, node.inputs.as_slice()) {
                let Shape { h, w, .. } = graph.nodes[picture.index()].shape;
                (paint.out_h, paint.out_w) = (h, w);
            }
            let name = node.name.clone();
            match (&op, rest) {
                (Op::Input, [shape, others @ ..]) => {
                    graph.input(name, *shape)?;
                    rest = others;
                }
                (Op::Picture(texels), [shape, others @ ..]) => {
                    graph.picture(name, *shape, *texels)?;
                    rest = others;
                }
                _ => {
                    let operands: Vec<NodeId> = node.inputs.iter().map(|id| own(&graph, id)).collect();
                    graph.apply(name, op, &operands)?;
                }
            }
        }
        for (name, id) in &self.outputs {
            graph.output(name.clone(), own(&graph, id))?;
        }
        Ok(graph)
    }
}
