//! Dispatches as they are recorded: a long step takes several, and a long plan several submissions.

use std::mem;
use std::ops::Range;

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingResource, BindingType, BufferBinding, BufferBindingType, BufferDescriptor, BufferSize, BufferUsages,
    CommandEncoder, Device, ShaderStages,
};

use super::Program;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::folded;
use crate::plan::{Plan, Step, whole_rows};

/// One dispatch.
#[derive(Debug)]
pub(in crate::gpu) struct Launch {
    pub(super) step: usize,
    /// Where its first workgroup is found, if it is not all of the step.
    pub(super) first: Option<u32>,
    pub(super) workgroups: [u32; 2],
}

/// All dispatches, in order.
#[derive(Debug)]
pub(in crate::gpu) struct Launches {
    pub(in crate::gpu) all: Vec<Launch>,
    /// For each step, its own.
    pub(in crate::gpu) of_steps: Vec<Range<usize>>,
    /// Those that are submitted together.
    pub(in crate::gpu) submissions: Vec<Range<usize>>,
    /// The first workgroups, by their offsets.
    pub(super) first: Option<BindGroup>,
}

impl Launches {
    pub(super) fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let max = plan.profile.max_workgroups.min(gpu.profile().max_workgroups);
        let alignment = gpu.device().limits().min_uniform_buffer_offset_alignment.max(4);
        let (mut all, mut of_steps, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut submissions, mut begin, mut us) = (Vec::new(), 0, 0.0);
        let budget = plan.max_submission.as_secs_f64() * 1e6;
        for (i, step) in plan.steps.iter().enumerate() {
            let before = all.len();
            if step.dispatches() == 1 {
                all.push(Launch { step: i, first: None, workgroups: folded(step.workgroups, max) });
            } else {
                let at_once = whole_rows(step.at_once, max);
                let mut first = 0;
                while first < step.workgroups {
                    let workgroups = folded(at_once.min(step.workgroups - first), max);
                    all.push(Launch { step: i, first: Some(firsts.len() as u32 * alignment), workgroups });
                    firsts.push(first as u32);
                    first += at_once;
                }
            }
            let each = step.estimate(&plan.profile).map_or(0.0, |estimate| estimate.us) / (all.len() - before) as f64;
            for at in before..all.len() {
                us += each;
                if us > budget && begin < at {
                    submissions.push(begin..at);
                    (begin, us) = (at, each);
                }
            }
            of_steps.push(before..all.len());
        }
        submissions.push(begin..all.len());
        let first = if firsts.is_empty() { None } else { Some(upload(gpu, &firsts, alignment)?) };
        Ok(Self { all, of_steps, submissions, first })
    }
}

/// The numbers of first workgroups, `alignment` bytes apart.
fn upload(gpu: &Gpu, firsts: &[u32], alignment: u32) -> Result<BindGroup> {
    let mut words = vec![0; firsts.len() * alignment as usize / size_of::<u32>()];
    for (words, &first) in words.chunks_exact_mut(alignment as usize / size_of::<u32>()).zip(firsts) {
        words[0] = first;
    }
    let label = Some("spp/first workgroups");
    gpu.scoped(|device| {
        let size = size_of_val(words.as_slice()) as u64;
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let buffer = device.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false });
        gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
        let size = BufferSize::new(size_of::<u32>() as u64);
        let resource = BindingResource::Buffer(BufferBinding { buffer: &buffer, offset: 0, size });
        let entries = [BindGroupEntry { binding: 0, resource }];
        device.create_bind_group(&BindGroupDescriptor { label, layout: &first_layout(device), entries: &entries })
    })
}

/// Of the group in which kernels find their first workgroup, if they are dispatched in turns.
fn first_layout(device: &Device) -> BindGroupLayout {
    let ty = BindingType::Buffer {
        ty: BufferBindingType::Uniform,
        has_dynamic_offset: true,
        min_binding_size: BufferSize::new(size_of::<u32>() as u64),
    };
    let entries = [BindGroupLayoutEntry { binding: 0, visibility: ShaderStages::COMPUTE, ty, count: None }];
    device
        .create_bind_group_layout(&BindGroupLayoutDescriptor { label: Some("spp/first workgroup"), entries: &entries })
}

/// The layout of the step's second group of bindings, if it has any.
pub(in crate::gpu) fn second_layout(device: &Device, step: &Step) -> Option<BindGroupLayout> {
    (step.dispatches() > 1).then(|| first_layout(device))
}

impl Program {
    /// How many submissions a run takes: each is estimated to keep the GPU for no longer than
    /// [`PlanOptions::max_submission`](crate::PlanOptions::max_submission). 1 for all but long work, and on software
    /// adapters.
    pub fn submissions(&self) -> usize {
        self.launches.submissions.len()
    }

    /// Submits what was recorded so far, and goes on in a new encoder; of a program with one submission, nothing.
    pub(in crate::gpu) fn cut(&self, encoder: &mut CommandEncoder) {
        if self.submissions() > 1 {
            let label = Some("spp");
            let next = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
            self.gpu.queue().submit([mem::replace(encoder, next).finish()]);
        }
    }
}
