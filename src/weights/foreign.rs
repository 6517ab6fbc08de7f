//! Files that people take for safetensors: what they are, and how to convert them.

use std::path::Path;

use serde_json::Value;

/// What is said of a file that is not a sound safetensors file, if it is of a known other kind.
/// Commands name the file at `path`.
pub(super) fn recognised(bytes: &[u8], path: Option<&Path>) -> Option<String> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
    let start = start.trim_start_matches('\u{feff}').trim_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if let Some(first) = first_in_archive(bytes) {
        let of_numpy = first.ends_with(b".npy");
        return Some(if of_numpy {
            let remedy = command(FROM_NUMPY, path);
            format!("is an archive of NumPy, .npz, not safetensors; convert it: {remedy}")
        } else {
            pickle("a zip archive as torch.save writes it", path)
        });
    }
    // The protocol's number, then a first opcode: a length of a header would have zeros there.
    if let [0x80, 2..=5, opcode, ..] = bytes
        && *opcode != 0
    {
        return Some(pickle("a pickle, as old versions of torch.save write it", path));
    }
    if begins("version https://git-lfs.github.com") {
        return Some("is a pointer of git LFS, not the file it stands for; `git lfs pull` fetches that".into());
    }
    if ["<!doctype html", "<html"].into_iter().any(begins) {
        let remedy = "download the file itself; on Hugging Face its address has /resolve/ instead of /blob/";
        return Some(format!("is a web page, perhaps of a site that wanted a login or found nothing; {remedy}"));
    }
    // As the length of a header, the first two are beyond what is read; a brace would follow the third.
    match bytes {
        [0x08, 1..=0x1f, 0x12, 1..=0xff, ..] => {
            return Some(
                "is an ONNX model, not safetensors; save the state_dict of the model it was exported from".into(),
            );
        }
        [0x89, b'H', b'D', b'F', ..] => {
            return Some("is an HDF5 file, not safetensors; save its tensors in the keys and order of PyTorch".into());
        }
        [0x1f, 0x8b, 0x08, _, _, _, _, _, next, ..] if *next != b'{' => {
            return Some(
                "is compressed by gzip, not safetensors; unpack it (gunzip, tar xzf) and give what it holds".into(),
            );
        }
        _ => {}
    }
    index(bytes, path).or_else(|| text(bytes))
}

/// The name of the first file in a zip archive.
fn first_in_archive(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.strip_prefix(b"PK\x03\x04")?;
    let length = header.get(22..24)?;
    header.get(26..)?.get(..usize::from(u16::from_le_bytes([length[0], length[1]])))
}

const FROM_PICKLE: &str = "import sys, torch, safetensors.torch as s; \
    m = torch.load(sys.argv[1], 'cpu', weights_only=False); \
    m = next((m[k] for k in ('model', 'ema', 'state_dict') if m.get(k) is not None), m) if isinstance(m, dict) else m; \
    m = m.float().state_dict() if hasattr(m, 'state_dict') else m; \
    s.save_file({k: v.clone().contiguous() for k, v in m.items() if torch.is_tensor(v)}, sys.argv[2])";

const FROM_NUMPY: &str = "import sys, numpy, safetensors.numpy as s; \
    s.save_file({k: numpy.ascontiguousarray(v) for k, v in numpy.load(sys.argv[1]).items()}, sys.argv[2])";

const FROM_INDEX: &str = "import json, os, sys, safetensors.torch as s; \
    s.save_file({k: v for f in set(json.load(open(sys.argv[1]))['weight_map'].values()) \
    for k, v in s.load_file(os.path.join(os.path.dirname(sys.argv[1]), f)).items()}, sys.argv[2])";

/// What runs this program on the file, if its name needs no escapes in a shell.
fn command(program: &str, path: Option<&Path>) -> String {
    let plain = |name: &&str| !name.contains(['"', '$', '`', '!', '%']);
    let given =
        path.and_then(|path| Some((path.to_str().filter(plain)?, path.with_extension("converted.safetensors"))));
    let (from, to) = given.unwrap_or(("IN", "OUT.safetensors".into()));
    format!("python -c \"{program}\" \"{from}\" \"{}\"", to.display())
}

fn pickle(what: &str, path: Option<&Path>) -> String {
    format!(
        "is {what}, not safetensors; a pickle may run any code, so convert one only if you trust its author; if it holds \
         whole modules, Python must find the package they come from (ultralytics, or the model's repository on \
         PYTHONPATH): {}",
        command(FROM_PICKLE, path)
    )
}

/// The index of a model in other files, by its `weight_map` from keys to files.
fn index(bytes: &[u8], path: Option<&Path>) -> Option<String> {
    let index: Value = serde_json::from_slice(bytes).ok()?;
    let mut files: Vec<&str> = index.get("weight_map")?.as_object()?.values().filter_map(Value::as_str).collect();
    files.sort_unstable();
    files.dedup();
    let some = files.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    Some(format!(
        "is the index of a model whose tensors are in {some}{}, not safetensors; give the file that holds the block, or \
         put all into one: {}",
        if files.len() > 3 { ", …" } else { "" },
        command(FROM_INDEX, path),
    ))
}

/// How a file of nothing but text begins; a safetensors file has zeros among its first bytes.
fn text(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(512)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut off at the end.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let first: String = text.trim().lines().next()?.chars().take(80).collect();
    Some(format!("is text, not safetensors; it begins '{first}'"))
}
