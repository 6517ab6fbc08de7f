//! Tensors stored in `f16`, on a device whose shaders have such a type, and on one that packs two values in a word.

use half::f16;
use spp_wgpu::ops::{Activation, AffineActivation, Linear, MaxPool};
use spp_wgpu::plan::{DeviceProfile, Precision};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape, Tensor, reference};

use crate::graphs::CONSUMERS;
use crate::harness::{CARD, Data, GPU, SHAPES, assert_same_bits, graph, random, run_plan, with_specials};

fn rounded(tensor: &Tensor) -> Tensor {
    let values = tensor.data().iter().map(|&value| f16::from_f32(value).to_f32()).collect();
    Tensor::new(tensor.shape(), values).unwrap()
}

/// What the graph yields in `f16`, for each way to plan it: with and without a type for that, for the device under test
/// and for a card, with inputs and outputs of either type.
fn in_every_way(graph: &Graph, inputs: &[Tensor]) -> Vec<(String, Vec<Tensor>)> {
    let mut results = Vec::new();
    for (planned, profile) in [("as it is", GPU.profile()), ("for a card", CARD.profile())] {
        for f16 in [true, false].into_iter().filter(|f16| !f16 || GPU.profile().f16) {
            for ports in [Precision::F32, Precision::F16] {
                let options = PlanOptions::default().precision(Precision::F16).ports(ports);
                let plan = Plan::new(graph, &DeviceProfile { f16, ..profile.clone() }, &options).unwrap();
                let way = format!("{planned}, {}, ports in {ports:?}", if f16 { "native" } else { "packed" });
                results.push((way, run_plan(plan, inputs)));
            }
        }
    }
    results
}

/// A pool of one pixel hands on what was stored.
#[test]
fn inputs_are_rounded_to_the_nearest_half() {
    for shape in SHAPES {
        let graph = graph(shape, |graph, x| graph.max_pool("pool", x, MaxPool::new([1, 1])).unwrap());
        let x = with_specials(random(shape, 1, Data::WideRange));
        for (way, got) in in_every_way(&graph, std::slice::from_ref(&x)) {
            assert_same_bits(&format!("{shape}, {way}"), &got[0], &rounded(&x));
        }
    }
}

/// All of them: small ones, which some devices take for zero, infinities and NaN.
fn halves() -> impl Iterator<Item = f32> {
    (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32())
}

/// Every value is read as it is. Times 1024, what is small no longer is, so that nothing hides how it was read.
#[test]
fn every_half_is_read_exactly() {
    let x = Tensor::new(Shape::new(1, 1, 256, 256), halves().collect()).unwrap();
    for scale in [1.0_f32, 1024.0] {
        let affine =
            AffineActivation { scale: [scale.into()].into(), shift: [0.0].into(), activation: Activation::None };
        let graph = graph(x.shape(), |graph, x| graph.affine_activation("y", x, affine.clone()).unwrap());
        let scaled: Vec<f32> = x.data().iter().map(|value| value * scale).collect();
        let want = rounded(&Tensor::new(x.shape(), scaled).unwrap());
        for (way, got) in in_every_way(&graph, std::slice::from_ref(&x)) {
            assert_same_bits(&format!("times {scale}, {way}"), &got[0], &want);
        }
    }
}

/// Each half, the middle between it and the next, and what lies just beside the two: ties, the smallest, what is too large.
#[test]
fn every_result_is_rounded_to_the_nearest_half() {
    let positive = halves().filter(|half| half.is_finite() && half.is_sign_positive());
    let middle = |half: f32| {
        if half < 65_504.0 {
            (half + f16::from_bits(f16::from_f32(half).to_bits() + 1).to_f32()) / 2.0
        } else {
            65_520.0
        }
    };
    let beside = |value: f32| [value.next_down(), value, value.next_up()];
    let values = positive.flat_map(|half| [half, middle(half)]).flat_map(beside);
    let values = values.chain([1e5, 1e30, f32::MAX, 1e-9, 1e-30]).flat_map(|value| [value, -value]);
    let values: Vec<f32> = values.collect();
    let channels = values.len() as u32;
    // As factors of 1: they are f32 in every plan.
    let scale = values.iter().map(|&value| value.into()).collect();
    let affine = AffineActivation { scale, shift: vec![0.0; values.len()].into(), activation: Activation::None };
    let shape = Shape::new(1, channels, 1, 1);
    let graph = graph(shape, |graph, x| graph.affine_activation("y", x, affine).unwrap());
    let want = rounded(&Tensor::new(shape, values).unwrap());
    for (way, got) in in_every_way(&graph, &[Tensor::filled(shape, 1.0).unwrap()]) {
        assert_same_bits(&way, &got[0], &want);
    }
}

