//! Sums split among workgroups: right in any number of parts, whoever adds them up, and the same bits each time. Plans
//! are for a GPU with many cores, whatever the adapter is.

use std::collections::BTreeSet;

use spp_wgpu::ops::{Activation, Conv, ConvSum, MaxPoolCascade};
use spp_wgpu::plan::Tuning;
use spp_wgpu::{Graph, Plan, PlanOptions, Program, Shape, Tensor, reference};

use crate::graphs::{all_parts, same_conv};
use crate::harness::{CARD, Data, assert_same_bits, graph, random, run_on, wrong};

/// By the table, and by the larger tile: the options and what they yield.
fn plans(graph: &Graph) -> [(PlanOptions, Plan); 2] {
    let plan = |options: PlanOptions| {
        let plan = Plan::new(graph, CARD.profile(), &options).unwrap();
        (options, plan)
    };
    let table = plan(PlanOptions::default());
    let mut tuning = Tuning::default();
    for choice in table.1.steps.iter().filter_map(|step| step.choice.clone()) {
        let other = choice.candidates.iter().find(|variant| variant.parts() > 1 && **variant != choice.taken);
        tuning.set(choice.class, *other.unwrap_or(&choice.taken));
    }
    [table, plan(PlanOptions::default().tuned(tuning))]
}

fn conv(in_c: u32, out_c: u32, kernel: u32, data: Data, activation: Activation) -> Conv {
    let weight = random(Shape::new(out_c, in_c, kernel, kernel), 3, data);
    let bias = random(Shape::new(1, out_c, 1, 1), 7, data).into_data().into();
    Conv { bias: Some(bias), activation, ..Conv { weight: weight.into(), ..same_conv(out_c, in_c, kernel) } }
}

/// Steps that parts do not divide; as many parts as steps, by nine taps; odd channels; several images; more pixels than a tile.
fn shapes() -> Vec<(Shape, u32, u32)> {
    let shape = Shape::new;
    vec![
        (shape(2, 277, 5, 7), 65, 1),
        (shape(1, 448, 4, 3), 33, 1),
        (shape(1, 670, 9, 5), 130, 1),
        (shape(3, 66, 6, 5), 47, 3),
        (shape(1, 150, 1, 1), 64, 3),
        (shape(1, 515, 4, 4), 7, 1),
        (shape(1, 260, 7, 3), 36, 3),
    ]
}

#[test]
fn outputs_are_right_in_any_number_of_parts() {
    let mut counts = BTreeSet::new();
    for (i, (x, out_c, kernel)) in shapes().into_iter().enumerate() {
        let activation = Activation::ALL[i % Activation::ALL.len()];
        let graph =
            graph(x, |g, input| g.conv("conv", input, conv(x.c, out_c, kernel, Data::Uniform, activation)).unwrap());
        let input = [random(x, 11, Data::Uniform)];
        let want = reference::run_with_bounds(&graph, &input).unwrap();
        let plans = plans(&graph);
        counts.insert(all_parts(&plans[0].1)[0]);
        for (options, plan) in plans {
            let got = run_on(&CARD, &graph, &input, &options);
            assert_eq!(wrong(&graph, &got, &want), [""; 0], "{activation:?} of {x}:\n{plan}");
        }
    }
    assert!(counts.len() > 3 && !counts.contains(&1), "{counts:?}");
}

#[test]
fn integers_are_exact() {
    for (x, out_c, kernel) in shapes() {
        let conv = conv(x.c, out_c, kernel, Data::Integers, Activation::Relu);
        let graph = graph(x, |graph, input| graph.conv("conv", input, conv).unwrap());
        let input = [random(x, 11, Data::Integers)];
        let want = reference::run(&graph, &input).unwrap();
        for (options, _) in plans(&graph) {
            assert_same_bits(&x.to_string(), &run_on(&CARD, &graph, &input, &options)[0], &want[0]);
        }
    }
}

/// Terms of different length: of the short ones, some parts have nothing.
#[test]
fn a_part_may_have_nothing_of_a_term() {
    let shapes = [(Shape::new(2, 2670, 6, 5), 1), (Shape::new(2, 3, 6, 5), 3), (Shape::new(2, 70, 6, 5), 3)];
    let mut graph = Graph::new();
    let inputs = [0, 1, 2].map(|i| graph.input(i.to_string(), shapes[i].0).unwrap());
    let terms = shapes.map(|(x, kernel)| conv(x.c, 37, kernel, Data::Uniform, Activation::None)).to_vec();
    let y = graph.conv_sum("sum", &inputs, ConvSum { terms, activation: Activation::Silu }).unwrap();
    graph.output("y", y).unwrap();
    let inputs = shapes.map(|(x, _)| random(x, 5, Data::Uniform));
    let want = reference::run_with_bounds(&graph, &inputs).unwrap();
    for (options, plan) in plans(&graph) {
        assert!(all_parts(&plan)[0] > 3, "a term of 70 channels has three steps:\n{plan}");
        assert_eq!(wrong(&graph, &run_on(&CARD, &graph, &inputs, &options), &want), [""; 0]);
    }
}

/// `cat(x, pools of x)`, or the pools first, with `x = conv(input)`.
fn pyramid(shape: Shape, conv: &Conv, cascade: MaxPoolCascade, x_first: bool) -> Graph {
    graph(shape, |graph, x| {
        let x = graph.conv("conv", x, conv.clone()).unwrap();
        let pools = graph.max_pool_cascade("pools", x, cascade).unwrap();
        graph.concat("cat", &if x_first { [x, pools] } else { [pools, x] }).unwrap()
    })
}

