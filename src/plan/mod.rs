//! How a graph is computed on one device: dispatches in order, buffers, slices. Nothing here needs a GPU.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::ops::Texels;
pub use crate::tensor::Precision;
use crate::tensor::Shape;

mod builder;
mod check;
mod choice;
mod estimate;
mod hardware;
mod named;
mod needs;
mod options;
mod profile;
mod shader;
mod slice;
mod step;
mod text;

pub(crate) use builder::{Builder, Content, Draft, Table};
pub use choice::{Choice, ConvVariant, Sums, Tile, Tuning};
pub use estimate::{Estimate, Load};
pub use hardware::Hardware;
pub use named::NamedProfile;
pub use needs::Needs;
pub use options::{ConvKernel, PlanOptions, PortForm};
pub use profile::{DeviceClass, DeviceProfile, Matrices, Vendor};
pub use shader::{Constant, Extension, Fields, Piece, Shader};
pub(crate) use shader::{params, piece, shader};
pub use slice::{BufferId, Element, Order, Slice};
pub(crate) use slice::{channel_map, image_len, joined, padded, physical};
pub(crate) use step::whole_rows;

/// What a buffer is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A graph input, NCHW, by position.
    Input(usize),
    /// A graph output, NCHW, by position.
    Output(usize),
    /// Weights, biases or tables, as the words that the kernel reads. Empty in the plan of a program: it has uploaded
    /// them.
    Constant(Arc<[u32]>),
    /// Intermediate results.
    Scratch,
}

/// A buffer of the plan.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// What it holds, for people.
    pub label: String,
    /// Type of a value.
    pub element: Element,
    /// Number of values.
    pub len: u64,
    /// What it is for.
    pub role: Role,
}

impl Buffer {
    /// Size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.element.bytes_of(self.len)
    }
}

/// A buffer as one step sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `@binding(slot)`
    pub slot: u32,
    /// The buffer.
    pub buffer: BufferId,
    /// Written (and possibly read), or only read.
    pub written: bool,
    /// What the texture holds, if it is one: an array of layers, one for each image.
    pub texels: Option<Texels>,
}

/// Arithmetic and traffic of a step: each operand read once, each result written once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications and additions; comparisons are not counted.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

/// How the names of constants end that are extents of one thing.
const EXTENTS: [&str; 8] = ["M", "N", "K", "N4", "H", "W", "TOP", "LEFT"];

/// One dispatch, or several of one kernel.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name of the node it computes.
    pub node: String,
    /// The kernel.
    pub shader: &'static Shader,
    /// Compiled into the kernel.
    pub constants: Vec<(&'static str, Constant)>,
    /// Shared pieces this step chooses.
    pub pieces: Vec<&'static Piece>,
    /// Generated text of the kernel: what a map computes.
    pub formula: Option<Arc<str>>,
    /// Storage buffers and textures.
    pub bindings: Vec<Binding>,
    /// The bytes of `Params`.
    pub params: Vec<u8>,
    /// Workgroups; folded into two dimensions if one cannot hold them.
    pub workgroups: u64,
    /// Workgroups of one dispatch: more take several, one after the other, so that none keeps a GPU for long.
    pub at_once: u64,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Loop iterations of one invocation, at most.
    pub iterations: u64,
    /// Arithmetic and traffic.
    pub cost: Cost,
    /// What its kernel asks of the device, if it knows better than [`Step::load`].
    pub load: Option<Load>,
    /// Slices read.
    pub operands: Vec<Slice>,
    /// Slices written.
    pub results: Vec<Slice>,
    /// How the kernel was chosen, if there is a choice.
    pub choice: Option<Choice>,
}

impl Step {
    /// Storage buffers that it binds: textures are none.
    pub(crate) fn buffers(&self) -> usize {
        self.bindings.iter().filter(|binding| binding.texels.is_none()).count()
    }

    /// Whether it multiplies matrices.
    pub fn on_matrices(&self) -> bool {
        self.pieces.iter().any(|piece| piece.stem.starts_with("matrices"))
    }

    /// Dispatches of [`Step::at_once`] workgroups each.
    pub const fn dispatches(&self) -> u64 {
        let dispatches = self.workgroups.div_ceil(if self.at_once == 0 { 1 } else { self.at_once });
        if dispatches == 0 { 1 } else { dispatches }
    }

    /// The shared pieces of the kernel: its shader's and this step's own.
    pub fn all_pieces(&self) -> impl Iterator<Item = &'static Piece> + use<'_> {
        let in_turns = self.dispatches() > 1;
        let pieces = self.shader.pieces.iter().chain(&self.pieces).copied();
        pieces.map(move |piece| if in_turns && piece.stem == "index" { piece!("index_from") } else { piece })
    }

    /// What it needs beyond WGSL's core.
    pub fn extensions(&self) -> BTreeSet<Extension> {
        self.all_pieces().flat_map(|piece| piece.extensions).chain(self.shader.extensions).copied().collect()
    }

    /// The whole WGSL of this step.
    pub fn source(&self) -> String {
        let source = self.shader.source(&self.constants, &self.all_pieces().collect::<Vec<_>>());
        self.formula.as_ref().map_or_else(|| source.clone(), |formula| source.clone() + formula)
    }

