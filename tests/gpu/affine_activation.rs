//! Scale, shift and activation on their own: batch normalisation, bare activations, padding lanes.

use spp_wgpu::Shape;
use spp_wgpu::ops::{Activation, AffineActivation};

use crate::graphs::{affine, same_conv, vector};
use crate::harness::{Data, SHAPES, check, check_bits, graph, random, with_specials};

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for shape in SHAPES {
        for activation in Activation::ALL {
            for data in [Data::Uniform, Data::WideRange] {
                let graph =
                    graph(shape, |graph, x| graph.affine_activation("y", x, affine(shape.c, activation)).unwrap());
                check(&format!("{activation:?} of {data:?} {shape}"), &graph, &[random(shape, 7, data)]);
            }
        }
    }
}

#[test]
fn an_activation_may_stand_alone() {
    for shape in SHAPES {
        for activation in Activation::ALL {
            let graph = graph(shape, |graph, x| {
                graph.affine_activation("y", x, AffineActivation::activation(shape.c, activation)).unwrap()
            });
            let x = with_specials(random(shape, 7, Data::Integers));
            if matches!(activation, Activation::None | Activation::Relu) {
                check_bits(&format!("{activation:?} of {shape}"), &graph, &[x]);
            } else {
                check(&format!("{activation:?} of {shape}"), &graph, &[x]);
            }
        }
    }
}

#[test]
fn batch_normalisation() {
    for shape in SHAPES {
        let [gamma, beta, mean] = [1, 2, 3].map(|seed| vector(shape.c, seed));
        let var: Vec<f32> = vector(shape.c, 4).iter().map(|v| v * v).collect();
        let bn = AffineActivation::batch_norm("bn", [&gamma, &beta, &mean, &var], 1e-5, Activation::Silu).unwrap();
        let graph = graph(shape, |graph, x| graph.affine_activation("bn", x, bn).unwrap());
        check(&shape.to_string(), &graph, &[random(shape, 5, Data::Uniform)]);
    }
}

/// The sigmoid of a padding lane's zero is not zero: a later convolution would see it if it were kept.
#[test]
fn padding_lanes_stay_zero() {
    for channels in [1, 3, 5, 9] {
        let shape = Shape::new(1, channels, 3, 5);
        let graph = graph(shape, |graph, x| {
            let shift = AffineActivation {
                shift: vec![1e30; channels as usize].into(),
                ..affine(channels, Activation::Sigmoid)
            };
            let ones = graph.affine_activation("ones", x, shift).unwrap();
            let both = graph.concat("both", &[ones, x]).unwrap();
            graph.conv("y", both, same_conv(3, 2 * channels, 3)).unwrap()
        });
        check(&format!("{channels} channels"), &graph, &[random(shape, 6, Data::Uniform)]);
    }
}
