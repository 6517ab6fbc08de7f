//! A formula, value by value.

use super::activation::activate;
use super::{U, Values, cancellation, finite_bound};
use crate::ops::{Formula, Function, Map, Term};
use crate::tensor::{Precision, Shape};

/// Every step rounds what those before it made. Where a sum cancels, the terms are as large as [`Values::cancellation`]
/// says.
pub(super) fn map(op: &Map, xs: &[&Values], out: Shape) -> Values {
    let indices: Vec<Vec<usize>> =
        xs.iter().zip(&op.walks).map(|(x, walk)| places(x.shape, walk.as_ref(), out)).collect();
    let amplified = xs.iter().map(|x| x.cancellation).fold(1.0, f64::max);
    let bounded = xs.iter().all(|x| x.bounded());
    let (mut values, mut bounds) = (Vec::with_capacity(out.len() as usize), Vec::new());
    let (mut of_terms, mut squares) = (0.0, 0.0);
    let mut operands = Vec::with_capacity(xs.len());
    let mut steps = Vec::with_capacity(op.formula.steps.len());
    for i in 0..out.len() as usize {
        operands.clear();
        operands.extend(xs.iter().zip(&indices).map(|(x, at)| {
            let at = at[i];
            (x.values[at], x.bound.get(at).copied().unwrap_or(0.0))
        }));
        let (value, bound) = evaluate(&op.formula, &operands, &mut steps);
        if value.is_finite() {
            let largest = operands.iter().chain(&steps).map(|(value, _)| value.abs());
            let largest = largest.filter(|value| value.is_finite()).fold(0.0, f64::max);
            of_terms += largest * largest * amplified;
            squares += value * value;
        }
        values.push(value);
        if bounded {
            bounds.push(bound);
        }
    }
    let cancellation = cancellation(of_terms, squares);
    Values { shape: out, values, bound: bounds, cancellation, precision: Precision::F32 }
}

/// For each of the result's values, the operand's.
fn places(x: Shape, walk: Option<&crate::ops::Strided>, out: Shape) -> Vec<usize> {
    if let Some(walk) = walk {
        return walk.indices().collect();
    }
    let [from, to] = [x, out].map(|shape| [shape.n, shape.c, shape.h, shape.w].map(|extent| extent as usize));
    let at = |i: usize| {
        let (mut rest, mut stride, mut at) = (i, 1, 0);
        for axis in (0..4).rev() {
            at += if from[axis] == 1 { 0 } else { rest % to[axis] * stride };
            rest /= to[axis];
            stride *= from[axis];
        }
        at
    };
    (0..out.len() as usize).map(at).collect()
}

/// A value and its bound.
type Bounded = (f64, f64);

fn evaluate(formula: &Formula, operands: &[Bounded], steps: &mut Vec<Bounded>) -> Bounded {
    steps.clear();
    for step in &formula.steps {
        let term = |i: usize| match step.terms[i] {
            Term::Operand(operand) => operands[operand as usize],
            Term::Step(of) => steps[of as usize],
            Term::Number(number) => (number.into(), 0.0),
        };
        let (value, bound) = match step.function.arity() {
            1 => unary(step.function, term(0)),
            2 => binary(step.function, term(0), term(1)),
            _ => choice(term(0), term(1), term(2)),
        };
        // What f32 cannot hold is infinite from here on.
        let held = if value.is_finite() && (value as f32).is_infinite() { f64::from(value as f32) } else { value };
        steps.push((held, finite_bound(held, if bound.is_nan() { f64::INFINITY } else { bound })));
    }
    steps[steps.len() - 1]
}

/// Bound of a value of a function that only ever rises or falls between what the operand may be, and its own rounding.
fn between(at: impl Fn(f64) -> f64, (x, bound): Bounded, own: f64) -> Bounded {
    let y = at(x);
    let off = [at(x - bound), at(x + bound)].map(|other| (other - y).abs());
    (y, if bound == 0.0 { own } else { off[0].max(off[1]) + own })
}

