//! Benchmark samples kept from one run to the next, and the comparison with them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spp_wgpu::Error;
use spp_wgpu::bench::{Row, Samples, Verdict};

use crate::failure::{Failure, Result};
use crate::output::{writable, write_file};
use crate::planning::Storage;

/// Samples of an earlier run.
#[derive(Debug)]
pub(crate) struct Baseline {
    /// Adapter, backend and driver.
    pub(crate) device: [String; 3],
    cases: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    case: String,
    batch: u32,
    stored: Storage,
    wall: Samples,
    gpu: Option<Samples>,
}

/// One clock's times of one case, before and now.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) case: String,
    pub(crate) batch: u32,
    /// `wall` or `gpu`
    pub(crate) clock: &'static str,
    /// Medians, milliseconds.
    pub(crate) before: f64,
    pub(crate) now: f64,
    pub(crate) verdict: Verdict,
    /// Whether there are enough samples for a verdict other than noise.
    pub(crate) enough: bool,
}

impl Comparison {
    pub(crate) const COLUMNS: [&str; 7] = ["case", "batch", "clock", "before ms", "now ms", "change %", "verdict"];

    fn new((case, batch): (&str, u32), clock: &'static str, before: &Samples, now: &Samples) -> Self {
        let (verdict, enough) = (now.against(before), now.can_differ(before));
        Self { case: case.into(), batch, clock, before: before.median(), now: now.median(), verdict, enough }
    }

    /// Change of the median, relative to the baseline's.
    pub(crate) fn percent(&self) -> f64 {
        100.0 * (self.now / self.before - 1.0)
    }

    pub(crate) fn cells(&self) -> [String; 7] {
        let [before, now] = [self.before, self.now].map(|ms| format!("{ms:.3}"));
        let (change, verdict) = (format!("{:+.1}", self.percent()), self.verdict.name().into());
        [self.case.clone(), self.batch.to_string(), self.clock.into(), before, now, change, verdict]
    }

    fn json(&self) -> Value {
        let (percent, verdict) = (self.percent(), self.verdict.name());
        json!({"before": self.before, "now": self.now, "change_pct": percent, "verdict": verdict})
    }
}

/// What `--json` says about one case: an object for each clock that both runs have.
pub(crate) fn json(compared: &[Comparison], row: &Row) -> Value {
    let find = |clock| compared.iter().find(|c| c.clock == clock && c.case == row.case && c.batch == row.batch);
    json!({"wall_ms": find("wall").map(Comparison::json), "gpu_ms": find("gpu").map(Comparison::json)})
}

/// A name that is safe as a file name.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) {
        return Err("use letters, digits, '-', '_' and '.'".into());
    }
    Ok(text.into())
}

/// Where samples of this name are kept: the user's data folder.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    let folder = |key: &str| std::env::var_os(key).filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".local/share"));
    let Some(data) = folder("XDG_DATA_HOME").or_else(|| folder("LOCALAPPDATA")).or_else(home) else {
        return Err(Failure::Usage("no folder to keep samples in; set XDG_DATA_HOME".into()));
    };
    Ok(data.join("spp-wgpu").join("bench").join(format!("{name}.json")))
}

/// Makes the folder if there is none. Errors: there are samples already and `force` is not given.
pub(crate) fn reserve(path: &Path, force: bool) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::File { path: folder.into(), reason: error.to_string() })?;
    }
    writable(path, force)
}

/// Errors as [`reserve`], and whatever the file system refuses.
pub(crate) fn save(path: &Path, rows: &[Row], force: bool) -> Result<(), Error> {
    reserve(path, force)?;
    write_file(path, content(rows).to_string().as_bytes(), force)
}

fn content(rows: &[Row]) -> Value {
    let kept = |row: &Row| {
        let gpu = row.gpu.as_ref().map(Samples::in_order);
        json!({
            "case": row.case, "batch": row.batch, "precision": row.precision.to_string(),
            "ports": row.ports.to_string(), "wall_ms": row.wall.in_order(), "gpu_ms": gpu,
        })
    };
    let device = rows.first().map(|row| &row.device);
    json!({"device": device, "cases": rows.iter().map(kept).collect::<Value>()})
}

impl Baseline {
    /// Errors: no such file, or one that [`save`] did not write.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let bad = |reason: String| Error::File { path: path.into(), reason };
        let text = fs::read_to_string(path).map_err(|error| bad(format!("no baseline to compare with: {error}")))?;
        let value = serde_json::from_str(&text).map_err(|error| bad(format!("is not a saved benchmark: {error}")))?;
        Self::parse(&value)
            .ok_or_else(|| bad("is not a saved benchmark; make a new one with --save and --force".into()))
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(String::from);
        let device = value["device"].as_array()?.iter().map(text).collect::<Option<Vec<_>>>()?;
        let times = |value: &Value| {
            let positive = |time: &Value| time.as_f64().filter(|&time| time > 0.0);
            Samples::new(value.as_array()?.iter().map(positive).collect::<Option<_>>()?).ok()
        };
        // Samples kept before there was a choice.
        let stored = |value: &Value| Storage::parse(value.as_str().unwrap_or("f32")).ok();
        let kept = |case: &Value| {
            let gpu = &case["gpu_ms"];
            Some(Kept {
                case: text(&case["case"])?,
                batch: case["batch"].as_u64()?.try_into().ok()?,
                stored: Storage { precision: stored(&case["precision"])?, ports: stored(&case["ports"])? },
                wall: times(&case["wall_ms"])?,
                gpu: if gpu.is_null() { None } else { Some(times(gpu)?) },
            })
        };
        let cases = value["cases"].as_array()?.iter().map(kept).collect::<Option<_>>()?;
        Some(Self { device: device.try_into().ok()?, cases })
    }

    pub(crate) fn has(&self, case: &str, batch: u32, stored: Storage) -> bool {
        self.find(case, batch, stored).is_some()
    }

    fn find(&self, case: &str, batch: u32, stored: Storage) -> Option<&Kept> {
        self.cases.iter().find(|kept| kept.case == case && kept.batch == batch && kept.stored == stored)
    }

    /// One comparison for each row and clock that the baseline also has.
    pub(crate) fn compare(&self, rows: &[Row]) -> Vec<Comparison> {
        let mut compared = Vec::new();
        for row in rows {
            let stored = Storage { precision: row.precision, ports: row.ports };
            let Some(kept) = self.find(&row.case, row.batch, stored) else { continue };
            let case = (row.case.as_str(), row.batch);
            compared.push(Comparison::new(case, "wall", &kept.wall, &row.wall));
            if let (Some(before), Some(now)) = (&kept.gpu, &row.gpu) {
                compared.push(Comparison::new(case, "gpu", before, now));
            }
        }
        compared
    }
}

