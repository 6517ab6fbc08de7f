//! Pass: maps of one pixel that are resized, concatenated and projected, as in the image pooling of ASPP v3, go through
//! their columns of the 1x1 projection once per image, not at every pixel: `act(w * rest + w' * image)`.
//!
//! The terms of each sum stay the same, NaN and infinities included, with one exception: in the upper and in the left
//! half of the map, bilinear resizing also weights a pixel by zero, which makes infinity NaN. Here it stays infinite.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Result;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::ops::{Conv, Padding};
use crate::tensor::{Shape, Tensor};

/// An operand of a concatenation and its channels there.
type Part = (NodeId, Range<usize>);

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    // For each projection: the operands of one pixel per image, and the others.
    let mut splits: HashMap<NodeId, (Vec<Part>, Vec<Part>)> = HashMap::new();
    let mut absorbed = Vec::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        let (Op::Conv(conv), &[concat]) = (&node.op, node.inputs.as_slice()) else { continue };
        if is_pointwise(conv) && matches!(graph.node(concat)?.op, Op::Concat(_)) && readers[concat.index()] == 1 {
            let is_image = |(input, _): &Part| readers[input.index()] == 1 && resizes_a_pixel(graph, *input);
            let (images, rest): (Vec<Part>, Vec<Part>) = parts(graph, graph.node(concat)?).partition(is_image);
            if !images.is_empty() && !rest.is_empty() {
                absorbed.push(concat);
                absorbed.extend(images.iter().map(|(resize, _)| *resize));
                splits.insert(id, (images, rest));
            }
        }
    }
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        let (Op::Conv(conv), Some((images, rest))) = (&node.op, splits.get(&id)) else {
            return new.copy_mapped(node, map).map(Some);
        };
        let name = |id: NodeId| graph.nodes()[id.index()].name.clone();
        let pixels: Vec<NodeId> = images.iter().map(|(id, _)| map[&graph.nodes()[id.index()].inputs[0]]).collect();
        let [first, last] = [&images[0], &images[images.len() - 1]].map(|(id, _)| name(*id));
        let image = side_by_side(new, last, &pixels)?;
        let weight = columns(&conv.weight, images)?;
        let image = new.conv(first, image, Conv { scale: conv.scale, ..Conv::new(weight) })?;

        let others: Vec<NodeId> = rest.iter().map(|(id, _)| map[id]).collect();
        let others = side_by_side(new, name(node.inputs[0]), &others)?;
        let weight = columns(&conv.weight, rest)?.into();
        new.conv_add(node.name.clone(), others, image, Conv { weight, ..conv.clone() }).map(Some)
    })
}

fn is_pointwise(conv: &Conv) -> bool {
    conv.kernel() == [1, 1] && conv.stride == [1, 1] && conv.padding == Padding::default() && conv.groups == 1
}

fn resizes_a_pixel(graph: &Graph, id: NodeId) -> bool {
    let nodes = graph.nodes();
    let node = &nodes[id.index()];
    let is_pixel = |id: &NodeId| (nodes[id.index()].shape.h, nodes[id.index()].shape.w) == (1, 1);
    matches!(node.op, Op::Resize(_)) && node.inputs.iter().all(is_pixel)
}

fn parts<'a>(graph: &'a Graph, concat: &'a Node) -> impl Iterator<Item = Part> + 'a {
    concat.inputs.iter().scan(0, |begin, &id| {
        let end = *begin + graph.nodes()[id.index()].shape.c as usize;
        Some((id, std::mem::replace(begin, end)..end))
    })
}

/// The columns of a one-tap kernel that multiply the parts.
fn columns(weight: &Tensor, parts: &[Part]) -> Result<Tensor> {
    let rows = weight.data().chunks(weight.shape().c as usize);
    let data: Vec<f32> = rows.flat_map(|row| parts.iter().flat_map(|(_, part)| &row[part.clone()])).copied().collect();
    let channels = parts.iter().map(|(_, part)| part.len() as u32).sum();
    Tensor::new(Shape { c: channels, ..weight.shape() }, data)
}

fn side_by_side(graph: &mut Graph, name: String, inputs: &[NodeId]) -> Result<NodeId> {
    if let [one] = inputs { Ok(*one) } else { graph.concat(name, inputs) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, GlobalPool, GlobalPoolKind, Resize, ResizeMode};
    use crate::reference;

    /// 2 images of 3x2 pixels, whose values count up from `first`.
    fn counting(c: u32, first: i32) -> Tensor {
        let shape = Shape::new(2, c, 3, 2);
        Tensor::new(shape, (first..).take(shape.len() as usize).map(|i| (i % 17) as f32).collect()).unwrap()
    }

    #[test]
    fn each_operand_keeps_its_columns() {
        let mut graph = Graph::new();
        let mut parts = Vec::new();
        let inputs = [("a", counting(2, -5)), ("b", counting(1, 3)), ("c", counting(3, 1)), ("d", counting(1, -9))];
        for (i, (name, input)) in inputs.iter().enumerate() {
            let x = graph.input(*name, input.shape()).unwrap();
            let max = GlobalPool { kind: GlobalPoolKind::Max };
            let resize = Resize { out_h: 3, out_w: 2, mode: ResizeMode::Nearest };
            parts.push(if i % 2 == 0 {
                let max = graph.global_pool(format!("{name}.max"), x, max).unwrap();
                graph.resize(format!("{name}.image"), max, resize).unwrap()
            } else {
                x
            });
        }
        let cat = graph.concat("cat", &parts).unwrap();
        let weight = Tensor::new(Shape::new(2, 7, 1, 1), (0..14).map(|i| (i * i % 23 - 9) as f32).collect()).unwrap();
        let conv =
            Conv { bias: Some(vec![1.0, -2.0].into()), scale: -0.5, activation: Activation::Relu, ..Conv::new(weight) };
        let y = graph.conv("y", cat, conv).unwrap();
        graph.output("y", y).unwrap();

        let split = run(&graph).unwrap();
        let stems: Vec<&str> = split.nodes().iter().map(|node| node.op.stem()).collect();
        assert_eq!(stems[6..], ["concat", "conv", "concat", "conv"]);
        let inputs = inputs.map(|(_, input)| input);
        let [got, want] = [&split, &graph].map(|graph| reference::run(graph, &inputs).unwrap());
        assert!(want[0].data().iter().filter(|y| **y > 0.0).count() > 12, "{want:?}");
        assert_eq!(got, want);
    }
}
