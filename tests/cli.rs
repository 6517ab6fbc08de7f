//! The command line as a user meets it: exit codes, messages, files. Needs an adapter; a software one will do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use spp_wgpu::gpu::INSTALL_HINT;
use spp_wgpu::weights::Weights;

const SUBCOMMANDS: [&str; 12] = [
    "demo",
    "verify",
    "run",
    "bench",
    "compare",
    "profile",
    "peak",
    "devices",
    "graph",
    "completions",
    "detect",
    "segment",
];

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn spp(args: &[&str]) -> Ran {
    spp_with(args, &[])
}

fn spp_with(args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spp"));
    let output = command.args(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!ran.stderr.contains("panicked"), "{args:?}: {}", ran.stderr);
    ran
}

/// Fails with this code, and says each of these things on standard error and nothing on standard output.
#[track_caller]
fn fails(args: &[&str], code: i32, says: &[&str]) {
    let ran = spp(args);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{args:?}: {}", ran.stderr);
    for text in says {
        assert!(ran.stderr.contains(text), "{args:?} does not say '{text}': {}", ran.stderr);
    }
}

#[track_caller]
fn prints(args: &[&str]) -> String {
    let ran = spp(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
    ran.stdout
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    serde_json::from_str(&prints(args)).unwrap()
}

fn case(name: &str) -> String {
    format!("{}/tests/data/cases/{name}.safetensors", env!("CARGO_MANIFEST_DIR"))
}

/// An environment in which no driver is found.
fn no_adapter() -> [(&'static str, &'static str); 1] {
    if cfg!(target_os = "linux") { [("VK_DRIVER_FILES", "/nonexistent")] } else { [("WGPU_BACKEND", "gl")] }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_help_has_an_example_and_is_no_error() {
    for subcommand in SUBCOMMANDS {
        assert!(prints(&[subcommand, "--help"]).contains("Example: spp "), "{subcommand}");
    }
    let help = prints(&["--help"]);
    assert!(help.contains("Example") && SUBCOMMANDS.iter().all(|name| help.contains(name)), "{help}");
}

#[test]
fn a_wrong_name_is_a_usage_error_and_the_nearest_is_suggested() {
    fails(&["verfy"], 2, &["'verify'"]);
    fails(&[], 2, &["Usage"]);
    fails(&["graph", "sppf_v5z"], 2, &["sppf_v5z", "did you mean 'sppf_v5s'"]);
    fails(&["graph", "sppf"], 2, &["name = sppf: ", "fit: sppf_v5s, sppf_v5l, sppf_26l\n"]);
    fails(&["graph", "aspp_deeplabv2_"], 2, &["fit: aspp_deeplabv2_513\n"]);
    fails(&["verify", "sppf_v5s", "rfb_30"], 2, &["rfb_30", "fit: rfb_300\n"]);
    fails(&["run", "--block", "spff", "--output", "y"], 2, &["'sppf'"]);
    fails(&["graph", "sppf_v5s", "--format", "svg"], 2, &["mermaid"]);
    fails(&["devices", "--device", "0"], 2, &["--device"]);
}

#[test]
fn bad_files_are_named_and_exit_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let [missing, output] = ["missing.safetensors", "y.safetensors"].map(|name| dir.path().join(name));
    let weights = format!("{}/assets/digits/sppnet_digits.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bad: [(PathBuf, &str); 5] = [
        (missing, "os error 2"),
        (dir.path().into(), "directory"),
        (file("empty.safetensors", b""), "empty"),
        (
            file("garbage.safetensors", b"this is no safetensors file, whatever its name says"),
            "it begins 'this is no safetensors file",
        ),
        (weights.into(), "is it a weights file? Those run with `spp run --block"),
    ];
    for (path, reason) in &bad {
        let name = path.file_name().unwrap().to_str().unwrap();
        fails(&["verify", text(path)], 2, &[name, reason]);
        fails(&["graph", text(path)], 2, &[name, reason]);
        fails(&["run", text(path), "--output", text(&output)], 2, &[name, reason]);
    }
    assert!(!output.exists());
}

#[test]
fn graph_writes_each_kernel_once() {
    let folder = tempfile::tempdir().unwrap();
    let (to, file) = (folder.path().join("new/kernels"), folder.path().join("file"));
    let planned = ["graph", "rfbnet300", "--planned", "--profile", "dg2"];
    let plan = json(&[&planned[..], &["--format", "json", "--wgsl", text(&to)]].concat());
    let steps = plan["steps"].as_array().unwrap();
    let constants: BTreeSet<_> =
        steps.iter().map(|step| (step["shader"].to_string(), step["constants"].to_string())).collect();
    let written: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!((constants.len()..steps.len()).contains(&written.len()), "{written:?}");
    for path in written {
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.starts_with("const ") && source.contains("@compute"), "{}", path.display());
    }
    fs::write(&file, "").unwrap();
    fails(&[&planned[..], &["--wgsl", text(&file)]].concat(), 2, &["file"]);
    fails(&["graph", "rfb_300", "--wgsl", text(&to)], 2, &["--planned"]);
}

