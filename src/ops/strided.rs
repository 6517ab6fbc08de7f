//! Walks over an operand's values, for operations that take tensors of any rank.

use crate::error::{Error, Result};
use crate::tensor::Shape;

/// One axis of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Steps.
    pub extent: u32,
    /// Values from step to step; backwards if negative, the same value again if 0.
    pub stride: i32,
}

impl Axis {
    /// The least and the most that it moves an index by.
    pub(crate) fn reach(&self) -> [i128; 2] {
        let last = i128::from(self.stride) * (i128::from(self.extent) - 1);
        [last.min(0), last.max(0)]
    }
}

/// The least and the most index that is reached from `offset`, along all of these at once.
pub(crate) fn span(offset: u32, reaches: impl IntoIterator<Item = [i128; 2]>) -> [i128; 2] {
    reaches.into_iter().fold([offset.into(); 2], |[a, b], [least, most]| [a + least, b + most])
}

/// A walk over an operand's values, which are counted in NCHW order, as that of `torch.as_strided`: at `[i, j, …]` stands
/// value `offset + i * stride_i + j * stride_j + …`. The last axis moves first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Strided {
    /// The first value.
    pub offset: u32,
    /// At most [`Strided::MAX_AXES`] once those that can are merged.
    pub axes: Vec<Axis>,
}

impl Strided {
    /// The most axes that kernels walk.
    pub const MAX_AXES: usize = 6;

    /// All values of a dense tensor of these extents, in order.
    pub fn dense(extents: &[u32]) -> Self {
        let mut stride: i64 = 1;
        let mut axes: Vec<Axis> = Vec::with_capacity(extents.len());
        for &extent in extents.iter().rev() {
            // A tensor whose strides exceed this has no values, or too many to be one.
            axes.push(Axis { extent, stride: i32::try_from(stride).unwrap_or(i32::MAX) });
            stride = stride.saturating_mul(extent.into());
        }
        axes.reverse();
        Self { offset: 0, axes }
    }

    /// Steps of the whole walk; saturates.
    pub fn len(&self) -> u64 {
        self.axes.iter().fold(1, |len: u64, axis| len.saturating_mul(axis.extent.into()))
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same walk in the fewest axes: none of extent 1, and none that goes on where the one before it moves.
    pub fn merged(&self) -> Self {
        let mut axes: Vec<Axis> = Vec::with_capacity(self.axes.len());
        for &axis in self.axes.iter().filter(|axis| axis.extent != 1) {
            match axes.last_mut() {
                Some(last) if i64::from(last.stride) == i64::from(axis.stride) * i64::from(axis.extent) => {
                    if let Some(extent) = last.extent.checked_mul(axis.extent) {
                        *last = Axis { extent, stride: axis.stride };
                        continue;
                    }
                    axes.push(axis);
                }
                _ => axes.push(axis),
            }
        }
        Self { offset: self.offset, axes }
    }

    /// Whether it takes the values `offset..` in order.
    pub fn is_dense(&self) -> bool {
        matches!(self.merged().axes[..], [] | [Axis { stride: 1, .. }])
    }

    /// The values in the order of the walk.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let extents: Vec<u64> = self.axes.iter().map(|axis| axis.extent.into()).collect();
        (0..self.len()).map(move |step| {
            let (mut rest, mut index) = (step, i64::from(self.offset));
            for (axis, extent) in self.axes.iter().zip(&extents).rev() {
                index += (rest % extent) as i64 * i64::from(axis.stride);
                rest /= extent;
            }
            index as usize
        })
    }

    /// Checks that it stays among the values of `x`. Errors: a step beyond them, too many axes.
    pub(crate) fn check(&self, op: &str, x: Shape) -> Result<()> {
        let axes = self.merged().axes.len();
        if axes > Self::MAX_AXES {
            let max = Self::MAX_AXES as u64;
            return Err(Error::TooLarge { op: op.into(), what: "the number of axes", value: axes as u64, max });
        }
        if self.is_empty() {
            return Ok(());
        }
        let [least, most] = span(self.offset, self.axes.iter().map(Axis::reach));
        if least < 0 || most >= x.len_wide() as i128 {
            let detail = format!("a walk over values {least} to {most} leaves the {} values of {x}", x.len());
            return Err(Error::mismatch(op, detail));
        }
        Ok(())
    }
}

/// One axis of two walks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Steps.
    pub(crate) extent: u32,
    /// Values from step to step of each walk, modulo 2^32.
    pub(crate) strides: [i32; 2],
}

