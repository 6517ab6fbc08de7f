//! `y = act(scale * a + b)`.

use super::activation::activate;
use super::{U, Values, cancellation, squares};
use crate::ops::Add;

/// Own rounding: the product and the sum.
pub(super) fn add(op: &Add, a: &Values, b: &Values) -> Values {
    let scale = f64::from(op.scale);
    let of_terms = scale * scale * squares(&a.values) * a.cancellation + squares(&b.values) * b.cancellation;
    let sums = a.values.iter().zip(&b.values).map(|(a, b)| scale * a + b).collect::<Vec<_>>();
    let cancellation = cancellation(of_terms, squares(&sums));
    let values = Values::from_fn(a.shape, a.bounded(), |at| {
        let ((a, a_bound), (b, b_bound)) = (a.at(at), b.at(at));
        let bound = scale.abs() * a_bound + b_bound + 2.0 * U * ((scale * a).abs() + b.abs());
        activate(op.activation, scale * a + b, bound)
    });
    Values { cancellation, ..values }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;
    use crate::ops::{Activation, MaxPool};

    #[test]
    fn the_first_input_is_scaled() {
        let x = tensor([1, 1, 1, 3], &[1.0, -2.0, f32::NAN]);
        let y = apply(&x, |graph, x| {
            let pooled = graph.max_pool("pool", x, MaxPool { stride: [1, 1], ..MaxPool::new([1, 1]) })?;
            graph.add("add", x, pooled, Add { scale: 3.0, activation: Activation::Relu })
        });
        assert_eq!(y.values[..2], [4.0, 0.0]);
        assert!(y.values[2].is_nan());
        assert_eq!(y.bound, [2.0 * U * 4.0, 2.0 * U * 8.0, 0.0]);
    }
}
