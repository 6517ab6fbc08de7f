//! What happens to a value before it is stored.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, unknown};

/// A function of one value. `NaN` stays `NaN` in all of them.
///
/// As text, in the arguments of blocks: `none`, `relu`, `leaky_relu(0.1)` with any slope, `silu`, `sigmoid`, `hardswish`,
/// `clip(0, 6)` or `relu6`, `clip(-inf, 1)`, `hard_sigmoid(0.2, 0.5)`, `elu(1)`, `tanh`, `softplus`, `mish`, `gelu`,
/// `gelu_tanh`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f32),
    /// `x / (1 + exp(-x))`
    Silu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x * clamp(x + 3, 0, 6) / 6`, as `torch.nn.Hardswish`
    Hardswish,
    /// `min(max(x, a), b)`: `a` may be minus infinity, `b` infinity
    Clip(f32, f32),
    /// `clamp(alpha * x + beta, 0, 1)`
    HardSigmoid(f32, f32),
    /// `x` where positive, else `alpha * (exp(x) - 1)`
    Elu(f32),
    /// `tanh(x)`
    Tanh,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x * tanh(ln(1 + exp(x)))`
    Mish,
    /// `x * (1 + erf(x / √2)) / 2`
    Gelu,
    /// `x * (1 + tanh(√(2 / π) * (x + 0.044715 * x³))) / 2`
    GeluTanh,
}

impl Activation {
    /// Every activation, each parameter with a visible effect.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Relu,
        Self::LeakyRelu(0.2),
        Self::Silu,
        Self::Sigmoid,
        Self::Hardswish,
        Self::Clip(-0.25, 0.5),
        Self::HardSigmoid(0.75, 0.25),
        Self::Elu(0.5),
        Self::Tanh,
        Self::Softplus,
        Self::Mish,
        Self::Gelu,
        Self::GeluTanh,
    ];

    /// Its number in `shaders/shared/activation.wgsl`, its name and parameters, and its value at `x` by definition.
    fn row(self, x: f64) -> (u32, &'static str, [Option<f32>; 2], f64) {
        const NO: [Option<f32>; 2] = [None; 2];
        match self {
            Self::None => (0, "none", NO, x),
            Self::Relu => (1, "relu", NO, if x < 0.0 { 0.0 } else { x }),
            Self::LeakyRelu(slope) => {
                (2, "leaky relu", [Some(slope), None], if x > 0.0 { x } else { f64::from(slope) * x })
            }
            Self::Silu => (3, "silu", NO, x / (1.0 + (-x).exp())),
            Self::Sigmoid => (4, "sigmoid", NO, 1.0 / (1.0 + (-x).exp())),
            Self::Hardswish => (5, "hardswish", NO, x * ((x + 3.0).clamp(0.0, 6.0) / 6.0)),
            Self::Clip(least, most) => {
                // What has no limit is not compared with one.
                let number = match [least, most].map(f32::is_finite) {
                    [false, false] => 0,
                    [true, false] => 6,
                    [false, true] => 7,
                    [true, true] => 8,
                };
                let [a, b] = [least, most].map(f64::from);
                let raised = if x < a { a } else { x };
                (number, "clip", [Some(least), Some(most)], if raised > b { b } else { raised })
            }
            Self::HardSigmoid(alpha, beta) => {
                let value = (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0);
                (9, "hard sigmoid", [Some(alpha), Some(beta)], value)
            }
            Self::Elu(alpha) => {
                (10, "elu", [Some(alpha), None], if x > 0.0 { x } else { f64::from(alpha) * x.exp_m1() })
            }
            Self::Tanh => (11, "tanh", NO, x.tanh()),
            Self::Softplus => (12, "softplus", NO, softplus(x)),
            Self::Mish => (13, "mish", NO, x * softplus(x).tanh()),
            Self::Gelu => (14, "gelu", NO, x * (libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0)),
            // (1 + tanh a) / 2 = 1 / (1 + exp(-2a)), which does not cancel.
            Self::GeluTanh => (15, "gelu tanh", NO, x / (1.0 + (-gelu_tanh_exponent(x)).exp())),
        }
    }

    /// Its number in the shaders.
    pub(crate) fn number(self) -> u32 {
        self.row(0.0).0
    }

    /// Whether it is one of the few that every kernel of convolutions has.
    pub(crate) fn is_common(self) -> bool {
        self.number() <= 5
    }

    /// The parameters that shaders call alpha and beta; 0 for those that it lacks, and for infinite ones.
    pub(crate) fn parameters(self) -> [f32; 2] {
        self.row(0.0).2.map(|parameter| parameter.filter(|value| value.is_finite()).unwrap_or(0.0))
    }

    /// Its value at `x`, by definition.
    pub(crate) fn at(self, x: f64) -> f64 {
        self.row(x).3
    }

    /// The parameter that it cannot have, and why.
    fn fault(self) -> Option<(&'static str, f32, &'static str)> {
        match self {
            Self::LeakyRelu(slope) if !slope.is_finite() => {
                Some(("slope", slope, "must be finite, as leaky relu multiplies by it"))
            }
            Self::Clip(least, _) if least.is_nan() || least == f32::INFINITY => {
                Some(("min", least, "must be a number or minus infinity"))
            }
            Self::Clip(_, most) if most.is_nan() || most == f32::NEG_INFINITY => {
                Some(("max", most, "must be a number or infinity"))
            }
            // Infinity times 0 is NaN.
            Self::HardSigmoid(alpha, _) if !alpha.is_normal() => Some(("alpha", alpha, "must be finite and not 0")),
            Self::HardSigmoid(_, beta) if !beta.is_finite() => Some(("beta", beta, "must be finite")),
            Self::Elu(alpha) if !alpha.is_finite() => Some(("alpha", alpha, "must be finite")),
            _ => None,
        }
    }

    /// Errors: a parameter that is not finite, but for the limits of a clip; a hard sigmoid that multiplies by 0.
    pub(crate) fn check(self, op: &str) -> Result<()> {
        match self.fault() {
            Some((param, value, reason)) => Err(Error::param(op, param, value, reason)),
            None => Ok(()),
        }
    }

    /// Its name and parameters after a comma; nothing for `None`.
    pub(crate) fn describe(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self == Self::None {
            return Ok(());
        }
        let (_, name, parameters, _) = self.row(0.0);
        write!(f, ", {name}")?;
        parameters.into_iter().flatten().try_for_each(|parameter| write!(f, " {parameter}"))
    }
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p() + if x.is_nan() { x } else { 0.0 }
}

