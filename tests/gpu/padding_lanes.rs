//! What lies in the padding of channels, between runs and at their end, is always zero. Weights of zero hide anything
//! finite there from convolutions, so these tests look at memory itself.

use spp_wgpu::plan::{BufferId, Order, Port, Role, Slice};
use spp_wgpu::{Gpu, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::{CONSUMERS, behind_gaps};
use crate::harness::{CARD, Data, GPU, graph, on_matrices, random};

/// Every buffer of intermediate results becomes an output, as it lies in memory.
fn laid_open(mut plan: Plan) -> Plan {
    let mut scratch: Vec<BufferId> = Vec::new();
    for slice in plan.steps.iter().flat_map(|step| &step.results) {
        if plan.buffers[slice.buffer.index()].role == Role::Scratch && !scratch.contains(&slice.buffer) {
            scratch.push(slice.buffer);
        }
    }
    for buffer in scratch {
        let laid_open = &mut plan.buffers[buffer.index()];
        laid_open.role = Role::Output(plan.outputs.len());
        let shape = Shape::new(1, 1, 1, laid_open.len as u32);
        let (name, order) = (laid_open.label.clone(), Order::Nchw);
        plan.outputs.push(Port { name, shape, element: laid_open.element, order, texels: None, buffer });
    }
    plan
}

/// The physical channels of a slice that are padding.
fn padding(slice: &Slice) -> Vec<usize> {
    let run = |&c: &u32| (0..c.next_multiple_of(4)).map(move |lane| lane >= c);
    let lanes = slice.segments.iter().flat_map(run).enumerate();
    lanes.filter(|(_, is_padding)| *is_padding).map(|(lane, _)| lane).collect()
}

/// The values in the padding of all results, where they are not zero.
fn filled(plan: &Plan, outputs: &[Tensor]) -> Vec<String> {
    let mut found = Vec::new();
    let results = plan.steps.iter().flat_map(|step| step.results.iter().map(move |slice| (step, slice)));
    for (step, slice) in results.filter(|(_, slice)| slice.order == Order::Nhwc) {
        let Some(port) = plan.outputs.iter().position(|port| port.buffer == slice.buffer) else { continue };
        let lanes = padding(slice);
        for pixel in 0..slice.pixels() {
            for &lane in &lanes {
                let value = outputs[port].data()[(pixel * slice.stride + slice.offset) as usize + lane];
                if value != 0.0 {
                    found.push(format!("{} '{}', pixel {pixel}, lane {lane}: {value}", step.shader.stem, step.node));
                }
            }
        }
    }
    found
}

fn options() -> [PlanOptions; 2] {
    let mut apart = PlanOptions::default();
    apart.reuse_buffers = false;
    [apart, PlanOptions::unfused()]
}

fn run(plan: &Plan, graph: &Graph) -> Vec<Tensor> {
    run_on(&GPU, plan, graph)
}

fn run_on(gpu: &Gpu, plan: &Plan, graph: &Graph) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = graph.inputs().zip(7..).map(|((_, x), i)| random(x.shape, i, Data::Uniform)).collect();
    let program = Program::from_plan(gpu, plan.clone()).unwrap();
    program.poison().unwrap();
    program.run(&inputs).unwrap()
}

#[test]
fn every_operation_leaves_zeros() {
    for consumer in CONSUMERS {
        let graph = behind_gaps(Shape::new(2, 9, 5, 6), consumer);
        for profile in [GPU.profile(), CARD.profile()] {
            for options in options() {
                let plan = laid_open(Plan::new(&graph, profile, &options).unwrap());
                let found = filled(&plan, &run(&plan, &graph));
                assert!(found.is_empty(), "{}: {:#?}\n{plan}", consumer.0, &found[..found.len().min(8)]);
            }
        }
    }
}

/// By every tile of matrices, which compute padding lanes as others.
#[test]
fn matrices_leave_zeros() {
    for consumer in CONSUMERS.iter().filter(|(name, _)| name.contains("conv")) {
        let graph = behind_gaps(Shape::new(2, 9, 5, 6), consumer);
        for (way, gpu, mut options) in [Precision::F16, Precision::F32].map(|of| on_matrices(&graph, of)).concat() {
            options.reuse_buffers = false;
            let plan = laid_open(Plan::new(&graph, gpu.profile(), &options).unwrap());
            let found = filled(&plan, &run_on(gpu, &plan, &graph));
            assert!(found.is_empty(), "{} {way}: {:#?}\n{plan}", consumer.0, &found[..found.len().min(8)]);
        }
    }
}

/// A kernel that takes padding for channels is found out.
#[test]
fn a_lane_that_is_not_cut_off_is_found() {
    let consumer = CONSUMERS.iter().find(|(name, _)| *name == "add, sigmoid").unwrap();
    let graph = graph(Shape::new(1, 5, 3, 4), consumer.1);
    let mut plan = laid_open(Plan::new(&graph, GPU.profile(), &PlanOptions::unfused()).unwrap());
    assert_eq!(filled(&plan, &run(&plan, &graph)), [""; 0]);
    let step = plan.steps.iter_mut().find(|step| step.shader.stem == "elementwise").unwrap();
    let channels = step.shader.params.iter().position(|(name, _)| *name == "channels").unwrap();
    step.params[4 * channels] = 8;
    assert_eq!(filled(&plan, &run(&plan, &graph)).len(), 3 * 12);
}
