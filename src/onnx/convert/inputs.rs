//! The inputs of a file, and their sizes: the file's, the caller's, or those of the values that are given.

use std::collections::BTreeSet;

use super::view::{Type, View};
use super::{Converter, Value, shape_of};
use crate::error::{Error, Result};
use crate::onnx::file::{Dim, Input};
use crate::onnx::message::broken;
use crate::onnx::{Model, Options, Port};

/// If the caller asks for another batch than the file's: how to read the file with its own, or 1 where that is open, and
/// both.
pub(super) fn own_batch(inputs: &[Input], model: &Model, options: &Options) -> Option<(Options, [u32; 2])> {
    let mut own = Options { batch: None, ..options.clone() };
    let mut batch = None;
    for port in &model.inputs {
        let input = inputs.iter().find(|input| input.name == port.name);
        let from = match input.and_then(|input| input.dims.as_ref()?.first()) {
            Some(Dim::Size(size)) => u32::try_from(*size).ok(),
            // Whoever names its size knows what it is.
            Some(_) if options.batch.is_some() => Some(1),
            _ => None,
        };
        let mut dims = port.dims.clone();
        if let (Some(from), Some(to)) = (from, dims.first_mut())
            && from != *to
            && from > 0
        {
            batch = batch.or(Some([from, *to]));
            own.values.remove(&port.name);
            *to = from;
        }
        own.inputs.insert(port.name.clone(), dims);
    }
    Some((own, batch?))
}

/// The names of an input's dimensions.
fn symbols(input: &Input) -> impl Iterator<Item = &str> {
    input.dims.iter().flatten().filter_map(|dim| if let Dim::Named(name) = dim { Some(name.as_str()) } else { None })
}

impl Converter {
    /// Declares the graph's inputs, with the sizes that the caller gives.
    pub(super) fn inputs(&mut self, inputs: &[Input], options: &Options) -> Result<Vec<Port>> {
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        if let Some(name) = options.inputs.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(Error::param("the ONNX model", "inputs", name, &crate::error::unknown(name, &names)));
        }
        let mut ports = Vec::with_capacity(inputs.len());
        let mut open = Vec::new();
        for input in inputs {
            let dims = self.input_sizes(input, options, &mut open)?;
            if !open.is_empty() {
                continue;
            }
            let of = match input.kind {
                Some(kind) if !kind.is_float() => Type::Int,
                _ => Type::Float,
            };
            let extents: Vec<usize> = dims.iter().map(|&dim| dim as usize).collect();
            let shape = shape_of(&format!("input '{}'", input.name), &extents)?;
            let id = self.graph.input(&input.name, shape)?;
            self.names.insert(input.name.clone(), 2);
            self.values.insert(input.name.clone(), Value::View(View::whole(id, &extents, of)));
            if let Some(value) = options.values.get(&input.name) {
                let mut array = value.to_array();
                if extents.is_empty() && array.dims == [1] {
                    array.dims.clear();
                }
                if array.dims != extents {
                    let detail = format!(
                        "a tensor {:?} is given for {extents:?}; to run the model at another size, say so for this input",
                        array.dims
                    );
                    return Err(Error::mismatch(format!("input '{}'", input.name), detail));
                }
                self.given.insert(id, array.into());
            }
            ports.push(Port { name: input.name.clone(), dims, element: of.into() });
        }
        let symbols: BTreeSet<&str> = inputs.iter().flat_map(symbols).collect();
        if let Some(name) = options.sizes.keys().find(|name| !symbols.contains(name.as_str())) {
            let known: Vec<&str> = symbols.into_iter().collect();
            let reason = match known[..] {
                [] => {
                    "is not the name of a dimension: the file leaves none open; give all dimensions of the input".into()
                }
                _ => crate::error::unknown(name, &known),
            };
            return Err(Error::param("the ONNX model", "sizes", name, &reason));
        }
        if open.is_empty() {
            return Ok(ports);
        }
        let remedy = "give sizes by name, such as height=480, or all dimensions of an input, such as \
                      images=1x3x480x640: Options::sizes, Options::inputs, --size";
        Err(broken(format!("leaves dimensions open: {}; {remedy}", open.join(", "))))
    }

    /// The dimensions of an input, as [`Converter::sizes_of`] has them. Errors: sizes that contradict each other.
    fn input_sizes(&self, input: &Input, options: &Options, open: &mut Vec<String>) -> Result<Vec<u32>> {
        let sizes = self.sizes_of(input, options, open)?;
        let of_symbol = |dim: &Dim| match dim {
            Dim::Named(symbol) => options.sizes.get(symbol).copied(),
            _ => None,
        };
        for (at, (&size, dim)) in sizes.iter().zip(input.dims.iter().flatten()).enumerate() {
            let batch = options.batch.filter(|_| at == 0);
            if let Some(other) = of_symbol(dim).into_iter().chain(batch).find(|&other| other != size) {
                let detail = format!("dimension {at} is to be {size}, and {other}");
                return Err(Error::mismatch(format!("input '{}'", input.name), detail));
            }
        }
        Ok(sizes)
    }

    /// The dimensions of an input; those that are still open are added to `open`.
    fn sizes_of(&self, input: &Input, options: &Options, open: &mut Vec<String>) -> Result<Vec<u32>> {
        let Input { name, dims, .. } = input;
        // It leaves the graph in the end, whatever its size.
        let is_idle = !self.uses.contains_key(name);
        let value = options.values.get(name).map(|value| &value.dims[..]);
        let Some(dims) = dims else {
            let given = options.inputs.get(name).map(|given| &given[..]).or(value);
            return Ok(given.or(is_idle.then_some(&[1])).map_or_else(
                || {
                    open.push(format!("all of input '{name}'"));
                    Vec::new()
                },
                <[u32]>::to_vec,
            ));
        };
        if let Some(given) = options.inputs.get(name) {
            // One number has one dimension in files that cannot hold none.
            if dims.is_empty() && given == &[1] {
                return Ok(Vec::new());
            }
            if given.len() != dims.len() {
                let detail = format!("{given:?} is given, and the file has {} dimensions", dims.len());
                return Err(Error::mismatch(format!("input '{name}'"), detail));
            }
            return Ok(given.clone());
        }
        if let Some(value) = value.filter(|value| value.len() != dims.len() && !(dims.is_empty() && *value == [1])) {
            let detail = format!("a tensor {value:?} is given, and the file has {} dimensions", dims.len());
            return Err(Error::mismatch(format!("input '{name}'"), detail));
        }
        let mut sizes = Vec::with_capacity(dims.len());
        for (at, dim) in dims.iter().enumerate() {
            let said = match dim {
                Dim::Named(symbol) => options.sizes.get(symbol).copied(),
                Dim::Size(size) => u32::try_from(*size).ok(),
                Dim::Unknown => None,
            };
            let of_value = value.and_then(|dims| dims.get(at).copied());
            // A batch is what people leave open most of all.
            let usual = (at == 0 && dims.len() > 1 || is_idle).then_some(1);
            let size = options.batch.filter(|_| at == 0).or(said).or(of_value).or(usual);
            if size.is_none() {
                open.push(match dim {
                    Dim::Named(symbol) => format!("'{symbol}' of input '{name}'"),
                    _ => format!("number {at} of input '{name}'"),
                });
            }
            sizes.push(size.unwrap_or(1));
        }
        Ok(sizes)
    }
}
