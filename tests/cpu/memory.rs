//! How much memory the plans of the published shapes need, against what is alive at once.

use spp_wgpu::case::canonical;
use spp_wgpu::ops::MaxPool;
use spp_wgpu::plan::{Order, Role, Slice};
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, NodeId, Plan, PlanOptions};

use crate::buffers::{covered, graphs};
use crate::graphs::graph;
use crate::plans::{X, plan, planned};

/// A result, its bytes (padding included), and its lifetime: from the step that writes it to the last that reads it.
struct Tensor {
    place: Slice,
    bytes: u64,
    life: [usize; 2],
}

/// Intermediate results; one in parts counts as all of them. Graph inputs and outputs lie in the caller's buffers;
/// weights live all the time.
fn tensors(plan: &Plan) -> Vec<Tensor> {
    let mut tensors: Vec<Tensor> = Vec::new();
    // What has not been written over.
    let mut valid: Vec<usize> = Vec::new();
    let meet = |a: &Slice, b: &Slice| a.buffer == b.buffer && covered(a).any(|c| covered(b).contains(&c));
    for (i, step) in plan.steps.iter().enumerate() {
        for operand in &step.operands {
            for &t in &valid {
                if meet(&tensors[t].place, operand) {
                    tensors[t].life[1] = i;
                }
            }
        }
        let is_scratch = |slice: &&Slice| plan.buffers[slice.buffer.index()].role == Role::Scratch;
        for place in step.results.iter().filter(is_scratch) {
            let spoils = |other: &Slice| place.buffer == other.buffer && place.stride != other.stride;
            valid.retain(|&t| !meet(&tensors[t].place, place) && !spoils(&tensors[t].place));
            valid.push(tensors.len());
            let rows = if place.order == Order::Nhwc { place.pixels() } else { place.shape.n };
            let bytes = covered(place).len() as u64 * u64::from(rows) * 4;
            tensors.push(Tensor { place: place.clone(), bytes, life: [i, i] });
        }
    }
    tensors
}

/// The most bytes that are alive in one step: no way of sharing buffers could need less.
fn most_alive(plan: &Plan) -> u64 {
    let tensors = tensors(plan);
    let alive = |i: usize| tensors.iter().filter(move |t| (t.life[0]..=t.life[1]).contains(&i)).map(|t| t.bytes).sum();
    (0..plan.steps.len()).map(alive).max().unwrap_or(0)
}

fn scratch(plan: &Plan) -> u64 {
    plan.buffers.iter().filter(|buffer| buffer.role == Role::Scratch).map(|buffer| buffer.bytes()).sum()
}

#[test]
fn published_blocks_need_at_most_1_3_times_what_is_alive_at_once() {
    for row in canonical().unwrap() {
        let graph = row.graph(0).unwrap();
        for class in [DeviceClass::Discrete, DeviceClass::Software] {
            let plan = Plan::new(&graph, &DeviceProfile::portable(class), &PlanOptions::default()).unwrap();
            let (scratch, alive) = (scratch(&plan), most_alive(&plan));
            let ratio = scratch as f64 / alive as f64;
            println!("{:<20} {class:?}: {scratch} bytes of scratch, {alive} alive at once, {ratio:.3}", row.name);
            assert!((1.0..=1.3).contains(&ratio), "{}, {class:?}: {scratch} for {alive}\n{plan}", row.name);
        }
    }
}

/// Lifetimes do not depend on where tensors lie, and no plan needs less than what is alive.
#[test]
fn sharing_does_not_change_how_much_is_alive() {
    for (name, graph) in graphs() {
        let [apart, shared] = [false, true].map(|reuse| planned(&graph, |o| o.reuse_buffers = reuse));
        let alive = most_alive(&shared);
        assert_eq!(most_alive(&apart), alive, "{name}:\n{apart}\n{shared}");
        assert!(alive <= scratch(&shared) && scratch(&shared) <= scratch(&apart), "{name}");
    }
}

fn pool(graph: &mut Graph, name: &str, x: NodeId) -> NodeId {
    graph.max_pool(name, x, MaxPool::same(3)).unwrap()
}

#[test]
fn alive_is_what_a_later_step_reads() {
    let bytes = X.len() * 4;
    let chain = graph(X, |graph, x| (0..6).fold(x, |x, i| pool(graph, &i.to_string(), x)));
    assert_eq!(most_alive(&plan(&chain, &PlanOptions::default())), 2 * bytes);
    // The copy of the input and three results; then three results and what was copied of them, as each ends with its copy.
    let held = graph(X, |graph, x| {
        let parts = ["p", "q", "r"].map(|name| pool(graph, name, x));
        graph.concat("cat", &parts).unwrap()
    });
    assert_eq!(most_alive(&plan(&held, &PlanOptions::default())), 4 * bytes);
    assert_eq!(most_alive(&planned(&held, |o| o.concat_slices = false)), 4 * bytes);
}
