//! Which matrices a subgroup may multiply: those that kernels are written for, on drivers that are not known to get them
//! wrong.

use std::env;

use wgpu::{Adapter, AdapterInfo, CooperativeMatrixProperties, CooperativeScalarType, Device, Features};

use crate::plan::Matrices;

/// One of wgpu's experimental features.
pub(super) const FEATURE: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// An environment variable with more drivers to deny matrices: entries between semicolons, each of parts joined by `+`
/// that all occur, in any case, in the adapter's name, backend or driver.
pub const DENY_MATRICES: &str = "SPP_DENY_MATRICES";

/// Drivers that get no matrices, and why: each part of an entry is found, in any case, in what [`described`] says.
const DENIED: [(&[&str], &str); 6] = [
    (&["amd proprietary driver", "rx 5"], EMULATED),
    (&["amd proprietary driver", "rx 6"], EMULATED),
    (&["amd proprietary driver", "vega"], EMULATED),
    (&["amd open-source driver", "rx 5"], EMULATED),
    (&["amd open-source driver", "rx 6"], EMULATED),
    (&["amd open-source driver", "vega"], EMULATED),
];

/// <https://github.com/ggml-org/llama.cpp/pull/11074>
const EMULATED: &str = "AMD's own driver offers matrices on chips that have no instructions for them";

/// `AMD Radeon RX 6800, vulkan, AMD proprietary driver 24.9.1`
fn described(info: &AdapterInfo) -> String {
    format!("{}, {}, {} {}", info.name, info.backend, info.driver, info.driver_info)
}

/// Why this driver gets no matrices, if it is on the list or on the user's.
fn denied(info: &AdapterInfo, users: &str) -> Option<String> {
    let described = described(info).to_lowercase();
    let by_us = DENIED.iter().find(|(parts, _)| parts.iter().all(|part| described.contains(part)));
    let by_us = by_us.map(|(_, reason)| (*reason).to_string());
    by_us.or_else(|| {
        let is_it = |entry: &&str| entry.split('+').all(|part| described.contains(&part.trim().to_lowercase()));
        let entry = users.split(';').map(str::trim).filter(|entry| !entry.is_empty()).find(is_it)?;
        Some(format!("{DENY_MATRICES} has '{entry}'"))
    })
}

/// The largest squares of each kind whose sums are `f32`.
fn squares(offered: &[CooperativeMatrixProperties]) -> Matrices {
    let of = |factors| {
        let fits = offered.iter().filter(|shape| {
            let size = shape.m_size;
            let square = shape.n_size == size && shape.k_size == size && [8, 16].contains(&size);
            square && (shape.ab_type, shape.cr_type) == (factors, CooperativeScalarType::F32)
        });
        fits.map(|shape| shape.m_size).max()
    };
    Matrices { f16: of(CooperativeScalarType::F16), f32: of(CooperativeScalarType::F32) }
}

/// What kernels may use on this adapter, by what it and its driver say. Errors: the reason why there is nothing.
pub fn matrices_of(adapter: &Adapter) -> Result<Matrices, String> {
    let features = adapter.features();
    if !features.contains(FEATURE) {
        return Err("the adapter has none".into());
    }
    if !features.contains(Features::SUBGROUP) {
        return Err("the adapter has no subgroups".into());
    }
    let mut matrices = squares(&adapter.cooperative_matrix_properties());
    if !features.contains(Features::SHADER_F16) {
        matrices.f16 = None;
    }
    if matrices == Matrices::NONE {
        return Err("the adapter has none of 8x8 or 16x16 with sums in f32".into());
    }
    match denied(&adapter.get_info(), &env::var(DENY_MATRICES).unwrap_or_default()) {
        Some(reason) => Err(format!("this driver is denied them: {reason}")),
        None => Ok(matrices),
    }
}

