//! Convolution whose groups may cut through a vec4, depthwise first of all. Attributes and truth are
//! [`super::Conv`]'s; shader: `conv_grouped`.

use super::conv::taps;
use super::{Conv, WG_SIZE, workgroups};
use crate::error::Result;
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    out_c4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    out_c: u32,
    group_in_c: u32,
    group_out_c: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    scale: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_grouped",
    text: shader!("conv_grouped"),
    pieces: &[piece!("index"), piece!("window"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
};

/// One dispatch: reads slice `x` (and `residual`), writes slice `y`; both without gaps.
pub(crate) fn plan(
    planner: &mut Planner,
    node: &str,
    conv: &Conv,
    x: &Slice,
    residual: Option<&Slice>,
    y: &Slice,
) -> Result<()> {
    let len = y.pixels() * y.channels4();
    let [group_in_c, group_out_c] = [x.shape.c / conv.groups, y.shape.c / conv.groups];
    let params = Params {
        len,
        out_c4: y.channels4(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        out_c: y.shape.c,
        group_in_c,
        group_out_c,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        r_offset: residual.map_or(0, Slice::offset4),
        r_stride: residual.map_or(0, Slice::stride4),
        scale: conv.scale,
    };
    let mut packed = planner.room(node, conv.taps_len() * u64::from(group_in_c) * u64::from(y.physical_c()))?;
    for (ky, kx) in taps(conv.kernel()) {
        for i in 0..group_in_c {
            packed.extend((0..y.physical_c()).map(|o| conv.weight_at(o, Some(i), ky, kx)));
        }
    }
    let bias = conv.padded_bias(y.physical_c());
    let [kernel_h, kernel_w] = conv.kernel();
    let step = Step::new(node, &SHADER, &params, workgroups(len))
        .conv(planner, conv, x, residual, y, [&packed, &bias])
        .loops([kernel_h, kernel_w, group_in_c])
        .constant("WG_SIZE", Constant::U32(WG_SIZE))
        .constant("DEPTHWISE", Constant::Bool(group_in_c == 1 && group_out_c == 1));
    planner.push(step);
    Ok(())
}
