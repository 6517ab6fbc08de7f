//! Does a result match the reference within its bound?

use std::fmt;

use super::{Values, extents};
use crate::error::{Error, Result};
use crate::tensor::{Precision, Tensor};

/// Largest normalised mean squared error that passes, and the NMSE that passes for each time that terms were larger than
/// their sums: rounding is relative to the terms.
pub(super) const fn max_nmse(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::F32 => [1e-10, 1e-12],
        // The second is the square of the error of storing one value, which adds a fifth of that.
        Precision::F16 => [1e-6, 2.4e-7],
    }
}

/// How far a result is from the truth. Two NaNs are equal, as are two zeros of either sign, equal infinities, and two
/// numbers that WGSL may flush to zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The largest error over its bound: 1 is the most allowed. Infinite if the bound is 0 and there is an error,
    /// or if only one of the two is finite.
    pub err_over_bound: f64,
    /// The largest error; infinite if only one of the two is finite.
    pub max_abs: f64,
    /// `Σ (got - want)² / Σ want²` over elements that are finite in both.
    pub nmse: f64,
    /// The largest NMSE that passes: 1e-10, or 1e-12 times [`Values::cancellation`] if that is more; of `f16`, 1e-6 or
    /// 2.4e-7 times that.
    pub max_nmse: f64,
    /// Where error over bound is largest, `[n, c, y, x]`; `None` if all are equal.
    pub worst: Option<[u32; 4]>,
    /// What was computed there.
    pub worst_got: f32,
    /// The true value there.
    pub worst_want: f64,
    /// Elements whose error is over the bound.
    pub mismatches: usize,
    /// Elements that are not finite, as they, or what they were computed from, may be beyond what an `f16` holds.
    pub overflows: usize,
}

impl Difference {
    /// Every error within its bound, and an NMSE within [`Difference::max_nmse`].
    pub fn passes(&self) -> bool {
        self.err_over_bound <= 1.0 && self.nmse <= self.max_nmse
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worst {
            None => write!(f, "all equal")?,
            Some([n, c, y, x]) => {
                let Self { worst_got, worst_want, err_over_bound, .. } = self;
                write!(f, "worst at [{n}, {c}, {y}, {x}]: got {worst_got:?}, want {worst_want:?}, ")?;
                write!(f, "{err_over_bound:.2e} times the bound")?;
            }
        }
        if self.mismatches > 0 {
            write!(f, "; {} beyond it", self.mismatches)?;
        }
        write!(f, "; nmse {:.1e}", self.nmse)?;
        if ![Precision::F32, Precision::F16].map(|precision| max_nmse(precision)[0]).contains(&self.max_nmse) {
            write!(f, ", up to {:.1e} where terms cancel", self.max_nmse)?;
        }
        match self.overflows {
            0 => Ok(()),
            1 => write!(f, "; 1 value beyond 65504 became infinite"),
            count => write!(f, "; {count} values beyond 65504 became infinite"),
        }
    }
}

/// Compares element by element. Errors: different shapes; not one value and one bound per element.
pub fn compare(got: &Tensor, want: &Values) -> Result<Difference> {
    if got.shape() != want.shape {
        return Err(Error::mismatch("compare", format!("got {}, want {}", got.shape(), want.shape)));
    }
    let len = got.data().len();
    if (want.values.len(), want.bound.len()) != (len, len) {
        let reason = format!("{} values and {} bounds for {len} elements", want.values.len(), want.bound.len());
        return Err(Error::data("compare", reason));
    }
    let [least, of_terms] = max_nmse(want.precision);
    let mut difference = Difference {
        err_over_bound: 0.0,
        max_abs: 0.0,
        nmse: 0.0,
        max_nmse: least.max(of_terms * want.cancellation),
        worst: None,
        worst_got: 0.0,
        worst_want: 0.0,
        mismatches: 0,
        overflows: 0,
    };
    // Infinite terms of a sum that is infinite anyway may make it NaN.
    let overflowed = want.bound.contains(&f64::INFINITY);
    let [mut squared_errors, mut squares] = [0.0; 2];
    for (i, ((&got, &value), &bound)) in got.data().iter().zip(&want.values).zip(&want.bound).enumerate() {
        if !got.is_finite() && (bound == f64::INFINITY || overflowed && !value.is_finite()) {
            difference.overflows += 1;
            continue;
        }
        let error = error(got, value);
        let ratio = over(error, bound);
        if got.is_finite() && value.is_finite() {
            squared_errors += error * error;
            squares += value * value;
        }
        difference.max_abs = difference.max_abs.max(error);
        difference.mismatches += usize::from(ratio > 1.0);
        if ratio > difference.err_over_bound {
            let [_, c, h, w] = extents(want.shape);
            difference.err_over_bound = ratio;
            difference.worst = Some([i / (c * h * w), i / (h * w) % c, i / w % h, i % w].map(|index| index as u32));
            (difference.worst_got, difference.worst_want) = (got, value);
        }
    }
    difference.nmse = over(squared_errors, squares);
    Ok(difference)
}