#[test]
fn graph_prints_every_format() {
    assert!(prints(&["graph", "sppf_v5s"]).contains("cv1.conv  conv 1x1                   [1, 256, 20, 20]   input"));
    assert!(prints(&["graph", "sppf_v5s", "--format", "dot"]).starts_with("digraph"));
    assert!(prints(&["graph", "sppf_v5s", "--format", "mermaid"]).starts_with("flowchart"));
    let graph = json(&["graph", &case("sppf_k5"), "--format", "json"]);
    assert_eq!(graph["nodes"][0]["shape"], serde_json::json!([1, 32, 20, 20]));
    assert_eq!(graph["outputs"][0]["name"], "output");

    let planned = ["graph", "sppf_v5s", "--planned", "--format", "json"];
    let plan = json(&planned);
    let kernels: Vec<_> =
        plan["steps"].as_array().unwrap().iter().map(|step| step["shader"].as_str().unwrap()).collect();
    assert_eq!(kernels, ["layout", "conv", "max_pool_cascade", "conv", "layout"]);
    let unfused = json(&[&planned[..], &["--unfused", "--class", "software"]].concat());
    assert!(unfused["dispatches"].as_u64() > plan["dispatches"].as_u64());
    let pools = json(&[&planned[..], &["--without", "fuse-cascade"]].concat());
    assert_eq!((plan["dispatches"].as_u64(), pools["dispatches"].as_u64()), (Some(3), Some(7)));
    let on_m1 = json(&[&planned[..], &["--profile", "m1"]].concat());
    assert_eq!(on_m1["steps"].as_array().unwrap().len(), kernels.len());
    assert_ne!(on_m1["estimated_us"], plan["estimated_us"]);
    fails(&["graph", "sppf_v5s", "--profile", "m1"], 2, &["--planned"]);
    fails(&[&planned[..], &["--profile", "navi32"]].concat(), 2, &["navi32", "did you mean 'navi31'", "gb202"]);
    fails(&[&planned[..], &["--profile", "m1", "--class", "discrete"]].concat(), 2, &["--class", "--profile"]);
    fails(&[&planned[..], &["--profile", "m1", "--tuned"]].concat(), 2, &["--tuned", "--device"]);
    for named in [["--profile", "m1"], ["--class", "discrete"]] {
        fails(&[&planned[..], &["--device", "0"], &named].concat(), 2, &["--device", "--class", "--profile"]);
    }
    for pass in ["--unfused", "--tuned", "--without=fuse-add"] {
        fails(&["graph", "sppf_v5s", pass], 2, &["--planned"]);
    }
    assert!(prints(&planned[..3]).starts_with("3 dispatches"));
    let unsplit = [&planned[..3], &["--without", "split-sums"]].concat();
    let says = |storage: &[&str]| prints(&[&unsplit[..], storage].concat()).lines().nth(1).unwrap().to_string();
    let megabytes = |storage: &[&str]| {
        let numbers = says(storage).split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<f64>>();
        <[f64; 3]>::try_from(numbers).unwrap()
    };
    let single = megabytes(&[]);
    let (half, mixed) = (megabytes(&["--precision", "f16", "--ports", "f16"]), megabytes(&["--precision", "f16"]));
    assert!((0..3).all(|i| half[i] < 0.51 * single[i]), "{half:?} of {single:?}");
    // The sum that is converted to the output, which is half of the ports, stays f32.
    assert!((mixed[1] - half[1] - single[2] / 2.0).abs() < 0.002, "{mixed:?}, {half:?}, {single:?}");
    assert_eq!(mixed[2], single[2]);
    assert!(says(&["--precision", "f16"]).contains("MB in f16, inputs and outputs"));
    let stored = json(&[&planned[..], &["--precision", "f16"]].concat());
    assert_eq!((&stored["precision"], &plan["precision"]), (&"f16".into(), &"f32".into()));
    assert!(stored["bytes"].as_u64() < plan["bytes"].as_u64() && stored["port_bytes"] == plan["port_bytes"]);
    for storage in ["--precision", "--ports"] {
        fails(&["graph", "sppf_v5s", storage, "f16"], 2, &[storage, "--planned"]);
    }
    assert!(prints(&["graph", "sppf_v5s", "--planned", "--format", "dot"]).contains("max_pool_cascade"));
}

