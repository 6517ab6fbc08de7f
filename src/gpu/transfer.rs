//! Reading results back: a few staging buffers, and what is on its way from them to the host.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_intrusive::sync::ManualResetEvent;
use wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoder, MapMode};

use super::{Gpu, unpoisoned};
use crate::error::{Error, Result};

/// How long a thread that waits for a staging buffer sleeps before it polls again, if nobody else polls.
const NAP: Duration = Duration::from_millis(1);

/// Staging buffers of one size: as many as results may be on their way at once, each made when it is first needed.
#[derive(Debug)]
pub(crate) struct Staging {
    bytes: u64,
    ring: Arc<Ring>,
}

#[derive(Debug)]
struct Ring {
    slots: Mutex<Slots>,
    /// For threads that wait for a slot.
    freed: Condvar,
    /// For tasks that do: set after a slot came free, and reset by who finds none. It wakes all, since the first may
    /// never be polled again.
    turn: ManualResetEvent,
}

#[derive(Debug)]
struct Slots {
    /// How many more may be taken.
    free: usize,
    /// Buffers for them that were used before.
    idle: Vec<Buffer>,
}

/// The right to have one result on its way; dropped, it is free for the next.
#[derive(Debug)]
struct Permit(Arc<Ring>);

impl Drop for Permit {
    fn drop(&mut self) {
        unpoisoned(&self.0.slots).free += 1;
        self.0.freed.notify_all();
        self.0.turn.set();
    }
}

impl Staging {
    pub(crate) fn new(gpu: &Gpu, bytes: u64) -> Self {
        let slots = Mutex::new(Slots { free: gpu.inner.frames, idle: Vec::new() });
        let ring = Ring { slots, freed: Condvar::new(), turn: ManualResetEvent::new(false) };
        Self { bytes, ring: Arc::new(ring) }
    }

    /// `None` if all are in use.
    pub(crate) fn try_take(&self, gpu: &Gpu) -> Result<Option<Slot>> {
        self.permit().map(|permit| self.slot(gpu, permit)).transpose()
    }

    /// Polls the device until one is free. Errors: a lost device; a timeout.
    pub(crate) fn take(&self, gpu: &Gpu) -> Result<Slot> {
        let start = Instant::now();
        loop {
            if let Some(slot) = self.try_take(gpu)? {
                return Ok(slot);
            }
            gpu.poll()?;
            let slots = unpoisoned(&self.ring.slots);
            if slots.free == 0 {
                // Woken by whoever polls, or to poll again.
                drop(self.ring.freed.wait_timeout(slots, NAP).unwrap_or_else(PoisonError::into_inner));
            }
            if start.elapsed() > gpu.inner.timeout {
                return Err(Error::Timeout(gpu.inner.timeout));
            }
        }
    }

    /// Resolves once one is free, which takes nothing but polling the device.
    pub(crate) async fn take_async(&self, gpu: &Gpu) -> Result<Slot> {
        loop {
            if let Some(slot) = self.try_take(gpu)? {
                return Ok(slot);
            }
            self.ring.turn.wait().await;
        }
    }

    /// `None` if all are in use.
    fn permit(&self) -> Option<Permit> {
        let mut slots = unpoisoned(&self.ring.slots);
        match slots.free.checked_sub(1) {
            Some(left) => {
                slots.free = left;
                Some(Permit(Arc::clone(&self.ring)))
            }
            None => {
                // With the slots still locked: whoever frees the next one sets it after this.
                self.ring.turn.reset();
                None
            }
        }
    }

