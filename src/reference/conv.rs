//! `y = act(scale * (w * x + bias) + residual)`, or the residual after `act`.

use super::activation::activate;
use super::{U, Values, cancellation, carried, extents, inside, parallel, squared_weight, squares, sum_bound};
use crate::ops::{Activation, Conv, Padding};
use crate::tensor::Shape;

/// Output channels that a thread computes together: the rows it reads are in its cache for all but the first.
const CHANNELS: usize = 16;
/// Output columns computed together: few enough for those rows to fit.
const COLUMNS: usize = 64;

/// The bound is that of the sum times `|scale|`, plus the residual's, plus the rounding of their sum.
pub(super) fn conv(op: &Conv, x: &Values, residual: Option<&Values>, out: Shape) -> Values {
    // Σ w·x, Σ |w|·|x| and Σ w²·error² are the same convolution of different numbers.
    let weight = op.weight.data();
    let sum = |map: &dyn Fn(f64) -> f64, operand: &[f64]| {
        let weight: Vec<f64> = weight.iter().map(|&w| map(f64::from(w))).collect();
        convolve(op, &weight, operand, x.shape, out)
    };
    let mut values = sum(&|w| w, &x.values);
    let mut bound = Vec::new();
    let mut errors = Vec::new();
    if x.bounded() {
        bound = sum(&f64::abs, &x.values.iter().copied().map(f64::abs).collect::<Vec<_>>());
        let arriving = x.values.iter().zip(&x.bound).map(|(&x_at, &bound)| carried(x.precision, x_at, bound));
        let arriving: Vec<f64> = arriving.collect();
        if arriving.iter().any(|&error| error != 0.0) {
            errors = sum(&|w| squared_weight(x.precision, w), &arriving);
        }
    }

    let terms = weight.len() as f64 / f64::from(out.c);
    let scale = f64::from(op.scale);
    let plane = out.h as usize * out.w as usize;
    let mut sums = 0.0;
    for (i, value) in values.iter_mut().enumerate() {
        let channel = i / plane % out.c as usize;
        let bias = op.bias.as_ref().map_or(0.0, |bias| f64::from(bias[channel]));
        let y = *value + bias;
        let added = residual.map(|residual| added(residual, out, i));
        let (before, after) = if op.adds_last { (None, added) } else { (added, None) };
        let own = |sum: &f64| sum_bound(terms, y, sum + bias.abs(), errors.get(i).copied().unwrap_or(0.0));
        let own = scale.abs() * bound.get(i).map_or(0.0, own);
        let (total, own) = before.map_or((scale * y, own), |(b, b_bound)| (scale * y + b, own + b_bound));
        if total.is_finite() {
            sums += total * total;
        }
        let (y, y_bound) = activate(op.activation, total, own + U * total.abs());
        let last = |(b, b_bound): (f64, f64)| activate(Activation::None, y + b, y_bound + b_bound + U * (y + b).abs());
        let (total, total_bound) = after.map_or((y, y_bound), last);
        *value = total;
        if let Some(bound) = bound.get_mut(i) {
            *bound = total_bound;
        }
    }
    let of_residual = residual.map_or(0.0, |residual| {
        squares(&residual.values) * residual.cancellation * (out.len() / residual.shape.len().max(1)) as f64
    });
    let cancellation = cancellation(terms_squared(op, &weight, x, out) + of_residual, sums);
    Values { shape: out, values, bound, cancellation, precision: x.precision }
}

