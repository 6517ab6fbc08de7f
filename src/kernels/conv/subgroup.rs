//! Convolution on software adapters with subgroups: lanes read different pixels and pass them to each other, at far
//! less cost than reading. Attributes: [`crate::ops::Conv`]; shader: `conv_subgroup`.

use super::jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::kernels::sizes;
use crate::plan::{Builder, Constant, DeviceProfile, Element, Extension, Shader, Slice, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_subgroup",
    text: shader!("conv/subgroup"),
    extensions: &[Extension::Subgroups],
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

/// The vec4s of a read: two, as 64-bit integers, if the device has those and two always lie together.
fn read4(profile: &DeviceProfile, jobs: &[Job]) -> u32 {
    let lie_in_pairs = |x: &Slice| [x.offset4(), x.stride4(), x.physical_c() / 4].iter().all(|n| n.is_multiple_of(2));
    let mut terms = jobs.iter().flat_map(|job| &job.terms);
    if profile.int64 && terms.all(|term| lie_in_pairs(&term.x)) { 2 } else { 1 }
}

/// The rows of `lanes` pixels per invocation that finish the jobs soonest. An invocation also reads weights, which
/// takes as long as 1.5 rows, or as one where two vec4s are read at once (llvmpipe 22.3.6: 30, 40, 44 and 46 GFLOP per
/// second of a core with one to four rows). Longer kernels are left to tuning: llvmpipe 25.0.7 unrolls every read, and where
/// it has only AVX2 it takes 60 % longer for three rows than for two.
pub(super) fn rows(profile: &DeviceProfile, jobs: &[Job], lanes: u32) -> u32 {
    let weights = if read4(profile, jobs) == 2 { 2 } else { 3 };
    // Also where reads are single: a block has fewer kernels.
    let most = if profile.int64 { 2 } else { 3 };
    let time = |rows: &u32| -> u64 {
        let tiles = jobs.iter().map(|job| u64::from(job.y.pixels().div_ceil(lanes * rows)));
        tiles.sum::<u64>() * u64::from(weights + 2 * rows)
    };
    (1..=most).min_by_key(time).expect("there is one row")
}

/// For jobs of one group, on a device that has [`lanes`].
pub(super) fn plan(builder: &mut Builder, jobs: Vec<Job>, rows: u32) -> Result<()> {
    let lanes = lanes(builder.profile).expect("only chosen if there are lanes: see choice");
    let padded = jobs.iter().flat_map(|job| &job.terms).any(|term| term.pads());
    let read4 = read4(builder.profile, &jobs);
    let kernel = Kernel {
        shader: &SHADER,
        pieces: vec![
            if lanes == 4 { piece!("row_4", Subgroups) } else { piece!("row_8", Subgroups) },
            match (read4, builder.element()) {
                (2, Element::F16) => piece!("reads_8_f16", Int64),
                (2, _) => piece!("reads_8", Int64),
                _ => piece!("reads_4"),
            },
        ],
        tiling: Tiling::Pixels(lanes * rows),
        parts: 1,
        block_c: lanes * 4,
        step_c: 1,
        read4,
        by_output: false,
        loop_c: [4 * read4, 0],
        compiled: None,
        constants: [&sizes([("LANES", lanes), ("ROWS", rows)])[..], &[("PADDED", Constant::Bool(padded))]].concat(),
    };
    jobs::plan(builder, &kernel, jobs)
}
