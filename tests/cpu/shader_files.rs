//! The files of shaders: their form, and their twins in Rust.
//!
//! A check says what faults it finds in what it is given. Each has a test that the project has none, and a control: one
//! mistake each, which it must find.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use spp_wgpu::plan::Step;
use spp_wgpu::{Op, kernels};

use crate::shaders::STEPS;

pub(crate) fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Among the faults is this.
pub(crate) fn assert_found(faults: &[String], fault: &str) {
    assert!(faults.iter().any(|found| found.contains(fault)), "found {faults:?}, not {fault:?}");
}

/// The stem of a `.wgsl` file, and its text.
type File = (String, String);

fn files(folder: &str) -> Vec<File> {
    let paths = fs::read_dir(at(folder)).unwrap().map(|file| file.unwrap().path());
    let wgsl = paths.filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    wgsl.map(|path| (path.file_stem().unwrap().to_string_lossy().into(), fs::read_to_string(&path).unwrap())).collect()
}

/// The shaders that compute: a folder's name comes before its files' stems.
fn computing() -> Vec<File> {
    let convs = files("shaders/conv").into_iter().map(|(stem, text)| (format!("conv_{stem}"), text));
    files("shaders").into_iter().chain(convs).collect()
}

/// What a file must not hold, and how it ends.
fn rules_broken(text: &str) -> Vec<String> {
    let banned = ["\t", "atomic", "override ", "enable "].into_iter().filter(|banned| text.contains(banned));
    let banned = banned.map(|banned| format!("{banned:?}"));
    let long = text.lines().filter(|line| line.chars().count() > 120).map(|line| format!("a long line: {line}"));
    let end = (!text.ends_with('\n') || text.ends_with("\n\n")).then(|| "its end is not one line end".into());
    banned.chain(long).chain(end).collect()
}

#[test]
fn files_keep_to_the_rules() {
    for (stem, text) in ["shaders", "shaders/conv", "shaders/peak", "shaders/shared"].into_iter().flat_map(files) {
        // Its atomics leave the same bits in any order.
        let text = if ["top_k", "y_halves", "y4_scalar_u8"].contains(&stem.as_str()) {
            text.replace("atomic", "")
        } else {
            text
        };
        assert_none(rules_broken(&text).into_iter().map(|fault| format!("{stem}: {fault}")));
    }
}

#[test]
fn broken_rules_are_found() {
    for (text, fault) in [
        ("\tlet a = 1;\n", r#""\t""#),
        ("var<workgroup> a: atomic<u32>;\n", "atomic"),
        ("override A: u32;\n", "override "),
        ("enable f16;\n", "enable "),
        (&format!("{}\n", "é".repeat(121)), "a long line"),
        ("// a", "end"),
        ("// a\n\n", "end"),
    ] {
        assert_found(&rules_broken(text), fault);
    }
    assert_none(rules_broken(&format!("{}\n", "é".repeat(120))));
}

/// The comment that a file starts with.
fn header(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| line.starts_with("//")).collect()
}

/// A header says what is computed and how it is dispatched.
fn header_lacks(text: &str) -> Vec<String> {
    let header = header(text);
    let says = |what: &str| header.iter().any(|line| line.contains(what));
    let made = says("One invocation makes") || says("workgroup makes");
    let needs = [(says("="), "no formula"), (made, "what is made by whom?"), (says("Dispatch: "), "no dispatch")];
    needs.into_iter().filter(|(there, _)| !there).map(|(_, fault)| fault.into()).collect()
}

/// A piece has a comment somewhere.
fn lacks_comment(text: &str) -> bool {
    !text.contains("// ")
}

#[test]
fn a_file_starts_with_what_it_computes_and_how_it_is_dispatched() {
    for (stem, text) in computing().into_iter().chain(files("shaders/peak")) {
        assert_none(header_lacks(&text).into_iter().map(|fault| format!("{stem}: {fault}")));
    }
    let without = files("shaders/shared").into_iter().filter(|(_, text)| lacks_comment(text));
    assert_none(without.map(|(stem, _)| format!("{stem}: not a word of comment")));
}

