//! Which convolution kernel was chosen, and which ones were fastest on one adapter.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::error::{Error, Result};

/// A convolution kernel and its sizes, stored and printed as text: `conv 32x64x32 in 4 by 3`, `conv_direct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvVariant {
    /// Tiles in workgroup memory.
    Tiled(Tile),
    /// Lanes pass the input to each other: `conv_subgroup of 3`.
    Subgroup {
        /// Rows of pixels per invocation, each as long as a subgroup.
        rows: u32,
    },
    /// Neither workgroup memory nor subgroups.
    Direct,
    /// One matrix product for all taps, then their sum.
    ShiftAdd,
}

/// What a workgroup and an invocation of the tiled convolution compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Pixels per workgroup.
    pub m: u32,
    /// Output channels per workgroup.
    pub n: u32,
    /// Input channels per step of the sum.
    pub k: u32,
    /// What sums are formed in.
    pub sums: Sums,
    /// Invocations, or subgroups, that share an output.
    pub split_k: u32,
    /// Workgroups that share an output, each leaving its part for the reader to add up.
    pub parts: u32,
}

/// What the sums of a tile are formed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// Registers of invocations.
    Registers {
        /// Vec4s of channels that an invocation makes, of eight pixels each: one or two.
        vec4s: u32,
    },
    /// Cooperative matrices of subgroups.
    Matrices {
        /// Rows and columns of a matrix: 8 or 16.
        size: u32,
        /// Rows and columns of matrices that a subgroup makes: two or four.
        grid: u32,
    },
}

impl Tile {
    /// For maps that fill a device with it: the most arithmetic per value loaded.
    pub const LARGE: Self = Self::registers([128, 128, 16], 2, 1);
    /// In its place where an invocation has too few registers for so many sums.
    pub const LEAN: Self = Self::registers([128, 64, 16], 1, 1);
    /// For maps on which the largest makes too few workgroups.
    pub const MEDIUM: Self = Self::registers([64, 64, 16], 1, 1);
    /// For few output channels, as in a classifier.
    pub const NARROW: Self = Self::registers([128, 32, 16], 1, 1);
    /// For few output channels and few pixels.
    pub const NARROW_SPLIT: Self = Self::registers([32, 32, 64], 1, 8);
    /// For small maps with many channels: four invocations share an output.
    pub const SPLIT_4: Self = Self::registers([32, 64, 32], 1, 4);

    /// Every tile that is summed up in registers.
    pub const ALL: [Self; 6] = [Self::LARGE, Self::LEAN, Self::MEDIUM, Self::NARROW, Self::NARROW_SPLIT, Self::SPLIT_4];

    const fn registers([m, n, k]: [u32; 3], vec4s: u32, split_k: u32) -> Self {
        Self { m, n, k, sums: Sums::Registers { vec4s }, split_k, parts: 1 }
    }

    /// The tiles for matrices of this size, from large to small maps; in the last, four subgroups share an output.
    pub const fn of_matrices(size: u32) -> [Self; 3] {
        let [four, two] = [Sums::Matrices { size, grid: 4 }, Sums::Matrices { size, grid: 2 }];
        [
            Self { m: 8 * size, n: 8 * size, k: 32, sums: four, split_k: 1, parts: 1 },
            Self { m: 4 * size, n: 4 * size, k: 4 * size, sums: two, split_k: 1, parts: 1 },
            Self { m: 2 * size, n: 4 * size, k: 8 * size, sums: two, split_k: 4, parts: 1 },
        ]
    }

    /// Whether it is summed up in matrices.
    pub const fn is_of_matrices(&self) -> bool {
        matches!(self.sums, Sums::Matrices { .. })
    }

    /// The same tile, its sums split among this many workgroups.
    pub const fn in_parts(self, parts: u32) -> Self {
        Self { parts, ..self }
    }
}

impl ConvVariant {
    /// Workgroups that share an output, each leaving its part for the reader to add up.
    pub const fn parts(&self) -> u32 {
        match self {
            Self::Tiled(tile) => tile.parts,
            Self::Subgroup { .. } | Self::Direct | Self::ShiftAdd => 1,
        }
    }
}

impl fmt::Display for ConvVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiled(tile) => tile.fmt(f),
            Self::Subgroup { rows } => write!(f, "conv_subgroup of {rows}"),
            Self::Direct => f.write_str("conv_direct"),
            Self::ShiftAdd => f.write_str("conv_shift_add"),
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k, sums, split_k, parts } = *self;
        match sums {
            Sums::Registers { .. } => write!(f, "conv {m}x{n}x{k}")?,
            Sums::Matrices { size, .. } => write!(f, "conv {m}x{n}x{k} of matrices {size}x{size}")?,
        }
        for (word, number) in [("in", split_k), ("by", parts)].into_iter().filter(|(_, number)| *number > 1) {
            write!(f, " {word} {number}")?;
        }
        Ok(())
    }
}

impl FromStr for ConvVariant {
    type Err = Error;

