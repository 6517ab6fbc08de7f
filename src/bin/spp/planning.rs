//! How graphs are planned: options that several commands share.

use spp_wgpu::{Gpu, PlanOptions, Precision, bench};

use crate::device::Device;
use crate::failure::{Failure, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Storage {
    /// What weights and tensors are stored in; sums are formed in f32. f16 takes half the memory, and rounds each tensor
    #[arg(long, value_name = "TYPE", value_parser = Storage::parse, default_value = "f32")]
    pub(crate) precision: Precision,
    /// What inputs and outputs are stored in, on the device
    #[arg(long, value_name = "TYPE", value_parser = Storage::parse, default_value = "f32")]
    pub(crate) ports: Precision,
}

impl Storage {
    /// One of the types, by name.
    pub(crate) fn parse(text: &str) -> Result<Precision, String> {
        let known = [Precision::F32, Precision::F16].into_iter().find(|precision| precision.to_string() == text);
        known.ok_or_else(|| "use f32 or f16".into())
    }

    /// As `precision` says, or as `ports` say.
    pub(crate) fn rounds_to(self) -> Precision {
        if self.ports == Precision::F16 { self.ports } else { self.precision }
    }

    /// Nothing if all is `f32`.
    pub(crate) fn described(self) -> String {
        match (self.precision, self.ports) {
            (Precision::F32, Precision::F32) => String::new(),
            (precision, ports) => format!(", stored in {precision}, inputs and outputs in {ports}"),
        }
    }

    /// Errors: the reference is asked to store `f16`.
    fn check(self, device: &Device) -> Result<()> {
        match (device, self.rounds_to()) {
            (Device::Reference, Precision::F16) => {
                let why = "the CPU reference computes in f64 and stores no f16";
                Err(Failure::Usage(format!("{why}; leave out --precision and --ports, or name a GPU")))
            }
            _ => Ok(()),
        }
    }
}

/// What kernels multiply and store.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arithmetic {
    /// Let kernels multiply matrices on tensor cores or their like, which wgpu calls experimental, if the adapter has them
    #[arg(long)]
    pub(crate) matrices: bool,
    #[command(flatten)]
    pub(crate) storage: Storage,
    /// With --precision f16: nodes whose weights and results stay in f32, by their names in the plan
    #[arg(long, value_name = "NODES", value_delimiter = ',', requires = "precision")]
    pub(crate) keep_f32: Vec<String>,
}

impl Arithmetic {
    /// The device. Errors: the reference is asked to store `f16`.
    pub(crate) fn open(&self, device: Option<&str>) -> Result<Device> {
        let device = Device::open_with(device, self.matrices)?;
        self.storage.check(&device)?;
        Ok(device)
    }

    pub(crate) fn options(&self, options: PlanOptions) -> PlanOptions {
        options.precision(self.storage.precision).ports(self.storage.ports).keep_f32(self.keep_f32.clone())
    }
}

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
    #[command(flatten)]
    pub(crate) arithmetic: Arithmetic,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Pass {
    FoldAffine,
    FuseAdd,
    FuseSum,
    FuseMaps,
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
        let stores_f16 = self.arithmetic.storage.rounds_to() == Precision::F16;
        self.unfused || self.tuned || self.arithmetic.matrices || !self.without.is_empty() || stores_f16
    }

    pub(crate) fn options(&self, gpu: &Gpu) -> PlanOptions {
        let options = self.untuned();
        if self.tuned {
            options.tuned(bench::kept_tuning(gpu, self.arithmetic.storage.precision, None))
        } else {
            options
        }
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
                Pass::FuseMaps => &mut options.fuse_maps,
                Pass::ImageBias => &mut options.image_bias,
                Pass::FuseCascade => &mut options.fuse_cascade,
                Pass::GroupConvs => &mut options.group_convs,
                Pass::ConcatSlices => &mut options.concat_slices,
                Pass::SplitSums => &mut options.split_sums,
                Pass::ReuseBuffers => &mut options.reuse_buffers,
            } = false;
        }
        self.arithmetic.options(options)
    }
}
