//! A plan in the making: buffers and dispatches are added, never removed. Weights and tables are packed last, once the
//! plan is known to fit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use half::slice::HalfFloatSliceExt;
use half::vec::HalfFloatVecExt;

use super::{
    Buffer, BufferId, DeviceProfile, Element, Piece, Plan, PlanOptions, Port, PortForm, Precision, Role, Slice, Step,
    padded, physical, piece,
};
use crate::error::{Error, Result};
use crate::ops::{Made, Recipe, Texels, Weight};
use crate::tensor::{MAX_ELEMENTS, Shape};

/// A plan in the making, and what decides how it is made.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) options: &'a PlanOptions,
    /// What the nodes that are being planned store.
    pub(crate) precision: Precision,
    pub(crate) steps: Vec<Step>,
    buffers: Vec<Buffer>,
    contents: HashMap<BufferId, Content>,
    inputs: Vec<Port>,
    /// Where each is among them.
    input_names: HashMap<String, usize>,
    outputs: Vec<Port>,
}

/// A plan whose constants are still to be packed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    pub(crate) contents: HashMap<BufferId, Content>,
}

/// What a constant buffer holds: equal contents are the same words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    /// Numbers that kernels look up, and biases.
    Words(Made<u32>),
    /// Weights, rounded once to what they are stored in.
    Weights(Precision, Made<f32>),
}

impl Content {
    /// Computes them.
    pub(crate) fn words(&self) -> Vec<u32> {
        match self {
            Self::Words(words) => words.values().into_owned(),
            Self::Weights(Precision::F32, values) => bytemuck::allocation::cast_vec(values.values().into_owned()),
            Self::Weights(Precision::F16, values) => halves(&values.values()),
        }
    }
}

/// Few words, computed already.
#[derive(PartialEq, Eq, Hash)]
struct Few(Vec<u32>);

impl Recipe<u32> for Few {
    fn values(&self) -> Cow<'_, [u32]> {
        (&self.0).into()
    }
}

/// Values in NCHW, by their bits.
#[derive(PartialEq, Eq, Hash)]
struct Bits(Weight);

impl Recipe<u32> for Bits {
    fn values(&self) -> Cow<'_, [u32]> {
        bytemuck::allocation::cast_vec(self.0.data().into_owned()).into()
    }
}

/// Values in NHWC, their channels padded with zeros.
#[derive(PartialEq, Eq, Hash)]
struct Turned(Weight);

impl Recipe<f32> for Turned {
    fn values(&self) -> Cow<'_, [f32]> {
        let (Shape { n, c, h, w }, values) = (self.0.shape(), self.0.data());
        let [n, c, pixels, lanes] = [n, c, h * w, padded(c)].map(|extent| extent as usize);
        let mut turned = vec![0.0; n * pixels * lanes];
        for (at, &value) in values.iter().enumerate() {
            let (image, channel, pixel) = (at / pixels / c, at / pixels % c, at % pixels);
            turned[(image * pixels + pixel) * lanes + channel] = value;
        }
        turned.into()
    }
}

impl Draft {
    /// Checks that the device can hold and run the plan, and that the budgets of GPU and host memory are kept.
    pub(crate) fn check(&self, options: &PlanOptions) -> Result<()> {
        self.plan.check()?;
        self.plan.check_limits(&self.plan.profile, options.max_bytes)?;
        // Weights are in f32 before they are rounded.
        let bytes = self.contents.keys().map(|id| Element::F32.bytes_of(self.plan.buffers[id.index()].len));
        let (needed, max) = (bytes.fold(0, u64::saturating_add), options.max_host_bytes);
        if needed > max {
            return Err(Error::HostMemory { what: "packing weights and tables".into(), needed, max });
        }
        Ok(())
    }