/// The sum of squares of everything that is added up, if each channel is as large everywhere as on average.
fn terms_squared(op: &Conv, weight: &[f32], x: &Values, out: Shape) -> f64 {
    let [out_c, group_in, kernel_h, kernel_w] = extents(op.weight.shape());
    let energies = x.energies();
    let sees = |out: u32, k: usize, [stride, dilation, pad, extent]: [u32; 4]| {
        let first = k as i64 * i64::from(dilation) - i64::from(pad);
        let seen = inside(first, stride, extent);
        (seen.end.min(out as usize)).saturating_sub(seen.start) as f64
    };
    let rows: Vec<f64> =
        (0..kernel_h).map(|ky| sees(out.h, ky, [op.stride[0], op.dilation[0], op.padding.top, x.shape.h])).collect();
    let columns: Vec<f64> =
        (0..kernel_w).map(|kx| sees(out.w, kx, [op.stride[1], op.dilation[1], op.padding.left, x.shape.w])).collect();
    let mut sum = 0.0;
    for (i, taps) in weight.chunks(kernel_h * kernel_w).enumerate() {
        let group = i / group_in / (out_c / op.groups as usize);
        let weighted = taps
            .iter()
            .enumerate()
            .filter(|(_, w)| w.is_finite())
            .map(|(tap, &w)| f64::from(w) * f64::from(w) * rows[tap / kernel_w] * columns[tap % kernel_w]);
        sum += energies[group * group_in + i % group_in] * weighted.sum::<f64>();
    }
    let biases = op.bias.iter().flat_map(|bias| bias.iter()).map(|&bias| f64::from(bias) * f64::from(bias));
    let scale = f64::from(op.scale);
    scale * scale * f64::from(out.n) * (sum + biases.sum::<f64>() * f64::from(out.h) * f64::from(out.w))
}

/// What the residual adds to value `i` of the output, and the bound of that.
fn added(residual: &Values, out: Shape, i: usize) -> (f64, f64) {
    let [_, out_c, out_h, out_w] = extents(out);
    let (y, x) = (i / out_w % out_h, i % out_w);
    let (n, c) = (i / (out_c * out_h * out_w), i / (out_h * out_w) % out_c);
    if residual.shape == out {
        return residual.at([n, c, y, x]);
    }
    let (value, bound) = residual.at([n, c, 0, 0]);
    if residual.shape.c == out.c || (2 * y + 1 >= out_h && 2 * x + 1 >= out_w) {
        return (value, bound);
    }
    let (more, more_bound) = residual.at([n, out_c, 0, 0]);
    (value + more, bound + more_bound + U * (value + more).abs())
}

/// `Σ w·x` over the taps inside the image.
fn convolve(op: &Conv, weight: &[f64], x: &[f64], shape: Shape, out: Shape) -> Vec<f64> {
    let one_row = op.kernel() == [1, 1] && op.stride == [1, 1] && op.padding == Padding::default();
    let flat = |shape: Shape| if one_row { Shape { h: 1, w: shape.h * shape.w, ..shape } } else { shape };
    let (shape, out) = (flat(shape), flat(out));
    let [_, _, out_h, out_w] = extents(out);
    let mut y = vec![0.0; out.len() as usize];
    parallel(&mut y, CHANNELS * out_h * out_w, |piece, planes| {
        for oy in 0..out_h {
            for left in (0..out_w).step_by(COLUMNS) {
                for (i, plane) in planes.chunks_mut(out_h * out_w).enumerate() {
                    let right = out_w.min(left + COLUMNS);
                    let row = &mut plane[oy * out_w..][left..right];
                    let [n, oc] = [(piece * CHANNELS + i) / out.c as usize, (piece * CHANNELS + i) % out.c as usize];
                    add_taps(op, weight, x, shape, [n, oc, oy, left], row);
                }
            }
        }
    });
    y
}

