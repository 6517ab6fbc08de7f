//! Pass: a convolution takes over the scale, shift and activation after it, a sum or a linear layer the activation.
//! Folded in `f64`, rounded once, if `f32` can hold the products.

use std::collections::HashMap;

use crate::error::Result;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::ops::{Activation, Add, AffineActivation, Conv, ConvSum, Linear};

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    // What was folded may be followed by more of its kind.
    while let Some(folded) = once(&graph)? {
        graph = folded;
    }
    Ok(graph)
}

/// `None` if there is nothing to fold.
fn once(graph: &Graph) -> Result<Option<Graph>> {
    let readers = graph.readers();
    // For each affine that can be folded: what comes before it, and what that becomes.
    let mut folds: HashMap<NodeId, (NodeId, Op)> = HashMap::new();
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if let (Op::AffineActivation(affine), &[before]) = (&node.op, node.inputs.as_slice())
            && readers[before.index()] == 1
            && !folds.contains_key(&before)
            && let Some(op) = folded(graph.node(before)?, affine)?
        {
            folds.insert(id, (before, op));
        }
    }
    if folds.is_empty() {
        return Ok(None);
    }
    let absorbed: Vec<NodeId> = folds.values().map(|(before, _)| *before).collect();
    let folded = graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        if let Some((before, op)) = folds.remove(&id) {
            let Node { name, inputs, .. } = graph.node(before)?;
            let inputs: Vec<NodeId> = inputs.iter().map(|input| map[input]).collect();
            return new.apply(name.clone(), op, &inputs).map(Some);
        }
        new.copy_mapped(node, map).map(Some)
    })?;
    Ok(Some(folded))
}

/// What a node becomes if it takes over what comes after it.
fn folded(before: &Node, affine: &AffineActivation) -> Result<Option<Op>> {
    if let Some(conv) = before.bare_conv() {
        let fits = conv.scale == 1.0 && conv.can_fold(|o| (affine.scale[o], affine.shift[o]));
        return if fits { fold(conv, affine).map(|conv| Some(conv.into())) } else { Ok(None) };
    }
    let activation = affine.activation;
    Ok(match &before.op {
        Op::AffineActivation(first) if first.activation == Activation::None => composed(first, affine).map(Op::from),
        _ if !affine.is_bare_activation() => None,
        Op::Add(add) if add.activation == Activation::None => Some(Add { activation, ..*add }.into()),
        Op::ConvSum(sum) if sum.activation == Activation::None => Some(ConvSum { activation, ..sum.clone() }.into()),
        Op::Linear(linear) if linear.activation == Activation::None => {
            Some(Linear { activation, ..linear.clone() }.into())
        }
        _ => None,
    })
}

/// Both in one, if `f32` can hold it and nothing overflows between them that would not at once.
fn composed(first: &AffineActivation, second: &AffineActivation) -> Option<AffineActivation> {
    const LARGE: f64 = (1u128 << 64) as f64;
    let at = |c: usize| {
        let scale = first.scale[c] * second.scale[c];
        (scale, first.shift[c] * second.scale[c] + second.shift[c])
    };
    let (scale, shift): (Vec<f64>, Vec<f64>) = (0..first.scale.len()).map(at).unzip();
    let moderate =
        |values: &[f64]| values.iter().all(|value| *value == 0.0 || (1.0 / LARGE..LARGE).contains(&value.abs()));
    let fits = [&first.scale[..], &second.scale, &scale].into_iter().all(moderate)
        && [&first.shift[..], &second.shift, &shift].into_iter().flatten().all(|value| value.abs() < LARGE);
    let affine = AffineActivation { scale: scale.into(), shift: shift.into(), activation: second.activation };
    (second.is_bare_activation() || fits).then_some(affine)
}

fn fold(conv: &Conv, affine: &AffineActivation) -> Result<Conv> {
    let bias = (0..affine.scale.len()).map(|o| {
        let bias = conv.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]));
        (bias * affine.scale[o] + affine.shift[o]) as f32
    });
    let bias = Some(bias.collect());
    Ok(Conv { weight: conv.weight.scaled(&affine.scale)?, bias, activation: affine.activation, ..conv.clone() })
}
