//! Mean or maximum of each channel. Attributes: [`crate::ops::GlobalPool`]; shader: `global_pool`.

use crate::ops::{GlobalPool, GlobalPoolKind};
use crate::plan::{Builder, Constant, Shader, Slice, Step, params, piece, shader};

params! {
    images: u32,
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
    pieces: &[piece!("index"), piece!("ordered")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Lanes that share one channel block; a power of two.
const WG_SIZE: u32 = 64;

/// One dispatch: reads slice `x`, writes the vectors `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, pool: &GlobalPool, x: &Slice, y: &Slice) {
    let params = Params {
        images: x.shape.n,
        pixels: x.shape.h * x.shape.w,
        channels4: x.channels4(),
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let workgroups = u64::from(x.shape.n) * u64::from(x.channels4());
    let average = pool.kind == GlobalPoolKind::Average;
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, x).writes(1, y);
    let step = step.loops([params.pixels.div_ceil(WG_SIZE)]);
    let step = step.flops(if average { x.shape.len() } else { 0 });
    builder.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constant("AVERAGE", Constant::Bool(average)));
}
