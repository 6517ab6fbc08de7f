//! Pass: where every node's result lies. A concatenation's operands are written side by side into one buffer, so that
//! nothing is left to copy; outputs of rows go straight into the caller's buffer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::kernels::{Contract, Form, contract, within};
use crate::plan::{BufferId, Builder, Element, Order, Port, Slice, image_len, padded, physical};
use crate::tensor::{MAX_ELEMENTS, Precision, Shape};

/// Bytes on the host for a run of channels, with room to spare: slices share their runs.
const RUN_BYTES: u64 = 40;

/// The most readers of a result that are looked at one by one: as many results may share their readers.
const MOST_READERS: usize = 4096;

/// The most runs of channels of one tensor.
const MAX_RUNS: u64 = 65_536;

/// The memory contract of each node. Errors: more runs of channels than can be handled, or than fit the host's budget.
pub(super) fn contracts(graph: &Graph, max_host_bytes: u64) -> Result<Vec<Contract>> {
    let nodes = graph.nodes();
    let mut contracts: Vec<Contract> = Vec::with_capacity(nodes.len());
    let mut all_runs = 0;
    for node in nodes {
        let operand = |id: &NodeId| (&contracts[id.index()].result, nodes[id.index()].shape);
        let operands: Vec<_> = node.inputs.iter().map(operand).collect();
        let runs = operands.iter().map(|(form, _)| form.segments.len() as u64).sum::<u64>();
        let times = if let Op::MaxPoolCascade(cascade) = &node.op { cascade.times.into() } else { 1 };
        let runs = runs * times;
        // Without gaps they are joined.
        let has_gaps = |(form, shape): &(&Form, Shape)| form.segments.len() > 1 || !shape.c.is_multiple_of(4);
        let op = || format!("{} '{}'", node.op.stem(), node.name);
        if runs > MAX_RUNS && operands.iter().any(has_gaps) {
            let what = format!("a result of {runs} groups of channels, each padded to a multiple of four,");
            let hint = format!("at most {MAX_RUNS} can be handled; use channel counts that are multiples of four");
            return Err(Error::Unsupported { op: op(), what, hint });
        }
        let contract = contract(&node.op, &operands, node.shape);
        all_runs += contract.result.segments.len() as u64;
        let needed = all_runs * RUN_BYTES;
        if needed > max_host_bytes {
            return Err(Error::HostMemory { what: format!("planning up to {}", op()), needed, max: max_host_bytes });
        }
        contracts.push(contract);
    }
    Ok(contracts)
}

/// What is known of each node before anything has its place.
pub(super) struct Known<'a> {
    /// Those that read it.
    pub(super) reading: &'a [Vec<NodeId>],
    pub(super) contracts: &'a [Contract],
    /// What it stores.
    pub(super) precisions: &'a [Precision],
}

impl<'a> Known<'a> {
    const fn form(&self, id: NodeId) -> &'a Form {
        &self.contracts[id.index()].result
    }

    /// Results of which this is the same can share a buffer, in one order.
    const fn stored(&self, id: NodeId) -> (bool, Precision) {
        (self.form(id).exact, self.precisions[id.index()])
    }
}

/// The place of each node's result. A graph input's is its NHWC copy.
pub(super) fn run(builder: &mut Builder, graph: &Graph, known: &Known, batches: &[Vec<NodeId>]) -> Result<Vec<Slice>> {
    let reading = &reading_through(graph, known.reading)[..];
    let enabled = builder.options.concat_slices;
    let mut places: Vec<Option<Slice>> = vec![None; graph.nodes().len()];
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if let Op::Constant(constant) = &node.op {
            places[id.index()] = Some(builder.values(label(graph, id)?, &constant.value)?);
        }
    }
    for id in graph.ids().rev() {
        if enabled && matches!(graph.node(id)?.op, Op::Concat(_)) {
            let place = match places[id.index()].clone() {
                Some(place) => place,
                None => {
                    builder.precision = known.precisions[id.index()];
                    own_place(builder, graph, known, id)?
                }
            };
            place_operands(graph, reading, id, &place, known, &mut places)?;
            places[id.index()] = Some(place);
        }
    }
    if builder.options.reuse_buffers {
        share_idle_slices(builder, graph, reading, batches, known, &mut places);
    }
    for batch in batches.iter().filter(|batch| batch.len() > 1) {
        builder.precision = known.precisions[batch[0].index()];
        place_together(builder, graph, batch, known, &mut places)?;
    }
    for batch in batches {
        for &id in batch {
            if places[id.index()].is_some() {
                continue;
            }
            builder.precision = known.precisions[id.index()];
            let form = known.form(id);
            if let Some(place) = place_of_operand(builder, graph, reading, id, form, &places) {
                places[id.index()] = Some(place);
                continue;
            }
            let place = match &batch[..] {
                // The results of one dispatch have one type.
                [_] if is_sum_to_convert(builder, graph, known, id)? => {
                    match output_port(builder, graph, id).and_then(|port| port.nhwc_slice(Element::F32)) {
                        Some(place) => place,
                        None => builder.sums(label(graph, id)?, graph.shape(id)?, form.segments.clone())?,
                    }
                }
                _ => own_place(builder, graph, known, id)?,
            };
            places[id.index()] = Some(place);
        }
    }
    Ok(places.into_iter().flatten().collect())
}

