//! Named tensors: a PyTorch `state_dict` in a [safetensors](https://github.com/huggingface/safetensors) file.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result, distance};
use crate::tensor::MAX_ELEMENTS;

mod foreign;
pub(crate) mod random;
mod scope;
pub(crate) mod unique;

pub(crate) use scope::BATCH_NORM;
pub use scope::Scope;

/// The longest header that is read: room for 100 000 tensors.
const MAX_HEADER: u64 = 16 << 20;

/// What PyTorch's wrappers put into keys: `DataParallel`, `torch.compile`, FSDP and activation checkpointing.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The tensors of a file, as raw bytes; only those that are asked for become `f32`.
/// `f16`, `bf16` and `f64` are converted, other types refused. A key is found as it stands in the file, and also with or
/// without the parts that wrappers add (`module`, `_orig_mod`, …), if only one key of the file is then meant.
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
    /// Keys of entries, by what is left of them without wrappers.
    bare: HashMap<String, Vec<String>>,
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
    /// sound safetensors file; if it is a pickle, an archive of NumPy or something else that weights come as, the text
    /// says how to convert it.
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
        Self::of_file(bytes, Some(path)).map_err(|e| match e {
            Error::InvalidData { reason, .. } => file(reason),
            other => other,
        })
    }

    /// Takes the bytes of a safetensors file. Errors: [`Error::InvalidData`] if the header is cut off, over 16 MiB, not
    /// JSON or names a key twice; if a tensor's type, shape and bytes do not agree; if tensors overlap, leave holes or
    /// do not end where the file does.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::of_file(bytes, None)
    }

    fn of_file(bytes: Vec<u8>, path: Option<&Path>) -> Result<Self> {
        match Self::read(&bytes) {
            Ok((entries, metadata)) => Ok(Self::of(bytes, entries, metadata)),
            // Only now: a sound file may begin as others do.
            Err(error) => Err(foreign::recognised(&bytes, path).map_or(error, bad)),
        }
    }

    fn read(bytes: &[u8]) -> Result<(BTreeMap<String, Entry>, HashMap<String, String>)> {
        let (header, start) = header(bytes)?;
        let parsed: Metadata = unique::from_str(header).map_err(|e| bad(format!("header: {e}")))?;
        let infos = parsed.tensors();
        // Not left to the reader of `safetensors`, whose sum of offsets can overflow.
        let (promised, present) = (parsed.data_len(), bytes.len() - start);
        if promised != present {
            return Err(bad(format!("the header promises {promised} bytes of data, the file has {present}")));
        }
        let entry = |(key, info): (String, &safetensors::tensor::TensorInfo)| {
            let (from, to) = info.data_offsets;
            (key, Entry { dtype: info.dtype, dims: info.shape.clone(), range: start + from..start + to })
        };
        let entries = infos.into_iter().map(entry).collect();
        Ok((entries, parsed.metadata().clone().unwrap_or_default()))
    }

    fn of(bytes: Vec<u8>, entries: BTreeMap<String, Entry>, metadata: HashMap<String, String>) -> Self {
        let mut bare: HashMap<String, Vec<String>> = HashMap::new();
        for key in entries.keys() {
            bare.entry(without_wrappers(key)).or_default().push(key.clone());
        }
        Self { bytes, entries, bare, metadata, seed: None }
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
        Ok(Self::of(bytes, entries, HashMap::new()))
    }

    /// No file: every tensor a block asks for is drawn from `seed` and its key, the same each time. Convolutions keep
    /// activations at unit scale, and normalisations are not the identity, so that errors show.
    pub fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed), ..Self::of(Vec::new(), BTreeMap::new(), HashMap::new()) }
    }

    /// With `to` in the place of `from`, a run of whole parts of keys, wherever it stands: `("conv1", "cv1")` makes
    /// `neck.cv1.bn.weight` of `neck.conv1.bn.weight`, and leaves `conv10` alone; an empty `to` removes the parts.
    /// As with prefixes, a last dot may be there or not.
    /// Errors: an empty `from`, or one that no key has; keys that become equal or empty.
    pub fn renamed(self, from: &str, to: &str) -> Result<Self> {
        let wrong = |reason: &str| Err(Error::data(format!("rename '{from}' to '{to}'"), reason));
        let [from, to] = [from, to].map(|text| text.strip_suffix('.').unwrap_or(text));
        if from.is_empty() {
            return wrong("says no part of a key to replace");
        }
        let [from_parts, to_parts] = [from, to].map(|text| text.split('.').collect::<Vec<_>>());
        let to_parts = if to.is_empty() { &[][..] } else { &to_parts };
        let (mut entries, mut found) = (BTreeMap::new(), false);
        for (key, entry) in self.entries {
            let parts: Vec<&str> = key.split('.').collect();
            let (mut new, mut rest) = (Vec::new(), &parts[..]);
            while let Some((first, others)) = rest.split_first() {
                if let Some(after) = rest.strip_prefix(&from_parts[..]) {
                    new.extend_from_slice(to_parts);
                    (found, rest) = (true, after);
                } else {
                    new.push(first);
                    rest = others;
                }
            }
            let new = new.join(".");
            if new.is_empty() {
                return wrong(&format!("leaves nothing of the key '{key}'"));
            }
            if entries.insert(new.clone(), entry).is_some() {
                return wrong(&format!("makes two keys equal: '{new}'"));
            }
        }
        if !found {
            let nearest = nearest(entries.keys(), |key| distance(key, from));
            return wrong(&format!("no key has these parts; the nearest: {}", nearest.join(", ")));
        }
        Ok(Self { seed: self.seed, ..Self::of(self.bytes, entries, self.metadata) })
    }

    /// All keys as they stand in the file, sorted; none for [`Weights::seeded`].
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// An entry of the file's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Dimensions and values of one tensor, whatever its shape. Errors: no such key, or several that differ by
    /// wrappers only; a type other than `f32`, `f64`, `f16` and `bf16`; more elements or a larger extent than 32-bit
    /// indices hold.
    pub fn tensor(&self, key: &str) -> Result<(Vec<u32>, Vec<f32>)> {
        let what = format!("tensor '{key}'");
        let entry = match self.find(key, |_| true)[..] {
            [(_, entry)] => entry,
            [] => return Err(Error::data(what, "there is no such key")),
            [(a, _), (b, _), ..] => return Err(Error::data(what, format!("may be '{a}' or '{b}'"))),
        };
        let dims = entry.dims.iter().map(|&dim| u32::try_from(dim).ok()).collect::<Option<Vec<_>>>();
        let Some(dims) = dims.filter(|dims| len(dims).is_some_and(|len| len <= MAX_ELEMENTS)) else {
            return Err(Error::data(what, format!("{:?} is too large for 32-bit indices", entry.dims)));
        };
        let Some(values) = self.values(entry) else {
            return Err(Error::data(what, refusal(entry.dtype)));
        };
        Ok((dims, values))
    }

    /// The tensors whose keys begin with `prefix`, with or without its last dot; `""` is the whole file. If no key
    /// begins so as it stands in the file, those count that do so but for the parts that wrappers add.
    pub fn scope(&self, prefix: &str) -> Scope<'_> {
        Scope::new(self, prefix)
    }

    /// What `key` means: the entry with this very key, or else all that `counts` and that differ by wrappers only.
    fn find(&self, key: &str, counts: impl Fn(&str) -> bool) -> Vec<(&str, &Entry)> {
        if let Some((key, entry)) = self.entries.get_key_value(key) {
            return vec![(key, entry)];
        }
        let keys = self.bare.get(&without_wrappers(key)).into_iter().flatten();
        keys.filter(|key| counts(key)).filter_map(|key| Some((key.as_str(), self.entries.get(key)?))).collect()
    }

    /// `None` for types that are not converted.
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

/// `model.9.cv1.conv.weight` of `_orig_mod.module.model.9.cv1.conv.weight`.
fn without_wrappers(key: &str) -> String {
    key.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
}

/// The few keys that rank first; long ones are left out, since the ranks are distances.
fn nearest<'a, R: Ord>(keys: impl Iterator<Item = &'a String>, rank: impl Fn(&str) -> R) -> Vec<String> {
    let mut ranked: Vec<_> = keys.filter(|key| key.len() <= 256).map(|key| (rank(key), key)).collect();
    ranked.sort();
    ranked.into_iter().take(5).map(|(_, key)| key.clone()).collect()
}

/// Why a tensor's type is not converted.
fn refusal(dtype: Dtype) -> String {
    let name = dtype.to_string();
    if name.starts_with('F') {
        return format!("is {name}, which is not supported; save it as F32, F16 or BF16: tensor.to(torch.float16)");
    }
    format!("is {name}, but F32, F64, F16 or BF16 is needed")
}

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

/// Elements; `None` beyond 64 bits.
fn len(dims: &[u32]) -> Option<u64> {
    dims.iter().try_fold(1u64, |len, &dim| len.checked_mul(u64::from(dim)))
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
}
