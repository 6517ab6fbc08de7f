//! Profiles of some adapters, to plan for a GPU that is not there.

use super::{DeviceClass, DeviceProfile, Hardware, Matrices, Vendor};
use crate::error::{Error, Result, unknown};

/// What [`Gpu::new`](crate::Gpu::new) gets from one adapter where matrices are asked for, as its driver in Mesa 26.2
/// (llvmpipe: 22.3; gh100: NVIDIA's own, 580.159) reports it.
#[derive(Clone, Debug)]
pub struct NamedProfile {
    /// The chip's code name, as compilers spell it.
    pub name: &'static str,
    /// A card or a processor that it is in.
    pub card: &'static str,
    /// What the planner must know.
    pub profile: DeviceProfile,
}

/// What drivers offer of GPUs that have any.
const MATRICES: Matrices = Matrices { f16: Some(16), f32: None };

/// Largest binding that the drivers of most GPUs report.
const LARGE: u64 = (2 << 30) - 4;

const fn profile(class: DeviceClass, vendor: Vendor, subgroups: [u32; 2], workgroup_memory: u32) -> DeviceProfile {
    DeviceProfile {
        vendor,
        max_binding: LARGE,
        max_buffer: (2 << 30) - 1,
        max_invocations: 1024,
        max_texture: 16_384,
        workgroup_memory,
        subgroups: Some(subgroups),
        int64: true,
        f16: true,
        ..DeviceProfile::portable(class)
    }
}

const AMD: DeviceProfile = profile(DeviceClass::Discrete, Vendor::Amd, [32, 64], 64 << 10);
const AMD_WITH_MATRICES: DeviceProfile = DeviceProfile { matrices: MATRICES, ..AMD };
const NVIDIA: DeviceProfile = DeviceProfile {
    max_buffer: 2 << 30,
    max_texture: 32_768,
    matrices: MATRICES,
    ..profile(DeviceClass::Discrete, Vendor::Nvidia, [32, 32], 48 << 10)
};
/// By NVIDIA's own driver, which says so: Mesa has none for it.
const GH100: DeviceProfile = DeviceProfile { max_buffer: 4_292_870_144, ..NVIDIA };
const APPLE: DeviceProfile = profile(DeviceClass::Integrated, Vendor::Apple, [32, 32], 32 << 10);
const ADRENO: DeviceProfile = DeviceProfile {
    max_binding: 128 << 20,
    f16: false,
    ..profile(DeviceClass::Integrated, Vendor::Qualcomm, [64, 128], 32 << 10)
};
const LLVMPIPE: DeviceProfile = DeviceProfile {
    max_binding: 128 << 20,
    f16: false,
    ..profile(DeviceClass::Software, Vendor::Other, [8, 8], 32 << 10)
};

const TGL: DeviceProfile = profile(DeviceClass::Integrated, Vendor::Intel, [8, 32], 48 << 10);
const DG2: DeviceProfile = profile(DeviceClass::Discrete, Vendor::Intel, [8, 32], 48 << 10);
const LNL: DeviceProfile = profile(DeviceClass::Integrated, Vendor::Intel, [16, 32], 48 << 10);

/// The chip's number of cores, their lanes, MHz and 10⁹ bytes per second; and what a core holds.
const fn with(chip: [u32; 4], core: Hardware, profile: DeviceProfile) -> DeviceProfile {
    DeviceProfile { hardware: Some(Hardware::of(chip, core)), ..profile }
}

const fn named(name: &'static str, card: &'static str, profile: DeviceProfile) -> NamedProfile {
    NamedProfile { name, card, profile }
}

// Cores, clocks under load and bandwidths are those of the cards' data sheets; Apple and Qualcomm publish none, so theirs
// are what others have found out.
static NAMED: [NamedProfile; 14] = [
    named("navi21", "AMD Radeon RX 6800", with([60, 64, 2105, 512], Hardware::RDNA_2, AMD)),
    named("navi31", "AMD Radeon RX 7900 XTX", with([96, 64, 2500, 960], Hardware::RDNA_3, AMD_WITH_MATRICES)),
    named("gfx1201", "AMD Radeon RX 9070 XT", with([64, 64, 2970, 640], Hardware::RDNA_3, AMD_WITH_MATRICES)),
    named("tu102", "NVIDIA GeForce RTX 2080 Ti", with([68, 64, 1545, 616], Hardware::TURING, NVIDIA)),
    named("ga102", "NVIDIA GeForce RTX 3090", with([82, 128, 1695, 936], Hardware::AMPERE, NVIDIA)),
    named("ad102", "NVIDIA GeForce RTX 4090", with([128, 128, 2520, 1008], Hardware::AMPERE, NVIDIA)),
    named("gh100", "NVIDIA H100 80GB HBM3", with([132, 128, 1980, 3350], Hardware::HOPPER, GH100)),
    named("gb202", "NVIDIA GeForce RTX 5090", with([170, 128, 2407, 1792], Hardware::AMPERE, NVIDIA)),
    named("tgl", "Intel Iris Xe Graphics of Core i7-1185G7", with([6, 128, 1350, 68], Hardware::XE, TGL)),
    named("dg2", "Intel Arc A770M", with([32, 128, 1650, 512], Hardware::XE, DG2)),
    named("lnl", "Intel Arc 140V of Core Ultra 7 268V", with([8, 128, 2000, 137], Hardware::XE, LNL)),
    named("m1", "Apple M1", with([8, 128, 1278, 68], Hardware::APPLE, APPLE)),
    named("adreno740", "Qualcomm Adreno 740 of Snapdragon 8 Gen 2", with([6, 256, 680, 67], Hardware::ADRENO, ADRENO)),
    named("llvmpipe", "Mesa's llvmpipe on a processor with AVX2", LLVMPIPE),
];

