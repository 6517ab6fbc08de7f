//! `spp verify --stress`: kernels against each other, on random graphs of integers.

use serde_json::{Value, json};
use spp_wgpu::gpu::{ExactGraph, Mismatch, describe};
use spp_wgpu::plan::Step;

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{progress, say, say_json};
use crate::planning::Planning;

/// Runs of one graph, whose kernels are compiled once.
const MOST_RUNS: u64 = 100;
/// Each form of graph at least once.
const LEAST_GRAPHS: u64 = 8;

pub(crate) fn stress(rounds: u64, seed: u64, planning: &Planning, as_json: bool, device: Option<&str>) -> Result<()> {
    let Device::Gpu(gpu) = Device::open_with(device, planning.arithmetic.matrices)? else {
        return Err(Failure::Usage("--stress compares kernels; the CPU reference has none, so give a GPU".into()));
    };
    let options = planning.options(&gpu);
    let runs = (rounds / LEAST_GRAPHS).clamp(1, MOST_RUNS);
    let graphs = rounds.div_ceil(runs);
    let bar = progress(graphs as usize);
    let (mut with_matrices, mut mismatches) = (0, Vec::new());
    for i in 0..graphs {
        let exact = ExactGraph::random(seed.wrapping_add(i))?;
        bar.set_message(exact.describe());
        let (plan, mismatch) = exact.check(&gpu, &options, 0..runs.min(rounds - i * runs))?;
        with_matrices += u64::from(plan.steps.iter().any(Step::on_matrices));
        if let Some(mismatch) = mismatch {
            let kernels = plan.steps.iter().filter(|step| step.shader.stem != "layout").map(Step::kernel_name);
            let kernels = kernels.collect::<Vec<_>>().join(", ");
            if !as_json {
                bar.suspend(|| say(format_args!("FAIL {mismatch}, by {kernels}")))?;
            }
            mismatches.push(object(&mismatch, &kernels));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if as_json {
        say_json(&json!({
            "device": gpu.info().name, "rounds": rounds, "graphs": graphs, "on_matrices": with_matrices,
            "no_matrices": gpu.why_no_matrices(), "mismatches": mismatches,
        }))?;
    } else {
        let right = graphs - mismatches.len() as u64;
        let device = describe(gpu.info());
        say(format_args!(
            "{right} of {graphs} graphs agree with conv_direct to the last bit, {with_matrices} of {graphs} use matrices: \
             {rounds} rounds on {device}"
        ))?;
    }
    if mismatches.is_empty() { Ok(()) } else { Err(Failure::Check) }
}

fn object(mismatch: &Mismatch, kernels: &str) -> Value {
    let Mismatch { seed, round, graph, output, at, got, want, count } = mismatch;
    json!({
        "seed": seed, "round": round, "graph": graph, "output": output, "at": at, "got": got, "want": want, "count": count,
        "kernels": kernels,
    })
}
