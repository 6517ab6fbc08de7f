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
    let plan = published("sppf_v5l", &DeviceProfile::named("navi31").unwrap());
    assert_eq!((plan.dispatches(), plan.steps.len()), (3, 5));
    // 56 workgroups for 96 cores, and 112.
    assert_eq!(all_parts(&plan), [3, 3]);
    let [_, cv1, cascade, cv2, output] = &plan.steps[..] else { panic!("{plan}") };
    assert_eq!([cv1.workgroups, cv2.workgroups], [3 * 56, 3 * 112]);
    let why = &cv1.choice.as_ref().unwrap().why;
    assert!(why.starts_with("1.8 workgroups a core, 1.7 µs to add up; "), "{why}");
    assert!(why.contains(": conv 32x64x32 in 4 by ") && why.ends_with(" µs"), "{why}");
    assert_eq!((cascade.shader.stem, output.shader.stem), ("max_pool_cascade", "layout"));
    assert_eq!((&cascade.operands, &output.operands), (&cv1.results, &cv2.results));
    assert_eq!(cascade.results.len(), 2, "the pools, and what they pool");
    // Parts are written and read, and added up.
    let map = 512 * 400;
    assert_eq!(cv1.cost.bytes, 4 * (1024 * 400 + 1024 * 512 + 512 + 3 * map));
    assert_eq!((cascade.cost.bytes, cascade.cost.flops), (4 * (3 + 3 + 1) * map, 2 * map));
    assert_eq!(cv1.cost.flops, 2 * 1024 * map);
    assert_eq!((output.cost.bytes, output.cost.flops), (4 * (3 + 1) * 2 * map, 4 * map));
}

#[test]
fn sums_are_split_only_where_cores_would_be_idle() {
    // An unknown integrated GPU has few cores, which these maps fill. Software adapters split nothing.
    for class in [DeviceClass::Integrated, DeviceClass::Software] {
        for subgroups in [None, Some([8; 2])] {
            let plan = published("sppf_v5l", &DeviceProfile { subgroups, ..DeviceProfile::portable(class) });
            assert_eq!(all_parts(&plan), [1, 1], "{plan}");
        }
    }
    // Smaller maps leave even those few cores idle.
    let offered = |class| {
        let plan = Plan::new(&sppf(SMALL, 64, true), &DeviceProfile::portable(class), &PlanOptions::default()).unwrap();
        let is_split = class == DeviceClass::Integrated;
        assert_eq!(all_parts(&plan).iter().any(|&parts| parts > 1), is_split, "{plan}");
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
    let is_split = |graph: &Graph| matches!(default_parts(graph)[..], [parts] if parts > 1);
    assert!(is_split(&pyramid(256, 64, |_, _, cat| cat)));
    let only_output = |conv: Conv| graph(SMALL, |graph, x| graph.conv("conv", x, conv).unwrap());
    assert!(is_split(&only_output(same_conv(64, 256, 1))));
    // The more steps, the more parts.
    let parts_on = |chip| {
        let profile = DeviceProfile::named(chip).unwrap();
        let plan = |kernel| Plan::new(&only_output(same_conv(64, 256, kernel)), &profile, &PlanOptions::default());
        [1, 3].map(|kernel| all_parts(&plan(kernel).unwrap())[0])
    };
    assert_eq!(["navi31", "m1", "dg2"].map(parts_on), [[4, 16], [4, 8], [4, 16]]);
    let short = Shape { c: 64, ..SMALL };
    let short = graph(short, |graph, x| graph.conv("conv", x, same_conv(9, 64, 1)).unwrap());
    assert_eq!(default_parts(&short), [1], "four steps of 16 channels");
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
    assert!(default_parts(&behind(SMALL, 64, |_, _, y| y))[0] > 1, "the cases prove nothing");
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
        ("enough workgroups", behind(Shape { h: 256, w: 256, ..SMALL }, 128, |_, _, y| y)),
        ("enough of the smaller tile", behind(Shape { h: 256, w: 128, ..SMALL }, 100, |_, _, y| y)),
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
    let most = default_parts(&graph)[0];
    assert!(most > 4);
    for room in [4, 3, 2] {
        let max_binding = u64::from(room) * map;
        let profile = DeviceProfile { max_binding, ..DeviceProfile::portable(DeviceClass::Discrete) };
        let parts = all_parts(&Plan::new(&graph, &profile, &PlanOptions::default()).unwrap());
        assert!(parts[0] > 1 && parts[0] <= room, "{parts:?} of {room}");
    }
    let within = |max| planned_within(&graph, max);
    let [split, whole] = [true, false].map(|on| planned(&graph, |o| o.split_sums = on).bytes());
    assert!(split > whole);
    assert_eq!(all_parts(&within(split).unwrap()), [most]);
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

/// Parts stay small beside what caches hold: the largest on an unknown card are of 3.1 MiB, and two are alive at once.
#[test]
fn published_blocks_need_few_extra_bytes() {
    const MOST: u64 = 4 << 20;
    let mut split = 0;
    for row in canonical().unwrap() {
        let graph = row.graph(0).unwrap();
        let [apart, whole] = [true, false].map(|on| planned(&graph, |o| o.split_sums = on));
        for step in apart.steps.iter().filter(|step| parts(step).is_some_and(|parts| parts > 1)) {
            split += 1;
            let [maps] = &step.results[..] else { panic!("{apart}") };
            assert!(maps.bytes() < MOST, "{}:\n{apart}", row.name);
        }
        let scratch = |plan: &Plan| -> u64 {
            plan.buffers.iter().filter(|buffer| buffer.role == Role::Scratch).map(|buffer| buffer.bytes()).sum()
        };
        assert!(scratch(&apart) < scratch(&whole) + 2 * MOST, "{}:\n{apart}\n{whole}", row.name);
        assert_eq!(apart.steps.len(), whole.steps.len(), "{}:\n{apart}\n{whole}", row.name);
    }
    assert!(split > 10, "{split}");
}