    /// What the kernel is called among all of its shader, by its constants and the pieces that this step chose: steps have
    /// the same name if they have the same source. `conv-jobs1-terms2-tile64x64x16-thread8x1-…-sources_2`
    pub fn kernel_name(&self) -> String {
        let mut name = self.shader.stem.to_string();
        let mut before = "";
        for (constant, value) in &self.constants {
            // TILE_M and TILE_N are one size.
            let group =
                constant.rsplit_once('_').filter(|(_, end)| EXTENTS.contains(end)).map_or("", |(group, _)| group);
            match group {
                "" if matches!(value, Constant::Bool(_)) => name += &format!("-{}_{value}", constant.to_lowercase()),
                "" => name += &format!("-{}{value}", constant.to_lowercase()),
                _ if group == before => name += &format!("x{value}"),
                _ => name += &format!("-{}{value}", group.to_lowercase()),
            }
            before = group;
        }
        self.pieces.iter().for_each(|piece| name += &format!("-{}", piece.stem));
        if let Some(formula) = &self.formula {
            name += &format!("-formula{:016x}", digest(formula));
        }
        if self.dispatches() > 1 {
            name += "-from";
        }
        name
    }
}

/// FNV-1a, which is the same everywhere.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A graph input or output: its name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name given in the graph.
    pub name: String,
    /// Logical extents; NCHW on the host.
    pub shape: Shape,
    /// Type of a value in the buffer.
    pub element: Element,
    /// The order of values in the buffer: [`Order::Nchw`] or [`Order::NhwcDense`].
    pub order: Order,
    /// What the texture holds, if it is one, whose layers are the images.
    pub texels: Option<Texels>,
    /// The buffer.
    pub buffer: BufferId,
}

impl Port {
    /// All values of the buffer.
    pub(crate) fn slice(&self) -> Slice {
        match self.order {
            Order::Nchw => Slice::nchw(self.buffer, self.element, self.shape),
            Order::Nhwc | Order::NhwcDense => Slice::nhwc_dense(self.buffer, self.element, self.shape),
        }
    }

    /// As kernels see NHWC, if they can read and write the buffer as it is: values of this type, without padding.
    pub(crate) fn nhwc_slice(&self, element: Element) -> Option<Slice> {
        let as_it_is = self.texels.is_none()
            && self.order == Order::NhwcDense
            && self.shape.c.is_multiple_of(4)
            && self.element == element;
        as_it_is.then(|| Slice::nhwc(self.buffer, element, self.shape, [self.shape.c].into()))
    }

    /// Bytes of a row of a texture; saturates.
    pub(crate) const fn row_bytes(&self) -> u32 {
        self.shape.w.saturating_mul(self.shape.c).saturating_mul(self.element.bytes() as u32)
    }

    /// The same as wgpu copies it to a buffer, where each row begins at a multiple of 256.
    pub(crate) const fn staged_row_bytes(&self) -> u32 {
        self.row_bytes().div_ceil(256).saturating_mul(256)
    }

    /// Bytes of the values where all outputs are read back together: the next begin where those of any type may.
    pub(crate) fn staged_bytes(&self) -> u64 {
        let bytes = match self.texels {
            None => self.bytes(),
            Some(_) => [self.staged_row_bytes(), self.shape.h, self.shape.n]
                .map(u64::from)
                .into_iter()
                .fold(1, u64::saturating_mul),
        };
        bytes.div_ceil(8).saturating_mul(8)
    }

    /// Bytes of the values in the buffer.
    pub const fn bytes(&self) -> u64 {
        self.element.bytes_of(self.shape.len())
    }
}

/// Dispatches in order, over numbered buffers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Dispatches.
    pub steps: Vec<Step>,
    /// Buffers.
    pub buffers: Vec<Buffer>,
    /// What a run is given, in the graph's order.
    pub inputs: Vec<Port>,
    /// What a run yields, in the graph's order.
    pub outputs: Vec<Port>,
    /// The device it was made for.
    pub profile: DeviceProfile,
    /// What weights and intermediate tensors are stored in.
    pub precision: Precision,
    /// What [`PlanOptions::max_submission`] was.
    pub max_submission: Duration,
}

impl Plan {
    /// Graph inputs and outputs that are textures.
    pub(crate) fn textures(&self) -> impl Iterator<Item = &Port> {
        self.inputs.iter().chain(&self.outputs).filter(|port| port.texels.is_some())
    }

    /// Bytes of all buffers, graph inputs and outputs included.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().fold(0, |sum, buffer| sum.saturating_add(buffer.bytes()))
    }

    /// Of them, bytes of graph inputs and outputs.
    pub fn port_bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).fold(0, |sum, port| sum.saturating_add(port.bytes()))
    }

    /// Bytes of what steps hand to each other: what another set of scratch buffers takes.
    pub fn scratch_bytes(&self) -> u64 {
        let scratch = self.buffers.iter().filter(|buffer| buffer.role == Role::Scratch);
        scratch.fold(0, |sum, buffer| sum.saturating_add(buffer.bytes()))
    }

    /// Arithmetic and traffic of all steps.
    pub fn cost(&self) -> Cost {
        self.steps.iter().fold(Cost::default(), |sum, step| Cost {
            flops: sum.flops.saturating_add(step.cost.flops),
            bytes: sum.bytes.saturating_add(step.cost.bytes),
        })
    }

    /// Dispatches, except those that convert graph inputs and outputs. A long step counts as often as it is dispatched.
    pub fn dispatches(&self) -> usize {
        self.counted(false)
    }

    /// Dispatches that convert graph inputs and outputs, or all others.
    fn counted(&self, conversions: bool) -> usize {
        let is_port = |buffer: &Buffer| matches!(buffer.role, Role::Input(_) | Role::Output(_));
        let of_port = |binding: &Binding| self.buffers.get(binding.buffer.index()).is_some_and(is_port);
        let converts = |step: &Step| step.shader.stem == "layout" && step.bindings.iter().any(of_port);
        let counted = self.steps.iter().filter(|step| converts(step) == conversions);
        counted.map(Step::dispatches).fold(0, u64::saturating_add) as usize
    }
}
