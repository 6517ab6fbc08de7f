//! The kernels and sizes that convolutions may use: each is correct, and the table and a tuning choose among them.

use std::sync::Arc;

use spp_wgpu::ops::{Activation, Add, Conv, GlobalPool, GlobalPoolKind, Padding};
use spp_wgpu::plan::{Choice, ConvKernel, ConvVariant, DeviceProfile, Tile, Tuning};
use spp_wgpu::{DeviceClass, Graph, Plan, PlanOptions, Shape, reference};

use crate::graphs::same_conv;
use crate::harness::{CARD, Data, GPU, graph, random, run_on, wrong};

fn choice(plan: &Plan) -> &Choice {
    plan.steps.iter().find_map(|step| step.choice.as_ref()).unwrap()
}

fn taken(graph: &Graph, profile: &DeviceProfile) -> ConvVariant {
    choice(&Plan::new(graph, profile, &PlanOptions::default()).unwrap()).taken
}

fn tuned(class: &str, kernel: ConvVariant) -> PlanOptions {
    let mut tuning = Tuning::default();
    tuning.set(class, kernel);
    let mut options = PlanOptions::default();
    options.tuned = Some(Arc::new(tuning));
    options
}

/// Widths at the edges of tiles, more steps of a sum than parts, residuals, strides, kernels beyond the image.
fn graphs() -> Vec<Graph> {
    let conv = |shape: Shape, out_c, change: fn(Conv) -> Conv| {
        let conv = change(Conv { activation: Activation::Silu, ..same_conv(out_c, shape.c, 3) });
        graph(shape, move |graph, x| graph.conv("conv", x, conv).unwrap())
    };
    let residual = graph(Shape::new(1, 36, 6, 5), |graph, x| {
        let y = graph.conv("conv", x, same_conv(36, 36, 1)).unwrap();
        graph.add("add", y, x, Add { scale: 0.5, activation: Activation::Relu }).unwrap()
    });
    let pixel = graph(Shape::new(2, 36, 6, 5), |graph, x| {
        let max = graph.global_pool("max", x, GlobalPool { kind: GlobalPoolKind::Max }).unwrap();
        graph.conv_add("conv", x, max, same_conv(36, 36, 1)).unwrap()
    });
    vec![
        residual,
        pixel,
        conv(Shape::new(1, 1, 1, 1), 1, |conv| conv),
        conv(Shape::new(1, 70, 5, 7), 65, |conv| conv),
        conv(Shape::new(1, 5, 12, 11), 31, |conv| conv),
        conv(Shape::new(2, 17, 9, 8), 129, |conv| Conv { stride: [2, 1], ..conv }),
        conv(Shape::new(1, 33, 4, 4), 32, |conv| Conv { dilation: [7, 7], padding: Padding::symmetric(7, 7), ..conv }),
    ]
}

#[test]
fn every_candidate_agrees_with_the_reference() {
    let mut seen = Vec::new();
    for graph in graphs() {
        let x = [random(graph.nodes()[0].shape, 5, Data::Uniform)];
        let want = reference::run_with_bounds(&graph, &x).unwrap();
        for gpu in [&*CARD, &*GPU] {
            let plan = Plan::new(&graph, gpu.profile(), &PlanOptions::default()).unwrap();
            let Choice { class, candidates, taken, .. } = choice(&plan);
            assert_eq!(candidates[0], *taken);
            assert!(candidates.len() <= 10, "{candidates:?}");
            for candidate in candidates {
                let options = tuned(class, *candidate);
                let plan = Plan::new(&graph, gpu.profile(), &options).unwrap();
                assert_eq!((choice(&plan).taken, choice(&plan).why.as_str()), (*candidate, "tuned"));
                assert_eq!(wrong(&graph, &run_on(gpu, &graph, &x, &options), &want), [""; 0], "{class} by {candidate}");
                seen.push(*candidate);
            }
        }
    }
    for tile in Tile::ALL {
        assert!(seen.contains(&ConvVariant::Tiled(tile)), "{tile} was not tried");
    }
}

