//! Runs from the host's tensors to the host's tensors, in the program's own buffers.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

use wgpu::{BufferUsages, CommandEncoder, SubmissionIndex};

use super::Program;
use super::bind::Bindings;
use super::port::{Held, packed, unstaged};
use crate::error::{Error, Result};
use crate::gpu::timing::Clock;
use crate::gpu::transfer::{Reading, Slot, Staging};
use crate::gpu::unpoisoned;
use crate::plan::Port;
use crate::tensor::{Shape, Tensor};

/// What `run` uses: the program's own buffers and textures for graph inputs and outputs; and what recordings of an app
/// share with it.
#[derive(Debug)]
pub(in crate::gpu) struct Own {
    pub(super) inputs: Vec<Held>,
    pub(super) outputs: Vec<Held>,
    pub(in crate::gpu) bindings: Bindings,
    /// The plan's outputs, for callbacks.
    pub(super) ports: Arc<[Port]>,
    pub(in crate::gpu) staging: Staging,
    /// Made when it is first asked for.
    pub(in crate::gpu) clock: Mutex<Option<Arc<Clock>>>,
    /// Held from the upload of a run's inputs to its submission.
    pub(super) recording: Mutex<()>,
    /// By whom.
    pub(super) recorder: Mutex<Option<ThreadId>>,
}

/// The program's own buffers are this thread's.
struct Turn<'a> {
    recorder: &'a Mutex<Option<ThreadId>>,
    _recording: MutexGuard<'a, ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *unpoisoned(self.recorder) = None;
    }
}

