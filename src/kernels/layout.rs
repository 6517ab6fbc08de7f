//! Reordering between NCHW and NHWC, at the borders of a graph and inside it. Attributes:
//! [`crate::ops::Layout`]; shader: `layout`.

use super::conv::Parts;
use super::{WG_SIZE, workgroups};
use crate::plan::{Builder, Constant, Element, Order, Shader, Slice, Step, image_len, padded, params, piece, shader};

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

/// The values of `x`, which may be in parts, in the order of `y`: one dispatch per run of channels. Padding and gaps of
/// `y` are zeroed.
pub(crate) fn plan(builder: &mut Builder, node: &str, x: &Slice, parts: Option<&Parts>, y: &Slice) {
    if (x.order, y.order) == (Order::Nchw, Order::Nchw) {
        return plan_copy(builder, node, x, y);
    }
    reorder(builder, node, x, parts, y, (y.order, y.strides()));
}

/// NHWC `x` to rows `y`: channels last, padding left out.
pub(crate) fn plan_rows(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) {
    reorder(builder, node, x, None, y, (Order::NhwcDense, [1, x.shape.c, y.stride]));
}

/// The values of `x` in NCHW order as `y`, in NCHW too, but of another shape. `false`: there is no dispatch for it, as an
/// image of `y` has parts of several channels of `x`.
pub(crate) fn plan_reshaped(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) -> bool {
    let pixels = x.shape.h * x.shape.w;
    let (channel, image) = (pixels, image_len(x.shape));
    let strides = match image_len(y.shape) {
        // Distances in `y` of what is a channel and an image apart in `x`.
        _ if y.is_dense() => [channel, 1, image],
        len if len == image => [channel, 1, y.stride],
        len if len == channel => [y.stride, 1, y.stride * x.shape.c],
        _ => return false,
    };
    if x.order == Order::Nchw {
        if !(x.is_dense() && y.is_dense() || image_len(y.shape) == image) {
            return false;
        }
        let of = |slice: &Slice| if slice.is_dense() { slice.reshaped(y.shape) } else { slice.clone() };
        plan_copy(builder, node, &Slice { shape: y.shape, segments: [y.shape.c].into(), ..of(x) }, y);
    } else {
        reorder(builder, node, x, None, y, (Order::Nchw, strides));
    }
    true
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

/// Writes lie side by side: along pixels in NCHW, else along channels.
fn reorder(
    builder: &mut Builder,
    node: &str,
    x: &Slice,
    parts: Option<&Parts>,
    y: &Slice,
    (order, [y_c, y_pixel, y_n]): (Order, [u32; 3]),
) {
    let x = &parts.map_or_else(|| x.clone(), Parts::first);
    let [x_c, x_pixel, x_n] = x.strides();
    let pixels = x.shape.h * x.shape.w;
    let runs: Vec<_> = if order == Order::Nhwc { y.runs().collect() } else { x.runs().collect() };
    for (logical, physical, channels) in runs {
        let first = |order: Order| if order == Order::Nhwc { physical } else { logical };
        let common = Params {
            x_offset: x.offset + first(x.order) * x_c,
            x_n,
            y_offset: y.offset + first(order) * y_c,
            y_n,
            ..Params::default()
        };
        let params = match order {
            Order::Nchw => Params { valid_a: pixels, extent_b: channels, x_a: x_pixel, x_b: x_c, y_b: y_c, ..common },
            Order::Nhwc | Order::NhwcDense => {
                Params { valid_a: channels, extent_b: pixels, x_a: x_c, x_b: x_pixel, y_b: y_pixel, ..common }
            }
        };
        push(builder, node, params, x, parts, y);
    }
}

/// Counts blocks, and moves four values at once wherever alignment allows.
fn push(builder: &mut Builder, node: &str, params: Params, x: &Slice, parts: Option<&Parts>, y: &Slice) {
    let Params { valid_a, extent_b, x_offset, x_a, x_b, x_n, y_offset, y_b, y_n, .. } = params;
    let blocks_a = valid_a.div_ceil(4);
    let len = blocks_a * extent_b.div_ceil(4) * x.shape.n;
    let turn = x_b == 1;
    let by_four = |values: &[u32]| values.iter().all(|value| value.is_multiple_of(4));
    let from = if by_four(&[x_offset, if turn { x_a } else { x_b }, x_n]) {
        piece!("x4_aligned")
    } else if by_four(&[x_n * x.shape.n]) {
        piece!("x4_shifted")
    } else {
        // The buffer's last values fill no vec4.
        match x.element {
            Element::F16 => piece!("x4_scalar_f16"),
            Element::U8 => piece!("x4_scalar_u8"),
            Element::F32 | Element::U32 => piece!("x4_scalar"),
        }
    };
    let room = if y.order == Order::Nhwc { padded(valid_a) } else { valid_a };
    let to = if by_four(&[room, y_offset, y_b, y_n]) {
        [Some(piece!("y4_aligned")), None]
    } else {
        match y.element {
            Element::F16 => [Some(piece!("y4_scalar_f16")), Some(piece!("y_halves"))],
            Element::U8 => [Some(piece!("y4_scalar_u8")), None],
            Element::F32 | Element::U32 => [Some(piece!("y4_scalar")), None],
        }
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
    let step = to.into_iter().flatten().fold(step, Step::piece).piece(match x.element {
        Element::F16 => piece!("x_f16"),
        Element::U8 => piece!("x_u8"),
        Element::F32 | Element::U32 => piece!("x_f32"),
    });
    let step = step.piece(match y.element {
        Element::F16 => piece!("y_f16"),
        Element::U8 => piece!("y_u8"),
        Element::F32 | Element::U32 => piece!("y_f32"),
    });
    let step = match (x.element, y.element) {
        (Element::F16, Element::F32) => step.piece(piece!("widened")),
        (Element::F32, Element::F16) => step.piece(piece!("narrowed")).piece(piece!("rounding")),
        (Element::U8, Element::F32) => step.piece(piece!("widened_u8")),
        (Element::U8, Element::F16) => step.piece(piece!("widened_u8_f16")).piece(piece!("rounding")),
        (Element::F32, Element::U8) => step.piece(piece!("narrowed_u8")).piece(piece!("saturated")),
        (Element::F16, Element::U8) => step.piece(piece!("narrowed_f16_u8")).piece(piece!("saturated")),
        _ => step.piece(piece!("kept")),
    };
    builder.push(step.constant("LINES", Constant::U32(lines)));
}
