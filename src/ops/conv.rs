//! 2-D convolution with its epilogue: `y = act(scale * (w * x + bias) + residual)`.
//! Shaders: `conv` (tiles in workgroup memory), [`super::conv_subgroup`], [`super::conv_direct`],
//! [`super::conv_grouped`]; truth: `reference::conv`.

use std::sync::Arc;

use super::conv_choice::{self, Way};
use super::conv_jobs::{self, Job, Kernel, Tiling};
use super::conv_parts::Parts;
use super::{Activation, Padding, axes, conv_direct, conv_grouped, conv_shift_add, conv_subgroup, window_output};
use crate::error::{Error, Result};
use crate::plan::{Constant, DeviceProfile, Planner, Shader, Slice, piece, shader};
use crate::tensor::{Shape, Tensor};

/// A convolution as `torch.nn.Conv2d`, followed by `act(scale * y + residual)` where a residual is given.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[out_c, in_c / groups, kernel_h, kernel_w]`
    pub weight: Arc<Tensor>,
    /// One value an output channel.
    pub bias: Option<Arc<[f32]>>,
    /// Rows, columns.
    pub stride: [u32; 2],
    /// Zeros around the input; each side its own.
    pub padding: Padding,
    /// Rows, columns.
    pub dilation: [u32; 2],
    /// Channels are split into this many groups that do not see each other.
    pub groups: u32,
    /// Applied last.
    pub activation: Activation,
    /// Multiplies the sum, bias included, before the residual is added; 1 unless set.
    pub scale: f32,
}

impl Conv {
    /// Stride 1, no padding, no bias, no activation; set fields with `Conv { stride: [2, 2], ..Conv::new(weight) }`.
    pub fn new(weight: impl Into<Arc<Tensor>>) -> Self {
        Self {
            weight: weight.into(),
            bias: None,
            stride: [1, 1],
            padding: Padding::default(),
            dilation: [1, 1],
            groups: 1,
            activation: Activation::None,
            scale: 1.0,
        }
    }

    /// Height and width of the kernel.
    pub fn kernel(&self) -> [u32; 2] {
        [self.weight.shape().h, self.weight.shape().w]
    }

    /// Output shape for `x`. Errors: zero stride, dilation or groups; groups that do not divide the channels; a weight
    /// or bias of another size; an empty output.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        let weight = self.weight.shape();
        if self.groups == 0 || !x.c.is_multiple_of(self.groups) || !weight.n.is_multiple_of(self.groups) {
            let reason = format!("must divide {} input and {} output channels", x.c, weight.n);
            return Err(Error::param(op, "groups", self.groups, &reason));
        }
        if weight.n == 0 {
            return Err(Error::param(op, "weight", weight, "needs at least one output channel"));
        }
        if u64::from(weight.c) * u64::from(self.groups) != u64::from(x.c) {
            let expected = u64::from(weight.c) * u64::from(self.groups);
            let detail = format!("weight {weight} expects {expected} input channels, got {}: {x}", x.c);
            return Err(Error::mismatch(op, detail));
        }
        if let Some(bias) = &self.bias
            && bias.len() as u64 != u64::from(weight.n)
        {
            let detail = format!("bias has {} values, weight {weight} {} output channels: {x}", bias.len(), weight.n);
            return Err(Error::mismatch(op, detail));
        }
        if !self.scale.is_finite() {
            return Err(Error::param(op, "scale", self.scale, "must be finite"));
        }
        self.activation.check(op)?;
        window_output(op, x, axes(x, self.kernel(), self.stride, self.dilation, self.padding), weight.n, false)
    }
}

