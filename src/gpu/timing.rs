//! How long the device takes: timestamps around a whole plan, or around each of its dispatches.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wgpu::{
    BufferDescriptor, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, Features,
    QuerySet, QueryType,
};

use super::transfer::{Reading, Slot, Staging};
use super::{Bindings, Gpu, Input, Program, unpoisoned};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

impl Gpu {
    /// Whether the device has timestamps. An app's device has them if it was made with `TIMESTAMP_QUERY`.
    pub fn has_timestamps(&self) -> bool {
        self.features().contains(Features::TIMESTAMP_QUERY) && self.queue().get_timestamp_period() > 0.0
    }
}

impl Program {
    /// The device's time from the start of the first dispatch to the end of the last, on the inputs of the last
    /// [`Program::run`]; `None` where the device has no timestamps. Errors: a lost device, a timeout.
    pub fn gpu_time(&self) -> Result<Option<Duration>> {
        Ok(self.times(&self.launches.submissions)?.map(|times| times.into_iter().sum()))
    }

    /// The device's time in each step, in the plan's order, as [`Program::gpu_time`]. Each is a pass of its own, so
    /// their sum is more than the whole takes.
    pub fn gpu_step_times(&self) -> Result<Option<Vec<Duration>>> {
        self.times(&self.launches.of_steps)
    }

    /// Records all dispatches into the app's encoder, as [`Program::record`], between two timestamps: the device's time
    /// from the start of the first to the end of the last arrives once the encoder's work is submitted and done, and
    /// the device polled. `None`, with the dispatches recorded all the same, where the device has no timestamps, or
    /// [`GpuOptions::frames`](super::GpuOptions::frames) times are already on their way. Errors: those of
    /// [`Program::record`].
    pub fn time(&self, encoder: &mut CommandEncoder, bindings: &Bindings) -> Result<Option<Reading<Duration>>> {
        self.check_bindings(bindings)?;
        let clock = self.shared_clock()?;
        let slot = clock.as_ref().map(|clock| clock.staging.try_take(&self.gpu)).transpose()?.flatten();
        match (clock, slot) {
            (Some(clock), Some(slot)) => {
                self.gpu.alive()?;
                Ok(Some(clock.record(self, encoder, bindings, slot, whole)))
            }
            _ => self.record(encoder, bindings).map(|()| None),
        }
    }

    /// A clock for all dispatches together, shared; `None` where the device has no timestamps.
    fn shared_clock(&self) -> Result<Option<Arc<Clock>>> {
        let mut clock = unpoisoned(&self.own.clock);
        if clock.is_none() {
            let whole = 0..self.launches.all.len();
            *clock = Clock::new(&self.gpu, vec![whole])?.map(Arc::new);
        }
        Ok(clock.clone())
    }

    /// A clock for [`Program::run_timed`]; `None` where the device has no timestamps.
    pub(crate) fn clock(&self) -> Result<Option<Arc<Clock>>> {
        if self.submissions() == 1 {
            return self.shared_clock();
        }
        Ok(Clock::new(&self.gpu, self.launches.submissions.clone())?.map(Arc::new))
    }

    /// As [`Program::run`], with the device's time in this very run, from the start of the first dispatch to the end of
    /// the last.
    pub(crate) fn run_timed<I: Input>(&self, inputs: &[I], clock: &Clock) -> Result<(Vec<Tensor>, Duration)> {
        if !self.has_results(inputs)? {
            return Ok((self.run(inputs)?, Duration::ZERO));
        }
        let (outputs, ticks) = (self.own.staging.take(&self.gpu)?, clock.staging.take(&self.gpu)?);
        let record = |encoder: &mut CommandEncoder| {
            let time = clock.record(self, encoder, &self.own.bindings, ticks, whole);
            Ok((self.copy_out(encoder, &self.own.bindings, outputs, |_| true), time))
        };
        let ((outputs, time), submission) = self.submit(|| self.upload(inputs), record)?;
        self.gpu.wait(submission)?;
        Ok((pollster::block_on(outputs)?, pollster::block_on(time)?))
    }

