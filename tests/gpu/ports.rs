//! Graph inputs and outputs in each form: what is rounded to `f16` and to bytes, and an app's own buffers of such.

use half::f16;
use spp_wgpu::ops::{Activation, Add, MaxPool};
use spp_wgpu::plan::{Element, Order, PortForm};
use spp_wgpu::reference::{self, Reference, compare};
use spp_wgpu::wgpu::util::{BufferInitDescriptor, DeviceExt};
use spp_wgpu::wgpu::{Buffer, BufferBinding, BufferUsages};
use spp_wgpu::{Graph, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::tensors;
use crate::harness::{
    CARD, Data, GPU, SHAPES, WITHOUT_F16, assert_same_bits, graph, halves, random, read, run, run_on,
};

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
            let (got, len) = (read::<u16>(output), want.data().len());
            assert_eq!(got[OFFSET / 2..][..len], bits(want.data()), "{shape}, '{name}'");
            let kept = got.iter().take(OFFSET / 2).chain(&got[OFFSET / 2 + len..]).all(|&half| half == AROUND);
            assert!(kept, "{shape}, '{name}': wrote beyond it");
        }
        assert!(want[0].data().iter().any(|&value| value != 0.0), "{shape}");
    }
}

/// Values that are whole, so that bytes have them.
fn whole(shape: Shape, seed: u64) -> Tensor {
    let mut x = random(shape, seed, Data::Uniform);
    x.data_mut().iter_mut().for_each(|value| *value = ((*value + 1.0) * 127.5).round());
    x
}

const FORMS: [PortForm; 6] = [
    PortForm::NCHW_F32,
    PortForm::NCHW_F16,
    PortForm::NCHW_U8,
    PortForm::NHWC_F32,
    PortForm::NHWC_F16,
    PortForm::NHWC_U8,
];

/// An input that is also an output, an input of two readers, one of rows, results that others read, and one that is an
/// output twice.
fn of_many_ports(shape: Shape) -> Graph {
    let mut graph = graph(shape, |graph, x| {
        let pool = graph.max_pool("pool", x, MaxPool::same(3)).unwrap();
        let cat = graph.concat("cat", &[x, pool]).unwrap();
        graph.output("pooled", pool).unwrap();
        graph.output("x again", x).unwrap();
        graph.output("side by side", cat).unwrap();
        graph.output("side by side again", cat).unwrap();
        graph.max_pool("wide", cat, MaxPool::same(5)).unwrap()
    });
    let rows = graph.input("rows", Shape { h: 1, ..shape }).unwrap();
    let both = graph.concat("both rows", &[rows, rows]).unwrap();
    graph.output("rows twice", both).unwrap();
    graph
}

fn in_form(graph: &Graph, form: PortForm, options: PlanOptions) -> PlanOptions {
    tensors(graph).into_iter().fold(options, |options, name| options.port(name, form))
}

#[test]
fn every_form_gives_the_same_values() {
    for shape in SHAPES.into_iter().chain(ODD) {
        let graph = of_many_ports(shape);
        let inputs = [whole(shape, 7), whole(Shape { h: 1, ..shape }, 8)];
        let want = spp_wgpu::reference::run(&graph, &inputs).unwrap();
        for form in FORMS {
            let options = [PlanOptions::default(), PlanOptions::unfused()];
            for options in options.into_iter().flat_map(|options| [options.clone().precision(Precision::F16), options])
            {
                let got = run(&graph, &inputs, &in_form(&graph, form, options));
                for ((got, want), (name, _)) in got.iter().zip(&want).zip(graph.outputs()) {
                    assert_same_bits(&format!("{shape}, {form:?}, '{name}'"), got, want);
                }
            }
        }
    }
}

/// What an app lends is neither read nor written beyond the values.
#[test]
fn an_apps_buffers_of_any_form_keep_what_is_around_them() {
    for shape in ODD.into_iter().chain([Shape::new(2, 8, 3, 5)]) {
        let graph = of_many_ports(shape);
        let inputs = [whole(shape, 7), whole(Shape { h: 1, ..shape }, 8)];
        let want = spp_wgpu::reference::run(&graph, &inputs).unwrap();
        for form in FORMS.into_iter().filter(|form| form.element == Element::U8 || form.order == Order::NhwcDense) {
            let program = Program::with_options(&GPU, &graph, &in_form(&graph, form, PlanOptions::default())).unwrap();
            let words = |tensor: &Tensor| -> Vec<u16> {
                let bytes = in_memory(form, tensor);
                bytemuck::pod_collect_to_vec(&[&bytes[..], &[0xab][..bytes.len() % 2]].concat())
            };
            let lend = |tensor: &Tensor, hide: bool| {
                let words = words(tensor);
                lent(&if hide { vec![AROUND; words.len()] } else { words })
            };
            let bound = inputs.each_ref().map(|input| lend(input, false));
            let outputs: Vec<Buffer> = want.iter().map(|want| lend(want, true)).collect();
            let at = |buffer| BufferBinding { buffer, offset: OFFSET as u64, size: None };
            let targets: Vec<BufferBinding> = outputs.iter().map(at).collect();
            let bindings = program.bind(&bound.each_ref().map(at), &targets).unwrap();
            let mut encoder = GPU.device().create_command_encoder(&Default::default());
            program.record(&mut encoder, &bindings).unwrap();
            GPU.queue().submit([encoder.finish()]);
            for ((output, want), (name, _)) in outputs.iter().zip(&want).zip(graph.outputs()) {
                let got: Vec<u8> = read(output);
                let want = in_memory(form, want);
                let case = format!("{shape}, {form:?}, '{name}'");
                assert_eq!(got[OFFSET..][..want.len()], want, "{case}");
                let around = AROUND.to_le_bytes()[0];
                let after = got[OFFSET + want.len()..].iter().enumerate();
                let mut beyond = after.filter(|(i, byte)| **byte != AROUND.to_le_bytes()[(want.len() + i) % 2]);
                assert!(beyond.next().is_none(), "{case}: wrote beyond it");
                assert!(got[..OFFSET].chunks(2).all(|word| word == AROUND.to_le_bytes()), "{case}: {around}");
            }
        }
    }
}

