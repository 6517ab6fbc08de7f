//! A device's own limits, measured by kernels of ours that run as every other plan does, and whose results are checked:
//! a kernel that did not do its work has measured nothing.

use std::time::{Duration, Instant};

use wgpu::{BufferDescriptor, BufferUsages, Features};

use super::Peaks;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Program, Staging};
use crate::plan::{Buffer, BufferId, DeviceClass, DeviceProfile, Element, Order, Plan, Port, Role, Step};
use crate::tensor::{Precision, Shape, Tensor};

mod cache;
mod cooperative_matrix;
mod copy;
mod count;
mod multiply_add;

pub use cache::peaks;

use cooperative_matrix::CooperativeMatrix;
use multiply_add::MultiplyAdd;

/// Arithmetic is measured for at least this long.
const LEAST_MS: f64 = 20.0;
/// The best of this many counts.
const TRIES: usize = 8;
/// Copies of one buffer to another in one plan.
const COPIES: usize = 2;
/// Dispatches of a short and a long plan.
const DISPATCHES: [usize; 2] = [64, 1024];
/// Bytes of an upload or a download.
const TRANSFER: u64 = 64 << 20;

/// Measures what the device reaches, which takes seconds. Every kernel's results are compared with what they must be.
/// Cooperative matrices, experimental in wgpu, get a device of their own, and only a warning if they fail.
/// Errors: a result that differs, a lost device, a timeout, too little memory, a clock that stands still.
pub fn measure_peaks(gpu: &Gpu) -> Result<Peaks> {
    let half = gpu.features().contains(Features::SHADER_F16);
    let [upload_gbps, download_gbps] = transfer_gbps(gpu)?;
    let peaks = Peaks {
        f32_gflops: gflops(gpu, false)?,
        f16_gflops: if half { Some(gflops(gpu, true)?) } else { None },
        coop_gflops: coop_gflops(gpu).unwrap_or_else(|error| {
            log::warn!("cooperative matrices, which wgpu calls experimental, are left out: {error}");
            None
        }),
        copy_gbps: copy_gbps(gpu)?,
        upload_gbps,
        download_gbps,
        dispatch_us: dispatch_us(gpu)?,
        submit_us: submit_us(gpu)?,
    };
    if peaks.is_sound() { Ok(peaks) } else { Err(Error::Gpu(format!("the clock stands still: {peaks:?}"))) }
}

/// A small plan of each kind that [`measure_peaks`] runs, for tests to look at. The second needs `SHADER_F16`, the last
/// four `EXPERIMENTAL_COOPERATIVE_MATRIX`.
pub fn peak_plans(profile: &DeviceProfile) -> [Plan; 8] {
    let wg_size = 64;
    let work = MultiplyAdd { wg_size, invocations: 256, rounds: 1, half: false };
    let matrices = |size, half| CooperativeMatrix { size, half, rounds: 1, subgroups: 2, workgroups: 1 }.plan(profile);
    [
        work.plan(profile),
        MultiplyAdd { half: true, ..work }.plan(profile),
        copy::plan(profile, wg_size, 1 << 20, [Role::Input(0), Role::Output(0)], 1),
        count::plan(profile, 2),
        matrices(16, true),
        matrices(16, false),
        matrices(8, true),
        matrices(8, false),
    ]
}

/// Inputs and outputs are the buffers in that role. A plan without any gets an output that no step writes, because a
/// program without outputs does not run.
fn plan_of(profile: &DeviceProfile, steps: Vec<Step>, mut buffers: Vec<Buffer>) -> Plan {
    if !buffers.iter().any(|buffer| matches!(buffer.role, Role::Output(_))) {
        buffers.push(Buffer { label: "unwritten".into(), element: Element::F32, len: 1, role: Role::Output(0) });
    }
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for (i, Buffer { label, element, len, role }) in (0..).zip(&buffers) {
        let shape = Shape::new(1, 1, 1, *len as u32);
        let port = Port {
            name: label.clone(),
            shape,
            element: *element,
            order: Order::Nchw,
            texels: None,
            buffer: BufferId(i),
        };
        match role {
            Role::Input(_) => inputs.push(port),
            Role::Output(_) => outputs.push(port),
            Role::Constant(_) | Role::Scratch => {}
        }
    }
    let (profile, precision) = (profile.clone(), Precision::F32);
    Plan { steps, buffers, inputs, outputs, profile, precision, max_submission: Duration::MAX }
}

