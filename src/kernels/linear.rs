//! Fully connected layer. Attributes: [`crate::ops::Linear`]; shader: `linear`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::activation;
use crate::error::{Error, Result};
use crate::ops::{Linear, Recipe, Weight};
use crate::plan::{Builder, Constant, Shader, Slice, Step, channel_map, params, piece, shader};

params! {
    images: u32,
    in_c4: u32,
    in_pixels: u32,
    out_c: u32,
    out_c4: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "linear",
    text: shader!("linear"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("activation"), piece!("functions_all"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// Lanes that share one sum; a power of two.
const WG_SIZE: u32 = 64;

/// Reads slice `x`, writes the vectors `y`: one dispatch, or several if the weights exceed what one binding holds.
pub(crate) fn plan(builder: &mut Builder, node: &str, linear: &Linear, x: &Slice, y: &Slice) -> Result<()> {
    let in_pixels = x.shape.h * x.shape.w;
    let bytes_of_four = 4 * builder.element().bytes_of(u64::from(in_pixels) * u64::from(x.physical_c()));
    let fours = builder.profile.max_slice() / bytes_of_four;
    if fours == 0 {
        return Err(Error::LimitExceeded {
            what: format!("linear '{node}': the weights of four outputs"),
            limit: "max_storage_buffer_binding_size",
            needed: bytes_of_four,
            available: builder.profile.max_slice(),
            hint: "use a smaller input",
        });
    }
    let outputs = (fours * 4).min(u64::from(y.shape.c)) as u32;
    for first in (0..y.shape.c).step_by(outputs as usize) {
        let out_c = outputs.min(y.shape.c - first);
        let out_c4 = out_c.div_ceil(4);
        let params = Params {
            images: x.shape.n,
            in_c4: x.channels4(),
            in_pixels,
            out_c,
            out_c4,
            x_offset: x.offset4(),
            x_stride: x.stride4(),
            y_offset: y.offset4() + first / 4,
            y_stride: y.stride4(),
        };
        let len = u64::from(out_c4) * bytes_of_four / builder.element().bytes();
        let range = first..first + out_c;
        let mut bias = vec![0.0; out_c4 as usize * 4];
        if let Some(values) = &linear.bias {
            bias[..out_c as usize].copy_from_slice(&values[range.start as usize..range.end as usize]);
        }
        let packed = Packed { weight: linear.weight.clone(), segments: x.segments.clone(), in_pixels, outputs: range };
        let weights = builder.weights(format!("weights of '{node}'"), len, packed)?;
        let biases = builder.biases(format!("bias of '{node}'"), bias)?;
        let features = u64::from(x.shape.c) * u64::from(in_pixels);
        let images = u64::from(x.shape.n);
        let step = Step::new(node, &SHADER, &params, images * u64::from(out_c4)).reads(0, x);
        let step = step.table(1, weights).table(2, biases).writes(3, y);
        let step = step.memory(16 * WG_SIZE).flops(2 * images * u64::from(out_c) * features);
        let step =
            step.loops([(x.channels4() * in_pixels).div_ceil(WG_SIZE)]).constant("WG_SIZE", Constant::U32(WG_SIZE));
        builder.push(step.constants(activation(linear.activation)).pieces(builder.stored()));
    }
    Ok(())
}

/// The weights of these outputs: `[block of four][pixel][channel in memory][output of the block]`.
#[derive(PartialEq, Eq, Hash)]
struct Packed {
    weight: Weight,
    /// Of the input's channels.
    segments: Arc<[u32]>,
    in_pixels: u32,
    outputs: Range<u32>,
}

impl Recipe<f32> for Packed {
    fn values(&self) -> Cow<'_, [f32]> {
        let Self { weight, segments, in_pixels, outputs } = self;
        let (map, in_pixels) = (channel_map(segments), *in_pixels as usize);
        let (data, features) = (weight.data(), weight.shape().c as usize);
        let weight = |o: u32, pixel: usize, c: Option<u32>| match c {
            Some(c) if outputs.contains(&o) => data[o as usize * features + c as usize * in_pixels + pixel],
            _ => 0.0,
        };
        let mut packed = Vec::with_capacity(outputs.len().next_multiple_of(4) * map.len() * in_pixels);
        for first in outputs.clone().step_by(4) {
            for pixel in 0..in_pixels {
                for &c in &map {
                    packed.extend((first..first + 4).map(|o| weight(o, pixel, c)));
                }
            }
        }
        packed.into()
    }
}
