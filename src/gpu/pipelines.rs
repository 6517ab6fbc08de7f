//! What the driver makes of kernels, kept in a file from one process to the next.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use wgpu::{Device, Features, PipelineCache};

use super::{Gpu, scoped, trusted};
use crate::case::write_whole;
use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Pipelines {
    path: PathBuf,
    owner: String,
    pub(super) cache: PipelineCache,
}

impl Pipelines {
    /// `None` if the device cannot. A file that is of no use causes a warning, and is replaced.
    pub(super) fn open(folder: &Path, device: &Device) -> Result<Option<Self>> {
        let info = device.adapter_info();
        let able = device.features().contains(Features::PIPELINE_CACHE);
        let Some(name) = wgpu::util::pipeline_cache_key(&info).filter(|_| able) else {
            return Ok(None);
        };
        // An app's own cache may lie in the same folder, under the name that wgpu proposes.
        let path = folder.join(format!("spp_{name}"));
        let owner = [name.as_str(), &info.name, &info.driver, &info.driver_info, env!("CARGO_PKG_VERSION")].join("\n");
        let (file, reason) = match fs::read(&path) {
            Ok(file) => (file, Some("is damaged, or from another driver or version".into())),
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let (cache, used) = scoped(device, |device| trusted::pipeline_cache(device, &owner, &file))?;
        if let (false, Some(reason)) = (used, reason) {
            log::warn!("{}: {reason}; compiling again", path.display());
        }
        Ok(Some(Self { path, owner, cache }))
    }

    fn save(&self) -> Result<bool> {
        let Some(data) = self.cache.get_data() else {
            return Ok(false);
        };
        let bad = |error: std::io::Error| Error::File { path: self.path.clone(), reason: error.to_string() };
        self.path.parent().map_or(Ok(()), fs::create_dir_all).map_err(bad)?;
        write_whole(&self.path, &trusted::sealed(&self.owner, &data)).map_err(bad)?;
        Ok(true)
    }
}

impl Gpu {
    /// Writes what the driver has compiled so far to [`GpuOptions::pipeline_cache`](super::GpuOptions::pipeline_cache),
    /// a whole file or none; the folder is created if need be. `false`: nothing is kept, because no folder was given or
    /// the device cannot (Vulkan can; Metal and DX12 keep pipelines by themselves). Errors: what the file system
    /// refuses; a lost device.
    pub fn save_pipelines(&self) -> Result<bool> {
        let saved = self.inner.pipelines.as_ref().map_or(Ok(false), Pipelines::save);
        self.alive()?;
        saved
    }
}
