//! What every plan must keep, and what else is checked of one that somebody may have changed.

use super::{Binding, Buffer, BufferId, DeviceProfile, Element, Plan, Port, Role, Slice, Step};
use crate::error::{Error, Result};
use crate::tensor::Shape;

impl Plan {
    /// Checks that what steps and buffers name is there: anyone may have changed the fields. Errors: a buffer, an input or
    /// an output that is not; a buffer that one dispatch writes and binds again; a slice beyond its buffer; a device
    /// without workgroups.
    pub(crate) fn check(&self) -> Result<()> {
        let lacks = |what: String| Err(Error::data("plan", what));
        for step in &self.steps {
            let slices = step.operands.iter().chain(&step.results).map(|slice| slice.buffer);
            let mut used = step.bindings.iter().map(|binding| binding.buffer).chain(slices);
            if let Some(id) = used.find(|id| id.index() >= self.buffers.len()) {
                return lacks(format!(
                    "'{}' uses buffer {}, and there are {}",
                    step.node,
                    id.index(),
                    self.buffers.len()
                ));
            }
        }
        for step in &self.steps {
            let twice = |written: &Binding| step.bindings.iter().filter(|b| b.buffer == written.buffer).count() > 1;
            if let Some(binding) = step.bindings.iter().find(|binding| binding.written && twice(binding)) {
                let label = &self.buffers[binding.buffer.index()].label;
                return lacks(format!("'{}' writes buffer '{label}', and binds it twice", step.node));
            }
            let beyond = |slice: &&Slice| !slice.lies_in(&self.buffers[slice.buffer.index()]);
            if let Some(slice) = step.operands.iter().chain(&step.results).find(beyond) {
                let Buffer { label, len, .. } = &self.buffers[slice.buffer.index()];
                return lacks(format!("'{}' uses {slice:?}, not all in '{label}' of {len} values", step.node));
            }
        }
        // Few enough to list, and for 32 bits to tell where their first workgroups are.
        const MOST: u64 = 1 << 20;
        let mut dispatches = 0u64;
        for Step { node, workgroups, at_once, .. } in &self.steps {
            dispatches = dispatches.saturating_add(workgroups / (*at_once).max(1));
            if *at_once == 0 || dispatches > MOST {
                return lacks(format!(
                    "'{node}' dispatches {workgroups} workgroups, {at_once} at once: too many times"
                ));
            }
        }
        for Buffer { label, role, .. } in &self.buffers {
            let (number, ports) = match role {
                Role::Input(number) => (*number, self.inputs.len()),
                Role::Output(number) => (*number, self.outputs.len()),
                Role::Constant(_) | Role::Scratch => continue,
            };
            if number >= ports {
                return lacks(format!("buffer '{label}' is {role:?}, and there are {ports}"));
            }
        }
        if self.profile.max_workgroups == 0 {
            return lacks("its device has no workgroups".into());
        }
        Ok(())
    }

