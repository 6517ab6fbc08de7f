//! What operations are: attributes, shape rule, cost and receptive field; one file each. `reference` and `kernels`
//! compute them. Every `output_shape` also refuses counts beyond 32 bits and activation slopes that are not finite.
//!
//! | operation | computes |
//! | --- | --- |
//! | `add` | `act(scale * a + b)` |
//! | `affine_activation` | batch normalisation and activation, if no convolution absorbs them |
//! | `avg_pool` | the mean of each window; padding counts or does not, as in `torch.nn.AvgPool2d` and ONNX |
//! | `concat` | along channels: planned away if producers can write in place, else a copy |
//! | `constant` | values that are part of the graph |
//! | `conv` | any kernel, stride, dilation, groups, uneven padding; bias; `act(scale * y + residual)` or `act(scale * y) + residual` after it |
//! | `conv_sum` | the sum of convolutions of one or several inputs, in one pass: all of ASPP v2, the tail of RFB |
//! | `gather` | values by indices that are computed |
//! | `global_pool` | mean or maximum of each channel |
//! | `layout` | score maps to rows |
//! | `linear` | fully connected |
//! | `map` | a formula of one or several tensors, value by value |
//! | `matmul` | products of matrices that are both computed |
//! | `max_pool` | the maximum of each window: uneven padding, dilation, PyTorch's ceil mode; `NaN` always wins |
//! | `max_pool_cascade` | chained stride-1 pools of one kernel, each result kept |
//! | `narrow` | some of a map's channels |
//! | `paint` | a map as a texture: colours, a heat map, classes over a picture |
//! | `pyramid_pool` | all bins of all levels; `padded` as in the original code, `adaptive` for any size |
//! | `rearrange` | values in another order: transposes, slices, padding, tiles |
//! | `reduce` | sums, means, extremes and their places over any axes |
//! | `resample` | resizing by any weights: cubic, antialiased, cropped |
//! | `reshape` | the same values under another shape |
//! | `resize` | bilinear or nearest |
//! | `softmax` | over channels, over rows of scores, or along any axis; its logarithm |
//! | `texture` | a picture in textures as a tensor: cropped, resized, normalised |
//! | `top_k` | where the largest or smallest values are |
//!
//! [`Activation`] lists the functions that may follow.

use std::fmt;
use std::ops::Add as Plus;

use crate::error::{Error, Result};
use crate::tensor::Shape;

mod activation;
mod add;
mod affine_activation;
mod avg_pool;
mod concat;
mod constant;
mod conv;
mod conv_sum;
mod gather;
mod global_pool;
mod layout;
mod linear;
mod map;
mod matmul;
mod max_pool;
mod max_pool_cascade;
mod narrow;
mod paint;
mod pyramid_pool;
mod rearrange;
mod reduce;
mod resample;
mod reshape;
mod resize;
mod softmax;
mod strided;
mod texture;
mod top_k;
mod weight;
mod window;

pub use activation::Activation;
pub(crate) use activation::gelu_tanh_exponent;
pub use add::Add;
pub use affine_activation::AffineActivation;
pub use avg_pool::AvgPool;
pub use concat::Concat;
pub use constant::Constant;
pub use conv::Conv;
pub use conv_sum::ConvSum;
pub use gather::Gather;
pub use global_pool::{GlobalPool, GlobalPoolKind};
pub use layout::Layout;
pub use linear::Linear;
pub use map::{Formula, FormulaStep, Function, Map, Term};
pub use matmul::Matmul;
pub use max_pool::MaxPool;
pub use max_pool_cascade::MaxPoolCascade;
pub use narrow::Narrow;
pub use paint::{Color, Paint, Paints};
pub use pyramid_pool::{PyramidMode, PyramidPool};
pub use rearrange::{Rearrange, Walk};
pub use reduce::{Reduce, ReduceKind};
pub use resample::{Resample, Taps};
pub use reshape::Reshape;
pub use resize::{Resize, ResizeMode};
pub use softmax::{Softmax, SoftmaxAxis};
pub use strided::{Axis, Strided};
pub(crate) use strided::{Pair, span, together};
pub use texture::{ColorOrder, Fit, Rect, Texels, Texture, Yuv, YuvMatrix};
pub use top_k::TopK;
pub use weight::Weight;
pub(crate) use weight::{Given, Made, Recipe};
pub use window::Padding;

/// Every operation: its stem, its attributes, and the operands of its builder method. [`Op`] and the methods of
/// [`Graph`](crate::Graph) are made from this list.
macro_rules! operations {
    ($make:ident) => {
        $make! {
            add: Add(a, b),
            affine_activation: AffineActivation(x),
            avg_pool: AvgPool(x),
            concat: Concat(),
            constant: Constant(),
            conv: Conv(x),
            conv_sum: ConvSum[inputs],
            gather: Gather(x, indices),
            global_pool: GlobalPool(x),
            layout: Layout(x),
            linear: Linear(x),
            map: Map[inputs],
            matmul: Matmul(a, b),
            max_pool: MaxPool(x),
            max_pool_cascade: MaxPoolCascade(x),
            narrow: Narrow(x),
            paint: Paint[inputs],
            pyramid_pool: PyramidPool(x),
            rearrange: Rearrange(x),
            reduce: Reduce(x),
            resample: Resample(x),
            reshape: Reshape(x),
            resize: Resize(x),
            softmax: Softmax(x),
            texture: Texture[planes],
            top_k: TopK(x),
        }
    };
}
pub(crate) use operations;

