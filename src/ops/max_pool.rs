//! Max pooling. Shader: `shaders/max_pool.wgsl`; truth: `reference::max_pool`.

use super::{Padding, WG_SIZE, axes, window_output, workgroups};
use crate::error::{Error, Result};
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// What a window does along height and width, as `torch.nn.MaxPool2d`. Padding never wins, `NaN` always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Rows, columns.
    pub kernel: [u32; 2],
    /// Rows, columns.
    pub stride: [u32; 2],
    /// At most half the kernel on each side.
    pub padding: Padding,
    /// Rows, columns.
    pub dilation: [u32; 2],
    /// Round the output extent up; a window never starts in the padding behind the image.
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

    /// Output shape for `x`. Errors: a zero kernel, stride or dilation; padding over half the kernel; an empty output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let Padding { top, left, bottom, right } = self.padding;
        for (pad, kernel) in [(top.max(bottom), self.kernel[0]), (left.max(right), self.kernel[1])] {
            if kernel != 0 && pad > kernel / 2 {
                let reason = format!("at most half the kernel ({kernel}), else a window holds nothing but padding");
                return Err(Error::param(op, "padding", pad, &reason));
            }
        }
        window_output(op, x, axes(x, self.kernel, self.stride, self.dilation, self.padding), x.c, self.ceil_mode)
    }
}

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "max_pool",
    text: shader!("max_pool"),
    pieces: &[piece!("index"), piece!("window"), piece!("ordered"), piece!("lanes")],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y` of the same runs of channels, which may lie in the same buffer.
pub(crate) fn plan(planner: &mut Planner, node: &str, pool: &MaxPool, x: &Slice, y: &Slice) {
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let step = bound(Step::new(node, &SHADER, &params, workgroups(len)), x, y);
    let step = step.constant("WG_SIZE", Constant::U32(WG_SIZE));
    planner.push(step.loops(pool.kernel).window(pool.kernel, pool.stride, pool.dilation, pool.padding));
}

/// Binds `y` to be written and `x` to be read, once where both lie in one buffer.
pub(super) fn bound(step: Step, x: &Slice, y: &Slice) -> Step {
    let step = if x.buffer == y.buffer {
        step.within(x).piece(piece!("source_within"))
    } else {
        step.reads(2, x).piece(piece!("source_apart"))
    };
    step.writes(0, y)
}
