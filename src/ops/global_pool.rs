//! Average or maximum of each channel: `[n, c, h, w] → [n, c, 1, 1]`.
//! Shader: `global_pool`; truth: `reference::global_pool`.

use crate::error::Result;
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// Which statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalPoolKind {
    /// Mean.
    Average,
    /// Maximum; `NaN` wins.
    Max,
}

/// As `torch.nn.AdaptiveAvgPool2d(1)` or `AdaptiveMaxPool2d(1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalPool {
    /// Which statistic.
    pub kind: GlobalPoolKind,
}

impl GlobalPool {
    /// Output shape for `x`.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        Shape::new(x.n, x.c, 1, 1).check(op)
    }
}

params! {
    images: u32,
    pixels: u32,
    channels4: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "global_pool",
    text: shader!("global_pool"),
    pieces: &[piece!("index"), piece!("ordered")],
    params_binding: 2,
    params: Params::FIELDS,
};

/// Lanes that share one channel block; a power of two.
const WG_SIZE: u32 = 64;

/// One dispatch: reads slice `x`, writes the vectors `y`.
pub(crate) fn plan(planner: &mut Planner, node: &str, pool: &GlobalPool, x: &Slice, y: &Slice) {
    let params = Params {
        images: x.shape.n,
        pixels: x.shape.h * x.shape.w,
        channels4: x.channels4(),
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let workgroups = u64::from(x.shape.n) * u64::from(x.channels4());
    let average = pool.kind == GlobalPoolKind::Average;
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, x).writes(1, y);
    let step = step.loops([params.pixels.div_ceil(WG_SIZE)]);
    let step = step.flops(if average { x.shape.len() } else { 0 });
    planner.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constant("AVERAGE", Constant::Bool(average)));
}
