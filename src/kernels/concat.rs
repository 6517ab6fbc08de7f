//! Concatenation along channels: copies of what could not be written in place. Attributes:
//! [`crate::ops::Concat`]; shader: `concat`.

use std::iter::Peekable;
use std::sync::Arc;

use super::{WG_SIZE, layout, workgroups};
use crate::error::Result;
use crate::plan::{Builder, Constant, Element, Order, Piece, Shader, Slice, Step, image_len, params, piece, shader};

params! {
    len: u32,
    elements: u32,
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
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Copies what the operands of a concatenation could not write in place.
pub(crate) fn plan(builder: &mut Builder, node: &str, xs: &[Slice], y: &Slice) -> Result<()> {
    let mut offset = y.offset;
    for x in xs {
        let target = Slice { offset, shape: x.shape, segments: x.segments.clone(), ..y.clone() };
        offset += match y.order {
            Order::Nhwc | Order::NhwcDense => x.physical_c(),
            Order::Nchw => image_len(x.shape),
        };
        if *x == target {
            continue;
        }
        // A dispatch may not read and write the same buffer: copy via another.
        if x.buffer == y.buffer {
            let apart = plan_copied(builder, node, x, x.segments.clone())?;
            plan_copy(builder, node, &apart, &target);
        } else {
            plan_copy(builder, node, x, &target);
        }
    }
    Ok(())
}

/// A copy of `x` with its channels in different runs, in its own buffer.
pub(crate) fn plan_copied(builder: &mut Builder, node: &str, x: &Slice, segments: Arc<[u32]>) -> Result<Slice> {
    let label = format!("{node} copy");
    let y = match x.order {
        Order::Nhwc | Order::NhwcDense => builder.scratch(label, x.shape, segments)?,
        Order::Nchw => builder.scratch_nchw(label, x.shape, x.element)?,
    };
    plan_copy(builder, node, x, &y);
    Ok(y)
}

/// Copies slice `x` into slice `y` of the same order: the same channels, perhaps in different runs. One dispatch if the
/// runs agree, else one per stretch without gaps on either side.
pub(crate) fn plan_copy(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) {
    plan_narrowed(builder, node, x, 0, y);
}

/// As [`plan_copy`], of the channels of `x` from `start` on, as many as `y` has.
pub(crate) fn plan_narrowed(builder: &mut Builder, node: &str, x: &Slice, start: u32, y: &Slice) {
    if y.order == Order::Nchw {
        let offset = x.offset + start * x.shape.h * x.shape.w;
        let segments = [y.shape.c].into();
        return layout::plan_copy(builder, node, &Slice { offset, shape: y.shape, segments, ..x.clone() }, y);
    }
    if start == 0 && x.segments == y.segments {
        let channels = x.physical_c();
        return copy(builder, node, [x, y], [x.offset, y.offset], [channels, channels]);
    }
    let mut done = 0;
    let (mut runs_of_x, mut runs_of_y) = (x.runs().peekable(), y.runs().peekable());
    while done < y.shape.c {
        let from = stretch(x, &mut runs_of_x, start + done);
        let to = stretch(y, &mut runs_of_y, done);
        let channels = from.1.min(to.1);
        // The stretch that ends a run of `y` also zeroes the padding after it.
        let written = if channels == to.1 { (to.0 + channels).next_multiple_of(4) - to.0 } else { channels };
        copy(builder, node, [x, y], [from.0, to.0], [channels, written]);
        done += channels;
    }
}

/// Where logical channel `c` lies in a pixel, and how many channels follow without a gap. Leaves the runs that end before
/// it behind.
fn stretch(slice: &Slice, runs: &mut Peekable<impl Iterator<Item = (u32, u32, u32)>>, c: u32) -> (u32, u32) {
    while runs.next_if(|&(logical, _, channels)| logical + channels <= c).is_some() {}
    let &(logical, physical, channels) = runs.peek().expect("runs hold every channel of the shape");
    (slice.offset + physical + (c - logical), channels - (c - logical))
}

fn copy(builder: &mut Builder, node: &str, [x, y]: [&Slice; 2], [from, to]: [u32; 2], [channels, padded]: [u32; 2]) {
    let aligned = [from, to, channels, padded].iter().all(|v| v.is_multiple_of(4));
    let unit = if aligned { 4 } else { 1 };
    let halves = y.element == Element::F16;
    // Of 16 bits, channels that are not aligned go by the words of `y` that they lie in.
    let elements = if halves && !aligned { (to + padded).div_ceil(2) - to / 2 } else { padded / unit };
    let len = y.pixels() * elements;
    let params = Params {
        len,
        elements,
        channels: channels / unit,
        padded: padded / unit,
        x_offset: from / unit,
        x_stride: x.stride / unit,
        y_offset: to / unit,
        y_stride: y.stride / unit,
    };
    let pieces: [&Piece; 2] = match (aligned, halves) {
        (true, false) => [piece!("element_vec4"), piece!("copy_whole")],
        (true, true) => [piece!("element_vec2"), piece!("copy_whole")],
        (false, false) => [piece!("element_scalar"), piece!("copy_whole")],
        (false, true) => [piece!("element_scalar"), piece!("copy_halves")],
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x).writes(1, y);
    builder.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).pieces(&pieces));
}
