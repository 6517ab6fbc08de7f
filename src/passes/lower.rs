//! From nodes to dispatches: every operation gets its operands in the form its contract asks for, and is planned by its
//! kernel.

use std::collections::HashMap;

use super::{concat_slices, group_convs, split_sums};
use crate::error::Result;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::kernels::conv::Parts;
use crate::kernels::{self, Call, Contract, Needs, concat, layout};
use crate::plan::{Builder, DeviceProfile, Draft, Order, PlanOptions, Slice};

pub(super) fn run(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Draft> {
    let mut builder = Builder::new(profile, options);
    for (_, node) in graph.inputs() {
        builder.input(&node.name, node.shape, node.op.texels());
    }
    for (name, id) in graph.outputs() {
        let node = graph.node(*id)?;
        builder.output(name, node.shape, node.op.texels());
    }
    let batches = group_convs::run(graph, options.group_convs);
    let reading = graph.reading();
    let contracts = concat_slices::contracts(graph, options.max_host_bytes)?;
    let places = concat_slices::run(&mut builder, graph, &reading, &contracts, &batches, options.concat_slices)?;
    let (converted, parts) = Default::default();
    let mut lowering = Lowering { graph, builder, places, reading, converted, parts };
    for batch in &batches {
        lowering.plan(&contracts, batch)?;
    }
    for (position, (_, id)) in graph.outputs().iter().enumerate() {
        if !graph.shape(*id)?.is_empty() {
            lowering.write_output(*id, position)?;
        }
    }
    debug_assert!(lowering.parts.is_empty(), "split_sums allowed parts that nobody adds up");
    Ok(lowering.builder.finish())
}

struct Lowering<'a> {
    graph: &'a Graph,
    builder: Builder<'a>,
    /// Where each node's result lies.
    places: Vec<Slice>,
    /// For each node, those that read it.
    reading: Vec<Vec<NodeId>>,
    /// Copies in the other order, made when first asked for.
    converted: HashMap<(NodeId, Order), Slice>,
    /// Results still in parts, until their first reader is planned.
    parts: HashMap<NodeId, Parts>,
}

impl<'a> Lowering<'a> {
    fn node(&self, id: NodeId) -> &'a Node {
        &self.graph.nodes()[id.index()]
    }

    /// Nodes that do not depend on each other.
    fn plan(&mut self, contracts: &[Contract], batch: &[NodeId]) -> Result<()> {
        let ids = batch.iter().copied().filter(|id| !self.graph.nodes()[id.index()].shape.is_empty());
        let calls = ids.map(|id| self.call(id, &contracts[id.index()])).collect::<Result<_>>()?;
        let left = kernels::plan(&mut self.builder, calls)?;
        self.parts.extend(left.map(|parts| (parts.of, parts)));
        Ok(())
    }

    /// A node with its operands in the form its kernel needs.
    fn call(&mut self, id: NodeId, contract: &Contract) -> Result<Call<'a>> {
        let Node { name, op, inputs, .. } = self.node(id);
        let y = self.places[id.index()].clone();
        let operands = inputs.iter().zip(&contract.operands);
        let texture = |&input: &NodeId| Some((self.places[input.index()].clone(), self.node(input).op.texels()?));
        let textures = inputs.iter().filter_map(texture).collect();
        let tensors = operands.filter(|(_, needs)| **needs != Needs::Texture);
        let xs = tensors.map(|(&input, needs)| self.operand(name, input, *needs, &y)).collect::<Result<_>>()?;
        let adds_up = matches!(op, Op::MaxPoolCascade(_));
        let parts = inputs.first().filter(|_| adds_up).and_then(|input| self.parts.remove(input));
        let Builder { profile, options, .. } = self.builder;
        let is_sum = matches!(op, Op::Conv(_) | Op::ConvSum(_));
        let (graph, reading) = (self.graph, &self.reading);
        let reader_adds = is_sum
            && options.split_sums
            && !self.builder.is_output(y.buffer)
            && split_sums::reader_adds(graph, reading, profile, &self.places, id);
        Ok(Call { id, node: name, op, xs, textures, parts, y, reader_adds })
    }

    /// The result of `id` as the node `reader`, whose result is `y`, needs it.
    fn operand(&mut self, reader: &str, id: NodeId, needs: Needs, y: &Slice) -> Result<Slice> {
        let segments = match needs {
            Needs::Nchw => return self.nchw(id),
            Needs::Nhwc => return self.nhwc(id),
            Needs::Whole => vec![self.node(id).shape.c],
            Needs::ResultRuns => y.segments.clone(),
            Needs::Texture => return Ok(self.places[id.index()].clone()),
        };
        let x = self.nhwc(id)?;
        if x.segments == segments { Ok(x) } else { concat::plan_copied(&mut self.builder, reader, &x, segments) }
    }

    fn write_output(&mut self, id: NodeId, position: usize) -> Result<()> {
        let (name, _) = &self.graph.outputs()[position];
        let y = self.builder.output_port(position).slice();
        let parts = self.parts.remove(&id);
        let is_input = matches!(self.node(id).op, Op::Input);
        let x = if is_input {
            self.builder.input_port(&self.node(id).name).slice()
        } else {
            self.places[id.index()].clone()
        };
        if x.buffer != y.buffer {
            layout::plan(&mut self.builder, name, &x, parts.as_ref(), &y);
        }
        Ok(())
    }

    /// The result of `id` in NHWC.
    fn nhwc(&mut self, id: NodeId) -> Result<Slice> {
        let Node { name, op, shape, .. } = self.node(id);
        let place = self.places[id.index()].clone();
        let is_input = matches!(op, Op::Input);
        if place.order == Order::Nhwc && !is_input {
            return Ok(place);
        }
        if let Some(slice) = self.converted.get(&(id, Order::Nhwc)) {
            return Ok(slice.clone());
        }
        let label = || format!("{name} in NHWC");
        let (x, slice) = if is_input {
            (self.builder.input_port(name).slice(), place)
        } else {
            (place, self.builder.scratch(label(), *shape, vec![shape.c])?)
        };
        if x.buffer != slice.buffer {
            layout::plan(&mut self.builder, name, &x, None, &slice);
        }
        self.converted.insert((id, Order::Nhwc), slice.clone());
        Ok(slice)
    }

    /// The result of `id` in NCHW.
    fn nchw(&mut self, id: NodeId) -> Result<Slice> {
        let Node { name, op, shape, .. } = self.node(id);
        let place = self.places[id.index()].clone();
        if place.order == Order::Nchw {
            return Ok(place);
        }
        let x = if matches!(op, Op::Input) { self.builder.input_port(name).slice() } else { place };
        if x.order == Order::Nchw && x.element == self.builder.options.ports.element() {
            return Ok(x);
        }
        if let Some(slice) = self.converted.get(&(id, Order::Nchw)) {
            return Ok(slice.clone());
        }
        let slice = self.builder.scratch_nchw(format!("{name} in NCHW"), *shape)?;
        layout::plan(&mut self.builder, name, &x, None, &slice);
        self.converted.insert((id, Order::Nchw), slice.clone());
        Ok(slice)
    }
}