/// The host's data for one graph input, owned or borrowed: a [`Tensor`], a [`slice`] of as many values, NCHW, as the
/// input has, a vector, or a reference to any of them.
pub trait Input: sealed::Sealed {
    /// Values, NCHW.
    #[doc(hidden)]
    fn values(&self) -> &[f32];
    /// The extents, if they are known.
    #[doc(hidden)]
    fn shape(&self) -> Option<Shape> {
        None
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::tensor::Tensor {}
    impl Sealed for [f32] {}
    impl Sealed for Vec<f32> {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

impl Input for Tensor {
    fn values(&self) -> &[f32] {
        self.data()
    }
    fn shape(&self) -> Option<Shape> {
        Some(Self::shape(self))
    }
}

impl Input for [f32] {
    fn values(&self) -> &[f32] {
        self
    }
}

impl Input for Vec<f32> {
    fn values(&self) -> &[f32] {
        self
    }
}

impl<T: Input + ?Sized> Input for &T {
    fn values(&self) -> &[f32] {
        T::values(self)
    }
    fn shape(&self) -> Option<Shape> {
        T::shape(self)
    }
}

impl Program {
    /// Uploads the inputs (NCHW, in the graph's order: tensors, or slices of `f32`, owned or borrowed), runs, and waits
    /// for the outputs; before that, where [`GpuOptions::frames`](crate::GpuOptions::frames) results are on their way,
    /// for one of them. Where ports are of another form ([`PlanOptions::port`](crate::PlanOptions::port)) or in
    /// textures, it converts both on the host. Not for callbacks of wgpu's, which any poll or submission calls: it would
    /// wait for what only their return lets go on. Errors: inputs of the wrong count, shape or length; a lost device; a
    /// timeout; a callback in the submission of another run.
    pub fn run<I: Input>(&self, inputs: &[I]) -> Result<Vec<Tensor>> {
        if !self.has_results(inputs)? {
            return unpack(self.own.ports.iter(), &[]);
        }
        let slot = self.own.staging.take(&self.gpu)?;
        let (reading, submission) = self.submit_run(inputs, slot)?;
        self.gpu.wait(submission)?;
        pollster::block_on(reading)
    }

    /// As [`Program::run`], without blocking: resolves once the device has been polled after the work is done, by the
    /// app's own loop or by [`Gpu::poll`](crate::Gpu::poll). Where [`GpuOptions::frames`](crate::GpuOptions::frames)
    /// results are on their way, it begins after one of them; a run that has begun and is dropped, or not polled, takes
    /// nobody's turn.
    pub async fn run_async<I: Input>(&self, inputs: &[I]) -> Result<Vec<Tensor>> {
        if !self.has_results(inputs)? {
            return unpack(self.own.ports.iter(), &[]);
        }
        let slot = self.own.staging.take_async(&self.gpu).await?;
        let (reading, _) = self.submit_run(inputs, slot)?;
        reading.await
    }

    /// Does everything that drivers leave to the first use: all dispatches run once, on whatever is in the program's
    /// own buffers, and the results are read and thrown away. Returns when that is done. Any thread may call it, while
    /// others use the device. Errors: a lost device; a timeout.
    pub fn warm_up(&self) -> Result<()> {
        self.gpu.alive()?;
        if self.is_empty() {
            return Ok(());
        }
        let slot = self.own.staging.take(&self.gpu)?;
        let (reading, submission) = self.submit(|| (), |encoder| self.record_run(encoder, slot))?;
        drop(reading);
        self.gpu.wait(submission)
    }

    /// Records that what the recordings before it wrote to the app's buffers is read: these need the usage `COPY_SRC`,
    /// too. Outputs in textures are left out, as they are there to be shown; the others arrive in the graph's order, once
    /// the encoder's work is submitted and done, and the device polled. Nothing waits, and `None`, with nothing recorded,
    /// says that [`GpuOptions::frames`](crate::GpuOptions::frames) results are already on their way: read this frame's
    /// later, or not at all. A result counts until it has arrived, or until an encoder that was never submitted is
    /// dropped. Errors: a buffer without that usage; a lost device; another program's bindings.
    ///
    /// ```no_run
    /// # fn frame(gpu: &spp_wgpu::Gpu, program: &spp_wgpu::Program, bindings: &spp_wgpu::Bindings,
    /// #          in_flight: &mut Vec<spp_wgpu::gpu::Reading<Vec<spp_wgpu::Tensor>>>) -> spp_wgpu::Result<()> {
    /// let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// program.record(&mut encoder, bindings)?;
    /// in_flight.extend(program.read(&mut encoder, bindings)?);
    /// gpu.queue().submit([encoder.finish()]);
    /// gpu.poll()?;
    /// if let Some(outputs) = in_flight.first_mut().map_or(Ok(None), |reading| reading.try_take())? {
    ///     in_flight.remove(0);
    ///     println!("{:?}", outputs[0].shape());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read(&self, encoder: &mut CommandEncoder, bindings: &Bindings) -> Result<Option<Reading<Vec<Tensor>>>> {
        self.check_bindings(bindings)?;
        self.gpu.alive()?;
        for (port, held) in self.plan.outputs.iter().zip(&bindings.outputs) {
            if let Held::Buffer(buffer, _) = held
                && !buffer.usage().contains(BufferUsages::COPY_SRC)
            {
                let reason = "its buffer lacks the usage COPY_SRC, which reading it needs";
                return Err(Error::data(format!("output '{}'", port.name), reason));
            }
        }
        Ok(self.own.staging.try_take(&self.gpu)?.map(|slot| self.copy_out(encoder, bindings, slot, is_in_buffer)))
    }

    /// Whether a run with these inputs has anything to compute; not in a batch of 0. Errors: inputs that do not fit; a
    /// lost device; a callback in the submission of another run, which would wait for that one's place.
    pub(in crate::gpu) fn has_results<I: Input>(&self, inputs: &[I]) -> Result<bool> {
        self.gpu.alive()?;
        self.not_called_back()?;
        check_inputs(&self.plan.inputs, inputs)?;
        Ok(!self.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.plan.outputs.iter().all(|port| port.shape.is_empty())
    }

    fn submit_run<I: Input>(&self, inputs: &[I], slot: Slot) -> Result<(Reading<Vec<Tensor>>, SubmissionIndex)> {
        self.submit(|| self.upload(inputs), |encoder| self.record_run(encoder, slot))
    }

    fn record_run(&self, encoder: &mut CommandEncoder, slot: Slot) -> Result<Reading<Vec<Tensor>>> {
        for part in 0..self.submissions() {
            if part > 0 {
                self.cut(encoder);
            }
            self.record_submission(encoder, &self.own.bindings, part)?;
        }
        Ok(self.copy_out(encoder, &self.own.bindings, slot, |_| true))
    }

    /// Errors: this thread submits already, and wgpu calls the app back meanwhile.
    fn not_called_back(&self) -> Result<()> {
        if *unpoisoned(&self.own.recorder) != Some(thread::current().id()) {
            return Ok(());
        }
        let reason = "a callback began it as wgpu submits another run of this program; begin it after, or elsewhere";
        Err(Error::data("run", reason))
    }

    /// Waits until no other thread uploads, records or submits. Errors: this one does.
    fn turn(&self) -> Result<Turn<'_>> {
        self.not_called_back()?;
        let Own { recording, recorder, .. } = &self.own;
        let _recording = unpoisoned(recording);
        *unpoisoned(recorder) = Some(thread::current().id());
        Ok(Turn { recorder, _recording })
    }

    /// Uploads, records and submits, as nobody else does so in the program's own buffers.
    pub(in crate::gpu) fn submit<T>(
        &self,
        upload: impl FnOnce(),
        record: impl FnOnce(&mut CommandEncoder) -> Result<T>,
    ) -> Result<(T, SubmissionIndex)> {
        let turn = self.turn()?;
        let submitted = self.gpu.scoped(|device| {
            upload();
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("spp") });
            let recorded = record(&mut encoder)?;
            Ok((recorded, self.gpu.queue().submit([encoder.finish()])))
        });
        drop(turn);
        submitted?
    }

