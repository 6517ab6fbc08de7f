//! Named tensors: a PyTorch `state_dict` in a [safetensors](https://github.com/huggingface/safetensors) file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result, distance};
use crate::ops::{Given, Recipe};
use crate::tensor::MAX_ELEMENTS;

mod foreign;
pub(crate) mod random;
mod scope;
pub(crate) mod unique;

pub(crate) use scope::BATCH_NORM;
use scope::Drawn;
pub use scope::Scope;

/// The longest header that is read: room for 100 000 tensors.
const MAX_HEADER: u64 = 16 << 20;

/// What PyTorch's wrappers put into keys: `DataParallel`, `torch.compile`, FSDP and activation checkpointing.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The tensors of a file, each of them once: graphs, programs and clones share them, and keep those they use. `f16`,
/// `bf16` and `f64` stay as they are, and are converted for whoever needs the values; other types are refused. A key is
/// found as it stands in the file, and also with or without the parts that wrappers add (`module`, `_orig_mod`, …), if
/// only one key of the file is then meant.
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
    entries: BTreeMap<String, Entry>,
    /// Keys of entries, by what is left of them without wrappers.
    bare: HashMap<String, Vec<String>>,
    metadata: HashMap<String, String>,
    seed: Option<Arc<Drawn>>,
}

#[derive(Clone)]
struct Entry {
    dtype: Dtype,
    dims: Vec<usize>,
    values: Arc<Stored>,
}

impl Entry {
    fn is_converted(&self) -> bool {
        matches!(self.dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)
    }
}

/// The values of a tensor as its file has them.
enum Stored {
    F32(Vec<f32>),
    Bytes(Vec<u8>, Dtype),
}

impl Stored {
    /// What the next `len` bytes hold.
    fn read(source: &mut impl Read, dtype: Dtype, len: usize) -> std::io::Result<Self> {
        if dtype != Dtype::F32 {
            let mut bytes = vec![0; len];
            source.read_exact(&mut bytes)?;
            return Ok(Self::Bytes(bytes, dtype));
        }
        let mut values = vec![0f32; len / size_of::<f32>()];
        source.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        // Files are little-endian.
        values.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
        Ok(Self::F32(values))
    }

    /// `None` for types that are not converted.
    fn values(&self) -> Option<Cow<'_, [f32]>> {
        Some(match self {
            Self::F32(values) => values.into(),
            Self::Bytes(bytes, Dtype::F64) => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::Bytes(bytes, Dtype::F16) => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bytes(bytes, Dtype::BF16) => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::Bytes(..) => return None,
        })
    }

    /// Empty for types that are not converted.
    fn to_vec(&self) -> Vec<f32> {
        self.values().unwrap_or_default().into_owned()
    }
}

