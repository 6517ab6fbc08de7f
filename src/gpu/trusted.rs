//! All of this crate's `unsafe`: what wgpu cannot check for itself, each with the reason why it is sound.
#![expect(unsafe_code, reason = "wgpu offers these three in no other way")]

use std::hash::{DefaultHasher, Hash, Hasher};

use wgpu::{
    Device, ExperimentalFeatures, Features, PipelineCache, PipelineCacheDescriptor, ShaderModule,
    ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource,
};

/// What is compiled into a kernel besides its own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Checks {
    /// Every index and divisor is checked, and every loop ends. Workgroup memory is not zeroed: what a changed plan might
    /// read there unwritten are values, which end in results, never in an address.
    All,
    /// Nothing. Only for the steps of a plan that this crate made for the device at hand and gave to nobody: the fields
    /// of a [`Plan`](crate::Plan) are public.
    None,
}

/// On Vulkan, wgpu 30 leaves loops and divisors checked, as it translates a module when it is created. If the module
/// has an `override`, wgpu waits for the pipeline, where it does as it is told. This one is not used.
const TRANSLATE_LATE: &str = "override TRANSLATE_LATE: u32 = 0u;\n";

pub(super) fn shader_module(device: &Device, label: &str, source: &str, checks: Checks) -> ShaderModule {
    let descriptor =
        |source: String| ShaderModuleDescriptor { label: Some(label), source: ShaderSource::Wgsl(source.into()) };
    match checks {
        Checks::All => device.create_shader_module(descriptor(source.into())),
        // SAFETY: no kernel accesses anything out of bounds, loops forever or divides by zero, because
        //
        // - kernels and their parameters are this crate's. Only `Program::of` and `Program::from_own_plan` give out
        //   `Checks::None`: to plans that `Plan::new` or `Plan::draft` made from a `Graph`, whose fields are private
        //   and each of whose nodes was checked by its operation when it was added, and to the plans of `bench::peak`.
        //   Of these, others get copies, which come back through `Program::from_plan` alone, with all checks. A buffer
        //   of weights that a program finds on the device is as large as its plan says. Data (weights, inputs) is only
        //   ever added, multiplied and compared: no address, bound or divisor comes from it.
        // - an invocation whose index is not below the number of those that have something to do returns before it
        //   forms an address. The other addresses lie, by the planner's arithmetic, in their slices:
        //   `offset + pixel * stride + channel`, where a buffer was made to hold the last pixel of every slice in it,
        //   and windows are clipped to the image or read a stand-in within it. The slice of a sum in parts has a map
        //   for each part: `part` is a remainder by their number, and what reads them counts up to that number.
        //   `tests/gpu` runs every kernel with the checks as well, over the same shapes, with NaN in every buffer, and
        //   compares with the reference.
        // - a dispatch in turns begins at a workgroup that `Launches` has counted: below the step's number of them, of
        //   which there are fewer than 2³² with those that fill up the last row.
        // - nothing wraps around: `Builder::scratch` counts a buffer's values, padding included, in 64 bits before
        //   anything else is computed from them, and refuses 2³¹ or more; `Plan::check_limits` refuses more bytes than
        //   `max_binding`, at most 4 GiB, so that all offsets, in values or vectors of four, are below 2³⁰; and
        //   `window_output` keeps coordinates in padding within `i32`.
        // - buffers are as large as planned: `Program` makes them, or `Program::bind` compares an app's with the plan;
        //   and they are this program's, as are the parameters bound with them: `Program::record` takes no bindings
        //   that another program made.
        // - a formula's text is written by the planner: functions by name, of operands, steps before it, and numbers that
        //   are parameters. A walk stays among its operand's values, as `Rearrange` and `Map` check, places in tables
        //   included; where these hold none, nothing is read.
        // - every loop counts up to, or down from, a number that it does not change: an extent, a kernel's size, a
        //   constant. Extents, strides, dilations and channel counts, which are divisors, are at least 1: a tensor
        //   without elements gets no dispatch. So is the number of a sum's parts, a job's workgroups over those of one.
        // - workgroup memory is written before a barrier, and read after it. The cascade also reads cells of its tile
        //   that lie beyond the map and that nobody wrote, but only for values that go nowhere else:
        //   `tests/gpu/workgroup_memory.rs` fills it with NaN first. Its tile has room for each row that the planner
        //   chose, and one more vec4, and invocations beyond the last row use none.
        // - `subgroup_invocation_id` is below the number of lanes of a subgroup, which the device itself reports.
        // - matrices are loaded from rows of a tile, and stored to what is set aside for their subgroup, by subgroups
        //   that have a role alone: `subgroup_id` decides, whatever number of lanes the driver compiles for. Workgroups
        //   have as many invocations as all roles take if subgroups are as large as the device says they can be.
        // - texels are read and written within the texture: `Program::bind` takes those of the graph's size alone, and
        //   what is seen of a picture lies in it, as `Texture::output_shape` checks. Classes have a colour each.
        // - f16 in words: whoever writes half a word changes only its own bits, atomically, or nobody else writes the
        //   word.
        //
        // There are no ray queries, mesh or task shaders.
        Checks::None => unsafe {
            let source = format!("{source}{TRANSLATE_LATE}");
            device.create_shader_module_trusted(descriptor(source), ShaderRuntimeChecks::unchecked())
        },
    }
}

