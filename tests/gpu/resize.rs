//! Resizing up and down, to and from one pixel: bilinear within its bound, nearest bit for bit.

use spp_wgpu::ops::{Resize, ResizeMode};
use spp_wgpu::{Graph, Shape};

use crate::harness::{Data, SHAPES, check, check_bits, graph, random, with_specials};

const SIZES: [[u32; 2]; 7] = [[1, 1], [1, 9], [8, 1], [2, 3], [7, 5], [14, 22], [33, 65]];

fn resize(x: Shape, [out_h, out_w]: [u32; 2], mode: ResizeMode) -> Graph {
    graph(x, |graph, x| graph.resize("resize", x, Resize { out_h, out_w, mode }).unwrap())
}

#[test]
fn bilinear_agrees_with_the_reference_within_its_bound() {
    for shape in SHAPES {
        for size in SIZES {
            for data in [Data::Uniform, Data::WideRange] {
                let graph = resize(shape, size, ResizeMode::Bilinear);
                check(&format!("{data:?} {shape} to {size:?}"), &graph, &[random(shape, 1, data)]);
            }
        }
    }
}

/// A pooled image may be infinite: NaN where its place lies before the first centre, infinity from there on.
#[test]
fn an_infinite_pixel_fills_what_it_fills_in_the_reference() {
    for size in [[5, 5], [3, 4], [1, 1], [2, 7]] {
        let shape = Shape::new(1, 5, 1, 1);
        let mut x = random(shape, 1, Data::Uniform);
        x.data_mut()[1] = f32::INFINITY;
        check(&format!("to {size:?}"), &resize(shape, size, ResizeMode::Bilinear), &[x]);
    }
}

#[test]
fn nearest_copies() {
    for shape in SHAPES {
        for size in SIZES {
            let x = with_specials(random(shape, 1, Data::WideRange));
            check_bits(&format!("{shape} to {size:?}"), &resize(shape, size, ResizeMode::Nearest), &[x]);
        }
    }
}

#[test]
fn the_same_size_changes_nothing() {
    for shape in SHAPES {
        let x = random(shape, 1, Data::WideRange);
        check_bits(&shape.to_string(), &resize(shape, [shape.h, shape.w], ResizeMode::Bilinear), &[x]);
    }
}
