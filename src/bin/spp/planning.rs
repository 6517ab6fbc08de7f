//! How graphs are planned: what several commands can be told.

use spp_wgpu::{Gpu, PlanOptions, bench};

use crate::device::Device;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Planning {
    /// Plan without fusing anything
    #[arg(long)]
    unfused: bool,
    /// Take the convolution kernels that `spp bench --tune` found fastest on this adapter
    #[arg(long)]
    tuned: bool,
}

impl Planning {
    pub(crate) fn options(self, gpu: &Gpu) -> PlanOptions {
        let options = self.untuned();
        if self.tuned { options.tuned(bench::kept_tuning(gpu, None)) } else { options }
    }

    /// As [`Self::options`]; the reference needs no plan.
    pub(crate) fn options_on(self, device: &Device) -> PlanOptions {
        match device {
            Device::Gpu(gpu) => self.options(gpu),
            Device::Reference => self.untuned(),
        }
    }

    fn untuned(self) -> PlanOptions {
        if self.unfused { PlanOptions::unfused() } else { PlanOptions::default() }
    }
}
