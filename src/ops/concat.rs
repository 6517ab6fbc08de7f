//! Concatenation along channels. Shader: `concat`, one dispatch an input that could not be written in place;
//! truth: `reference::concat`.

use super::{WG_SIZE, workgroups};
use crate::error::{Error, Result};
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// Inputs side by side along channels, as `torch.cat(…, 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat;

impl Concat {
    /// Output shape. Errors: no input, inputs that differ in batch, height or width.
    pub fn output_shape(&self, op: &str, inputs: &[(String, Shape)]) -> Result<Shape> {
        let Some((_, first)) = inputs.first() else {
            return Err(Error::param(op, "inputs", 0, "needs at least one"));
        };
        if inputs.iter().any(|(_, s)| (s.n, s.h, s.w) != (first.n, first.h, first.w)) {
            let all = inputs.iter().map(|(name, shape)| format!("{shape} from '{name}'")).collect::<Vec<_>>();
            return Err(Error::mismatch(op, format!("batch, height and width must agree: {}", all.join(", "))));
        }
        let channels: u64 = inputs.iter().map(|(_, s)| u64::from(s.c)).sum();
        let max = crate::tensor::MAX_ELEMENTS;
        if channels > max {
            return Err(Error::TooLarge { op: op.into(), what: "the channel count", value: channels, max });
        }
        Shape { c: channels as u32, ..*first }.check(op)
    }
}

params! {
    len: u32,
    channels: u32,
    padded: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "concat",
    text: shader!("concat"),
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Copies slice `x` into slice `y`: the same channels, perhaps in other runs. One dispatch where the runs agree,
/// else one for each stretch that is whole on both sides.
pub(crate) fn plan(planner: &mut Planner, node: &str, x: &Slice, y: &Slice) {
    if x.segments == y.segments {
        let channels = x.physical_c();
        return copy(planner, node, [x, y], [x.offset, y.offset], [channels, channels]);
    }
    let mut done = 0;
    while done < x.shape.c {
        let [from, to] = [x, y].map(|slice| stretch(slice, done));
        let channels = from.1.min(to.1);
        // The stretch that ends a run of `y` also zeroes the padding behind it.
        let written = if channels == to.1 { (to.0 + channels).next_multiple_of(4) - to.0 } else { channels };
        copy(planner, node, [x, y], [from.0, to.0], [channels, written]);
        done += channels;
    }
}

/// Where logical channel `c` lies in a pixel, and how many channels follow without a gap.
fn stretch(slice: &Slice, c: u32) -> (u32, u32) {
    let mut runs = slice.runs().filter(|&(logical, _, channels)| logical <= c && c < logical + channels);
    let (logical, physical, channels) = runs.next().unwrap_or((0, 0, slice.shape.c));
    (slice.offset + physical + (c - logical), channels - (c - logical))
}

fn copy(planner: &mut Planner, node: &str, [x, y]: [&Slice; 2], [from, to]: [u32; 2], [channels, padded]: [u32; 2]) {
    let aligned = [from, to, channels, padded].iter().all(|v| v.is_multiple_of(4));
    let unit = if aligned { 4 } else { 1 };
    let len = y.pixels() * (padded / unit);
    let params = Params {
        len,
        channels: channels / unit,
        padded: padded / unit,
        x_offset: from / unit,
        x_stride: x.stride / unit,
        y_offset: to / unit,
        y_stride: y.stride / unit,
    };
    let element = if aligned { piece!("element_vec4") } else { piece!("element_scalar") };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x).writes(1, y);
    planner.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).piece(element));
}
