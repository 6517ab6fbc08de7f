//! Numbers that are the same each time: splitmix64, and the normal distribution by Box and Muller.

use std::f64::consts::TAU;

/// A separate stream for every seed and key.
pub(crate) struct Random {
    state: u64,
    spare: Option<f64>,
}

impl Random {
    pub(crate) fn new(seed: u64, key: &str) -> Self {
        // FNV-1a
        let hash = key
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let mut random = Self { state: seed, spare: None };
        random.state = random.bits() ^ hash;
        random
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..1`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, variance 1.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_have_the_moments_they_promise_and_differ_by_seed_and_key() {
        let n = 100_000;
        let mut random = Random::new(7, "conv.weight");
        let normal: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / f64::from(n);
        // Five standard errors: 5/sqrt(n) for the mean, 5*sqrt(2/n) for the variance, and so on.
        assert!(mean(&mut normal.iter().copied()).abs() < 0.016);
        assert!((mean(&mut normal.iter().map(|x| x * x)) - 1.0).abs() < 0.023);
        assert!((mean(&mut normal.iter().map(|x| x.powi(4))) - 3.0).abs() < 0.16);
        let product = mean(&mut normal.windows(2).map(|pair| pair[0] * pair[1]));
        assert!(product.abs() < 0.016, "neighbours are correlated: {product}");
        let uniform: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
        assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)));
        assert!((mean(&mut uniform.iter().copied()) - 0.5).abs() < 0.005);

        let first = |seed, key| Random::new(seed, key).normal();
        assert_eq!(first(7, "conv.weight"), normal[0]);
        assert_ne!(first(8, "conv.weight"), normal[0]);
        assert_ne!(first(7, "conv.bias"), normal[0]);
    }
}
