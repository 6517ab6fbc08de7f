//! BN-fused activation on its own. Attributes and truth are [`crate::ops::AffineActivation`]'s; shader:
//! `affine_activation`.

use super::{WG_SIZE, activation, workgroups};
use crate::ops::AffineActivation;
use crate::plan::{Builder, Constant, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "affine_activation",
    text: shader!("affine_activation"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y` of the same runs of channels.
pub(crate) fn plan(builder: &mut Builder, node: &str, affine: &AffineActivation, x: &Slice, y: &Slice) {
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let map = x.channel_map();
    let packed =
        |values: &[f64]| -> Vec<f32> { map.iter().map(|c| c.map_or(0.0, |c| values[c as usize] as f32)).collect() };
    let scale = builder.weights(format!("scale of '{node}'"), &packed(&affine.scale));
    let shift = builder.weights(format!("shift of '{node}'"), &packed(&affine.shift));
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x);
    let step = step.table(1, scale).table(2, shift).writes(3, y).flops(2 * y.shape.len());
    builder.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constants(activation(affine.activation)));
}
