//! Three chained pools of 5x5 on llvmpipe: no workgroup memory, and no loop but the one over rows. Attributes:
//! [`MaxPoolCascade`]; shader: `max_pool_cascade_strip`.

use super::bind;
use crate::ops::MaxPoolCascade;
use crate::plan::{Builder, Constant, DeviceClass, DeviceProfile, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    channels4: u32,
    height: u32,
    width: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "max_pool_cascade_strip",
    text: shader!("max_pool_cascade_strip"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

/// Invocations per workgroup, one subgroup: the more workgroups there are, the better threads can share them.
const LANES: u32 = 8;

/// Columns per invocation, fixed in the shader.
const COLUMNS: u32 = 8;

/// Rows by which the third pool lags behind what is read.
const BEHIND: u32 = 6;

/// Whether the shader is written for the cascade and suits the device: SwiftShader, with four lanes, needs minutes to
/// compile so much straight-line code.
pub(super) fn supports(profile: &DeviceProfile, cascade: &MaxPoolCascade, x: &Slice) -> bool {
    let rows = u64::from(x.shape.h) + u64::from(BEHIND);
    let suits = profile.class == DeviceClass::Software && profile.subgroup_size() == Some(LANES);
    suits && *cascade == MaxPoolCascade { kernel: 5, times: 3 } && rows <= profile.max_iterations
}

/// One dispatch: reads slice `x`, writes slice `y`, which may lie in the same buffer.
pub(super) fn plan(builder: &mut Builder, node: &str, x: &Slice, y: &Slice) {
    let len = x.shape.n * x.shape.w.div_ceil(COLUMNS) * x.channels4();
    let params = Params {
        len,
        channels4: x.channels4(),
        height: x.shape.h,
        width: x.shape.w,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let step = Step::new(node, &SHADER, &params, u64::from(len.div_ceil(LANES)));
    let step = bind(step, x, y).loops([x.shape.h + BEHIND]);
    builder.push(step.constant("WG_SIZE", Constant::U32(LANES)).pieces(builder.ordered()));
}
