//! What the convolution kernels have in common: one dispatch computes several jobs, each a sum of terms. They need to
//! know only which buffers they share. Shader side: `shaders/shared/jobs.wgsl`.

use std::borrow::Cow;
use std::slice;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::NodeId;
use crate::kernels::Call;
use crate::ops::{Activation, Conv, Padding, Recipe, Weight};
use crate::plan::{
    BufferId, Builder, Constant, DeviceClass, DeviceProfile, Element, Estimate, Fields, Hardware, Load, Piece, Shader,
    Slice, Step, channel_map, params, piece,
};
use crate::tensor::{MAX_ELEMENTS, Shape};

/// One input and its convolution.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    /// Its activation is not applied; its bias and scale are.
    pub(crate) conv: Conv,
    pub(crate) x: Slice,
}

/// `y = act(Σ terms + residual)`, or the residual after `act`; it has `y`'s shape or is one pixel per image.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: NodeId,
    pub(crate) node: String,
    pub(crate) terms: Vec<Term>,
    pub(crate) residual: Option<Slice>,
    pub(crate) activation: Activation,
    /// The residual, of `y`'s shape, is added after the activation.
    pub(crate) adds_last: bool,
    /// With a kernel of several parts, one map per part, one after the other.
    pub(crate) y: Slice,
    /// Whether the first reader of `y` can add up parts.
    pub(crate) reader_adds: bool,
}

impl Job {
    /// One term per convolution, each with an operand; one more operand is the residual.
    pub(crate) fn new(call: Call, convs: &[Conv], activation: Activation) -> Self {
        let Call { id, node, xs, y, reader_adds, .. } = call;
        let mut xs = xs.into_iter();
        let terms = convs.iter().cloned().zip(&mut xs).map(|(conv, x)| Term { conv, x }).collect();
        let adds_last = convs.iter().any(|conv| conv.adds_last);
        Self { id, node: node.into(), terms, residual: xs.next(), activation, adds_last, y, reader_adds }
    }
}

/// Buffers that one dispatch reads and writes, besides weights, biases and a residual.
const MAX_SOURCES: usize = 3;
const MAX_TARGETS: usize = 3;

/// `Params` is an array of these, then one of [`Operand`]s.
pub(super) const TABLES: &[(&str, Fields)] = &[("Job", Entry::FIELDS), ("Term", Operand::FIELDS)];

params! { Entry {
    workgroups: u32,
    round_end: u32,
    pixels: u32,
    out_h: u32,
    out_w: u32,
    out_c: u32,
    term_begin: u32,
    term_end: u32,
    bias: u32,
    y_slot: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    activation: u32,
    alpha: f32,
    beta: f32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
} }

params! { Operand {
    x_slot: u32,
    x_offset: u32,
    x_stride: u32,
    in_h: u32,
    in_w: u32,
    group_in_c: u32,
    group_out_c: u32,
    weights: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    pad_top: u32,
    pad_left: u32,
} }

/// How one kernel divides a job, and in which order it reads weights: `[block][ky][kx][in channel][channel of block]`, or
/// with reads of more than one vec4 `[block][ky][kx][read][vec4 of block][in channel of read][channel of vec4]`, or by output
/// `[block][ky][kx][step][channel of block][in channel of step]`.
pub(super) struct Kernel {
    pub(super) shader: &'static Shader,
    /// What completes the shader.
    pub(super) pieces: Vec<&'static Piece>,
    pub(super) tiling: Tiling,
    /// Parts of the sum, each tiled by itself; 1 except for a single job without activation or residual.
    pub(super) parts: u32,
    /// Output channels of a block; weights and biases are padded to whole blocks.
    pub(super) block_c: u32,
    /// Input channels of one step of the sum; weights are padded to whole steps.
    pub(super) step_c: u32,
    /// Vec4s of weights that an invocation reads at once, each of another input channel.
    pub(super) read4: u32,
    /// Each output channel has its weights of a step side by side.
    pub(super) by_output: bool,
    /// Input channels of one iteration of the innermost loop over them, and iterations of loops inside it.
    pub(super) loop_c: [u32; 2],
    pub(super) constants: Vec<(&'static str, Constant)>,
    /// Of a kernel with tiles in workgroup memory.
    pub(super) compiled: Option<Compiled>,
}

/// What drivers' compilers make of a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compiled {
    pub(super) invocations: u32,
    pub(super) workgroup_memory: u32,
    /// Of an invocation.
    pub(super) registers: u32,
    /// Multiply-adds of a hundred instructions of a step.
    pub(super) multiply_adds: u32,
}

