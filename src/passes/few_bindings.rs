//! Pass for devices whose shaders bind few buffers: a convolution leaves its residual, and a sum of convolutions all
//! inputs but one, to additions of their own.

use crate::error::Result;
use crate::graph::{Graph, Op};
use crate::ops::{Activation, Add, Conv, ConvSum, Resize, ResizeMode};

/// Weights, biases, input, output, residual: fewer call for this pass.
pub(super) const ENOUGH: u32 = 5;

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    graph.rewritten(|new, _, node, map| {
        let (name, y) = (&node.name, node.shape);
        let xs: Vec<_> = node.inputs.iter().map(|input| map[input]).collect();
        match (&node.op, xs.as_slice()) {
            (Op::Conv(conv), &[x, residual]) if new.shape(residual)?.c == y.c => {
                let (before, after) = if conv.adds_last {
                    (conv.activation, Activation::None)
                } else {
                    (Activation::None, conv.activation)
                };
                let alone = Conv { activation: before, adds_last: false, ..conv.clone() };
                let sum = new.conv(format!("{name} without residual"), x, alone)?;
                let spread = Resize { out_h: y.h, out_w: y.w, mode: ResizeMode::Nearest };
                let residual = if new.shape(residual)? == y {
                    residual
                } else {
                    new.resize(format!("{name} residual"), residual, spread)?
                };
                new.add(name.clone(), sum, residual, Add { scale: 1.0, activation: after }).map(Some)
            }
            (Op::ConvSum(sum), &[first, ..]) if xs.iter().any(|x| *x != first) => {
                let mut distinct = xs.clone();
                distinct.sort_unstable_by_key(|x| x.index());
                distinct.dedup();
                let last = distinct.len() - 1;
                let mut total = None;
                for (i, x) in distinct.into_iter().enumerate() {
                    let terms = xs.iter().zip(&sum.terms).filter(|(of, _)| **of == x).map(|(_, term)| term.clone());
                    let part = ConvSum { terms: terms.collect(), activation: Activation::None };
                    let inputs = vec![x; part.terms.len()];
                    let part = new.conv_sum(format!("{name} of input {i}"), &inputs, part)?;
                    let activation = if i == last { sum.activation } else { Activation::None };
                    let add = Add { scale: 1.0, activation };
                    total = Some(match total {
                        None => part,
                        Some(total) if i == last => new.add(name.clone(), total, part, add)?,
                        Some(total) => new.add(format!("{name} up to input {i}"), total, part, add)?,
                    });
                }
                Ok(total)
            }
            _ => new.copy_mapped(node, map).map(Some),
        }
    })
}
