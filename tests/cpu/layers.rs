//! Each module of the library uses only those above it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Names that stand together may use each other.
const LAYERS: &[&[&str]] = &[
    &["error", "tensor"],
    &["ops"],
    &["graph"],
    &["weights"],
    &["blocks"],
    &["reference"],
    &["detection"],
    &["case"],
    &["onnx"],
    &["plan"],
    &["kernels"],
    &["passes"],
    &["gpu"],
    &["bench"],
];

/// Modules that must not know each other, although one stands above the other.
const STRANGERS: &[[&str; 2]] = &[["plan", "reference"], ["kernels", "reference"], ["passes", "reference"]];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

/// The modules that code names behind `crate::`, comments aside.
fn used(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let ends = |c: char| !c.is_alphanumeric() && c != '_';
    // Two steps up from a file lead out of its module.
    let paths = |line| ["crate::", "super::super::"].into_iter().flat_map(move |root| str::split(line, root).skip(1));
    lines.flat_map(paths).map(move |rest| rest.split(ends).next().unwrap())
}

/// What is wrong with the code of one module, a sentence each.
fn faults(module: &str, code: &str) -> Vec<String> {
    let place = layer(module);
    let is_above = |other: &str| layer(other) <= place && !STRANGERS.contains(&[module, other]);
    used(code)
        .filter(|other| place.is_none() || layer(other).is_none() || !is_above(other))
        .map(|other| format!("{module} uses {other}"))
        .collect()
}

/// The code of every module without its tests, but for the page of the library and the command line.
fn modules() -> BTreeMap<String, String> {
    fn collect(path: &Path, files: &mut Vec<PathBuf>) {
        if path.is_file() {
            return files.push(path.into());
        }
        fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), files));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let module = file.strip_prefix(&source).unwrap().iter().next().unwrap().to_string_lossy();
        let code = fs::read_to_string(&file).unwrap();
        // A file's tests are its last part; the next file's code follows.
        let code = code.split("#[cfg(test)]").next().unwrap();
        *modules.entry(module.trim_end_matches(".rs").into()).or_default() += code;
    }
    modules.retain(|module, _| !["bin", "lib"].contains(&module.as_str()));
    modules
}

#[test]
fn each_module_uses_only_those_above_it() {
    let modules = modules();
    assert_eq!(modules.len(), LAYERS.concat().len(), "{:?}", modules.keys());
    let faults: Vec<String> = modules.iter().flat_map(|(module, code)| faults(module, code)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_use_of_a_module_below_is_found() {
    assert_eq!(faults("ops", "use crate::plan::Step;"), ["ops uses plan"]);
    assert_eq!(faults("passes", "fn f() -> crate::reference::Values {}"), ["passes uses reference"]);
    assert_eq!(faults("ops", "use super::super::plan;"), ["ops uses plan"]);
    assert_eq!(faults("gpu", "use crate::Shape;"), ["gpu uses Shape"], "by the module that has it");
    assert_eq!(faults("unlisted", "use crate::error::Error;"), ["unlisted uses error"]);
    assert_eq!(faults("error", "use crate::tensor::Shape;\n/// [`crate::gpu`]\n// crate::plan"), [""; 0]);
}
