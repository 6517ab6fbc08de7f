//! Scaled addition. Attributes and truth are [`crate::ops::Add`]'s; shader: `add`.

use super::{WG_SIZE, activation, workgroups};
use crate::ops::Add;
use crate::plan::{Builder, Constant, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    a_offset: u32,
    a_stride: u32,
    b_offset: u32,
    b_stride: u32,
    y_offset: u32,
    y_stride: u32,
    scale: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "add",
    text: shader!("add"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 3,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slices `a` and `b`, writes slice `y`, all of the same runs of channels.
pub(crate) fn plan(builder: &mut Builder, node: &str, add: &Add, a: &Slice, b: &Slice, y: &Slice) {
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        a_offset: a.offset4(),
        a_stride: a.stride4(),
        b_offset: b.offset4(),
        b_stride: b.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        scale: add.scale,
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, a).reads(1, b).writes(2, y);
    let step = step.flops(2 * y.shape.len()).constant("WG_SIZE", Constant::U32(WG_SIZE));
    builder.push(step.constants(activation(add.activation)));
}
