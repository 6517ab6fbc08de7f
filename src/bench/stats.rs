//! Statistics of run times: what a few slow outliers cannot spoil.

use crate::error::{Error, Result};

/// Times of one thing, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    in_order: Vec<f64>,
    sorted: Vec<f64>,
}

/// What two sets of samples say about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Less time than before.
    Faster,
    /// More time than before.
    Slower,
    /// They differ by no more than chance explains.
    Noise,
}

/// A difference is believed if chance alone would show one as large in fewer than one in a hundred comparisons.
pub const SIGNIFICANCE: f64 = 0.01;

impl Samples {
    /// Takes times in milliseconds. Errors: no times at all, or one that is not a finite number.
    pub fn new(in_order: Vec<f64>) -> Result<Self> {
        if in_order.is_empty() || in_order.iter().any(|time| !time.is_finite()) {
            return Err(Error::data("samples", "needs at least one, and finite numbers only"));
        }
        let mut sorted = in_order.clone();
        sorted.sort_by(f64::total_cmp);
        Ok(Self { in_order, sorted })
    }

    /// In the order in which they were taken.
    pub fn in_order(&self) -> &[f64] {
        &self.in_order
    }

    /// The shortest.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// Half of them are at most this long.
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// The time that `percent` of the samples do not exceed, interpolated between neighbours (as `numpy.percentile`).
    pub fn percentile(&self, percent: f64) -> f64 {
        let place = percent.clamp(0.0, 100.0) / 100.0 * (self.sorted.len() - 1) as f64;
        let (below, above) = (self.sorted[place.floor() as usize], self.sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }

    /// How `self` compares with an earlier `baseline`, by the Mann-Whitney rank test on the raw samples. So few samples
    /// that no ranking of them is significant, such as five against five, are noise; see [`Samples::can_differ`].
    pub fn against(&self, baseline: &Self) -> Verdict {
        let (p, fewer) = rank_test(&self.in_order, &baseline.in_order);
        match (p < SIGNIFICANCE, fewer) {
            (false, _) => Verdict::Noise,
            (true, true) => Verdict::Faster,
            (true, false) => Verdict::Slower,
        }
    }

    /// Whether there are enough samples for [`Samples::against`] to say anything but noise.
    pub fn can_differ(&self, baseline: &Self) -> bool {
        let times = |from: usize, count: usize| (from..from + count).map(|time| time as f64).collect::<Vec<_>>();
        let (n, m) = (self.sorted.len(), baseline.sorted.len());
        rank_test(&times(0, n), &times(n, m)).0 < SIGNIFICANCE
    }
}

impl Verdict {
    /// `faster`, `slower` or `noise`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Noise => "noise",
        }
    }
}

/// Two-sided Mann-Whitney U test with tie and continuity correction: the probability that chance ranks two equal
/// distributions this far apart, and whether `a` tends to be the smaller.
pub fn rank_test(a: &[f64], b: &[f64]) -> (f64, bool) {
    let mut all: Vec<(f64, bool)> = a.iter().map(|&v| (v, true)).chain(b.iter().map(|&v| (v, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let end = start + all[start..].iter().take_while(|(v, _)| *v == all[start].0).count();
        let count = (end - start) as f64;
        let rank = (start + end + 1) as f64 / 2.0;
        rank_sum += rank * all[start..end].iter().filter(|(_, from_a)| *from_a).count() as f64;
        ties += count * count * count - count;
        start = end;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let total = n + m;
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let mean = n * m / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)).max(1.0));
    if variance <= 0.0 {
        return (1.0, false);
    }
    let z = ((u - mean).abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * upper_tail(z), u < mean)
}

/// The share of the standard normal distribution above `z >= 0` (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = series.iter().rev().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(times: &[f64]) -> Samples {
        Samples::new(times.to_vec()).unwrap()
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let five = samples(&[50.0, 10.0, 40.0, 20.0, 30.0]);
        assert_eq!((five.min(), five.median()), (10.0, 30.0));
        // Place 0.9 * 4 = 3.6: 40 + 0.6 * 10. Place 0.99 * 4 = 3.96.
        assert!((five.percentile(90.0) - 46.0).abs() < 1e-9 && (five.percentile(99.0) - 49.6).abs() < 1e-9);
        assert_eq!(samples(&[1.0, 2.0]).median(), 1.5);
        assert_eq!(samples(&[7.0]).percentile(99.0), 7.0);
        assert!(Samples::new(vec![]).is_err() && Samples::new(vec![f64::NAN]).is_err());
    }

    #[test]
    fn the_rank_test_gives_the_textbooks_numbers() {
        // All of a below all of b, 5 and 5: U = 0, mean 12.5, variance 5 * 5 * 11 / 12; z = 12 / 4.787 = 2.507.
        let (p, smaller) = rank_test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!(smaller && (p - 0.01219).abs() < 1e-4, "{p}");
        // Everything tied: nothing to tell apart.
        assert_eq!(rank_test(&[1.0, 1.0], &[1.0, 1.0]).0, 1.0);
        assert!((upper_tail(1.96) - 0.025).abs() < 1e-5 && (upper_tail(0.0) - 0.5).abs() < 1e-7);
    }

    /// 5 % noise around a time, the same for the same seed.
    fn noisy(around: f64, seed: u64) -> Samples {
        let mut state = seed;
        let times = (0..40).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            around * (1.0 + 0.05 * (state >> 40) as f64 / (1u64 << 24) as f64)
        });
        Samples::new(times.collect()).unwrap()
    }

    #[test]
    fn ten_percent_is_seen_and_no_change_is_noise() {
        let baseline = noisy(10.0, 1);
        assert_eq!(noisy(11.0, 2).against(&baseline), Verdict::Slower);
        assert_eq!(noisy(9.0, 3).against(&baseline), Verdict::Faster);
        assert_eq!(noisy(10.0, 4).against(&baseline), Verdict::Noise);
    }

    #[test]
    fn few_samples_are_noise_and_known_to_be() {
        let counted = |n: usize, from: f64| Samples::new((0..n).map(|i| from + i as f64).collect()).unwrap();
        for (n, enough) in [(1, false), (5, false), (6, true), (40, true)] {
            let (now, before) = (counted(n, 100.0), counted(n, 0.0));
            assert_eq!(now.can_differ(&before), enough, "{n}");
            assert_eq!(now.against(&before) == Verdict::Slower, enough, "{n}");
        }
        assert!(counted(3, 0.0).can_differ(&counted(40, 0.0)) && !counted(2, 0.0).can_differ(&counted(5, 0.0)));
    }
}