/// What a workgroup computes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tiling {
    /// This many pixels of one block of output channels.
    Pixels(u32),
    /// This many vec4s.
    Values(u32),
    /// This many runs of columns, four channels each.
    Runs { values: u32, columns: u32 },
}

impl Kernel {
    pub(super) fn workgroups(&self, y: &Slice) -> u64 {
        let pixels = self.pixels(y);
        let of_a_part = match self.tiling {
            Tiling::Pixels(tile) => u64::from(y.shape.c.div_ceil(self.block_c)) * u64::from(pixels.div_ceil(tile)),
            Tiling::Values(values) => (u64::from(pixels) * u64::from(y.channels4())).div_ceil(values.into()),
            Tiling::Runs { values, columns } => {
                let rows = u64::from(pixels / y.shape.w) * u64::from(y.shape.w.div_ceil(columns));
                (rows * u64::from(y.channels4())).div_ceil(values.into())
            }
        };
        of_a_part * u64::from(self.parts)
    }

    /// Pixels of a part.
    fn pixels(&self, y: &Slice) -> u32 {
        y.pixels() / self.parts
    }

    fn packed_len(&self, term: &Term) -> u64 {
        let in_c = u64::from(term.group_c()).next_multiple_of(self.step_c.into());
        let out_c = u64::from(term.conv.weight.shape().n).next_multiple_of(self.block_c.into());
        term.conv.taps_len().saturating_mul(in_c).saturating_mul(out_c)
    }

    /// Of all weights of these jobs.
    fn all_packed_len(&self, jobs: &[Job]) -> u64 {
        let terms = jobs.iter().flat_map(|job| &job.terms);
        terms.map(|term| self.packed_len(term)).fold(0, u64::saturating_add)
    }

    /// Bytes of all weights of these jobs, which are stored as what they are multiplied with.
    fn packed_bytes(&self, jobs: &[Job]) -> u64 {
        let terms = jobs.iter().flat_map(|job| &job.terms);
        terms.map(|term| term.x.element.bytes_of(self.packed_len(term))).fold(0, u64::saturating_add)
    }

    /// What a dispatch of these jobs asks of the device, if it has tiles in workgroup memory.
    pub(super) fn load(&self, jobs: &[Job]) -> Option<Load> {
        // Of each value of a tile: bias, activation, place, and adding up shares.
        const EPILOGUE: u64 = 12;
        let (Tiling::Pixels(pixels), Some(compiled)) = (self.tiling, self.compiled) else { return None };
        let Compiled { invocations, workgroup_memory, registers, multiply_adds } = compiled;
        let [m, n, k] = [pixels, self.block_c, self.step_c].map(u64::from);
        let parts = u64::from(self.parts);
        let of_step = (m * n * k * 100) / u64::from(multiply_adds);
        let mut load = Load { invocations, registers, workgroup_memory, ..Load::default() };
        for job in jobs {
            let steps = |term: &Term, of: u64| {
                let chunks = u64::from(term.group_c().div_ceil(self.step_c));
                term.conv.taps_len().saturating_mul(chunks.div_ceil(of))
            };
            let steps = |of: u64| job.terms.iter().map(|term| steps(term, of)).fold(0, u64::saturating_add);
            let workgroups = self.workgroups(&job.y);
            let in_all = (steps(1) / parts).max(1).saturating_mul(workgroups);
            let ends = m * n * EPILOGUE;
            load.workgroups = load.workgroups.saturating_add(workgroups);
            load.instructions = load.instructions.saturating_add(in_all.saturating_mul(of_step));
            load.instructions = load.instructions.saturating_add(workgroups.saturating_mul(ends));
            load.longest = load.longest.max(steps(parts).saturating_mul(of_step).saturating_add(ends));
            load.waits = load.waits.max(steps(parts).saturating_add(1));
            let read = element(slice::from_ref(job));
            load.reads = load.reads.saturating_add(read.bytes_of(in_all.saturating_mul((m + n) * k)));
        }
        Some(load)
    }

