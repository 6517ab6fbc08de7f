//! What happens to a value before it is stored.

use std::fmt;

use crate::error::{Error, Result};

/// A function of one value. `NaN` stays `NaN` in all of them.
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
