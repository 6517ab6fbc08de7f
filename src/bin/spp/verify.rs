//! `spp verify`: results against the truth.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use spp_wgpu::case::{Case, canonical};
use spp_wgpu::reference::{Reference, Values};
use spp_wgpu::{Error, Graph, PlanOptions, Precision, Tensor};

use crate::check::{self, Outcome, Tolerance};
use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{progress, say, say_json};
use crate::planning::Planning;
use crate::source::{self, Reading};
use crate::stress::stress;
use crate::subject::Subject;

/// Check blocks and ONNX files on a device: against the CPU reference, or case files and --expect against their outputs
///
/// Published shapes get weights and inputs from a fixed seed; without an argument, all of them except the whole
/// networks are checked. An error may reach its bound (err/bound 1), the NMSE 1e-10, or 1e-6 where f16 is stored, each more
/// where terms cancel. With --expect, an error may reach 1e-4 of the output's largest value; where f16 is stored, the NMSE 1e-5.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp verify sppf_v5s\n         spp verify cases/*.safetensors --device cpu
         spp verify yolo.onnx --input x.safetensors --expect y.safetensors
         spp verify --stress --matrices")]
pub(crate) struct Args {
    /// Names of published shapes, case files, or ONNX files
    #[arg(value_name = "NAME|CASE|ONNX", conflicts_with = "all")]
    subjects: Vec<String>,
    #[command(flatten)]
    reading: Reading,
    /// Of an ONNX file: a safetensors file with its inputs, by name or as in.NAME [default: random]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Of an ONNX file: a safetensors file with the right outputs, by name or as out.NAME [default: the CPU reference's]
    #[arg(long, value_name = "FILE", requires = "input")]
    expect: Option<PathBuf>,
    /// With --expect: how far a value may be off, relative to itself; and --atol in total [default: the reference's bound]
    #[arg(long, value_name = "R", requires = "expect", value_parser = tolerance)]
    rtol: Option<f64>,
    /// With --expect: how far a value may be off in total, whatever its size
    #[arg(long, value_name = "A", requires = "expect", value_parser = tolerance)]
    atol: Option<f64>,
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
    let checked = checked(args)?;
    let by_seed = checked.iter().find(|checked| checked.is_by_seed());
    if let (Some("cpu"), Some(row), None) = (device, by_seed, &args.expect) {
        let what = "would compare the CPU reference with itself, which proves nothing";
        return Err(Failure::Usage(format!("{}: {what}; give case files, or a GPU", row.name())));
    }
    let device = args.planning.arithmetic.open(device)?;
    let options = args.planning.options_on(&device);
    let widths = [checked.iter().map(|of| of.name().len()).max().unwrap_or(0), device.name().len()];
    if !args.json {
        say(line(widths, "case", "device", ["pass", "err/bound", "nmse", "dispatches", "ms"], "note"))?;
    }
    let bar = progress(checked.len());
    let (mut rows, mut pass, mut unchecked) = (Vec::new(), true, None);
    for checked in &checked {
        bar.set_message(checked.name().to_owned());
        let precision = args.planning.arithmetic.storage.rounds_to();
        let outcome = match checked {
            Checked::Subject(subject) => check(subject, &device, &options, precision),
            Checked::Model { file, input, .. } => check_model(args, file, input, &device, &options, precision),
        };
        let outcome = match outcome {
            Ok(outcome) => {
                pass &= outcome.pass;
                outcome
            }
            Err(error) => {
                let outcome = Outcome::from(&error);
                unchecked = Some(error);
                outcome
            }
        };
        if args.json {
            rows.push(json(checked.name(), &device, &outcome));
        } else {
            bar.suspend(|| say(text(widths, checked.name(), &device, &outcome)))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        say_json(&rows.into())?;
    }
    match unchecked {
        _ if !pass => Err(Failure::Check),
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().map_err(|error| error.to_string())?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err("must be zero or more".into()) }
}

/// What one row is about.
enum Checked<'a> {
    Subject(Box<Subject>),
    /// With inputs of its own, some of which it may have to know when it is read.
    Model {
        name: String,
        file: &'a Path,
        input: &'a Path,
    },
}

