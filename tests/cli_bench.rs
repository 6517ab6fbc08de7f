//! `spp bench`, `profile` and `compare` as a user meets them. Needs an adapter; a software one will do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A user about whom nothing is known yet: empty data and cache folders.
struct User {
    home: TempDir,
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn baseline(&self, name: &str) -> PathBuf {
        self.file(&format!("data/spp-wgpu/bench/{name}.json"))
    }

    fn spp(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spp"));
        command.args(args).env("XDG_DATA_HOME", self.file("data")).env("XDG_CACHE_HOME", self.file("cache"));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!ran.stderr.contains("panicked"), "{args:?}: {}", ran.stderr);
        ran
    }

    /// The smallest block, as quickly as possible.
    fn bench(&self, args: &[&str]) -> Ran {
        let least = ["bench", "pyramid_sppnet", "--runs", "8", "--seconds", "0", "--no-peak"];
        self.spp(&[&least[..], args].concat())
    }

    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let ran = self.spp(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.prints(args)).unwrap()
    }

    /// Exit code 2, nothing on standard output, and each of these on standard error.
    #[track_caller]
    fn refuses(&self, args: &[&str], says: &[&str]) {
        refused(&self.spp(args), says);
    }
}

fn case(name: &str) -> String {
    format!("{}/tests/data/cases/{name}.safetensors", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn refused(ran: &Ran, says: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    for text in says {
        assert!(ran.stderr.contains(text), "does not say '{text}': {}", ran.stderr);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Keys in alphabetical order.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_row_has_the_documented_keys_and_plausible_numbers() {
    let user = User::new();
    let rows = user.json(&["bench", "pyramid_sppnet", "--batch", "1,3", "--runs", "3", "--seconds", "0", "--json"]);
    let mut documented = [
        "case",
        "batch",
        "precision",
        "ports",
        "adapter",
        "backend",
        "driver",
        "dispatches",
        "flops",
        "bytes",
        "cold_ms",
        "warm_ms",
        "wall_ms",
        "gpu_ms",
        "estimated_ms",
        "gflops",
        "gbps",
        "roofline_pct",
        "bound",
        "baseline",
    ];
    documented.sort_unstable();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, batch) in rows.iter().zip([1, 3]) {
        assert_eq!(keys(row), documented);
        let of = |key: &str| row[key].clone();
        assert_eq!([of("case"), of("batch"), of("precision")], [json!("pyramid_sppnet"), json!(batch), json!("f32")]);
        // Input 512 x 13 x 13 and output 512 x 21, once each.
        assert_eq!([of("dispatches"), of("flops"), of("bytes")], [1, 0, batch * 4 * 512 * (169 + 21)].map(Value::from));
        assert_eq!([of("bound"), of("baseline")], [json!("memory"), Value::Null]);
        for times in [&row["wall_ms"], &row["gpu_ms"]].into_iter().filter(|times| !times.is_null()) {
            let times = ["min", "median", "p90", "p99"].map(|key| times[key].as_f64().unwrap());
            assert!(times[0] > 0.0 && times.is_sorted(), "{times:?}");
        }
        let clock = if row["gpu_ms"].is_null() { "wall_ms" } else { "gpu_ms" };
        let median = row[clock]["median"].as_f64().unwrap();
        let gbps = row["bytes"].as_f64().unwrap() / median / 1e6;
        assert!((row["gbps"].as_f64().unwrap() / gbps - 1.0).abs() < 1e-9, "{row}");
        assert!(row["roofline_pct"].as_f64().unwrap() > 0.0 && row["cold_ms"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["warm_ms"].as_f64().unwrap() > 0.0, "{row}");
    }
}

/// Both are of the same runs: every order statistic of the device's times is below that of the whole's.
#[test]
fn the_device_takes_no_longer_than_the_whole() {
    let user = User::new();
    let least = ["--runs", "20", "--seconds", "0", "--no-peak", "--json"];
    let rows = user.json(&[&["bench", "pyramid_sppnet", &case("sppf_k5"), &case("sppelan")], &least[..]].concat());
    let rows = rows.as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| (row["case"].as_str().unwrap(), row["batch"].as_u64())).collect();
    assert_eq!(names, [("pyramid_sppnet", Some(1)), ("sppf_k5", Some(1)), ("sppelan", Some(2))]);
    for row in rows.iter().filter(|row| !row["gpu_ms"].is_null()) {
        for key in ["min", "median", "p90", "p99"] {
            let [gpu, wall] = ["gpu_ms", "wall_ms"].map(|clock| row[clock][key].as_f64().unwrap());
            assert!(gpu > 0.0 && gpu <= wall, "{key}: {row}");
        }
    }
    user.refuses(&["bench", &case("sppf_k5"), "--batch", "2"], &["--batch", "'sppf_k5' has its own"]);
    user.refuses(&["bench", "cases/missing.safetensors"], &["missing.safetensors"]);
}

#[test]
fn tables_and_csv_have_a_line_for_each_case() {
    let user = User::new();
    let table = user.bench(&["--batch", "1,2"]).stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[2][..3], ["case", "batch", "dispatches"], "{table}");
    assert_eq!(
        (&lines[3][..3], &lines[4][..3]),
        (&["pyramid_sppnet", "1", "1"][..], &["pyramid_sppnet", "2", "1"][..])
    );

    let csv = user.bench(&["--csv"]).stdout;
    let (header, row) = csv.trim_end().split_once('\n').unwrap();
    assert_eq!(
        header,
        "case,batch,precision,ports,adapter,backend,driver,dispatches,flops,bytes,cold_ms,warm_ms,\
         wall_ms.min,wall_ms.median,wall_ms.p90,wall_ms.p99,gpu_ms.min,gpu_ms.median,gpu_ms.p90,gpu_ms.p99,\
         estimated_ms,gflops,gbps,roofline_pct,bound,baseline.wall_ms.change_pct,baseline.wall_ms.verdict,\
         baseline.gpu_ms.change_pct,baseline.gpu_ms.verdict"
    );
    assert!(row.starts_with("pyramid_sppnet,1,f32,f32,") && !row.contains('\n'), "{row}");
    // Commas in the adapter's name are quoted.
    let unquoted: String = row.split('"').step_by(2).collect();
    assert_eq!(unquoted.matches(',').count(), header.matches(',').count(), "{row}");
}

#[test]
fn nonsense_is_a_usage_error() {
    let user = User::new();
    user.refuses(&["bench", "sppf_v5z"], &["sppf_v5z", "did you mean 'sppf_v5s'"]);
    let far = user.spp(&["bench", "resnet50"]);
    assert!(
        far.code == Some(2) && far.stderr.contains("is unknown") && !far.stderr.contains("did you mean"),
        "{}",
        far.stderr
    );
    user.refuses(&["bench", "pyramid_sppnet", "--batch", "0"], &["--batch"]);
    user.refuses(&["bench", "pyramid_sppnet", "--batch", "1,0"], &["--batch"]);
    user.refuses(&["bench", "pyramid_sppnet", "--runs", "0"], &["--runs"]);
    for seconds in ["--seconds=-1", "--seconds=nan", "--seconds=1e300", "--seconds=soon"] {
        user.refuses(&["bench", "pyramid_sppnet", seconds], &["--seconds"]);
    }
    user.refuses(&["bench", "pyramid_sppnet", "--fail-over", "5%"], &["--baseline"]);
    refused(&user.bench(&["--baseline", "x", "--fail-over", "much"]), &["--fail-over"]);
    refused(&user.bench(&["--save", "../x"]), &["letters"]);
    refused(&user.bench(&["--json", "--csv"]), &["--csv"]);
    for storage in ["--precision", "--ports"] {
        refused(&user.bench(&[storage, "f64"]), &[storage, "use f32 or f16"]);
    }
    refused(&user.bench(&["--device", "cpu"]), &["reference"]);
    user.refuses(&["profile", "pyramid_sppnet", "--device", "cpu"], &["reference"]);
    user.refuses(&["profile", "pyramid_spnet"], &["'pyramid_sppnet'"]);
    for size in ["0", "20x", "x20", "20x0", "-3", "big"] {
        user.refuses(&["compare", &format!("--size={size}")], &["20x30"]);
    }
    assert_eq!(fs::read_dir(user.home.path()).unwrap().count(), 0, "something was written");
}

/// A user who has a baseline `now` of the smallest block, and its content.
fn with_baseline() -> (User, Value) {
    let user = User::new();
    assert_eq!(user.bench(&["--save", "now"]).code, Some(0));
    let saved = serde_json::from_slice(&fs::read(user.baseline("now")).unwrap()).unwrap();
    (user, saved)
}

/// Both clocks' times, each multiplied by the factor for its place.
fn scaled(saved: &Value, factor: impl Fn(usize) -> f64) -> Value {
    let mut planted = saved.clone();
    for clock in ["wall_ms", "gpu_ms"] {
        for (i, time) in planted["cases"][0][clock].as_array_mut().into_iter().flatten().enumerate() {
            *time = (time.as_f64().unwrap() * factor(i)).into();
        }
    }
    planted
}

/// Runs differ by more than ten per cent when others use the processor, too; how small a change is seen, and what the
/// limit makes of it, is tested with the command's own functions.
#[test]
fn a_difference_is_faster_slower_or_noise() {
    let (user, saved) = with_baseline();
    assert_eq!(saved["cases"][0]["wall_ms"].as_array().unwrap().len(), 8);
    let plant = |name: &str, factor: &dyn Fn(usize) -> f64| {
        fs::write(user.baseline(name), scaled(&saved, factor).to_string()).unwrap();
    };
    plant("quick", &|_| 1e-3);
    plant("slow", &|_| 1e3);
    plant("wild", &|i| if i % 2 == 0 { 1e-3 } else { 1e3 });
    for (name, code, verdict) in [("quick", 1, "slower"), ("slow", 0, "faster"), ("wild", 0, "noise")] {
        let ran = user.bench(&["--baseline", name, "--fail-over", "5%", "--json"]);
        assert_eq!(ran.code, Some(code), "{name}: {}{}", ran.stdout, ran.stderr);
        let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
        let compared = &rows[0]["baseline"];
        assert_eq!(compared["wall_ms"]["verdict"], verdict, "{name}: {compared}");
        assert_eq!(compared["gpu_ms"].is_null(), rows[0]["gpu_ms"].is_null());
        assert_eq!(keys(&compared["wall_ms"]), ["before", "change_pct", "now", "verdict"]);
    }
    let ran = user.bench(&["--baseline", "quick", "--fail-over", "5"]);
    let last = ran.stdout.lines().last().unwrap();
    assert!(ran.code == Some(1) && last.ends_with("slower"), "{}", ran.stdout);
    assert!(ran.stderr.contains("longer") && ran.stderr.contains("a check failed"), "{}", ran.stderr);
    for storage in ["--precision", "--ports"] {
        let other = user.bench(&["--baseline", "quick", storage, "f16"]);
        refused(&other, &["the baseline has no pyramid_sppnet of batch 1, stored in f", "no samples"]);
    }
    // Without --fail-over it is only reported.
    assert_eq!(user.bench(&["--baseline", "quick"]).code, Some(0));
    // Three samples against three prove nothing.
    let few = ["bench", "pyramid_sppnet", "--runs", "3", "--seconds", "0", "--no-peak"];
    user.prints(&[&few[..], &["--save", "few"]].concat());
    let ran = user.spp(&[&few[..], &["--baseline", "few", "--fail-over", "0"]].concat());
    assert!(ran.code == Some(0) && ran.stderr.contains("too few samples"), "{}", ran.stderr);
}

#[test]
fn samples_that_cannot_be_compared_are_refused_and_kept() {
    let (user, saved) = with_baseline();
    let plant = |content: &[u8]| {
        fs::write(user.baseline("odd"), content).unwrap();
        let ran = user.bench(&["--baseline", "odd", "--fail-over", "5%"]);
        assert_eq!(fs::read(user.baseline("odd")).unwrap(), content);
        ran
    };
    for content in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"device\": [], \"cases\": []}", b"null"] {
        refused(&plant(content), &["odd.json"]);
    }
    let changed = |pointer: &str, value: Value| {
        let mut odd = saved.clone();
        *odd.pointer_mut(pointer).unwrap() = value;
        odd.to_string().into_bytes()
    };
    refused(&plant(&changed("/device/0", json!("another adapter"))), &["another adapter", "cannot be compared"]);
    refused(&plant(&changed("/cases/0/wall_ms/0", json!("soon"))), &["not a saved benchmark"]);
    refused(&plant(&changed("/cases/0/batch", json!(7))), &["no pyramid_sppnet of batch 1"]);
    let ran = plant(&changed("/device/2", json!("another driver")));
    assert!(ran.code.is_some_and(|code| code < 2) && ran.stderr.contains("another driver"), "{}", ran.stderr);
    refused(&user.bench(&["--baseline", "never-saved"]), &["never-saved.json", "no baseline"]);

    let before = fs::read(user.baseline("now")).unwrap();
    refused(&user.bench(&["--save", "now"]), &["now.json", "--force"]);
    assert_eq!(fs::read(user.baseline("now")).unwrap(), before);
    assert_eq!(user.bench(&["--save", "now", "--force"]).code, Some(0));
    assert_ne!(fs::read(user.baseline("now")).unwrap(), before);
}

#[test]
fn what_cannot_be_written_is_known_before_measuring() {
    let user = User::new();
    fs::write(user.file("data"), "in the way").unwrap();
    refused(&user.bench(&["--save", "now"]), &["data"]);
    assert_eq!(fs::read(user.file("data")).unwrap(), b"in the way");
    let [nowhere, below] = ["nowhere/report.html", "data/report.html"].map(|name| user.file(name));
    refused(&user.bench(&["--html", text(&nowhere)]), &["nowhere", "no such folder"]);
    refused(&user.bench(&["--html", text(&below)]), &["no such folder"]);
    refused(&user.bench(&["--html", text(user.home.path()), "--force"]), &["is a folder"]);
    refused(&user.bench(&["--html", text(&user.file("data"))]), &["exists", "--force"]);
    refused(&user.spp(&["profile", "pyramid_sppnet", "--no-peak", "--trace", text(&nowhere)]), &["no such folder"]);
    let written = fs::read_dir(user.home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    // Drivers keep caches.
    assert_eq!(written.filter(|name| name != "cache").collect::<Vec<_>>(), ["data"]);
}

#[test]
fn a_report_holds_what_was_measured() {
    let (user, _) = with_baseline();
    let path = user.file("report.html");
    let ran = user.bench(&["--baseline", "now", "--html", text(&path), "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    let page = fs::read_to_string(&path).unwrap();
    for fact in [&rows[0]["case"], &rows[0]["driver"], &rows[0]["baseline"]["wall_ms"]["verdict"]] {
        assert!(page.contains(fact.as_str().unwrap()), "{fact}");
    }
    assert!(page.contains(&format!("{:+.1}", rows[0]["baseline"]["wall_ms"]["change_pct"].as_f64().unwrap())));
    assert!(page.contains("--html") && page.contains(" UTC") && page.ends_with("</html>\n"));
    for fetching in ["http", "src=", "<script", "@import", "url("] {
        assert!(!page.contains(fetching), "{fetching}");
    }
    assert_eq!(user.bench(&["--html", text(&path)]).code, Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), page, "a report is kept unless forced");
    assert_eq!(user.bench(&["--html", text(&path), "--force"]).code, Some(0));
}

#[test]
fn a_profile_and_its_trace_have_each_dispatch() {
    let user = User::new();
    let path = user.file("trace.json");
    let run = ["profile", "pyramid_sppnet", "--runs", "2", "--no-peak", "--trace", text(&path)];
    let ran = user.spp(&[&run[..], &["--json"]].concat());
    if ran.stderr.contains("timestamps") {
        // An adapter without timestamps says so instead.
        return refused(&ran, &["spp bench"]);
    }
    let rows: Value = serde_json::from_str(&ran.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let kernels: Vec<&str> = rows.iter().map(|row| row["kernel"].as_str().unwrap()).collect();
    assert!(kernels.contains(&"pyramid_pool") && rows.iter().all(|row| row["us"].as_f64() > Some(0.0)), "{rows:#?}");
    assert!(rows.iter().all(|row| row.get("estimated_us").is_some()), "{rows:#?}");
    let percent: f64 = rows.iter().map(|row| row["percent"].as_f64().unwrap()).sum();
    assert!((percent - 100.0).abs() < 1e-6, "{percent}");

    let trace: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let traced: Vec<&str> = events[1..].iter().map(|event| event["cat"].as_str().unwrap()).collect();
    assert_eq!((events[0]["ph"].as_str(), traced), (Some("M"), kernels));
    for (event, row) in events[1..].iter().zip(rows) {
        assert_eq!((&event["dur"], &event["name"]), (&row["us"], &row["node"]));
    }
    refused(&user.spp(&run), &["exists", "--force"]);
    let by_op = user.prints(&["profile", "pyramid_sppnet", "--runs", "2", "--no-peak", "--by", "op"]);
    assert!(by_op.lines().any(|line| line.starts_with("pyramid_pool")), "{by_op}");
}

#[test]
fn blocks_are_compared_with_sppf() {
    let user = User::new();
    let least = ["compare", "--runs", "1", "--seconds", "0", "--size", "5x4", "--json"];
    let rows = user.json(&[&least[..], &["--c1", "16", "--c2", "16", "--batch", "2"]].concat());
    let rows = rows.as_array().unwrap();
    let of = |block: &str| rows.iter().find(|row| row["block"] == block).unwrap();
    assert_eq!(rows.len(), 12);
    let keys_of_all = [
        "block",
        "dispatches",
        "flops",
        "gpu_ms",
        "images_per_s",
        "parameters",
        "planned_bytes",
        "ports",
        "precision",
        "receptive_field",
        "relative",
        "wall_ms",
    ];
    assert!(rows.iter().all(|row| keys(row) == keys_of_all));
    assert!(rows.is_sorted_by_key(|row| row["relative"].as_f64().unwrap()), "{rows:#?}");
    assert_eq!(of("sppf")["relative"], 1.0);
    // cv1: 16 → 8, cv2: 32 → 16, two values for each of 24 normalised channels.
    assert_eq!(of("sppf")["parameters"], 16 * 8 + 32 * 16 + 2 * 24);
    assert_eq!(of("sppf")["flops"], 2 * 2 * 20 * (16 * 8 + 32 * 16));
    assert_eq!([&of("spp")["receptive_field"], &of("aspp_v3")["receptive_field"]], [&json!([13, 13]), &Value::Null]);
    let ms = if of("sppf")["gpu_ms"].is_null() { &of("sppf")["wall_ms"] } else { &of("sppf")["gpu_ms"] };
    let images = of("sppf")["images_per_s"].as_f64().unwrap() * ms.as_f64().unwrap();
    assert!((images - 2000.0).abs() < 1e-6, "{images}");

    let rows = user.json(&[&least[..], &["--c1", "1", "--c2", "4"]].concat());
    let refused: Vec<&str> = rows.as_array().unwrap().iter().filter_map(|row| row["error"].as_str()).collect();
    assert!(refused.iter().any(|reason| reason.contains("rfb: c1 = 1")), "{rows:#}");
    assert!(refused.len() < 12, "the others are measured");
}

#[test]
fn a_tuning_is_kept_for_its_adapter_and_used_when_asked_for() {
    let user = User::new();
    user.prints(&["bench", "sppf_v5s", "--tune", "--runs", "3", "--seconds", "0", "--no-peak"]);
    let kept = fs::read_dir(user.file("cache/spp-wgpu")).unwrap().map(|file| file.unwrap().path()).next().unwrap();
    assert!(kept.file_name().unwrap().to_string_lossy().starts_with("tuning-"), "{kept:?}");
    // One of the two convolutions is to be computed by the slowest kernel there is.
    let mut file: Value = serde_json::from_str(&fs::read_to_string(&kept).unwrap()).unwrap();
    // Where sums may be split, its class says so.
    let class = "1x1x512 to 400x256";
    file["tuning"] = json!({ class: "conv_direct", format!("{class}, or parts of it"): "conv_direct" });
    fs::write(&kept, file.to_string()).unwrap();
    let kernels = |args: &[&str]| -> Vec<Value> {
        let plan =
            user.json(&[&["graph", "sppf_v5s", "--planned", "--format", "json", "--device", "0"], args].concat());
        let steps = plan["steps"].as_array().unwrap();
        steps.iter().filter(|step| !step["why"].is_null()).map(|step| json!([step["kernel"], step["why"]])).collect()
    };
    let [cv1, cv2] = &kernels(&["--tuned"])[..] else { panic!("two convolutions") };
    assert_eq!(*cv1, json!(["conv_direct", "tuned"]));
    assert_ne!(cv2[1], "tuned");
    assert!(kernels(&[]).iter().all(|kernel| kernel[1] != "tuned"));
    assert!(kernels(&["--tuned", "--precision", "f16"]).iter().all(|kernel| kernel[1] != "tuned"));
    let verified = user.json(&["verify", "sppf_v5s", "--tuned", "--json"]);
    assert_eq!(verified[0]["pass"], true, "{verified}");
    // What cannot be understood causes a warning, and does no harm.
    fs::write(&kept, "{").unwrap();
    let ran = user.spp(&["profile", "sppf_v5s", "--tuned", "--no-peak", "--runs", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("tuning-"), "{}", ran.stderr);
    refused(&user.spp(&["graph", "sppf_v5s", "--planned", "--tuned"]), &["--device"]);
}
