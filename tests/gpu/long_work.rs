//! Dispatches in turns and runs in several submissions leave the bits that one of each leaves.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spp_wgpu::kernels;
use spp_wgpu::ops::{Paint, Paints, Texels, Texture};
use spp_wgpu::plan::Step;
use spp_wgpu::wgpu::{self, BufferUsages};
use spp_wgpu::{DeviceClass, DeviceProfile, Gpu, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::{CONSUMERS, behind_gaps, briefly, graph, one_core, painted, same_conv, sppf};
use crate::harness::{CARD, CARD_WITH_MATRICES, Data, GPU, assert_same_bits, random};

const X: Shape = Shape { n: 2, c: 9, h: 8, w: 9 };

fn plan(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Plan {
    Plan::new(graph, &one_core(profile.clone()), options).unwrap()
}

/// The same inputs for every plan of a graph.
fn inputs(plan: &Plan) -> Vec<Tensor> {
    plan.inputs.iter().map(|port| random(port.shape, 1, Data::Uniform)).collect()
}

/// Every operation, and what no small map of 24 channels is planned by.
fn graphs() -> Vec<(&'static str, Graph)> {
    let mut graphs: Vec<_> = CONSUMERS.iter().map(|consumer| (consumer.0, behind_gaps(X, consumer))).collect();
    let long = Shape::new(1, 512, 5, 5);
    graphs.push(("long sums", graph(long, |graph, x| graph.conv("y", x, same_conv(21, 512, 3)).unwrap())));
    let (texture, paints) = (Texture::letterbox(16, 16), Paints::heat([0.0, 1.0]));
    graphs.push(("texture", painted([24, 20], Texels::Rgba8, texture, Paint::new(24, 20, paints))));
    graphs.push(("sppf", sppf(Shape::new(1, 16, 9, 20), 40, true)));
    graphs
}

#[test]
fn every_kernel_computes_the_same_bits_in_turns() {
    let mut split = BTreeSet::new();
    for (name, graph) in graphs() {
        let both = [Precision::F32, Precision::F16];
        // In rows of three workgroups, too, which do not divide what is to be done.
        let mut ways: Vec<(&Gpu, &DeviceProfile, u32, Precision)> = Vec::new();
        for profile in [CARD.profile(), GPU.profile()] {
            ways.extend(both.map(|precision| (&*GPU, profile, profile.max_workgroups, precision)));
            ways.push((&GPU, profile, 3, Precision::F32));
        }
        // Which takes long to compile.
        let with_matrices = CARD_WITH_MATRICES.profile();
        if name.starts_with("conv") && with_matrices.matrices != GPU.profile().matrices {
            ways.push((&CARD_WITH_MATRICES, with_matrices, with_matrices.max_workgroups, Precision::F16));
        }
        for (gpu, profile, max_workgroups, precision) in ways {
            let profile = DeviceProfile { max_workgroups, ..profile.clone() };
            let options = PlanOptions::default().precision(precision);
            let Ok(whole) = Plan::new(&graph, &one_core(profile.clone()), &options) else {
                assert_eq!(max_workgroups, 3, "more than fold into three rows of three");
                continue;
            };
            let turns = plan(&graph, &profile, &briefly(options));
            assert!(whole.steps.iter().all(|step| step.dispatches() == 1), "{whole}");
            let is_split = |step: &&Step| step.dispatches() > 1;
            assert!(turns.steps.iter().filter(|step| step.workgroups > 1).all(|step| is_split(&step)), "{turns}");
            split.extend(turns.steps.iter().filter(is_split).map(|step| step.shader.stem));
            let x = inputs(&whole);
            let [got, want] = [turns, whole].map(|plan| {
                let program = Program::from_plan(gpu, plan).unwrap();
                program.poison().unwrap();
                program.run(&x).unwrap()
            });
            let case = format!("{name}, {:?} in rows of {max_workgroups}, {precision:?}", profile.class);
            got.iter().zip(&want).for_each(|(got, want)| assert_same_bits(&case, got, want));
        }
    }
    // Two are for subgroups of eight lanes, on a software adapter.
    let by_lanes = ["conv_subgroup", "max_pool_cascade_strip"];
    let has_lanes = GPU.profile().class == DeviceClass::Software && GPU.profile().subgroup_size() == Some(8);
    let all = kernels::SHADERS.iter().map(|shader| shader.stem);
    let missing: Vec<&str> = all.filter(|stem| !split.contains(stem)).collect();
    assert!(missing.iter().all(|stem| !has_lanes && by_lanes.contains(stem)), "{missing:?}");
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

/// Between the submissions of a run, those of an app come, which records the same program.
#[test]
fn an_apps_recordings_do_not_spoil_a_long_run() {
    let (whole, parts, x) = in_parts();
    let want = whole.run(&x).unwrap();
    let plan = parts.plan();
    let [input, output] = [&plan.inputs[0], &plan.outputs[0]].map(|port| {
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: port.bytes(),
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        };
        GPU.device().create_buffer(&descriptor)
    });
    let bindings = parts.bind(&[&input], &[&output]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut encoder = GPU.device().create_command_encoder(&Default::default());
                parts.record(&mut encoder, &bindings).unwrap();
                GPU.queue().submit([encoder.finish()]);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let wrong: Vec<usize> = (0..40).filter(|_| parts.run(&x).unwrap()[0].data() != want[0].data()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "{} of 40 runs", wrong.len());
    });
}
