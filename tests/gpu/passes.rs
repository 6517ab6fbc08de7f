//! Every pass by itself, switched off in every block of the published list, at small extents.

use serde_json::json;
use spp_wgpu::case::{Canonical, canonical};
use spp_wgpu::{Plan, PlanOptions, Shape, reference};

use crate::harness::{GPU, run_plan, wrong};

type Change = (&'static str, fn(&mut PlanOptions));

const CHANGES: [Change; 9] = [
    ("with every pass", |_| {}),
    ("without fold_affine", |o| o.fold_affine = false),
    ("without fuse_sum", |o| o.fuse_sum = false),
    // Where both are on, fuse_sum leaves it nothing to do in these blocks.
    ("without fuse_add, fuse_sum", |o| (o.fuse_add, o.fuse_sum) = (false, false)),
    ("without fuse_cascade", |o| o.fuse_cascade = false),
    ("without group_convs", |o| o.group_convs = false),
    ("without concat_slices", |o| o.concat_slices = false),
    ("without reuse_buffers", |o| o.reuse_buffers = false),
    ("without any pass", |o| *o = PlanOptions::unfused()),
];

/// The block with few channels, some no multiple of four, two images, and a map that is not square.
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
