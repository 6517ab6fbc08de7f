//! Named tensors: a PyTorch `state_dict` in a [safetensors](https://github.com/huggingface/safetensors) file.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};
use crate::tensor::MAX_ELEMENTS;

pub(crate) mod random;
mod scope;

pub use scope::Scope;

/// The longest header that is read: room for 100 000 tensors.
const MAX_HEADER: u64 = 16 << 20;

/// The tensors of a file, as raw bytes; only those that are asked for become `f32`.
/// `f16`, `bf16` and `f64` are converted, other types refused. A `module.` before every key is dropped.
///
/// ```no_run
/// use spp_wgpu::{Graph, Shape, blocks::Sppf, weights::Weights};
/// let weights = Weights::open("yolov5s.safetensors")?;
/// let mut graph = Graph::new();
/// let x = graph.input("x", Shape::new(1, 512, 20, 20))?;
/// let y = Sppf::new(512, 512).build(&mut graph, x, &weights.scope("model.9"))?;
/// graph.output("y", y)?;
/// # Ok::<(), spp_wgpu::Error>(())
/// ```
#[derive(Clone)]
pub struct Weights {
    bytes: Vec<u8>,
    entries: BTreeMap<String, Entry>,
    metadata: HashMap<String, String>,
    seed: Option<u64>,
}

#[derive(Clone)]
struct Entry {
    dtype: Dtype,
    dims: Vec<usize>,
    range: Range<usize>,
}

impl Weights {
    /// Reads a whole file. Errors: [`Error::File`] if it is missing, not a regular file, empty, unreadable or not a
    /// sound safetensors file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = |reason: String| Error::File { path: path.into(), reason };
        let metadata = std::fs::metadata(path).map_err(|e| file(e.to_string()))?;
        if metadata.is_dir() {
            return Err(file("is a directory, not a safetensors file".into()));
        }
        if !metadata.is_file() {
            return Err(file("is not a regular file".into()));
        }
        let bytes = std::fs::read(path).map_err(|e| file(e.to_string()))?;
        Self::from_bytes(bytes).map_err(|e| match e {
            Error::InvalidData { reason, .. } => file(reason),
            other => other,
        })
    }

    /// Takes the bytes of a safetensors file. Errors: [`Error::InvalidData`] if the header is cut off, over 16 MiB, not
    /// JSON or names a key twice; if a tensor's type, shape and bytes do not agree; if tensors overlap, leave holes or
    /// do not end where the file does.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let (header, start) = header(&bytes)?;
        let parsed: Metadata = serde_json::from_str(header).map_err(|e| bad(format!("header: {e}")))?;
        let infos = parsed.tensors();
        // The parser keeps the last of two equal keys.
        if offsets(header) > infos.len() {
            return Err(bad("header: a key is given twice"));
        }
        // Not left to the reader of `safetensors`, whose sum of offsets can overflow.
        let (promised, present) = (parsed.data_len(), bytes.len() - start);
        if promised != present {
            return Err(bad(format!("the header promises {promised} bytes of data, the file has {present}")));
        }
        let strip = if !infos.is_empty() && infos.keys().all(|key| key.starts_with(MODULE)) { MODULE.len() } else { 0 };
        let entry = |(key, info): (String, &safetensors::tensor::TensorInfo)| {
            let (from, to) = info.data_offsets;
            let entry = Entry { dtype: info.dtype, dims: info.shape.clone(), range: start + from..start + to };
            (key[strip..].to_string(), entry)
        };
        let entries = infos.into_iter().map(entry).collect();
        let metadata = parsed.metadata().clone().unwrap_or_default();
        Ok(Self { bytes, entries, metadata, seed: None })
    }

    /// Tensors made by the program: key, dimensions, values. Errors: a key given twice, values that do not fill the
    /// dimensions.
    pub fn from_tensors(tensors: impl IntoIterator<Item = (String, Vec<u32>, Vec<f32>)>) -> Result<Self> {
        let (mut bytes, mut entries) = (Vec::new(), BTreeMap::new());
        for (key, dims, values) in tensors {
            if len(&dims) != Some(values.len() as u64) {
                let reason = format!("{dims:?} is not the shape of {} values", values.len());
                return Err(Error::data(format!("tensor '{key}'"), reason));
            }
            let start = bytes.len();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let dims = dims.iter().map(|&dim| dim as usize).collect();
            let entry = Entry { dtype: Dtype::F32, dims, range: start..bytes.len() };
            if entries.insert(key.clone(), entry).is_some() {
                return Err(Error::data(format!("tensor '{key}'"), "is given twice"));
            }
        }
        Ok(Self { bytes, entries, metadata: HashMap::new(), seed: None })
    }

    /// No file: every tensor a block asks for is drawn from `seed` and its key, the same each time. Convolutions keep
    /// activations at unit scale, and normalisations are not the identity, so that errors show.
    pub fn seeded(seed: u64) -> Self {
        Self { bytes: Vec::new(), entries: BTreeMap::new(), metadata: HashMap::new(), seed: Some(seed) }
    }

    /// All keys, sorted; none for [`Weights::seeded`].
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// An entry of the file's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Dimensions and values of one tensor, whatever its shape. Errors: no such key; a type that is not a float; more
    /// elements or a larger extent than 32-bit indices hold.
    pub fn tensor(&self, key: &str) -> Result<(Vec<u32>, Vec<f32>)> {
        let what = format!("tensor '{key}'");
        let Some(entry) = self.entries.get(key) else {
            return Err(Error::data(what, "there is no such key"));
        };
        let dims = entry.dims.iter().map(|&dim| u32::try_from(dim).ok()).collect::<Option<Vec<_>>>();
        let Some(dims) = dims.filter(|dims| len(dims).is_some_and(|len| len <= MAX_ELEMENTS)) else {
            return Err(Error::data(what, format!("{:?} is too large for 32-bit indices", entry.dims)));
        };
        let Some(values) = self.values(entry) else {
            return Err(Error::data(what, format!("is {}, but a float type is needed", entry.dtype)));
        };
        Ok((dims, values))
    }

    /// The tensors whose keys begin with `prefix`, with or without its last dot; `""` is the whole file.
    pub fn scope(&self, prefix: &str) -> Scope<'_> {
        Scope::new(self, prefix)
    }

    /// `None` for types that are not floats.
    fn values(&self, entry: &Entry) -> Option<Vec<f32>> {
        let bytes = self.bytes.get(entry.range.clone())?;
        Some(match entry.dtype {
            Dtype::F32 => each(bytes, f32::from_le_bytes),
            Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => return None,
        })
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.entries.keys();
        f.debug_struct("Weights").field("seed", &self.seed).field("keys", &keys).finish_non_exhaustive()
    }
}

