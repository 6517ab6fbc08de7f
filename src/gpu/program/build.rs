//! From a plan to a program: buffers, weights, kernels, bind groups.

use std::sync::Arc;

use wgpu::{BindGroup, BindGroupEntry, BufferBinding, BufferDescriptor, BufferUsages};

use super::bind::Bindings;
use super::run::Own;
use super::{Dispatch, Program};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::{Kernel, folded};
use crate::gpu::transfer::Staging;
use crate::gpu::trusted::Checks;
use crate::graph::Graph;
use crate::plan::{Plan, PlanOptions, Port, Role, Step};

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
        let Plan { buffers: planned, steps, .. } = &mut plan;
        let buffers = planned.iter_mut().map(|buffer| {
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
        let (kernels, buffers) = gpu.kernels(steps, checks, || buffers.collect::<Result<Vec<_>>>());
        let (kernels, buffers) = (kernels?, buffers?);
        let (offsets, params_len) = params_offsets(gpu, &plan);
        let params = upload_params(gpu, &plan, &offsets, params_len)?;
        let max = plan.profile.max_workgroups.min(gpu.profile().max_workgroups);
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
            let group = gpu.inner.debug_groups.then(|| format!("spp/{}", step.node));
            dispatches.push(Dispatch { kernel, bind_group, workgroups: folded(step.workgroups, max), group });
        }
        let ports = |ports: &[Port]| -> Result<Vec<wgpu::Buffer>> {
            ports.iter().map(|port| create(gpu, &port.name, port.bytes())).collect()
        };
        let (inputs, outputs) = (ports(&plan.inputs)?, ports(&plan.outputs)?);
        let bytes = plan.outputs.iter().map(Port::bytes).sum();
        let identity = Arc::new(());
        let bindings = Bindings { bind_groups: Vec::new(), outputs: Vec::new(), program: Arc::clone(&identity) };
        let (ports, staging) = (plan.outputs.as_slice().into(), Staging::new(gpu, bytes));
        let own =
            Own { inputs, outputs, bindings, ports, staging, clock: Default::default(), recording: Default::default() };
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
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("spp") });
            let recorded = self.record(&mut encoder, &self.own.bindings);
            drop(encoder.finish());
            recorded
        })?
    }
}

pub(super) fn create(gpu: &Gpu, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
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

pub(super) fn bind_group(
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
