//! Mean or maximum of each channel. Attributes: [`crate::ops::GlobalPool`]; shader: `global_pool`.

use super::sizes;
use crate::ops::{GlobalPool, GlobalPoolKind};
use crate::plan::{Builder, DeviceProfile, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    pixels: u32,
    channels4: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "global_pool",
    text: shader!("global_pool"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Most invocations of a workgroup; a power of two.
const WG_SIZE: u32 = 256;

/// Fours of channels that a workgroup makes: all of a line of 64 bytes is used at once.
const FOURS: u32 = 4;

/// One dispatch: reads slice `x`, writes the vectors `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, pool: &GlobalPool, x: &Slice, y: &Slice) {
    let params = Params {
        len: x.shape.n * x.channels4(),
        pixels: x.shape.h * x.shape.w,
        channels4: x.channels4(),
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    // A power of two for the tree; every adapter allows 64.
    let &DeviceProfile { max_invocations, workgroup_memory, .. } = builder.profile;
    let wg_size = if max_invocations >= WG_SIZE && workgroup_memory >= 16 * WG_SIZE { WG_SIZE } else { 64 };
    let shares = wg_size / FOURS;
    let workgroups = u64::from(params.len.div_ceil(FOURS));
    let average = pool.kind == GlobalPoolKind::Average;
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, x).writes(1, y);
    let step = step.loops([params.pixels.div_ceil(shares)]);
    let step = step.flops(if average { x.shape.len() } else { 0 });
    let step = step.memory(16 * wg_size).constants(sizes([("WG_SIZE", wg_size), ("SHARES", shares)]));
    builder.push(if average {
        step.piece(piece!("reduced_mean")).pieces(builder.stored())
    } else {
        step.piece(piece!("reduced_max")).pieces(builder.ordered())
    });
}
