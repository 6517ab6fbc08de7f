//! Graphs larger than one dispatch, one table or one stack: planned in several, or refused before anything is allocated.

use std::collections::BTreeMap;

use spp_wgpu::ops::*;
use spp_wgpu::{
    DeviceClass, DeviceProfile, Error, Graph, NodeId, Plan, PlanOptions, Shape, Weights, blocks, reference,
};

use crate::graphs::{Data, graph, random, same_conv};
use crate::plans::{planned, stems};

const PIXEL: Shape = Shape::new(1, 4, 1, 1);
const CLASSES: [DeviceClass; 3] = [DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software];

fn plans(graph: &Graph) -> Vec<Plan> {
    let plan = |class| Plan::new(graph, &DeviceProfile::portable(class), &PlanOptions::default()).unwrap();
    CLASSES.into_iter().map(plan).collect()
}

fn plain_add() -> Add {
    Add { scale: 1.0, activation: Activation::None }
}

#[test]
fn a_sum_has_any_number_of_sources() {
    for sources in [4, 5, 9] {
        let mut graph = Graph::new();
        let inputs: Vec<NodeId> = (0..sources).map(|i| graph.input(format!("{i}"), PIXEL).unwrap()).collect();
        let sum = ConvSum { terms: vec![same_conv(4, 4, 1); sources], activation: Activation::Relu };
        let y = graph.conv_sum("y", &inputs, sum).unwrap();
        graph.output("y", y).unwrap();
        for plan in plans(&graph) {
            assert_eq!(
                stems(&plan).iter().filter(|stem| stem.starts_with("conv")).count(),
                sources.div_ceil(3),
                "{plan}"
            );
        }
        let again: Vec<NodeId> = inputs.iter().cycle().take(5 * sources).copied().collect();
        let sum = ConvSum { terms: vec![same_conv(4, 4, 1); 5 * sources], activation: Activation::Relu };
        let y = graph.conv_sum("interleaved", &again, sum).unwrap();
        graph.output("interleaved", y).unwrap();
        for plan in plans(&graph) {
            let convs = stems(&plan).iter().filter(|stem| stem.starts_with("conv")).count();
            assert_eq!(convs, 2 * sources.div_ceil(3), "{plan}");
        }
        let few = DeviceProfile { max_storage_buffers: 6, ..DeviceProfile::portable(DeviceClass::Discrete) };
        let plan = Plan::new(&graph, &few, &PlanOptions::default()).unwrap();
        assert!(plan.steps.iter().all(|step| step.bindings.len() <= 6), "{plan}");
    }
}

#[test]
fn tables_of_parameters_fit_a_uniform_binding() {
    let terms = graph(PIXEL, |graph, x| {
        let sum = ConvSum { terms: vec![same_conv(4, 4, 1); 1100], activation: Activation::None };
        graph.conv_sum("y", &[x; 1100], sum).unwrap()
    });
    let siblings = graph(PIXEL, |graph, x| {
        let convs: Vec<NodeId> = (0..600).map(|i| graph.conv(format!("{i}"), x, same_conv(4, 4, 1)).unwrap()).collect();
        graph.concat("y", &convs).unwrap()
    });
    for graph in [terms, siblings] {
        for plan in plans(&graph) {
            let most = plan.steps.iter().map(|step| step.params.len()).max().unwrap();
            assert!(most <= 64 << 10, "{most} bytes");
        }
    }
}