/// Puts a result into a concatenation that its dispatch writes to anyway, where another will lie once this one has been
/// read: in the CSP blocks, cv1 lies where cv6 will. That space would otherwise be empty for most of the buffer's life.
fn share_idle_slices(
    builder: &Builder,
    graph: &Graph,
    reading: &[Arc<[NodeId]>],
    batches: &[Vec<NodeId>],
    known: &Known,
    places: &mut [Option<Slice>],
) {
    let mut turns = vec![0; places.len()];
    for (turn, batch) in batches.iter().enumerate() {
        batch.iter().for_each(|id| turns[id.index()] = turn);
    }
    let outputs: HashSet<NodeId> = graph.outputs().iter().flat_map(|(_, output)| sources(graph, *output)).collect();
    let mut shared: HashSet<NodeId> = HashSet::new();
    // What lies in each buffer by now, in order.
    let mut lying: HashMap<BufferId, BTreeSet<NodeId>> = HashMap::new();
    for id in graph.ids() {
        if let Some(place) = &places[id.index()] {
            lying.entry(place.buffer).or_default().insert(id);
        }
    }
    for (turn, batch) in batches.iter().enumerate() {
        for &id in batch {
            if texture(builder, graph, id).is_some() || is_alias(&graph.nodes()[id.index()].op) {
                continue;
            }
            if places[id.index()].is_some() || outputs.contains(&id) || input_as_it_is(builder, graph, id).is_some() {
                continue;
            }
            let (shape, Form { order, segments, .. }) = (graph.nodes()[id.index()].shape, known.form(id));
            let readers = &reading[id.index()];
            let writes = |turn: usize, buffer: BufferId| {
                let mut places = batches[turn].iter().filter_map(|id| places[id.index()].as_ref());
                places.any(|place| place.buffer == buffer)
            };
            let fits = |later: &NodeId| {
                let Some(place) = &places[later.index()] else { return false };
                let rows = |shape: Shape| (shape.n, shape.h, shape.w);
                let alike = place.order == *order && known.stored(*later) == known.stored(id);
                let has_room = match order {
                    Order::Nchw => shape.c <= place.shape.c,
                    Order::Nhwc | Order::NhwcDense => physical(segments) <= place.physical_c(),
                };
                alike && rows(place.shape) == rows(shape) && has_room
            };
            let free = |later: &NodeId| {
                let is_concat = matches!(graph.nodes()[later.index()].op, Op::Concat(_));
                let after = readers.iter().all(|reader| turns[reader.index()] < turns[later.index()]);
                after && !is_concat && !shared.contains(later)
            };
            let written: BTreeSet<BufferId> =
                batch.iter().filter_map(|other| places[other.index()].as_ref()).map(|place| place.buffer).collect();
            let buffers = written.into_iter().filter(|&buffer| {
                !would_read_and_write(graph, reading, id, buffer, places)
                    && !readers.iter().any(|reader| writes(turns[reader.index()], buffer))
            });
            let candidates = buffers.filter_map(|buffer| lying.get(&buffer));
            let later = candidates.flat_map(|ids| ids.iter().find(|later| free(later) && fits(later))).min().copied();
            debug_assert!(later.is_none_or(|later| turns[later.index()] > turn));
            if let Some(later) = later
                && let Some(place) = places[later.index()].clone()
            {
                shared.insert(later);
                lying.entry(place.buffer).or_default().insert(id);
                places[id.index()] = Some(Slice { shape, segments: segments.clone(), ..place });
            }
        }
    }
}

