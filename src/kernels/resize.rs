//! Resizing. Attributes: [`crate::ops::Resize`]; shader: `resize`.

use super::{WG_SIZE, workgroups};
use crate::ops::{Resize, ResizeMode};
use crate::plan::{Builder, Constant, Shader, Slice, Step, params, piece, shader};

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
    extensions: &[],
    pieces: &[piece!("index"), piece!("between")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, resize: &Resize, x: &Slice, y: &Slice) {
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
    let step = step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constant("BILINEAR", Constant::Bool(bilinear));
    builder.push(step.pieces(builder.stored()));
}
