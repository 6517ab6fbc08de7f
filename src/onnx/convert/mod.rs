//! From the nodes of a file to those of a graph.
//!
//! What is known at load, such as shapes and what is computed from them, is folded. What moves values without computing
//! is a [`View`], and costs nothing until something needs the values in order. Everything else becomes an operation.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::array::Array;
use super::file::{File, Node};
use super::fold::{Room, fold};
use super::message::broken;
use super::{ElementType, Model, ModelNode, Options, Port};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{Narrow, Rearrange, Reshape, SoftmaxAxis, Strided, Weight};
use crate::tensor::{Shape, Tensor};

mod batch;
mod conv;
mod elementwise;
mod index;
mod inputs;
mod linear;
mod norm;
mod pool;
mod reduce;
mod resize;
mod shape;
mod spelling;
mod view;

use inputs::own_batch;
use view::{Dim, Type, View};

/// What a name of the file stands for.
#[derive(Clone, Debug)]
enum Value {
    Known(Arc<Array>),
    View(View),
    /// Of a node that could not be converted.
    Missing,
}

/// A graph in the making.
struct Converter {
    graph: Graph,
    opset: i64,
    values: HashMap<String, Value>,
    /// How many nodes and outputs of the file read each value.
    uses: HashMap<String, usize>,
    /// Those in use, and the number that the next of that name takes.
    names: HashMap<String, usize>,
    /// Whether a node's result is a map of channels in memory, as that of a convolution, and not plain values.
    maps: Vec<bool>,
    reshapes: HashMap<(NodeId, Shape), NodeId>,
    /// By the map, the first channel and how many.
    narrows: HashMap<(NodeId, u32, u32), NodeId>,
    copies: HashMap<NodeId, Vec<(Rearrange, NodeId)>>,
    /// By the array, which they keep in its place.
    weights: HashMap<(usize, Shape), (Arc<Array>, Weight)>,
    constants: HashMap<(usize, Shape), NodeId>,
    /// What a padded map was made of: its source, and zeros above, left, below and right.
    padded: HashMap<NodeId, (View, [u32; 4])>,
    /// Softmax results: their operand and axis.
    softmaxes: HashMap<NodeId, (View, usize)>,
    /// Values of inputs, for what must know them.
    given: HashMap<NodeId, Arc<Array>>,
    room: Room,
    problems: Vec<String>,
}

/// Reads `file` as a graph. Errors: all that is not supported, at once; whatever else is wrong, at its node; a batch that
/// the model does not keep apart.
pub(super) fn convert(file: File, options: &Options) -> Result<Model> {
    // A value cannot change a batch that the file fixes, and whoever names the size of one that it leaves open knows it.
    if options.batch.is_none() && options.inputs.is_empty() {
        return converted(file, options);
    }
    const REMEDY: &str = "export the file with a dynamic batch, or run its own again and again";
    let (inputs, again) = (file.inputs.clone(), file.clone());
    let model = match (converted(file, options), options.batch) {
        (Err(error), Some(batch)) => {
            let own = Options { batch: None, ..options.clone() };
            let is_to_blame = converted(again, &own).is_ok();
            let reason = || broken(format!("takes no batch of {batch}: {error}; {REMEDY}"));
            return Err(if is_to_blame { reason() } else { error });
        }
        (model, _) => model?,
    };
    let Some((own, batch)) = own_batch(&inputs, &model, options) else { return Ok(model) };
    let alone = converted(again, &own)?;
    batch::kept_apart(&alone, &model, batch).map_err(|node| {
        let [from, to] = batch;
        broken(format!(
            "takes no batch of {to} in place of {from}: {node} would mix images or leave some out; {REMEDY}"
        ))
    })?;
    Ok(model)
}

