//! The maximum of every bin of every level, level after level, each flattened from `[c, bins, bins]`.

use std::ops::Range;

use super::{NOTHING, Values, extents, larger};
use crate::ops::{PyramidMode, PyramidPool};
use crate::tensor::Shape;

pub(super) fn pyramid_pool(op: &PyramidPool, x: &Values, out: Shape) -> Values {
    let [_, channels, h, w] = extents(x.shape);
    let levels = Level::of(&op.levels, channels);
    Values::from_fn(out, x.bounded(), |[n, index, _, _]| {
        let (c, bins, by, bx) = bin(&levels, index);
        let mut best = NOTHING;
        for iy in covered(op.mode, h, bins, by) {
            for ix in covered(op.mode, w, bins, bx) {
                best = larger(best, x.at([n, c, iy, ix]));
            }
        }
        best
    })
}

/// A level's bins per side, and where it begins in the vector.
struct Level {
    begin: usize,
    bins: usize,
}

impl Level {
    fn of(levels: &[u32], channels: usize) -> Vec<Self> {
        let place = |end: &mut usize, &bins: &u32| {
            let (begin, bins) = (*end, bins as usize);
            *end += channels * bins * bins;
            Some(Self { begin, bins })
        };
        levels.iter().scan(0, place).collect()
    }
}

/// What lies at `index` of the vector: the channel, its level's bins per side, the bin's row and column.
fn bin(levels: &[Level], index: usize) -> (usize, usize, usize, usize) {
    let Level { begin, bins } = levels[levels.partition_point(|level| level.begin <= index) - 1];
    let index = index - begin;
    (index / (bins * bins), bins, index / bins % bins, index % bins)
}

/// The part of an axis that a bin covers.
fn covered(mode: PyramidMode, size: usize, bins: usize, bin: usize) -> Range<usize> {
    match mode {
        PyramidMode::Padded => {
            let window = size.div_ceil(bins);
            let pad = (window * bins - size).div_ceil(2);
            (bin * window).saturating_sub(pad)..((bin + 1) * window).saturating_sub(pad).min(size)
        }
        PyramidMode::Adaptive => bin * size / bins..((bin + 1) * size).div_ceil(bins),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting, tensor};
    use super::*;

    fn values(x: &crate::Tensor, levels: &[u32], mode: PyramidMode) -> Vec<f64> {
        let pool = PyramidPool { levels: levels.to_vec(), mode };
        apply(x, |graph, x| graph.pyramid_pool("pool", x, pool)).values
    }

    #[test]
    fn bins_follow_the_formulas() {
        // 13 into 4: windows of 4, padding (16 - 13 + 1) / 2 = 2 on both sides.
        let padded: Vec<_> = (0..4).map(|bin| covered(PyramidMode::Padded, 13, 4, bin)).collect();
        assert_eq!(padded, [0..2, 2..6, 6..10, 10..13]);
        // torch.nn.AdaptiveMaxPool2d: floor(i * 13 / 4) .. ceil((i + 1) * 13 / 4).
        let adaptive: Vec<_> = (0..4).map(|bin| covered(PyramidMode::Adaptive, 13, 4, bin)).collect();
        assert_eq!(adaptive, [0..4, 3..7, 6..10, 9..13]);
        // More bins than pixels.
        let crowded: Vec<_> = (0..3).map(|bin| covered(PyramidMode::Adaptive, 2, 3, bin)).collect();
        assert_eq!(crowded, [0..1, 0..2, 1..2]);
    }

    #[test]
    fn levels_follow_each_other_and_channels_run_outside_the_bins() {
        // Channel 0: 1..6 in 2 rows of 3, channel 1: 7..12.
        let x = counting([1, 2, 2, 3]);
        // 3 columns into 2: windows of 2, padding (4 - 3 + 1) / 2 = 1, so column 0, then columns 1 and 2.
        let want = [1.0, 3.0, 4.0, 6.0, 7.0, 9.0, 10.0, 12.0, 6.0, 12.0];
        assert_eq!(values(&x, &[2, 1], PyramidMode::Padded), want);
        // Adaptive: columns 0 and 1, then 1 and 2.
        let want = [2.0, 3.0, 5.0, 6.0, 8.0, 9.0, 11.0, 12.0];
        assert_eq!(values(&x, &[2], PyramidMode::Adaptive), want);
    }

    #[test]
    fn nan_wins_in_its_bins_only_and_minus_infinity_stays() {
        let inf = f32::INFINITY;
        let x = tensor([1, 1, 2, 2], &[f32::NAN, -inf, -inf, 3.0]);
        let y = values(&x, &[2, 1], PyramidMode::Padded);
        assert!(y[0].is_nan() && y[4].is_nan());
        assert_eq!(y[1..4], [f64::NEG_INFINITY, f64::NEG_INFINITY, 3.0]);
    }
}
