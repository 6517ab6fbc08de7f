//! Programs of other sizes, and again on another device: what they share, and that it makes no difference.

use std::collections::HashSet;
use std::path::Path;

use spp_wgpu::gpu::Usage;
use spp_wgpu::ops::{Conv, Paint, Paints, Texels, Texture};
use spp_wgpu::wgpu::PollType;
use spp_wgpu::{
    Case, DeviceClass, Error, Gpu, GpuOptions, Graph, Plan, PlanOptions, Precision, Program, Shape, Tensor, Weights,
    blocks,
};

use crate::graphs::painted;
use crate::harness::{CARD, Data, GPU, assert_same_bits, random};
use crate::texture::picture;

/// A device of its own, so that nobody else's programs are counted.
fn own() -> Gpu {
    Gpu::new(&GpuOptions::default()).unwrap()
}

fn sppf(weights: &Weights, shape: Shape) -> Graph {
    blocks::build("sppf", &serde_json::json!({"c1": 64, "c2": 48}), shape, &weights.scope("")).unwrap()
}

const X: Shape = Shape::new(1, 64, 12, 10);

/// By a plan of its own, whose weights are nobody else's.
fn alone(gpu: &Gpu, graph: &Graph, input: &Tensor, options: &PlanOptions) -> Vec<Tensor> {
    let plan = Plan::new(graph, gpu.profile(), options).unwrap();
    Program::from_plan(gpu, plan).unwrap().run(std::slice::from_ref(input)).unwrap()
}

/// One case of each block, resized there and back.
#[test]
fn a_resized_program_gives_the_bits_of_a_new_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut seen = HashSet::new();
    for (gpu, precision) in [(&*GPU, Precision::F32), (&*CARD, Precision::F16)] {
        let options = PlanOptions::default().precision(precision);
        for path in &paths {
            let mut case = Case::open(path).unwrap();
            if !seen.insert((case.block.clone(), precision == Precision::F32)) {
                continue;
            }
            let before = case.input.shape();
            let program = Program::with_options(gpu, &case.graph().unwrap(), &options).unwrap();
            let mut program = program.resized(&[Shape { n: 2, ..before }]).unwrap();
            let larger = Shape { h: before.h + 8, w: before.w + 4, ..before };
            for shape in [Shape { n: 3, ..before }, larger, before] {
                case.input = random(shape, 1, Data::Uniform);
                let Ok(graph) = case.graph() else {
                    // RFBNet's priors, which are not of the graph, are those of one size.
                    assert!(case.block == "rfbnet" || program.resized(&[shape]).is_err(), "{}", path.display());
                    continue;
                };
                program = program.resized(&[shape]).unwrap();
                program.poison().unwrap();
                let got = program.run(std::slice::from_ref(&case.input)).unwrap();
                let want = alone(gpu, &graph, &case.input, &options);
                for (got, want) in got.iter().zip(&want) {
                    assert_same_bits(&format!("{} at {shape}, {precision}", case.block), got, want);
                }
            }
        }
    }
    assert!(seen.len() >= 2 * 13, "{seen:?}");
}

/// A network that reads an app's frames and paints over them, for frames of other sizes.
#[test]
fn pictures_are_resized_to_the_bits_of_a_new_program() {
    let (texture, texels) = (Texture::letterbox(8, 8), Texels::Rgba8);
    let graph = |h, w| {
        let paint = Paint { opacity: 0.5, through: Some(texture), ..Paint::new(h, w, Paints::viridis([0.0, 1.0])) };
        painted([h, w], texels, texture, paint)
    };
    let mut program = Program::new(&GPU, &graph(9, 16)).unwrap();
    for [h, w] in [[12, 7], [31, 20], [9, 16]] {
        let shape = Shape::new(1, 4, h, w);
        program = program.resized(&[shape]).unwrap();
        program.poison().unwrap();
        let x = picture(shape, 1);
        let want = alone(&GPU, &graph(h, w), &x, &PlanOptions::default());
        assert_same_bits(&format!("{h}x{w}"), &program.run(&[x]).unwrap()[0], &want[0]);
    }
}

