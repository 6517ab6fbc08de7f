//! One device for all tests and the comparison that every test goes through.

use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use half::f16;
use spp_wgpu::gpu::{Reading, adapters, matrices_of};
use spp_wgpu::plan::{ConvKernel, Tile};
use spp_wgpu::reference::{self, Reference, Values, compare};
use spp_wgpu::wgpu::{self, Adapter, AdapterInfo, Buffer, DeviceType, Features, util::DownloadBuffer};
use spp_wgpu::{Gpu, GpuOptions, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor, gpu};

use crate::graphs::by_tile;
pub(crate) use crate::graphs::{Data, graph, random};

/// The device under test; `WGPU_ADAPTER_NAME` chooses it. `SPP_CHECKED_SHADERS=1` compiles all kernels with checks.
pub(crate) static GPU: LazyLock<Gpu> = LazyLock::new(|| {
    let options = gpu_options();
    let gpu = Gpu::new(&options).unwrap_or_else(|error| panic!("{error}"));
    let how = if options.checked { "checked" } else { "as users run them" };
    println!("tests run on {} ({}), kernels {how}", gpu::describe(gpu.info()), gpu.info().driver_info);
    gpu
});

/// The same device, planned for as if it were a discrete card.
pub(crate) static CARD: LazyLock<Gpu> = LazyLock::new(|| as_a_card(&GPU, &gpu_options()));

/// Of no maker that has tiles of its own, whoever's the adapter is.
fn as_a_card(gpu: &Gpu, options: &GpuOptions) -> Gpu {
    let info =
        AdapterInfo { device_type: DeviceType::DiscreteGpu, vendor: 0, name: "card".into(), ..gpu.info().clone() };
    Gpu::from_device_with_options(info, gpu.device().clone(), gpu.queue().clone(), options).unwrap()
}

/// The adapter of the device under test.
pub(crate) fn adapter() -> Adapter {
    adapters().into_iter().find(|adapter| adapter.get_info() == GPU.device().adapter_info()).unwrap()
}

/// A device on the same adapter that has its matrices: none, if it has none.
pub(crate) static MATRICES: LazyLock<Gpu> = LazyLock::new(|| {
    let mut options = gpu_options();
    options.matrices = true;
    let gpu = Gpu::new(&options).unwrap();
    match matrices_of(&adapter()) {
        Ok(matrices) => {
            assert_eq!(gpu.profile().matrices, matrices, "{:?}", gpu.why_no_matrices());
            println!("with matrices: {matrices:?}");
        }
        Err(reason) => println!("nothing is tested on matrices: {reason}"),
    }
    gpu
});

/// The same device, planned for as if it were a discrete card: with tiles by estimate, and sums in parts.
pub(crate) static CARD_WITH_MATRICES: LazyLock<Gpu> = LazyLock::new(|| {
    let mut options = gpu_options();
    (options.matrices, options.adapter) = (true, Some(adapter()));
    let card = as_a_card(&MATRICES, &options);
    assert_eq!(card.profile().matrices, MATRICES.profile().matrices, "{:?}", card.why_no_matrices());
    card
});

/// A device on the same adapter whose shaders have no 16-bit floats; `None` if the one under test has none either.
pub(crate) static WITHOUT_F16: LazyLock<Option<Gpu>> = LazyLock::new(|| {
    GPU.profile().f16.then(|| {
        let instance = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        let found = pollster::block_on(wgpu::Instance::new(instance).enumerate_adapters(wgpu::Backends::all()));
        let adapter = found.into_iter().find(|adapter| adapter.get_info() == *GPU.info()).unwrap();
        let descriptor = wgpu::DeviceDescriptor {
            required_features: GPU.features() - Features::SHADER_F16,
            required_limits: GPU.device().limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        Gpu::from_device_with_options(GPU.info().clone(), device, queue, &gpu_options()).unwrap()
    })
});

pub(crate) fn gpu_options() -> GpuOptions {
    let mut options = GpuOptions::default();
    options.checked = std::env::var("SPP_CHECKED_SHADERS").is_ok_and(|value| value == "1");
    options
}

/// One pixel, one channel, channels around a multiple of four, height unlike width, several images.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape::new(1, 1, 1, 1),
    Shape::new(2, 3, 4, 7),
    Shape::new(1, 4, 9, 2),
    Shape::new(3, 5, 1, 6),
    Shape::new(1, 8, 5, 11),
    Shape::new(2, 9, 7, 5),
];

