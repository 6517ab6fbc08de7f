//! All `unsafe` of this crate: what wgpu cannot check for itself, each with the reason why it holds.
#![expect(unsafe_code, reason = "wgpu offers them no other way")]

use wgpu::{Device, ShaderModule, ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource};

/// What is compiled into a kernel beside its own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Checks {
    /// Every index and divisor is checked, every loop ends, workgroup memory is zeroed.
    All,
    /// Nothing. Only for the steps of a plan that this crate made for the device at hand and gave to nobody: the fields
    /// of a [`Plan`](crate::Plan) are public.
    None,
}

/// wgpu 30 leaves loops and divisors checked on Vulkan, where it translates a module when it is created. It waits for the
/// pipeline, where it does as it is told, if the module has an `override`. This one goes unused.
const TRANSLATE_LATE: &str = "override TRANSLATE_LATE: u32 = 0u;\n";

pub(super) fn shader_module(device: &Device, label: &str, source: &str, checks: Checks) -> ShaderModule {
    let descriptor =
        |source: String| ShaderModuleDescriptor { label: Some(label), source: ShaderSource::Wgsl(source.into()) };
    match checks {
        Checks::All => device.create_shader_module(descriptor(source.into())),
        // SAFETY: no kernel accesses what is out of bounds, loops for ever or divides by zero, because
        //
        // - kernels and their parameters are this crate's. `Checks::None` is given out by `Program::from_own_plan` alone,
        //   to plans that `Plan::new` made out of a `Graph`, whose fields are private and whose every node was checked by
        //   its operation when it was added, and to the plans of `bench::peak`. Data (weights, inputs) is only ever
        //   added, multiplied and compared: no address, bound or divisor comes from it.
        // - an invocation returns where its index is not below the number of those that have something to do, before it
        //   forms an address. What remains lies, by the planner's arithmetic, in its slices: `offset + pixel * stride +
        //   channel`, where a buffer was made to hold the last pixel of every slice in it, and windows are clipped to
        //   the image or read a stand-in within it. `tests/gpu` runs every kernel with the checks as well, over the same
        //   shapes, with NaN in every buffer, and compares with the reference.
        // - nothing wraps around: `Plan::check_limits` computes each buffer's bytes in 64 bits and refuses more than
        //   `max_binding`, at most 4 GiB, so that all offsets, in values or vectors of four, are below 2³⁰; and
        //   `window_output` keeps coordinates in padding within `i32`.
        // - buffers are as large as planned: `Program` makes them, or `Program::bind` compares an app's with the plan.
        // - every loop counts up to, or down from, a number that it does not change: an extent, a kernel's size, a
        //   constant. Extents, strides, dilations and channel counts, which divide, are at least 1: a tensor without
        //   elements gets no dispatch.
        // - workgroup memory is written by all invocations before a barrier, and read behind it.
        // - `subgroup_invocation_id` is below the lanes of a subgroup, which the device itself reports.
        //
        // Ray queries, mesh and task shaders there are none.
        Checks::None => unsafe {
            let source = format!("{source}{TRANSLATE_LATE}");
            device.create_shader_module_trusted(descriptor(source), ShaderRuntimeChecks::unchecked())
        },
    }
}