/// Two walks of as many steps, in the fewest axes that both have. Errors: extents that do not divide each other, more than
/// [`Strided::MAX_AXES`].
pub(crate) fn together(op: &str, walks: [&[Axis]; 2]) -> Result<Vec<Pair>> {
    let mut rests = walks.map(|axes| axes.iter().copied().filter(|axis| axis.extent != 1).collect::<Vec<_>>());
    if rests.iter().flatten().any(|axis| axis.extent == 0) {
        return Ok(Vec::new());
    }
    // From the last axis on, in steps of the smaller one.
    let mut pairs: Vec<Pair> = Vec::new();
    while let [Some(a), Some(b)] = rests.each_mut().map(|axes| axes.last_mut()) {
        let extent = a.extent.min(b.extent);
        if !a.extent.is_multiple_of(extent) || !b.extent.is_multiple_of(extent) {
            let detail = format!("axes of {} and {} values have no common steps", a.extent, b.extent);
            return Err(Error::mismatch(op, detail));
        }
        let strides = [a.stride, b.stride];
        for axis in [a, b] {
            *axis = Axis { extent: axis.extent / extent, stride: axis.stride.wrapping_mul(extent as i32) };
        }
        rests.iter_mut().for_each(|axes| axes.retain(|axis| axis.extent != 1));
        match pairs.last_mut() {
            Some(Pair { extent: inner, strides: steps })
                if [0, 1].iter().all(|&i| strides[i] == steps[i].wrapping_mul(*inner as i32))
                    && inner.checked_mul(extent).is_some() =>
            {
                *inner *= extent;
            }
            _ => pairs.push(Pair { extent, strides }),
        }
    }
    if rests.iter().any(|axes| !axes.is_empty()) {
        return Err(Error::mismatch(op, "two walks of different lengths".to_string()));
    }
    if pairs.len() > Strided::MAX_AXES {
        let (value, max) = (pairs.len() as u64, Strided::MAX_AXES as u64);
        return Err(Error::TooLarge { op: op.into(), what: "the number of axes", value, max });
    }
    pairs.reverse();
    Ok(pairs)
}

/// Checks that a result of `shape` has as many values as a walk has steps. Errors: any other number.
pub(super) fn check_len(op: &str, shape: Shape, len: u64) -> Result<Shape> {
    shape.check(op)?;
    if shape.len() != len {
        return Err(Error::mismatch(op, format!("{shape} holds {} values, and {len} are made", shape.len())));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(axes: &[(u32, i32)]) -> Vec<Axis> {
        axes.iter().map(|&(extent, stride)| Axis { extent, stride }).collect()
    }

    #[test]
    fn walks_together_stand_where_they_stand_alone() {
        let pairs_of = |a: &[(u32, i32)], b: &[(u32, i32)]| together("op", [&axes(a), &axes(b)]).unwrap();
        for (a, b, fewest) in [
            (&[(2, 12), (3, 4), (4, 1)][..], &[(24, 1)][..], 1),
            (&[(24, -1)], &[(2, 1), (12, 0)], 2),
            (&[(2, 100), (3, 4), (4, 1)], &[(6, 4), (1, 9), (4, 1)], 2),
            (&[(2, 0), (3, 0), (4, 1)], &[(2, 4), (3, 8), (4, -1)], 3),
            (&[], &[(1, 7)], 0),
        ] {
            let pairs = pairs_of(a, b);
            assert_eq!(pairs.len(), fewest, "{pairs:?}");
            for (i, alone) in [a, b].into_iter().enumerate() {
                let paired = pairs.iter().map(|pair| Axis { extent: pair.extent, stride: pair.strides[i] }).collect();
                let [alone, paired] = [axes(alone), paired].map(|axes| Strided { offset: 100, axes });
                assert!(alone.indices().eq(paired.indices()), "{pairs:?}");
            }
        }
        assert!(pairs_of(&[(0, 1)], &[(3, 1), (0, 1)]).is_empty());
        for (a, b) in [(&[(6, 1)][..], &[(2, 1), (2, 1)][..]), (&[(3, 1), (2, 1)], &[(2, 1), (3, 1)]), (&[], &[(2, 1)])]
        {
            assert!(matches!(together("op", [&axes(a), &axes(b)]), Err(Error::ShapeMismatch { .. })), "{a:?} {b:?}");
        }
        let scattered = axes(&[(2, 1); 7]);
        assert!(matches!(together("op", [&scattered, &scattered]), Err(Error::TooLarge { .. })));
    }
}