    fn times(&self, passes: &[Range<usize>]) -> Result<Option<Vec<Duration>>> {
        self.gpu.alive()?;
        let Some(clock) = Clock::new(&self.gpu, passes.to_vec())? else { return Ok(None) };
        let ticks = clock.staging.take(&self.gpu)?;
        let record =
            |encoder: &mut CommandEncoder| Ok(clock.record(self, encoder, &self.own.bindings, ticks, |times| times));
        let (times, submission) = self.submit(|| (), record)?;
        self.gpu.wait(submission)?;
        pollster::block_on(times).map(Some)
    }
}

/// The time of all passes.
fn whole(times: Vec<Duration>) -> Duration {
    times.into_iter().sum()
}

/// Timestamps around passes over some dispatches each, which are submitted one by one if there are several.
#[derive(Debug)]
pub(crate) struct Clock {
    passes: Vec<Range<usize>>,
    queries: QuerySet,
    resolved: wgpu::Buffer,
    staging: Staging,
}

impl Clock {
    /// `None` where the device has no timestamps, or there is nothing to time.
    fn new(gpu: &Gpu, passes: Vec<Range<usize>>) -> Result<Option<Self>> {
        if !gpu.has_timestamps() || passes.iter().all(Range::is_empty) {
            return Ok(None);
        }
        let count = passes.len() as u32 * 2;
        if count > wgpu::QUERY_SET_MAX_QUERIES {
            return Err(Error::Unsupported {
                op: "timestamps".into(),
                what: format!("a plan of {} dispatches", passes.len()),
                hint: "time the whole plan instead".into(),
            });
        }
        let bytes = u64::from(count) * 8;
        let label = Some("spp/timestamps");
        let (queries, resolved) = gpu.scoped(|device| {
            let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
            let buffer = BufferDescriptor { label, size: bytes, usage, mapped_at_creation: false };
            let queries = wgpu::QuerySetDescriptor { label, ty: QueryType::Timestamp, count };
            (device.create_query_set(&queries), device.create_buffer(&buffer))
        })?;
        Ok(Some(Self { passes, queries, resolved, staging: Staging::new(gpu, bytes) }))
    }

    /// Records the program's dispatches, and that what the clock shows is read: one time for each pass. Recordings may
    /// share a clock, since a queue does one after the other.
    fn record<T: Send + 'static>(
        &self,
        program: &Program,
        encoder: &mut CommandEncoder,
        bindings: &Bindings,
        slot: Slot,
        of: impl FnOnce(Vec<Duration>) -> T + Send + 'static,
    ) -> Reading<T> {
        for (i, launches) in self.passes.iter().enumerate() {
            if i > 0 {
                program.cut(encoder);
            }
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
                label: Some("spp"),
                timestamp_writes: Some(ComputePassTimestampWrites {
                    query_set: &self.queries,
                    beginning_of_pass_write_index: Some(i as u32 * 2),
                    end_of_pass_write_index: Some(i as u32 * 2 + 1),
                }),
            });
            program.launch(&mut pass, launches.clone(), bindings);
        }
        encoder.resolve_query_set(&self.queries, 0..self.passes.len() as u32 * 2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, slot.buffer(), 0, slot.buffer().size());
        let period = f64::from(program.gpu.queue().get_timestamp_period());
        slot.read(&program.gpu, encoder, move |ticks| Ok(of(durations(period, ticks))))
    }
}

/// The time of each pass, for two ticks each, `period` nanoseconds long.
fn durations(period: f64, ticks: &[u8]) -> Vec<Duration> {
    let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(ticks);
    let time = |pair: &[u64]| Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64);
    ticks.chunks_exact(2).map(time).collect()
}