#[test]
fn headers_that_say_too_little_are_found() {
    for (text, fault) in [
        ("// A copy.\n// One invocation makes one value.\n// Dispatch: 1 workgroup.\n", "no formula"),
        ("// y = x.\n// Dispatch: 1 workgroup.\n", "by whom"),
        ("// y = x.\n// A workgroup makes one value.\n", "no dispatch"),
        ("// y = x.\n// A workgroup makes one value.\n\n// Dispatch: 1 workgroup.\n", "no dispatch"),
    ] {
        assert_found(&header_lacks(text), fault);
    }
    assert!(lacks_comment("alias Element = u32;\n"));
}

/// The names of what a step's source is put together from.
struct MadeOf<'a> {
    pieces: BTreeSet<&'a str>,
    constants: BTreeSet<&'a str>,
}

/// A header ends with the pieces and the constants of its shader's steps: those that each step has; `one of` several, of
/// which each has one; `with` a piece, those of each step that has the piece, or one of them.
fn misnamed(text: &str, steps: &[MadeOf]) -> Vec<String> {
    let lines: Vec<&str> = header(text).iter().map(|line| line.trim_start_matches('/').trim()).collect();
    let header = lines.join(" ");
    let end = header.split_once(" Pieces from shared/: ").and_then(|(_, end)| end.strip_suffix('.'));
    let (pieces, constants) = end.and_then(|end| end.split_once(". Constants from Rust: ")).unwrap_or_default();
    let mut faults = BTreeSet::new();
    for step in steps {
        for (list, has) in [(pieces, &step.pieces), (constants, &step.constants)] {
            let named = named(list, step);
            faults.extend(has.difference(&named).map(|name| format!("'{name}' is not named")));
            faults.extend(named.difference(has).map(|name| format!("'{name}' is named, but there is a step without")));
        }
    }
    let names = [pieces, constants].into_iter().flat_map(|list| list.split([' ', ',', ';', ':']));
    let names = names.filter(|name| !["", "one", "of", "with"].contains(name));
    let unused =
        names.filter(|name| !steps.iter().any(|step| step.pieces.contains(name) || step.constants.contains(name)));
    faults.extend(unused.map(|name| format!("'{name}' is named, but no step has it")));
    faults.into_iter().collect()
}

/// What a list says of a step. A choice of which the step has not just one stands for itself, which nothing is called.
fn named<'a>(list: &'a str, step: &MadeOf) -> BTreeSet<&'a str> {
    let mut named = BTreeSet::new();
    for group in list.split("; ").filter(|group| !group.is_empty()) {
        let with = group.strip_prefix("with ").and_then(|group| group.split_once(": "));
        if with.is_some_and(|(piece, _)| !step.pieces.contains(piece)) {
            continue;
        }
        let group = with.map_or(group, |(_, group)| group);
        if let Some(choice) = group.strip_prefix("one of ") {
            let mut taken = choice.split(", ").filter(|name| step.pieces.contains(name));
            named.insert(taken.next().filter(|_| taken.next().is_none()).unwrap_or(group));
        } else {
            named.extend(group.split(", "));
        }
    }
    named
}

#[test]
fn headers_name_the_pieces_and_constants_of_all_their_steps_and_no_others() {
    let mut shaders = BTreeMap::new();
    for step in STEPS.values() {
        let constants = step.constants.iter().map(|(name, _)| *name).collect();
        // Long steps have another piece in the place of this one.
        let named = |stem| if stem == "index_from" { "index" } else { stem };
        let made_of = MadeOf { pieces: step.all_pieces().map(|piece| named(piece.stem)).collect(), constants };
        shaders.entry(step.shader.stem).or_insert((step.shader.text, Vec::new())).1.push(made_of);
    }
    assert_none(shaders.into_iter().flat_map(|(stem, (text, steps))| {
        misnamed(text, &steps).into_iter().map(move |fault| format!("{stem}: {fault}"))
    }));
}