#[test]
fn long_chains_need_no_stack() {
    const LEN: usize = 30_000;
    type Link = fn(&mut Graph, String, NodeId, NodeId) -> NodeId;
    let links: [(&str, Link); 3] = [
        ("add", |g, name, y, x| g.add(name, y, x, plain_add()).unwrap()),
        ("pool", |g, name, y, _| g.max_pool(name, y, MaxPool::same(3)).unwrap()),
        ("sum of convolutions", |g, name, y, x| {
            let conv = g.conv(format!("{name} conv"), x, Conv::new(random(Shape::new(4, 4, 1, 1), 1, Data::Uniform)));
            g.add(name, y, conv.unwrap(), plain_add()).unwrap()
        }),
    ];
    for (what, link) in links {
        let graph = graph(PIXEL, |graph, x| {
            let first = graph.conv("first", x, same_conv(4, 4, 1)).unwrap();
            (0..LEN).fold(first, |y, i| link(graph, i.to_string(), y, x))
        });
        for plan in plans(&graph) {
            assert!(!plan.steps.is_empty() && plan.steps.len() <= LEN + 3, "{what}: {} steps", plan.steps.len());
        }
    }
}

/// A list of the runs for each of the copies would take gigabytes.
#[test]
fn the_copies_of_a_wide_concatenation_share_its_runs() {
    const PARTS: usize = 20_000;
    let graph = graph(Shape::new(1, 1, 1, 1), |graph, x| {
        let parts: Vec<NodeId> =
            (0..PARTS).map(|i| graph.max_pool(i.to_string(), x, MaxPool::same(3)).unwrap()).collect();
        graph.concat("y", &parts).unwrap()
    });
    for plan in plans(&graph) {
        let slices = plan.steps.iter().flat_map(|step| step.operands.iter().chain(&step.results));
        let lists: BTreeMap<_, usize> =
            slices.map(|slice| (slice.segments.as_ptr(), slice.segments.len())).filter(|(_, len)| *len > 1).collect();
        assert!((1..=2).contains(&lists.len()), "{lists:?}");
        assert!(plan.steps.len() > PARTS);
    }
}

/// What a few bytes of attributes ask for is refused before it is there: each needs more memory than most machines have.
#[test]
fn a_small_graph_cannot_ask_for_all_memory() {
    let one = Shape::new(1, 1, 1, 1);
    let pyramid = graph(one, |graph, x| {
        graph.pyramid_pool("y", x, PyramidPool { levels: vec![18_900], mode: PyramidMode::Adaptive }).unwrap()
    });
    let cascade =
        graph(one, |graph, x| graph.max_pool_cascade("y", x, MaxPoolCascade { kernel: 3, times: 1 << 26 }).unwrap());
    let wide_cascade = graph(Shape::new(1, 4, 1, 40), |graph, x| {
        graph.max_pool_cascade("y", x, MaxPoolCascade { kernel: 3, times: 1 << 23 }).unwrap()
    });
    let concats = graph(one, |graph, x| (0..25).fold(x, |x, i| graph.concat(i.to_string(), &[x, x]).unwrap()));
    let resized = graph(one, |graph, x| {
        let resize = Resize { out_h: 30_000, out_w: 30_000, mode: ResizeMode::Nearest };
        let map = graph.resize("map", x, resize).unwrap();
        graph.global_pool("y", map, GlobalPool { kind: GlobalPoolKind::Max }).unwrap()
    });
    let unlimited = DeviceProfile {
        max_binding: u64::MAX,
        max_buffer: u64::MAX,
        max_workgroups: u32::MAX,
        ..DeviceProfile::portable(DeviceClass::Discrete)
    };
    for graph in [&pyramid, &cascade, &wide_cascade, &concats] {
        for profile in [&unlimited, &DeviceProfile::portable(DeviceClass::Software)] {
            let error = Plan::new(graph, profile, &PlanOptions::default()).unwrap_err();
            let is_typed = error_is_of_size(&error);
            assert!(is_typed, "{error}");
        }
    }
    let args = [("c1", 2), ("c2", 400_000_000)].into_iter().collect();
    for weights in [Weights::seeded(1), Weights::from_tensors(Vec::new()).unwrap()] {
        let error = blocks::build("sppf", &args, Shape::new(1, 2, 1, 1), &weights.scope("")).unwrap_err();
        assert!(matches!(&error, Error::HostMemory { what, .. } if what.contains("cv2")), "{error}");
    }
    for graph in [&pyramid, &resized] {
        let inputs = [random(one, 1, Data::Uniform)];
        let error = reference::run(graph, &inputs).unwrap_err();
        assert!(matches!(error, Error::HostMemory { .. }), "{error}");
        assert!(error.to_string().contains("max_host_bytes"), "{error}");
    }
}

