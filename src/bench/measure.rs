//! How long a program takes: warm-up until stable, then at least a given number of runs and a given time.

use std::time::{Duration, Instant};

use super::Samples;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Program};
use crate::graph::Graph;
use crate::plan::{DeviceClass, PlanOptions, Step};
use crate::tensor::Tensor;

/// When to stop measuring.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureOptions {
    /// The minimum number of runs.
    pub runs: usize,
    /// The minimum time to measure for.
    pub time: Duration,
    /// Bytes over all copies of a program that take turns, so that a cache does not hold what the next run reads.
    pub rotate_bytes: u64,
    /// Time each dispatch, too.
    pub steps: bool,
}

impl Default for MeasureOptions {
    fn default() -> Self {
        Self { runs: 10, time: Duration::from_secs(1), rotate_bytes: 256 << 20, steps: false }
    }
}

/// The most copies of a program that take turns.
const MAX_COPIES: u64 = 8;
/// The most runs of a warm-up.
const MAX_WARM_UP: usize = 20;
/// A warm-up ends when a run is within this share of the fastest before it.
const STABLE: f64 = 0.05;
/// A GPU is kept busy so long before anything is timed: it raises its clocks only under load. (On an H100, runs took 26 ms
/// for the first quarter of a second, then 7.5.)
const CLOCKS_RISE: Duration = Duration::from_secs(1);

/// What was measured of one graph.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// From a graph whose weights are on the host to the first result there, on a device of its own that has compiled
    /// no kernel: milliseconds, once. A driver may have kept some on disk. `None` where the device is the app's.
    pub cold_ms: Option<f64>,
    /// The same, where the kernels are there: the program was built and run before, and dropped.
    pub warm_ms: f64,
    /// Host tensor in to host tensor out.
    pub wall: Samples,
    /// First to last timestamp on the device; `None` where it has none. On software adapters, in the same runs. On GPUs, in
    /// runs without a host's tensors, one close behind the other: while a GPU waits for the host, its clocks sink.
    pub gpu: Option<Samples>,
    /// Each dispatch, if they were asked for and the device has timestamps.
    pub steps: Option<Vec<StepTime>>,
}

/// One dispatch as a pass of its own, so all together take longer than the whole.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// Stem of the shader.
    pub kernel: &'static str,
    /// Name of the node.
    pub node: String,
    /// Median, microseconds.
    pub us: f64,
    /// What [`Step::estimate`] says of it, microseconds.
    pub estimated_us: Option<f64>,
}

/// Builds `graph` and measures it on `input`. Errors: those of [`Program::with_options`] and [`Program::run`].
pub fn measure(
    gpu: &Gpu,
    graph: &Graph,
    inputs: &[Tensor],
    plan_options: &PlanOptions,
    options: &MeasureOptions,
) -> Result<(Program, Measurement)> {
    let first_result = |gpu: &Gpu| -> Result<(Program, f64)> {
        let start = Instant::now();
        let program = Program::with_options(gpu, graph, plan_options)?;
        program.run(inputs)?;
        Ok((program, ms(start)))
    };
    let cold_ms = match gpu.reopen()? {
        Some(gpu) => Some(first_result(&gpu)?.1),
        None => None,
    };
    drop(first_result(gpu)?);
    let (program, warm_ms) = first_result(gpu)?;

    let bytes = program.plan().bytes().max(1);
    let copies = options.rotate_bytes.div_ceil(bytes).clamp(1, MAX_COPIES);
    let mut programs = vec![program];
    for _ in 1..copies {
        match Program::with_options(gpu, graph, plan_options) {
            Ok(copy) => programs.push(copy),
            Err(Error::OutOfMemory(_)) => break,
            Err(error) => return Err(error),
        }
    }
    let clocks = programs.iter().map(Program::clock).collect::<Result<Vec<_>>>()?;
    // Both times of one run: the device's cannot be more than the whole.
    let run = |i: usize| -> Result<(f64, Option<f64>)> {
        let (program, clock) = (&programs[i % programs.len()], &clocks[i % programs.len()]);
        let start = Instant::now();
        let on_device = match clock {
            Some(clock) => Some(program.run_timed(inputs, clock)?.1.as_secs_f64() * 1e3),
            None => program.run(inputs).map(|_| None)?,
        };
        Ok((ms(start), on_device))
    };
    warm_up(&programs, &run)?;
    let (wall, mut on_device): (Vec<f64>, Vec<Option<f64>>) = repeat(options, run)?.into_iter().unzip();
    let wall = Samples::new(wall)?;
    if gpu.profile().class != DeviceClass::Software {
        let busy = |i: usize| {
            let time = programs[i % programs.len()].gpu_time()?;
            Ok(time.map(|time| time.as_secs_f64() * 1e3))
        };
        raise_clocks(gpu.profile().class, |i| busy(i).map(drop))?;
        on_device = repeat(options, busy)?;
    }
    let on_device = on_device.into_iter().collect::<Option<Vec<f64>>>();
    // A clock that stands still is no clock.
    let on_device = on_device.filter(|times| times.iter().all(|&time| time > 0.0));
    let gpu = on_device.map(Samples::new).transpose()?;
    let program = programs.swap_remove(0);
    let medians = if options.steps { step_medians(&program, options.runs)? } else { None };
    let step = |(step, us): (&Step, f64)| {
        let estimated_us = step.estimate(&program.plan().profile).map(|estimate| estimate.us);
        StepTime { kernel: step.shader.stem, node: step.node.clone(), us, estimated_us }
    };
    let steps = medians.map(|times| program.plan().steps.iter().zip(times).map(step).collect());
    Ok((program, Measurement { cold_ms, warm_ms, wall, gpu, steps }))
}

/// Median time on the device of each dispatch over this many runs, in the plan's order, in microseconds; `None` where
/// the device has no timestamps. On the inputs of the last [`Program::run`]. Errors: those of
/// [`Program::gpu_step_times`].
pub fn step_medians(program: &Program, runs: usize) -> Result<Option<Vec<f64>>> {
    raise_clocks(program.plan().profile.class, |_| program.gpu_step_times().map(drop))?;
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); program.plan().steps.len()];
    for _ in 0..runs.max(1) {
        let Some(times) = program.gpu_step_times()? else {
            return Ok(None);
        };
        all.iter_mut().zip(times).for_each(|(times, time)| times.push(time.as_secs_f64() * 1e6));
    }
    let median = |times| Samples::new(times).map(|times| times.median());
    all.into_iter().map(median).collect::<Result<_>>().map(Some)
}

fn warm_up<T>(programs: &[Program], run: &impl Fn(usize) -> Result<(f64, T)>) -> Result<()> {
    let mut fastest = f64::INFINITY;
    for i in 0..MAX_WARM_UP {
        let (time, _) = run(i)?;
        if i >= programs.len() && time <= fastest * (1.0 + STABLE) {
            break;
        }
        fastest = fastest.min(time);
    }
    Ok(())
}

/// Runs for as long as a GPU's clocks take to rise; software adapters have none.
fn raise_clocks(class: DeviceClass, run: impl Fn(usize) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let mut turn = 0;
    while class != DeviceClass::Software && start.elapsed() < CLOCKS_RISE {
        run(turn)?;
        turn += 1;
    }
    Ok(())
}

fn repeat<T>(options: &MeasureOptions, run: impl Fn(usize) -> Result<T>) -> Result<Vec<T>> {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < options.runs.max(1) || start.elapsed() < options.time {
        times.push(run(times.len())?);
    }
    Ok(times)
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
