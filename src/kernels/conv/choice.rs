//! Which kernel computes a dispatch's convolutions, with which sizes: as tuned for the adapter, else by a table of
//! device classes, which for GPUs has the tile that would take least time.

use std::slice;

use super::jobs::{self, Job, Term};
use super::{shift_add, subgroup, tile};
use crate::plan::{
    Builder, Choice, ConvKernel, ConvVariant, DeviceClass, DeviceProfile, Element, Estimate, Hardware, Sums, Tile,
};
use crate::tensor::MAX_ELEMENTS;

/// For jobs of one group each.
pub(super) fn choose(builder: &Builder, jobs: &[Job]) -> Choice {
    let (profile, kernel) = (builder.profile, builder.options.conv_kernel);
    let in_parts = all_in_parts(profile, kernel, jobs);
    let (by_table, why) = by_table(profile, kernel, jobs, &in_parts);
    let mut candidates = allowed(profile, kernel, builder.element());
    if kernel == ConvKernel::Auto && shift_add::supports(profile, jobs) {
        candidates.push(ConvVariant::ShiftAdd);
    }
    candidates.extend(in_parts.iter().map(|candidate| ConvVariant::Tiled(candidate.tile)));
    candidates.retain(|variant| *variant != by_table);
    candidates.insert(0, by_table);
    let mut class = jobs.iter().map(class).collect::<Vec<_>>().join(" + ");
    if !in_parts.is_empty() {
        class += ", or parts of it";
    }
    let tuned = builder.options.tuned.as_ref().and_then(|tuning| tuning.get(&class));
    match tuned.filter(|tuned| candidates.contains(tuned)) {
        Some(taken) => Choice { class, candidates, taken, why: "tuned".into() },
        None => Choice { class, candidates, taken: by_table, why },
    }
}

/// What the table says for jobs that are one step of a variant.
pub(super) fn untuned(builder: &Builder, jobs: &[Job]) -> ConvVariant {
    let (profile, kernel) = (builder.profile, builder.options.conv_kernel);
    by_table(profile, kernel, jobs, &all_in_parts(profile, kernel, jobs)).0
}

/// Every variant that the device and the options allow, besides what the table says: ten at most.
fn allowed(profile: &DeviceProfile, kernel: ConvKernel, element: Element) -> Vec<ConvVariant> {
    // One tile will do for software adapters, where workgroup memory is no faster and barriers are expensive.
    let software = profile.class == DeviceClass::Software;
    let fits = |tile: &Tile| tile::fits(*tile, profile, element) && (!software || *tile == Tile::MEDIUM);
    let tiles = Tile::ALL.into_iter().filter(fits).chain(tile::of_matrices(profile, element));
    let has_lanes = subgroup::lanes(profile).is_some();
    let tiled = matches!(kernel, ConvKernel::Auto | ConvKernel::Tiled);
    let by_subgroup = has_lanes && (kernel == ConvKernel::Subgroup || kernel == ConvKernel::Auto && software);
    let direct = matches!(kernel, ConvKernel::Auto | ConvKernel::Direct);
    let mut variants = Vec::new();
    variants.extend(tiles.map(ConvVariant::Tiled).filter(|_| tiled));
    variants.extend((1..=subgroup::MAX_ROWS).map(|rows| ConvVariant::Subgroup { rows }).filter(|_| by_subgroup));
    variants.extend(direct.then_some(ConvVariant::Direct));
    variants
}

/// The tiles that can split a sum among workgroups: those that keep it whole, and those that also split it themselves.
fn all_in_parts(profile: &DeviceProfile, kernel: ConvKernel, jobs: &[Job]) -> Vec<Candidate> {
    if profile.class == DeviceClass::Software || !matches!(kernel, ConvKernel::Auto | ConvKernel::Tiled) {
        return Vec::new();
    }
    let element = jobs::element(jobs);
    let tiles = if narrow(jobs) { [Tile::NARROW, Tile::NARROW_SPLIT] } else { [Tile::MEDIUM, Tile::SPLIT_4] };
    let tiles = tiles.into_iter().filter(|tile| tile::fits(*tile, profile, element));
    let small = |tile: &Tile| !matches!(tile.sums, Sums::Matrices { grid: 4, .. });
    let of_matrices = tile::of_matrices(profile, element).into_iter().filter(small);
    of_matrices.chain(tiles).filter_map(|tile| in_parts(profile, tile, jobs)).collect()
}