fn unary(function: Function, (x, bound): Bounded) -> Bounded {
    const LEAST: f64 = f32::MIN_POSITIVE as f64;
    let ulps = |count: f64, y: f64| 2.0 * count * U * y.abs() + LEAST;
    // May be the whole number beside.
    let whole = |at: fn(f64) -> f64| (at(x), if at(x - bound) == at(x + bound) { 0.0 } else { bound + 1.0 });
    match function {
        Function::Activation(activation) => activate(activation, x, bound),
        Function::Neg => (-x, bound),
        Function::Abs => (x.abs(), bound),
        Function::Sign => {
            let sign = if x == 0.0 || x.is_nan() { x } else { x.signum() };
            (sign, if bound > 0.0 && x.abs() <= bound { 2.0 } else { 0.0 })
        }
        Function::Exp => between(f64::exp, (x, bound), ulps(3.0 + 2.0 * x.abs(), x.exp())),
        // Near 1, an absolute error.
        Function::Log if x - bound <= 0.0 && bound > 0.0 => (x.ln(), f64::INFINITY),
        Function::Log => between(f64::ln, (x, bound), ulps(3.0, x.ln()).max(f64::powi(2.0, -21))),
        Function::Sqrt if x - bound < 0.0 && bound > 0.0 => (x.sqrt(), f64::INFINITY),
        Function::Sqrt => between(f64::sqrt, (x, bound), ulps(2.5, x.sqrt())),
        Function::Reciprocal => quotient((1.0, 0.0), (x, bound)),
        Function::Erf => between(erf, (x, bound), 1e-6 * erf(x).abs() + LEAST),
        Function::Floor => whole(f64::floor),
        Function::Ceil => whole(f64::ceil),
        Function::Round => whole(f64::round_ties_even),
        Function::Trunc => whole(f64::trunc),
        // Right angles are taken off in f32: of a large one, what is left is off by some bits of all of it.
        Function::Sin => (x.sin(), bound + f64::powi(2.0, -22) * x.abs() + LEAST),
        Function::Cos => (x.cos(), bound + f64::powi(2.0, -22) * x.abs().max(1.0)),
        Function::Not => (truth(x == 0.0), if bound > 0.0 && x.abs() <= bound { 1.0 } else { 0.0 }),
        _ => (f64::NAN, 0.0),
    }
}

fn truth(is_true: bool) -> f64 {
    if is_true { 1.0 } else { 0.0 }
}

fn quotient((a, a_bound): Bounded, (b, b_bound): Bounded) -> Bounded {
    let y = a / b;
    let least = b.abs() - b_bound;
    if least <= 0.0 && b_bound > 0.0 {
        return (y, f64::INFINITY);
    }
    let own = 5.0 * U * y.abs() + f64::from(f32::MIN_POSITIVE);
    (y, (a_bound + y.abs() * b_bound) / least.max(f64::MIN_POSITIVE) + own)
}

fn binary(function: Function, a: Bounded, b: Bounded) -> Bounded {
    let ((x, x_bound), (y, y_bound)) = (a, b);
    let both = x_bound + y_bound;
    // Whether the two may compare differently from what is true of them.
    let unsure = both > 0.0 && (x - y).abs() <= both;
    let compared = |is_true: bool| (truth(is_true), if unsure { 1.0 } else { 0.0 });
    let zero = |(value, bound): Bounded| bound > 0.0 && value.abs() <= bound;
    let logical = |is_true: bool| (truth(is_true), if zero(a) || zero(b) { 1.0 } else { 0.0 });
    let summed = |sum: f64| (sum, both + U * sum.abs());
    match function {
        Function::Add => summed(x + y),
        Function::Sub => summed(x - y),
        Function::Mul => product(a, b),
        Function::Div => quotient(a, b),
        Function::Pow => power(a, b),
        Function::Min => (if x.is_nan() || y.is_nan() { f64::NAN } else { x.min(y) }, x_bound.max(y_bound)),
        Function::Max => (if x.is_nan() || y.is_nan() { f64::NAN } else { x.max(y) }, x_bound.max(y_bound)),
        Function::Mod => remainder(a, b),
        Function::Prelu if x < 0.0 => {
            let (value, bound) = product(a, b);
            (value, bound.max(x_bound))
        }
        Function::Prelu => (x, if zero(a) { x_bound * (1.0 + y.abs() + y_bound) } else { x_bound }),
        Function::Equal => compared(x == y),
        Function::Less => compared(x < y),
        Function::LessOrEqual => compared(x <= y),
        Function::And => logical(x != 0.0 && y != 0.0),
        Function::Or => logical(x != 0.0 || y != 0.0),
        _ => (f64::NAN, 0.0),
    }
}