/// What `torch.nn.DataParallel` puts before every key.
const MODULE: &str = "module.";

fn bad(reason: impl Into<String>) -> Error {
    Error::data("safetensors", reason)
}

/// The header's text, and where the data begins.
fn header(bytes: &[u8]) -> Result<(&str, usize)> {
    if bytes.is_empty() {
        return Err(bad("the file is empty"));
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(bad("cut off: a safetensors file begins with the 8 bytes of its header's length"));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(bad(format!(
            "header of {length} bytes, over the limit of {MAX_HEADER}; is it a safetensors file?"
        )));
    }
    let Some(header) = rest.get(..length as usize) else {
        return Err(bad(format!("cut off: header of {length} bytes, but only {} follow", rest.len())));
    };
    let text = std::str::from_utf8(header).map_err(|e| bad(format!("header: {e}")))?;
    Ok((text, 8 + header.len()))
}

/// How many tensors the header describes, counting equal keys each: `"data_offsets": [`, which no JSON string can hold.
fn offsets(header: &str) -> usize {
    let opens = |rest: &str| rest.trim_start().strip_prefix(':').is_some_and(|rest| rest.trim_start().starts_with('['));
    header.split("\"data_offsets\"").skip(1).filter(|rest| opens(rest)).count()
}

/// Elements; `None` beyond 64 bits.
fn len(dims: &[u32]) -> Option<u64> {
    dims.iter().try_fold(1u64, |len, &dim| len.checked_mul(u64::from(dim)))
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
}
