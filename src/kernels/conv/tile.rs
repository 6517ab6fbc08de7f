//! Convolution by tiles in workgroup memory. Attributes: [`crate::ops::Conv`]; shader: `conv`.

use super::jobs::{self, Job, Kernel, Tiling};
use super::parts::Parts;
use crate::error::Result;
use crate::plan::{Builder, Constant, DeviceProfile, Element, Shader, Slice, Tile, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv",
    text: shader!("conv"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("jobs"), piece!("place"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: jobs::TABLES,
};

/// For jobs of one group. If the tile has several parts, there is one job, whose parts are returned.
pub(super) fn plan(builder: &mut Builder, tile: Tile, jobs: Vec<Job>) -> Result<Option<Parts>> {
    if tile.parts == 1 {
        return jobs::plan(builder, &kernel(tile), jobs).map(|()| None);
    }
    let [job] = <[Job; 1]>::try_from(jobs).expect("only a single job is split: see choice::in_parts");
    let (job, parts) = Parts::split(builder, job, tile.parts)?;
    jobs::plan(builder, &kernel(tile), vec![job])?;
    Ok(Some(parts))
}

/// Whether a workgroup of the device can hold it.
pub(super) fn fits(tile: Tile, profile: &DeviceProfile) -> bool {
    let bytes = Element::F32.bytes_of(u64::from((tile.m + tile.n) * tile.k));
    bytes <= u64::from(profile.workgroup_memory) && invocations(&tile) <= profile.max_invocations
}

/// Whether one dispatch can compute the job, as far as that depends on the number of its terms.
pub(super) fn fits_alone(tile: Tile, profile: &DeviceProfile, job: &Job) -> bool {
    jobs::fits_alone(profile, &kernel(tile), job)
}

/// Workgroups of the dispatch that makes `y`.
pub(super) fn workgroups(tile: Tile, y: &Slice) -> u64 {
    kernel(tile).workgroups(y)
}

const fn invocations(tile: &Tile) -> u32 {
    tile.m / tile.thread_m * (tile.n / 4 / tile.thread_n4) * tile.split_k
}

fn kernel(tile: Tile) -> Kernel {
    let Tile { m, n, k, thread_m, thread_n4, split_k, parts } = tile;
    let sizes = [
        ("TILE_M", m),
        ("TILE_N", n),
        ("TILE_K", k),
        ("THREAD_M", thread_m),
        ("THREAD_N4", thread_n4),
        ("SPLIT_K", split_k),
    ];
    let loads = (m + n) * k / 4 / invocations(&tile);
    let multiply = k / 4 / split_k * (1 + thread_m * thread_n4);
    Kernel {
        shader: &SHADER,
        pieces: Vec::new(),
        tiling: Tiling::Pixels(m),
        parts,
        block_c: n,
        step_c: k,
        read4: 1,
        loop_c: [k, loads + multiply],
        constants: sizes.map(|(name, size)| (name, Constant::U32(size))).into(),
    }
}

// The shader's loads cover the tiles without remainder, and shares are added up in the space of a tile.
const _: () = {
    let mut i = 0;
    while i < Tile::ALL.len() {
        let tile = &Tile::ALL[i];
        let invocations = invocations(tile);
        assert!(invocations.is_multiple_of(tile.m) && (tile.k / 4).is_multiple_of(invocations / tile.m));
        assert!((tile.k * tile.n / 4).is_multiple_of(invocations));
        assert!((tile.k / 4).is_multiple_of(tile.split_k) && (tile.split_k == 1 || tile.k >= tile.m));
        i += 1;
    }
};
