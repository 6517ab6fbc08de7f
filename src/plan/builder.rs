//! A plan in the making: buffers and dispatches are added, never removed.

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
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// A constant buffer: weights, biases, or numbers that kernels look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) buffer: BufferId,
    pub(crate) bytes: u64,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(profile: &'a DeviceProfile, options: &'a PlanOptions) -> Self {
        let (steps, buffers, inputs, outputs) = Default::default();
        Self { profile, options, steps, buffers, inputs, outputs }
    }

    /// The plan of everything that was added.
    pub(crate) fn finish(self) -> Plan {
        let Self { profile, steps, buffers, inputs, outputs, .. } = self;
        Plan { steps, buffers, inputs, outputs, profile: profile.clone() }
    }

    /// The next graph input.
    pub(crate) fn input(&mut self, name: &str, shape: Shape) {
        let role = Role::Input(self.inputs.len());
        let buffer = self.buffer(format!("input '{name}'"), Port::ELEMENT, shape.len(), role);
        self.inputs.push(Port { name: name.into(), shape, buffer });
    }

    /// The next graph output.
    pub(crate) fn output(&mut self, name: &str, shape: Shape) {
        let role = Role::Output(self.outputs.len());
        let buffer = self.buffer(format!("output '{name}'"), Port::ELEMENT, shape.len(), role);
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

    /// A new buffer of `len` values.
    pub(crate) fn buffer(&mut self, label: String, element: Element, len: u64, role: Role) -> BufferId {
        self.buffers.push(Buffer { label, element, len, role });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A buffer of numbers known at planning time.
    pub(crate) fn table(&mut self, label: String, values: Vec<u32>) -> Table {
        self.constant(label, Element::U32, values)
    }

    /// A buffer of weights or biases.
    pub(crate) fn weights(&mut self, label: String, values: &[f32]) -> Table {
        self.constant(label, Element::F32, bytemuck::cast_slice(values).to_vec())
    }

    fn constant(&mut self, label: String, element: Element, words: Vec<u32>) -> Table {
        let len = words.len() as u64;
        let buffer = self.buffer(label, element, len, Role::Constant(words.into()));
        Table { buffer, bytes: element.bytes_of(len) }
    }

    /// Room for `len` packed weights, refused if one binding cannot hold them.
    pub(crate) fn room(&self, node: &str, len: u64) -> Result<Vec<f32>> {
        let (needed, available) = (Element::F32.bytes_of(len), self.profile.max_slice());
        if needed > available {
            return Err(Error::LimitExceeded {
                what: format!("conv '{node}': the packed weight"),
                limit: "max_storage_buffer_binding_size",
                needed,
                available,
                hint: "use fewer channels or a smaller kernel, or a device created with higher limits",
            });
        }
        Ok(Vec::with_capacity(len as usize))
    }

    /// Scratch space for `shape` in NHWC, its channels in these runs. Refused if padding takes it beyond 32-bit indices,
    /// before anybody computes with it.
    pub(crate) fn scratch(&mut self, label: String, shape: Shape, segments: Vec<u32>) -> Result<Slice> {
        let value = Shape { c: physical(&segments), ..shape }.len();
        if value > MAX_ELEMENTS {
            let what = "the padded element count";
            return Err(Error::TooLarge { op: label, what, value, max: MAX_ELEMENTS });
        }
        let buffer = self.buffer(label, Element::F32, value, Role::Scratch);
        Ok(Slice::nhwc(buffer, Element::F32, shape, segments))
    }

    /// Scratch space for `shape` in NCHW.
    pub(crate) fn scratch_nchw(&mut self, label: String, shape: Shape) -> Slice {
        let buffer = self.buffer(label, Element::F32, shape.len(), Role::Scratch);
        Slice::nchw(buffer, Element::F32, shape)
    }

    /// Adds a dispatch.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }
}
