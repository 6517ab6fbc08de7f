//! `spp bench`: how long blocks take, and how far that is from what the device can do.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use spp_wgpu::bench::{
    COLUMNS, MeasureOptions, Peaks, Row, Verdict, device_names, keep_tuning, kept_tuning, peaks, tune,
};
use spp_wgpu::case::{Canonical, canonical};
use spp_wgpu::{Error, Gpu, Shape};

use crate::baseline::{self, Baseline, Comparison};
use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{note, progress, say, say_json, say_table, writable, write_file};
use crate::planning::Planning;
use crate::report::{self, Report};
use crate::source::Reading;
use crate::subject::Subject;

/// Measure blocks at their published shapes, with seeded weights, case files, or ONNX files
///
/// Times are in milliseconds: wall is host tensor in to host tensor out, gpu the first to the last timestamp on the
/// device: on software adapters in the same runs, on GPUs in runs without a host's tensors, one close behind the other.
/// Rates are by device time, or by wall time where there are no timestamps. The roofline's floor is the least time that
/// `spp peak` allows for the FLOPs, on matrices if any are multiplied, or for touching inputs, outputs and weights
/// once. Estimated is what the planner reckons for all dispatches, to see where it errs. Cold and warm are once from
/// weights on the host to the first tensor on the host: on a new device, where all kernels are compiled unless the
/// driver has them on disk; and built again, where they are there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp bench sppf_v5l --batch 1,16
         spp bench --save before; (change something); spp bench --baseline before --fail-over 5%")]
pub(crate) struct Args {
    /// Names of published shapes, case files, or ONNX files (inputs are random); all blocks if none is given
    #[arg(value_name = "NAME|CASE|ONNX")]
    subjects: Vec<String>,
    #[command(flatten)]
    reading: Reading,
    /// Images per run, one measurement for each number [default: 1]; a case file has its own
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    batch: Vec<u32>,
    /// Minimum number of runs
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Minimum number of seconds
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    #[command(flatten)]
    planning: Planning,
    /// Find the fastest kernel for each convolution first, and keep it for this adapter; implies --tuned
    #[arg(long)]
    tune: bool,
    /// Print a JSON array
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    /// Keep the samples under this name
    #[arg(long, value_name = "NAME", value_parser = baseline::name)]
    save: Option<String>,
    /// Compare with samples kept under this name, by a rank test (Mann-Whitney, p < 0.01); both need an idle machine
    #[arg(long, value_name = "NAME", value_parser = baseline::name)]
    baseline: Option<String>,
    /// Exit with 1 if a case is significantly slower than the baseline by more than this
    #[arg(long, value_name = "PERCENT", requires = "baseline", value_parser = percent)]
    fail_over: Option<f64>,
    /// Write a report: tables, roofline and the time of each dispatch in one file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Overwrite saved samples and reports
    #[arg(long)]
    force: bool,
    /// Leave out the roofline, and the seconds it takes to measure it once
    #[arg(long)]
    no_peak: bool,
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse::<f64>().map_err(|error| error.to_string())?;
    if percent.is_finite() && percent >= 0.0 { Ok(percent) } else { Err("must be zero or more".into()) }
}

pub(crate) fn bench(args: &Args, device: Option<&str>) -> Result<()> {
    let cases = subjects(args)?;
    let save = args.save.as_deref().map(baseline::path).transpose()?;
    if let Some(path) = &save {
        baseline::reserve(path, args.force)?;
    }
    if let Some(path) = &args.html {
        writable(path, args.force)?;
    }
    let Device::Gpu(gpu) = Device::open_with(device, args.planning.arithmetic.matrices)? else {
        return Err(Failure::Usage("bench measures GPUs; the CPU reference is made to be correct, not fast".into()));
    };
    let before = args.baseline.as_deref().map(|name| before(name, &gpu, &cases, args)).transpose()?;
    let peaks = if args.no_peak { None } else { Some(peaks(&gpu, None, false)?) };
    let rows = measure(args, &gpu, &cases, peaks.as_ref())?;
    let compared = before.as_ref().map_or_else(Vec::new, |before| before.compare(&rows));
    print(args, &rows, &compared)?;
    if let Some(path) = &save {
        baseline::save(path, &rows, args.force)?;
        note(format!("kept as {}", path.display()));
    }
    if let Some(path) = &args.html {
        let (rows, peaks, compared) = (&rows[..], peaks.as_ref(), &compared[..]);
        let report = Report { rows, peaks, compared, command: report::command(), date: Timestamp::now() };
        write_file(path, report.html()?.as_bytes(), args.force)?;
        note(format!("wrote {}", path.display()));
    }
    judge(args.fail_over, &compared)
}

/// Errors: samples from another adapter or backend; none for a case that is to be judged, or none for any case.
fn before(name: &str, gpu: &Gpu, cases: &[Subject], args: &Args) -> Result<Baseline> {
    let (judged, stored) = (args.fail_over.is_some(), args.planning.arithmetic.storage);
    let path = baseline::path(name)?;
    let before = Baseline::load(&path)?;
    let bad = |reason: String| Err(Error::File { path: path.clone(), reason }.into());
    let now = device_names(gpu);
    if before.device[..2] != now[..2] {
        let [was, is] = [&before.device, &now].map(|device| device.join(", "));
        return bad(format!("was measured on {was}, this is {is}; times of different adapters cannot be compared"));
    }
    if before.device != now {
        note(format!("the baseline is from another driver, {}; this is {}", before.device[2], now[2]));
    }
    let missing: Vec<_> = cases.iter().filter(|case| !before.has(case.name(), case.batch(), stored)).collect();
    for case in &missing {
        note(format!("the baseline has no {} of batch {}{}", case.name(), case.batch(), stored.described()));
    }
    if missing.len() == cases.len() || judged && !missing.is_empty() {
        return bad("has no samples of what is measured; add them with --save and --force".into());
    }
    Ok(before)
}

