//! A plan in the making: buffers and dispatches are added, never removed. Weights and tables are packed last, once the
//! plan is known to fit.

use std::collections::HashMap;
use std::fmt;

use super::{Buffer, BufferId, DeviceProfile, Element, Plan, PlanOptions, Port, Role, Slice, Step, physical};
use crate::error::{Error, Result};
use crate::tensor::{MAX_ELEMENTS, Shape};

/// A plan in the making, and what decides how it is made.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) options: &'a PlanOptions,
    pub(crate) steps: Vec<Step>,
    buffers: Vec<Buffer>,
    packs: HashMap<BufferId, Pack>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// A plan whose constants are still to be packed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    pub(crate) packs: HashMap<BufferId, Pack>,
}

/// Makes what a constant buffer holds.
pub(crate) struct Pack(Box<dyn FnOnce() -> Vec<u32>>);

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pack")
    }
}

impl Draft {
    /// Checks that the device can hold and run the plan, and that the budgets of GPU and host memory are kept.
    pub(crate) fn check(&self, options: &PlanOptions) -> Result<()> {
        self.plan.check()?;
        self.plan.check_limits(&self.plan.profile, options.max_bytes)?;
        let bytes = self.packs.keys().map(|id| self.plan.buffers[id.index()].bytes());
        let (needed, max) = (bytes.fold(0, u64::saturating_add), options.max_host_bytes);
        if needed > max {
            return Err(Error::HostMemory { what: "packing weights and tables".into(), needed, max });
        }
        Ok(())
    }

    /// The plan with its constants.
    pub(crate) fn pack(mut self) -> Plan {
        for (id, pack) in self.packs {
            let buffer = &mut self.plan.buffers[id.index()];
            let words = pack.0();
            debug_assert_eq!(words.len() as u64, buffer.len, "the length of {}", buffer.label);
            buffer.role = Role::Constant(words.into());
        }
        self.plan
    }
}

/// A constant buffer: weights, biases, or numbers that kernels look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) buffer: BufferId,
    pub(crate) bytes: u64,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(profile: &'a DeviceProfile, options: &'a PlanOptions) -> Self {
        let (steps, buffers, packs, inputs, outputs) = Default::default();
        Self { profile, options, steps, buffers, packs, inputs, outputs }
    }

    /// The plan of everything that was added.
    pub(crate) fn finish(self) -> Draft {
        let Self { profile, steps, buffers, packs, inputs, outputs, .. } = self;
        Draft { plan: Plan { steps, buffers, inputs, outputs, profile: profile.clone() }, packs }
    }

    /// The next graph input.
    pub(crate) fn input(&mut self, name: &str, shape: Shape) {
        let role = Role::Input(self.inputs.len());
        let buffer = self.add(format!("input '{name}'"), Port::ELEMENT, shape.len(), role);
        self.inputs.push(Port { name: name.into(), shape, buffer });
    }

    /// The next graph output.
    pub(crate) fn output(&mut self, name: &str, shape: Shape) {
        let role = Role::Output(self.outputs.len());
        let buffer = self.add(format!("output '{name}'"), Port::ELEMENT, shape.len(), role);
        self.outputs.push(Port { name: name.into(), shape, buffer });
    }

    /// The values of the graph input of this name.
    pub(crate) fn input_slice(&self, name: &str) -> Slice {
        let port = self.inputs.iter().find(|port| port.name == name).expect("all inputs are added before any node");
        Slice::nchw(port.buffer, Port::ELEMENT, port.shape)
    }

    /// The values of a graph output, by position.
    pub(crate) fn output_slice(&self, position: usize) -> Slice {
        let port = &self.outputs[position];
        Slice::nchw(port.buffer, Port::ELEMENT, port.shape)
    }

    fn add(&mut self, label: String, element: Element, len: u64, role: Role) -> BufferId {
        self.buffers.push(Buffer { label, element, len, role });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A new buffer of `len` values. Errors: more than 32-bit indices hold.
    fn buffer(&mut self, label: String, element: Element, len: u64, role: Role) -> Result<BufferId> {
        if len > MAX_ELEMENTS {
            let what = "the padded element count";
            return Err(Error::TooLarge { op: label, what, value: len, max: MAX_ELEMENTS });
        }
        Ok(self.add(label, element, len, role))
    }

    /// A buffer of `len` numbers known at planning time. Errors: more than 32-bit indices hold.
    pub(crate) fn table(
        &mut self,
        label: String,
        len: u64,
        values: impl FnOnce() -> Vec<u32> + 'static,
    ) -> Result<Table> {
        self.constant(label, Element::U32, len, Pack(Box::new(values)))
    }

    /// A buffer of `len` weights or biases. Errors: more than 32-bit indices hold.
    pub(crate) fn weights(
        &mut self,
        label: String,
        len: u64,
        values: impl FnOnce() -> Vec<f32> + 'static,
    ) -> Result<Table> {
        let words = || bytemuck::allocation::cast_vec(values());
        self.constant(label, Element::F32, len, Pack(Box::new(words)))
    }

    fn constant(&mut self, label: String, element: Element, len: u64, pack: Pack) -> Result<Table> {
        let buffer = self.buffer(label, element, len, Role::Constant([].into()))?;
        self.packs.insert(buffer, pack);
        Ok(Table { buffer, bytes: element.bytes_of(len) })
    }

    /// Scratch space of `len` values for several results. Errors: more than 32-bit indices hold.
    pub(crate) fn scratch_of(&mut self, label: String, len: u64) -> Result<BufferId> {
        self.buffer(label, Element::F32, len, Role::Scratch)
    }

    /// Scratch space for `shape` in NHWC, its channels in these runs. Errors: more than 32-bit indices hold.
    pub(crate) fn scratch(&mut self, label: String, shape: Shape, segments: Vec<u32>) -> Result<Slice> {
        let len = u64::from(physical(&segments)) * u64::from(shape.n) * u64::from(shape.h) * u64::from(shape.w);
        let buffer = self.scratch_of(label, len)?;
        Ok(Slice::nhwc(buffer, Element::F32, shape, segments))
    }

    /// Scratch space for `shape` in NCHW. Errors: more than 32-bit indices hold.
    pub(crate) fn scratch_nchw(&mut self, label: String, shape: Shape) -> Result<Slice> {
        let buffer = self.scratch_of(label, shape.len())?;
        Ok(Slice::nchw(buffer, Element::F32, shape))
    }

    /// Adds a dispatch.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }
}
