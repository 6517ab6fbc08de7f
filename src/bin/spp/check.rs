//! One graph, run and compared with the truth.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spp_wgpu::onnx::{Model, Value};
use spp_wgpu::reference::{self, Reference, Values, compare};
use spp_wgpu::{Error, Gpu, Graph, PlanOptions, Precision, Program, Tensor};

use crate::device::Device;

/// How long to repeat a run in order to time it.
const TIMING: Duration = Duration::from_millis(500);

/// What a comparison found; of several outputs, the worst. `NaN` if there was an error before there was a number.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) pass: bool,
    pub(crate) err_over_bound: f64,
    pub(crate) nmse: f64,
    /// Values that became infinite, or were computed from such, as an `f16` holds none beyond 65504.
    pub(crate) overflows: usize,
    /// None on the reference.
    pub(crate) dispatches: Option<usize>,
    /// Host tensor in to host tensor out.
    pub(crate) ms: f64,
    /// What is wrong, and where.
    pub(crate) note: String,
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        let [err_over_bound, nmse, ms] = [f64::NAN; 3];
        Self { pass: false, err_over_bound, nmse, overflows: 0, dispatches: None, ms, note: error.to_string() }
    }
}

/// Runs on a GPU, with every buffer poisoned before. If the result is wrong, looks for the first node that is.
pub(crate) fn on_gpu(
    gpu: &Gpu,
    graph: &Graph,
    inputs: &[Tensor],
    want: &[Values],
    options: &PlanOptions,
    reference: &Reference,
) -> Result<Outcome, Error> {
    let program = Program::with_options(gpu, graph, options)?;
    program.poison()?;
    let mut outcome = outcome(graph, &program.run(inputs)?, want)?;
    outcome.dispatches = Some(program.plan().dispatches());
    outcome.ms = median_ms(|| program.run(inputs).map(drop))?;
    if !outcome.pass {
        outcome.note += &first_diverging(gpu, graph, inputs, options, reference)
            .unwrap_or_else(|error| format!("; no node found: {error}"));
    }
    Ok(outcome)
}

/// How far what is computed may be from outputs of another program, which are rounded, too.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tolerance {
    /// Of the largest value of an output, and the NMSE: 1e-4 in `f32`, an NMSE of 1e-5 where `f16` is stored.
    Usual(Precision),
    /// Of each value, and in total.
    Each { rtol: f64, atol: f64 },
}

/// Compares results with what another program made of the same inputs.
pub(crate) fn expected(
    device: &Device,
    model: &Model,
    inputs: &[Tensor],
    want: &BTreeMap<String, Value>,
    options: &PlanOptions,
    tolerance: Tolerance,
) -> Result<Outcome, Error> {
    let graph = &model.graph;
    let (got, dispatches, ms) = match device {
        Device::Gpu(gpu) => {
            let program = Program::with_options(gpu, graph, options)?;
            program.poison()?;
            let got = program.run(inputs)?;
            let ms = median_ms(|| program.run(inputs).map(drop))?;
            (got, Some(program.plan().dispatches()), ms)
        }
        Device::Reference => {
            let start = Instant::now();
            (reference::run(graph, inputs)?, None, start.elapsed().as_secs_f64() * 1e3)
        }
    };
    let note = String::new();
    let mut outcome = Outcome { pass: true, err_over_bound: 0.0, nmse: 0.0, overflows: 0, dispatches, ms, note };
    for (port, got) in model.outputs.iter().zip(&got) {
        let Some(want) = want.get(&port.name) else {
            let (what, reason) = ("the expected outputs".into(), format!("lack '{}'", port.name));
            return Err(Error::InvalidData { what, reason });
        };
        // One number has one dimension in files that cannot hold none.
        if want.dims != port.dims && !(port.dims.is_empty() && want.dims == [1]) {
            let detail = format!("{:?} is expected, and the model makes {:?}", want.dims, port.dims);
            return Err(Error::ShapeMismatch { op: format!("output '{}'", port.name), detail });
        }
        let want = want.elements.to_floats();
        let most = want
            .iter()
            .filter(|value| value.is_finite())
            .fold(0.0, |most: f64, &value| most.max(f64::from(value).abs()));
        let (mut error, mut squares) = (0.0f64, 0.0);
        for (&got, &want) in got.data().iter().zip(&want) {
            if got == want || (got.is_nan() && want.is_nan()) {
                continue;
            }
            let off = (f64::from(got) - f64::from(want)).abs();
            let bound = match tolerance {
                Tolerance::Usual(Precision::F32) => 1e-4 * most,
                // Judged by its NMSE.
                Tolerance::Usual(Precision::F16) => f64::INFINITY,
                Tolerance::Each { rtol, atol } => atol + rtol * f64::from(want).abs(),
            };
            let over = if off.is_finite() { off / bound } else { f64::INFINITY };
            error = error.max(if over.is_nan() { f64::INFINITY } else { over });
            squares += off * off;
        }
        let size: f64 = want.iter().map(|&value| f64::from(value).powi(2)).sum();
        let nmse = if squares == 0.0 { 0.0 } else { squares / size };
        let stored = matches!(tolerance, Tolerance::Usual(Precision::F16));
        let passes = error <= 1.0 && (!stored || nmse <= 1e-5);
        if !passes && outcome.pass {
            let off = if error <= 1.0 {
                "over 1e-5: f16 is too coarse for some of it; --keep-f32 leaves nodes in f32".into()
            } else {
                format!("an error of {error:.2e} times what is allowed")
            };
            outcome.note = format!("{}: NMSE {nmse:.1e}, {off}", port.name);
        }
        outcome.pass &= passes;
        outcome.err_over_bound = outcome.err_over_bound.max(error);
        outcome.nmse = outcome.nmse.max(nmse);
    }
    if let Tolerance::Usual(Precision::F16) = tolerance {
        outcome.err_over_bound = f64::NAN;
    }
    if let (false, Device::Gpu(gpu)) = (outcome.pass, device) {
        let reference = Reference { precision: options.precision, ..Reference::default() };
        outcome.note += &first_diverging(gpu, graph, inputs, options, &reference)
            .unwrap_or_else(|error| format!("; no node found: {error}"));
    }
    Ok(outcome)
}