/// `tile` in the best number of parts, each of at least four steps. `None` if that is one, or the result's reader cannot
/// add up parts.
fn in_parts(profile: &DeviceProfile, tile: Tile, jobs: &[Job]) -> Option<Candidate> {
    const SHORTEST: u64 = 4;
    /// However many cores there are: nobody reads so many parts in less time than they save.
    const MOST: u64 = 64;
    let [job @ Job { terms, residual: None, y, reader_adds: true, .. }] = jobs else { return None };
    if !tile::fits_alone(tile, profile, job) {
        return None;
    }
    let values = u64::from(y.pixels()) * u64::from(y.physical_c());
    let room = profile.max_slice().min(Element::F32.bytes_of(MAX_ELEMENTS)) / Element::F32.bytes_of(values);
    let steps = |parts: u32| -> u64 {
        let count = |term: &Term| term.conv.taps_len() * u64::from(term.x.physical_c().div_ceil(tile.k) / parts);
        terms.iter().map(count).sum()
    };
    let hardware = hardware(profile);
    // As many as there are cores keep every one busy.
    let most = (steps(1) / SHORTEST).min(room).min(hardware.cores.into()).min(MOST) as u32;
    let counts = (1..=most).take_while(|&parts| steps(parts) >= SHORTEST);
    let mut split = job.clone();
    split.y.element = Element::F32;
    let candidates = counts.filter_map(|parts| {
        split.y.shape.n = y.shape.n * parts;
        Candidate::new(profile, &hardware, tile.in_parts(parts), slice::from_ref(&split))
    });
    best(&candidates.collect::<Vec<_>>()).filter(|best| best.tile.parts > 1)
}

/// The first that takes hardly longer than the quickest: what comes later has less arithmetic for each value that it
/// loads, or more to add up, of which estimates do not know everything.
fn best(candidates: &[Candidate]) -> Option<Candidate> {
    const HARDLY: f64 = 1.15;
    let quickest = candidates.iter().map(Candidate::us).fold(f64::INFINITY, f64::min);
    candidates.iter().copied().find(|candidate| candidate.us() <= HARDLY * quickest)
}

/// What estimates are of: a small GPU's where nothing is known, as of a software adapter that is asked for tiles.
fn hardware(profile: &DeviceProfile) -> Hardware {
    profile.hardware.unwrap_or(Hardware::LAPTOP)
}

/// A tile, and how long it would take.
#[derive(Clone, Copy)]
struct Candidate {
    tile: Tile,
    estimate: Estimate,
    /// For the reader to read and add up the parts.
    adding_us: f64,
}

impl Candidate {
    /// With a tile in parts, results have their place for all of them. `None` only of kernels without tiles, which have
    /// no estimate.
    fn new(profile: &DeviceProfile, hardware: &Hardware, tile: Tile, jobs: &[Job]) -> Option<Self> {
        let estimate = tile::estimate(tile, profile, jobs, hardware)?;
        let written = jobs.iter().map(|job| job.y.bytes()).fold(0, u64::saturating_add);
        let adding_us = hardware.memory_us(written - written / u64::from(tile.parts));
        Some(Self { tile, estimate, adding_us })
    }

    fn us(&self) -> f64 {
        self.estimate.us + self.adding_us
    }
}

/// The largest tile of matrices that the jobs fill, if they fill any.
fn of_matrices(profile: &DeviceProfile, jobs: &[Job]) -> Option<Tile> {
    let fills = |tile: &Tile| {
        let reads = |term: &Term| term.x.physical_c() >= tile.k;
        jobs.iter().all(|job| job.y.pixels() >= tile.m && job.y.shape.c >= tile.n && job.terms.iter().all(reads))
    };
    tile::of_matrices(profile, jobs::element(jobs)).into_iter().find(fills)
}

fn narrow(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.y.shape.c <= Tile::NARROW.n)
}

