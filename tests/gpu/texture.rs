//! Pictures in textures, of every kind and size, as the network sees them.

use half::f16;
use spp_wgpu::ops::{ColorOrder, Fit, Paint, Paints, Rect, Texels, Texture, Yuv, YuvMatrix};
use spp_wgpu::reference::{self, Reference, compare};
use spp_wgpu::wgpu::{
    self, Extent3d, TextureDescriptor, TextureDimension, TextureFormat, TextureUsages, util::DeviceExt,
    util::TextureDataOrder,
};
use spp_wgpu::{Bound, Error, Graph, PlanOptions, Precision, Program, Shape, Tensor};

use crate::fuzz::{self, Outcome};
use crate::graphs::{painted, same_conv};
use crate::harness::{CARD, Data, GPU, assert_same_bits, check, random, read};

/// Values of bytes over 255, as textures have them.
pub(crate) fn picture(shape: Shape, seed: u64) -> Tensor {
    let mut x = random(shape, seed, Data::Uniform);
    x.data_mut().iter_mut().for_each(|value| *value = ((*value + 1.0) * 127.5).round() / 255.0);
    x
}

fn seen(texels: Texels, [n, h, w]: [u32; 3], texture: Texture) -> Graph {
    let mut graph = Graph::new();
    let x = graph.picture("x", Shape::new(n, texels.channels(), h, w), texels).unwrap();
    let y = graph.texture("y", &[x], texture).unwrap();
    graph.output("y", y).unwrap();
    graph
}

fn nv12([n, h, w]: [u32; 3], texture: Texture) -> Graph {
    let mut graph = Graph::new();
    let y = graph.picture("x.y", Shape::new(n, 1, h, w), Texels::R8).unwrap();
    let uv = graph.picture("x.uv", Shape::new(n, 2, h.div_ceil(2), w.div_ceil(2)), Texels::Rg8).unwrap();
    let y = graph.texture("y", &[y, uv], texture).unwrap();
    graph.output("y", y).unwrap();
    graph
}

const SIZES: [[u32; 3]; 6] = [[1, 1, 1], [2, 3, 7], [1, 9, 2], [3, 1, 6], [1, 16, 16], [1, 13, 21]];

/// Stretched, letterboxed, cropped; up and down; in both orders; scaled.
fn ways(h: u32, w: u32) -> Vec<Texture> {
    let scaled = Texture { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], ..Texture::stretch(5, 9) };
    let bytes = Texture { order: ColorOrder::Bgr, std: [1.0 / 255.0; 3], ..Texture::stretch(1, 1) };
    let odd = Texture { fit: Fit::Letterbox { fill: 0.75 }, order: ColorOrder::Bgr, ..Texture::stretch(11, 8) };
    let crop = Rect { top: h / 3, left: w / 2, h: h - h / 3 - h / 4, w: w.div_ceil(2) };
    let cropped = [Texture::stretch(6, 6), Texture::letterbox(7, 10)].map(|of| Texture { crop: Some(crop), ..of });
    [scaled, bytes, odd, Texture::stretch(h, w), Texture::letterbox(8, 8)].into_iter().chain(cropped).collect()
}

#[test]
fn pictures_are_seen_as_by_the_reference() {
    for [n, h, w] in SIZES {
        for texture in ways(h, w) {
            let x = picture(Shape::new(n, 4, h, w), 3);
            for texels in [Texels::Rgba8, Texels::Rgba8Srgb, Texels::Rgba16Float] {
                let halves = x.data().iter().map(|&value| f16::from_f32(value).to_f32()).collect();
                let mut halves = Tensor::new(x.shape(), halves).unwrap();
                let rare = [f32::INFINITY, f32::NAN, f32::NEG_INFINITY];
                halves.data_mut().iter_mut().rev().step_by(31).zip(rare).for_each(|(value, rare)| *value = rare);
                let x = if texels == Texels::Rgba16Float { &halves } else { &x };
                check_exactly(
                    &format!("{texels} {n}x{h}x{w} {texture:?}"),
                    &seen(texels, [n, h, w], texture),
                    std::slice::from_ref(x),
                );
            }
        }
    }
}

#[test]
fn planes_of_nv12_are_seen_as_by_the_reference() {
    for [n, h, w] in SIZES {
        for texture in ways(h, w) {
            for matrix in [YuvMatrix::Bt601, YuvMatrix::Bt709] {
                for full_range in [false, true] {
                    let texture = Texture { yuv: Yuv { matrix, full_range }, ..texture };
                    let y = picture(Shape::new(n, 1, h, w), 3);
                    let uv = picture(Shape::new(n, 2, h.div_ceil(2), w.div_ceil(2)), 4);
                    check_exactly(&format!("{n}x{h}x{w} {texture:?}"), &nv12([n, h, w], texture), &[y, uv]);
                }
            }
        }
    }
}

