//! Tensors stored in `f16`, on a device whose shaders have such a type, and on one that packs two values in a word.

use spp_wgpu::ops::MaxPool;
use spp_wgpu::{PlanOptions, Precision};

use crate::harness::{Data, SHAPES, assert_same_bits, graph, halves, random, run, with_specials};

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
