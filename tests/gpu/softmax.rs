//! Softmax over channels and over rows: large values do not overflow, rows sum to one.

use spp_wgpu::ops::{Layout, Softmax, SoftmaxAxis};
use spp_wgpu::{Graph, PlanOptions, Shape, Tensor};

use crate::graphs::same_conv;
use crate::harness::{Data, SHAPES, check_on_both, graph, random, run, with_specials};

fn over_channels(x: Shape) -> Graph {
    graph(x, |graph, x| graph.softmax("softmax", x, Softmax::new(SoftmaxAxis::Channels)).unwrap())
}

fn over_rows(x: Shape, width: u32) -> Graph {
    graph(x, |graph, x| {
        let rows = graph.layout("rows", x, Layout { width }).unwrap();
        graph.softmax("softmax", rows, Softmax::new(SoftmaxAxis::Columns)).unwrap()
    })
}

/// Values up to `most` in magnitude.
fn scores(shape: Shape, most: f32) -> Tensor {
    let mut x = random(shape, 6, Data::Uniform);
    x.data_mut().iter_mut().for_each(|v| *v *= most);
    x
}

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for shape in SHAPES {
        for most in [1.0, 30.0, 1e4, 3e38] {
            let case = format!("{shape} up to {most}");
            check_on_both(&case, &over_channels(shape), &[scores(shape, most)]);
            check_on_both(&case, &over_rows(shape, shape.c), &[scores(shape, most)]);
        }
    }
    let shape = Shape::new(2, 84, 3, 5);
    check_on_both("rows of 21", &over_rows(shape, 21), &[scores(shape, 5.0)]);
}

#[test]
fn minus_infinity_gets_nothing_and_nan_or_infinity_spoils_only_its_row() {
    let shape = Shape::new(2, 5, 2, 3);
    let mut x = scores(shape, 3.0);
    x.data_mut()[0] = f32::NEG_INFINITY;
    x.data_mut()[7] = f32::NAN;
    x.data_mut()[14] = f32::INFINITY;
    // All of a row, and of an image's last channel.
    x.data_mut()[30..].iter_mut().step_by(6).for_each(|v| *v = f32::NEG_INFINITY);
    x.data_mut()[54..].fill(f32::NEG_INFINITY);
    check_on_both("channels", &over_channels(shape), std::slice::from_ref(&x));
    check_on_both("rows", &over_rows(shape, 5), &[x]);
}

/// On a GPU, a workgroup shares a row of more than 128 values, and NaN or infinity may be in anyone's share.
#[test]
fn long_rows_keep_to_themselves() {
    let shape = Shape::new(1, 131, 2, 3);
    let mut x = scores(shape, 3.0);
    // Of six pixels: infinity, NaN, and minus infinity, in one channel each; minus infinity in all; two without any.
    x.data_mut()[6 * 130] = f32::INFINITY;
    x.data_mut()[6 * 77 + 1] = f32::NAN;
    x.data_mut()[6 * 40 + 2] = f32::NEG_INFINITY;
    x.data_mut()[3..].iter_mut().step_by(6).for_each(|v| *v = f32::NEG_INFINITY);
    check_on_both("131 channels", &over_channels(shape), &[x]);
    let shape = Shape::new(2, 393, 1, 2);
    let mut x = scores(shape, 3.0);
    x.data_mut()[100] = f32::INFINITY;
    x.data_mut()[900] = f32::NAN;
    check_on_both("rows of 131", &over_rows(shape, 131), &[x]);
}

/// One invocation sums at most 21 values here: some 21 roundings of 6e-8, and as many in `exp` and division.
#[test]
fn rows_sum_to_one() {
    let shape = Shape::new(2, 21, 4, 5);
    for most in [1.0, 50.0, 1e30] {
        let rows = run(&over_rows(shape, 21), &[scores(shape, most)], &PlanOptions::default());
        for row in rows[0].data().chunks(21) {
            let sum: f64 = row.iter().map(|&v| f64::from(v)).sum();
            assert!((sum - 1.0).abs() <= 2e-6, "{sum}: {row:?}");
        }
    }
}

/// Padding lanes stay zero: a convolution after it would see them.
#[test]
fn padding_lanes_stay_zero() {
    let shape = Shape::new(2, 9, 3, 2);
    let graph = graph(shape, |graph, x| {
        let softmax = graph.softmax("softmax", x, Softmax::new(SoftmaxAxis::Channels)).unwrap();
        let both = graph.concat("both", &[softmax, x]).unwrap();
        graph.conv("y", both, same_conv(5, 18, 3)).unwrap()
    });
    check_on_both("softmax in a concatenation", &graph, &[scores(shape, 2.0)]);
}

fn over_values(x: Shape, len: u32, inner: u32, log: bool) -> Graph {
    let axis = SoftmaxAxis::Values { len, inner };
    graph(x, |graph, x| graph.softmax("softmax", x, Softmax { axis, log }).unwrap())
}

/// Along each axis of a tensor, and of one of five axes in the same memory; rows of more values than a workgroup shares.
#[test]
fn any_axis_and_its_logarithm() {
    let shape = Shape::new(2, 15, 4, 6);
    for (len, inner) in [(6, 1), (4, 6), (15, 24), (2, 360), (3, 120), (5, 24), (720, 1), (360, 2), (1, 3)] {
        for (log, most) in [(false, 1.0), (true, 1.0), (false, 300.0), (true, 300.0)] {
            let case = format!("{len}, {inner} apart, log: {log}, up to {most}");
            check_on_both(&case, &over_values(shape, len, inner, log), &[scores(shape, most)]);
        }
        check_on_both("specials", &over_values(shape, len, inner, true), &[with_specials(scores(shape, 3.0))]);
    }
    for shape in SHAPES {
        let log = graph(shape, |graph, x| {
            graph.softmax("y", x, Softmax { log: true, ..Softmax::new(SoftmaxAxis::Channels) }).unwrap()
        });
        check_on_both(&format!("log over channels of {shape}"), &log, &[scores(shape, 4.0)]);
        check_on_both("specials", &log, &[with_specials(scores(shape, 4.0))]);
    }
}

/// Results that are parts of a concatenation: rows within an image, from image to image, and across their ends.
#[test]
fn along_any_axis_in_a_concatenation() {
    let shape = Shape::new(4, 6, 2, 5);
    for (len, inner) in [(5, 1), (6, 10), (4, 60), (2, 60), (8, 30), (3, 80)] {
        let graph = graph(shape, |graph, x| {
            let values = SoftmaxAxis::Values { len, inner };
            let [a, b] =
                [false, true].map(|log| graph.softmax(format!("{log}"), x, Softmax { axis: values, log }).unwrap());
            graph.concat("both", &[a, b]).unwrap()
        });
        check_on_both(&format!("{len}, {inner} apart"), &graph, &[scores(shape, 3.0)]);
    }
}
