//! The least time that a device's own measured limits allow.

use crate::graph::GraphCost;
use crate::plan::Cost;

/// What one device was measured to reach, by kernels of our own.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    /// Independent `f32` fused multiply-adds, 10⁹ FLOP per second.
    pub f32_gflops: f64,
    /// The same in `f16`, where the device has it.
    pub f16_gflops: Option<f64>,
    /// Cooperative matrices with `f32` sums, of `f16` factors if possible, where the device has them.
    pub coop_gflops: Option<f64>,
    /// Copying on the device, bytes read plus bytes written, 10⁹ per second.
    pub copy_gbps: f64,
    /// Host memory to device, 10⁹ bytes per second.
    pub upload_gbps: f64,
    /// Device to host memory, 10⁹ bytes per second.
    pub download_gbps: f64,
    /// An empty dispatch that waits for the one before, microseconds.
    pub dispatch_us: f64,
    /// Submitting nothing and waiting for it, microseconds.
    pub submit_us: f64,
}

/// What keeps a computation from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Memory traffic.
    Memory,
}

impl Bound {
    /// `compute` or `memory`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
        }
    }
}

impl Peaks {
    /// The least time for this much work and traffic, in milliseconds, and what binds it; the work in `f32`, or on matrices
    /// where their peak is known.
    pub fn floor_ms(&self, flops: u64, bytes: u64, on_matrices: bool) -> (f64, Bound) {
        let gflops = self.coop_gflops.filter(|_| on_matrices).unwrap_or(self.f32_gflops);
        let compute = flops as f64 / gflops / 1e6;
        let memory = bytes as f64 / self.copy_gbps / 1e6;
        if compute >= memory { (compute, Bound::Compute) } else { (memory, Bound::Memory) }
    }

    /// The floor of a whole graph: its FLOPs, and each input, output and weight touched once.
    pub fn floor_of_graph(&self, cost: &GraphCost, on_matrices: bool) -> (f64, Bound) {
        self.floor_ms(cost.flops, cost.min_bytes, on_matrices)
    }

    /// The floor of one dispatch: each operand and result touched once.
    pub fn floor_of_step(&self, cost: &Cost, on_matrices: bool) -> (f64, Bound) {
        self.floor_ms(cost.flops, cost.bytes, on_matrices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_arithmetic_and_memory_binds() {
        let peaks = Peaks {
            f32_gflops: 60_000.0,
            f16_gflops: None,
            coop_gflops: Some(600_000.0),
            copy_gbps: 4300.0,
            upload_gbps: 1.0,
            download_gbps: 1.0,
            dispatch_us: 1.0,
            submit_us: 1.0,
        };
        // SPPF of 1024 channels: 2.097 GFLOP over 60 TFLOP/s are 35.0 µs, 13.8 MB over 4.3 TB/s 3.2 µs.
        let (ms, bound) = peaks.floor_ms(2_097_152_000, 13_800_000, false);
        assert!((ms - 0.03495).abs() < 1e-5 && bound == Bound::Compute);
        // On matrices a tenth of that, and the half of the bytes 1.6 µs.
        let (ms, bound) = peaks.floor_ms(2_097_152_000, 6_900_000, true);
        assert!((ms - 0.003495).abs() < 1e-6 && bound == Bound::Compute);
        let (ms, bound) = peaks.floor_ms(0, 43_000_000, false);
        assert!((ms - 0.01).abs() < 1e-9 && bound == Bound::Memory);
    }
}
