//! A convolution's sum in parts, for maps so small that their tiles would leave cores of a GPU idle. Each workgroup
//! computes one part, over some of the input channels, and the first reader adds them up: no dispatch is added, and
//! only sums whose reader can do that are split. Shader side: `conv`, and `shaders/shared/parts.wgsl` for readers.

use super::jobs::Job;
use crate::error::Result;
use crate::graph::NodeId;
use crate::kernels::activation;
use crate::ops::Activation;
use crate::plan::{Builder, Slice, Step, piece};
use crate::tensor::Shape;

/// What is left to be added up.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The node whose result they are.
    pub(crate) of: NodeId,
    /// One map per part, one after the other; the first holds the bias.
    maps: Slice,
    count: u32,
    /// Of the sum.
    activation: Activation,
}

impl Parts {
    /// The job that computes `job` in `count` parts, and those parts.
    pub(super) fn split(builder: &mut Builder, job: Job, count: u32) -> Result<(Job, Self)> {
        let shape = Shape { n: job.y.shape.n * count, ..job.y.shape };
        let maps = builder.sums(format!("parts of '{}'", job.node), shape, [shape.c].into())?;
        let parts = Self { of: job.id, maps: maps.clone(), count, activation: job.activation };
        Ok((Job { y: maps, activation: Activation::None, ..job }, parts))
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Vec4s of a part.
    pub(crate) fn len4(&self) -> u32 {
        let first = self.first();
        first.pixels() * first.channels4()
    }

    /// The first part.
    pub(crate) fn first(&self) -> Slice {
        let shape = Shape { n: self.maps.shape.n / self.count, ..self.maps.shape };
        Slice { shape, ..self.maps.clone() }
    }

    /// Binds them for a shader completed by a piece that names them `x`, and whose parameters say how many parts of what
    /// length there are.
    pub(crate) fn read_by(&self, step: Step, slot: u32) -> Step {
        let step = step.reads(slot, &self.maps).flops(u64::from(self.count - 1) * self.first().shape.len());
        let step = step.piece(piece!("parts")).piece(piece!("activation")).piece(piece!("functions_all"));
        step.constants(activation(self.activation))
    }
}
