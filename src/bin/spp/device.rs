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
        match wanted {
            Some("cpu") => Ok(Self::Reference),
            Some(name) => Ok(Self::Gpu(Gpu::new(&GpuOptions::device(name))?)),
            None => Ok(Self::Gpu(Gpu::new(&GpuOptions::default())?)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Gpu(gpu) => &gpu.info().name,
            Self::Reference => "CPU reference",
        }
    }
}
