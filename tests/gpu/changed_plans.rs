//! Plans whose public fields somebody changed, at random: an error or a program that runs, never a panic.

use std::sync::LazyLock;
use std::time::Duration;

use spp_wgpu::ops::Texels;
use spp_wgpu::plan::{
    Binding, Buffer, Choice, Constant, ConvVariant, Cost, Element, Load, Order, Port, Role, Slice, Step, Tile, Vendor,
};
use spp_wgpu::{
    Bound, DeviceClass, DeviceProfile, Error, Gpu, GpuOptions, Graph, Plan, PlanOptions, Program, Shape, Tensor, wgpu,
};

use crate::graphs::{CONSUMERS, behind_gaps, sppf};
use crate::harness::{Data, GPU, random};

/// wgpu's own handler panics at errors that nobody catches, and this device has it.
static STRICT: LazyLock<Gpu> = LazyLock::new(|| {
    let own = Gpu::new(&GpuOptions::default()).unwrap();
    own.device().on_uncaptured_error(std::sync::Arc::new(|error| panic!("nobody caught {error}")));
    let mut options = GpuOptions::default();
    options.timeout = Duration::from_secs(60);
    Gpu::from_device_with_options(own.info().clone(), own.device().clone(), own.queue().clone(), &options).unwrap()
});

/// The same choices for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) as usize % sides
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.roll(values.len())]
    }

    fn number(&mut self, old: u32) -> u32 {
        let near = [old.wrapping_sub(1), old.wrapping_add(1), old.wrapping_mul(2), old / 2];
        let edges = [0, 1, 2, 3, 4, 255, 65_535, 65_536, 1 << 30, i32::MAX as u32, 1 << 31, u32::MAX - 3, u32::MAX];
        if self.roll(2) == 0 { self.of(&near) } else { self.of(&edges) }
    }

    /// Nothing that a device could just about do, and would be busy with for hours.
    fn large_number(&mut self, old: u64) -> u64 {
        let near = [old.wrapping_sub(1), old.wrapping_add(1), old.wrapping_mul(2), old / 2];
        let edges = [0, 1, 2, 1 << 45, u64::from(u32::MAX) * u64::from(u32::MAX) + 1, i64::MAX as u64, u64::MAX];
        if self.roll(2) == 0 { self.of(&near) } else { self.of(&edges) }
    }

    fn shape(&mut self, shape: &mut Shape) {
        let Shape { n, c, h, w } = shape;
        let extent = [n, c, h, w].into_iter().nth(self.roll(4)).unwrap();
        *extent = self.number(*extent);
    }

    /// Leaves some out, repeats one, or changes one.
    fn list<T: Clone>(&mut self, list: &mut Vec<T>, change: impl FnOnce(&mut Self, &mut T)) {
        if list.is_empty() {
            return;
        }
        let [i, j] = [(); 2].map(|()| self.roll(list.len()));
        match self.roll(10) {
            0 => drop(list.remove(i)),
            1 => list.truncate(i),
            2 => list.insert(i, list[j].clone()),
            3 => list.swap(i, j),
            _ => change(self, &mut list[i]),
        }
    }

    fn text(&mut self, text: &mut String) {
        *text = self.of(&["", "\0", "a\n\"b\"", "\u{1f980}"]).repeat(self.of(&[1, 1, 5000]));
    }
}

// Every field is named, so that a new one is not forgotten.

fn change_plan(dice: &mut Dice, plan: &mut Plan, other: &Plan) {
    let Plan { steps, buffers, inputs, outputs, profile, precision: _, max_submission } = plan;
    let ids: Vec<_> =
        [&*inputs, outputs, &other.inputs, &other.outputs].into_iter().flatten().map(|p| p.buffer).collect();
    match dice.roll(9) {
        0..=3 => dice.list(steps, |dice, step| change_step(dice, step, other)),
        4 => dice.list(buffers, change_buffer),
        5 => dice.list(inputs, |dice, port| change_port(dice, port, &ids)),
        6 => dice.list(outputs, |dice, port| change_port(dice, port, &ids)),
        7 => *max_submission = dice.of(&[Duration::ZERO, Duration::from_nanos(1), Duration::MAX]),
        _ => change_profile(dice, profile),
    }
}