/// Errors: a case that is slower by more than it is allowed to be.
pub(crate) fn judge(fail_over: Option<f64>, compared: &[Comparison]) -> Result<()> {
    for c in compared.iter().filter(|c| !c.enough) {
        note(format!("too few samples of {} to tell its {} time from noise; raise --runs", c.case, c.clock));
    }
    let over = |c: &&Comparison| c.verdict == Verdict::Slower && fail_over.is_some_and(|most| c.percent() > most);
    let over: Vec<&Comparison> = compared.iter().filter(over).collect();
    for c in &over {
        note(format!("{} of batch {}: its {} time is {:.1} % longer", c.case, c.batch, c.clock, c.percent()));
    }
    if over.is_empty() { Ok(()) } else { Err(Failure::Check) }
}

fn subjects(args: &Args) -> Result<Vec<Subject>> {
    let subjects: Vec<Subject> = match args.subjects.as_slice() {
        // Whole networks take minutes on a processor; they run only when named.
        [] => canonical()?.into_iter().map(Subject::Canonical).filter(|subject| !subject.is_net()).collect(),
        named => named.iter().map(|text| Subject::find(text, &args.reading)).collect::<Result<_, Error>>()?,
    };
    let mut batched = Vec::new();
    for subject in subjects {
        match subject {
            Subject::Canonical(row) => {
                let batches = if args.batch.is_empty() { &[1][..] } else { &args.batch };
                let at = |&n: &u32| Canonical { shape: Shape { n, ..row.shape }, ..row.clone() };
                batched.extend(batches.iter().map(at).map(Subject::Canonical));
            }
            Subject::File(name, _) if !args.batch.is_empty() => {
                return Err(Failure::Usage(format!("--batch: the case file '{name}' has its own")));
            }
            Subject::Model(name, _) if !args.batch.is_empty() => {
                return Err(Failure::Usage(format!("--batch: the model '{name}' takes --images-per-run")));
            }
            other => batched.push(other),
        }
    }
    Ok(batched)
}

fn measure(args: &Args, gpu: &Gpu, cases: &[Subject], peaks: Option<&Peaks>) -> Result<Vec<Row>> {
    let (runs, time, steps) = (args.runs as usize, args.seconds, args.html.is_some());
    let options = MeasureOptions { runs, time, steps, ..MeasureOptions::default() };
    let bar = progress(cases.len());
    let mut rows = Vec::new();
    for case in cases {
        bar.set_message(case.name().to_owned());
        let (graph, inputs) = (case.graph()?, case.inputs()?);
        let mut plan_options = args.planning.options(gpu);
        if args.tune {
            let precision = plan_options.precision;
            keep_tuning(gpu, precision, None, tune(gpu, &graph, &inputs, runs, &plan_options)?);
            plan_options = plan_options.tuned(kept_tuning(gpu, precision, None));
        }
        rows.push(Row::measure(gpu, case.name(), &graph, &inputs, &plan_options, &options, peaks)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn print(args: &Args, rows: &[Row], compared: &[Comparison]) -> Result<()> {
    if args.json || args.csv {
        let object = |row: &Row| {
            let mut object = row.json();
            object["baseline"] = if compared.is_empty() { Value::Null } else { baseline::json(compared, row) };
            object
        };
        let objects: Vec<Value> = rows.iter().map(object).collect();
        if args.json {
            return Ok(say_json(&objects.into())?);
        }
        say(CSV.join(","))?;
        return objects.iter().try_for_each(|row| Ok(say(csv(row))?));
    }
    if let Some(row) = rows.first() {
        say(format_args!("{}{}\n", row.device.join(", "), args.planning.arithmetic.storage.described()))?;
    }
    say_table(COLUMNS, &rows.iter().map(Row::cells).collect::<Vec<_>>())?;
    if !compared.is_empty() {
        say("")?;
        say_table(Comparison::COLUMNS, &compared.iter().map(Comparison::cells).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Paths of numbers and strings in the JSON row.
const CSV: [&str; 29] = [
    "case",
    "batch",
    "precision",
    "ports",
    "adapter",
    "backend",
    "driver",
    "dispatches",
    "flops",
    "bytes",
    "cold_ms",
    "warm_ms",
    "wall_ms.min",
    "wall_ms.median",
    "wall_ms.p90",
    "wall_ms.p99",
    "gpu_ms.min",
    "gpu_ms.median",
    "gpu_ms.p90",
    "gpu_ms.p99",
    "estimated_ms",
    "gflops",
    "gbps",
    "roofline_pct",
    "bound",
    "baseline.wall_ms.change_pct",
    "baseline.wall_ms.verdict",
    "baseline.gpu_ms.change_pct",
    "baseline.gpu_ms.verdict",
];

fn csv(row: &Value) -> String {
    let cell = |path: &&str| match row.pointer(&format!("/{}", path.replace('.', "/"))) {
        Some(Value::String(text)) if text.contains([',', '"', '\n']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    };
    CSV.iter().map(cell).collect::<Vec<_>>().join(",")
}
