//! Peaks are measured once for an adapter and its driver, and kept.

use std::path::Path;

use serde_json::{Value, json};

use super::measure_peaks;
use crate::bench::Peaks;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Kept};

/// What the device reaches: kept from an earlier measurement, or measured now and kept. `cache` is the folder;
/// `None`: `spp-wgpu` in the user's cache folder (`XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`, `LOCALAPPDATA`).
/// `refresh` always measures. A file that cannot be understood causes a warning and is replaced; one that cannot be
/// written causes a warning. Errors: those of [`measure_peaks`].
pub fn peaks(gpu: &Gpu, cache: Option<&Path>, refresh: bool) -> Result<Peaks> {
    let kept = Kept::new("peaks", gpu.info(), cache);
    let old = kept.as_ref().filter(|_| !refresh).and_then(|kept| kept.read(Peaks::from_json));
    match old {
        Some(peaks) => Ok(peaks),
        None => {
            let peaks = measure_peaks(gpu)?;
            if let Some(kept) = kept {
                kept.write(&peaks.json());
            }
            Ok(peaks)
        }
    }
}

impl Peaks {
    /// Every field by name.
    fn fields(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("f32_gflops", Some(self.f32_gflops)),
            ("f16_gflops", self.f16_gflops),
            ("coop_gflops", self.coop_gflops),
            ("copy_gbps", Some(self.copy_gbps)),
            ("upload_gbps", Some(self.upload_gbps)),
            ("download_gbps", Some(self.download_gbps)),
            ("dispatch_us", Some(self.dispatch_us)),
            ("submit_us", Some(self.submit_us)),
        ]
    }

    /// Whether every number is finite and above zero.
    pub(super) fn is_sound(&self) -> bool {
        self.fields().iter().all(|(_, value)| value.is_none_or(|value| value.is_finite() && value > 0.0))
    }

    /// An object with the fields' names; what was not measured is null.
    pub fn json(&self) -> Value {
        self.fields().into_iter().map(|(name, value)| (name, json!(value))).collect()
    }

    /// What [`Peaks::json`] wrote. Errors: a field that is missing, or is not a finite number above zero.
    pub fn from_json(value: &Value) -> Result<Self> {
        let field = |name: &str| value.get(name).ok_or_else(|| Error::data("peaks", format!("'{name}' is missing")));
        let number = |name: &str| {
            let number = field(name)?.as_f64();
            number.ok_or_else(|| Error::data("peaks", format!("'{name}' is not a number")))
        };
        let maybe = |name: &str| if field(name)?.is_null() { Ok(None) } else { number(name).map(Some) };
        let peaks = Self {
            f32_gflops: number("f32_gflops")?,
            f16_gflops: maybe("f16_gflops")?,
            coop_gflops: maybe("coop_gflops")?,
            copy_gbps: number("copy_gbps")?,
            upload_gbps: number("upload_gbps")?,
            download_gbps: number("download_gbps")?,
            dispatch_us: number("dispatch_us")?,
            submit_us: number("submit_us")?,
        };
        if peaks.is_sound() { Ok(peaks) } else { Err(Error::data("peaks", "a number is not finite or not above zero")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEAKS: Peaks = Peaks {
        f32_gflops: 60_000.5,
        f16_gflops: Some(1e5 / 3.0),
        coop_gflops: None,
        copy_gbps: 4300.0,
        upload_gbps: 12.0,
        download_gbps: 11.0,
        dispatch_us: 1.5,
        submit_us: 20.25,
    };

    #[test]
    fn json_is_read_back_and_what_is_no_peak_is_refused() {
        assert_eq!(Peaks::from_json(&PEAKS.json()).unwrap(), PEAKS);
        for (field, value) in [("copy_gbps", json!(0.0)), ("submit_us", json!("1")), ("f16_gflops", json!(-1.0))] {
            let mut changed = PEAKS.json();
            changed[field] = value;
            assert!(Peaks::from_json(&changed).is_err(), "{field}");
        }
        for field in ["f32_gflops", "coop_gflops"] {
            let mut lacking = PEAKS.json();
            lacking.as_object_mut().unwrap().remove(field);
            assert!(Peaks::from_json(&lacking).is_err(), "{field}");
        }
    }
}
