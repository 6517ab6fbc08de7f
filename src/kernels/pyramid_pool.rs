//! Spatial pyramid pooling. Attributes: [`crate::ops::PyramidPool`]; shader: `pyramid_pool`.

use std::borrow::Cow;

use super::{WG_SIZE, sizes};
use crate::error::{Error, Result};
use crate::ops::{PyramidMode, PyramidPool, Recipe};
use crate::plan::{Builder, Element, Shader, Slice, Step, params, piece, shader};
use crate::tensor::{MAX_ELEMENTS, Shape};

params! {
    len: u32,
    bins: u32,
    channels: u32,
    channels4: u32,
    in_h: u32,
    in_w: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    y_len: u32,
    y_padded: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "pyramid_pool",
    text: shader!("pyramid_pool"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 3,
    params: Params::FIELDS,
    tables: &[],
};

impl PyramidPool {
    /// First and one past the last index of bin `i` of `bins` along an axis of `extent`.
    fn range(&self, i: u32, bins: u32, extent: u32) -> [u32; 2] {
        let [i, n, size] = [u64::from(i), u64::from(bins), u64::from(extent)];
        let [begin, end] = match self.mode {
            PyramidMode::Adaptive => [i * size / n, ((i + 1) * size).div_ceil(n)],
            PyramidMode::Padded => {
                let (window, pad) = Self::padded_window(extent, bins);
                let [window, pad] = [u64::from(window), u64::from(pad)];
                [(i * window).saturating_sub(pad), ((i + 1) * window).saturating_sub(pad).min(size)]
            }
        };
        [begin as u32, end as u32]
    }

    /// The most indices of a bin along an axis of `extent`.
    fn largest(&self, extent: u32) -> u32 {
        let ranges = self.levels.iter().flat_map(|&bins| (0..bins).map(move |i| self.range(i, bins, extent)));
        ranges.map(|[begin, end]| end - begin).max().unwrap_or(0)
    }
}

/// The table of bins that the shader reads: rows, columns, first output and distance from channel to channel.
#[derive(PartialEq, Eq, Hash)]
struct Bins {
    pool: PyramidPool,
    x: Shape,
}

impl Recipe<u32> for Bins {
    fn values(&self) -> Cow<'_, [u32]> {
        let Self { pool, x } = self;
        let mut table = Vec::new();
        let mut level_base = 0;
        for &bins in &pool.levels {
            for (by, bx) in (0..bins).flat_map(|by| (0..bins).map(move |bx| (by, bx))) {
                table.extend(pool.range(by, bins, x.h));
                table.extend(pool.range(bx, bins, x.w));
                table.extend([level_base + by * bins + bx, bins * bins]);
            }
            level_base += x.c * bins * bins;
        }
        table.into()
    }
}

/// One dispatch for all bins of all levels: reads slice `x`, writes the vectors `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, pool: &PyramidPool, x: &Slice, y: &Slice) -> Result<()> {
    let bins = pool.bins();
    let len = u64::from(x.shape.n) * bins * u64::from(x.channels4());
    let max = MAX_ELEMENTS;
    if len > max || bins * 6 > max {
        let op = format!("pyramid_pool '{node}'");
        return Err(Error::TooLarge { op, what: "bins times channels", value: len, max });
    }
    let params = Params {
        len: len as u32,
        bins: bins as u32,
        channels: x.shape.c,
        channels4: x.channels4(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset,
        y_stride: y.stride,
        y_len: y.shape.c,
        y_padded: y.physical_c(),
    };
    // One bin of a level may be the whole map, and would keep one invocation of a GPU busy long after all others are done.
    let shares = builder.profile.class.sharing();
    let pixels = pool.largest(x.shape.h).saturating_mul(pool.largest(x.shape.w));
    // A batch has the bins of one image.
    let of_bins = Bins { pool: pool.clone(), x: Shape { n: 1, ..x.shape } };
    let table = builder.table(format!("bins of '{node}'"), bins * 6, of_bins)?;
    let workgroups = len.div_ceil(u64::from(WG_SIZE / shares));
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, x).writes(1, y).table(2, table);
    let step = step.loops([pixels.div_ceil(shares)]).pieces(builder.ordered());
    let step = step.piece(if y.element == Element::F16 { piece!("y_halves") } else { piece!("y_words") });
    builder.push(step.memory(16 * WG_SIZE).constants(sizes([("WG_SIZE", WG_SIZE), ("SHARES", shares)])));
    Ok(())
}
