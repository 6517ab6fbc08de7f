//! What the planner makes of a graph: each pass on and off, and limits.

use spp_wgpu::case::canonical;
use spp_wgpu::ops::*;
use spp_wgpu::plan::Role;
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Graph, NodeId, Plan, PlanOptions, Shape, Tensor};

use crate::graphs::{affine, graph, same_conv, sppf};

pub(crate) const X: Shape = Shape::new(2, 12, 8, 9);
const GPU: DeviceProfile = DeviceProfile::portable(DeviceClass::Discrete);

pub(crate) fn plan(graph: &Graph, options: &PlanOptions) -> Plan {
    Plan::new(graph, &GPU, options).unwrap()
}

/// The default plan, except for one change.
pub(crate) fn planned(graph: &Graph, change: impl FnOnce(&mut PlanOptions)) -> Plan {
    let mut options = PlanOptions::default();
    change(&mut options);
    plan(graph, &options)
}

/// Stems of the kernels that compute, in order.
pub(crate) fn stems(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.shader.stem).filter(|stem| *stem != "layout").collect()
}

pub(crate) fn default_stems(graph: &Graph) -> Vec<&'static str> {
    stems(&plan(graph, &PlanOptions::default()))
}

/// The first value of the constant buffer whose label starts with this.
fn first_of(plan: &Plan, label: &str) -> f32 {
    let buffer = plan.buffers.iter().find(|buffer| buffer.label.starts_with(label)).unwrap();
    match &buffer.role {
        Role::Constant(values) => f32::from_bits(values[0]),
        other => panic!("{label}: {other:?}"),
    }
}

mod fold_affine {
    use super::*;

    fn conv_and_bn(conv: Conv) -> Graph {
        graph(X, |graph, x| {
            let conv = graph.conv("conv", x, conv).unwrap();
            graph.affine_activation("bn", conv, affine(6, Activation::Silu)).unwrap()
        })
    }

    #[test]
    fn a_convolution_takes_over_what_follows_it() {
        let graph = conv_and_bn(same_conv(6, 12, 3));
        assert_eq!(default_stems(&graph), ["conv"]);
        assert_eq!(stems(&planned(&graph, |o| o.fold_affine = false)), ["conv", "elementwise"]);
    }

    #[test]
    fn weights_are_folded_in_f64_and_rounded_once() {
        let (weight, scale, bias, shift) = (1.000_000_2_f32, 1.0 / 3.0, 1e8_f32, -1e8 / 3.0 + 0.125);
        let [double, single] = [(f64::from(weight) * scale) as f32, weight * scale as f32];
        assert_ne!(double, single, "the numbers prove nothing");
        let graph = graph(Shape::new(1, 1, 2, 2), |graph, x| {
            let weight = Tensor::filled(Shape::new(1, 1, 1, 1), weight).unwrap();
            let conv = Conv { bias: Some([bias].into()), ..Conv::new(weight) };
            let conv = graph.conv("conv", x, conv).unwrap();
            let (scale, shift, activation) = ([scale].into(), [shift].into(), Activation::None);
            graph.affine_activation("bn", conv, AffineActivation { scale, shift, activation }).unwrap()
        });
        let plan = plan(&graph, &PlanOptions::default());
        assert_eq!(first_of(&plan, "weights of"), double);
        assert_eq!(first_of(&plan, "bias of"), (f64::from(bias) * scale + shift) as f32);
    }

    #[test]
    fn a_convolution_that_others_read_or_that_is_complete_stays() {
        let activated = Conv { activation: Activation::Relu, ..same_conv(6, 12, 3) };
        assert_eq!(default_stems(&conv_and_bn(activated)), ["conv", "elementwise"]);
        let scaled = Conv { scale: 2.0, ..same_conv(6, 12, 3) };
        assert_eq!(default_stems(&conv_and_bn(scaled)), ["conv", "elementwise"]);
        let mut declared = conv_and_bn(same_conv(6, 12, 3));
        let conv = declared.ids().nth(1).unwrap();
        declared.output("conv", conv).unwrap();
        assert_eq!(default_stems(&declared), ["conv", "elementwise"]);
        let read_twice = graph(X, |graph, x| {
            let conv = graph.conv("conv", x, same_conv(6, 12, 3)).unwrap();
            let bn = graph.affine_activation("bn", conv, affine(6, Activation::Silu)).unwrap();
            graph.add("add", conv, bn, Add { scale: 1.0, activation: Activation::None }).unwrap()
        });
        assert_eq!(default_stems(&read_twice), ["conv", "elementwise", "elementwise"]);
    }
}

