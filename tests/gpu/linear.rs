//! Fully connected layers: maps as input, activations, weights larger than one binding holds.

use spp_wgpu::ops::{Activation, Linear};
use spp_wgpu::{DeviceProfile, Graph, Plan, PlanOptions, Shape, reference};

use crate::graphs::vector;
use crate::harness::{Data, GPU, check, check_bits, graph, random, random_halves, run_plan, stems, wrong};

fn linear(x: Shape, outputs: u32, activation: Activation, data: Data) -> Graph {
    let weight = random_halves(Shape::new(outputs, x.c * x.h * x.w, 1, 1), 2, data).into();
    let bias = Some(random(Shape::new(1, outputs, 1, 1), 3, data).into_data().into());
    graph(x, |graph, x| graph.linear("linear", x, Linear { weight, bias, activation }).unwrap())
}

const INPUTS: [Shape; 7] = [
    Shape::new(1, 1, 1, 1),
    Shape::new(3, 5, 1, 1),
    Shape::new(2, 4, 3, 2),
    Shape::new(2, 9, 2, 5),
    Shape::new(1, 256, 1, 1),
    Shape::new(1, 257, 1, 1),
    Shape::new(4, 12, 13, 11),
];

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for x in INPUTS {
        for outputs in [1, 3, 4, 5, 8, 9] {
            for data in [Data::Uniform, Data::WideRange] {
                let case = format!("{data:?} {x} to {outputs}");
                check(&case, &linear(x, outputs, Activation::None, data), &[random_halves(x, 1, data)]);
            }
            let graph = linear(x, outputs, Activation::Relu, Data::Integers);
            check_bits(&format!("{x} to {outputs}"), &graph, &[random(x, 1, Data::Integers)]);
        }
        // Sums around 1, where activations are unlike each other.
        let mut input = random(x, 1, Data::Uniform);
        let size = (input.data().len() as f32 / x.n as f32).sqrt();
        input.data_mut().iter_mut().for_each(|value| *value /= size);
        for activation in Activation::ALL {
            let graph = linear(x, 7, activation, Data::Uniform);
            check(&format!("{activation:?} of {x}"), &graph, std::slice::from_ref(&input));
        }
    }
}

/// Rows share weights as the pixels of a convolution do.
#[test]
fn many_rows_are_convolved() {
    for (rows, stem) in [(15, "linear"), (16, "conv_direct")] {
        let x = Shape::new(rows, 6, 1, 1);
        let graph = linear(x, 7, Activation::Silu, Data::Uniform);
        let mut options = PlanOptions::default();
        options.conv_kernel = spp_wgpu::plan::ConvKernel::Direct;
        assert_eq!(stems(&Plan::new(&graph, GPU.profile(), &options).unwrap()), [stem], "{rows} rows");
        check(&format!("{rows} rows"), &graph, &[random(x, 1, Data::Uniform)]);
    }
}

/// Padding lanes of a vector stay zero: the next layer would see them.
#[test]
fn layers_follow_each_other() {
    let x = Shape::new(3, 5, 2, 2);
    let layer = |outputs, inputs| Linear {
        weight: random(Shape::new(outputs, inputs, 1, 1), 2, Data::Uniform).into(),
        bias: Some(vector(outputs, 3)),
        activation: Activation::Sigmoid,
    };
    let graph = graph(x, |graph, x| {
        let first = graph.linear("first", x, layer(9, 20)).unwrap();
        let both = graph.concat("both", &[first, first]).unwrap();
        graph.linear("second", both, layer(3, 18)).unwrap()
    });
    check("two layers", &graph, &[random(x, 1, Data::Uniform)]);
}

#[test]
fn weights_over_one_binding_are_split() {
    // 64 features with padding: four outputs need 4 * 64 * 4 = 1024 bytes, so eight outputs per dispatch.
    let x = Shape::new(2, 15, 2, 2);
    let profile = DeviceProfile { max_binding: 2100, ..GPU.profile().clone() };
    for (outputs, dispatches) in [(8, 1), (9, 2), (37, 5), (40, 5)] {
        let graph = linear(x, outputs, Activation::Sigmoid, Data::Uniform);
        let plan = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap();
        assert_eq!(stems(&plan), vec!["linear"; dispatches]);
        let inputs = [random(x, 1, Data::Uniform)];
        let want = reference::run_with_bounds(&graph, &inputs).unwrap();
        assert_eq!(wrong(&graph, &run_plan(plan, &inputs), &want), [""; 0], "{outputs} outputs");
    }
}
