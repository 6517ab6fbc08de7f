//! Which convolutions leave their sums in parts: where few workgroups would compute them whole, and the reader adds
//! them up.

use spp_wgpu::case::{canonical, canonical_row};
use spp_wgpu::ops::*;
use spp_wgpu::plan::Role;
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Graph, NodeId, Plan, PlanOptions, Shape};

use crate::graphs::{all_parts, graph, parts, same_conv, sppf};
use crate::plans::{plan, planned};

const SMALL: Shape = Shape::new(1, 256, 6, 5);
const CASCADE: MaxPoolCascade = MaxPoolCascade { kernel: 3, times: 2 };

fn default_parts(graph: &Graph) -> Vec<u32> {
    all_parts(&plan(graph, &PlanOptions::default()))
}

fn published(name: &str, profile: &DeviceProfile) -> Plan {
    Plan::new(&canonical_row(name).unwrap().graph(0).unwrap(), profile, &PlanOptions::default()).unwrap()
}

#[test]
fn sppf_at_its_published_shape_is_split_without_an_extra_dispatch() {
    let plan = published("sppf_v5l", &DeviceProfile::portable(DeviceClass::Discrete));
    assert_eq!((plan.dispatches(), plan.steps.len()), (3, 5));
    // 104 workgroups three times, and 208 twice.
    assert_eq!(all_parts(&plan), [3, 2]);
    let [_, cv1, cascade, cv2, output] = &plan.steps[..] else { panic!("{plan}") };
    assert_eq!([cv1.workgroups, cv2.workgroups], [3 * 104, 2 * 208]);
    assert!(plan.to_string().contains("conv 32x64x32 in 4 by 3 (only 104 workgroups of conv 32x64x32 in 4)"), "{plan}");
    assert_eq!((cascade.shader.stem, output.shader.stem), ("max_pool_cascade", "layout"));
    assert_eq!((&cascade.operands, &output.operands), (&cv1.results, &cv2.results));
    assert_eq!(cascade.results.len(), 2, "the pools, and what they pool");
    // Parts are written and read, and added up.
    let map = 512 * 400;
    assert_eq!(cv1.cost.bytes, 4 * (1024 * 400 + 1024 * 512 + 512 + 3 * map));
    assert_eq!((cascade.cost.bytes, cascade.cost.flops), (4 * (3 + 3 + 1) * map, 2 * map));
    assert_eq!(cv1.cost.flops, 2 * 1024 * map);
    assert_eq!((output.cost.bytes, output.cost.flops), (4 * 3 * 2 * map, 2 * map));
}

#[test]
fn other_devices_keep_sums_whole() {
    for class in [DeviceClass::Integrated, DeviceClass::Software] {
        for subgroups in [None, Some([8; 2])] {
            let plan = published("sppf_v5l", &DeviceProfile { subgroups, ..DeviceProfile::portable(class) });
            assert_eq!(all_parts(&plan), [1, 1], "{plan}");
        }
    }
    // But a tuning may find that parts pay off there, on even smaller maps.
    let offered = |class| {
        let plan = Plan::new(&sppf(SMALL, 64, true), &DeviceProfile::portable(class), &PlanOptions::default()).unwrap();
        assert_eq!(all_parts(&plan), [1, 1], "{plan}");
        let choice = plan.steps[1].choice.clone().unwrap();
        assert_eq!(
            choice.class.ends_with(", or parts of it"),
            choice.candidates.iter().any(|variant| variant.parts() > 1)
        );
        choice.class
    };
    assert_eq!(offered(DeviceClass::Integrated), "1x1x256 to 30x64, or parts of it");
    assert_eq!(offered(DeviceClass::Software), "1x1x256 to 30x64");
}

