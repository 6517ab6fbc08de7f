//! Profiles of some adapters, to plan for a GPU that is not there.

use super::{DeviceClass, DeviceProfile, Vendor};
use crate::error::{Error, Result, unknown};

/// What [`Gpu::new`](crate::Gpu::new) gets from one adapter, as its driver in Mesa 26.2 (llvmpipe: 22.3) reports it.
#[derive(Clone, Debug)]
pub struct NamedProfile {
    /// The chip's code name, as compilers spell it.
    pub name: &'static str,
    /// A card or a processor that it is in.
    pub card: &'static str,
    /// What the planner must know.
    pub profile: DeviceProfile,
}

/// Largest binding that the drivers of most GPUs report.
const LARGE: u64 = (2 << 30) - 4;

const fn profile(class: DeviceClass, vendor: Vendor, subgroups: [u32; 2], workgroup_memory: u32) -> DeviceProfile {
    DeviceProfile {
        vendor,
        max_binding: LARGE,
        max_buffer: (2 << 30) - 1,
        max_invocations: 1024,
        workgroup_memory,
        subgroups: Some(subgroups),
        ..DeviceProfile::portable(class)
    }
}

const AMD: DeviceProfile = profile(DeviceClass::Discrete, Vendor::Amd, [32, 64], 64 << 10);
const NVIDIA: DeviceProfile =
    DeviceProfile { max_buffer: 2 << 30, ..profile(DeviceClass::Discrete, Vendor::Nvidia, [32, 32], 48 << 10) };
const APPLE: DeviceProfile = profile(DeviceClass::Integrated, Vendor::Apple, [32, 32], 32 << 10);
const ADRENO: DeviceProfile =
    DeviceProfile { max_binding: 128 << 20, ..profile(DeviceClass::Integrated, Vendor::Qualcomm, [64, 128], 32 << 10) };
const LLVMPIPE: DeviceProfile =
    DeviceProfile { max_binding: 128 << 20, ..profile(DeviceClass::Software, Vendor::Other, [8, 8], 32 << 10) };

const fn intel(class: DeviceClass, fewest_lanes: u32) -> DeviceProfile {
    profile(class, Vendor::Intel, [fewest_lanes, 32], 48 << 10)
}

const fn named(name: &'static str, card: &'static str, profile: DeviceProfile) -> NamedProfile {
    NamedProfile { name, card, profile }
}

static NAMED: [NamedProfile; 13] = [
    named("navi21", "AMD Radeon RX 6800", AMD),
    named("navi31", "AMD Radeon RX 7900 XTX", AMD),
    named("gfx1201", "AMD Radeon RX 9070 XT", AMD),
    named("tu102", "NVIDIA GeForce RTX 2080 Ti", NVIDIA),
    named("ga102", "NVIDIA GeForce RTX 3090", NVIDIA),
    named("ad102", "NVIDIA GeForce RTX 4090", NVIDIA),
    named("gb202", "NVIDIA GeForce RTX 5090", NVIDIA),
    named("tgl", "Intel Iris Xe Graphics of Core i7-1185G7", intel(DeviceClass::Integrated, 8)),
    named("dg2", "Intel Arc A770M", intel(DeviceClass::Discrete, 8)),
    named("lnl", "Intel Arc 140V of Core Ultra 7 268V", intel(DeviceClass::Integrated, 16)),
    named("m1", "Apple M1", APPLE),
    named("adreno740", "Qualcomm Adreno 740 of Snapdragon 8 Gen 2", ADRENO),
    named("llvmpipe", "Mesa's llvmpipe on a processor with AVX2", LLVMPIPE),
];

impl NamedProfile {
    /// Every one of them.
    pub fn all() -> &'static [Self] {
        &NAMED
    }
}

impl DeviceProfile {
    /// The profile of a chip by its code name, `navi31` for one: what [`Gpu::new`](crate::Gpu::new) would get on a card
    /// with it, so that plans for it can be made anywhere. [`NamedProfile::all`] lists them. Errors: another name; the
    /// text lists those there are.
    pub fn named(name: &str) -> Result<Self> {
        match NAMED.iter().find(|named| named.name == name) {
            Some(named) => Ok(named.profile.clone()),
            None => Err(Error::param("profile", "name", name, &unknown(name, &Self::names()))),
        }
    }

    /// The names that [`DeviceProfile::named`] knows.
    pub fn names() -> [&'static str; 13] {
        NAMED.each_ref().map(|named| named.name)
    }
}
