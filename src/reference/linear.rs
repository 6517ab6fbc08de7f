//! `y[n, o] = act(Σ_i weight[o, i] * x[n, i] + bias[o])`.

use super::activation::activate;
use super::{Values, parallel, sum_bound};
use crate::ops::Linear;
use crate::tensor::Shape;

/// Outputs that a thread computes together.
const OUTPUTS: usize = 16;

/// The bound of a convolution with as many terms as features.
pub(super) fn linear(op: &Linear, x: &Values, out: Shape) -> Values {
    let features = op.weight.shape().c as usize;
    let outputs = out.c as usize;
    // Interleaved value and bound of every output.
    let mut results = vec![0.0; 2 * out.len() as usize];
    parallel(&mut results, 2 * OUTPUTS, |piece, results| {
        for (i, result) in results.chunks_exact_mut(2).enumerate() {
            let (n, o) = ((piece * OUTPUTS + i) / outputs, (piece * OUTPUTS + i) % outputs);
            let image = n * features..(n + 1) * features;
            let bias = op.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]));
            let weight = op.weight.data()[o * features..][..features].iter().copied().map(f64::from);
            let products = weight.clone().zip(&x.values[image.clone()]).map(|(w, x)| w * x);
            let errors = weight.zip(x.bound.get(image).unwrap_or(&[])).map(|(w, bound)| (w * bound).powi(2));
            let y = products.clone().sum::<f64>() + bias;
            let magnitude = products.map(f64::abs).sum::<f64>() + bias.abs();
            let bound = sum_bound(features as f64, y, magnitude, errors.sum());
            (result[0], result[1]) = activate(op.activation, y, bound);
        }
    });
    Values::from_fn(out, x.bounded(), |[n, o, _, _]| {
        let at = 2 * (n * outputs + o);
        (results[at], results[at + 1])
    })
}

#[cfg(test)]
mod tests {
    use super::super::U;
    use super::super::tests::{apply, counting, tensor};
    use super::*;
    use crate::ops::Activation;

    #[test]
    fn features_are_in_nchw_order() {
        let x = counting([2, 2, 1, 2]);
        let op = Linear {
            weight: tensor([2, 4, 1, 1], &[1.0, 10.0, 100.0, 1000.0, 0.0, 0.0, 0.0, -1.0]).into(),
            bias: Some(vec![0.5, 4.5].into()),
            activation: Activation::Relu,
        };
        let y = apply(&x, |graph, x| graph.linear("fc", x, op));
        assert_eq!((y.shape, y.values), (Shape::new(2, 2, 1, 1), vec![4321.5, 0.5, 8765.5, 0.0]));
        // √4 = 2; S = |y| where all terms are positive, and 4 + 4.5 where they cancel.
        assert_eq!(y.bound[..2], [18.0 * U * 4321.5, 16.0 * U * 8.5 + 2.0 * U * 0.5]);
    }
}
