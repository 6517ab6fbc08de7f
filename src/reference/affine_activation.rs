//! `y = act(scale[c] * x + shift[c])`.

use super::activation::activate;
use super::{U, Values, cancellation};
use crate::ops::AffineActivation;

/// Own rounding: scale, shift and the two operations, each to `f32`.
pub(super) fn affine_activation(op: &AffineActivation, x: &Values) -> Values {
    let (mut of_terms, mut sums) = (0.0, 0.0);
    let values = Values::from_fn(x.shape, x.bounded(), |at| {
        let (scale, shift) = (op.scale[at[1]], op.shift[at[1]]);
        let amplified = x.cancellation;
        let (x, bound) = x.at(at);
        let y = scale * x + shift;
        if y.is_finite() {
            of_terms += scale * scale * x * x * amplified + shift * shift;
            sums += y * y;
        }
        let own = 3.0 * U * ((scale * x).abs() + shift.abs());
        activate(op.activation, y, scale.abs() * bound + own)
    });
    Values { cancellation: cancellation(of_terms, sums), ..values }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;
    use crate::ops::Activation;

    #[test]
    fn each_channel_has_its_own_scale_and_shift() {
        let op = AffineActivation {
            scale: vec![2.0, -1.0].into(),
            shift: vec![1.0, 0.5].into(),
            activation: Activation::Relu,
        };
        let x = tensor([1, 2, 1, 2], &[1.0, -1.0, 0.25, 3.0]);
        let y = apply(&x, |graph, x| graph.affine_activation("bn", x, op));
        assert_eq!(y.values, [3.0, 0.0, 0.25, 0.0]);
        assert_eq!(y.bound[0], 3.0 * U * 3.0);
    }
}
