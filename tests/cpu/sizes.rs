//! Maps of all sizes share kernels: none is compiled for one size.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spp_wgpu::ops::{AvgPool, MaxPool, MaxPoolCascade};
use spp_wgpu::{DeviceClass, DeviceProfile, Plan, PlanOptions, Shape, Weights, blocks};

use crate::graphs::graph;

/// Rows or columns: each number of tiles, each remainder, and around every size of tile.
const EXTENTS: [u32; 20] = [1, 2, 3, 4, 5, 6, 7, 9, 10, 13, 16, 19, 20, 24, 28, 29, 32, 41, 53, 80];

/// A block, its arguments, channels and smallest extent, and the most kernels that it may have on a device.
type Row = (&'static str, Value, u32, u32, usize);

fn rows() -> [Row; 15] {
    let yolo = || json!({ "c1": 8, "c2": 8 });
    [
        ("spp", yolo(), 8, 1, 10),
        ("sppf", yolo(), 8, 1, 10),
        // So many channels that small maps have their sums split: cascades and layouts that add up parts are kernels of
        // their own. On discrete GPUs, 3 convolutions, 5 layouts, and 10 cascades of five sizes.
        ("sppf", json!({ "c1": 256, "c2": 256 }), 256, 1, 18),
        ("simsppf", yolo(), 8, 1, 10),
        ("cspsppf", yolo(), 8, 1, 14),
        ("simcspsppf", yolo(), 8, 1, 14),
        ("sppcspc", yolo(), 8, 1, 14),
        ("sppfcspc", yolo(), 8, 1, 14),
        ("aspp", yolo(), 8, 1, 6),
        ("aspp_v3", yolo(), 8, 1, 12),
        ("rfb", json!({ "c1": 16, "c2": 16 }), 16, 1, 18),
        ("rfb_a", json!({ "c1": 16, "c2": 16 }), 16, 1, 18),
        ("pyramid_pool", json!({}), 8, 12, 4),
        ("pyramid_pool", json!({ "levels": [3, 2], "mode": "adaptive" }), 8, 1, 4),
        ("sppnet", json!({ "ndf": 2, "hidden": 8, "classes": 4 }), 3, 40, 9),
    ]
}

fn devices() -> [(&'static str, DeviceProfile); 4] {
    let device = |class, subgroups| {
        let int64 = class == DeviceClass::Software;
        DeviceProfile { subgroups, int64, ..DeviceProfile::portable(class) }
    };
    [
        ("discrete", device(DeviceClass::Discrete, None)),
        ("integrated", device(DeviceClass::Integrated, Some([32; 2]))),
        ("software", device(DeviceClass::Software, None)),
        ("software with subgroups", device(DeviceClass::Software, Some([8; 2]))),
    ]
}

/// The sources of one block's kernels over 400 sizes, and their shaders.
fn kernels((block, args, channels, smallest, _): &Row, profile: &DeviceProfile) -> BTreeMap<String, &'static str> {
    let weights = Weights::seeded(1);
    let mut kernels = BTreeMap::new();
    for (h, w) in EXTENTS.into_iter().flat_map(|h| EXTENTS.map(|w| (h + smallest - 1, w + smallest - 1))) {
        let shape = Shape::new(1 + (h + w) % 2, *channels, h, w);
        let graph = blocks::build(block, args, shape, &weights.scope("")).unwrap();
        let plan = Plan::new(&graph, profile, &PlanOptions::default()).unwrap();
        kernels.extend(plan.steps.iter().map(|step| (step.source(), step.shader.stem)));
    }
    kernels
}

/// Of all these blocks together.
const MOST: usize = 50;

#[test]
fn four_hundred_sizes_need_a_handful_of_kernels() {
    for (device, profile) in devices() {
        let mut all = BTreeMap::new();
        for row in rows() {
            let kernels = kernels(&row, &profile);
            let (block, .., most) = &row;
            assert!(kernels.len() <= *most, "{block}, {device}: {} kernels, {:?}", kernels.len(), by_stem(&kernels));
            all.extend(kernels);
        }
        assert!(all.len() <= MOST, "all, {device}: {} kernels, {:?}", all.len(), by_stem(&all));
    }
}

fn by_stem<'a>(kernels: &BTreeMap<String, &'a str>) -> BTreeMap<&'a str, usize> {
    let mut count = BTreeMap::new();
    kernels.values().for_each(|stem| *count.entry(*stem).or_default() += 1);
    count
}

/// Whatever a pool's window: an app may make it as large as the map.
#[test]
fn windows_as_large_as_the_map_share_a_kernel() {
    let mut kernels = BTreeMap::new();
    for (h, w) in EXTENTS.into_iter().flat_map(|h| EXTENTS.map(|w| (h, w))) {
        let graph = graph(Shape::new(1, 4, h, w), |graph, x| {
            let average = graph.avg_pool("average", x, AvgPool::new([h, w])).unwrap();
            let most = graph.max_pool("most", x, MaxPool::new([h, w])).unwrap();
            let wide = graph.max_pool_cascade("wide", x, MaxPoolCascade { kernel: h | 3, times: 2 }).unwrap();
            graph.output("wide", wide).unwrap();
            graph.concat("both", &[average, most]).unwrap()
        });
        let plan = Plan::new(&graph, &DeviceProfile::portable(DeviceClass::Discrete), &PlanOptions::default()).unwrap();
        let pools = plan.steps.iter().filter(|step| step.shader.stem.contains("pool"));
        kernels.extend(pools.map(|step| (step.source(), step.shader.stem)));
    }
    // A cascade has five sizes of workgroups, and reads the input or what an earlier dispatch made of it.
    assert!(kernels.len() <= 12, "{:?}", by_stem(&kernels));
}