/// `cat(x, pools of x)`, and what `more` makes of `x` and the concatenation.
fn pyramid(in_c: u32, out_c: u32, more: impl FnOnce(&mut Graph, NodeId, NodeId) -> NodeId) -> Graph {
    graph(Shape { c: in_c, ..SMALL }, |graph, x| {
        let x = graph.conv("conv", x, same_conv(out_c, in_c, 1)).unwrap();
        let pools = graph.max_pool_cascade("pools", x, CASCADE).unwrap();
        let cat = graph.concat("cat", &[pools, x]).unwrap();
        more(graph, x, cat)
    })
}

#[test]
fn a_sum_is_split_for_the_one_that_reads_it_first() {
    assert_eq!(default_parts(&pyramid(256, 64, |_, _, cat| cat)), [2]);
    let only_output = |conv: Conv| graph(SMALL, |graph, x| graph.conv("conv", x, conv).unwrap());
    assert_eq!(default_parts(&only_output(same_conv(64, 256, 1))), [2]);
    assert_eq!(default_parts(&only_output(same_conv(64, 256, 3))), [8]);
    assert_eq!(default_parts(&only_output(same_conv(9, 256, 1))), [1], "four steps of 64 channels");
    let off = planned(&pyramid(256, 64, |_, _, cat| cat), |o| o.split_sums = false);
    assert_eq!(all_parts(&off), [1]);
    assert_eq!(all_parts(&plan(&only_output(same_conv(64, 256, 1)), &PlanOptions::unfused())), [1]);
}

#[test]
fn nothing_is_split_that_others_read_or_nobody_adds_up() {
    let conv = |out_c| same_conv(out_c, 256, 1);
    let behind = |shape, out_c, more: fn(&mut Graph, NodeId, NodeId) -> NodeId| {
        graph(shape, |graph, x| {
            let y = graph.conv("conv", x, conv(out_c)).unwrap();
            more(graph, x, y)
        })
    };
    let beside = |graph: &mut Graph, x, cascade| {
        let pools = graph.max_pool_cascade("pools", x, cascade).unwrap();
        graph.concat("cat", &[x, pools]).unwrap()
    };
    assert_eq!(default_parts(&behind(SMALL, 64, |_, _, y| y)), [2], "the cases prove nothing");
    let cases = [
        ("a pool reads it, too", {
            pyramid(256, 64, |graph, x, cat| {
                let pool = graph.max_pool("more", x, MaxPool::same(3)).unwrap();
                graph.concat("more.cat", &[cat, pool]).unwrap()
            })
        }),
        ("it is an output, too", {
            pyramid(256, 64, |graph, x, cat| {
                graph.output("more", x).unwrap();
                cat
            })
        }),
        ("a concatenation does not wait for the pools", {
            pyramid(256, 64, |graph, x, cat| {
                let other = graph.concat("other", &[x, x]).unwrap();
                graph.output("other", other).unwrap();
                cat
            })
        }),
        ("two cascades", {
            pyramid(256, 64, |graph, x, cat| {
                let more = graph.max_pool_cascade("more", x, MaxPoolCascade { kernel: 5, times: 1 }).unwrap();
                graph.concat("more.cat", &[cat, more]).unwrap()
            })
        }),
        ("another convolution", behind(SMALL, 64, |g, _, y| g.conv("second", y, same_conv(64, 64, 1)).unwrap())),
        ("a residual", {
            let add = Add { scale: 0.5, activation: Activation::Relu };
            graph(SMALL, |graph, x| {
                let y = graph.conv("conv", x, conv(256)).unwrap();
                graph.add("add", y, x, add).unwrap()
            })
        }),
        ("pools in another buffer", behind(SMALL, 64, |g, _, y| g.max_pool_cascade("pools", y, CASCADE).unwrap())),
        ("two outputs", {
            behind(SMALL, 64, |graph, _, y| {
                graph.output("again", y).unwrap();
                y
            })
        }),
        ("two in one dispatch", {
            behind(SMALL, 64, |graph, x, y| {
                let other = graph.conv("other", x, same_conv(8, 256, 1)).unwrap();
                graph.output("other", other).unwrap();
                y
            })
        }),
        ("pools of which no tile holds one", {
            graph(Shape { h: 29, w: 33, ..SMALL }, |graph, x| {
                let x = graph.conv("conv", x, conv(64)).unwrap();
                beside(graph, x, MaxPoolCascade { kernel: 33, times: 2 })
            })
        }),
        ("enough workgroups", behind(Shape { h: 64, w: 64, ..SMALL }, 128, |_, _, y| y)),
        ("enough of the smaller tile", behind(Shape { h: 128, w: 32, ..SMALL }, 100, |_, _, y| y)),
        ("few channels", graph(Shape { c: 64, ..SMALL }, |g, x| g.conv("conv", x, same_conv(64, 64, 1)).unwrap())),
    ];
    for (what, graph) in cases {
        let plan = plan(&graph, &PlanOptions::default());
        assert!(all_parts(&plan).first() == Some(&1), "{what}:\n{plan}");
    }
    let tile = behind(Shape { h: 28, w: 32, ..SMALL }, 64, |_, _, y| y);
    assert!(default_parts(&tile)[0] > 1);
}