fn error(got: f32, want: f64) -> f64 {
    let tiny = |value: f64| value.abs() < f64::from(f32::MIN_POSITIVE);
    let wide = f64::from(got);
    if wide == want || (got.is_nan() && want.is_nan()) || (tiny(wide) && tiny(want)) {
        0.0
    } else if got.is_finite() && want.is_finite() {
        (wide - want).abs()
    } else if got.is_infinite() && got == want as f32 {
        0.0 // beyond what an f32 holds
    } else {
        f64::INFINITY
    }
}

/// An error of 0 is 0 times any bound; a bound that is 0 or NaN allows no other.
fn over(error: f64, bound: f64) -> f64 {
    match error / bound {
        _ if error == 0.0 => 0.0,
        ratio if ratio.is_nan() => f64::INFINITY,
        ratio => ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tensor;
    use super::*;
    use crate::tensor::Shape;

    const SHAPE: [u32; 4] = [2, 3, 4, 5];

    /// 120 different values, each with a bound of 1e-6.
    fn truth() -> Values {
        let values: Vec<f64> = (0..120).map(|i| 1.0 + f64::from(i) * 0.03125).collect();
        Values {
            shape: Shape::new(2, 3, 4, 5),
            bound: vec![1e-6; 120],
            values,
            cancellation: 1.0,
            precision: Precision::F32,
        }
    }

    fn changed(change: impl FnOnce(&mut [f32])) -> Difference {
        let mut got = truth().rounded().unwrap();
        change(got.data_mut());
        compare(&got, &truth()).unwrap()
    }

    #[test]
    fn the_same_passes() {
        let same = changed(|_| {});
        assert!(same.passes() && same.worst.is_none() && (same.err_over_bound, same.nmse) == (0.0, 0.0), "{same}");
        assert_eq!(same.to_string(), "all equal; nmse 0.0e0");
        let empty = Values {
            shape: Shape::new(0, 1, 1, 1),
            values: vec![],
            bound: vec![],
            cancellation: 1.0,
            precision: Precision::F32,
        };
        assert!(compare(&tensor([0, 1, 1, 1], &[]), &empty).unwrap().passes());
    }

    #[test]
    fn half_the_bound_passes_and_twice_the_bound_fails() {
        let half = changed(|data| data[7] += 5e-7);
        assert!(half.passes() && (0.3..0.7).contains(&half.err_over_bound), "{half}");
        let twice = changed(|data| data[7] += 2e-6);
        assert!(!twice.passes() && (1.8..2.2).contains(&twice.err_over_bound), "{twice}");
        assert_eq!((twice.worst, twice.mismatches), (Some([0, 0, 1, 2]), 1));
    }

    /// 0.1 + 0.2 - 0.3, and the same less 0.999: rounding is large beside what is left of the terms.
    #[test]
    fn where_terms_cancel_the_bound_decides() {
        for last in [-0.3, -0.2997] {
            let graph_of = |graph: &mut crate::Graph| {
                let x = graph.input("x", Shape::new(1, 3, 1, 1))?;
                let weight = tensor([1, 3, 1, 1], &[0.1, 0.2, last]);
                let y = graph.conv("y", x, crate::ops::Conv::new(weight))?;
                let pooled = graph.max_pool("pooled", y, crate::ops::MaxPool::new([1, 1]))?;
                graph.output("y", pooled)
            };
            let mut graph = crate::Graph::new();
            graph_of(&mut graph).unwrap();
            let ones = tensor([1, 3, 1, 1], &[1.0; 3]);
            let want = &super::super::run_with_bounds(&graph, std::slice::from_ref(&ones)).unwrap()[0];
            let got = |error: f32| tensor([1, 1, 1, 1], &[want.values[0] as f32 + error]);
            let right = compare(&got(6e-8), want).unwrap();
            assert!(right.passes() && right.nmse > max_nmse(Precision::F32)[0], "{right}");
            let wrong = compare(&got(2e-6), want).unwrap();
            assert!(!wrong.passes() && wrong.err_over_bound > 1.0, "{wrong}");
        }
    }

    #[test]
    fn a_swapped_buffer_fails() {
        // The two images swap places.
        let swapped = changed(|data| data.rotate_left(60));
        assert!(!swapped.passes() && swapped.mismatches == 120 && swapped.nmse > 1e-3, "{swapped}");
        let other = compare(&tensor(SHAPE, &[0.0; 120]), &truth()).unwrap();
        assert!(!other.passes() && other.nmse == 1.0, "{other}");
    }

    #[test]
    fn one_wrong_border_pixel_fails_and_is_named() {
        let wrong = changed(|data| data[119] = 1.0);
        assert!(!wrong.passes());
        assert_eq!((wrong.worst, wrong.worst_got, wrong.worst_want), (Some([1, 2, 3, 4]), 1.0, 4.71875));
        let text = wrong.to_string();
        assert!(text.starts_with("worst at [1, 2, 3, 4]: got 1.0, want 4.71875, 3.72e6 times the bound"), "{text}");
    }

    #[test]
    fn nan_and_an_untouched_output_fail() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let one = changed(|data| data[3] = value);
            assert!(!one.passes() && one.err_over_bound == f64::INFINITY && one.mismatches == 1, "{one}");
        }
        let untouched = changed(|data| data.fill(f32::NAN));
        assert!(!untouched.passes() && untouched.mismatches == 120, "{untouched}");
    }

    #[test]
    fn a_different_shape_is_an_error() {
        let got = tensor([2, 3, 5, 4], &[0.0; 120]);
        assert!(matches!(compare(&got, &truth()), Err(Error::ShapeMismatch { .. })));
        let unbounded = Values { bound: vec![], ..truth() };
        assert!(matches!(compare(&tensor(SHAPE, &[0.0; 120]), &unbounded), Err(Error::InvalidData { .. })));
    }

    #[test]
    fn a_bound_of_zero_demands_equality_and_non_finite_values_must_match() {
        let passes = |got: f32, want: f64, bound: f64| {
            let want = Values {
                shape: Shape::new(1, 1, 1, 1),
                values: vec![want],
                bound: vec![bound],
                cancellation: 1.0,
                precision: Precision::F32,
            };
            compare(&tensor([1, 1, 1, 1], &[got]), &want).unwrap().err_over_bound <= 1.0
        };
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let equal = [(1.0, 1.0), (-0.0, 0.0), (f32::NAN, nan), (f32::INFINITY, inf), (f32::NEG_INFINITY, -inf)];
        assert!(equal.iter().all(|&(got, want)| passes(got, want, 0.0)));
        assert!(passes(f32::INFINITY, 1e39, 0.0), "1e39 is infinite as f32");
        assert!(passes(0.0, 1e-40, 0.0), "denormals may be flushed");
        assert!(!passes(1.0 + f32::EPSILON, 1.0, 0.0));
        let unequal = [(1.0, nan), (f32::NAN, 1.0), (f32::INFINITY, -inf), (f32::MAX, inf), (f32::INFINITY, nan)];
        assert!(unequal.iter().all(|&(got, want)| !passes(got, want, 1.0)));
        assert!(!passes(2.0, 1.0, nan), "a bound of NaN allows nothing");
    }
}