/// Workgroup sizes that are tried.
fn wg_sizes(profile: &DeviceProfile) -> &'static [u32] {
    if profile.class == DeviceClass::Software { &[8, 64, 256] } else { &[64, 256] }
}

fn gflops(gpu: &Gpu, half: bool) -> Result<f64> {
    // Several times what the largest devices hold at once.
    let invocations = if gpu.profile().class == DeviceClass::Software { 1 << 14 } else { 1 << 21 };
    let mut best: f64 = 0.0;
    for &wg_size in wg_sizes(gpu.profile()) {
        let rate = rate(multiply_add::MAX_ROUNDS, |rounds| {
            let work = MultiplyAdd { wg_size, invocations, rounds, half };
            let program = Program::from_own_plan(gpu, work.plan(gpu.profile()))?;
            work.check(output(&program.run::<Tensor>(&[])?))?;
            Ok((program, work.flops()))
        });
        best = best.max(rate?);
    }
    Ok(best)
}

/// `None` where the device has none that the kernel is written for.
fn coop_gflops(gpu: &Gpu) -> Result<Option<f64>> {
    let Some((gpu, offered)) = gpu.with_matrices()? else {
        return Ok(None);
    };
    let Some(work) = CooperativeMatrix::choose(&offered, gpu.info().subgroup_min_size) else {
        return Ok(None);
    };
    let needed = if work.half { Features::SUBGROUP | Features::SHADER_F16 } else { Features::SUBGROUP };
    if !gpu.features().contains(needed) {
        return Ok(None);
    }
    let rate = rate(cooperative_matrix::MAX_ROUNDS, |rounds| {
        let work = CooperativeMatrix { rounds, ..work };
        let program = Program::from_plan(&gpu, work.plan(gpu.profile()))?;
        let matrices = work.check(output(&program.run::<Tensor>(&[])?))?;
        Ok((program, work.flops(matrices)))
    });
    rate.map(Some)
}

/// 10⁹ FLOP per second over enough rounds to time. `build` gives a program whose results it has checked, and its FLOP.
fn rate(max_rounds: u32, build: impl Fn(u32) -> Result<(Program, u64)>) -> Result<f64> {
    let mut rounds = 4;
    loop {
        let (program, flops) = build(rounds)?;
        let ms = ms_of(&program)?;
        if ms >= LEAST_MS || rounds == max_rounds {
            return Ok(flops as f64 / least(|| ms_of(&program))? / 1e6);
        }
        rounds = rounds.saturating_mul((1.5 * LEAST_MS / ms).clamp(2.0, 16.0) as u32).min(max_rounds);
    }
}

fn copy_gbps(gpu: &Gpu) -> Result<f64> {
    let profile = gpu.profile();
    let wanted = if profile.class == DeviceClass::Software { 64 << 20 } else { 256 << 20 };
    let bytes = wanted.min(profile.max_binding).min(profile.max_buffer) / 16 * 16;
    let mut best: f64 = 0.0;
    for &wg_size in wg_sizes(profile) {
        check_copy(gpu, wg_size)?;
        let plan = copy::plan(profile, wg_size, bytes, [Role::Scratch, Role::Scratch], COPIES);
        let program = Program::from_own_plan(gpu, plan)?;
        program.run::<Tensor>(&[])?;
        let ms = least(|| ms_of(&program))?;
        best = best.max((2 * bytes * COPIES as u64) as f64 / ms / 1e6);
    }
    Ok(best)
}