fn change_step(dice: &mut Dice, step: &mut Step, other: &Plan) {
    let stranger = &other.steps[dice.roll(other.steps.len())];
    let Step {
        node,
        shader,
        constants,
        pieces,
        formula,
        bindings,
        params,
        workgroups,
        at_once,
        workgroup_memory,
        iterations,
        cost,
        load,
        operands,
        results,
        choice,
    } = step;
    match dice.roll(15) {
        0 => dice.text(node),
        1 => *shader = stranger.shader,
        2 if dice.roll(2) == 0 => constants.clone_from(&stranger.constants),
        2 => dice.list(constants, |dice, (name, value)| match value {
            Constant::U32(number) => *number = dice.number(*number),
            Constant::F32(number) => *number = dice.of(&[0.0, -1.0, f32::MAX, f32::NAN, f32::INFINITY]),
            Constant::Bool(set) if dice.roll(2) == 0 => *set = !*set,
            Constant::Bool(_) => *name = dice.of(&["", "fn", "a b", "WG_SIZE"]),
        }),
        3 if dice.roll(3) == 0 => {
            *formula =
                dice.of(&[None, stranger.formula.as_deref(), Some("fn"), Some("fn computed() {}")]).map(Into::into);
        }
        3 if dice.roll(2) == 0 => pieces.clone_from(&stranger.pieces),
        3 => dice.list(pieces, |dice, piece| {
            *piece = stranger.pieces.get(dice.roll(3)).copied().unwrap_or(piece);
        }),
        4 | 5 => dice.list(bindings, |dice, Binding { slot, buffer, written, texels }| match dice.roll(4) {
            2 => *texels = dice.of(&TEXELS),
            0 => *slot = dice.number(*slot),
            1 => *buffer = stranger.bindings.first().map_or(*buffer, |binding| binding.buffer),
            _ => *written = !*written,
        }),
        6 if dice.roll(4) == 0 => params.clear(),
        6 if dice.roll(4) == 0 => params.resize(dice.of(&[1, 1 << 16, (1 << 16) + 4, 1 << 20]), 0xff),
        6 => dice.list(params, |dice, byte| *byte = dice.of(&[0, 1, 0x7f, 0xff])),
        7 if dice.roll(2) == 0 => *at_once = dice.of(&[0, 1, 2, *workgroups / 2, u64::MAX]),
        7 => *workgroups = dice.large_number(*workgroups),
        8 if dice.roll(2) == 0 => *workgroup_memory = dice.number(*workgroup_memory),
        8 => *iterations = dice.large_number(*iterations),
        9 => {
            let Cost { flops, bytes } = cost;
            (*flops, *bytes) = (dice.large_number(*flops), dice.large_number(*bytes));
        }
        14 => {
            *load = dice.of(&[
                None,
                stranger.load,
                Some(Load::default()),
                Some(Load { longest: u64::MAX, ..Load::default() }),
            ])
        }
        10 | 11 => dice.list(operands, |dice, slice| change_slice(dice, slice, stranger)),
        12 => dice.list(results, |dice, slice| change_slice(dice, slice, stranger)),
        _ => {
            let taken = ConvVariant::Tiled(Tile { m: 0, n: 0, k: u32::MAX, parts: 0, ..Tile::LARGE });
            *choice = Some(Choice { class: String::new(), candidates: Vec::new(), taken, why: String::new() });
        }
    }
}

/// What a port or a binding may be said to be.
const TEXELS: [Option<Texels>; 4] = [None, Some(Texels::Rgba8), Some(Texels::Rgba16Float), Some(Texels::R8)];

