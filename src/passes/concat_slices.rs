//! Pass: where every node's result lies. A concatenation's operands are written side by side into one buffer, so that
//! nothing is left to copy; outputs of rows go straight into the caller's buffer.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::kernels::{Contract, Form, contract};
use crate::plan::{BufferId, Builder, Element, Order, Role, Slice, image_len, padded, physical};
use crate::tensor::{MAX_ELEMENTS, Shape};

/// The memory contract of each node.
pub(super) fn contracts(graph: &Graph) -> Vec<Contract> {
    let nodes = graph.nodes();
    let mut contracts: Vec<Contract> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let operand = |id: &NodeId| (&contracts[id.index()].result, nodes[id.index()].shape);
        let operands: Vec<_> = node.inputs.iter().map(operand).collect();
        contracts.push(contract(&node.op, &operands, node.shape));
    }
    contracts
}

/// The place of each node's result. A graph input's is its NHWC copy.
pub(super) fn run(
    builder: &mut Builder,
    graph: &Graph,
    contracts: &[Contract],
    batches: &[Vec<NodeId>],
    enabled: bool,
) -> Result<Vec<Slice>> {
    let forms: Vec<&Form> = contracts.iter().map(|contract| &contract.result).collect();
    let mut places: Vec<Option<Slice>> = vec![None; graph.nodes().len()];
    for id in graph.ids().rev() {
        if enabled && matches!(graph.node(id)?.op, Op::Concat(_)) {
            let place = match places[id.index()].clone() {
                Some(place) => place,
                None => own_place(builder, graph, id, forms[id.index()])?,
            };
            place_operands(graph, id, &place, &forms, &mut places)?;
            places[id.index()] = Some(place);
        }
    }
    if builder.options.reuse_buffers {
        share_idle_slices(graph, batches, &forms, &mut places);
    }
    for batch in batches.iter().filter(|batch| batch.len() > 1) {
        place_together(builder, graph, batch, &forms, &mut places);
    }
    for id in graph.ids() {
        if places[id.index()].is_none() {
            places[id.index()] = Some(own_place(builder, graph, id, forms[id.index()])?);
        }
    }
    Ok(places.into_iter().flatten().collect())
}

/// Puts a result into a concatenation that its dispatch writes to anyway, where another will lie once this one has been
/// read: in the CSP blocks, cv1 lies where cv6 will. That space would otherwise be empty for most of the buffer's life.
fn share_idle_slices(graph: &Graph, batches: &[Vec<NodeId>], forms: &[&Form], places: &mut [Option<Slice>]) {
    let mut turns = vec![0; places.len()];
    for (turn, batch) in batches.iter().enumerate() {
        batch.iter().for_each(|id| turns[id.index()] = turn);
    }
    let is_concat = |id: NodeId| matches!(graph.nodes()[id.index()].op, Op::Concat(_));
    let is_output = |id: NodeId| graph.outputs().iter().any(|(_, output)| *output == id);
    let mut shared: Vec<NodeId> = Vec::new();
    for id in batches.iter().flatten().copied() {
        if places[id.index()].is_some() || is_output(id) {
            continue;
        }
        let (shape, Form { order, segments }) = (graph.nodes()[id.index()].shape, forms[id.index()]);
        let readers = graph.ids().zip(graph.nodes()).filter(|(_, node)| node.inputs.contains(&id));
        let reads: Vec<usize> = readers.map(|(reader, _)| turns[reader.index()]).collect();
        let writes = |turn: usize, buffer: BufferId| {
            batches[turn].iter().any(|other| places[other.index()].as_ref().is_some_and(|place| place.buffer == buffer))
        };
        let fits = |place: &Slice| {
            let rows = |shape: Shape| (shape.n, shape.h, shape.w);
            let room = place.order == *order && rows(place.shape) == rows(shape);
            room && physical(segments) <= place.physical_c()
                && writes(turns[id.index()], place.buffer)
                && !reads.iter().any(|&turn| writes(turn, place.buffer))
        };
        let later = graph.ids().find(|later| {
            let after = reads.iter().all(|&turn| turn < turns[later.index()]);
            let free = after && !is_concat(*later) && !shared.contains(later);
            free && places[later.index()].as_ref().is_some_and(fits)
        });
        if let Some(later) = later {
            shared.push(later);
            let place = places[later.index()].clone();
            places[id.index()] = place.map(|place| Slice { shape, segments: segments.clone(), ..place });
        }
    }
}

