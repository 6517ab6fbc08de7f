//! How graphs are planned: options that several commands share.

use spp_wgpu::{Gpu, PlanOptions, bench};

use crate::device::Device;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Planning {
    /// Plan without fusing anything
    #[arg(long)]
    unfused: bool,
    /// Plan without these passes
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PASS")]
    without: Vec<Pass>,
    /// Use the convolution kernels that `spp bench --tune` found fastest on this adapter
    #[arg(long)]
    pub(crate) tuned: bool,
    /// Let kernels multiply matrices on tensor cores or their like, which wgpu calls experimental, if the adapter has them
    #[arg(long)]
    pub(crate) matrices: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Pass {
    FoldAffine,
    FuseAdd,
    FuseSum,
    ImageBias,
    FuseCascade,
    GroupConvs,
    ConcatSlices,
    SplitSums,
    ReuseBuffers,
}

impl Planning {
    /// Whether any of the options was given.
    pub(crate) fn is_given(&self) -> bool {
        self.unfused || self.tuned || self.matrices || !self.without.is_empty()
    }

    pub(crate) fn options(&self, gpu: &Gpu) -> PlanOptions {
        let options = self.untuned();
        if self.tuned { options.tuned(bench::kept_tuning(gpu, None)) } else { options }
    }

    /// As [`Self::options`]; the reference needs no plan.
    pub(crate) fn options_on(&self, device: &Device) -> PlanOptions {
        match device {
            Device::Gpu(gpu) => self.options(gpu),
            Device::Reference => self.untuned(),
        }
    }

    pub(crate) fn untuned(&self) -> PlanOptions {
        let mut options = if self.unfused { PlanOptions::unfused() } else { PlanOptions::default() };
        for pass in &self.without {
            *match pass {
                Pass::FoldAffine => &mut options.fold_affine,
                Pass::FuseAdd => &mut options.fuse_add,
                Pass::FuseSum => &mut options.fuse_sum,
                Pass::ImageBias => &mut options.image_bias,
                Pass::FuseCascade => &mut options.fuse_cascade,
                Pass::GroupConvs => &mut options.group_convs,
                Pass::ConcatSlices => &mut options.concat_slices,
                Pass::SplitSums => &mut options.split_sums,
                Pass::ReuseBuffers => &mut options.reuse_buffers,
            } = false;
        }
        options
    }
}