fn converted(mut file: File, options: &Options) -> Result<Model> {
    if !options.outputs.is_empty() {
        file.outputs = wanted(&file, &options.outputs)?;
    }
    keep_needed(&mut file);
    let mut uses: HashMap<String, usize> = HashMap::new();
    for name in file.nodes.iter().flat_map(|node| &node.inputs).chain(&file.outputs) {
        *uses.entry(name.clone()).or_default() += 1;
    }
    let known = std::mem::take(&mut file.constants).into_iter().map(|(name, array)| (name, Value::Known(array)));
    let mut converter = Converter {
        graph: Graph::new(),
        opset: file.opset,
        values: known.collect(),
        uses,
        names: HashMap::new(),
        maps: Vec::new(),
        reshapes: HashMap::new(),
        narrows: HashMap::new(),
        copies: HashMap::new(),
        weights: HashMap::new(),
        constants: HashMap::new(),
        padded: HashMap::new(),
        softmaxes: HashMap::new(),
        given: HashMap::new(),
        room: Room::default(),
        problems: Vec::new(),
    };
    let inputs = converter.inputs(&file.inputs, options)?;
    for node in &file.nodes {
        converter.node(node)?;
    }
    let nodes = file.nodes.iter().map(|node| ModelNode { name: node.name.clone(), op: node.op.clone() }).collect();
    if !converter.problems.is_empty() {
        return Err(Error::Model { problems: converter.problems });
    }
    let mut outputs = Vec::with_capacity(file.outputs.len());
    for name in &file.outputs {
        outputs.push(converter.output(name)?);
    }
    let (graph, inputs) = converter.finish(inputs)?;
    let File { metadata, opset, producer, .. } = file;
    Ok(Model { graph, inputs, outputs, nodes, metadata, opset, producer })
}

/// The tensors that the caller asks for. Errors: a name that no tensor has, or twice the same.
fn wanted(file: &File, outputs: &[String]) -> Result<Vec<String>> {
    let made = file.nodes.iter().flat_map(|node| &node.outputs).filter(|name| !name.is_empty());
    let named = file.inputs.iter().map(|input| &input.name).chain(file.constants.keys());
    let known: Vec<&str> = made.chain(named).map(String::as_str).collect();
    let mut asked = HashSet::new();
    for name in outputs {
        let wrong = |reason: &str| Error::param("the ONNX model", "outputs", name, reason);
        if !asked.insert(name) {
            return Err(wrong("is asked for twice"));
        }
        if !known.contains(&name.as_str()) {
            let node = file.nodes.iter().find(|node| node.name == *name);
            let of_node = |node: &Node| format!("is a node; its tensors are {}", node.outputs.join(", "));
            return Err(wrong(&node.map_or_else(|| crate::error::unknown(name, &known), of_node)));
        }
    }
    Ok(outputs.to_vec())
}

/// Leaves out nodes that lead to no output.
fn keep_needed(file: &mut File) {
    let mut needed: HashSet<String> = file.outputs.iter().cloned().collect();
    // They stand in the order of use.
    for node in std::mem::take(&mut file.nodes).into_iter().rev() {
        if node.outputs.iter().any(|name| needed.contains(name)) {
            needed.extend(node.inputs.iter().filter(|name| !name.is_empty()).cloned());
            file.nodes.push(node);
        }
    }
    file.nodes.reverse();
}

