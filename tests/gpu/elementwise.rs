//! Functions of each value, wherever a kernel applies them: extremes, NaN and infinities.

use spp_wgpu::ops::{Activation, Add, AffineActivation, Conv, Linear};
use spp_wgpu::{Graph, NodeId, Shape, Tensor};

use crate::harness::{check, graph};

const VALUES: [f32; 28] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.999_999_8,
    -2.999_999_8,
    3.0,
    -3.0,
    3.000_000_2,
    -3.000_000_2,
    1e-5,
    -1e-5,
    -0.4999,
    -9.0,
    1e-30,
    -1e-30,
    20.0,
    -20.0,
    87.0,
    -87.0,
    90.0,
    -90.0,
    1e30,
    -1e30,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// One pixel for each value, so that no sum mixes them.
fn values() -> Tensor {
    Tensor::new(Shape::new(1, 1, 4, 7), VALUES.into()).unwrap()
}

fn check_values(case: &str, build: impl FnOnce(&mut Graph, NodeId) -> NodeId) {
    let x = values();
    check(case, &graph(x.shape(), build), &[x]);
}

#[test]
fn every_activation_of_every_value_wherever_it_is_applied() {
    let slopes = [0.0, 1.0, -2.0].map(Activation::LeakyRelu);
    let clips = [(0.0, f32::INFINITY), (f32::NEG_INFINITY, 3.0), (f32::NEG_INFINITY, f32::INFINITY), (2.0, 1.0)];
    let clips = clips.map(|(least, most)| Activation::Clip(least, most));
    let others = [Activation::Elu(0.0), Activation::Elu(-2.0), Activation::HardSigmoid(-1e30, 0.5)];
    for activation in Activation::ALL.into_iter().chain(slopes).chain(clips).chain(others) {
        check_values(&format!("{activation:?} alone"), |graph, x| {
            graph.affine_activation("y", x, AffineActivation::activation(1, activation)).unwrap()
        });
        check_values(&format!("{activation:?} of a sum"), |graph, x| {
            graph.add("y", x, x, Add { scale: 0.0, activation }).unwrap()
        });
        let one = Tensor::filled(Shape::new(1, 1, 1, 1), 1.0).unwrap();
        check_values(&format!("{activation:?} of a convolution"), |graph, x| {
            graph.conv("y", x, Conv { activation, ..Conv::new(one.clone()) }).unwrap()
        });
        let images = Tensor::new(Shape::new(VALUES.len() as u32, 1, 1, 1), VALUES.into()).unwrap();
        let linear = Linear { weight: one.into(), bias: None, activation };
        let graph = graph(images.shape(), |graph, x| graph.linear("y", x, linear).unwrap());
        check(&format!("{activation:?} of a linear layer"), &graph, &[images]);
    }
}
