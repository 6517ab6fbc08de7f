//! From a picture to the network's input. Attributes: [`crate::ops::Texture`]; shader: `texture`.

use super::{WG_SIZE, workgroups};
use crate::ops::{ColorOrder, Texels, Texture, Yuv};
use crate::plan::{Builder, Constant, Piece, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    seen_top: u32,
    seen_left: u32,
    seen_h: u32,
    seen_w: u32,
    top: u32,
    left: u32,
    h: u32,
    w: u32,
    out_h: u32,
    out_w: u32,
    y_offset: u32,
    y_stride: u32,
    fill: f32,
    scale_0: f32,
    scale_1: f32,
    scale_2: f32,
    shift_0: f32,
    shift_1: f32,
    shift_2: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "texture",
    text: shader!("texture"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("between")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// What reads a texel of a picture, by what its texture holds.
pub(super) const fn texel(texels: Texels) -> &'static Piece {
    match texels {
        Texels::Rgba8Srgb => piece!("texel_srgb"),
        Texels::Rgba8 | Texels::Rgba16Float | Texels::R8 | Texels::Rg8 => piece!("texel"),
    }
}

/// One dispatch: reads one texture, or those of two planes, and writes slice `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, texture: &Texture, planes: &[(Slice, Texels)], y: &Slice) {
    let [(picture, texels), colors @ ..] = planes else { return };
    let (h, w) = (picture.shape.h, picture.shape.w);
    let (seen, placed) = (texture.seen(h, w), texture.placed(h, w));
    let scale = texture.std.map(|std| 1.0 / f64::from(std));
    let shift = [0, 1, 2].map(|c| -f64::from(texture.mean[c]) * scale[c]);
    let ([scale_0, scale_1, scale_2], [shift_0, shift_1, shift_2]) =
        (scale.map(|scale| scale as f32), shift.map(|shift| shift as f32));
    let len = y.pixels();
    let params = Params {
        len,
        seen_top: seen.top,
        seen_left: seen.left,
        seen_h: seen.h,
        seen_w: seen.w,
        top: placed.top,
        left: placed.left,
        h: placed.h,
        w: placed.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        fill: texture.fill(),
        scale_0,
        scale_1,
        scale_2,
        shift_0,
        shift_1,
        shift_2,
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).writes(1, y).samples(4, picture, *texels);
    let step = step.constant("WG_SIZE", Constant::U32(WG_SIZE));
    let step = step.constant("BGR", Constant::Bool(texture.order == ColorOrder::Bgr)).piece(texel(*texels));
    let step = match colors.first() {
        None => step.piece(piece!("colors_rgb")),
        Some((plane, texels)) => step
            .samples(5, plane, *texels)
            .piece(piece!("colors_nv12"))
            .piece(piece!("unit"))
            .constants(matrix(texture.yuv)),
    };
    builder.push(step.flops(15 * y.shape.len()).pieces(builder.stored()));
}

/// Brightness and colour to red, green and blue: what is subtracted from brightness, its factor, and those of colour.
fn matrix(Yuv { matrix, full_range }: Yuv) -> [(&'static str, Constant); 6] {
    let [red, blue] = matrix.weights();
    let green = 1.0 - red - blue;
    let (zero, luma, chroma) = if full_range { (0.0, 1.0, 1.0) } else { (16.0 / 255.0, 255.0 / 219.0, 255.0 / 224.0) };
    let factors = [
        ("LUMA_ZERO", zero),
        ("LUMA", luma),
        ("RED_OF_V", 2.0 * (1.0 - red) * chroma),
        ("GREEN_OF_U", -2.0 * (1.0 - blue) * blue / green * chroma),
        ("GREEN_OF_V", -2.0 * (1.0 - red) * red / green * chroma),
        ("BLUE_OF_U", 2.0 * (1.0 - blue) * chroma),
    ];
    factors.map(|(name, factor): (_, f64)| (name, Constant::F32(factor as f32)))
}
