//! Models of other frameworks, from [ONNX](https://onnx.ai) files.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::graph::{Graph, Node};
use crate::tensor::{MAX_HOST_BYTES, Tensor};
use crate::weights::random::Random;

mod array;
mod blocks;
mod convert;
mod file;
mod fold;
mod message;
mod values;

pub use blocks::Block;
pub use values::{ElementType, Elements, Value, save_values, values};

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The sizes of symbolic dimensions, by name, such as `height`.
    pub sizes: BTreeMap<String, u32>,
    /// The dimensions of inputs, by name, in place of the file's.
    pub inputs: BTreeMap<String, Vec<u32>>,
    /// The first dimension of every input, in place of the file's. Refused where a node would mix
    /// images, or leave some out.
    pub batch: Option<u32>,
    /// Values of inputs, by name. Dimensions that the file leaves open take their sizes. Operators that must know a value
    /// when the file is read, such as a shape, take it from here; the model is then right for this value only.
    pub values: BTreeMap<String, Value>,
    /// The tensors to compute, by name, in place of the file's outputs: those before a suppression, say. What leads to
    /// none of them is left out, supported or not.
    pub outputs: Vec<String>,
}

/// A model as a graph, and what the file calls its inputs and outputs.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it computes. Its inputs and outputs stand in the order of the file's.
    pub graph: Graph,
    /// The graph's inputs. Those that nothing reads are left out, as are those whose values are part of the graph.
    pub inputs: Vec<Port>,
    /// The graph's outputs.
    pub outputs: Vec<Port>,
    /// The nodes of the file that lead to outputs.
    pub nodes: Vec<ModelNode>,
    /// What the exporter noted, such as `names` of classes.
    pub metadata: BTreeMap<String, String>,
    /// The version of ONNX's operators.
    pub opset: i64,
    /// The exporter.
    pub producer: String,
}

/// A node of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelNode {
    /// Its name, or one made up where the file has none.
    pub name: String,
    /// The operator.
    pub op: String,
}

/// An input or output as the file describes it. Its values lie in the same order as those of the graph's tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, also in the graph.
    pub name: String,
    /// Any number of dimensions.
    pub dims: Vec<u32>,
    /// What the file takes its numbers for; the graph computes with floats.
    pub element: ElementType,
}

/// The graph of a file: see [`Model::load`].
pub fn load(path: impl AsRef<Path>, options: &Options) -> Result<Graph> {
    Model::load(path, options).map(|model| model.graph)
}

impl Model {
    /// Reads a file of at most 2 GiB. Its inputs take the sizes that it says, or those that are given. Nodes that lead to
    /// no output are left out.
    ///
    /// Errors: a file that cannot be read or is damaged ([`Error::File`]); every node that is not supported, all at once
    /// ([`Error::Model`]); dimensions that the file leaves open and nobody gives; operands that do not fit each other.
    pub fn load(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        convert::convert(file::read(path, MAX_HOST_BYTES)?, options).map_err(|error| match error {
            Error::InvalidData { what, reason } => {
                Error::File { path: path.into(), reason: format!("{what} {reason}") }
            }
            Error::InvalidParam { op, param, value, reason } if op == "the ONNX model" => {
                Error::InvalidParam { op: path.display().to_string(), param, value, reason }
            }
            error => error,
        })
    }

    /// Reads the bytes of a file; `folder` is where it may have data in other files. Errors: as [`Model::load`].
    pub fn from_bytes(bytes: &[u8], folder: Option<&Path>, options: &Options) -> Result<Self> {
        convert::convert(file::parse(bytes, folder, MAX_HOST_BYTES)?, options)
    }

    /// Inputs that are the same for the same seed: numbers from 0 to 1, or 0 where the file takes whole ones. Errors as
    /// [`Tensor::new`].
    pub fn random_inputs(&self, seed: u64) -> Result<Vec<Tensor>> {
        let input = |(port, (_, node)): (&Port, (_, &Node))| {
            let mut random = Random::new(seed, &port.name);
            let is_float = port.element == ElementType::Float;
            let values = (0..node.shape.len()).map(|_| if is_float { random.uniform() as f32 } else { 0.0 });
            Tensor::new(node.shape, values.collect())
        };
        self.inputs.iter().zip(self.graph.inputs()).map(input).collect()
    }
}