macro_rules! make_op {
    ($($stem:ident: $Op:ident $operands:tt),* $(,)?) => {
        /// What a node computes.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each variant is documented at the type it holds")]
        pub enum Op {
            Input,
            Picture(Texels),
            $($Op($Op)),*
        }

        impl Op {
            /// The stems of all operations.
            pub const STEMS: &[&str] = &[$(stringify!($stem)),*];

            /// The operation's name, shared by its module, reference, tests and benches.
            pub const fn stem(&self) -> &'static str {
                match self {
                    Self::Input => "input",
                    Self::Picture(_) => "picture",
                    $(Self::$Op(_) => stringify!($stem)),*
                }
            }

            /// Whether every run is given it.
            pub const fn is_input(&self) -> bool {
                matches!(self, Self::Input | Self::Picture(_))
            }

            /// What a result is in, if in a texture.
            pub(crate) const fn texels(&self) -> Option<Texels> {
                match self {
                    Self::Picture(texels) | Self::Paint(Paint { texels, .. }) => Some(*texels),
                    _ => None,
                }
            }

            /// `None` for an input, which computes nothing.
            pub(crate) fn operation(&self) -> Option<&dyn Operation> {
                match self {
                    Self::Input | Self::Picture(_) => None,
                    $(Self::$Op(op) => Some(op)),*
                }
            }
        }

        $(impl From<$Op> for Op {
            fn from(op: $Op) -> Self {
                Self::$Op(op)
            }
        })*
    };
}
operations!(make_op);

/// What a graph must know about an operation, however it is computed.
pub(crate) trait Operation {
    /// The result's shape. Errors: a wrong number of operands, and those of the type's `output_shape`.
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape>;

    /// What it costs to compute `y`.
    fn work(&self, y: Shape) -> Work;

    /// What a value of the result sees of the operands.
    fn view(&self) -> View;

    /// The unusual attributes, for people, each after a comma or a space.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// What an operation is applied to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    /// Of the node it comes from.
    pub(crate) name: &'a str,
    pub(crate) shape: Shape,
    /// What it is in, if in a texture.
    pub(crate) texels: Option<Texels>,
}

impl Operand<'_> {
    /// For people: what it is.
    fn described(&self) -> String {
        let kind = self.texels.map_or_else(|| "a tensor".into(), |texels| format!("a texture of {texels}"));
        format!("'{}', {kind}", self.name)
    }

    /// Names the operand's node in a mismatch.
    fn named_in(&self, error: Error) -> Error {
        match error {
            Error::ShapeMismatch { op, detail } => Error::mismatch(op, format!("{detail} from '{}'", self.name)),
            other => other,
        }
    }
}

/// Exactly `N` operands. Errors: any other number.
fn operands<'a, const N: usize>(op: &str, xs: &[Operand<'a>]) -> Result<[Operand<'a>; N]> {
    let count = || Error::Graph(format!("{op} got {} operands, expected {N}", xs.len()));
    xs.try_into().map_err(|_| count())
}

/// What an operation costs, however it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Weights and biases.
    pub(crate) parameters: u64,
    /// Twice the multiply-adds.
    pub(crate) flops: u64,
}

impl Work {
    /// Of operations without weights: activations, sums and maxima are not counted.
    pub(crate) const NONE: Self = Self { parameters: 0, flops: 0 };

    /// Of a weight `[out, in, h, w]` whose every value is used once per output pixel.
    fn of(weight: Shape, has_bias: bool, y: Shape) -> Self {
        let per_output = u64::from(weight.c) * u64::from(weight.h) * u64::from(weight.w);
        let parameters = weight.len() + if has_bias { u64::from(weight.n) } else { 0 };
        Self { parameters, flops: (2 * per_output).saturating_mul(y.len()) }
    }
}

impl Plus for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let parameters = self.parameters.saturating_add(other.parameters);
        Self { parameters, flops: self.flops.saturating_add(other.flops) }
    }
}

/// What a value of the result sees of the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// A window of this many rows and columns, dilation included, and the distance to the next one.
    Window { extent: [u64; 2], stride: [u64; 2] },
    /// The whole map.
    Whole,
}

impl View {
    /// The pixel at the same place.
    pub(crate) const PIXEL: Self = Self::Window { extent: [1, 1], stride: [1, 1] };

    fn window(kernel: [u32; 2], stride: [u32; 2], dilation: [u32; 2]) -> Self {
        let extent = [0, 1].map(|i| (u64::from(kernel[i]) - 1) * u64::from(dilation[i]) + 1);
        Self::Window { extent, stride: stride.map(u64::from) }
    }

    /// A view that covers both.
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Window { extent: a, stride: s }, Self::Window { extent: b, stride: t }) => {
                let larger = |a: [u64; 2], b: [u64; 2]| [a[0].max(b[0]), a[1].max(b[1])];
                Self::Window { extent: larger(a, b), stride: larger(s, t) }
            }
            (Self::Whole, _) | (_, Self::Whole) => Self::Whole,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stem())?;
        self.operation().map_or(Ok(()), |operation| operation.describe(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn only_unusual_attributes_are_shown() {
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