#[test]
fn headers_that_name_other_pieces_or_constants_are_found() {
    let steps =
        [(&["a", "b"][..], &["A"][..]), (&["a", "c", "d", "f"], &["A", "D"]), (&["a", "c", "d", "g"], &["A", "D"])];
    let set = |names: &[&'static str]| names.iter().copied().collect();
    let steps = steps.map(|(pieces, constants)| MadeOf { pieces: set(pieces), constants: set(constants) });
    let right = "// y = x.\n// Pieces from shared/: a; one of b, c;\n//   with c: d; with c: one of f, g.\n\
                 // Constants from Rust: A; with c: D.\n";
    assert_none(misnamed(right, &steps));
    for (from, to, fault) in [
        ("a; ", "", "'a' is not named"),
        ("a; ", "a, e; ", "'e' is named, but no step has it"),
        ("one of b, c", "one of b, c, e", "'e' is named, but no step has it"),
        ("one of b, c", "one of b, e", "'c' is not named"),
        ("one of b, c", "one of a, b, c", "'one of a, b, c' is named, but there is a step without"),
        ("one of b, c", "b, c", "'b' is named, but there is a step without"),
        ("with c: d", "with b: d", "'d' is not named"),
        ("with c: one of f, g", "with b: one of f, g", "'f' is not named"),
        ("with c: one of f, g", "with c: one of d, f, g", "'one of d, f, g' is named, but there is a step without"),
        ("with c: one of f, g", "with c: f, g", "'g' is named, but there is a step without"),
        ("with c: d", "with c: d; with e: d", "'e' is named, but no step has it"),
        ("with c: D", "D", "'D' is named, but there is a step without"),
        ("; with c: D", "", "'D' is not named"),
        ("A; ", "A, E; ", "'E' is named, but no step has it"),
        ("D.\n", "D.\n// More.\n", "'D' is not named"),
        ("// Constants", "\n// Constants", "'A' is not named"),
    ] {
        assert!(right.contains(from), "no {from:?} to edit");
        assert_found(&misnamed(&right.replacen(from, to, 1), &steps), fault);
    }
}

/// The names in one folder and not in the other, but for `only`, and those of `only` that are in both or none.
fn differing<'a>(a: &'a BTreeSet<String>, b: &'a BTreeSet<String>, only: &[&'a str]) -> Vec<String> {
    let differing: BTreeSet<&str> = a.symmetric_difference(b).map(String::as_str).collect();
    differing.symmetric_difference(&only.iter().copied().collect()).map(|name| name.to_string()).collect()
}

