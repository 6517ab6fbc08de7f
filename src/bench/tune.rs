//! Which convolution kernel is fastest on this adapter, by trying each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::step_medians;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Kept, Program};
use crate::graph::Graph;
use crate::plan::{Choice, ConvVariant, Plan, PlanOptions, Slice, Tuning};
use crate::tensor::{Precision, Tensor};

/// A candidate must be faster than the table's choice by more than this share: less may be noise.
const WORTH: f64 = 0.03;

/// The fastest kernel of every class of convolution in `graph`: each candidate runs `runs` times on `inputs`, timed by
/// timestamps. What reads its result counts, too: it may have parts of a sum to add up. A class is left to the table
/// if nothing is faster than the table's choice by 3 %. Of `options`, all but [`PlanOptions::tuned`] counts. Errors: those of [`Program::with_options`] and
/// [`Program::run`]; [`Error::Unsupported`] if the device has no timestamps.
pub fn tune(gpu: &Gpu, graph: &Graph, inputs: &[Tensor], runs: usize, options: &PlanOptions) -> Result<Tuning> {
    let untuned = PlanOptions { tuned: None, ..options.clone() };
    let mut classes: BTreeMap<String, Vec<ConvVariant>> = BTreeMap::new();
    for Choice { class, candidates, .. } in choices(&Plan::new(graph, gpu.profile(), &untuned)?) {
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
                trial.set(class, *candidate);
            }
        }
        let times = match class_times(gpu, graph, inputs, &untuned.clone().tuned(trial.clone()), runs) {
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
                tuning.leave(class);
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
fn class_times(
    gpu: &Gpu,
    graph: &Graph,
    inputs: &[Tensor],
    options: &PlanOptions,
    runs: usize,
) -> Result<BTreeMap<String, f64>> {
    let program = Program::with_options(gpu, graph, options)?;
    program.run(inputs)?;
    let no_clock = || Error::Unsupported {
        op: gpu.info().name.clone(),
        what: "tuning without timestamps".into(),
        hint: "the table by device class is used".into(),
    };
    let times = step_medians(&program, runs)?.ok_or_else(no_clock)?;
    Ok(by_class(program.plan(), &times))
}

/// The time of each class: of the steps that make it, and of those that read what they made and are not convolutions.
fn by_class(plan: &Plan, times: &[f64]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut made: Vec<(&Slice, &str)> = Vec::new();
    for (step, us) in plan.steps.iter().zip(times) {
        let meets = |slices: &[Slice], made: &Slice| slices.iter().any(|x| x.buffer == made.buffer && x.overlaps(made));
        let classes: BTreeSet<&str> = match &step.choice {
            Some(choice) => [choice.class.as_str()].into(),
            None => made.iter().filter(|(y, _)| meets(&step.operands, y)).map(|(_, class)| *class).collect(),
        };
        made.retain(|(y, _)| !meets(&step.results, y));
        if let Some(choice) = &step.choice {
            made.extend(step.results.iter().map(|y| (y, choice.class.as_str())));
        }
        for class in classes {
            *sums.entry(class.into()).or_default() += us;
        }
    }
    sums
}

/// What [`keep_tuning`] kept for this adapter, driver and precision, since kernels differ by it; empty if nothing was, or if what was cannot be understood.
/// `cache` is the folder, `None` the user's own, as for [`super::peaks`].
pub fn kept_tuning(gpu: &Gpu, precision: Precision, cache: Option<&Path>) -> Tuning {
    let kept = Kept::new(kept_as(gpu, precision), gpu.info(), cache);
    kept.and_then(|kept| kept.read(Tuning::from_json)).unwrap_or_default()
}

/// Adds to what is kept for this adapter, driver and precision, replacing what was kept for the same classes. A file that cannot
/// be written causes a warning.
pub fn keep_tuning(gpu: &Gpu, precision: Precision, cache: Option<&Path>, tuning: Tuning) {
    if let Some(kept) = Kept::new(kept_as(gpu, precision), gpu.info(), cache) {
        let mut all = kept.read(Tuning::from_json).unwrap_or_default();
        all.extend(tuning);
        kept.write(&all.json());
    }
}

/// By what kernels there are to choose from.
fn kept_as(gpu: &Gpu, precision: Precision) -> &'static str {
    match (precision, gpu.profile().matrices.of(precision.element())) {
        (Precision::F32, None) => "tuning",
        (Precision::F32, Some(_)) => "tuning-matrices",
        (Precision::F16, None) => "tuning-f16",
        (Precision::F16, Some(_)) => "tuning-f16-matrices",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::Sppf;
    use crate::plan::{DeviceClass, DeviceProfile};
    use crate::tensor::Shape;
    use crate::weights::Weights;

    /// In SPPF the cascade counts towards the first convolution and the conversion of the output towards the second,
    /// whether sums are split or not, and under the same names.
    #[test]
    fn what_reads_a_result_counts_with_what_made_it() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 256, 5, 7)).unwrap();
        let y = Sppf::new(256, 256).build(&mut graph, x, &Weights::seeded(1).scope("")).unwrap();
        graph.output("y", y).unwrap();
        let plan = |options: &PlanOptions| {
            Plan::new(&graph, &DeviceProfile::portable(DeviceClass::Discrete), options).unwrap()
        };
        let in_parts = |variant: &ConvVariant| variant.parts() > 1;
        let split = plan(&PlanOptions::default());
        let taken = |plan: &Plan| choices(plan).map(|choice| choice.taken).collect::<Vec<_>>();
        assert!(taken(&split).iter().all(in_parts), "{split}");
        let mut whole = Tuning::default();
        for Choice { class, candidates, .. } in choices(&split) {
            whole.set(class, *candidates.iter().find(|variant| !in_parts(variant)).unwrap());
        }
        let whole = plan(&PlanOptions::default().tuned(whole));
        assert!(!taken(&whole).iter().any(in_parts), "{whole}");
        for plan in [&split, &whole] {
            // The input's conversion, cv1, cascade, cv2, the output's conversion.
            let times = by_class(plan, &[1.0, 2.0, 4.0, 8.0, 16.0]);
            let [cv1, cv2] = &choices(plan).map(|choice| times[&choice.class]).collect::<Vec<_>>()[..] else {
                panic!("{plan}")
            };
            assert_eq!((*cv1, *cv2, times.len()), (6.0, 24.0, 2), "{plan}");
        }
    }
}