mod fuse_add {
    use super::*;

    /// `scale * conv(x) + x`, or the summands the other way round.
    fn residual(scale: f32, conv_first: bool, conv: Conv) -> Graph {
        graph(X, |graph, x| {
            let conv = graph.conv("conv", x, conv).unwrap();
            let [a, b] = if conv_first { [conv, x] } else { [x, conv] };
            graph.add("add", a, b, Add { scale, activation: Activation::Relu }).unwrap()
        })
    }

    #[test]
    fn a_convolution_adds_the_other_summand() {
        let conv = || same_conv(12, 12, 3);
        assert_eq!(default_stems(&residual(0.1, true, conv())), ["conv"]);
        assert_eq!(default_stems(&residual(1.0, false, conv())), ["conv"]);
        let off = planned(&residual(0.1, true, conv()), |o| o.fuse_add = false);
        assert_eq!(stems(&off), ["conv", "elementwise"]);
    }

    #[test]
    fn a_convolution_with_an_activation_adds_what_is_only_added() {
        let activated = || Conv { activation: Activation::Silu, ..same_conv(12, 12, 3) };
        let add = |scale, activation, conv_first| {
            graph(X, |graph, x| {
                let conv = graph.conv("conv", x, activated()).unwrap();
                let [a, b] = if conv_first { [conv, x] } else { [x, conv] };
                graph.add("add", a, b, Add { scale, activation }).unwrap()
            })
        };
        for conv_first in [true, false] {
            assert_eq!(default_stems(&add(1.0, Activation::None, conv_first)), ["conv"]);
            assert_eq!(default_stems(&add(0.5, Activation::None, conv_first)), ["conv", "elementwise"]);
            assert_eq!(default_stems(&add(1.0, Activation::Relu, conv_first)), ["conv", "elementwise"]);
        }
        let twice = graph(X, |graph, x| {
            let conv = graph.conv_add("conv", x, x, activated()).unwrap();
            graph.add("add", conv, x, Add { scale: 1.0, activation: Activation::None }).unwrap()
        });
        assert_eq!(default_stems(&twice), ["conv", "elementwise"], "one residual is all that it takes");
    }

    #[test]
    fn it_does_not_if_that_would_compute_something_else() {
        let conv = || same_conv(12, 12, 3);
        assert_eq!(
            default_stems(&residual(0.1, false, conv())),
            ["conv", "elementwise"],
            "the other summand is scaled"
        );
        let activated = Conv { activation: Activation::Relu, ..conv() };
        assert_eq!(default_stems(&residual(1.0, true, activated)), ["conv", "elementwise"]);
        let mut declared = residual(1.0, true, conv());
        let id = declared.ids().nth(1).unwrap();
        declared.output("conv", id).unwrap();
        assert_eq!(default_stems(&declared), ["conv", "elementwise"]);
        let itself = graph(X, |graph, x| {
            let conv = graph.conv("conv", x, conv()).unwrap();
            graph.add("add", conv, conv, Add { scale: 1.0, activation: Activation::None }).unwrap()
        });
        assert_eq!(default_stems(&itself), ["conv", "elementwise"]);
    }

    /// One of two convolutions takes over the sum, and both fold their batch normalisation first.
    #[test]
    fn one_of_two_convolutions_is_left_to_add() {
        let graph = graph(X, |graph, x| {
            let [a, b] = ["a", "b"].map(|name| {
                let conv = graph.conv(name, x, same_conv(12, 12, 1)).unwrap();
                graph.affine_activation(format!("{name}.bn"), conv, affine(12, Activation::None)).unwrap()
            });
            graph.add("add", a, b, Add { scale: 0.1, activation: Activation::Relu }).unwrap()
        });
        let apart = planned(&graph, |o| (o.fuse_sum, o.group_convs) = (false, false));
        assert_eq!(stems(&apart), ["conv", "conv"]);
        assert_eq!(default_stems(&graph), ["conv"], "together they are one sum");
    }
}

