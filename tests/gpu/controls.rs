//! The tests can fail: programs with one mistake are found out.

use spp_wgpu::ops::{Add, MaxPool, Padding};
use spp_wgpu::plan::Constant;
use spp_wgpu::{Graph, Plan, PlanOptions, Shape, Tensor, reference};

use crate::harness::{Data, GPU, graph, random, run_plan, wrong};

/// Runs the plan as it is, which passes, and changed, which must not.
fn finds_out(graph: &Graph, case: &str, change: impl FnOnce(&mut Plan)) {
    let inputs: Vec<Tensor> = graph.inputs().zip(1..).map(|((_, x), i)| random(x.shape, i, Data::Uniform)).collect();
    let want = reference::run_with_bounds(graph, &inputs).unwrap();
    let mut plan = Plan::new(graph, GPU.profile(), &PlanOptions::default()).unwrap();
    assert_eq!(wrong(graph, &run_plan(plan.clone(), &inputs), &want), [""; 0], "unchanged");
    change(&mut plan);
    let got = run_plan(plan, &inputs);
    assert_ne!(wrong(graph, &got, &want), [""; 0], "{case} goes unnoticed");
}

fn pool() -> Graph {
    let pool = MaxPool { stride: [1, 1], padding: Padding::symmetric(1, 1), ..MaxPool::new([3, 3]) };
    graph(Shape::new(3, 8, 5, 3), |graph, x| graph.max_pool("pool", x, pool).unwrap())
}

#[test]
fn a_step_left_out() {
    let steps = Plan::new(&pool(), GPU.profile(), &PlanOptions::default()).unwrap().steps.len();
    assert_eq!(steps, 3);
    for i in 0..steps {
        finds_out(&pool(), &format!("leaving out step {i}"), |plan| {
            plan.steps.remove(i);
        });
    }
}

#[test]
fn swapped_inputs() {
    let mut sum = Graph::new();
    let [a, b] = ["a", "b"].map(|name| sum.input(name, Shape::new(2, 5, 3, 4)).unwrap());
    let y = sum.add("add", a, b, Add { scale: 2.0, activation: Default::default() }).unwrap();
    sum.output("y", y).unwrap();
    finds_out(&sum, "swapping the inputs", |plan| {
        let step = plan.steps.iter_mut().find(|step| step.shader.stem == "elementwise").unwrap();
        let [a, b] = [step.bindings[0].buffer, step.bindings[1].buffer];
        (step.bindings[0].buffer, step.bindings[1].buffer) = (b, a);
    });
}

#[test]
fn a_wrong_byte_in_any_parameter() {
    let plan = Plan::new(&pool(), GPU.profile(), &PlanOptions::default()).unwrap();
    for (i, step) in plan.steps.iter().enumerate() {
        let source = step.source();
        let read = |name: &str| source.contains(&format!("params.{name}"));
        for (field, (name, _)) in step.shader.params.iter().enumerate().filter(|(_, (name, _))| read(name)) {
            finds_out(&pool(), &format!("{name} of step {i}, {}", step.shader.stem), |plan| {
                let byte = &mut plan.steps[i].params[4 * field];
                *byte = byte.wrapping_sub(1);
            });
        }
    }
}

#[test]
fn a_constant_off_by_one() {
    for changed in ["DILATION_H", "DILATION_W"] {
        finds_out(&pool(), &format!("{changed} + 1"), |plan| {
            for (name, value) in plan.steps.iter_mut().flat_map(|step| &mut step.constants) {
                if let (true, Constant::U32(value)) = (*name == changed, value) {
                    *value += 1;
                }
            }
        });
    }
}
