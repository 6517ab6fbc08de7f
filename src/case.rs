//! What to check against: case files, which describe themselves, and the shapes of the published models.

use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::blocks;
use crate::error::{Error, Result, unknown};
use crate::graph::Graph;
use crate::tensor::{Shape, Tensor};
use crate::weights::Weights;
use crate::weights::random::Random;

/// For whoever takes a weights file for a case.
const OWN: &str = "Those run with `spp run --block NAME --args JSON --weights FILE --input FILE`";

/// A block with weights, an input and the correct outputs for it. In the file: metadata `block` and `args`
/// (JSON), tensors `input`, `output` or `output.*`, and `weights.<state_dict key>`.
#[derive(Clone, Debug)]
pub struct Case {
    /// One of [`blocks::NAMES`].
    pub block: String,
    /// The constructor's arguments.
    pub args: Value,
    /// `[n, c, h, w]`
    pub input: Tensor,
    /// Name, dimensions in the file, and values as the graph's output of that name has them.
    pub outputs: Vec<(String, Vec<u32>, Tensor)>,
    weights: Weights,
}

impl Case {
    /// Reads a case file. Errors: [`Error::File`] if it is not a safetensors file, lacks a part of a case, or holds a
    /// tensor that is not part of a case or whose rank fits no output.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(Weights::open(path)?).map_err(|e| match e {
            Error::File { .. } => e,
            other => Error::File { path: path.into(), reason: other.to_string() },
        })
    }

    fn new(weights: Weights) -> Result<Self> {
        let metadata = |key: &str| {
            let text = weights.metadata(key).map(String::from);
            text.ok_or_else(|| Error::data("case", format!("metadata '{key}' is missing; is it a weights file? {OWN}")))
        };
        let block = metadata("block")?;
        let args = blocks::args(&metadata("args")?)?;
        let mut input = None;
        let mut outputs = Vec::new();
        for key in weights.keys().filter(|key| !key.starts_with("weights.")) {
            if key != "input" && key != "output" && !key.starts_with("output.") {
                return Err(Error::data(
                    format!("tensor '{key}'"),
                    format!("is not part of a case; is it a weights file? {OWN}"),
                ));
            }
            let (dims, values) = weights.tensor(key)?;
            let tensor = Tensor::new(shape(key, &dims)?, values)?;
            match key {
                "input" => input = Some(tensor),
                _ => outputs.push((key.to_string(), dims, tensor)),
            }
        }
        let (Some(input), false) = (input, outputs.is_empty()) else {
            return Err(Error::data("case", "needs the tensors 'input' and 'output' (or 'output.*')"));
        };
        Ok(Self { block, args, input, outputs, weights })
    }

    /// The graph that should compute the outputs. Errors as [`blocks::build`].
    pub fn graph(&self) -> Result<Graph> {
        blocks::build(&self.block, &self.args, self.input.shape(), &self.weights.scope("weights").named(""))
    }
}

/// `[n, c]` are vectors, `[n, rows, width]` score rows as [`crate::ops::Layout`] makes them.
fn shape(key: &str, dims: &[u32]) -> Result<Shape> {
    match *dims {
        [n, c] => Ok(Shape::new(n, c, 1, 1)),
        [n, rows, width] => Ok(Shape::new(n, rows, 1, width)),
        [n, c, h, w] => Ok(Shape::new(n, c, h, w)),
        _ => Err(Error::data(format!("tensor '{key}'"), format!("has {} dimensions, not 2, 3 or 4", dims.len()))),
    }
}

/// Writes tensors (key, dimensions, values) as a safetensors file: to a temporary file beside it first, so that no half
/// of a file is left. Errors: values that do not fill their dimensions, a file that exists when `force` is not
/// given, and whatever the file system refuses.
pub fn save_tensors(path: impl AsRef<Path>, tensors: &[(String, Vec<u32>, &[f32])], force: bool) -> Result<()> {
    let path = path.as_ref();
    let file = |reason: String| Error::File { path: path.into(), reason };
    if path.file_name().is_none() {
        return Err(file("is not a file name".into()));
    }
    if path.is_dir() {
        return Err(file("is a directory".into()));
    }
    if !force && path.symlink_metadata().is_ok() {
        return Err(file("already exists; overwriting it needs `force`".into()));
    }
    let bytes = serialized(tensors).map_err(|e| file(e.to_string()))?;
    write_whole(path, &bytes).map_err(|e| file(e.to_string()))
}