#[test]
fn the_table_goes_by_class_and_by_how_much_there_is_to_do() {
    let conv = |pixels, out_c| {
        graph(Shape::new(1, 256, 1, pixels), |graph, x| graph.conv("conv", x, same_conv(out_c, 256, 1)).unwrap())
    };
    let whole = |graph: &Graph, profile: &DeviceProfile| match taken(graph, profile) {
        ConvVariant::Tiled(tile) => tile.in_parts(1),
        other => panic!("{other}"),
    };
    // Workgroup memory as GPUs have it.
    let has = |class| DeviceProfile { workgroup_memory: 32 << 10, ..DeviceProfile::portable(class) };
    let [discrete, integrated] = [DeviceClass::Discrete, DeviceClass::Integrated].map(has);
    // Where the largest tile would spill registers, it is not taken, whatever the class.
    for (name, large) in
        [("navi31", Tile::LARGE), ("ga102", Tile::LARGE), ("dg2", Tile::LEAN), ("lnl", Tile::LEAN), ("m1", Tile::LEAN)]
    {
        let profile = DeviceProfile::named(name).unwrap();
        assert_eq!(taken(&conv(1 << 16, 512), &profile), ConvVariant::Tiled(large), "{name}");
    }
    assert_eq!(taken(&conv(1 << 16, 512), &discrete), ConvVariant::Tiled(Tile::LARGE));
    assert_eq!(taken(&conv(1 << 16, 512), &integrated), ConvVariant::Tiled(Tile::LEAN));
    // The largest tile, and where its pixels lie, are more than what every adapter has.
    let portable = DeviceProfile::portable(DeviceClass::Discrete);
    assert_eq!(taken(&conv(1 << 16, 512), &portable), ConvVariant::Tiled(Tile::LEAN));
    // A small map fills a small GPU. On others, long steps make for fewer waits.
    let of_maps = |name| {
        let profile = DeviceProfile::named(name).unwrap();
        let maps = [conv(400, 512), conv(1 << 16, 21), conv(1681, 21)];
        maps.map(|map| taken(&map, &profile).to_string())
    };
    let chosen = [
        ["conv 32x64x32 in 4", "conv 128x32x16", "conv 32x32x64 in 8"],
        ["conv 32x64x32 in 4", "conv 128x32x16", "conv 32x32x64 in 8"],
        ["conv 128x64x16", "conv 128x32x16", "conv 128x32x16"],
    ];
    assert_eq!(["navi31", "dg2", "m1"].map(of_maps), chosen);
    let small = DeviceProfile { max_invocations: 128, ..discrete.clone() };
    assert_eq!(whole(&conv(1 << 16, 512), &small), Tile::MEDIUM);
    assert_eq!(whole(&conv(400, 512), &small), Tile::MEDIUM);
    let smaller = DeviceProfile { workgroup_memory: 4096, ..discrete };
    assert_eq!(taken(&conv(400, 512), &smaller), ConvVariant::Direct);
}

#[test]
fn a_tuning_for_other_devices_or_other_work_is_passed_over() {
    let graph = graph(Shape::new(1, 8, 3, 3), |graph, x| graph.conv("conv", x, same_conv(8, 8, 1)).unwrap());
    let profile = DeviceProfile::portable(DeviceClass::Discrete);
    let table = taken(&graph, &profile);
    let class = "1x1x8 to 9x8";
    let no_subgroups = ConvVariant::Subgroup { rows: 4 };
    for (class, kernel) in [(class, no_subgroups), ("other", ConvVariant::Direct)] {
        let plan = Plan::new(&graph, &profile, &tuned(class, kernel)).unwrap();
        assert_eq!(choice(&plan).taken, table, "{class}: {kernel}");
    }
    let plan = Plan::new(&graph, &profile, &tuned(class, ConvVariant::Direct)).unwrap();
    assert_eq!(choice(&plan).taken, ConvVariant::Direct);
    let mut options = tuned(class, ConvVariant::Direct);
    options.conv_kernel = ConvKernel::Tiled;
    let plan = Plan::new(&graph, &profile, &options).unwrap();
    assert_eq!(choice(&plan).taken, table, "a kernel that was asked for");
    assert!(plan.to_string().contains(&format!("{table} (1 of ")), "{plan}");
}
