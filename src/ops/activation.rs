//! What happens to a value before it is stored.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, unknown};

/// A function of one value. `NaN` stays `NaN` in all of them.
///
/// As text, in the arguments of blocks: `none`, `relu`, `leaky_relu(0.1)` with any slope, `silu`, `sigmoid`, `hardswish`.
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
}

impl Activation {
    /// Every activation, each parameter with a visible effect.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Relu, Self::LeakyRelu(0.2), Self::Silu, Self::Sigmoid, Self::Hardswish];

    /// Its number in `shaders/shared/activation.wgsl`, its name and parameter, and its value at `x` by definition.
    fn row(self, x: f64) -> (u32, &'static str, Option<f32>, f64) {
        match self {
            Self::None => (0, "none", None, x),
            Self::Relu => (1, "relu", None, if x < 0.0 { 0.0 } else { x }),
            Self::LeakyRelu(slope) => (2, "leaky relu", Some(slope), if x > 0.0 { x } else { f64::from(slope) * x }),
            Self::Silu => (3, "silu", None, x / (1.0 + (-x).exp())),
            Self::Sigmoid => (4, "sigmoid", None, 1.0 / (1.0 + (-x).exp())),
            Self::Hardswish => (5, "hardswish", None, x * ((x + 3.0).clamp(0.0, 6.0) / 6.0)),
        }
    }

    /// Its number in the shaders.
    pub(crate) fn number(self) -> u32 {
        self.row(0.0).0
    }

    /// The parameter that shaders call its slope; 0 for functions without one.
    pub(crate) fn slope(self) -> f32 {
        self.row(0.0).2.unwrap_or(0.0)
    }

    /// Its value at `x`, by definition.
    pub(crate) fn at(self, x: f64) -> f64 {
        self.row(x).3
    }

    /// Errors: a parameter that is not finite.
    pub(crate) fn check(self, op: &str) -> Result<()> {
        let (_, name, parameter, _) = self.row(0.0);
        match parameter {
            Some(slope) if !slope.is_finite() => {
                Err(Error::param(op, "slope", slope, &format!("must be finite, as {name} multiplies by it")))
            }
            _ => Ok(()),
        }
    }

    /// Its name and parameter after a comma; nothing for `None`.
    pub(crate) fn describe(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name, parameter, _) = self.row(0.0);
        match parameter {
            _ if self == Self::None => Ok(()),
            Some(parameter) => write!(f, ", {name} {parameter}"),
            None => write!(f, ", {name}"),
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// Errors: an unknown name; a slope that is missing, not finite, or given to a function that has none.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse("activation", "name", text)
    }
}

impl Activation {
    /// From its text, for the parameter `param` of `op`.
    pub(crate) fn parse(op: &str, param: &'static str, text: &str) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::param(op, param, text, reason));
        let (name, slope) = match text.split_once('(').map(|(name, rest)| (name, rest.strip_suffix(')'))) {
            Some((_, None)) => return refuse("lacks its closing bracket"),
            Some((name, slope)) => (name, slope),
            None => (text, None),
        };
        let named = |activation: &Self| activation.row(0.0).1.replace(' ', "_");
        let Some(found) = Self::ALL.into_iter().find(|activation| named(activation) == name) else {
            let names = Self::ALL.each_ref().map(named);
            return refuse(&unknown(name, &names.each_ref().map(String::as_str)));
        };
        match (found, slope.map(|slope| slope.trim().parse::<f32>())) {
            (Self::LeakyRelu(_), Some(Ok(slope))) if slope.is_finite() => Ok(Self::LeakyRelu(slope)),
            (Self::LeakyRelu(_), _) => refuse("needs a finite slope: leaky_relu(0.1)"),
            (_, Some(_)) => refuse("takes no parameter"),
            (found, None) => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_is_read_by_its_name() {
        for activation in Activation::ALL {
            let (_, name, slope, _) = activation.row(0.0);
            let slope = slope.map_or_else(String::new, |slope| format!("({slope})"));
            let text = format!("{}{slope}", name.replace(' ', "_"));
            assert_eq!(text.parse::<Activation>().unwrap(), activation, "{text}");
        }
        assert_eq!("leaky_relu( -1e-2 )".parse::<Activation>().unwrap(), Activation::LeakyRelu(-0.01));
        for (text, reason) in [
            ("mish", "is unknown. Known: none, relu, leaky_relu, silu, sigmoid, hardswish"),
            ("SiLU", "did you mean 'silu'"),
            ("hard_swish", "did you mean 'hardswish'"),
            ("", "is unknown"),
            ("leaky_relu", "needs a finite slope"),
            ("leaky_relu()", "needs a finite slope"),
            ("leaky_relu(nan)", "needs a finite slope"),
            ("leaky_relu(1e39)", "needs a finite slope"),
            ("leaky_relu(0.1", "closing bracket"),
            ("silu(1)", "takes no parameter"),
        ] {
            let error = text.parse::<Activation>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
