//! How long work of the GPU takes, asked for without waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spp_wgpu::wgpu::{self, BufferUsages, Features};

const BYTES: u64 = 16;

/// Measures one piece of work at a time: while an answer is under way, the next ones are not measured.
pub struct Clock {
    times: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
    /// Whether an answer is there to be read; meaningless unless one is `awaited`.
    mapped: Arc<AtomicBool>,
    awaited: bool,
    recording: bool,
    /// Nanoseconds of a tick.
    period: f32,
    /// The last answer, in milliseconds.
    pub milliseconds: Option<f32>,
}

impl Clock {
    /// What a device must have.
    pub const FEATURES: Features = Features::TIMESTAMP_QUERY.union(Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);

    /// `None` for a device without [`Clock::FEATURES`].
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Option<Self> {
        if !device.features().contains(Self::FEATURES) {
            return None;
        }
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("clock"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            times: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("clock"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            readback: buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            mapped: Arc::default(),
            awaited: false,
            recording: false,
            period: queue.get_timestamp_period(),
            milliseconds: None,
        })
    }

    pub fn start(&mut self, encoder: &mut wgpu::CommandEncoder) {
        if self.awaited && self.mapped.swap(false, Ordering::Acquire) {
            if let Ok(bytes) = self.readback.get_mapped_range(..) {
                let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
                self.milliseconds = Some(ticks[1].saturating_sub(ticks[0]) as f32 * self.period / 1e6);
            }
            self.readback.unmap();
            self.awaited = false;
        }
        self.recording = !self.awaited;
        if self.recording {
            encoder.write_timestamp(&self.times, 0);
        }
    }

    pub fn stop(&mut self, encoder: &mut wgpu::CommandEncoder) {
        if self.recording {
            encoder.write_timestamp(&self.times, 1);
            encoder.resolve_query_set(&self.times, 0..2, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, BYTES);
        }
    }

    /// Once the work is submitted.
    pub fn ask(&mut self) {
        if std::mem::take(&mut self.recording) {
            self.awaited = true;
            let mapped = Arc::clone(&self.mapped);
            self.readback.map_async(wgpu::MapMode::Read, .., move |result| {
                mapped.store(result.is_ok(), Ordering::Release);
            });
        }
    }
}
