//! Convolution without workgroup memory or barriers: the form that software adapters run fastest, and the one for
//! groups of whole vec4s. Attributes: [`crate::ops::Conv`]; shader: `conv_direct`.

use super::jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::kernels::sizes;
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

/// Invocations side by side along output channels: one SIMD register of a software adapter.
const LANES: u32 = 8;

pub(super) fn plan(builder: &mut Builder, jobs: Vec<Job>) -> Result<()> {
    let padded = jobs.iter().flat_map(|job| &job.terms).any(|term| term.pads());
    // As many in a workgroup: GPUs would leave most lanes of a subgroup idle with one.
    let places = builder.profile.class.sharing();
    let kernel = Kernel {
        shader: &SHADER,
        pieces: Vec::new(),
        tiling: Tiling::Pixels(PIXELS * places),
        parts: 1,
        block_c: LANES * 4,
        step_c: 1,
        read4: 1,
        by_output: false,
        loop_c: [4, 0],
        compiled: None,
        constants: [&sizes([("LANES", LANES), ("PLACES", places)])[..], &[("PADDED", Constant::Bool(padded))]].concat(),
    };
    jobs::plan(builder, &kernel, jobs)
}