fn change_slice(dice: &mut Dice, slice: &mut Slice, stranger: &Step) {
    let Slice { buffer, element, shape, order, offset, stride, segments } = slice;
    match dice.roll(7) {
        0 => *buffer = stranger.bindings.first().map_or(*buffer, |binding| binding.buffer),
        1 => *element = dice.of(&[Element::F32, Element::F16, Element::U8, Element::U32]),
        2 => dice.shape(shape),
        3 => *order = dice.of(&[Order::Nhwc, Order::Nchw, Order::NhwcDense]),
        4 => *offset = dice.number(*offset),
        5 => *stride = dice.number(*stride),
        _ => {
            let mut runs = segments.to_vec();
            dice.list(&mut runs, |dice, run| *run = dice.number(*run));
            *segments = runs.into();
        }
    }
}

fn change_buffer(dice: &mut Dice, Buffer { label, element, len, role }: &mut Buffer) {
    let number = dice.of(&[0, 1, 7, usize::MAX]);
    match dice.roll(8) {
        0 => dice.text(label),
        1 => *element = dice.of(&[Element::F32, Element::F16, Element::U8, Element::U32]),
        2 | 3 => *len = dice.large_number(*len),
        4 => *role = Role::Input(number),
        5 => *role = Role::Output(number),
        6 => *role = Role::Scratch,
        _ => *role = Role::Constant(vec![u32::MAX; dice.of(&[0, 1, 5, *len as usize])].into()),
    }
}

fn change_port(
    dice: &mut Dice,
    Port { name, shape, element, order, texels, buffer }: &mut Port,
    ids: &[spp_wgpu::plan::BufferId],
) {
    match dice.roll(6) {
        0 => dice.text(name),
        4 => *texels = dice.of(&TEXELS),
        3 => *order = dice.of(&[Order::Nhwc, Order::Nchw, Order::NhwcDense]),
        1 => dice.shape(shape),
        2 => *element = dice.of(&[Element::F32, Element::F16, Element::U8, Element::U32]),
        _ => *buffer = dice.of(ids),
    }
}

fn change_profile(dice: &mut Dice, profile: &mut DeviceProfile) {
    let DeviceProfile {
        class,
        vendor,
        max_binding,
        max_uniform,
        max_buffer,
        max_workgroups,
        max_invocations,
        workgroup_memory,
        max_storage_buffers,
        max_texture,
        max_layers,
        subgroups,
        int64,
        f16,
        matrices,
        max_iterations,
        hardware,
    } = profile;
    match dice.roll(18) {
        14 => *max_texture = dice.number(*max_texture),
        15 => *max_layers = dice.number(*max_layers),
        0 => *class = dice.of(&[DeviceClass::Discrete, DeviceClass::Software]),
        1 => *max_binding = dice.large_number(*max_binding),
        2 => *max_buffer = dice.large_number(*max_buffer),
        3 => *max_invocations = dice.number(*max_invocations),
        4 => *workgroup_memory = dice.number(*workgroup_memory),
        5 => *max_storage_buffers = dice.number(*max_storage_buffers),
        6 => *subgroups = dice.of(&[None, Some([0; 2]), Some([u32::MAX; 2])]),
        7 => *max_iterations = dice.large_number(*max_iterations),
        8 => *max_uniform = dice.large_number(*max_uniform),
        9 => *vendor = dice.of(&[Vendor::Amd, Vendor::Intel]),
        10 => *hardware = dice.of(&[None, DeviceProfile::named("m1").unwrap().hardware]),
        11 => *int64 = !*int64,
        12 => *f16 = !*f16,
        13 => *matrices = DeviceProfile::named("navi31").unwrap().matrices,
        _ => *max_workgroups = dice.number(*max_workgroups),
    }
}

