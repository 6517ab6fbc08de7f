//! Convolution on software adapters with subgroups: lanes read different pixels and hand them to each other, which costs
//! those adapters far less than reading. Attributes and truth are [`super::Conv`]'s; shader: `conv_subgroup`.

use super::conv_direct;
use super::conv_jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::plan::{Constant, Planner, Shader, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_subgroup",
    text: shader!("conv_subgroup"),
    pieces: &[piece!("index"), piece!("jobs"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: conv_jobs::TABLES,
};

/// Rows of `lanes` pixels to an invocation: the fewest that finish the jobs soonest. Beside its rows, an invocation reads
/// weights, which takes the time of 1.5 rows (llvmpipe: 34, 50 and 61 GFLOP/s with 1, 2 and 4 rows).
fn rows(jobs: &[Job], lanes: u32) -> u32 {
    let time = |rows: &u32| -> u64 {
        let tiles = jobs.iter().map(|job| u64::from(job.y.pixels().div_ceil(lanes * rows)));
        tiles.sum::<u64>() * u64::from(3 + 2 * rows)
    };
    (1..=4).min_by_key(time).unwrap_or(1)
}

/// For jobs of one group. By `conv_direct` where the device has no subgroups of a size that the shader is written for.
pub(super) fn plan(planner: &mut Planner, jobs: Vec<Job>) -> Result<()> {
    let (lanes, row) = match planner.profile.subgroup_size {
        Some(4) => (4, piece!("row_4")),
        Some(8) => (8, piece!("row_8")),
        _ => return conv_direct::plan(planner, jobs),
    };
    let rows = rows(&jobs, lanes);
    let padded = jobs.iter().flat_map(|job| &job.terms).any(|term| term.pads());
    let sizes = [("LANES", lanes), ("ROWS", rows)].map(|(name, size)| (name, Constant::U32(size)));
    let kernel = Kernel {
        shader: &SHADER,
        piece: Some(row),
        tiling: Tiling::Pixels(lanes * rows),
        block_c: lanes * 4,
        step_c: 1,
        loop_c: [4, 0],
        constants: [&sizes[..], &[("PADDED", Constant::Bool(padded))]].concat(),
    };
    conv_jobs::plan(planner, &kernel, jobs)
}
