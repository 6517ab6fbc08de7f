//! What is made of the values that some axes reach.

use super::{NOTHING, U, Values, cancellation, excusing, finite_bound, larger, squares, sum_bound};
use crate::ops::{Reduce, ReduceKind, Strided};
use crate::tensor::Shape;

/// What WGSL may flush to zero.
const FLUSHED: f64 = f32::MIN_POSITIVE as f64;

/// Values and their bounds.
type Row = [(f64, f64)];

pub(super) fn reduce(op: &Reduce, x: &Values, out: Shape) -> Values {
    let over = Strided { offset: 0, axes: op.over.clone() };
    let over: Vec<usize> = over.indices().collect();
    let mut kept = op.kept.indices();
    let mut row = Vec::with_capacity(over.len());
    let (mut of_terms, mut sums) = (0.0, 0.0);
    let values = Values::from_fn(out, x.bounded(), |_| {
        let begin = kept.next().unwrap_or(0);
        row.clear();
        // Steps backwards wrap around.
        row.extend(over.iter().map(|step| begin.wrapping_add(*step)).map(|at| {
            let bound = x.bound.get(at).copied().unwrap_or(0.0);
            (x.values[at], bound)
        }));
        let (value, bound) = reduced(&op.kind, &row);
        of_terms += squares(&[terms(&op.kind, &row)]);
        sums += squares(&[value]);
        (value, finite_bound(value, bound))
    });
    if matches!(op.kind, ReduceKind::ArgMax { .. } | ReduceKind::ArgMin { .. }) {
        // Which of several is the largest may not be determined: then bounds of indices decide.
        let errors = squares(&values.bound);
        let excused = excusing(x.precision, errors, squares(&values.values));
        return Values { cancellation: excused.max(x.cancellation), ..values };
    }
    // What is of one sign does not cancel.
    Values { cancellation: cancellation(of_terms, sums) * x.cancellation, ..values }
}

/// The root of the sum of the squares of what is added up, if that may cancel.
fn terms(kind: &ReduceKind, row: &Row) -> f64 {
    let size = row.iter().map(|(x, _)| x * x).sum::<f64>().sqrt();
    match kind {
        ReduceKind::Sum => size,
        ReduceKind::Mean => size / row.len() as f64,
        // What a factor is off by, as large as they are together, times all the others.
        ReduceKind::Product => {
            let mut after: Vec<f64> = vec![1.0];
            row.iter().rev().for_each(|(x, _)| after.push(after[after.len() - 1] * x));
            let (mut before, mut terms) = (1.0, 0.0);
            for (i, (x, _)) in row.iter().enumerate() {
                terms += (before * after[row.len() - 1 - i]).powi(2);
                before *= x;
            }
            terms.sqrt() * size / (row.len() as f64).sqrt()
        }
        ReduceKind::Expected(weights) => {
            let terms = shares(row).into_iter().zip(weights.iter()).map(|(share, w)| share * f64::from(*w));
            terms.map(|term| term * term).sum::<f64>().sqrt()
        }
        _ => 0.0,
    }
}

