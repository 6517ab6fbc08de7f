//! Pass: a fully connected layer over many rows is a 1x1 convolution of as many images of one pixel, whose kernels share
//! weights among rows.

use crate::error::Result;
use crate::graph::{Graph, Op};
use crate::ops::Conv;

/// Rows from which on it is: 8400 rows of 64 values to 80 took 439 ms row by row and 9.7 ms as a convolution, 400 rows of
/// 256 to 512 took 165 and 3.7 ms (llvmpipe 22.3.6, two shared cores).
const MANY: u32 = 16;

pub(super) fn run(graph: &Graph) -> Result<Graph> {
    graph.rewritten(|new, _, node, map| {
        if let (Op::Linear(linear), &[input]) = (&node.op, node.inputs.as_slice()) {
            let x = graph.shape(input)?;
            if x.n >= MANY && (x.h, x.w) == (1, 1) {
                let conv = Conv {
                    bias: linear.bias.clone(),
                    activation: linear.activation,
                    ..Conv::new(linear.weight.clone())
                };
                return new.conv(node.name.clone(), map[&input], conv).map(Some);
            }
        }
        new.copy_mapped(node, map).map(Some)
    })
}
