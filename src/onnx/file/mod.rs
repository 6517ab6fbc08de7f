//! ONNX files: nodes in the order of use, constants as arrays, and nothing that a file may ask for without being checked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use rten_onnx::onnx::AttributeType;

use super::array::{Array, Kind};
use super::message::{Value, broken, fields};
use crate::error::{Error, Result};
use crate::tensor::MAX_ELEMENTS;

mod order;
mod tensor;
#[cfg(test)]
mod tests;

use order::{lift_constants, sort};
use tensor::{External, read_tensor};

/// The versions of ONNX's operators. Those from 23 on add element types, nothing else, to what is supported.
const OPSETS: RangeInclusive<i64> = 6..=25;

/// The most nodes of a graph.
const MAX_NODES: usize = 65_536;

/// The most names of values that nodes read and write, all together.
const MAX_NAMES: usize = 1 << 20;

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// The version of ONNX's own operators.
    pub(crate) opset: i64,
    /// Without those that have a value in the file.
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<String>,
    /// Each after those that compute its inputs. None is a constant.
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: HashMap<String, Arc<Array>>,
    /// What the exporter noted, such as `names` and `stride` of Ultralytics.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) producer: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// `None` if the file does not say, or if it is no tensor of numbers.
    pub(crate) kind: Option<Kind>,
    /// `None` if the file does not say how many there are.
    pub(crate) dims: Option<Vec<Dim>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    Size(usize),
    Named(String),
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// Of no other node; made up where the file has none.
    pub(crate) name: String,
    pub(crate) op: String,
    /// Empty for ONNX's own.
    pub(crate) domain: String,
    /// Empty where an optional one is absent.
    pub(crate) inputs: Vec<String>,
    /// Empty where nobody needs one.
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    Int(i64),
    Float(f32),
    String(String),
    Tensor(Arc<Array>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<String>),
    /// Not kept: no operator with a graph in it is known here.
    Graph,
    /// What it is.
    Other(String),
}

impl Attribute {
    fn describe(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::String(value) => format!("'{value}'"),
            Self::Tensor(array) => format!("a tensor {:?}", array.dims),
            Self::Ints(values) => format!("{values:?}"),
            Self::Floats(values) => format!("{values:?}"),
            Self::Strings(values) => format!("{values:?}"),
            Self::Graph => "a graph".into(),
            Self::Other(what) => what.clone(),
        }
    }
}

impl Node {
    /// What errors call it.
    pub(crate) fn label(&self) -> String {
        format!("{} '{}'", self.op, self.name)
    }

