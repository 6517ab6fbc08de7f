//! Maps painted to textures: colours, heat maps and classes, alone and over pictures.

use std::sync::Arc;

use spp_wgpu::ops::{Color, MaxPool, Paint, Paints, Rect, Texels, Texture};
use spp_wgpu::reference::{Reference, compare};
use spp_wgpu::wgpu::{self, TextureUsages};
use spp_wgpu::{Bound, Error, Graph, PlanOptions, Precision, Program, Shape, Tensor};

use crate::graphs::painted;
use crate::harness::{CARD, Data, GPU, WITHOUT_F16, arrived, random, read};
use crate::texture::picture;

fn colors_of(paints: Paints) -> Arc<[Color]> {
    match paints {
        Paints::HeatMap { colors, .. } | Paints::Classes { colors } => colors,
        Paints::Colors { .. } => [].into(),
    }
}

fn maps() -> Vec<Shape> {
    vec![Shape::new(1, 3, 1, 1), Shape::new(2, 5, 4, 7), Shape::new(1, 8, 9, 2), Shape::new(1, 21, 5, 6)]
}

fn paints(channels: u32) -> Vec<Paints> {
    let mut all: Vec<Paints> = (0..channels.min(5))
        .map(|channel| Paints::HeatMap { channel, range: [-0.75, 0.5], colors: colors_of(Paints::viridis([0.0, 1.0])) })
        .collect();
    all.push(Paints::Colors { scale: [0.5, 1.5, -0.3], shift: [0.5, 0.1, 0.2] });
    all.push(Paints::classes(channels));
    all
}

/// Whether every output is within its bound, however it is stored on the way.
fn check(case: &str, graph: &Graph, inputs: &[Tensor]) {
    for precision in [Precision::F32, Precision::F16] {
        let want = Reference { precision, ..Default::default() }.run_with_bounds(graph, inputs).unwrap();
        for gpu in [Some(&*GPU), WITHOUT_F16.as_ref(), Some(&*CARD)].into_iter().flatten() {
            let program = Program::with_options(gpu, graph, &PlanOptions::default().precision(precision)).unwrap();
            program.poison().unwrap();
            for (got, want) in program.run(inputs).unwrap().iter().zip(&want) {
                let difference = compare(got, want).unwrap();
                assert!(difference.err_over_bound <= 1.0, "{case}, {precision}: {difference}");
            }
        }
    }
}

#[test]
fn maps_are_painted_as_by_the_reference() {
    for shape in maps() {
        let x = random(shape, 5, Data::Uniform);
        for paints in paints(shape.c) {
            for texels in [Texels::Rgba8, Texels::Rgba16Float] {
                for [out_h, out_w] in [[1, 1], [5, 9], [shape.h, shape.w], [16, 3]] {
                    let mut graph = Graph::new();
                    let map = graph.input("x", shape).unwrap();
                    let paint = Paint { texels, opacity: 0.75, ..Paint::new(out_h, out_w, paints.clone()) };
                    let y = graph.paint("y", &[map], paint).unwrap();
                    graph.output("y", y).unwrap();
                    check(&format!("{shape} {paints:?} {texels} {out_h}x{out_w}"), &graph, std::slice::from_ref(&x));
                }
            }
        }
    }
}

/// What the network sees of a picture is put back where it lies in it.
#[test]
fn what_is_found_is_painted_over_the_picture() {
    for texels in [Texels::Rgba8, Texels::Rgba8Srgb, Texels::Rgba16Float] {
        for [h, w] in [[9, 16], [7, 5]] {
            let crop = Some(Rect { top: 2, left: 1, h: 4, w: 3 });
            for texture in [Texture::letterbox(8, 8), Texture { crop, ..Texture::stretch(6, 7) }] {
                for paints in [Paints::heat([0.0, 1.0]), Paints::classes(6)] {
                    let paint = Paint { opacity: 0.5, through: Some(texture), ..Paint::new(h, w, paints) };
                    let graph = painted([h, w], texels, texture, paint);
                    let mut x = picture(Shape::new(1, 4, h, w), 9);
                    x.data_mut().iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
                    let x = if texels == Texels::Rgba16Float { x } else { picture(Shape::new(1, 4, h, w), 9) };
                    check(&format!("{texels} {h}x{w} {texture:?}"), &graph, &[x]);
                }
            }
        }
    }
}

