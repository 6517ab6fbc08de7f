//! Whether an adapter's matrices can be trusted: tried once for each driver, before anything else uses them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::exact::{ExactGraph, Mismatch};
use super::{Gpu, Kept, Program, unpoisoned};
use crate::error::{Error, Result};
use crate::plan::{DeviceProfile, Matrices, Plan, PlanOptions, Precision, Step};

/// A convolution with a stride, a product with a residual, a sum of convolutions, two in one dispatch, and a long sum on a
/// small map; of enough channels for matrices wherever there are some, and of no whole number of tiles.
const SEEDS: [u64; 5] = [313, 127, 258, 187, 5];

/// Other inputs, to find what a run leaves behind.
const ROUNDS: u64 = 2;

/// What is kept.
const WHAT: &str = "self-tests";

/// What [`Gpu::self_test`] did.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// Graphs that ran, each in every precision that matrices have.
    pub graphs: usize,
    /// How many of them used matrices.
    pub on_matrices: usize,
    /// The first difference.
    pub mismatch: Option<Mismatch>,
    /// What running took, without planning and compiling.
    pub time: Duration,
}

/// A graph and the plan to test.
struct Trial {
    exact: ExactGraph,
    plan: Plan,
}

/// Why matrices may not be used, by all that decides it.
static RESULTS: LazyLock<Mutex<HashMap<String, Option<String>>>> = LazyLock::new(Mutex::default);

impl Gpu {
    /// Compares what matrices compute, bit by bit, with what kernels without them do: a few products and convolutions
    /// of integers. [`Gpu::new`] has done so if [`GpuOptions::matrices`](super::GpuOptions::matrices) is set, and has
    /// turned matrices off if they fail. Without matrices, nothing is run. Errors: those of [`Program::new`] and
    /// [`Program::run`].
    pub fn self_test(&self) -> Result<SelfTest> {
        run(self, trials(self.profile())?)
    }

    /// Why this device's matrices may not be used: found out before, by this process or an earlier one, or now.
    pub(super) fn distrusted(&self) -> Option<String> {
        if self.profile().matrices == Matrices::NONE {
            return None;
        }
        let trials = match trials(self.profile()) {
            Ok(trials) => trials,
            Err(error) => return Some(format!("the self test cannot be planned: {error}")),
        };
        let kernels = fingerprint(&trials, self.inner.checked);
        // Not `info`, which an app may have made up.
        let info = self.device().adapter_info();
        let key = format!("{info:?} {kernels}");
        let known = unpoisoned(&RESULTS).get(&key).cloned();
        known.unwrap_or_else(|| {
            let failed = kept_or(Kept::new(WHAT, &info, None), &kernels, || run(self, trials));
            unpoisoned(&RESULTS).insert(key, failed.clone());
            failed
        })
    }
}

/// Why these kernels failed, as it was kept; else by a test, whose result is kept if it will be the same again.
fn kept_or(kept: Option<Kept>, kernels: &str, test: impl FnOnce() -> Result<SelfTest>) -> Option<String> {
    let read = kept.as_ref().and_then(|kept| kept.read(parse));
    if let Some((_, failed)) = read.filter(|(of, _)| of == kernels) {
        return failed;
    }
    let (failed, lasts) = judged(test());
    if let (Some(kept), true) = (kept, lasts) {
        kept.write(&json!({"kernels": kernels, "failed": failed}));
    }
    failed
}

/// What went wrong, if anything did, and whether it will be the same another time.
fn judged(tested: Result<SelfTest>) -> (Option<String>, bool) {
    match tested {
        Ok(SelfTest { mismatch: None, graphs, on_matrices, time, .. }) => {
            log::info!("the self test of matrices passed: {on_matrices} of {graphs} graphs on them, in {time:?}");
            (None, true)
        }
        Ok(SelfTest { mismatch: Some(mismatch), .. }) => (Some(format!("the self test failed: {mismatch}")), true),
        Err(error @ Error::Shader { .. }) => (Some(format!("the self test failed: {error}")), true),
        // A lost device, a timeout, no memory: perhaps not the matrices' fault.
        Err(error) => (Some(format!("the self test did not end: {error}")), false),
    }
}

fn trials(profile: &DeviceProfile) -> Result<Vec<Trial>> {
    let matrices = profile.matrices;
    let precisions = [(matrices.f16, Precision::F16), (matrices.f32, Precision::F32)];
    let precisions = precisions.into_iter().filter(|(size, _)| size.is_some());
    let each = precisions.flat_map(|(_, precision)| SEEDS.map(|seed| (seed, precision)));
    let trials = each.map(|(seed, precision)| {
        let exact = ExactGraph::random(seed)?;
        let plan = Plan::new(exact.graph(), profile, &PlanOptions::default().precision(precision))?;
        Ok(Trial { exact, plan })
    });
    trials.collect()
}