/// As [`check`], of pictures that textures have as they are: the harness rounds inputs to `f16`, which these do not
/// hold.
fn check_exactly(case: &str, graph: &Graph, inputs: &[Tensor]) {
    for precision in [Precision::F32, Precision::F16] {
        let want = Reference { precision, ..Default::default() }.run_with_bounds(graph, inputs).unwrap();
        let gpus = [Some(&*GPU), crate::harness::WITHOUT_F16.as_ref()];
        for gpu in gpus.into_iter().flatten() {
            let program = Program::with_options(gpu, graph, &PlanOptions::default().precision(precision)).unwrap();
            program.poison().unwrap();
            let got = program.run(inputs).unwrap();
            for (got, want) in got.iter().zip(&want) {
                let difference = compare(got, want).unwrap();
                assert!(difference.passes(), "{case}, {precision}: {difference}");
            }
        }
    }
}

/// The network reads what one dispatch makes, as it makes it.
#[test]
fn nothing_is_converted_behind_a_texture() {
    let mut graph = Graph::new();
    let x = graph.texture_input("frame", [12, 20], Texels::Rgba8, Texture::letterbox(16, 16)).unwrap();
    let y = graph.conv("y", x, same_conv(8, 3, 3)).unwrap();
    graph.output("y", y).unwrap();
    let program = Program::new(&GPU, &graph).unwrap();
    let stems: Vec<&str> = program.plan().steps.iter().map(|step| step.shader.stem).collect();
    assert_eq!((stems[0], stems[2], stems.len()), ("texture", "layout", 3), "{}", program.plan());
    assert!(stems[1].starts_with("conv"), "{stems:?}");
    check("a network behind a texture", &graph, &[Tensor::filled(Shape::new(1, 4, 12, 20), 1.0).unwrap()]);
}

/// A texture of the app's, with these bytes in its format's order.
fn lent(format: TextureFormat, [n, h, w]: [u32; 3], usage: TextureUsages, bytes: &[u8]) -> wgpu::Texture {
    let descriptor = TextureDescriptor {
        label: None,
        size: Extent3d { width: w, height: h, depth_or_array_layers: n },
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    };
    GPU.device().create_texture_with_data(GPU.queue(), &descriptor, TextureDataOrder::LayerMajor, bytes)
}