/// The first of equal ones wins, and `NaN` over all; nothing is left out that is below zero.
#[test]
fn the_largest_class_wins() {
    let scores: [[f32; 5]; 6] = [
        [-3.0, -2.0, -1.0, -2.5, -9.0],
        [1.0, 1.0, 0.5, 1.0, 1.0],
        [0.0, f32::NEG_INFINITY, 2.0, f32::INFINITY, 5.0],
        [f32::INFINITY, 1.0, -f32::NAN, 0.0, f32::NAN],
        [f32::NEG_INFINITY; 5],
        [0.0, 0.0, 0.0, 0.0, 1e-30],
    ];
    let want = [2, 0, 3, 2, 0, 4];
    let shape = Shape::new(1, 5, 1, 1);
    let mut graph = Graph::new();
    let x = graph.input("x", shape).unwrap();
    let y = graph.paint("y", &[x], Paint::new(1, 1, Paints::classes(5))).unwrap();
    graph.output("y", y).unwrap();
    let program = Program::new(&GPU, &graph).unwrap();
    let colors = colors_of(Paints::classes(5));
    for (scores, want) in scores.into_iter().zip(want) {
        let got = program.run(&[Tensor::new(shape, scores.to_vec()).unwrap()]).unwrap();
        assert_eq!(got[0].data()[..3], colors[want], "{scores:?}");
    }
}

#[test]
fn an_apps_texture_is_painted() {
    let shape = Shape::new(1, 3, 4, 5);
    let mut graph = Graph::new();
    let x = graph.input("x", shape).unwrap();
    let y = graph.paint("y", &[x], Paint::new(8, 10, Paints::heat([-1.0, 1.0]))).unwrap();
    graph.output("y", y).unwrap();
    let program = Program::new(&GPU, &graph).unwrap();
    let x = random(shape, 3, Data::Uniform);
    let want = program.run(std::slice::from_ref(&x)).unwrap();
    let texture = |format, usage| {
        GPU.device().create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d { width: 10, height: 8, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage,
            view_formats: &[],
        })
    };
    use wgpu::util::DeviceExt;
    let input = GPU.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(x.data()),
        usage: wgpu::BufferUsages::STORAGE,
    });
    let rgba = wgpu::TextureFormat::Rgba8Unorm;
    let drawn = texture(rgba, TextureUsages::STORAGE_BINDING | TextureUsages::COPY_SRC);
    let bindings = program.bind(&[&input], &[&drawn]).unwrap();
    let mut encoder = GPU.device().create_command_encoder(&Default::default());
    program.record(&mut encoder, &bindings).unwrap();
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: 8 * 256,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    };
    let texels = GPU.device().create_buffer(&descriptor);
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(256), rows_per_image: None };
    let to = wgpu::TexelCopyBufferInfo { buffer: &texels, layout };
    encoder.copy_texture_to_buffer(drawn.as_image_copy(), to, drawn.size());
    GPU.queue().submit([encoder.finish()]);
    let bytes: Vec<u8> = read(&texels);
    for (i, &value) in want[0].data().iter().enumerate() {
        let (channel, row, column) = (i / 80, i / 10 % 8, i % 10);
        assert_eq!(
            f32::from(bytes[row * 256 + column * 4 + channel]),
            (value * 255.0).round(),
            "{channel} {row} {column}"
        );
    }
    for (expected, texture) in [
        (
            "Bgra8Unorm, but rgba8 is Rgba8Unorm",
            texture(wgpu::TextureFormat::Bgra8Unorm, TextureUsages::TEXTURE_BINDING),
        ),
        ("lacks the usage TextureUsages(STORAGE_BINDING)", texture(rgba, TextureUsages::TEXTURE_BINDING)),
    ] {
        let error = program.bind(&[&input], &[&texture]).unwrap_err();
        assert!(matches!(&error, Error::InvalidData { what, .. } if what == "output 'y'"), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}, expected '{expected}'");
    }
}

