//! From a plan to a program: buffers, weights, kernels, bind groups.

use std::collections::HashMap;
use std::sync::Arc;

use wgpu::{BindGroup, BindGroupEntry, BindingResource, BufferBinding, BufferDescriptor, BufferUsages};

use super::bind::Bindings;
use super::launches::Launches;
use super::port::Held;
use super::run::Own;
use super::{Dispatch, Program};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::kernel::Kernel;
use crate::gpu::transfer::Staging;
use crate::gpu::trusted::Checks;
use crate::graph::Graph;
use crate::plan::{BufferId, Draft, Plan, PlanOptions, Port, Role, Step};
use crate::tensor::Shape;

/// Everything that a kernel writes or reads; `COPY_DST` for uploads.
const USAGE: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_DST).union(BufferUsages::COPY_SRC);

/// What a program was made of, to make others of it.
#[derive(Debug)]
pub(super) struct Source {
    graph: Graph,
    options: PlanOptions,
}

impl Program {
    /// Plans and builds `graph` with the default options. Errors: those of [`Plan::new`]; out of memory; a driver that
    /// refuses a shader.
    pub fn new(gpu: &Gpu, graph: &Graph) -> Result<Self> {
        Self::with_options(gpu, graph, &PlanOptions::default())
    }

    /// As [`Program::new`], with options for the planner.
    pub fn with_options(gpu: &Gpu, graph: &Graph, options: &PlanOptions) -> Result<Self> {
        Self::of(gpu, Source { graph: graph.clone(), options: options.clone() })
    }

    /// The same graph for other inputs, batch included: see [`Graph::resized`], also for what cannot be resized.
    /// Weights stay where they are on the device, and both programs may run; kernels are compiled where the planner has
    /// others for such a size that no program had yet, and weights are packed again where these want them in another
    /// order. The results are those of a new program, to the bit. Bindings are of one program: bind again. Errors: a
    /// program of [`Program::from_plan`], and those of [`Graph::resized`] and [`Program::with_options`].
    pub fn resized(&self, shapes: &[Shape]) -> Result<Self> {
        let Source { graph, options } = self.source()?;
        Self::of(&self.gpu, Source { graph: graph.resized(shapes)?, options: options.clone() })
    }

    /// The same program on another device, above all after a loss: of the weights in host memory, with nothing of the
    /// old device. On the same adapter and driver it gives the same bits. Bind again, to buffers of that device.
    /// Errors: a program of [`Program::from_plan`], and those of [`Program::with_options`].
    pub fn rebuild(&self, gpu: &Gpu) -> Result<Self> {
        let Source { graph, options } = self.source()?;
        Self::of(gpu, Source { graph: graph.clone(), options: options.clone() })
    }

    fn source(&self) -> Result<&Source> {
        self.source.as_ref().ok_or_else(|| {
            Error::data("program", "was made from a plan, which has no graph; use Program::with_options on the graph")
        })
    }

    fn of(gpu: &Gpu, source: Source) -> Result<Self> {
        let draft = Plan::draft(&source.graph, gpu.profile(), &source.options)?;
        let checks = if gpu.inner.checked { Checks::All } else { Checks::None };
        Ok(Self { source: Some(source), ..Self::build(gpu, draft, checks)? })
    }

    /// Builds a plan made for this device. Anyone may have changed it, so its kernels run with wgpu's checks, as
    /// with [`GpuOptions::checked`](crate::GpuOptions::checked): whatever was changed, it is an error or a program that
    /// runs. Errors: a plan that names what it does not have, or is beyond the device's limits; what wgpu refuses; out
    /// of memory; a driver that refuses a shader.
    pub fn from_plan(gpu: &Gpu, plan: Plan) -> Result<Self> {
        plan.check_for(gpu.profile())?;
        Self::build(gpu, Draft { plan, contents: HashMap::new() }, Checks::All)
    }

