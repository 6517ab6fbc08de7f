//! How a graph is computed on one device: dispatches in order, buffers, slices. Nothing here needs a GPU.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Shape;

mod concat_slices;
mod fold_affine;
mod fuse_add;
mod fuse_cascade;
mod fuse_sum;
mod group_convs;
mod image_bias;
mod lower;
mod profile;
mod reuse_buffers;
mod shader;
mod slice;
mod split_sums;
mod step;
mod text;
mod tuning;

pub(crate) use lower::Planner;
pub use profile::{DeviceClass, DeviceProfile};
pub use shader::{Constant, Fields, Shader};
pub(crate) use shader::{params, piece, shader};
pub use slice::{BufferId, Order, Slice};
pub(crate) use slice::{joined, padded, physical};
pub use tuning::{Choice, Tuning};

/// Which convolution kernel to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvKernel {
    /// By device class and shape.
    #[default]
    Auto,
    /// Tiles in workgroup memory, wherever it applies (one group).
    Tiled,
    /// Lanes hand each other the input, wherever it applies (one group; subgroups of four or eight lanes).
    Subgroup,
    /// No workgroup memory, wherever it applies.
    Direct,
}

/// What the planner may do. Every pass can be switched off; results agree within the documented error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Fold scale, shift and activation into the convolution before them.
    pub fold_affine: bool,
    /// Compute `act(scale * conv + b)` at the end of the convolution.
    pub fuse_add: bool,
    /// Compute a sum of convolutions as one.
    pub fuse_sum: bool,
    /// Compute what a resized map of one pixel adds to a 1x1 convolution of a concatenation once an image. Where it is
    /// infinite it stays so; bilinear resizing alone makes NaN of it in three quarters of the map, by weights of zero.
    pub image_bias: bool,
    /// Compute chained or nested stride-1 pools in one dispatch.
    pub fuse_cascade: bool,
    /// Compute convolutions that do not depend on each other in one dispatch.
    pub group_convs: bool,
    /// Let producers write their slice of a concatenation.
    pub concat_slices: bool,
    /// Split a convolution's sum among workgroups where they are few, and what reads it first can add up the parts.
    pub split_sums: bool,
    /// Let tensors that are not alive at the same time share a buffer.
    pub reuse_buffers: bool,
    /// Convolution kernel.
    pub conv_kernel: ConvKernel,
    /// What was measured to be fastest on the adapter, for convolutions whose class is in it.
    pub tuned: Option<Arc<Tuning>>,
    /// Most bytes of GPU memory, weights included; `None`: what the device allows.
    pub max_bytes: Option<u64>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            fold_affine: true,
            fuse_add: true,
            fuse_sum: true,
            image_bias: true,
            fuse_cascade: true,
            group_convs: true,
            concat_slices: true,
            split_sums: true,
            reuse_buffers: true,
            conv_kernel: ConvKernel::Auto,
            tuned: None,
            max_bytes: None,
        }
    }
}

impl PlanOptions {
    /// Every node by itself.
    pub fn unfused() -> Self {
        Self {
            fold_affine: false,
            fuse_add: false,
            fuse_sum: false,
            image_bias: false,
            fuse_cascade: false,
            group_convs: false,
            concat_slices: false,
            split_sums: false,
            reuse_buffers: false,
            ..Self::default()
        }
    }

    /// The same, with the kernels that were found fastest on the adapter.
    pub fn tuned(self, tuning: impl Into<Arc<Tuning>>) -> Self {
        Self { tuned: Some(tuning.into()), ..self }
    }
}

/// What a buffer is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A graph input, NCHW, by position.
    Input(usize),
    /// A graph output, NCHW, by position.
    Output(usize),
    /// Weights, biases or tables, in the order the kernel reads them.
    Constant(Arc<[u32]>),
    /// Intermediate results.
    Scratch,
}

/// A buffer of the plan.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Who fills it.
    pub label: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What it is for.
    pub role: Role,
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
}

