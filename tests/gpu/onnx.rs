//! Models as exporters write them, against PyTorch's results in f64, against the reference, and against themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use spp_wgpu::onnx::{Model, Options, Value, values};
use spp_wgpu::reference::Reference;
use spp_wgpu::{PlanOptions, Precision, Shape, Tensor};

use crate::harness::{CARD, GPU, halves, run, run_on, wrong};

/// Most errors in f32, as a share of an output's largest value.
const MAX_RELATIVE: f64 = 1e-4;

/// The largest NMSE in f16 of each kind of model, twice the most that was measured on llvmpipe (Mesa 22.3.6), with passes
/// or without: boxes in pixels, which are computed in f32 from what f16 layers found; layers, attention and whole
/// classifiers; networks with gates of squeezed maps, whose errors every pixel shares.
const DECODED: f64 = 5e-8;
const LAYERS: f64 = 1.4e-6;
const GATED: f64 = 1.7e-6;

/// A model of `tests/data/models`.
struct Row {
    name: &'static str,
    /// The largest NMSE in f16.
    nmse: f64,
    /// Whether the file computes any number of images, not just the one it was exported with.
    any_batch: bool,
}

const fn row(name: &'static str, nmse: f64, any_batch: bool) -> Row {
    Row { name, nmse, any_batch }
}

const MODELS: [Row; 31] = [
    row("activations", LAYERS, true),
    row("anchor_head", DECODED, false),
    row("anchor_head_in_place", DECODED, false),
    row("attention", LAYERS, false),
    row("cspsppf", LAYERS, true),
    row("deeplab", GATED, true),
    row("densenet", LAYERS, true),
    row("distance_head", DECODED, true),
    row("distance_head_dynamo", DECODED, false),
    row("end_to_end_head", DECODED, false),
    row("focus", LAYERS, true),
    row("gate", LAYERS, true),
    row("lraspp", GATED, false),
    row("mobilenet", GATED, true),
    row("pooled_boxes", LAYERS, true),
    row("resnet", LAYERS, false),
    row("rfb", LAYERS, true),
    row("shufflenet", LAYERS, false),
    row("simcspsppf", LAYERS, true),
    row("simsppf", LAYERS, true),
    row("spelt", LAYERS, true),
    row("split_stage", LAYERS, true),
    row("split_stage_dynamo", LAYERS, true),
    row("spp", LAYERS, true),
    row("sppcspc", LAYERS, true),
    row("sppf", LAYERS, true),
    row("sppfcspc", LAYERS, true),
    row("squeezenet", LAYERS, true),
    row("swapped", LAYERS, true),
    row("token_attention", LAYERS, false),
    row("upscale", LAYERS, true),
];

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(file)
}

fn truth(name: &str) -> BTreeMap<String, Value> {
    values(path(&format!("{name}.safetensors"))).unwrap()
}

fn load(name: &str, options: &Options) -> Model {
    Model::load(path(&format!("{name}.onnx")), options).unwrap()
}

/// A model of the folder with its sizes, those that the file leaves open as those of the input.
fn model(name: &str) -> (Model, Vec<Tensor>) {
    let truth = truth(name);
    let inputs = truth.iter().filter_map(|(name, value)| Some((name.strip_prefix("in.")?.into(), value.dims.clone())));
    let model = load(name, &Options { inputs: inputs.collect(), ..Default::default() });
    let shapes = model.graph.inputs().map(|(_, node)| (format!("in.{}", node.name), node.shape));
    let inputs = shapes.map(|(name, shape)| Tensor::new(shape, truth[&name].elements.to_floats()).unwrap()).collect();
    (model, inputs)
}

/// The largest error as a share of the largest value, and `Σ (got - want)² / Σ want²`.
fn errors(got: &Tensor, want: &[f32]) -> [f64; 2] {
    assert_eq!(got.data().len(), want.len());
    let pairs = || got.data().iter().zip(want).map(|(&got, &want)| (f64::from(got), f64::from(want)));
    let worst = pairs().map(|(got, want)| (got - want).abs()).fold(0.0, f64::max);
    assert!(pairs().all(|(got, _)| got.is_finite()));
    let largest = pairs().map(|(_, want)| want.abs()).fold(0.0, f64::max);
    let squares = |of: fn((f64, f64)) -> f64| pairs().map(|pair| of(pair).powi(2)).sum::<f64>();
    [worst / largest, squares(|(got, want)| got - want) / squares(|(_, want)| want)]
}

