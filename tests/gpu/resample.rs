//! Resampling by any weights: copies, zero weights beside infinities, rows and columns without taps.

use spp_wgpu::ops::Resample;
use spp_wgpu::{Graph, Shape};

use crate::graphs::{same_conv, taps};
use crate::harness::{Data, SHAPES, check, check_bits, graph, random, random_halves, with_specials};

fn resampled(x: Shape, resample: Resample) -> Graph {
    graph(x, |graph, x| graph.resample("y", x, resample).unwrap())
}

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for shape in SHAPES {
        for fill in [0.0, -2.5, f32::INFINITY, f32::NAN] {
            for (out_h, out_w) in [(1, 1), (7, 5), (2, 13)] {
                let [rows, columns] = [(shape.h, out_h), (shape.w, out_w)].map(|(x, y)| taps(x, y, true));
                let graph = resampled(shape, Resample { rows, columns, fill });
                let case = format!("{shape} to {out_h} x {out_w}, filled with {fill}");
                for data in [Data::Uniform, Data::WideRange] {
                    check(&case, &graph, &[random_halves(shape, 3, data)]);
                }
            }
        }
    }
}

/// One tap of weight 1, from any place and several times over.
#[test]
fn copies_are_exact_whatever_is_copied() {
    for shape in SHAPES {
        let [rows, columns] =
            [shape.h, shape.w].map(|extent| (0..2 * extent).rev().map(|i| vec![(i / 2, 1.0)]).collect());
        let graph = resampled(shape, Resample { rows, columns, fill: 0.0 });
        check_bits(&shape.to_string(), &graph, &[with_specials(random(shape, 4, Data::WideRange))]);
    }
}

/// What has no weight is not read: no 0 times infinity.
#[test]
fn infinities_and_nan_stay_where_they_have_weight() {
    for shape in SHAPES {
        let mut x = random(shape, 5, Data::Uniform);
        let len = x.data().len();
        for (i, special) in [f32::INFINITY, f32::NAN, f32::NEG_INFINITY].into_iter().cycle().take(len / 7).enumerate() {
            x.data_mut()[(i * 7 + i % 3) % len] = special;
        }
        let [rows, columns] = [(shape.h, 9), (shape.w, 8)].map(|(x, y)| taps(x, y, false));
        check(&shape.to_string(), &resampled(shape, Resample { rows, columns, fill: 0.0 }), &[x]);
    }
}

/// Padding lanes stay zero, whatever fills the rest: a convolution after it would see them.
#[test]
fn padding_lanes_stay_zero() {
    let shape = Shape::new(2, 9, 3, 4);
    for fill in [0.0, 3.0, f32::NAN] {
        let graph = graph(shape, |graph, x| {
            let [rows, columns] = [(shape.h, 3), (shape.w, 4)].map(|(x, y)| taps(x, y, fill == 3.0));
            let y = graph.resample("resampled", x, Resample { rows, columns, fill }).unwrap();
            let both = graph.concat("both", &[y, x]).unwrap();
            graph.conv("y", both, same_conv(5, 18, 3)).unwrap()
        });
        check(&format!("filled with {fill}"), &graph, &[random(shape, 2, Data::Uniform)]);
    }
}
