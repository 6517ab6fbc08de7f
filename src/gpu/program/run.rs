//! Runs from the host's tensors to the host's tensors, in the program's own buffers.

use std::sync::Mutex;

use wgpu::{CommandEncoder, SubmissionIndex};

use super::Program;
use super::bind::Bindings;
use super::port::{Held, packed, unstaged};
use crate::error::{Error, Result};
use crate::gpu::transfer::Staging;
use crate::gpu::unpoisoned;
use crate::plan::Port;
use crate::tensor::Tensor;

/// What `run` uses: the program's own buffers and textures for graph inputs and outputs.
#[derive(Debug)]
pub(in crate::gpu) struct Own {
    pub(super) inputs: Vec<Held>,
    pub(super) outputs: Vec<Held>,
    pub(in crate::gpu) bindings: Bindings,
    pub(in crate::gpu) staging: Staging,
    /// Held from the upload of a run's inputs to its submission.
    pub(in crate::gpu) recording: Mutex<()>,
}

impl Program {
    /// Uploads the inputs (NCHW, in the graph's order), runs, and waits for the outputs. Where ports are of
    /// another form ([`PlanOptions::port`]), it converts both on the host. Errors: inputs of the wrong
    /// count or shape; a lost device; a timeout.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let Some((staging, submission)) = self.submit(inputs, |encoder| self.record_own(encoder))? else {
            return self.unpack(&[]);
        };
        let reading = self.own.staging.read(&self.gpu, staging)?;
        self.gpu.wait(submission)?;
        let bytes = pollster::block_on(reading)?;
        self.unpack(&bytes)
    }

    /// As [`Program::run`], without blocking: resolves once the device has been polled after the work is done, by the
    /// app's own loop or by [`Gpu::poll`].
    pub async fn run_async(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let Some((staging, _)) = self.submit(inputs, |encoder| self.record_own(encoder))? else {
            return self.unpack(&[]);
        };
        let bytes = self.own.staging.read(&self.gpu, staging)?.await?;
        self.unpack(&bytes)
    }

    fn record_own(&self, encoder: &mut CommandEncoder) -> Result<()> {
        for part in 0..self.submissions() {
            if part > 0 {
                self.cut(encoder);
            }
            self.record_submission(encoder, &self.own.bindings, part)?;
        }
        Ok(())
    }

    /// Uploads, records by `record` and submits; `None` where there is nothing to compute (a batch of 0).
    pub(in crate::gpu) fn submit(
        &self,
        inputs: &[Tensor],
        record: impl FnOnce(&mut CommandEncoder) -> Result<()>,
    ) -> Result<Option<(wgpu::Buffer, SubmissionIndex)>> {
        self.gpu.alive()?;
        check_inputs(&self.plan.inputs, inputs)?;
        if self.plan.outputs.iter().all(|port| port.shape.is_empty()) {
            return Ok(None);
        }
        let staging = self.own.staging.take(&self.gpu)?;
        let recording = unpoisoned(&self.own.recording);
        let submission = self.gpu.scoped(|device| {
            for ((held, port), input) in self.own.inputs.iter().zip(&self.plan.inputs).zip(inputs) {
                held.write(&self.gpu, port, &packed(port, input.data()));
            }
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("spp") });
            record(&mut encoder)?;
            let mut offset = 0;
            for (held, port) in self.own.outputs.iter().zip(&self.plan.outputs) {
                held.read(&mut encoder, port, &staging, offset);
                offset += port.staged_bytes();
            }
            Ok(self.gpu.queue().submit([encoder.finish()]))
        });
        drop(recording);
        Ok(Some((staging, submission??)))
    }

    pub(in crate::gpu) fn unpack(&self, bytes: &[u8]) -> Result<Vec<Tensor>> {
        let mut rest = bytes;
        let outputs = self.plan.outputs.iter().map(|port| {
            let outputs = rest.split_at_checked(port.staged_bytes() as usize);
            let (data, after) = outputs.expect("what is read back is as long as all outputs");
            rest = after;
            unstaged(port, data)
        });
        outputs.collect()
    }
}

fn check_inputs(ports: &[Port], inputs: &[Tensor]) -> Result<()> {
    if ports.len() != inputs.len() {
        return Err(Error::data("inputs", format!("the graph has {}, got {}", ports.len(), inputs.len())));
    }
    for (port, input) in ports.iter().zip(inputs) {
        if port.shape != input.shape() {
            let detail = format!("expects {}, got {}", port.shape, input.shape());
            return Err(Error::mismatch(format!("input '{}'", port.name), detail));
        }
    }
    Ok(())
}
