//! Reading results back: staging buffers that are kept for the next run.

use std::sync::Mutex;

use futures_intrusive::channel::shared::oneshot_channel;
use wgpu::{Buffer, BufferDescriptor, BufferUsages, MapMode};

use super::{Gpu, unpoisoned};
use crate::error::{Error, Result};

/// Staging buffers of one size that no run holds.
#[derive(Debug)]
pub(crate) struct Staging {
    bytes: u64,
    idle: Mutex<Vec<Buffer>>,
}

impl Staging {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, idle: Mutex::default() }
    }

    /// An idle buffer, or a new one.
    pub(crate) fn take(&self, gpu: &Gpu) -> Result<Buffer> {
        if let Some(buffer) = unpoisoned(&self.idle).pop() {
            return Ok(buffer);
        }
        let available = gpu.profile().max_buffer;
        if self.bytes > available {
            return Err(Error::LimitExceeded {
                what: "reading all results at once".into(),
                limit: "max_buffer_size",
                needed: self.bytes,
                available,
                hint: "record into buffers of your own, use a smaller batch, or a device created with higher limits",
            });
        }
        gpu.scoped(|device| {
            device.create_buffer(&BufferDescriptor {
                label: Some("spp/staging"),
                size: self.bytes,
                usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Asks for the buffer's content; the future resolves once the device is polled after the work before it has ended.
    pub(crate) fn read(
        &self,
        gpu: &Gpu,
        buffer: Buffer,
    ) -> Result<impl Future<Output = Result<Vec<u8>>> + '_ + use<'_>> {
        let (sender, receiver) = oneshot_channel();
        gpu.scoped(|_| {
            buffer.map_async(MapMode::Read, .., move |mapped| {
                // The run may have been dropped; then nobody waits for this.
                let _unread = sender.send(mapped);
            });
        })?;
        let gpu = gpu.clone();
        Ok(async move {
            // `None`: a panic of wgpu in another thread's poll took the callback with it, perhaps after mapping.
            if let Some(Err(error)) = receiver.receive().await {
                gpu.alive()?;
                return Err(Error::Gpu(format!("results cannot be read: {error}")));
            }
            let bytes = gpu.scoped(|_| {
                let bytes = buffer.get_mapped_range(..).map(|view| view.to_vec());
                buffer.unmap();
                bytes.map_err(|error| Error::Gpu(error.to_string()))
            })??;
            unpoisoned(&self.idle).push(buffer);
            Ok(bytes)
        })
    }
}
