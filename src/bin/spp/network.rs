//! An ONNX file that takes pictures, as many at a time as it says.

use std::path::Path;

use spp_wgpu::detection::Output;
use spp_wgpu::onnx::Model;
use spp_wgpu::{Error, PlanOptions, Program, Shape, Tensor, reference};

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::planning::Arithmetic;
use crate::source::Reading;

/// Why a command refuses files for a task that it cannot do.
pub(crate) const OTHER_TASK: &str = ", but this command reads none of that; spp run --image writes its outputs";

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) model: Model,
    /// Pictures per run.
    pub(crate) len: usize,
    /// Rows and columns of its input.
    pub(crate) input: [u32; 2],
    /// `None`: the reference.
    program: Option<Program>,
}

impl Network {
    /// Errors: what is no model, or does not take pictures of three channels; what the exporter notes to be for a task that
    /// is `refused`, with the end of the sentence that says so.
    pub(crate) fn open(
        file: &Path,
        reading: &Reading,
        refused: fn(&str) -> Option<&'static str>,
        arithmetic: &Arithmetic,
        device: Option<&str>,
    ) -> Result<Self> {
        let model = Model::load(file, &reading.options()?)?;
        let refuse = |what: String| Err(Failure::Usage(format!("{}: {what}", file.display())));
        if let Some(task) = model.metadata.get("task")
            && let Some(why) = refused(task)
        {
            return refuse(format!("notes that its task is '{}'{why}", task.escape_debug()));
        }
        let needs = "but pictures need one input [n, 3, rows, columns]";
        let [port] = &model.inputs[..] else {
            let names: Vec<&str> = model.inputs.iter().map(|port| port.name.as_str()).collect();
            return refuse(format!("has {} inputs ({}), {needs}", names.len(), names.join(", ")));
        };
        let &[len, 3, rows, columns] = &port.dims[..] else {
            return refuse(format!("its input '{}' is {:?}, {needs}", port.name, port.dims));
        };
        let device = arithmetic.open(device)?;
        let options = arithmetic.options(PlanOptions::default());
        let program = match &device {
            Device::Gpu(gpu) => Some(Program::with_options(gpu, &model.graph, &options)?),
            Device::Reference => None,
        };
        Ok(Self { len: len as usize, input: [rows, columns], program, model })
    }

    /// The outputs of at most [`Self::len`] pictures; the last fills up what is left.
    pub(crate) fn run(&self, pictures: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let Some(last) = pictures.last() else { return Ok(Vec::new()) };
        let all = pictures.iter().chain(std::iter::repeat(last)).take(self.len);
        let data: Vec<f32> = all.flat_map(|picture| picture.data()).copied().collect();
        let input = Tensor::new(Shape { n: self.len as u32, ..last.shape() }, data)?;
        match &self.program {
            Some(program) => program.run(&[input]),
            None => reference::run(&self.model.graph, &[input]),
        }
    }

    /// The results of [`Self::run`] as the file describes them.
    pub(crate) fn outputs<'a>(&'a self, results: &'a [Tensor]) -> Vec<Output<'a>> {
        let ports = self.model.outputs.iter().zip(results);
        ports.map(|(port, result)| Output { name: &port.name, dims: &port.dims, data: result.data() }).collect()
    }
}
