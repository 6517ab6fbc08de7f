//! `spp compare`: which block of the family costs what, all at one size on one device.

use std::time::Duration;

use serde_json::{Value, json};
use spp_wgpu::bench::{MeasureOptions, Row, Samples, device_names};
use spp_wgpu::case::Canonical;
use spp_wgpu::{Error, Shape};

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{progress, say, say_json, say_table};
use crate::planning::Planning;
use crate::subject::SEED;

/// Those that take a map and give a map of the same extent.
const BLOCKS: [&str; 12] = [
    "spp",
    "sppf",
    "simsppf",
    "cspsppf",
    "simcspsppf",
    "sppcspc",
    "sppfcspc",
    "sppelan",
    "aspp",
    "aspp_v3",
    "rfb",
    "rfb_a",
];
/// What the others are compared with.
const YARDSTICK: &str = "sppf";

/// Measure every block of the family at one size, the fastest first
///
/// Each block has its own defaults for everything but channels, SPPELAN half the output's inside, and seeded weights. Blocks are ordered by their median
/// time on the device, or by wall time where there are no timestamps; images per second and the comparison with SPPF
/// are by the same time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp compare --c1 1024 --c2 1024 --size 20 --batch 16")]
pub(crate) struct Args {
    /// Input channels
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u32).range(1..))]
    c1: u32,
    /// Output channels
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u32).range(1..))]
    c2: u32,
    /// Height and width: 20, or 20x30
    #[arg(long, default_value = "20", value_name = "N|HxW", value_parser = size)]
    size: [u32; 2],
    /// Images per run
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Minimum number of runs
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Minimum number of seconds for each block
    #[arg(long, default_value = "1", value_parser = crate::bench::seconds)]
    seconds: Duration,
    #[command(flatten)]
    planning: Planning,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    let extent = |text: &str| text.parse::<u32>().ok().filter(|&extent| extent > 0);
    let both = extent(height).zip(extent(width));
    both.map(|(height, width)| [height, width]).ok_or_else(|| "use 20, or 20x30 for height and width".into())
}

pub(crate) fn compare(args: &Args, device: Option<&str>) -> Result<()> {
    let Device::Gpu(gpu) = Device::open_with(device, args.planning.arithmetic.matrices)? else {
        return Err(Failure::Usage("compare measures GPUs; the CPU reference is made to be correct, not fast".into()));
    };
    let Args { c1, c2, size: [h, w], batch, ref planning, .. } = *args;
    let plan = planning.options(&gpu);
    let options = MeasureOptions { runs: args.runs as usize, time: args.seconds, ..MeasureOptions::default() };
    let (mut rows, mut refused) = (Vec::new(), Vec::new());
    let bar = progress(BLOCKS.len());
    for block in BLOCKS {
        bar.set_message(block);
        let mut args = json!({ "c1": c1, "c2": c2 });
        if block == "sppelan" {
            args["c3"] = (c2 / 2).into();
        }
        let (name, shape) = (block.into(), Shape::new(batch, c1, h, w));
        let case = Canonical { block: block.into(), name, args, shape, source: String::new() };
        let measured = case
            .graph(SEED)
            .and_then(|graph| Row::measure(&gpu, block, &graph, &[case.input(SEED)?], &plan, &options, None));
        match measured {
            Ok(row) => rows.push(row),
            // A device that is gone has nothing more to say.
            Err(error @ (Error::DeviceLost(_) | Error::Timeout(_) | Error::Gpu(_))) => return Err(error.into()),
            Err(error) => refused.push((block, error)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    rows.sort_by(|a, b| a.ms().total_cmp(&b.ms()));
    let yardstick = rows.iter().find(|row| row.case == YARDSTICK).map(Row::ms);
    if args.json {
        let refused = refused.iter().map(|(block, error)| json!({"block": block, "error": error.to_string()}));
        say_json(&rows.iter().map(|row| object(row, yardstick)).chain(refused).collect())?;
    } else {
        say(format_args!(
            "{}{}\n{batch} x {c1} x {h} x {w} -> {c2} channels\n",
            device_names(&gpu).join(", "),
            planning.arithmetic.storage.described()
        ))?;
        say_table(COLUMNS, &rows.iter().map(|row| cells(row, yardstick)).collect::<Vec<_>>())?;
        for (block, error) in &refused {
            say(format_args!("{block}: refused: {error}"))?;
        }
    }
    match refused.into_iter().next() {
        Some((_, error)) if rows.is_empty() => Err(error.into()),
        _ => Ok(()),
    }
}

const COLUMNS: [&str; 10] =
    ["block", "x sppf", "wall ms", "gpu ms", "images/s", "GFLOP", "parameters", "dispatches", "planned MB", "sees"];

/// How many times the yardstick's time.
fn relative(row: &Row, yardstick: Option<f64>) -> Option<f64> {
    yardstick.map(|yardstick| row.ms() / yardstick)
}

fn images_per_second(row: &Row) -> f64 {
    1e3 * f64::from(row.batch) / row.ms()
}

fn cells(row: &Row, yardstick: Option<f64>) -> [String; 10] {
    [
        row.case.clone(),
        relative(row, yardstick).map_or("-".into(), |times| format!("{times:.2}")),
        format!("{:.3}", row.wall.median()),
        row.gpu.as_ref().map_or("no timestamps".into(), |gpu| format!("{:.3}", gpu.median())),
        format!("{:.1}", images_per_second(row)),
        format!("{:.3}", row.cost.flops as f64 / 1e9),
        row.cost.parameters.to_string(),
        row.dispatches.to_string(),
        format!("{:.1}", row.planned_bytes as f64 / 1e6),
        row.cost.receptive_field.map_or("all".into(), |[h, w]| format!("{h}x{w}")),
    ]
}

fn object(row: &Row, yardstick: Option<f64>) -> Value {
    json!({
        "block": row.case, "precision": row.precision.to_string(), "ports": row.ports.to_string(), "relative": relative(row, yardstick), "wall_ms": row.wall.median(),
        "gpu_ms": row.gpu.as_ref().map(Samples::median), "images_per_s": images_per_second(row),
        "flops": row.cost.flops, "parameters": row.cost.parameters, "dispatches": row.dispatches,
        "planned_bytes": row.planned_bytes, "receptive_field": row.cost.receptive_field,
    })
}