/// Arithmetic and traffic of a step: each operand read once, each result written once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications and additions; comparisons are not counted.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name of the node it computes.
    pub node: String,
    /// The kernel.
    pub shader: &'static Shader,
    /// Compiled into the kernel.
    pub constants: Vec<(&'static str, Constant)>,
    /// Shared pieces this step chooses.
    pub pieces: Vec<&'static str>,
    /// Storage buffers.
    pub bindings: Vec<Binding>,
    /// The bytes of `Params`.
    pub params: Vec<u8>,
    /// Workgroups; folded into two dimensions where one does not hold them.
    pub workgroups: u64,
    /// Loop iterations of one invocation, at most.
    pub iterations: u64,
    /// Arithmetic and traffic.
    pub cost: Cost,
    /// Slices read.
    pub operands: Vec<Slice>,
    /// Slices written.
    pub results: Vec<Slice>,
    /// How the kernel was chosen, where there is a choice.
    pub choice: Option<Choice>,
}

impl Step {
    /// The whole WGSL of this step.
    pub fn source(&self) -> String {
        self.shader.source(&self.constants, &self.pieces)
    }
}

/// A graph input or output: its name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name given in the graph.
    pub name: String,
    /// Logical extents, NCHW on the host.
    pub shape: Shape,
    /// The buffer.
    pub buffer: BufferId,
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
}

impl Plan {
    /// Plans `graph` for a device. Errors: an unsound graph, a tensor over the device's limits, a plan over the memory
    /// budget; nothing has been allocated on a GPU then.
    pub fn new(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Self> {
        graph.check()?;
        let mut graph = graph.clone();
        if options.fold_affine {
            graph = fold_affine::run(&graph)?;
        }
        if options.fuse_sum {
            graph = fuse_sum::run(&graph)?;
        }
        if options.fuse_add {
            graph = fuse_add::run(&graph)?;
        }
        if options.image_bias {
            graph = image_bias::run(&graph)?;
        }
        if options.fuse_cascade {
            graph = fuse_cascade::run(&graph)?;
        }
        let lowered = |options: &PlanOptions| {
            let mut plan = Planner::plan(&graph, profile, options)?;
            if options.reuse_buffers {
                reuse_buffers::run(&mut plan);
            }
            plan.check_limits(options.max_bytes)?;
            Ok(plan)
        };
        match lowered(options) {
            // Parts of sums take memory, too.
            Err(Error::MemoryBudget { .. }) if options.split_sums => {
                lowered(&PlanOptions { split_sums: false, ..options.clone() })
            }
            plan => plan,
        }
    }

    /// Bytes of all buffers, graph inputs and outputs included.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.bytes).sum()
    }

    /// Arithmetic and traffic of all steps.
    pub fn cost(&self) -> Cost {
        self.steps.iter().fold(Cost::default(), |sum, step| Cost {
            flops: sum.flops + step.cost.flops,
            bytes: sum.bytes + step.cost.bytes,
        })
    }

    /// Dispatches but for the conversion of graph inputs and outputs.
    pub fn dispatches(&self) -> usize {
        let is_port = |buffer: BufferId| matches!(self.buffers[buffer.index()].role, Role::Input(_) | Role::Output(_));
        let converts = |step: &Step| step.shader.stem == "layout" && step.bindings.iter().any(|b| is_port(b.buffer));
        self.steps.iter().filter(|step| !converts(step)).count()
    }

    fn check_limits(&self, max_bytes: Option<u64>) -> Result<()> {
        let DeviceProfile { max_binding, max_buffer, max_workgroups, max_iterations, .. } = self.profile;
        for buffer in &self.buffers {
            let limits = [("max_storage_buffer_binding_size", max_binding), ("max_buffer_size", max_buffer)];
            for (limit, available) in limits {
                if buffer.bytes > available {
                    return Err(Error::LimitExceeded {
                        what: buffer.label.clone(),
                        limit,
                        needed: buffer.bytes,
                        available,
                        hint: "use a smaller batch or input, or a device made with higher limits",
                    });
                }
            }
        }
        for step in &self.steps {
            let workgroups = u64::from(max_workgroups) * u64::from(max_workgroups);
            let limits = [
                ("max_compute_workgroups_per_dimension squared", step.workgroups, workgroups),
                ("the iterations that software adapters let a loop have", step.iterations, max_iterations),
            ];
            for (limit, needed, available) in limits {
                if needed > available {
                    let what = format!("{} '{}'", step.shader.stem, step.node);
                    let hint = "use a smaller batch or input, or another adapter";
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
}