/// What is wrong with outputs beside the truth of the file, where `allowed` says which errors are right.
fn beside_truth(name: &str, how: &str, model: &Model, got: &[Tensor], allowed: [f64; 2]) -> Vec<String> {
    let truth = truth(name);
    let mut faults = Vec::new();
    for (port, got) in model.outputs.iter().zip(got) {
        let want = &truth[&format!("out.{}", port.name)];
        if port.dims != want.dims {
            faults.push(format!("{name}, {how}: '{}' is {:?}, not {:?}", port.name, port.dims, want.dims));
            continue;
        }
        let [relative, nmse] = errors(got, &want.elements.to_floats());
        println!("{name}, {how}, '{}': {relative:.1e} of the largest value, nmse {nmse:.1e}", port.name);
        if relative > allowed[0] || nmse > allowed[1] {
            faults.push(format!("{name}, {how}: '{}' is off by {relative:.1e}, nmse {nmse:.1e}", port.name));
        }
    }
    faults
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_file_of_the_folder_is_among_the_models() {
    let files = std::fs::read_dir(path("")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| Some(file.strip_suffix(".onnx")?.to_string())).collect();
    names.sort();
    assert_eq!(names, MODELS.each_ref().map(|row| row.name.to_string()));
}

#[test]
fn they_compute_what_they_did_in_pytorch() {
    let mut faults = Vec::new();
    for Row { name, .. } in &MODELS {
        let (model, inputs) = model(name);
        assert_eq!(model.outputs.len(), truth(name).keys().filter(|name| name.starts_with("out.")).count());
        let want = Reference::default().run_with_bounds(&model.graph, &inputs).unwrap();
        for (how, gpu, options) in [
            ("planned", &*GPU, PlanOptions::default()),
            ("for a card", &*CARD, PlanOptions::default()),
            ("without passes", &*GPU, PlanOptions::unfused()),
        ] {
            let got = run_on(gpu, &model.graph, &inputs, &options);
            faults.extend(beside_truth(name, how, &model, &got, [MAX_RELATIVE, 1e-8]));
            faults.extend(wrong(&model.graph, &got, &want).into_iter().map(|wrong| format!("{name}, {how}: {wrong}")));
        }
    }
    assert_none(&faults);
}

#[test]
fn in_f16_they_are_as_near_as_their_values_can_be_stored() {
    let mut faults = Vec::new();
    for Row { name, nmse, .. } in &MODELS {
        let (model, inputs) = model(name);
        for (how, options) in [("in f16", PlanOptions::default()), ("in f16 without passes", PlanOptions::unfused())] {
            let got = run(&model.graph, &inputs, &options.precision(Precision::F16));
            faults.extend(beside_truth(name, how, &model, &got, [f64::INFINITY, *nmse]));
        }
    }
    assert_none(&faults);
}

#[test]
fn in_f16_they_keep_to_the_bounds_of_the_reference() {
    let mut faults = Vec::new();
    for Row { name, .. } in &MODELS {
        let (model, inputs) = model(name);
        let inputs: Vec<Tensor> = inputs.iter().map(halves).collect();
        let reference = Reference { precision: Precision::F16, ..Default::default() };
        let want = reference.run_with_bounds(&model.graph, &inputs).unwrap();
        let got = run(&model.graph, &inputs, &PlanOptions::default().precision(Precision::F16));
        faults.extend(wrong(&model.graph, &got, &want).into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    assert_none(&faults);
}

/// Twice as many images in one run give what they give in runs of their own.
#[test]
fn batches_are_images_side_by_side() {
    let mut faults = Vec::new();
    for Row { name, any_batch, .. } in &MODELS {
        let (single, inputs) = model(name);
        let sizes = single.inputs.iter().map(|port| {
            let dims = [2 * port.dims[0]].into_iter().chain(port.dims[1..].iter().copied()).collect();
            (port.name.clone(), dims)
        });
        let options = Options { inputs: sizes.collect(), ..Default::default() };
        let double = match Model::load(path(&format!("{name}.onnx")), &options) {
            Ok(double) if *any_batch => double,
            Ok(_) => {
                faults.push(format!("{name} takes two images"));
                continue;
            }
            Err(error) if *any_batch => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
            Err(_) => continue,
        };
        let [input] = &inputs[..] else { panic!("{name} has {} inputs", inputs.len()) };
        let mut other = input.clone();
        other.data_mut().reverse();
        let both = Tensor::new(
            Shape { n: 2 * input.shape().n, ..input.shape() },
            input.data().iter().chain(other.data()).copied().collect(),
        );
        let together = run(&double.graph, &[both.unwrap()], &PlanOptions::default());
        let apart =
            [input, &other].map(|input| run(&single.graph, std::slice::from_ref(input), &PlanOptions::default()));
        for (i, port) in double.outputs.iter().enumerate() {
            assert_eq!(port.dims[0], 2 * single.outputs[i].dims[0], "{name}");
            let want: Vec<f32> = apart.iter().flat_map(|outputs| outputs[i].data()).copied().collect();
            let [relative, _] = errors(&together[i], &want);
            if relative > 1e-5 {
                faults.push(format!("{name}, two images: '{}' is off by {relative:.1e}", port.name));
            }
        }
    }
    assert_none(&faults);
}
