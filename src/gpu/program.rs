//! A plan made real on a device: buffers allocated, weights uploaded, pipelines and bind groups built once.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::vec::HalfFloatVecExt;
use wgpu::{
    BindGroup, BindGroupEntry, BufferBinding, BufferDescriptor, BufferUsages, CommandEncoder, ComputePass,
    SubmissionIndex,
};

use super::kernel::{Kernel, folded};
use super::transfer::Staging;
use super::trusted::Checks;
use super::{Gpu, unpoisoned};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{Element, Plan, PlanOptions, Port, Role, Step};
use crate::tensor::Tensor;

/// A compiled graph. `Sync`: threads may share it; their runs queue up.
#[derive(Debug)]
pub struct Program {
    pub(super) gpu: Gpu,
    plan: Plan,
    /// Like no other program's.
    identity: Arc<()>,
    /// By buffer number; `None` for graph inputs and outputs, which are bound per [`Bindings`].
    buffers: Vec<Option<wgpu::Buffer>>,
    params: wgpu::Buffer,
    params_offsets: Vec<usize>,
    dispatches: Vec<Dispatch>,
    pub(super) own: Own,
}

#[derive(Debug)]
struct Dispatch {
    kernel: Arc<Kernel>,
    /// `None` where a graph input or output is bound.
    bind_group: Option<BindGroup>,
    workgroups: [u32; 2],
}

/// What `run` uses: the program's own buffers for graph inputs and outputs.
#[derive(Debug)]
pub(super) struct Own {
    inputs: Vec<wgpu::Buffer>,
    outputs: Vec<wgpu::Buffer>,
    pub(super) bindings: Bindings,
    pub(super) staging: Staging,
    /// Held from the upload of a run's inputs to its submission.
    pub(super) recording: Mutex<()>,
}

/// The buffers that one recording reads and writes: see [`Program::bind`].
#[derive(Debug)]
pub struct Bindings {
    /// One entry per dispatch, `None` where the program's own bind group is used.
    bind_groups: Vec<Option<BindGroup>>,
    /// The [`Program::identity`] of the program that they are for.
    program: Arc<()>,
}

/// Everything that a kernel writes or reads; `COPY_DST` for uploads.
const USAGE: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_DST).union(BufferUsages::COPY_SRC);

impl Program {
    /// Plans and builds `graph` with the default options. Errors: those of [`Plan::new`]; out of memory; a driver that
    /// refuses a shader.
    pub fn new(gpu: &Gpu, graph: &Graph) -> Result<Self> {
        Self::with_options(gpu, graph, &PlanOptions::default())
    }

    /// As [`Program::new`], with options for the planner.
    pub fn with_options(gpu: &Gpu, graph: &Graph, options: &PlanOptions) -> Result<Self> {
        Self::from_own_plan(gpu, Plan::new(graph, gpu.profile(), options)?)
    }

    /// Builds a plan made for this device. Anyone may have changed it, so its kernels run with wgpu's checks, as
    /// with [`GpuOptions::checked`](super::GpuOptions::checked): whatever was changed, it is an error or a program that
    /// runs. Errors: a plan that names what it does not have, or is beyond the device's limits; what wgpu refuses; out
    /// of memory; a driver that refuses a shader.
    pub fn from_plan(gpu: &Gpu, plan: Plan) -> Result<Self> {
        plan.check_for(gpu.profile())?;
        Self::build(gpu, plan, Checks::All)
    }

    /// Builds a plan that this crate has made for this device and has given to nobody.
    pub(crate) fn from_own_plan(gpu: &Gpu, plan: Plan) -> Result<Self> {
        Self::build(gpu, plan, if gpu.inner.checked { Checks::All } else { Checks::None })
    }