    /// The name of an input that is there.
    pub(crate) fn input(&self, index: usize) -> Option<&str> {
        self.inputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn get<'a, T>(
        &'a self,
        name: &'static str,
        kind: &str,
        value: impl Fn(&'a Attribute) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(attribute) = self.attributes.get(name) else { return Ok(None) };
        let wrong = || Error::param(self.label(), name, attribute.describe(), &format!("is not {kind}"));
        value(attribute).ok_or_else(wrong).map(Some)
    }

    pub(crate) fn int(&self, name: &'static str) -> Result<Option<i64>> {
        self.get(name, "an integer", |value| if let Attribute::Int(value) = value { Some(*value) } else { None })
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<bool> {
        Ok(self.int(name)?.unwrap_or(0) != 0)
    }

    pub(crate) fn float(&self, name: &'static str) -> Result<Option<f32>> {
        self.get(name, "a number", |value| if let Attribute::Float(value) = value { Some(*value) } else { None })
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>> {
        self.get(name, "text", |value| if let Attribute::String(value) = value { Some(value.as_str()) } else { None })
    }

    pub(crate) fn ints(&self, name: &'static str) -> Result<Option<&[i64]>> {
        self.get(name, "integers", |value| if let Attribute::Ints(values) = value { Some(&values[..]) } else { None })
    }

    pub(crate) fn floats(&self, name: &'static str) -> Result<Option<&[f32]>> {
        self.get(name, "numbers", |value| if let Attribute::Floats(values) = value { Some(&values[..]) } else { None })
    }

    pub(crate) fn tensor(&self, name: &'static str) -> Result<Option<&Arc<Array>>> {
        self.get(name, "a tensor", |value| if let Attribute::Tensor(array) = value { Some(array) } else { None })
    }
}

/// Reads a file of at most `max_bytes`, with as many more of external data, from its own folder only. Errors:
/// [`Error::File`].
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<File> {
    let failed = |reason: String| Error::File { path: path.into(), reason };
    let metadata = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() {
        return Err(failed("is not a regular file".into()));
    }
    if metadata.len() > max_bytes {
        return Err(failed(format!("has {} bytes, over {max_bytes}", metadata.len())));
    }
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    // The folder of a bare file name is the empty path.
    let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    parse(&bytes, folder, max_bytes).map_err(|error| match error {
        Error::InvalidData { what, reason } => failed(format!("{what}: {reason}")),
        error => error,
    })
}

/// What the bytes of a file say; without a folder there are no external data. Errors: [`Error::InvalidData`].
pub(crate) fn parse(bytes: &[u8], folder: Option<&Path>, max_bytes: u64) -> Result<File> {
    if bytes.len() as u64 > max_bytes {
        return Err(broken(format!("has {} bytes, over {max_bytes}", bytes.len())));
    }
    let mut external = External { folder, left: max_bytes };
    let mut file = File::default();
    let (mut version, mut graph, mut opset) = (None, None, None);
    fields(bytes, |number, value| {
        match number {
            1 => version = Some(value.int()?),
            2 => file.producer = value.text()?.into(),
            7 => set(&mut graph, value.bytes()?, "graph")?,
            8 => {
                let (domain, version) = entry(value.bytes()?, Value::int)?;
                if matches!(domain, "" | "ai.onnx") {
                    set(&mut opset, version, "version of the operators")?;
                }
            }
            14 => {
                let (key, value) = entry(value.bytes()?, Value::text)?;
                file.metadata.insert(key.into(), value.into());
            }
            _ => {}
        }
        Ok(())
    })
    .map_err(|error| if version.is_none() { broken("is not an ONNX file") } else { error })?;
    let (Some(_), Some(graph)) = (version, graph) else {
        return Err(broken("is not an ONNX file, or has no graph"));
    };
    file.opset = opset.ok_or_else(|| broken("does not say which version of ONNX's operators (opset) it uses"))?;
    if !OPSETS.contains(&file.opset) {
        let (first, last) = OPSETS.into_inner();
        let versions =
            format!("opset {first} to {last} is; let the exporter, or onnx.version_converter, write one of them");
        return Err(broken(format!(
            "uses opset {} of ONNX's operators, which is not supported: {versions}",
            file.opset
        )));
    }
    read_graph(&mut file, graph, &mut external)?;
    Ok(file)
}

/// Sets what a file may have only once.
fn set<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<()> {
    if slot.replace(value).is_some() { Err(broken(format!("has more than one {what}"))) } else { Ok(()) }
}

fn read_graph(file: &mut File, graph: &[u8], external: &mut External) -> Result<()> {
    let mut names = 0;
    let mut used = HashSet::new();
    // What could not be read is no harm where nothing needs it: texts, most of all.
    let mut unread = Vec::new();
    fields(graph, |number, value| {
        match number {
            1 => {
                if file.nodes.len() == MAX_NODES {
                    return Err(broken(format!("has over {MAX_NODES} nodes")));
                }
                let mut node = read_node(value.bytes()?, file.nodes.len(), external)?;
                names += node.inputs.len() + node.outputs.len();
                if names > MAX_NAMES {
                    return Err(broken(format!("has over {MAX_NAMES} inputs and outputs of nodes")));
                }
                // ONNX tells values apart by name, but not nodes.
                let index = file.nodes.len();
                if !used.insert(node.name.clone()) {
                    node.name = format!("{} ({index})", node.name);
                    used.insert(node.name.clone());
                }
                file.nodes.push(node);
            }
            5 => {
                let (name, array) = read_tensor(value.bytes()?, external)?;
                match array {
                    Ok(array) => {
                        if file.constants.insert(name.into(), Arc::new(array)).is_some() {
                            return Err(broken(format!("has two tensors named '{name}'")));
                        }
                    }
                    Err(reason) => unread.push((name.to_string(), reason)),
                }
            }
            11 => file.inputs.push(read_input(value.bytes()?)?),
            12 => file.outputs.push(read_name(value.bytes()?)?.into()),
            15 => return Err(broken("has sparse tensors, which are not supported")),
            _ => {}
        }
        Ok(())
    })?;
    let used: HashSet<&String> = file.nodes.iter().flat_map(|node| &node.inputs).chain(&file.outputs).collect();
    if let Some((name, reason)) = unread.into_iter().find(|(name, _)| used.contains(name)) {
        return Err(Error::data(format!("the tensor '{name}'"), reason));
    }
    lift_constants(file)?;
    // Old files list what has a value among the inputs.
    let constants = &file.constants;
    file.inputs.retain(|input| !constants.contains_key(&input.name));
    sort(file)
}

fn defined_twice(name: &str) -> Error {
    broken(format!("defines the value '{name}' twice"))
}

/// A name and what belongs to it.
fn entry<'a, T: Default>(message: &'a [u8], read: impl Fn(Value<'a>) -> Result<T>) -> Result<(&'a str, T)> {
    let mut entry = ("", T::default());
    fields(message, |number, value| {
        match number {
            1 => entry.0 = value.text()?,
            2 => entry.1 = read(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(entry)
}

/// Of an input or an output.
fn read_name(message: &[u8]) -> Result<&str> {
    child(message, 1)?.map_or(Ok(""), |name| Value::Bytes(name).text())
}

fn read_input(message: &[u8]) -> Result<Input> {
    let mut input = Input { name: read_name(message)?.into(), kind: None, dims: None };
    let kind = child(message, 2)?.unwrap_or_default();
    let Some(tensor) = child(kind, 1)? else { return Ok(input) };
    fields(tensor, |number, value| {
        if number == 1 {
            input.kind = Kind::of(value.int()?);
        }
        Ok(())
    })?;
    if let Some(shape) = child(tensor, 2)? {
        let mut dims = Vec::new();
        fields(shape, |number, value| {
            if number == 1 {
                dims.push(read_dim(value.bytes()?, &input.name)?);
            }
            Ok(())
        })?;
        input.dims = Some(dims);
    }
    Ok(input)
}

/// The message in a field of a message.
fn child(message: &[u8], wanted: u64) -> Result<Option<&[u8]>> {
    let mut child = None;
    fields(message, |number, value| {
        if number == wanted {
            child = Some(value.bytes()?);
        }
        Ok(())
    })?;
    Ok(child)
}

fn read_dim(message: &[u8], input: &str) -> Result<Dim> {
    let mut dim = Dim::Unknown;
    fields(message, |number, value| {
        match number {
            1 => {
                dim = match value.int()? {
                    // Some exporters' word for unknown.
                    -1 => Dim::Unknown,
                    size => usize::try_from(size)
                        .ok()
                        .filter(|&size| size as u64 <= MAX_ELEMENTS)
                        .map(Dim::Size)
                        .ok_or_else(|| {
                            Error::data(format!("the input '{input}'"), format!("has a dimension of {size}"))
                        })?,
                }
            }
            2 => {
                let name = value.text()?;
                dim = if name.is_empty() { Dim::Unknown } else { Dim::Named(name.into()) };
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(dim)
}

fn read_node(message: &[u8], index: usize, external: &mut External) -> Result<Node> {
    let mut node = Node::default();
    let mut attributes = Vec::new();
    fields(message, |number, value| {
        match number {
            1 => node.inputs.push(value.text()?.into()),
            2 => node.outputs.push(value.text()?.into()),
            3 => node.name = value.text()?.into(),
            4 => node.op = value.text()?.into(),
            5 => attributes.push(value.bytes()?),
            7 => node.domain = value.text()?.into(),
            _ => {}
        }
        Ok(())
    })?;
    if node.op.is_empty() {
        return Err(Error::data(format!("node {index} '{}'", node.name), "has no operator"));
    }
    if node.domain == "ai.onnx" {
        node.domain.clear();
    }
    if node.name.is_empty() {
        node.name = format!("{} {index}", node.op);
    }
    for message in attributes {
        let (name, attribute) = read_attribute(message, external)?;
        if node.attributes.insert(name.into(), attribute).is_some() {
            return Err(Error::data(node.label(), format!("has two attributes named '{name}'")));
        }
    }
    Ok(node)
}

fn read_attribute<'a>(message: &'a [u8], external: &mut External) -> Result<(&'a str, Attribute)> {
    let (mut name, mut kind) = ("", AttributeType::UNDEFINED);
    let (mut float, mut int, mut text, mut tensor, mut graph) = (None, None, None, None, false);
    let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    // Operators compare text with words that they know, so it need not be UTF-8.
    let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    fields(message, |number, value| {
        match number {
            1 => name = value.text()?,
            2 => float = Some(value.float()?),
            3 => int = Some(value.int()?),
            4 => text = Some(lossy(value.bytes()?)),
            5 => tensor = Some(value.bytes()?),
            6 => graph = true,
            7 => value.floats(&mut floats)?,
            8 => value.ints(&mut ints)?,
            9 => texts.push(lossy(value.bytes()?)),
            20 => kind = AttributeType(i32::try_from(value.int()?).unwrap_or(-1)),
            _ => {}
        }
        Ok(())
    })?;
    if kind == AttributeType::UNDEFINED {
        // Of files before the type was required.
        let kinds = [
            (float.is_some(), AttributeType::FLOAT),
            (int.is_some(), AttributeType::INT),
            (text.is_some(), AttributeType::STRING),
            (tensor.is_some(), AttributeType::TENSOR),
            (graph, AttributeType::GRAPH),
            (!floats.is_empty(), AttributeType::FLOATS),
            (!texts.is_empty(), AttributeType::STRINGS),
        ];
        kind = kinds.into_iter().find(|(is, _)| *is).map_or(AttributeType::INTS, |(_, kind)| kind);
    }
    // Some writers leave out zeros.
    let attribute = match kind {
        AttributeType::FLOAT => Attribute::Float(float.unwrap_or_default()),
        AttributeType::INT => Attribute::Int(int.unwrap_or_default()),
        AttributeType::STRING => Attribute::String(text.unwrap_or_default()),
        AttributeType::TENSOR => match read_tensor(tensor.unwrap_or_default(), external)?.1 {
            Ok(array) => Attribute::Tensor(Arc::new(array)),
            Err(reason) => Attribute::Other(format!("a tensor that {reason}")),
        },
        AttributeType::GRAPH => Attribute::Graph,
        AttributeType::FLOATS => Attribute::Floats(floats),
        AttributeType::INTS => Attribute::Ints(ints),
        AttributeType::STRINGS => Attribute::Strings(texts),
        AttributeType(kind) => Attribute::Other(format!("an attribute of type {kind}")),
    };
    Ok((name, attribute))
}
