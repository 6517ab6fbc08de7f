//! `spp verify`: results against the truth.

use std::time::Instant;

use serde_json::{Value, json};
use spp_wgpu::case::{Case, canonical};
use spp_wgpu::reference::{Reference, Values};
use spp_wgpu::{Error, Graph, PlanOptions, Precision};

use crate::check::{self, Outcome};
use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{progress, say, say_json};
use crate::planning::Planning;
use crate::stress::stress;
use crate::subject::Subject;

/// Check blocks on a device: published shapes against the CPU reference, case files against their outputs
///
/// Published shapes get weights and inputs from a fixed seed; without an argument, all of them except the whole
/// networks are checked. An error may reach its bound (err/bound 1), the NMSE 1e-10, or 1e-6 where f16 is stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp verify sppf_v5s\n         spp verify cases/*.safetensors --device cpu
         spp verify --stress --matrices")]
pub(crate) struct Args {
    /// Names of published shapes, or case files
    #[arg(value_name = "NAME|CASE", conflicts_with = "all")]
    subjects: Vec<String>,
    /// Every published shape
    #[arg(long)]
    all: bool,
    /// Compare kernels with `conv_direct` instead, bit by bit, in so many runs of random graphs of integers
    #[arg(
        long, value_name = "ROUNDS", num_args = 0..=1, default_missing_value = "10000", conflicts_with_all = ["subjects", "all"],
        value_parser = clap::value_parser!(u64).range(1..),
    )]
    stress: Option<u64>,
    /// The first of these graphs
    #[arg(long, default_value = "0", requires = "stress")]
    seed: u64,
    #[command(flatten)]
    planning: Planning,
    /// Print a JSON array, with --stress an object; numbers that are not finite are null
    #[arg(long)]
    json: bool,
}

pub(crate) fn verify(args: &Args, device: Option<&str>) -> Result<()> {
    if let Some(rounds) = args.stress {
        return stress(rounds, args.seed, &args.planning, args.json, device);
    }
    let subjects = subjects(args)?;
    let by_seed = subjects.iter().find(|subject| matches!(subject, Subject::Canonical(_)));
    if let (Some("cpu"), Some(row)) = (device, by_seed) {
        let what = "would compare the CPU reference with itself, which proves nothing";
        return Err(Failure::Usage(format!("{}: {what}; give case files, or a GPU", row.name())));
    }
    let device = Device::open_with(device, args.planning.matrices)?;
    args.planning.storage.check(&device)?;
    let options = args.planning.options_on(&device);
    let widths = [subjects.iter().map(|s| s.name().len()).max().unwrap_or(0), device.name().len()];
    if !args.json {
        say(line(widths, "case", "device", ["pass", "err/bound", "nmse", "dispatches", "ms"], "note"))?;
    }
    let bar = progress(subjects.len());
    let (mut rows, mut pass) = (Vec::new(), true);
    for subject in &subjects {
        bar.set_message(subject.name().to_owned());
        let outcome =
            check(subject, &device, &options, args.planning.storage.rounds_to()).unwrap_or_else(Outcome::from);
        pass &= outcome.pass;
        if args.json {
            rows.push(json(subject.name(), &device, &outcome));
        } else {
            bar.suspend(|| say(text(widths, subject.name(), &device, &outcome)))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        say_json(&rows.into())?;
    }
    if pass { Ok(()) } else { Err(Failure::Check) }
}

fn subjects(args: &Args) -> Result<Vec<Subject>, Error> {
    if !args.subjects.is_empty() {
        return args.subjects.iter().map(|text| Subject::find(text)).collect();
    }
    // Whole networks take minutes on a processor.
    let published = canonical()?.into_iter().map(Subject::Canonical);
    Ok(published.filter(|subject| args.all || !subject.is_net()).collect())
}

fn check(subject: &Subject, device: &Device, options: &PlanOptions, precision: Precision) -> Result<Outcome, Error> {
    let reference = Reference { precision, ..Reference::default() };
    let (graph, input) = (subject.graph()?, subject.input()?);
    let start = Instant::now();
    let mut computed = reference.run_with_bounds(&graph, std::slice::from_ref(&input))?;
    if precision == Precision::F16 && !subject.is_net() {
        // A block's NMSE is held to the limit itself; only what whole networks store adds up to more.
        computed.iter_mut().for_each(|values| values.cancellation = 1.0);
    }
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let truth = match subject {
        Subject::File(_, case) => Some(truth(case, &graph, &computed)?),
        Subject::Canonical(_) => None,
    };
    let want = truth.as_deref().unwrap_or(&computed);
    match device {
        Device::Gpu(gpu) => check::on_gpu(gpu, &graph, &input, want, options, &reference),
        Device::Reference => Ok(Outcome { ms, ..check::on_reference(&graph, &computed, want)? }),
    }
}

/// The file's values, with the bounds that the reference computes for them.
fn truth(case: &Case, graph: &Graph, computed: &[Values]) -> Result<Vec<Values>, Error> {
    let mismatch = |detail| Error::ShapeMismatch { op: "case".into(), detail };
    if case.outputs.len() != computed.len() {
        let (outputs, nodes) = (case.outputs.len(), computed.len());
        return Err(mismatch(format!("the file has {outputs} outputs, the graph computes {nodes}")));
    }
    let truth = graph.outputs().iter().zip(computed).map(|((name, _), computed)| {
        let Some((_, _, want)) = case.outputs.iter().find(|(key, ..)| key == name) else {
            return Err(mismatch(format!("the file has no '{name}', which the graph computes")));
        };
        let (got, want_shape) = (computed.shape, want.shape());
        if got != want_shape {
            return Err(mismatch(format!("'{name}' is {want_shape} in the file, the graph computes {got}")));
        }
        let Values { bound, cancellation, precision, .. } = computed.clone();
        Ok(Values { bound, cancellation, precision, ..Values::exact(want) })
    });
    truth.collect()
}

fn text(widths: [usize; 2], case: &str, device: &Device, outcome: &Outcome) -> String {
    let Outcome { pass, err_over_bound, nmse, overflows: _, dispatches, ms, note } = outcome;
    let some = |number: f64, text: String| if number.is_nan() { "-".into() } else { text };
    let cells = [
        if *pass { "ok" } else { "FAIL" },
        &some(*err_over_bound, format!("{err_over_bound:.3}")),
        &some(*nmse, format!("{nmse:.1e}")),
        &dispatches.map_or_else(|| "-".into(), |count| count.to_string()),
        &some(*ms, format!("{ms:.2}")),
    ];
    line(widths, case, device.name(), cells, note)
}

fn line([case_width, device_width]: [usize; 2], case: &str, device: &str, cells: [&str; 5], note: &str) -> String {
    let [pass, err, nmse, dispatches, ms] = cells;
    let line = format!(
        "{case:<case_width$}  {device:<device_width$}  {pass:<4}  {err:>9}  {nmse:>7}  {dispatches:>10}  {ms:>9}  {note}"
    );
    line.trim_end().into()
}

fn json(case: &str, device: &Device, outcome: &Outcome) -> Value {
    let Outcome { pass, err_over_bound, nmse, overflows, dispatches, ms, note } = outcome;
    json!({
        "case": case, "device": device.name(), "pass": pass, "err_over_bound": err_over_bound, "nmse": nmse,
        "overflows": overflows, "dispatches": dispatches, "ms": ms, "note": note,
    })
}