/// What is chosen without tuning, and why.
fn by_table(
    profile: &DeviceProfile,
    kernel: ConvKernel,
    jobs: &[Job],
    in_parts: &[Candidate],
) -> (ConvVariant, String) {
    let auto = kernel == ConvKernel::Auto;
    let software = profile.class == DeviceClass::Software;
    if kernel == ConvKernel::Direct {
        return (ConvVariant::Direct, "asked for".into());
    }
    // Who asks a software adapter for matrices wants to see them at work.
    if let (true, Some(tile)) = (auto && software, of_matrices(profile, jobs)) {
        return (ConvVariant::Tiled(tile), "matrices were asked for".into());
    }
    if auto && software && shift_add::is_worthwhile(profile, jobs) {
        return (ConvVariant::ShiftAdd, "long sums of few channels".into());
    }
    if kernel == ConvKernel::Subgroup || auto && software {
        let Some(lanes) = subgroup::lanes(profile) else {
            return (ConvVariant::Direct, "no subgroups of four or eight lanes".into());
        };
        let rows = subgroup::rows(profile, jobs, lanes);
        return (ConvVariant::Subgroup { rows }, format!("{} pixels per tile suit the maps", rows * lanes));
    }
    let by_estimate = tile_by_estimate(profile, jobs, in_parts);
    let Some((Candidate { tile, estimate, .. }, why)) = by_estimate else {
        return (ConvVariant::Direct, "no tile fits the device".into());
    };
    // A classifier has too few workgroups; this makes as many times more as there are taps.
    let few = estimate.workgroups < 2 * u64::from(estimate.cores) || tile != Tile::NARROW;
    if auto && few && narrow(jobs) && shift_add::is_worthwhile(profile, jobs) {
        return (ConvVariant::ShiftAdd, format!("instead of {tile}: {why}"));
    }
    (ConvVariant::Tiled(tile), why)
}

/// The best tile by estimate, and why. None that spills: only measuring can tell what that costs.
fn tile_by_estimate(profile: &DeviceProfile, jobs: &[Job], in_parts: &[Candidate]) -> Option<(Candidate, String)> {
    let element = jobs::element(jobs);
    let has_large = tile::fits(Tile::LARGE, profile, element) && !tile::spills(Tile::LARGE, profile);
    let large = if has_large { Tile::LARGE } else { Tile::LEAN };
    let tiles: &[Tile] =
        if narrow(jobs) { &[Tile::NARROW, Tile::NARROW_SPLIT] } else { &[large, Tile::MEDIUM, Tile::SPLIT_4] };
    let tiles = tiles.iter().copied().filter(|tile| tile::fits(*tile, profile, element));
    let hardware = hardware(profile);
    let tiles = tile::of_matrices(profile, element).into_iter().chain(tiles);
    let whole = tiles.filter_map(|tile| Candidate::new(profile, &hardware, tile, jobs));
    let all: Vec<_> = whole.chain(in_parts.iter().copied()).collect();
    let best = best(&all)?;
    if profile.hardware.is_none() {
        return Some((best, "as on a laptop's GPU, since nothing is known of this device's speed".into()));
    }
    let Estimate { workgroups, cores, .. } = best.estimate;
    let mut why = match workgroups {
        few if few < cores.into() => format!("{few} of {cores} cores busy"),
        many => format!("{:.1} workgroups a core", many as f64 / f64::from(cores.max(1))),
    };
    if best.tile.parts > 1 {
        why += &format!(", {:.1} µs to add up", best.adding_us);
    }
    let others = all.iter().filter(|other| other.tile != best.tile);
    if let Some(other) = others.min_by(|a, b| a.us().total_cmp(&b.us())) {
        let than = if other.us() < best.us() { "hardly quicker" } else { "next best" };
        why += &format!("; {than}: {} ≈ {:.1} µs", other.tile, other.us());
    }
    Some((best, why))
}

/// A convolution's work: kernel and channels of each term, pixels and channels of the output.
fn class(job: &Job) -> String {
    let terms: Vec<String> = job.terms.iter().map(class_of_term).collect();
    format!("{} to {}x{}", terms.join(" and "), job.y.pixels(), job.y.shape.c)
}

fn class_of_term(term: &Term) -> String {
    let [kernel_h, kernel_w] = term.conv.kernel();
    let mut class = format!("{kernel_h}x{kernel_w}x{}", term.x.shape.c);
    for (name, [h, w]) in [("stride", term.conv.stride), ("dilation", term.conv.dilation)] {
        if [h, w] != [1, 1] {
            class += &format!(" {name} {h}x{w}");
        }
    }
    class
}
