//! What a plan asks of a device, before there is one.

use std::collections::BTreeSet;

use super::{Extension, Plan, Port, Step};

/// The least limits with which a device runs a plan, by wgpu's names, and the features that its kernels use.
/// [`Needs::limits`] and [`Needs::features`] give them to an app's `request_device`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Bytes of the largest buffer that a kernel binds.
    pub max_storage_buffer_binding_size: u64,
    /// Bytes of the largest buffer.
    pub max_buffer_size: u64,
    /// Bytes of the largest parameters.
    pub max_uniform_buffer_binding_size: u64,
    /// Bytes of workgroup memory.
    pub max_compute_workgroup_storage_size: u32,
    /// Invocations of the largest workgroup, all side by side: `max_compute_workgroup_size_x` is the same.
    pub max_compute_invocations_per_workgroup: u32,
    /// Of the largest dispatch, whose workgroups fold into two dimensions.
    pub max_compute_workgroups_per_dimension: u32,
    /// Storage buffers of the kernel that binds most.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Rows or columns of the largest texture.
    pub max_texture_dimension_2d: u32,
    /// Layers of the deepest texture.
    pub max_texture_array_layers: u32,
    /// What shaders use beyond WGSL's core.
    pub extensions: BTreeSet<Extension>,
}

impl Plan {
    /// What a device must have to run it, often less than the profile it was made for. With less than that,
    /// the graph may still be planned, for another profile.
    pub fn needs(&self) -> Needs {
        // Of what each dispatch finds in a uniform buffer.
        const ALIGNMENT: u64 = 256;
        let mut needs = Needs::default();
        let textures: Vec<&Port> = self.textures().collect();
        for Port { shape, .. } in &textures {
            needs.max_texture_dimension_2d = needs.max_texture_dimension_2d.max(shape.h).max(shape.w);
            needs.max_texture_array_layers = needs.max_texture_array_layers.max(shape.n);
        }
        let is_texture = |id: usize| textures.iter().any(|port| port.buffer.index() == id);
        for (_, buffer) in self.buffers.iter().enumerate().filter(|(id, _)| !is_texture(*id)) {
            needs.max_storage_buffer_binding_size = needs.max_storage_buffer_binding_size.max(buffer.bytes());
        }
        let params = |step: &Step| (step.params.len() as u64).next_multiple_of(ALIGNMENT);
        let params = self.steps.iter().map(params).fold(ALIGNMENT, u64::saturating_add);
        let turns = self.steps.iter().map(Step::dispatches).filter(|dispatches| *dispatches > 1);
        let firsts = turns.fold(0, u64::saturating_add).saturating_mul(ALIGNMENT);
        // Outputs are read back together.
        let read = self.outputs.iter().map(Port::staged_bytes).fold(0, u64::saturating_add);
        needs.max_buffer_size = needs.max_storage_buffer_binding_size.max(params).max(firsts).max(read);
        for step in &self.steps {
            let side = step.workgroups.isqrt();
            let per_dimension = side.saturating_add((side * side < step.workgroups).into());
            for (need, of_step) in [
                (&mut needs.max_compute_workgroup_storage_size, step.workgroup_memory),
                (&mut needs.max_compute_invocations_per_workgroup, step.load().invocations),
                (&mut needs.max_compute_workgroups_per_dimension, per_dimension.try_into().unwrap_or(u32::MAX)),
                (&mut needs.max_storage_buffers_per_shader_stage, step.buffers() as u32),
            ] {
                *need = of_step.max(*need);
            }
            let uniform = &mut needs.max_uniform_buffer_binding_size;
            *uniform = (step.params.len() as u64).max(*uniform);
            needs.extensions.extend(step.extensions());
        }
        needs
    }
}
