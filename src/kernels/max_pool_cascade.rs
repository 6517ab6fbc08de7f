//! Chained stride-1 max pools with one odd kernel, in workgroup memory. Attributes:
//! [`crate::ops::MaxPoolCascade`]; shader: `max_pool_cascade`.

use super::conv::Parts;
use super::{bind, concat, max_pool, max_pool_cascade_strip, sizes};
use crate::error::{Error, Result};
use crate::ops::{MaxPool, MaxPoolCascade};
use crate::plan::{Builder, Constant, DeviceProfile, Shader, Slice, Step, joined, padded, params, piece, shader};
use crate::tensor::Shape;

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    height: u32,
    width: u32,
    radius: u32,
    times: u32,
    tile_h: u32,
    tile_w: u32,
    inverse_h: u32,
    inverse_w: u32,
    inner_h: u32,
    inner_w: u32,
    tiles_h: u32,
    tiles_w: u32,
    parts: u32,
    part_len: u32,
    x_offset: u32,
    x_stride: u32,
    kept_offset: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "max_pool_cascade",
    text: shader!("max_pool_cascade"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

/// Of windows of 5x5.
const COMMON_RADIUS: u32 = 2;

/// What a workgroup computes along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Pixels of each result.
    inner: u32,
    /// Pixels in workgroup memory, a multiple of four: `inner`, and a margin towards each neighbouring tile.
    whole: u32,
}

impl Tile {
    /// Most pixels in workgroup memory, down and across: 224 invocations, 14 784 bytes, within every adapter's limits.
    const MOST: [u32; 2] = [28, 32];

    /// Each is a kernel of its own, so there are few: for squares of 16, 20, 24 and 28 pixels, and for the largest tile.
    const INVOCATIONS: [u32; 5] = [64, 100, 144, 196, Self::MOST[0] * Self::MOST[1] / 4];

    /// The fewest tiles, all of one size; `None` if the margins alone fill one.
    fn choose(extent: u32, reach: u32, most: u32) -> Option<Self> {
        let margins = [(1, 0), (2, reach), (u32::MAX, reach.saturating_mul(2))];
        let fit = margins.into_iter().find_map(|(tiles, margin)| {
            let inner = most.checked_sub(margin).filter(|&inner| inner > 0)?;
            (extent.div_ceil(inner) <= tiles).then_some((inner, margin))
        });
        let (inner, margin) = fit?;
        let inner = extent.div_ceil(extent.div_ceil(inner));
        Some(Self { inner, whole: padded(inner + margin) })
    }

    /// Down and across.
    fn both(profile: &DeviceProfile, cascade: &MaxPoolCascade, x: Shape) -> Option<[Self; 2]> {
        let reach = (cascade.kernel / 2).saturating_mul(cascade.times);
        let [h, w] = Self::MOST;
        let tile = [Self::choose(x.h, reach, h)?, Self::choose(x.w, reach, w)?];
        let invocations = Self::invocations(tile);
        let fits = Self::bytes(invocations) <= profile.workgroup_memory && invocations <= profile.max_invocations;
        fits.then_some(tile)
    }

    /// Invocations of a workgroup, four pixels each: the fewest of [`Self::INVOCATIONS`] that will do.
    fn invocations([down, across]: [Self; 2]) -> u32 {
        let needed = down.whole * across.whole / 4;
        Self::INVOCATIONS.into_iter().find(|&there| there >= needed).unwrap_or(Self::INVOCATIONS[4])
    }

    /// 65 536 / `whole`, rounded up: an invocation's number times this, over 65 536, is exactly its number over `whole`.
    /// A division would take as long as several taps.
    const fn inverse(self) -> u32 {
        65_536_u32.div_ceil(self.whole)
    }

    /// Vec4s that hold any tile of a kernel: each row of pixels, and one.
    const fn len(invocations: u32) -> u32 {
        invocations * 4 + Self::MOST[0]
    }

    const fn bytes(invocations: u32) -> u32 {
        16 * Self::len(invocations)
    }
}