fn reduced(kind: &ReduceKind, row: &Row) -> (f64, f64) {
    let count = row.len() as f64;
    match kind {
        ReduceKind::Sum => sum(row.iter().copied()),
        ReduceKind::Mean => {
            let (value, bound) = sum(row.iter().copied());
            (value / count, bound / count + 5.0 * U * (value / count).abs())
        }
        ReduceKind::L1 => sum(row.iter().map(|(x, bound)| (x.abs(), *bound))),
        ReduceKind::SumSquare => sum_of_squares(row),
        ReduceKind::L2 => {
            let (value, bound) = sum_of_squares(row);
            let root = value.sqrt();
            // |√(a + e) - √a| is at most |e| / √a, and √|e|. A root in WGSL is a reciprocal of one of 2 ULP.
            let own = 10.0 * U * root;
            // Squares that an f32 does not hold.
            let overflows = value + bound > f64::from(f32::MAX) && value.is_finite();
            (root, if overflows { f64::INFINITY } else { bound.sqrt().min(bound / root) + own })
        }
        ReduceKind::Product => product(row),
        ReduceKind::Max => row.iter().copied().fold(NOTHING, larger),
        ReduceKind::Min => {
            let (value, bound) = row.iter().map(|(x, bound)| (-x, *bound)).fold(NOTHING, larger);
            (-value, bound)
        }
        ReduceKind::ArgMax { last } => place(row.iter().copied(), *last),
        ReduceKind::ArgMin { last } => place(row.iter().map(|(x, bound)| (-x, *bound)), *last),
        ReduceKind::LogSumExp => {
            let most = most(row);
            if !most.is_finite() {
                return (most, 0.0);
            }
            let sum: f64 = row.iter().map(|(x, _)| (x - most).exp()).sum();
            let carried: f64 = row.iter().map(|(x, bound)| (x - most).exp() / sum * bound).sum();
            let value = most + sum.ln();
            // As of a softmax's logarithm: the sum relative to itself, its logarithm, and a sum.
            (value, carried + exp_sum_bound(count) + 5e-7 + U * (6.0 * sum.ln() + value.abs()))
        }
        ReduceKind::Expected(weights) => {
            if !most(row).is_finite() {
                return (f64::NAN, 0.0);
            }
            let shares = shares(row);
            let weighted = || shares.iter().zip(weights.iter()).map(|(share, w)| (share, f64::from(*w)));
            let value: f64 = weighted().map(|(share, w)| share * w).sum();
            let size: f64 = weighted().map(|(share, w)| share * w.abs()).sum();
            // An error e of x_i changes it by p_i (w_i - value) e.
            let carried: f64 =
                weighted().zip(row).map(|((share, w), (_, bound))| share * (w - value).abs() * bound).sum();
            (value, carried + 2.0 * exp_sum_bound(count) * size + 6.0 * U * value.abs())
        }
    }
}

fn most(row: &Row) -> f64 {
    row.iter().copied().fold(NOTHING, larger).0
}

/// Its softmax.
fn shares(row: &Row) -> Vec<f64> {
    let most = most(row);
    let sum: f64 = row.iter().map(|(x, _)| (x - most).exp()).sum();
    row.iter().map(|(x, _)| (x - most).exp() / sum).collect()
}

/// A sum and its bound.
fn sum(terms: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let [mut count, mut total, mut magnitude, mut carried] = [0.0; 4];
    for (x, bound) in terms {
        count += 1.0;
        total += x;
        magnitude += x.abs();
        carried += bound * bound;
    }
    (total, sum_bound(count, total, magnitude, carried))
}

fn sum_of_squares(row: &Row) -> (f64, f64) {
    let (value, bound) = sum(row.iter().map(|(x, bound)| (x * x, (2.0 * x.abs() + bound) * bound)));
    (value, bound + U * value + row.len() as f64 * FLUSHED)
}

/// Each factor is rounded once, in any order; so partial products may overflow, or be flushed to zero and then grow.
fn product(row: &Row) -> (f64, f64) {
    let value: f64 = row.iter().map(|(x, _)| x).product();
    let most: f64 = row.iter().map(|(x, bound)| x.abs() + bound).product();
    let largest: f64 = row.iter().map(|(x, bound)| (x.abs() + bound).max(1.0)).product();
    let all_finite = row.iter().all(|(x, _)| x.is_finite());
    if all_finite && (largest > f64::from(f32::MAX) || largest.is_nan()) {
        return (value, f64::INFINITY);
    }
    let count = row.len() as f64;
    (value, most - value.abs() + count * (U * most + FLUSHED * largest))
}

/// Where the largest value is; `NaN` is. Where bounds let others be as large, it may be at any of them: the bound reaches
/// to the farthest.
fn place(row: impl Iterator<Item = (f64, f64)> + Clone, last: bool) -> (f64, f64) {
    let mut best = (0, f64::NEG_INFINITY, 0.0);
    for (i, (x, bound)) in row.clone().enumerate() {
        let wins = match (x.is_nan(), best.1.is_nan()) {
            (true, true) => last,
            (is_nan, false) => is_nan || x > best.1 || (x == best.1 && (last || i == 0)),
            (false, true) => false,
        };
        if wins {
            best = (i, x, bound);
        }
    }
    let (at, value, bound) = best;
    let rivals = row.enumerate().filter(|(_, (x, of_x))| x + of_x >= value - bound && bound + of_x > 0.0);
    let farthest = rivals.map(|(i, _)| i.abs_diff(at)).max().unwrap_or(0);
    (at as f64, farthest as f64)
}

