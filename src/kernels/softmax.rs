//! Softmax over channels, over the columns of score rows, or along any axis. Attributes: [`crate::ops::Softmax`];
//! shader: `softmax`.

use super::{WG_SIZE, sizes};
use crate::ops::{Softmax, SoftmaxAxis};
use crate::plan::{Builder, Constant, DeviceClass, Element, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

params! {
    rows: u32,
    width: u32,
    padded: u32,
    step: u32,
    rows_per_image: u32,
    x_offset: u32,
    x_stride: u32,
    x_image: u32,
    y_offset: u32,
    y_stride: u32,
    y_image: u32,
    y_image_len: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "softmax",
    text: shader!("softmax"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, writes slice `y`; NHWC for channels, NCHW for columns.
pub(crate) fn plan(builder: &mut Builder, node: &str, softmax: &Softmax, x: &Slice, y: &Slice) {
    let Shape { n, c, h, w } = y.shape;
    let image = c * h * w;
    // Of rows that reach into the next image, each value's place is found by itself.
    let mut split = false;
    let params = match softmax.axis {
        SoftmaxAxis::Channels => Params {
            rows: n * h * w,
            width: c,
            padded: y.physical_c(),
            step: 1,
            rows_per_image: h * w,
            x_offset: x.offset,
            x_stride: x.stride,
            x_image: x.stride * h * w,
            y_offset: y.offset,
            y_stride: y.stride,
            y_image: y.stride * h * w,
            y_image_len: 0,
        },
        SoftmaxAxis::Columns => Params {
            rows: n * c,
            width: w,
            padded: w,
            step: 1,
            rows_per_image: c,
            x_offset: x.offset,
            x_stride: w,
            x_image: x.stride,
            y_offset: y.offset,
            y_stride: w,
            y_image: y.stride,
            y_image_len: 0,
        },
        SoftmaxAxis::Values { len, inner } => {
            split = !y.is_dense() && image % (len * inner) != 0;
            let rows = n * image / len;
            Params {
                rows,
                width: len,
                padded: len,
                step: inner,
                rows_per_image: if split || y.is_dense() { rows } else { image / len },
                x_offset: x.offset,
                x_stride: len * inner,
                x_image: image,
                y_offset: y.offset,
                y_stride: len * inner,
                y_image: y.stride,
                y_image_len: image,
            }
        }
    };
    let shares = shares(builder.profile.class, params.width, params.step);
    let workgroups = u64::from(params.rows.div_ceil(WG_SIZE / shares));
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, x).writes(1, y);
    let step = step.loops([params.width.div_ceil(shares).saturating_mul(3)]).flops(3 * y.shape.len());
    debug_assert_eq!(x.element, y.element, "softmax '{node}'");
    let step = match y.element {
        Element::F32 | Element::U8 | Element::U32 => step.piece(piece!("value_f32")).piece(piece!("row_by_value")),
        Element::F16 if builder.profile.f16 => step.piece(piece!("value_f16", F16)).piece(piece!("row_by_value")),
        Element::F16 => step.piece(piece!("value_packed")).piece(piece!("rounding")).piece(piece!("y_halves")),
    };
    // Neighbours read side by side: of a row, or of neighbouring rows.
    let next = if params.step == 1 { 1 } else { WG_SIZE / shares };
    let step = step.memory(4 * WG_SIZE).constants(sizes([("WG_SIZE", WG_SIZE), ("SHARES", shares), ("NEXT", next)]));
    builder.push(step.constants([("SPLIT", Constant::Bool(split)), ("LOG", Constant::Bool(softmax.log))]));
}

/// Invocations that share a row; a power of two. On a GPU they read side by side, and few do not have a long row to
/// themselves, unless others read beside it.
const fn shares(class: DeviceClass, width: u32, step: u32) -> u32 {
    match class.sharing() {
        1 => 1,
        _ if width > 128 && step == 1 => WG_SIZE,
        few => few,
    }
}
