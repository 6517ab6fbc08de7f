//! Average pooling.

use std::fmt;

use super::window::{axes, by, describe_window, window_output};
use super::{Operand, Operation, Padding, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// The mean of each window, as `torch.nn.AvgPool2d` and ONNX's AveragePool: `[n, c, out_h, out_w]`. If every tap of a
/// dilated window misses the image, its mean is 0, as in ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool {
    /// Rows, columns.
    pub kernel: [u32; 2],
    /// Rows, columns.
    pub stride: [u32; 2],
    /// Less than the window, dilation included, on each side.
    pub padding: Padding,
    /// Rows, columns.
    pub dilation: [u32; 2],
    /// Round the output extent up; a window never starts past the image.
    pub ceil_mode: bool,
    /// Whether taps in the padding count as zeros; those beyond it never count.
    pub count_include_pad: bool,
}

impl AvgPool {
    /// Stride equal to the kernel, no padding, though it would count, as `AvgPool2d(kernel)`.
    pub const fn new(kernel: [u32; 2]) -> Self {
        let padding = Padding::symmetric(0, 0);
        Self { kernel, stride: kernel, padding, dilation: [1, 1], ceil_mode: false, count_include_pad: true }
    }

    /// Output shape for `x`. Errors: a zero kernel, stride or dilation; padding as wide as the window; an empty output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let Padding { top, left, bottom, right } = self.padding;
        let axes = axes(x, self.kernel, self.stride, self.dilation, self.padding);
        for (pad, window) in [(top.max(bottom), axes[0].window()), (left.max(right), axes[1].window())] {
            if window > 0 && i64::from(pad) >= window {
                let reason = format!("must be less than the window ({window}), or some windows hold only padding");
                return Err(Error::param(op, "padding", pad, &reason));
            }
        }
        window_output(op, x, axes, x.c, self.ceil_mode)
    }
}

impl Operation for AvgPool {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::window(self.kernel, self.stride, self.dilation)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", by(self.kernel))?;
        describe_window(f, self.stride, self.padding, self.dilation)?;
        if self.ceil_mode {
            f.write_str(", ceil")?;
        }
        if self.count_include_pad { Ok(()) } else { f.write_str(", padding not counted") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_match_onnx() {
        let shape = |pool: AvgPool, h, w| pool.output_shape("pool", Shape::new(2, 3, h, w)).unwrap();
        // Its tests averagepool_2d_default, _pads, _strides, _ceil, _ceil_last_window_starts_on_pad and _dilations.
        let pool = AvgPool { stride: [1, 1], ..AvgPool::new([2, 2]) };
        assert_eq!(shape(pool, 32, 32), Shape::new(2, 3, 31, 31));
        let padded = AvgPool { kernel: [3, 3], padding: Padding::symmetric(2, 2), ..pool };
        assert_eq!(shape(padded, 28, 28), Shape::new(2, 3, 30, 30));
        assert_eq!(shape(AvgPool { kernel: [5, 5], stride: [3, 3], ..pool }, 32, 32), Shape::new(2, 3, 10, 10));
        let ceil = AvgPool { kernel: [3, 3], stride: [2, 2], ceil_mode: true, ..pool };
        assert_eq!(shape(ceil, 4, 4), Shape::new(2, 3, 2, 2));
        let on_pad = AvgPool { stride: [3, 3], padding: Padding::symmetric(1, 1), ..ceil };
        assert_eq!(shape(on_pad, 2, 2), Shape::new(2, 3, 1, 1));
        assert_eq!(shape(AvgPool { dilation: [2, 2], ceil_mode: true, ..pool }, 4, 4), Shape::new(2, 3, 2, 2));
    }

    #[test]
    fn empty_windows_and_windows_of_padding_are_refused() {
        let x = Shape::new(1, 1, 5, 5);
        let refused = |pool: AvgPool| pool.output_shape("pool", x).unwrap_err().to_string();
        let pool = AvgPool::new([2, 3]);
        assert!(refused(AvgPool { kernel: [0, 3], ..pool }).contains("kernel"));
        assert!(refused(AvgPool { stride: [1, 0], ..pool }).contains("stride"));
        assert!(refused(AvgPool { dilation: [0, 1], ..pool }).contains("dilation"));
        assert!(refused(AvgPool { padding: Padding::symmetric(2, 0), ..pool }).contains("less than the window (2)"));
        assert!(refused(AvgPool::new([6, 1])).contains("larger than the padded input"));
        let huge = AvgPool { kernel: [u32::MAX; 2], dilation: [u32::MAX; 2], ..pool };
        assert!(matches!(huge.output_shape("pool", x), Err(Error::TooLarge { .. })));
    }
}
