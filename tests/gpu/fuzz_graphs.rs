//! Random graphs, planned at random, against the reference. `SPP_FUZZ_GRAPHS` sets how many, `SPP_FUZZ_SEED` the first.

use spp_wgpu::ops::Conv;
use spp_wgpu::plan::Element;
use spp_wgpu::reference::{self, Values, compare};
use spp_wgpu::{Error, Gpu, Graph, Op, PlanOptions, Program, Shape, Tensor};

use crate::fuzz::{self, Dice, Outcome, Size};
use crate::harness::{CARD, GPU};

/// Whether `f32` can hold what is computed on the way, with room for terms that are larger than their sum. Beyond, any
/// order of operations is as right as another.
fn in_range(nodes: &[Values]) -> bool {
    let holds = |value: &f64| !value.is_finite() || *value == 0.0 || (1e-33..1e33).contains(&value.abs());
    // A saturated activation hides how large its operand was; the bound tells.
    nodes.iter().all(|node| node.values.iter().all(holds) && node.bound.iter().all(|bound| *bound < 1e20))
}

/// Whether a factor is too small to be a normal number: a device may take it for 0, which times infinity is `NaN`.
fn has_subnormals(graph: &Graph) -> bool {
    let of_conv = |conv: &Conv| conv.scale.is_subnormal() || conv.weight.data().iter().any(|w| w.is_subnormal());
    graph.nodes().iter().any(|node| match &node.op {
        Op::Add(add) => add.scale.is_subnormal(),
        Op::AffineActivation(affine) => affine.scale.iter().any(|scale| (*scale as f32).is_subnormal()),
        Op::Conv(conv) => of_conv(conv),
        Op::ConvSum(sum) => sum.terms.iter().any(of_conv),
        Op::Linear(linear) => linear.weight.data().iter().any(|w| w.is_subnormal()),
        _ => false,
    })
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

#[test]
fn random_graphs_agree_with_the_reference() {
    fuzz::all("SPP_FUZZ_GRAPHS", 2000, |dice| {
        let graph = fuzz::graph(dice, Size::SMALL);
        let inputs = inputs(dice, &graph);
        let options = fuzz::options(dice);
        let options = fuzz::ports(dice, &graph, options, &[Element::F32]);
        let (name, gpu) = dice.pick(&[("the adapter", &*GPU), ("a card", &*CARD)]);
        let nodes = reference::run_nodes(&graph, &inputs).unwrap();
        let is_finite = |x: &Tensor| x.data().iter().all(|value| value.is_finite());
        let flushed = has_subnormals(&graph) && !inputs.iter().all(is_finite);
        if flushed || !in_range(&nodes) {
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
