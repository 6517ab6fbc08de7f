//! Which kernel makes a dispatch's convolutions, and with which sizes: what was tuned for the adapter, else a table by
//! device class.

use std::fmt;

use super::conv::Tile;
use super::conv_jobs::{Job, Term};
use super::{conv_shift_add, conv_subgroup};
use crate::plan::{Choice, ConvKernel, DeviceClass, DeviceProfile, Planner};

/// A kernel and its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Tiled(Tile),
    Subgroup { rows: u32 },
    Direct,
    ShiftAdd,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiled(Tile { m, n, k, split_k, parts, .. }) => {
                write!(f, "conv {m}x{n}x{k}")?;
                for (word, number) in [("in", split_k), ("by", parts)].into_iter().filter(|(_, number)| **number > 1) {
                    write!(f, " {word} {number}")?;
                }
                Ok(())
            }
            Self::Subgroup { rows } => write!(f, "conv_subgroup of {rows}"),
            Self::Direct => write!(f, "conv_direct"),
            Self::ShiftAdd => write!(f, "conv_shift_add"),
        }
    }
}

/// For jobs of one group each.
pub(super) fn choose(planner: &Planner, jobs: &[Job]) -> (Way, Choice) {
    let (profile, kernel) = (planner.profile, planner.options.conv_kernel);
    let (by_table, mut why) = by_table(profile, kernel, jobs);
    let mut ways = all(profile, kernel);
    ways.extend((kernel == ConvKernel::Auto && conv_shift_add::takes(profile, jobs)).then_some(Way::ShiftAdd));
    let in_parts = all_in_parts(profile, kernel, jobs);
    ways.extend(in_parts.iter().copied().map(Way::Tiled));
    ways.retain(|way| *way != by_table);
    ways.insert(0, by_table);
    let mut class = jobs.iter().map(class).collect::<Vec<_>>().join(" + ");
    if !in_parts.is_empty() {
        class += ", or parts of it";
    }
    let tuned = planner.options.tuned.as_ref().and_then(|tuning| tuning.get(&class));
    let tuned = ways.iter().find(|way| tuned == Some(way.to_string().as_str())).copied();
    if tuned.is_some() {
        why = "tuned".into();
    }
    let way = tuned.unwrap_or(by_table);
    let candidates = ways.iter().map(Way::to_string).collect();
    (way, Choice { class, candidates, taken: way.to_string(), why })
}

/// What the table says of jobs that are one step of a way.
pub(super) fn untuned(planner: &Planner, jobs: &[Job]) -> Way {
    by_table(planner.profile, planner.options.conv_kernel, jobs).0
}

/// Every way that the device and the options allow, beside what the table says: ten at most.
fn all(profile: &DeviceProfile, kernel: ConvKernel) -> Vec<Way> {
    // One of the tiles will do for software adapters, to which workgroup memory is no faster and barriers are dear.
    let software = profile.class == DeviceClass::Software;
    let tiles = Tile::ALL.into_iter().filter(|tile| tile.fits(profile) && (!software || *tile == Tile::MEDIUM));
    let tiles = tiles.map(Way::Tiled);
    let rows = (1..=conv_subgroup::MAX_ROWS).map(|rows| Way::Subgroup { rows });
    let rows = rows.filter(|_| conv_subgroup::lanes(profile).is_some());
    let allowed = |way: &Way| match way {
        Way::Tiled(_) => matches!(kernel, ConvKernel::Auto | ConvKernel::Tiled),
        Way::Subgroup { .. } => kernel == ConvKernel::Subgroup || kernel == ConvKernel::Auto && software,
        Way::Direct => matches!(kernel, ConvKernel::Auto | ConvKernel::Direct),
        Way::ShiftAdd => false,
    };
    tiles.chain(rows).chain([Way::Direct]).filter(allowed).collect()
}

/// The ways to split a sum among workgroups: by a tile that has it whole, and by one that splits it itself.
fn all_in_parts(profile: &DeviceProfile, kernel: ConvKernel, jobs: &[Job]) -> Vec<Tile> {
    if profile.class == DeviceClass::Software || !matches!(kernel, ConvKernel::Auto | ConvKernel::Tiled) {
        return Vec::new();
    }
    let tiles = if narrow(jobs) { [Tile::NARROW, Tile::NARROW_SPLIT] } else { [Tile::MEDIUM, Tile::SPLIT_4] };
    let tiles = tiles.into_iter().filter(|tile| tile.fits(profile));
    tiles.filter_map(|tile| in_parts(profile, tile, jobs)).collect()
}