    /// Errors: a text that names no kernel of this version.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::data("convolution kernel", format!("'{text}' is unknown to this version"));
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(unknown);
        if let Some(rows) = text.strip_prefix("conv_subgroup of ") {
            return number(rows).map(|rows| Self::Subgroup { rows });
        }
        let (whole, parts) = text.split_once(" by ").map_or((text, None), |(whole, parts)| (whole, Some(parts)));
        let of_matrices = [8, 16].into_iter().flat_map(Tile::of_matrices);
        let tile = Tile::ALL.into_iter().chain(of_matrices).find(|tile| tile.to_string() == whole);
        match (tile, parts, text) {
            (Some(tile), Some(parts), _) => number(parts).map(|parts| Self::Tiled(tile.in_parts(parts))),
            (Some(tile), None, _) => Ok(Self::Tiled(tile)),
            (None, _, "conv_direct") => Ok(Self::Direct),
            (None, _, "conv_shift_add") => Ok(Self::ShiftAdd),
            (None, ..) => Err(unknown()),
        }
    }
}

/// How a dispatch's convolution kernel was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is computed, as text: kernels, channels, pixels. Dispatches of the same class take equally long.
    pub class: String,
    /// The kernels that can compute it; the first is the table's choice.
    pub candidates: Vec<ConvVariant>,
    /// The one chosen.
    pub taken: ConvVariant,
    /// Why it was chosen.
    pub why: String,
}

/// The fastest kernel of each class of convolution, as measured on one adapter and driver; see
/// [`crate::bench::tune`]. It may be used with another adapter: kernels that cannot run there are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// `None`: the table's choice.
    fastest: BTreeMap<String, Option<ConvVariant>>,
}

impl Tuning {
    /// The fastest of a class; `None` if that is the table's choice, or unmeasured.
    pub fn get(&self, class: &str) -> Option<ConvVariant> {
        *self.fastest.get(class)?
    }

    /// Sets the fastest of a class: one of [`Choice::candidates`].
    pub fn set(&mut self, class: impl Into<String>, kernel: ConvVariant) {
        self.fastest.insert(class.into(), Some(kernel));
    }

    /// Leaves a class to the table, whatever was known about it.
    pub fn leave(&mut self, class: impl Into<String>) {
        self.fastest.insert(class.into(), None);
    }

    /// Takes over what `other` knows, classes left to the table included.
    pub fn extend(&mut self, other: Self) {
        self.fastest.extend(other.fastest);
    }

    /// Each class and its fastest kernel, in order, except for classes left to the table.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ConvVariant)> {
        self.fastest.iter().filter_map(|(class, kernel)| Some((class.as_str(), (*kernel)?)))
    }

    /// An object: kernel by class, except for classes left to the table.
    pub fn json(&self) -> Value {
        self.iter().map(|(class, kernel)| (class, kernel.to_string())).collect()
    }

    /// Reads what [`Tuning::json`] wrote. Errors: anything but an object of strings; a string that names no kernel.
    pub fn from_json(value: &Value) -> Result<Self> {
        let bad = || Error::data("tuning", "must be an object of strings");
        let kernels = value.as_object().ok_or_else(bad)?.iter();
        let parsed = kernels.map(|(class, kernel)| {
            let kernel = kernel.as_str().ok_or_else(bad)?.parse()?;
            Ok((class.clone(), Some(kernel)))
        });
        Ok(Self { fastest: parsed.collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_variant_is_read_back_and_other_texts_are_refused() {
        let tiles = Tile::ALL.into_iter().chain([8, 16].into_iter().flat_map(Tile::of_matrices));
        let tiles = tiles.flat_map(|tile| [tile, tile.in_parts(3)]).map(ConvVariant::Tiled);
        let others = [ConvVariant::Subgroup { rows: 4 }, ConvVariant::Direct, ConvVariant::ShiftAdd];
        for variant in tiles.chain(others) {
            assert_eq!(variant.to_string().parse::<ConvVariant>().unwrap(), variant);
        }
        assert_eq!(ConvVariant::Tiled(Tile::SPLIT_4.in_parts(3)).to_string(), "conv 32x64x32 in 4 by 3");
        for text in ["", "conv", "conv 1x2x3", "conv 128x128x16 by", "conv 128x128x16 by 0", "conv_subgroup of x"] {
            assert!(text.parse::<ConvVariant>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_is_read_back_and_unknown_kernels_are_refused() {
        let mut tuning = Tuning::default();
        tuning.set("1x1x8 to 9x8", ConvVariant::Direct);
        tuning.set("b", ConvVariant::ShiftAdd);
        assert_eq!(Tuning::from_json(&tuning.json()).unwrap(), tuning);
        for bad in [json!([]), json!(null), json!({ "a": 1 }), json!({ "a": "c" })] {
            assert!(Tuning::from_json(&bad).is_err(), "{bad}");
        }
        let mut newer = Tuning::default();
        newer.set("b", ConvVariant::Subgroup { rows: 2 });
        tuning.extend(newer);
        let all = [("1x1x8 to 9x8", ConvVariant::Direct), ("b", ConvVariant::Subgroup { rows: 2 })];
        assert_eq!(tuning.iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn classes_that_the_table_wins_now_are_forgotten() {
        let mut kept = Tuning::from_json(&json!({ "a": "conv_direct", "b": "conv_direct" })).unwrap();
        let mut newer = Tuning::default();
        newer.leave("a");
        newer.leave("c");
        kept.extend(newer);
        assert_eq!(["a", "b", "c"].map(|class| kept.get(class)), [None, Some(ConvVariant::Direct), None]);
        assert_eq!(kept.json(), json!({ "b": "conv_direct" }));
    }
}