/// What kernels may use on an app's device. Errors: the reason why there is nothing.
pub(super) fn matrices_on(device: &Device, adapter: Option<&Adapter>) -> Result<Matrices, String> {
    let Some(adapter) = adapter else {
        return Err("GpuOptions::adapter must say which sizes they have on an app's device".into());
    };
    // Not `info`, which an app may have made up: a size that the driver does not have is undefined behaviour.
    let (own, given) = (device.adapter_info(), adapter.get_info());
    if own != given {
        return Err(format!("the device is of {}, GpuOptions::adapter is {}", described(&own), described(&given)));
    }
    let mut matrices = matrices_of(adapter)?;
    let features = device.features();
    if !features.contains(FEATURE | Features::SUBGROUP) {
        return Err("the app's device lacks EXPERIMENTAL_COOPERATIVE_MATRIX or SUBGROUP".into());
    }
    if !features.contains(Features::SHADER_F16) {
        matrices.f16 = None;
    }
    if matrices == Matrices::NONE { Err("the app's device lacks SHADER_F16".into()) } else { Ok(matrices) }
}

#[cfg(test)]
mod tests {
    use CooperativeScalarType::{F16, F32, I32};
    use wgpu::{Backend, DeviceType};

    use super::*;

    fn info(name: &str, driver: &str, driver_info: &str) -> AdapterInfo {
        AdapterInfo {
            name: name.into(),
            driver: driver.into(),
            driver_info: driver_info.into(),
            ..AdapterInfo::new(DeviceType::DiscreteGpu, Backend::Vulkan)
        }
    }

    #[test]
    fn the_largest_squares_with_sums_in_f32_are_taken() {
        let shape = |[m_size, n_size, k_size]: [u32; 3], ab_type, cr_type| CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
        let [eight, sixteen] = [8, 16].map(|size| [size; 3]);
        let metal = [shape(eight, F32, F32), shape(eight, F16, F16), shape(eight, F16, F32)];
        assert_eq!(squares(&metal), Matrices { f16: Some(8), f32: Some(8) });
        let nvidia = [shape([16, 8, 16], F16, F32), shape(sixteen, F16, F16), shape(sixteen, F16, F32)];
        assert_eq!(squares(&nvidia), Matrices { f16: Some(16), f32: None });
        assert_eq!(squares(&[metal[2], nvidia[2]]).f16, Some(16));
        assert_eq!(squares(&[nvidia[2], metal[2]]).f16, Some(16));
        let others = [shape(sixteen, I32, I32), shape([16, 8, 16], F16, F32), shape([32; 3], F16, F32), metal[1]];
        assert_eq!(squares(&others), Matrices::NONE);
    }

    #[test]
    fn drivers_are_denied_by_all_parts_of_an_entry() {
        let rx6800 = info("AMD Radeon RX 6800", "AMD proprietary driver", "24.9.1 (LLPC)");
        assert!(denied(&rx6800, "").is_some_and(|reason| reason.contains("no instructions")));
        for other in [
            info("AMD Radeon RX 7900 XTX", "AMD proprietary driver", "24.9.1 (LLPC)"),
            info("AMD Radeon RX 6800 (RADV NAVI21)", "radv", "Mesa 26.2.6"),
            info("NVIDIA GeForce RTX 5090", "NVIDIA", "570.1"),
        ] {
            assert_eq!(denied(&other, ""), None, "{other:?}");
        }
    }

    #[test]
    fn users_add_to_the_list() {
        let nvk = info("NVIDIA GeForce RTX 3090 (NVK GA102)", "NVK", "Mesa 26.2.6");
        for users in ["nvk", "llvmpipe; NVK + Mesa 26.2", "RTX 3090+vulkan;", " geforce "] {
            assert!(denied(&nvk, users).is_some_and(|reason| reason.contains(DENY_MATRICES)), "{users}");
        }
        for users in ["", ";", " ; ", "nvk + mesa 25", "radv;llvmpipe"] {
            assert_eq!(denied(&nvk, users), None, "'{users}'");
        }
    }
}
