//! ONNX files: nodes in the order of use, constants as arrays, and nothing that a file may ask for without being checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};
use std::sync::Arc;

use rten_onnx::onnx::{AttributeType, DataLocation, DataType};

use super::array::{Array, Data, Kind, sizes};
use super::message::{Value, broken, fields};
use crate::error::{Error, Result};
use crate::tensor::MAX_ELEMENTS;

/// The most nodes of a graph.
const MAX_NODES: usize = 65_536;

/// The most names of values that nodes read and write, all together.
const MAX_NAMES: usize = 1 << 20;

/// What a file says.
#[derive(Debug, Default)]
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
                let (domain, version) = opset_import(value.bytes()?)?;
                if matches!(domain, "" | "ai.onnx") {
                    set(&mut opset, version, "version of the operators")?;
                }
            }
            14 => {
                let (key, value) = entry(value.bytes()?)?;
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
                let array = array.map_err(|reason| Error::data(format!("the tensor '{name}'"), reason))?;
                if file.constants.insert(name.into(), Arc::new(array)).is_some() {
                    return Err(broken(format!("has two tensors named '{name}'")));
                }
            }
            11 => file.inputs.push(read_input(value.bytes()?)?),
            12 => file.outputs.push(read_name(value.bytes()?)?.into()),
            15 => return Err(broken("has sparse tensors, which are not supported")),
            _ => {}
        }
        Ok(())
    })?;
    lift_constants(file)?;
    // Old files list what has a value among the inputs.
    let constants = &file.constants;
    file.inputs.retain(|input| !constants.contains_key(&input.name));
    sort(file)
}

/// Makes constants of the nodes that are, in all forms but text and sparse tensors.
fn lift_constants(file: &mut File) -> Result<()> {
    for node in std::mem::take(&mut file.nodes) {
        let value = (node.op == "Constant" && node.domain.is_empty() && node.inputs.is_empty())
            .then(|| constant(&node))
            .transpose()?
            .flatten();
        match (value, &node.outputs[..]) {
            (Some(array), [name]) if !name.is_empty() => {
                if file.constants.insert(name.clone(), array).is_some() {
                    return Err(defined_twice(name));
                }
            }
            _ => file.nodes.push(node),
        }
    }
    Ok(())
}

fn constant(node: &Node) -> Result<Option<Arc<Array>>> {
    let float = |value| Arc::new(Array::floats([], vec![value]));
    let floats = |values: &[f32]| Arc::new(Array::floats([values.len()], values.into()));
    let int = |value| Arc::new(Array::ints([], vec![value]));
    let ints = |values: &[i64]| Arc::new(Array::ints([values.len()], values.into()));
    Ok(match node.attributes.keys().next().map(String::as_str) {
        Some("value") => node.tensor("value").ok().flatten().cloned(),
        Some("value_float") => node.float("value_float")?.map(float),
        Some("value_floats") => node.floats("value_floats")?.map(floats),
        Some("value_int") => node.int("value_int")?.map(int),
        Some("value_ints") => node.ints("value_ints")?.map(ints),
        _ => None,
    })
}

/// Puts nodes behind what they read, otherwise in the order of the file. Errors: values without or with more than one
/// origin, and cycles.
fn sort(file: &mut File) -> Result<()> {
    let mut origins: HashMap<&str, Option<usize>> = HashMap::new();
    for name in file.constants.keys() {
        origins.insert(name, None);
    }
    for input in &file.inputs {
        if origins.insert(&input.name, None).is_some() {
            return Err(defined_twice(&input.name));
        }
    }
    for (i, node) in file.nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if origins.insert(name, Some(i)).is_some() {
                return Err(defined_twice(name));
            }
        }
    }
    let mut listed = HashSet::new();
    for name in &file.outputs {
        if !listed.insert(name) {
            return Err(broken(format!("lists the output '{name}' twice")));
        }
        if !origins.contains_key(name.as_str()) {
            return Err(broken(format!("does not compute its output '{name}'")));
        }
    }
    let mut waiting = vec![0; file.nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); file.nodes.len()];
    for (i, node) in file.nodes.iter().enumerate() {
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            let origin = origins.get(name.as_str()).ok_or_else(|| {
                Error::data(node.label(), format!("reads '{name}', which neither a node nor the file provides"))
            })?;
            if let Some(origin) = origin {
                waiting[i] += 1;
                readers[*origin].push(i);
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..waiting.len()).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &reader in &readers[i] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() < waiting.len() {
        let stuck = waiting.iter().zip(&file.nodes).filter(|(waiting, _)| **waiting > 0);
        let some: Vec<String> = stuck.take(5).map(|(_, node)| node.label()).collect();
        return Err(broken(format!("has nodes that wait for each other: {}, …", some.join(", "))));
    }
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut file.nodes).into_iter().map(Some).collect();
    file.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    Ok(())
}

