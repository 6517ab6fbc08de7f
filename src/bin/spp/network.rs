//! An ONNX file that takes a picture, ready to run.

use std::path::Path;

use spp_wgpu::onnx::Model;
use spp_wgpu::{Error, PlanOptions, Program, Shape, Tensor, reference};

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::planning::Stored;
use crate::source::Reading;

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) model: Model,
    /// Rows and columns of its input.
    pub(crate) input: [u32; 2],
    /// `None`: the reference.
    program: Option<Program>,
}

impl Network {
    /// Errors: what is no model, or does not take one picture of three channels.
    pub(crate) fn open(
        file: &Path,
        reading: &Reading,
        stored: &Stored,
        matrices: bool,
        device: Option<&str>,
    ) -> Result<Self> {
        let model = Model::load(file, &reading.options())?;
        let refuse = |what: String| {
            let needs = "but a picture needs one input [1, 3, rows, columns]";
            Err(Failure::Usage(format!("{}: {what}, {needs}", file.display())))
        };
        let [port] = &model.inputs[..] else {
            let names: Vec<&str> = model.inputs.iter().map(|port| port.name.as_str()).collect();
            return refuse(format!("has {} inputs ({})", names.len(), names.join(", ")));
        };
        let &[1, 3, rows, columns] = &port.dims[..] else {
            return refuse(format!("its input '{}' is {:?}", port.name, port.dims));
        };
        let device = Device::open_with(device, matrices)?;
        stored.as_a_rule.check(&device)?;
        let options = stored.options(PlanOptions::default());
        let program = match &device {
            Device::Gpu(gpu) => Some(Program::with_options(gpu, &model.graph, &options)?),
            Device::Reference => None,
        };
        Ok(Self { input: [rows, columns], program, model })
    }

    /// The outputs, in the order of the model's.
    pub(crate) fn run(&self, input: Tensor) -> Result<Vec<Tensor>, Error> {
        let Shape { n, c, h, w } = input.shape();
        debug_assert_eq!([n, c, h, w], [1, 3, self.input[0], self.input[1]]);
        match &self.program {
            Some(program) => program.run(&[input]),
            None => reference::run(&self.model.graph, &[input]),
        }
    }
}

/// What classes are called, by their number.
#[derive(Debug, Default)]
pub(crate) struct Labels(Vec<String>);

impl Labels {
    /// One per line of a file; else what the exporter noted; else the usual ones.
    pub(crate) fn open(file: Option<&Path>, model: &Model, usual: &[&str]) -> Result<Self, Error> {
        let lines = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| Error::File { path: path.into(), reason: error.to_string() })?;
                text.lines().map(|line| line.trim().into()).collect()
            }
            None => model.metadata.get("names").and_then(|text| noted(text)).unwrap_or_default(),
        };
        let labels = if lines.is_empty() { usual.iter().map(|label| label.to_string()).collect() } else { lines };
        // A file may hold what a terminal takes for commands.
        Ok(Self(labels.into_iter().map(|label| label.chars().filter(|c| !c.is_control()).collect()).collect()))
    }

    /// Its number, if it has no name.
    pub(crate) fn of(&self, class: usize) -> String {
        self.0.get(class).filter(|label| !label.is_empty()).cloned().unwrap_or_else(|| format!("class {class}"))
    }
}

/// The names of a dictionary as Ultralytics' exporter writes them: `{0: 'person', 1: "driver's seat"}`.
fn noted(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (number, value) = rest.split_once(':')?;
        if number.trim().parse() != Ok(names.len()) {
            return None;
        }
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        let (name, after) = value[1..].split_once(quote)?;
        names.push(name.into());
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_names_are_read() {
        assert_eq!(noted("{0: 'person', 1: \"driver's seat\"}"), Some(vec!["person".into(), "driver's seat".into()]));
        assert_eq!(noted("{}"), Some(vec![]));
        for text in ["", "{0: 'a'", "{1: 'a'}", "{0: a}", "{0: 'a}", "['a']", "{0: ''é}"] {
            assert_eq!(noted(text), None, "{text}");
        }
    }
}