    /// Checks that a device with this profile, and the caller's budget, can hold and run it.
    pub(crate) fn check_limits(&self, profile: &DeviceProfile, max_bytes: Option<u64>) -> Result<()> {
        let &DeviceProfile { max_binding, max_buffer, max_workgroups, max_iterations, .. } = profile;
        let &DeviceProfile { max_uniform, max_storage_buffers, max_invocations, workgroup_memory, .. } = profile;
        for port in self.textures() {
            let Shape { n, h, w, .. } = port.shape;
            let limits = [
                ("max_texture_dimension_2d", h.max(w), profile.max_texture),
                ("max_texture_array_layers", n, profile.max_layers),
            ];
            for (limit, needed, available) in limits.map(|(limit, needed, has)| (limit, needed.into(), has.into())) {
                if needed > available {
                    let what = format!("texture '{}'", port.name);
                    let hint = "use a smaller picture or batch, or a device created with higher limits";
                    return Err(Error::LimitExceeded { what, limit, needed, available, hint });
                }
            }
        }
        let is_texture = |id: BufferId| self.textures().any(|port| port.buffer == id);
        for (_, buffer) in (0..).zip(&self.buffers).filter(|(id, _)| !is_texture(BufferId(*id))) {
            let limits = [("max_storage_buffer_binding_size", max_binding), ("max_buffer_size", max_buffer)];
            for (limit, available) in limits {
                if buffer.bytes() > available {
                    return Err(Error::LimitExceeded {
                        what: buffer.label.clone(),
                        limit,
                        needed: buffer.bytes(),
                        available,
                        hint: "use a smaller batch or input, or a device created with higher limits",
                    });
                }
            }
        }
        for step in &self.steps {
            let workgroups = u64::from(max_workgroups) * u64::from(max_workgroups);
            let limits = [
                ("max_compute_workgroups_per_dimension squared", step.workgroups, workgroups),
                ("the loop iteration limit of software adapters", step.iterations, max_iterations),
                ("max_uniform_buffer_binding_size", step.params.len() as u64, max_uniform),
                ("max_storage_buffers_per_shader_stage", step.buffers() as u64, max_storage_buffers.into()),
                ("max_compute_invocations_per_workgroup", step.load().invocations.into(), max_invocations.into()),
                ("max_compute_workgroup_storage_size", step.workgroup_memory.into(), workgroup_memory.into()),
            ];
            for (at, (limit, needed, available)) in limits.into_iter().enumerate() {
                if needed > available {
                    let what = format!("{} '{}'", step.shader.stem, step.node);
                    // The first two grow with the tensors.
                    let hint = if at < 2 {
                        "use a smaller batch or input, or another adapter"
                    } else {
                        "request the device with higher limits, as of Gpu::recommended, or use another adapter"
                    };
                    return Err(Error::LimitExceeded { what, limit, needed, available, hint });
                }
            }
        }
        let planned = self.bytes();
        match max_bytes {
            Some(max) if planned > max => Err(Error::MemoryBudget { planned, max }),
            _ => Ok(()),
        }
    }

    /// All that can be checked of a plan that anyone may have changed, for the device that is to run it. Errors: what
    /// [`Plan::check`] and [`Plan::check_limits`] say; constants that are not there, as in the plan of a program; ports
    /// that are not their buffers'; matrices that the device does not have.
    pub(crate) fn check_for(&self, device: &DeviceProfile) -> Result<()> {
        self.check()?;
        for buffer @ Buffer { label, role, .. } in &self.buffers {
            if let Role::Constant(values) = role
                && Element::U32.bytes_of(values.len() as u64) != buffer.bytes()
            {
                let (bytes, words) = (buffer.bytes(), values.len());
                return Err(Error::data("plan", format!("buffer '{label}' has {words} words for {bytes} bytes")));
            }
        }
        // Sizes that the device does not have, and other numbers of lanes, are undefined behaviour or wrong results.
        let made_for = |profile: &DeviceProfile| (profile.matrices, profile.subgroups);
        if let Some(step) = self.steps.iter().find(|step| step.on_matrices())
            && made_for(&self.profile) != made_for(device)
        {
            let (planned, has) = (made_for(&self.profile), made_for(device));
            let what = format!("'{}' multiplies matrices, planned for {planned:?}; the device has {has:?}", step.node);
            return Err(Error::data("plan", what));
        }
        self.check_ports("input", &self.inputs, Role::Input)?;
        self.check_ports("output", &self.outputs, Role::Output)?;
        // Workgroups are folded into rows as long as both allow.
        let max_workgroups = self.profile.max_workgroups.min(device.max_workgroups);
        self.check_limits(&DeviceProfile { max_workgroups, ..device.clone() }, None)
    }

    /// Every port has one buffer, of its size, and every such buffer its port.
    fn check_ports(&self, kind: &str, ports: &[Port], role: fn(usize) -> Role) -> Result<()> {
        for (number, port) in ports.iter().enumerate() {
            let fits = |(id, buffer): (usize, &Buffer)| {
                let own = BufferId(id as u32) == port.buffer;
                let fits = buffer.element == port.element && buffer.bytes() == port.bytes();
                own == (buffer.role == role(number)) && (!own || fits)
            };
            let there = port.buffer.index() < self.buffers.len();
            if !there || !self.buffers.iter().enumerate().all(fits) {
                let reason = format!("it needs one buffer of {} bytes, which is {:?}", port.bytes(), role(number));
                return Err(Error::data(format!("{kind} '{}'", port.name), reason));
            }
        }
        Ok(())
    }
}
