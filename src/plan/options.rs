//! What the planner may do.

use std::sync::Arc;

use super::{Element, Tuning};
use crate::tensor::{MAX_HOST_BYTES, Precision};

/// Which convolution kernel to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvKernel {
    /// By device class and shape.
    #[default]
    Auto,
    /// Tiles in workgroup memory, wherever it applies (one group).
    Tiled,
    /// Lanes pass the input to each other, wherever it applies (one group; subgroups of four or eight lanes).
    Subgroup,
    /// No workgroup memory, wherever it applies.
    Direct,
}

impl Precision {
    /// Type of a value in memory.
    pub const fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
        }
    }
}

/// What the planner may do. Every pass can be switched off; results agree within the documented error.
///
/// ```
/// let mut options = spp_wgpu::PlanOptions::default();
/// options.max_bytes = Some(64 << 20);
/// options.split_sums = false;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Fold scale, shift and activation into the convolution before them.
    pub fold_affine: bool,
    /// Compute `act(scale * conv + b)` at the end of the convolution.
    pub fuse_add: bool,
    /// Compute a sum of convolutions as one.
    pub fuse_sum: bool,
    /// Compute once per image what a resized map of one pixel adds to a 1x1 convolution of a concatenation.
    pub image_bias: bool,
    /// Compute chained or nested stride-1 pools in one dispatch.
    pub fuse_cascade: bool,
    /// Compute convolutions that do not depend on each other in one dispatch.
    pub group_convs: bool,
    /// Let producers write their slice of a concatenation.
    pub concat_slices: bool,
    /// Split a convolution's sum among more workgroups if they are few and its first reader can add up the parts.
    pub split_sums: bool,
    /// Let tensors that are not alive at the same time share a buffer.
    pub reuse_buffers: bool,
    /// What weights and intermediate tensors are stored in. Biases, and sums in parts, stay `f32`.
    pub precision: Precision,
    /// What graph inputs and outputs are in their buffers, which [`Program::bind`](crate::Program::bind) takes as they
    /// are. They are converted on the GPU, unless [`PlanOptions::precision`] is the same.
    pub ports: Precision,
    /// Convolution kernel.
    pub conv_kernel: ConvKernel,
    /// The kernels measured fastest on the adapter, for the classes of convolution that it lists.
    pub tuned: Option<Arc<Tuning>>,
    /// At most this many bytes of GPU memory, weights included; `None`: what the device allows.
    pub max_bytes: Option<u64>,
    /// At most this many bytes of host memory for the packed weights and tables of a [`Plan`](crate::Plan). A program packs
    /// them one after the other, and has uploaded each before it makes the next. [`MAX_HOST_BYTES`] unless set.
    pub max_host_bytes: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            fold_affine: true,
            fuse_add: true,
            fuse_sum: true,
            image_bias: true,
            fuse_cascade: true,
            group_convs: true,
            concat_slices: true,
            split_sums: true,
            reuse_buffers: true,
            precision: Precision::F32,
            ports: Precision::F32,
            conv_kernel: ConvKernel::Auto,
            tuned: None,
            max_bytes: None,
            max_host_bytes: MAX_HOST_BYTES,
        }
    }
}

impl PlanOptions {
    /// Every pass off: each node by itself.
    pub fn unfused() -> Self {
        Self {
            fold_affine: false,
            fuse_add: false,
            fuse_sum: false,
            image_bias: false,
            fuse_cascade: false,
            group_convs: false,
            concat_slices: false,
            split_sums: false,
            reuse_buffers: false,
            ..Self::default()
        }
    }

    /// The same, with weights and tensors stored in `precision`.
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same, with graph inputs and outputs in `ports`.
    pub fn ports(self, ports: Precision) -> Self {
        Self { ports, ..self }
    }

    /// The same, with the kernels found fastest on the adapter.
    pub fn tuned(self, tuning: impl Into<Arc<Tuning>>) -> Self {
        Self { tuned: Some(tuning.into()), ..self }
    }
}
