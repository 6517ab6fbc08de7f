//! From nodes to dispatches: each operation plans itself; this file gives it its operands in the order it needs.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use super::physical;
use super::{
    Buffer, BufferId, DeviceProfile, Order, Plan, PlanOptions, Port, Role, Slice, Step, concat_slices, group_convs,
    split_sums,
};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::ops;
use crate::ops::conv_jobs::{Job, Term};
use crate::ops::conv_parts::Parts;
use crate::tensor::Shape;

/// A plan in the making.
pub(crate) struct Planner<'a> {
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) options: &'a PlanOptions,
    buffers: Vec<Buffer>,
    pub(crate) steps: Vec<Step>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Results still in parts, by node, until what reads them first is planned.
    pub(crate) parts: HashMap<String, Parts>,
}

/// What lies where, by node.
struct Places<'a> {
    graph: &'a Graph,
    home: Vec<Slice>,
    /// Copies in the other order, made when first asked for.
    converted: HashMap<(NodeId, bool), Slice>,
}

impl<'a> Planner<'a> {
    pub(super) fn plan(graph: &Graph, profile: &'a DeviceProfile, options: &'a PlanOptions) -> Result<Plan> {
        let (buffers, steps, inputs, outputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut planner = Self { profile, options, buffers, steps, inputs, outputs, parts: HashMap::new() };
        for (position, (_, node)) in graph.inputs().enumerate() {
            let label = format!("input '{}'", node.name);
            let buffer = planner.buffer(label, node.shape.len(), Role::Input(position));
            planner.inputs.push(Port { name: node.name.clone(), shape: node.shape, buffer });
        }
        for (position, (name, id)) in graph.outputs().iter().enumerate() {
            let shape = graph.shape(*id)?;
            let buffer = planner.buffer(format!("output '{name}'"), shape.len(), Role::Output(position));
            planner.outputs.push(Port { name: name.clone(), shape, buffer });
        }
        let batches = group_convs::run(graph, options.group_convs);
        let home = concat_slices::run(&mut planner, graph, &batches, options.concat_slices)?;
        let mut places = Places { graph, home, converted: HashMap::new() };
        for batch in &batches {
            let mut jobs = Vec::new();
            for &id in batch {
                let node = graph.node(id)?;
                match &node.op {
                    _ if node.shape.is_empty() => {}
                    Op::Conv(_) | Op::ConvSum(_) => jobs.push(planner.job(&mut places, id, node)),
                    _ => planner.lower(&mut places, id, node)?,
                }
            }
            ops::conv::plan(&mut planner, jobs)?;
        }
        for (position, (name, id)) in graph.outputs().iter().enumerate() {
            if !graph.shape(*id)?.is_empty() {
                planner.write_output(&mut places, *id, position, name);
            }
        }
        let Self { buffers, steps, inputs, outputs, .. } = planner;
        let mut plan = Plan { steps, buffers, inputs, outputs, profile: profile.clone() };
        super::reuse_buffers::drop_unused(&mut plan);
        Ok(plan)
    }

    /// A new buffer of `len` values.
    pub(crate) fn buffer(&mut self, label: String, len: u64, role: Role) -> BufferId {
        self.buffers.push(Buffer { label, bytes: len * 4, role });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// A buffer of 32-bit values that are known now: weights, biases, tables.
    pub(crate) fn constant(&mut self, label: String, values: Vec<u32>) -> BufferId {
        self.buffer(label, values.len() as u64, Role::Constant(Arc::from(values)))
    }

    /// As [`Self::constant`], for floats.
    pub(crate) fn weights(&mut self, label: String, values: &[f32]) -> BufferId {
        self.constant(label, bytemuck::cast_slice(values).to_vec())
    }

    /// Room for `len` packed weights, refused where one binding could not hold them.
    pub(crate) fn room(&self, node: &str, len: u64) -> Result<Vec<f32>> {
        let (needed, available) = (len.saturating_mul(4), self.profile.max_binding.min(self.profile.max_buffer));
        if needed > available {
            return Err(Error::LimitExceeded {
                what: format!("conv '{node}': the packed weight"),
                limit: "max_storage_buffer_binding_size",
                needed,
                available,
                hint: "use fewer channels or a smaller kernel, or a device made with higher limits",
            });
        }
        Ok(Vec::with_capacity(len as usize))
    }

    /// Scratch space for `shape` in NHWC without gaps.
    pub(crate) fn scratch(&mut self, label: String, shape: Shape, segments: Vec<u32>) -> Slice {
        let stride = physical(&segments);
        let len = u64::from(stride) * u64::from(shape.n) * u64::from(shape.h) * u64::from(shape.w);
        let buffer = self.buffer(label, len, Role::Scratch);
        Slice { buffer, shape, order: Order::Nhwc, offset: 0, stride, segments }
    }

    /// Adds a dispatch.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn output_buffer(&self, position: usize) -> BufferId {
        self.outputs[position].buffer
    }

    /// A convolution with its operands in the order the kernels need.
    fn job(&mut self, places: &mut Places, id: NodeId, node: &Node) -> Job {
        let (convs, activation) = match &node.op {
            Op::Conv(conv) => (slice::from_ref(conv), conv.activation),
            Op::ConvSum(sum) => (sum.terms.as_slice(), sum.activation),
            _ => (&[][..], Default::default()),
        };
        let mut terms = Vec::new();
        for (conv, &input) in convs.iter().zip(&node.inputs) {
            let x = self.nhwc(places, input);
            let x = if conv.groups > 1 { self.without_gaps(&node.name, x) } else { x };
            terms.push(Term { conv: conv.clone(), x });
        }
        let residual = node.inputs.get(terms.len()).map(|&input| {
            let x = self.nhwc(places, input);
            self.without_gaps(&node.name, x)
        });
        let reader_adds =
            self.options.split_sums && split_sums::reader_adds(places.graph, self.profile, &places.home, id);
        Job { node: node.name.clone(), terms, residual, activation, y: places.home[id.index()].clone(), reader_adds }
    }

    fn lower(&mut self, places: &mut Places, id: NodeId, node: &Node) -> Result<()> {
        let y = places.home[id.index()].clone();
        match &node.op {
            // Convolutions are planned together.
            Op::Input | Op::Conv(_) | Op::ConvSum(_) => Ok(()),
            Op::MaxPool(pool) => {
                let x = self.nhwc(places, node.inputs[0]);
                let x = self.in_runs(&node.name, x, &y.segments);
                ops::max_pool::plan(self, &node.name, pool, &x, &y);
                Ok(())
            }
            Op::MaxPoolCascade(cascade) => {
                let x = self.nhwc(places, node.inputs[0]);
                let parts = self.parts.remove(&places.graph.nodes()[node.inputs[0].index()].name);
                ops::max_pool_cascade::plan(self, &node.name, cascade, &x, parts.as_ref(), &y);
                Ok(())
            }
            Op::PyramidPool(pool) => {
                let x = self.nhwc(places, node.inputs[0]);
                let x = self.without_gaps(&node.name, x);
                ops::pyramid_pool::plan(self, &node.name, pool, &x, &y)
            }
            Op::Concat(_) => {
                self.fill_concat(places, node, &y);
                Ok(())
            }
            Op::AffineActivation(affine) => {
                let x = self.nhwc(places, node.inputs[0]);
                let x = self.in_runs(&node.name, x, &y.segments);
                ops::affine_activation::plan(self, &node.name, affine, &x, &y);
                Ok(())
            }
            Op::Add(add) => {
                let [a, b] = [self.nhwc(places, node.inputs[0]), self.nhwc(places, node.inputs[1])];
                let [a, b] = [a, b].map(|x| self.in_runs(&node.name, x, &y.segments));
                ops::add::plan(self, &node.name, add, &a, &b, &y);
                Ok(())
            }
            Op::Linear(linear) => {
                let x = self.nhwc(places, node.inputs[0]);
                ops::linear::plan(self, &node.name, linear, &x, &y)
            }
            Op::Softmax(softmax) => {
                let x = match softmax.axis {
                    ops::SoftmaxAxis::Channels => {
                        let x = self.nhwc(places, node.inputs[0]);
                        self.without_gaps(&node.name, x)
                    }
                    ops::SoftmaxAxis::Columns => self.nchw(places, node.inputs[0]),
                };
                ops::softmax::plan(self, &node.name, softmax, &x, &y);
                Ok(())
            }
            Op::GlobalPool(pool) => {
                let x = self.nhwc(places, node.inputs[0]);
                ops::global_pool::plan(self, &node.name, pool, &x, &y);
                Ok(())
            }
            Op::Resize(resize) => {
                let x = self.nhwc(places, node.inputs[0]);
                ops::resize::plan(self, &node.name, resize, &x, &y);
                Ok(())
            }
            Op::Layout(_) => {
                let x = self.nhwc(places, node.inputs[0]);
                ops::layout::plan_rows(self, &node.name, &x, &y);
                Ok(())
            }
        }
    }

    /// Copies what the operands of a concatenation could not write in place.
    fn fill_concat(&mut self, places: &mut Places, node: &Node, y: &Slice) {
        let mut offset = y.offset;
        for &input in &node.inputs {
            let x = if y.order == Order::Nhwc { self.nhwc(places, input) } else { self.nchw(places, input) };
            let target = Slice { offset, shape: x.shape, segments: x.segments.clone(), ..y.clone() };
            offset += if y.order == Order::Nhwc { x.physical_c() } else { x.stride_of_image() };
            if x == target {
                continue;
            }
            // A dispatch may not read and write one buffer: go by way of another.
            let x = if x.buffer == y.buffer { self.copied(&node.name, &x, x.segments.clone()) } else { x };
            match y.order {
                Order::Nhwc => ops::concat::plan(self, &node.name, &x, &target),
                Order::Nchw => ops::layout::plan_copy(self, &node.name, &x, &target),
            }
        }
    }

    fn write_output(&mut self, places: &mut Places, id: NodeId, position: usize, name: &str) {
        let shape = places.home[id.index()].shape;
        let buffer = self.output_buffer(position);
        let (offset, stride) = (0, shape.c * shape.h * shape.w);
        let y = Slice { buffer, shape, order: Order::Nchw, offset, stride, segments: vec![shape.c] };
        let node = &places.graph.nodes()[id.index()];
        let parts = self.parts.remove(&node.name);
        let is_input = matches!(node.op, Op::Input);
        let x = if is_input { self.nchw(places, id) } else { places.home[id.index()].clone() };
        match x.order {
            Order::Nhwc => ops::layout::plan_to_nchw(self, name, &x, parts.as_ref(), &y),
            Order::Nchw if x.buffer != buffer => ops::layout::plan_copy(self, name, &x, &y),
            Order::Nchw => {}
        }
    }

    /// The result of `id` in NHWC.
    fn nhwc(&mut self, places: &mut Places, id: NodeId) -> Slice {
        let node = &places.graph.nodes()[id.index()];
        let home = places.home[id.index()].clone();
        if home.order == Order::Nhwc && !matches!(node.op, Op::Input) {
            return home;
        }
        if let Some(slice) = places.converted.get(&(id, true)) {
            return slice.clone();
        }
        let dense = self.nchw(places, id);
        let slice = match node.op {
            Op::Input => home,
            _ => self.scratch(format!("{} in NHWC", node.name), node.shape, vec![node.shape.c]),
        };
        ops::layout::plan_to_nhwc(self, &node.name, &dense, &slice);
        places.converted.insert((id, true), slice.clone());
        slice
    }

    /// The result of `id` in NCHW.
    fn nchw(&mut self, places: &mut Places, id: NodeId) -> Slice {
        let node = &places.graph.nodes()[id.index()];
        let home = places.home[id.index()].clone();
        if home.order == Order::Nchw {
            return home;
        }
        let shape = node.shape;
        let dense = |buffer| {
            let (offset, stride, segments) = (0, shape.c * shape.h * shape.w, vec![shape.c]);
            Slice { buffer, shape, order: Order::Nchw, offset, stride, segments }
        };
        if let Some(port) = self.inputs.iter().find(|port| matches!(node.op, Op::Input) && port.name == node.name) {
            return dense(port.buffer);
        }
        if let Some(slice) = places.converted.get(&(id, false)) {
            return slice.clone();
        }
        let slice = dense(self.buffer(format!("{} in NCHW", node.name), shape.len(), Role::Scratch));
        ops::layout::plan_to_nchw(self, &node.name, &home, None, &slice);
        places.converted.insert((id, false), slice.clone());
        slice
    }

    /// `x`, or a copy of it without gaps between its channels.
    fn without_gaps(&mut self, name: &str, x: Slice) -> Slice {
        let whole = [x.shape.c];
        self.in_runs(name, x, &whole)
    }

    /// `x`, or a copy of it with its channels in these runs.
    fn in_runs(&mut self, name: &str, x: Slice, segments: &[u32]) -> Slice {
        if x.segments == segments { x } else { self.copied(name, &x, segments.to_vec()) }
    }

    /// A copy of `x` with its channels in other runs.
    fn copied(&mut self, name: &str, x: &Slice, segments: Vec<u32>) -> Slice {
        if x.order == Order::Nchw {
            let buffer = self.buffer(format!("{name} copy"), x.shape.len(), Role::Scratch);
            let y = Slice { buffer, offset: 0, stride: x.stride_of_image(), ..x.clone() };
            ops::layout::plan_copy(self, name, x, &y);
            return y;
        }
        let y = self.scratch(format!("{name} copy"), x.shape, segments);
        ops::concat::plan(self, name, x, &y);
        y
    }
}

impl Slice {
    /// Values of one dense image.
    fn stride_of_image(&self) -> u32 {
        self.shape.c * self.shape.h * self.shape.w
    }
}
