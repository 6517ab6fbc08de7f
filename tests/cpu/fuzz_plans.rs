//! Plans of random graphs for random devices. `SPP_FUZZ_PLANS` sets how many, `SPP_FUZZ_SEED` the first.

use spp_wgpu::plan::{Element, Order, Role, Slice, Step};
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Graph, Plan, PlanOptions, Result};

use crate::fuzz::{self, Dice, Outcome, Size};

/// Graphs to be planned only.
const LARGE: Size = Size { operations: 24, extent: 70, channels: &[1, 3, 4, 7, 8, 16, 21, 32, 33, 48, 64, 96] };

/// A device with any limits.
fn device(dice: &mut Dice) -> DeviceProfile {
    if dice.once_in(4) {
        return DeviceProfile::named(dice.pick(&DeviceProfile::names())).unwrap();
    }
    let class = dice.pick(&[DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software]);
    let usual = DeviceProfile {
        subgroups: dice.pick(&[None, Some([4; 2]), Some([8; 2]), Some([32; 2]), Some([4, 8])]),
        int64: dice.pick(&[false, true]),
        ..DeviceProfile::portable(class)
    };
    if dice.once_in(3) {
        return usual;
    }
    DeviceProfile {
        max_binding: dice.pick(&[1 << 10, 1 << 14, 1 << 18, 128 << 20, u32::MAX.into()]),
        max_buffer: dice.pick(&[1 << 14, 1 << 18, 256 << 20, u64::MAX]),
        max_uniform: dice.pick(&[256, 1 << 10, 16 << 10, 64 << 10]),
        max_workgroups: dice.pick(&[1, 4, 32, 65_535]),
        max_invocations: dice.pick(&[32, 64, 128, 256, 1024]),
        workgroup_memory: dice.pick(&[1 << 10, 4 << 10, 16_352, 16 << 10, 32 << 10]),
        max_storage_buffers: dice.pick(&[4, 5, 6, 8, 16]),
        max_iterations: dice.pick(&[100, 1000, 65_535, u64::MAX]),
        ..usual
    }
}

/// The values that a slice spans in its buffer.
fn end(slice: &Slice) -> u64 {
    let shape = slice.shape;
    let pixels = u64::from(shape.h) * u64::from(shape.w);
    let (rows, len) = match slice.order {
        Order::Nhwc => (u64::from(shape.n) * pixels, slice.segments.iter().map(|c| u64::from(c.div_ceil(4) * 4)).sum()),
        Order::Nchw => (u64::from(shape.n), u64::from(shape.c) * pixels),
        Order::NhwcDense => (u64::from(shape.n) * pixels, shape.c.into()),
    };
    if rows == 0 { 0 } else { (rows - 1) * u64::from(slice.stride) + u64::from(slice.offset) + len }
}

/// What is wrong with a plan.
pub(crate) fn faults(plan: &Plan, options: &PlanOptions) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unless = |fine: bool, fault: &dyn Fn() -> String| {
        if !fine {
            faults.push(fault());
        }
    };
    let DeviceProfile { max_workgroups, max_iterations, max_uniform, max_storage_buffers, .. } = plan.profile;
    let DeviceProfile { max_invocations, workgroup_memory, .. } = plan.profile;
    for (at, step) in plan.steps.iter().enumerate() {
        let Step { node, bindings, params, .. } = step;
        let is_read = |slice: &Slice| {
            plan.steps[at + 1..].iter().any(|later| later.operands.iter().any(|x| x.buffer == slice.buffer))
        };
        let is_output = |slice: &Slice| matches!(plan.buffers[slice.buffer.index()].role, Role::Output(_));
        unless(step.results.iter().all(|y| is_read(y) || is_output(y)), &|| format!("{node}: nobody reads its result"));
        for (i, binding) in bindings.iter().enumerate() {
            let again = bindings[..i].iter().find(|other| other.buffer == binding.buffer);
            unless(!again.is_some_and(|again| again.written || binding.written), &|| {
                format!("{node} writes and binds again")
            });
        }
        for slice in step.operands.iter().chain(&step.results) {
            let buffer = &plan.buffers[slice.buffer.index()];
            unless(end(slice) <= buffer.len, &|| format!("{node}: {slice:?} in {} values", buffer.len));
            unless(slice.segments.iter().sum::<u32>() == slice.shape.c, &|| format!("{node}: runs of {slice:?}"));
            unless(bindings.iter().any(|binding| binding.buffer == slice.buffer), &|| {
                format!("{node}: {slice:?} unbound")
            });
        }
        let workgroups = u64::from(max_workgroups).pow(2);
        unless(step.workgroups <= workgroups, &|| format!("{node}: {} workgroups", step.workgroups));
        unless(step.iterations <= max_iterations, &|| format!("{node}: {} iterations", step.iterations));
        unless(params.len() as u64 <= max_uniform, &|| format!("{node}: {} bytes of parameters", params.len()));
        let (invocations, memory) = (step.load().invocations, step.workgroup_memory);
        unless(invocations <= max_invocations, &|| format!("{node}: {invocations} invocations"));
        unless(memory <= workgroup_memory, &|| format!("{node}: {memory} bytes of workgroup memory"));
        unless(bindings.len() as u64 <= max_storage_buffers.into(), &|| format!("{node}: {} bindings", bindings.len()));
    }
    for buffer in &plan.buffers {
        let max = plan.profile.max_binding.min(plan.profile.max_buffer);
        unless(buffer.bytes() <= max, &|| format!("{} has {} bytes", buffer.label, buffer.bytes()));
        if let Role::Constant(words) = &buffer.role {
            unless(words.len() as u64 == buffer.len, &|| format!("{} is not packed", buffer.label));
        }
    }
    let max = options.max_bytes.unwrap_or(u64::MAX);
    unless(plan.bytes() <= max, &|| format!("{} bytes, over {max}", plan.bytes()));
    faults
}

/// What is wrong with the plan of a graph, or with the reason why there is none.
fn faults_of(planned: &Result<Plan>, graph: &Graph, device: &DeviceProfile, options: &PlanOptions) -> Vec<String> {
    match planned {
        Ok(plan) => faults(plan, options),
        Err(
            error @ (Error::LimitExceeded { .. }
            | Error::TooLarge { .. }
            | Error::MemoryBudget { .. }
            | Error::HostMemory { .. }),
        ) => {
            let mut plain = PlanOptions::unfused();
            plain.conv_kernel = options.conv_kernel;
            plain.max_bytes = options.max_bytes;
            plain.port_forms = options.port_forms.clone();
            plain.reuse_buffers = options.reuse_buffers;
            let without = Plan::new(graph, device, &plain);
            if without.is_ok() { vec![format!("only with passes: {error}")] } else { Vec::new() }
        }
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn random_plans_keep_to_their_limits() {
    fuzz::all("SPP_FUZZ_PLANS", 20_000, |dice| {
        let size = dice.pick(&[Size::SMALL, LARGE]);
        let graph = fuzz::graph(dice, size);
        let (device, options) = (device(dice), fuzz::options(dice));
        let options = fuzz::ports(dice, &graph, options, &[Element::F32, Element::F16, Element::U8]);
        let plan = Plan::new(&graph, &device, &options);
        let faults = faults_of(&plan, &graph, &device, &options);
        match plan {
            _ if !faults.is_empty() => {
                Outcome::Faults(format!("{faults:#?}\n{device:?}\n{options:?}\n{}", fuzz::listed(&graph)))
            }
            Ok(_) => Outcome::Fine,
            Err(_) => Outcome::Beyond,
        }
    });
}