impl Converter {
    fn node(&mut self, node: &Node) -> Result<()> {
        let is_missing = |name: &String| matches!(self.values.get(name), Some(Value::Missing));
        if node.inputs.iter().any(is_missing) {
            // Named already; but the operator itself may be unknown, too.
            if !self.is_known(node) {
                self.problems.push(format!("{}: the operator: not supported", node.label()));
            }
            self.outputs_missing(node);
            return Ok(());
        }
        let results = match self.folded(node) {
            Some(folded) => folded,
            None => self.converted(node),
        };
        match results {
            Ok(results) => {
                for (name, value) in node.outputs.iter().zip(results) {
                    if !name.is_empty() {
                        self.values.insert(name.clone(), value);
                    }
                }
                for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                    if !self.values.contains_key(name) {
                        if self.uses.contains_key(name) {
                            let problem = format!("{}: its output '{name}' is not supported", node.label());
                            self.problems.push(problem);
                        }
                        self.values.insert(name.clone(), Value::Missing);
                    }
                }
                Ok(())
            }
            Err(Error::Unsupported { op, what, hint }) => {
                self.problems.push(format!("{op}: {what}: {hint}"));
                self.outputs_missing(node);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn outputs_missing(&mut self, node: &Node) {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            self.values.insert(name.clone(), Value::Missing);
        }
    }

    /// The results of a node whose inputs are all known.
    fn folded(&mut self, node: &Node) -> Option<Result<Vec<Value>>> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return None;
        }
        let mut arrays: Vec<Option<Arc<Array>>> = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            arrays.push(match self.values.get(name) {
                _ if name.is_empty() => None,
                Some(Value::Known(array)) => Some(Arc::clone(array)),
                _ => return None,
            });
        }
        let inputs: Vec<Option<&Array>> = arrays.iter().map(Option::as_deref).collect();
        let folded = fold(node, &inputs, self.opset, &mut self.room)?;
        Some(folded.map(|arrays| arrays.into_iter().map(|array| Value::Known(array.into())).collect()))
    }

    fn converted(&mut self, node: &Node) -> Result<Vec<Value>> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(unsupported(node, format!("the domain '{}'", node.domain)));
        }
        match self.convert(node) {
            Some(results) => results,
            None => Err(unsupported(node, "the operator".into())),
        }
    }

    fn is_known(&self, node: &Node) -> bool {
        const KNOWN: &[&[&str]] =
            &[conv::OPERATORS, elementwise::OPERATORS, index::OPERATORS, linear::OPERATORS, norm::OPERATORS];
        const ALSO: &[&[&str]] = &[pool::OPERATORS, reduce::OPERATORS, resize::OPERATORS, shape::OPERATORS];
        (node.domain.is_empty() || node.domain == "ai.onnx")
            && KNOWN.iter().chain(ALSO).any(|names| names.contains(&node.op.as_str()))
    }

    /// `None` if nobody knows the operator.
    fn convert(&mut self, node: &Node) -> Option<Result<Vec<Value>>> {
        let op = node.op.as_str();
        Some(match op {
            _ if conv::OPERATORS.contains(&op) => self.convolution(node),
            _ if elementwise::OPERATORS.contains(&op) => self.elementwise(node),
            _ if index::OPERATORS.contains(&op) => self.indexed(node),
            _ if linear::OPERATORS.contains(&op) => self.matrices(node),
            _ if norm::OPERATORS.contains(&op) => self.normalization(node),
            _ if pool::OPERATORS.contains(&op) => self.pool(node),
            _ if reduce::OPERATORS.contains(&op) => self.reduction(node),
            _ if resize::OPERATORS.contains(&op) => self.resized(node),
            _ if shape::OPERATORS.contains(&op) => self.moved(node),
            _ => return None,
        })
    }

    /// Declares an output of the file.
    fn output(&mut self, name: &str) -> Result<Port> {
        let view = match self.values.get(name) {
            Some(Value::View(view)) => view.clone(),
            Some(Value::Known(array)) => {
                let array = Arc::clone(array);
                self.constant(name, &array)?
            }
            _ => return Err(Error::data("the ONNX model", format!("nothing computes its output '{name}'"))),
        };
        let extents = view.extents();
        let shape = shape_of(&format!("output '{name}'"), &extents)?;
        let id = self.shaped(name, &view, shape)?;
        self.graph.output(name, id)?;
        let dims = extents.iter().map(|&extent| extent as u32).collect();
        Ok(Port { name: name.into(), dims, element: view.of.into() })
    }

    /// The graph without what leads to no output, and the inputs that are left.
    fn finish(self, inputs: Vec<Port>) -> Result<(Graph, Vec<Port>)> {
        let graph = self.graph.rewritten(|new, _, node, map| new.copy_mapped(node, map).map(Some))?;
        let read: HashSet<usize> = graph.nodes().iter().flat_map(|node| &node.inputs).map(|id| id.index()).collect();
        let outputs: HashSet<usize> = graph.outputs().iter().map(|(_, id)| id.index()).collect();
        let unused: HashSet<NodeId> = graph
            .inputs()
            .map(|(id, _)| id)
            .filter(|id| !read.contains(&id.index()) && !outputs.contains(&id.index()))
            .collect();
        if unused.is_empty() {
            return Ok((graph, inputs));
        }
        let names: HashSet<&str> =
            graph.inputs().filter(|(id, _)| unused.contains(id)).map(|(_, node)| node.name.as_str()).collect();
        let inputs = inputs.into_iter().filter(|port| !names.contains(port.name.as_str())).collect();
        let graph =
            graph.rewritten(
                |new, id, node, map| {
                    if unused.contains(&id) { Ok(None) } else { new.copy_mapped(node, map).map(Some) }
                },
            )?;
        Ok((graph, inputs))
    }

    /// A name that no node of the graph has.
    fn name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_string();
        while self.names.contains_key(&name) {
            let number = self.names.entry(wanted.to_string()).or_insert(2);
            name = format!("{wanted} ({number})");
            *number += 1;
        }
        self.names.insert(name.clone(), 2);
        name
    }

    /// Adds an operation under the name of what needs it.
    fn apply(&mut self, name: &str, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let name = self.name(name);
        self.graph.apply(name, op, inputs)
    }

    /// Whether a node's result is a map of channels in memory. As the planner decides it.
    fn is_map(&mut self, id: NodeId) -> bool {
        for node in &self.graph.nodes()[self.maps.len()..] {
            let first = node.inputs.first().is_some_and(|id| self.maps[id.index()]);
            let is_map = match &node.op {
                Op::Constant(_) | Op::Gather(_) | Op::Matmul(_) | Op::Rearrange(_) | Op::Reduce(_) | Op::TopK(_) => {
                    false
                }
                Op::Concat(_) => node.inputs.iter().any(|id| self.maps[id.index()]),
                Op::Map(map) => {
                    map.walks.iter().all(Option::is_none)
                        && node
                            .inputs
                            .iter()
                            .any(|id| self.maps[id.index()] && self.graph.nodes()[id.index()].shape == node.shape)
                }
                Op::Narrow(_) => first,
                Op::Reshape(reshape) => first && reshape.keeps_pixels(self.graph.nodes()[node.inputs[0].index()].shape),
                Op::Softmax(softmax) => matches!(softmax.axis, SoftmaxAxis::Channels),
                _ => true,
            };
            self.maps.push(is_map);
        }
        self.maps[id.index()]
    }

    /// The values of a view in NCHW order of `shape`.
    fn shaped(&mut self, name: &str, view: &View, shape: Shape) -> Result<NodeId> {
        let own = self.graph.shape(view.node)?;
        if view.is_whole(own.len()) {
            if own == shape {
                return Ok(view.node);
            }
            if let Some(&id) = self.reshapes.get(&(view.node, shape)) {
                return Ok(id);
            }
            let id = self.apply(name, Reshape { shape }, &[view.node])?;
            self.reshapes.insert((view.node, shape), id);
            return Ok(id);
        }
        let Some(copy) = view.rearranged(shape) else {
            let hint =
                "it walks over its values in more ways than six axes and tables of 4194304 places have".to_string();
            return Err(Error::Unsupported { op: name.into(), what: format!("a copy as {shape}"), hint });
        };
        let copies = self.copies.get(&view.node).into_iter().flatten();
        if let Some((_, id)) = copies.clone().find(|(made, _)| *made == copy) {
            return Ok(*id);
        }
        let id = self.apply(name, copy.clone(), &[view.node])?;
        self.copies.entry(view.node).or_default().push((copy, id));
        Ok(id)
    }

    /// A view of some channels of a map as a map of its own: where they lie by themselves, it costs nothing.
    fn narrowed(&mut self, name: &str, view: &View) -> Result<View> {
        let own = self.graph.shape(view.node)?;
        let plane = i64::from(own.h) * i64::from(own.w);
        let extents = view.extents();
        let is_part = extents.len() >= 2 && extents[0] == own.n as usize && extents[1] < own.c as usize;
        if !is_part || !self.is_map(view.node) {
            return Ok(view.clone());
        }
        let Ok(channels) = u32::try_from(extents[1]) else { return Ok(view.clone()) };
        // The same walk from the start, over a map of so many channels.
        let mut part = View::whole(view.node, &extents, view.of);
        if let Dim::Axes(images) = &mut part.dims[0] {
            images.iter_mut().for_each(|axis| axis.stride = plane * i64::from(own.c));
        }
        let is_all_pixels = extents[2..].iter().product::<usize>() as i64 == plane;
        let begins = view.offset % plane == 0 && view.offset >= 0;
        if !(is_all_pixels && begins && part.axes() == view.axes()) {
            return Ok(view.clone());
        }
        let narrow = Narrow { start: (view.offset / plane) as u32, channels };
        let key = (view.node, narrow.start, channels);
        let id = match self.narrows.get(&key) {
            Some(&id) => id,
            None => {
                let id = self.apply(name, narrow, &[view.node])?;
                self.narrows.insert(key, id);
                id
            }
        };
        Ok(View::whole(id, &extents, view.of))
    }

    /// A view of the same values that is dense.
    fn dense(&mut self, name: &str, view: &View) -> Result<View> {
        if view.is_whole(self.graph.shape(view.node)?.len()) {
            return Ok(view.clone());
        }
        let extents = view.extents();
        let id = self.shaped(name, view, shape_of(name, &extents)?)?;
        Ok(View::whole(id, &extents, view.of))
    }

    /// A view without places, so that kernels can walk over it.
    fn walkable(&mut self, name: &str, view: &View) -> Result<View> {
        if view.strided().is_some_and(|walk| walk.axes.len() <= Strided::MAX_AXES) {
            return Ok(view.clone());
        }
        self.dense(name, view)
    }

    /// A tensor of the file, as part of the graph.
    fn constant(&mut self, name: &str, array: &Arc<Array>) -> Result<View> {
        let shape = shape_of(name, &array.dims)?;
        let weight = self.weight(array, shape)?;
        let of = match (array.as_floats(), array.as_ints()) {
            (Some(_), _) => Type::Float,
            (None, Some(_)) => Type::Int,
            (None, None) => Type::Bool,
        };
        let key = (Arc::as_ptr(array) as usize, shape);
        let id = match self.constants.get(&key) {
            Some(&id) => id,
            None => {
                let name = self.name(name);
                let id = self.graph.constant(name, weight)?;
                self.constants.insert(key, id);
                id
            }
        };
        Ok(View::whole(id, &array.dims, of))
    }

    /// Values of the file as weights; the same ones are shared.
    fn weight(&mut self, array: &Arc<Array>, shape: Shape) -> Result<Weight> {
        let key = (Arc::as_ptr(array) as usize, shape);
        if let Some((_, weight)) = self.weights.get(&key) {
            return Ok(weight.clone());
        }
        let weight = Weight::from(Tensor::new(shape, array.to_floats().into_owned())?);
        self.weights.insert(key, (Arc::clone(array), weight.clone()));
        Ok(weight)
    }

    /// An input of a node that must be there.
    fn value(&self, node: &Node, index: usize) -> Result<Value> {
        match self.optional(node, index)? {
            Some(value) => Ok(value),
            None => Err(Error::data(node.label(), format!("lacks its input {index}"))),
        }
    }

    /// `None` if it is absent.
    fn optional(&self, node: &Node, index: usize) -> Result<Option<Value>> {
        let Some(name) = node.input(index) else { return Ok(None) };
        match self.values.get(name) {
            Some(value) => Ok(Some(value.clone())),
            None => Err(Error::data(node.label(), format!("reads '{name}', which nothing computes"))),
        }
    }

    /// An input as a view; what is known becomes part of the graph.
    fn view(&mut self, node: &Node, index: usize) -> Result<View> {
        match self.value(node, index)? {
            Value::View(view) => Ok(view),
            Value::Known(array) => self.constant(node.input(index).unwrap_or(&node.name), &array),
            Value::Missing => Err(Error::data(node.label(), "reads what is not supported")),
        }
    }

    /// An input that must be known at load; `None` if it is absent.
    fn known(&self, node: &Node, index: usize, what: &str) -> Result<Option<Arc<Array>>> {
        match self.optional(node, index)? {
            None => Ok(None),
            Some(Value::Known(array)) => Ok(Some(array)),
            Some(Value::View(View { node: id, .. })) if self.given.contains_key(&id) => {
                Ok(self.given.get(&id).cloned())
            }
            Some(_) => Err(Error::Unsupported {
                op: node.label(),
                what: format!("{what} that is computed by the model"),
                hint: "it must be known when the model is read".into(),
            }),
        }
    }

    /// The dimensions of an input.
    fn dims(&self, node: &Node, index: usize) -> Result<Vec<usize>> {
        Ok(match self.value(node, index)? {
            Value::View(view) => view.extents(),
            Value::Known(array) => array.dims.clone(),
            Value::Missing => Vec::new(),
        })
    }
}