    /// How long a dispatch of these jobs would take, if it has tiles. Results in parts have their place for all of them.
    pub(super) fn estimate(&self, jobs: &[Job], hardware: &Hardware) -> Option<Estimate> {
        let load = self.load(jobs)?;
        let mut read: Vec<&Slice> = Vec::new();
        let mut bytes = self.packed_bytes(jobs);
        for job in jobs {
            for x in job.terms.iter().map(|term| &term.x).chain(&job.residual) {
                if !read.contains(&x) {
                    read.push(x);
                    bytes = bytes.saturating_add(x.bytes());
                }
            }
            bytes = bytes.saturating_add(job.y.bytes());
        }
        Some(Estimate::of(&Load { bytes, ..load }, hardware))
    }

    fn packing(&self) -> Packing {
        Packing { block_c: self.block_c, step_c: self.step_c, read4: self.read4, by_output: self.by_output }
    }

    /// Loop iterations of one invocation.
    fn iterations(&self, terms: &[Term]) -> u64 {
        let of_term = |term: &Term| {
            let [kernel_h, kernel_w] = term.conv.kernel();
            let [loop_c, inside] = self.loop_c;
            let nested = [kernel_h, kernel_w, term.group_c().div_ceil(loop_c)].into_iter().rev();
            nested.fold(u64::from(inside), |inner, extent| u64::from(extent).saturating_mul(inner.saturating_add(1)))
        };
        terms.iter().map(of_term).fold(0, u64::saturating_add)
    }
}

/// The order of weights and biases in memory, apart from the job: see [`Kernel`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Packing {
    block_c: u32,
    step_c: u32,
    read4: u32,
    by_output: bool,
}

impl Packing {
    /// The biases of all jobs, one after the other.
    fn biases(self, jobs: &[Job]) -> Vec<f32> {
        jobs.iter().flat_map(|job| summed_bias(job, self.bias_len(job))).collect()
    }

    fn bias_len(self, job: &Job) -> u32 {
        job.y.shape.c.next_multiple_of(self.block_c)
    }
}

/// The weights of one dispatch, one term's after the other's.
#[derive(PartialEq, Eq, Hash)]
struct Packed {
    packing: Packing,
    len: u64,
    terms: Vec<Factors>,
}

impl Packed {
    fn of(packing: Packing, jobs: &[Job], len: u64) -> Self {
        Self { packing, len, terms: jobs.iter().flat_map(|job| &job.terms).map(Term::factors).collect() }
    }
}

impl Recipe<f32> for Packed {
    fn values(&self) -> Cow<'_, [f32]> {
        let Packing { block_c, step_c, read4, by_output } = self.packing;
        let mut packed = Vec::with_capacity(self.len as usize);
        for factors in &self.terms {
            let at = factors.read();
            let mut channels = channel_map(&factors.segments);
            channels.truncate(factors.group_c as usize);
            channels.resize(channels.len().next_multiple_of(step_c as usize), None);
            for block in 0..factors.weight.shape().n.div_ceil(block_c) {
                for tap in factors.taps() {
                    if by_output {
                        for step in channels.chunks(step_c as usize) {
                            let of_output = |o| step.iter().map(move |&i| (o, i));
                            let places = (block * block_c..(block + 1) * block_c).flat_map(of_output);
                            packed.extend(places.map(|(o, i)| at(o, i, tap)));
                        }
                        continue;
                    }
                    for read in channels.chunks(read4 as usize) {
                        for o4 in 0..block_c / 4 {
                            let first = block * block_c + o4 * 4;
                            let of_vec4 = |&i| (first..first + 4).map(move |o| (o, i));
                            packed.extend(read.iter().flat_map(of_vec4).map(|(o, i)| at(o, i, tap)));
                        }
                    }
                }
            }
        }
        packed.into()
    }
}

/// What jobs, which have terms, multiply.
pub(super) fn element(jobs: &[Job]) -> Element {
    jobs.iter().flat_map(|job| &job.terms).next().map_or(Element::F32, |term| term.x.element)
}

/// As few dispatches as the device's limits allow. Jobs must not depend on each other.
pub(super) fn plan(builder: &mut Builder, kernel: &Kernel, jobs: Vec<Job>) -> Result<()> {
    let mut batch: Vec<Job> = Vec::new();
    for job in jobs {
        if !fits_alone(builder.profile, kernel, &job) && job.terms.len() > 1 {
            plan_in_turns(builder, kernel, job)?;
            continue;
        }
        batch.push(job);
        if !fits(builder.profile, kernel, &batch) {
            let last = batch.split_off(batch.len() - 1);
            if !batch.is_empty() {
                dispatch(builder, kernel, batch)?;
            }
            batch = last;
        }
    }
    if batch.is_empty() { Ok(()) } else { dispatch(builder, kernel, batch) }
}

