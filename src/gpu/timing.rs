//! How long the device takes: timestamps around a whole plan, or around each of its dispatches.

use std::ops::Range;
use std::time::Duration;

use wgpu::{BufferDescriptor, BufferUsages, ComputePassDescriptor, ComputePassTimestampWrites, Features, QueryType};

use super::transfer::Staging;
use super::{Gpu, Program, unpoisoned};
use crate::error::{Error, Result};

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
        let whole = 0..self.plan().steps.len();
        Ok(self.times(&[whole])?.and_then(|times| times.first().copied()))
    }

    /// The device's time in each dispatch, in the plan's order, as [`Program::gpu_time`]. Each is a pass of its own, so
    /// their sum is more than the whole takes.
    pub fn gpu_step_times(&self) -> Result<Option<Vec<Duration>>> {
        let each: Vec<Range<usize>> = (0..self.plan().steps.len()).map(|i| i..i + 1).collect();
        self.times(&each)
    }

    fn times(&self, passes: &[Range<usize>]) -> Result<Option<Vec<Duration>>> {
        self.gpu.alive()?;
        let count = passes.len() as u32 * 2;
        if !self.gpu.has_timestamps() || count == 0 {
            return Ok(None);
        }
        if count > wgpu::QUERY_SET_MAX_QUERIES {
            return Err(Error::Unsupported {
                op: "timestamps".into(),
                what: format!("a plan of {} dispatches", passes.len()),
                hint: "time the whole plan instead".into(),
            });
        }
        let bytes = u64::from(count) * 8;
        let staging = Staging::new(bytes);
        let target = staging.take(&self.gpu)?;
        let recording = unpoisoned(&self.own.recording);
        let submission = self.gpu.scoped(|device| {
            let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("spp/timestamps"),
                ty: QueryType::Timestamp,
                count,
            });
            let resolved = device.create_buffer(&BufferDescriptor {
                label: Some("spp/timestamps"),
                size: bytes,
                usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut encoder = device.create_command_encoder(&Default::default());
            for (i, steps) in passes.iter().enumerate() {
                let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
                    label: Some("spp"),
                    timestamp_writes: Some(ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(i as u32 * 2),
                        end_of_pass_write_index: Some(i as u32 * 2 + 1),
                    }),
                });
                self.dispatch(&mut pass, steps.clone(), &self.own.bindings);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &target, 0, bytes);
            self.gpu.queue().submit([encoder.finish()])
        });
        drop(recording);
        let submission = submission?;
        let reading = staging.read(&self.gpu, target)?;
        self.gpu.wait(submission)?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&pollster::block_on(reading)?);
        let period = f64::from(self.gpu.queue().get_timestamp_period());
        let time = |pair: &[u64]| Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64);
        Ok(Some(ticks.chunks_exact(2).map(time).collect()))
    }
}
