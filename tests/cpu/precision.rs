//! What plans that store `f16` take, beside those that store `f32`.

use std::collections::HashSet;

use spp_wgpu::case::canonical;
use spp_wgpu::plan::{Element, Role};
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, NodeId, Plan, PlanOptions, Precision};

/// A processor with and without subgroups, and a card. Their buffers hold all weights of a layer: where those of f32 take
/// several, f16 may do with fewer dispatches.
fn profiles() -> [(&'static str, DeviceProfile); 3] {
    let roomy = |class| {
        let portable = DeviceProfile::portable(class);
        DeviceProfile { max_binding: u32::MAX.into(), max_buffer: u32::MAX.into(), ..portable }
    };
    let software = roomy(DeviceClass::Software);
    let lanes = DeviceProfile { subgroups: Some([8, 8]), int64: true, ..software.clone() };
    [("software", software), ("software with subgroups", lanes), ("discrete", roomy(DeviceClass::Discrete))]
}

/// Bytes of constants and scratch, and of ports.
fn bytes(plan: &Plan) -> [u64; 2] {
    [plan.bytes() - plan.port_bytes(), plan.port_bytes()]
}

/// Bytes of sums that nothing but the conversion of an `f32` output reads: they stay `f32`, and share no buffer of `f16`.
fn not_rounded(graph: &Graph) -> u64 {
    let readers: HashSet<NodeId> = graph.nodes().iter().flat_map(|node| node.inputs.iter().copied()).collect();
    let outputs = graph.outputs().iter().filter(|(_, id)| !readers.contains(id));
    outputs
        .map(|(_, id)| graph.shape(*id).unwrap())
        .map(|y| 4 * y.len() / u64::from(y.c) * u64::from(y.c.next_multiple_of(4)))
        .sum()
}

/// Biases and tables stay `f32`, and so do sums in parts, which cards alone get: whole sums are planned for here.
#[test]
fn plans_in_f16_take_half_the_memory_in_as_many_dispatches() {
    for row in canonical().unwrap() {
        let graph = row.graph(0).unwrap();
        for (device, profile) in profiles() {
            let plan = |precision, ports| {
                let mut options = PlanOptions::default().precision(precision).ports(ports);
                options.split_sums = false;
                options.max_host_bytes = u64::MAX;
                Plan::new(&graph, &profile, &options).unwrap()
            };
            let single = plan(Precision::F32, Precision::F32);
            let half = plan(Precision::F16, Precision::F16);
            let mixed = plan(Precision::F16, Precision::F32);
            let case = format!("{} on {device}", row.name);
            for (other, kept) in [(&half, 0), (&mixed, not_rounded(&graph))] {
                assert_eq!(other.dispatches(), single.dispatches(), "{case}");
                let [[of_other, _], [of_single, _]] = [bytes(other), bytes(&single)];
                let of_other = of_other.saturating_sub(kept);
                assert!(of_other * 100 <= of_single * 55, "{case}: {of_other} bytes of {of_single}");
            }
            assert!(half.bytes() * 100 <= single.bytes() * 55, "{case}: {half}");
            assert_eq!(bytes(&mixed)[1], bytes(&single)[1], "{case}");
        }
    }
}

/// Buffers of weights and tensors, with what they store.
fn elements(plan: &Plan) -> Vec<(&str, Element)> {
    let kept = plan.buffers.iter().filter(|buffer| matches!(buffer.role, Role::Constant(_) | Role::Scratch));
    kept.map(|buffer| (buffer.label.as_str(), buffer.element)).collect()
}

#[test]
fn nodes_may_stay_in_f32_among_others_in_f16() {
    let row = canonical().unwrap().into_iter().find(|row| row.name == "sppf_v5s").unwrap();
    let graph = row.graph(0).unwrap();
    let [(_, profile), ..] = profiles();
    let plan = |options: PlanOptions| Plan::new(&graph, &profile, &options);
    let single = plan(PlanOptions::default()).unwrap();
    let half = PlanOptions::default().precision(Precision::F16);
    let nodes: HashSet<&str> = single.steps.iter().map(|step| step.node.as_str()).collect();
    let names = graph.nodes().iter().map(|node| node.name.as_str());
    let kept: Vec<&str> = names.filter(|name| nodes.contains(name) || *name == "cat").collect();
    let conv = kept.iter().find(|name| name.contains("cv1")).unwrap();

    let all = plan(half.clone().keep_f32(kept.iter().copied())).unwrap();
    assert_eq!(elements(&all), elements(&single), "all of {kept:?}");

    let first = plan(half.clone().keep_f32([*conv])).unwrap();
    let wide = |plan: &Plan| elements(plan).iter().filter(|(_, element)| *element == Element::F32).count();
    let [of_none, of_first, of_all] = [plan(half.clone()).unwrap(), first, all].map(|plan| wide(&plan));
    assert!(of_none < of_first && of_first < of_all, "{of_none}, {of_first}, {of_all}");

    let error = plan(half.keep_f32(["cv3"])).unwrap_err().to_string();
    assert!(error.contains("cv3") && error.contains(conv), "{error}");
}