/// A job with more terms than one dispatch can have: each of several adds some to what the one before has summed up.
fn plan_in_turns(builder: &mut Builder, kernel: &Kernel, job: Job) -> Result<()> {
    let mut terms = job.terms.clone();
    // What reads one buffer comes together.
    terms.sort_by_key(|term| term.x.buffer);
    let mut rest = terms.into_iter().peekable();
    let mut residual = job.residual.clone();
    while let Some(first) = rest.next() {
        let mut turn = Job { terms: vec![first], residual: Some(job.y.clone()), ..job.clone() };
        while let Some(term) = rest.peek() {
            turn.terms.push(term.clone());
            if !fits_alone(builder.profile, kernel, &turn) {
                turn.terms.pop();
                break;
            }
            rest.next();
        }
        let is_last = rest.peek().is_none();
        let y = if is_last {
            job.y.clone()
        } else {
            turn.activation = Activation::None;
            builder.sums(format!("part of '{}'", job.node), job.y.shape, [job.y.shape.c].into())?
        };
        turn.residual = residual.replace(y.clone());
        turn.y = y;
        dispatch(builder, kernel, vec![turn])?;
    }
    Ok(())
}

/// Whether one dispatch can compute the job, as far as that depends on the number of its terms.
pub(super) fn fits_alone(profile: &DeviceProfile, kernel: &Kernel, job: &Job) -> bool {
    kernel.iterations(&job.terms) <= profile.max_iterations && fits(profile, kernel, slice::from_ref(job))
}

/// Whether one dispatch can bind all that these jobs use.
fn fits(profile: &DeviceProfile, kernel: &Kernel, jobs: &[Job]) -> bool {
    let Bound { sources, targets } = Bound::of(jobs);
    let rounds = rounds(profile, jobs);
    let residuals = jobs.iter().filter(|job| job.residual.is_some()).count();
    let weights = kernel.all_packed_len(jobs);
    let params =
        jobs.len() * size_of::<Entry>() + jobs.iter().map(|job| job.terms.len()).sum::<usize>() * size_of::<Operand>();
    let workgroups = jobs.iter().map(|job| kernel.workgroups(&job.y).div_ceil(rounds) * rounds).sum::<u64>();
    sources.len() <= MAX_SOURCES
        && targets.len() <= MAX_TARGETS
        && !targets.iter().any(|target| sources.contains(target))
        && (residuals == 0 || jobs.len() == 1)
        && 2 + residuals + sources.len() + targets.len() <= profile.max_storage_buffers as usize
        && params as u64 <= profile.max_uniform
        && weights <= MAX_ELEMENTS
        && kernel.packed_bytes(jobs) <= profile.max_slice()
        && workgroups <= u64::from(profile.max_workgroups) * u64::from(profile.max_workgroups)
}

/// Software adapters give each thread one stretch of the workgroups: each stretch should contain some of every job.
fn rounds(profile: &DeviceProfile, jobs: &[Job]) -> u64 {
    let stretches = profile.class == DeviceClass::Software && jobs.len() > 1;
    if stretches { 32 } else { 1 }
}

/// The buffers that jobs read and write, each once, in the order of their slots.
struct Bound {
    sources: Vec<BufferId>,
    targets: Vec<BufferId>,
}

impl Bound {
    fn of(jobs: &[Job]) -> Self {
        let sources = distinct(jobs.iter().flat_map(|job| &job.terms).map(|term| term.x.buffer));
        Self { sources, targets: distinct(jobs.iter().map(|job| job.y.buffer)) }
    }

    fn source(&self, x: &Slice) -> u32 {
        slot(&self.sources, x)
    }

    fn target(&self, y: &Slice) -> u32 {
        slot(&self.targets, y)
    }
}

fn distinct(buffers: impl Iterator<Item = BufferId>) -> Vec<BufferId> {
    buffers.fold(Vec::new(), |mut seen, buffer| {
        if !seen.contains(&buffer) {
            seen.push(buffer);
        }
        seen
    })
}

fn slot(buffers: &[BufferId], slice: &Slice) -> u32 {
    buffers.iter().position(|&buffer| buffer == slice.buffer).expect("Bound::of has the buffer of every job") as u32
}

