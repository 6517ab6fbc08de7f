//! The names of classes.

use std::fs;
use std::path::Path;

use spp_wgpu::Error;
use spp_wgpu::detection::labels::noted;
use spp_wgpu::onnx::Model;

/// What classes are called, by their number.
#[derive(Debug, Default)]
pub(crate) struct Labels(Vec<String>);

impl Labels {
    /// One per line of a file; else what the exporter noted, if it did.
    pub(crate) fn open(file: Option<&Path>, model: &Model) -> Result<Self, Error> {
        let labels: Vec<String> = match file {
            Some(path) => {
                let text = fs::read_to_string(path);
                let text = text.map_err(|error| Error::File { path: path.into(), reason: error.to_string() })?;
                text.trim_end().lines().map(|line| line.trim().into()).collect()
            }
            None => model.metadata.get("names").and_then(|text| noted(text)).unwrap_or_default(),
        };
        // A file may hold what a terminal takes for commands.
        Ok(Self(labels.into_iter().map(|label| label.chars().filter(|c| !c.is_control()).collect()).collect()))
    }

    /// Takes the usual ones if there are none.
    pub(crate) fn default_to(&mut self, usual: &[&str]) {
        if self.0.is_empty() {
            self.0 = usual.iter().map(|label| label.to_string()).collect();
        }
    }

    /// How many classes they name, if any.
    pub(crate) fn count(&self) -> Option<usize> {
        Some(self.0.len()).filter(|&count| count > 0)
    }

    /// Its number, if it has no name.
    pub(crate) fn of(&self, class: usize) -> String {
        self.0.get(class).filter(|label| !label.is_empty()).cloned().unwrap_or_else(|| format!("class {class}"))
    }
}
