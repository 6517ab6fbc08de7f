//! Where a plan keeps its values: nothing is read before it is written, nor after something else was written over it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use spp_wgpu::case::Case;
use spp_wgpu::ops::{Activation, Add, MaxPool};
use spp_wgpu::plan::{BufferId, Order, PortForm, Role, Slice};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape};

use crate::graphs::{CONSUMERS, behind_gaps, graph, sppf, tensors};
use crate::plans::{X, plan, planned};

/// Small graphs of every operation, and every case file.
pub(crate) fn graphs() -> Vec<(String, Graph)> {
    let mut graphs = vec![
        ("sppf of 9".into(), sppf(X, 9, true)),
        ("sppf of 8, parallel".into(), sppf(X, 8, false)),
        ("sppf with sums in parts".into(), sppf(Shape { c: 256, ..X }, 69, true)),
        ("no image".into(), sppf(Shape { n: 0, ..X }, 8, false)),
    ];
    graphs.extend(CONSUMERS.iter().map(|consumer| (consumer.0.into(), behind_gaps(X, consumer))));
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases")).unwrap() {
        let file = file.unwrap();
        graphs.push((file.file_name().to_string_lossy().into(), Case::open(file.path()).unwrap().graph().unwrap()));
    }
    graphs
}

fn options(graph: &Graph) -> Vec<(&'static str, PlanOptions)> {
    let copied = {
        let mut options = PlanOptions::default();
        options.concat_slices = false;
        options
    };
    let pixels =
        tensors(graph).into_iter().fold(PlanOptions::default(), |options, name| options.port(name, PortForm::NHWC_F32));
    let plain = [("default", PlanOptions::default()), ("copied", copied), ("unfused", PlanOptions::unfused())];
    plain.into_iter().chain([("NHWC ports", pixels)]).collect()
}

/// Channels (NHWC) or values of an image (NCHW) that a slice covers.
pub(crate) fn covered(slice: &Slice) -> std::ops::Range<u32> {
    let len = match slice.order {
        Order::Nhwc => slice.physical_c(),
        Order::NhwcDense => slice.shape.c,
        Order::Nchw => slice.shape.c * slice.shape.h * slice.shape.w,
    };
    slice.offset..slice.offset + len
}

/// Images one right after the other are one, as a reshape counts them anew.
fn joined(slice: &Slice) -> Slice {
    let Shape { n, c, h, w } = slice.shape;
    let mut joined = slice.clone();
    if slice.order == Order::Nchw && slice.stride == c * h * w {
        (joined.shape, joined.stride) = (Shape::new(1, 1, 1, n * c * h * w), n * c * h * w);
    }
    joined
}

/// Whether it is there before any step.
const fn is_given(role: &Role) -> bool {
    matches!(role, Role::Input(_) | Role::Constant(_))
}

#[test]
fn a_step_reads_what_was_written_and_spoils_nothing() {
    for (name, graph) in graphs() {
        for (what, options) in options(&graph) {
            let mut plan = plan(&graph, &options);
            for step in &mut plan.steps {
                step.operands.iter_mut().chain(&mut step.results).for_each(|slice| *slice = joined(slice));
            }
            let mut written: HashMap<BufferId, Vec<std::ops::Range<u32>>> = HashMap::new();
            for (i, step) in plan.steps.iter().enumerate() {
                let case = format!("{name}, {what}, step {i}:\n{plan}");
                let buffers = |written| step.bindings.iter().filter(move |b| b.written == written).map(|b| b.buffer);
                let targets = buffers(true).collect::<Vec<_>>();
                assert!(!buffers(false).any(|buffer| targets.contains(&buffer)), "reads and writes one buffer: {case}");
                assert!(step.results.iter().all(|result| targets.contains(&result.buffer)), "{case}");
                let role = |buffer: BufferId| &plan.buffers[buffer.index()].role;
                assert!(targets.iter().all(|&b| matches!(role(b), Role::Scratch | Role::Output(_))), "{case}");
                for operand in &step.operands {
                    if is_given(role(operand.buffer)) {
                        continue;
                    }
                    let there = written.get(&operand.buffer).map_or(&[][..], Vec::as_slice);
                    let unwritten = covered(operand).find(|c| !there.iter().any(|range| range.contains(c)));
                    assert_eq!(unwritten, None, "reads what nobody wrote: {case}");
                }
                for (r, result) in step.results.iter().enumerate() {
                    for other in step.operands.iter().chain(&step.results[..r]).filter(|o| o.buffer == result.buffer) {
                        let clash = covered(other).find(|c| covered(result).contains(c));
                        assert_eq!(clash, None, "writes over an operand or another result: {case}");
                    }
                }
                for result in &step.results {
                    written.entry(result.buffer).or_default().push(covered(result));
                }
            }
            for (position, port) in plan.outputs.iter().enumerate().filter(|(_, port)| !port.shape.is_empty()) {
                assert!(written.contains_key(&port.buffer), "output {position} is not written: {name}, {what}");
            }
        }
    }
}