/// What the published blocks must not exceed; a binding of 2 GiB holds every weight.
#[test]
fn published_blocks_need_few_dispatches() {
    let most = [
        ("spp", 3),
        ("sppf", 3),
        ("simsppf", 3),
        ("cspsppf", 7),
        ("simcspsppf", 7),
        ("sppcspc", 7),
        ("sppfcspc", 7),
        ("sppelan", 3),
        ("aspp", 2),
        ("aspp_v3", 5),
        ("rfb", 5),
        ("rfb_a", 5),
        ("pyramid_pool", 1),
        ("sppnet", 7),
    ];
    let profile = DeviceProfile { max_binding: 2 << 30, max_buffer: 2 << 30, ..GPU };
    for row in canonical().unwrap() {
        let plan = Plan::new(&row.graph(0).unwrap(), &profile, &PlanOptions::default()).unwrap();
        let most = match row.name.as_str() {
            "rfbnet300" => 49,
            "rfbnet512" => 58,
            _ => most.iter().find(|(block, _)| *block == row.block).unwrap().1,
        };
        assert!(plan.dispatches() <= most, "{}: {} dispatches:\n{plan}", row.name, plan.dispatches());
    }
}

mod fuse_cascade {
    use super::*;

    /// `x` beside pools of it, each reading the result of the given number (0 is `x`) with the given kernel.
    fn pools(pools: &[(usize, u32)]) -> (Graph, Vec<NodeId>) {
        let mut parts = Vec::new();
        let graph = graph(X, |graph, x| {
            parts.push(graph.max_pool("root", x, MaxPool::new([1, 1])).unwrap());
            for (i, &(from, kernel)) in pools.iter().enumerate() {
                parts.push(graph.max_pool(format!("m.{i}"), parts[from], MaxPool::same(kernel)).unwrap());
            }
            graph.concat("cat", &parts).unwrap()
        });
        (graph, parts)
    }

    /// Stems of the pools of the default plan; pools that lie beside what they read are copied there.
    fn kept(graph: &Graph) -> Vec<&'static str> {
        default_stems(graph).into_iter().filter(|stem| *stem != "concat").collect()
    }

    #[test]
    fn chained_and_nested_pools_are_found() {
        for found in
            [&[(0, 5), (1, 5), (2, 5)][..], &[(0, 5), (0, 9), (0, 13)], &[(0, 3), (1, 3)], &[(0, 5), (1, 5), (0, 13)]]
        {
            assert_eq!(default_stems(&pools(found).0), ["max_pool", "max_pool_cascade"], "{found:?}");
            let off = planned(&pools(found).0, |o| o.fuse_cascade = false);
            assert!(!stems(&off).contains(&"max_pool_cascade"), "{found:?}");
        }
    }

    #[test]
    fn others_stay() {
        for other in [&[(0, 3), (0, 7)][..], &[(0, 5)], &[(0, 13), (0, 9), (0, 5)], &[(0, 1), (0, 1)]] {
            assert_eq!(kept(&pools(other).0), vec!["max_pool"; other.len() + 1], "{other:?}");
        }
        let strided = graph(X, |graph, x| {
            let pool = MaxPool { stride: [2, 2], ..MaxPool::same(5) };
            let first = graph.max_pool("first", x, pool).unwrap();
            let second = graph.max_pool("second", first, MaxPool::same(5)).unwrap();
            graph.concat("cat", &[first, second]).unwrap()
        });
        assert_eq!(kept(&strided), ["max_pool"; 2]);
    }

    #[test]
    fn pools_that_something_else_reads_stay() {
        let (mut declared, parts) = pools(&[(0, 5), (1, 5)]);
        declared.output("tap", parts[1]).unwrap();
        assert_eq!(kept(&declared), ["max_pool"; 3]);
        let (mut read, parts) = pools(&[(0, 5), (1, 5)]);
        let more = read.global_pool("more", parts[2], GlobalPool { kind: GlobalPoolKind::Max }).unwrap();
        read.output("more", more).unwrap();
        assert_eq!(kept(&read), ["max_pool", "max_pool", "max_pool", "global_pool"]);
    }
}

mod concat_slices {
    use super::*;

    fn copies(graph: &Graph) -> usize {
        default_stems(graph).iter().filter(|stem| **stem == "concat").count()
    }

    #[test]
    fn producers_write_their_slice() {
        for hidden in [8, 9] {
            let graph = sppf(X, hidden, true);
            assert_eq!(copies(&graph), 0);
            let off = planned(&graph, |o| o.concat_slices = false);
            assert_eq!(stems(&off), ["conv", "max_pool_cascade", "concat", "concat", "conv"]);
        }
    }

