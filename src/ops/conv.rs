//! 2-D convolution with its epilogue: `y = act(scale * (w * x + bias) + residual)`, or the residual after `act`.

use std::fmt;
use std::sync::Arc;

use super::window::{axes, by, describe_window, window_output};
use super::{Activation, Operand, Operation, Padding, View, Weight, Work};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// A convolution as `torch.nn.Conv2d`, followed by `act(scale * y + residual)`; the residual is optional. It is
/// - of the output's shape; or
/// - one pixel per image, `[n, out_c, 1, 1]`, added to all pixels; or
/// - made by the planner, such a pixel with one channel more, `[n, out_c + 1, 1, 1]`: that channel is added, to all
///   channels, in the upper and in the left half of the map, centre not included. There, bilinear resizing also weights its pixel by zero: with
///   weights of zero, a channel is 0 where all it reads is finite, and `NaN` where resizing would make it so.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[out_c, in_c / groups, kernel_h, kernel_w]`
    pub weight: Weight,
    /// One value per output channel.
    pub bias: Option<Arc<[f32]>>,
    /// Rows, columns.
    pub stride: [u32; 2],
    /// Zeros around the input, for each side.
    pub padding: Padding,
    /// Rows, columns.
    pub dilation: [u32; 2],
    /// Channels are split into this many independent groups.
    pub groups: u32,
    /// Applied last, unless `adds_last`.
    pub activation: Activation,
    /// Multiplies the sum, bias included, before the residual is added; 1 unless set.
    pub scale: f32,
    /// The residual, which must then have the output's shape, is added after the activation: `act(scale * y) + residual`.
    pub adds_last: bool,
}

impl Conv {
    /// Stride 1, no padding, no bias, no activation; set fields with `Conv { stride: [2, 2], ..Conv::new(weight) }`.
    pub fn new(weight: impl Into<Weight>) -> Self {
        Self {
            weight: weight.into(),
            bias: None,
            stride: [1, 1],
            padding: Padding::default(),
            dilation: [1, 1],
            groups: 1,
            activation: Activation::None,
            scale: 1.0,
            adds_last: false,
        }
    }

    /// Height and width of the kernel.
    pub fn kernel(&self) -> [u32; 2] {
        [self.weight.shape().h, self.weight.shape().w]
    }

    /// Taps of the kernel.
    pub(crate) fn taps_len(&self) -> u64 {
        self.kernel().map(u64::from).iter().product()
    }

    /// Whether weights and biases can take over a factor and a summand for each output channel, so that these act before
    /// the sum. No product may come near the end of `f32`, where sums would overflow before terms cancel.
    pub(crate) fn can_fold(&self, affine: impl Fn(usize) -> (f64, f64)) -> bool {
        const LARGE: f64 = (1u128 << 64) as f64;
        self.holds(affine, LARGE)
    }

    /// Whether `f32` holds weights and biases times a factor, with a summand, for each output channel: nothing that a
    /// factor above 1 enlarges may exceed `most_allowed`, and nothing may underflow unless the channel has a weight or a
    /// bias beside which that is no loss.
    fn holds(&self, affine: impl Fn(usize) -> (f64, f64), most_allowed: f64) -> bool {
        /// 2⁻⁸⁰: what underflows is below 2⁻¹²⁶, far less than one rounding of this.
        const LARGE: f64 = 1.0 / (1u128 << 80) as f64;
        (0..self.weight.shape().n as usize).all(|o| {
            let (scale, shift) = affine(o);
            if (scale, shift) == (1.0, 0.0) {
                return true;
            }
            let bias = self.bias.as_ref().map_or(0.0, |bias| bias[o]);
            let folded = f64::from(bias) * scale + shift;
            let sizes = self.weight.sizes()[o];
            let [least, most] = [sizes.least, sizes.most].map(|w| f64::from(w) * scale.abs());
            // A factor that is itself below the range is flushed to zero in either place.
            let lost = scale.abs() >= f64::from(f32::MIN_POSITIVE) && least < f64::from(f32::MIN_POSITIVE);
            scale.is_finite()
                && shift.is_finite()
                && (scale.abs() <= 1.0 || most <= most_allowed)
                && (!bias.is_finite() || (folded as f32).is_finite())
                && (!lost || most.max(folded.abs()) >= LARGE)
        })
    }

