//! Pass: maps of one pixel that are resized, concatenated and projected, as in the image pooling of ASPP v3, go through
//! their columns of the 1x1 projection once per image, not at every pixel: `act(w * rest + w' * image)`.
//!
//! The terms of each sum stay the same, NaN and infinities included: in the upper and in the left half of the map,
//! bilinear resizing also weights its pixel by zero, which makes an infinity NaN. A further output channel with weights
//! of zero is 0 or NaN in the same way, and is added there.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Result;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::ops::{Conv, Padding, ResizeMode, Weight};

/// An operand of a concatenation and its channels there.
type Part = (NodeId, Range<usize>);

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let readers = graph.readers();
    let mut splits: HashMap<NodeId, Split> = HashMap::new();
    let mut absorbed = Vec::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        let (Op::Conv(conv), &[concat]) = (&node.op, node.inputs.as_slice()) else { continue };
        if is_pointwise(conv) && matches!(graph.node(concat)?.op, Op::Concat(_)) && readers[concat.index()] == 1 {
            let resizing = |input: NodeId| resized_pixel(graph, input).filter(|_| readers[input.index()] == 1);
            let operands = || parts(graph, &graph.nodes()[concat.index()]);
            // All in the same way: the further channel must be NaN for none but bilinear resizing.
            let Some(mode) = operands().find_map(|(input, _)| resizing(input)) else { continue };
            let is_image = |(input, _): &Part| resizing(*input) == Some(mode);
            let (images, rest): (Vec<Part>, Vec<Part>) = operands().partition(is_image);
            if rest.is_empty() {
                continue;
            }
            let of_images = of_images(conv, &images, mode)?;
            let of_rest = Conv { weight: columns(conv, &rest, false)?, ..conv.clone() };
            let can_fold = |conv: &Conv| conv.can_fold(|_| (conv.scale.into(), 0.0));
            if can_fold(&of_images) && can_fold(&of_rest) {
                absorbed.push(concat);
                absorbed.extend(images.iter().map(|(resize, _)| *resize));
                splits.insert(id, Split { images, of_images, rest, of_rest });
            }
        }
    }
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        let Some(Split { images, of_images, rest, of_rest }) = splits.remove(&id) else {
            return new.copy_mapped(node, map).map(Some);
        };
        let name = |id: NodeId| graph.nodes()[id.index()].name.clone();
        let pixels: Vec<NodeId> = images.iter().map(|(id, _)| map[&graph.nodes()[id.index()].inputs[0]]).collect();
        let [first, last] = [&images[0], &images[images.len() - 1]].map(|(id, _)| name(*id));
        let image = side_by_side(new, last, &pixels)?;
        let image = new.conv(first, image, of_images)?;

        let others: Vec<NodeId> = rest.iter().map(|(id, _)| map[id]).collect();
        let others = side_by_side(new, name(node.inputs[0]), &others)?;
        new.conv_add(node.name.clone(), others, image, of_rest).map(Some)
    })
}

/// A projection in two: the operands of one pixel per image, and the others.
struct Split {
    images: Vec<Part>,
    of_images: Conv,
    rest: Vec<Part>,
    of_rest: Conv,
}

/// What `conv` adds for the images; after bilinear resizing, with the further channel.
fn of_images(conv: &Conv, images: &[Part], mode: ResizeMode) -> Result<Conv> {
    let weight = columns(conv, images, mode == ResizeMode::Bilinear)?;
    Ok(Conv { scale: conv.scale, ..Conv::new(weight) })
}

fn is_pointwise(conv: &Conv) -> bool {
    conv.kernel() == [1, 1] && conv.stride == [1, 1] && conv.padding == Padding::default() && conv.groups == 1
}

/// How the node resizes maps of one pixel, if it does.
fn resized_pixel(graph: &Graph, id: NodeId) -> Option<ResizeMode> {
    let nodes = graph.nodes();
    let node = &nodes[id.index()];
    let is_pixel = |id: &NodeId| (nodes[id.index()].shape.h, nodes[id.index()].shape.w) == (1, 1);
    let Op::Resize(resize) = &node.op else { return None };
    node.inputs.iter().all(is_pixel).then_some(resize.mode)
}

fn parts<'a>(graph: &'a Graph, concat: &'a Node) -> impl Iterator<Item = Part> + 'a {
    concat.inputs.iter().scan(0, |begin, &id| {
        let end = *begin + graph.nodes()[id.index()].shape.c as usize;
        Some((id, std::mem::replace(begin, end)..end))
    })
}

/// The columns of a one-tap kernel that multiply the parts.
fn columns(conv: &Conv, parts: &[Part], and_zeros: bool) -> Result<Weight> {
    conv.weight.columns(parts.iter().map(|(_, part)| part.clone()).collect(), and_zeros)
}

fn side_by_side(graph: &mut Graph, name: String, inputs: &[NodeId]) -> Result<NodeId> {
    if let [one] = inputs { Ok(*one) } else { graph.concat(name, inputs) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, GlobalPool, GlobalPoolKind, Resize};
    use crate::reference;
    use crate::tensor::{Shape, Tensor};

    /// 2 images of 3x2 pixels, whose values count up from `first`.
    fn counting(c: u32, first: i32) -> Tensor {
        let shape = Shape::new(2, c, 3, 2);
        Tensor::new(shape, (first..).take(shape.len() as usize).map(|i| (i % 17) as f32).collect()).unwrap()
    }

    /// Infinity times weights of zero, within bilinear resizing and within the projection.
    #[test]
    fn infinities_become_nan_where_resizing_makes_them_so() {
        let mut graph = Graph::new();
        let (map, pixel) = (Shape::new(2, 2, 5, 4), Shape::new(2, 3, 1, 1));
        let x = graph.input("x", map).unwrap();
        let pixel_of = |graph: &mut Graph, name| graph.input(name, pixel).unwrap();
        let parts = [("near", ResizeMode::Nearest), ("smooth", ResizeMode::Bilinear)].map(|(name, mode)| {
            let pixel = pixel_of(&mut graph, name);
            graph.resize(format!("{name}.map"), pixel, Resize { out_h: 5, out_w: 4, mode }).unwrap()
        });
        let cat = graph.concat("cat", &[parts[0], x, parts[1]]).unwrap();
        let mut weight = counting(8, -3).into_data()[..16].to_vec();
        weight[7] = 0.0;
        let y = graph.conv("y", cat, Conv::new(Tensor::new(Shape::new(2, 8, 1, 1), weight).unwrap())).unwrap();
        graph.output("y", y).unwrap();
        let split = run(&graph).unwrap();
        assert_eq!(split.nodes().iter().filter(|node| matches!(node.op, Op::Resize(_))).count(), 1);
        for (which, value) in [(1, f32::INFINITY), (1, f32::NAN), (2, f32::INFINITY), (2, f32::NEG_INFINITY)] {
            let ones = |shape| Tensor::filled(shape, 1.0).unwrap();
            let mut inputs = [ones(map), ones(pixel), ones(pixel)];
            inputs[which].data_mut()[2] = value;
            let [got, want] = [&split, &graph].map(|graph| reference::run(graph, &inputs).unwrap().remove(0));
            let same = got.data().iter().zip(want.data()).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
            assert!(same, "{got:?}\n{want:?}");
        }
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