#[test]
fn every_slice_and_table_fits_its_buffer() {
    for (name, graph) in graphs() {
        for (what, options) in options(&graph) {
            let plan = plan(&graph, &options);
            for slice in plan.steps.iter().flat_map(|step| step.operands.iter().chain(&step.results)) {
                let pixels = match slice.order {
                    Order::Nhwc | Order::NhwcDense => slice.pixels(),
                    Order::Nchw => slice.shape.n,
                };
                let end = u64::from(covered(slice).end) + u64::from(pixels - 1) * u64::from(slice.stride);
                let bytes = plan.buffers[slice.buffer.index()].bytes();
                assert!(end * slice.element.bytes() <= bytes, "{name}, {what}: {slice} of {bytes} bytes\n{plan}");
            }
            for buffer in &plan.buffers {
                if let Role::Constant(values) = &buffer.role {
                    assert_eq!(values.len() as u64 * 4, buffer.bytes());
                }
            }
        }
    }
}

fn without(graph: &Graph) -> Plan {
    planned(graph, |o| o.reuse_buffers = false)
}

#[test]
fn a_chain_needs_two_scratch_buffers() {
    let chain =
        graph(X, |graph, x| (0..6).fold(x, |x, i| graph.max_pool(format!("{i}"), x, MaxPool::new([1, 1])).unwrap()));
    let scratch = |plan: &Plan| plan.buffers.iter().filter(|buffer| buffer.role == Role::Scratch).count();
    let reused = plan(&chain, &PlanOptions::default());
    assert_eq!([scratch(&without(&chain)), scratch(&reused)], [7, 2]);
    assert!(reused.bytes() < without(&chain).bytes());
}

#[test]
fn tensors_that_are_alive_together_are_kept_apart() {
    for (name, graph) in graphs() {
        for (what, options) in options(&graph) {
            let mut apart = options.clone();
            apart.reuse_buffers = false;
            let mut shared = options;
            shared.reuse_buffers = true;
            let [apart, shared] = [apart, shared].map(|options| plan(&graph, &options));
            assert!(shared.bytes() <= apart.bytes(), "{name}, {what}");
            keeps_apart(&apart, &shared).unwrap_or_else(|e| panic!("{name}, {what}: {e}\n{apart}\n{shared}"));
        }
    }
}

/// Channels of a buffer, and whose values they hold: buffer and channel of the plan that shares none.
type Held = HashMap<u32, (BufferId, u32)>;

/// Follows what each shared buffer holds: a step must read the values that it reads in the plan that shares none.
fn keeps_apart(apart: &Plan, shared: &Plan) -> Result<(), String> {
    assert_eq!(apart.steps.len(), shared.steps.len());
    let mut holds: HashMap<BufferId, (u32, Held)> = HashMap::new();
    for (i, (a, b)) in apart.steps.iter().zip(&shared.steps).enumerate() {
        assert_eq!([a.operands.len(), a.results.len()], [b.operands.len(), b.results.len()]);
        let role = |slice: &Slice| &shared.buffers[slice.buffer.index()].role;
        let all = |slices: &[Slice]| slices.iter().map(joined).collect::<Vec<_>>();
        for (own, common) in all(&a.operands).iter().zip(&all(&b.operands)).filter(|(_, b)| !is_given(role(b))) {
            let held = holds.get(&common.buffer).map(|(_, held)| held);
            for (own_c, common_c) in covered(own).zip(covered(common)) {
                if held.and_then(|held| held.get(&common_c)) != Some(&(own.buffer, own_c)) {
                    return Err(format!("step {i} reads another's values in channel {common_c} of {common}"));
                }
            }
        }
        for (own, common) in all(&a.results).iter().zip(&all(&b.results)) {
            let (stride, held) = holds.entry(common.buffer).or_default();
            // Values at a different stride are scattered over those that were there.
            if *stride != common.stride {
                (*stride, *held) = (common.stride, Held::new());
            }
            held.extend(covered(common).zip(covered(own).map(|own_c| (own.buffer, own_c))));
        }
    }
    Ok(())
}

#[test]
fn the_check_finds_a_buffer_shared_too_soon() {
    let graph = graph(X, |graph, x| {
        let p = graph.max_pool("p", x, MaxPool::same(3)).unwrap();
        let q = graph.max_pool("q", p, MaxPool::same(3)).unwrap();
        graph.add("add", p, q, Add { scale: 1.0, activation: Activation::None }).unwrap()
    });
    let [apart, mut shared] = [without(&graph), without(&graph)];
    let target = |plan: &Plan, i: usize| plan.steps[i].results[0].buffer;
    // The copy of x is free once p is made, and q may take its place; but not that of p, as the sum reads it.
    let [x, p, q] = [0, 1, 2].map(|i| target(&apart, i));
    let mut put = |into| {
        for (own, common) in apart.steps.iter().zip(&mut shared.steps) {
            let own = own.operands.iter().chain(&own.results);
            for (own, common) in own.zip(common.operands.iter_mut().chain(&mut common.results)) {
                common.buffer = if own.buffer == q { into } else { own.buffer };
            }
        }
        keeps_apart(&apart, &shared)
    };
    assert_eq!(put(x), Ok(()));
    assert!(put(p).is_err());
}

#[test]
fn planning_twice_gives_the_same() {
    for (name, graph) in graphs() {
        for (what, options) in options(&graph) {
            let [a, b] = [(); 2].map(|()| plan(&graph, &options));
            assert_eq!(a.to_string(), b.to_string(), "{name}, {what}");
            let bytes = |plan: &Plan| plan.steps.iter().map(|step| step.params.clone()).collect::<Vec<_>>();
            assert_eq!(bytes(&a), bytes(&b), "{name}, {what}");
        }
    }
}
