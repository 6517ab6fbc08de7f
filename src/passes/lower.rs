//! From nodes to dispatches: every operation gets its operands in the form its contract asks for, and is planned by its
//! kernel.

use std::collections::{HashMap, HashSet};

use super::{concat_slices, group_convs, split_sums};
use crate::error::{Error, Result, unknown};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::kernels::conv::Parts;
use crate::kernels::{self, Call, Contract, Needs, concat, layout};
use crate::ops::Narrow;
use crate::plan::{Builder, DeviceProfile, Draft, Element, Order, PlanOptions, Slice};
use crate::tensor::Precision;

pub(super) fn run(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Draft> {
    let mut builder = Builder::new(profile, options);
    for (_, node) in graph.inputs() {
        builder.input(&node.name, node.shape, node.op.texels());
    }
    for (name, id) in graph.outputs() {
        let node = graph.node(*id)?;
        builder.output(name, node.shape, node.op.texels());
    }
    let precisions = precisions(graph, options)?;
    let batches = group_convs::run(graph, &precisions, options.group_convs);
    let reading = graph.reading();
    let contracts = concat_slices::contracts(graph, options.max_host_bytes)?;
    let known = concat_slices::Known { reading: &reading, contracts: &contracts, precisions: &precisions };
    let places = concat_slices::run(&mut builder, graph, &known, &batches)?;
    let (converted, parts) = Default::default();
    let mut lowering = Lowering { graph, builder, places, reading, converted, parts };
    for batch in &batches {
        lowering.builder.precision = precisions[batch[0].index()];
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

/// What each node stores. Errors: a name of [`PlanOptions::kept_f32`] that no node has.
fn precisions(graph: &Graph, options: &PlanOptions) -> Result<Vec<Precision>> {
    let names = || graph.nodes().iter().map(|node| node.name.as_str());
    let known: HashSet<&str> = names().collect();
    if let Some(name) = options.kept_f32.iter().find(|name| !known.contains(name.as_str())) {
        let names: Vec<&str> = names().collect();
        let reason = format!("{}; what became part of another node has no name of its own", unknown(name, &names));
        return Err(Error::param("the plan", "kept_f32", name, &reason));
    }
    let mut precisions: Vec<Precision> = Vec::with_capacity(known.len());
    for node in graph.nodes() {
        precisions.push(match (&node.op, &node.inputs[..]) {
            // They may lie where their operands do.
            (Op::Narrow(_) | Op::Reshape(_), [input]) => precisions[input.index()],
            _ if options.kept_f32.contains(&node.name) => Precision::F32,
            _ => options.precision,
        });
    }
    Ok(precisions)
}

struct Lowering<'a> {
    graph: &'a Graph,
    builder: Builder<'a>,
    /// Where each node's result lies.
    places: Vec<Slice>,
    /// For each node, those that read it.
    reading: Vec<Vec<NodeId>>,
    /// Copies in the other order, made when first asked for.
    converted: HashMap<(NodeId, Order, Element), Slice>,
    /// Results still in parts, until their first reader is planned.
    parts: HashMap<NodeId, Parts>,
}

impl<'a> Lowering<'a> {
    fn node(&self, id: NodeId) -> &'a Node {
        &self.graph.nodes()[id.index()]
    }

    /// Nodes that do not depend on each other.
    fn plan(&mut self, contracts: &[Contract], batch: &[NodeId]) -> Result<()> {
        if let [id] = batch[..]
            && !self.node(id).shape.is_empty()
        {
            match &self.node(id).op {
                Op::Reshape(_) => return self.reshape(id),
                Op::Narrow(narrow) => return self.narrow(id, narrow),
                _ => {}
            }
        }
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
            Needs::Nchw => return self.nchw(id, self.builder.options.ports.element()),
            Needs::Values => return self.values(id),
            Needs::Images => return self.nchw(id, Element::F32),
            Needs::Anywhere => return self.anywhere(id),
            Needs::Nhwc => return self.nhwc(id),
            Needs::Whole => [self.node(id).shape.c].into(),
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
        let element = self.builder.element();
        if place.order == Order::Nhwc && place.element == element && !is_input {
            return Ok(place);
        }
        let key = (id, Order::Nhwc, element);
        if let Some(slice) = self.converted.get(&key) {
            return Ok(slice.clone());
        }
        if let Op::Constant(constant) = op {
            let slice = self.builder.values_nhwc(format!("{name} in NHWC"), &constant.value)?;
            self.converted.insert(key, slice.clone());
            return Ok(slice);
        }
        let x = if is_input { self.builder.input_port(name).slice() } else { place.clone() };
        let slice = match place.order {
            Order::Nhwc if is_input && place.element == element => place,
            // Gap by gap, as the kernel goes through both in the same steps.
            Order::Nhwc if !is_input => self.builder.scratch(format!("{name} in {element}"), *shape, place.segments)?,
            _ => self.builder.scratch(format!("{name} in NHWC"), *shape, [shape.c].into())?,
        };
        if x.buffer != slice.buffer {
            layout::plan(&mut self.builder, name, &x, None, &slice);
        }
        self.converted.insert(key, slice.clone());
        Ok(slice)
    }

    /// The result of `id` in NCHW, of values of this type.
    fn nchw(&mut self, id: NodeId, element: Element) -> Result<Slice> {
        let Node { name, op, shape, .. } = self.node(id);
        let place = self.places[id.index()].clone();
        if place.order == Order::Nchw && place.element == element {
            return Ok(place);
        }
        let x = if matches!(op, Op::Input) { self.builder.input_port(name).slice() } else { place };
        if x.order == Order::Nchw && x.element == element {
            return Ok(x);
        }
        let key = (id, Order::Nchw, element);
        if let Some(slice) = self.converted.get(&key) {
            return Ok(slice.clone());
        }
        let slice = self.builder.scratch_nchw(format!("{name} in NCHW"), *shape, element)?;
        layout::plan(&mut self.builder, name, &x, None, &slice);
        self.converted.insert(key, slice.clone());
        Ok(slice)
    }

    /// A reshape: nothing if it lies where its operand does, else on the way from one order or place to the other.
    fn reshape(&mut self, id: NodeId) -> Result<()> {
        let Node { name, inputs, .. } = self.node(id);
        let (input, y) = (inputs[0], self.places[id.index()].clone());
        let Node { name: of, op, .. } = self.node(input);
        if y.order != Order::Nchw {
            let x = self.nhwc(input)?;
            if x.buffer != y.buffer {
                concat::plan_copy(&mut self.builder, name, &Slice { shape: y.shape, ..x }, &y);
            }
            return Ok(());
        }
        let x = match op {
            Op::Input => self.builder.input_port(of).slice(),
            _ => self.places[input.index()].clone(),
        };
        if x.buffer == y.buffer {
            return Ok(());
        }
        if !layout::plan_reshaped(&mut self.builder, name, &x, &y) {
            let dense = self.values(input)?;
            layout::plan(&mut self.builder, name, &dense.reshaped(y.shape), None, &y);
        }
        Ok(())
    }

    /// The result of `id` where it lies, if there are no gaps between its channels.
    fn anywhere(&mut self, id: NodeId) -> Result<Slice> {
        let Node { name, op, .. } = self.node(id);
        let x = match op {
            Op::Input => self.builder.input_port(name).slice(),
            _ => self.places[id.index()].clone(),
        };
        let as_it_is = match x.order {
            Order::Nchw => x.element == Element::F32,
            Order::Nhwc | Order::NhwcDense => x.segments.len() == 1 && x.element != Element::U8,
        };
        if as_it_is { Ok(x) } else { self.values(id) }
    }

    /// Some channels: nothing if they lie where the operand's do, else a copy.
    fn narrow(&mut self, id: NodeId, narrow: &Narrow) -> Result<()> {
        let Node { name, inputs, .. } = self.node(id);
        let y = self.places[id.index()].clone();
        let x = if y.order == Order::Nchw { self.nchw(inputs[0], Element::F32)? } else { self.nhwc(inputs[0])? };
        if x.buffer != y.buffer {
            concat::plan_narrowed(&mut self.builder, name, &x, narrow.start, &y);
        }
        Ok(())
    }

    /// The result of `id` in NCHW, in `f32`, its images one right after the other.
    fn values(&mut self, id: NodeId) -> Result<Slice> {
        let x = self.nchw(id, Element::F32)?;
        if x.is_dense() {
            return Ok(x);
        }
        let Node { name, shape, .. } = self.node(id);
        let dense = self.builder.scratch_nchw(format!("{name}, dense"), *shape, Element::F32)?;
        layout::plan(&mut self.builder, name, &x, None, &dense);
        Ok(dense)
    }
}