fn product((x, x_bound): Bounded, (y, y_bound): Bounded) -> Bounded {
    // 0 times an infinite bound is nothing.
    let times = |a: f64, b: f64| if b == 0.0 { 0.0 } else { a.abs() * b };
    let carried = times(x, y_bound) + times(y, x_bound) + times(x_bound, y_bound);
    (x * y, carried + U * (x * y).abs() + if x * y == 0.0 { 0.0 } else { f64::from(f32::MIN_POSITIVE) })
}

/// `exp2(y * log2(x))`, as WGSL has it.
fn power((x, x_bound): Bounded, (y, y_bound): Bounded) -> Bounded {
    let value = x.powf(y);
    if x == 0.0 || y == 0.0 || x == 1.0 || !x.is_finite() || !y.is_finite() {
        return (value, if x_bound > 0.0 || y_bound > 0.0 { f64::INFINITY } else { 0.0 });
    }
    if x_bound >= x.abs() || x < 0.0 && y_bound > 0.0 {
        return (value, f64::INFINITY);
    }
    let log = x.abs().log2();
    let relative = x_bound / (x.abs() - x_bound);
    let of_log = f64::powi(2.0, -21).max(6.0 * U * log.abs()) + relative * std::f64::consts::LOG2_E;
    let exponent = y.abs() * of_log + y_bound * log.abs() + 2.0 * U * (y * log).abs();
    let relative = exponent.exp2() - 1.0 + (3.0 + 2.0 * (y * log).abs()) * 2.0 * U;
    (value, relative * value.abs() + f64::from(f32::MIN_POSITIVE))
}

/// Near a multiple of the divisor, what is left may be all of it instead of nothing.
fn remainder((x, x_bound): Bounded, (y, y_bound): Bounded) -> Bounded {
    if y.is_infinite() {
        let left = if x.is_finite() {
            if x == 0.0 || x.is_sign_negative() == y.is_sign_negative() { x } else { y }
        } else {
            f64::NAN
        };
        return (left, x_bound);
    }
    let left = x - (x / y).floor() * y;
    let bound = x_bound + (x / y).abs() * y_bound + 4.0 * U * x.abs();
    let wraps = bound > 0.0 && (left.abs() <= bound || (y - left).abs() <= bound);
    (left, if wraps && (left != 0.0 || x_bound > 0.0) { y.abs() + bound } else { bound })
}

fn choice((condition, bound): Bounded, a: Bounded, b: Bounded) -> Bounded {
    let (taken, other) = if condition != 0.0 { (a, b) } else { (b, a) };
    let unsure = bound > 0.0 && condition.abs() <= bound;
    (taken.0, if unsure { (taken.0 - other.0).abs() + taken.1.max(other.1) } else { taken.1 })
}

