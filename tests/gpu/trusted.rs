//! What `src/gpu/trusted.rs` lets through: kernels without checks, and pipelines from a file.

use std::fs;
use std::path::Path;

use spp_wgpu::wgpu::Features;
use spp_wgpu::{Error, Gpu, GpuOptions, Plan, PlanOptions, Program, Shape, Tensor, reference};

use crate::graphs::sppf;
use crate::harness::{Data, GPU, random, wrong};

fn gpu(change: impl FnOnce(&mut GpuOptions)) -> Gpu {
    let mut options = GpuOptions::default();
    change(&mut options);
    Gpu::new(&options).unwrap()
}

fn keeping(folder: &Path) -> Gpu {
    gpu(|options| options.pipeline_cache = Some(folder.into()))
}

/// Runs a block that has convolutions, a cascade and both layouts.
fn runs(gpu: &Gpu) {
    let graph = sppf(Shape::new(2, 12, 8, 9), 9, true);
    let x = [random(graph.inputs().next().unwrap().1.shape, 1, Data::Uniform)];
    let want = reference::run_with_bounds(&graph, &x).unwrap();
    let check = |program: Program| {
        program.poison().unwrap();
        let got: Vec<Tensor> = program.run(&x).unwrap();
        assert_eq!(wrong(&graph, &got, &want), [""; 0]);
    };
    check(Program::new(gpu, &graph).unwrap());
    // The same sources with checks, on one device.
    check(Program::from_plan(gpu, Plan::new(&graph, gpu.profile(), &PlanOptions::default()).unwrap()).unwrap());
}

#[test]
fn kernels_compute_the_same_with_and_without_checks() {
    for checked in [false, true] {
        runs(&gpu(|options| options.checked = checked));
    }
}

#[test]
fn pipelines_are_kept_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("not/there/yet");
    let first = keeping(&inner);
    if !first.features().contains(Features::PIPELINE_CACHE) {
        assert!(!first.save_pipelines().unwrap() && !inner.exists());
        return;
    }
    runs(&first);
    assert!(first.save_pipelines().unwrap());
    let files: Vec<_> = fs::read_dir(&inner).unwrap().map(|file| file.unwrap()).collect();
    let name = files[0].file_name().into_string().unwrap();
    assert!(files.len() == 1 && name.starts_with("spp_wgpu_pipeline_cache_"), "{files:?}");
    let kept = fs::read(files[0].path()).unwrap();
    // Nothing is compiled here: what is saved again holds what was read, of which some drivers keep only a header.
    let second = keeping(&inner);
    assert!(second.save_pipelines().unwrap());
    let again = fs::read(files[0].path()).unwrap();
    println!("{} bytes are kept", kept.len());
    assert!(again.len() >= kept.len(), "{} bytes", again.len());
    runs(&second);
}

#[test]
fn damaged_and_foreign_files_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = keeping(folder.path());
    runs(&gpu);
    if !gpu.save_pipelines().unwrap() {
        return;
    }
    let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    let longer = [&whole[..], b"more"].concat();
    // What wgpu itself would take for a file of its own.
    let headless = whole[16..].to_vec();
    let long = vec![0x5a; 1 << 20];
    for file in [&whole[..whole.len() / 2], &whole[..9], &changed, &longer, &headless, &long, b""] {
        fs::write(&path, file).unwrap();
        let gpu = keeping(folder.path());
        runs(&gpu);
        assert!(gpu.save_pipelines().unwrap());
        assert_eq!(fs::read(&path).unwrap().len(), whole.len(), "after {} bytes", file.len());
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let gpu = keeping(&file);
    runs(&gpu);
    match gpu.save_pipelines() {
        Err(Error::File { path, .. }) => assert!(path.starts_with(&file)),
        other => assert!(!gpu.features().contains(Features::PIPELINE_CACHE), "{other:?}"),
    }
    assert_eq!(fs::read(&file).unwrap(), b"no folder");
}

#[test]
fn without_a_folder_nothing_is_kept() {
    assert!(!GPU.features().contains(Features::PIPELINE_CACHE));
    assert!(!GPU.save_pipelines().unwrap());
}