/// Compares what the reference computes with the correct outputs.
pub(crate) fn on_reference(graph: &Graph, got: &[Values], want: &[Values]) -> Result<Outcome, Error> {
    let got = got.iter().map(Values::rounded).collect::<Result<Vec<_>, _>>()?;
    outcome(graph, &got, want)
}

fn outcome(graph: &Graph, got: &[Tensor], want: &[Values]) -> Result<Outcome, Error> {
    let (dispatches, note) = (None, String::new());
    let mut outcome = Outcome { pass: true, err_over_bound: 0.0, nmse: 0.0, overflows: 0, dispatches, ms: 0.0, note };
    for (((name, _), got), want) in graph.outputs().iter().zip(got).zip(want) {
        let difference = compare(got, want)?;
        if !difference.passes() && outcome.pass {
            outcome.note = format!("{name}: {difference}");
        }
        outcome.pass &= difference.passes();
        outcome.err_over_bound = outcome.err_over_bound.max(difference.err_over_bound);
        outcome.nmse = outcome.nmse.max(difference.nmse);
        outcome.overflows += difference.overflows;
    }
    if outcome.overflows > 0 && outcome.pass {
        outcome.note = format!("{} values beyond 65504 became infinite", outcome.overflows);
    }
    Ok(outcome)
}

/// Computes every node by itself and compares each with the reference's.
fn first_diverging(
    gpu: &Gpu,
    graph: &Graph,
    inputs: &[Tensor],
    options: &PlanOptions,
    reference: &Reference,
) -> Result<String, Error> {
    let mut all = graph.clone();
    let nodes: Vec<_> = graph.ids().zip(graph.nodes()).filter(|(_, node)| !node.op.is_input()).collect();
    let own: Vec<_> = all.ids().collect();
    for (id, _) in &nodes {
        all.output(format!("node {}", id.index()), own[id.index()])?;
    }
    let program =
        Program::with_options(gpu, &all, &PlanOptions::unfused().precision(options.precision).ports(options.ports))?;
    program.poison()?;
    let got = program.run(inputs)?;
    let want = reference.run_nodes(graph, inputs)?;
    for ((id, node), got) in nodes.into_iter().zip(&got[graph.outputs().len()..]) {
        let difference = compare(got, &want[id.index()])?;
        if !difference.passes() {
            return Ok(format!("; first diverging node: {} '{}': {difference}", node.op.stem(), node.name));
        }
    }
    Ok("; unfused, every node agrees with the reference".into())
}

/// The median of up to five runs.
fn median_ms(mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < 5 && begin.elapsed() < TIMING) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use spp_wgpu::Shape;

    use super::*;

    #[test]
    fn values_beyond_an_f16_are_counted_over_all_outputs() {
        let shape = Shape::new(1, 1, 1, 3);
        let mut graph = Graph::new();
        let x = graph.input("x", shape).unwrap();
        for name in ["one", "two"] {
            graph.output(name, x).unwrap();
        }
        let x = Tensor::new(shape, vec![7e4, -1e9, 65_504.0]).unwrap();
        let stored = Tensor::new(shape, vec![f32::INFINITY, f32::NEG_INFINITY, 65_504.0]).unwrap();
        let checked = |precision| {
            let want = Reference { precision, ..Reference::default() }
                .run_with_bounds(&graph, std::slice::from_ref(&x))
                .unwrap();
            outcome(&graph, &[stored.clone(), stored.clone()], &want).unwrap()
        };
        let half = checked(Precision::F16);
        assert!(half.pass && half.overflows == 4, "{half:?}");
        assert_eq!(half.note, "4 values beyond 65504 became infinite");
        let single = checked(Precision::F32);
        assert!(!single.pass && single.overflows == 0, "{single:?}");
    }
}