/// Twice what [`Activation::GeluTanh`] takes the hyperbolic tangent of.
pub(crate) fn gelu_tanh_exponent(x: f64) -> f64 {
    2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

impl FromStr for Activation {
    type Err = Error;

    /// Errors: an unknown name; parameters that are missing, too many or out of range.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse("activation", "name", text)
    }
}

impl Activation {
    /// From its text, for the parameter `param` of `op`.
    pub(crate) fn parse(op: &str, param: &'static str, text: &str) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::param(op, param, text, reason));
        let (name, inside) = match text.split_once('(').map(|(name, rest)| (name, rest.strip_suffix(')'))) {
            Some((_, None)) => return refuse("lacks its closing bracket"),
            Some((name, inside)) => (name, inside),
            None => (text, None),
        };
        if text == "relu6" {
            return Ok(Self::Clip(0.0, 6.0));
        }
        let named = |activation: &Self| activation.row(0.0).1.replace(' ', "_");
        let Some(found) = Self::ALL.into_iter().find(|activation| named(activation) == name) else {
            let names = Self::ALL.each_ref().map(named);
            return refuse(&unknown(name, &names.each_ref().map(String::as_str)));
        };
        let numbers = inside.map(|inside| inside.split(',').map(|number| number.trim().parse::<f32>()).collect());
        let made = match (found, numbers.transpose().ok().as_ref().map(Option::<Vec<f32>>::as_deref)) {
            (Self::LeakyRelu(_), Some(Some(&[slope]))) => Ok(Self::LeakyRelu(slope)),
            (Self::LeakyRelu(_), _) => Err("needs a finite slope: leaky_relu(0.1)"),
            (Self::Clip(..), Some(Some(&[least, most]))) => Ok(Self::Clip(least, most)),
            (Self::Clip(..), _) => Err("needs both limits: clip(0, 6) or clip(-inf, 1)"),
            (Self::HardSigmoid(..), Some(Some(&[alpha, beta]))) => Ok(Self::HardSigmoid(alpha, beta)),
            (Self::HardSigmoid(..), _) => Err("needs alpha and beta: hard_sigmoid(0.2, 0.5)"),
            (Self::Elu(_), Some(Some(&[alpha]))) => Ok(Self::Elu(alpha)),
            (Self::Elu(_), _) => Err("needs alpha: elu(1)"),
            (found, Some(None)) => Ok(found),
            _ => Err("takes no parameter"),
        };
        match made.map(|made| (made, made.fault())) {
            Ok((made, None)) => Ok(made),
            Ok((Self::LeakyRelu(_), _)) => refuse("needs a finite slope: leaky_relu(0.1)"),
            Ok((_, Some((what, _, reason)))) => refuse(&format!("{what} {reason}")),
            Err(reason) => refuse(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_is_read_by_its_name() {
        for activation in Activation::ALL {
            let (_, name, parameters, _) = activation.row(0.0);
            let parameters: Vec<String> = parameters.into_iter().flatten().map(|value| value.to_string()).collect();
            let brackets = if parameters.is_empty() { String::new() } else { format!("({})", parameters.join(", ")) };
            let text = format!("{}{brackets}", name.replace(' ', "_"));
            assert_eq!(text.parse::<Activation>().unwrap(), activation, "{text}");
        }
        assert_eq!("leaky_relu( -1e-2 )".parse::<Activation>().unwrap(), Activation::LeakyRelu(-0.01));
        assert_eq!("relu6".parse::<Activation>().unwrap(), Activation::Clip(0.0, 6.0));
        assert_eq!("clip(-inf,1)".parse::<Activation>().unwrap(), Activation::Clip(f32::NEG_INFINITY, 1.0));
        for (text, reason) in [
            ("swish2", "is unknown. Known: none, relu, leaky_relu, silu, sigmoid, hardswish, clip, hard_sigmoid, elu"),
            ("SiLU", "did you mean 'silu'"),
            ("hard_swish", "did you mean 'hardswish'"),
            ("", "is unknown"),
            ("leaky_relu", "needs a finite slope"),
            ("leaky_relu()", "needs a finite slope"),
            ("leaky_relu(nan)", "needs a finite slope"),
            ("leaky_relu(1e39)", "needs a finite slope"),
            ("leaky_relu(0.1", "closing bracket"),
            ("silu(1)", "takes no parameter"),
            ("silu(a)", "takes no parameter"),
            ("leaky_relu(1, 2)", "needs a finite slope"),
            ("clip(1)", "needs both limits"),
            ("clip(nan, 1)", "min must be a number"),
            ("clip(0, -inf)", "max must be a number"),
            ("hard_sigmoid(0, 1)", "alpha must be finite and not 0"),
            ("hard_sigmoid(0.2, inf)", "beta must be finite"),
            ("elu", "needs alpha"),
            ("elu(inf)", "alpha must be finite"),
        ] {
            let error = text.parse::<Activation>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
