//! Indices of the largest and smallest values: equal ones, NaN and infinities, any axis, all of a row, long rows.

use spp_wgpu::ops::{MaxPool, TopK};
use spp_wgpu::{Graph, Shape, Tensor};

use crate::graphs::{largest, same_conv};
use crate::harness::{Data, check_bits_on_both, check_on_both, graph, random, with_specials};

/// Along the columns.
fn of_rows(x: Shape, k: u32, largest: bool) -> Graph {
    let op = TopK { shape: Shape { w: k, ..x }, k, len: x.w, inner: 1, largest };
    graph(x, |graph, x| graph.top_k("y", x, op).unwrap())
}

fn check_both_ends(x: &Tensor, k: u32) {
    for largest in [true, false] {
        let case = format!("{k} of {}, largest: {largest}", x.shape());
        check_bits_on_both(&case, &of_rows(x.shape(), k, largest), std::slice::from_ref(x));
    }
}

#[test]
fn rows_of_any_length() {
    for (len, ks) in [(1, &[1][..]), (7, &[1, 3, 7]), (255, &[1, 255]), (300, &[64, 257, 300]), (1500, &[10, 1024])] {
        for &k in ks {
            check_both_ends(&random(Shape::new(2, 1, 3, len), 1, Data::WideRange), k);
        }
    }
}

/// Seven values, so that most are equal: the first come first.
#[test]
fn equal_values_keep_their_order() {
    for (len, k) in [(9, 9), (400, 5), (400, 200), (1030, 1000)] {
        check_both_ends(&random(Shape::new(1, 2, 1, len), 2, Data::Integers), k);
        check_both_ends(&Tensor::filled(Shape::new(1, 1, 2, len), -2.5).unwrap(), k);
    }
}

#[test]
fn nan_is_largest_and_zeros_are_equal() {
    let mut x = with_specials(random(Shape::new(1, 1, 3, 150), 3, Data::Integers));
    x.data_mut()[150..300].iter_mut().step_by(2).for_each(|value| *value = -0.0);
    x.data_mut()[151..300].iter_mut().step_by(4).for_each(|value| *value = 0.0);
    x.data_mut()[300..].fill(-f32::NAN);
    check_both_ends(&x, 40);
    check_both_ends(&x, 150);
}

/// Values whose first digits are the same, up to the last bit.
#[test]
fn neighbours_among_floats_are_told_apart() {
    let mut x = random(Shape::new(1, 1, 1, 700), 4, Data::Uniform);
    x.data_mut().iter_mut().for_each(|value| *value = 1.0 + (*value * 300.0).round() * f32::EPSILON);
    // What the ports of an f16 plan round to the same value.
    let x = Tensor::new(x.shape(), x.into_data()).unwrap();
    check_both_ends(&x, 90);
}

#[test]
fn an_axis_inside_has_rows_side_by_side() {
    let shape = Shape::new(2, 37, 4, 5);
    let x = random(shape, 5, Data::Integers);
    for k in [1, 6, 37] {
        let graph = graph(shape, |graph, x| graph.top_k("y", x, largest(k, shape)).unwrap());
        check_bits_on_both(&format!("{k} of 37 channels"), &graph, std::slice::from_ref(&x));
    }
}

/// As in YOLOv10, whose indices are more than an `f16` holds.
#[test]
fn scores_of_a_detector() {
    let shape = Shape::new(1, 1, 1, 8400);
    let mut x = random(shape, 6, Data::Uniform);
    x.data_mut().iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-20.0 * *value).exp()));
    let got = crate::harness::run(&of_rows(shape, 300, true), std::slice::from_ref(&x), &Default::default());
    let want = spp_wgpu::reference::run(&of_rows(shape, 300, true), &[x]).unwrap();
    assert_eq!(got, want);
}

/// Where rounding decides the order, either is right; where it does not, only one is.
#[test]
fn computed_values_are_told_apart_as_far_as_they_are_exact() {
    let shape = Shape::new(2, 3, 5, 4);
    let graph = graph(shape, |graph, x| {
        let scores = graph.conv("scores", x, same_conv(24, 3, 3)).unwrap();
        graph.top_k("y", scores, largest(5, Shape { c: 24, ..shape })).unwrap()
    });
    check_on_both("computed", &graph, &[random(shape, 7, Data::Uniform)]);
    check_bits_on_both("exact", &graph_of_exact(shape), &[random(shape, 7, Data::Integers)]);
}

fn graph_of_exact(shape: Shape) -> Graph {
    graph(shape, |graph, x| {
        let pool = graph.max_pool("pool", x, MaxPool::same(3)).unwrap();
        let both = graph.concat("channels", &[pool, x]).unwrap();
        let indices = graph.top_k("indices", both, largest(4, Shape { c: 6, ..shape })).unwrap();
        let last = TopK { largest: false, ..largest(2, Shape { c: 6, ..shape }) };
        let last = graph.top_k("last", both, last).unwrap();
        // Into slices of images.
        graph.concat("all", &[indices, last]).unwrap()
    })
}
