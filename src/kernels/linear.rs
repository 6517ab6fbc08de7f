//! Fully connected layer. Attributes: [`crate::ops::Linear`]; shader: `linear`.

use super::activation;
use crate::error::{Error, Result};
use crate::ops::Linear;
use crate::plan::{Builder, Constant, Element, Shader, Slice, Step, params, piece, shader};

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
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// Lanes that share one sum; a power of two.
const WG_SIZE: u32 = 64;

/// Reads slice `x`, writes the vectors `y`: one dispatch, or several if the weights exceed what one binding holds.
pub(crate) fn plan(builder: &mut Builder, node: &str, linear: &Linear, x: &Slice, y: &Slice) -> Result<()> {
    let in_pixels = x.shape.h * x.shape.w;
    let bytes_of_four = 4 * Element::F32.bytes_of(u64::from(in_pixels) * u64::from(x.physical_c()));
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
    let (map, channels) = (x.channel_map(), x.shape.c as usize);
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
        let features = channels * in_pixels as usize;
        let weight = |o: u32, pixel: u32, c: Option<u32>| match c {
            Some(c) if o < out_c => {
                let feature = c as usize * in_pixels as usize + pixel as usize;
                linear.weight.data()[(first + o) as usize * features + feature]
            }
            _ => 0.0,
        };
        let mut packed = Vec::with_capacity(out_c4 as usize * 4 * map.len() * in_pixels as usize);
        for o4 in 0..out_c4 {
            for pixel in 0..in_pixels {
                for &c in &map {
                    packed.extend((0..4).map(|j| weight(o4 * 4 + j, pixel, c)));
                }
            }
        }
        let mut bias = vec![0.0; out_c4 as usize * 4];
        if let Some(values) = &linear.bias {
            bias[..out_c as usize].copy_from_slice(&values[first as usize..(first + out_c) as usize]);
        }
        let weights = builder.weights(format!("weights of '{node}'"), &packed);
        let biases = builder.weights(format!("bias of '{node}'"), &bias);
        let images = u64::from(x.shape.n);
        let step = Step::new(node, &SHADER, &params, images * u64::from(out_c4)).reads(0, x);
        let step = step.table(1, weights).table(2, biases).writes(3, y);
        let step = step.flops(2 * images * u64::from(out_c) * features as u64);
        let step =
            step.loops([(x.channels4() * in_pixels).div_ceil(WG_SIZE)]).constant("WG_SIZE", Constant::U32(WG_SIZE));
        builder.push(step.constants(activation(linear.activation)));
    }
    Ok(())
}