/// The same pools of `x`. A kernel that reaches from one end of the map to the other reaches no further, or is the common
/// one.
fn clipped(cascade: &MaxPoolCascade, x: Shape) -> MaxPoolCascade {
    let across = 2 * x.h.max(x.w) - 1;
    let kernel = if cascade.kernel < across { cascade.kernel } else { across.max(2 * COMMON_RADIUS + 1) };
    MaxPoolCascade { kernel, ..*cascade }
}

/// The most pools of a cascade whose reach fits in a tile; `None` if not even one fits.
fn most_at_once(profile: &DeviceProfile, cascade: &MaxPoolCascade, x: Shape) -> Option<u32> {
    let fits = |&times: &u32| Tile::both(profile, &MaxPoolCascade { times, ..*cascade }, x).is_some();
    // All of them, or fewer than a tile has pixels: each reaches one at least.
    (1..=Tile::MOST[1].min(cascade.times)).chain([cascade.times]).rev().find(fits)
}

/// Whether the kernel can add up an input in parts.
pub(crate) fn adds_parts(profile: &DeviceProfile, cascade: &MaxPoolCascade, x: &Slice) -> bool {
    let in_tiles = || most_at_once(profile, &clipped(cascade, x.shape), x.shape).is_some();
    !max_pool_cascade_strip::supports(profile, cascade, x) && in_tiles()
}

/// One dispatch, or several if the pools reach beyond a tile: reads slice `x`, writes slice `y`, which may lie in the
/// same buffer. If `x` is still in `parts`, reads those and writes both slices, which share a buffer.
pub(crate) fn plan(
    builder: &mut Builder,
    node: &str,
    cascade: &MaxPoolCascade,
    x: &Slice,
    parts: Option<&Parts>,
    y: &Slice,
) -> Result<()> {
    if max_pool_cascade_strip::supports(builder.profile, cascade, x) {
        max_pool_cascade_strip::plan(builder, node, x, y);
        return Ok(());
    }
    let cascade = &clipped(cascade, x.shape);
    let (mut from, mut parts, mut done) = (x.clone(), parts, 0);
    while done < cascade.times {
        let rest = MaxPoolCascade { times: cascade.times - done, ..*cascade };
        // A tile for fewer pools may be larger, and exceed the device where that for more does not.
        let Some(times) = most_at_once(builder.profile, &rest, x.shape) else {
            check_dispatches(node, rest.times, 1)?;
            return plan_apart(builder, node, &rest, &from, &results(x, y, done, rest.times));
        };
        check_dispatches(node, rest.times, times)?;
        let at_once = MaxPoolCascade { times, ..rest };
        plan_tiles(builder, node, &at_once, &from, parts.take(), &results(x, y, done, times));
        done += times;
        from = results(x, y, done - 1, 1);
    }
    Ok(())
}

/// Errors: so many dispatches that the plan itself would fill the host's memory.
fn check_dispatches(node: &str, pools: u32, at_once: u32) -> Result<()> {
    const MOST: u32 = 65_536;
    if pools.div_ceil(at_once) > MOST {
        let (op, what) = (format!("max_pool_cascade '{node}'"), format!("{pools} pools, {at_once} in a dispatch,"));
        return Err(Error::Unsupported { op, what, hint: format!("at most {MOST} dispatches can be planned for it") });
    }
    Ok(())
}

/// Of the results `y` of pooling `x`, those of `times` pools after `done` others.
fn results(x: &Slice, y: &Slice, done: u32, times: u32) -> Slice {
    let segments = joined(x.segments.repeat(times as usize));
    let shape = Shape { c: times * x.shape.c, ..x.shape };
    Slice { offset: y.offset + done * x.physical_c(), shape, segments, ..y.clone() }
}