fn check_copy(gpu: &Gpu, wg_size: u32) -> Result<()> {
    let values: Vec<f32> = (0..1 << 18).map(|i| i as f32).collect();
    let x = Tensor::new(Shape::new(1, 1, 1, values.len() as u32), values)?;
    let plan = copy::plan(
        gpu.profile(),
        wg_size,
        Element::F32.bytes_of(x.shape().len()),
        [Role::Input(0), Role::Output(0)],
        1,
    );
    let program = Program::from_own_plan(gpu, plan)?;
    if program.run(std::slice::from_ref(&x))?.first() == Some(&x) {
        return Ok(());
    }
    Err(Error::Gpu(format!("copy, in workgroups of {wg_size}: the copy differs")))
}

fn dispatch_us(gpu: &Gpu) -> Result<f64> {
    let mut times = [0.0; 2];
    for (time, dispatches) in times.iter_mut().zip(DISPATCHES) {
        let program = Program::from_own_plan(gpu, count::plan(gpu.profile(), dispatches))?;
        let counted = program.run::<Tensor>(&[])?;
        if output(&counted) != [dispatches as f32] {
            return Err(Error::Gpu(format!("{dispatches} dispatches counted to {:?}", output(&counted))));
        }
        *time = 1e3 * least(|| ms_of(&program))?;
    }
    let [short, long] = times;
    let [fewer, more] = DISPATCHES.map(|count| count as f64);
    // If the difference is only noise, the mean is an upper limit.
    let slope = (long - short) / (more - fewer);
    Ok(if slope > 0.0 { slope } else { long / more })
}

/// Up and down, as [`Program::run`] does it.
fn transfer_gbps(gpu: &Gpu) -> Result<[f64; 2]> {
    let bytes = TRANSFER.min(gpu.profile().max_buffer) / 4 * 4;
    let data: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    let descriptor = BufferDescriptor { label: Some("spp/peak"), size: bytes, usage, mapped_at_creation: false };
    let buffer = gpu.scoped(|device| device.create_buffer(&descriptor))?;
    let staging = Staging::new(gpu, bytes);
    let upload = || {
        let start = Instant::now();
        let submission = gpu.scoped(|_| {
            gpu.queue().write_buffer(&buffer, 0, &data);
            gpu.queue().submit([])
        })?;
        gpu.wait(submission)?;
        Ok(ms_since(start))
    };
    let download = || {
        let start = Instant::now();
        let target = staging.take(gpu)?;
        let (reading, submission) = gpu.scoped(|device| {
            let mut encoder = device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&buffer, 0, target.buffer(), 0, bytes);
            let reading = target.read(gpu, &encoder, |bytes| Ok(bytes.to_vec()));
            (reading, gpu.queue().submit([encoder.finish()]))
        })?;
        gpu.wait(submission)?;
        let got = pollster::block_on(reading)?;
        let ms = ms_since(start);
        if got == data { Ok(ms) } else { Err(Error::Gpu("what was downloaded is not what was uploaded".into())) }
    };
    let [up, down] = [least(upload)?, least(download)?];
    Ok([up, down].map(|ms| bytes as f64 / ms / 1e6))
}

fn submit_us(gpu: &Gpu) -> Result<f64> {
    let submit = || {
        let start = Instant::now();
        let submission = gpu.scoped(|device| {
            let encoder = device.create_command_encoder(&Default::default());
            gpu.queue().submit([encoder.finish()])
        })?;
        gpu.wait(submission)?;
        Ok(ms_since(start))
    };
    Ok(1e3 * least(submit)?)
}

/// The values of a plan's only output.
fn output(outputs: &[Tensor]) -> &[f32] {
    outputs.first().map_or(&[], |tensor| tensor.data())
}

/// The device's time, or the host's if the device has no clock.
fn ms_of(program: &Program) -> Result<f64> {
    if let Some(time) = program.gpu_time()? {
        return Ok(time.as_secs_f64() * 1e3);
    }
    let start = Instant::now();
    program.run::<Tensor>(&[])?;
    Ok(ms_since(start))
}

fn least(mut time: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(time()?);
    }
    Ok(least)
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