/// Puts the results of one dispatch side by side, so that it, and whatever reads them together, binds one buffer.
fn place_together(
    builder: &mut Builder,
    graph: &Graph,
    batch: &[NodeId],
    known: &Known,
    places: &mut [Option<Slice>],
) -> Result<()> {
    let mut sizes: BTreeMap<(u32, u32, u32), Vec<NodeId>> = BTreeMap::new();
    for id in batch.iter().filter(|id| places[id.index()].is_none()) {
        let shape = graph.nodes()[id.index()].shape;
        sizes.entry((shape.n, shape.h, shape.w)).or_default().push(*id);
    }
    for ((n, h, w), members) in sizes.into_iter().filter(|(_, members)| members.len() > 1) {
        let stride: u64 = members.iter().map(|id| u64::from(physical(&known.form(*id).segments))).sum();
        let len = stride * u64::from(n) * u64::from(h) * u64::from(w);
        if len > MAX_ELEMENTS || builder.element().bytes_of(len) > builder.profile.max_slice() {
            continue;
        }
        let names: Vec<&str> = members.iter().map(|id| graph.nodes()[id.index()].name.as_str()).collect();
        let buffer = builder.scratch_of(names.join(" + "), len)?;
        let mut offset = 0;
        for id in members {
            let (shape, segments) = (graph.nodes()[id.index()].shape, known.form(id).segments.clone());
            let place =
                Slice { offset, stride: stride as u32, ..Slice::nhwc(buffer, builder.element(), shape, segments) };
            offset += place.physical_c();
            places[id.index()] = Some(place);
        }
    }
    Ok(())
}

/// Whether `id` is a sum that only the conversion to an `f32` output reads: rounded to `f16` on the way, outputs would have
/// an error more for nothing but the bytes of this one tensor.
fn is_sum_to_convert(builder: &Builder, graph: &Graph, known: &Known, id: NodeId) -> Result<bool> {
    let Node { op, shape, .. } = graph.node(id)?;
    let len = u64::from(physical(&known.form(id).segments)) * shape.len() / u64::from(shape.c.max(1));
    Ok(matches!(op, Op::Conv(_) | Op::ConvSum(_))
        && known.reading[id.index()].is_empty()
        && output_port(builder, graph, id).is_some_and(|port| port.element == Element::F32)
        && Element::F32.bytes_of(len) <= builder.profile.max_slice())
}

/// Whether an operation's result may lie where its operand does.
const fn is_alias(op: &Op) -> bool {
    matches!(op, Op::Narrow(_) | Op::Reshape(_))
}

/// For each node, those that read its memory, also through nodes whose results may lie in it: all of the readers of what
/// they lie in.
fn reading_through(graph: &Graph, reading: &[Vec<NodeId>]) -> Vec<Arc<[NodeId]>> {
    let mut roots: Vec<NodeId> = graph.ids().collect();
    let mut shared: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (id, node) in graph.ids().zip(graph.nodes()).filter(|(_, node)| is_alias(&node.op)) {
        let root = roots[node.inputs[0].index()];
        roots[id.index()] = root;
        shared.entry(root).or_insert_with(|| reading[root.index()].clone()).extend(&reading[id.index()]);
    }
    let shared: HashMap<NodeId, Arc<[NodeId]>> = shared.into_iter().map(|(id, all)| (id, all.into())).collect();
    let through = |(root, direct): (&NodeId, &Vec<NodeId>)| match shared.get(root) {
        Some(all) => Arc::clone(all),
        None => direct.as_slice().into(),
    };
    roots.iter().zip(reading).map(through).collect()
}

/// The operand of a node, and whatever it may lie in.
fn sources(graph: &Graph, input: NodeId) -> Vec<NodeId> {
    let mut sources = vec![input];
    let mut node = &graph.nodes()[input.index()];
    while is_alias(&node.op) {
        sources.push(node.inputs[0]);
        node = &graph.nodes()[node.inputs[0].index()];
    }
    sources
}