fn plan_tiles(
    builder: &mut Builder,
    node: &str,
    cascade: &MaxPoolCascade,
    x: &Slice,
    parts: Option<&Parts>,
    y: &Slice,
) {
    let [down, across] =
        Tile::both(builder.profile, cascade, x.shape).expect("most_at_once gave only what fits the tiles");
    let [tiles_h, tiles_w] = [x.shape.h.div_ceil(down.inner), x.shape.w.div_ceil(across.inner)];
    let len = x.shape.n * tiles_h * tiles_w * x.channels4();
    let source = parts.map_or_else(|| x.clone(), Parts::first);
    let params = Params {
        len,
        channels: x.lanes_to_keep(),
        channels4: source.channels4(),
        height: source.shape.h,
        width: source.shape.w,
        radius: cascade.kernel / 2,
        times: cascade.times,
        tile_h: down.whole,
        tile_w: across.whole,
        inverse_h: down.inverse(),
        inverse_w: across.inverse(),
        inner_h: down.inner,
        inner_w: across.inner,
        tiles_h,
        tiles_w,
        parts: parts.map_or(1, Parts::count),
        part_len: parts.map_or(0, Parts::len4),
        x_offset: source.offset4(),
        x_stride: source.stride4(),
        kept_offset: x.offset4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let step = Step::new(node, &SHADER, &params, u64::from(len));
    let step = match parts {
        Some(parts) => {
            let step = parts.read_by(step, 2).piece(piece!("source_parts")).piece(piece!("lanes"));
            step.writes(0, y).result(x)
        }
        None => bind(step, x, y).piece(piece!("source_four")),
    };
    let invocations = Tile::invocations([down, across]);
    // The window of nearly every block is compiled in, so that its taps are no loop; others share a kernel.
    let radius = if params.radius == COMMON_RADIUS { COMMON_RADIUS } else { 0 };
    let all = [("WG_SIZE", invocations), ("TILE_LEN", Tile::len(invocations)), ("RADIUS", radius)];
    let step = step.memory(Tile::bytes(invocations)).constants(sizes(all));
    let step = step.constant("KEEPS_X", Constant::Bool(parts.is_some())).pieces(builder.ordered());
    // Taps that four neighbours share, of a row and of a column.
    let inside = 2 * (2 * params.radius - 2);
    builder.push(step.loops([params.parts]).loops([params.times, inside]));
}

/// Windows larger than a tile, by `max_pool`. Each pool reads the previous result from a buffer of its own: a
/// dispatch may not read and write the same buffer, and the results lie side by side in `y`.
fn plan_apart(builder: &mut Builder, node: &str, cascade: &MaxPoolCascade, x: &Slice, y: &Slice) -> Result<()> {
    let pool = MaxPool::same(cascade.kernel);
    let mut from = x.clone();
    for i in 0..cascade.times {
        let result = results(x, y, i, 1);
        let is_last = i + 1 == cascade.times;
        if is_last && from.buffer != y.buffer {
            max_pool::plan(builder, node, &pool, &from, &result);
            break;
        }
        let pooled = builder.scratch(format!("pool {} of '{node}'", i + 1), x.shape, x.segments.clone())?;
        max_pool::plan(builder, node, &pool, &from, &pooled);
        concat::plan_copy(builder, node, &pooled, &result);
        from = pooled;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_yields_the_exact_quotient_of_every_invocation() {
        let [h, w] = Tile::MOST;
        for whole in (4..=w).step_by(4) {
            let inverse = Tile { inner: 1, whole }.inverse();
            assert!((0..h * w / 4).all(|lane| lane * inverse / 65_536 == lane / whole), "{whole}");
        }
    }

    #[test]
    fn tiles_are_few_and_even() {
        let tile = |extent, reach| Tile::choose(extent, reach, 32).map(|tile| (tile.inner, tile.whole));
        assert_eq!(tile(1, 6), Some((1, 4)));
        assert_eq!(tile(20, 6), Some((20, 20)));
        assert_eq!(tile(32, 99), Some((32, 32)), "a map in one tile needs no margin");
        // Two tiles have one margin each.
        assert_eq!(tile(38, 6), Some((19, 28)));
        assert_eq!(tile(52, 6), Some((26, 32)));
        assert_eq!(tile(53, 6), Some((18, 32)));
        assert_eq!(tile(1000, 6), Some((20, 32)));
        assert_eq!(tile(1000, 15), Some((2, 32)));
        assert_eq!(tile(1000, 16), None);
    }
}