    fn slot(&self, gpu: &Gpu, permit: Permit) -> Result<Slot> {
        if let Some(buffer) = unpoisoned(&self.ring.slots).idle.pop() {
            return Ok(Slot { buffer, permit });
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
        let buffer = gpu.scoped(|device| {
            device.create_buffer(&BufferDescriptor {
                label: Some("spp/staging"),
                size: self.bytes.max(4),
                usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        Ok(Slot { buffer, permit })
    }
}

/// A staging buffer in use.
#[derive(Debug)]
pub(crate) struct Slot {
    buffer: Buffer,
    permit: Permit,
}

impl Slot {
    /// What to copy results to.
    pub(crate) const fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Has the buffer mapped once the encoder's work is submitted and done. Whoever polls the device then makes
    /// something of its bytes, by `convert`, and thereby frees it: it does not matter when the reading is looked at.
    pub(crate) fn read<T: Send + 'static>(
        self,
        gpu: &Gpu,
        encoder: &CommandEncoder,
        convert: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
    ) -> Reading<T> {
        let delivery = Arc::new(Delivery(Mutex::new(State::Waiting(None))));
        let buffer = self.buffer.clone();
        // It must not hold the `Gpu`: a queue that nobody holds any more ends what it still has to do.
        let unread = Unread { inner: Some((self, convert)), delivery: Arc::clone(&delivery) };
        encoder.map_buffer_on_submit(&buffer, MapMode::Read, .., move |_| drop(unread));
        Reading { gpu: gpu.clone(), delivery }
    }
}

/// What is not read yet. Dropping it reads it: wgpu does so as it calls back, or drops the callback uncalled if an
/// encoder is never submitted or if wgpu panics, perhaps after mapping.
struct Unread<T, F: FnOnce(&[u8]) -> Result<T>> {
    /// Always there, until it is dropped.
    inner: Option<(Slot, F)>,
    delivery: Arc<Delivery<T>>,
}

impl<T, F: FnOnce(&[u8]) -> Result<T>> Drop for Unread<T, F> {
    fn drop(&mut self) {
        let Some((slot, convert)) = self.inner.take() else { return };
        let Slot { buffer, permit } = slot;
        let wanted = Arc::strong_count(&self.delivery) > 1;
        let result = match buffer.get_mapped_range(..) {
            Ok(view) => {
                let result = wanted.then(|| convert(&view));
                drop(view);
                buffer.unmap();
                unpoisoned(&permit.0.slots).idle.push(buffer);
                result
            }
            // A buffer that may still be about to be mapped is not used again.
            Err(error) => {
                let reason = format!("results cannot be read, their work was not done or never submitted: {error}");
                Some(Err(Error::Gpu(reason)))
            }
        };
        drop(permit);
        if let Some(result) = result {
            self.delivery.deliver(result);
        }
    }
}

#[derive(Debug)]
struct Delivery<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// With who is to be told.
    Waiting(Option<Waker>),
    There(Result<T>),
    Taken,
}

impl<T> Delivery<T> {
    fn deliver(&self, result: Result<T>) {
        let before = std::mem::replace(&mut *unpoisoned(&self.0), State::There(result));
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }

    /// `None` until it is there.
    fn take(&self, waker: Option<&Waker>) -> Option<Result<T>> {
        let mut state = unpoisoned(&self.0);
        match std::mem::replace(&mut *state, State::Taken) {
            State::There(result) => Some(result),
            State::Taken => Some(Err(Error::data("reading", "its result was taken before"))),
            State::Waiting(before) => {
                *state = State::Waiting(waker.cloned().or(before));
                None
            }
        }
    }
}

/// Something on its way from the device to the host: a future, which may also be asked without waiting. It arrives when
/// the device is polled after the work is done, by the app's own loop, by [`Gpu::poll`] or, as wgpu does it, by any
/// submission; whoever polls then copies it. It may be looked at whenever, or dropped at any time.
#[derive(Debug)]
#[must_use = "a result that nobody takes is lost"]
pub struct Reading<T> {
    gpu: Gpu,
    delivery: Arc<Delivery<T>>,
}

impl<T> Reading<T> {
    /// What has arrived, once; `None` as long as it has not. Never waits. Errors: a lost device; work that was never
    /// submitted, or that wgpu refused; a result that was taken before.
    pub fn try_take(&mut self) -> Result<Option<T>> {
        self.take(None)
    }

    fn take(&self, waker: Option<&Waker>) -> Result<Option<T>> {
        match self.delivery.take(waker) {
            Some(Ok(result)) => Ok(Some(result)),
            Some(Err(error)) => self.gpu.alive().and(Err(error)),
            // It might never come.
            None => self.gpu.alive().map(|()| None),
        }
    }
}

impl<T> Future for Reading<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<T>> {
        match self.take(Some(context.waker())) {
            Ok(None) => Poll::Pending,
            Ok(Some(result)) => Poll::Ready(Ok(result)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
