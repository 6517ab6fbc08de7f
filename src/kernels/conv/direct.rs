//! Convolution without workgroup memory or barriers: the form that software adapters run fastest, and the one for
//! groups of whole vec4s. Attributes: [`crate::ops::Conv`]; shader: `conv_direct`.

use super::jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::plan::{Builder, Constant, Shader, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_direct",
    text: shader!("conv/direct"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("jobs"), piece!("window"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: jobs::TABLES,
};

/// Pixels per invocation, fixed in the shader.
const PIXELS: u32 = 8;

/// Invocations per workgroup, side by side along output channels: one SIMD register of a software adapter.
const LANES: u32 = 8;

pub(super) fn plan(builder: &mut Builder, jobs: Vec<Job>) -> Result<()> {
    let padded = jobs.iter().flat_map(|job| &job.terms).any(|term| term.pads());
    let kernel = Kernel {
        shader: &SHADER,
        piece: None,
        tiling: Tiling::Pixels(PIXELS),
        parts: 1,
        block_c: LANES * 4,
        step_c: 1,
        loop_c: [4, 0],
        compiled: None,
        constants: vec![("LANES", Constant::U32(LANES)), ("PADDED", Constant::Bool(padded))],
    };
    jobs::plan(builder, &kernel, jobs)
}