#[test]
fn case_files_are_verified_on_the_reference() {
    let names = ["sppf_k5", "pyramid_12x16", "sppnet_64x48", "rfb_stride2_visual2"];
    let cases = names.map(case);
    let table = prints(&["verify", &cases[0], &cases[1], &cases[2], &cases[3], "--device", "cpu"]);
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert_eq!(rows.len(), 4, "{table}");
    for (row, name) in rows.iter().zip(names) {
        assert!(row.starts_with(name) && row.contains("CPU reference  ok"), "{table}");
    }
    fails(&["verify", "sppf_v5s", "--device", "cpu"], 2, &["itself"]);
    fails(&["verify", "--device", "cpu"], 2, &["itself"]);
    for storage in ["--precision", "--ports"] {
        fails(&["verify", &case("sppf_k5"), "--device", "cpu", storage, "f16"], 2, &["reference", "stores no f16"]);
    }
    fails(&["peak", "--device", "cpu"], 2, &["no limits"]);
}

/// A copy of a case whose output `[0, 0, 0, 1]` is off by 0.001.
fn tampered(dir: &Path) -> PathBuf {
    let mut bytes = fs::read(case("sppf_k5")).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..data]).unwrap();
    let at = data + header["output"]["data_offsets"][0].as_u64().unwrap() as usize + 4;
    let value = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + 0.001;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let path = dir.join("tampered.safetensors");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn one_wrong_value_fails_its_row_and_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = tampered(dir.path());
    for device in ["cpu", "0"] {
        let ran = spp(&["verify", text(&wrong), &case("sppf_k5"), "--device", device]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let rows: Vec<&str> = ran.stdout.lines().skip(1).collect();
        assert!(rows[0].starts_with("tampered") && rows[0].contains(" FAIL "), "{}", ran.stdout);
        assert!(rows[0].contains("output: worst at [0, 0, 0, 1]"), "{}", ran.stdout);
        assert!(rows[1].starts_with("sppf_k5") && rows[1].contains(" ok "), "{}", ran.stdout);
        if device != "cpu" {
            assert!(rows[0].ends_with("unfused, every node agrees with the reference"), "{}", ran.stdout);
        }
    }
    let ran = spp(&["verify", text(&wrong), "--device", "cpu", "--json"]);
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &rows[0]["pass"]), (Some(1), &Value::Bool(false)));
}

#[test]
fn the_gpu_is_verified_against_reference_and_files() {
    let rows = json(&["verify", "pyramid_sppnet", &case("sppf_k3_odd_channels"), "--json"]);
    for (row, name, dispatches) in [(&rows[0], "pyramid_sppnet", 1), (&rows[1], "sppf_k3_odd_channels", 3)] {
        assert_eq!((&row["case"], &row["pass"]), (&name.into(), &true.into()), "{row}");
        assert_eq!((&row["dispatches"], &row["overflows"]), (&dispatches.into(), &0.into()), "{row}");
        assert!(row["err_over_bound"].as_f64().unwrap() <= 1.0 && row["ms"].as_f64().unwrap() > 0.0, "{row}");
    }
    let row = &json(&["verify", &case("sppf_k3_odd_channels"), "--unfused", "--json"])[0];
    assert!(row["pass"] == true && row["dispatches"].as_u64() > Some(3), "{row}");
}