/// One dispatch for all jobs.
fn dispatch(builder: &mut Builder, kernel: &Kernel, jobs: Vec<Job>) -> Result<()> {
    let node = jobs.iter().map(|job| job.node.as_str()).collect::<Vec<_>>().join(" + ");
    let rounds = rounds(builder.profile, &jobs);
    let bound = Bound::of(&jobs);
    let (entries, operands) = tables(kernel, &jobs, &bound, rounds);
    let workgroups = entries.last().map_or(0, |last| u64::from(last.round_end)) * rounds;

    let packing = kernel.packing();
    let len = kernel.all_packed_len(&jobs);
    let weights = builder.weights(format!("weights of '{node}'"), len, Packed::of(packing, &jobs, len))?;
    let biases = builder.biases(format!("bias of '{node}'"), packing.biases(&jobs))?;
    let mut step = Step::new(&node, kernel.shader, &[0u32; 0], workgroups)
        .table(1, weights)
        .table(2, biases)
        .constant("ROUNDS", Constant::U32(rounds as u32))
        .constant("JOBS", Constant::U32(entries.len() as u32))
        .constant("TERMS", Constant::U32(operands.len() as u32))
        .constants(kernel.constants.iter().copied());
    step.params = [bytemuck::cast_slice::<_, u8>(&entries), bytemuck::cast_slice(&operands)].concat();
    step.load = kernel.load(&jobs);
    step.workgroup_memory = kernel.compiled.map_or(0, |compiled| compiled.workgroup_memory);
    debug_assert!(jobs.iter().all(|job| job.y.element == jobs[0].y.element), "one dispatch makes values of one type");
    let made = made(builder, &jobs[0].y);
    let step = bind(step, kernel, &jobs, &bound).pieces(builder.stored()).piece(made);
    let residual = jobs.iter().find_map(|job| job.residual.as_ref());
    builder.push(match residual.map(|slice| slice.element == builder.element()) {
        None => step,
        Some(true) => step.piece(piece!("residual_stored")),
        // What an earlier dispatch has summed up.
        Some(false) => step.piece(piece!("residual_sums")),
    });
    Ok(())
}

/// What a shader writes results by.
pub(super) fn made(builder: &Builder, y: &Slice) -> &'static Piece {
    if y.element == builder.element() { piece!("made_stored") } else { piece!("made_sums") }
}

/// What the shader's `Params` holds: an entry for each job and an operand for each term.
fn tables(kernel: &Kernel, jobs: &[Job], bound: &Bound, rounds: u64) -> (Vec<Entry>, Vec<Operand>) {
    let (mut entries, mut operands, mut round_end) = (Vec::new(), Vec::new(), 0);
    // Where each job's biases and each term's weights begin, in vec4s.
    let (mut bias, mut weights) = (0, 0);
    let packing = kernel.packing();
    for job in jobs {
        let y = &job.y;
        let workgroups = kernel.workgroups(y);
        round_end += workgroups.div_ceil(rounds);
        let [alpha, beta] = job.activation.parameters();
        entries.push(Entry {
            workgroups: workgroups as u32,
            round_end: round_end as u32,
            pixels: kernel.pixels(y),
            out_h: y.shape.h,
            out_w: y.shape.w,
            out_c: y.shape.c,
            term_begin: operands.len() as u32,
            term_end: (operands.len() + job.terms.len()) as u32,
            bias,
            y_slot: bound.target(y),
            y_offset: y.offset4(),
            y_stride: y.stride4(),
            r_offset: job.residual.as_ref().map_or(0, Slice::offset4),
            r_stride: job.residual.as_ref().map_or(0, Slice::stride4),
            activation: job.activation.number(),
            alpha,
            beta,
            ..Entry::default()
        });
        bias += packing.bias_len(job) / 4;
        for term in &job.terms {
            let Term { conv, x } = term;
            let Conv { stride, padding, dilation, groups, .. } = *conv;
            let [kernel_h, kernel_w] = conv.kernel();
            operands.push(Operand {
                x_slot: bound.source(x),
                x_offset: x.offset4(),
                x_stride: x.stride4(),
                in_h: x.shape.h,
                in_w: x.shape.w,
                group_in_c: term.group_c(),
                group_out_c: if groups == 1 { y.physical_c() } else { y.shape.c / groups },
                weights,
                kernel_h,
                kernel_w,
                stride_h: stride[0],
                stride_w: stride[1],
                dilation_h: dilation[0],
                dilation_w: dilation[1],
                pad_top: padding.top,
                pad_left: padding.left,
            });
            weights += (kernel.packed_len(term) / 4) as u32;
        }
    }
    (entries, operands)
}

