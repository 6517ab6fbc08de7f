//! An operation in a few words: its name, and the attributes that are not the usual ones.

use std::fmt;

use super::Op;
use crate::ops::{Activation, Padding, PyramidMode, SoftmaxAxis};

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stem())?;
        match self {
            Self::Input | Self::Concat(_) => Ok(()),
            Self::Conv(op) => {
                write!(f, " {}", by(op.kernel()))?;
                window(f, op.stride, op.padding, op.dilation)?;
                if op.groups != 1 {
                    write!(f, ", groups {}", op.groups)?;
                }
                if op.scale != 1.0 {
                    write!(f, ", scale {}", op.scale)?;
                }
                activation(f, op.activation)
            }
            Self::ConvSum(op) => {
                let terms: Vec<String> = op.terms.iter().map(|term| by(term.kernel())).collect();
                write!(f, " of {}", terms.join(", "))?;
                activation(f, op.activation)
            }
            Self::MaxPool(op) => {
                write!(f, " {}", by(op.kernel))?;
                window(f, op.stride, op.padding, op.dilation)?;
                if op.ceil_mode { f.write_str(", ceil") } else { Ok(()) }
            }
            Self::MaxPoolCascade(op) => write!(f, " {} times {}", op.times, by([op.kernel; 2])),
            Self::PyramidPool(op) => {
                let mode = if op.mode == PyramidMode::Padded { "padded" } else { "adaptive" };
                write!(f, " {:?}, {mode}", op.levels)
            }
            Self::AffineActivation(op) => {
                if op.is_bare_activation() {
                    f.write_str(", no scale")?;
                }
                activation(f, op.activation)
            }
            Self::Add(op) => {
                if op.scale != 1.0 {
                    write!(f, ", scale {}", op.scale)?;
                }
                activation(f, op.activation)
            }
            Self::Linear(op) => activation(f, op.activation),
            Self::Softmax(op) => {
                f.write_str(if op.axis == SoftmaxAxis::Channels { " over channels" } else { " over columns" })
            }
            Self::GlobalPool(op) => write!(f, " {:?}", op.kind),
            Self::Resize(op) => write!(f, " {:?}", op.mode),
            Self::Layout(op) => write!(f, ", rows of {}", op.width),
        }
    }
}

/// `3x1`
fn by([h, w]: [u32; 2]) -> String {
    format!("{h}x{w}")
}

fn window(f: &mut fmt::Formatter<'_>, stride: [u32; 2], padding: Padding, dilation: [u32; 2]) -> fmt::Result {
    if stride != [1, 1] {
        write!(f, ", stride {}", by(stride))?;
    }
    let Padding { top, left, bottom, right } = padding;
    if (top, left) != (bottom, right) {
        write!(f, ", padding {top} {left} {bottom} {right}")?;
    } else if (top, left) != (0, 0) {
        write!(f, ", padding {}", by([top, left]))?;
    }
    if dilation != [1, 1] {
        write!(f, ", dilation {}", by(dilation))?;
    }
    Ok(())
}

fn activation(f: &mut fmt::Formatter<'_>, activation: Activation) -> fmt::Result {
    match activation {
        Activation::None => Ok(()),
        Activation::Relu => f.write_str(", relu"),
        Activation::LeakyRelu(slope) => write!(f, ", leaky relu {slope}"),
        Activation::Silu => f.write_str(", silu"),
        Activation::Sigmoid => f.write_str(", sigmoid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Conv, MaxPool};
    use crate::tensor::{Shape, Tensor};

    #[test]
    fn only_unusual_attributes_are_told() {
        let weight = Tensor::filled(Shape::new(8, 4, 3, 1), 1.0).unwrap();
        let conv = Conv {
            stride: [2, 2],
            groups: 2,
            padding: Padding::symmetric(1, 0),
            activation: Activation::Silu,
            ..Conv::new(weight)
        };
        assert_eq!(Op::Conv(conv).to_string(), "conv 3x1, stride 2x2, padding 1x0, groups 2, silu");
        assert_eq!(Op::MaxPool(MaxPool::same(5)).to_string(), "max_pool 5x5, padding 2x2");
    }
}
