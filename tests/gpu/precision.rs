//! Tensors stored in `f16`, on a device whose shaders have such a type, and on one that packs two values in a word.

use spp_wgpu::ops::{Conv, MaxPool};
use spp_wgpu::{PlanOptions, Precision, Shape, Tensor, reference};

use crate::graphs::same_conv;
use crate::harness::{
    CARD, Data, GPU, SHAPES, assert_same_bits, graph, halves, options, random, run, run_on, with_specials,
};

/// A pool of one pixel hands on what was stored.
#[test]
fn inputs_are_rounded_to_the_nearest_half() {
    for shape in SHAPES {
        for ports in [Precision::F32, Precision::F16] {
            let graph = graph(shape, |graph, x| graph.max_pool("pool", x, MaxPool::new([1, 1])).unwrap());
            let x = with_specials(random(shape, 1, Data::WideRange));
            let options = PlanOptions::default().precision(Precision::F16).ports(ports);
            let got = run(&graph, std::slice::from_ref(&x), &options);
            assert_same_bits(&format!("{shape}, ports in {ports:?}"), &got[0], &halves(&x));
        }
    }
}

/// Errors of a few roundings to `f16`, whichever kernel computes it.
#[test]
fn convolutions_are_as_exact_as_what_they_store() {
    let shape = Shape::new(2, 20, 9, 11);
    let convs = [
        same_conv(37, 20, 3),
        same_conv(64, 20, 1),
        Conv { groups: 20, ..same_conv(20, 1, 3) },
        Conv { groups: 5, ..same_conv(20, 4, 3) },
    ];
    for (i, conv) in convs.into_iter().enumerate() {
        let graph = graph(shape, |graph, x| {
            let y = graph.conv("conv", x, conv.clone()).unwrap();
            graph.max_pool("pool", y, MaxPool::same(3)).unwrap()
        });
        let x = random(shape, 6, Data::Uniform);
        let want = reference::run(&graph, std::slice::from_ref(&x)).unwrap();
        for gpu in [&*GPU, &*CARD] {
            for (plan, options) in options() {
                let got = run_on(gpu, &graph, std::slice::from_ref(&x), &options.precision(Precision::F16));
                let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>();
                let [got, want] = [&got[0], &want[0]].map(Tensor::data);
                let error = squares(&mut got.iter().zip(want).map(|(a, b)| a - b));
                let nmse = error / squares(&mut want.iter().copied());
                assert!(nmse > 1e-12 && nmse < 1e-6, "convolution {i}, planned {plan}: {nmse:e}");
            }
        }
    }
}
