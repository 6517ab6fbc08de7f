//! `gpu-static-compile [--profile=CHIP] FILE.wgsl...`: makes a compute pipeline of each file on the first adapter, as the
//! library does of its kernels: on a device of the library's, without wgpu's checks. It is run under the layer (`layer.rs`),
//! which it tells what the pipelines are called, the files' stems; and it writes down what the adapter is called. With a chip
//! named, its device must be what plans for that chip are made for. It has matrices wherever the adapter has some: nothing
//! could be executed to test them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use spp_wgpu::gpu::{adapters, matrices_of};
use spp_wgpu::plan::Matrices;
use spp_wgpu::wgpu::{
    ComputePipelineDescriptor, Device, DeviceDescriptor, ErrorFilter, ExperimentalFeatures, Features,
    PipelineCompilationOptions, ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource,
};
use spp_wgpu::{DeviceProfile, Gpu, GpuOptions};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu-static-compile: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(env::var_os("GPU_STATIC_OUT").ok_or("GPU_STATIC_OUT names no folder")?);
    let gpu = Gpu::new(&GpuOptions::device("0"))?;
    let (device, matrices) = with_matrices(&gpu)?;
    let info = gpu.info();
    fs::write(out.join("adapter"), format!("{}\n{} {}\n", info.name.trim(), info.driver, info.driver_info))?;
    let mut refused = false;
    for argument in env::args_os().skip(1) {
        if let Some(chip) = argument.to_str().and_then(|argument| argument.strip_prefix("--profile=")) {
            let found = DeviceProfile { matrices, ..gpu.profile().clone() };
            // A shim does not always know what the chip is called, by which its rates are known.
            let named = DeviceProfile { hardware: found.hardware, ..DeviceProfile::named(chip)? };
            if found != named {
                return Err(format!("plans for {chip} are made for {named:?}, but wgpu says {found:?}").into());
            }
            continue;
        }
        let path = PathBuf::from(argument);
        let stem = path.file_stem().ok_or("no file name")?.to_string_lossy();
        fs::write(out.join("name"), stem.as_bytes())?;
        if let Err(error) = compile(&device, &path) {
            eprintln!("{}: {error}", path.display());
            refused = true;
        }
    }
    if refused { Err("not all were compiled".into()) } else { Ok(()) }
}

/// A device as the library's, with matrices if the adapter has any: they fail the self test of [`Gpu::new`] here, as
/// anything would.
fn with_matrices(gpu: &Gpu) -> Result<(Device, Matrices), Box<dyn std::error::Error>> {
    let adapter = adapters().into_iter().next().ok_or("no adapter")?;
    let Ok(matrices) = matrices_of(&adapter) else {
        return Ok((gpu.device().clone(), Matrices::NONE));
    };
    let descriptor = DeviceDescriptor {
        required_features: gpu.device().features() | Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        // SAFETY: nothing ever runs on it.
        experimental_features: unsafe { ExperimentalFeatures::enabled() },
        required_limits: gpu.device().limits(),
        ..Default::default()
    };
    Ok((pollster::block_on(adapter.request_device(&descriptor))?.0, matrices))
}

fn compile(device: &Device, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // As in src/gpu/trusted.rs: the override makes wgpu translate the module where it leaves the checks out.
    let source = fs::read_to_string(path)? + "override TRANSLATE_LATE: u32 = 0u;\n";
    let scope = device.push_error_scope(ErrorFilter::Validation);
    let descriptor = ShaderModuleDescriptor { label: None, source: ShaderSource::Wgsl(source.into()) };
    // SAFETY: nothing of it ever runs.
    let module = unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) };
    let _ = device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    pollster::block_on(scope.pop()).map_or(Ok(()), |error| Err(error.into()))
}
