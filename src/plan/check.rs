//! What a plan must keep, whoever changed its fields, for a program to be built from it.

use super::{Buffer, BufferId, DeviceProfile, Plan, Port, Role};
use crate::error::{Error, Result};

impl Plan {
    /// All that can be checked of a plan that anyone may have changed, for the device that is to run it. Errors: what
    /// [`Plan::check`] and [`Plan::check_limits`] say; ports that are not their buffers'.
    pub(crate) fn check_for(&self, device: &DeviceProfile) -> Result<()> {
        self.check()?;
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
                own == (buffer.role == role(number)) && (!own || buffer.bytes() == port.bytes())
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
