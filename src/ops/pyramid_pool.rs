//! Spatial pyramid pooling of He et al. (arXiv 1406.4729): any map becomes one vector.

use std::fmt;

use super::{Operand, Operation, View, Work, operands};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// How a level's bins cover the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PyramidMode {
    /// Windows of `ceil(size / bins)` with padding `(window * bins - size + 1) / 2`, rounded down, on both sides.
    /// Some sizes do not fit: see [`PyramidPool::output_shape`].
    #[default]
    Padded,
    /// Bin `i` covers `floor(i * size / bins) .. ceil((i + 1) * size / bins)`; every size fits.
    Adaptive,
}

/// The maximum over each bin of each level, flattened per level as PyTorch's `view(n, -1)` of NCHW and concatenated:
/// `[n, c * Σ bins², 1, 1]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PyramidPool {
    /// Bins along each side, one entry per level: `[4, 2, 1]` in the paper's code.
    pub levels: Vec<u32>,
    /// How bins are laid out.
    pub mode: PyramidMode,
}

impl PyramidPool {
    /// Window and padding of one axis in `Padded` mode.
    pub(crate) fn padded_window(extent: u32, bins: u32) -> (u32, u32) {
        let window = extent.div_ceil(bins);
        (window, (u64::from(window) * u64::from(bins) - u64::from(extent)).div_ceil(2) as u32)
    }

    /// Bins of all levels: Σ bins².
    pub(crate) fn bins(&self) -> u64 {
        self.levels.iter().fold(0, |sum, &bins| sum.saturating_add(u64::from(bins) * u64::from(bins)))
    }

    /// Output shape for `x`. Errors: no level; a level of 0 bins; in `Padded` mode a size whose padding is over half
    /// the window or that yields a different number of bins.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        x.check(op)?;
        if self.levels.is_empty() || self.levels.contains(&0) {
            let levels = format!("{:?}", self.levels);
            return Err(Error::param(op, "levels", levels, "needs at least one level, each of at least one bin"));
        }
        let channels = self.bins().saturating_mul(u64::from(x.c));
        let max = crate::tensor::MAX_ELEMENTS;
        if channels > max {
            return Err(Error::TooLarge { op: op.into(), what: "the vector's length", value: channels, max });
        }
        if self.mode == PyramidMode::Padded {
            for &bins in &self.levels {
                for (axis, extent) in [("height", x.h), ("width", x.w)] {
                    padded_fits(op, bins, axis, extent)?;
                }
            }
        }
        Shape::new(x.n, channels as u32, 1, 1).check(op)
    }
}

fn padded_fits(op: &str, bins: u32, axis: &str, extent: u32) -> Result<()> {
    let (window, pad) = PyramidPool::padded_window(extent, bins);
    let made = (u64::from(extent) + 2 * u64::from(pad) - u64::from(window)) / u64::from(window) + 1;
    let problem = if pad > window / 2 {
        format!("padding {pad} is over half the window {window}")
    } else if made != u64::from(bins) {
        format!("windows of {window} with padding {pad} make {made} bins")
    } else {
        return Ok(());
    };
    let reason = format!("{axis} {extent} cannot be split into {bins} padded bins: {problem}; use mode 'adaptive'");
    Err(Error::param(op, "levels", bins, &reason))
}

impl Operation for PyramidPool {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let [x] = operands(op, xs)?;
        self.output_shape(op, x.shape)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        View::Whole
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            PyramidMode::Padded => "padded",
            PyramidMode::Adaptive => "adaptive",
        };
        write!(f, " {:?}, {mode}", self.levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_mode_refuses_sizes_that_do_not_fit_and_names_the_remedy() {
        let pool = |levels: &[u32], mode| PyramidPool { levels: levels.to_vec(), mode };
        let shape = |h, w| Shape::new(1, 2, h, w);
        let padded = pool(&[4, 2, 1], PyramidMode::Padded);
        assert_eq!(padded.output_shape("p", shape(13, 13)).unwrap(), Shape::new(1, 42, 1, 1));
        // 5 rows in 4 bins: windows of 2, padding (8 - 5 + 1) / 2 = 2 is over half of 2.
        let error = padded.output_shape("p", shape(5, 13)).unwrap_err().to_string();
        assert!(error.contains("height 5") && error.contains("adaptive"), "{error}");
        assert!(pool(&[4], PyramidMode::Adaptive).output_shape("p", shape(3, 5)).is_ok());
        assert!(pool(&[], PyramidMode::Adaptive).output_shape("p", shape(3, 5)).is_err());
        assert!(pool(&[3, 0], PyramidMode::Adaptive).output_shape("p", shape(3, 5)).is_err());
    }
}