    fn build(gpu: &Gpu, mut plan: Plan, checks: Checks) -> Result<Self> {
        let buffers = plan.buffers.iter_mut().map(|buffer| {
            let bytes = buffer.bytes();
            let created = match &mut buffer.role {
                Role::Input(_) | Role::Output(_) => return Ok(None),
                Role::Scratch => create(gpu, &buffer.label, bytes)?,
                Role::Constant(values) => {
                    let created = create(gpu, &buffer.label, bytes)?;
                    // The device has them now; a network's weights need not be in memory twice.
                    let values = std::mem::take(values);
                    gpu.scoped(|_| gpu.queue().write_buffer(&created, 0, bytemuck::cast_slice(&values)))?;
                    created
                }
            };
            Ok(Some(created))
        });
        let buffers = buffers.collect::<Result<Vec<_>>>()?;
        let (offsets, params_len) = params_offsets(gpu, &plan);
        let params = upload_params(gpu, &plan, &offsets, params_len)?;
        let max = plan.profile.max_workgroups.min(gpu.profile().max_workgroups);
        let kernels = plan.steps.iter().map(|step| gpu.kernel(step, checks)).collect::<Result<Vec<_>>>()?;
        let mut dispatches = Vec::with_capacity(kernels.len());
        for (i, (step, kernel)) in plan.steps.iter().zip(kernels).enumerate() {
            let bound: Option<Vec<_>> = step.bindings.iter().map(|b| buffers[b.buffer.index()].as_ref()).collect();
            let bind_group = match bound {
                Some(bound) => {
                    let bound: Vec<_> = bound.iter().map(|buffer| buffer.as_entire_buffer_binding()).collect();
                    Some(bind_group(gpu, step, &kernel, &bound, (&params, offsets[i]))?)
                }
                None => None,
            };
            dispatches.push(Dispatch { kernel, bind_group, workgroups: folded(step.workgroups, max) });
        }
        let ports = |ports: &[Port]| -> Result<Vec<wgpu::Buffer>> {
            ports.iter().map(|port| create(gpu, &port.name, port.bytes())).collect()
        };
        let (inputs, outputs) = (ports(&plan.inputs)?, ports(&plan.outputs)?);
        let bytes = plan.outputs.iter().map(Port::bytes).sum();
        let identity = Arc::new(());
        let bindings = Bindings { bind_groups: Vec::new(), program: Arc::clone(&identity) };
        let own = Own { inputs, outputs, bindings, staging: Staging::new(bytes), recording: Mutex::default() };
        let (gpu, params_offsets) = (gpu.clone(), offsets);
        let mut program = Self { gpu, plan, identity, buffers, params, params_offsets, dispatches, own };
        let (inputs, outputs) = (program.own.inputs.clone(), program.own.outputs.clone());
        let binding = |buffer| wgpu::Buffer::as_entire_buffer_binding(buffer);
        let [inputs, outputs] = [&inputs, &outputs].map(|buffers| buffers.iter().map(binding).collect::<Vec<_>>());
        program.own.bindings = program.bind(&inputs, &outputs)?;
        program.rehearse()?;
        Ok(program)
    }

    /// Records once for nobody: wgpu looks at bindings only then, and would complain about a changed plan in the app's
    /// encoder.
    fn rehearse(&self) -> Result<()> {
        self.gpu.scoped(|device| {
            let mut encoder = device.create_command_encoder(&Default::default());
            let recorded = self.record(&mut encoder, &self.own.bindings);
            drop(encoder.finish());
            recorded
        })?
    }

    /// What was planned, without the constants that were uploaded: clone a plan before [`Program::from_plan`] to keep
    /// them.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Uploads the inputs (NCHW, in the graph's order), runs, and waits for the outputs. Where [`PlanOptions::ports`] says
    /// `f16`, it converts both on the host. Errors: inputs of the wrong
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

