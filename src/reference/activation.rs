//! Activations, and how they propagate errors.

use super::{U, finite_bound};
use crate::ops::{Activation, gelu_tanh_exponent};

/// What WGSL may flush to zero.
const FLUSHED: f64 = f32::MIN_POSITIVE as f64;

/// The activated value, and its bound given that of `x`: Lipschitz constant times what arrives, plus own rounding.
pub(super) fn activate(activation: Activation, x: f64, bound: f64) -> (f64, f64) {
    let value = activation.at(x);
    let size = value.abs();
    let (lipschitz, own) = match activation {
        Activation::None | Activation::Relu | Activation::Clip(..) => (1.0, 0.0),
        Activation::LeakyRelu(slope) => (f64::from(slope).abs().max(1.0), U * size),
        Activation::Silu => (1.1, x.abs() * sigmoid_error(x, 0.0) + U * size),
        Activation::Sigmoid => (0.25, sigmoid_error(x, 0.0)),
        // A sum, a division of 2.5 ULP and a product.
        Activation::Hardswish => (1.5, 7.0 * U * size),
        // A product and a sum, as far as what they are off by is not cut off.
        Activation::HardSigmoid(alpha, beta) => {
            let [alpha, beta] = [alpha, beta].map(f64::from);
            let off = 2.0 * U * ((alpha * x).abs() + beta.abs());
            let moved = [-off, off].map(|off| ((alpha * x + beta + off).clamp(0.0, 1.0) - value).abs());
            (alpha.abs(), moved[0].max(moved[1]))
        }
        Activation::Elu(alpha) => {
            let alpha = f64::from(alpha).abs();
            (alpha.max(1.0), if x > 0.0 { 0.0 } else { alpha * exp_minus_1_error(x) + U * size })
        }
        // Of m = exp(-2|x|) - 1, it is -m / (m + 2): what m is off by counts up to twice. A sum, and a division of 5u.
        Activation::Tanh => (1.0, 2.0 * exp_minus_1_error(-2.0 * x.abs()) + 8.0 * U * size),
        // Of e = exp(-|x|), ln(1 + e) changes by 1 / (1 + e). Its series has a division of 5u whose square counts, too.
        Activation::Softplus => {
            let e = (-x.abs()).exp();
            (1.0, e / (1.0 + e) * exp_error(x) + 12.0 * U * e.ln_1p() + U * size + FLUSHED)
        }
        // Of e = exp(x) and n = e(e + 2), n changes by up to twice what e does, relative to each, and n / (n + 2) by
        // 2 / (n + 2) of that; a product and sums, a division of 5u. Beyond 20, what f32 holds of it is x.
        Activation::Mish => {
            let e = x.min(20.0).exp();
            let passed = 2.0 / (e * (e + 2.0) + 2.0) * (2.0 * exp_error(x.min(20.0)) + 3.0 * U);
            (1.1, size * (passed + 8.0 * U) + x.abs() * FLUSHED)
        }
        // The tail is t exp(q - z²): z = |x| / √2 is off by 2u, so z² by 5u of itself; t by a sum and a division, 7u, and q,
        // a sum of terms up to 2, changes by up to twice that; its own sums add 10u. The series is off by 1.2e-7 = 2u.
        Activation::Gelu => {
            let z = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
            let tail = 0.5 * libm::erfc(z);
            let exponent = (z * z).min(1e4);
            let relative = exp_error(exponent + 1.3) + U * (6.0 * exponent + 36.0);
            (1.2, x.abs() * (tail * relative + FLUSHED) + 2.0 * U * size)
        }
        // Two products of a product and a sum: 6u of the exponent.
        Activation::GeluTanh => {
            let exponent = gelu_tanh_exponent(x);
            (1.2, x.abs() * sigmoid_error(exponent, 6.0 * U * exponent.abs()) + U * size)
        }
    };
    (value, finite_bound(x, lipschitz * bound + own))
}

/// Relative error of `exp(x)` in WGSL: 3 + 2|x| ULP, each at most 2u. Nothing is left of what is further below.
fn exp_error(x: f64) -> f64 {
    (3.0 + 2.0 * x.abs().min(1e4)) * 2.0 * U
}

/// Error of `exp(x) - 1` below 0. Where it is not a difference, but a series: roundings of each product and sum, of
/// which the later ones count ever less, and what the series leaves off.
fn exp_minus_1_error(x: f64) -> f64 {
    let difference = if x > -0.5 { 0.0 } else { x.exp() * exp_error(x) };
    difference + 6.0 * U * x.exp_m1().abs() + FLUSHED
}

