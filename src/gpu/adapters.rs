//! Finding an adapter: by index, by part of its name, by wgpu's environment variables, else the most capable one.

use wgpu::{Adapter, AdapterInfo, Backends, DeviceType, Instance, InstanceDescriptor};

use crate::error::{Error, Result};

/// The backends that this crate runs on.
const BACKENDS: Backends = Backends::VULKAN.union(Backends::METAL).union(Backends::DX12);

/// What to do if there is no adapter, on the system this was built for.
pub const INSTALL_HINT: &str = if cfg!(windows) {
    "install the driver of your GPU's vendor; DX12, with a software adapter of its own, is part of Windows 10 and later"
} else if cfg!(target_vendor = "apple") {
    "Metal is part of the system: in a virtual machine or a remote session, give it a GPU"
} else {
    "install a GPU driver with Vulkan, or Mesa's in software: apt-get install mesa-vulkan-drivers (Debian, Ubuntu), \
     dnf install mesa-vulkan-drivers (Fedora), pacman -S vulkan-icd-loader vulkan-swrast (Arch)"
};

/// All adapters, in wgpu's order; `WGPU_BACKEND` narrows the backends down.
pub fn adapters() -> Vec<Adapter> {
    let mut descriptor = InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= BACKENDS;
    let backends = descriptor.backends;
    pollster::block_on(Instance::new(descriptor).enumerate_adapters(backends))
}

/// `llvmpipe (LLVM 15.0.6, 256 bits) [vulkan, cpu]`
pub fn describe(info: &AdapterInfo) -> String {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    };
    format!("{} [{}, {kind}]", info.name, info.backend)
}

/// The adapter that `wanted` (an index or part of a name) or else `WGPU_ADAPTER_NAME` asks for, or the best.
pub(super) fn choose(wanted: Option<&str>) -> Result<Adapter> {
    let adapters = adapters();
    let numbered = |(i, adapter): (usize, &Adapter)| format!("{i}: {}", describe(&adapter.get_info()));
    let found: Vec<String> = adapters.iter().enumerate().map(numbered).collect();
    if adapters.is_empty() {
        let reason = format!("no Vulkan, Metal or DX12 adapter is present; {INSTALL_HINT}");
        return Err(Error::NoAdapter { reason, found });
    }
    let named = wanted.map(str::to_owned).or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
    let chosen = match &named {
        Some(name) => position_of(name, wanted.is_some(), &adapters),
        None => (0..adapters.len()).max_by_key(|&i| (rank(&adapters[i].get_info()), std::cmp::Reverse(i))),
    };
    let mut adapters = adapters;
    match chosen {
        Some(index) => Ok(adapters.swap_remove(index)),
        None => {
            let name = named.unwrap_or_default();
            let reason = match name.parse::<usize>() {
                Ok(number) if wanted.is_some() => format!("there is no adapter number {number}"),
                _ => format!("no adapter is called '{name}'"),
            };
            Err(Error::NoAdapter { reason, found })
        }
    }
}

fn position_of(name: &str, may_be_index: bool, adapters: &[Adapter]) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(index) if may_be_index => (index < adapters.len()).then_some(index),
        _ => {
            let name = name.to_lowercase();
            adapters.iter().position(|adapter| adapter.get_info().name.to_lowercase().contains(&name))
        }
    }
}

/// Higher is better. `WGPU_POWER_PREF=low` puts integrated before discrete.
fn rank(info: &AdapterInfo) -> u32 {
    let low = std::env::var("WGPU_POWER_PREF").is_ok_and(|preference| preference == "low");
    match info.device_type {
        DeviceType::DiscreteGpu => 4 - u32::from(low) * 2,
        DeviceType::IntegratedGpu => 3,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 1,
        DeviceType::Cpu => 0,
    }
}
