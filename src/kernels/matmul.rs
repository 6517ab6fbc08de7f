//! Products of matrices that are both computed. Attributes: [`crate::ops::Matmul`]; shader: `matmul`.

use super::gather::Axes;
use super::sizes;
use crate::error::Result;
use crate::ops::{Matmul, together};
use crate::plan::{
    Builder, Constant, DeviceClass, DeviceProfile, Shader, Slice, Step, image_len, params, piece, shader,
};

params! {
    products: u32,
    rows: u32,
    depth: u32,
    columns: u32,
    a_i: u32,
    a_k: u32,
    b_k: u32,
    b_j: u32,
    y_offset: u32,
    y_stride: u32,
    y_image: u32,
    a_offset: u32,
    b_offset: u32,
    extent_0: u32,
    extent_1: u32,
    extent_2: u32,
    extent_3: u32,
    extent_4: u32,
    extent_5: u32,
    a_0: u32,
    a_1: u32,
    a_2: u32,
    a_3: u32,
    a_4: u32,
    a_5: u32,
    b_0: u32,
    b_1: u32,
    b_2: u32,
    b_3: u32,
    b_4: u32,
    b_5: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "matmul",
    text: shader!("matmul"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("walks"), piece!("images")],
    params_binding: 3,
    params: Params::FIELDS,
    tables: &[],
};

/// A workgroup with tiles: its invocations, rows and columns, terms of a step, and bytes of both tiles.
const TILED: u32 = 128;
const TILE: u32 = 64;
const TILE_K: u32 = 16;
const TILE_BYTES: u32 = 2 * TILE_K * (TILE / 4 + 1) * 16;

/// Invocations of a workgroup without, one SIMD register of a software adapter, and rows that each makes.
const LANES: u32 = 8;
const ROWS: u32 = 8;

/// One dispatch: reads `a` and `b`, which are dense, writes the values `y`. Errors: walks that do not fit each other.
pub(crate) fn plan(builder: &mut Builder, node: &str, matmul: &Matmul, [a, b]: [&Slice; 2], y: &Slice) -> Result<()> {
    let (batch, [rows, depth, columns]) = matmul.extents(node)?;
    let [(a_batch, a_axes), (b_batch, b_axes)] = [&matmul.a, &matmul.b].map(|walk| walk.axes.split_at(batch.len()));
    let axes = Axes::of(&together(node, [a_batch, b_batch])?);
    let [extent_0, extent_1, extent_2, extent_3, extent_4, extent_5] = axes.extents;
    let [[a_0, a_1, a_2, a_3, a_4, a_5], [b_0, b_1, b_2, b_3, b_4, b_5]] = axes.strides;
    let params = Params {
        products: batch.iter().product(),
        rows,
        depth,
        columns,
        a_i: a_axes[0].stride as u32,
        a_k: a_axes[1].stride as u32,
        b_k: b_axes[0].stride as u32,
        b_j: b_axes[1].stride as u32,
        y_offset: y.offset,
        y_stride: y.stride,
        y_image: image_len(y.shape),
        a_offset: a.offset + matmul.a.offset,
        b_offset: b.offset + matmul.b.offset,
        extent_0,
        extent_1,
        extent_2,
        extent_3,
        extent_4,
        extent_5,
        a_0,
        a_1,
        a_2,
        a_3,
        a_4,
        a_5,
        b_0,
        b_1,
        b_2,
        b_3,
        b_4,
        b_5,
    };
    let &DeviceProfile { class, max_invocations, workgroup_memory, .. } = builder.profile;
    let tiled = class != DeviceClass::Software && max_invocations >= TILED && workgroup_memory >= TILE_BYTES;
    let [tile_i, tile_j] = if tiled { [TILE; 2] } else { [ROWS, 4 * LANES] };
    let tiles = [(rows, tile_i), (columns, tile_j)].map(|(extent, tile)| u64::from(extent.div_ceil(tile)));
    let workgroups = u64::from(params.products) * tiles[0] * tiles[1];
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, a).reads(1, b).writes(2, y);
    let step = step.flops(2 * u64::from(depth) * y.shape.len());
    let step = if tiled {
        let along_k = [("A_ALONG_K", params.a_k == 1), ("B_ALONG_K", params.b_k == 1)];
        let step = step.constants(along_k.map(|(name, along)| (name, Constant::Bool(along))));
        let step = step.piece(piece!("products_tiled")).memory(TILE_BYTES);
        step.loops([depth.div_ceil(TILE_K), TILE_K]).constants(sizes([("WG_SIZE", TILED)]))
    } else {
        step.piece(piece!("products_direct")).loops([depth]).constants(sizes([("WG_SIZE", LANES)]))
    };
    builder.push(step.constants(sizes([("AXES", axes.count)])));
    Ok(())
}