    #[test]
    fn only_what_cannot_be_written_in_place_is_copied() {
        let pool = |graph: &mut Graph, name: &str, x| graph.max_pool(name, x, MaxPool::same(3)).unwrap();
        let twice = graph(X, |graph, x| {
            let p = pool(graph, "p", x);
            graph.concat("cat", &[p, x, p]).unwrap()
        });
        assert_eq!(copies(&twice), 2);
        // In its second concatenation `p` is copied.
        let two = graph(X, |graph, x| {
            let [p, q, r] = ["p", "q", "r"].map(|name| pool(graph, name, x));
            let first = graph.concat("first", &[p, q]).unwrap();
            let second = graph.concat("second", &[p, r]).unwrap();
            let [first, second] = [("a", first), ("b", second)].map(|(name, cat)| pool(graph, name, cat));
            graph.add("add", first, second, Add { scale: 1.0, activation: Activation::None }).unwrap()
        });
        assert_eq!(copies(&two), 1);
        let nested = graph(X, |graph, x| {
            let [p, q, r] = ["p", "q", "r"].map(|name| pool(graph, name, x));
            let inner = graph.concat("inner", &[p, q]).unwrap();
            graph.concat("outer", &[r, inner]).unwrap()
        });
        assert_eq!(copies(&nested), 0);
    }
}

#[test]
fn sppf_is_three_dispatches_between_two_conversions() {
    for chained in [true, false] {
        let plan = plan(&sppf(X, 8, chained), &PlanOptions::default());
        assert_eq!((plan.dispatches(), plan.steps.len()), (3, 5));
        assert_eq!(stems(&plan), ["conv", "max_pool_cascade", "conv"]);
        let unfused = self::plan(&sppf(X, 8, chained), &PlanOptions::unfused());
        assert_eq!(unfused.dispatches(), 2 + 2 + 3 + 4);
    }
}

mod sizes {
    use super::*;

    fn pool(shape: Shape) -> Graph {
        graph(shape, |graph, x| graph.max_pool("pool", x, MaxPool::same(3)).unwrap())
    }

    #[test]
    fn a_tensor_over_a_limit_is_refused_and_the_limit_named() {
        let graph = pool(X);
        let bytes = X.len() * 4;
        for (limit, profile) in [
            ("max_storage_buffer_binding_size", DeviceProfile { max_binding: bytes - 1, ..GPU }),
            ("max_buffer_size", DeviceProfile { max_buffer: bytes - 1, ..GPU }),
            ("max_compute_workgroups_per_dimension squared", DeviceProfile { max_workgroups: 2, ..GPU }),
        ] {
            let error = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap_err();
            assert!(matches!(&error, Error::LimitExceeded { limit: l, .. } if *l == limit), "{error}");
            assert!(error.to_string().contains(limit), "{error}");
        }
        let fits = DeviceProfile { max_binding: bytes, max_buffer: bytes, ..GPU };
        Plan::new(&graph, &fits, &PlanOptions::default()).unwrap();
    }