/// Writes a file under a temporary name beside it, then renames it: nobody ever reads half of it. Errors: what the file
/// system refuses.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = std::ffi::OsString::from(".");
    beside.push(path.file_name().unwrap_or_default());
    beside.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(beside);
    let written = fs::File::create_new(&temporary).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // What went wrong first is what to report.
        let _ = fs::remove_file(&temporary);
    })
}

fn serialized(tensors: &[(String, Vec<u32>, &[f32])]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(tensors.len());
    for (key, dims, values) in tensors {
        let len = dims.iter().try_fold(1u64, |len, &dim| len.checked_mul(u64::from(dim)));
        if len != Some(values.len() as u64) {
            let reason = format!("{dims:?} is not the shape of {} values", values.len());
            return Err(Error::data(format!("tensor '{key}'"), reason));
        }
        bytes.push(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    }
    let bad = |e: safetensors::SafeTensorError| Error::data("safetensors", e.to_string());
    let mut views = Vec::with_capacity(tensors.len());
    for ((key, dims, _), bytes) in tensors.iter().zip(&bytes) {
        let dims = dims.iter().map(|&dim| dim as usize).collect();
        views.push((key, TensorView::new(Dtype::F32, dims, bytes).map_err(bad)?));
    }
    safetensors::serialize(views, None).map_err(bad)
}

/// A block at the shape it has in a published model.
#[derive(Clone, Debug)]
pub struct Canonical {
    /// Such as `sppf_v5l`.
    pub name: String,
    /// One of [`blocks::NAMES`].
    pub block: String,
    /// The constructor's arguments.
    pub args: Value,
    /// The input's shape.
    pub shape: Shape,
    /// The model and its input size.
    pub source: String,
}

impl Canonical {
    /// The block with weights drawn from `seed`. Errors as [`blocks::build`].
    pub fn graph(&self, seed: u64) -> Result<Graph> {
        blocks::build(&self.block, &self.args, self.shape, &Weights::seeded(seed).scope(""))
    }

    /// An input drawn from `seed`: mean 0, variance 1. Errors as [`Tensor::new`].
    pub fn input(&self, seed: u64) -> Result<Tensor> {
        let shape = self.shape.check(&self.name)?;
        let mut random = Random::new(seed, "input");
        Tensor::new(shape, (0..shape.len()).map(|_| random.normal() as f32).collect())
    }
}

/// Every block of the family at the shapes of the models it comes from. Errors: none that could occur in a release.
pub fn canonical() -> Result<Vec<Canonical>> {
    let bad = |reason: String| Error::data("canonical.json", reason);
    let rows: Vec<Value> =
        serde_json::from_str(include_str!("../assets/canonical.json")).map_err(|e| bad(e.to_string()))?;
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().map(String::from);
        let extent = |i: usize| row["shape"][i].as_u64().and_then(|extent| extent.try_into().ok());
        Some(Canonical {
            name: text("name")?,
            block: text("block")?,
            args: row["args"].clone(),
            shape: Shape::new(extent(0)?, extent(1)?, extent(2)?, extent(3)?),
            source: text("source")?,
        })
    };
    rows.iter().map(|value| row(value).ok_or_else(|| bad(value.to_string()))).collect()
}

/// The row of [`canonical`] with this name. Errors: there is no such row; those of the block, or those that begin
/// so, or the nearest, are suggested.
pub fn canonical_row(name: &str) -> Result<Canonical> {
    let mut rows = canonical()?;
    match rows.iter().position(|row| row.name == name) {
        Some(index) => Ok(rows.swap_remove(index)),
        None => {
            let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            let of_block = rows.iter().filter(|row| row.block == name).map(|row| row.name.as_str());
            let mut meant: Vec<&str> = of_block.collect();
            if meant.is_empty() && !name.is_empty() {
                meant = names.iter().copied().filter(|known| known.starts_with(name)).collect();
            }
            let reason = match &meant[..] {
                [] => unknown(name, &names),
                meant => format!("is not a whole name; those that fit: {}", meant.join(", ")),
            };
            Err(Error::param("published shape", "name", name, &reason))
        }
    }
}