/// `tile` by as many parts as make enough workgroups: eight at most, since all are read again, and of four steps at
/// least. `None` where one will do, or what reads the result cannot add up parts.
fn in_parts(profile: &DeviceProfile, tile: Tile, jobs: &[Job]) -> Option<Tile> {
    const MOST: u64 = 8;
    const SHORTEST: u64 = 4;
    let [Job { terms, residual: None, y, reader_adds: true, .. }] = jobs else { return None };
    let bytes = u64::from(y.pixels()) * u64::from(y.physical_c()) * 4;
    let room = profile.max_binding.min(profile.max_buffer) / bytes;
    let wanted = enough(profile).div_ceil(tile.workgroups(y)).min(MOST).min(room) as u32;
    let steps = |parts: u32| -> u64 {
        let of = |term: &Term| term.conv.taps_len() * u64::from(term.x.physical_c().div_ceil(tile.k) / parts);
        terms.iter().map(of).sum()
    };
    (2..=wanted).rev().find(|&parts| steps(parts) >= SHORTEST).map(|parts| tile.by(parts))
}

/// Two workgroups for each core of a large card, and of a small one.
fn enough(profile: &DeviceProfile) -> u64 {
    match profile.class {
        DeviceClass::Discrete => 256,
        DeviceClass::Integrated | DeviceClass::Software => 32,
    }
}

fn narrow(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.y.shape.c <= Tile::NARROW.n)
}

/// What is taken untuned, and why.
fn by_table(profile: &DeviceProfile, kernel: ConvKernel, jobs: &[Job]) -> (Way, String) {
    let auto = kernel == ConvKernel::Auto;
    let software = profile.class == DeviceClass::Software;
    if kernel == ConvKernel::Direct {
        return (Way::Direct, "asked for".into());
    }
    if auto && software && conv_shift_add::pays(profile, jobs) {
        return (Way::ShiftAdd, "long sums of few channels".into());
    }
    if kernel == ConvKernel::Subgroup || auto && software {
        let Some(lanes) = conv_subgroup::lanes(profile) else {
            return (Way::Direct, "no subgroups of four or eight lanes".into());
        };
        let rows = conv_subgroup::rows(jobs, lanes);
        return (Way::Subgroup { rows }, format!("{} pixels a tile suit the maps", rows * lanes));
    }
    let Some((tile, why)) = tile_by_table(profile, jobs) else {
        return (Way::Direct, "no tile fits the device".into());
    };
    // As many times more workgroups as there are taps, where a classifier has too few.
    if auto && tile == Tile::NARROW_SPLIT && conv_shift_add::pays(profile, jobs) {
        return (Way::ShiftAdd, why);
    }
    // A guess: no GPU has measured it. A card has the cores that a small map leaves idle; to others the parts are more to
    // write and to read.
    let small = profile.class == DeviceClass::Discrete && [Tile::NARROW_SPLIT, Tile::SPLIT_4].contains(&tile);
    match in_parts(profile, tile, jobs).filter(|_| small) {
        Some(parts) => (Way::Tiled(parts), few(tile, jobs)),
        None => (Way::Tiled(tile), why),
    }
}

/// The largest tile of which there are enough to fill a device of the class; else the one that splits the sum.
fn tile_by_table(profile: &DeviceProfile, jobs: &[Job]) -> Option<(Tile, String)> {
    let enough = enough(profile);
    let (whole, split) = if narrow(jobs) {
        (&[(Tile::NARROW, enough / 2)][..], Tile::NARROW_SPLIT)
    } else {
        (&[(Tile::LARGE, enough), (Tile::MEDIUM, enough / 2)][..], Tile::SPLIT_4)
    };
    let mut last = None;
    for &(tile, enough) in whole.iter().filter(|(tile, _)| tile.fits(profile)) {
        let workgroups = workgroups(tile, jobs);
        if workgroups >= enough {
            return Some((tile, format!("{workgroups} workgroups fill the device")));
        }
        last = Some(tile);
    }
    let tile = Some(split).filter(|tile| tile.fits(profile)).or(last)?;
    Some((tile, last.map_or_else(String::new, |tile| few(tile, jobs))))
}

fn few(tile: Tile, jobs: &[Job]) -> String {
    format!("only {} workgroups of {}", workgroups(tile, jobs), Way::Tiled(tile))
}

fn workgroups(tile: Tile, jobs: &[Job]) -> u64 {
    jobs.iter().map(|job| tile.workgroups(&job.y)).sum()
}

/// A convolution's work: kernel and channels of each term, pixels and channels that come out.
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
