//! `spp peak`: the most that a device can do.

use serde_json::json;
use spp_wgpu::bench::{Peaks, peaks};
use spp_wgpu::gpu::describe;

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{say, say_json, say_table};

/// Measure a device's limits: arithmetic, memory, transfers, dispatches
///
/// They are kept in the user's cache folder, for each adapter and driver; `bench` and `profile` compare with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp peak --refresh")]
pub(crate) struct Args {
    /// Measure again, whatever is kept
    #[arg(long)]
    refresh: bool,
    /// Print a JSON object; what is not available is null
    #[arg(long)]
    json: bool,
}

pub(crate) fn peak(args: &Args, device: Option<&str>) -> Result<()> {
    let Device::Gpu(gpu) = Device::open(device)? else {
        return Err(Failure::Usage("--device cpu: the CPU reference has no limits to measure; give a GPU".into()));
    };
    let peaks = peaks(&gpu, None, args.refresh)?;
    let info = gpu.info();
    if args.json {
        return Ok(say_json(&json!({
            "adapter": info.name, "backend": info.backend.to_str(), "driver": info.driver,
            "driver_info": info.driver_info, "peaks": peaks.json(),
        }))?);
    }
    say(format_args!("{}, driver {} {}\n", describe(info), info.driver, info.driver_info))?;
    Ok(say_table(["limit", &format!("{:>13}", "value"), "unit"], &rows(&peaks))?)
}

fn rows(peaks: &Peaks) -> Vec<[String; 3]> {
    let rows = [
        ("f32 multiply-add", Some(peaks.f32_gflops), "GFLOP/s"),
        ("f16 multiply-add", peaks.f16_gflops, "GFLOP/s"),
        ("cooperative matrices", peaks.coop_gflops, "GFLOP/s"),
        ("copy on the device, read + written", Some(peaks.copy_gbps), "GB/s"),
        ("host to device", Some(peaks.upload_gbps), "GB/s"),
        ("device to host", Some(peaks.download_gbps), "GB/s"),
        ("an empty dispatch after another", Some(peaks.dispatch_us), "us"),
        ("an empty submission, waited for", Some(peaks.submit_us), "us"),
    ];
    let text = |value: Option<f64>| value.map_or("not available".into(), |value| format!("{value:.2}"));
    let cells = rows.map(|(limit, value, unit)| [limit.into(), format!("{:>13}", text(value)), unit.into()]);
    cells.into()
}
