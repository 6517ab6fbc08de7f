//! Dispatches in turns and runs in several submissions leave the bits that one of each leaves.

use std::time::Duration;

use spp_wgpu::wgpu::{self, BufferUsages};
use spp_wgpu::{DeviceProfile, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::{CONSUMERS, behind_gaps, briefly, one_core, sppf};
use crate::harness::{CARD, CARD_WITH_MATRICES, Data, GPU, MATRICES, assert_same_bits, random, run_plan};

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
    let mut split = std::collections::BTreeSet::new();
    for consumer in CONSUMERS {
        let graph = behind_gaps(X, consumer);
        for (class, profile) in [("card", CARD.profile()), ("software", GPU.profile())] {
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
                    let can = |step: &&spp_wgpu::plan::Step| step.workgroups > u64::from(max_workgroups.min(2));
                    assert!(turns.steps.iter().filter(can).all(|step| step.dispatches() > 1), "{turns}");
                    split.extend(turns.steps.iter().filter(|step| step.dispatches() > 1).map(|step| step.shader.stem));
                    let x = inputs(&whole);
                    let (got, want) = (run_plan(turns, &x), run_plan(whole, &x));
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
