//! Max pooling.

use std::fmt;

use super::window::{axes, by, describe_window, window_output};
use super::{Operand, Operation, Padding, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// The maximum of each window, as `torch.nn.MaxPool2d`: `[n, c, out_h, out_w]`. Padding never wins, `NaN` always does.
/// If every tap of a dilated window misses the image, its maximum is `-inf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
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
}

impl MaxPool {
    /// Stride equal to the kernel, no padding, as `MaxPool2d(kernel)`.
    pub const fn new(kernel: [u32; 2]) -> Self {
        let padding = Padding::symmetric(0, 0);
        Self { kernel, stride: kernel, padding, dilation: [1, 1], ceil_mode: false }
    }

    /// Stride 1 and padding `kernel / 2`: an odd kernel keeps the extent, as in SPP and SPPF.
    pub const fn same(kernel: u32) -> Self {
        let padding = Padding::symmetric(kernel / 2, kernel / 2);
        Self { kernel: [kernel, kernel], stride: [1, 1], padding, dilation: [1, 1], ceil_mode: false }
    }

    /// Output shape for `x`. Errors: a zero kernel, stride or dilation; padding as wide as the window; an empty output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let Padding { top, left, bottom, right } = self.padding;
        let axes = axes(x, self.kernel, self.stride, self.dilation, self.padding);
        let windows = [axes[0].window(), axes[1].window()];
        let out = window_output(op, x, axes, x.c, self.ceil_mode)?;
        for (pad, window) in [(top.max(bottom), windows[0]), (left.max(right), windows[1])] {
            if i64::from(pad) >= window {
                let reason = format!("must be less than the window ({window}), or some windows hold only padding");
                return Err(Error::param(op, "padding", pad, &reason));
            }
        }
        Ok(out)
    }
}

impl Operation for MaxPool {
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
        if self.ceil_mode { f.write_str(", ceil") } else { Ok(()) }
    }
}
