//! Whether a device is lost. wgpu tells a device's one callback, which may be the app's, and no error scope: it hands out
//! objects that are not valid, whose use is then a validation error or nothing at all. So the device itself is asked.

use std::sync::{Arc, Mutex};

use wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, DeviceLostReason, ErrorFilter, Queue};

use super::{Gpu, scoped, unpoisoned};
use crate::error::{Error, Result};

/// Why a device was lost, once somebody said so. The first reason stays. A device's callback may hold it, where a [`Gpu`]
/// would keep the device, and so itself, alive for ever.
#[derive(Clone, Debug, Default)]
pub struct Loss(Arc<Mutex<Option<String>>>);

impl Loss {
    /// Listens to a device of our own.
    pub(super) fn of(device: &Device) -> Self {
        let loss = Self::default();
        let told = loss.clone();
        device.set_device_lost_callback(move |reason, message| {
            told.mark(match (reason, message) {
                (DeviceLostReason::Destroyed, message) if message.is_empty() => "it was destroyed".into(),
                (_, message) => message,
            });
        });
        loss
    }

    /// Errors once the reason is known.
    pub(super) fn known(&self) -> Result<()> {
        unpoisoned(&self.0).clone().map_or(Ok(()), |reason| Err(Error::DeviceLost(reason)))
    }

    /// All calls fail from now on, with this reason in [`Error::DeviceLost`] unless an earlier one is known.
    pub fn mark(&self, reason: impl Into<String>) {
        let reason = reason.into();
        let reason = if reason.trim().is_empty() { "no reason was given".into() } else { reason };
        unpoisoned(&self.0).get_or_insert(reason);
    }
}

impl Gpu {
    /// Whether the device is lost, as every call then says with [`Error::DeviceLost`]: the app destroyed it, the driver
    /// gave it up, or [`Gpu::mark_lost`] was called. It is not polled.
    pub fn is_lost(&self) -> bool {
        self.alive().is_err()
    }

    /// For the device-lost callback of an app's own device: wgpu keeps one callback for each device, and leaves it to
    /// the app. Once lost, all calls fail anyway, but only the callback is told why.
    ///
    /// ```no_run
    /// # fn listen(gpu: &spp_wgpu::Gpu) {
    /// let loss = gpu.loss();
    /// gpu.device().set_device_lost_callback(move |_, message| loss.mark(message));
    /// # }
    /// ```
    pub fn loss(&self) -> Loss {
        self.inner.loss.clone()
    }

    /// Says that the device is lost: see [`Loss::mark`]. Not for the device's own callback, which takes [`Gpu::loss`].
    pub fn mark_lost(&self, reason: impl Into<String>) {
        self.inner.loss.mark(reason);
    }

    /// Errors if the device is lost.
    pub(super) fn alive(&self) -> Result<()> {
        let inner = &self.inner;
        let takes_work = takes_work(&inner.device, &inner.queue, &inner.unwritable);
        // Only now: the callback may just have been told.
        inner.loss.known()?;
        if takes_work {
            return Ok(());
        }
        Err(Error::DeviceLost("wgpu takes no more work for it; its device-lost callback is told why".into()))
    }
}

/// What [`takes_work`] writes nothing to: a buffer without `COPY_DST`.
pub(super) fn unwritable(device: &Device) -> Result<Buffer> {
    let descriptor = BufferDescriptor {
        label: Some("spp/unwritable"),
        size: 4,
        usage: BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
        mapped_at_creation: true,
    };
    let buffer = scoped(device, |device| device.create_buffer(&descriptor))?;
    if let Err(error) = buffer.get_mapped_range(..) {
        return Err(Error::DeviceLost(format!("it takes no work: {error}")));
    }
    // Otherwise, were the device lost, wgpu would not give back its memory.
    buffer.unmap();
    Ok(buffer)
}

/// Whether wgpu takes work for the device: only then does it look at a write closely enough to refuse it, even one of
/// no bytes. The error comes to the scope of this device and thread, so a queue of another device also gives `false`;
/// wgpu may panic over it.
pub(super) fn takes_work(device: &Device, queue: &Queue, unwritable: &Buffer) -> bool {
    let scope = device.push_error_scope(ErrorFilter::Validation);
    queue.write_buffer(unwritable, 0, &[]);
    pollster::block_on(scope.pop()).is_some()
}