/// Adds all taps of the outputs from `[n, oc, oy, left]` rightwards.
fn add_taps(op: &Conv, weight: &[f64], x: &[f64], shape: Shape, [n, oc, oy, left]: [usize; 4], row: &mut [f64]) {
    let [_, in_c, in_h, in_w] = extents(shape);
    let [out_c, group_in, kernel_h, kernel_w] = extents(op.weight.shape());
    let group = oc / (out_c / op.groups as usize);
    let [stride_h, stride_w] = op.stride;
    let [dilation_h, dilation_w] = op.dilation;
    let top = oy as i64 * i64::from(stride_h) - i64::from(op.padding.top);
    let rows = inside(top, dilation_h, shape.h);
    for ky in rows.start..rows.end.min(kernel_h) {
        let iy = (top + ky as i64 * i64::from(dilation_h)) as usize;
        for kx in 0..kernel_w {
            let first =
                left as i64 * i64::from(stride_w) + kx as i64 * i64::from(dilation_w) - i64::from(op.padding.left);
            let columns = inside(first, stride_w, shape.w);
            let (start, end) = (columns.start, columns.end.min(row.len()));
            if start >= end {
                continue;
            }
            let ix = (first + start as i64 * i64::from(stride_w)) as usize;
            for ic in 0..group_in {
                let w = weight[((oc * group_in + ic) * kernel_h + ky) * kernel_w + kx];
                let x = &x[((n * in_c + group * group_in + ic) * in_h + iy) * in_w + ix..];
                if stride_w == 1 {
                    row[start..end].iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
                } else {
                    let x = x.iter().step_by(stride_w as usize);
                    row[start..end].iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::compare;
    use super::super::tests::{apply, counting, tensor};
    use super::*;
    use crate::graph::Graph;
    use crate::ops::Add;
    use crate::tensor::Tensor;

    fn values(x: &Tensor, conv: Conv) -> (Shape, Vec<f64>) {
        let y = apply(x, |graph, x| graph.conv("conv", x, conv));
        (y.shape, y.values)
    }

    #[test]
    fn each_side_has_its_own_padding() {
        // 1 2 3     kernel  1 10     one row above, two columns to the right
        // 4 5 6           100 1000
        let x = counting([1, 1, 2, 3]);
        let conv = Conv {
            padding: Padding { top: 1, left: 0, bottom: 0, right: 2 },
            ..Conv::new(tensor([1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0]))
        };
        let want = vec![2100.0, 3200.0, 300.0, 0.0, 5421.0, 6532.0, 603.0, 0.0];
        assert_eq!(values(&x, conv), (Shape::new(1, 1, 2, 4), want));
    }

    #[test]
    fn stride_skips_and_dilation_spreads() {
        let x = counting([1, 1, 3, 5]);
        let ones = || tensor([1, 1, 3, 3], &[1.0; 9]);
        // Rows 1..5, 6..10, 11..15. Stride 2, padding 1: centres at rows 0 and 2, columns 0, 2 and 4.
        let strided = Conv { stride: [2, 2], padding: Padding::symmetric(1, 1), ..Conv::new(ones()) };
        let want = vec![16.0, 33.0, 28.0, 36.0, 63.0, 48.0];
        assert_eq!(values(&x, strided), (Shape::new(1, 1, 2, 3), want));
        // Dilation 2 in width only, no padding: columns 0, 2 and 4 of all rows.
        let dilated = Conv { dilation: [1, 2], ..Conv::new(ones()) };
        assert_eq!(values(&x, dilated), (Shape::new(1, 1, 1, 1), vec![72.0]));
        // Dilation past the border: only the centre is inside.
        let far = Conv { dilation: [7, 7], padding: Padding::symmetric(7, 7), ..Conv::new(ones()) };
        assert_eq!(values(&x, far).1, x.data().iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
    }

    #[test]
    fn groups_are_independent() {
        let x = tensor([2, 4, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        // Outputs 0 and 1 read channels 0 and 1; outputs 2 and 3 read 2 and 3.
        let weight = tensor([4, 2, 1, 1], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 10.0, 1.0]);
        let grouped = Conv { groups: 2, ..Conv::new(weight) };
        assert_eq!(values(&x, grouped).1, [1.0, 2.0, 7.0, 34.0, 5.0, 6.0, 15.0, 78.0]);
        let depthwise = Conv { groups: 4, ..Conv::new(counting([4, 1, 1, 1])) };
        assert_eq!(values(&x, depthwise).1, [1.0, 4.0, 9.0, 16.0, 5.0, 12.0, 21.0, 32.0]);
        // Two outputs per channel.
        let multiplied = Conv { groups: 4, ..Conv::new(counting([8, 1, 1, 1])) };
        assert_eq!(values(&x, multiplied).1[..8], [1.0, 2.0, 6.0, 8.0, 15.0, 18.0, 28.0, 32.0]);
    }

    #[test]
    fn scale_multiplies_the_bias_and_not_the_residual() {
        let x = tensor([1, 1, 1, 3], &[1.0, -4.0, 2.0]);
        let conv = Conv {
            bias: Some(vec![1.0].into()),
            scale: 0.5,
            activation: Activation::Relu,
            ..Conv::new(tensor([1, 1, 1, 1], &[3.0]))
        };
        // 0.5 * (3x + 1): 2, -5.5, 3.5
        assert_eq!(values(&x, conv.clone()).1, [2.0, 0.0, 3.5]);
        let added = apply(&x, |graph, x| graph.conv_add("conv", x, x, conv.clone()));
        assert_eq!(added.values, [3.0, 0.0, 5.5]);
        let last = apply(&x, |graph, x| graph.conv_add("conv", x, x, Conv { adds_last: true, ..conv.clone() }));
        assert_eq!(last.values, [3.0, -4.0, 5.5]);
        // As an addition after it.
        let apart = apply(&x, |graph, x| {
            let y = graph.conv("y", x, conv)?;
            graph.add("add", y, x, Add { scale: 1.0, activation: Activation::None })
        });
        assert_eq!(last.values, apart.values);
        assert!(last.bound.iter().zip(&apart.bound).all(|(last, apart)| *last > 0.0 && last <= apart));
    }

    #[test]
    fn a_residual_of_one_pixel_is_added_to_its_whole_image() {
        let x = counting([2, 1, 1, 3]);
        let weight = tensor([2, 1, 1, 1], &[1.0, -1.0]);
        let y = apply(&x, |graph, x| {
            // 6 and 15: all of the image, times 10 and 100.
            let sums = Conv::new(tensor([2, 1, 1, 3], &[10.0, 10.0, 10.0, 100.0, 100.0, 100.0]));
            let sums = graph.conv("sums", x, sums)?;
            graph.conv_add("conv", x, sums, Conv { scale: 2.0, ..Conv::new(weight) })
        });
        let want = [62.0, 64.0, 66.0, 598.0, 596.0, 594.0, 158.0, 160.0, 162.0, 1492.0, 1490.0, 1488.0];
        assert_eq!(y.values, want);
        // The last pixel's: the residual's own, √3 for its three products, and the rounding of adding it.
        let residual = (8.0 * 3f64.sqrt() + 3.0) * U * 1500.0;
        let bound = 2.0 * (8.0 + 2.0) * U * 6.0 + residual + U * 1488.0;
        assert!((y.bound[11] / bound - 1.0).abs() < 1e-12, "{}, want {bound}", y.bound[11]);
    }

    #[test]
    fn padding_is_skipped_and_not_multiplied() {
        let x = counting([1, 1, 1, 2]);
        let infinite = tensor([1, 1, 1, 3], &[f32::INFINITY, 1.0, f32::NAN]);
        let y = values(&x, Conv { padding: Padding::symmetric(0, 1), ..Conv::new(infinite) }).1;
        assert!(y[0].is_nan() && y[1] == f64::INFINITY, "{y:?}");
    }

    /// Uniform in -1..1, from a fixed sequence (Knuth's 64-bit LCG).
    fn random(shape: [u32; 4], mut state: u64) -> Tensor {
        let len: u32 = shape.iter().product();
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        tensor(shape, &(0..len).map(|_| next()).collect::<Vec<_>>())
    }

    /// The sums in `f32`, tap after tap; `drop` leaves out one tap of one output.
    fn in_f32(x: &Tensor, weight: &Tensor, bias: f32, drop: bool) -> Tensor {
        let [_, in_c, h, w] = extents(x.shape());
        let mut y = Vec::new();
        for oc in 0..weight.shape().n as usize {
            for (oy, ox) in (0..h).flat_map(|oy| (0..w).map(move |ox| (oy, ox))) {
                let mut sum = 0f32;
                for (ic, ky, kx) in (0..in_c * 9).map(|tap| (tap / 9, tap / 3 % 3, tap % 3)) {
                    let (iy, ix) = ((oy + ky).wrapping_sub(1), (ox + kx).wrapping_sub(1));
                    let dropped = drop && (oc, oy, ox, ic, ky, kx) == (1, 2, 3, in_c / 2, 1, 1);
                    if iy < h && ix < w && !dropped {
                        let weight = weight.data()[(oc * in_c + ic) * 9 + ky * 3 + kx];
                        sum += weight * x.data()[(ic * h + iy) * w + ix];
                    }
                }
                y.push((sum + bias).max(0.0));
            }
        }
        tensor([1, weight.shape().n, h as u32, w as u32], &y)
    }

    #[test]
    fn a_further_channel_is_added_where_bilinear_resizing_weights_by_zero() {
        let shape = [1, 1, 4, 3];
        let mut graph = Graph::new();
        let x = graph.input("x", tensor(shape, &[0.0; 12]).shape()).unwrap();
        let pixel = graph.input("pixel", crate::Shape::new(1, 1, 1, 1)).unwrap();
        let resize = crate::ops::Resize { out_h: 4, out_w: 3, mode: crate::ops::ResizeMode::Bilinear };
        let resized = graph.resize("resized", pixel, resize).unwrap();
        let residual = graph.conv("residual", pixel, Conv::new(tensor([2, 1, 1, 1], &[1.0, 0.0]))).unwrap();
        let added = graph.conv_add("added", x, residual, Conv::new(tensor([1, 1, 1, 1], &[1.0]))).unwrap();
        graph.output("resized", resized).unwrap();
        graph.output("added", added).unwrap();
        let infinity = tensor([1, 1, 1, 1], &[f32::INFINITY]);
        let results = super::super::run(&graph, &[tensor(shape, &[0.0; 12]), infinity]).unwrap();
        let nan = |y: &Tensor| y.data().iter().map(|y| y.is_nan()).collect::<Vec<_>>();
        assert_eq!(nan(&results[0]), nan(&results[1]));
        assert_eq!(nan(&results[1]).iter().filter(|nan| !**nan).count(), 4, "of the 12, only the lower right");
    }

    #[test]
    fn f32_sums_stay_within_the_bound_and_a_dropped_tap_does_not() {
        let x = random([1, 64, 5, 7], 1);
        let weight = random([3, 64, 3, 3], 2);
        let conv = Conv {
            bias: Some(vec![20.0; 3].into()), // keeps the outputs away from ReLU's flat side
            padding: Padding::symmetric(1, 1),
            activation: Activation::Relu,
            ..Conv::new(Arc::new(weight.clone()))
        };
        let want = apply(&x, |graph, x| graph.conv("conv", x, conv));
        let good = compare(&in_f32(&x, &weight, 20.0, false), &want).unwrap();
        assert!(good.passes() && good.err_over_bound < 0.5 && good.err_over_bound > 0.0, "{good}");
        let bad = compare(&in_f32(&x, &weight, 20.0, true), &want).unwrap();
        assert!(!bad.passes() && bad.worst == Some([0, 1, 2, 3]) && bad.mismatches == 1, "{bad}");
    }

    #[test]
    fn bounds_grow_with_operand_errors_and_weights() {
        let x = tensor([1, 2, 1, 1], &[3.0, 4.0]);
        let one = || Conv::new(tensor([2, 2, 1, 1], &[1.0, 0.0, 0.0, 1.0]));
        let bounds = |second: Conv| {
            apply(&x, |graph: &mut Graph, x| {
                let first = graph.conv("first", x, one())?;
                graph.conv("second", first, second)
            })
        };
        let first = apply(&x, |graph, x| graph.conv("first", x, one())).bound;
        // 8√2·u·|x| + 2u|x| + u|x|
        let own = (8.0 * 2f64.sqrt() + 3.0) * U;
        assert!((first[0] / (own * 3.0) - 1.0).abs() < 1e-12 && (first[1] / (own * 4.0) - 1.0).abs() < 1e-12);
        // Weights 2 and -1: y = 2, S = 10, carried √((2 b0)² + b1²); all of it halved by the scale.
        let second = bounds(Conv { scale: 0.5, ..Conv::new(tensor([1, 2, 1, 1], &[2.0, -1.0])) });
        let want = 0.5 * (own * (36.0 + 16f64).sqrt() + 8.0 * 2f64.sqrt() * U * 10.0 + 2.0 * U * 2.0) + U * 1.0;
        assert_eq!(second.values, [1.0]);
        assert!((second.bound[0] / want - 1.0).abs() < 1e-12, "{:?}, want {want}", second.bound);
    }
}