fn error_is_of_size(error: &Error) -> bool {
    use Error::{HostMemory, LimitExceeded, TooLarge, Unsupported};
    matches!(error, HostMemory { .. } | LimitExceeded { .. } | TooLarge { .. } | Unsupported { .. })
}

#[test]
fn weights_over_the_budget_of_the_host_are_not_packed() {
    let graph = graph(PIXEL, |graph, x| graph.conv("y", x, same_conv(64, 4, 3)).unwrap());
    let mut options = PlanOptions::default();
    let profile = DeviceProfile::portable(DeviceClass::Discrete);
    options.max_host_bytes = 1 << 20;
    let plan = Plan::new(&graph, &profile, &options).unwrap();
    for max in [64 * 4 * 9 * 4 + 100, 1000] {
        options.max_host_bytes = max;
        let error = Plan::new(&graph, &profile, &options).unwrap_err();
        assert!(matches!(error, Error::HostMemory { max: m, .. } if m == max), "{error}\n{plan}");
    }
}

#[test]
fn a_pass_never_makes_a_graph_fail() {
    // Two chains whose ends make a cascade of windows that are larger, or reach further, than their own.
    for (class, kernel, extent) in [
        (DeviceClass::Software, 201, 500),
        (DeviceClass::Discrete, (1 << 29) + 1, 3),
        (DeviceClass::Discrete, 858_993_461, 12),
    ] {
        let graph = graph(Shape::new(1, 4, extent, extent), |graph, x| {
            let ends = [2, 4].map(|len| {
                (0..len).fold(x, |y, i| graph.max_pool(format!("{len}.{i}"), y, MaxPool::same(kernel)).unwrap())
            });
            graph.concat("y", &ends).unwrap()
        });
        for options in [PlanOptions::default(), PlanOptions::unfused()] {
            Plan::new(&graph, &DeviceProfile::portable(class), &options).unwrap();
        }
    }
    // A sum of convolutions that each just fit the iterations of a loop, or the weights of a binding.
    let graph = graph(Shape::new(1, 64, 4, 4), |graph, x| {
        let convs = ["a", "b", "c"].map(|name| graph.conv(name, x, same_conv(64, 64, 9)).unwrap());
        let sum = graph.add("a + b", convs[0], convs[1], plain_add()).unwrap();
        graph.add("y", sum, convs[2], plain_add()).unwrap()
    });
    for class in CLASSES {
        let roomy = DeviceProfile::portable(class);
        let [fused, unfused] = [true, false].map(|on| planned(&graph, |options| options.fuse_sum = on));
        let most = |plan: &Plan| plan.steps.iter().map(|step| step.iterations).max().unwrap();
        assert!(most(&fused) > most(&unfused));
        let apart = Plan::new(&graph, &roomy, &PlanOptions::unfused()).unwrap();
        let max_iterations = most(&apart);
        let max_binding = apart.buffers.iter().map(|buffer| buffer.bytes()).max().unwrap();
        for tight in [DeviceProfile { max_iterations, ..roomy.clone() }, DeviceProfile { max_binding, ..roomy.clone() }]
        {
            Plan::new(&graph, &tight, &PlanOptions::default()).unwrap();
        }
    }
}

#[test]
fn what_nobody_reads_any_more_is_not_computed() {
    let graph = graph(Shape::new(1, 64, 40, 40), |graph, x| {
        let ends = [2, 4]
            .map(|len| (0..len).fold(x, |y, i| graph.max_pool(format!("{len}.{i}"), y, MaxPool::same(3)).unwrap()));
        graph.concat("y", &ends).unwrap()
    });
    for plan in plans(&graph) {
        assert_eq!(stems(&plan), ["max_pool_cascade"], "{plan}");
    }
}
