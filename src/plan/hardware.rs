//! What a GPU is made of: the figures that estimates are computed from.

use super::{DeviceClass, Vendor};

/// Cores, clock and memory of a GPU: of an adapter that goes by the name of one of the [`NamedProfile`](super::NamedProfile)s
/// as its maker's data sheet, or what is known of it in public, has them; else a guess. None of it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// What a workgroup runs on: compute units (AMD), streaming multiprocessors (NVIDIA), Xe-cores (Intel).
    pub cores: u32,
    /// Instructions, of `f32` multiply-adds for one, that a core completes each clock, one a lane. Where two may pair up
    /// (RDNA 3), they count as one.
    pub lanes: u32,
    /// Clock under load, MHz.
    pub mhz: u32,
    /// Bandwidth of memory, 10⁹ bytes per second.
    pub memory_gbps: u32,
    /// Invocations that a core holds at most.
    pub invocations: u32,
    /// Bytes of all registers of a core.
    pub registers: u32,
    /// Bytes of workgroup memory of a core.
    pub workgroup_memory: u32,
}

impl Hardware {
    /// Of a chip: cores, their lanes, MHz and 10⁹ bytes per second.
    pub(super) const fn of(chip: [u32; 4], core: Self) -> Self {
        let [cores, lanes, mhz, memory_gbps] = chip;
        Self { cores, lanes, mhz, memory_gbps, ..core }
    }

    /// A core that holds so many invocations, and KiB of registers and of workgroup memory.
    pub(super) const fn core(invocations: u32, registers: u32, workgroup_memory: u32) -> Self {
        let [registers, workgroup_memory] = [registers << 10, workgroup_memory << 10];
        Self { cores: 0, lanes: 0, mhz: 0, memory_gbps: 0, invocations, registers, workgroup_memory }
    }

    /// A guess for an adapter of which no more is known: a card of the middle, or a laptop's or a telephone's GPU. `None`
    /// for software adapters, which are as fast as the processor that they run on.
    pub(crate) const fn typical(class: DeviceClass, vendor: Vendor) -> Option<Self> {
        Some(match (class, vendor) {
            (DeviceClass::Software, _) => return None,
            (DeviceClass::Discrete, Vendor::Amd) => Self::of([60, 64, 2400, 500], Self::RDNA_3),
            (DeviceClass::Discrete, Vendor::Intel) => Self::of([28, 128, 2100, 500], Self::XE),
            // Most cards are NVIDIA's.
            (DeviceClass::Discrete, _) => Self::of([48, 128, 2000, 500], Self::AMPERE),
            (DeviceClass::Integrated, Vendor::Amd) => Self::of([12, 64, 2400, 100], Self::RDNA_3),
            (DeviceClass::Integrated, Vendor::Apple) => Self::of([10, 128, 1400, 100], Self::APPLE),
            (DeviceClass::Integrated, Vendor::Qualcomm) => Self::of([6, 256, 700, 67], Self::ADRENO),
            (DeviceClass::Integrated, _) => Self::LAPTOP,
        })
    }

    /// Microseconds that memory takes to give or take so many bytes.
    pub(crate) fn memory_us(&self, bytes: u64) -> f64 {
        bytes as f64 / f64::from(self.memory_gbps.max(1)) / 1e3
    }

    /// A laptop's, of whatever make.
    pub(crate) const LAPTOP: Self = Self::of([8, 128, 1500, 70], Self::XE);

    pub(super) const RDNA_2: Self = Self::core(2048, 256, 64);
    pub(super) const RDNA_3: Self = Self::core(2048, 384, 64);
    pub(super) const TURING: Self = Self::core(1024, 256, 64);
    /// And its successors.
    pub(super) const AMPERE: Self = Self::core(1536, 256, 100);
    pub(super) const HOPPER: Self = Self::core(2048, 256, 228);
    pub(super) const XE: Self = Self::core(2048, 512, 128);
    pub(super) const APPLE: Self = Self::core(1024, 208, 60);
    pub(super) const ADRENO: Self = Self::core(2048, 256, 32);
}
