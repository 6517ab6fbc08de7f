//! A plan made real on a device: buffers allocated, weights uploaded, pipelines and bind groups built once.

use std::ops::Range;
use std::sync::Arc;

use wgpu::{BindGroup, CommandEncoder, ComputePass};

use super::Gpu;
use super::constants::Uploaded;
use super::kernel::Kernel;
use crate::error::{Error, Result};
use crate::plan::{Plan, Role};

mod bind;
mod build;
mod launches;
mod port;
mod run;

pub use bind::{Bindings, Bound};
use build::Source;
pub(super) use build::create;
use launches::Launches;
pub(in crate::gpu) use launches::second_layout;
pub use run::Input;
use run::Own;

/// A compiled graph. `Sync`: threads may share it; their runs queue up.
#[derive(Debug)]
pub struct Program {
    pub(in crate::gpu) gpu: Gpu,
    plan: Plan,
    /// `None` for a plan that somebody gave.
    source: Option<Source>,
    /// Weights and tables, also in `buffers`: other programs may have them, too.
    _constants: Vec<Arc<Uploaded>>,
    /// Like no other program's.
    identity: Arc<()>,
    /// By buffer number; `None` for graph inputs and outputs, which are bound per [`Bindings`].
    buffers: Vec<Option<wgpu::Buffer>>,
    params: wgpu::Buffer,
    params_offsets: Vec<usize>,
    dispatches: Vec<Dispatch>,
    pub(in crate::gpu) launches: Launches,
    pub(in crate::gpu) own: Own,
}

/// Of a step: its own, or all that it takes.
#[derive(Debug)]
struct Dispatch {
    kernel: Arc<Kernel>,
    /// `None` where a graph input or output is bound.
    bind_group: Option<BindGroup>,
    /// What a debug group around it is called, where one was asked for.
    group: Option<String>,
}

impl Program {
    /// What was planned, without the constants that were uploaded: clone a plan before [`Program::from_plan`] to keep
    /// them.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records all dispatches as one compute pass into the app's encoder: nothing is submitted or polled, no buffer
    /// made. Recordings share the program's scratch buffers, so that one begins when the one before it has ended,
    /// except with bindings of [`Program::bind_apart`]. Errors: a lost device; another program's bindings.
    pub fn record(&self, encoder: &mut CommandEncoder, bindings: &Bindings) -> Result<()> {
        self.record_launches(encoder, bindings, 0..self.launches.all.len())
    }

    /// As [`Program::record`], one part of [`Program::submissions`]: an app that has long work records each into an
    /// encoder of its own, from 0 on, and submits them in order; nothing else of this program may come between. Errors:
    /// no such part, besides.
    pub fn record_submission(&self, encoder: &mut CommandEncoder, bindings: &Bindings, part: usize) -> Result<()> {
        let Some(launches) = self.launches.submissions.get(part) else {
            let reason = format!("there is no part {part}; the program has {}", self.submissions());
            return Err(Error::data("submissions", reason));
        };
        self.record_launches(encoder, bindings, launches.clone())
    }

    fn record_launches(&self, encoder: &mut CommandEncoder, bindings: &Bindings, launches: Range<usize>) -> Result<()> {
        self.check_bindings(bindings)?;
        self.gpu.alive()?;
        let descriptor = wgpu::ComputePassDescriptor { label: Some("spp"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        self.launch(&mut pass, launches, bindings);
        Ok(())
    }

    /// Errors: another program made these bindings.
    pub(in crate::gpu) fn check_bindings(&self, bindings: &Bindings) -> Result<()> {
        if Arc::ptr_eq(&bindings.program, &self.identity) {
            return Ok(());
        }
        Err(Error::data("bindings", "another program made them; use those of this program's bind"))
    }

    pub(in crate::gpu) fn launch(&self, pass: &mut ComputePass, launches: Range<usize>, bindings: &Bindings) {
        for launch in &self.launches.all[launches] {
            let (dispatch, bound) = (&self.dispatches[launch.step], &bindings.bind_groups[launch.step]);
            if let Some(group) = &dispatch.group {
                pass.push_debug_group(group);
            }
            pass.set_pipeline(&dispatch.kernel.pipeline);
            pass.set_bind_group(0, bound.as_ref().or(dispatch.bind_group.as_ref()), &[]);
            if let Some(first) = launch.first {
                pass.set_bind_group(1, self.launches.first.as_ref(), &[first]);
            }
            pass.dispatch_workgroups(launch.workgroups[0], launch.workgroups[1], 1);
            if dispatch.group.is_some() {
                pass.pop_debug_group();
            }
        }
    }

    /// Fills every buffer that a run writes with `NaN`. For tests: a kernel that did not run must not look as if it had.
    pub fn poison(&self) -> Result<()> {
        let scratch = self.plan.buffers.iter().zip(&self.buffers).filter(|(buffer, _)| buffer.role == Role::Scratch);
        // Of any type; bytes have no NaN.
        let poison = |bytes: u64| vec![0xff; bytes as usize];
        let apart = self.own.bindings.scratch.iter().flatten();
        for buffer in scratch.filter_map(|(_, buffer)| buffer.as_ref()).chain(apart) {
            self.gpu.scoped(|_| self.gpu.queue().write_buffer(buffer, 0, &poison(buffer.size())))?;
        }
        for (output, port) in self.own.outputs.iter().zip(&self.plan.outputs) {
            self.gpu.scoped(|_| output.write(&self.gpu, port, &poison(port.bytes())))?;
        }
        Ok(())
    }
}