fn run(gpu: &Gpu, trials: Vec<Trial>) -> Result<SelfTest> {
    let mut done = SelfTest { graphs: 0, on_matrices: 0, mismatch: None, time: Duration::ZERO };
    for Trial { exact, plan } in trials {
        done.graphs += 1;
        done.on_matrices += usize::from(plan.steps.iter().any(Step::on_matrices));
        let tested = Program::from_own_plan(gpu, plan)?;
        let direct = Program::from_own_plan(gpu, exact.direct(gpu)?)?;
        let start = Instant::now();
        tested.poison()?;
        done.mismatch = exact.compare(&tested, &direct, 0..ROUNDS)?;
        done.time += start.elapsed();
        if done.mismatch.is_some() {
            break;
        }
    }
    Ok(done)
}

/// Of the kernels: others need another test. Another release of Rust may compute a different one, which costs one test.
fn fingerprint(trials: &[Trial], checked: bool) -> String {
    let mut hasher = DefaultHasher::new();
    checked.hash(&mut hasher);
    let steps = trials.iter().flat_map(|trial| &trial.plan.steps);
    steps.for_each(|step| step.source().hash(&mut hasher));
    format!("{:016x}", hasher.finish())
}

/// Which kernels were tested, and why they failed.
fn parse(value: &Value) -> Result<(String, Option<String>)> {
    let bad = |field: &str| Error::data(WHAT, format!("'{field}' is missing, or no text"));
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_string);
    let failed = match value.get("failed") {
        Some(Value::Null) => None,
        _ => Some(text("failed").ok_or_else(|| bad("failed"))?),
    };
    Ok((text("kernels").ok_or_else(|| bad("kernels"))?, failed))
}

#[cfg(test)]
mod tests {
    use wgpu::{AdapterInfo, Backend, DeviceType};

    use super::*;
    use crate::plan::NamedProfile;

    #[test]
    fn what_is_kept_is_read_and_nothing_else() {
        for failed in [None, Some("a reason".to_string())] {
            let value = json!({"kernels": "1f", "failed": failed});
            assert_eq!(parse(&value).unwrap(), ("1f".into(), failed));
        }
        for bad in [json!({}), json!({"kernels": "1f"}), json!({"failed": null}), json!({"kernels": "1f", "failed": 1})]
        {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }

    /// A processor with matrices, and every kind of card that has some.
    fn profiles() -> Vec<(&'static str, DeviceProfile)> {
        let with = |name, matrices| {
            let profile = DeviceProfile::named(name).unwrap();
            (name, DeviceProfile { f16: true, matrices, ..profile })
        };
        let named = NamedProfile::all().iter().filter(|named| named.profile.matrices != Matrices::NONE);
        let others = [
            with("llvmpipe", Matrices { f16: Some(8), f32: None }),
            with("m1", Matrices { f16: Some(8), f32: Some(8) }),
        ];
        named.map(|named| (named.name, named.profile.clone())).chain(others).collect()
    }

    /// Else the test would say nothing of matrices there.
    #[test]
    fn every_graph_is_planned_on_matrices() {
        for (name, profile) in profiles() {
            let trials = trials(&profile).unwrap();
            assert!(trials.len() >= SEEDS.len());
            for Trial { exact, plan } in trials {
                assert!(plan.steps.iter().any(Step::on_matrices), "{} on {name}: {plan}", exact.describe());
            }
        }
    }

    fn passed() -> Result<SelfTest> {
        Ok(SelfTest { graphs: 1, on_matrices: 1, mismatch: None, time: Duration::ZERO })
    }

    fn failed() -> Result<SelfTest> {
        let at = Mismatch {
            seed: 1,
            round: 0,
            graph: "a product".into(),
            output: "y".into(),
            at: [0; 4],
            got: 2.0,
            want: 1.0,
            count: 1,
        };
        Ok(SelfTest { mismatch: Some(at), ..passed()? })
    }

    fn refused() -> Result<SelfTest> {
        Err(Error::Shader { name: "conv".into(), message: "no".into() })
    }

    fn lost() -> Result<SelfTest> {
        Err(Error::DeviceLost("it hung".into()))
    }

    /// A second test, with another result, is run only where nothing was kept of the first.
    #[test]
    fn a_result_lasts_for_its_kernels_and_driver_unless_the_device_was_lost() {
        let other =
            |test: fn() -> Result<SelfTest>| if test().is_ok_and(|t| t.mismatch.is_none()) { lost } else { passed };
        for (test, fails, lasts) in
            [(passed as fn() -> _, false, true), (failed, true, true), (refused, true, true), (lost, true, false)]
        {
            let folder = tempfile::tempdir().unwrap();
            let kept = |driver: &str| {
                let info =
                    AdapterInfo { driver: driver.into(), ..AdapterInfo::new(DeviceType::Other, Backend::Vulkan) };
                Kept::new(WHAT, &info, Some(folder.path()))
            };
            let first = kept_or(kept("a driver"), "kernels", test);
            assert_eq!(first.is_some(), fails, "{first:?}");
            let again = kept_or(kept("a driver"), "kernels", other(test));
            assert_eq!(again == first, lasts, "{again:?}");
            assert_ne!(kept_or(kept("another driver"), "kernels", other(test)), first);
            assert_ne!(kept_or(kept("a driver"), "other kernels", other(test)), first);
            assert_eq!(kept_or(None, "kernels", test), first);
        }
    }
}