/// What a program makes of the app's textures, bound to it.
fn recorded(program: &Program, textures: &[&wgpu::Texture]) -> Vec<f32> {
    let size = program.plan().outputs[0].bytes();
    let buffer = |usage| {
        GPU.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let output = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let bindings = program.bind(textures, &[&output]).unwrap();
    let mut encoder = GPU.device().create_command_encoder(&Default::default());
    program.record(&mut encoder, &bindings).unwrap();
    GPU.queue().submit([encoder.finish()]);
    read(&output)
}

/// The same bytes give the same values in each of an app's formats.
#[test]
fn an_apps_textures_of_any_format_give_the_same_values() {
    let [n, h, w] = [2, 5, 7];
    let (texture, x) = (Texture::letterbox(6, 9), picture(Shape::new(n, 4, h, w), 7));
    let pixels = (h * w) as usize;
    let bytes = |order: [usize; 4]| -> Vec<u8> {
        let image = |image: &[f32]| -> Vec<u8> {
            (0..pixels).flat_map(|pixel| order.map(|c| (image[c * pixels + pixel] * 255.0).round() as u8)).collect()
        };
        x.data().chunks(4 * pixels).flat_map(image).collect()
    };
    let (rgba, bgra) = (bytes([0, 1, 2, 3]), bytes([2, 1, 0, 3]));
    let usage = TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST;
    let want = Program::new(&GPU, &seen(Texels::Rgba8, [n, h, w], texture)).unwrap().run(&[x]).unwrap();
    for (texels, format, bytes) in [
        (Texels::Rgba8, TextureFormat::Rgba8Unorm, &rgba),
        (Texels::Rgba8, TextureFormat::Bgra8Unorm, &bgra),
        (Texels::Rgba8Srgb, TextureFormat::Rgba8UnormSrgb, &rgba),
        (Texels::Rgba8Srgb, TextureFormat::Bgra8UnormSrgb, &bgra),
    ] {
        let program = Program::new(&GPU, &seen(texels, [n, h, w], texture)).unwrap();
        let got = recorded(&program, &[&lent(format, [n, h, w], usage, bytes)]);
        let got = Tensor::new(want[0].shape(), got).unwrap();
        if texels == Texels::Rgba8 {
            assert_same_bits(&format!("{format:?}"), &got, &want[0]);
        }
        // Drivers multiply bytes by 1/255, or divide by 255.
        let near =
            got.data().iter().zip(want[0].data()).all(|(got, want)| (got - want).abs() <= 2.0 * f32::EPSILON * want);
        assert!(near, "{format:?}");
    }
}

#[test]
fn an_apps_planes_are_bound_as_any_textures() {
    let [n, h, w] = [1, 6, 9];
    let (y, uv) = (picture(Shape::new(n, 1, h, w), 1), picture(Shape::new(n, 2, 3, 5), 2));
    let byte = |value: &f32| (value * 255.0).round() as u8;
    let luma: Vec<u8> = y.data().iter().map(byte).collect();
    let (u, v) = uv.data().split_at(15);
    let chroma: Vec<u8> = u.iter().zip(v).flat_map(|(u, v)| [byte(u), byte(v)]).collect();
    let program = Program::new(&GPU, &nv12([n, h, w], Texture::stretch(8, 4))).unwrap();
    let want = program.run(&[y, uv]).unwrap();
    let usage = TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST;
    let luma = lent(TextureFormat::R8Unorm, [n, h, w], usage, &luma);
    let chroma = lent(TextureFormat::Rg8Unorm, [n, 3, 5], usage, &chroma);
    let got = recorded(&program, &[&luma, &chroma]);
    assert_same_bits("planes", &Tensor::new(want[0].shape(), got).unwrap(), &want[0]);
}

#[test]
fn textures_that_do_not_fit_are_refused() {
    let program = Program::new(&GPU, &seen(Texels::Rgba8, [1, 5, 7], Texture::stretch(4, 4))).unwrap();
    let make = |format, [n, h, w]: [u32; 3], usage, samples, dimension, mips| {
        GPU.device().create_texture(&TextureDescriptor {
            label: None,
            size: Extent3d { width: w, height: h, depth_or_array_layers: n },
            mip_level_count: mips,
            sample_count: samples,
            dimension,
            format,
            usage,
            view_formats: &[],
        })
    };
    let (binding, drawn) = (TextureUsages::TEXTURE_BINDING, TextureUsages::RENDER_ATTACHMENT);
    let rgba = TextureFormat::Rgba8Unorm;
    let flat = TextureDimension::D2;
    let output = GPU.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: program.plan().outputs[0].bytes(),
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    program.bind(&[&make(rgba, [1, 5, 7], binding | drawn, 1, flat, 2)], &[&output]).unwrap();
    for (expected, texture) in [
        (
            "Rgba8UnormSrgb, but rgba8 is Rgba8Unorm or Bgra8Unorm",
            make(TextureFormat::Rgba8UnormSrgb, [1, 5, 7], binding, 1, flat, 1),
        ),
        ("format is R32Float", make(TextureFormat::R32Float, [1, 5, 7], binding, 1, flat, 1)),
        ("5x8 of 1 layers, but 5x7 of 1 layers", make(rgba, [1, 5, 8], binding, 1, flat, 1)),
        ("5x7 of 2 layers", make(rgba, [2, 5, 7], binding, 1, flat, 1)),
        ("dimension is D3", make(rgba, [1, 5, 7], binding, 1, TextureDimension::D3, 1)),
        ("4 samples", make(rgba, [1, 5, 7], binding | drawn, 4, flat, 1)),
        ("lacks the usage TextureUsages(TEXTURE_BINDING)", make(rgba, [1, 5, 7], drawn, 1, flat, 1)),
    ] {
        let error = program.bind(&[&texture], &[&output]).unwrap_err();
        assert!(matches!(&error, Error::InvalidData { what, .. } if what == "input 'x'"), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}, expected '{expected}'");
    }
    let texture = make(rgba, [1, 5, 7], binding, 1, flat, 1);
    let to_texture = program.bind(&[&texture], &[&texture]).unwrap_err();
    assert!(to_texture.to_string().contains("the graph has it in a buffer"), "{to_texture}");
    let from_buffer = program.bind(&[Bound::from(&output)], &[Bound::from(&output)]).unwrap_err();
    assert!(from_buffer.to_string().contains("is a texture of rgba8"), "{from_buffer}");
}

#[test]
fn a_picture_too_large_for_the_device_is_refused_by_its_limit() {
    let mut profile = GPU.profile().clone();
    (profile.max_texture, profile.max_layers) = (100, 2);
    let plan =
        |size| spp_wgpu::Plan::new(&seen(Texels::Rgba8, size, Texture::stretch(4, 4)), &profile, &Default::default());
    plan([2, 100, 100]).unwrap();
    for (size, expected) in [([1, 101, 7], "max_texture_dimension_2d"), ([3, 5, 7], "max_texture_array_layers")] {
        let error = plan(size).unwrap_err();
        assert!(matches!(error, Error::LimitExceeded { limit, .. } if limit == expected), "{error}");
    }
}

#[test]
fn only_those_that_read_textures_are_given_them() {
    let mut graph = Graph::new();
    let picture = graph.picture("picture", Shape::new(1, 4, 5, 7), Texels::Rgba8).unwrap();
    let tensor = graph.input("tensor", Shape::new(1, 4, 5, 7)).unwrap();
    let refused = |error: Error, expected: &str| {
        assert!(matches!(error, Error::Graph(_)) && error.to_string().contains(expected), "{error}");
    };
    let conv = graph.conv("conv", picture, same_conv(4, 4, 1)).unwrap_err();
    refused(conv, "conv 'conv' reads 'picture': it is in a texture; Graph::texture makes a tensor of it");
    let texture = graph.texture("texture", &[tensor], Texture::stretch(4, 4)).unwrap_err();
    refused(texture, "takes one picture of four channels, or planes r8 and rg8; got 'tensor', a tensor");
    refused(graph.output("out", picture).unwrap_err(), "cannot be this output");
    let wrong = graph.picture("grey", Shape::new(1, 1, 5, 7), Texels::Rgba8).unwrap_err();
    assert!(matches!(wrong, Error::ShapeMismatch { .. }), "{wrong}");
    let luma = graph.picture("y", Shape::new(1, 1, 5, 7), Texels::R8).unwrap();
    let chroma = graph.picture("uv", Shape::new(1, 2, 2, 4), Texels::Rg8).unwrap();
    let planes = graph.texture("planes", &[luma, chroma], Texture::stretch(4, 4)).unwrap_err();
    assert!(planes.to_string().contains("must be [1, 2, 3, 4]"), "{planes}");
}

/// Any part of any picture in any way, and what is found painted over it: see [`fuzz::all`].
#[test]
fn random_pictures_are_seen_and_painted_as_by_the_reference() {
    fuzz::all("SPP_FUZZ_PICTURES", 300, |dice| {
        let [h, w] = [dice.within(1, 40), dice.within(1, 40)];
        let crop = dice.once_in(2).then(|| {
            let [top, left] = [dice.within(0, h - 1), dice.within(0, w - 1)];
            Rect { top, left, h: dice.within(1, h - top), w: dice.within(1, w - left) }
        });
        let fit = dice.pick(&[Fit::Stretch, Fit::Letterbox { fill: 0.25 }]);
        let order = dice.pick(&[ColorOrder::Rgb, ColorOrder::Bgr]);
        let mean = [0.1, 0.2, 0.3];
        let texture = Texture { crop, fit, order, mean, ..Texture::stretch(dice.within(1, 40), dice.within(1, 40)) };
        let texels = dice.pick(&[Texels::Rgba8, Texels::Rgba8Srgb]);
        let paints = match dice.below(3) {
            0 => Paints::viridis([-1.0, 2.0]),
            1 => Paints::Colors { scale: [1.5, -0.5, 0.5], shift: [0.0, 0.75, 0.25] },
            _ => Paints::classes(dice.within(1, 9)),
        };
        let through = (!dice.once_in(4)).then_some(texture);
        let paint = Paint { opacity: dice.pick(&[0.0, 0.5, 1.0]), through, ..Paint::new(h, w, paints) };
        let graph = painted([h, w], texels, texture, paint);
        let x = picture(Shape::new(1, 4, h, w), dice.below(1000) as u64);
        let want = reference::run_with_bounds(&graph, std::slice::from_ref(&x)).unwrap();
        let program = Program::new(dice.pick(&[&*GPU, &*CARD]), &graph).unwrap();
        program.poison().unwrap();
        let difference = compare(&program.run(&[x]).unwrap()[0], &want[0]).unwrap();
        if difference.err_over_bound <= 1.0 {
            return Outcome::Fine;
        }
        Outcome::Faults(format!("{difference}\n{}", fuzz::listed(&graph)))
    });
}