impl Checked<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Subject(subject) => subject.name(),
            Self::Model { name, .. } => name,
        }
    }

    /// Whether there is no truth but the reference's.
    fn is_by_seed(&self) -> bool {
        !matches!(self, Self::Subject(subject) if matches!(**subject, Subject::File(..)))
    }
}

/// Errors: what [`Subject::find`] says; inputs for anything but one ONNX file.
fn checked(args: &Args) -> Result<Vec<Checked<'_>>> {
    let Some(input) = &args.input else {
        return Ok(subjects(args)?.into_iter().map(|subject| Checked::Subject(subject.into())).collect());
    };
    match &args.subjects[..] {
        [file] if source::is_onnx(Path::new(file)) => {
            let file = Path::new(file);
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(vec![Checked::Model { name, file, input }])
        }
        _ => Err(Failure::Usage("--input and --expect are those of one ONNX file".into())),
    }
}

/// A model with inputs of a file, against outputs of a file or against the reference.
fn check_model(
    args: &Args,
    file: &Path,
    input: &Path,
    device: &Device,
    options: &PlanOptions,
    precision: Precision,
) -> Result<Outcome, Error> {
    let inputs = source::named(input, "in.")?;
    let (model, tensors) = source::model_for(file, &inputs, &args.reading)?;
    let Some(expect) = &args.expect else {
        return compared(&model.graph, &tensors, device, options, precision, true, |_| Ok(None));
    };
    let tolerance = match (args.rtol, args.atol) {
        (None, None) => Tolerance::Usual(precision),
        (rtol, atol) => Tolerance::Each { rtol: rtol.unwrap_or(0.0), atol: atol.unwrap_or(0.0) },
    };
    check::expected(device, &model, &tensors, &source::named(expect, "out.")?, options, tolerance)
}

fn subjects(args: &Args) -> Result<Vec<Subject>, Error> {
    if !args.subjects.is_empty() {
        return args.subjects.iter().map(|text| Subject::find(text, &args.reading)).collect();
    }
    // Whole networks take minutes on a processor.
    let published = canonical()?.into_iter().map(Subject::Canonical);
    Ok(published.filter(|subject| args.all || !subject.is_net()).collect())
}

fn check(subject: &Subject, device: &Device, options: &PlanOptions, precision: Precision) -> Result<Outcome, Error> {
    let (graph, inputs) = (subject.graph()?, subject.inputs()?);
    compared(&graph, &inputs, device, options, precision, subject.is_net(), |computed| match subject {
        Subject::File(_, case) => truth(case, &graph, computed).map(Some),
        Subject::Canonical(_) | Subject::Model(..) => Ok(None),
    })
}

/// Compares with the truth, or with the reference where there is none.
fn compared(
    graph: &Graph,
    inputs: &[Tensor],
    device: &Device,
    options: &PlanOptions,
    precision: Precision,
    is_net: bool,
    truth: impl Fn(&[Values]) -> Result<Option<Vec<Values>>, Error>,
) -> Result<Outcome, Error> {
    let reference = Reference { precision, ..Reference::default() };
    let start = Instant::now();
    let mut computed = reference.run_with_bounds(graph, inputs)?;
    if precision == Precision::F16 && !is_net {
        // A block's NMSE is held to the limit itself; only what whole networks store adds up to more.
        computed.iter_mut().for_each(|values| values.cancellation = 1.0);
    }
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let truth = truth(&computed)?;
    let want = truth.as_deref().unwrap_or(&computed);
    match device {
        Device::Gpu(gpu) => check::on_gpu(gpu, graph, inputs, want, options, &reference),
        Device::Reference => Ok(Outcome { ms, ..check::on_reference(graph, &computed, want)? }),
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
