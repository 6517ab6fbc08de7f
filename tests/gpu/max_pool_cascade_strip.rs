//! The cascade that walks down strips of columns: when it is chosen, and the edges of its strips.

use spp_wgpu::ops::MaxPoolCascade;
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, Plan, PlanOptions, Shape, reference};

use crate::harness::{Data, GPU, assert_same_bits, graph, random, run_plan, stems, with_specials};

fn cascade(shape: Shape, kernel: u32, times: u32) -> Graph {
    graph(shape, |graph, x| graph.max_pool_cascade("cascade", x, MaxPoolCascade { kernel, times }).unwrap())
}

#[test]
fn software_adapters_with_eight_lanes_use_it_for_three_pools_of_5() {
    let with = |class, lanes: Option<u32>, kernel, times, h| {
        let graph = cascade(Shape::new(1, 8, h, 2), kernel, times);
        let profile = DeviceProfile { subgroups: lanes.map(|lanes| [lanes; 2]), ..DeviceProfile::portable(class) };
        stems(&Plan::new(&graph, &profile, &PlanOptions::default()).unwrap())
    };
    let stem = |class, kernel, times, h| with(class, Some(8), kernel, times, h);
    assert_eq!(stem(DeviceClass::Software, 5, 3, 20), ["max_pool_cascade_strip"]);
    for (kernel, times) in [(5, 2), (5, 4), (3, 3), (7, 3)] {
        assert_eq!(stem(DeviceClass::Software, kernel, times, 20), ["max_pool_cascade"]);
    }
    for class in [DeviceClass::Integrated, DeviceClass::Discrete] {
        assert_eq!(stem(class, 5, 3, 20), ["max_pool_cascade"]);
    }
    for lanes in [None, Some(4), Some(16)] {
        assert_eq!(with(DeviceClass::Software, lanes, 5, 3, 20), ["max_pool_cascade"]);
    }
    // Its loop runs over rows, at most 65 535 times.
    assert_eq!(stem(DeviceClass::Software, 5, 3, 65_529), ["max_pool_cascade_strip"]);
    assert_eq!(stem(DeviceClass::Software, 5, 3, 65_530), ["max_pool_cascade"]);
}

#[test]
fn bits_equal_the_reference_at_the_edges_of_its_strips() {
    // Any adapter runs it, but SwiftShader does not compile it in reasonable time.
    let profile = match GPU.profile().class {
        DeviceClass::Software => GPU.profile().clone(),
        _ => DeviceProfile { class: DeviceClass::Software, subgroups: Some([8; 2]), ..GPU.profile().clone() },
    };
    let taken = if profile.subgroup_size() == Some(8) { "max_pool_cascade_strip" } else { "max_pool_cascade" };
    for width in [1, 2, 6, 7, 8, 9, 13, 16, 17, 33] {
        for [n, c, h] in [[1, 1, 1], [2, 5, 3], [1, 40, 7], [3, 4, 14]] {
            let shape = Shape::new(n, c, h, width);
            let graph = cascade(shape, 5, 3);
            let x = [with_specials(random(shape, u64::from(width), Data::WideRange))];
            let plan = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap();
            assert_eq!(stems(&plan), [taken]);
            let want = reference::run(&graph, &x).unwrap();
            assert_same_bits(&shape.to_string(), &run_plan(plan, &x)[0], &want[0]);
        }
    }
}