/// Where the operand of a reshape, or some of its channels, lie, if the result can be read there by all that read it.
fn place_of_operand(
    builder: &Builder,
    graph: &Graph,
    reading: &[Arc<[NodeId]>],
    id: NodeId,
    form: &Form,
    places: &[Option<Slice>],
) -> Option<Slice> {
    let Node { op, inputs, shape, .. } = &graph.nodes()[id.index()];
    if !is_alias(op) {
        return None;
    }
    let input = &graph.nodes()[inputs.first()?.index()];
    let place = match (&input.op, form.order) {
        (Op::Input, Order::Nchw) => builder.input_port(&input.name).slice(),
        _ => places[inputs[0].index()].clone()?,
    };
    if read_there(graph, reading, id, place.buffer, places) {
        return None;
    }
    let exact = place.order == Order::Nchw && place.element == Element::F32;
    match (op, form.order) {
        (Op::Reshape(_), Order::Nchw) if exact && place.is_dense() => Some(place.reshaped(*shape)),
        (Op::Reshape(_), Order::Nhwc) if place.order == Order::Nhwc && place.segments == form.segments => {
            Some(Slice { shape: *shape, ..place })
        }
        (Op::Narrow(narrow), Order::Nchw) if exact => {
            let offset = place.offset + narrow.start * shape.h * shape.w;
            Some(Slice { offset, shape: *shape, segments: [shape.c].into(), ..place })
        }
        (Op::Narrow(narrow), Order::Nhwc) if place.order == Order::Nhwc => {
            let (first, segments) = within(&place.segments, narrow)?;
            (segments == form.segments).then_some(Slice {
                offset: place.offset + first,
                shape: *shape,
                segments,
                ..place
            })
        }
        _ => None,
    }
}

fn label(graph: &Graph, id: NodeId) -> Result<String> {
    let node = graph.node(id)?;
    Ok(format!("{} '{}'", node.op.stem(), node.name))
}

fn own_place(builder: &mut Builder, graph: &Graph, known: &Known, id: NodeId) -> Result<Slice> {
    let (label, shape, form) = (label(graph, id)?, graph.shape(id)?, known.form(id));
    if let Some(port) = texture(builder, graph, id) {
        return Ok(port.slice());
    }
    if let Some(slice) = input_as_it_is(builder, graph, id) {
        return Ok(slice);
    }
    let port = output_port(builder, graph, id);
    if form.exact {
        let as_it_is = |port: &&Port| port.order == Order::Nchw && port.element == Element::F32;
        return match port.or_else(|| output_port(builder, graph, reshaped(graph, known.reading, id))).filter(as_it_is) {
            Some(port) => Ok(port.slice().reshaped(shape)),
            None => builder.scratch_nchw(label, shape, Element::F32),
        };
    }
    match (form.order, port) {
        (Order::Nchw, Some(port)) if port.order == Order::Nchw && port.element == builder.options.ports.element() => {
            Ok(port.slice())
        }
        (Order::Nchw, _) => builder.scratch_nchw(label, shape, builder.options.ports.element()),
        (Order::Nhwc | Order::NhwcDense, port) => {
            let in_port = port.and_then(|port| port.nhwc_slice(builder.element()));
            match in_port.filter(|slice| slice.segments == form.segments) {
                Some(slice) => Ok(slice),
                None => builder.scratch(label, shape, form.segments.clone()),
            }
        }
    }
}

/// A graph input's buffer, if kernels can read it as it is.
fn input_as_it_is(builder: &Builder, graph: &Graph, id: NodeId) -> Option<Slice> {
    let Node { name, op, .. } = &graph.nodes()[id.index()];
    let port = matches!(op, Op::Input).then(|| builder.input_port(name))?;
    port.nhwc_slice(builder.element())
}

/// The graph input or output that the texture of `id` is, if it is in one.
fn texture<'a>(builder: &'a Builder, graph: &Graph, id: NodeId) -> Option<&'a Port> {
    let Node { name, op, .. } = &graph.nodes()[id.index()];
    match op {
        Op::Picture(_) => Some(builder.input_port(name)),
        Op::Paint(_) => output_port(builder, graph, id),
        _ => None,
    }
}

/// The first graph output that is the result of `id`.
fn output_port<'a>(builder: &'a Builder, graph: &Graph, id: NodeId) -> Option<&'a Port> {
    let position = graph.outputs().iter().position(|(_, output)| *output == id)?;
    Some(builder.output_port(position))
}

/// The last of the reshapes that lead from `id` to an output.
fn reshaped(graph: &Graph, reading: &[Vec<NodeId>], id: NodeId) -> NodeId {
    let is_reshape = |id: &&NodeId| matches!(graph.nodes()[id.index()].op, Op::Reshape(_));
    let mut last = id;
    while let Some(&reader) = reading[last.index()].iter().find(is_reshape) {
        last = reader;
    }
    last
}