/// By its series up to 3, and beyond by the continued fraction of what is left to 1 (Abramowitz and Stegun, 7.1.6, 7.1.14).
fn erf(x: f64) -> f64 {
    let t = x.abs();
    if x.is_nan() {
        return x;
    }
    let of_t = if t < 3.0 {
        let (mut term, mut sum) = (t, t);
        for n in 1..80 {
            term *= 2.0 * t * t / f64::from(2 * n + 1);
            sum += term;
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI * (-t * t).exp()
    } else if t > 8.0 {
        1.0
    } else {
        let fraction = (1..80).rev().fold(t, |below, k| t + f64::from(k) / 2.0 / below);
        1.0 - std::f64::consts::FRAC_2_SQRT_PI / 2.0 * (-t * t).exp() / fraction
    };
    of_t.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;
    use crate::ops::{Axis, FormulaStep, Strided};

    #[test]
    fn functions_are_what_they_are_called() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let is = |got: f64, want: f64| assert!(got == want || got.is_nan() && want.is_nan(), "{got}, not {want}");
        for (x, want) in
            [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (3.5, 0.999_999_256_901_627_7)]
        {
            assert!((erf(x) - want).abs() < 1e-14 && (erf(-x) + want).abs() < 1e-14, "erf({x}) = {}", erf(x));
        }
        assert!((erf(2.999_999_999) - erf(3.0)).abs() < 1e-12, "both formulas meet");
        for (x, y, want) in [(5.0, 3.0, 2.0), (-5.0, 3.0, 1.0), (5.0, -3.0, -1.0), (5.0, inf, 5.0), (-5.0, inf, inf)] {
            is(binary(Function::Mod, (x, 0.0), (y, 0.0)).0, want);
        }
        for (x, y, want) in [(1.0, nan, nan), (nan, 1.0, nan), (2.0, -1.0, -1.0)] {
            is(binary(Function::Min, (x, 0.0), (y, 0.0)).0, want);
        }
        is(unary(Function::Round, (2.5, 0.0)).0, 2.0);
        is(unary(Function::Sign, (-0.1, 0.0)).0, -1.0);
        is(choice((nan, 0.0), (1.0, 0.0), (2.0, 0.0)).0, 1.0);
        is(binary(Function::Prelu, (-2.0, 0.0), (0.5, 0.0)).0, -1.0);
    }

    #[test]
    fn operands_are_spread_and_walked_over() {
        let x = tensor([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let add = |walks| Map { shape: Shape::new(1, 2, 1, 2), walks, formula: Formula::of(Function::Add) };
        let back = Strided { offset: 3, axes: vec![Axis { extent: 4, stride: -1 }] };
        let y = apply(&x, |graph, x| graph.map("y", &[x, x], add(vec![None, Some(back)])));
        assert_eq!((y.values, &y.bound[..1]), (vec![5.0; 4], &[5.0 * U][..]));
        let column = tensor([1, 2, 1, 1], &[1.0, 2.0]);
        let y = apply(&column, |graph, x| {
            let formula = Formula {
                steps: vec![FormulaStep { function: Function::Mul, terms: vec![Term::Operand(0), Term::Number(3.0)] }],
            };
            graph.map("y", &[x], Map { shape: Shape::new(1, 2, 1, 2), walks: vec![None], formula })
        });
        assert_eq!(y.values, [3.0, 3.0, 6.0, 6.0]);
    }

    #[test]
    fn errors_of_operands_arrive() {
        for (function, x, lipschitz) in [
            (Function::Exp, 1.0, 3.0),
            (Function::Log, 2.0, 0.6),
            (Function::Sqrt, 4.0, 0.3),
            (Function::Erf, 0.1, 1.2),
            (Function::Reciprocal, 2.0, 0.3),
        ] {
            let ((want, own), (_, carried)) = (unary(function, (x, 0.0)), unary(function, (x, 0.01)));
            let shifted = unary(function, (x + 0.01, 0.0)).0;
            assert!((shifted - want).abs() <= carried && carried <= 0.01 * lipschitz + own, "{function:?}: {carried}");
        }
        assert_eq!(unary(Function::Floor, (2.999, 0.01)).1, 1.01);
        assert_eq!(binary(Function::Less, (1.0, 0.1), (1.05, 0.0)), (1.0, 1.0));
        assert_eq!(binary(Function::Less, (1.0, 0.1), (1.5, 0.0)), (1.0, 0.0));
        assert_eq!(choice((0.1, 0.2), (1.0, 0.0), (5.0, 0.0)).1, 4.0);
    }
}
