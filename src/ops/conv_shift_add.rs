//! Convolutions of few output channels and many taps, as ASPP's of DeepLab v2, in two steps: one matrix product makes what
//! every tap contributes, then each pixel adds up its own. Tiles are full where 21 channels leave a third of them empty,
//! and there are as many more as there are taps. Attributes and truth are [`super::Conv`]'s; shaders: a convolution kernel,
//! then `shift_add`.

use super::conv_jobs::{Job, Term, summed_bias};
use super::{Conv, WG_SIZE, conv, conv_choice, workgroups};
use crate::error::Result;
use crate::plan::{Constant, DeviceProfile, Planner, Shader, Step, padded, params, piece, shader};
use crate::tensor::{Shape, Tensor};

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    taps: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "shift_add",
    text: shader!("shift_add"),
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// Output channels, at most: with more, what the taps contribute is far larger than input and output.
const MAX_OUT_C: u32 = 32;

/// Whether it computes these jobs: one of them, few output channels, several taps of one input at stride 1, no residual;
/// and whether the device can hold what the taps contribute.
pub(super) fn takes(profile: &DeviceProfile, jobs: &[Job]) -> bool {
    let [Job { terms, residual: None, y, .. }] = jobs else { return false };
    let fits = |term: &Term| term.conv.stride == [1, 1] && term.conv.groups == 1 && term.x == terms[0].x;
    let few = y.shape.c <= MAX_OUT_C && y.segments.len() == 1;
    let taps = terms.iter().flat_map(Term::taps).count() as u64;
    let bytes = terms.first().map_or(0, |term| u64::from(term.x.pixels()) * u64::from(y.physical_c()) * taps * 4);
    few && terms.iter().all(fits) && taps > 1 && bytes <= profile.max_binding.min(profile.max_buffer)
}

/// Whether it takes them and their sums are so long that few workgroups would be at them for long, and read weights that
/// no cache holds again for every tile (llvmpipe: 148 to 125 ms for DeepLab v2's at 41x41).
pub(super) fn pays(profile: &DeviceProfile, jobs: &[Job]) -> bool {
    const LONG: usize = 4096;
    let products = |term: &Term| term.taps().count() * term.x.shape.c as usize;
    takes(profile, jobs) && jobs.iter().flat_map(|job| &job.terms).map(products).sum::<usize>() >= LONG
}

/// For jobs that it [`takes`].
pub(super) fn plan(planner: &mut Planner, job: &Job) -> Result<()> {
    let Some(Term { x, .. }) = job.terms.first() else { return Ok(()) };
    let (y, node) = (&job.y, &job.node);
    let (mut shifts, mut weights) = (Vec::new(), Vec::new());
    for term in &job.terms {
        let Conv { dilation, padding, .. } = &term.conv;
        for tap in term.taps() {
            let [dy, dx] = [tap[0] * dilation[0], tap[1] * dilation[1]].map(i64::from);
            shifts.extend([dy - i64::from(padding.top), dx - i64::from(padding.left)].map(|shift| shift as i32 as u32));
            for o in 0..y.physical_c() {
                weights.extend((0..x.shape.c).map(|i| term.weight_at(o, Some(i), tap)));
            }
        }
    }
    let taps = shifts.len() as u32 / 2;
    let products = taps * padded(y.shape.c);
    let weight = Tensor::new(Shape::new(products, x.shape.c, 1, 1), weights)?;
    let shape = Shape { c: products, ..x.shape }.check("shift_add")?;
    let z = planner.scratch(format!("products of '{node}'"), shape, vec![shape.c]);
    let term = Term { conv: Conv::new(weight), x: x.clone() };
    let jobs = vec![Job {
        node: node.clone(),
        terms: vec![term],
        residual: None,
        activation: Default::default(),
        y: z.clone(),
        reader_adds: false,
    }];
    let way = conv_choice::untuned(planner, &jobs);
    conv::plan_by(planner, way, jobs)?;

    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        taps,
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let bias = summed_bias(job, y.physical_c());
    let shifts_len = shifts.len();
    let shifts = planner.constant(format!("shifts of '{node}'"), shifts);
    let table = planner.weights(format!("bias of '{node}'"), &bias);
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, &z);
    let step = step.table(1, shifts, shifts_len).table(2, table, bias.len()).writes(3, y);
    let step = step.flops(u64::from(taps) * y.shape.len()).loops([taps]);
    planner.push(step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constants(job.activation.constants()));
    Ok(())
}
