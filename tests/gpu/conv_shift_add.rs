//! Convolutions made tap by tap: which ones, the edges, terms of different kernels.

use spp_wgpu::ops::{Activation, Conv, ConvSum, Padding};
use spp_wgpu::plan::{ConvVariant, Tuning};
use spp_wgpu::{DeviceClass, DeviceProfile, Gpu, Graph, Plan, PlanOptions, Shape, reference};

use crate::graphs::same_conv;
use crate::harness::{CARD, Data, GPU, graph, random, run_plan, stems, wrong};

/// Made tap by tap wherever that can be.
fn planned(gpu: &Gpu, graph: &Graph) -> Plan {
    let mut tuning = Tuning::default();
    for step in Plan::new(graph, gpu.profile(), &PlanOptions::default()).unwrap().steps {
        if let Some(choice) = step.choice {
            tuning.set(choice.class, ConvVariant::ShiftAdd);
        }
    }
    Plan::new(graph, gpu.profile(), &PlanOptions::default().tuned(tuning)).unwrap()
}

fn dilated(out_c: u32, in_c: u32, dilation: u32) -> Conv {
    let around = Padding::symmetric(dilation, dilation);
    Conv { dilation: [dilation; 2], padding: around, scale: 0.5, ..same_conv(out_c, in_c, 3) }
}

fn sum(shape: Shape, terms: Vec<Conv>) -> Graph {
    graph(shape, |graph, x| {
        let inputs = vec![x; terms.len()];
        graph.conv_sum("sum", &inputs, ConvSum { terms, activation: Activation::Silu }).unwrap()
    })
}

fn check(case: &str, graph: &Graph) {
    let x = [random(graph.nodes()[0].shape, 9, Data::Uniform)];
    let want = reference::run_with_bounds(graph, &x).unwrap();
    for gpu in [&*GPU, &*CARD] {
        let plan = planned(gpu, graph);
        assert!(stems(&plan).contains(&"conv_shift_add"), "{case}: {plan}");
        assert_eq!(wrong(graph, &run_plan(plan, &x), &want), [""; 0], "{case}");
    }
}

#[test]
fn few_channels_of_many_taps_are_its_own() {
    let shape = Shape::new(1, 8, 9, 9);
    let shifts = |graph: &Graph| stems(&planned(&GPU, graph)).contains(&"conv_shift_add");
    let takes = |conv: Conv| shifts(&graph(shape, |graph, x| graph.conv("conv", x, conv).unwrap()));
    assert!(shifts(&sum(shape, vec![dilated(21, 8, 6), dilated(21, 8, 12)])));
    assert!(takes(same_conv(32, 8, 3)));
    assert!(!takes(same_conv(33, 8, 3)));
    assert!(!takes(same_conv(8, 8, 1)));
    assert!(!takes(Conv { stride: [1, 2], ..same_conv(8, 8, 3) }));
    assert!(!takes(Conv { groups: 2, ..same_conv(8, 4, 3) }));
}

#[test]
fn classifiers_of_long_sums_take_it_but_where_tiles_fill_a_gpu() {
    let stems_at = |size, class| {
        let graph = sum(Shape::new(1, 256, size, size), vec![dilated(21, 256, 6), dilated(21, 256, 12)]);
        stems(&Plan::new(&graph, &DeviceProfile::portable(class), &PlanOptions::default()).unwrap())
    };
    assert_eq!(stems_at(41, DeviceClass::Discrete), ["conv", "conv_shift_add"]);
    assert_eq!(stems_at(200, DeviceClass::Discrete), ["conv"]);
    assert_eq!(stems_at(65, DeviceClass::Integrated), ["conv"]);
    assert_eq!(stems_at(65, DeviceClass::Software), ["conv_direct", "conv_shift_add"]);
    // What 18 taps contribute to 24 channels each is 1728 bytes a pixel.
    let graph = sum(Shape::new(1, 256, 41, 41), vec![dilated(21, 256, 6), dilated(21, 256, 12)]);
    for (room, expected) in [(0, &["conv", "conv_shift_add"][..]), (1, &["conv"])] {
        let max_binding = 41 * 41 * 1728 - room;
        let profile = DeviceProfile { max_binding, ..DeviceProfile::portable(DeviceClass::Discrete) };
        assert_eq!(stems(&Plan::new(&graph, &profile, &PlanOptions::default()).unwrap()), expected);
    }
}

#[test]
fn agrees_with_the_reference_at_the_edges() {
    for [n, c, h, w] in [[1, 1, 1, 1], [2, 3, 4, 5], [1, 6, 13, 2], [1, 5, 9, 11]] {
        for out_c in [1, 4, 21] {
            let shape = Shape::new(n, c, h, w);
            let terms = vec![dilated(out_c, c, 2), dilated(out_c, c, 7), same_conv(out_c, c, 1)];
            check(&format!("{shape} to {out_c}"), &sum(shape, terms));
        }
    }
    // Another extent than the input's.
    for padding in [Padding::default(), Padding { top: 2, bottom: 1, left: 0, right: 3 }] {
        check(&format!("{padding:?}"), &sum(Shape::new(2, 6, 7, 10), vec![Conv { padding, ..same_conv(5, 6, 3) }]));
    }
}

#[test]
fn a_slice_of_a_concatenation_may_be_read_and_written() {
    // Runs of five and three channels leave gaps in what the last convolution reads.
    let graph = graph(Shape::new(1, 4, 6, 6), |graph, x| {
        let a = graph.conv("a", x, same_conv(5, 4, 3)).unwrap();
        let b = graph.conv("b", a, same_conv(3, 5, 3)).unwrap();
        let cat = graph.concat("cat", &[a, b]).unwrap();
        graph.conv("c", cat, same_conv(6, 8, 3)).unwrap()
    });
    check("concatenated", &graph);
}
