//! Which kernel computes a dispatch's convolutions, with which sizes: as tuned for the adapter, else by a table of
//! device classes.

use super::jobs::{Job, Term};
use super::{shift_add, subgroup, tile};
use crate::plan::{Builder, Choice, ConvKernel, ConvVariant, DeviceClass, DeviceProfile, Element, Tile};
use crate::tensor::MAX_ELEMENTS;

/// For jobs of one group each.
pub(super) fn choose(builder: &Builder, jobs: &[Job]) -> Choice {
    let (profile, kernel) = (builder.profile, builder.options.conv_kernel);
    let (by_table, why) = by_table(profile, kernel, jobs);
    let in_parts = all_in_parts(profile, kernel, jobs);
    let mut candidates = allowed(profile, kernel);
    if kernel == ConvKernel::Auto && shift_add::supports(profile, jobs) {
        candidates.push(ConvVariant::ShiftAdd);
    }
    candidates.extend(in_parts.iter().copied().map(ConvVariant::Tiled));
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
    by_table(builder.profile, builder.options.conv_kernel, jobs).0
}

/// Every variant that the device and the options allow, besides what the table says: ten at most.
fn allowed(profile: &DeviceProfile, kernel: ConvKernel) -> Vec<ConvVariant> {
    // One tile will do for software adapters, where workgroup memory is no faster and barriers are expensive.
    let software = profile.class == DeviceClass::Software;
    let tiles = Tile::ALL.into_iter().filter(|tile| tile::fits(*tile, profile) && (!software || *tile == Tile::MEDIUM));
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

/// The tiles that can split a sum among workgroups: one that keeps it whole, and one that also splits it itself.
fn all_in_parts(profile: &DeviceProfile, kernel: ConvKernel, jobs: &[Job]) -> Vec<Tile> {
    if profile.class == DeviceClass::Software || !matches!(kernel, ConvKernel::Auto | ConvKernel::Tiled) {
        return Vec::new();
    }
    let tiles = if narrow(jobs) { [Tile::NARROW, Tile::NARROW_SPLIT] } else { [Tile::MEDIUM, Tile::SPLIT_4] };
    let tiles = tiles.into_iter().filter(|tile| tile::fits(*tile, profile));
    tiles.filter_map(|tile| in_parts(profile, tile, jobs)).collect()
}

/// `tile` in as many parts as make enough workgroups: at most eight, since all are read again, each of at least four
/// steps. `None` if one will do, or the result's reader cannot add up parts.
fn in_parts(profile: &DeviceProfile, tile: Tile, jobs: &[Job]) -> Option<Tile> {
    const MOST: u64 = 8;
    const SHORTEST: u64 = 4;
    let [job @ Job { terms, residual: None, y, reader_adds: true, .. }] = jobs else { return None };
    if !tile::fits_alone(tile, profile, job) {
        return None;
    }
    let room = profile.max_slice().min(Element::F32.bytes_of(MAX_ELEMENTS)) / y.physical_bytes();
    let wanted = enough(profile).div_ceil(tile::workgroups(tile, y)).min(MOST).min(room) as u32;
    let steps = |parts: u32| -> u64 {
        let count = |term: &Term| term.conv.taps_len() * u64::from(term.x.physical_c().div_ceil(tile.k) / parts);
        terms.iter().map(count).sum()
    };
    (2..=wanted).rev().find(|&parts| steps(parts) >= SHORTEST).map(|parts| tile.in_parts(parts))
}

/// Two workgroups per core of a large card, or of a small GPU.
fn enough(profile: &DeviceProfile) -> u64 {
    match profile.class {
        DeviceClass::Discrete => 256,
        DeviceClass::Integrated | DeviceClass::Software => 32,
    }
}

fn narrow(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.y.shape.c <= Tile::NARROW.n)
}

/// What is chosen without tuning, and why.
fn by_table(profile: &DeviceProfile, kernel: ConvKernel, jobs: &[Job]) -> (ConvVariant, String) {
    let auto = kernel == ConvKernel::Auto;
    let software = profile.class == DeviceClass::Software;
    if kernel == ConvKernel::Direct {
        return (ConvVariant::Direct, "asked for".into());
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
    let Some((tile, why)) = tile_by_table(profile, jobs) else {
        return (ConvVariant::Direct, "no tile fits the device".into());
    };
    // A classifier has too few workgroups; this makes as many times more as there are taps.
    if auto && tile == Tile::NARROW_SPLIT && shift_add::is_worthwhile(profile, jobs) {
        return (ConvVariant::ShiftAdd, why);
    }
    // A guess, not measured on any GPU. A card has cores that a small map leaves idle; elsewhere, parts only add reads
    // and writes.
    let small = profile.class == DeviceClass::Discrete && [Tile::NARROW_SPLIT, Tile::SPLIT_4].contains(&tile);
    match in_parts(profile, tile, jobs).filter(|_| small) {
        Some(parts) => (ConvVariant::Tiled(parts), few(tile, jobs)),
        None => (ConvVariant::Tiled(tile), why),
    }
}

/// The largest tile that makes enough workgroups to fill a device of the class; else the one that splits the sum. By
/// their drivers' compilers, Intel's and Apple's GPUs have no registers for the largest.
fn tile_by_table(profile: &DeviceProfile, jobs: &[Job]) -> Option<(Tile, String)> {
    let enough = enough(profile);
    let large = if profile.class == DeviceClass::Discrete { Tile::LARGE } else { Tile::LEAN };
    let (whole, split) = if narrow(jobs) {
        (&[(Tile::NARROW, enough / 2)][..], Tile::NARROW_SPLIT)
    } else {
        (&[(large, enough), (Tile::MEDIUM, enough / 2)][..], Tile::SPLIT_4)
    };
    let mut last = None;
    for &(tile, enough) in whole.iter().filter(|(tile, _)| tile::fits(*tile, profile)) {
        let workgroups = workgroups(tile, jobs);
        if workgroups >= enough {
            return Some((tile, format!("{workgroups} workgroups fill the device")));
        }
        last = Some(tile);
    }
    let tile = Some(split).filter(|tile| tile::fits(*tile, profile)).or(last)?;
    Some((tile, last.map_or_else(String::new, |tile| few(tile, jobs))))
}

fn few(tile: Tile, jobs: &[Job]) -> String {
    format!("only {} workgroups of {}", workgroups(tile, jobs), tile)
}

fn workgroups(tile: Tile, jobs: &[Job]) -> u64 {
    jobs.iter().map(|job| tile::workgroups(tile, &job.y)).sum()
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
