//! 2-D convolution with its epilogue: `y = act(scale * (w * x + bias) + residual)`.
//! Shaders: `conv` (tiles in workgroup memory), [`super::conv_direct`], [`super::conv_grouped`]; truth: `reference::conv`.

use std::sync::Arc;

use super::{Activation, Padding, axes, conv_direct, conv_grouped, window_output};
use crate::error::{Error, Result};
use crate::plan::{Constant, ConvKernel, DeviceClass, DeviceProfile, Planner, Shader, Slice, Step};
use crate::plan::{params, piece, shader};
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

/// One dispatch: reads slice `x` (and `residual`), writes slice `y`. Chooses the kernel.
pub(crate) fn plan(
    planner: &mut Planner,
    node: &str,
    conv: &Conv,
    x: &Slice,
    residual: Option<&Slice>,
    y: &Slice,
) -> Result<()> {
    let group_c = [x.shape.c / conv.groups, y.shape.c / conv.groups];
    if conv.groups > 1 && !group_c.iter().all(|c| c.is_multiple_of(4)) {
        return conv_grouped::plan(planner, node, conv, x, residual, y);
    }
    let tile = Tile::choose(planner.profile);
    let tiled = match planner.options.conv_kernel {
        ConvKernel::Auto => planner.profile.class != DeviceClass::Software,
        ConvKernel::Tiled => true,
        ConvKernel::Direct => false,
    };
    match tile {
        Some(tile) if tiled && conv.groups == 1 => plan_tiled(planner, node, conv, x, residual, y, tile),
        _ => conv_direct::plan(planner, node, conv, x, residual, y),
    }
}

params! {
    pixels: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    in_c4: u32,
    out_c: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    scale: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "conv",
    text: shader!("conv"),
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 4,
    params: Params::FIELDS,
};

/// What a workgroup and an invocation make.
#[derive(Clone, Copy, Debug)]
struct Tile {
    /// Pixels of a workgroup.
    m: u32,
    /// Output channels of a workgroup.
    n: u32,
    /// Input channels of one step of the sum.
    k: u32,
    /// Pixels of an invocation.
    thread_m: u32,
}

impl Tile {
    /// 128 invocations, 8 KiB of workgroup memory: within every adapter's limits.
    const PORTABLE: Self = Self { m: 64, n: 64, k: 16, thread_m: 8 };

    fn invocations(self) -> u32 {
        self.m / self.thread_m * (self.n / 4)
    }

    /// vec4s that an invocation loads into both tiles.
    fn loads(self) -> u32 {
        (self.m + self.n) * self.k / 4 / self.invocations()
    }

    fn choose(profile: &DeviceProfile) -> Option<Self> {
        let tile = Self::PORTABLE;
        let bytes = (tile.m + tile.n) * tile.k * 4;
        (bytes <= profile.workgroup_memory && tile.invocations() <= profile.max_invocations).then_some(tile)
    }
}

fn plan_tiled(
    planner: &mut Planner,
    node: &str,
    conv: &Conv,
    x: &Slice,
    residual: Option<&Slice>,
    y: &Slice,
    tile: Tile,
) -> Result<()> {
    let params = Params {
        pixels: y.pixels(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        in_c4: x.channels4(),
        out_c: y.shape.c,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        r_offset: residual.map_or(0, Slice::offset4),
        r_stride: residual.map_or(0, Slice::stride4),
        scale: conv.scale,
    };
    let blocks = y.shape.c.div_ceil(tile.n);
    let map = x.channel_map();
    let chunks = (map.len() as u32).div_ceil(tile.k);
    let len = conv.taps_len() * u64::from(blocks * tile.n) * u64::from(chunks * tile.k);
    let mut packed = planner.room(node, len)?;
    for block in 0..blocks {
        for (ky, kx) in taps(conv.kernel()) {
            for k in 0..chunks * tile.k {
                let i = map.get(k as usize).copied().flatten();
                packed.extend((0..tile.n).map(|n| conv.weight_at(block * tile.n + n, i, ky, kx)));
            }
        }
    }
    let bias = conv.padded_bias(blocks * tile.n);
    let [kernel_h, kernel_w] = conv.kernel();
    let workgroups = u64::from(blocks) * u64::from(y.pixels().div_ceil(tile.m));
    let step = Step::new(node, &SHADER, &params, workgroups)
        .conv(planner, conv, x, residual, y, [&packed, &bias])
        .loops([kernel_h, kernel_w, chunks, tile.k / 4, tile.thread_m])
        .loops([kernel_h, kernel_w, chunks, tile.loads()])
        .constant("TILE_M", Constant::U32(tile.m))
        .constant("TILE_N", Constant::U32(tile.n))
        .constant("TILE_K", Constant::U32(tile.k))
        .constant("THREAD_M", Constant::U32(tile.thread_m));
    planner.push(step);
    Ok(())
}

impl Conv {
    /// The weight from logical input channel `i` of its group to output channel `o`; zero in padding.
    pub(super) fn weight_at(&self, o: u32, i: Option<u32>, ky: u32, kx: u32) -> f32 {
        let shape = self.weight.shape();
        match i {
            Some(i) if o < shape.n => {
                let row = (o as usize * shape.c as usize + i as usize) * shape.h as usize + ky as usize;
                self.weight.data()[row * shape.w as usize + kx as usize]
            }
            _ => 0.0,
        }
    }

    /// The bias, with zeros up to `len` channels.
    pub(super) fn padded_bias(&self, len: u32) -> Vec<f32> {
        let mut padded = self.bias.as_ref().map_or_else(Vec::new, |bias| bias.to_vec());
        padded.resize(len as usize, 0.0);
        padded
    }

    /// Taps of the kernel.
    pub(super) fn taps_len(&self) -> u64 {
        self.kernel().map(u64::from).iter().product()
    }

    /// Whether a tap can lie outside the image.
    pub(super) fn pads(&self) -> bool {
        self.padding != Padding::default()
    }
}

/// Rows and columns of a kernel, in the order weights are packed.
pub(super) fn taps([kernel_h, kernel_w]: [u32; 2]) -> impl Iterator<Item = (u32, u32)> {
    (0..kernel_h).flat_map(move |ky| (0..kernel_w).map(move |kx| (ky, kx)))
}

impl Step {
    /// What all convolution kernels bind and compile in.
    pub(super) fn conv(
        self,
        planner: &mut Planner,
        conv: &Conv,
        x: &Slice,
        residual: Option<&Slice>,
        y: &Slice,
        [packed, bias]: [&[f32]; 2],
    ) -> Self {
        let weights = planner.weights(format!("weights of '{}'", self.node), packed);
        let biases = planner.weights(format!("bias of '{}'", self.node), bias);
        let per_output = u64::from(x.shape.c / conv.groups) * conv.taps_len();
        let step = self.reads(0, x).table(1, weights, packed.len()).table(2, biases, bias.len());
        let step = match residual {
            Some(residual) => step.reads(5, residual).piece(piece!("epilogue_residual")),
            None => step.piece(piece!("epilogue_plain")),
        };
        step.writes(3, y)
            .flops(2 * per_output * y.shape.len())
            .window(conv.kernel(), conv.stride, conv.dilation, conv.padding)
            .constants(conv.activation.constants())
    }
}
