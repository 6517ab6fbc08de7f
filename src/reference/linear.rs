//! `y[n, o] = act(Σ_i weight[o, i] * x[n, i] + bias[o])`.

use super::activation::activate;
use super::{Values, cancellation, carried, parallel, squared_weight, sum_bound};
use crate::ops::Linear;
use crate::tensor::Shape;

/// Outputs that a thread computes together.
const OUTPUTS: usize = 16;

/// The bound of a convolution with as many terms as features.
pub(super) fn linear(op: &Linear, x: &Values, out: Shape) -> Values {
    let features = op.weight.shape().c as usize;
    let weights = op.weight.data();
    let outputs = out.c as usize;
    // Interleaved value and bound of every output, and the squares of its terms and of their sum.
    let mut results = vec![0.0; 4 * out.len() as usize];
    parallel(&mut results, 4 * OUTPUTS, |piece, results| {
        for (i, result) in results.chunks_exact_mut(4).enumerate() {
            let (n, o) = ((piece * OUTPUTS + i) / outputs, (piece * OUTPUTS + i) % outputs);
            let image = n * features..(n + 1) * features;
            let bias = op.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]));
            let weight = weights[o * features..][..features].iter().copied().map(f64::from);
            let products = weight.clone().zip(&x.values[image.clone()]).map(|(w, x)| w * x);
            let arriving = x.values[image.clone()].iter().zip(x.bound.get(image).unwrap_or(&[]));
            let arriving = arriving.map(|(&x_at, &bound)| carried(x.precision, x_at, bound));
            let errors = weight.zip(arriving).map(|(w, error)| squared_weight(x.precision, w) * error);
            let y = products.clone().sum::<f64>() + bias;
            let terms = products.clone().map(|product| product * product).sum::<f64>() * x.cancellation + bias * bias;
            let magnitude = products.map(f64::abs).sum::<f64>() + bias.abs();
            let bound = sum_bound(features as f64, y, magnitude, errors.sum());
            (result[0], result[1]) = activate(op.activation, y, bound);
            if terms.is_finite() {
                (result[2], result[3]) = (terms, y * y);
            }
        }
    });
    let sum = |part: usize| results.iter().skip(part).step_by(4).sum::<f64>();
    let values = Values::from_fn(out, x.bounded(), |[n, o, _, _]| {
        let at = 4 * (n * outputs + o);
        (results[at], results[at + 1])
    });
    Values { cancellation: cancellation(sum(2), sum(3)), ..values }
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
