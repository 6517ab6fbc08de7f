//! Which convolution kernel is fastest on this adapter, by trying each.

use std::collections::BTreeMap;
use std::path::Path;

use super::kept::Kept;
use super::step_medians;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Program};
use crate::graph::Graph;
use crate::plan::{Choice, Plan, PlanOptions, Tuning};
use crate::tensor::Tensor;

/// A candidate must be faster than the table's by more than this share: what is less may be noise.
const WORTH: f64 = 0.03;

/// The fastest kernel of every class of convolution in `graph`: each candidate runs `runs` times on `input`, timed by
/// timestamps; what is not faster than the table's choice by 3 % is left to the table. Errors: those of
/// [`Program::with_options`] and [`Program::run`]; [`Error::Unsupported`] where the device has no timestamps.
pub fn tune(gpu: &Gpu, graph: &Graph, input: &Tensor, runs: usize) -> Result<Tuning> {
    let mut classes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Choice { class, candidates, .. } in choices(&Plan::new(graph, gpu.profile(), &PlanOptions::default())?) {
        classes.insert(class.clone(), candidates.clone());
    }
    let most = classes.values().map(Vec::len).max().unwrap_or_default();
    let mut tuning = Tuning::default();
    let mut fastest: BTreeMap<String, f64> = BTreeMap::new();
    for nth in 0..most {
        // One run tries a candidate of every class.
        let mut trial = Tuning::default();
        for (class, candidates) in &classes {
            if let Some(candidate) = candidates.get(nth) {
                trial.set(class, candidate);
            }
        }
        let times = match class_times(gpu, graph, input, &trial, runs) {
            Ok(times) => times,
            Err(error @ Error::LimitExceeded { .. }) if nth > 0 => {
                log::debug!("not tried: {error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        for (class, candidate) in trial.iter() {
            let Some(&us) = times.get(class) else { continue };
            let best = fastest.get(class).copied().unwrap_or(f64::INFINITY);
            if nth == 0 {
                fastest.insert(class.into(), us * (1.0 - WORTH));
            } else if us < best {
                fastest.insert(class.into(), us);
                tuning.set(class, candidate);
            }
        }
    }
    Ok(tuning)
}

fn choices(plan: &Plan) -> impl Iterator<Item = &Choice> {
    plan.steps.iter().filter_map(|step| step.choice.as_ref())
}

/// Microseconds of each class.
fn class_times(gpu: &Gpu, graph: &Graph, input: &Tensor, trial: &Tuning, runs: usize) -> Result<BTreeMap<String, f64>> {
    let options = PlanOptions::default().tuned(trial.clone());
    let program = Program::with_options(gpu, graph, &options)?;
    program.run(std::slice::from_ref(input))?;
    let no_clock = || Error::Unsupported {
        op: gpu.info().name.clone(),
        what: "tuning without timestamps".into(),
        hint: "the table by device class is taken".into(),
    };
    let times = step_medians(&program, runs)?.ok_or_else(no_clock)?;
    let mut sums = BTreeMap::new();
    for (step, us) in program.plan().steps.iter().zip(times) {
        if let Some(choice) = &step.choice {
            *sums.entry(choice.class.clone()).or_default() += us;
        }
    }
    Ok(sums)
}

/// What [`keep_tuning`] kept for this adapter and driver; empty where nothing was, or what was cannot be understood.
/// `cache` is the folder, `None` the user's own, as for [`super::peaks`].
pub fn kept_tuning(gpu: &Gpu, cache: Option<&Path>) -> Tuning {
    let kept = Kept::new("tuning", gpu.info(), cache);
    kept.and_then(|kept| kept.read(Tuning::from_json)).unwrap_or_default()
}

/// Adds to what is kept for this adapter and driver. A file that cannot be written is warned of.
pub fn keep_tuning(gpu: &Gpu, cache: Option<&Path>, tuning: Tuning) {
    if let Some(kept) = Kept::new("tuning", gpu.info(), cache) {
        let mut all = kept.read(Tuning::from_json).unwrap_or_default();
        all.extend(tuning);
        kept.write(&all.json());
    }
}
