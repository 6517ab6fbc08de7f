//! Dispatches in turns and runs in several submissions leave the bits that one of each leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use spp_wgpu::plan::Step;
use spp_wgpu::wgpu::{self, BufferUsages};
use spp_wgpu::{DeviceProfile, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::{CONSUMERS, behind_gaps, briefly, one_core, sppf};
use crate::harness::{CARD, CARD_WITH_MATRICES, Data, GPU, MATRICES, assert_same_bits, random};

const X: Shape = Shape { n: 2, c: 9, h: 8, w: 9 };

fn plan(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Plan {
    Plan::new(graph, &one_core(profile.clone()), options).unwrap()
}

/// The same inputs for every plan of a graph.
fn inputs(plan: &Plan) -> Vec<Tensor> {
    plan.inputs.iter().map(|port| random(port.shape, 1, Data::Uniform)).collect()
}

#[test]
fn every_kernel_computes_the_same_bits_in_turns() {
    let mut split = BTreeSet::new();
    for consumer in CONSUMERS {
        let graph = behind_gaps(X, consumer);
        let mut profiles = vec![("card", CARD.profile()), ("software", GPU.profile())];
        if !MATRICES.profile().matrices.eq(&GPU.profile().matrices) {
            profiles.push(("card with matrices", CARD_WITH_MATRICES.profile()));
        }
        for (class, profile) in profiles {
            // Rows of workgroups, too: three do not divide what is to be done.
            for max_workgroups in [65_535, 3] {
                for precision in [Precision::F32, Precision::F16] {
                    let profile = DeviceProfile { max_workgroups, ..profile.clone() };
                    let options = PlanOptions::default().precision(precision);
                    let Ok(whole) = Plan::new(&graph, &one_core(profile.clone()), &options) else {
                        assert_eq!(max_workgroups, 3);
                        continue;
                    };
                    let turns = plan(&graph, &profile, &briefly(options));
                    assert!(whole.steps.iter().all(|step| step.dispatches() == 1), "{whole}");
                    let can = |step: &&Step| step.workgroups > u64::from(max_workgroups.min(2));
                    assert!(turns.steps.iter().filter(can).all(|step| step.dispatches() > 1), "{turns}");
                    split.extend(turns.steps.iter().filter(|step| step.dispatches() > 1).map(|step| step.shader.stem));
                    let x = inputs(&whole);
                    let gpu = if class == "card with matrices" { &CARD_WITH_MATRICES } else { &GPU };
                    let [got, want] = [turns, whole].map(|plan| {
                        let program = Program::from_plan(gpu, plan).unwrap();
                        program.poison().unwrap();
                        program.run(&x).unwrap()
                    });
                    for (got, want) in got.iter().zip(&want) {
                        let case = format!("{}, {class} in rows of {max_workgroups}, {precision:?}", consumer.0);
                        assert_same_bits(&case, got, want);
                    }
                }
            }
        }
    }
    println!("{split:?}");
    assert!(split.len() >= 13, "{split:?}");
}

/// In as many submissions as there are dispatches, of which several make a step.
fn in_parts() -> (Program, Program, Vec<Tensor>) {
    let graph = sppf(X, 9, true);
    let mut options = briefly(PlanOptions::default());
    let whole = plan(&graph, CARD.profile(), &options);
    options.max_submission = Duration::ZERO;
    let parts = plan(&graph, CARD.profile(), &options);
    let x = inputs(&whole);
    let [whole, parts] = [whole, parts].map(|plan| Program::from_plan(&GPU, plan).unwrap());
    let dispatches: u64 = parts.plan().steps.iter().map(Step::dispatches).sum();
    assert!(dispatches as usize > parts.plan().steps.len());
    assert_eq!((whole.submissions(), parts.submissions()), (1, dispatches as usize));
    (whole, parts, x)
}

#[test]
fn runs_in_several_submissions_give_the_same_bits() {
    let (whole, parts, x) = in_parts();
    parts.poison().unwrap();
    let want = whole.run(&x).unwrap();
    assert_same_bits("run", &parts.run(&x).unwrap()[0], &want[0]);
    parts.poison().unwrap();
    let running = parts.run_async(&x);
    let polling = std::thread::spawn(|| {
        for _ in 0..1000 {
            GPU.poll().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert_same_bits("run_async", &pollster::block_on(running).unwrap()[0], &want[0]);
    polling.join().unwrap();
}

#[test]
fn an_app_records_long_work_in_parts() {
    let (whole, parts, x) = in_parts();
    let plan = parts.plan();
    let buffer = |bytes, usage| {
        let descriptor = wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
        GPU.device().create_buffer(&descriptor)
    };
    let input = buffer(plan.inputs[0].bytes(), BufferUsages::STORAGE | BufferUsages::COPY_DST);
    let output = buffer(plan.outputs[0].bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let read = buffer(plan.outputs[0].bytes(), BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    GPU.queue().write_buffer(&input, 0, bytemuck::cast_slice(x[0].data()));
    let bindings = parts.bind(&[input.as_entire_buffer_binding()], &[output.as_entire_buffer_binding()]).unwrap();
    let encoder = || GPU.device().create_command_encoder(&Default::default());
    for part in 0..parts.submissions() {
        let mut encoder = encoder();
        parts.record_submission(&mut encoder, &bindings, part).unwrap();
        GPU.queue().submit([encoder.finish()]);
    }
    let mut copying = encoder();
    copying.copy_buffer_to_buffer(&output, 0, &read, 0, output.size());
    let submission = GPU.queue().submit([copying.finish()]);
    read.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    GPU.device().poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None }).unwrap();
    let got = bytemuck::pod_collect_to_vec(&read.get_mapped_range(..).unwrap());
    let got = Tensor::new(plan.outputs[0].shape, got).unwrap();
    assert_same_bits("recorded", &got, &whole.run(&x).unwrap()[0]);
    let beyond = parts.record_submission(&mut encoder(), &bindings, parts.submissions()).unwrap_err();
    assert!(beyond.to_string().contains("there is no part"), "{beyond}");
}

#[test]
fn long_work_is_timed_over_all_its_submissions() {
    let (whole, parts, x) = in_parts();
    let want = whole.run(&x).unwrap();
    parts.run(&x).unwrap();
    let (Some(time), Some(times)) = (parts.gpu_time().unwrap(), parts.gpu_step_times().unwrap()) else {
        return assert!(!GPU.has_timestamps());
    };
    assert!(time > Duration::ZERO);
    assert_eq!(times.len(), parts.plan().steps.len());
    assert!(times.iter().all(|time| *time > Duration::ZERO), "{times:?}");
    assert_same_bits("run after it was timed", &parts.run(&x).unwrap()[0], &want[0]);
}
