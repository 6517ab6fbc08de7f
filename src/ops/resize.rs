//! Resizing, as `torch.nn.functional.interpolate`. Shader: `resize`; truth: `reference::resize`.

use super::{WG_SIZE, workgroups};
use crate::error::{Error, Result};
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// How a value between pixels is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// `mode="bilinear", align_corners=False`
    Bilinear,
    /// `mode="nearest"`: pixel `floor(out * in_size / out_size)`
    Nearest,
}

/// A map at another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Rows of the output.
    pub out_h: u32,
    /// Columns of the output.
    pub out_w: u32,
    /// Interpolation.
    pub mode: ResizeMode,
}

/// Coordinates are exact fractions `((2 * out + 1) * in_size - out_size) / (2 * out_size)` in 32 bits.
const MAX_EXTENT: u32 = 1 << 15;

impl Resize {
    /// Output shape for `x`. Errors: an extent of 0, an extent over 32 768.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        for (param, value) in [("out_h", self.out_h), ("out_w", self.out_w)] {
            if value == 0 {
                return Err(Error::param(op, param, 0, "must be at least 1"));
            }
        }
        for value in [self.out_h, self.out_w, x.h, x.w] {
            if value > MAX_EXTENT {
                let (value, max) = (u64::from(value), u64::from(MAX_EXTENT));
                return Err(Error::TooLarge { op: op.into(), what: "a resized extent", value, max });
            }
        }
        Shape::new(x.n, x.c, self.out_h, self.out_w).check(op)
    }
}

params! {
    len: u32,
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
    stem: "resize",
    text: shader!("resize"),
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y`.
pub(crate) fn plan(planner: &mut Planner, node: &str, resize: &Resize, x: &Slice, y: &Slice) {
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
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
    let bilinear = resize.mode == ResizeMode::Bilinear;
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x).writes(1, y);
    let step = step.flops(if bilinear { 9 * y.shape.len() } else { 0 });
    planner.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constant("BILINEAR", Constant::Bool(bilinear)));
}