/// Relative error of a sum of exponentials: each is off by 3 + 2|d| ULP, where the mean of |d|, weighted by their shares, is
/// at most the logarithm of their number; and the sum as other sums are.
fn exp_sum_bound(count: f64) -> f64 {
    (6.0 + 4.0 * count.ln() + 8.0 * count.sqrt()) * U
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;
    use crate::ops::Axis;

    const X: [f32; 6] = [1.0, -2.0, 4.0, 0.5, 4.0, -2.0];

    /// Along the last of two axes of three values.
    fn of(kind: ReduceKind, x: &[f32]) -> Values {
        let axis = |extent, stride| Axis { extent, stride };
        let kept = Strided { offset: 0, axes: vec![axis(2, 3)] };
        let op = Reduce { shape: Shape::new(1, 1, 1, 2), kept, over: vec![axis(3, 1)], kind };
        apply(&tensor([1, 1, 2, 3], x), |graph, x| graph.reduce("y", x, op))
    }

    #[test]
    fn kinds_match_their_names() {
        for (kind, want) in [
            (ReduceKind::Sum, [3.0, 2.5]),
            (ReduceKind::Mean, [1.0, 2.5 / 3.0]),
            (ReduceKind::Max, [4.0, 4.0]),
            (ReduceKind::Min, [-2.0, -2.0]),
            (ReduceKind::Product, [-8.0, -4.0]),
            (ReduceKind::L1, [7.0, 6.5]),
            (ReduceKind::L2, [21.0f64.sqrt(), 20.25f64.sqrt()]),
            (ReduceKind::SumSquare, [21.0, 20.25]),
            (ReduceKind::ArgMax { last: false }, [2.0, 1.0]),
            (ReduceKind::ArgMin { last: true }, [1.0, 2.0]),
        ] {
            assert_eq!(of(kind.clone(), &X).values, want, "{kind:?}");
        }
        let logs = [0.0, std::f32::consts::LN_2, 1.609_438, 7.0, 7.0, 7.0];
        let close = |kind, want: [f64; 2]| {
            let y = of(kind, &logs);
            assert!(y.values.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{y:?}");
        };
        close(ReduceKind::LogSumExp, [8f64.ln(), 7.0 + 3f64.ln()]);
        // Of [1, 2, 5] / 8.
        close(ReduceKind::Expected([8.0, 4.0, 1.0].into()), [21.0 / 8.0, 13.0 / 3.0]);
    }

    #[test]
    fn nan_and_infinities() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let x = [nan, 1.0, inf, -inf, -inf, -inf];
        let value = |kind| of(kind, &x).values;
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::L2, ReduceKind::LogSumExp] {
            assert!(value(kind.clone())[0].is_nan(), "{kind:?}");
        }
        assert_eq!(value(ReduceKind::LogSumExp)[1], f64::NEG_INFINITY);
        assert_eq!(value(ReduceKind::ArgMax { last: false }), [0.0, 0.0]);
        assert_eq!(value(ReduceKind::ArgMin { last: true }), [0.0, 2.0]);
        assert!(value(ReduceKind::Expected([1.0; 3].into())).iter().all(|value| value.is_nan()));
    }

    #[test]
    fn places_are_as_sure_as_values() {
        assert_eq!(place([(1.0, 0.1), (0.5, 0.1), (0.7, 0.25)].into_iter(), false), (0.0, 2.0));
        assert_eq!(place([(1.0, 0.1), (0.5, 0.1), (0.7, 0.1)].into_iter(), false), (0.0, 0.0));
        assert_eq!(place([(1.0, 0.0), (1.0, 0.0)].into_iter(), true), (1.0, 0.0));
    }
}
