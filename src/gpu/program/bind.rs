//! The app's buffers for graph inputs and outputs.

use std::sync::Arc;

use wgpu::{BindGroup, Buffer, BufferBinding, BufferUsages};

use super::Program;
use super::build::{bind_group, create};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::plan::{Plan, Port, Role};

/// The buffers that one recording reads and writes: see [`Program::bind`].
#[derive(Debug)]
pub struct Bindings {
    /// One entry per dispatch, `None` where the program's own bind group is used.
    pub(super) bind_groups: Vec<Option<BindGroup>>,
    /// Where each graph output is written: a buffer, and the offset in it.
    pub(super) outputs: Vec<(Buffer, u64)>,
    /// The [`Program::identity`] of the program that they are for.
    pub(super) program: Arc<()>,
}

impl Program {
    /// Prepares recordings that read graph inputs from `inputs` and write graph outputs to `outputs`, in the graph's
    /// order: dense NCHW of the type [`PlanOptions::ports`] in the app's buffers, with usage `STORAGE`. They may lie apart
    /// from each other in one buffer, unless a dispatch reads one and writes the other. An odd number of `f16` takes whole
    /// words: what fills up the last one is neither read nor written. Errors: a buffer that is too small, lacks that usage, is
    /// misaligned, would be read and written at once, or belongs to another device. It cannot recognise buffers of
    /// another wgpu instance: wgpu may panic.
    pub fn bind(&self, inputs: &[BufferBinding], outputs: &[BufferBinding]) -> Result<Bindings> {
        self.bind_with(inputs, outputs, &[])
    }

    /// As [`Program::bind`], with scratch buffers of their own, which take [`Plan::scratch_bytes`] of the device's memory
    /// until the bindings are dropped: recordings with these bindings and with others share nothing that is written, if
    /// inputs and outputs are others, too, so that a device may work on several at once. One set for each frame in flight
    /// is enough. Errors: those of [`Program::bind`]; out of memory.
    pub fn bind_apart(&self, inputs: &[BufferBinding], outputs: &[BufferBinding]) -> Result<Bindings> {
        self.gpu.alive()?;
        let own = self.plan.buffers.iter().map(|buffer| match buffer.role {
            Role::Scratch => create(&self.gpu, &buffer.label, buffer.bytes()).map(Some),
            _ => Ok(None),
        });
        self.bind_with(inputs, outputs, &own.collect::<Result<Vec<_>>>()?)
    }

    /// With these buffers, by buffer number, instead of the program's.
    fn bind_with(
        &self,
        inputs: &[BufferBinding],
        outputs: &[BufferBinding],
        apart: &[Option<Buffer>],
    ) -> Result<Bindings> {
        self.gpu.alive()?;
        check_ports("input", &self.gpu, &self.plan.inputs, inputs)?;
        check_ports("output", &self.gpu, &self.plan.outputs, outputs)?;
        check_apart(&self.plan, inputs, outputs)?;
        let mut bind_groups = Vec::with_capacity(self.dispatches.len());
        for (i, (step, dispatch)) in self.plan.steps.iter().zip(&self.dispatches).enumerate() {
            let apart = |index: usize| apart.get(index).and_then(Option::as_ref);
            if dispatch.bind_group.is_some() && step.bindings.iter().all(|b| apart(b.buffer.index()).is_none()) {
                bind_groups.push(None);
                continue;
            }
            let bound = step.bindings.iter().map(|binding| {
                let index = binding.buffer.index();
                match (apart(index).or(self.buffers[index].as_ref()), &self.plan.buffers[index].role) {
                    (Some(buffer), _) => buffer.as_entire_buffer_binding(),
                    (None, Role::Output(position)) => sized(&outputs[*position], self.plan.buffers[index].bytes()),
                    (None, Role::Input(position)) => sized(&inputs[*position], self.plan.buffers[index].bytes()),
                    (None, _) => self.params.as_entire_buffer_binding(),
                }
            });
            let bound: Vec<BufferBinding> = bound.collect();
            bind_groups.push(Some(bind_group(
                &self.gpu,
                step,
                &dispatch.kernel,
                &bound,
                (&self.params, self.params_offsets[i]),
            )?));
        }
        let outputs = outputs.iter().map(|binding| (binding.buffer.clone(), binding.offset)).collect();
        Ok(Bindings { bind_groups, outputs, program: Arc::clone(&self.identity) })
    }
}

/// `binding` cut to the size the plan needs.
fn sized<'a>(binding: &BufferBinding<'a>, bytes: u64) -> BufferBinding<'a> {
    BufferBinding { size: std::num::NonZero::new(bytes), ..binding.clone() }
}

fn check_ports(kind: &str, gpu: &Gpu, ports: &[Port], bindings: &[BufferBinding]) -> Result<()> {
    if ports.len() != bindings.len() {
        return Err(Error::data(format!("{kind}s"), format!("the graph has {}, got {}", ports.len(), bindings.len())));
    }
    let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
    for (port, BufferBinding { buffer, offset, size }) in ports.iter().zip(bindings) {
        let needed = port.bytes();
        let room = size.map_or_else(|| buffer.size().saturating_sub(*offset), |size| size.get());
        let problem = if !buffer.usage().contains(BufferUsages::STORAGE) {
            "its buffer lacks the usage STORAGE".into()
        } else if offset % alignment != 0 {
            format!("its offset {offset} is not a multiple of min_storage_buffer_offset_alignment, {alignment}")
        } else if room < needed || offset.saturating_add(room) > buffer.size() {
            format!(
                "{} needs {needed} bytes, its binding holds {room} from offset {offset} of a buffer of {}",
                port.shape,
                buffer.size()
            )
        } else {
            continue;
        };
        return Err(Error::data(format!("{kind} '{}'", port.name), problem));
    }
    Ok(())
}

/// Outputs overlap nothing, and no dispatch reads and writes one of the app's buffers.
fn check_apart(plan: &Plan, inputs: &[BufferBinding], outputs: &[BufferBinding]) -> Result<()> {
    let refused = |port: &Port, reason: String| Err(Error::data(format!("output '{}'", port.name), reason));
    let inputs = plan.inputs.iter().zip(inputs);
    let outputs = plan.outputs.iter().zip(outputs);
    for (i, (output, at)) in outputs.clone().enumerate() {
        let others = inputs.clone().chain(outputs.clone().take(i));
        let mut shared = others.filter(|(_, other)| other.buffer == at.buffer);
        let overlaps = |port: &Port, other: &BufferBinding| {
            at.offset < other.offset + port.bytes() && other.offset < at.offset + output.bytes()
        };
        if let Some((port, _)) = shared.find(|(port, other)| overlaps(port, other)) {
            return refused(output, format!("its bytes are bound twice, for '{}' as well", port.name));
        }
    }
    for step in &plan.steps {
        let ports = inputs.clone().chain(outputs.clone());
        let bound = |written: bool| {
            let binds = move |port: &Port| {
                step.bindings.iter().any(|binding| (binding.buffer, binding.written) == (port.buffer, written))
            };
            ports.clone().filter(move |(port, _)| binds(port))
        };
        for (output, at) in bound(true) {
            if let Some((read, _)) = bound(false).find(|(_, other)| other.buffer == at.buffer) {
                let (node, read) = (&step.node, &read.name);
                let reason = format!("'{node}' reads '{read}' as it writes this: wgpu allows that in two buffers only");
                return refused(output, reason);
            }
        }
    }
    Ok(())
}
