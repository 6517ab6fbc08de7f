//! Tensors of any rank and type, from and to safetensors files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::array::{Array, Data, Kind};
use crate::error::{Error, Result};
use crate::tensor::MAX_HOST_BYTES;

/// A tensor as files of models have them.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Any number of dimensions.
    pub dims: Vec<u32>,
    /// Row-major.
    pub elements: Elements,
}

/// Numbers of one type.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named for what they hold")]
pub enum Elements {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
}

/// What the elements of an input or output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named for what they are")]
pub enum ElementType {
    Float,
    Int,
    Bool,
}

impl Elements {
    /// Numbers as a graph computes with them; truth is 1.
    pub fn to_floats(&self) -> Vec<f32> {
        match self {
            Self::Floats(values) => values.clone(),
            Self::Ints(values) => values.iter().map(|&value| value as f32).collect(),
            Self::Bools(values) => values.iter().map(|&value| f32::from(u8::from(value))).collect(),
        }
    }

    /// What a graph computed, as elements of a type.
    pub fn of(element: ElementType, values: &[f32]) -> Self {
        match element {
            ElementType::Float => Self::Floats(values.to_vec()),
            ElementType::Int => Self::Ints(values.iter().map(|&value| value.round_ties_even() as i64).collect()),
            ElementType::Bool => Self::Bools(values.iter().map(|&value| value != 0.0).collect()),
        }
    }
}

impl Value {
    pub(super) fn to_array(&self) -> Array {
        let dims: Vec<usize> = self.dims.iter().map(|&dim| dim as usize).collect();
        let (kind, data) = match &self.elements {
            Elements::Floats(values) => (Kind::F32, Data::F32(values.clone())),
            Elements::Ints(values) => (Kind::I64, Data::I64(values.clone())),
            Elements::Bools(values) => (Kind::Bool, Data::Bool(values.clone())),
        };
        Array { kind, dims, data }
    }
}

/// The tensors of a safetensors file of at most 2 GiB. Errors: [`Error::File`] for anything else, and for types that are
/// neither floats of 16 bits or more, integers nor truth values.
pub fn values(path: impl AsRef<Path>) -> Result<BTreeMap<String, Value>> {
    let path = path.as_ref();
    let bad = |reason: String| Error::File { path: path.into(), reason };
    let len = fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
    if len > MAX_HOST_BYTES {
        return Err(bad(format!("has {len} bytes, over {MAX_HOST_BYTES}")));
    }
    let bytes = fs::read(path).map_err(|error| bad(error.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(format!("is not a safetensors file: {error}")))?;
    let mut values = BTreeMap::new();
    for (name, tensor) in file.iter() {
        let Some(kind) = kind(tensor.dtype()) else {
            return Err(bad(format!("tensor '{name}' is of type {:?}", tensor.dtype())));
        };
        let beyond = |_| bad(format!("tensor '{name}' has the dimensions {:?}", tensor.shape()));
        let dims = tensor.shape().iter().map(|&dim| u32::try_from(dim)).collect::<Result<Vec<_>, _>>();
        let dims = dims.map_err(beyond)?;
        let count = tensor.data().len() / kind.bytes();
        let array = Array::read(kind, tensor.shape().to_vec(), count, &mut tensor.data());
        let elements = match array.map_err(|error| bad(error.to_string()))?.data {
            Data::F32(values) => Elements::Floats(values),
            Data::I64(values) => Elements::Ints(values),
            Data::Bool(values) => Elements::Bools(values),
        };
        values.insert(name.to_string(), Value { dims, elements });
    }
    Ok(values)
}

const fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::I16 => Kind::I16,
        Dtype::U16 => Kind::U16,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::I32 => Kind::I32,
        Dtype::U32 => Kind::U32,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        Dtype::I64 => Kind::I64,
        Dtype::U64 => Kind::U64,
        _ => return None,
    })
}

/// Writes tensors as a safetensors file, a whole one or none. Errors: [`Error::File`], also if it exists and `force` is
/// not set.
pub fn save_values(path: impl AsRef<Path>, values: &BTreeMap<String, Value>, force: bool) -> Result<()> {
    let path = path.as_ref();
    let bad = |reason: String| Error::File { path: path.into(), reason };
    if !force && path.symlink_metadata().is_ok() {
        return Err(bad("already exists; overwriting it needs `force`".into()));
    }
    let stored: Vec<(&String, Vec<usize>, Dtype, Vec<u8>)> = values
        .iter()
        .map(|(name, value)| {
            let dims = value.dims.iter().map(|&dim| dim as usize).collect();
            let (dtype, bytes) = match &value.elements {
                Elements::Floats(values) => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
                Elements::Ints(values) => (Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
                Elements::Bools(values) => (Dtype::BOOL, values.iter().map(|&value| value.into()).collect()),
            };
            (name, dims, dtype, bytes)
        })
        .collect();
    let views = stored.iter().map(|(name, dims, dtype, bytes)| {
        TensorView::new(*dtype, dims.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
    let bytes = safetensors::serialize(views, None).map_err(|error| bad(error.to_string()))?;
    crate::case::write_whole(path, &bytes).map_err(|error| bad(error.to_string()))
}
