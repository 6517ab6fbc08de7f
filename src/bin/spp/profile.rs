//! `spp profile`: where the time of a plan goes, dispatch by dispatch.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use spp_wgpu::bench::{Peaks, peaks, step_medians};
use spp_wgpu::plan::{Constant, Cost, Step};
use spp_wgpu::{Error, Plan, Program};

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{note, say, say_json, say_table, writable, write_file};
use crate::planning::Planning;
use crate::source::Reading;
use crate::subject::Subject;

/// Measure each dispatch of a plan with its own pair of timestamps
///
/// Each dispatch is a pass of its own here, so the sum is more than the whole takes; `spp bench` times the whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp profile sppcspc_v7 --by op --trace sppcspc.json")]
pub(crate) struct Args {
    /// The name of a published shape, a case file, or an ONNX file
    #[arg(value_name = "NAME|CASE|ONNX")]
    subject: String,
    #[command(flatten)]
    reading: Reading,
    /// Runs; times are medians over them
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// One line for each
    #[arg(long, value_enum, default_value_t)]
    by: By,
    #[command(flatten)]
    planning: Planning,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// Write a Chrome trace, which Perfetto opens too
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Overwrite the trace
    #[arg(long)]
    force: bool,
    /// Leave out how close each dispatch is to its floor, and the seconds it takes to measure the device once
    #[arg(long)]
    no_peak: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, clap::ValueEnum)]
enum By {
    #[default]
    Dispatch,
    Op,
}

/// A dispatch, or all dispatches of one kernel.
#[derive(Debug, Default)]
struct Line {
    kernel: String,
    node: String,
    shape: String,
    constants: String,
    us: f64,
    /// What the planner reckons.
    estimated_us: Option<f64>,
    cost: Cost,
    on_matrices: bool,
    dispatches: usize,
}

