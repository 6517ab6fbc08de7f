//! A plan made real on a device: buffers allocated, weights uploaded, pipelines and bind groups built once.

use std::ops::Range;
use std::sync::Arc;

use wgpu::{BindGroup, CommandEncoder, ComputePass};

use super::Gpu;
use super::kernel::Kernel;
use crate::error::{Error, Result};
use crate::plan::{Plan, Role};

mod bind;
mod build;
mod run;

pub use bind::Bindings;
pub use run::Input;
use run::Own;

/// A compiled graph. `Sync`: threads may share it; their runs queue up.
#[derive(Debug)]
pub struct Program {
    pub(in crate::gpu) gpu: Gpu,
    plan: Plan,
    /// Like no other program's.
    identity: Arc<()>,
    /// By buffer number; `None` for graph inputs and outputs, which are bound per [`Bindings`].
    buffers: Vec<Option<wgpu::Buffer>>,
    params: wgpu::Buffer,
    params_offsets: Vec<usize>,
    dispatches: Vec<Dispatch>,
    pub(in crate::gpu) own: Own,
}

#[derive(Debug)]
struct Dispatch {
    kernel: Arc<Kernel>,
    /// `None` where a graph input or output is bound.
    bind_group: Option<BindGroup>,
    workgroups: [u32; 2],
    /// What a debug group around it is called, where one was asked for.
    group: Option<String>,
}

impl Program {
    /// What was planned, without the constants that were uploaded: clone a plan before [`Program::from_plan`] to keep
    /// them.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records all dispatches as one compute pass into the app's encoder: nothing is submitted or polled, no buffer made.
    /// Recordings share the program's scratch buffers, so that one begins when the one before it has ended, except with
    /// bindings of [`Program::bind_apart`]. Errors: a lost device; another program's bindings.
    pub fn record(&self, encoder: &mut CommandEncoder, bindings: &Bindings) -> Result<()> {
        self.made(bindings)?;
        self.gpu.alive()?;
        let descriptor = wgpu::ComputePassDescriptor { label: Some("spp"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        self.dispatch(&mut pass, 0..self.dispatches.len(), bindings);
        Ok(())
    }

    /// Errors: another program made these bindings.
    pub(in crate::gpu) fn made(&self, bindings: &Bindings) -> Result<()> {
        if Arc::ptr_eq(&bindings.program, &self.identity) {
            return Ok(());
        }
        Err(Error::data("bindings", "another program made them; use those of this program's bind"))
    }

    pub(in crate::gpu) fn dispatch(&self, pass: &mut ComputePass, steps: Range<usize>, bindings: &Bindings) {
        for (dispatch, bound) in self.dispatches[steps.clone()].iter().zip(&bindings.bind_groups[steps]) {
            if let Some(group) = &dispatch.group {
                pass.push_debug_group(group);
            }
            pass.set_pipeline(&dispatch.kernel.pipeline);
            pass.set_bind_group(0, bound.as_ref().or(dispatch.bind_group.as_ref()), &[]);
            pass.dispatch_workgroups(dispatch.workgroups[0], dispatch.workgroups[1], 1);
            if dispatch.group.is_some() {
                pass.pop_debug_group();
            }
        }
    }

    /// Fills every buffer that a run writes with `NaN`. For tests: a kernel that did not run must not look as if it had.
    pub fn poison(&self) -> Result<()> {
        let scratch = self.plan.buffers.iter().zip(&self.buffers).filter(|(buffer, _)| buffer.role == Role::Scratch);
        for buffer in scratch.filter_map(|(_, buffer)| buffer.as_ref()).chain(&self.own.outputs) {
            // Of any type.
            let poison = vec![u32::MAX; buffer.size() as usize / size_of::<u32>()];
            self.gpu.scoped(|_| self.gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&poison)))?;
        }
        Ok(())
    }
}
