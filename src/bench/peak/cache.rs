//! Peaks are measured once for an adapter and its driver, and kept as JSON in the user's cache folder.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wgpu::AdapterInfo;

use super::measure_peaks;
use crate::bench::Peaks;
use crate::case::write_whole;
use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// What the device reaches: what is kept of an earlier measurement, or measured now and kept. `cache` is the folder;
/// `None`: `spp-wgpu` in the user's cache folder (`XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`, `LOCALAPPDATA`).
/// `refresh` measures in any case. A file that cannot be understood is warned of and replaced; one that cannot be
/// written is warned of. Errors: those of [`measure_peaks`].
pub fn peaks(gpu: &Gpu, cache: Option<&Path>, refresh: bool) -> Result<Peaks> {
    let folder = cache.map(Path::to_path_buf).or_else(|| user_folder(|name| std::env::var_os(name)));
    let Some(folder) = folder else {
        log::warn!("peaks are not kept: the environment names no folder for caches");
        return measure_peaks(gpu);
    };
    kept(&folder, &Key::new(gpu.info()), refresh, || measure_peaks(gpu))
}

/// Whose peaks they are.
struct Key(Value);

impl Key {
    fn new(info: &AdapterInfo) -> Self {
        let AdapterInfo { name, driver, driver_info, .. } = info;
        let version = env!("CARGO_PKG_VERSION");
        let backend = info.backend.to_str();
        Self(json!({
            "adapter": name, "backend": backend, "driver": driver, "driver_info": driver_info, "version": version,
        }))
    }

    /// A name that people can read. Where two keys share one, the file's own key tells which it is of.
    fn file_name(&self) -> String {
        let values = self.0.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_str);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = values.collect::<Vec<_>>().join("-").chars().map(plain).take(120).collect();
        format!("peaks-{name}.json")
    }
}

fn user_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path is to be ignored, says the XDG base directory specification.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
    };
    folder.map(|folder| folder.join("spp-wgpu"))
}

fn kept(folder: &Path, key: &Key, refresh: bool, measure: impl FnOnce() -> Result<Peaks>) -> Result<Peaks> {
    let path = folder.join(key.file_name());
    if !refresh {
        match read(&path, key) {
            Ok(Some(peaks)) => return Ok(peaks),
            Ok(None) => {}
            Err(error) => log::warn!("{error}; measuring again"),
        }
    }
    let peaks = measure()?;
    let text = format!("{:#}\n", json!({"key": key.0, "peaks": peaks.json()}));
    let written = fs::create_dir_all(folder).and_then(|()| write_whole(&path, text.as_bytes()));
    if let Err(error) = written {
        log::warn!("{}: peaks are not kept: {error}", path.display());
    }
    Ok(peaks)
}

/// `None` where there is no file, or one of another key.
fn read(path: &Path, key: &Key) -> Result<Option<Peaks>> {
    let bad = |reason: String| Error::File { path: path.into(), reason };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error.to_string())),
    };
    let file: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    match (file.get("key"), file.get("peaks")) {
        (Some(found), _) if *found != key.0 => Ok(None),
        (Some(_), Some(peaks)) => Peaks::from_json(peaks).map(Some).map_err(|error| bad(error.to_string())),
        _ => Err(bad("has no 'key' and 'peaks'".into())),
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

    /// What [`Peaks::json`] wrote. Errors: a field that is missing, or is no finite number above zero.
    pub fn from_json(value: &Value) -> Result<Self> {
        let field = |name: &str| value.get(name).ok_or_else(|| Error::data("peaks", format!("'{name}' is missing")));
        let number = |name: &str| {
            let number = field(name)?.as_f64();
            number.ok_or_else(|| Error::data("peaks", format!("'{name}' is no number")))
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
    use std::cell::Cell;

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

    fn key(driver: &str) -> Key {
        Key(json!({"adapter": "A/b (c)", "driver": driver}))
    }

    /// `kept`, and how often it measured.
    fn ask(folder: &Path, key: &Key, refresh: bool) -> (Peaks, u32) {
        let measured = Cell::new(0);
        let peaks = kept(folder, key, refresh, || {
            measured.set(measured.get() + 1);
            Ok(PEAKS)
        });
        (peaks.unwrap(), measured.get())
    }

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

    #[test]
    fn a_second_time_nothing_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not/there/yet");
        assert_eq!(ask(&inner, &key("1"), false), (PEAKS, 1));
        assert_eq!(ask(&inner, &key("1"), false), (PEAKS, 0));
        assert_eq!(ask(&inner, &key("1"), true), (PEAKS, 1));
        let files: Vec<_> = fs::read_dir(&inner).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["peaks-a-b--c--1.json"]);
    }

    #[test]
    fn another_drivers_peaks_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        ask(folder.path(), &key("1"), false);
        assert_eq!(ask(folder.path(), &key("2"), false).1, 1);
        // The same file name, another key.
        let (dot, dash) = (key("1.2"), key("1-2"));
        assert_eq!(dot.file_name(), dash.file_name());
        ask(folder.path(), &dot, false);
        assert_eq!(ask(folder.path(), &dash, false).1, 1);
    }

    #[test]
    fn a_corrupt_file_is_measured_anew_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(key("1").file_name());
        let unsound = json!({"key": key("1").0, "peaks": {}}).to_string();
        for corrupt in [&b""[..], b"{\"key\": ", b"[]", b"\xff\xfe", unsound.as_bytes()] {
            fs::write(&path, corrupt).unwrap();
            assert_eq!(ask(folder.path(), &key("1"), false), (PEAKS, 1));
            assert_eq!(ask(folder.path(), &key("1"), false), (PEAKS, 0));
        }
        // A folder in the file's place cannot be replaced: nothing is kept, but the peaks are there.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(ask(folder.path(), &key("1"), false), (PEAKS, 1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn relative_folders_are_ignored() {
        assert_eq!(user_folder(|_| None), None);
        assert_eq!(user_folder(|_| Some("cache".into())), None);
        let home = std::env::temp_dir();
        assert!(user_folder(|_| Some(home.clone().into())).unwrap().starts_with(&home));
    }
}
