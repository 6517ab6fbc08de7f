//! The mean of a map within its bound, the maximum bit for bit.

use spp_wgpu::ops::{GlobalPool, GlobalPoolKind};
use spp_wgpu::{DeviceProfile, Graph, Plan, PlanOptions, Shape, reference};

use crate::harness::{Data, GPU, SHAPES, check, check_bits, graph, random, run_plan, with_specials, wrong};

fn pool(shape: Shape, kind: GlobalPoolKind) -> Graph {
    graph(shape, |graph, x| graph.global_pool("pool", x, GlobalPool { kind }).unwrap())
}

/// Maps with fewer pixels than a workgroup has lanes, as many, and more, besides the usual ones.
fn shapes() -> impl Iterator<Item = Shape> {
    SHAPES.into_iter().chain([[1, 63], [8, 8], [5, 13], [31, 37]].map(|[h, w]| Shape::new(3, 5, h, w)))
}

#[test]
fn average_agrees_with_the_reference_within_its_bound() {
    for shape in shapes() {
        for data in [Data::Uniform, Data::WideRange] {
            check(&format!("{data:?} {shape}"), &pool(shape, GlobalPoolKind::Average), &[random(shape, 1, data)]);
        }
        check(
            &shape.to_string(),
            &pool(shape, GlobalPoolKind::Average),
            &[with_specials(random(shape, 1, Data::Uniform))],
        );
    }
}

#[test]
fn maximum_is_exact() {
    for shape in shapes() {
        for x in [random(shape, 1, Data::WideRange), with_specials(random(shape, 2, Data::Uniform))] {
            check_bits(&shape.to_string(), &pool(shape, GlobalPoolKind::Max), &[x]);
        }
        let mut lowest = random(shape, 3, Data::Uniform);
        lowest.data_mut().fill(f32::NEG_INFINITY);
        check_bits("nothing but -inf", &pool(shape, GlobalPoolKind::Max), &[lowest]);
    }
}

#[test]
fn devices_of_small_workgroups_agree() {
    let profile = DeviceProfile { max_invocations: 64, ..GPU.profile().clone() };
    for (shape, kind) in
        shapes().flat_map(|shape| [GlobalPoolKind::Average, GlobalPoolKind::Max].map(|kind| (shape, kind)))
    {
        let graph = pool(shape, kind);
        let x = [random(shape, 3, Data::Uniform)];
        let want = reference::run_with_bounds(&graph, &x).unwrap();
        let plan = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap();
        assert_eq!(wrong(&graph, &run_plan(plan, &x), &want), [""; 0], "{kind:?} of {shape}");
    }
}