/// What was made between two looks.
fn made(before: Usage, after: Usage) -> [u64; 2] {
    [after.uploads - before.uploads, after.compiled - before.compiled]
}

#[test]
fn other_sizes_and_programs_upload_no_weights() {
    let gpu = own();
    let weights = Weights::seeded(1);
    let first = Program::new(&gpu, &sppf(&weights, X)).unwrap();
    let once = gpu.usage();
    assert!(once.constants >= 4 && once.uploads == once.constants && once.compiled > 0, "{once:?}");
    // The first of a size may need other kernels; on a GPU, these may want weights in another order.
    let sizes = [X, Shape { n: 2, ..X }, Shape { h: 33, w: 7, ..X }, Shape { n: 5, h: 3, ..X }];
    let kept: Vec<Program> = sizes.iter().map(|&shape| first.resized(&[shape]).unwrap()).collect();
    let all = gpu.usage();
    if gpu.profile().class == DeviceClass::Software {
        assert_eq!(made(once, all)[0], 0, "{all:?}");
    }
    for &shape in &sizes {
        first.resized(&[shape]).unwrap();
        Program::new(&gpu, &sppf(&weights, shape)).unwrap();
        Program::new(&gpu, &sppf(&weights.clone(), shape)).unwrap();
    }
    assert_eq!(made(all, gpu.usage()), [0, 0], "of one file");
    let other = Program::new(&gpu, &sppf(&Weights::seeded(2), X)).unwrap();
    assert!(made(all, gpu.usage())[0] > 0, "of another file");
    let rounded = PlanOptions::default().precision(Precision::F16);
    let before = gpu.usage();
    let rounded = Program::with_options(&gpu, &sppf(&weights, X), &rounded).unwrap();
    assert!(made(before, gpu.usage())[0] > 0, "in another precision");
    assert_eq!(gpu.usage().constants, gpu.usage().uploads, "all are alive");

    drop((kept, other, rounded));
    let Usage { constants, constant_bytes, .. } = gpu.usage();
    assert_eq!((constants, constant_bytes), (once.constants, once.constant_bytes), "those of the first");
    drop(first);
    assert_eq!(gpu.usage().constants, 0);
    Program::new(&gpu, &sppf(&weights, X)).unwrap();
    assert!(made(before, gpu.usage())[0] > 0, "nothing was there any more");
}

/// The block whose last weights lie apart by columns, one with a sum of scaled convolutions, and tables of bins.
#[test]
fn folded_split_and_scaled_weights_are_shared_too() {
    let gpu = own();
    let rows = [
        ("aspp_v3", serde_json::json!({"c1": 16, "c2": 8, "rates": [1, 2]}), [9, 8]),
        ("rfb", serde_json::json!({"c1": 32, "c2": 24, "scale": 0.1}), [9, 8]),
        ("sppnet", serde_json::json!({"ndf": 4, "hidden": 8, "classes": 5, "mode": "adaptive"}), [64, 48]),
        ("aspp", serde_json::json!({"c1": 512, "c2": 4, "rates": [1, 2]}), [9, 8]),
    ];
    for (block, args, [h, w]) in rows {
        let c = args["c1"].as_u64().unwrap_or(3);
        let weights = Weights::seeded(3);
        let build = |shape| blocks::build(block, &args, shape, &weights.scope("")).unwrap();
        let shape = Shape::new(1, c as u32, h, w);
        let first = Program::new(&gpu, &build(shape)).unwrap();
        let before = gpu.usage();
        let again = Program::new(&gpu, &build(shape)).unwrap();
        assert_eq!(made(before, gpu.usage()), [0, 0], "{block}, again");
        if gpu.profile().class == DeviceClass::Software {
            let large = first.resized(&[Shape { n: 2, h: h + 16, ..shape }]).unwrap();
            // Where bins or taps lie depends on the map's size: tables of a few bytes.
            let more = gpu.usage().constant_bytes - before.constant_bytes;
            assert!(more <= 4096, "{block}: {more} bytes for another size");
            drop(large);
        }
        drop((first, again));
    }
}