/// Jobs that do not depend on each other, in as few dispatches as can be. Chooses each one's kernel.
pub(crate) fn plan(planner: &mut Planner, jobs: Vec<Job>) -> Result<()> {
    let (grouped, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(conv_grouped::takes);
    for job in grouped {
        conv_grouped::plan(planner, job)?;
    }
    let one_group = |job: &Job| job.terms.iter().all(|term| term.conv.groups == 1);
    let (jobs, direct): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(one_group);
    if !jobs.is_empty() {
        let (way, choice) = conv_choice::choose(planner, &jobs);
        let before = planner.steps.len();
        plan_by(planner, way, jobs)?;
        planner.steps[before..].iter_mut().for_each(|step| step.choice = Some(choice.clone()));
    }
    conv_direct::plan(planner, direct)
}

/// By a way that the device and the jobs allow.
pub(super) fn plan_by(planner: &mut Planner, way: Way, jobs: Vec<Job>) -> Result<()> {
    match way {
        Way::Tiled(tile) if tile.parts > 1 => {
            let jobs = jobs.into_iter().map(|job| Parts::of(planner, job, tile.parts)).collect();
            conv_jobs::plan(planner, &tile.kernel(), jobs)
        }
        Way::Tiled(tile) => conv_jobs::plan(planner, &tile.kernel(), jobs),
        Way::Subgroup { rows } => conv_subgroup::plan(planner, jobs, rows),
        Way::Direct => conv_direct::plan(planner, jobs),
        Way::ShiftAdd => jobs.iter().try_for_each(|job| conv_shift_add::plan(planner, job)),
    }
}

pub(crate) static SHADER: Shader = Shader {
    stem: "conv",
    text: shader!("conv"),
    pieces: &[piece!("index"), piece!("jobs"), piece!("place"), piece!("activation"), piece!("lanes")],
    params_binding: 0,
    params: &[],
    tables: conv_jobs::TABLES,
};

/// What a workgroup and an invocation make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Pixels of a workgroup.
    pub(super) m: u32,
    /// Output channels of a workgroup.
    pub(super) n: u32,
    /// Input channels of one step of the sum.
    pub(super) k: u32,
    /// Pixels of an invocation.
    thread_m: u32,
    /// Output channels of an invocation, in vec4s.
    thread_n4: u32,
    /// Invocations that share an output.
    pub(super) split_k: u32,
    /// Workgroups that share an output, each leaving its part for what reads it.
    pub(super) parts: u32,
}

impl Tile {
    /// For maps that fill a device with it: the most arithmetic for each value loaded.
    pub(super) const LARGE: Self = Self { m: 128, n: 128, k: 16, thread_m: 8, thread_n4: 2, split_k: 1, parts: 1 };
    pub(super) const MEDIUM: Self = Self { m: 64, n: 64, k: 16, thread_m: 8, thread_n4: 1, split_k: 1, parts: 1 };
    /// For few output channels, as of a classifier.
    pub(super) const NARROW: Self = Self { m: 128, n: 32, k: 16, thread_m: 8, thread_n4: 1, split_k: 1, parts: 1 };
    /// For few output channels and few pixels.
    pub(super) const NARROW_SPLIT: Self = Self { m: 32, n: 32, k: 64, thread_m: 8, thread_n4: 1, split_k: 8, parts: 1 };
    /// For small maps under many channels.
    pub(super) const SPLIT_2: Self = Self { m: 32, n: 64, k: 32, thread_m: 4, thread_n4: 1, split_k: 2, parts: 1 };
    pub(super) const SPLIT_4: Self = Self { m: 32, n: 64, k: 32, thread_m: 8, thread_n4: 1, split_k: 4, parts: 1 };

    pub(super) const ALL: [Self; 6] =
        [Self::LARGE, Self::MEDIUM, Self::NARROW, Self::NARROW_SPLIT, Self::SPLIT_2, Self::SPLIT_4];

    pub(super) const fn by(self, parts: u32) -> Self {
        Self { parts, ..self }
    }

    pub(super) fn fits(&self, profile: &DeviceProfile) -> bool {
        let bytes = (self.m + self.n) * self.k * 4;
        bytes <= profile.workgroup_memory && self.invocations() <= profile.max_invocations
    }

    pub(super) fn workgroups(&self, y: &Slice) -> u64 {
        self.kernel().workgroups(y)
    }

    const fn invocations(&self) -> u32 {
        self.m / self.thread_m * (self.n / 4 / self.thread_n4) * self.split_k
    }

    fn kernel(&self) -> Kernel {
        let Self { m, n, k, thread_m, thread_n4, split_k, parts } = *self;
        let sizes = [
            ("TILE_M", m),
            ("TILE_N", n),
            ("TILE_K", k),
            ("THREAD_M", thread_m),
            ("THREAD_N4", thread_n4),
            ("SPLIT_K", split_k),
            ("PARTS", parts),
        ];
        let loads = (m + n) * k / 4 / self.invocations();
        let multiply = k / 4 / split_k * (1 + thread_n4 * (1 + thread_m));
        Kernel {
            shader: &SHADER,
            piece: None,
            tiling: Tiling::Pixels(m),
            parts,
            block_c: n,
            step_c: k,
            loop_c: [k, loads + multiply],
            constants: sizes.map(|(name, size)| (name, Constant::U32(size))).into(),
        }
    }
}

// The shader's loads cover the tiles without a rest, and shares are added up in the space of a tile.
const _: () = {
    let mut i = 0;
    while i < Tile::ALL.len() {
        let tile = &Tile::ALL[i];
        let invocations = tile.invocations();
        assert!((tile.m * tile.k / 4).is_multiple_of(invocations) && (tile.k * tile.n / 4).is_multiple_of(invocations));
        assert!((tile.k / 4).is_multiple_of(tile.split_k) && (tile.split_k == 1 || tile.k >= tile.m));
        i += 1;
    }
};
