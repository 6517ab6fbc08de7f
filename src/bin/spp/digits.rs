//! The demo's network and images: SPP_NET, trained on handwritten digits, and 297 of them that it has not seen.

use std::slice;
use std::time::{Duration, Instant};

use spp_wgpu::blocks::SppNet;
use spp_wgpu::ops::{PyramidMode, Resize, ResizeMode};
use spp_wgpu::weights::Weights;
use spp_wgpu::{Error, Graph, Op, Program, Shape, Tensor, reference};

use crate::device::Device;

/// Height and width of the images that PyTorch's scores are given for.
pub(crate) const SIZES: [[u32; 2]; 5] = [[16, 16], [24, 24], [20, 40], [48, 28], [64, 64]];

const CLASSES: usize = 10;

/// How long to look for the fastest run.
const ENOUGH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Digits {
    net: Weights,
    test: Weights,
    /// `[297, 1, 8, 8]`, ink is 1.
    pub(crate) images: Tensor,
    /// What each image shows.
    pub(crate) labels: Vec<usize>,
}

/// How the network did on all images at one size.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) size: [u32; 2],
    /// What the network takes each image for.
    pub(crate) digits: Vec<usize>,
    /// How many of the digits are right.
    pub(crate) right: usize,
    /// How many of PyTorch's are.
    pub(crate) right_in_pytorch: usize,
    /// The largest difference from PyTorch's scores.
    pub(crate) max_difference: f32,
    /// Length of the vector between pyramid and linear layers.
    pub(crate) vector: u32,
    pub(crate) images_per_s: f64,
}

impl Digits {
    pub(crate) fn open() -> Result<Self, Error> {
        let open = |bytes: &[u8]| Weights::from_bytes(bytes.to_vec());
        let net = open(include_bytes!("../../../assets/digits/sppnet_digits.safetensors"))?;
        let test = open(include_bytes!("../../../assets/digits/digits_test.safetensors"))?;
        let (_, images) = test.tensor("images")?;
        let (_, labels) = test.tensor("labels")?;
        let images = Tensor::new(Shape::new(labels.len() as u32, 1, 8, 8), images)?;
        Ok(Self { net, test, images, labels: labels.iter().map(|&label| label as usize).collect() })
    }

    /// Resizes all images, classifies them, and compares with PyTorch. The resizing is part of the graph.
    pub(crate) fn read(&self, device: &Device, size: [u32; 2]) -> Result<Reading, Error> {
        let graph = self.graph(size)?;
        let inputs = slice::from_ref(&self.images);
        let (outputs, seconds) = match device {
            Device::Gpu(gpu) => {
                let program = Program::new(gpu, &graph)?;
                program.poison()?;
                let outputs = program.run(inputs)?;
                (outputs, fastest(|| program.run(inputs))?)
            }
            Device::Reference => {
                let start = Instant::now();
                let outputs = reference::run(&graph, inputs)?;
                (outputs, start.elapsed().as_secs_f64())
            }
        };
        let scores = outputs.first().expect("the graph has an output").data();
        let (_, pytorch) = self.test.tensor(&format!("scores.{}x{}", size[0], size[1]))?;
        let digits = self.digits(scores);
        // `f32::max` would skip NaN.
        let differences = scores.iter().zip(&pytorch).map(|(a, b)| (a - b).abs());
        let max_difference = differences.fold(0.0, |max: f32, d| if d > max || d.is_nan() { d } else { max });
        let pyramid = graph.nodes().iter().find(|node| matches!(node.op, Op::PyramidPool(_)));
        Ok(Reading {
            size,
            right: self.right(&digits),
            right_in_pytorch: self.right(&self.digits(&pytorch)),
            digits,
            max_difference,
            vector: pyramid.expect("SPP_NET has a pyramid").shape.c,
            images_per_s: self.labels.len() as f64 / seconds,
        })
    }

    fn graph(&self, [out_h, out_w]: [u32; 2]) -> Result<Graph, Error> {
        let net = SppNet { ndf: 8, hidden: 64, classes: CLASSES as u32, mode: PyramidMode::Adaptive, ..SppNet::new(1) };
        let mut graph = Graph::new();
        let x = graph.input("images", self.images.shape())?;
        let x = graph.resize("resize", x, Resize { out_h, out_w, mode: ResizeMode::Bilinear })?;
        let y = net.build(&mut graph, x, &self.net.scope(""))?;
        graph.output("scores", y)?;
        Ok(graph)
    }

    /// The digit with the highest score for each image.
    fn digits(&self, scores: &[f32]) -> Vec<usize> {
        let highest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        scores.chunks(CLASSES).map(|row| highest(row).expect("no chunk is empty")).collect()
    }

    fn right(&self, digits: &[usize]) -> usize {
        digits.iter().zip(&self.labels).filter(|(digit, label)| digit == label).count()
    }

    /// The first images side by side in half blocks, and below each what the network reads.
    pub(crate) fn drawn(&self, count: usize, reading: &Reading) -> Result<Vec<String>, Error> {
        let mut lines = vec![String::new(); SIDE / 2 + 1];
        for (image, (digit, label)) in
            self.images.data().chunks(64).zip(reading.digits.iter().zip(&self.labels)).take(count)
        {
            let pixels = enlarged(image)?;
            for (line, rows) in lines.iter_mut().zip(pixels.chunks(2 * SIDE)) {
                let (upper, lower) = rows.split_at(SIDE);
                let blocks = upper.iter().zip(lower).map(|(&upper, &lower)| match (upper > INK, lower > INK) {
                    (false, false) => ' ',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (true, true) => '█',
                });
                line.extend(blocks.chain([' ']));
            }
            let text = if digit == label { format!("{digit}") } else { format!("{digit}, is {label}") };
            lines[SIDE / 2] += &format!("{text:^SIDE$} ");
        }
        Ok(lines)
    }
}

/// Pixels along each side of a drawn digit, and how dark they must be.
const SIDE: usize = 12;
const INK: f32 = 0.4;

fn enlarged(image: &[f32]) -> Result<Vec<f32>, Error> {
    let side = SIDE as u32;
    let mut graph = Graph::new();
    let x = graph.input("image", Shape::new(1, 1, 8, 8))?;
    let y = graph.resize("resize", x, Resize { out_h: side, out_w: side, mode: ResizeMode::Bilinear })?;
    graph.output("enlarged", y)?;
    let results = reference::run(&graph, &[Tensor::new(Shape::new(1, 1, 8, 8), image.to_vec())?])?;
    Ok(results.into_iter().flat_map(Tensor::into_data).collect())
}

/// Seconds of the fastest of up to five runs.
fn fastest<T>(mut run: impl FnMut() -> Result<T, Error>) -> Result<f64, Error> {
    let (begin, mut fastest) = (Instant::now(), f64::INFINITY);
    for _ in 0..5 {
        let start = Instant::now();
        run()?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
        if begin.elapsed() > ENOUGH {
            break;
        }
    }
    Ok(fastest)
}