    #[test]
    fn weights_over_a_limit_are_refused_before_they_are_packed() {
        let graph = graph(X, |graph, x| graph.conv("conv", x, same_conv(64, 12, 5)).unwrap());
        let profile = DeviceProfile { max_binding: X.len() * 4 * 6, ..GPU };
        let error = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::LimitExceeded { what, .. } if what == "weights of 'conv'"), "{error}");
    }

    /// Mesa's llvmpipe ends loops after 65 535 iterations without telling anybody.
    #[test]
    fn loops_that_a_software_adapter_would_cut_short_are_refused_there() {
        let map = |h, w| Shape::new(1, 4, h, w);
        // The most that each loops over there, and what one more needs.
        type Case = (&'static str, fn(Shape) -> Graph, Shape, Shape, u64);
        let cases: [Case; 7] = [
            // Rows, and as many columns in each; or all pixels in one loop.
            (
                "max_pool",
                |x| graph(x, |g, i| g.max_pool("y", i, MaxPool::new([x.h, x.w])).unwrap()),
                map(255, 255),
                map(256, 256),
                65_792,
            ),
            (
                "avg_pool",
                |x| graph(x, |g, i| g.avg_pool("y", i, AvgPool::new([x.h, x.w])).unwrap()),
                map(255, 255),
                map(256, 256),
                65_792,
            ),
            (
                "pyramid_pool",
                |x| {
                    graph(x, |g, i| {
                        g.pyramid_pool("y", i, PyramidPool { levels: vec![1], mode: PyramidMode::Adaptive }).unwrap()
                    })
                },
                map(255, 257),
                map(256, 256),
                65_536,
            ),
            // 64 lanes share the pixels.
            (
                "global_pool",
                |x| graph(x, |g, i| g.global_pool("y", i, GlobalPool { kind: GlobalPoolKind::Max }).unwrap()),
                map(1, 64 * 65_535),
                map(1, 64 * 65_535 + 1),
                65_536,
            ),
            // Three times over the channels.
            (
                "softmax",
                |x| graph(x, |g, i| g.softmax("y", i, Softmax::new(SoftmaxAxis::Channels)).unwrap()),
                Shape::new(1, 21_845, 1, 1),
                Shape::new(1, 21_846, 1, 1),
                65_538,
            ),
            // Parts to add up; for each of as many pools as there are channels a step, and what windows share.
            (
                "max_pool_cascade",
                |x| graph(x, |g, i| g.max_pool_cascade("y", i, MaxPoolCascade { kernel: 31, times: x.c }).unwrap()),
                Shape::new(1, 1149, 16, 1),
                Shape::new(1, 1150, 16, 1),
                65_551,
            ),
            // Four channels at once, in one row and one column.
            (
                "conv",
                |x| graph(x, |g, i| g.conv("y", i, same_conv(1, x.c, 1)).unwrap()),
                Shape::new(1, 4 * 65_533, 1, 1),
                Shape::new(1, 4 * 65_534, 1, 1),
                65_536,
            ),
        ];
        let software = DeviceProfile::portable(DeviceClass::Software);
        for (what, graph, fits, exceeds, expected) in cases {
            let plan = |x, profile| Plan::new(&graph(x), profile, &PlanOptions::default());
            plan(fits, &software).unwrap_or_else(|error| panic!("{what}: {error}"));
            plan(exceeds, &GPU).unwrap_or_else(|error| panic!("{what}: {error}"));
            let error = plan(exceeds, &software).unwrap_err();
            let needs = matches!(error, Error::LimitExceeded { needed, available: 65_535, .. } if needed == expected);
            assert!(needs, "{what}: {error}");
        }
    }

    /// Overflow panics in tests.
    #[test]
    fn pools_of_any_reach_are_planned_or_refused() {
        for shape in [[1, 1], [3, 3], [28, 32], [29, 33], [1, 70_000], [2000, 1]].map(|[h, w]| Shape::new(2, 5, h, w)) {
            for times in [1, 2, 7, 100] {
                let longest = (i32::MAX as u32 - shape.h.max(shape.w)) / times;
                for kernel in [3, 5, 33, 65_537, (longest / 2) | 1, (longest - 1) | 1, longest | 1] {
                    let mut graph = Graph::new();
                    let x = graph.input("x", shape).unwrap();
                    let Ok(y) = graph.max_pool_cascade("y", x, MaxPoolCascade { kernel, times }) else { continue };
                    graph.output("y", y).unwrap();
                    for class in [DeviceClass::Discrete, DeviceClass::Software] {
                        match Plan::new(&graph, &DeviceProfile::portable(class), &PlanOptions::default()) {
                            Ok(_) | Err(Error::LimitExceeded { .. }) => {}
                            Err(other) => panic!("{times} of {kernel} on {shape}: {other}"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_budget_is_kept_to_the_byte() {
        let graph = pool(X);
        let needed = plan(&graph, &PlanOptions::default()).bytes();
        let within = |max| {
            let mut options = PlanOptions::default();
            options.max_bytes = Some(max);
            Plan::new(&graph, &GPU, &options)
        };
        within(needed).unwrap();
        let error = within(needed - 1).unwrap_err();
        assert!(matches!(error, Error::MemoryBudget { planned, .. } if planned == needed), "{error}");
    }

    /// 600 million values of one channel fit 32-bit indices; with the padding of channels they do not.
    #[test]
    fn padding_counts() {
        let huge = pool(Shape::new(1, 1, 30_000, 20_000));
        let error = Plan::new(&huge, &GPU, &PlanOptions::default()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { value: 2_400_000_000, .. }), "{error}");
    }

    #[test]
    fn an_unsound_graph_is_refused_before_its_sizes() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 1, 30_000, 20_000)).unwrap();
        let refused = |graph: &Graph| Plan::new(graph, &GPU, &PlanOptions::default()).unwrap_err();
        assert!(matches!(refused(&graph), Error::Graph(_)));
        graph.output("x", x).unwrap();
        graph.max_pool("loose", x, MaxPool::same(3)).unwrap();
        assert!(matches!(refused(&graph), Error::Graph(_)));
    }
}
