//! What kernels read from workgroup memory, they wrote: pipelines do not zero it. Here every kernel that has any fills
//! it with NaN first.

use std::collections::BTreeSet;

use spp_wgpu::ops::MaxPoolCascade;
use spp_wgpu::plan::{ConvKernel, Shader, Step};
use spp_wgpu::{Graph, Plan, PlanOptions, Shape, Tensor, kernels, reference};

use crate::graphs::{CONSUMERS, behind_gaps, sppf};
use crate::harness::{CARD, Data, GPU, graph, random, run_plan, wrong};

/// The types and names of `var<workgroup>`s: `array<TYPE, LEN>`, of vectors of four or of scalars.
fn arrays(text: &str) -> Vec<(&str, &str)> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("var<workgroup> "));
    declared.map(|line| line[..line.find(';').unwrap()].split_once(": ").unwrap()).collect()
}

/// The step's shader with this text, which begins by filling all workgroup memory of the step with NaN, or what stands for it
/// among ordered keys.
fn filled(step: &Step, text: &str) -> &'static Shader {
    let (shader, source) = (step.shader, step.source());
    let fill = arrays(&source).into_iter().map(|(name, ty)| {
        if ty.contains("atomic<u32>") {
            let Some(len) = ty.strip_prefix("array<atomic<u32>, ").and_then(|rest| rest.strip_suffix('>')) else {
                return format!("atomicStore(&{name}, 0xffffffffu); ");
            };
            return format!("for (var e = 0u; e < {len}; e++) {{ atomicStore(&{name}[e], 0xffffffffu); }} ");
        }
        if !ty.starts_with("array<") {
            // A struct of numbers.
            let (_, fields) = source.split_once(&format!("struct {ty} {{")).unwrap();
            let fields = fields[..fields.find('}').unwrap()].lines().filter_map(|line| line.split_once(": "));
            let values = fields.map(|(_, rest)| match rest.split(',').next() {
                Some("vec2u") => "vec2u(0xffffffffu)",
                _ => "0xffffffffu",
            });
            return format!("{name} = {ty}({}); ", values.collect::<Vec<_>>().join(", "));
        }
        let (element, len) = ty.strip_prefix("array<").unwrap().strip_suffix('>').unwrap().split_once(", ").unwrap();
        let alias = source.split_once(&format!("alias {element} = ")).and_then(|(_, after)| after.split_once(';'));
        let nan = match alias.map_or(element, |(ty, _)| ty) {
            "vec2u" => "vec2u(0xffffffffu)".into(),
            vector if vector.starts_with("vec4") => format!("bitcast<{vector}>(vec4u(0xffffffffu))"),
            scalar => format!("bitcast<{scalar}>(0xffffffffu)"),
        };
        format!("for (var e = 0u; e < {len}; e++) {{ {name}[e] = {nan}; }} ")
    });
    let lane = if text.contains("(at: At) {") { "at.lane" } else { "lane" };
    let fill = format!("if {lane} == 0u {{ {} }} workgroupBarrier();", fill.collect::<String>());
    let entry = text.find(&format!("fn {}(", shader.stem)).unwrap();
    let body = entry + text[entry..].find(") {").unwrap() + ") {".len();
    let text = [&text[..body], &fill, &text[body..]].concat();
    let Shader { stem, extensions, pieces, params_binding, params, tables, .. } = *shader;
    let filled = Shader { stem, text: text.leak(), extensions, pieces, params_binding, params, tables };
    Box::leak(Box::new(filled))
}

fn inputs(graph: &Graph) -> Vec<Tensor> {
    graph.inputs().zip(3..).map(|((_, x), seed)| random(x.shape, seed, Data::Uniform)).collect()
}

fn graphs() -> Vec<Graph> {
    let mut graphs: Vec<Graph> =
        CONSUMERS.iter().map(|consumer| behind_gaps(Shape::new(2, 9, 5, 6), consumer)).collect();
    graphs.push(sppf(Shape::new(2, 12, 8, 9), 9, true));
    // Long sums over a small map, in shares and in parts.
    graphs.push(sppf(Shape::new(1, 256, 8, 9), 69, true));
    // Several tiles each way, the last of them smaller.
    let cascade = MaxPoolCascade { kernel: 5, times: 3 };
    graphs.push(graph(Shape::new(1, 5, 40, 37), |graph, x| graph.max_pool_cascade("y", x, cascade).unwrap()));
    graphs
}

#[test]
fn every_kernel_writes_it_before_reading_it() {
    let mut seen = BTreeSet::new();
    for graph in graphs() {
        let inputs = inputs(&graph);
        let want = reference::run_with_bounds(&graph, &inputs).unwrap();
        let mut tiled = PlanOptions::default();
        tiled.conv_kernel = ConvKernel::Tiled;
        for (profile, options) in [(GPU.profile(), tiled), (CARD.profile(), PlanOptions::default())] {
            let mut plan = Plan::new(&graph, profile, &options).unwrap();
            for step in plan.steps.iter_mut().filter(|step| !arrays(&step.source()).is_empty()) {
                seen.insert(step.shader.stem);
                step.shader = filled(step, step.shader.text);
            }
            let text = plan.to_string();
            assert_eq!(wrong(&graph, &run_plan(plan, &inputs), &want), [""; 0], "{text}");
        }
    }
    let all = kernels::SHADERS.iter().filter(|shader| shader.text.contains("workgroupBarrier()"));
    // That of matmul is in a piece.
    assert_eq!(seen, all.map(|shader| shader.stem).chain(["matmul"]).collect());
}

/// A lane that leaves its part of a sum to whatever was there is found out.
#[test]
fn what_reads_it_unwritten_is_found() {
    for (stem, written, forgotten) in [
        ("linear", "partial[lane] = sum;", "if lane != 5u { partial[lane] = sum; }"),
        ("global_pool", "partial[lane] = result;", "partial[min(lane, WG_SIZE - 2u)] = result;"),
        ("conv", "put_w(lane, 0u, w0);", "put_w(max(lane, 1u), 0u, w0);"),
    ] {
        let (_, consumer) = CONSUMERS.iter().find(|(name, _)| name.split(',').next() == Some(stem)).unwrap();
        let graph = graph(Shape::new(1, 24, 5, 6), consumer);
        let inputs = inputs(&graph);
        let mut plan = Plan::new(&graph, CARD.profile(), &PlanOptions::default()).unwrap();
        let step = plan.steps.iter_mut().find(|step| step.shader.stem == stem).unwrap();
        assert!(step.shader.text.contains(written), "{stem}");
        let text = step.shader.text.replacen(written, forgotten, 1);
        step.shader = filled(step, &text);
        let want = reference::run_with_bounds(&graph, &inputs).unwrap();
        assert_ne!(wrong(&graph, &run_plan(plan, &inputs), &want), [""; 0], "{stem}");
    }
}
