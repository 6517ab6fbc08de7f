//! Convolution by tiles in workgroup memory. Attributes: [`crate::ops::Conv`]; shader: `conv`.

use super::jobs::{self, Compiled, Job, Kernel, Tiling};
use super::parts::Parts;
use crate::error::Result;
use crate::kernels::sizes;
use crate::plan::{
    Builder, Constant, DeviceClass, DeviceProfile, Element, Estimate, Hardware, Shader, Sums, Tile, Vendor, piece,
    shader,
};

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
    let kernel = kernel(builder.profile, tile, builder.element());
    if tile.parts == 1 {
        return jobs::plan(builder, &kernel, jobs).map(|()| None);
    }
    let [job] = <[Job; 1]>::try_from(jobs).expect("only a single job is split: see choice::in_parts");
    let (job, parts) = Parts::split(builder, job, tile.parts)?;
    jobs::plan(builder, &kernel, vec![job])?;
    Ok(Some(parts))
}

/// The tiles for the device's matrices of what is stored, if it has any.
pub(super) fn of_matrices(profile: &DeviceProfile, element: Element) -> Vec<Tile> {
    let known = profile.subgroups.is_some() && (element != Element::F16 || profile.f16);
    let size = profile.matrices.of(element).filter(|size| known && [8, 16].contains(size));
    size.map_or_else(Vec::new, |size| {
        Tile::of_matrices(size).into_iter().filter(|tile| fits(*tile, profile, element)).collect()
    })
}

/// Whether a workgroup of the device can hold it.
pub(super) fn fits(tile: Tile, profile: &DeviceProfile, element: Element) -> bool {
    let invocations = invocations(&tile, lanes(profile));
    workgroup_memory(&tile, element) <= profile.workgroup_memory.into()
        && invocations <= profile.max_invocations
        && is_even(&tile, invocations)
}

/// Multiply-adds in the time of a hundred instructions, and registers of an invocation.
fn compiled(tile: &Tile, profile: &DeviceProfile, element: Element) -> Compiled {
    // What compilers of real drivers make of a tile, roughly the middle of benches/static, rather below than above it: one
    // maker's chips differ as much as makers do. Matrices in multiples of what registers can, as on an H100 when the
    // largest tile was loaded in another way.
    let [by_compilers, registers] = match *tile {
        Tile { sums: Sums::Matrices { grid: 4, .. }, .. } => [180, 200],
        Tile { sums: Sums::Matrices { .. }, split_k: 1, .. } => [125, 96],
        Tile { sums: Sums::Matrices { .. }, .. } => [95, 96],
        Tile { sums: Sums::Registers { vec4s: 2.. }, .. } => [80, 128],
        Tile { split_k: 1, n: 33.., .. } => [72, 88],
        Tile { split_k: 1, .. } => [68, 88],
        Tile { n: 33.., .. } => [68, 88],
        Tile { .. } => [63, 88],
    };
    // What an H100 made of them, on maps that fill it.
    let multiply_adds = match *tile {
        _ if profile.vendor != Vendor::Nvidia => by_compilers,
        Tile { sums: Sums::Matrices { grid: 4, .. }, .. } => 110,
        Tile { sums: Sums::Matrices { .. }, .. } => by_compilers,
        Tile { sums: Sums::Registers { vec4s: 2.. }, .. } => 43,
        Tile { split_k: 1, n: 33.., .. } => 49,
        Tile { split_k: 1, .. } => 32,
        Tile { n: 33.., .. } => 44,
        Tile { .. } => 40,
    };
    let invocations = invocations(tile, lanes(profile));
    Compiled { invocations, workgroup_memory: workgroup_memory(tile, element) as u32, registers, multiply_adds }
}

/// Whether the tile would spill registers into memory there, or may, as on integrated GPUs that nobody has compiled it for.
/// Such a tile is only taken if it was measured to be fastest.
pub(super) fn spills(tile: Tile, profile: &DeviceProfile) -> bool {
    let few_registers = matches!(profile.vendor, Vendor::Apple | Vendor::Intel | Vendor::Qualcomm);
    tile == Tile::LARGE && (few_registers || profile.class == DeviceClass::Integrated)
}

/// How long the jobs would take in one dispatch. With a tile in parts, results have their place for all of them.
pub(super) fn estimate(tile: Tile, profile: &DeviceProfile, jobs: &[Job], hardware: &Hardware) -> Option<Estimate> {
    kernel(profile, tile, jobs::element(jobs)).estimate(jobs, hardware)
}

/// Whether one dispatch can compute the job, as far as that depends on the number of its terms.
pub(super) fn fits_alone(tile: Tile, profile: &DeviceProfile, job: &Job) -> bool {
    jobs::fits_alone(profile, &kernel(profile, tile, jobs::element(std::slice::from_ref(job))), job)
}

