//! Benchmark samples kept from one run to the next, and the comparison with them.

use std::path::PathBuf;

use serde_json::{Value, json};
use spp_wgpu::bench::{Row, Samples, Verdict};
use spp_wgpu::{Error, Gpu};

use crate::failure::{Failure, Result};

/// Samples of an earlier run on one adapter and driver.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) name: String,
    pub(crate) cases: Vec<Kept>,
}

/// Samples of one case.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) case: String,
    pub(crate) batch: u32,
    pub(crate) wall: Samples,
}

/// What became of one case.
#[derive(Debug)]
pub(crate) struct Comparison {
    case: String,
    batch: u32,
    /// Medians, milliseconds: before, now. None where the baseline lacks the case.
    before: Option<f64>,
    now: f64,
    /// Of the median, against the baseline's.
    pub(crate) percent: f64,
    pub(crate) verdict: Verdict,
}

impl Comparison {
    pub(crate) const COLUMNS: [&str; 6] = ["case", "batch", "before ms", "now ms", "change %", "verdict"];

    fn verdict(&self) -> &'static str {
        match (self.before, self.verdict) {
            (None, _) => "not in the baseline",
            (_, Verdict::Faster) => "faster",
            (_, Verdict::Slower) => "slower",
            (_, Verdict::Noise) => "noise",
        }
    }

    pub(crate) fn cells(&self) -> [String; 6] {
        let before = self.before.map_or("-".into(), |ms| format!("{ms:.3}"));
        let change = self.before.map_or("-".into(), |_| format!("{:+.1}", self.percent));
        let now = format!("{:.3}", self.now);
        [self.case.clone(), self.batch.to_string(), before, now, change, self.verdict().into()]
    }

    pub(crate) fn json(&self) -> Value {
        let percent = self.before.map(|_| self.percent);
        json!({"before_ms": self.before, "now_ms": self.now, "change_pct": percent, "verdict": self.verdict()})
    }
}

/// A name that is safe as a file's.
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

fn device(gpu: &Gpu) -> [String; 3] {
    let info = gpu.info();
    [info.name.clone(), info.backend.to_string(), format!("{} {}", info.driver, info.driver_info)]
}

/// Writes beside and renames, so that no half of a file is left.
pub(crate) fn save(name: &str, rows: &[Row], force: bool) -> Result<PathBuf> {
    let path = path(name)?;
    let kept = |row: &Row| json!({"case": row.case, "batch": row.batch, "wall_ms": row.wall.in_order()});
    let device = rows.first().map(|row| row.device.clone());
    let content = json!({"device": device, "cases": rows.iter().map(kept).collect::<Value>()});
    crate::output::write_file(&path, content.to_string().as_bytes(), force)?;
    Ok(path)
}

/// Errors: nothing kept under this name, a file that is none of ours, samples of another adapter or driver.
pub(crate) fn load(name: &str, gpu: &Gpu) -> Result<Baseline> {
    let path = path(name)?;
    let bad = |reason: String| Error::File { path: path.clone(), reason };
    let text = std::fs::read_to_string(&path).map_err(|error| bad(format!("no baseline '{name}': {error}")))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| bad(format!("is no saved benchmark: {error}")))?;
    let strange = || bad("is no saved benchmark; save it anew with --save and --force".into());
    let of: Vec<&str> = value["device"].as_array().ok_or_else(strange)?.iter().filter_map(Value::as_str).collect();
    if of != device(gpu) {
        let reason = format!("was measured on {}, this is {}", of.join(", "), device(gpu).join(", "));
        return Err(bad(format!("{reason}; times of different devices do not compare")).into());
    }
    let kept = |case: &Value| {
        let times = case["wall_ms"].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()?;
        Some(Kept {
            case: case["case"].as_str()?.into(),
            batch: case["batch"].as_u64()?.try_into().ok()?,
            wall: Samples::new(times).ok()?,
        })
    };
    let cases = value["cases"].as_array().ok_or_else(strange)?.iter().map(kept).collect::<Option<Vec<_>>>();
    Ok(Baseline { name: name.into(), cases: cases.ok_or_else(strange)? })
}

/// One comparison a row.
pub(crate) fn compare(baseline: &Baseline, rows: &[Row]) -> Vec<Comparison> {
    let comparison = |row: &Row| {
        let kept = baseline.cases.iter().find(|kept| kept.case == row.case && kept.batch == row.batch);
        let (case, batch, now) = (row.case.clone(), row.batch, row.wall.median());
        let before = kept.map(|kept| kept.wall.median());
        let percent = before.map_or(0.0, |before| 100.0 * (now / before - 1.0));
        let verdict = kept.map_or(Verdict::Noise, |kept| row.wall.against(&kept.wall));
        Comparison { case, batch, before, now, percent, verdict }
    };
    rows.iter().map(comparison).collect()
}
