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
            Self::Tiled(Tile { m, n, k, split_k: 1, .. }) => write!(f, "conv {m}x{n}x{k}"),
            Self::Tiled(Tile { m, n, k, split_k, .. }) => write!(f, "conv {m}x{n}x{k} in {split_k}"),
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
    ways.retain(|way| *way != by_table);
    ways.insert(0, by_table);
    let class = jobs.iter().map(class).collect::<Vec<_>>().join(" + ");
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

/// What is taken untuned, and why.
fn by_table(profile: &DeviceProfile, kernel: ConvKernel, jobs: &[Job]) -> (Way, String) {
    let software = profile.class == DeviceClass::Software;
    match kernel {
        ConvKernel::Auto if software && conv_shift_add::pays(profile, jobs) => {
            return (Way::ShiftAdd, "long sums of few channels".into());
        }
        ConvKernel::Auto if software => {}
        ConvKernel::Subgroup => {}
        ConvKernel::Auto | ConvKernel::Tiled => {
            return match tile_by_table(profile, jobs) {
                // As many times more workgroups as there are taps, where a classifier has too few.
                Some((Tile::NARROW_SPLIT, why))
                    if kernel == ConvKernel::Auto && conv_shift_add::pays(profile, jobs) =>
                {
                    (Way::ShiftAdd, why)
                }
                Some((tile, why)) => (Way::Tiled(tile), why),
                None => (Way::Direct, "no tile fits the device".into()),
            };
        }
        ConvKernel::Direct => return (Way::Direct, "asked for".into()),
    }
    match conv_subgroup::lanes(profile) {
        Some(lanes) => {
            let rows = conv_subgroup::rows(jobs, lanes);
            (Way::Subgroup { rows }, format!("{} pixels a tile suit the maps", rows * lanes))
        }
        None => (Way::Direct, "no subgroups of four or eight lanes".into()),
    }
}

/// The largest tile of which there are enough to fill a device of the class; else the one that splits the sum.
fn tile_by_table(profile: &DeviceProfile, jobs: &[Job]) -> Option<(Tile, String)> {
    // Two workgroups for each core of a large card, and of a small one.
    let enough = match profile.class {
        DeviceClass::Discrete => 256,
        DeviceClass::Integrated | DeviceClass::Software => 32,
    };
    let narrow = jobs.iter().all(|job| job.y.shape.c <= Tile::NARROW.n);
    let (whole, split) = if narrow {
        (&[(Tile::NARROW, enough / 2)][..], Tile::NARROW_SPLIT)
    } else {
        (&[(Tile::LARGE, enough), (Tile::MEDIUM, enough / 2)][..], Tile::SPLIT_4)
    };
    let workgroups = |tile: &Tile| jobs.iter().map(|job| tile.workgroups(&job.y)).sum::<u64>();
    let mut last = None;
    for &(tile, enough) in whole.iter().filter(|(tile, _)| tile.fits(profile)) {
        if workgroups(&tile) >= enough {
            return Some((tile, format!("{} workgroups fill the device", workgroups(&tile))));
        }
        last = Some(tile);
    }
    let few = |tile: &Tile| format!("only {} workgroups of {}", workgroups(tile), Way::Tiled(*tile));
    let tile = Some(split).filter(|tile| tile.fits(profile)).or(last)?;
    Some((tile, last.as_ref().map_or_else(String::new, few)))
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
