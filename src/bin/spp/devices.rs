//! `spp devices`: every adapter, and what matters about it; or the chips that plans can be made for without one.

use serde_json::{Value, json};
use spp_wgpu::gpu::{INSTALL_HINT, adapters, matrices_of};
use spp_wgpu::plan::NamedProfile;
use spp_wgpu::wgpu::{Adapter, Features};
use spp_wgpu::{DeviceProfile, Error, Gpu, GpuOptions};

use crate::failure::Result;
use crate::output::{say, say_json, say_table};

/// List the adapters with their limits and features
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp devices --json")]
pub(crate) struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// Open each adapter with matrices, which tests them where that has not been done yet
    #[arg(long, conflicts_with = "profiles")]
    matrices: bool,
    /// List the chips that `spp graph --planned --profile` knows, present or not
    #[arg(long)]
    profiles: bool,
}

pub(crate) fn devices(args: &Args) -> Result<()> {
    if args.profiles {
        return profiles(args.json);
    }
    let adapters = adapters();
    if adapters.is_empty() {
        let reason = format!("no Vulkan, Metal or DX12 adapter is present; {INSTALL_HINT}");
        return Err(Error::NoAdapter { reason, found: Vec::new() }.into());
    }
    let rows = adapters.iter().enumerate().map(|(index, adapter)| properties(index, adapter, args.matrices));
    if args.json {
        let object = |row: Properties| row.into_iter().collect::<Value>();
        return Ok(say_json(&rows.map(object).collect())?);
    }
    for (key, value) in rows.flatten() {
        if key == "index" && value != 0 {
            say("")?;
        }
        say(format_args!("{key:<38} {}", text(&value)))?;
    }
    Ok(())
}

fn profiles(as_json: bool) -> Result<()> {
    let named = NamedProfile::all().iter();
    let lanes = |profile: &DeviceProfile| profile.subgroups.map_or_else(Vec::new, |range| range.to_vec());
    if as_json {
        let object = |NamedProfile { name, card, profile }: &NamedProfile| {
            json!({
                "name": name, "card": card,
                "class": format!("{:?}", profile.class), "vendor": format!("{:?}", profile.vendor),
                "subgroup_min_size": lanes(profile).first(), "subgroup_max_size": lanes(profile).last(),
                "max_compute_workgroup_storage_size": profile.workgroup_memory,
                "max_compute_invocations_per_workgroup": profile.max_invocations,
                "max_storage_buffer_binding_size": profile.max_binding, "max_buffer_size": profile.max_buffer,
                "int64": profile.int64,
                "cores": profile.hardware.map(|hardware| hardware.cores),
                "lanes_per_core": profile.hardware.map(|hardware| hardware.lanes),
                "mhz": profile.hardware.map(|hardware| hardware.mhz),
                "memory_gbps": profile.hardware.map(|hardware| hardware.memory_gbps),
            })
        };
        return Ok(say_json(&named.map(object).collect())?);
    }
    let row = |NamedProfile { name, card, profile }: &NamedProfile| {
        let mut lanes: Vec<String> = lanes(profile).iter().map(u32::to_string).collect();
        lanes.dedup();
        [
            name.to_string(),
            card.to_string(),
            format!("{:?}", profile.class),
            format!("{:?}", profile.vendor),
            lanes.join("-"),
            profile.workgroup_memory.to_string(),
            profile.max_invocations.to_string(),
            profile.hardware.map_or("-".into(), |hardware| format!("{} x {}", hardware.cores, hardware.lanes)),
            profile.hardware.map_or("-".into(), |hardware| hardware.mhz.to_string()),
            profile.hardware.map_or("-".into(), |hardware| hardware.memory_gbps.to_string()),
        ]
    };
    let columns = [
        "name",
        "card",
        "class",
        "vendor",
        "subgroups",
        "workgroup bytes",
        "invocations",
        "cores x lanes",
        "MHz",
        "GB/s",
    ];
    Ok(say_table(columns, &named.map(row).collect::<Vec<_>>())?)
}

type Properties = [(&'static str, Value); 19];

fn properties(index: usize, adapter: &Adapter, test: bool) -> Properties {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let shapes = adapter.cooperative_matrix_properties().into_iter().map(|matrix| {
        let [m, n, k] = [matrix.m_size, matrix.n_size, matrix.k_size];
        format!("{m}x{n}x{k} {:?} -> {:?}", matrix.ab_type, matrix.cr_type).to_lowercase()
    });
    let has_matrices = features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
    let shapes: Vec<String> = shapes.filter(|_| has_matrices).collect();
    [
        ("index", json!(index)),
        ("name", json!(info.name)),
        ("backend", json!(info.backend.to_str())),
        ("kind", json!(format!("{:?}", info.device_type))),
        ("driver", json!(info.driver)),
        ("driver_info", json!(info.driver_info)),
        ("max_storage_buffer_binding_size", json!(limits.max_storage_buffer_binding_size)),
        ("max_buffer_size", json!(limits.max_buffer_size)),
        ("max_compute_invocations_per_workgroup", json!(limits.max_compute_invocations_per_workgroup)),
        ("max_compute_workgroup_storage_size", json!(limits.max_compute_workgroup_storage_size)),
        ("max_storage_buffers_per_shader_stage", json!(limits.max_storage_buffers_per_shader_stage)),
        ("subgroup_min_size", json!(info.subgroup_min_size)),
        ("subgroup_max_size", json!(info.subgroup_max_size)),
        ("f16", json!(features.contains(Features::SHADER_F16))),
        ("subgroups", json!(features.contains(Features::SUBGROUP))),
        ("int64", json!(features.contains(Features::SHADER_INT64))),
        ("timestamps", json!(features.contains(Features::TIMESTAMP_QUERY))),
        ("cooperative_matrices", json!(shapes)),
        ("matrices", json!(matrices(index, adapter, test).unwrap_or_else(|reason| format!("none: {reason}")))),
    ]
}

/// What kernels use; tested if that is asked for. Errors: why they do without.
fn matrices(index: usize, adapter: &Adapter, test: bool) -> Result<String, String> {
    let mut matrices = matrices_of(adapter)?;
    if test {
        let mut options = GpuOptions::device(index.to_string());
        options.matrices = true;
        let gpu = Gpu::new(&options).map_err(|error| error.to_string())?;
        if let Some(reason) = gpu.why_no_matrices() {
            return Err(reason.into());
        }
        matrices = gpu.profile().matrices;
    }
    let kinds = [("f16", matrices.f16), ("f32", matrices.f32)].into_iter();
    let kinds = kinds.filter_map(|(name, size)| size.map(|size| format!("{size}x{size} {name}")));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    Ok(format!("{kinds}{}", if test { "; the self test passed" } else { ", if asked for; --matrices tests them" }))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