impl NamedProfile {
    /// Every one of them.
    pub fn all() -> &'static [Self] {
        &NAMED
    }
}

impl Hardware {
    /// Of the adapter of this name, if it is one of the cards known by name; else what is typical.
    pub(crate) fn of_adapter(name: &str, class: DeviceClass, vendor: Vendor) -> Option<Self> {
        let card = words(name);
        let is_it = |named: &&NamedProfile| named.profile.class == class && words(named.card) == card;
        let known = NAMED.iter().find(is_it);
        known.map_or_else(|| Self::typical(class, vendor), |named| named.profile.hardware)
    }
}

/// What tells a card from others in its name. Drivers say `Intel(R) Arc(TM) A770M Graphics (DG2)` or
/// `Turnip Adreno (TM) 740`; a word more, as in `RTX 3090 Ti`, may be another card.
fn words(name: &str) -> Vec<String> {
    const SAY_NOTHING: [&str; 5] = ["turnip", "mesa", "qualcomm", "graphics", "gpu"];
    let name = name.to_lowercase().replace("(r)", "").replace("(tm)", "");
    // Mesa adds the chip in brackets, OpenGL the bus behind a slash; our cards' names, what they are part of.
    let card = ["(", "/", " of "].iter().fold(&*name, |name, end| name.split(end).next().unwrap_or(name));
    card.split_whitespace().filter(|word| !SAY_NOTHING.contains(word)).map(str::to_string).collect()
}

impl DeviceProfile {
    /// The profile of a chip by its code name, `navi31` for one: what [`Gpu::new`](crate::Gpu::new) would get on a card
    /// with it whose driver tells the card's name, so that plans for it can be made anywhere. [`NamedProfile::all`]
    /// lists them. Errors: another name; the text lists those there are.
    pub fn named(name: &str) -> Result<Self> {
        match NAMED.iter().find(|named| named.name == name) {
            Some(named) => Ok(named.profile.clone()),
            None => Err(Error::param("profile", "name", name, &unknown(name, &Self::names()))),
        }
    }

    /// The names that [`DeviceProfile::named`] knows.
    pub fn names() -> [&'static str; 14] {
        NAMED.each_ref().map(|named| named.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_known_by_the_names_that_drivers_report() {
        use DeviceClass::{Discrete, Integrated};
        let rows = [
            ("navi21", Discrete, "AMD Radeon RX 6800 (RADV NAVI21)"),
            ("navi31", Discrete, "AMD Radeon RX 7900 XTX (RADV NAVI31)"),
            ("navi31", Discrete, "AMD Radeon RX 7900 XTX"),
            ("tu102", Discrete, "NVIDIA GeForce RTX 2080 Ti (NVK TU102)"),
            ("ga102", Discrete, "NVIDIA GeForce RTX 3090"),
            ("ga102", Discrete, "NVIDIA GeForce RTX 3090/PCIe/SSE2"),
            ("tgl", Integrated, "Intel(R) Iris(R) Xe Graphics (TGL GT2)"),
            ("dg2", Discrete, "Intel(R) Arc(tm) A770M Graphics (DG2)"),
            ("dg2", Discrete, "Intel(R) Arc(TM) A770M Graphics"),
            ("lnl", Integrated, "Intel(R) Arc(tm) Graphics 140V (LNL)"),
            ("lnl", Integrated, "Intel(R) Arc(TM) 140V GPU (16GB)"),
            ("m1", Integrated, "Apple M1"),
            ("m1", Integrated, "Apple M1 (G13G B1)"),
            ("adreno740", Integrated, "Turnip Adreno (TM) 740"),
            ("adreno740", Integrated, "Adreno (TM) 740"),
        ];
        for (chip, class, reported) in rows {
            let want = DeviceProfile::named(chip).unwrap().hardware;
            assert_eq!(Hardware::of_adapter(reported, class, Vendor::Other), want, "{chip}: {reported}");
        }
        for named in NAMED.iter().filter(|named| named.profile.hardware.is_some()) {
            let found = Hardware::of_adapter(named.card, named.profile.class, Vendor::Other);
            assert_eq!(found, named.profile.hardware, "{}", named.card);
        }
    }

    #[test]
    fn other_cards_get_what_is_typical() {
        let rows = [
            (DeviceClass::Discrete, Vendor::Nvidia, "NVIDIA GeForce RTX 3090 Ti"),
            (DeviceClass::Discrete, Vendor::Nvidia, "NVIDIA GeForce RTX 4090 Laptop GPU"),
            (DeviceClass::Discrete, Vendor::Amd, "AMD Radeon RX 6800 XT (RADV NAVI21)"),
            (DeviceClass::Discrete, Vendor::Intel, "Intel(R) Arc(tm) A770 Graphics (DG2)"),
            (DeviceClass::Integrated, Vendor::Apple, "Apple M1 Pro"),
            (DeviceClass::Integrated, Vendor::Qualcomm, "Adreno (TM) 730"),
            (DeviceClass::Integrated, Vendor::Intel, "Intel(R) Arc(tm) A770M Graphics (DG2)"),
            (DeviceClass::Discrete, Vendor::Other, ""),
            (DeviceClass::Software, Vendor::Other, "llvmpipe (LLVM 15.0.6, 256 bits)"),
        ];
        for (class, vendor, reported) in rows {
            let known = NAMED.iter().find(|named| {
                named.profile.hardware.is_some()
                    && Hardware::of_adapter(reported, class, vendor) == named.profile.hardware
            });
            assert!(known.is_none(), "{reported} is {known:?}");
            assert_eq!(Hardware::of_adapter(reported, class, vendor), Hardware::typical(class, vendor), "{reported}");
        }
    }
}
