//! What plans need of a device, and what devices with little get.

use spp_wgpu::case;
use spp_wgpu::plan::{Extension, Hardware};
use spp_wgpu::{DeviceClass, DeviceProfile, Plan, PlanOptions, Shape};

use crate::graphs::{graph, same_conv, sppf};

/// wgpu's `downlevel_defaults`.
fn downlevel(class: DeviceClass) -> DeviceProfile {
    DeviceProfile {
        max_uniform: 16 << 10,
        workgroup_memory: 16_352,
        max_storage_buffers: 4,
        ..DeviceProfile::portable(class)
    }
}

#[test]
fn every_published_block_can_be_planned_for_downlevel_limits() {
    for row in case::canonical().unwrap() {
        let graph = row.graph(1).unwrap();
        let devices = [
            (DeviceClass::Discrete, None, 128),
            (DeviceClass::Integrated, Some([32; 2]), 256),
            (DeviceClass::Software, Some([8; 2]), 128),
        ];
        for (class, subgroups, max_invocations) in devices {
            let profile = DeviceProfile { subgroups, max_invocations, ..downlevel(class) };
            let plan = Plan::new(&graph, &profile, &PlanOptions::default());
            let needs = plan.unwrap_or_else(|error| panic!("{}, {class:?}: {error}", row.name)).needs();
            assert!(needs.max_storage_buffers_per_shader_stage <= 4, "{}: {needs:?}", row.name);
            assert!(needs.max_compute_workgroup_storage_size <= 16_352, "{}: {needs:?}", row.name);
            assert!(needs.max_compute_invocations_per_workgroup <= max_invocations, "{}: {needs:?}", row.name);
            assert!(needs.max_uniform_buffer_binding_size <= 16 << 10, "{}: {needs:?}", row.name);
        }
    }
}

#[test]
fn a_plan_knows_its_largest_binding_and_its_features() {
    let shape = Shape::new(1, 64, 20, 20);
    let graph = sppf(shape, 32, true);
    let features = |profile: &DeviceProfile, options: &PlanOptions| {
        Plan::new(&graph, profile, options).unwrap().needs().extensions.into_iter().collect::<Vec<_>>()
    };
    let portable = DeviceProfile::portable(DeviceClass::Software);
    let lanes = DeviceProfile { subgroups: Some([8; 2]), ..portable.clone() };
    let pairs = DeviceProfile { int64: true, ..lanes.clone() };
    let [single, half] = [PlanOptions::default(), PlanOptions::default().precision(spp_wgpu::Precision::F16)];
    assert_eq!(features(&portable, &single), []);
    assert_eq!(features(&lanes, &single), [Extension::Subgroups]);
    assert_eq!(features(&pairs, &single), [Extension::Subgroups, Extension::Int64]);
    assert_eq!(features(&DeviceProfile { f16: true, ..portable.clone() }, &half), [Extension::F16]);
    assert_eq!(features(&portable, &half), [], "packed into words");
    let needs = Plan::new(&graph, &portable, &single).unwrap().needs();
    // The concatenation of four maps of 32 channels is what is largest.
    assert_eq!(needs.max_storage_buffer_binding_size, 4 * 32 * 400 * 4);
}

/// Ten thousand workgroups for one core of 10 MHz.
#[test]
fn long_steps_take_turns_of_the_length_that_was_asked_for() {
    let shape = Shape::new(1, 64, 320, 320);
    let graph = graph(shape, |graph, x| graph.conv("y", x, same_conv(64, 64, 3)).unwrap());
    let portable = DeviceProfile::portable(DeviceClass::Discrete);
    let hardware = portable.hardware.map(|of| Hardware { cores: 4, mhz: 10, ..of });
    let slow = DeviceProfile { hardware, ..portable.clone() };
    let plan = Plan::new(&graph, &slow, &PlanOptions::default()).unwrap();
    let longest = plan.steps.iter().max_by_key(|step| step.dispatches()).unwrap();
    let us = longest.estimate(&slow).unwrap().us / longest.dispatches() as f64;
    assert!(longest.dispatches() > 10 && us < 51e3, "{plan}");
    assert!(us > 40e3, "no shorter than they must be: {us}\n{plan}");
    assert!(plan.to_string().contains(&format!("in {} dispatches", longest.dispatches())), "{plan}");
    assert_eq!(plan.dispatches() as u64, longest.dispatches(), "but for conversions\n{plan}");
    // A fast card has no long steps, and a software adapter no estimates.
    for profile in [portable, DeviceProfile::portable(DeviceClass::Software)] {
        let plan = Plan::new(&graph, &profile, &PlanOptions::default()).unwrap();
        assert!(plan.steps.iter().all(|step| step.dispatches() == 1), "{plan}");
    }
}
