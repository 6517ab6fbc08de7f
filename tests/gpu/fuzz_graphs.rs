//! Random graphs, planned at random, against the reference. `SPP_FUZZ_GRAPHS` sets how many, `SPP_FUZZ_SEED` the first.

use std::collections::BTreeSet;

use spp_wgpu::ops::Conv;
use spp_wgpu::plan::Element;
use spp_wgpu::reference::{Reference, Values, compare};
use spp_wgpu::{Error, Gpu, Graph, Op, Plan, PlanOptions, Precision, Program, Shape, Tensor};

use crate::fuzz::{self, Dice, Outcome, Size};
use crate::harness::{CARD, GPU};

/// Whether `f32` can hold what is computed on the way, with room for terms that are larger than their sum. Beyond, any
/// order of operations is as right as another.
fn in_range(nodes: &[Values]) -> bool {
    let holds = |value: &f64| !value.is_finite() || *value == 0.0 || (1e-33..1e33).contains(&value.abs());
    // A saturated activation hides how large its operand was; the bound tells.
    nodes.iter().all(|node| node.values.iter().all(holds) && node.bound.iter().all(|bound| *bound < 1e20))
}

/// What values are multiplied by.
fn factors(graph: &Graph) -> impl Iterator<Item = f32> + '_ {
    let of_conv = |conv: &Conv| [&[conv.scale][..], &conv.weight.data()[..]].concat();
    graph.nodes().iter().flat_map(move |node| match &node.op {
        Op::Add(add) => vec![add.scale],
        Op::AffineActivation(affine) => affine.scale.iter().map(|scale| *scale as f32).collect(),
        Op::Conv(conv) => of_conv(conv),
        Op::ConvSum(sum) => sum.terms.iter().flat_map(of_conv).collect(),
        Op::Linear(linear) => linear.weight.data().to_vec(),
        _ => Vec::new(),
    })
}

/// Whether `f16` holds all values and factors, also where the planner multiplies one factor by another.
fn in_range_of_f16(graph: &Graph, nodes: &[Values]) -> bool {
    let holds = |value: &f64| !value.is_finite() || value.abs() < 1e4;
    let factor = |factor: f32| factor == 0.0 || (1e-4..100.0).contains(&factor.abs());
    nodes.iter().all(|node| node.values.iter().all(holds)) && factors(graph).all(factor)
}

/// What is wrong with the results on one device; `None` if it cannot hold the graph.
fn faults(gpu: &Gpu, graph: &Graph, options: &PlanOptions, inputs: &[Tensor], want: &[Values]) -> Option<Vec<String>> {
    let run = || {
        let program = Program::with_options(gpu, graph, options)?;
        program.poison()?;
        program.run(inputs)
    };
    let outputs = match run() {
        Ok(outputs) => outputs,
        Err(Error::LimitExceeded { .. } | Error::TooLarge { .. } | Error::MemoryBudget { .. }) => return None,
        Err(error) => return Some(vec![error.to_string()]),
    };
    let compared = graph.outputs().iter().zip(outputs.iter().zip(want)).map(|((name, _), (got, want))| {
        let difference = compare(got, want).unwrap();
        (difference.err_over_bound > 1.0).then(|| format!("{name}: {difference}"))
    });
    Some(compared.flatten().collect())
}

/// Inputs for a graph, some with infinities and NaN.
fn inputs(dice: &mut Dice, graph: &Graph) -> Vec<Tensor> {
    let shapes: Vec<Shape> = graph.inputs().map(|(_, node)| node.shape).collect();
    let is_special = dice.once_in(3);
    let input = |shape: Shape| {
        let mut values: Vec<f32> = (0..shape.len()).map(|_| 2.0 * dice.value()).collect();
        if is_special && !values.is_empty() {
            for _ in 0..dice.within(0, 2) {
                let at = dice.below(values.len());
                values[at] = dice.pick(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
            }
        }
        Tensor::new(shape, values).unwrap()
    };
    shapes.into_iter().map(input).collect()
}

/// Stores in `f16`, but for some nodes that are nodes of the plan, too.
fn in_f16_with_some_kept(dice: &mut Dice, gpu: &Gpu, graph: &Graph, options: PlanOptions) -> PlanOptions {
    let options = options.precision(Precision::F16);
    let Ok(plan) = Plan::new(graph, gpu.profile(), &options) else { return options };
    let nodes: BTreeSet<String> = plan.steps.into_iter().map(|step| step.node).collect();
    let names: BTreeSet<String> = graph.nodes().iter().map(|node| node.name.clone()).collect();
    options.keep_f32(nodes.intersection(&names).filter(|_| dice.once_in(2)))
}

#[test]
fn random_graphs_agree_with_the_reference() {
    fuzz::all("SPP_FUZZ_GRAPHS", 2000, |dice| {
        let graph = fuzz::graph(dice, Size::SMALL);
        let inputs = inputs(dice, &graph);
        let options = fuzz::options(dice);
        let options = fuzz::ports(dice, &graph, options, &[Element::F32]);
        let (name, gpu) = dice.pick(&[("the adapter", &*GPU), ("a card", &*CARD)]);
        let options = if dice.once_in(3) { in_f16_with_some_kept(dice, gpu, &graph, options) } else { options };
        let reference = Reference { precision: options.precision, ..Default::default() };
        let nodes = reference.run_nodes(&graph, &inputs).unwrap();
        let is_finite = |x: &Tensor| x.data().iter().all(|value| value.is_finite());
        // A device may take a factor that is no normal number for 0, which times infinity is `NaN`.
        let flushed = factors(&graph).any(f32::is_subnormal) && !inputs.iter().all(is_finite);
        let halved = options.precision == Precision::F16;
        if flushed || !in_range(&nodes) || halved && !in_range_of_f16(&graph, &nodes) {
            return Outcome::Beyond;
        }
        let want: Vec<Values> = graph.outputs().iter().map(|(_, id)| nodes[id.index()].clone()).collect();
        match faults(gpu, &graph, &options, &inputs, &want) {
            None => Outcome::Beyond,
            Some(faults) if faults.is_empty() => Outcome::Fine,
            Some(faults) => {
                Outcome::Faults(format!("planned for {name}: {faults:#?}\n{options:?}\n{}", fuzz::listed(&graph)))
            }
        }
    });
}
