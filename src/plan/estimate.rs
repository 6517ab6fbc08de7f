//! How long a dispatch may take, reckoned from what the device is made of: a small model, to compare kernels by.
//! Its figures are guesses, but for those that an H100 gave.

use std::fmt;

use super::{Constant, DeviceProfile, Hardware, Plan, Step};

/// What a dispatch asks of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Workgroups.
    pub workgroups: u64,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Registers of an invocation, 32 bits each.
    pub registers: u32,
    /// Bytes of a workgroup's memory.
    pub workgroup_memory: u32,
    /// Instructions of all invocations, those on padding included.
    pub instructions: u64,
    /// Instructions of the workgroup that has most.
    pub longest: u64,
    /// How often that workgroup waits for what it reads.
    pub waits: u64,
    /// Bytes that workgroups read, from caches or memory.
    pub reads: u64,
    /// Bytes that memory gives and takes, each once.
    pub bytes: u64,
}

/// How long a dispatch may take. Not measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Microseconds.
    pub us: f64,
    /// Workgroups.
    pub workgroups: u64,
    /// Cores that they are dealt out to.
    pub cores: u32,
}

impl Estimate {
    /// Microseconds from one dispatch to the next that depends on it: a guess.
    pub const DISPATCH_US: f64 = 2.0;
    /// Clocks of a step that are not spent on arithmetic, from a read to the barrier after its value is stored: as an H100
    /// took (1060 to 1390).
    const WAIT: f64 = 1100.0;
    /// Bytes that a core reads from caches in a clock: a guess.
    const CACHE: f64 = 64.0;
    /// Lanes that run together, idle or not: a guess, as some GPUs have 64 and some 16.
    const LANES: f64 = 32.0;

    /// By the model: workgroups are dealt out evenly, and each core does its own in rounds, of as many as fit it. A round
    /// takes as long as their instructions, or as one of its workgroups alone, which also waits for what it reads. Reading
    /// and writing go on meanwhile.
    pub fn of(load: &Load, hardware: &Hardware) -> Self {
        let of = |count: u64, fewest: f64| (count as f64).max(fewest);
        let (cores, lanes) = (of(hardware.cores.into(), 1.0), of(hardware.lanes.into(), 1.0));
        let clock = of(hardware.mhz.into(), 1.0);
        let (workgroups, invocations) = (load.workgroups as f64, of(load.invocations.into(), 1.0));
        let busy = workgroups.min(cores);

        let registers = of((4 * u64::from(load.registers)).saturating_mul(load.invocations.into()), 1.0);
        let room = [
            f64::from(hardware.invocations) / invocations,
            f64::from(hardware.registers) / registers,
            f64::from(hardware.workgroup_memory) / of(load.workgroup_memory.into(), 1.0),
        ];
        let at_once = room.into_iter().fold(f64::INFINITY, f64::min).floor().max(1.0);
        let filled = invocations / ((invocations / Self::LANES).ceil() * Self::LANES);
        let alone = load.waits as f64 * Self::WAIT + load.longest as f64 / invocations.min(lanes * filled);
        let each = load.instructions as f64 / workgroups.max(1.0) / (lanes * filled);
        let round = |workgroups: f64| if workgroups > 0.0 { alone.max(workgroups * each) } else { 0.0 };
        let of_a_core = (workgroups / cores).ceil();
        let arithmetic = (of_a_core / at_once).floor() * round(at_once) + round(of_a_core % at_once);

        let from_caches = load.reads as f64 / (Self::CACHE * busy.max(1.0));
        let us = Self::DISPATCH_US + (arithmetic.max(from_caches) / clock).max(hardware.memory_us(load.bytes));
        Self { us, workgroups: load.workgroups, cores: hardware.cores }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "≈ {:.1} µs", self.us)
    }
}

impl Step {
    /// How long it may take on a device. `None` if nothing is known of its hardware, as of software adapters.
    pub fn estimate(&self, profile: &DeviceProfile) -> Option<Estimate> {
        let hardware = profile.hardware.as_ref()?;
        let Estimate { us, workgroups, cores } = Estimate::of(&self.load(), hardware);
        Some(Estimate { us: us + (self.dispatches() - 1) as f64 * Estimate::DISPATCH_US, workgroups, cores })
    }

    /// What it asks of a device.
    pub fn load(&self) -> Load {
        self.load.map_or_else(|| self.plain_load(), |load| self.with_cost(load))
    }

    fn with_cost(&self, load: Load) -> Load {
        Load { workgroups: self.workgroups, bytes: self.cost.bytes, ..load }
    }

    /// Of a kernel without tiles: some instructions for each invocation, some for each iteration of its loops, and its
    /// arithmetic; nothing is read twice from beyond a core.
    fn plain_load(&self) -> Load {
        const BEFORE: u64 = 32;
        const EACH: u64 = 8;
        // That workgroups are as large as their product, a test sees to.
        const SIZES: [&str; 3] = ["WG_SIZE", "LANES", "PLACES"];
        let size = |(name, value): &(&str, Constant)| match value {
            Constant::U32(size) if SIZES.contains(name) => Some(*size),
            _ => None,
        };
        let invocations: u32 = self.constants.iter().filter_map(size).product();
        let of_one = BEFORE.saturating_add(self.iterations.saturating_mul(EACH));
        let of_all = of_one.saturating_mul(invocations.into()).saturating_mul(self.workgroups);
        let instructions = of_all.saturating_add(self.cost.flops / 2);
        self.with_cost(Load {
            invocations,
            registers: 32,
            instructions,
            longest: instructions / self.workgroups.max(1),
            waits: 2,
            reads: self.cost.bytes,
            ..Load::default()
        })
    }
}

impl Plan {
    /// How long all dispatches may take one after the other, conversions included, in microseconds. `None` if nothing is
    /// known of the device's hardware.
    pub fn estimated_us(&self) -> Option<f64> {
        // Not `sum`: of nothing, that is -0.
        self.steps.iter().try_fold(0.0, |sum, step| Some(sum + step.estimate(&self.profile)?.us))
    }
}
