//! The indices of the largest or smallest values. Attributes: [`crate::ops::TopK`]; shader: `top_k`.

use super::sizes;
use crate::ops::TopK;
use crate::plan::{Builder, Constant, DeviceProfile, Shader, Slice, Step, image_len, params, piece, shader};

params! {
    rows: u32,
    len: u32,
    inner: u32,
    k: u32,
    x_offset: u32,
    y_offset: u32,
    y_stride: u32,
    y_image: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "top_k",
    text: shader!("top_k"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("images")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Most invocations of a workgroup.
const WG_SIZE: u32 = 256;

/// Digits of a key, and values of one.
const DIGITS: u32 = 7;
const COUNTS: u32 = 256;

/// Counts of digits, one by one and by sixteens, what is known of the last key, how many are taken, and their keys.
const BYTES: u32 = 4 * COUNTS + 4 * 16 + 16 + 4 + 8 * TopK::MAX_K;

/// One dispatch: reads `x`, which is dense, writes the values `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, top_k: &TopK, x: &Slice, y: &Slice) {
    let &TopK { k, len, inner, largest, .. } = top_k;
    let params = Params {
        rows: (y.shape.len() / u64::from(k)) as u32,
        len,
        inner,
        k,
        x_offset: x.offset,
        y_offset: y.offset,
        y_stride: y.stride,
        y_image: image_len(y.shape),
    };
    let &DeviceProfile { max_invocations, .. } = builder.profile;
    // Every adapter allows 64.
    let wg_size = if max_invocations >= WG_SIZE { WG_SIZE } else { 64 };
    let step = Step::new(node, &SHADER, &params, params.rows.into()).reads(0, x).writes(1, y);
    let [of_row, of_counts, of_k] = [len, COUNTS, k].map(|values| values.div_ceil(wg_size));
    let step = step.loops([DIGITS, of_counts]).loops([DIGITS, of_row]).loops([DIGITS, 16]);
    let step = step.loops([DIGITS, of_counts, 2 * 15]).loops([of_row]).loops([of_k, k]);
    let step = step.memory(BYTES).constants(sizes([("WG_SIZE", wg_size)]));
    builder.push(step.constant("LARGEST", Constant::Bool(largest)));
}
