//! Convolutions of few output channels and many taps, as in DeepLab v2's ASPP, in two steps: one matrix product makes
//! what every tap contributes, then each pixel adds up its own. Tiles are full, where 21 channels would leave a third
//! empty, and there are as many times more as there are taps. Attributes: [`crate::ops::Conv`]; shaders:
//! a convolution kernel, then `conv_shift_add`.

use std::borrow::Cow;

use super::jobs::{Factors, Job, Term, made, summed_bias};
use crate::error::Result;
use crate::kernels::{WG_SIZE, activation, workgroups};
use crate::ops::{Activation, Conv, Recipe, Weight};
use crate::plan::{Builder, Constant, DeviceProfile, Shader, Slice, Step, padded, params, piece, shader};
use crate::tensor::{MAX_ELEMENTS, Shape};

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
    stem: "conv_shift_add",
    text: shader!("conv/shift_add"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("activation"), piece!("functions_all"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
    tables: &[],
};

/// Most output channels: with more, what the taps contribute is far larger than input and output.
const MAX_OUT_C: u32 = 32;

/// Taps that one iteration of the sum's loop adds.
const TAPS: u32 = 4;

/// A shift that leads outside any image: in memory a pixel has four values at least, so that no side of an image is longer
/// than a quarter of what a tensor may hold, half of this.
const OUTSIDE: u32 = 1 << 30;

/// Whether it can compute these jobs: a single one, few output channels, several taps of one input at stride 1, no
/// residual; and whether the device can hold what the taps contribute, and their weights.
pub(super) fn supports(profile: &DeviceProfile, jobs: &[Job]) -> bool {
    let [Job { terms, residual: None, y, .. }] = jobs else { return false };
    let fits = |term: &Term| term.conv.stride == [1, 1] && term.conv.groups == 1 && term.x == terms[0].x;
    let few = y.shape.c <= MAX_OUT_C && y.segments.len() == 1;
    let taps = terms.iter().map(|term| term.conv.taps_len()).fold(0, u64::saturating_add);
    let Some(first) = terms.first().filter(|_| few && terms.iter().all(fits) && taps > 1) else { return false };
    let channels = u64::from(y.physical_c()).saturating_mul(taps);
    let sizes = [u64::from(first.x.pixels()), first.x.shape.c.into()].map(|times| channels.saturating_mul(times));
    let fits = |len: u64| len <= MAX_ELEMENTS && y.element.bytes_of(len) <= profile.max_slice();
    sizes.into_iter().all(fits) && taps <= profile.max_iterations
}

/// Whether it can, and the sums are so long that a few workgroups would take long over them, rereading for every tile
/// weights that no cache holds (llvmpipe: 148 to 125 ms for DeepLab v2's at 41x41).
pub(super) fn is_worthwhile(profile: &DeviceProfile, jobs: &[Job]) -> bool {
    const LONG: u64 = 4096;
    let products = |term: &Term| term.conv.taps_len().saturating_mul(term.x.shape.c.into());
    let long = jobs.iter().flat_map(|job| &job.terms).map(products).fold(0, u64::saturating_add);
    long >= LONG && supports(profile, jobs)
}

/// The sum after the matrix product.
pub(super) struct ShiftAdd<'a> {
    job: &'a Job,
    products: Slice,
    /// Rows and columns from each tap to its pixel, as the bits of `i32`.
    shifts: Vec<[u32; 2]>,
}