    /// Output shape for `x`: `[n, out_c, out_h, out_w]`. Errors: zero kernel, stride, dilation or groups; groups that
    /// do not divide the channels; a mismatched weight or bias; a scale that is not finite, or that takes weights out
    /// of the range of `f32`; an empty output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let weight = self.weight.shape();
        if self.groups == 0 || !x.c.is_multiple_of(self.groups) || !weight.n.is_multiple_of(self.groups) {
            let reason = format!("must divide {} input and {} output channels", x.c, weight.n);
            return Err(Error::param(op, "groups", self.groups, &reason));
        }
        if weight.n == 0 {
            return Err(Error::param(op, "weight", weight, "needs at least one output channel"));
        }
        if u64::from(weight.c) * u64::from(self.groups) != u64::from(x.c) {
            let expected = u64::from(weight.c) * u64::from(self.groups);
            let detail = format!("weight {weight} expects {expected} input channels, got {}: {x}", x.c);
            return Err(Error::mismatch(op, detail));
        }
        if let Some(bias) = &self.bias
            && bias.len() as u64 != u64::from(weight.n)
        {
            let detail =
                format!("bias has {} values, weight {weight} has {} output channels: {x}", bias.len(), weight.n);
            return Err(Error::mismatch(op, detail));
        }
        if !self.scale.is_finite() {
            return Err(Error::param(op, "scale", self.scale, "must be finite"));
        }
        if !self.holds(|_| (self.scale.into(), 0.0), f32::MAX.into()) {
            let reason = "takes weights or biases out of the range of f32; scale by an affine_activation instead";
            return Err(Error::param(op, "scale", self.scale, reason));
        }
        self.activation.check(op)?;
        window_output(op, x, axes(x, self.kernel(), self.stride, self.dilation, self.padding), weight.n, false)
    }
}

impl Operation for Conv {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let (x, residual) = match xs {
            [x, residual] => (x, Some(residual)),
            [x] => (x, None),
            xs => {
                let count = xs.len();
                return Err(Error::Graph(format!("{op} got {count} operands, expected 1, or 2 with a residual")));
            }
        };
        let out = self.output_shape(op, x.shape).map_err(|error| x.named_in(error))?;
        let pixel = Shape { h: 1, w: 1, ..out };
        let resized = Shape { c: out.c + 1, ..pixel };
        match residual {
            Some(Operand { name, shape, .. }) if self.adds_last && *shape != out => {
                let detail = format!("residual {shape} from '{name}', added last, is not of the output's shape {out}");
                Err(Error::mismatch(op, detail))
            }
            None if self.adds_last => Err(Error::param(op, "adds_last", true, "needs a residual to add")),
            Some(Operand { name, shape, .. }) if ![out, pixel, resized].contains(shape) => {
                let detail = format!("residual {shape} from '{name}' is none of {out}, {pixel} and {resized}");
                Err(Error::mismatch(op, detail))
            }
            _ => Ok(out),
        }
    }

    fn work(&self, y: Shape) -> Work {
        Work::of(self.weight.shape(), self.bias.is_some(), y)
    }

    fn view(&self) -> View {
        View::window(self.kernel(), self.stride, self.dilation)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", by(self.kernel()))?;
        describe_window(f, self.stride, self.padding, self.dilation)?;
        if self.groups != 1 {
            write!(f, ", groups {}", self.groups)?;
        }
        if self.scale != 1.0 {
            write!(f, ", scale {}", self.scale)?;
        }
        self.activation.describe(f)?;
        if self.adds_last { f.write_str(", adds last") } else { Ok(()) }
    }
}