/// The most lanes that a subgroup may have.
fn lanes(profile: &DeviceProfile) -> u32 {
    profile.subgroups.map_or(1, |[_, most]| most)
}

/// Subgroups that a tile of matrices needs.
const fn subgroups(tile: &Tile) -> u32 {
    match tile.sums {
        Sums::Registers { .. } => 0,
        Sums::Matrices { size, grid } => tile.m / (size * grid) * (tile.n / (size * grid)) * tile.split_k,
    }
}

/// Invocations of a workgroup, where a subgroup has so many lanes at most.
const fn invocations(tile: &Tile, lanes: u32) -> u32 {
    match tile.sums {
        Sums::Registers { vec4s } => tile.m / 8 * (tile.n / 4 / vec4s) * tile.split_k,
        // At least one for each pixel, to find its taps.
        Sums::Matrices { .. } => {
            let all = subgroups(tile).saturating_mul(lanes);
            if all > tile.m { all } else { tile.m }
        }
    }
}

const fn workgroup_memory(tile: &Tile, element: Element) -> u64 {
    let (m, n, k) = (tile.m as u64, tile.n as u64, tile.k as u64);
    let taps = Element::U32.bytes_of(m);
    match tile.sums {
        Sums::Registers { .. } => taps + Element::F32.bytes_of((m + n) * k),
        // Rows are longer, and one matrix of each subgroup has its place.
        Sums::Matrices { size, .. } => {
            let staged = subgroups(tile) as u64 * size as u64 * size as u64;
            taps + element.bytes_of((m + n) * (k + 8)) + Element::F32.bytes_of(staged)
        }
    }
}

/// Whether the shader's loads, which are 1, 2, 4 or 8 of an invocation, cover the tiles without remainder.
const fn is_even(tile: &Tile, invocations: u32) -> bool {
    const fn covers(len: u32, invocations: u32) -> bool {
        len.is_multiple_of(invocations) && matches!(len / invocations, 1 | 2 | 4 | 8)
    }
    let [x, w] = [tile.k / 4 * tile.m, tile.k / 4 * tile.n];
    invocations >= tile.m && covers(x, invocations) && covers(w, invocations)
}

fn kernel(profile: &DeviceProfile, tile: Tile, element: Element) -> Kernel {
    let Tile { m, n, k, sums, split_k, parts } = tile;
    let invocations = invocations(&tile, lanes(profile));
    let mut constants = sizes([("TILE_M", m), ("TILE_N", n), ("TILE_K", k), ("SPLIT_K", split_k)]).to_vec();
    // An H100 took 25 to 45 % longer for the largest tile of matrices with neighbours side by side, and others 5 to 15 %
    // less.
    let one_pixel = matches!(sums, Sums::Matrices { grid: 4, .. }) && invocations == m;
    constants.push(("ONE_PIXEL", Constant::Bool(one_pixel)));
    let (pieces, multiply) = match sums {
        Sums::Registers { vec4s } => {
            (vec![if vec4s == 1 { piece!("sums_8") } else { piece!("sums_16") }], k / 4 / split_k)
        }
        Sums::Matrices { size, grid } => {
            constants.extend(sizes([("WG_SIZE", invocations), ("SIZE", size)]));
            let grid = if grid == 4 { piece!("grid_4x4") } else { piece!("grid_2x2") };
            // Metal has matrices of 8 rows, and loads them value by value.
            let [tiles, matrices] = if size == 16 {
                [piece!("tiles_vec4"), piece!("matrices_16", CooperativeMatrix)]
            } else {
                [piece!("tiles_scalar"), piece!("matrices_8", CooperativeMatrix)]
            };
            let factor = if element == Element::F16 { piece!("factor_f16", F16) } else { piece!("factor_f32") };
            (vec![piece!("sums_matrices", Subgroups), grid, tiles, matrices, factor], k / size / split_k)
        }
    };
    Kernel {
        shader: &SHADER,
        pieces,
        tiling: Tiling::Pixels(m),
        parts,
        block_c: n,
        step_c: k,
        read4: 1,
        by_output: tile.is_of_matrices(),
        loop_c: [k, multiply],
        constants,
        compiled: Some(compiled(&tile, profile, element)),
    }
}

// The shader's loads cover the tiles, and shares are added up in the space of a tile.
const _: () = {
    let mut i = 0;
    while i < Tile::ALL.len() {
        let tile = &Tile::ALL[i];
        assert!(is_even(tile, invocations(tile, 1)));
        assert!((tile.k / 4).is_multiple_of(tile.split_k) && (tile.split_k == 1 || tile.k >= tile.m));
        i += 1;
    }
};