/// What to open a device with if it may have these features.
pub(super) fn experimental(features: Features) -> ExperimentalFeatures {
    if !features.intersects(Features::all_experimental_mask()) {
        return ExperimentalFeatures::disabled();
    }
    // SAFETY: this accepts that wgpu's experimental features may have bugs that are undefined behaviour. Only cooperative
    // matrices are ever asked for: by `bench::peak`, for a device that nobody else holds and that runs one kernel of
    // ours, compiled with checks; and by who sets `GpuOptions::matrices`, whose documentation says what that accepts.
    // Every program of such a device may run kernels with matrices, which are as unchecked as all others. They use sizes
    // that the adapter itself reports, for sums in `f32`. What is known to be amiss in naga 30 (gfx-rs/wgpu, issue 8805):
    // it declares Vulkan's memory model, and leaves out what orders accesses there, so that a kernel might read what was
    // in memory before. That is a wrong number and never an address, since no address comes from data. Wrong numbers are
    // what the list of denied drivers, `Gpu::self_test` and `spp verify --stress` are for.
    unsafe { ExperimentalFeatures::enabled() }
}

/// A file of compiled pipelines begins with this.
const MAGIC: [u8; 8] = *b"SPPWGPU1";

/// `data` behind a header that tells whether all of it, and nothing else, is there, for this owner.
pub(super) fn sealed(owner: &str, data: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &seal(owner, data).to_le_bytes(), data].concat()
}

/// `None` if `file` is not what [`sealed`] made for this owner.
fn unsealed<'a>(owner: &str, file: &'a [u8]) -> Option<&'a [u8]> {
    let (found, data) = file.strip_prefix(&MAGIC)?.split_first_chunk()?;
    (u64::from_le_bytes(*found) == seal(owner, data)).then_some(data)
}

/// A checksum. Another release of Rust may compute a different one, which costs one compilation.
fn seal(owner: &str, data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (owner, data).hash(&mut hasher);
    hasher.finish()
}

/// A cache of pipelines that begins with what `file` holds, and whether that was of use. `owner` names the device.
pub(super) fn pipeline_cache(device: &Device, owner: &str, file: &[u8]) -> (PipelineCache, bool) {
    let data = unsealed(owner, file);
    let descriptor = PipelineCacheDescriptor { label: Some("spp"), data, fallback: true };
    // SAFETY: `data` came from `PipelineCache::get_data` on this device and driver: the checksum over data and owner is
    // the one that `Pipelines::save` wrote around it, and a file that was cut off, mixed up or written by others does not
    // have it by accident. There is no protection against intent, just as there is none for the program's own file;
    // the documentation of `GpuOptions::pipeline_cache` says so.
    (unsafe { device.create_pipeline_cache(&descriptor) }, data.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owners_whole_file_is_opened() {
        let file = sealed("adapter 1", b"pipelines");
        assert_eq!(unsealed("adapter 1", &file), Some(&b"pipelines"[..]));
        assert_eq!(unsealed("adapter 2", &file), None);
        for len in 0..file.len() {
            assert_eq!(unsealed("adapter 1", &file[..len]), None, "cut off after {len} bytes");
        }
        for i in 0..file.len() {
            let mut changed = file.clone();
            changed[i] ^= 1;
            assert_eq!(unsealed("adapter 1", &changed), None, "byte {i} changed");
        }
        assert_eq!(unsealed("adapter 1", &[&file[..], b"\0"].concat()), None, "one byte too many");
        // The end of the owner and the start of the data cannot be confused.
        assert_eq!(unsealed("adapter", &sealed("adapte", b"r1")), None);
    }

    #[test]
    fn experimental_features_are_asked_for_by_name() {
        assert!(!experimental(Features::SHADER_F16 | Features::SUBGROUP).is_enabled());
        assert!(experimental(Features::EXPERIMENTAL_COOPERATIVE_MATRIX).is_enabled());
    }
}
