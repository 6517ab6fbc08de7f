//! Convolution by tiles in workgroup memory. Attributes: [`crate::ops::Conv`]; shader: `conv`.

use super::jobs::{self, Compiled, Job, Kernel, Tiling};
use super::parts::Parts;
use crate::error::Result;
use crate::kernels::sizes;
use crate::plan::{Builder, DeviceClass, DeviceProfile, Estimate, Hardware, Shader, Tile, Vendor, piece, shader};

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
    workgroup_memory(&tile) <= profile.workgroup_memory && invocations(&tile) <= profile.max_invocations
}

/// What compilers of real drivers make of a tile: multiply-adds of a hundred instructions of a step, and registers of an
/// invocation. Roughly the middle of benches/static, rather below than above it: one maker's chips differ as much as makers do.
/// That has 78 to 86 multiply-adds of the largest tile, 64 to 82 of those 64 channels wide that invocations do not share,
/// 58 to 77 of those they share. Nothing was run.
const fn compiled(tile: &Tile) -> Compiled {
    let [multiply_adds, registers] = match *tile {
        Tile { thread_n4: 2.., .. } => [80, 128],
        Tile { split_k: 1, n: 33.., .. } => [72, 88],
        Tile { split_k: 1, .. } => [68, 88],
        Tile { n: 33.., .. } => [68, 88],
        Tile { .. } => [63, 88],
    };
    let [invocations, workgroup_memory] = [invocations(tile), workgroup_memory(tile)];
    Compiled { invocations, workgroup_memory, registers, multiply_adds }
}

/// Whether the tile would spill registers into memory there, or may, as on integrated GPUs that nobody has compiled it for.
/// Such a tile is only taken if it was measured to be fastest.
pub(super) fn spills(tile: Tile, profile: &DeviceProfile) -> bool {
    let few_registers = matches!(profile.vendor, Vendor::Apple | Vendor::Intel | Vendor::Qualcomm);
    tile == Tile::LARGE && (few_registers || profile.class == DeviceClass::Integrated)
}

/// How long the jobs would take in one dispatch. With a tile in parts, results have their place for all of them.
pub(super) fn estimate(tile: Tile, jobs: &[Job], hardware: &Hardware) -> Option<Estimate> {
    kernel(tile).estimate(jobs, hardware)
}

/// Whether one dispatch can compute the job, as far as that depends on the number of its terms.
pub(super) fn fits_alone(tile: Tile, profile: &DeviceProfile, job: &Job) -> bool {
    jobs::fits_alone(profile, &kernel(tile), job)
}

const fn invocations(tile: &Tile) -> u32 {
    tile.m / tile.thread_m * (tile.n / 4 / tile.thread_n4) * tile.split_k
}

const fn workgroup_memory(tile: &Tile) -> u32 {
    (tile.m + tile.n) * tile.k * 4
}

fn kernel(tile: Tile) -> Kernel {
    let Tile { m, n, k, thread_m, thread_n4, split_k, parts } = tile;
    let constants = [("TILE_M", m), ("TILE_N", n), ("TILE_K", k), ("SPLIT_K", split_k)];
    let loads = (m + n) * k / 4 / invocations(&tile);
    let multiply = k / 4 / split_k * (1 + thread_m * thread_n4);
    Kernel {
        shader: &SHADER,
        pieces: vec![if thread_n4 == 1 { piece!("sums_8") } else { piece!("sums_16") }],
        tiling: Tiling::Pixels(m),
        parts,
        block_c: n,
        step_c: k,
        read4: 1,
        loop_c: [k, loads + multiply],
        constants: sizes(constants).into(),
        compiled: Some(compiled(&tile)),
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