/// All outputs in the file have the names, dimensions and values of the case's, within 1e-4 of the largest: a value
/// near zero is the difference of large ones, and a softmax passes on the rounding of scores in the hundreds. What is
/// tested here is that the right values arrive in the right places; how exact they are is what `verify` tests, by their
/// bounds.
#[track_caller]
fn same_outputs(case: &str, written: &Path) {
    let [want, got] = [Path::new(case), written].map(|path| Weights::open(path).unwrap());
    let outputs: Vec<&str> = want.keys().filter(|key| key.starts_with("output")).collect();
    assert_eq!(got.keys().collect::<Vec<_>>(), outputs);
    for key in outputs {
        let [(want_dims, want), (got_dims, got)] = [&want, &got].map(|file| file.tensor(key).unwrap());
        assert_eq!(want_dims, got_dims);
        let largest = want.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() <= 1e-4 * largest), "{case} {key}");
    }
}

#[test]
fn run_writes_what_the_case_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("y.safetensors");
    for name in ["sppf_k5", "pyramid_12x16", "sppnet_64x48", "rfbnet300_width_sixteenth"] {
        for device in ["cpu", "0"] {
            prints(&["run", &case(name), "--output", text(&path), "--force", "--device", device]);
            same_outputs(&case(name), &path);
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn run_takes_weights_and_input_from_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("y.safetensors");
    let (case, arguments) = (case("sppf_k5"), r#"{"c1": 32, "c2": 16}"#);
    let block = ["run", "--block", "sppf", "--weights", &case, "--input", &case, "--output", text(&path)];
    let with = |more: &[&'static str]| [&block[..], more].concat();
    prints(&with(&["--args", arguments, "--prefix", "weights.", "--device", "cpu"]));
    same_outputs(&case, &path);
    fs::remove_file(&path).unwrap();
    let nearest = ["model.9", "missing", "cv1.conv.weight", "the whole block under 'weights': "];
    fails(&with(&["--args", arguments, "--prefix", "model.9"]), 2, &nearest);
    // The block's keys under other names.
    prints(&with(&["--args", arguments, "--rename", "weights=neck.7", "--rename", "cv1=cv1", "--prefix", "neck.7"]));
    same_outputs(&case, &path);
    fs::remove_file(&path).unwrap();
    fails(&with(&["--rename", "conv9=cv1"]), 2, &["'conv9'", "no key"]);
    fails(&with(&["--rename", "conv9"]), 2, &["FROM=TO"]);
    fails(&with(&["--args", r#"{"c1": 32, "\u00631": 16, "c2": 16}"#]), 2, &["'c1' is given twice"]);
    fails(&with(&["--args", "{c1: 32}"]), 2, &["--args"]);
    fails(&with(&["--args", r#"{"kk": 5}"#]), 2, &["kk", "unknown"]);
    fails(&with(&["--tensor", "x"]), 2, &["'x'"]);
    fails(&with(&["--tensor", "weights.cv1.bn.bias"]), 2, &["[n, c, h, w]"]);
    fails(&with(&["--precision", "f64"]), 2, &["use f32 or f16"]);
    fails(&["run", "--block", "sppf", "--output", "y"], 2, &["--weights"]);
    fails(&["run", "--output", "y"], 2, &["CASE"]);
    fails(&["run", "sppf_v5l", "--output", "y"], 2, &["sppf_v5l", "case file, or --block"]);
    let on_cpu = ["run", &case, "--precision", "f16", "--device", "cpu", "--output", text(&path)];
    fails(&on_cpu, 2, &["reference", "stores no f16", "--precision"]);
    fails(&["run", &case, "--prefix", "a", "--output", "y"], 2, &["cannot be used with '--prefix <PREFIX>'"]);
    assert!(!path.exists());
}

#[test]
fn an_existing_output_is_kept_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("y.safetensors");
    fs::write(&path, "mine").unwrap();
    let case = case("sppf_smaller_than_kernel");
    let run = ["run", &case, "--device", "cpu", "--output", text(&path)];
    fails(&run, 2, &["y.safetensors", "--force"]);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    prints(&[&run[..], &["--force"]].concat());
    same_outputs(&case, &path);
    fails(&["run", &case, "--device", "cpu", "--output", "/nonexistent/y"], 2, &["/nonexistent/y"]);
}

#[test]
fn adapters_are_listed_and_an_unknown_one_is_refused() {
    let devices = json(&["devices", "--json"]);
    let name = devices[0]["name"].as_str().unwrap();
    assert!(prints(&["devices"]).contains(name));
    fails(&["verify", "pyramid_sppnet", "--device", "nosuch"], 3, &["nosuch", name]);
    fails(&["demo", "--device", "nosuch"], 3, &["nosuch", name]);
    let count = devices.as_array().unwrap().len();
    let number = format!("there is no adapter number {count}; adapters found: 0: {name}");
    fails(&["verify", "pyramid_sppnet", "--device", &count.to_string()], 3, &[&number]);
}

/// With or without them on this adapter.
#[test]
fn matrices_are_used_or_a_line_says_why_not() {
    let devices = json(&["devices", "--json", "--matrices"]);
    let matrices = devices[0]["matrices"].as_str().unwrap();
    println!("{matrices}");
    let ran = spp(&["verify", "pyramid_sppnet", "--device", "0", "--matrices"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    match matrices.strip_prefix("none: ") {
        Some(reason) => {
            assert!(ran.stderr.contains("no matrices: ") && ran.stderr.contains(reason), "{}", ran.stderr)
        }
        None => assert!(matrices.ends_with("passed") && !ran.stderr.contains("no matrices: "), "{}", ran.stderr),
    }
    let output = tempfile::tempdir().unwrap();
    let output = output.path().join("y.safetensors");
    let ran = spp(&["run", &case("sppf_smaller_than_kernel"), "--matrices", "--output", text(&output)]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr.contains("no matrices: "), matrices.starts_with("none: "), "{}", ran.stderr);
}

#[test]
fn a_chips_matrices_are_planned_only_if_asked_for() {
    let planned = |args: &[&str]| spp(&[&["graph", "sppf_v5s", "--planned", "--profile"], args].concat());
    assert!(planned(&["tgl", "--matrices"]).stderr.contains("no matrices: "));
    assert!(!planned(&["tgl"]).stderr.contains("no matrices"));
    let ran = planned(&["navi31", "--matrices"]);
    assert!(ran.code == Some(0) && !ran.stderr.contains("no matrices: "), "{}", ran.stderr);
    fails(&["graph", "sppf_v5s", "--matrices"], 2, &["--planned"]);
}

#[test]
fn stress_compares_kernels_and_counts_what_ran() {
    let stress = json(&["verify", "--stress", "24", "--json"]);
    assert_eq!((&stress["rounds"], &stress["graphs"], &stress["on_matrices"]), (&24.into(), &8.into(), &0.into()));
    assert_eq!(stress["mismatches"], Value::Array(Vec::new()));
    let text = prints(&["verify", "--stress", "3", "--seed", "5", "--unfused"]);
    assert!(text.starts_with("3 of 3 graphs agree") && text.contains(": 3 rounds on "), "{text}");
    fails(&["verify", "--stress", "8", "--device", "cpu"], 2, &["--stress"]);
    fails(&["verify", "--stress", "0"], 2, &["--stress"]);
    fails(&["verify", "--all", "--stress"], 2, &["--all"]);
    fails(&["verify", "--seed", "1"], 2, &["--stress"]);
}

#[test]
fn chips_are_listed_without_an_adapter() {
    let ran = spp_with(&["devices", "--profiles", "--json"], &no_adapter());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let profiles: Value = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<&str> = profiles.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, spp_wgpu::DeviceProfile::names());
    assert_eq!((&profiles[1]["class"], &profiles[1]["subgroup_min_size"]), (&"Discrete".into(), &32.into()));
    let table = prints(&["devices", "--profiles"]);
    assert!(table.contains("navi31     AMD Radeon RX 7900 XTX"), "{table}");
}

#[test]
fn without_an_adapter_only_the_demo_runs_and_says_where() {
    for args in [&["devices"][..], &["verify", "pyramid_sppnet"], &["demo", "--device", "0"]] {
        let ran = spp_with(args, &no_adapter());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{args:?}");
        assert!(ran.stderr.contains(INSTALL_HINT), "{args:?}: {}", ran.stderr);
    }
    let ran = spp_with(&["demo"], &no_adapter());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let note = ran.stderr.lines().find(|line| line.contains("CPU reference")).unwrap();
    assert!(note.contains(INSTALL_HINT), "{note}");
    let row = ran.stdout.lines().find(|line| line.starts_with("20x40")).unwrap();
    assert_eq!(row.split_whitespace().take(3).collect::<Vec<_>>(), ["20x40", "0.9731", "0.9731"]);
}

#[test]
fn the_demo_reads_as_well_as_pytorch_and_checks_every_block() {
    let rows = json(&["demo", "--json"]);
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| row["pass"] == true), "{rows:#?}");
    let right: Vec<u64> = rows.iter().filter_map(|row| row["right"].as_u64()).collect();
    assert_eq!(right, [286, 296, 289, 295, 288], "PyTorch's accuracies are 0.9630 0.9966 0.9731 0.9933 0.9697");
    assert!(rows[..5].iter().all(|row| row["vector"] == 1344 && row["max_abs_difference"].as_f64() < Some(1e-4)));
    let blocks: Vec<&str> = rows.iter().filter_map(|row| row["block"].as_str()).collect();
    assert_eq!(blocks, spp_wgpu::blocks::NAMES);
}

#[test]
fn a_reader_that_leaves_causes_no_panic() {
    for args in [&["graph", "sppf_v5s", "--planned"][..], &["devices", "--json"], &["completions", "bash"], &["--help"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spp"));
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}

#[test]
fn completions_know_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = prints(&["completions", shell]);
        assert!(SUBCOMMANDS.iter().all(|name| script.contains(name)), "{shell}");
    }
    fails(&["completions", "tcl"], 2, &["tcl"]);
}

/// What is wrong before a model is read, and what is wrong with pictures.
#[test]
fn detect_and_segment_refuse_what_they_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (model, out, mask) = (path("missing.onnx"), path("out"), path("mask.png"));
    let picture = |name: &str, format| {
        let bytes = format!("{format} of no picture");
        fs::write(dir.path().join(name), bytes).unwrap();
        path(name)
    };
    let (broken, text) = (picture("broken.png", "\u{89}PNG"), picture("a.jpg", "text"));
    fails(&["detect", &model], 2, &["<IMAGE>..."]);
    fails(&["detect", &model, &text], 2, &["missing.onnx"]);
    fails(&["detect", &model, &text, "--head", "yolov55"], 2, &["'yolov5'", "yolo12", "rfbnet-voc-300"]);
    fails(&["detect", &model, &text, "--head", "YOLOX"], 2, &["missing.onnx"]);
    let help = prints(&["detect", "--help"]);
    assert!(spp_wgpu::detection::Head::NAMES.iter().all(|name| help.contains(name)), "{help}");
    let places =
        ["--fit", "--order", "--scale", "--mean", "--std"].map(|option| help.find(&format!("{option} <")).unwrap());
    assert!(places.is_sorted() && !help[places[0]..places[4]].contains("--device"), "{help}");
    for (option, value) in
        [("--score", "1.5"), ("--iou", "-0.1"), ("--scale", "1/0"), ("--mean", "a"), ("--fit", "crop")]
    {
        fails(&["detect", &model, &text, &format!("{option}={value}")], 2, &[option]);
    }
    fails(&["detect", &model, &text, &text, "-o", &out], 2, &["a.jpg", "both would become", "a.png"]);
    fs::write(path("out/a.png"), "mine").unwrap();
    fails(&["detect", &model, &text, "-o", &out], 2, &["a.png", "--force"]);
    assert_eq!(fs::read(path("out/a.png")).unwrap(), b"mine");
    for bad in [&broken, &text, &model] {
        let name = Path::new(bad).file_name().unwrap().to_str().unwrap();
        fails(&["segment", &model, bad, "-o", &mask], 2, &[name]);
    }
    fails(&["segment", &model, &text, "-o", &path("out/a.png")], 2, &["a.png", "--force"]);
    fails(&["segment", &model, &text], 2, &["--output"]);
    assert!(!Path::new(&mask).exists());
}

/// A small model of the repository.
fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name).with_extension("onnx")
}

/// It with what an exporter notes: fields of a message may be added at its end.
fn noted(name: &str, notes: &[(&str, &str)], path: &Path) {
    let mut bytes = fs::read(model(name)).unwrap();
    for (key, value) in notes {
        let lengths = [key.len(), value.len()].map(|len| u8::try_from(len).unwrap());
        let entry = [&[0x0a, lengths[0]], key.as_bytes(), &[0x12, lengths[1]], value.as_bytes()].concat();
        bytes.extend([0x72, u8::try_from(entry.len()).unwrap()]);
        bytes.extend(entry);
    }
    fs::write(path, bytes).unwrap();
}

/// A picture of 40 by 30 pixels in which no two are alike.
fn picture(path: &Path, darkness: u8) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 40, 30);
    encoder.set_color(png::ColorType::Rgb);
    let bytes: Vec<u8> = (0..40 * 30 * 3_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 / darkness).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
}

/// Head, code, what is said, and the JSON on standard output if there is any.
fn detects(args: &[&str]) -> (Option<i32>, String, Value) {
    let ran = spp(&[&["detect", "--device", "cpu", "--json", "--score", "0.01"], args].concat());
    (ran.code, ran.stderr, serde_json::from_str(&ran.stdout).unwrap_or_default())
}

#[test]
fn detect_reads_the_other_pictures_where_one_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (a, b, cut, out) = (path("a.png"), path("b.png"), path("cut.png"), path("out"));
    picture(Path::new(&a), 1);
    picture(Path::new(&b), 7);
    let bytes = fs::read(&a).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let network = model("pooled_boxes");
    let network = network.to_str().unwrap();

    // What can be known before anything runs is said of all files.
    let (code, said, _) = detects(&[network, &a, network, &path("missing.png")]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no PNG or JPEG") && said.contains("missing.png") && !said.contains("Onnx"), "{said}");
    let (code, said, _) = detects(&[network, &a, "-o", &b]);
    assert!(code == Some(2) && said.contains("b.png: is a file; -o needs a folder"), "{said}");

    // The file takes two pictures at a time.
    let (code, said, alone) = detects(&[network, &a]);
    assert!(code == Some(0) && alone[0]["objects"][0]["label"].is_string(), "{said}");
    let shares: Vec<f64> = serde_json::from_value(alone[0]["objects"][0]["box"].clone()).unwrap();
    let pixels: Vec<f64> = serde_json::from_value(alone[0]["objects"][0]["pixels"].clone()).unwrap();
    assert!(shares.iter().zip([40.0, 30.0, 40.0, 30.0]).zip(pixels).all(|((a, by), b)| (a * by - b).abs() < 1e-3));
    let (_, _, other) = detects(&[network, &b, "--images-per-run", "1"]);
    assert_ne!(alone[0]["objects"], other[0]["objects"]);
    // Where there are fewer pictures than a run takes, it is filled up.
    for per_run in ["1", "2", "3"] {
        let (code, said, found) = detects(&[network, &a, &cut, &b, "--images-per-run", per_run, "--force", "-o", &out]);
        assert!(code == Some(1) && said.contains("cut.png"), "{said}");
        let objects: Vec<&Value> = found.as_array().unwrap().iter().map(|seen| &seen["objects"]).collect();
        assert_eq!(objects, [&alone[0]["objects"], &other[0]["objects"]], "{per_run}");
        assert!(Path::new(&out).join("b.png").exists() && !Path::new(&out).join("cut.png").exists());
    }
    let several = model("end_to_end_head");
    let (_, said, few) = detects(&[several.to_str().unwrap(), &a, "--max-boxes", "1"]);
    assert_eq!(few[0]["objects"].as_array().unwrap().len(), 1);
    assert!(said.contains("a.png: only the best 1 boxes"), "{said}");
    let ran = spp(&["detect", "--device", "cpu", "--score", "1", several.to_str().unwrap(), &a]);
    assert!(ran.code == Some(0) && ran.stderr.contains("nothing scores above 1; --score"), "{}", ran.stderr);
    assert!(!said.contains("nothing scores"), "{said}");
}

#[test]
fn detect_heeds_what_the_exporter_notes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (a, network, labels) = (path("a.png"), path("noted.onnx"), path("labels.txt"));
    picture(Path::new(&a), 1);
    let note = |notes: &[(&str, &str)]| noted("end_to_end_head", notes, Path::new(&network));
    for task in ["obb", "pose"] {
        note(&[("task", task)]);
        let (code, said, _) = detects(&[&network, &a]);
        assert!(code == Some(2) && said.contains(&format!("its task is '{task}'")), "{said}");
    }
    note(&[("task", "segment")]);
    let (code, said, _) = detects(&[&network, &a]);
    assert!(code == Some(0) && said.contains("the masks of this network are not"), "{said}");
    note(&[("task", "detect"), ("names", "{0: 'p', 1: 'q', 2: 'r', 3: 's', 4: 't'}")]);
    let (code, said, found) = detects(&[&network, &a]);
    let label = found[0]["objects"][0]["label"].as_str().unwrap();
    assert!(code == Some(0) && "pqrst".contains(label) && !said.contains("COCO") && !said.contains("masks"), "{said}");
    note(&[]);
    let (_, said, _) = detects(&[&network, &a]);
    assert!(said.contains("COCO's names"), "{said}");
    // Names for fewer classes than there are: of deeplab's five, and of those that a head of rows says it has.
    fs::write(&labels, "a\nb\nc\n").unwrap();
    let (deeplab, mask) = (model("deeplab"), path("mask.png"));
    let args = ["segment", deeplab.to_str().unwrap(), &a, "-o", &mask, "--device", "cpu", "--labels", &labels];
    fails(&args, 2, &["only 3 of 5 classes"]);
    for (anchors, says) in [("10,13", "2 numbers"), ("1,2,3,4,5,0", "above 0"), ("1,2,3,4,5,6", "raw maps")] {
        fails(&["detect", &network, &a, "--device", "cpu", "--head", "yolov8", "--anchors", anchors], 2, &[says]);
    }
}

#[test]
fn segment_writes_by_the_ending_of_a_name_and_reads_no_detector() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (a, deeplab) = (path("a.png"), model("deeplab"));
    picture(Path::new(&a), 1);
    let deeplab = deeplab.to_str().unwrap();
    for (name, magic) in [("mask.png", &b"\x89PNG"[..]), ("mask.JPG", &[0xff, 0xd8])] {
        let ran = spp(&["segment", deeplab, &a, "-o", &path(name), "--device", "cpu"]);
        assert!(ran.code == Some(0) && ran.stderr.contains("as torchvision's"), "{}", ran.stderr);
        assert!(fs::read(path(name)).unwrap().starts_with(magic), "{name}");
    }
    for name in ["mask.webp", "mask"] {
        fails(&["segment", deeplab, &a, "-o", &path(name)], 2, &["PNG or JPEG"]);
    }
    let boxes = model("end_to_end_head");
    fails(&["segment", boxes.to_str().unwrap(), &a, "-o", &path("x.png"), "--device", "cpu"], 2, &["spp detect reads"]);
    let given = spp(&["segment", deeplab, &a, "-o", &path("b.png"), "--device", "cpu", "--mean", "0"]);
    assert!(given.code == Some(0) && !given.stderr.contains("torchvision"), "{}", given.stderr);
    noted("deeplab", &[("task", "segment")], Path::new(&path("noted.onnx")));
    fails(
        &["segment", &path("noted.onnx"), &a, "-o", &path("x.png"), "--device", "cpu"],
        2,
        &["instance masks", "spp detect"],
    );
    noted("deeplab", &[("task", "detect")], Path::new(&path("noted.onnx")));
    fails(&["segment", &path("noted.onnx"), &a, "-o", &path("x.png"), "--device", "cpu"], 2, &["spp detect"]);
}
