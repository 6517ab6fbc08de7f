//! Functions applied value by value. Attributes: [`Add`] and [`AffineActivation`]; shader:
//! `elementwise`.

use super::{WG_SIZE, activation, workgroups};
use crate::error::Result;
use crate::ops::{Activation, Add, AffineActivation};
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
    stem: "elementwise",
    text: shader!("elementwise"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("activation"), piece!("functions_all"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slices `a` and `b`, writes slice `y`, all with the same runs of channels.
pub(crate) fn plan_add(builder: &mut Builder, node: &str, add: &Add, a: &Slice, b: &Slice, y: &Slice) {
    let params = Params { b_offset: b.offset4(), b_stride: b.stride4(), scale: add.scale, ..params(a, y) };
    let step = Step::new(node, &SHADER, &params, workgroups(params.len)).reads(0, a).reads(1, b).writes(3, y);
    push(builder, step.piece(piece!("combine_add")), add.activation, y);
}

/// One dispatch: reads slice `a`, writes slice `y` with the same runs of channels.
pub(crate) fn plan_affine(
    builder: &mut Builder,
    node: &str,
    affine: &AffineActivation,
    a: &Slice,
    y: &Slice,
) -> Result<()> {
    let mut table = |what: &str, values: &[f64]| {
        let packed = a.channel_map().iter().map(|c| c.map_or(0.0, |c| values[c as usize] as f32)).collect();
        builder.biases(format!("{what} of '{node}'"), packed)
    };
    let [scale, shift] = [table("scale", &affine.scale)?, table("shift", &affine.shift)?];
    let params = params(a, y);
    let step = Step::new(node, &SHADER, &params, workgroups(params.len)).reads(0, a);
    let step = step.table(1, scale).table(2, shift).writes(3, y);
    push(builder, step.piece(piece!("combine_affine")), affine.activation, y);
    Ok(())
}

fn params(a: &Slice, y: &Slice) -> Params {
    Params {
        len: y.pixels() * y.channels4(),
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        a_offset: a.offset4(),
        a_stride: a.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        ..Params::default()
    }
}

fn push(builder: &mut Builder, step: Step, function: Activation, y: &Slice) {
    let step = step.flops(2 * y.shape.len()).constant("WG_SIZE", Constant::U32(WG_SIZE));
    builder.push(step.constants(activation(function)).pieces(builder.stored()));
}