#[cfg(test)]
mod tests {
    use spp_wgpu::Precision;
    use spp_wgpu::graph::GraphCost;

    use super::*;
    use crate::bench::judge;

    /// Thirty times around 10 ms, as measured on a processor that does other things, too.
    const TIMES: [f64; 30] = [
        10.21, 9.94, 10.02, 10.87, 9.91, 9.97, 10.05, 10.11, 9.89, 10.34, 9.93, 10.0, 11.62, 9.96, 9.9, 10.08, 10.15,
        9.95, 9.98, 10.41, 10.03, 9.92, 10.57, 9.99, 10.01, 9.88, 10.26, 9.94, 10.06, 10.7,
    ];

    fn row(factor: f64) -> Row {
        let samples = || Samples::new(TIMES.map(|time| time * factor).into()).unwrap();
        Row {
            case: "pyramid".into(),
            batch: 1,
            precision: Precision::F32,
            ports: Precision::F32,
            device: ["adapter", "backend", "driver"].map(String::from),
            dispatches: 1,
            planned_bytes: 0,
            cost: GraphCost::default(),
            cold_ms: Some(1.0),
            warm_ms: 1.0,
            wall: samples(),
            gpu: Some(samples()),
            floor: None,
            estimated_ms: None,
            steps: None,
        }
    }

    #[test]
    fn what_is_saved_is_compared_by_its_raw_samples() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made").join("before.json");
        save(&path, &[row(1.0)], false).unwrap();
        let before = Baseline::load(&path).unwrap();
        for (factor, verdict) in [(1.0, Verdict::Noise), (1.1, Verdict::Slower), (0.9, Verdict::Faster)] {
            let compared = before.compare(&[row(factor)]);
            assert_eq!(compared.iter().map(|c| c.clock).collect::<Vec<_>>(), ["wall", "gpu"]);
            for c in compared {
                assert!(c.verdict == verdict && c.enough, "{factor}: {c:?}");
                assert!((c.percent() - 100.0 * (factor - 1.0)).abs() < 1e-9, "{factor}: {c:?}");
            }
        }
        assert!(save(&path, &[], false).unwrap_err().to_string().contains("--force"));
        let stored = Storage { precision: Precision::F32, ports: Precision::F32 };
        assert!(before.has("pyramid", 1, stored) && !before.has("pyramid", 2, stored));
        assert!(!before.has("pyramid", 1, Storage { precision: Precision::F16, ..stored }));
        for other in [
            Row { batch: 2, ..row(1.0) },
            Row { precision: Precision::F16, ..row(1.0) },
            Row { ports: Precision::F16, ..row(1.0) },
        ] {
            assert!(before.compare(&[other]).is_empty(), "times of other things are not compared");
        }
        assert_eq!(before.compare(&[Row { gpu: None, ..row(1.0) }]).len(), 1);
    }

    #[test]
    fn only_what_is_significant_and_over_the_limit_fails() {
        let before = Baseline::parse(&content(&[row(1.0)])).unwrap();
        let judged = |limit, factor| judge(limit, &before.compare(&[row(factor)]));
        assert!(matches!(judged(Some(5.0), 1.1), Err(Failure::Check)));
        for (limit, factor) in [(Some(5.0), 1.0), (Some(5.0), 1.04), (Some(5.0), 0.9), (Some(20.0), 1.1), (None, 1.1)] {
            assert!(judged(limit, factor).is_ok(), "{limit:?} {factor}");
        }
        // Twice the time, but too few samples to say so.
        let few = |factor: f64| Row { wall: Samples::new(vec![factor; 3]).unwrap(), gpu: None, ..row(1.0) };
        let compared = Baseline::parse(&content(&[few(1.0)])).unwrap().compare(&[few(2.0)]);
        assert!(compared[0].verdict == Verdict::Noise && !compared[0].enough && compared[0].percent() == 100.0);
        assert!(judge(Some(5.0), &compared).is_ok());
    }

    #[test]
    fn what_is_not_a_baseline_is_refused() {
        let good = content(&[row(1.0)]);
        assert!(Baseline::parse(&good).is_some());
        let bad = [
            ("/device", json!(["adapter", "backend"])),
            ("/device/0", json!(7)),
            ("/cases", json!({})),
            ("/cases/0/case", json!(null)),
            ("/cases/0/batch", json!(-1)),
            ("/cases/0/precision", json!("f64")),
            ("/cases/0/wall_ms", json!([])),
            ("/cases/0/wall_ms/3", json!("10")),
            ("/cases/0/wall_ms/3", json!(0.0)),
            ("/cases/0/gpu_ms", json!("none")),
        ];
        for (pointer, value) in bad {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(Baseline::parse(&changed).is_none(), "{pointer}");
        }
    }
}
