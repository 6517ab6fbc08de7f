//! Reordering between NCHW and NHWC, at the borders of a graph and inside it. Attributes:
//! [`crate::ops::Layout`]; shader: `layout`.

use super::conv::Parts;
use super::{WG_SIZE, workgroups};
use crate::plan::{
    Builder, Constant, Element, Order, Piece, Shader, Slice, Step, image_len, padded, params, piece, shader,
};

params! {
    len: u32,
    blocks_a: u32,
    valid_a: u32,
    extent_b: u32,
    parts: u32,
    part_len: u32,
    x_offset: u32,
    x_a: u32,
    x_b: u32,
    x_n: u32,
    y_offset: u32,
    y_b: u32,
    y_n: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "layout",
    text: shader!("layout"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// NCHW `x` to NHWC `y`, padding and gaps zeroed: one dispatch per run of channels.
pub(crate) fn plan_to_nhwc(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) {
    let pixels = y.shape.h * y.shape.w;
    for (logical, physical, channels) in y.runs() {
        let params = Params {
            valid_a: channels,
            extent_b: pixels,
            x_offset: x.offset + logical * pixels,
            x_a: pixels,
            x_b: 1,
            x_n: x.stride,
            y_offset: y.offset + physical,
            y_b: y.stride,
            y_n: y.stride * pixels,
            ..Params::default()
        };
        push(builder, node, params, x, None, y);
    }
}

/// NHWC `x`, which may be in parts, to NCHW `y`: one dispatch per run of channels.
pub(crate) fn plan_to_nchw(builder: &mut Builder, node: &str, x: &Slice, parts: Option<&Parts>, y: &Slice) {
    let x = &parts.map_or_else(|| x.clone(), Parts::first);
    let pixels = x.shape.h * x.shape.w;
    for (logical, physical, channels) in x.runs() {
        let params = Params {
            valid_a: pixels,
            extent_b: channels,
            x_offset: x.offset + physical,
            x_a: x.stride,
            x_b: 1,
            x_n: x.stride * pixels,
            y_offset: y.offset + logical * pixels,
            y_b: pixels,
            y_n: y.stride,
            ..Params::default()
        };
        push(builder, node, params, x, parts, y);
    }
}

/// NHWC `x` to rows `y`: channels last, padding left out. One dispatch per run of channels.
pub(crate) fn plan_rows(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) {
    let pixels = x.shape.h * x.shape.w;
    for (logical, physical, channels) in x.runs() {
        let params = Params {
            valid_a: channels,
            extent_b: pixels,
            x_offset: x.offset + physical,
            x_a: 1,
            x_b: x.stride,
            x_n: x.stride * pixels,
            y_offset: y.offset + logical,
            y_b: x.shape.c,
            y_n: y.stride,
            ..Params::default()
        };
        push(builder, node, params, x, None, y);
    }
}

/// NCHW `x` to NCHW `y`, image by image.
pub(crate) fn plan_copy(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) {
    let values = image_len(x.shape);
    let params = Params {
        valid_a: values,
        extent_b: 1,
        x_offset: x.offset,
        x_a: 1,
        x_b: 0,
        x_n: x.stride,
        y_offset: y.offset,
        y_b: 0,
        y_n: y.stride,
        ..Params::default()
    };
    push(builder, node, params, x, None, y);
}

/// Counts blocks, and moves four values at once wherever alignment allows.
fn push(builder: &mut Builder, node: &str, params: Params, x: &Slice, parts: Option<&Parts>, y: &Slice) {
    let Params { valid_a, extent_b, x_offset, x_a, x_b, x_n, y_offset, y_b, y_n, .. } = params;
    let blocks_a = valid_a.div_ceil(4);
    let len = blocks_a * extent_b.div_ceil(4) * x.shape.n;
    let turn = x_b == 1;
    let by_four = |values: &[u32]| values.iter().all(|value| value.is_multiple_of(4));
    let halves = |slice: &Slice| slice.element == Element::F16;
    let from = if by_four(&[x_offset, if turn { x_a } else { x_b }, x_n]) {
        piece!("x4_aligned")
    } else if by_four(&[x_n * x.shape.n]) {
        piece!("x4_shifted")
    } else if halves(x) {
        piece!("x4_scalar_f16") // the buffer's last values fill no vec4
    } else {
        piece!("x4_scalar")
    };
    let room = if y.order == Order::Nhwc { padded(valid_a) } else { valid_a };
    let to: &[&Piece] = if by_four(&[room, y_offset, y_b, y_n]) {
        &[piece!("y4_aligned")]
    } else if halves(y) {
        &[piece!("y4_scalar_f16"), piece!("y_halves")]
    } else {
        &[piece!("y4_scalar")]
    };
    let (count, part_len) = parts.map_or((1, 0), |parts| (parts.count(), parts.len4()));
    let params = Params { len, blocks_a, parts: count, part_len, ..params };
    let step = Step::new(node, &SHADER, &params, workgroups(len));
    let step = match parts {
        Some(parts) => parts.read_by(step, 0).piece(piece!("x4_parts")).loops([count]),
        None => step.reads(0, x).piece(from).piece(piece!("x4_lines")),
    };
    // Not by the sizes of maps, which share kernels.
    let lines = if x_b == 0 { 1 } else { 4 };
    let step = step.writes(1, y).constant("WG_SIZE", Constant::U32(WG_SIZE)).constant("TURN", Constant::Bool(turn));
    let step = step.pieces(to).piece(if halves(x) { piece!("x_f16") } else { piece!("x_f32") });
    let step = step.piece(if halves(y) { piece!("y_f16") } else { piece!("y_f32") });
    let step = match (x.element, y.element) {
        (Element::F16, Element::F32) => step.piece(piece!("widened")),
        (Element::F32, Element::F16) => step.piece(piece!("narrowed")).piece(piece!("rounding")),
        _ => step.piece(piece!("kept")),
    };
    builder.push(step.constant("LINES", Constant::U32(lines)));
}
