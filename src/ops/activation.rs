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
}

impl Activation {
    /// Every one of them, each with a parameter that shows.
    pub const ALL: [Self; 5] = [Self::None, Self::Relu, Self::LeakyRelu(0.2), Self::Silu, Self::Sigmoid];

    /// The number by which `shaders/shared/activation.wgsl` knows it.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Relu => 1,
            Self::LeakyRelu(_) => 2,
            Self::Silu => 3,
            Self::Sigmoid => 4,
        }
    }

    /// What multiplies negative values, where it has such a parameter.
    pub(crate) const fn slope(self) -> f32 {
        match self {
            Self::LeakyRelu(slope) => slope,
            Self::None | Self::Relu | Self::Silu | Self::Sigmoid => 0.0,
        }
    }

    /// Its value at `x`, by its definition.
    pub(crate) fn at(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// Errors: a parameter that is not finite.
    pub(crate) fn check(self, op: &str) -> Result<()> {
        match self {
            Self::LeakyRelu(slope) if !slope.is_finite() => {
                Err(Error::param(op, "slope", slope, "the slope of LeakyReLU must be finite"))
            }
            _ => Ok(()),
        }
    }

    /// Its name behind a comma; nothing for none.
    pub(crate) fn describe(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Relu => f.write_str(", relu"),
            Self::LeakyRelu(slope) => write!(f, ", leaky relu {slope}"),
            Self::Silu => f.write_str(", silu"),
            Self::Sigmoid => f.write_str(", sigmoid"),
        }
    }
}