/// Error of `s = 1 / (1 + e)`, `e = exp(-x)`, in WGSL, where `x` is off by `arrived`. `exp` has 3 + 2|x| ULP, each at most
/// 2u: `s` changes by `s(1 - s)` times that, as ds = -s² de and e·s = 1 - s. The sum adds u·s, the division 2.5 ULP = 5u·s.
/// Where `e` is over 2¹²⁶, WGSL promises nothing about the division, and `e` itself may overflow: `s` may be 0, off by
/// 2⁻¹²⁶.
fn sigmoid_error(x: f64, arrived: f64) -> f64 {
    let s = Activation::Sigmoid.at(x);
    let through = s * (1.0 - s);
    let moved = if through == 0.0 { 0.0 } else { through * ((3.0 + 2.0 * x.abs()) * 2.0 * U + arrived) };
    moved + 6.0 * U * s + FLUSHED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of them, and a negative slope steeper than one.
    fn activations() -> impl Iterator<Item = Activation> {
        let clips = [(f32::NEG_INFINITY, 1.0), (-1.0, f32::INFINITY), (2.0, 1.0)];
        let clips = clips.map(|(least, most)| Activation::Clip(least, most));
        Activation::ALL.into_iter().chain([Activation::LeakyRelu(-1.5)]).chain(clips)
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
        assert_eq!([-9.0, 1.0, 9.0].map(|x| value(Activation::Clip(0.0, 6.0), x)), [0.0, 1.0, 6.0]);
        assert_eq!([-9.0, 9.0].map(|x| value(Activation::Clip(2.0, 1.0), x)), [1.0, 1.0]);
        assert_eq!(value(Activation::Clip(0.0, f32::INFINITY), f64::INFINITY), f64::INFINITY);
        assert_eq!([-9.0, 1.0, 9.0].map(|x| value(Activation::HardSigmoid(0.25, 0.5), x)), [0.0, 0.75, 1.0]);
        assert_eq!([f64::NEG_INFINITY, 3.0].map(|x| value(Activation::Elu(0.5), x)), [-0.5, 3.0]);
        // torch.nn.functional of -5, -1, -1e-6, 1 and 5, in float64.
        let close = |activation, want: [f64; 5]| {
            for (x, want) in [-5.0, -1.0, -1e-6, 1.0, 5.0].into_iter().zip(want) {
                let got = value(activation, x);
                assert!((got - want).abs() <= 1e-12 * want.abs(), "{activation:?} of {x}: {got}, not {want}");
            }
        };
        close(
            Activation::Tanh,
            [-0.9999092042625951, -0.7615941559557649, -9.999999999996666e-07, 0.7615941559557649, 0.9999092042625951],
        );
        close(
            Activation::Softplus,
            [0.006715348489118068, 0.31326168751822286, 0.6931466805600703, 1.3132616875182228, 5.006715348489118],
        );
        close(
            Activation::Mish,
            [-0.033576237730161704, -0.30340146137410895, -5.99999679999984e-07, 0.8650983882673103, 4.999552077529406],
        );
        close(
            Activation::Gelu,
            [
                -1.4332578593959731e-06,
                -0.15865525393145707,
                -4.999996010577196e-07,
                0.8413447460685429,
                4.99999856674214,
            ],
        );
        close(
            Activation::GeluTanh,
            [
                -2.2917961966295044e-07,
                -0.15880800939172326,
                -4.999996010577196e-07,
                0.8411919906082768,
                4.999999770820381,
            ],
        );
        assert_eq!(value(Activation::Softplus, 1e4), 1e4);
        assert_eq!([-1e4, 1e4].map(|x| value(Activation::Mish, x)), [0.0, 1e4]);
        assert_eq!([-1e4, 1e4].map(|x| value(Activation::Gelu, x)), [0.0, 1e4]);
        assert_eq!([-1e4, 1e4].map(|x| value(Activation::GeluTanh, x)), [0.0, 1e4]);
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
                let got = computed(activation, x);
                assert!((f64::from(got) - want).abs() <= bound, "{activation:?}({x}) = {got}, want {want}");
                let shifted = activate(activation, f64::from(x) + 0.01, 0.0).0;
                let carried = activate(activation, f64::from(x), 0.01).1;
                assert!((shifted - want).abs() <= carried * (1.0 + 1e-12), "{activation:?} near {x}");
            }
        }
    }

    /// As shaders compute it.
    fn computed(activation: Activation, x: f32) -> f32 {
        let exp_minus_1 = |x: f32| {
            let series = (2..=8).rev().fold(1.0, |series, i| 1.0 + x / i as f32 * series);
            if x.abs() < 0.5 { x * series } else { x.exp() - 1.0 }
        };
        match activation {
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
            Activation::Clip(least, most) => x.max(least).min(most),
            Activation::HardSigmoid(alpha, beta) => (x * alpha + beta).clamp(0.0, 1.0),
            Activation::Elu(alpha) => {
                if x > 0.0 {
                    x
                } else {
                    alpha * exp_minus_1(x)
                }
            }
            Activation::Tanh => {
                let e = exp_minus_1(-2.0 * x.abs());
                (-e / (e + 2.0)).copysign(x)
            }
            Activation::Softplus => {
                let e = (-x.abs()).exp();
                let s = e / (2.0 + e);
                let series = (0..=6).rev().fold(0.0, |series, i| s * s * series + 1.0 / (2 * i + 1) as f32);
                x.max(0.0) + 2.0 * s * series
            }
            Activation::Mish => {
                let e = x.min(20.0).exp();
                let n = e * (e + 2.0);
                x * (n / (n + 2.0))
            }
            Activation::Gelu => {
                let z = x.abs() * 0.707_106_77;
                let t = 1.0 / (1.0 + 0.5 * z);
                let terms = [
                    0.170_872_77,
                    -0.822_152_23,
                    1.488_515_9,
                    -1.135_204,
                    0.278_868_07,
                    -0.186_288_06,
                    0.096_784_18,
                    0.374_091_96,
                    1.000_023_7,
                ];
                let q = terms.into_iter().fold(0.0, |q, term| t * q + term);
                let tail = 0.5 * t * (t * q - z * z - 1.265_512_2).exp();
                x * if x > 0.0 { 1.0 - tail } else { tail }
            }
            Activation::GeluTanh => x / (1.0 + (-1.595_769 * x * (1.0 + 0.044_715 * x * x)).exp()),
        }
    }
}
