//! Every operation, first at shapes of networks, then in each form that the planner treats differently:
//! `cargo bench --bench ops [-- NAME PART…]`.

use std::process::ExitCode;

#[path = "../tests/graphs.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "tests use all of it, and may panic")]
mod graphs;

use spp_wgpu::bench::{COLUMNS, Row};
use spp_wgpu::ops::*;
use spp_wgpu::{Gpu, GpuOptions, Graph, NodeId, Result, Shape, Tensor, gpu};

/// Operation and network, input shape, and how it is built.
type Bench = (&'static str, [u32; 4], fn(&mut Graph, NodeId) -> Result<NodeId>);

const BENCHES: &[Bench] = &[
    ("add (RFBNet shortcut)", [1, 1024, 19, 19], |g, x| {
        g.add("y", x, x, Add { scale: 0.1, activation: Activation::Relu })
    }),
    ("affine_activation (YOLOv5l cv1)", [1, 512, 20, 20], |g, x| {
        g.affine_activation("y", x, AffineActivation::activation(512, Activation::Silu))
    }),
    ("concat (SPP-net, copied)", [1, 512, 20, 20], |g, x| g.concat("y", &[x, x])),
    ("conv 1x1 (YOLOv5l SPPF cv2)", [1, 2048, 20, 20], |g, x| g.conv("y", x, conv(1024, 2048, 1, 1)?)),
    ("conv 3x3 (YOLOv7 SPPCSPC cv3)", [1, 512, 20, 20], |g, x| g.conv("y", x, conv(512, 512, 3, 1)?)),
    ("conv 3x3 (VGG16 conv1_2)", [1, 64, 300, 300], |g, x| g.conv("y", x, conv(64, 64, 3, 1)?)),
    ("conv_direct 3x3 (two groups)", [1, 256, 38, 38], |g, x| {
        g.conv("y", x, Conv { groups: 2, ..conv(256, 128, 3, 1)? })
    }),
    ("conv_depthwise 3x3 (MobileNetV2)", [1, 96, 112, 112], |g, x| {
        g.conv("y", x, Conv { groups: 96, ..conv(96, 1, 3, 1)? })
    }),
    ("global_pool (DeepLab v3 image pooling)", [1, 2048, 33, 33], |g, x| {
        g.global_pool("y", x, GlobalPool { kind: GlobalPoolKind::Average })
    }),
    ("layout (RFBNet300 conf head)", [1, 126, 38, 38], |g, x| g.layout("y", x, Layout { width: 21 })),
    ("linear (SPP_NET fc2)", [1, 4096, 1, 1], |g, x| {
        let weight = Tensor::filled(Shape::new(1000, 4096, 1, 1), 0.01)?;
        g.linear("y", x, Linear { weight: weight.into(), bias: None, activation: Activation::Sigmoid })
    }),
    ("linear (YOLOX class scores, 8400 rows)", [8400, 64, 1, 1], |g, x| g.linear("y", x, linear(80, 64)?)),
    ("linear (transformer, 400 rows)", [400, 256, 1, 1], |g, x| g.linear("y", x, linear(512, 256)?)),
    ("matmul (YOLO11 attention: queries by keys)", [1, 4, 96, 400], |g, x| {
        let [head, plane, pixels] = [(4, 96 * 400), (32, 400), (400, 1)];
        let (a, b) = (strided(0, [head, pixels, plane]), strided(32 * 400, [head, plane, pixels]));
        g.matmul("y", x, x, Matmul { shape: Shape::new(4, 1, 400, 400), a, b })
    }),
    ("matmul (YOLO11 attention: values by scores)", [1, 4, 464, 400], |g, x| {
        let head = (4, 464 * 400);
        let (a, b) = (strided(0, [head, (64, 400), (400, 1)]), strided(64 * 400, [head, (400, 1), (400, 400)]));
        g.matmul("y", x, x, Matmul { shape: Shape::new(4, 1, 64, 400), a, b })
    }),
    ("max_pool 2x2 (VGG16 pool1)", [1, 64, 300, 300], |g, x| g.max_pool("y", x, MaxPool::new([2, 2]))),
    ("max_pool 5x5 (YOLOv5l SPPF)", [1, 512, 20, 20], |g, x| g.max_pool("y", x, MaxPool::same(5))),
    ("max_pool_cascade (YOLOv5l SPPF)", [1, 512, 20, 20], |g, x| {
        g.max_pool_cascade("y", x, MaxPoolCascade { kernel: 5, times: 3 })
    }),
    ("paint (DeepLab classes)", [1, 21, 65, 65], |g, x| g.paint("y", &[x], Paint::new(513, 513, Paints::classes(21)))),
    ("pyramid_pool (SPP-net)", [1, 512, 13, 13], |g, x| {
        g.pyramid_pool("y", x, PyramidPool { levels: vec![4, 2, 1], mode: PyramidMode::Padded })
    }),
    ("resize (DeepLab v3 scores)", [1, 21, 65, 65], |g, x| {
        g.resize("y", x, Resize { out_h: 513, out_w: 513, mode: ResizeMode::Bilinear })
    }),
    ("top_k (YOLOv10: 300 of 8400)", [1, 1, 1, 8400], |g, x| g.top_k("y", x, top_300(8400))),
    ("top_k (YOLOv10: 300 of 24000)", [1, 1, 1, 24000], |g, x| g.top_k("y", x, top_300(24000))),
    ("gather (YOLOv10 boxes)", [1, 1, 8400, 4], |g, x| {
        let scores = g.top_k(
            "indices",
            x,
            TopK { shape: Shape::new(1, 1, 1, 300), k: 300, len: 33600, inner: 1, largest: true },
        )?;
        let axes = |[row, value]: [i32; 2]| strided(0, [(1, 0), (300, row), (4, value)]);
        let op =
            Gather { shape: Shape::new(1, 1, 300, 4), x: axes([0, 1]), indices: axes([1, 0]), extent: 8400, stride: 4 };
        g.gather("y", x, scores, op)
    }),
    ("softmax (DeepLab scores)", [1, 21, 65, 65], |g, x| g.softmax("y", x, Softmax::new(SoftmaxAxis::Channels))),
];

fn linear(outputs: u32, features: u32) -> Result<Linear> {
    let weight = Tensor::filled(Shape::new(outputs, features, 1, 1), 0.01)?;
    Ok(Linear { weight: weight.into(), bias: None, activation: Activation::None })
}

/// A walk by the extent and stride of each axis.
fn strided(offset: u32, axes: [(u32, i32); 3]) -> Strided {
    Strided { offset, axes: axes.map(|(extent, stride)| Axis { extent, stride }).into() }
}

fn top_300(len: u32) -> TopK {
    TopK { shape: Shape::new(1, 1, 1, 300), k: 300, len, inner: 1, largest: true }
}

/// A convolution that keeps the extent.
fn conv(out_c: u32, in_c: u32, kernel: u32, dilation: u32) -> Result<Conv> {
    let pad = kernel / 2 * dilation;
    let weight = Tensor::filled(Shape::new(out_c, in_c, kernel, kernel), 0.01)?;
    Ok(Conv { padding: Padding::symmetric(pad, pad), dilation: [dilation; 2], ..Conv::new(weight) })
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    match run(&filters) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What all forms are given.
const MAP: Shape = Shape::new(1, 240, 40, 40);

fn run(filters: &[String]) -> Result<()> {
    let gpu = Gpu::new(&GpuOptions::default())?;
    println!("{}\n{}", gpu::describe(gpu.info()), COLUMNS.join("\t"));
    let named = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
    for (name, [n, c, h, w], build) in BENCHES.iter().filter(|(name, ..)| named(name)) {
        measure(&gpu, name, Shape::new(*n, *c, *h, *w), build)?;
    }
    let name = "texture (1280x720 to YOLO's 640x640)";
    if named(name) {
        let mut graph = Graph::new();
        let y = graph.texture_input("x", [720, 1280], Texels::Rgba8, Texture::letterbox(640, 640))?;
        graph.output("y", y)?;
        measured(&gpu, name, &graph, Shape::new(1, 4, 720, 1280))?;
    }
    for (form, build) in graphs::CONSUMERS {
        let name = format!("{form} (40x40x240)");
        if named(&name) {
            measure(&gpu, &name, MAP, |graph, x| Ok(build(graph, x)))?;
        }
    }
    Ok(())
}

fn measure(gpu: &Gpu, name: &str, shape: Shape, build: impl Fn(&mut Graph, NodeId) -> Result<NodeId>) -> Result<()> {
    let mut graph = Graph::new();
    let x = graph.input("x", shape)?;
    let y = build(&mut graph, x)?;
    graph.output("y", y)?;
    measured(gpu, name, &graph, shape)
}

fn measured(gpu: &Gpu, name: &str, graph: &Graph, shape: Shape) -> Result<()> {
    let (plan_options, options) = Default::default();
    let input = Tensor::filled(shape, 0.5)?;
    let row = Row::measure(gpu, name, graph, std::slice::from_ref(&input), &plan_options, &options, None)?;
    println!("{}", row.cells().join("\t"));
    Ok(())
}
