//! `spp devices`: every adapter, and what matters about it.

use serde_json::{Value, json};
use spp_wgpu::Error;
use spp_wgpu::gpu::{INSTALL_HINT, adapters};
use spp_wgpu::wgpu::{Adapter, Features};

use crate::failure::Result;
use crate::output::{say, say_json};

/// List the adapters with their limits and features
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp devices --json")]
pub(crate) struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn devices(args: &Args) -> Result<()> {
    let adapters = adapters();
    if adapters.is_empty() {
        let reason = format!("no Vulkan, Metal or DX12 adapter is present; {INSTALL_HINT}");
        return Err(Error::NoAdapter { reason, found: Vec::new() }.into());
    }
    let rows = adapters.iter().enumerate().map(|(index, adapter)| properties(index, adapter));
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

type Properties = [(&'static str, Value); 17];

fn properties(index: usize, adapter: &Adapter) -> Properties {
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
        ("timestamps", json!(features.contains(Features::TIMESTAMP_QUERY))),
        ("cooperative_matrices", json!(shapes)),
    ]
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
