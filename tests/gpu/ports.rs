//! What is rounded to `f16`, and an app's own buffers of such.

use half::f16;
use spp_wgpu::ops::{Activation, Add, MaxPool};
use spp_wgpu::reference::{Reference, compare};
use spp_wgpu::wgpu::util::{BufferInitDescriptor, DeviceExt, DownloadBuffer};
use spp_wgpu::wgpu::{Buffer, BufferBinding, BufferUsages};
use spp_wgpu::{Graph, PlanOptions, Precision, Program, Shape, Tensor};

use crate::harness::{Data, GPU, SHAPES, WITHOUT_F16, assert_same_bits, graph, halves, random, run, run_on};

/// Values of an even and an odd number, of images that begin in the middle of a word.
const ODD: [Shape; 5] = [
    Shape::new(1, 1, 3, 5),
    Shape::new(3, 3, 3, 3),
    Shape::new(1, 5, 1, 1),
    Shape::new(1, 7, 9, 11),
    Shape::new(2, 1, 7, 3),
];

/// What a kernel computes is rounded to the nearest, to the even one of two; from 65520 on that is infinity.
#[test]
fn results_are_rounded_as_ieee_754_says() {
    let tiny = 2f32.powi(-24);
    let sums = [
        ([65_504.0, 0.0], 65_504.0),
        ([65_504.0, 15.992_187_5], 65_504.0),
        ([65_504.0, 16.0], f32::INFINITY),
        ([-65_504.0, -15.992_187_5], -65_504.0),
        ([-65_504.0, -16.0], f32::NEG_INFINITY),
        ([65_504.0, 65_504.0], f32::INFINITY),
        ([2048.0, 1.0], 2048.0),
        ([2048.0, 3.0], 2052.0),
        ([2048.0, 1.001], 2050.0),
        ([1000.0 * tiny, tiny], 1001.0 * tiny),
    ];
    let shape = Shape::new(1, sums.len() as u32, 1, 1);
    let mut graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.input(name, shape).unwrap());
    let sum = graph.add("sum", a, b, Add { scale: 1.0, activation: Activation::None }).unwrap();
    graph.output("sum", sum).unwrap();
    let tensor = |values: Vec<f32>| Tensor::new(shape, values).unwrap();
    let operands = [0, 1].map(|i| tensor(sums.iter().map(|(operands, _)| operands[i]).collect()));
    let want = tensor(sums.iter().map(|(_, sum)| *sum).collect());
    for gpu in [Some(&*GPU), WITHOUT_F16.as_ref()].into_iter().flatten() {
        let got = run_on(gpu, &graph, &operands, &PlanOptions::default().precision(Precision::F16));
        assert_same_bits("sums", &got[0], &want);
        let half = Reference { precision: Precision::F16, ..Default::default() };
        let difference = compare(&got[0], &half.run_with_bounds(&graph, &operands).unwrap()[0]).unwrap();
        assert!(difference.passes() && difference.overflows == 3, "{difference}");
    }
}

/// Bytes before and after what an app lends, and what they hold.
const OFFSET: usize = 256;
const AROUND: u16 = 0xabcd;

/// The app's buffer, with these values from [`OFFSET`] on.
fn lent(values: &[u16]) -> Buffer {
    let around = [AROUND; OFFSET / 2];
    // Whole words.
    let contents = [&around, values, &around[values.len() % 2..]].concat();
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let contents = bytemuck::cast_slice(&contents);
    GPU.device().create_buffer_init(&BufferInitDescriptor { label: None, contents, usage })
}

fn read(buffer: &Buffer) -> Vec<u16> {
    let (sender, receiver) = std::sync::mpsc::channel();
    DownloadBuffer::read_buffer(GPU.device(), GPU.queue(), &buffer.slice(..), move |read| {
        sender.send(bytemuck::pod_collect_to_vec(&read.unwrap())).unwrap();
    });
    while !GPU.poll().unwrap() {}
    receiver.recv().unwrap()
}

/// What fills up the last word is neither read nor written.
#[test]
fn an_apps_f16_buffers_give_the_bits_of_f32_ports() {
    for shape in SHAPES.into_iter().chain(ODD) {
        let graph = graph(shape, |graph, x| {
            let pool = graph.max_pool("pool", x, MaxPool::same(3)).unwrap();
            graph.output("pooled", pool).unwrap();
            graph.output("x again", x).unwrap();
            graph.add("add", pool, x, Add { scale: 0.75, activation: Activation::Relu }).unwrap()
        });
        let x = halves(&random(shape, 7, Data::Uniform));
        let options = PlanOptions::default().precision(Precision::F16);
        let want = run(&graph, std::slice::from_ref(&x), &options);
        let program = Program::with_options(&GPU, &graph, &options.ports(Precision::F16)).unwrap();
        let bits = |values: &[f32]| values.iter().map(|&value| f16::from_f32(value).to_bits()).collect::<Vec<_>>();
        let input = lent(&bits(x.data()));
        let outputs: Vec<Buffer> = want.iter().map(|want| lent(&vec![AROUND; want.data().len()])).collect();
        let at = |buffer| BufferBinding { buffer, offset: OFFSET as u64, size: None };
        let bound: Vec<BufferBinding> = outputs.iter().map(at).collect();
        let bindings = program.bind(&[at(&input)], &bound).unwrap();
        let mut encoder = GPU.device().create_command_encoder(&Default::default());
        program.record(&mut encoder, &bindings).unwrap();
        GPU.queue().submit([encoder.finish()]);
        for ((output, want), (name, _)) in outputs.iter().zip(&want).zip(graph.outputs()) {
            let (got, len) = (read(output), want.data().len());
            assert_eq!(got[OFFSET / 2..][..len], bits(want.data()), "{shape}, '{name}'");
            let kept = got.iter().take(OFFSET / 2).chain(&got[OFFSET / 2 + len..]).all(|&half| half == AROUND);
            assert!(kept, "{shape}, '{name}': wrote beyond it");
        }
        assert!(want[0].data().iter().any(|&value| value != 0.0), "{shape}");
    }
}