/// Ways to plan, which must agree.
pub(crate) fn options() -> Vec<(&'static str, PlanOptions)> {
    let with = |change: fn(&mut PlanOptions)| {
        let mut options = PlanOptions::default();
        change(&mut options);
        options
    };
    vec![
        ("direct", with(|o| o.conv_kernel = ConvKernel::Direct)),
        ("subgroup", with(|o| o.conv_kernel = ConvKernel::Subgroup)),
        ("tiled", with(|o| o.conv_kernel = ConvKernel::Tiled)),
        ("unfused", PlanOptions::unfused()),
    ]
}

/// Stems of the kernels that compute, in order.
pub(crate) fn stems(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.shader.stem).filter(|stem| *stem != "layout").collect()
}

/// Polls until it is there. A queue that is found empty does not say so: the last work may have been found done by
/// another test's thread, which is about to hand on what it made.
pub(crate) fn arrived<T>(gpu: &Gpu, mut reading: Reading<T>) -> T {
    let start = Instant::now();
    loop {
        gpu.poll().unwrap();
        if let Some(result) = reading.try_take().unwrap() {
            return result;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it never arrives");
    }
}

/// What an app's buffer holds after all that was submitted.
pub(crate) fn read<T: bytemuck::Pod>(buffer: &Buffer) -> Vec<T> {
    let (sender, receiver) = mpsc::channel();
    DownloadBuffer::read_buffer(GPU.device(), GPU.queue(), &buffer.slice(..), move |read| {
        sender.send(read.unwrap().to_vec()).unwrap();
    });
    while !GPU.poll().unwrap() {}
    bytemuck::pod_collect_to_vec(&receiver.recv().unwrap())
}

/// Runs on the GPU with every result poisoned first.
pub(crate) fn run(graph: &Graph, inputs: &[Tensor], options: &PlanOptions) -> Vec<Tensor> {
    run_on(&GPU, graph, inputs, options)
}

/// As [`run`], on the given device.
pub(crate) fn run_on(gpu: &Gpu, graph: &Graph, inputs: &[Tensor], options: &PlanOptions) -> Vec<Tensor> {
    poisoned(Program::with_options(gpu, graph, options).unwrap(), inputs)
}

/// As [`run`], with checks: a test may have changed the plan.
pub(crate) fn run_plan(plan: Plan, inputs: &[Tensor]) -> Vec<Tensor> {
    poisoned(Program::from_plan(&GPU, plan).unwrap(), inputs)
}

fn poisoned(program: Program, inputs: &[Tensor]) -> Vec<Tensor> {
    program.poison().unwrap();
    program.run(inputs).unwrap()
}

/// The outputs beyond the bound, one sentence each.
pub(crate) fn wrong(graph: &Graph, got: &[Tensor], want: &[Values]) -> Vec<String> {
    assert_eq!(got.len(), want.len());
    let compared = graph.outputs().iter().zip(got.iter().zip(want));
    let compared = compared.map(|((name, _), (got, want))| (name, compare(got, want).unwrap()));
    compared.filter(|(_, difference)| !difference.passes()).map(|(name, d)| format!("output '{name}': {d}")).collect()
}

/// A device and options to plan with; the first says which.
pub(crate) type Way = (&'static str, &'static Gpu, PlanOptions);

/// Whether `f16` has all of the values.
fn is_stored(tensor: &Tensor) -> bool {
    tensor.data().iter().zip(halves(tensor).data()).all(|(a, b)| a == b || a.is_nan())
}

/// The values as an `f16` has them.
pub(crate) fn halves(tensor: &Tensor) -> Tensor {
    let values = tensor.data().iter().map(|&value| f16::from_f32(value).to_f32()).collect();
    Tensor::new(tensor.shape(), values).unwrap()
}

/// The same ways with tensors stored in `f16`, with ports in `f16` as well, and with two values packed in each word.
pub(crate) fn in_f16(ways: &[Way]) -> Vec<Way> {
    let halved = |(plan, gpu, options): Way| (plan, gpu, options.precision(Precision::F16));
    let mut halved: Vec<Way> = ways.iter().cloned().map(halved).collect();
    halved.push(("with ports in f16", &GPU, PlanOptions::default().precision(Precision::F16).ports(Precision::F16)));
    if let Some(gpu) = &*WITHOUT_F16 {
        halved.extend(options().into_iter().map(|(plan, options)| (plan, gpu, options.precision(Precision::F16))));
    }
    halved
}

/// The way in words.
pub(crate) fn described((plan, gpu, options): &Way) -> String {
    match options.precision {
        Precision::F32 => format!("planned {plan}"),
        Precision::F16 if gpu.profile().f16 => format!("planned {plan} in f16"),
        Precision::F16 => format!("planned {plan} in packed f16"),
    }
}

/// All [`options`] on the device under test.
fn ways() -> Vec<Way> {
    options().into_iter().map(|(plan, options)| (plan, &*GPU, options)).collect()
}

/// These, and a plan for a card, which has other forms of some kernels.
pub(crate) fn ways_on_both() -> Vec<Way> {
    let mut ways = ways();
    ways.push(("for a card", &CARD, PlanOptions::default()));
    ways
}

/// The GPU agrees with the reference within the bound, however the graph is planned.
pub(crate) fn check(case: &str, graph: &Graph, inputs: &[Tensor]) {
    check_ways(case, graph, inputs, in_both(graph, ways()));
}

/// As [`check`], planned for a card, too.
pub(crate) fn check_on_both(case: &str, graph: &Graph, inputs: &[Tensor]) {
    check_ways(case, graph, inputs, in_both(graph, ways_on_both()));
}

/// Every tile of the adapter's matrices for what is stored in this precision, and what a card would take. On adapters
/// without such matrices, nothing.
pub(crate) fn on_matrices(graph: &Graph, precision: Precision) -> Vec<Way> {
    let Some(size) = MATRICES.profile().matrices.of(precision.element()) else { return Vec::new() };
    let options = || PlanOptions::default().precision(precision);
    let tiles = ["by large tiles of matrices", "by small tiles of matrices", "by shared tiles of matrices"];
    let forced = tiles.into_iter().zip(Tile::of_matrices(size));
    let forced = forced.map(|(way, tile)| (way, by_tile(graph, CARD_WITH_MATRICES.profile(), options(), tile)));
    let ways = forced.chain([("for a card with matrices", options())]);
    let ways = ways.map(|(way, options)| (way, &*CARD_WITH_MATRICES, options));
    ways.chain([("with matrices", &*MATRICES, options())]).collect()
}

/// Ways that store in each precision.
type Ways = [(Precision, Vec<Way>); 2];

/// These in both, and what the planner takes of the adapter's matrices, and one tile that it may not: software adapters
/// take long to compile all of them.
fn in_both(graph: &Graph, single: Vec<Way>) -> Ways {
    let both = [(Precision::F16, in_f16(&single)), (Precision::F32, single)];
    both.map(|(precision, ways)| {
        (precision, ways.into_iter().chain(on_matrices(graph, precision).into_iter().skip(2)).collect())
    })
}

/// As [`check`], on matrices alone; if whole numbers are to be exact, as [`check_bits`].
pub(crate) fn check_on_matrices(case: &str, graph: &Graph, inputs: &[Tensor], exact: bool) {
    let ways = [Precision::F16, Precision::F32].map(|precision| (precision, on_matrices(graph, precision)));
    if exact { check_bits_of_ways(case, graph, inputs, ways) } else { check_ways(case, graph, inputs, ways) }
}

fn check_ways(case: &str, graph: &Graph, inputs: &[Tensor], ways: Ways) {
    for (precision, ways) in ways {
        // What rounding inputs does to a sum that cancels, or to an exponential, says nothing of kernels.
        let halved: Vec<Tensor> = inputs.iter().map(halves).collect();
        let inputs = if precision == Precision::F16 { &halved } else { inputs };
        check_stored(case, graph, inputs, precision, ways);
    }
}

fn check_stored(case: &str, graph: &Graph, inputs: &[Tensor], precision: Precision, ways: Vec<Way>) {
    let want = Reference { precision, ..Default::default() }.run_with_bounds(graph, inputs).unwrap();
    for way in ways {
        let wrong = wrong(graph, &run_on(way.1, graph, inputs, &way.2), &want);
        assert!(wrong.is_empty(), "{case}, {}: {wrong:#?}", described(&way));
    }
}

/// The GPU's bits are the reference's, except for the sign of zero and the payload of NaN: in `f16`, those of inputs
/// rounded to such.
pub(crate) fn check_bits(case: &str, graph: &Graph, inputs: &[Tensor]) {
    check_bits_of_ways(case, graph, inputs, in_both(graph, ways()));
}

/// As [`check_bits`], planned for a card, too.
pub(crate) fn check_bits_on_both(case: &str, graph: &Graph, inputs: &[Tensor]) {
    check_bits_of_ways(case, graph, inputs, in_both(graph, ways_on_both()));
}

fn check_bits_of_ways(case: &str, graph: &Graph, inputs: &[Tensor], ways: Ways) {
    for (precision, ways) in ways {
        let halved: Vec<Tensor> = inputs.iter().map(halves).collect();
        let inputs = if precision == Precision::F16 { &halved } else { inputs };
        let want = reference::run(graph, inputs).unwrap();
        let (exact, rounded): (Vec<Way>, Vec<Way>) =
            ways.into_iter().partition(|way| way.2.precision == Precision::F32 || want.iter().all(is_stored));
        // No f16 is what was computed.
        if !rounded.is_empty() {
            check_stored(case, graph, inputs, Precision::F16, rounded);
        }
        for way in exact {
            for (got, want) in run_on(way.1, graph, inputs, &way.2).iter().zip(&want) {
                assert_same_bits(&format!("{case}, {}", described(&way)), got, want);
            }
        }
    }
}

/// Equal bits, except that all NaNs are equal, and so are both zeros.
pub(crate) fn assert_same_bits(case: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{case}");
    let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
    let differing = got.data().iter().zip(want.data()).enumerate().filter(|(_, (a, b))| !same(**a, **b));
    let shown: Vec<_> = differing.take(16).collect();
    assert!(shown.is_empty(), "{case}: (index, (got, want)) {shown:?}");
}

/// As [`random`]; of a wide range, what an `f16` holds, and sums of products with others as well.
pub(crate) fn random_halves(shape: Shape, seed: u64, data: Data) -> Tensor {
    let mut values = random(shape, seed, data);
    if data == Data::WideRange {
        values.data_mut().iter_mut().for_each(|value| *value /= 8192.0);
    }
    values
}

/// `tensor` with NaN, infinities and negative zeros scattered in.
pub(crate) fn with_specials(mut tensor: Tensor) -> Tensor {
    let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, -f32::NAN, f32::MAX, f32::MIN];
    let len = tensor.data().len();
    for (i, special) in specials.into_iter().cycle().take(len / 11).enumerate() {
        tensor.data_mut()[(i * 11 + i * i % 7) % len] = special;
    }
    tensor
}
