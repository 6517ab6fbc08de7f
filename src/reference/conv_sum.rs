//! `y = act(Σ_t conv_t(x_t))`.

use super::activation::activate;
use super::{U, Values, cancellation, conv, squares};
use crate::ops::ConvSum;
use crate::tensor::Shape;

/// The bounds of the terms add up, as does the rounding of their sum.
pub(super) fn conv_sum(op: &ConvSum, inputs: &[&Values], out: Shape) -> Values {
    let mut terms = op.terms.iter().zip(inputs).map(|(term, x)| conv::conv(term, x, None, out));
    let bounded = inputs.iter().all(|x| x.bounded());
    let mut sum = terms.next().expect("ConvSum::output_shape refuses a sum of no terms");
    let mut of_terms = squares(&sum.values) * sum.cancellation;
    for term in terms {
        of_terms += squares(&term.values) * term.cancellation;
        for i in 0..sum.values.len() {
            sum.values[i] += term.values[i];
            if bounded {
                sum.bound[i] += term.bound[i] + U * sum.values[i].abs();
            }
        }
    }
    sum.cancellation = cancellation(of_terms, squares(&sum.values));
    for i in 0..sum.values.len() {
        let bound = sum.bound.get(i).copied().unwrap_or(0.0);
        let (value, bound) = activate(op.activation, sum.values[i], bound);
        sum.values[i] = value;
        if bounded {
            sum.bound[i] = bound;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::tests::{counting, tensor};
    use super::*;
    use crate::graph::Graph;
    use crate::ops::{Activation, Conv};

    #[test]
    fn terms_add_up_scale_and_bias_included() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 1, 1, 3)).unwrap();
        let conv = |w: f32, bias: f32, scale: f32| Conv {
            bias: Some(vec![bias].into()),
            scale,
            ..Conv::new(tensor([1, 1, 1, 1], &[w]))
        };
        let terms = vec![conv(2.0, 1.0, 1.0), conv(-1.0, 0.0, 3.0)];
        let sum = graph.conv_sum("y", &[x, x], ConvSum { terms, activation: Activation::Relu }).unwrap();
        graph.output("y", sum).unwrap();
        // 2x + 1 - 3x for 1, 2, 3; negative sums become zero.
        let y = crate::reference::run(&graph, &[counting([1, 1, 1, 3])]).unwrap();
        assert_eq!(y[0].data(), [0.0, 0.0, 0.0]);
        let terms = vec![conv(2.0, 1.0, 1.0), conv(1.0, 0.0, 3.0)];
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 1, 1, 3)).unwrap();
        let sum = graph.conv_sum("y", &[x, x], ConvSum { terms, activation: Activation::None }).unwrap();
        graph.output("y", sum).unwrap();
        let y = crate::reference::run(&graph, &[counting([1, 1, 1, 3])]).unwrap();
        assert_eq!(y[0].data(), [6.0, 11.0, 16.0]);
    }
}