/// Binds what the jobs read and write, and counts their work.
fn bind(mut step: Step, kernel: &Kernel, jobs: &[Job], bound: &Bound) -> Step {
    let common = jobs.iter().all(|job| job.activation.is_common());
    let functions = if common { piece!("functions_few") } else { piece!("functions_all") };
    let mut epilogue = piece!("epilogue_plain");
    for job in jobs {
        for term in &job.terms {
            let per_output = u64::from(term.x.shape.c / term.conv.groups) * term.conv.taps_len();
            step = step.flops((2 * per_output).saturating_mul(job.y.shape.len()) / u64::from(kernel.parts));
            if !step.operands.contains(&term.x) {
                step = step.within(&term.x);
            }
        }
        if let Some(slice) = &job.residual {
            epilogue = if job.adds_last {
                piece!("epilogue_last")
            } else if slice.shape == job.y.shape {
                piece!("epilogue_residual")
            } else if slice.shape.c == job.y.shape.c {
                piece!("epilogue_image")
            } else {
                piece!("epilogue_resized")
            };
            step = step.reads(3, slice);
        }
        step.iterations = step.iterations.max(kernel.iterations(&job.terms));
    }
    for job in jobs {
        step = step.result(&job.y);
    }
    let Bound { sources, targets } = bound;
    for (slot, &buffer) in sources.iter().enumerate() {
        step = step.binds(4 + slot as u32, buffer, false);
    }
    for (slot, &buffer) in targets.iter().enumerate() {
        step = step.binds(7 + slot as u32, buffer, true);
    }
    let sources = [piece!("sources_1"), piece!("sources_2"), piece!("sources_3")][sources.len() - 1];
    let targets = [piece!("targets_1"), piece!("targets_2"), piece!("targets_3")][targets.len() - 1];
    kernel.pieces.iter().copied().chain([functions, epilogue, sources, targets]).fold(step, Step::piece)
}

/// The terms' biases, each times its scale, with zeros up to `len` channels.
pub(super) fn summed_bias(job: &Job, len: u32) -> Vec<f32> {
    let mut sums = vec![0.0f64; len as usize];
    for term in &job.terms {
        for (sum, &bias) in sums.iter_mut().zip(term.conv.bias.as_deref().unwrap_or_default()) {
            *sum += f64::from(bias) * f64::from(term.conv.scale);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

impl Term {
    pub(super) fn factors(&self) -> Factors {
        let Conv { weight, scale, .. } = &self.conv;
        let (segments, group_c) = (self.x.segments.clone(), self.group_c());
        Factors { weight: weight.clone(), scale: scale.to_bits(), segments, group_c }
    }

    /// Channels of one group in memory.
    fn group_c(&self) -> u32 {
        if self.conv.groups == 1 { self.x.physical_c() } else { self.x.shape.c / self.conv.groups }
    }

    /// Whether a tap can lie outside the image.
    pub(super) fn pads(&self) -> bool {
        self.conv.padding != Padding::default()
    }
}

/// What a term multiplies its input with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Factors {
    weight: Weight,
    /// The bits of the convolution's.
    scale: u32,
    /// Of the input's channels.
    segments: Arc<[u32]>,
    /// Channels of one group in memory.
    group_c: u32,
}

impl Factors {
    /// Looks up the weight from logical input channel `i` of its group to output channel `o`, times the scale; zero in
    /// padding.
    pub(super) fn read(&self) -> impl Fn(u32, Option<u32>, [u32; 2]) -> f32 {
        let (shape, data, scale) = (self.weight.shape(), self.weight.data(), f32::from_bits(self.scale));
        move |o, i, [ky, kx]| match i {
            Some(i) if o < shape.n => {
                let row = (o as usize * shape.c as usize + i as usize) * shape.h as usize + ky as usize;
                data[row * shape.w as usize + kx as usize] * scale
            }
            _ => 0.0,
        }
    }

    /// Rows and columns of the kernel, in the order weights are packed.
    pub(super) fn taps(&self) -> impl Iterator<Item = [u32; 2]> + use<> {
        let Shape { h, w, .. } = self.weight.shape();
        (0..h).flat_map(move |ky| (0..w).map(move |kx| [ky, kx]))
    }
}
