//! Tensors stored in `f16`, on a device whose shaders have such a type, and on one that packs two values in a word.

use half::f16;
use spp_wgpu::ops::{Activation, AffineActivation, Conv, ConvSum, MaxPool};
use spp_wgpu::{DeviceProfile, Graph, Plan, PlanOptions, Precision, Shape, Tensor};

use crate::harness::{CARD, Data, GPU, SHAPES, assert_same_bits, graph, halves, random, run_plan, with_specials};

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
            assert_same_bits(&format!("{shape}, {way}"), &got[0], &halves(&x));
        }
    }
}

/// All of them: small ones, which some devices take for zero, infinities and NaN.
fn all_halves() -> impl Iterator<Item = f32> {
    (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32())
}

/// Every value is read as it is. Times 1024, what is small no longer is, so that nothing hides how it was read.
#[test]
fn every_half_is_read_exactly() {
    let x = Tensor::new(Shape::new(1, 1, 256, 256), all_halves().collect()).unwrap();
    for scale in [1.0_f32, 1024.0] {
        let affine =
            AffineActivation { scale: [scale.into()].into(), shift: [0.0].into(), activation: Activation::None };
        let graph = graph(x.shape(), |graph, x| graph.affine_activation("y", x, affine.clone()).unwrap());
        let scaled: Vec<f32> = x.data().iter().map(|value| value * scale).collect();
        let want = halves(&Tensor::new(x.shape(), scaled).unwrap());
        for (way, got) in in_every_way(&graph, std::slice::from_ref(&x)) {
            assert_same_bits(&format!("times {scale}, {way}"), &got[0], &want);
        }
    }
}

/// Each half, the middle between it and the next, and what lies just beside the two: ties, the smallest, what is too large.
#[test]
fn every_result_is_rounded_to_the_nearest_half() {
    let positive = all_halves().filter(|half| half.is_finite() && half.is_sign_positive());
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
    let want = halves(&Tensor::new(shape, values).unwrap());
    for (way, got) in in_every_way(&graph, &[Tensor::filled(shape, 1.0).unwrap()]) {
        assert_same_bits(&way, &got[0], &want);
    }
}

/// 2049 is no half. An output in `f32` gets the sum as it was formed, from a convolution that nothing else reads and that
/// shares its dispatch with none; all others are stored.
#[test]
fn a_sum_is_an_output_without_being_rounded_on_the_way() {
    let shape = Shape::new(1, 2, 3, 5);
    let ones = || Conv::new(Tensor::filled(Shape::new(6, 2, 1, 1), 1.0).unwrap());
    let plane = |value| vec![value; 15];
    let x = Tensor::new(shape, [plane(2048.0), plane(1.0)].concat()).unwrap();
    let alone = graph(shape, |graph, x| graph.conv("y", x, ones()).unwrap());
    let sum = graph(shape, |graph, x| {
        let activation = Activation::Relu;
        let halved = Conv { scale: 0.5, ..ones() };
        graph.conv_sum("y", &[x, x], ConvSum { terms: vec![halved.clone(), halved], activation }).unwrap()
    });
    // So long a sum is made tap by tap on a processor.
    let long = graph(shape, |graph, x| {
        let mut weight = Tensor::filled(Shape::new(6, 2048, 1, 2), 0.0).unwrap();
        weight.data_mut().chunks_mut(4096).for_each(|of_output| (of_output[0], of_output[3]) = (1.0, 1.0));
        let mut widen = Tensor::filled(Shape::new(2048, 2, 1, 1), 0.0).unwrap();
        (widen.data_mut()[0], widen.data_mut()[3]) = (1.0, 1.0);
        let wide = graph.conv("wide", x, Conv::new(widen)).unwrap();
        graph.conv("y", wide, Conv::new(weight)).unwrap()
    });
    let shared = {
        let mut graph = graph(shape, |graph, x| graph.conv("y", x, ones()).unwrap());
        let y = graph.outputs()[0].1;
        let pooled = graph.max_pool("pooled", y, MaxPool::new([1, 1])).unwrap();
        graph.output("pooled", pooled).unwrap();
        graph
    };
    let together = {
        let mut graph = Graph::new();
        let x = graph.input("x", shape).unwrap();
        for name in ["a", "b"] {
            let y = graph.conv(name, x, ones()).unwrap();
            graph.output(name, y).unwrap();
        }
        graph
    };
    for (what, graph, whole) in [
        ("alone", alone, true),
        ("sum", sum, true),
        ("long", long, true),
        ("shared", shared, false),
        ("together", together, false),
    ] {
        for (way, got) in in_every_way(&graph, std::slice::from_ref(&x)) {
            let want = if whole && way.ends_with("F32") { 2049.0 } else { 2048.0 };
            for got in got {
                assert!(got.data().iter().all(|&got| got == want), "{what}, {way}: {:?}, want {want}", got.data());
            }
        }
    }
}

/// A sum of more inputs than one dispatch can read is not rounded on the way: what is too large for an `f16` there, or has
/// more digits, comes out right where the whole does not.
#[test]
fn sums_over_several_dispatches_are_not_rounded_in_between() {
    let shape = Shape::new(1, 4, 3, 3);
    let factors = [200.0, 200.0, 200.0, -200.0, -200.0];
    let mut graph = Graph::new();
    let inputs: Vec<_> = (0..5).map(|i| graph.input(format!("x{i}"), shape).unwrap()).collect();
    let term = |factor: f32| Conv::new(Tensor::filled(Shape::new(4, 4, 1, 1), factor).unwrap());
    let terms = factors.map(term).to_vec();
    let y = graph.conv_sum("y", &inputs, ConvSum { terms, activation: Activation::None }).unwrap();
    let y = graph.max_pool("pool", y, MaxPool::new([1, 1])).unwrap();
    graph.output("y", y).unwrap();
    // 4 * 200 times each: 80 000, 160 000, 160 808, 80 808, 808.
    let inputs: Vec<Tensor> =
        [100.0, 100.0, 1.01, 100.0, 100.0].map(|value| Tensor::filled(shape, value).unwrap()).into();
    let exact = 800.0 * f64::from(f16::from_f32(1.01).to_f32());
    for (way, got) in in_every_way(&graph, &inputs) {
        let want = f16::from_f64(exact).to_f32();
        assert!(got[0].data().iter().all(|&value| value == want), "{way}: {:?}, not {want}", got[0].data());
    }
}
