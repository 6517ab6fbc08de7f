//! Max pooling. Attributes: [`crate::ops::MaxPool`]; shader: `max_pool`.

use super::{WG_SIZE, workgroups};
use crate::ops::MaxPool;
use crate::plan::{Builder, Constant, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_top: u32,
    pad_left: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "max_pool",
    text: shader!("max_pool"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("window"), piece!("lanes")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y` with the same runs of channels.
pub(crate) fn plan(builder: &mut Builder, node: &str, pool: &MaxPool, x: &Slice, y: &Slice) {
    let &MaxPool { kernel, stride, padding, dilation, .. } = pool;
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        kernel_h: kernel[0],
        kernel_w: kernel[1],
        stride_h: stride[0],
        stride_w: stride[1],
        pad_top: padding.top,
        pad_left: padding.left,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x).writes(1, y);
    let step = step.constant("WG_SIZE", Constant::U32(WG_SIZE));
    builder.push(step.window(kernel, dilation, x).pieces(builder.ordered()));
}