fn place_operands(
    graph: &Graph,
    reading: &[Arc<[NodeId]>],
    concat: NodeId,
    place: &Slice,
    known: &Known,
    places: &mut [Option<Slice>],
) -> Result<()> {
    let inputs = &graph.node(concat)?.inputs;
    let mut times: HashMap<NodeId, usize> = HashMap::new();
    inputs.iter().for_each(|input| *times.entry(*input).or_default() += 1);
    let mut offset = place.offset;
    for &input in inputs {
        let Form { order, segments, .. } = known.form(input);
        let shape = graph.node(input)?.shape;
        let alike = *order == place.order && known.stored(input) == known.stored(concat);
        let free = times[&input] == 1 && places[input.index()].is_none() && alike;
        if free && !would_read_and_write(graph, reading, input, place.buffer, places) {
            let segments = segments.clone();
            let slice = Slice { shape, offset, segments, ..place.clone() };
            place_reshaped(graph, reading, input, &slice, known, places);
            places[input.index()] = Some(slice);
        }
        offset += match place.order {
            Order::Nhwc | Order::NhwcDense if *order == Order::Nhwc => physical(segments),
            Order::Nhwc | Order::NhwcDense => padded(shape.c),
            Order::Nchw => image_len(shape),
        };
    }
    Ok(())
}

/// Puts what a reshape reads where the result is to lie, if its images lie there side by side in the same way.
fn place_reshaped(
    graph: &Graph,
    reading: &[Arc<[NodeId]>],
    reshape: NodeId,
    place: &Slice,
    known: &Known,
    places: &mut [Option<Slice>],
) {
    let Node { op: Op::Reshape(_), inputs, .. } = &graph.nodes()[reshape.index()] else { return };
    let input = inputs[0];
    let Node { op, shape, .. } = &graph.nodes()[input.index()];
    // What reads it through the reshape is counted there, too.
    let direct = reading[input.index()].iter().filter(|reader| graph.nodes()[reader.index()].inputs.contains(&input));
    let alone = direct.count() == 1 && !graph.outputs().iter().any(|(_, output)| *output == input);
    let exact = known.form(input).exact && known.form(reshape).exact;
    let is_made = !op.is_input() && !matches!(op, Op::Concat(_));
    let slice = match place {
        place if place.is_dense() => place.reshaped(*shape),
        place if place.shape.n == shape.n => Slice { shape: *shape, segments: [shape.c].into(), ..place.clone() },
        _ => return,
    };
    if alone
        && exact
        && is_made
        && places[input.index()].is_none()
        && !would_read_and_write(graph, reading, input, place.buffer, places)
    {
        place_reshaped(graph, reading, input, &slice, known, places);
        places[input.index()] = Some(slice);
    }
}

/// Whether some dispatch would read and write `buffer` if `id` were put there. A cascade may: it binds the buffer once.
fn would_read_and_write(
    graph: &Graph,
    reading: &[Arc<[NodeId]>],
    id: NodeId,
    buffer: BufferId,
    places: &[Option<Slice>],
) -> bool {
    let node = |id: NodeId| &graph.nodes()[id.index()];
    let lies_there = |id: NodeId| places[id.index()].as_ref().is_some_and(|place| place.buffer == buffer);
    let is_cascade = matches!(node(id).op, Op::MaxPoolCascade(_));
    let all = node(id).inputs.iter().flat_map(|&input| sources(graph, input));
    let reads_there = !is_cascade && all.into_iter().any(lies_there);
    reads_there || read_there(graph, reading, id, buffer, places)
}

/// Whether a dispatch that reads `id`, and could not if it wrote the same buffer, writes `buffer`; or may, if there are
/// very many.
fn read_there(
    graph: &Graph,
    reading: &[Arc<[NodeId]>],
    id: NodeId,
    buffer: BufferId,
    places: &[Option<Slice>],
) -> bool {
    let lies_there = |id: NodeId| places[id.index()].as_ref().is_some_and(|place| place.buffer == buffer);
    let readers = &reading[id.index()];
    readers.len() > MOST_READERS
        || readers.iter().any(|&reader| {
            let Node { op, inputs, .. } = &graph.nodes()[reader.index()];
            let writes = match op {
                Op::Concat(_) | Op::MaxPoolCascade(_) => false,
                // Nothing, if it lies where its operand does.
                op if is_alias(op) => !lies_there(inputs[0]),
                _ => true,
            };
            writes && lies_there(reader)
        })
}
