//! The convolution whose lanes pass the input to each other: when it is chosen, and the edges of its blocks.

use spp_wgpu::ops::{Activation, Conv, Padding};
use spp_wgpu::plan::ConvKernel;
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, Plan, PlanOptions, Shape};

use crate::graphs::same_conv;
use crate::harness::{Data, GPU, check, graph, random, run_plan, stems, wrong};

fn conv(shape: Shape, conv: Conv) -> Graph {
    graph(shape, |graph, x| graph.conv("conv", x, conv).unwrap())
}

fn subgroup() -> PlanOptions {
    let mut options = PlanOptions::default();
    options.conv_kernel = ConvKernel::Subgroup;
    options
}

#[test]
fn software_adapters_with_small_subgroups_use_it() {
    let stem = |class, lanes: Option<u32>, groups, options: &PlanOptions| {
        let graph = conv(Shape::new(1, 16, 5, 4), Conv { groups, ..same_conv(8, 16 / groups, 3) });
        let profile = DeviceProfile { subgroups: lanes.map(|lanes| [lanes; 2]), ..DeviceProfile::portable(class) };
        stems(&Plan::new(&graph, &profile, options).unwrap())
    };
    let auto = PlanOptions::default();
    for lanes in [4, 8] {
        assert_eq!(stem(DeviceClass::Software, Some(lanes), 1, &auto), ["conv_subgroup"]);
        assert_eq!(stem(DeviceClass::Software, Some(lanes), 2, &auto), ["conv_direct"], "groups");
        assert_eq!(stem(DeviceClass::Discrete, Some(lanes), 1, &auto), ["conv"]);
        assert_eq!(stem(DeviceClass::Discrete, Some(lanes), 1, &subgroup()), ["conv_subgroup"]);
    }
    for none in [None, Some(16), Some(32)] {
        assert_eq!(stem(DeviceClass::Software, none, 1, &auto), ["conv_direct"]);
        assert_eq!(stem(DeviceClass::Discrete, none, 1, &subgroup()), ["conv_direct"]);
    }
}

#[test]
fn agrees_with_the_reference_at_the_edges_of_its_blocks() {
    // Blocks have four output channels per lane, and one to four pixels per lane.
    for out_c in [1, 16, 17, 31, 32, 33, 65] {
        for [h, w] in [[1, 1], [2, 2], [1, 5], [3, 3], [5, 7]] {
            let shape = Shape::new(2, 6, h, w);
            let same = Conv { activation: Activation::Silu, ..same_conv(out_c, 6, 3) };
            check(&format!("{shape} to {out_c}"), &conv(shape, same), &[random(shape, 1, Data::Uniform)]);
        }
    }
}

#[test]
fn skips_only_taps_that_no_pixel_needs() {
    // Kernels far wider than the image, tiles within a row and across images, windows that start beyond the image.
    for [h, w] in [[1, 70], [2, 40], [9, 9], [40, 1], [3, 11]] {
        for (dilation, stride) in [(1, 1), (6, 1), (12, 2), (24, 3), (5, 5)] {
            let shape = Shape::new(2, 5, h, w);
            let around = Padding { top: dilation, bottom: dilation + 1, left: dilation + 2, right: dilation };
            let wide = Conv { padding: around, dilation: [dilation; 2], stride: [stride; 2], ..same_conv(7, 5, 3) };
            let case = format!("{shape}, dilation {dilation}, stride {stride}");
            check(&case, &conv(shape, wide), &[random(shape, 3, Data::Uniform)]);
        }
    }
}

#[test]
fn folded_dispatches_agree() {
    let shape = Shape::new(1, 4, 7, 9);
    let graph = conv(shape, same_conv(300, 4, 3));
    let x = [random(shape, 2, Data::Uniform)];
    let want = spp_wgpu::reference::run_with_bounds(&graph, &x).unwrap();
    // 63 pixels in two tiles or more, 300 channels in ten blocks or more.
    for max_workgroups in [18, 19, 20] {
        let profile = DeviceProfile { max_workgroups, ..GPU.profile().clone() };
        let plan = Plan::new(&graph, &profile, &subgroup()).unwrap();
        assert_eq!(wrong(&graph, &run_plan(plan, &x), &want), [""; 0], "rows of {max_workgroups}");
    }
}