fn defined_twice(name: &str) -> Error {
    broken(format!("defines the value '{name}' twice"))
}

fn opset_import(message: &[u8]) -> Result<(&str, i64)> {
    let mut import = ("", 0);
    fields(message, |number, value| {
        match number {
            1 => import.0 = value.text()?,
            2 => import.1 = value.int()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(import)
}

fn entry(message: &[u8]) -> Result<(&str, &str)> {
    let mut entry = ("", "");
    fields(message, |number, value| {
        match number {
            1 => entry.0 = value.text()?,
            2 => entry.1 = value.text()?,
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

/// Its name, and its values or why there are none.
fn read_tensor<'a>(message: &'a [u8], external: &mut External) -> Result<(&'a str, Result<Array, String>)> {
    let mut tensor = Tensor::default();
    let mut name = "";
    fields(message, |number, value| {
        match number {
            1 => value.ints(&mut tensor.dims)?,
            2 => tensor.kind = value.int()?,
            3 => tensor.is_segment = true,
            4 => value.floats(&mut tensor.floats)?,
            // 7 and 11 are those of 64 bits.
            5 | 7 | 11 => value.ints(&mut tensor.ints)?,
            8 => name = value.text()?,
            9 => tensor.raw = Some(value.bytes()?),
            10 => value.doubles(&mut tensor.doubles)?,
            13 => {
                let (key, value) = entry(value.bytes()?)?;
                tensor.external.insert(key, value);
            }
            14 => tensor.is_external = value.int()? == i64::from(DataLocation::EXTERNAL.0),
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, tensor.into_array(external)))
}

#[derive(Default)]
struct Tensor<'a> {
    dims: Vec<i64>,
    kind: i64,
    floats: Vec<f32>,
    ints: Vec<i64>,
    doubles: Vec<f64>,
    raw: Option<&'a [u8]>,
    external: HashMap<&'a str, &'a str>,
    is_external: bool,
    is_segment: bool,
}

impl Tensor<'_> {
    /// The error is a reason.
    fn into_array(self, external: &mut External) -> Result<Array, String> {
        let (dims, len) = sizes(&self.dims)?;
        let unsupported = || {
            let code = i32::try_from(self.kind).unwrap_or(0);
            format!("has elements of the type {}, which is not supported", DataType(code))
        };
        let kind = Kind::of(self.kind).ok_or_else(unsupported)?;
        if self.is_segment {
            return Err("is a part of a tensor only, which is not supported".into());
        }
        if self.is_external {
            return external.read(&self.external, kind, dims, len);
        }
        let fits = |given: usize, of: usize| {
            let wanted = len * of;
            let unit = if of == 1 { "values" } else { "bytes" };
            if given == wanted { Ok(()) } else { Err(format!("has {given} {unit}, but {dims:?} are {wanted}")) }
        };
        if let Some(mut raw) = self.raw {
            fits(raw.len(), kind.bytes()).map_err(|reason| reason.replace("values", "bytes"))?;
            return Array::read(kind, dims, len, &mut raw).map_err(|error| error.to_string());
        }
        let data = match kind {
            Kind::F32 => Data::F32(self.floats),
            Kind::F64 => Data::F32(self.doubles.into_iter().map(|value| value as f32).collect()),
            // As bits, in the lower half.
            Kind::F16 => Data::F32(self.ints.iter().map(|&bits| half::f16::from_bits(bits as u16).to_f32()).collect()),
            Kind::Bf16 => {
                Data::F32(self.ints.iter().map(|&bits| half::bf16::from_bits(bits as u16).to_f32()).collect())
            }
            Kind::Bool => Data::Bool(self.ints.iter().map(|&value| value != 0).collect()),
            _ => Data::I64(self.ints.into_iter().map(|value| kind.wrapped(value)).collect()),
        };
        let given = match &data {
            Data::F32(values) => values.len(),
            Data::I64(values) => values.len(),
            Data::Bool(values) => values.len(),
        };
        fits(given, 1)?;
        Ok(Array { kind, dims, data })
    }
}

/// Where data outside the file may be, and how many bytes may still be read there.
struct External<'a> {
    folder: Option<&'a Path>,
    left: u64,
}

impl External<'_> {
    /// The error is a reason.
    fn read(&mut self, keys: &HashMap<&str, &str>, kind: Kind, dims: Vec<usize>, len: usize) -> Result<Array, String> {
        let location = keys.get("location").copied().unwrap_or_default();
        let folder = self.folder.ok_or_else(|| format!("is in another file, '{location}', and no folder is known"))?;
        let number = |key: &str| match keys.get(key).copied() {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("has the {key} '{text}'")),
        };
        let wanted = len as u64 * kind.bytes() as u64;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(wanted);
        if length != wanted {
            return Err(format!("has {length} bytes in '{location}', but {dims:?} are {wanted}"));
        }
        let failed = |reason: &dyn std::fmt::Display| format!("is in '{location}': {reason}");
        let path = Path::new(location);
        let inside = !location.is_empty()
            && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let outside = || failed(&"only files in the model's own folder are read");
        if !inside {
            return Err(outside());
        }
        // Links are followed first: what they lead to counts.
        let folder = fs::canonicalize(folder).map_err(|error| failed(&error))?;
        let path = fs::canonicalize(folder.join(path)).map_err(|error| failed(&error))?;
        if !path.starts_with(&folder) {
            return Err(outside());
        }
        let metadata = fs::metadata(&path).map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Err(failed(&"not a regular file"));
        }
        let end = offset.checked_add(length).filter(|&end| end <= metadata.len());
        if end.is_none() {
            let size = metadata.len();
            return Err(failed(&format!("{length} bytes from {offset} on end beyond the file's {size}")));
        }
        let left = self.left.checked_sub(length);
        self.left = left.ok_or_else(|| failed(&"too much data outside the file"))?;
        let mut file = fs::File::open(&path).map_err(|error| failed(&error))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
        Array::read(kind, dims, len, &mut Read::by_ref(&mut file)).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::*;
    use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

    use super::*;

    fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        let op_type = Some(op.into());
        NodeProto { op_type, input: names(inputs), output: names(outputs), attribute, ..Default::default() }
    }

    fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
        AttributeProto { name: Some(name.into()), r#type: Some(kind), ..Default::default() }
    }

    fn value(name: &str, dim: Vec<Dimension>) -> ValueInfoProto {
        let tensor_type =
            Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(TensorShapeProto { dim }) });
        ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..Default::default() }) }
    }

    /// Nodes in reverse, constants of several forms, and an initializer that is listed as an input.
    fn sample() -> ModelProto {
        let dim = |value, name: Option<&str>| Dimension { dim_value: value, dim_param: name.map(Into::into) };
        let halves = TensorProto {
            name: Some("halves".into()),
            dims: vec![2],
            data_type: Some(DataType::FLOAT16),
            int32_data: vec![0x3c00, 0xc000],
            ..Default::default()
        };
        let bytes = TensorProto { data_type: Some(DataType::INT8), int32_data: vec![-3], ..Default::default() };
        let graph = GraphProto {
            node: vec![
                node("Relu", &["sum"], &["y"], vec![]),
                node(
                    "Add",
                    &["x", "halves"],
                    &["sum"],
                    vec![AttributeProto { i: None, ..attribute("k", AttributeType::INT) }],
                ),
                NodeProto { name: Some("Add 1".into()), ..node("Neg", &["y"], &["z"], vec![]) },
                node(
                    "Constant",
                    &[],
                    &["a"],
                    vec![AttributeProto { ints: vec![4, -5], ..attribute("value_ints", AttributeType::INTS) }],
                ),
                node(
                    "Constant",
                    &[],
                    &["b"],
                    vec![AttributeProto { t: Some(bytes), ..attribute("value", AttributeType::UNDEFINED) }],
                ),
                node(
                    "Constant",
                    &[],
                    &["c"],
                    vec![AttributeProto { s: Some("text".into()), ..attribute("value_string", AttributeType::STRING) }],
                ),
            ],
            initializer: vec![halves],
            input: vec![
                value("x", vec![dim(None, Some("n")), dim(Some(3), None), dim(Some(-1), None)]),
                value("halves", vec![]),
            ],
            output: vec![value("z", vec![])],
            ..Default::default()
        };
        let opset = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
        ModelProto {
            ir_version: Some(3),
            graph: Some(graph),
            opset_import: vec![opset("com.microsoft", 1), opset("ai.onnx", 11)],
            ..Default::default()
        }
    }

    fn read(bytes: &[u8]) -> Result<File> {
        parse(bytes, None, 1 << 20)
    }

    #[test]
    fn a_file_is_put_in_order() {
        let file = read(&sample().write_buf().unwrap()).unwrap();
        assert_eq!(file.opset, 11);
        let dims = Some(vec![Dim::Named("n".into()), Dim::Size(3), Dim::Unknown]);
        assert_eq!(file.inputs, [Input { name: "x".into(), kind: Some(Kind::F32), dims }]);
        assert_eq!(file.outputs, ["z"]);
        let names: Vec<String> = file.nodes.iter().map(Node::label).collect();
        assert_eq!(names, ["Add 'Add 1'", "Relu 'Relu 0'", "Neg 'Add 1 (2)'", "Constant 'Constant 5'"]);
        assert_eq!(*file.constants["halves"], Array { kind: Kind::F16, ..Array::floats([2], vec![1.0, -2.0]) });
        assert_eq!(*file.constants["a"], Array::ints([2], vec![4, -5]));
        assert_eq!(*file.constants["b"], Array { kind: Kind::I8, ..Array::ints([], vec![-3]) });
        assert_eq!(file.nodes[0].int("k").unwrap(), Some(0), "a writer may leave out a zero");
        let text = file.nodes[0].floats("k").unwrap_err().to_string();
        assert_eq!(text, "Add 'Add 1': k = 0: is not numbers");
    }

    #[test]
    fn no_part_of_a_file_is_taken_for_the_whole() {
        let bytes = sample().write_buf().unwrap();
        assert!(read(&bytes).is_ok());
        (0..bytes.len()).for_each(|len| assert!(read(&bytes[..len]).is_err(), "{len} of {}", bytes.len()));
        assert!(parse(&bytes, None, bytes.len() as u64 - 1).unwrap_err().to_string().contains("bytes, over"));
    }

    /// Writers by the other version of the format pack all repeated numbers.
    struct Packed;

    impl EncodeMessage for Packed {
        fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
            fields.write_string(1, "pads")?;
            fields.write_packed_int64(8, &[1, -2, 300])?;
            fields.write_enum(20, AttributeType::INTS.0)
        }
    }

    #[test]
    fn packed_numbers_are_read() {
        let mut bytes = Vec::new();
        Packed.encode(ValueWriter::new(&mut bytes)).unwrap();
        let external = &mut External { folder: None, left: 0 };
        assert_eq!(read_attribute(&bytes, external).unwrap(), ("pads", Attribute::Ints(vec![1, -2, 300])));
    }
}
