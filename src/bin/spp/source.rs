//! Where models and their inputs come from: options that several commands share.

use std::collections::BTreeMap;
use std::path::Path;

use spp_wgpu::onnx::{ElementType, Elements, Model, Options, Port, Value, values};
use spp_wgpu::{Error, Tensor};

/// How an ONNX file is read.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Reading {
    /// Of an ONNX file: sizes of symbolic dimensions by name, height=480, or all dimensions of an input, images=1x3x480x640
    #[arg(long, value_name = "NAME=SIZE", value_delimiter = ',', value_parser = size)]
    pub(crate) size: Vec<(String, Vec<u32>)>,
    /// Of an ONNX file: images per run [default: the file's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) images_per_run: Option<u32>,
    /// Of an ONNX file: the tensors to compute, in place of its outputs; what leads to none of them is left out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) stop_at: Vec<String>,
}

fn size(text: &str) -> Result<(String, Vec<u32>), String> {
    let (name, sizes) = text.split_once('=').ok_or("needs NAME=SIZE, such as height=480 or images=1x3x480x640")?;
    let sizes = sizes.split('x').map(str::parse).collect::<Result<Vec<u32>, _>>();
    let sizes = sizes.map_err(|error| format!("'{text}': {error}"))?;
    if sizes.contains(&0) { Err("a size must be at least 1".into()) } else { Ok((name.into(), sizes)) }
}

impl Reading {
    /// Whether any of it is given.
    pub(crate) const fn is_given(&self) -> bool {
        !self.size.is_empty() || self.images_per_run.is_some() || !self.stop_at.is_empty()
    }

    /// One number is a dimension's size, several are an input's. Errors: a name that is given twice.
    pub(crate) fn options(&self) -> Result<Options, Error> {
        let mut options = Options { batch: self.images_per_run, outputs: self.stop_at.clone(), ..Options::default() };
        for (name, sizes) in &self.size {
            let is_new = match sizes.as_slice() {
                &[size] => options.sizes.insert(name.clone(), size).is_none(),
                sizes => options.inputs.insert(name.clone(), sizes.to_vec()).is_none(),
            };
            if !is_new {
                let (op, reason) = ("the ONNX model".into(), "is given twice".into());
                return Err(Error::InvalidParam { op, param: "size", value: name.clone(), reason });
            }
        }
        Ok(options)
    }
}

/// Whether a path is that of an ONNX file.
pub(crate) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

/// The tensors of a file by the names of inputs or outputs: `x`, or `in.x` where a file holds both.
pub(crate) fn named(path: &Path, prefix: &str) -> Result<BTreeMap<String, Value>, Error> {
    let all = values(path)?;
    let strip = |(name, value): (&String, &Value)| Some((name.strip_prefix(prefix)?.to_string(), value.clone()));
    let prefixed: BTreeMap<String, Value> = all.iter().filter_map(strip).collect();
    Ok(if prefixed.is_empty() { all } else { prefixed })
}

/// A model for these inputs, and what to feed it.
pub(crate) fn model_for(
    path: &Path,
    inputs: &BTreeMap<String, Value>,
    reading: &Reading,
) -> Result<(Model, Vec<Tensor>), Error> {
    let mut options = reading.options()?;
    options.values = inputs.clone();
    let model = Model::load(path, &options)?;
    let tensors = tensors(&model, inputs)?;
    Ok((model, tensors))
}

/// What to feed a model. Errors: an input that is not there.
pub(crate) fn tensors(model: &Model, inputs: &BTreeMap<String, Value>) -> Result<Vec<Tensor>, Error> {
    let tensor = |(port, (_, node)): (&Port, (_, &spp_wgpu::Node))| {
        let Some(value) = inputs.get(&port.name) else {
            let names: Vec<&str> = inputs.keys().map(String::as_str).collect();
            let reason = format!("lacks a tensor for input '{}'; it has {}", port.name, names.join(", "));
            return Err(Error::InvalidData { what: "the file of inputs".into(), reason });
        };
        let floats = value.elements.to_floats();
        let is_whole = port.element == ElementType::Float || floats.iter().all(|value| value.fract() == 0.0);
        if !is_whole {
            let reason = format!("holds numbers for input '{}' that are not whole, as it takes", port.name);
            return Err(Error::InvalidData { what: "the file of inputs".into(), reason });
        }
        Tensor::new(node.shape, floats)
    };
    model.inputs.iter().zip(model.graph.inputs()).map(tensor).collect()
}

/// Results as the file's types and dimensions have them.
pub(crate) fn outputs(model: &Model, results: &[Tensor]) -> BTreeMap<String, Value> {
    let value = |(port, result): (&Port, &Tensor)| {
        let elements = Elements::of(port.element, result.data());
        (port.name.clone(), Value { dims: port.dims.clone(), elements })
    };
    model.outputs.iter().zip(results).map(value).collect()
}
