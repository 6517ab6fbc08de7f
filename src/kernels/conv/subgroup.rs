//! Convolution on software adapters with subgroups: lanes read different pixels and pass them to each other, at far
//! less cost than reading. Attributes: [`crate::ops::Conv`]; shader: `conv_subgroup`.

use super::jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::plan::{Builder, Constant, DeviceProfile, Shader, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_subgroup",
    text: shader!("conv/subgroup"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("jobs"), piece!("place"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: jobs::TABLES,
};

/// Rows of pixels that an invocation of the shader can have.
pub(super) const MAX_ROWS: u32 = 4;

/// The lanes of a workgroup, if the shader is written for the device's subgroups.
pub(super) fn lanes(profile: &DeviceProfile) -> Option<u32> {
    profile.subgroup_size().filter(|lanes| [4, 8].contains(lanes))
}

/// The rows of `lanes` pixels per invocation that finish the jobs soonest. An invocation also reads weights, which
/// takes as long as 1.5 rows (llvmpipe 22.3.6: 34, 50 and 61 GFLOP/s with one, two and four rows). Four are left
/// to tuning: 8 % faster than three there, they are 6 % slower on llvmpipe 25.0.7, which unrolls every load.
pub(super) fn rows(jobs: &[Job], lanes: u32) -> u32 {
    let time = |rows: &u32| -> u64 {
        let tiles = jobs.iter().map(|job| u64::from(job.y.pixels().div_ceil(lanes * rows)));
        tiles.sum::<u64>() * u64::from(3 + 2 * rows)
    };
    (1..MAX_ROWS).min_by_key(time).expect("MAX_ROWS is above 1")
}

/// For jobs of one group, on a device that has [`lanes`].
pub(super) fn plan(builder: &mut Builder, jobs: Vec<Job>, rows: u32) -> Result<()> {
    let lanes = lanes(builder.profile).expect("only chosen if there are lanes: see choice");
    let padded = jobs.iter().flat_map(|job| &job.terms).any(|term| term.pads());
    let sizes = [("LANES", lanes), ("ROWS", rows)].map(|(name, size)| (name, Constant::U32(size)));
    let kernel = Kernel {
        shader: &SHADER,
        piece: Some(if lanes == 4 { piece!("row_4") } else { piece!("row_8") }),
        tiling: Tiling::Pixels(lanes * rows),
        parts: 1,
        block_c: lanes * 4,
        step_c: 1,
        loop_c: [4, 0],
        constants: [&sizes[..], &[("PADDED", Constant::Bool(padded))]].concat(),
    };
    jobs::plan(builder, &kernel, jobs)
}
