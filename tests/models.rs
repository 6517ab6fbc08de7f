//! Trained models that are not part of the repository: if their folder is beside it, these tests run; if not, they are
//! *ignored*, which libtest's attributes cannot tell at run time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use spp_wgpu::Weights;
use spp_wgpu::detection::{Detection, DetectionOptions, Head, Output, Placement, labels, ultraface_priors};

type Outcome = Result<(), Failed>;

type Test = (&'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    ("yolox_finds_the_cat_of_chelsea", yolox_finds_the_cat_of_chelsea),
    ("ultraface_finds_the_face_of_astronaut", ultraface_finds_the_face_of_astronaut),
    ("ultraface_finds_it_in_offsets_from_its_priors", ultraface_finds_it_in_offsets_from_its_priors),
    #[cfg(feature = "onnx")]
    ("they_compute_what_onnx_runtime_does", imported::they_compute_what_onnx_runtime_does),
    #[cfg(feature = "cli")]
    ("the_command_line_finds_them_in_pictures", command_line::finds_them_in_pictures),
];

fn main() -> ExitCode {
    let absent = !shared("models").is_dir();
    let trials = TESTS.iter().map(|&(name, run)| Trial::test(name, run).with_ignored_flag(absent)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn shared(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path)
}

/// What ONNX Runtime made of a model's input: dimensions and values of arrays by name.
fn truth(model: &str) -> Weights {
    Weights::open(shared(&format!("models/{model}.safetensors"))).unwrap()
}

/// Bytes of a picture, rows and columns.
fn picture(name: &str) -> (Vec<u8>, [u32; 2]) {
    let file = fs::File::open(shared(&format!("images/{name}.png"))).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (bytes, [info.height, info.width])
}

/// The objects found, as shares of the picture, and what the head was taken for. The picture, prepared as its head says,
/// is what the file holds, which was rounded to one of 256 steps after each axis.
fn found(model: &str, input: &str, outputs: &[&str], photo: &str) -> (Head, Vec<(Detection, [f32; 4])>) {
    let file = truth(model);
    let (dims, want) = file.tensor(&format!("in.{input}")).unwrap();
    let size = [dims[2], dims[3]];
    let arrays: Vec<_> = outputs.iter().map(|name| (*name, file.tensor(&format!("out.{name}")).unwrap())).collect();
    let outputs: Vec<Output> = arrays.iter().map(|(name, (dims, data))| Output { name, dims, data }).collect();
    let head = Head::find(&outputs, size).unwrap();
    let (rgb, pixels) = picture(photo);
    let (got, placement) = head.preparation().apply(&rgb, pixels, size).unwrap();
    let step = head.preparation().scale / head.preparation().std[0];
    let worst = got.data().iter().zip(&want).map(|(a, b)| (a - b).abs() / step).fold(0.0, f32::max);
    println!("{model}: prepared within {worst} steps");
    assert!(worst <= 1.0, "{model}: prepared otherwise by {worst} of 256 steps");
    let found = detected(&head, &outputs, size, placement);
    (head, found)
}

fn detected(head: &Head, outputs: &[Output], size: [u32; 2], placement: Placement) -> Vec<(Detection, [f32; 4])> {
    let options = DetectionOptions { score_threshold: 0.25, ..Default::default() };
    let images = head.detections(outputs, size, &options).unwrap();
    let [rows, columns] = placement.picture.map(|pixels| pixels as f32);
    let share = |found: Detection| {
        let [x0, y0, x1, y1] = placement.to_picture(found.corners);
        (found, [x0 / columns, y0 / rows, x1 / columns, y1 / rows])
    };
    images[0].iter().map(|&found| share(found)).collect()
}

fn yolox_finds_the_cat_of_chelsea() -> Outcome {
    let (head, found) = found("yolox_nano", "images", &["output"], "chelsea");
    assert_eq!(head, Head::YoloX { decoded: false });
    println!("{found:?}");
    let (cat, [x0, y0, x1, y1]) = found[0];
    assert_eq!((found.len(), labels::COCO[cat.class]), (1, "cat"));
    assert!((cat.score - 0.62).abs() < 0.01, "{cat:?}");
    // Its head fills most of the picture.
    assert!(x0 < 0.3 && y0 < 0.15 && x1 > 0.7 && y1 > 0.9, "{found:?}");
    Ok(())
}

const FACE: [f32; 4] = [0.351, 0.120, 0.523, 0.340];

#[track_caller]
fn assert_face(found: &[(Detection, [f32; 4])]) {
    println!("{found:?}");
    let [(face, corners)] = found else { panic!("{found:?}") };
    assert!(face.class == 0 && face.score > 0.99, "{face:?}");
    assert!(corners.iter().zip(FACE).all(|(a, b)| (a - b).abs() < 0.01), "{corners:?}");
}

fn ultraface_finds_the_face_of_astronaut() -> Outcome {
    let (head, found) = found("ultraface_rfb320", "input", &["scores", "boxes"], "astronaut");
    assert_eq!(head, Head::UltraFace { decoded: true });
    assert_face(&found);
    Ok(())
}

/// As the simplified model has them: what would be decoded to the boxes of the other.
fn ultraface_finds_it_in_offsets_from_its_priors() -> Outcome {
    let file = truth("ultraface_rfb320");
    let (scores_dims, scores) = file.tensor("out.scores").unwrap();
    let (dims, mut boxes) = file.tensor("out.boxes").unwrap();
    let size = [240, 320];
    for (corners, [cx, cy, w, h]) in boxes.as_chunks_mut::<4>().0.iter_mut().zip(ultraface_priors(size).unwrap()) {
        let [x0, y0, x1, y1] = *corners;
        let centre = [((x0 + x1) / 2.0 - cx) / w / 0.1, ((y0 + y1) / 2.0 - cy) / h / 0.1];
        *corners = [centre[0], centre[1], ((x1 - x0) / w).ln() / 0.2, ((y1 - y0) / h).ln() / 0.2];
    }
    let outputs = [
        Output { name: "scores", dims: &scores_dims, data: &scores },
        Output { name: "boxes", dims: &dims, data: &boxes },
    ];
    let head = Head::find(&outputs, size).unwrap();
    assert_eq!(head, Head::UltraFace { decoded: false });
    let placement = head.preparation().fit.place([512, 512], size).unwrap();
    assert_face(&detected(&head, &outputs, size, placement));
    Ok(())
}

#[cfg(feature = "onnx")]
mod imported {
    use spp_wgpu::onnx::{Model, Options};
    use spp_wgpu::{Gpu, GpuOptions, PlanOptions, Precision, Program, Tensor};

    use super::*;

    pub(super) fn they_compute_what_onnx_runtime_does() -> Outcome {
        let gpu = Gpu::new(&GpuOptions::default()).unwrap();
        // The last is the NMSE with tensors in f16. YOLOX-nano's is 7.2e-5 (llvmpipe 22.3.6), where sums behind depthwise
        // layers cancel: the nodes that stay in f32 are all those before the last few of its backbone.
        let kept = [41, 44, 47, 50, 53, 56, 59, 62, 67, 70, 73, 76, 79, 82, 85, 88, 92, 95, 98, 102, 105, 108];
        let kept = kept.map(|number| format!("Conv_{number}"));
        for (model, of, decode, kept, halved_nmse) in [
            ("ultraface_rfb320", "ultraface_rfb320", false, &[][..], 1e-5),
            ("ultraface_rfb320_simplified", "ultraface_rfb320", true, &[], 1e-5),
            ("yolox_nano", "yolox_nano", false, &kept, 1e-5),
            ("yolox_nano", "yolox_nano", false, &[], 1e-4),
        ] {
            let (file, truth) = (shared(&format!("models/{model}.onnx")), truth(of));
            let Model { graph, inputs, outputs, .. } = Model::load(file, &Options::default()).unwrap();
            let [port] = &inputs[..] else { panic!("{model}: {inputs:?}") };
            let (dims, values) = truth.tensor(&format!("in.{}", port.name)).unwrap();
            assert_eq!(port.dims, dims, "{model}");
            let x = [Tensor::new(graph.inputs().next().unwrap().1.shape, values).unwrap()];
            let plans = [(PlanOptions::default(), 1e-4, 1e-8), (PlanOptions::unfused(), 1e-4, 1e-8)];
            let halved = PlanOptions::default().precision(Precision::F16).keep_f32(kept.iter().cloned());
            for (options, max_relative, max_nmse) in plans.into_iter().chain([(halved, f64::INFINITY, halved_nmse)]) {
                let results = Program::with_options(&gpu, &graph, &options).unwrap().run(&x).unwrap();
                for (port, got) in outputs.iter().zip(results) {
                    let (dims, want) = truth.tensor(&format!("out.{}", port.name)).unwrap();
                    assert_eq!(port.dims, dims, "{model}, {}", port.name);
                    let mut got = got.into_data();
                    if decode && port.name == "boxes" {
                        decoded(&mut got);
                    }
                    let [relative, nmse] = errors(&got, &want);
                    println!("{model}, {}, {:?}: {relative:.1e}, nmse {nmse:.1e}", port.name, options.precision);
                    assert!(relative <= max_relative && nmse <= max_nmse, "{model}, {}", port.name);
                }
            }
        }
        Ok(())
    }

    /// Boxes as the model that is not simplified gives them: corners, from offsets to the priors.
    fn decoded(boxes: &mut [f32]) {
        let priors = ultraface_priors([240, 320]).unwrap();
        for (offsets, [cx, cy, w, h]) in boxes.as_chunks_mut::<4>().0.iter_mut().zip(priors) {
            let [x, y, across, along] = *offsets;
            let (x, y) = (cx + x * 0.1 * w, cy + y * 0.1 * h);
            let (w, h) = (w * (across * 0.2).exp() / 2.0, h * (along * 0.2).exp() / 2.0);
            *offsets = [x - w, y - h, x + w, y + h];
        }
    }

    /// The largest error as a share of the largest value, and the NMSE.
    fn errors(got: &[f32], want: &[f32]) -> [f64; 2] {
        assert_eq!(got.len(), want.len());
        let pairs = || got.iter().zip(want).map(|(&got, &want)| (f64::from(got), f64::from(want)));
        let worst = pairs().map(|(got, want)| (got - want).abs()).fold(0.0, f64::max);
        let largest = pairs().map(|(_, want)| want.abs()).fold(0.0, f64::max);
        let squares = |of: fn((f64, f64)) -> f64| pairs().map(|pair| of(pair).powi(2)).sum::<f64>();
        [worst / largest, squares(|(got, want)| got - want) / squares(|(_, want)| want)]
    }
}

#[cfg(feature = "cli")]
mod command_line {
    use std::process::Command;

    use serde_json::Value;

    use super::*;

    fn detect(arguments: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_spp")).arg("detect").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(super) fn finds_them_in_pictures() -> Outcome {
        let path = |path: &str| shared(path).to_str().unwrap().to_string();
        let (astronaut, chelsea) = (path("images/astronaut.png"), path("images/chelsea.png"));
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().to_str().unwrap();
        for (model, precision) in
            [("ultraface_rfb320", "f32"), ("ultraface_rfb320_simplified", "f32"), ("ultraface_rfb320", "f16")]
        {
            let file = path(&format!("models/{model}.onnx"));
            let found = detect(&[&file, &astronaut, "--json", "-o", to, "--force", "--precision", precision]);
            let [face] = &found[0]["objects"].as_array().unwrap()[..] else { panic!("{model}: {found}") };
            let corners: Vec<f64> = serde_json::from_value(face["box"].clone()).unwrap();
            assert!(corners.iter().zip(FACE).all(|(a, b)| (a - f64::from(b)).abs() < 0.01), "{model}: {found}");
            assert_eq!(face["label"], "face");
        }
        let found = detect(&[&path("models/yolox_nano.onnx"), &astronaut, &chelsea, "--json", "-o", to, "--force"]);
        let labels = |i: usize| found[i]["objects"].as_array().unwrap().iter().map(|object| &object["label"]).collect();
        let [astronauts, chelseas]: [Vec<&Value>; 2] = [labels(0), labels(1)];
        assert!(astronauts.contains(&&"person".into()) && chelseas == ["cat"], "{found}");

        // The cat's frame is painted along the left border, and nothing in the middle.
        let painted = fs::File::open(folder.path().join("chelsea.png")).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(painted)).read_info().unwrap();
        let mut after = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut after).unwrap();
        let (before, [rows, columns]) = picture("chelsea");
        let changed = |row: u32, column: u32| {
            let at = 3 * (row * columns + column) as usize;
            before[at..at + 3] != after[at..at + 3]
        };
        assert_eq!(before.len(), after.len());
        assert!((50..rows - 50).all(|row| changed(row, 0)) && !(50..rows - 50).any(|row| changed(row, columns / 2)));
        Ok(())
    }
}