/// Channels from `first` on.
fn channels(tensor: &Tensor, first: u32, count: u32) -> Tensor {
    let Shape { n, c, h, w } = tensor.shape();
    let pixels = (h * w) as usize;
    let of_image = |n: u32| &tensor.data()[(n * c + first) as usize * pixels..][..count as usize * pixels];
    Tensor::new(Shape::new(n, count, h, w), (0..n).flat_map(of_image).copied().collect()).unwrap()
}

/// Reaches beyond a tile of a map of 29x33: three pools at once, then the last, of what they left.
const IN_TWO_STEPS: MaxPoolCascade = MaxPoolCascade { kernel: 9, times: 4 };

/// The map itself is right, and its pools are those of exactly these bits.
fn is_a_pyramid(shape: Shape, conv: &Conv, cascade: MaxPoolCascade, x_first: bool, input: Tensor) {
    let graph = pyramid(shape, conv, cascade, x_first);
    let want = reference::run_with_bounds(&graph, std::slice::from_ref(&input)).unwrap();
    let out_c = conv.weight.shape().n;
    for (options, plan) in plans(&graph) {
        let case = format!("{cascade:?} on {shape}:\n{plan}");
        let pools = if cascade == IN_TWO_STEPS { 2 } else { 1 };
        assert!(all_parts(&plan)[0] > 1 && plan.dispatches() == 1 + pools, "{case}");
        let got = run_on(&CARD, &graph, std::slice::from_ref(&input), &options);
        assert_eq!(wrong(&graph, &got, &want), [""; 0], "{case}");
        let [of_x, of_pools] = if x_first { [0, out_c] } else { [cascade.times * out_c, 0] };
        let x = channels(&got[0], of_x, out_c);
        let pools = crate::harness::graph(x.shape(), |graph, x| graph.max_pool_cascade("pools", x, cascade).unwrap());
        let pools = reference::run(&pools, &[x]).unwrap();
        assert_same_bits(&case, &channels(&got[0], of_pools, cascade.times * out_c), &pools[0]);
    }
}

#[test]
fn a_cascade_adds_up_what_it_pools_and_keeps_it() {
    // One tile, two of them, three with a margin on both sides.
    for (i, (h, w)) in [(5, 4), (20, 20), (29, 33), (3, 90), (45, 7)].into_iter().enumerate() {
        let (n, in_c, conv_kernel) = if h < 20 { (2, 270, 3) } else { (1, 520, 1) };
        let shape = Shape::new(n, in_c, h, w);
        for (kernel, times) in [(5, 3), (3, 2)] {
            for out_c in [8, 9 + i as u32] {
                let activation = Activation::ALL[(i + times as usize) % Activation::ALL.len()];
                let conv = conv(in_c, out_c, conv_kernel, Data::Uniform, activation);
                let cascade = MaxPoolCascade { kernel, times };
                is_a_pyramid(shape, &conv, cascade, i % 2 == 0, random(shape, 9, Data::Uniform));
            }
        }
    }
}

#[test]
fn the_first_of_several_cascades_adds_up() {
    let conv = conv(520, 9, 1, Data::Uniform, Activation::Silu);
    let shape = Shape::new(1, 520, 29, 33);
    for x_first in [true, false] {
        is_a_pyramid(shape, &conv, IN_TWO_STEPS, x_first, random(shape, 9, Data::Uniform));
    }
}

#[test]
fn nan_and_infinities_stay_where_they_are() {
    let shape = Shape::new(1, 300, 9, 11);
    let mut input = random(shape, 9, Data::Integers);
    for (i, special) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().cycle().take(12).enumerate() {
        let channel = i * 25;
        input.data_mut()[channel * 99 + i * i % 99] = special;
    }
    // Opposite infinities of two parts meet in one pixel.
    (input.data_mut()[50], input.data_mut()[299 * 99 + 50]) = (f32::INFINITY, f32::INFINITY);
    for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2)] {
        for out_c in [64, 37] {
            let conv = conv(300, out_c, 1, Data::Uniform, activation);
            is_a_pyramid(shape, &conv, MaxPoolCascade { kernel: 3, times: 2 }, true, input.clone());
        }
    }
}

/// Behind the cascade a convolution reads all four slices, padding included.
#[test]
fn sppf_is_right_and_the_same_each_time() {
    for (shape, hidden) in [(Shape::new(2, 260, 7, 6), 65), (Shape::new(1, 256, 13, 14), 64)] {
        let graph = crate::graphs::sppf(shape, hidden, true);
        let mut input = random(shape, 4, Data::Uniform);
        input.data_mut()[0] = f32::INFINITY;
        let input = [input];
        let want = reference::run_with_bounds(&graph, &input).unwrap();
        for (options, plan) in plans(&graph) {
            let split = all_parts(&plan).into_iter().filter(|&parts| parts > 1).count();
            assert_eq!((split, plan.dispatches()), (2, 3), "{plan}");
            let program = Program::with_options(&CARD, &graph, &options).unwrap();
            let runs = [(); 3].map(|()| {
                program.poison().unwrap();
                program.run(&input).unwrap()
            });
            assert_eq!(wrong(&graph, &runs[0], &want), [""; 0]);
            let bits = |run: &[Tensor]| run[0].data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(runs.iter().all(|run| bits(run) == bits(&runs[0])));
        }
    }
}