#[test]
fn folders_read_alike() {
    /// What a folder holds, without endings.
    fn names(folder: &str) -> BTreeSet<String> {
        let paths = fs::read_dir(at(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| path.file_stem().unwrap().to_string_lossy().into()).collect()
    }
    let pairs: [(_, _, &[&str]); 3] = [
        // Pieces, and what measures devices, are no kernels.
        ("src/kernels", "shaders", &["mod", "peak", "shared"]),
        ("src/kernels/conv", "shaders/conv", &["mod", "choice", "jobs", "parts", "tile"]),
        ("src/ops", "src/reference", &["strided", "weight", "window", "compare"]),
    ];
    for (a, b, only) in pairs {
        assert_none(differing(&names(a), &names(b), only).iter().map(|name| format!("{a}, {b}: {name}")));
    }
}

#[test]
fn folders_that_differ_are_found() {
    let [one, two] = [&["a"][..], &["a", "b"]].map(|names| names.iter().map(|name| name.to_string()).collect());
    assert_none(differing(&one, &two, &["b"]));
    assert_found(&differing(&one, &two, &[]), "b");
    assert_found(&differing(&two, &one, &[]), "b");
    assert_found(&differing(&one, &one, &["a"]), "a");
}

/// Shaders are listed once, by the names of their files and with their texts.
fn unlisted(files: &[File], listed: &[(&str, &str)]) -> Vec<String> {
    let there: BTreeMap<&str, &str> = files.iter().map(|(stem, text)| (stem.as_str(), text.as_str())).collect();
    let known: BTreeMap<&str, &str> = listed.iter().copied().collect();
    let names: BTreeSet<&str> = there.keys().chain(known.keys()).copied().collect();
    let fault = |stem: &str| match (there.get(stem), known.get(stem)) {
        (Some(_), None) => Some(format!("'{stem}' is not listed")),
        (None, _) => Some(format!("'{stem}' is listed, but no file")),
        (Some(a), Some(b)) => (a != b).then(|| format!("'{stem}' includes another file")),
    };
    let twice = (listed.len() != known.len()).then(|| "one is listed twice".into());
    names.into_iter().filter_map(fault).chain(twice).collect()
}

#[test]
fn every_shader_is_listed() {
    let listed: Vec<_> = kernels::SHADERS.iter().map(|shader| (shader.stem, shader.text)).collect();
    assert_none(unlisted(&computing(), &listed));
}

#[test]
fn shaders_that_are_not_listed_are_found() {
    let files = ["a", "b"].map(|stem| (stem.to_string(), format!("fn {stem}")));
    let (a, b) = (("a", "fn a"), ("b", "fn b"));
    assert_none(unlisted(&files, &[a, b]));
    assert_found(&unlisted(&files, &[a]), "'b' is not listed");
    assert_found(&unlisted(&files[..1], &[a, b]), "'b' is listed, but no file");
    assert_found(&unlisted(&files, &[a, ("b", "fn a")]), "'b' includes another file");
    assert_found(&unlisted(&files, &[a, b, a]), "one is listed twice");
}

/// Those without a file that tests them, which `main` declares; `read` reads a file, if there is one.
fn untested(stems: &BTreeSet<&str>, main: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let fault = |stem: &&str| {
        let twin = format!("tests/gpu/{stem}.rs");
        let Some(text) = read(&twin) else { return Some(format!("no {twin}")) };
        if !text.contains("#[test]") {
            return Some(format!("{twin} tests nothing"));
        }
        (!main.contains(&format!("\nmod {stem};"))).then(|| format!("tests/gpu/main.rs does not declare {stem}"))
    };
    stems.iter().filter_map(fault).collect()
}

#[test]
fn every_shader_and_every_operation_has_its_twin_among_the_tests() {
    let shaders = kernels::SHADERS;
    let stems = shaders.iter().map(|shader| shader.stem).chain(Op::STEMS.iter().copied()).collect();
    let read = |path: &str| fs::read_to_string(at(path)).ok();
    assert_none(untested(&stems, &read("tests/gpu/main.rs").unwrap(), read));
}

#[test]
fn missing_undeclared_and_empty_twins_are_found() {
    let (main, tested) = ("//! Tests.\nmod a;\n", "#[test]\nfn a() {}\n");
    let untested = |stem, main, text: &str| {
        untested(&BTreeSet::from([stem]), main, |path| (path == "tests/gpu/a.rs").then(|| text.into()))
    };
    assert_none(untested("a", main, tested));
    assert_found(&untested("a", main, "// later\n"), "tests/gpu/a.rs tests nothing");
    assert_found(&untested("a", "//! Tests.\nmod a_b;\n", tested), "does not declare a");
    assert_found(&untested("b", main, tested), "no tests/gpu/b.rs");
}

/// Files that no step is made of, and what steps are made of that is no file.
fn unused(files: &[File], used: &BTreeMap<&str, &str>) -> Vec<String> {
    let there: BTreeMap<&str, &str> = files.iter().map(|(stem, text)| (stem.as_str(), text.as_str())).collect();
    let fault = |(stem, text): (&&str, &&str)| (used.get(stem) != Some(text)).then(|| format!("'{stem}' is unused"));
    let unknown = used.keys().filter(|stem| !there.contains_key(*stem)).map(|stem| format!("'{stem}' is no file"));
    there.iter().filter_map(fault).chain(unknown).collect()
}

#[test]
fn no_shared_piece_is_unused() {
    let used = STEPS.values().flat_map(Step::all_pieces).map(|piece| (piece.stem, piece.text)).collect();
    assert_none(unused(&files("shaders/shared"), &used));
}

#[test]
fn no_shader_is_unused() {
    let used = STEPS.values().map(|step| (step.shader.stem, step.shader.text)).collect();
    assert_none(unused(&[computing(), files("shaders/peak")].concat(), &used));
}

#[test]
fn unused_files_are_found() {
    let files = ["a", "b"].map(|stem| (stem.to_string(), format!("fn {stem}")));
    let (a, b) = (("a", "fn a"), ("b", "fn b"));
    assert_none(unused(&files, &BTreeMap::from([a, b])));
    assert_found(&unused(&files, &BTreeMap::from([a])), "'b' is unused");
    assert_found(&unused(&files, &BTreeMap::from([a, ("b", "fn a")])), "'b' is unused");
    assert_found(&unused(&files[..1], &BTreeMap::from([a, b])), "'b' is no file");
}
