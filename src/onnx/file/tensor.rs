//! The tensors of a file, and those whose values are in another.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use rten_onnx::onnx::{DataLocation, DataType};

use super::entry;
use crate::error::Result;
use crate::onnx::array::{Array, Data, Kind, sizes};
use crate::onnx::message::{Value, fields};

/// Its name, and its values or why there are none.
pub(super) fn read_tensor<'a>(message: &'a [u8], external: &mut External) -> Result<(&'a str, Result<Array, String>)> {
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
                let (key, value) = entry(value.bytes()?, Value::text)?;
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
        let fits = |given: usize, wanted: usize, unit: &str| {
            if given == wanted { Ok(()) } else { Err(format!("has {given} {unit}, but {dims:?} are {wanted}")) }
        };
        if let Some(mut raw) = self.raw {
            fits(raw.len(), len * kind.bytes(), "bytes")?;
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
        fits(data.len(), len, "values")?;
        Ok(Array { kind, dims, data })
    }
}

/// Where data outside the file may be, and how many bytes may still be read there.
pub(super) struct External<'a> {
    pub(super) folder: Option<&'a Path>,
    pub(super) left: u64,
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
