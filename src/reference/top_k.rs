//! The indices of the largest or smallest values.

use std::cmp::Ordering;

use super::{Values, excusing, squares};
use crate::ops::TopK;

/// Values whose errors may let them swap places share these: any of their indices may stand in any of them.
pub(super) fn top_k(op: &TopK, x: &Values) -> Values {
    let [k, len, inner] = [op.k, op.len, op.inner].map(|extent| extent as usize);
    let size = op.shape.len() as usize;
    let mut y = Values { shape: op.shape, values: vec![0.0; size], ..x.clone() };
    y.bound = if x.bounded() { vec![0.0; size] } else { Vec::new() };
    for row in 0..size / k {
        let (outer, i) = (row / inner, row % inner);
        let at = |j: usize| (outer * len + j) * inner + i;
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|&a, &b| {
            let of_values = ascending(x.values[at(a)], x.values[at(b)]);
            (if op.largest { of_values.reverse() } else { of_values }).then(a.cmp(&b))
        });
        for (t, &j) in order[..k].iter().enumerate() {
            y.values[(outer * k + t) * inner + i] = j as f64;
        }
        if x.bounded() {
            // The larger comes first.
            let sign = if op.largest { 1.0 } else { -1.0 };
            let value = |j: usize| if x.values[at(j)].is_nan() { f64::INFINITY } else { x.values[at(j)] };
            let sorted: Vec<(f64, f64)> = order.iter().map(|&j| (sign * value(j), x.bound[at(j)])).collect();
            for group in groups(&sorted).into_iter().filter(|group| group.len() > 1 && group.start < k) {
                let members = order[group.clone()].iter().map(|&j| j as f64);
                let (least, most) = (members.clone().fold(f64::MAX, f64::min), members.fold(0.0, f64::max));
                for (t, &j) in order.iter().enumerate().take(group.end.min(k)).skip(group.start) {
                    let j = j as f64;
                    y.bound[(outer * k + t) * inner + i] = (j - least).max(most - j);
                }
            }
        }
    }
    y.cancellation = excusing(x.precision, squares(&y.bound), squares(&y.values));
    y
}

/// `NaN` is larger than all numbers.
fn ascending(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Ranges of places whose values, with their errors, may swap; exact ones that are equal never do.
fn groups(sorted: &[(f64, f64)]) -> Vec<std::ops::Range<usize>> {
    // The most that a value from here on may be: any, and those that are not exact.
    let mut most = vec![[f64::NEG_INFINITY; 2]; sorted.len() + 1];
    for (t, &(value, bound)) in sorted.iter().enumerate().rev() {
        let [any, inexact] = most[t + 1];
        let inexact = if bound > 0.0 { inexact.max(value + bound) } else { inexact };
        most[t] = [any.max(value + bound), inexact];
    }
    let mut groups = Vec::new();
    let (mut start, mut end) = (0, 0);
    for (t, &(value, bound)) in sorted.iter().enumerate() {
        if t == end {
            (start, end) = (t, t + 1);
        }
        let of = usize::from(bound == 0.0);
        let reached = most.partition_point(|most| most[of] > f64::NEG_INFINITY && most[of] >= value - bound);
        end = end.max(reached);
        if t + 1 == end {
            groups.push(start..end);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;
    use crate::tensor::Shape;

    fn top(k: u32, largest: bool, values: &[f32]) -> Vec<f64> {
        let len = values.len() as u32;
        let op = TopK { shape: Shape::new(1, 1, 1, k), k, len, inner: 1, largest };
        let y = apply(&tensor([1, 1, 1, len], values), |graph, x| graph.top_k("y", x, op));
        assert!(y.bound.iter().all(|bound| *bound == 0.0) && y.cancellation == 1.0);
        y.values
    }

    #[test]
    fn the_first_of_equal_values_comes_first_and_nan_is_largest() {
        let values = [1.0, f32::NAN, -0.0, 3.0, 0.0, f32::INFINITY, 3.0, -f32::NAN, f32::NEG_INFINITY];
        assert_eq!(top(9, true, &values), [1.0, 7.0, 5.0, 3.0, 6.0, 0.0, 2.0, 4.0, 8.0]);
        assert_eq!(top(9, false, &values), [8.0, 2.0, 4.0, 0.0, 3.0, 6.0, 5.0, 1.0, 7.0]);
        assert_eq!(top(2, true, &values), [1.0, 7.0]);
    }

    #[test]
    fn an_axis_inside_has_its_rows_beside_each_other() {
        let op = TopK { shape: Shape::new(2, 2, 2, 1), k: 2, len: 3, inner: 2, largest: true };
        let x = tensor([2, 3, 2, 1], &[1.0, 6.0, 2.0, 5.0, 3.0, 4.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        let y = apply(&x, |graph, x| graph.top_k("y", x, op));
        assert_eq!(y.values, [2.0, 0.0, 1.0, 1.0, 1.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn places_that_may_be_swapped_are_in_one_group() {
        let groups =
            |sorted: &[(f64, f64)]| groups(sorted).iter().map(|group| (group.start, group.end)).collect::<Vec<_>>();
        assert_eq!(groups(&[(3.0, 0.0), (3.0, 0.0), (f64::NEG_INFINITY, 0.0)]), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(groups(&[(3.0, 0.5), (2.0, 0.4), (1.0, 0.5)]), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(groups(&[(3.0, 0.5), (2.0, 0.6), (1.0, 0.5)]), [(0, 3)]);
        // The first may fall behind the last, and moves those between.
        assert_eq!(groups(&[(4.0, 0.0), (3.0, 1.0), (2.9, 0.0), (2.5, 0.0), (1.0, 0.0)]), [(0, 4), (4, 5)]);
        assert_eq!(groups(&[(f64::INFINITY, 0.0), (3.0, 1.0), (f64::NEG_INFINITY, 0.0)]), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(groups(&[(9.0, 0.0), (3.0, f64::INFINITY), (2.0, 0.0)]), [(0, 3)]);
    }

    #[test]
    fn a_place_in_a_group_may_hold_any_index_of_it() {
        let x = Values {
            shape: Shape::new(1, 1, 1, 4),
            values: vec![1.0, 5.0, 4.0, 1.1],
            bound: vec![0.1, 0.0, 0.0, 0.1],
            cancellation: 1.0,
            precision: Default::default(),
        };
        let op = TopK { shape: Shape::new(1, 1, 1, 3), k: 3, len: 4, inner: 1, largest: true };
        let y = top_k(&op, &x);
        assert_eq!((y.values, y.bound), (vec![1.0, 2.0, 3.0], vec![0.0, 0.0, 3.0]));
        assert!(y.cancellation > 1e10);
    }
}
