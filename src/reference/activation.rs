//! Activations, and how they propagate errors.

use super::{U, finite_bound};
use crate::ops::Activation;

/// The activated value, and its bound given that of `x`: Lipschitz constant times what arrives, plus own rounding.
pub(super) fn activate(activation: Activation, x: f64, bound: f64) -> (f64, f64) {
    let value = activation.at(x);
    let (lipschitz, own) = match activation {
        Activation::None | Activation::Relu => (1.0, 0.0),
        Activation::LeakyRelu(slope) => (f64::from(slope).abs().max(1.0), U * value.abs()),
        Activation::Silu => (1.1, x.abs() * sigmoid_error(x) + U * value.abs()),
        Activation::Sigmoid => (0.25, sigmoid_error(x)),
        // A sum, a division of 2.5 ULP and a product.
        Activation::Hardswish => (1.5, 7.0 * U * value.abs()),
    };
    (value, finite_bound(x, lipschitz * bound + own))
}

/// Error of `s = 1 / (1 + e)`, `e = exp(-x)`, in WGSL. `exp` has 3 + 2|x| ULP, each at most 2u: `s` changes by
/// `s(1 - s)` times that, as ds = -s² de and e·s = 1 - s. The sum adds u·s, the division 2.5 ULP = 5u·s. Where `e` is
/// over 2¹²⁶, WGSL promises nothing about the division, and `e` itself may overflow: `s` may be 0, off by 2⁻¹²⁶.
fn sigmoid_error(x: f64) -> f64 {
    let s = Activation::Sigmoid.at(x);
    s * (1.0 - s) * (3.0 + 2.0 * x.abs()) * 2.0 * U + 6.0 * U * s + f64::from(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of them, and a negative slope steeper than one.
    fn activations() -> impl Iterator<Item = Activation> {
        Activation::ALL.into_iter().chain([Activation::LeakyRelu(-1.5)])
    }

    #[test]
    fn values_match_pytorch() {
        let value = |activation, x| activate(activation, x, 0.0).0;
        assert_eq!(value(Activation::Relu, -2.0), 0.0);
        assert_eq!(value(Activation::Relu, 2.0), 2.0);
        assert_eq!(value(Activation::LeakyRelu(0.25), -2.0), -0.5);
        assert_eq!(value(Activation::LeakyRelu(0.25), f64::NEG_INFINITY), f64::NEG_INFINITY);
        // 1 / (1 + 1/e) = e / (e + 1)
        let e = std::f64::consts::E;
        assert!((value(Activation::Sigmoid, 1.0) - e / (e + 1.0)).abs() < 1e-15);
        assert!((value(Activation::Silu, -1.0) + 1.0 / (e + 1.0)).abs() < 1e-15);
        assert_eq!(value(Activation::Sigmoid, 1e4), 1.0);
        assert_eq!(value(Activation::Sigmoid, f64::NEG_INFINITY), 0.0);
        assert_eq!(value(Activation::Silu, -1e4), 0.0);
        assert_eq!(value(Activation::Silu, f64::INFINITY), f64::INFINITY);
        assert_eq!(value(Activation::Hardswish, -1.0), -1.0 / 3.0);
        assert_eq!([-3.5, -3.0, 0.0, 3.0, 7.0].map(|x| value(Activation::Hardswish, x)), [0.0, 0.0, 0.0, 3.0, 7.0]);
    }

    #[test]
    fn nan_stays_nan_and_non_finite_values_are_exact() {
        for activation in activations() {
            assert!(activate(activation, f64::NAN, 1.0).0.is_nan(), "{activation:?}");
            for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(activate(activation, x, f64::INFINITY).1, 0.0, "{activation:?} of {x}");
            }
        }
    }

    #[test]
    fn f32_arithmetic_stays_within_the_bound_and_operand_errors_are_propagated() {
        for activation in activations() {
            for i in -2000..2000 {
                let x = i as f32 * 0.05 + 0.013;
                let (want, bound) = activate(activation, f64::from(x), 0.0);
                let got = match activation {
                    Activation::None => x,
                    Activation::Relu => x.max(0.0),
                    Activation::LeakyRelu(slope) => {
                        if x > 0.0 {
                            x
                        } else {
                            slope * x
                        }
                    }
                    Activation::Silu => x / (1.0 + (-x).exp()),
                    Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                    Activation::Hardswish => x * ((x + 3.0).clamp(0.0, 6.0) / 6.0),
                };
                assert!((f64::from(got) - want).abs() <= bound, "{activation:?}({x}) = {got}, want {want}");
                let shifted = activate(activation, f64::from(x) + 0.01, 0.0).0;
                let carried = activate(activation, f64::from(x), 0.01).1;
                assert!((shifted - want).abs() <= carried * (1.0 + 1e-12), "{activation:?} near {x}");
            }
        }
    }
}
