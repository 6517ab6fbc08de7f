//! How long the device takes: timestamps around a whole plan, or around each of its dispatches.

use std::ops::Range;
use std::time::Duration;

use wgpu::{
    BufferDescriptor, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, Features,
    QuerySet, QueryType,
};

use super::transfer::Staging;
use super::{Gpu, Program, unpoisoned};
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

    /// A clock for [`Program::run_timed`]; `None` where the device has no timestamps.
    pub(crate) fn clock(&self) -> Result<Option<Clock>> {
        Clock::new(&self.gpu, self.launches.submissions.clone())
    }

    /// As [`Program::run`], with the device's time in this very run, from the start of the first dispatch to the end of
    /// the last.
    pub(crate) fn run_timed(&self, inputs: &[Tensor], clock: &Clock) -> Result<(Vec<Tensor>, Duration)> {
        let ticks = clock.staging.take(&self.gpu)?;
        let record = |encoder: &mut CommandEncoder| {
            clock.record(self, encoder, &ticks);
            Ok(())
        };
        let Some((outputs, submission)) = self.submit(inputs, record)? else {
            return Ok((self.unpack(&[])?, Duration::ZERO));
        };
        let outputs = self.own.staging.read(&self.gpu, outputs)?;
        let ticks = clock.staging.read(&self.gpu, ticks)?;
        self.gpu.wait(submission)?;
        let outputs = self.unpack(&pollster::block_on(outputs)?)?;
        Ok((outputs, clock.durations(&self.gpu, &pollster::block_on(ticks)?).into_iter().sum()))
    }

    fn times(&self, passes: &[Range<usize>]) -> Result<Option<Vec<Duration>>> {
        self.gpu.alive()?;
        let Some(clock) = Clock::new(&self.gpu, passes.to_vec())? else { return Ok(None) };
        let ticks = clock.staging.take(&self.gpu)?;
        let recording = unpoisoned(&self.own.recording);
        let submission = self.gpu.scoped(|device| {
            let mut encoder = device.create_command_encoder(&Default::default());
            clock.record(self, &mut encoder, &ticks);
            self.gpu.queue().submit([encoder.finish()])
        });
        drop(recording);
        let submission = submission?;
        let reading = clock.staging.read(&self.gpu, ticks)?;
        self.gpu.wait(submission)?;
        Ok(Some(clock.durations(&self.gpu, &pollster::block_on(reading)?)))
    }
}

/// Timestamps around passes over some dispatches each, which a program of several submissions submits one by one.
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
        Ok(Some(Self { passes, queries, resolved, staging: Staging::new(bytes) }))
    }

    /// Records the program's dispatches, and copies what the clock shows to `ticks`.
    fn record(&self, program: &Program, encoder: &mut CommandEncoder, ticks: &wgpu::Buffer) {
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
            program.launch(&mut pass, launches.clone(), &program.own.bindings);
        }
        encoder.resolve_query_set(&self.queries, 0..self.passes.len() as u32 * 2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, ticks, 0, ticks.size());
    }

    /// The time of each pass.
    fn durations(&self, gpu: &Gpu, ticks: &[u8]) -> Vec<Duration> {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(ticks);
        let period = f64::from(gpu.queue().get_timestamp_period());
        let time = |pair: &[u64]| Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64);
        ticks.chunks_exact(2).map(time).collect()
    }
}
