//! The most that a device reaches. Measuring itself compares every kernel's results; here it is about whether the
//! numbers can be believed.

use std::fs;
use std::sync::LazyLock;

use serde_json::Value;
use spp_wgpu::bench::{measure_peaks, peak_plans, peaks};
use spp_wgpu::wgpu::Features;
use spp_wgpu::{Gpu, Program, Tensor};

use crate::harness::{Data, GPU, gpu_options, random};

/// A device that draws nothing: once a queue of Mesa's llvmpipe has done so, it tells the time when it is told to, not
/// when what came before is done.
static ALONE: LazyLock<Gpu> = LazyLock::new(|| Gpu::new(&gpu_options()).unwrap());

#[test]
fn every_limit_is_plausible() {
    let peaks = measure_peaks(&ALONE).unwrap();
    println!("{peaks:#?}");
    // From a tenth of a scalar processor's arithmetic to ten times that of today's largest devices.
    assert!((0.1..1e6).contains(&peaks.f32_gflops), "{peaks:?}");
    assert_eq!(peaks.f16_gflops.is_some(), GPU.features().contains(Features::SHADER_F16));
    let gflops = [peaks.f16_gflops, peaks.coop_gflops].into_iter().flatten();
    let rates = [peaks.copy_gbps, peaks.upload_gbps, peaks.download_gbps];
    let times = [peaks.dispatch_us, peaks.submit_us];
    assert!(gflops.chain(rates).chain(times).all(|value| value.is_finite() && value > 0.0), "{peaks:?}");
    // From 1 MB/s to 100 TB/s; a tenth of a nanosecond to a second.
    assert!(rates.iter().all(|rate| (1e-3..1e5).contains(rate)), "{peaks:?}");
    assert!(times.iter().all(|time| (1e-4..1e6).contains(time)), "{peaks:?}");
}

#[test]
fn the_kernels_do_their_work() {
    let [f32s, f16s, copy, count, ..] = peak_plans(GPU.profile());
    let run = |plan, inputs: &[Tensor]| {
        let program = Program::from_plan(&GPU, plan).unwrap();
        program.run(inputs).unwrap().remove(0)
    };
    // 32 chains from s = i % 8 on, 5 additions of 1 each: 32 s + 31 * 32 / 2 + 32 * 5.
    let sums = run(f32s, &[]);
    assert!(sums.data().iter().enumerate().all(|(i, &sum)| sum == (32 * (i % 8) + 656) as f32), "{:?}", sums.data());
    if GPU.features().contains(Features::SHADER_F16) {
        // 5 times v -> 3 - v: 32 * 3 less the sum of the starts.
        let sums = run(f16s, &[]);
        let want = |i: usize| 96.0 - (32 * (i % 8) + 496) as f32;
        assert!(sums.data().iter().enumerate().all(|(i, &sum)| sum == want(i)), "{:?}", sums.data());
    }
    let x = random(copy.inputs[0].shape, 1, Data::Uniform);
    assert_eq!(run(copy, std::slice::from_ref(&x)), x);
    assert_eq!(run(count, &[]).data(), [2.0]);
}

#[test]
fn peaks_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    peaks(&ALONE, Some(folder.path()), false).unwrap();
    let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    // No device is this slow, so the number can only have been read.
    kept["peaks"]["f32_gflops"] = 0.125.into();
    fs::write(&file, kept.to_string()).unwrap();
    assert_eq!(peaks(&ALONE, Some(folder.path()), false).unwrap().f32_gflops, 0.125);
}
