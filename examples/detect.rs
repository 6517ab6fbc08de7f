//! Finds objects in a picture with a detector from an ONNX file: of each its class, its score, and its box as left, top,
//! right and bottom in pixels of the picture.
//!
//! `cargo run --example detect -- yolox_nano.onnx cat.png`; the picture is a PNG of eight bits, in colours.

use std::env;
use std::fs::File;
use std::io::BufReader;

use spp_wgpu::detection::{DetectionOptions, Head, Known, Output, Preparation, labels};
use spp_wgpu::onnx::{Model, Options};
use spp_wgpu::{Gpu, GpuOptions, Program, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, file, picture] = &env::args().collect::<Vec<_>>()[..] else {
        return Err("needs an ONNX file and a PNG file".into());
    };
    let mut reader = png::Decoder::new(BufReader::new(File::open(picture)?)).read_info()?;
    let mut rgb = vec![0; reader.output_buffer_size().ok_or("the picture is too large")?];
    let info = reader.next_frame(&mut rgb)?;
    if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err("the picture must be RGB, of eight bits".into());
    }
    let size = [info.height, info.width];

    // Once: the graph, and the kernels for it.
    let model = Model::load(file, &Options::default())?;
    let inputs: Vec<&[u32]> = model.inputs.iter().map(|port| &port.dims[..]).collect();
    let &[&[1, 3, rows, columns]] = &inputs[..] else {
        return Err(format!("the inputs are {inputs:?}, not one picture").into());
    };
    let program = Program::new(&Gpu::new(&GpuOptions::default())?, &model.graph)?;

    // Which detector it is shows in its outputs, and with that how it wants its pictures. If that is not how the first was
    // prepared, it has to see the picture again; of more pictures, only the first.
    let names = model.metadata.get("names").and_then(|text| labels::noted(text));
    let known = Known { classes: names.as_ref().map(Vec::len), ..Known::default() };
    let usual = Preparation::default();
    let (input, mut placement) = usual.apply(&rgb, size, [rows, columns])?;
    let mut results = program.run(&[input])?;
    let head = Head::find_with(&outputs(&model, &results), [rows, columns], &known)?;
    if head.preparation() != usual {
        let input;
        (input, placement) = head.preparation().apply(&rgb, size, [rows, columns])?;
        results = program.run(&[input])?;
    }

    let options = DetectionOptions { score_threshold: 0.25, ..Default::default() };
    let outputs = outputs(&model, &results);
    let usual = head.labels(head.classes(&outputs, [rows, columns])?).unwrap_or_default();
    let names = names.unwrap_or_else(|| usual.iter().map(|name| name.to_string()).collect());
    for found in head.detections(&outputs, [rows, columns], &options)?.concat() {
        let name = names.get(found.class).map_or("?", String::as_str);
        let [x0, y0, x1, y1] = placement.to_picture(found.corners);
        println!("{name} {:.2} at {x0:.1} {y0:.1} {x1:.1} {y1:.1}", found.score);
    }
    Ok(())
}

fn outputs<'a>(model: &'a Model, results: &'a [Tensor]) -> Vec<Output<'a>> {
    let ports = model.outputs.iter().zip(results);
    ports.map(|(port, result)| Output { name: &port.name, dims: &port.dims, data: result.data() }).collect()
}