/// Everything a program offers: once it is built, it works.
fn used(plan: Plan) -> Result<(), Error> {
    let _told = (plan.bytes(), plan.cost(), plan.dispatches(), plan.to_string(), plan.to_dot(), plan.to_mermaid());
    let _slices: Vec<_> = plan
        .steps
        .iter()
        .flat_map(|step| step.operands.iter().chain(&step.results))
        .map(|slice| (slice.bytes(), slice.pixels(), slice.physical_c(), slice.to_string()))
        .collect();
    let program = Program::from_plan(&STRICT, plan)?;
    program.poison().unwrap();
    let plan = program.plan();
    let inputs: Vec<Tensor> = plan.inputs.iter().map(|port| random(port.shape, 1, Data::Uniform)).collect();
    program.run(&inputs).unwrap();
    program.gpu_step_times().unwrap();
    // An app's encoder is not spoilt, either.
    let lent = [&plan.inputs, &plan.outputs].map(|ports| ports.iter().map(lent).collect::<Vec<_>>());
    let [inputs, outputs] = lent.each_ref().map(|lent| lent.iter().map(Lent::bound).collect::<Vec<_>>());
    let bindings = program.bind(&inputs, &outputs).unwrap();
    let mut encoder = STRICT.device().create_command_encoder(&Default::default());
    program.record(&mut encoder, &bindings).unwrap();
    STRICT.queue().submit([encoder.finish()]);
    Ok(())
}

/// An app's own.
enum Lent {
    Buffer(wgpu::Buffer),
    Texture(wgpu::Texture),
}

impl Lent {
    fn bound(&self) -> Bound<'_> {
        match self {
            Self::Buffer(buffer) => buffer.into(),
            Self::Texture(texture) => texture.into(),
        }
    }
}

fn lent(port: &Port) -> Lent {
    let Some(texels) = port.texels else {
        let (size, usage) = (port.bytes().max(4), wgpu::BufferUsages::STORAGE);
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        return Lent::Buffer(STRICT.device().create_buffer(&descriptor));
    };
    let Shape { n, h, w, .. } = port.shape;
    Lent::Texture(STRICT.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: w, height: h, depth_or_array_layers: n.max(1) },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: match texels {
            Texels::Rgba16Float => wgpu::TextureFormat::Rgba16Float,
            Texels::R8 => wgpu::TextureFormat::R8Unorm,
            _ => wgpu::TextureFormat::Rgba8Unorm,
        },
        usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    }))
}

#[test]
fn a_changed_plan_is_an_error_or_runs() {
    let shape = Shape::new(2, 9, 4, 5);
    let plan = |graph: &Graph| Plan::new(graph, GPU.profile(), &PlanOptions::default()).unwrap();
    let mut plans: Vec<Plan> = CONSUMERS.iter().map(|consumer| plan(&behind_gaps(shape, consumer))).collect();
    plans.push(plan(&sppf(shape, 9, true)));
    let seeds = std::env::var("SPP_SEEDS").map_or(400, |seeds| seeds.parse().unwrap());
    let (mut ran, mut refused) = (0, 0);
    for seed in 0..seeds {
        let mut dice = Dice(seed);
        let (mut plan, other) = (plans[dice.roll(plans.len())].clone(), &plans[dice.roll(plans.len())]);
        for _ in 0..=dice.roll(3) {
            change_plan(&mut dice, &mut plan, other);
        }
        println!("seed {seed}");
        match used(plan) {
            Ok(()) => ran += 1,
            Err(error @ (Error::DeviceLost(_) | Error::Timeout(_))) => panic!("seed {seed}: {error}"),
            Err(_) => refused += 1,
        }
    }
    println!("{ran} ran, {refused} were refused");
    assert!(ran > seeds / 10 && refused > seeds / 10, "{ran} ran, {refused} were refused");
    assert!(!STRICT.is_lost());
}

/// Whatever device the plan says it is for.
#[test]
fn more_workgroups_than_fold_into_the_devices_rows_are_refused() {
    let most = u64::from(GPU.profile().max_workgroups).pow(2);
    for workgroups in [most + 1, 1 << 32, u64::MAX] {
        let mut plan =
            Plan::new(&sppf(Shape::new(1, 4, 3, 3), 4, true), GPU.profile(), &PlanOptions::default()).unwrap();
        plan.profile.max_workgroups = u32::MAX;
        plan.steps[0].workgroups = workgroups;
        let refused = Program::from_plan(&GPU, plan);
        assert!(matches!(refused, Err(Error::LimitExceeded { .. })), "{workgroups}: {refused:?}");
    }
}