/// Parts are given up before a limit or a budget is exceeded.
#[test]
fn a_split_asks_for_no_more_than_there_is() {
    let graph = graph(Shape::new(1, 128, 24, 24), |graph, x| graph.conv("conv", x, same_conv(64, 128, 3)).unwrap());
    let map = 24 * 24 * 64 * 4;
    for (room, count) in [(4, 4), (3, 3), (2, 2)] {
        let profile = DeviceProfile { max_binding: room * map, ..DeviceProfile::portable(DeviceClass::Discrete) };
        assert_eq!(all_parts(&Plan::new(&graph, &profile, &PlanOptions::default()).unwrap()), [count]);
    }
    let within = |max| planned_within(&graph, max);
    let [split, whole] = [true, false].map(|on| planned(&graph, |o| o.split_sums = on).bytes());
    assert!(split > whole);
    assert_eq!(all_parts(&within(split).unwrap()), [4]);
    assert_eq!(all_parts(&within(split - 1).unwrap()), [1]);
    assert_eq!(all_parts(&within(whole).unwrap()), [1]);
    let error = within(whole - 1).unwrap_err();
    assert!(matches!(error, Error::MemoryBudget { planned, .. } if planned == whole), "{error}");
}

fn planned_within(graph: &Graph, max: u64) -> spp_wgpu::Result<Plan> {
    let mut options = PlanOptions::default();
    options.max_bytes = Some(max);
    Plan::new(graph, &DeviceProfile::portable(DeviceClass::Discrete), &options)
}

/// Parts make fewer than twice the tiles that fill a device, 512 of 32 by 64 values.
#[test]
fn published_blocks_need_few_extra_bytes() {
    let mut split = 0;
    for row in canonical().unwrap() {
        let graph = row.graph(0).unwrap();
        let [apart, whole] = [true, false].map(|on| planned(&graph, |o| o.split_sums = on));
        for step in apart.steps.iter().filter(|step| parts(step).is_some_and(|parts| parts > 1)) {
            split += 1;
            let [maps] = &step.results[..] else { panic!("{apart}") };
            assert!(maps.shape.len() * 4 < 512 * 32 * 64 * 4, "{}:\n{apart}", row.name);
        }
        let scratch = |plan: &Plan| -> u64 {
            plan.buffers.iter().filter(|buffer| buffer.role == Role::Scratch).map(|buffer| buffer.bytes()).sum()
        };
        assert!(scratch(&apart) < scratch(&whole) + (4 << 20), "{}:\n{apart}\n{whole}", row.name);
        assert_eq!(apart.steps.len(), whole.steps.len(), "{}:\n{apart}\n{whole}", row.name);
    }
    assert!(split > 10, "{split}");
}