/// What is freed may give its place in memory to other weights.
#[test]
fn weights_that_come_and_go_are_never_taken_for_each_other() {
    let gpu = own();
    let shape = Shape::new(1, 1, 1, 2);
    let input = [Tensor::new(shape, vec![1.0, -2.0]).unwrap()];
    let mut alive: Vec<(Program, f32)> = Vec::new();
    for i in 0..200 {
        let value = i as f32;
        let weights = Weights::from_tensors([("c.weight".into(), vec![1, 1, 1, 1], vec![value])]).unwrap();
        let mut graph = Graph::new();
        let x = graph.input("x", shape).unwrap();
        let weight = if i % 2 == 0 {
            weights.scope("").conv_weight("c", Shape::new(1, 1, 1, 1)).unwrap()
        } else {
            Tensor::filled(Shape::new(1, 1, 1, 1), value).unwrap().into()
        };
        let y = graph.conv("y", x, Conv::new(weight)).unwrap();
        graph.output("y", y).unwrap();
        let program = Program::new(&gpu, &graph).unwrap();
        drop((graph, weights));
        alive.push((program.resized(&[shape]).unwrap(), value));
        if alive.len() > i % 5 {
            alive.remove(0);
        }
        for (program, value) in &alive {
            assert_eq!(program.run(&input).unwrap()[0].data(), [*value, -2.0 * value], "round {i}");
        }
    }
}

#[test]
fn memory_stays_flat_over_a_thousand_sizes() {
    let gpu = own();
    let program = Program::new(&gpu, &sppf(&Weights::seeded(4), X)).unwrap();
    let sizes = |i: u32| Shape { n: 1 + i % 3, h: 5 + i * 7 % 23, w: 4 + i * 5 % 19, ..X };
    let used = |gpu: &Gpu| {
        // Buffers go when the device is polled and their uploads are done.
        gpu.device().poll(PollType::wait_indefinitely()).unwrap();
        let held = gpu.device().generate_allocator_report().map_or(0, |report| report.total_allocated_bytes);
        let usage = gpu.usage();
        (usage.constants, usage.constant_bytes, held)
    };
    let all = |gpu: &Gpu| {
        (0..500).for_each(|i| {
            let resized = program.resized(&[sizes(i)]).unwrap();
            if i % 50 == 0 {
                resized.run(&[random(sizes(i), 1, Data::Uniform)]).unwrap();
            }
            drop(resized);
            gpu.poll().unwrap();
        });
        (used(gpu), gpu.usage())
    };
    let (first, before) = all(&gpu);
    let (second, after) = all(&gpu);
    assert_eq!(first, second);
    assert_eq!(made(before, after), [0, 0]);
}

#[test]
fn a_program_is_rebuilt_with_the_same_bits_after_its_device_is_lost() {
    let weights = Weights::seeded(5);
    let input = [random(X, 2, Data::Uniform)];
    let gpu = own();
    let program = Program::new(&gpu, &sppf(&weights, X)).unwrap();
    let want = program.run(&input).unwrap();
    // Nobody but the program has them.
    drop(weights);
    gpu.device().destroy();
    assert!(matches!(program.run(&input), Err(Error::DeviceLost(_))));
    assert!(matches!(program.resized(&[X]), Err(Error::DeviceLost(_))));
    let new = own();
    let rebuilt = program.rebuild(&new).unwrap();
    drop((program, gpu));
    let got = rebuilt.run(&input).unwrap();
    assert_same_bits("rebuilt", &got[0], &want[0]);
    let before = new.usage();
    let shape = Shape { n: 2, ..X };
    assert_eq!(rebuilt.resized(&[shape]).unwrap().run(&[random(shape, 1, Data::Uniform)]).unwrap()[0].shape().n, 2);
    if new.profile().class == DeviceClass::Software {
        assert_eq!(made(before, new.usage())[0], 0);
    }
}

#[test]
fn a_program_of_a_plan_says_that_it_has_no_graph() {
    let graph = sppf(&Weights::seeded(6), X);
    let plan = Plan::new(&graph, GPU.profile(), &PlanOptions::default()).unwrap();
    let program = Program::from_plan(&GPU, plan).unwrap();
    for error in [program.resized(&[X]).unwrap_err(), program.rebuild(&GPU).unwrap_err()] {
        assert!(error.to_string().contains("Program::with_options"), "{error}");
    }
}
