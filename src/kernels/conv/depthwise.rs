//! Depthwise convolution. Attributes: [`crate::ops::Conv`]; shader: `conv_depthwise`.

use std::collections::BTreeMap;

use super::jobs::{self, Job, Kernel, Tiling};
use crate::error::Result;
use crate::kernels::WG_SIZE;
use crate::plan::{Builder, Constant, Shader, piece, shader};

pub(crate) static SHADER: Shader = Shader {
    stem: "conv_depthwise",
    text: shader!("conv/depthwise"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("jobs"), piece!("window"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: jobs::TABLES,
};

/// Whether each channel is by itself, and neighbours read the same columns.
pub(super) fn supports(job: &Job) -> bool {
    let [term] = &job.terms[..] else { return false };
    let (conv, channels) = (&term.conv, term.x.shape.c);
    let is_depthwise = conv.groups > 1 && conv.groups == channels && job.y.shape.c == channels;
    is_depthwise && conv.dilation[1] == 1 && conv.stride[1] <= 2
}

/// One dispatch for the jobs that have the same width of kernel and the same stride.
pub(super) fn plan(builder: &mut Builder, jobs: Vec<Job>) -> Result<()> {
    let mut alike: BTreeMap<[u32; 2], Vec<Job>> = BTreeMap::new();
    for job in jobs {
        let conv = &job.terms[0].conv;
        alike.entry([conv.kernel()[1], conv.stride[1]]).or_default().push(job);
    }
    for ([kernel_w, stride_w], jobs) in alike {
        let constants = [("WG_SIZE", WG_SIZE), ("KERNEL_W", kernel_w), ("STRIDE_W", stride_w)];
        let kernel = Kernel {
            shader: &SHADER,
            pieces: Vec::new(),
            tiling: Tiling::Runs { values: WG_SIZE, columns: 4 },
            parts: 1,
            block_c: jobs[0].y.physical_c(),
            step_c: 1,
            read4: 1,
            by_output: false,
            loop_c: [1, 0],
            compiled: None,
            constants: constants.map(|(name, value)| (name, Constant::U32(value))).into(),
        };
        // Weights are in blocks of all channels.
        let mut by_channels: BTreeMap<u32, Vec<Job>> = BTreeMap::new();
        jobs.into_iter().for_each(|job| by_channels.entry(job.y.physical_c()).or_default().push(job));
        for (block_c, jobs) in by_channels {
            let kernel = Kernel { block_c, constants: kernel.constants.clone(), pieces: Vec::new(), ..kernel };
            jobs::plan(builder, &kernel, jobs)?;
        }
    }
    Ok(())
}