/// What is stored is the true result of what was stored, rounded: to the nearest half if no sum was formed, else to one
/// of its neighbours.
fn assert_rounded_once(case: &str, graph: &Graph, inputs: &[Tensor], is_exact: bool) {
    let inputs: Vec<Tensor> = inputs.iter().map(rounded).collect();
    let want = &reference::run_with_bounds(graph, &inputs).unwrap()[0];
    for (way, got) in in_every_way(graph, &inputs) {
        let got = got[0].data();
        assert_eq!(got.len(), want.values.len());
        for (i, ((&got, &value), bound)) in got.iter().zip(&want.values).zip(&want.bound).enumerate() {
            let nearest = |value: f64| f16::from_f64(value).to_f32();
            let bound = if is_exact { 0.0 } else { *bound };
            // Rows of scores are in what outputs are in, which may be f32.
            let low = nearest(value - bound).min((value - bound) as f32);
            let high = nearest(value + bound).max((value + bound) as f32);
            let fits = if value.is_nan() { got.is_nan() } else { low <= got && got <= high };
            assert!(fits, "{case}, {way}: [{i}] is {got}, not {low} to {high}, for {value}");
        }
    }
}

/// Whatever forms no sum.
const EXACT: [&str; 7] =
    ["concat", "global_pool, max", "layout", "max_pool", "max_pool_cascade", "pyramid_pool", "resize, nearest"];

#[test]
fn operations_round_once() {
    for [h, w] in [[6, 5], [3, 3]] {
        let mut graphs = Vec::new();
        for (name, consumer) in CONSUMERS.iter().filter(|(name, _)| !name.contains("conv") && *name != "linear") {
            if *name == "add of other runs" {
                continue;
            }
            // Behind a gap, which takes copies to fill and to close.
            let mut graph = Graph::new();
            let operands = [9, 7, 8].map(|c| graph.input(format!("x{c}"), Shape::new(2, c, h, w)).unwrap());
            let cat = graph.concat("cat", &operands).unwrap();
            let y = consumer(&mut graph, cat);
            graph.output("y", y).unwrap();
            graphs.push((name, graph));
        }
        for (name, graph) in graphs {
            let is_exact = EXACT.contains(name) || *name == "output";
            let inputs: Vec<Tensor> =
                graph.inputs().zip(1..).map(|((_, x), seed)| random(x.shape, seed, Data::Uniform)).collect();
            assert_rounded_once(name, &graph, &inputs, is_exact);
            let special: Vec<Tensor> = inputs.into_iter().map(with_specials).collect();
            if is_exact {
                assert_rounded_once(&format!("{name}, with specials"), &graph, &special, true);
            }
        }
    }
}

/// Weights that halves hold are no different there.
#[test]
fn a_layer_rounds_once() {
    for [c, h, outputs] in [[5, 3, 7], [70, 2, 12]] {
        let x = Shape::new(2, c, h, h);
        let weight = rounded(&random(Shape::new(outputs, c * h * h, 1, 1), 2, Data::Uniform)).into();
        let linear = Linear { weight, bias: Some(crate::graphs::vector(outputs, 3)), activation: Activation::Silu };
        let graph = graph(x, |graph, x| graph.linear("y", x, linear).unwrap());
        assert_rounded_once(&format!("{x} to {outputs}"), &graph, &[random(x, 1, Data::Uniform)], false);
    }
}