impl Recipe<f32> for Given<Stored> {
    fn values(&self) -> Cow<'_, [f32]> {
        self.0.values().unwrap_or_default()
    }
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
        let opened = File::open(path).map_err(|e| file(e.to_string()))?;
        Self::read(opened, metadata.len()).map_err(|error| {
            // Only now: a sound file may begin as others do.
            let recognised = std::fs::read(path).ok().and_then(|bytes| foreign::recognised(&bytes, Some(path)));
            match error {
                Error::InvalidData { reason, .. } => file(recognised.unwrap_or(reason)),
                other => other,
            }
        })
    }

    /// Takes the bytes of a safetensors file. Errors: [`Error::InvalidData`] if the header is cut off, over 16 MiB, not
    /// JSON or names a key twice; if a tensor's type, shape and bytes do not agree; if tensors overlap, leave holes or
    /// do not end where the file does.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::read(&bytes[..], bytes.len() as u64).map_err(|error| foreign::recognised(&bytes, None).map_or(error, bad))
    }

    /// Reads a file of `len` bytes, each tensor to its place.
    fn read(mut source: impl Read, len: u64) -> Result<Self> {
        let (header, present) = header(&mut source, len)?;
        let parsed: Metadata = unique::from_str(&header).map_err(|e| bad(format!("header: {e}")))?;
        // Not left to the reader of `safetensors`, whose sum of offsets can overflow.
        let promised = parsed.data_len() as u64;
        if promised != present {
            return Err(bad(format!("the header promises {promised} bytes of data, the file has {present}")));
        }
        let mut infos: Vec<_> = parsed.tensors().into_iter().collect();
        // They follow each other without holes, which the header's reader has checked.
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let mut entries = BTreeMap::new();
        for (key, info) in infos {
            let (from, to) = info.data_offsets;
            let values = Stored::read(&mut source, info.dtype, to - from).map_err(|e| bad(e.to_string()))?;
            entries.insert(key, Entry { dtype: info.dtype, dims: info.shape.clone(), values: Arc::new(values) });
        }
        Ok(Self::of(entries, parsed.metadata().clone().unwrap_or_default()))
    }

    fn of(entries: BTreeMap<String, Entry>, metadata: HashMap<String, String>) -> Self {
        let mut bare: HashMap<String, Vec<String>> = HashMap::new();
        for key in entries.keys() {
            bare.entry(without_wrappers(key)).or_default().push(key.clone());
        }
        Self { entries, bare, metadata, seed: None }
    }

    /// Tensors made by the program: key, dimensions, values. Errors: a key given twice, values that do not fill the
    /// dimensions.
    pub fn from_tensors(tensors: impl IntoIterator<Item = (String, Vec<u32>, Vec<f32>)>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (key, dims, values) in tensors {
            if len(&dims) != Some(values.len() as u64) {
                let reason = format!("{dims:?} is not the shape of {} values", values.len());
                return Err(Error::data(format!("tensor '{key}'"), reason));
            }
            let dims = dims.iter().map(|&dim| dim as usize).collect();
            let entry = Entry { dtype: Dtype::F32, dims, values: Arc::new(Stored::F32(values)) };
            if entries.insert(key.clone(), entry).is_some() {
                return Err(Error::data(format!("tensor '{key}'"), "is given twice"));
            }
        }
        Ok(Self::of(entries, HashMap::new()))
    }

    /// No file: every tensor a block asks for is drawn from `seed` and its key, the same each time. Convolutions keep
    /// activations at unit scale, and normalisations are not the identity, so that errors show.
    pub fn seeded(seed: u64) -> Self {
        Self { seed: Some(Arc::new(Drawn::new(seed))), ..Self::of(BTreeMap::new(), HashMap::new()) }
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
        Ok(Self { seed: self.seed, ..Self::of(entries, self.metadata) })
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
        let Some(values) = entry.values.values() else {
            return Err(Error::data(what, refusal(entry.dtype)));
        };
        Ok((dims, values.into_owned()))
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
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.entries.keys();
        f.debug_struct("Weights")
            .field("seed", &self.seed.as_ref().map(|drawn| drawn.seed))
            .field("keys", &keys)
            .finish_non_exhaustive()
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

/// The header's text, and how many bytes of data follow.
fn header(source: &mut impl Read, len: u64) -> Result<(String, u64)> {
    if len == 0 {
        return Err(bad("the file is empty"));
    }
    let unreadable = |e: std::io::Error| bad(e.to_string());
    let mut length = [0; 8];
    let Some(rest) = len.checked_sub(length.len() as u64) else {
        return Err(bad("cut off: a safetensors file begins with the 8 bytes of its header's length"));
    };
    source.read_exact(&mut length).map_err(unreadable)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(bad(format!(
            "header of {length} bytes, over the limit of {MAX_HEADER}; is it a safetensors file?"
        )));
    }
    let Some(rest) = rest.checked_sub(length) else {
        return Err(bad(format!("cut off: header of {length} bytes, but only {rest} follow")));
    };
    let mut header = vec![0; length as usize];
    source.read_exact(&mut header).map_err(unreadable)?;
    let text = String::from_utf8(header).map_err(|e| bad(format!("header: {e}")))?;
    Ok((text, rest))
}

/// Elements; `None` beyond 64 bits.
fn len(dims: &[u32]) -> Option<u64> {
    dims.iter().try_fold(1u64, |len, &dim| len.checked_mul(u64::from(dim)))
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Cow<'_, [f32]> {
    bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
}