/// A texture cannot be read and written at once.
#[test]
fn a_picture_is_not_painted_over_in_place() {
    let texture = Texture::stretch(4, 4);
    let paint = Paint { through: Some(texture), opacity: 0.5, ..Paint::new(8, 10, Paints::heat([0.0, 1.0])) };
    let program = Program::new(&GPU, &painted([8, 10], Texels::Rgba8, texture, paint)).unwrap();
    let both = GPU.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 10, height: 8, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: TextureUsages::STORAGE_BINDING | TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    });
    let error = program.bind(&[Bound::from(&both)], &[Bound::from(&both)]).unwrap_err();
    assert!(error.to_string().contains("bound twice, for 'picture' as well"), "{error}");
}

#[test]
fn what_is_painted_is_an_output_once_and_nothing_else() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 3, 4, 5)).unwrap();
    let y = graph.paint("y", &[x], Paint::new(8, 10, Paints::heat([0.0, 1.0]))).unwrap();
    graph.output("y", y).unwrap();
    let refused = |error: Error, expected: &str| {
        assert!(matches!(error, Error::Graph(_)) && error.to_string().contains(expected), "{error}");
    };
    refused(graph.output("again", y).unwrap_err(), "cannot be this output");
    refused(graph.concat("cat", &[y, x]).unwrap_err(), "in a texture, which only an output is");
    refused(graph.texture("seen", &[y], Texture::stretch(2, 2)).unwrap_err(), "in a texture, which only an output is");
    let small = graph.picture("small", Shape::new(1, 4, 7, 10), Texels::Rgba8).unwrap();
    let over = graph.paint("over", &[x, small], Paint::new(8, 10, Paints::heat([0.0, 1.0]))).unwrap_err();
    assert!(matches!(over, Error::ShapeMismatch { .. }), "{over}");
}

/// What is painted is there to be shown: it needs no usage for reading, and only the rest arrives.
#[test]
fn what_is_in_textures_is_not_read() {
    let shape = Shape::new(1, 4, 6, 5);
    let mut graph = Graph::new();
    let x = graph.input("x", shape).unwrap();
    let pool = graph.max_pool("pool", x, MaxPool::same(3)).unwrap();
    let paint = graph.paint("painted", &[pool], Paint::new(12, 10, Paints::heat([0.0, 1.0]))).unwrap();
    graph.output("shown", paint).unwrap();
    graph.output("pooled", pool).unwrap();
    let program = Program::new(&GPU, &graph).unwrap();
    let x = random(shape, 1, Data::Uniform);
    let want = program.run(&[&x]).unwrap();
    let [input, pooled] = [(); 2].map(|()| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let size = shape.len() * 4;
        GPU.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    });
    let shown = GPU.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 10, height: 12, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::STORAGE_BINDING,
        view_formats: &[],
    });
    GPU.queue().write_buffer(&input, 0, bytemuck::cast_slice(x.data()));
    let bindings = program.bind(&[&input], &[Bound::from(&shown), Bound::from(&pooled)]).unwrap();
    let mut encoder = GPU.device().create_command_encoder(&Default::default());
    program.record(&mut encoder, &bindings).unwrap();
    let reading = program.read(&mut encoder, &bindings).unwrap().unwrap();
    GPU.queue().submit([encoder.finish()]);
    assert_eq!(arrived(&GPU, reading), want[1..]);
}