    pub(in crate::gpu) fn upload<I: Input>(&self, inputs: &[I]) {
        for ((held, port), input) in self.own.inputs.iter().zip(&self.plan.inputs).zip(inputs) {
            held.write(&self.gpu, port, &packed(port, input.values()));
        }
    }

    /// Records copies of the bound outputs that are `wanted`.
    pub(in crate::gpu) fn copy_out(
        &self,
        encoder: &mut CommandEncoder,
        bindings: &Bindings,
        slot: Slot,
        wanted: fn(&Port) -> bool,
    ) -> Reading<Vec<Tensor>> {
        let mut end = 0;
        for (held, port) in bindings.outputs.iter().zip(&self.plan.outputs).filter(|(_, port)| wanted(port)) {
            held.read(encoder, port, slot.buffer(), end);
            end += port.staged_bytes();
        }
        let ports = Arc::clone(&self.own.ports);
        slot.read(&self.gpu, encoder, move |bytes| unpack(ports.iter().filter(|port| wanted(port)), bytes))
    }
}

fn is_in_buffer(port: &Port) -> bool {
    port.texels.is_none()
}

/// The tensors of these bytes.
fn unpack<'a>(ports: impl Iterator<Item = &'a Port>, bytes: &[u8]) -> Result<Vec<Tensor>> {
    let mut rest = bytes;
    let outputs = ports.map(|port| {
        let Some((data, after)) = rest.split_at_checked(port.staged_bytes() as usize) else {
            return Err(Error::data("results", format!("{} bytes are not all outputs", bytes.len())));
        };
        rest = after;
        unstaged(port, data)
    });
    outputs.collect()
}

fn check_inputs<I: Input>(ports: &[Port], inputs: &[I]) -> Result<()> {
    if ports.len() != inputs.len() {
        return Err(Error::data("inputs", format!("the graph has {}, got {}", ports.len(), inputs.len())));
    }
    for (port, input) in ports.iter().zip(inputs) {
        let op = || format!("input '{}'", port.name);
        if let Some(shape) = input.shape().filter(|shape| *shape != port.shape) {
            return Err(Error::mismatch(op(), format!("expects {}, got {shape}", port.shape)));
        }
        let (needed, got) = (port.shape.len(), input.values().len());
        if needed != got as u64 {
            return Err(Error::data(op(), format!("{} holds {needed} values, got {got}", port.shape)));
        }
    }
    Ok(())
}