    /// The plan with its constants.
    pub(crate) fn pack(mut self) -> Plan {
        for (id, content) in self.contents {
            let buffer = &mut self.plan.buffers[id.index()];
            let words = content.words();
            debug_assert_eq!(
                Element::U32.bytes_of(words.len() as u64),
                buffer.bytes(),
                "the length of {}",
                buffer.label
            );
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
        let (steps, buffers, contents, inputs, input_names, outputs) = Default::default();
        let precision = options.precision;
        Self { profile, options, precision, steps, buffers, contents, inputs, input_names, outputs }
    }

    /// The plan of everything that was added.
    pub(crate) fn finish(self) -> Draft {
        let Self { profile, options, steps, buffers, contents, inputs, outputs, .. } = self;
        let &PlanOptions { precision, max_dispatch, max_submission, .. } = options;
        let steps = steps.into_iter().map(|step| step.in_turns(profile, max_dispatch)).collect();
        let profile = profile.clone();
        Draft { plan: Plan { steps, buffers, inputs, outputs, profile, precision, max_submission }, contents }
    }

    /// The next graph input, perhaps a texture.
    pub(crate) fn input(&mut self, name: &str, shape: Shape, texels: Option<Texels>) {
        let role = Role::Input(self.inputs.len());
        let port = self.port("input", name, shape, texels, role);
        self.input_names.insert(name.into(), self.inputs.len());
        self.inputs.push(port);
    }

    /// The next graph output, perhaps a texture.
    pub(crate) fn output(&mut self, name: &str, shape: Shape, texels: Option<Texels>) {
        let role = Role::Output(self.outputs.len());
        let port = self.port("output", name, shape, texels, role);
        self.outputs.push(port);
    }

    fn port(&mut self, kind: &str, name: &str, shape: Shape, texels: Option<Texels>, role: Role) -> Port {
        let PortForm { element, order } = texels.map_or_else(|| self.options.port_form(name), PortForm::of_texels);
        let buffer = self.add(format!("{kind} '{name}'"), element, shape.len(), role);
        Port { name: name.into(), shape, element, order, texels, buffer }
    }

    /// The graph input of this name.
    pub(crate) fn input_port(&self, name: &str) -> &Port {
        &self.inputs[self.input_names[name]] // All inputs are added before any node.
    }

    /// A graph output, by position.
    pub(crate) fn output_port(&self, position: usize) -> &Port {
        &self.outputs[position]
    }

    /// Whether the buffer is that of a graph output.
    pub(crate) fn is_output(&self, buffer: BufferId) -> bool {
        matches!(self.buffers[buffer.index()].role, Role::Output(_))
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
    pub(crate) fn table(&mut self, label: String, len: u64, recipe: impl Recipe<u32>) -> Result<Table> {
        self.constant(label, Element::U32, len, Content::Words(Made::by(recipe)))
    }

    /// A buffer of `len` weights. Errors: more than 32-bit indices hold.
    pub(crate) fn weights(&mut self, label: String, len: u64, recipe: impl Recipe<f32>) -> Result<Table> {
        let content = Content::Weights(self.precision, Made::by(recipe));
        self.constant(label, self.element(), len, content)
    }

    /// A buffer of values in `f32`, whatever weights are stored in: they are few, and begin sums. Errors: more than
    /// 32-bit indices hold.
    pub(crate) fn biases(&mut self, label: String, values: Vec<f32>) -> Result<Table> {
        let len = values.len() as u64;
        let words = Few(bytemuck::allocation::cast_vec(values));
        self.constant(label, Element::F32, len, Content::Words(Made::by(words)))
    }

    /// A buffer of these values in `f32`, as they are. Errors: more than 32-bit indices hold.
    pub(crate) fn values(&mut self, label: String, value: &Weight) -> Result<Slice> {
        let (shape, bits) = (value.shape(), Bits(value.clone()));
        let table = self.constant(label, Element::F32, shape.len(), Content::Words(Made::by(bits)))?;
        Ok(Slice::nchw(table.buffer, Element::F32, shape))
    }

    /// The same in NHWC, in what tensors are stored in. Errors: more than 32-bit indices hold.
    pub(crate) fn values_nhwc(&mut self, label: String, value: &Weight) -> Result<Slice> {
        let shape = value.shape();
        let len = u64::from(padded(shape.c)) * u64::from(shape.n) * u64::from(shape.h) * u64::from(shape.w);
        let table = self.weights(label, len, Turned(value.clone()))?;
        Ok(Slice::nhwc(table.buffer, self.element(), shape, [shape.c].into()))
    }

    fn constant(&mut self, label: String, element: Element, len: u64, content: Content) -> Result<Table> {
        let buffer = self.buffer(label, element, len, Role::Constant([].into()))?;
        self.contents.insert(buffer, content);
        Ok(Table { buffer, bytes: element.bytes_of(len) })
    }

    /// Scratch space of `len` values for several results. Errors: more than 32-bit indices hold.
    pub(crate) fn scratch_of(&mut self, label: String, len: u64) -> Result<BufferId> {
        self.buffer(label, self.element(), len, Role::Scratch)
    }

    /// Scratch space for `shape` in NHWC, its channels in these runs. Errors: more than 32-bit indices hold.
    pub(crate) fn scratch(&mut self, label: String, shape: Shape, segments: Arc<[u32]>) -> Result<Slice> {
        self.scratch_in(self.element(), label, shape, segments)
    }

    /// As [`Builder::scratch`], for values that are still to be added up: in `f32`.
    pub(crate) fn sums(&mut self, label: String, shape: Shape, segments: Arc<[u32]>) -> Result<Slice> {
        self.scratch_in(Element::F32, label, shape, segments)
    }

    fn scratch_in(&mut self, element: Element, label: String, shape: Shape, segments: Arc<[u32]>) -> Result<Slice> {
        let len = u64::from(physical(&segments)) * u64::from(shape.n) * u64::from(shape.h) * u64::from(shape.w);
        let buffer = self.buffer(label, element, len, Role::Scratch)?;
        Ok(Slice::nhwc(buffer, element, shape, segments))
    }

    /// Scratch space for `shape` in NCHW. Errors: more than 32-bit indices hold.
    pub(crate) fn scratch_nchw(&mut self, label: String, shape: Shape, element: Element) -> Result<Slice> {
        let buffer = self.buffer(label, element, shape.len(), Role::Scratch)?;
        Ok(Slice::nchw(buffer, element, shape))
    }

    /// Type of a value of tensors in NHWC and of weights.
    pub(crate) fn element(&self) -> Element {
        self.precision.element()
    }

    /// What a shader that computes with four channels reads and writes them by.
    pub(crate) fn stored(&self) -> &'static [&'static Piece] {
        static F32: [&Piece; 1] = [piece!("stored_f32")];
        static F16: [&Piece; 1] = [piece!("stored_f16", F16)];
        static PACKED: [&Piece; 2] = [piece!("stored_packed"), piece!("rounding")];
        match self.precision {
            Precision::F32 => &F32,
            Precision::F16 if self.profile.f16 => &F16,
            Precision::F16 => &PACKED,
        }
    }

    /// What a shader that compares four channels reads and writes them by.
    pub(crate) fn ordered(&self) -> &'static [&'static Piece] {
        static F32: [&Piece; 2] = [piece!("ordered"), piece!("stored_f32")];
        static F16: [&Piece; 3] = [piece!("ordered_f16"), piece!("stored_packed"), piece!("rounding")];
        match self.precision {
            Precision::F32 => &F32,
            Precision::F16 => &F16,
        }
    }

    /// Adds a dispatch.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }
}

/// Two values in each word, the first in its lower half; `values` are an even number.
fn halves(values: &[f32]) -> Vec<u32> {
    let halves = Vec::<half::f16>::from_f32_slice(values);
    let pair = |pair: &[u16]| pair.iter().rev().fold(0, |word, &half| word << 16 | u32::from(half));
    halves.reinterpret_cast().chunks(2).map(pair).collect()
}
