//! Maps of one pixel that go through their columns of a projection by themselves: when, and when not.

use spp_wgpu::case::canonical_row;
use spp_wgpu::ops::*;
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, NodeId, Plan, PlanOptions, Shape};

use crate::graphs::{Data, affine, graph, random, same_conv};
use crate::plans::{X, default_stems, planned, stems};

const C: u32 = X.c;

fn pool(graph: &mut Graph, name: &str, x: NodeId) -> NodeId {
    graph.global_pool(name, x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap()
}

/// `x` at the extents of [`X`].
fn resized(graph: &mut Graph, name: &str, x: NodeId) -> NodeId {
    let resize = Resize { out_h: X.h, out_w: X.w, mode: ResizeMode::Bilinear };
    graph.resize(name, x, resize).unwrap()
}

/// The map, its maximum at every pixel, and what follows their concatenation.
fn pooled(then: impl FnOnce(&mut Graph, NodeId, [NodeId; 2]) -> NodeId) -> Graph {
    graph(X, |graph, x| {
        let max = pool(graph, "max", x);
        let image = resized(graph, "image", max);
        let cat = graph.concat("cat", &[x, image]).unwrap();
        then(graph, cat, [x, image])
    })
}

fn project(conv: Conv) -> Graph {
    pooled(|graph, cat, _| graph.conv("y", cat, conv).unwrap())
}

fn resizes(graph: &Graph) -> usize {
    default_stems(graph).iter().filter(|stem| **stem == "resize").count()
}

#[test]
fn a_pixel_goes_through_its_columns_by_itself() {
    let graph = project(Conv { activation: Activation::Silu, scale: 2.0, ..same_conv(6, 2 * C, 1) });
    // Nothing is left to put beside the map.
    assert_eq!(default_stems(&graph), ["global_pool", "conv", "conv"]);
    let off = planned(&graph, |o| o.image_bias = false);
    assert_eq!(stems(&off), ["global_pool", "resize", "conv"]);
    let normalised = pooled(|graph, cat, _| {
        let conv = graph.conv("y", cat, same_conv(6, 2 * C, 1)).unwrap();
        graph.affine_activation("bn", conv, affine(6, Activation::Relu)).unwrap()
    });
    assert_eq!(default_stems(&normalised), ["global_pool", "conv", "conv"]);
}

#[test]
fn several_pixels_go_together() {
    let graph = graph(X, |graph, x| {
        let [a, b] = ["a", "b"].map(|name| {
            let max = pool(graph, &format!("{name}.max"), x);
            resized(graph, name, max)
        });
        let [p, q] = ["p", "q"].map(|name| graph.max_pool(name, x, MaxPool::same(3)).unwrap());
        let cat = graph.concat("cat", &[a, p, b, q]).unwrap();
        graph.conv("y", cat, same_conv(6, 4 * C, 1)).unwrap()
    });
    let of = |wanted: &str| default_stems(&graph).iter().filter(|stem| **stem == wanted).count();
    assert_eq!(["resize", "concat", "conv"].map(of), [0, 0, 2]);
}

#[test]
fn the_projection_of_aspp_v3_resizes_nothing() {
    for class in [DeviceClass::Discrete, DeviceClass::Software] {
        let graph = canonical_row("aspp_deeplabv3").unwrap().graph(0).unwrap();
        let plan = Plan::new(&graph, &DeviceProfile::portable(class), &PlanOptions::default()).unwrap();
        let stems = stems(&plan);
        assert!(stems.len() == 5 && !stems.contains(&"resize") && !stems.contains(&"concat"), "{stems:?}");
        // The pixels' convolution, and the projection without their 256 channels.
        let [.., pixel, projection] = plan.steps.iter().filter(|step| step.choice.is_some()).collect::<Vec<_>>()[..]
        else {
            panic!("{plan}")
        };
        // One more says where resizing would make NaN of infinities.
        assert_eq!(pixel.results[0].shape, Shape::new(1, 257, 1, 1));
        assert_eq!(projection.operands.iter().map(|x| x.shape.c).collect::<Vec<_>>(), [1024, 257]);
        assert_eq!(projection.cost.flops, 2 * 1024 * projection.results[0].shape.len());
    }
}

#[test]
fn other_convolutions_keep_their_map() {
    let conv = || same_conv(6, 2 * C, 1);
    assert_eq!(resizes(&project(conv())), 0);
    for (what, conv) in [
        ("3x3", same_conv(6, 2 * C, 3)),
        ("1x2", Conv::new(random(Shape::new(6, 2 * C, 1, 2), 1, Data::Uniform))),
        ("groups", Conv { groups: 2, ..same_conv(6, C, 1) }),
        ("stride", Conv { stride: [1, 2], ..conv() }),
        ("padding", Conv { padding: Padding { right: 1, ..Padding::default() }, ..conv() }),
    ] {
        assert_eq!(resizes(&project(conv)), 1, "{what}");
    }
    let residual = pooled(|graph, cat, [x, _]| graph.conv_add("y", cat, x, same_conv(C, 2 * C, 1)).unwrap());
    assert_eq!(resizes(&residual), 1, "a residual");
    let fused = pooled(|graph, cat, [x, _]| {
        let conv = graph.conv("y", cat, same_conv(C, 2 * C, 1)).unwrap();
        graph.add("add", conv, x, Add { scale: 1.0, activation: Activation::None }).unwrap()
    });
    assert_eq!(default_stems(&fused), ["global_pool", "resize", "conv"], "a sum that it takes over");
}

#[test]
fn maps_of_more_than_a_pixel_are_kept() {
    for [out_h, out_w] in [[2, 1], [1, 2]] {
        let graph = graph(X, |graph, x| {
            let small = graph.resize("small", x, Resize { out_h, out_w, mode: ResizeMode::Nearest }).unwrap();
            let image = resized(graph, "image", small);
            let cat = graph.concat("cat", &[x, image]).unwrap();
            graph.conv("y", cat, same_conv(6, 2 * C, 1)).unwrap()
        });
        assert_eq!(resizes(&graph), 2, "{out_h}x{out_w}");
    }
}

#[test]
fn maps_that_something_else_reads_are_kept() {
    let conv = || same_conv(6, 2 * C, 1);
    let mut declared = project(conv());
    for output in ["image", "cat"] {
        let mut declared = declared.clone();
        let id = declared.ids().find(|id| declared.node(*id).unwrap().name == output).unwrap();
        declared.output(output, id).unwrap();
        assert_eq!(resizes(&declared), 1, "'{output}' is an output");
    }
    let image = declared.ids().nth(2).unwrap();
    let more = declared.max_pool("more", image, MaxPool::same(3)).unwrap();
    declared.output("more", more).unwrap();
    assert_eq!(resizes(&declared), 1, "a resized map is read twice");
    let twice = pooled(|graph, cat, _| {
        let [a, b] = ["a", "b"].map(|name| graph.conv(name, cat, conv()).unwrap());
        graph.concat("y", &[a, b]).unwrap()
    });
    assert_eq!(resizes(&twice), 1, "a concatenation is read twice");
    let beside_itself = graph(X, |graph, x| {
        let max = pool(graph, "max", x);
        let image = resized(graph, "image", max);
        let cat = graph.concat("cat", &[x, image, image]).unwrap();
        graph.conv("y", cat, same_conv(6, 3 * C, 1)).unwrap()
    });
    assert_eq!(resizes(&beside_itself), 1);
    let alone = graph(X, |graph, x| {
        let max = pool(graph, "max", x);
        let image = resized(graph, "image", max);
        let cat = graph.concat("cat", &[image]).unwrap();
        graph.conv("y", cat, same_conv(6, C, 1)).unwrap()
    });
    assert_eq!(resizes(&alone), 1, "no other operand");
}

/// What the resized map was made of may be read by others: it stays.
#[test]
fn the_pixel_itself_may_be_read_by_others() {
    let mut graph = project(same_conv(6, 2 * C, 1));
    let max = graph.ids().nth(1).unwrap();
    graph.output("max", max).unwrap();
    assert_eq!(resizes(&graph), 0);
}
