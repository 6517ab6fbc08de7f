//! One device for all tests, data, and the comparison that every test goes through.

use std::sync::LazyLock;

use spp_wgpu::plan::ConvKernel;
use spp_wgpu::reference::{self, compare};
use spp_wgpu::{Gpu, GpuOptions, Graph, NodeId, PlanOptions, Program, Shape, Tensor, gpu};

/// The device under test; `WGPU_ADAPTER_NAME` chooses it.
pub(crate) static GPU: LazyLock<Gpu> = LazyLock::new(|| {
    let gpu = Gpu::new(&GpuOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    println!("tests run on {} ({})", gpu::describe(gpu.info()), gpu.info().driver_info);
    gpu
});

/// What numbers a test feeds: each regime finds other mistakes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Data {
    /// -1 .. 1.
    Uniform,
    /// -3, -2 … 3: sums are exact, so the results must be.
    Integers,
    /// Signs times powers of two from 2^-20 to 2^20.
    WideRange,
}

/// The same numbers for the same seed, everywhere.
pub(crate) fn random(shape: Shape, seed: u64, data: Data) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let value = |u: f32, v: f32| match data {
        Data::Uniform => 2.0 * u - 1.0,
        Data::Integers => (u * 7.0).floor() - 3.0,
        Data::WideRange => (2.0 * u - 1.0) * (v * 40.0 - 20.0).floor().exp2(),
    };
    let values = (0..shape.len()).map(|_| value(next(), next())).collect();
    Tensor::new(shape, values).unwrap()
}

/// A graph of one input and one output.
pub(crate) fn graph(shape: Shape, build: impl FnOnce(&mut Graph, NodeId) -> NodeId) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", shape).unwrap();
    let y = build(&mut graph, x);
    graph.output("y", y).unwrap();
    graph
}

/// The ways to plan that must agree.
pub(crate) fn options() -> Vec<(&'static str, PlanOptions)> {
    let with = |change: fn(&mut PlanOptions)| {
        let mut options = PlanOptions::default();
        change(&mut options);
        options
    };
    vec![
        ("direct", with(|o| o.conv_kernel = ConvKernel::Direct)),
        ("tiled", with(|o| o.conv_kernel = ConvKernel::Tiled)),
        ("unfused", PlanOptions::unfused()),
    ]
}

/// Runs on the GPU with every result poisoned first.
pub(crate) fn run(graph: &Graph, inputs: &[Tensor], options: &PlanOptions) -> Vec<Tensor> {
    let program = Program::with_options(&GPU, graph, options).unwrap();
    program.poison().unwrap();
    program.run(inputs).unwrap()
}

/// The GPU agrees with the reference within the bound, however the graph is planned.
pub(crate) fn check(case: &str, graph: &Graph, inputs: &[Tensor]) {
    let want = reference::run_with_bounds(graph, inputs).unwrap();
    for (plan, options) in options() {
        let got = run(graph, inputs, &options);
        for ((name, _), (got, want)) in graph.outputs().iter().zip(got.iter().zip(&want)) {
            let difference = compare(got, want).unwrap();
            assert!(difference.passes(), "{case}, planned {plan}, output '{name}': {difference}");
        }
    }
}

/// The GPU's bits are the reference's, but for the sign of zero and the payload of NaN.
pub(crate) fn check_bits(case: &str, graph: &Graph, inputs: &[Tensor]) {
    let want = reference::run(graph, inputs).unwrap();
    for (plan, options) in options() {
        for (got, want) in run(graph, inputs, &options).iter().zip(&want) {
            assert_same_bits(&format!("{case}, planned {plan}"), got, want);
        }
    }
}

/// Equal bits, where any NaN is NaN and either zero is zero.
pub(crate) fn assert_same_bits(case: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape(), "{case}");
    let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
    let differing = got.data().iter().zip(want.data()).enumerate().filter(|(_, (a, b))| !same(**a, **b));
    let shown: Vec<_> = differing.take(16).collect();
    assert!(shown.is_empty(), "{case}: (index, (got, want)) {shown:?}");
}

/// `tensor` with NaN, infinities and a negative zero sown in.
pub(crate) fn with_specials(mut tensor: Tensor) -> Tensor {
    let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, -f32::NAN, f32::MAX, f32::MIN];
    let len = tensor.data().len();
    for (i, special) in specials.into_iter().cycle().take(len / 11).enumerate() {
        tensor.data_mut()[(i * 11 + i * i % 7) % len] = special;
    }
    tensor
}
