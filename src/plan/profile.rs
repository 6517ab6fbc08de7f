//! What the planner must know about a device; no GPU is needed to make one up.

use super::{Element, Hardware};

/// What kind of processor runs the shaders: kernels are chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// A card with its own memory.
    Discrete,
    /// A GPU that shares memory with the CPU, or one of unknown kind.
    Integrated,
    /// A CPU that acts as a GPU (Mesa's llvmpipe, SwiftShader, WARP).
    Software,
}

impl DeviceClass {
    pub(crate) const fn max_iterations(self) -> u64 {
        match self {
            Self::Software => 65_535,
            Self::Discrete | Self::Integrated => u64::MAX,
        }
    }

    /// Invocations to share what one could do alone; a power of two. GPUs have lanes to fill; software adapters have few
    /// threads, which barriers would only delay.
    pub(crate) const fn sharing(self) -> u32 {
        match self {
            Self::Software => 1,
            Self::Discrete | Self::Integrated => 8,
        }
    }
}

/// Who makes a GPU: where drivers' compilers differ, so does the choice of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are names")]
pub enum Vendor {
    Amd,
    Apple,
    Intel,
    Nvidia,
    Qualcomm,
    /// Anyone else, and software adapters.
    Other,
}

impl Vendor {
    /// Of the adapter with this PCI vendor id and name: Metal gives no id, and Mesa's driver for Apple's GPUs its own.
    pub fn of(id: u32, name: &str) -> Self {
        match id {
            0x1002 => Self::Amd,
            0x106b => Self::Apple,
            0x8086 => Self::Intel,
            0x10de => Self::Nvidia,
            // The second is Direct3D's.
            0x5143 | 0x4d4f_4351 => Self::Qualcomm,
            _ if name.starts_with("Apple") => Self::Apple,
            _ if name.starts_with("AMD") => Self::Amd,
            _ if name.starts_with("Intel") => Self::Intel,
            _ => Self::Other,
        }
    }
}

/// Rows and columns of the square matrices whose products are summed up in `f32`, by what is multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matrices {
    /// Products of `f16`: 8 or 16.
    pub f16: Option<u32>,
    /// Products of `f32`: 8 or 16.
    pub f32: Option<u32>,
}

impl Matrices {
    /// No matrices.
    pub const NONE: Self = Self { f16: None, f32: None };

    /// Rows and columns of those that multiply values of this type.
    pub const fn of(&self, element: Element) -> Option<u32> {
        match element {
            Element::F16 => self.f16,
            Element::F32 => self.f32,
            Element::U8 | Element::U32 => None,
        }
    }
}

/// Class, vendor and limits of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// What kind of processor it is.
    pub class: DeviceClass,
    /// Who made it.
    pub vendor: Vendor,
    /// Bytes of one storage binding: `max_storage_buffer_binding_size`.
    pub max_binding: u64,
    /// Bytes of one uniform binding: `max_uniform_buffer_binding_size`.
    pub max_uniform: u64,
    /// Bytes of one buffer: `max_buffer_size`.
    pub max_buffer: u64,
    /// Workgroups along one dimension: `max_compute_workgroups_per_dimension`.
    pub max_workgroups: u32,
    /// Invocations of one workgroup, side by side: `max_compute_invocations_per_workgroup`, and no more than
    /// `max_compute_workgroup_size_x`.
    pub max_invocations: u32,
    /// Bytes of workgroup memory: `max_compute_workgroup_storage_size`.
    pub workgroup_memory: u32,
    /// Storage buffers one shader may bind: `max_storage_buffers_per_shader_stage`.
    pub max_storage_buffers: u32,
    /// Rows and columns of a texture: `max_texture_dimension_2d`.
    pub max_texture: u32,
    /// Layers of a texture: `max_texture_array_layers`.
    pub max_layers: u32,
    /// Fewest and most lanes of a subgroup, if shaders may use subgroup operations.
    pub subgroups: Option<[u32; 2]>,
    /// Whether shaders may use 64-bit integers.
    pub int64: bool,
    /// Whether shaders may use 16-bit floats.
    pub f16: bool,
    /// Matrices whose products a subgroup may compute together, if shaders may use them.
    pub matrices: Matrices,
    /// Loop iterations of one invocation, all loops together. Mesa's llvmpipe silently ends loops after 65 535
    /// (`LP_MAX_TGSI_LOOP_ITERATIONS`), so longer sums are refused on software adapters.
    pub max_iterations: u64,
    /// What it is made of, to estimate times by; `None` for software adapters.
    pub hardware: Option<Hardware>,
}

impl DeviceProfile {
    /// wgpu's default limits, offered by every adapter that it supports well.
    pub const fn portable(class: DeviceClass) -> Self {
        Self {
            class,
            vendor: Vendor::Other,
            max_binding: 128 << 20,
            max_uniform: 64 << 10,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            max_invocations: 256,
            workgroup_memory: 16_384,
            max_storage_buffers: 8,
            max_texture: 8192,
            max_layers: 256,
            subgroups: None,
            int64: false,
            f16: false,
            matrices: Matrices::NONE,
            max_iterations: class.max_iterations(),
            hardware: Hardware::typical(class, Vendor::Other),
        }
    }

    /// Lanes of a subgroup, if all have the same number and shaders may use subgroup operations.
    pub fn subgroup_size(&self) -> Option<u32> {
        self.subgroups.and_then(|[fewest, most]| (fewest == most).then_some(most))
    }

    /// Bytes that one buffer, bound whole, may have: no more than 32-bit indices reach, whatever the device says.
    pub(crate) fn max_slice(&self) -> u64 {
        self.max_binding.min(self.max_buffer).min(u32::MAX.into())
    }
}