pub(crate) fn profile(args: &Args, device: Option<&str>) -> Result<()> {
    let subject = Subject::find(&args.subject, &args.reading)?;
    if let Some(path) = &args.trace {
        writable(path, args.force)?;
    }
    let Device::Gpu(gpu) = Device::open_with(device, args.planning.arithmetic.matrices)? else {
        return Err(Failure::Usage("profile measures GPUs; the CPU reference has no dispatches".into()));
    };
    let peaks = if args.no_peak { None } else { Some(peaks(&gpu, None, false)?) };
    let program = Program::with_options(&gpu, &subject.graph()?, &args.planning.options(&gpu))?;
    program.run(&subject.inputs()?)?;
    let Some(times) = step_medians(&program, args.runs as usize)? else {
        let (op, what) = (gpu.info().name.clone(), "timing dispatches (timestamps)".into());
        return Err(Error::Unsupported { op, what, hint: "spp bench measures wall time".into() }.into());
    };
    let plan = program.plan();
    let mut lines: Vec<Line> = plan.steps.iter().zip(&times).map(|(step, &us)| Line::new(plan, step, us)).collect();
    if let Some(path) = &args.trace {
        write_file(path, trace(subject.name(), plan, &times).to_string().as_bytes(), args.force)?;
        note(format!("wrote {}; open it at https://ui.perfetto.dev", path.display()));
    }
    if args.by == By::Op {
        lines = folded(lines);
    }
    let total: f64 = times.iter().sum();
    if args.json {
        return Ok(say_json(&lines.iter().map(|line| line.json(total, peaks.as_ref())).collect())?);
    }
    let estimated = plan.estimated_us().map_or_else(String::new, |us| format!(", estimated ≈ {us:.1} µs"));
    let (case, name, dispatches) = (subject.name(), &gpu.info().name, times.len());
    say(format_args!(
        "{case} on {name}: {total:.1} µs in {dispatches} dispatches{estimated}{}\n",
        args.planning.arithmetic.storage.described()
    ))?;
    match args.by {
        By::Dispatch => {
            let columns =
                ["kernel", "node", "shape", "µs", "estimated µs", "%", "GFLOP/s", "GB/s", "floor %", "constants"];
            say_table(columns, &lines.iter().map(|line| line.cells(total, peaks.as_ref())).collect::<Vec<_>>())?;
        }
        By::Op => {
            let columns = ["kernel", "dispatches", "µs", "estimated µs", "%", "GFLOP/s", "GB/s", "floor %"];
            let cells = |line: &Line| {
                let [kernel, _, _, us, estimated, share, gflops, gbps, floor, _] = line.cells(total, peaks.as_ref());
                [kernel, line.dispatches.to_string(), us, estimated, share, gflops, gbps, floor]
            };
            say_table(columns, &lines.iter().map(cells).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

impl Line {
    fn new(plan: &Plan, step: &Step, us: f64) -> Self {
        let constant = |(name, value): &(&str, Constant)| format!("{name}={value}");
        Self {
            kernel: step.shader.stem.into(),
            node: step.node.clone(),
            shape: step.results.last().map_or_else(String::new, |slice| slice.shape.to_string()),
            constants: step.constants.iter().map(constant).collect::<Vec<_>>().join(" "),
            us,
            estimated_us: step.estimate(&plan.profile).map(|estimate| estimate.us),
            cost: step.cost,
            on_matrices: step.on_matrices(),
            dispatches: 1,
        }
    }

    fn gflops(&self) -> f64 {
        self.cost.flops as f64 / self.us / 1e3
    }

    fn gbps(&self) -> f64 {
        self.cost.bytes as f64 / self.us / 1e3
    }

    fn floor_percent(&self, peaks: Option<&Peaks>) -> Option<f64> {
        peaks.map(|peaks| 100.0 * peaks.floor_of_step(&self.cost, self.on_matrices).0 * 1e3 / self.us)
    }

    fn cells(&self, total: f64, peaks: Option<&Peaks>) -> [String; 10] {
        [
            self.kernel.clone(),
            self.node.clone(),
            self.shape.clone(),
            format!("{:.1}", self.us),
            self.estimated_us.map_or("-".into(), |us| format!("{us:.1}")),
            format!("{:.1}", 100.0 * self.us / total),
            format!("{:.2}", self.gflops()),
            format!("{:.2}", self.gbps()),
            self.floor_percent(peaks).map_or("-".into(), |percent| format!("{percent:.1}")),
            self.constants.clone(),
        ]
    }

    fn json(&self, total: f64, peaks: Option<&Peaks>) -> Value {
        json!({
            "kernel": self.kernel, "node": self.node, "shape": self.shape, "constants": self.constants,
            "dispatches": self.dispatches, "us": self.us, "estimated_us": self.estimated_us, "percent": 100.0 * self.us / total,
            "flops": self.cost.flops, "bytes": self.cost.bytes, "gflops": self.gflops(), "gbps": self.gbps(),
            "floor_pct": self.floor_percent(peaks),
        })
    }
}

/// One line per kernel, the longest first.
fn folded(lines: Vec<Line>) -> Vec<Line> {
    let mut kernels: BTreeMap<String, Line> = BTreeMap::new();
    for line in lines {
        let sum =
            kernels.entry(line.kernel.clone()).or_insert_with(|| Line { estimated_us: Some(0.0), ..Line::default() });
        sum.kernel = line.kernel;
        sum.estimated_us = sum.estimated_us.zip(line.estimated_us).map(|(sum, us)| sum + us);
        sum.us += line.us;
        sum.cost.flops += line.cost.flops;
        sum.cost.bytes += line.cost.bytes;
        sum.on_matrices |= line.on_matrices;
        sum.dispatches += 1;
    }
    let mut lines: Vec<Line> = kernels.into_values().collect();
    lines.sort_by(|a, b| b.us.total_cmp(&a.us));
    lines
}

/// The dispatches one after the other, in Chrome's trace event format: microseconds.
fn trace(name: &str, plan: &Plan, times: &[f64]) -> Value {
    let mut start = 0.0;
    let event = |(step, &us): (&Step, &f64)| {
        let line = Line::new(plan, step, us);
        let args = json!({
            "shape": line.shape, "constants": line.constants, "workgroups": step.workgroups,
            "gflops": line.gflops(), "gbps": line.gbps(), "estimated_us": line.estimated_us,
        });
        let event = json!({
            "name": step.node, "cat": step.shader.stem, "ph": "X", "ts": start, "dur": us, "pid": 1, "tid": 1, "args": args,
        });
        start += us;
        event
    };
    let dispatches = plan.steps.iter().zip(times).map(event);
    let process = json!({"name": "process_name", "ph": "M", "pid": 1, "args": {"name": format!("spp {name}")}});
    let events: Vec<Value> = std::iter::once(process).chain(dispatches).collect();
    json!({"traceEvents": events, "displayTimeUnit": "ns"})
}

#[cfg(test)]
mod tests {
    use spp_wgpu::case::canonical_row;
    use spp_wgpu::{DeviceClass, DeviceProfile, PlanOptions};

    use super::*;

    #[test]
    fn a_trace_puts_every_dispatch_after_the_one_before() {
        let graph = canonical_row("pyramid_sppnet").unwrap().graph(0).unwrap();
        let profile = DeviceProfile::portable(DeviceClass::Discrete);
        let plan = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap();
        let times: Vec<f64> = (0..plan.steps.len()).map(|i| i as f64 + 1.0).collect();
        let trace = trace("pyramid", &plan, &times);
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), plan.steps.len() + 1);
        assert_eq!(events[2]["ts"], 1.0);
        assert_eq!(events[2]["dur"], 2.0);
        assert!(events[1..].iter().all(|event| event["ph"] == "X" && event["args"]["shape"].is_string()));
        assert!(events[1..].iter().all(|event| event["args"]["estimated_us"].as_f64() > Some(0.0)));
        assert_eq!(serde_json::from_str::<Value>(&trace.to_string()).unwrap(), trace);
    }
}