/// The matrix product that computes what every tap of a job contributes, and the sum of that. For jobs that it
/// [`supports`].
pub(super) fn split<'a>(builder: &mut Builder, job: &'a Job) -> Result<(Job, ShiftAdd<'a>)> {
    let x = &job.terms[0].x;
    let (y, node) = (&job.y, &job.node);
    let mut shifts = Vec::new();
    let terms: Vec<Factors> = job.terms.iter().map(Term::factors).collect();
    for (term, factors) in job.terms.iter().zip(&terms) {
        let Conv { dilation, padding, .. } = &term.conv;
        for tap in factors.taps() {
            let [dy, dx] = [tap[0] * dilation[0], tap[1] * dilation[1]].map(i64::from);
            shifts.push([dy - i64::from(padding.top), dx - i64::from(padding.left)].map(|shift| shift as i32 as u32));
        }
    }
    let channels = shifts.len() as u32 * padded(y.shape.c);
    let taps = Taps { terms, in_c: x.shape.c, out_c: y.physical_c() };
    let weight = Weight::made(Shape::new(channels, x.shape.c, 1, 1), taps)?;
    let shape = Shape { c: channels, ..x.shape }.check("conv_shift_add")?;
    let products = builder.scratch(format!("products of '{node}'"), shape, [shape.c].into())?;
    let product = Job {
        id: job.id,
        node: node.clone(),
        terms: vec![Term { conv: Conv::new(weight), x: x.clone() }],
        residual: None,
        activation: Activation::None,
        adds_last: false,
        y: products.clone(),
        reader_adds: false,
    };
    Ok((product, ShiftAdd { job, products, shifts }))
}

/// The weights of each tap, as so many output channels.
#[derive(PartialEq, Eq, Hash)]
struct Taps {
    terms: Vec<Factors>,
    in_c: u32,
    out_c: u32,
}

impl Recipe<f32> for Taps {
    fn values(&self) -> Cow<'_, [f32]> {
        let mut weights = Vec::new();
        for factors in &self.terms {
            let at = factors.read();
            for tap in factors.taps() {
                for o in 0..self.out_c {
                    weights.extend((0..self.in_c).map(|i| at(o, Some(i), tap)));
                }
            }
        }
        weights.into()
    }
}

/// Where each tap of a job finds its pixel in the products: see the shader.
#[derive(PartialEq, Eq, Hash)]
struct Shifts {
    shifts: Vec<[u32; 2]>,
    in_w: u32,
    channels4: u32,
}

impl Shifts {
    fn entries(&self) -> u32 {
        (self.shifts.len() as u32).next_multiple_of(TAPS)
    }
}

impl Recipe<u32> for Shifts {
    fn values(&self) -> Cow<'_, [u32]> {
        let taps = self.shifts.len() as u32;
        // The distance of a tap that lies in the image; of others it may wrap around.
        let entry = |(&[dy, dx], t): (&[u32; 2], u32)| {
            let pixels = dy.wrapping_mul(self.in_w).wrapping_add(dx);
            [dy, dx, pixels.wrapping_mul(taps).wrapping_add(t).wrapping_mul(self.channels4), 0]
        };
        let mut table: Vec<u32> = self.shifts.iter().zip(0..).flat_map(entry).collect();
        table.resize(self.entries() as usize * 4, OUTSIDE);
        table.into()
    }
}

impl ShiftAdd<'_> {
    pub(super) fn plan(self, builder: &mut Builder) -> Result<()> {
        let Self { job, products, shifts } = self;
        let (y, node) = (&job.y, &job.node);
        let (len, taps) = (y.pixels() * y.channels4(), shifts.len() as u32);
        let params = Params {
            len,
            channels: y.lanes_to_keep(),
            channels4: y.channels4(),
            taps,
            in_h: products.shape.h,
            in_w: products.shape.w,
            out_h: y.shape.h,
            out_w: y.shape.w,
            y_offset: y.offset4(),
            y_stride: y.stride4(),
        };
        let table = Shifts { shifts, in_w: products.shape.w, channels4: params.channels4 };
        let shifts = builder.table(format!("shifts of '{node}'"), u64::from(table.entries()) * 4, table)?;
        let bias = builder.biases(format!("bias of '{node}'"), summed_bias(job, y.physical_c()))?;
        let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, &products);
        let step = step.table(1, shifts).table(2, bias).writes(3, y);
        let step = step.flops(u64::from(taps) * y.shape.len()).loops([taps.div_ceil(TAPS)]);
        let step = step.constant("WG_SIZE", Constant::U32(WG_SIZE)).constants(activation(job.activation));
        builder.push(step.pieces(builder.stored()).piece(made(builder, y)));
        Ok(())
    }
}