    /// Prepares recordings that read graph inputs from `inputs` and write graph outputs to `outputs`, in the graph's
    /// order: dense NCHW of the type [`PlanOptions::ports`] in the app's buffers, with usage `STORAGE`. They may lie apart
    /// from each other in one buffer, unless a dispatch reads one and writes the other. An odd number of `f16` takes whole
    /// words: what fills up the last one is neither read nor written. Errors: a buffer that is too small, lacks that usage, is
    /// misaligned, would be read and written at once, or belongs to another device. It cannot recognise buffers of
    /// another wgpu instance: wgpu may panic.
    pub fn bind(&self, inputs: &[BufferBinding], outputs: &[BufferBinding]) -> Result<Bindings> {
        self.gpu.alive()?;
        check_ports("input", &self.gpu, &self.plan.inputs, inputs)?;
        check_ports("output", &self.gpu, &self.plan.outputs, outputs)?;
        check_apart(&self.plan, inputs, outputs)?;
        let mut bind_groups = Vec::with_capacity(self.dispatches.len());
        for (i, (step, dispatch)) in self.plan.steps.iter().zip(&self.dispatches).enumerate() {
            if dispatch.bind_group.is_some() {
                bind_groups.push(None);
                continue;
            }
            let bound = step.bindings.iter().map(|binding| {
                let index = binding.buffer.index();
                match (&self.buffers[index], &self.plan.buffers[index].role) {
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
        Ok(Bindings { bind_groups, program: Arc::clone(&self.identity) })
    }

    /// Records all dispatches as one compute pass into the app's encoder: nothing is submitted or polled, no buffer made.
    /// Recordings of one program share its scratch buffers; submit them in order on one queue. Errors: a lost device;
    /// another program's bindings.
    pub fn record(&self, encoder: &mut CommandEncoder, bindings: &Bindings) -> Result<()> {
        if !Arc::ptr_eq(&bindings.program, &self.identity) {
            return Err(Error::data("bindings", "another program made them; use those of this program's bind"));
        }
        self.gpu.alive()?;
        let descriptor = wgpu::ComputePassDescriptor { label: Some("spp"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        self.dispatch(&mut pass, 0..self.dispatches.len(), bindings);
        Ok(())
    }

    pub(super) fn dispatch(&self, pass: &mut ComputePass, steps: Range<usize>, bindings: &Bindings) {
        for (dispatch, bound) in self.dispatches[steps.clone()].iter().zip(&bindings.bind_groups[steps]) {
            pass.set_pipeline(&dispatch.kernel.pipeline);
            pass.set_bind_group(0, bound.as_ref().or(dispatch.bind_group.as_ref()), &[]);
            pass.dispatch_workgroups(dispatch.workgroups[0], dispatch.workgroups[1], 1);
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

    fn record_own(&self, encoder: &mut CommandEncoder) -> Result<()> {
        self.record(encoder, &self.own.bindings)
    }

    /// Uploads, records by `record` and submits; `None` where there is nothing to compute (a batch of 0).
    pub(super) fn submit(
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
            for ((buffer, port), input) in self.own.inputs.iter().zip(&self.plan.inputs).zip(inputs) {
                match port.element {
                    Element::F16 => {
                        let mut halves = Vec::<f16>::from_f32_slice(input.data());
                        halves.resize(port.bytes() as usize / size_of::<f16>(), f16::ZERO);
                        self.gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(halves.reinterpret_cast()));
                    }
                    _ => self.gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(input.data())),
                }
            }
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("spp") });
            record(&mut encoder)?;
            let mut offset = 0;
            for (buffer, port) in self.own.outputs.iter().zip(&self.plan.outputs) {
                let bytes = port.bytes();
                encoder.copy_buffer_to_buffer(buffer, 0, &staging, offset, bytes);
                offset += bytes;
            }
            Ok(self.gpu.queue().submit([encoder.finish()]))
        });
        drop(recording);
        Ok(Some((staging, submission??)))
    }

    pub(super) fn unpack(&self, bytes: &[u8]) -> Result<Vec<Tensor>> {
        let mut rest = bytes;
        let outputs = self.plan.outputs.iter().map(|port| {
            let outputs = rest.split_at_checked(port.bytes() as usize);
            let (data, after) = outputs.expect("what is read back is as long as all outputs");
            rest = after;
            let values = match port.element {
                Element::F16 => {
                    let halves: Vec<u16> = bytemuck::pod_collect_to_vec(data);
                    let values: &[f16] = halves.reinterpret_cast();
                    values[..port.shape.len() as usize].to_f32_vec()
                }
                _ => bytemuck::pod_collect_to_vec(data),
            };
            Tensor::new(port.shape, values)
        });
        outputs.collect()
    }
}

fn create(gpu: &Gpu, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
    let label = format!("spp/{label}");
    let size = bytes.max(4); // a batch of 0 has no bytes, but a binding must have some
    gpu.scoped(|device| {
        device.create_buffer(&BufferDescriptor { label: Some(&label), size, usage: USAGE, mapped_at_creation: false })
    })
}

/// Where each step's parameters begin in their common buffer, and its size.
fn params_offsets(gpu: &Gpu, plan: &Plan) -> (Vec<usize>, usize) {
    let alignment = gpu.device().limits().min_uniform_buffer_offset_alignment.max(1) as usize;
    let mut end = 0;
    let mut begin = |step: &Step| {
        let begin = end;
        end += step.params.len().next_multiple_of(alignment);
        begin
    };
    let offsets = plan.steps.iter().map(&mut begin).collect();
    (offsets, end.max(alignment))
}

/// The parameters of all steps.
fn upload_params(gpu: &Gpu, plan: &Plan, offsets: &[usize], len: usize) -> Result<wgpu::Buffer> {
    let mut bytes = vec![0; len];
    for (&offset, step) in offsets.iter().zip(&plan.steps) {
        bytes[offset..offset + step.params.len()].copy_from_slice(&step.params);
    }
    gpu.scoped(|device| {
        let buffer = device.create_buffer(&BufferDescriptor {
            label: Some("spp/params"),
            size: len as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue().write_buffer(&buffer, 0, &bytes);
        buffer
    })
}

fn bind_group(
    gpu: &Gpu,
    step: &Step,
    kernel: &Kernel,
    bound: &[BufferBinding],
    (params, offset): (&wgpu::Buffer, usize),
) -> Result<BindGroup> {
    let storage = step.bindings.iter().zip(bound);
    let mut entries: Vec<BindGroupEntry> = storage
        .map(|(binding, bound)| BindGroupEntry {
            binding: binding.slot,
            resource: wgpu::BindingResource::Buffer(bound.clone()),
        })
        .collect();
    entries.push(BindGroupEntry {
        binding: step.shader.params_binding,
        resource: wgpu::BindingResource::Buffer(BufferBinding {
            buffer: params,
            offset: offset as u64,
            size: std::num::NonZero::new(step.params.len() as u64),
        }),
    });
    let label = format!("spp/{}", step.node);
    gpu.scoped(|device| {
        let descriptor = wgpu::BindGroupDescriptor { label: Some(&label), layout: &kernel.layout, entries: &entries };
        device.create_bind_group(&descriptor)
    })
}

/// `binding` cut to the size the plan needs.
fn sized<'a>(binding: &BufferBinding<'a>, bytes: u64) -> BufferBinding<'a> {
    BufferBinding { size: std::num::NonZero::new(bytes), ..binding.clone() }
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
