//! Where a tensor lies: in which buffer and order, at which offset and stride.

use std::fmt;
use std::sync::Arc;

use super::Buffer;
use crate::tensor::Shape;

/// A buffer of a plan, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub(crate) u32);

impl BufferId {
    /// Position in [`super::Plan::buffers`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The order of values in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Pixels of channels, padded to a multiple of four: what kernels work on.
    Nhwc,
    /// As on the host, dense within an image: graph inputs and outputs, and rows of scores.
    Nchw,
    /// Pixels of channels without padding: graph inputs and outputs where [`PlanOptions`](super::PlanOptions) say so.
    NhwcDense,
}

/// Type of a value in memory. All byte sizes come from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// A 32-bit float.
    F32,
    /// A 16-bit float, two in each word.
    F16,
    /// An 8-bit unsigned integer of a graph input or output, four in each word.
    U8,
    /// A 32-bit unsigned integer of a table: an offset, an extent.
    U32,
}

impl Element {
    /// Bytes of one value.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 => 2,
            Self::U8 => 1,
        }
    }

    /// Bytes of `len` values in whole words, as shaders bind and copies move them; saturates.
    pub const fn bytes_of(self, len: u64) -> u64 {
        len.saturating_mul(self.bytes()).div_ceil(4).saturating_mul(4)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::U32 => "u32",
        })
    }
}

/// A tensor's place in a buffer. A concatenation's operands are slices of one buffer, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The buffer.
    pub buffer: BufferId,
    /// Type of a value.
    pub element: Element,
    /// Logical extents.
    pub shape: Shape,
    /// The order of values.
    pub order: Order,
    /// NHWC, dense or not: first channel within a pixel. NCHW: first value within an image.
    pub offset: u32,
    /// NHWC, dense or not: channels from pixel to pixel. NCHW: values from image to image.
    pub stride: u32,
    /// Runs of channels, each padded to a multiple of four before the next begins; only NHWC has gaps. Shared, as a wide
    /// concatenation has tens of thousands of them, and as many dispatches that copy one.
    pub segments: Arc<[u32]>,
}

/// `channels` rounded up to a multiple of four; saturates, as anyone may have made up a slice.
pub(crate) const fn padded(channels: u32) -> u32 {
    channels.div_ceil(4).saturating_mul(4)
}

/// Joins runs that meet without a gap.
pub(crate) fn joined(segments: impl IntoIterator<Item = u32>) -> Arc<[u32]> {
    let mut joined: Vec<u32> = Vec::new();
    for channels in segments {
        match joined.last_mut() {
            Some(last) if last.is_multiple_of(4) => *last += channels,
            _ => joined.push(channels),
        }
    }
    joined.into()
}

/// Channels in memory, padding included; saturates.
pub(crate) fn physical(segments: &[u32]) -> u32 {
    segments.iter().fold(0, |sum: u32, &c| sum.saturating_add(padded(c)))
}

/// For each segment: its first logical channel, its first physical channel, its channels.
fn runs(segments: &[u32]) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
    segments.iter().scan((0, 0), |(logical, physical), &channels| {
        let run = (*logical, *physical, channels);
        *logical += channels;
        *physical += padded(channels);
        Some(run)
    })
}

/// For each physical channel, the logical one, or `None` in padding.
pub(crate) fn channel_map(segments: &[u32]) -> Vec<Option<u32>> {
    let mut map = vec![None; physical(segments) as usize];
    for (logical, physical, channels) in runs(segments) {
        for c in 0..channels {
            map[(physical + c) as usize] = Some(logical + c);
        }
    }
    map
}

/// Values of one image; saturates.
pub(crate) const fn image_len(shape: Shape) -> u32 {
    shape.c.saturating_mul(shape.h).saturating_mul(shape.w)
}

impl Slice {
    /// All of a buffer, pixel by pixel, its channels in these runs.
    pub(crate) fn nhwc(buffer: BufferId, element: Element, shape: Shape, segments: Arc<[u32]>) -> Self {
        let stride = physical(&segments);
        Self { buffer, element, shape, order: Order::Nhwc, offset: 0, stride, segments }
    }

