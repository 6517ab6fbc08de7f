//! Files that people take for safetensors: what they are, and how to convert them.

use serde_json::Value;

/// What is said of a file that is not a sound safetensors file, if it is of a known other kind.
pub(super) fn recognised(bytes: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
    let start = start.trim_start_matches('\u{feff}').trim_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if let Some(first) = first_in_archive(bytes) {
        let of_numpy = first.ends_with(b".npy");
        return Some(if of_numpy {
            numpy("an archive of NumPy, .npz")
        } else {
            pickle("a zip archive as torch.save writes it")
        });
    }
    // The protocol's number, then a first opcode: a length of a header would have zeros there.
    if let [0x80, 2..=5, opcode, ..] = bytes
        && *opcode != 0
    {
        return Some(pickle("a pickle, as old versions of torch.save write it"));
    }
    if begins("version https://git-lfs.github.com") {
        return Some("is a pointer of git LFS, not the file it stands for; `git lfs pull` fetches that".into());
    }
    if ["<!doctype html", "<html"].into_iter().any(begins) {
        let remedy = "download the file itself; on Hugging Face its address has /resolve/ instead of /blob/";
        return Some(format!("is a web page, perhaps of a site that wanted a login or found nothing; {remedy}"));
    }
    if begins("{") { index(bytes) } else { None }
}

/// The name of the first file in a zip archive.
fn first_in_archive(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.strip_prefix(b"PK\x03\x04")?;
    let length = header.get(22..24)?;
    header.get(26..)?.get(..usize::from(u16::from_le_bytes([length[0], length[1]])))
}

fn pickle(what: &str) -> String {
    format!(
        "is {what}, not safetensors; a pickle may run any code, so convert one only if you trust its author: \
         python -c \"import torch, safetensors.torch as s; \
         m = torch.load('IN', 'cpu', weights_only=False); \
         m = (m.get('model') or m.get('state_dict') or m) if isinstance(m, dict) else m; \
         m = m.float().state_dict() if hasattr(m, 'state_dict') else m; \
         s.save_file({{k: v.clone().contiguous() for k, v in m.items()}}, 'OUT.safetensors')\""
    )
}

fn numpy(what: &str) -> String {
    format!(
        "is {what}, not safetensors; convert it: \
         python -c \"import numpy, safetensors.numpy as s; \
         s.save_file({{k: numpy.ascontiguousarray(v) for k, v in numpy.load('IN').items()}}, 'OUT.safetensors')\""
    )
}

/// The index of a model in several files, by its `weight_map` from keys to files.
fn index(bytes: &[u8]) -> Option<String> {
    let index: Value = serde_json::from_slice(bytes).ok()?;
    let mut files: Vec<&str> = index.get("weight_map")?.as_object()?.values().filter_map(Value::as_str).collect();
    files.sort_unstable();
    files.dedup();
    let some = files.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    Some(format!(
        "is the index of a model in {} files ({some}{}), not safetensors; give the file that holds the block, or join them: \
         python -c \"import json, safetensors.torch as s; \
         s.save_file({{k: v for f in set(json.load(open('IN'))['weight_map'].values()) \
         for k, v in s.load_file(f).items()}}, 'OUT.safetensors')\"",
        files.len(),
        if files.len() > 3 { ", …" } else { "" },
    ))
}
