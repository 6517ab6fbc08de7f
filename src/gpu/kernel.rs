//! From a step's WGSL to a compiled pipeline, and from its workgroups to a dispatch. Pipelines are kept by source text.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use wgpu::{BindGroupLayout, BindGroupLayoutEntry, BindingType, BufferBindingType, ComputePipeline, ShaderStages};

use super::trusted::{self, Checks};
use super::{Gpu, unpoisoned};
use crate::error::{Error, Result};
use crate::plan::Step;

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) pipeline: ComputePipeline,
    pub(super) layout: BindGroupLayout,
}

impl Gpu {
    pub(super) fn kernel(&self, step: &Step, checks: Checks) -> Result<Arc<Kernel>> {
        let key = (step.source(), checks);
        if let Some(kernel) = unpoisoned(&self.inner.kernels).get(&key) {
            return Ok(Arc::clone(kernel));
        }
        let kernel = Arc::new(self.compile(step, &key.0, checks)?);
        match unpoisoned(&self.inner.kernels).entry(key) {
            Entry::Occupied(there) => Ok(Arc::clone(there.get())),
            Entry::Vacant(place) => Ok(Arc::clone(place.insert(kernel))),
        }
    }

    fn compile(&self, step: &Step, source: &str, checks: Checks) -> Result<Kernel> {
        let label = format!("spp/{}", step.shader.stem);
        let storage = step
            .bindings
            .iter()
            .map(|binding| entry(binding.slot, BufferBindingType::Storage { read_only: !binding.written }));
        let params = entry(step.shader.params_binding, BufferBindingType::Uniform);
        let entries: Vec<BindGroupLayoutEntry> = storage.chain([params]).collect();
        let built = self.scoped(|device| {
            let module = trusted::shader_module(device, &label, source, checks);
            let layout = device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: None,
                compilation_options: wgpu::PipelineCompilationOptions {
                    // No kernel reads what it did not write (tests/gpu/workgroup_memory.rs), and zeroing keeps DX12's FXC
                    // busy: it unrolls it, 40 s for a cascade that takes it 0.2 s without.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: self.inner.pipelines.as_ref().map(|pipelines| &pipelines.cache),
            });
            Kernel { pipeline, layout }
        });
        built.map_err(|error| match error {
            Error::Gpu(message) => Error::Shader { name: step.shader.stem.into(), message },
            other => other,
        })
    }
}

fn entry(binding: u32, kind: BufferBindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty: kind, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

/// Workgroups along x and y: one row if it fits, else rows of equal length. The last may run past the end; kernels
/// check for it.
pub(super) fn folded(workgroups: u64, max: u32) -> [u32; 2] {
    let rows = workgroups.div_ceil(u64::from(max)).max(1);
    [workgroups.div_ceil(rows) as u32, rows as u32]
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn dispatches_over_the_limit_fold_into_rows() {
        assert_eq!(folded(0, 65_535), [0, 1]);
        assert_eq!(folded(65_535, 65_535), [65_535, 1]);
        assert_eq!(folded(65_536, 65_535), [32_768, 2]);
        assert_eq!(folded(7, 3), [3, 3]);
        let [x, y] = folded(65_535 * 65_535, 65_535);
        assert_eq!([x, y], [65_535, 65_535]);
    }
}
