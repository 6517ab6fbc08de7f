//! What to ask an adapter for: limits and features, and what the planner will know of the device then.

use wgpu::{Adapter, AdapterInfo, DeviceType, Features, Limits};

use super::{Gpu, matrices};
use crate::plan::{DeviceClass, DeviceProfile, Extension, Hardware, Matrices, Needs, Vendor};

/// What a device should have if its adapter does; nothing depends on these.
const FEATURES: Features =
    Features::TIMESTAMP_QUERY.union(Features::SHADER_F16).union(Features::SUBGROUP).union(Features::SHADER_INT64);

/// What to request a device with, so that everything runs as fast as the adapter allows.
///
/// ```no_run
/// # use spp_wgpu::{Gpu, wgpu};
/// # async fn request(adapter: wgpu::Adapter) -> Result<Gpu, Box<dyn std::error::Error>> {
/// let wanted = Gpu::recommended(&adapter);
/// let (device, queue) = adapter
///     .request_device(&wgpu::DeviceDescriptor {
///         // The app's own features and limits, and these.
///         required_features: wgpu::Features::TEXTURE_COMPRESSION_BC & adapter.features() | wanted.features,
///         required_limits: wgpu::Limits::downlevel_defaults().or_better_values_from(&wanted.limits),
///         ..Default::default()
///     })
///     .await?;
/// Ok(Gpu::from_device(adapter.get_info(), device, queue)?)
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recommended {
    /// Those that the adapter has of these. No kernel needs any: what lacking one costs is in [`Extension`]'s
    /// documentation.
    ///
    /// - `SUBGROUP`: [`Extension::Subgroups`]
    /// - `SHADER_INT64`: [`Extension::Int64`]
    /// - `SHADER_F16`: [`Extension::F16`]
    /// - `TIMESTAMP_QUERY`: without, [`Program::gpu_time`](crate::Program::gpu_time) and its like give `None`, and
    ///   `spp bench` has no GPU times.
    /// - `EXPERIMENTAL_COOPERATIVE_MATRIX`, only by [`Gpu::recommended_with_matrices`]: [`Extension::CooperativeMatrix`]
    pub features: Features,
    /// wgpu's defaults, or what the adapter has of them; and all that it has of the sizes of buffers, bindings,
    /// textures, workgroups and their memory: larger tensors, and larger workgroups where those are faster.
    pub limits: Limits,
    /// What [`Gpu::profile`] will be of such a device: to plan, and to ask a plan for its [`Needs`], before there is
    /// one.
    pub profile: DeviceProfile,
}

impl Recommended {
    pub(super) fn of(adapter: &Adapter, matrices: Option<Matrices>) -> Self {
        let most = adapter.limits();
        let mut wanted = FEATURES;
        wanted.set(matrices::FEATURE, matrices.is_some());
        let features = adapter.features() & wanted;
        let limits = Limits {
            max_storage_buffer_binding_size: most.max_storage_buffer_binding_size,
            max_buffer_size: most.max_buffer_size,
            max_compute_workgroup_storage_size: most.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: most.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: most.max_compute_workgroup_size_x,
            max_texture_dimension_2d: most.max_texture_dimension_2d,
            ..Limits::defaults().or_worse_values_from(&most)
        };
        let info = adapter.get_info();
        let profile = profile(&info, &info, features, &limits, matrices);
        Self { features, limits, profile }
    }
}

impl Gpu {
    /// What an app should add to what it requests its device with. [`Gpu::new`] asks for the same.
    pub fn recommended(adapter: &Adapter) -> Recommended {
        Recommended::of(adapter, None)
    }

    /// As [`Gpu::recommended`], with matrices, for [`GpuOptions::matrices`](super::GpuOptions::matrices): one of wgpu's
    /// experimental features, which only an app itself can accept. Errors: the reason why the adapter gets none.
    pub fn recommended_with_matrices(adapter: &Adapter) -> Result<Recommended, String> {
        Ok(Recommended::of(adapter, Some(matrices::matrices_of(adapter)?)))
    }
}

/// What the planner must know of a device. Its adapter is described by `info`, which an app may have made up, and by
/// itself: unchecked kernels rely on the number of lanes.
pub(super) fn profile(
    info: &AdapterInfo,
    adapter: &AdapterInfo,
    features: Features,
    limits: &Limits,
    matrices: Option<Matrices>,
) -> DeviceProfile {
    let class = match info.device_type {
        DeviceType::DiscreteGpu => DeviceClass::Discrete,
        DeviceType::Cpu => DeviceClass::Software,
        _ => DeviceClass::Integrated,
    };
    let lanes = [adapter.subgroup_min_size, adapter.subgroup_max_size];
    let vendor = Vendor::of(info.vendor, &info.name);
    DeviceProfile {
        class,
        vendor,
        // So that no index of a kernel exceeds 32 bits.
        max_binding: limits.max_storage_buffer_binding_size.min(u32::MAX.into()),
        max_uniform: limits.max_uniform_buffer_binding_size,
        max_buffer: limits.max_buffer_size,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_invocations: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_texture: limits.max_texture_dimension_2d,
        max_layers: limits.max_texture_array_layers,
        subgroups: features.contains(Features::SUBGROUP).then_some(lanes),
        int64: features.contains(Features::SHADER_INT64),
        f16: features.contains(Features::SHADER_F16),
        matrices: matrices.unwrap_or(Matrices::NONE),
        max_iterations: class.max_iterations(),
        hardware: Hardware::of_adapter(&info.name, class, vendor),
    }
}

impl Needs {
    /// `base`, raised to what the plan needs: an app's own limits, or `Limits::downlevel_defaults()`.
    pub fn limits(&self, base: Limits) -> Limits {
        Limits {
            max_storage_buffer_binding_size: self.max_storage_buffer_binding_size,
            max_buffer_size: self.max_buffer_size,
            max_uniform_buffer_binding_size: self.max_uniform_buffer_binding_size,
            max_compute_workgroup_storage_size: self.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: self.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: self.max_compute_invocations_per_workgroup,
            max_compute_workgroups_per_dimension: self.max_compute_workgroups_per_dimension,
            max_storage_buffers_per_shader_stage: self.max_storage_buffers_per_shader_stage,
            max_texture_dimension_2d: self.max_texture_dimension_2d,
            max_texture_array_layers: self.max_texture_array_layers,
            ..base.clone()
        }
        .or_better_values_from(&base)
    }

    /// The features that the plan's kernels use.
    pub fn features(&self) -> Features {
        self.extensions.iter().fold(Features::empty(), |features, extension| features | feature(*extension))
    }
}

fn feature(extension: Extension) -> Features {
    match extension {
        Extension::F16 => Features::SHADER_F16,
        Extension::CooperativeMatrix => matrices::FEATURE,
        Extension::Subgroups => Features::SUBGROUP,
        Extension::Int64 => Features::SHADER_INT64,
    }
}