    /// All of a buffer, in the host's order.
    pub(crate) fn nchw(buffer: BufferId, element: Element, shape: Shape) -> Self {
        let (stride, segments) = (image_len(shape), [shape.c].into());
        Self { buffer, element, shape, order: Order::Nchw, offset: 0, stride, segments }
    }

    /// All of a graph input's or output's buffer, pixel by pixel without padding.
    pub(crate) fn nhwc_dense(buffer: BufferId, element: Element, shape: Shape) -> Self {
        Self { order: Order::NhwcDense, stride: shape.c, ..Self::nchw(buffer, element, shape) }
    }

    /// Whether all its images lie in NCHW, one right after the other.
    pub(crate) const fn is_dense(&self) -> bool {
        matches!(self.order, Order::Nchw) && (self.shape.n <= 1 || self.stride == image_len(self.shape))
    }

    /// The same values, dense in NCHW, under another shape.
    pub(crate) fn reshaped(&self, shape: Shape) -> Self {
        Self { offset: self.offset, ..Self::nchw(self.buffer, self.element, shape) }
    }

    /// Bytes of the values, padding not counted.
    pub const fn bytes(&self) -> u64 {
        self.element.bytes_of(self.shape.len())
    }

    /// Whether all its values, padding included, are values of `buffer`.
    pub(super) fn lies_in(&self, buffer: &Buffer) -> bool {
        let Shape { n, c, h, w } = self.shape;
        let pixels = u128::from(h) * u128::from(w);
        let (rows, len) = match self.order {
            Order::Nhwc => (u128::from(n) * pixels, self.segments.iter().map(|&c| u128::from(c).div_ceil(4) * 4).sum()),
            Order::Nchw => (u128::from(n), u128::from(c) * pixels),
            Order::NhwcDense => (u128::from(n) * pixels, c.into()),
        };
        let end = |rows: u128| (rows - 1) * u128::from(self.stride) + u128::from(self.offset) + len;
        self.element == buffer.element && (rows == 0 || end(rows) <= buffer.len.into())
    }

    /// Channels in memory, padding included; saturates.
    pub fn physical_c(&self) -> u32 {
        physical(&self.segments)
    }

    /// Values from channel to channel, from pixel to pixel and from image to image; saturates.
    pub(crate) const fn strides(&self) -> [u32; 3] {
        let pixels = self.shape.h.saturating_mul(self.shape.w);
        match self.order {
            Order::Nchw => [pixels, 1, self.stride],
            Order::Nhwc | Order::NhwcDense => [1, self.stride, self.stride.saturating_mul(pixels)],
        }
    }

    /// Pixels over all images; saturates.
    pub const fn pixels(&self) -> u32 {
        self.shape.n.saturating_mul(self.shape.h).saturating_mul(self.shape.w)
    }

    pub(crate) fn offset4(&self) -> u32 {
        self.offset / 4
    }

    pub(crate) fn stride4(&self) -> u32 {
        self.stride / 4
    }

    pub(crate) fn channels4(&self) -> u32 {
        self.physical_c() / 4
    }

    /// Channels before the padding at the end. Gaps between runs are not cut off: they hold zeros, which elementwise
    /// kernels keep.
    pub(crate) fn lanes_to_keep(&self) -> u32 {
        if self.segments.len() == 1 { self.shape.c } else { self.physical_c() }
    }

    /// For each segment: its first logical channel, its first physical channel, its channels.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        runs(&self.segments)
    }

    /// For each physical channel, the logical one, or `None` in padding.
    pub(crate) fn channel_map(&self) -> Vec<Option<u32>> {
        channel_map(&self.segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_a_gap_between_them_are_joined() {
        assert_eq!(*joined([8, 4, 3, 5, 8]), [15, 5, 8]);
        assert_eq!(*joined([9, 9, 9, 9]), [9, 9, 9, 9]);
        assert_eq!(physical(&[9, 9]), 24);
        let shape = Shape::new(1, 5, 1, 1);
        let slice = Slice::nhwc(BufferId(0), Element::F32, shape, [3, 2].into());
        let map = [Some(0), Some(1), Some(2), None, Some(3), Some(4), None, None];
        assert_eq!(slice.channel_map(), map);
    }
}
