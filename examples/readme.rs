//! The README's example: SPPF of YOLOv5l on the best GPU there is.
//!
//! `cargo run --example readme` gives it random weights, the same each time. Real ones come from PyTorch, by
//! `safetensors.torch.save_file(model.state_dict(), "yolov5l.safetensors")`; name that file as the argument.

use spp_wgpu::{Gpu, GpuOptions, Graph, Program, Shape, Tensor, Weights, blocks::Sppf};

fn main() -> spp_wgpu::Result<()> {
    let weights = match std::env::args_os().nth(1) {
        Some(path) => Weights::open(path)?,
        None => Weights::seeded(1),
    };
    // What to compute: no GPU is needed for it. Shapes and keys are checked here.
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 1024, 20, 20))?;
    let y = Sppf::new(1024, 1024).build(&mut graph, x, &weights.scope("model.9"))?;
    graph.output("y", y)?;

    // Plans, compiles the kernels and uploads the weights once; then it runs as often as you like.
    let gpu = Gpu::new(&GpuOptions::default())?;
    let program = Program::new(&gpu, &graph)?;
    let outputs = program.run(&[Tensor::filled(Shape::new(1, 1024, 20, 20), 0.5)?])?;
    println!("{} {:?}", outputs[0].shape(), &outputs[0].data()[..4]);
    Ok(())
}
