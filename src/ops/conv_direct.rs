//! Convolution without workgroup memory or barriers: the form that software adapters run fastest, and the one for
//! groups of whole vec4s. Attributes and truth are [`super::Conv`]'s; shader: `conv_direct`.

use super::Conv;
use super::conv::taps;
use crate::error::Result;
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};

params! {
    pixels: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    in_c4: u32,
    out_c: u32,
    group_c4: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    scale: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_direct",
    text: shader!("conv_direct"),
    pieces: &[piece!("index"), piece!("window"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
};

/// Pixels of an invocation, as the shader is written.
const PIXELS: u32 = 4;

/// Invocations of a workgroup, side by side along output channels: one SIMD register of a software adapter.
const LANES: u32 = 8;

/// One dispatch: reads slice `x` (and `residual`), writes slice `y`.
pub(crate) fn plan(
    planner: &mut Planner,
    node: &str,
    conv: &Conv,
    x: &Slice,
    residual: Option<&Slice>,
    y: &Slice,
) -> Result<()> {
    let map = x.channel_map();
    let group_map = &map[..map.len() / conv.groups as usize];
    let params = Params {
        pixels: y.pixels(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        in_c4: group_map.len() as u32 / 4,
        out_c: y.shape.c,
        group_c4: y.channels4() / conv.groups,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        r_offset: residual.map_or(0, Slice::offset4),
        r_stride: residual.map_or(0, Slice::stride4),
        scale: conv.scale,
    };
    let block_c = LANES * 4;
    let blocks = y.shape.c.div_ceil(block_c);
    let mut packed = planner.room(node, conv.taps_len() * group_map.len() as u64 * u64::from(blocks * block_c))?;
    for block in 0..blocks {
        for (ky, kx) in taps(conv.kernel()) {
            for &i in group_map {
                packed.extend((0..block_c).map(|o| conv.weight_at(block * block_c + o, i, ky, kx)));
            }
        }
    }
    let bias = conv.padded_bias(blocks * block_c);
    let workgroups = u64::from(blocks) * u64::from(y.pixels().div_ceil(PIXELS));
    let [kernel_h, kernel_w] = conv.kernel();
    let step = Step::new(node, &SHADER, &params, workgroups)
        .conv(planner, conv, x, residual, y, [&packed, &bias])
        .loops([kernel_h, kernel_w, params.in_c4])
        .constant("LANES", Constant::U32(LANES))
        .constant("PADDED", Constant::Bool(conv.pads()));
    planner.push(step);
    Ok(())
}