/// The values as a port of this form has them.
fn in_memory(PortForm { element, order }: PortForm, tensor: &Tensor) -> Vec<u8> {
    let Shape { n, c, h, w } = tensor.shape();
    let pixels = (h * w) as usize;
    let images = tensor.data().chunks(c as usize * pixels).take(n as usize);
    let ordered = images.flat_map(|image| match order {
        Order::Nchw => image.to_vec(),
        _ => (0..pixels).flat_map(|pixel| image[pixel..].iter().step_by(pixels).copied()).collect(),
    });
    match element {
        Element::F32 => ordered.flat_map(f32::to_le_bytes).collect(),
        Element::F16 => ordered.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        _ => ordered.map(|value| value as u8).collect(),
    }
}

#[test]
fn bytes_are_rounded_and_end_at_0_and_255() {
    let values = [0.5, 1.5, 2.501, -3.0, 254.5, 255.6, 1e9, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -f32::NAN];
    let want = [0.0, 2.0, 3.0, 0.0, 254.0, 255.0, 255.0, 0.0, 0.0, 255.0, 0.0];
    let shape = Shape::new(1, values.len() as u32, 1, 1);
    let graph = graph(shape, |graph, x| graph.max_pool("pool", x, MaxPool::same(1)).unwrap());
    for form in [PortForm::NCHW_U8, PortForm::NHWC_U8] {
        for precision in [Precision::F32, Precision::F16] {
            let mut options = PlanOptions::default().precision(precision);
            options.ports = Precision::F32;
            let got = run(&graph, &[Tensor::new(shape, values.to_vec()).unwrap()], &options.port("y", form));
            assert_eq!(got[0].data(), want, "{form:?}, {precision}");
        }
    }
}

/// Nothing is converted where kernels can read and write what is there.
#[test]
fn pixels_of_whole_vectors_are_bound_as_they_are() {
    for (channels, form, precision, conversions) in [
        (8, PortForm::NHWC_F32, Precision::F32, 0),
        (8, PortForm::NHWC_F16, Precision::F16, 0),
        (8, PortForm::NHWC_F16, Precision::F32, 2),
        (8, PortForm::NHWC_U8, Precision::F32, 2),
        (8, PortForm::NCHW_F32, Precision::F32, 2),
        (6, PortForm::NHWC_F32, Precision::F32, 2),
    ] {
        let shape = Shape::new(2, channels, 5, 7);
        let graph = crate::graphs::sppf(shape, 8, true);
        let options = in_form(&graph, form, PlanOptions::default().precision(precision));
        let x = whole(shape, 1);
        let want = reference::Reference { precision, ..Default::default() }
            .run_with_bounds(&graph, std::slice::from_ref(&x))
            .unwrap();
        for gpu in [&*GPU, &*CARD] {
            let program = Program::with_options(gpu, &graph, &options).unwrap();
            let plan = program.plan();
            assert_eq!((plan.dispatches(), plan.steps.len()), (3, 3 + conversions), "{channels} {form:?}\n{plan}");
            program.poison().unwrap();
            let got = program.run(std::slice::from_ref(&x)).unwrap();
            let got = got[0].data().iter().zip(&want[0].values).zip(&want[0].bound);
            let wrong = got.filter(|((got, want), bound)| match form.element {
                Element::U8 => (f64::from(**got) - want.clamp(0.0, 255.0)).abs() > 0.5 + **bound,
                Element::F16 => (f64::from(**got) - **want).abs() > want.abs() / 2048.0 + **bound,
                _ => (f64::from(**got) - **want).abs() > **bound,
            });
            assert_eq!(wrong.count(), 0, "{channels} {form:?}");
        }
    }
}

#[test]
fn forms_that_no_port_has_are_refused() {
    let graph = graph(ODD[0], |_, x| x);
    let refused = |options: &PlanOptions, expected: &str| {
        let error = Program::with_options(&GPU, &graph, options).unwrap_err();
        assert!(
            matches!(error, spp_wgpu::Error::InvalidData { .. }) && error.to_string().contains(expected),
            "{error}"
        );
    };
    refused(&PlanOptions::default().port("z", PortForm::NHWC_F32), "'z': no graph input or output has the name");
    let form = |element, order| PlanOptions::default().port("x", PortForm { element, order });
    refused(&form(Element::U32, Order::Nchw), "'x': u32 Nchw is for kernels");
    refused(&form(Element::F32, Order::Nhwc), "'x': f32 Nhwc is for kernels");
}
