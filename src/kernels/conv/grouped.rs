//! Convolution whose groups may cut through a vec4, above all depthwise. Attributes:
//! [`crate::ops::Conv`]; shader: `conv_grouped`.

use super::jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::kernels::WG_SIZE;
use crate::plan::{Builder, Constant, Shader, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_grouped",
    text: shader!("conv/grouped"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("jobs"), piece!("window"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: jobs::TABLES,
};

/// Input and output channels of a group, if there is more than one.
fn group_c(job: &Job) -> Option<[u32; 2]> {
    let term = job.terms.first().filter(|term| term.conv.groups > 1)?;
    Some([term.x.shape.c, job.y.shape.c].map(|c| c / term.conv.groups))
}

/// Whether groups cut through a vec4, so that the other kernels cannot compute the job.
pub(super) fn supports(job: &Job) -> bool {
    group_c(job).is_some_and(|channels| channels.iter().any(|c| !c.is_multiple_of(4)))
}

/// One dispatch for one job of one term; neither side has gaps.
pub(super) fn plan(builder: &mut Builder, job: Job) -> Result<()> {
    let depthwise = group_c(&job) == Some([1, 1]);
    let kernel = Kernel {
        shader: &SHADER,
        pieces: Vec::new(),
        tiling: Tiling::Values(WG_SIZE),
        parts: 1,
        block_c: job.y.physical_c(),
        step_c: 1,
        read4: 1,
        by_output: false,
        loop_c: [1, 0],
        compiled: None,
        constants: vec![("WG_SIZE", Constant::U32(WG_SIZE)), ("DEPTHWISE", Constant::Bool(depthwise))],
    };
    jobs::plan(builder, &kernel, vec![job])
}
