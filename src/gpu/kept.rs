//! What was found out about an adapter and its driver, kept as JSON in the user's cache folder.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wgpu::AdapterInfo;

use crate::case::write_whole;
use crate::error::{Error, Result};

/// A file for one adapter, its driver and this version of the crate.
#[derive(Debug)]
pub(crate) struct Kept {
    what: &'static str,
    path: PathBuf,
    key: Value,
}

impl Kept {
    /// `folder`: `None` for `spp-wgpu` in the user's cache folder (`XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches`,
    /// `LOCALAPPDATA`). `None`, with a warning, if the environment names no folder for caches.
    pub(crate) fn new(what: &'static str, info: &AdapterInfo, folder: Option<&Path>) -> Option<Self> {
        let AdapterInfo { name, driver, driver_info, .. } = info;
        let version = env!("CARGO_PKG_VERSION");
        let backend = info.backend.to_str();
        let key = json!({
            "adapter": name, "backend": backend, "driver": driver, "driver_info": driver_info, "version": version,
        });
        let folder = folder.map(Path::to_path_buf).or_else(|| user_folder(|name| std::env::var_os(name)));
        if folder.is_none() {
            log::warn!("{what} are not kept: the environment names no folder for caches");
        }
        folder.map(|folder| Self::of(what, key, &folder))
    }

    /// A file name that people can read. If two keys share one, the key in the file tells which of them it belongs to.
    fn of(what: &'static str, key: Value, folder: &Path) -> Self {
        let values = key.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_str);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = values.collect::<Vec<_>>().join("-").chars().map(plain).take(120).collect();
        Self { what, path: folder.join(format!("{what}-{name}.json")), key }
    }

    /// What is kept; `None` if there is no file, or one with another key. A file that `parse` refuses causes a warning.
    pub(crate) fn read<T>(&self, parse: impl Fn(&Value) -> Result<T>) -> Option<T> {
        self.parsed(parse).unwrap_or_else(|error| {
            log::warn!("{error}; it will be replaced");
            None
        })
    }

    fn parsed<T>(&self, parse: impl Fn(&Value) -> Result<T>) -> Result<Option<T>> {
        let bad = |reason: String| Error::File { path: self.path.clone(), reason };
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
        };
        let file: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        match (file.get("key"), file.get(self.what)) {
            (Some(found), _) if *found != self.key => Ok(None),
            (Some(_), Some(value)) => parse(value).map(Some).map_err(|error| bad(error.to_string())),
            _ => Err(bad(format!("has no 'key' and '{}'", self.what))),
        }
    }

    /// Replaces what is kept. A failure causes a warning.
    pub(crate) fn write(&self, value: &Value) {
        let text = format!("{:#}\n", json!({"key": self.key, self.what: value}));
        let written = match self.path.parent() {
            Some(folder) => fs::create_dir_all(folder).and_then(|()| write_whole(&self.path, text.as_bytes())),
            None => Ok(()),
        };
        if let Err(error) = written {
            log::warn!("{}: {} are not kept: {error}", self.path.display(), self.what);
        }
    }
}

fn user_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG base directory specification says to ignore a relative path.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(driver: &str, folder: &Path) -> Kept {
        Kept::of("numbers", json!({"adapter": "A/b (c)", "driver": driver}), folder)
    }

    fn number(value: &Value) -> Result<u64> {
        value.as_u64().ok_or_else(|| Error::data("number", "is none"))
    }

    #[test]
    fn what_is_written_is_read_and_files_have_plain_names() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not/there/yet");
        assert_eq!(kept("1", &inner).read(number), None);
        kept("1", &inner).write(&json!(7));
        assert_eq!(kept("1", &inner).read(number), Some(7));
        kept("1", &inner).write(&json!(8));
        assert_eq!(kept("1", &inner).read(number), Some(8));
        let files: Vec<_> = fs::read_dir(&inner).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["numbers-a-b--c--1.json"]);
    }

    #[test]
    fn a_file_from_another_driver_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        kept("1", folder.path()).write(&json!(7));
        assert_eq!(kept("2", folder.path()).read(number), None);
        // The same file name, another key.
        let (dot, dash) = (kept("1.2", folder.path()), kept("1-2", folder.path()));
        assert_eq!(dot.path, dash.path);
        dot.write(&json!(7));
        assert_eq!(dash.read(number), None);
        assert_eq!(dot.read(number), Some(7));
    }

    #[test]
    fn a_corrupt_file_is_passed_over_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept("1", folder.path());
        let unsound = json!({"key": kept.key, "numbers": "seven"}).to_string();
        for corrupt in [&b""[..], b"{\"key\": ", b"[]", b"\xff\xfe", unsound.as_bytes()] {
            fs::write(&kept.path, corrupt).unwrap();
            assert_eq!(kept.read(number), None);
            kept.write(&json!(7));
            assert_eq!(kept.read(number), Some(7));
        }
        // A folder in the file's place cannot be replaced: nothing is kept, and nothing else is left.
        fs::remove_file(&kept.path).unwrap();
        fs::create_dir(&kept.path).unwrap();
        kept.write(&json!(7));
        assert_eq!(kept.read(number), None);
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