    /// Builds a plan that this crate has made for this device and has given to nobody.
    pub(crate) fn from_own_plan(gpu: &Gpu, plan: Plan) -> Result<Self> {
        let draft = Draft { plan, contents: HashMap::new() };
        Self::build(gpu, draft, if gpu.inner.checked { Checks::All } else { Checks::None })
    }

    /// Constants are those of `contents`, or else the plan's own.
    fn build(gpu: &Gpu, Draft { mut plan, contents }: Draft, checks: Checks) -> Result<Self> {
        let mut constants = Vec::new();
        let Plan { buffers: planned, steps, .. } = &mut plan;
        let buffers = planned.iter_mut().enumerate().map(|(index, buffer)| {
            let bytes = buffer.bytes();
            if let Some(content) = contents.get(&BufferId(index as u32)) {
                let uploaded = gpu.constant(&buffer.label, bytes, content)?;
                let shared = uploaded.buffer.clone();
                constants.push(uploaded);
                return Ok(Some(shared));
            }
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
        let mut dispatches = Vec::with_capacity(kernels.len());
        for (i, (step, kernel)) in plan.steps.iter().zip(kernels).enumerate() {
            let bound: Option<Vec<_>> = step.bindings.iter().map(|b| buffers[b.buffer.index()].as_ref()).collect();
            let bind_group = match bound {
                Some(bound) => {
                    let bound: Vec<_> = bound.iter().map(|buffer| buffer.as_entire_binding()).collect();
                    Some(bind_group(gpu, step, &kernel, &bound, (&params, offsets[i]))?)
                }
                None => None,
            };
            let group = gpu.inner.debug_groups.then(|| format!("spp/{}", step.node));
            dispatches.push(Dispatch { kernel, bind_group, group });
        }
        let launches = Launches::new(gpu, &plan)?;
        let ports = |ports: &[Port], written: bool| -> Result<Vec<Held>> {
            ports.iter().map(|port| Held::new(gpu, port, written)).collect()
        };
        let (inputs, outputs) = (ports(&plan.inputs, false)?, ports(&plan.outputs, true)?);
        let bytes = plan.outputs.iter().map(Port::staged_bytes).sum();
        let identity = Arc::new(());
        let bindings = Bindings {
            bind_groups: Vec::new(),
            outputs: Vec::new(),
            scratch: Vec::new(),
            program: Arc::clone(&identity),
        };
        let (ports, staging) = (plan.outputs.as_slice().into(), Staging::new(gpu, bytes));
        let (clock, recording, recorder) = Default::default();
        let own = Own { inputs, outputs, bindings, ports, staging, clock, recording, recorder };
        let (gpu, params_offsets) = (gpu.clone(), offsets);
        let (source, _constants) = (None, constants);
        let mut program = Self {
            gpu,
            plan,
            source,
            _constants,
            identity,
            buffers,
            params,
            params_offsets,
            dispatches,
            launches,
            own,
        };
        let [inputs, outputs] = [&program.own.inputs, &program.own.outputs];
        let [inputs, outputs] = [inputs, outputs].map(|held| held.iter().map(Held::bound).collect::<Vec<_>>());
        // Between the submissions of a long run, an app's may come, which must not share its scratch buffers.
        program.own.bindings = match program.submissions() {
            1 => program.bind(&inputs, &outputs)?,
            _ => program.bind_apart(&inputs, &outputs)?,
        };
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
            // Begins the uploads: until the next submission, wgpu would keep them and the buffers they are for.
            self.gpu.queue().submit([]);
            recorded
        })?
    }
}

pub(in crate::gpu) fn create(gpu: &Gpu, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
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
    bound: &[BindingResource],
    (params, offset): (&wgpu::Buffer, usize),
) -> Result<BindGroup> {
    let storage = step.bindings.iter().zip(bound);
    let mut entries: Vec<BindGroupEntry> =
        storage.map(|(binding, bound)| BindGroupEntry { binding: binding.slot, resource: bound.clone() }).collect();
    entries.push(BindGroupEntry {
        binding: step.shader.params_binding,
        resource: BindingResource::Buffer(BufferBinding {
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