impl From<Type> for ElementType {
    fn from(of: Type) -> Self {
        match of {
            Type::Float => Self::Float,
            Type::Int => Self::Int,
            Type::Bool => Self::Bool,
        }
    }
}

/// An error for the list of all that is not supported.
fn unsupported(node: &Node, what: String) -> Error {
    Error::Unsupported { op: node.label(), what, hint: "not supported".into() }
}

/// An attribute's value that is not supported.
fn unsupported_attribute(node: &Node, attribute: &str, value: impl std::fmt::Display) -> Error {
    unsupported(node, format!("{attribute} = {value}"))
}

/// A dimension, perhaps counted from the end.
fn axis_of(node: &Node, axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(found) if found < rank => Ok(found),
        _ => Err(Error::data(node.label(), format!("has the axis {axis} of a tensor with {rank} dimensions"))),
    }
}

/// The shape under which a tensor of any rank lies in the graph: its values in the same order.
fn shape_of(what: &str, extents: &[usize]) -> Result<Shape> {
    let product = |extents: &[usize]| extents.iter().try_fold(1u32, |a, &b| a.checked_mul(u32::try_from(b).ok()?));
    let [n, c, h, w] = match extents {
        [] => [&extents[..0]; 4],
        [_] => [&extents[..0], &extents[..0], &extents[..0], extents],
        [_, _] => [&extents[..1], &extents[1..], &extents[..0], &extents[..0]],
        [_, _, _] => [&extents[..1], &extents[1..2], &extents[..0], &extents[2..]],
        [_, _, rest @ .., _] => [&extents[..1], &extents[1..2], rest, &extents[extents.len() - 1..]],
    };
    if extents.contains(&0) {
        return Err(Error::Unsupported {
            op: what.into(),
            what: format!("a tensor without values, {extents:?}"),
            hint: "every dimension must be at least 1".into(),
        });
    }
    let extents = [n, c, h, w].map(product);
    let [Some(n), Some(c), Some(h), Some(w)] = extents else {
        return Err(Error::TooLarge {
            op: what.into(),
            what: "the element count",
            value: u64::MAX,
            max: crate::tensor::MAX_ELEMENTS,
        });
    };
    Shape::new(n, c, h, w).check(what)
}
