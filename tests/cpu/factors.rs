//! Factors that `f32` cannot hold once multiplied out are left where they are: see also `tests/gpu/passes.rs`.

use spp_wgpu::ops::*;
use spp_wgpu::{Error, Graph, NodeId, Shape, Tensor};

use crate::graphs::graph;
use crate::plans::default_stems;

const X: Shape = Shape::new(1, 2, 3, 3);

/// A 1x1 convolution of two channels to one.
fn conv(weight: [f32; 2], bias: f32) -> Conv {
    let weight = Tensor::new(Shape::new(1, 2, 1, 1), weight.to_vec()).unwrap();
    Conv { bias: Some(vec![bias].into()), ..Conv::new(weight) }
}

fn scaled(weight: [f32; 2], bias: f32, scale: f64, shift: f64) -> Graph {
    graph(X, |graph, x| {
        let conv = graph.conv("conv", x, conv(weight, bias)).unwrap();
        let affine =
            AffineActivation { scale: vec![scale].into(), shift: vec![shift].into(), activation: Activation::None };
        graph.affine_activation("affine", conv, affine).unwrap()
    })
}

fn sum(parts: [([f32; 2], f32); 2], scale: f32) -> Graph {
    graph(X, |graph, x| {
        let [a, b]: [NodeId; 2] = [0, 1].map(|i| graph.conv(format!("{i}"), x, conv(parts[i].0, parts[i].1)).unwrap());
        graph.add("sum", a, b, Add { scale, activation: Activation::None }).unwrap()
    })
}

#[test]
fn only_factors_that_fit_are_folded() {
    let inf = f64::INFINITY;
    for (what, graph, dispatches) in [
        ("as usual", scaled([0.1, -2.0], 1.0, 3.0, 0.5), 1),
        ("a channel that is off", scaled([0.1, -2.0], 1.0, 0.0, 0.0), 1),
        ("a factor below the range", scaled([0.1, -2.0], 0.0, 1e-41, 0.0), 1),
        ("a weight below the range beside others", scaled([1e-30, 1.0], 0.0, 1e-10, 0.0), 1),
        ("weights beyond the range", scaled([1e30, 1e30], 0.0, 1e10, 0.0), 2),
        ("terms that overflow before they cancel", scaled([1.0, -1.0], 0.0, 1e30, 0.5), 2),
        ("all weights below the range", scaled([1e-20, 1e-25], 0.0, 1e-20, 0.0), 2),
        ("an infinite factor", scaled([2.0, -1.0], 0.0, inf, 0.0), 2),
        ("an infinite summand", scaled([2.0, -1.0], 0.0, 1.0, inf), 2),
        ("a usual sum", sum([([1.0, 2.0], 1.0), ([2.0, 1.0], 1.0)], 0.5), 1),
        ("biases beyond the range", sum([([3e38, 0.0], 3e38), ([3e38, 0.0], 3e38)], 1.0), 2),
        ("a sum's factor beyond the range", sum([([1e20, 2.0], 1.0), ([2.0, 1.0], 1.0)], 1e20), 2),
    ] {
        let stems = default_stems(&graph);
        assert_eq!(stems.len(), dispatches, "{what}: {stems:?}");
    }
}

#[test]
fn a_scale_that_takes_weights_out_of_range_is_refused() {
    for (weight, scale) in [(1e30, 1e10), (1e-30, 1e-20)] {
        let mut graph = Graph::new();
        let x = graph.input("x", X).unwrap();
        let error = graph.conv("y", x, Conv { scale, ..conv([weight; 2], 0.0) }).unwrap_err();
        assert!(matches!(&error, Error::InvalidParam { param: "scale", .. }), "{error}");
    }
}
