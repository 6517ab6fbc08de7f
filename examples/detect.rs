//! Finds objects in a picture with a detector from an ONNX file.
//!
//! `cargo run --example detect -- yolox_nano.onnx cat.png`; the picture is a PNG of eight bits, in colours.

use std::env;
use std::fs::File;
use std::io::BufReader;

use spp_wgpu::detection::{DetectionOptions, Head, Output, Preparation};
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
    let &[1, 3, rows, columns] = &model.inputs[0].dims[..] else {
        return Err(format!("the input is {:?}, not one picture", model.inputs[0].dims).into());
    };
    let program = Program::new(&Gpu::new(&GpuOptions::default())?, &model.graph)?;

    // Which detector it is shows in the outputs, and with that how it wants its pictures.
    let (input, _) = Preparation::default().apply(&rgb, size, [rows, columns])?;
    let head = Head::find(&outputs(&model, &program.run(&[input])?), [rows, columns])?;
    let (input, placement) = head.preparation().apply(&rgb, size, [rows, columns])?;
    let results = program.run(&[input])?;

    let options = DetectionOptions { score_threshold: 0.25, ..Default::default() };
    let outputs = outputs(&model, &results);
    let labels = head.labels(head.classes(&outputs, [rows, columns])?).unwrap_or_default();
    for found in head.detections(&outputs, [rows, columns], &options)?.concat() {
        let label = labels.get(found.class).unwrap_or(&"?");
        println!("{label} {:.2} at {:?}", found.score, placement.to_picture(found.corners));
    }
    Ok(())
}

fn outputs<'a>(model: &'a Model, results: &'a [Tensor]) -> Vec<Output<'a>> {
    let ports = model.outputs.iter().zip(results);
    ports.map(|(port, result)| Output { name: &port.name, dims: &port.dims, data: result.data() }).collect()
}
