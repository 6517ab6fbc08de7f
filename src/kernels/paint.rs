//! From a map to a texture. Attributes: [`crate::ops::Paint`]; shader: `paint`.

use super::texture::texel;
use super::{WG_SIZE, workgroups};
use crate::error::Result;
use crate::ops::{Paint, Paints, Rect, Texels};
use crate::plan::{Builder, Constant, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    out_h: u32,
    out_w: u32,
    seen_top: u32,
    seen_left: u32,
    seen_h: u32,
    seen_w: u32,
    x_h: u32,
    x_w: u32,
    x_offset: u32,
    x_stride: u32,
    channels: u32,
    row_scale: f32,
    row_shift: f32,
    column_scale: f32,
    column_shift: f32,
    opacity: f32,
    scale_0: f32,
    scale_1: f32,
    scale_2: f32,
    shift_0: f32,
    shift_1: f32,
    shift_2: f32,
    spans: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "paint",
    text: shader!("paint"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("unit")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slice `x`, and a texture to paint over, and writes texture `y`. Errors: more colours than 32-bit
/// indices hold.
pub(crate) fn plan(
    builder: &mut Builder,
    node: &str,
    paint: &Paint,
    x: &Slice,
    picture: Option<&(Slice, Texels)>,
    y: &Slice,
) -> Result<()> {
    let (h, w) = (paint.out_h, paint.out_w);
    let whole = Rect::whole(h, w);
    let (seen, placed, [net_h, net_w]) = match &paint.through {
        Some(through) => (through.seen(h, w), through.placed(h, w), [through.out_h, through.out_w]),
        None => (whole, whole, [h, w]),
    };
    // From the picture's rows or columns to the map's.
    let line = |seen: u32, begin: u32, placed: u32, net: u32, map: u32| {
        let scale = f64::from(map) / f64::from(net);
        [f64::from(placed) / f64::from(seen) * scale, f64::from(begin) * scale].map(|value| value as f32)
    };
    let [row_scale, row_shift] = line(seen.h, placed.top, placed.h, net_h, x.shape.h);
    let [column_scale, column_shift] = line(seen.w, placed.left, placed.w, net_w, x.shape.w);
    let (scale, shift, channel) = match &paint.paints {
        Paints::Colors { scale, shift } => (*scale, *shift, 0),
        Paints::HeatMap { channel, range: [low, high], .. } => {
            let [low, high] = [low, high].map(|&end| f64::from(end));
            ([(1.0 / (high - low)) as f32; 3], [(-low / (high - low)) as f32; 3], *channel)
        }
        Paints::Classes { .. } => ([1.0; 3], [0.0; 3], 0),
    };
    let ([scale_0, scale_1, scale_2], [shift_0, shift_1, shift_2]) = (scale, shift);
    let colors: Vec<[f32; 4]> = paint.paints.colors().iter().map(|&[r, g, b]| [r, g, b, 1.0]).collect();
    let len = y.pixels();
    let params = Params {
        len,
        out_h: h,
        out_w: w,
        seen_top: seen.top,
        seen_left: seen.left,
        seen_h: seen.h,
        seen_w: seen.w,
        x_h: x.shape.h,
        x_w: x.shape.w,
        x_offset: x.offset4() + channel / 4,
        x_stride: x.stride4(),
        channels: x.shape.c,
        row_scale,
        row_shift,
        column_scale,
        column_shift,
        opacity: paint.opacity,
        scale_0,
        scale_1,
        scale_2,
        shift_0,
        shift_1,
        shift_2,
        spans: colors.len().saturating_sub(1) as f32,
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x).draws(1, y, paint.texels);
    let step = step.constant("WG_SIZE", Constant::U32(WG_SIZE));
    let step = match &paint.paints {
        Paints::Colors { .. } => step.piece(piece!("paints_colors")),
        Paints::HeatMap { .. } => step.piece(piece!("paints_heat_map")).constant("LANE", Constant::U32(channel % 4)),
        Paints::Classes { .. } => step.piece(piece!("paints_classes")).loops([x.channels4()]),
    };
    let step = if colors.is_empty() {
        step
    } else {
        let table = builder.biases(format!("colours of '{node}'"), colors.into_flattened())?;
        step.table(3, table)
    };
    let step = match picture {
        Some((picture, texels)) => {
            step.samples(4, picture, *texels).piece(texel(*texels)).piece(piece!("over_picture"))
        }
        None => step.piece(piece!("over_nothing")),
    };
    let step = match paint.texels {
        Texels::Rgba16Float => step.piece(piece!("target_rgba16float")),
        _ => step.piece(piece!("target_rgba8")),
    };
    let step = step.flops(15 * u64::from(x.shape.c) * u64::from(len));
    builder.push(step.pieces(builder.stored()));
    Ok(())
}
