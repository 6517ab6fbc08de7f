//! What `--device` names.

use spp_wgpu::{Gpu, GpuOptions};

use crate::failure::Result;

/// Where graphs run.
#[derive(Debug)]
pub(crate) enum Device {
    Gpu(Gpu),
    Reference,
}

impl Device {
    /// `None`: what wgpu's environment variables say, else the best adapter. Never the reference unless it is asked for.
    pub(crate) fn open(wanted: Option<&str>) -> Result<Self> {
        Self::open_with(wanted, false)
    }

    /// As [`Self::open`], with matrices or a warning that says why there are none.
    pub(crate) fn open_with(wanted: Option<&str>, matrices: bool) -> Result<Self> {
        if wanted == Some("cpu") {
            return Ok(Self::Reference);
        }
        let mut options = wanted.map_or_else(GpuOptions::default, GpuOptions::device);
        options.matrices = matrices;
        Ok(Self::Gpu(Gpu::new(&options)?))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Gpu(gpu) => &gpu.info().name,
            Self::Reference => "CPU reference",
        }
    }
}
