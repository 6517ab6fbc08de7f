//! Values by indices that are computed. Attributes: [`crate::ops::Gather`]; shader: `gather`.

use super::{WG_SIZE, sizes, workgroups};
use crate::error::Result;
use crate::ops::{Gather, Pair, Strided, together};
use crate::plan::{Builder, Shader, Slice, Step, image_len, params, piece, shader};

params! {
    len: u32,
    extent: u32,
    stride: u32,
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
    stem: "gather",
    text: shader!("gather"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("walks"), piece!("images")],
    params_binding: 3,
    params: Params::FIELDS,
    tables: &[],
};

/// Common axes as shaders walk them: the last one first, and those that are not there of one step.
pub(super) struct Axes {
    /// How many there are, at least one.
    pub(super) count: u32,
    pub(super) extents: [u32; Strided::MAX_AXES],
    pub(super) strides: [[u32; Strided::MAX_AXES]; 2],
}

impl Axes {
    /// Of two walks: see [`together`].
    pub(super) fn of(pairs: &[Pair]) -> Self {
        let at = |i: usize| pairs.iter().rev().nth(i);
        let stride = |walk: usize| std::array::from_fn(|i| at(i).map_or(0, |pair| pair.strides[walk] as u32));
        Self {
            count: pairs.len().max(1) as u32,
            extents: std::array::from_fn(|i| at(i).map_or(1, |pair| pair.extent)),
            strides: [stride(0), stride(1)],
        }
    }
}

/// One dispatch: reads `x` and `indices`, which are dense, writes the values `y`. Errors: walks that have no common axes.
pub(crate) fn plan(
    builder: &mut Builder,
    node: &str,
    gather: &Gather,
    [x, indices]: [&Slice; 2],
    y: &Slice,
) -> Result<()> {
    let axes = Axes::of(&together(node, [&gather.x.axes, &gather.indices.axes])?);
    let [extent_0, extent_1, extent_2, extent_3, extent_4, extent_5] = axes.extents;
    let [[a_0, a_1, a_2, a_3, a_4, a_5], [b_0, b_1, b_2, b_3, b_4, b_5]] = axes.strides;
    let params = Params {
        len: y.shape.len() as u32,
        extent: gather.extent,
        stride: gather.stride,
        y_offset: y.offset,
        y_stride: y.stride,
        y_image: image_len(y.shape),
        a_offset: x.offset + gather.x.offset,
        b_offset: indices.offset + gather.indices.offset,
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
    let step = Step::new(node, &SHADER, &params, workgroups(params.len)).reads(0, x).reads(1, indices).writes(2, y);
    builder.push(step.constants(sizes([("WG_SIZE", WG_SIZE), ("AXES", axes.count)])));
    Ok(())
}