/// Puts the results of one dispatch side by side, so that it, and whatever reads them together, binds one buffer.
fn place_together(
    builder: &mut Builder,
    graph: &Graph,
    batch: &[NodeId],
    forms: &[&Form],
    places: &mut [Option<Slice>],
) {
    let mut sizes: BTreeMap<(u32, u32, u32), Vec<NodeId>> = BTreeMap::new();
    for id in batch.iter().filter(|id| places[id.index()].is_none()) {
        let shape = graph.nodes()[id.index()].shape;
        sizes.entry((shape.n, shape.h, shape.w)).or_default().push(*id);
    }
    for ((n, h, w), members) in sizes.into_iter().filter(|(_, members)| members.len() > 1) {
        let stride: u64 = members.iter().map(|id| u64::from(physical(&forms[id.index()].segments))).sum();
        let len = stride * u64::from(n) * u64::from(h) * u64::from(w);
        if len > MAX_ELEMENTS || Element::F32.bytes_of(len) > builder.profile.max_slice() {
            continue;
        }
        let names: Vec<&str> = members.iter().map(|id| graph.nodes()[id.index()].name.as_str()).collect();
        let buffer = builder.buffer(names.join(" + "), Element::F32, len, Role::Scratch);
        let mut offset = 0;
        for id in members {
            let (shape, segments) = (graph.nodes()[id.index()].shape, forms[id.index()].segments.clone());
            let place = Slice { offset, stride: stride as u32, ..Slice::nhwc(buffer, Element::F32, shape, segments) };
            offset += place.physical_c();
            places[id.index()] = Some(place);
        }
    }
}

fn own_place(builder: &mut Builder, graph: &Graph, id: NodeId, form: &Form) -> Result<Slice> {
    let node = graph.node(id)?;
    let label = format!("{} '{}'", node.op.stem(), node.name);
    let shape = node.shape;
    let output = graph.outputs().iter().position(|(_, output)| *output == id);
    match (form.order, output) {
        (Order::Nchw, Some(position)) => Ok(builder.output_slice(position)),
        (Order::Nchw, None) => Ok(builder.scratch_nchw(label, shape)),
        (Order::Nhwc, _) => builder.scratch(label, shape, form.segments.clone()),
    }
}

fn place_operands(
    graph: &Graph,
    concat: NodeId,
    place: &Slice,
    forms: &[&Form],
    places: &mut [Option<Slice>],
) -> Result<()> {
    let inputs = &graph.node(concat)?.inputs;
    let mut offset = place.offset;
    for &input in inputs {
        let Form { order, segments } = forms[input.index()];
        let shape = graph.node(input)?.shape;
        let once = inputs.iter().filter(|&&other| other == input).count() == 1;
        let free = places[input.index()].is_none() && *order == place.order;
        if once && free && !would_read_and_write(graph, input, place.buffer, places)? {
            let segments = segments.clone();
            let slice = Slice { shape, offset, segments, ..place.clone() };
            places[input.index()] = Some(slice);
        }
        offset += match place.order {
            Order::Nhwc if *order == Order::Nhwc => physical(segments),
            Order::Nhwc => padded(shape.c),
            Order::Nchw => image_len(shape),
        };
    }
    Ok(())
}

/// Whether some dispatch would read and write `buffer` if `id` were put there. A cascade may: it binds the buffer once.
fn would_read_and_write(graph: &Graph, id: NodeId, buffer: BufferId, places: &[Option<Slice>]) -> Result<bool> {
    let lies_there = |id: NodeId| places[id.index()].as_ref().is_some_and(|place| place.buffer == buffer);
    let node = graph.node(id)?;
    let is_cascade = |op: &Op| matches!(op, Op::MaxPoolCascade(_));
    let reads_there = !is_cascade(&node.op) && node.inputs.iter().any(|&input| lies_there(input));
    let read_there = graph.ids().zip(graph.nodes()).any(|(reader, node)| {
        let writes = !matches!(node.op, Op::Concat(_)) && !is_cascade(&node.op);
        writes && node.inputs.contains(&id) && lies_there(reader)
    });
    Ok(reads_there || read_there)
}
