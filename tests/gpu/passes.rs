//! Every pass by itself, switched off in every block of the published list, at small extents.

use serde_json::json;
use spp_wgpu::case::{Canonical, canonical};
use spp_wgpu::ops::{Activation, Conv, GlobalPool, GlobalPoolKind, Resize, ResizeMode};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape, Tensor, reference};

use crate::harness::{Data, GPU, check, check_bits, graph, random, run, run_plan, stems, wrong};

type Change = (&'static str, fn(&mut PlanOptions));

const CHANGES: [Change; 10] = [
    ("with every pass", |_| {}),
    ("without fold_affine", |o| o.fold_affine = false),
    ("without fuse_sum", |o| o.fuse_sum = false),
    // When both are on, fuse_sum leaves fuse_add nothing to do in these blocks.
    ("without fuse_add, fuse_sum", |o| (o.fuse_add, o.fuse_sum) = (false, false)),
    ("without image_bias", |o| o.image_bias = false),
    ("without fuse_cascade", |o| o.fuse_cascade = false),
    ("without group_convs", |o| o.group_convs = false),
    ("without concat_slices", |o| o.concat_slices = false),
    ("without reuse_buffers", |o| o.reuse_buffers = false),
    ("without any pass", |o| *o = PlanOptions::unfused()),
];

/// The block with few channels, some not a multiple of four, two images, and a map that is not square.
fn small(mut row: Canonical) -> Canonical {
    let few = |c: u64| if c < 256 { c } else { c / 64 * 2 + 6 };
    for key in ["c1", "c2"] {
        if let Some(c) = row.args[key].as_u64() {
            row.args[key] = few(c).into();
        }
    }
    row.shape = match row.block.as_str() {
        "rfbnet" => {
            row.args["width"] = json!(1.0 / 16.0);
            row.shape
        }
        "sppnet" => {
            row.args = json!({"input_nc": 3, "ndf": 6, "hidden": 24, "classes": 10, "mode": "padded"});
            Shape::new(2, 3, 64, 48)
        }
        "pyramid_pool" => Shape::new(2, 18, 13, 16),
        _ => Shape::new(2, few(row.shape.c.into()) as u32, 13, 10),
    };
    row
}

#[test]
fn every_pass_alone_leaves_every_block_right() {
    let mut differ = CHANGES.map(|_| false);
    // RFBNet512 is RFBNet300 with another layer, at three times the pixels.
    for row in canonical().unwrap().into_iter().filter(|row| row.name != "rfbnet512").map(small) {
        let (graph, input) = (row.graph(1).unwrap(), [row.input(2).unwrap()]);
        let want = reference::run_with_bounds(&graph, &input).unwrap();
        let plans = CHANGES.map(|(_, change)| {
            let mut options = PlanOptions::default();
            change(&mut options);
            Plan::new(&graph, GPU.profile(), &options).unwrap()
        });
        let texts = plans.each_ref().map(Plan::to_string);
        for (i, plan) in plans.into_iter().enumerate() {
            differ[i] |= !texts[..i].contains(&texts[i]);
            let wrong = wrong(&graph, &run_plan(plan, &input), &want);
            assert!(wrong.is_empty(), "{}, {}: {wrong:#?}", row.name, CHANGES[i].0);
        }
    }
    assert_eq!(differ, [true; CHANGES.len()], "some switch changes no plan");
}

/// `act(scale * conv(cat(x, resize(max(x)))))`, the resized map first or last.
fn pooled(shape: Shape, mode: ResizeMode, first: bool, conv: Conv) -> Graph {
    graph(shape, |graph, x| {
        let max = graph.global_pool("max", x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap();
        let image = graph.resize("image", max, Resize { out_h: shape.h, out_w: shape.w, mode }).unwrap();
        let cat = graph.concat("cat", &if first { [image, x] } else { [x, image] }).unwrap();
        graph.conv("conv", cat, conv).unwrap()
    })
}

/// Images whose pixels differ, channels that are not a multiple of four, and an image that is a single pixel.
#[test]
fn image_bias_adds_each_image_its_own() {
    for (c, out_c, [h, w]) in [(5, 21, [3, 7]), (21, 5, [9, 2]), (8, 33, [1, 1])] {
        for (first, data) in [(true, Data::Integers), (false, Data::Integers), (true, Data::Uniform)] {
            let shape = Shape::new(3, c, h, w);
            let conv = Conv {
                bias: Some(random(Shape::new(1, out_c, 1, 1), 3, data).into_data().into()),
                scale: -2.0,
                activation: Activation::Relu,
                ..Conv::new(random(Shape::new(out_c, 2 * c, 1, 1), 4, data))
            };
            let mut x = random(shape, 5, data);
            if data == Data::Integers {
                let graph = pooled(shape, ResizeMode::Nearest, first, conv);
                check_bits(&format!("{shape}"), &graph, std::slice::from_ref(&x));
                // The second image's pixel is infinite in a channel, and NaN where a weight is zero.
                x.data_mut()[(c * h * w) as usize] = f32::INFINITY;
                check_bits(&format!("{shape}, infinite"), &graph, &[x]);
            } else {
                check(&format!("{shape}"), &pooled(shape, ResizeMode::Bilinear, first, conv), &[x]);
            }
        }
    }
}

/// Bilinear resizing weighs the pixel with zero, too, which makes infinity NaN in three quarters of the map.
#[test]
fn image_bias_makes_nan_where_resizing_would() {
    let shape = Shape::new(1, 1, 4, 4);
    let graph =
        pooled(shape, ResizeMode::Bilinear, false, Conv::new(Tensor::filled(Shape::new(1, 2, 1, 1), 1.0).unwrap()));
    let mut x = random(shape, 1, Data::Uniform);
    x.data_mut()[5] = f32::INFINITY;
    let nan = |y: &[Tensor]| y[0].data().iter().filter(|y| y.is_nan()).count();
    let infinite = |y: &[Tensor]| y[0].data().iter().filter(|y| **y == f32::INFINITY).count();
    let resized = reference::run(&graph, std::slice::from_ref(&x)).unwrap();
    assert_eq!([nan(&resized), infinite(&resized)], [12, 4]);
    let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
    assert!(!stems(&plan).contains(&"resize"), "{plan}");
    let got = run(&graph, &[x], &PlanOptions::default());
    assert_eq!([nan(&got), infinite(&got)], [12, 4]);
}
