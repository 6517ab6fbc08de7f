//! Chained stride-1 max pools with one odd kernel, in workgroup memory. Attributes:
//! [`crate::ops::MaxPoolCascade`]; shader: `max_pool_cascade`.

use super::conv::Parts;
use super::{bind, concat, max_pool, max_pool_cascade_strip};
use crate::error::Result;
use crate::ops::{MaxPool, MaxPoolCascade};
use crate::plan::{Builder, Constant, DeviceProfile, Shader, Slice, Step, joined, padded, params, piece, shader};
use crate::tensor::Shape;

params! {
    len: u32,
    channels4: u32,
    height: u32,
    width: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "max_pool_cascade",
    text: shader!("max_pool_cascade"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("ordered")],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

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
        let [down, across] = [Self::choose(x.h, reach, h)?, Self::choose(x.w, reach, w)?];
        let bytes = down.whole * (across.whole + 1) * 16;
        let fits = bytes <= profile.workgroup_memory && down.whole * across.whole / 4 <= profile.max_invocations;
        fits.then_some([down, across])
    }
}

/// The same pools of `x`, with a kernel that reaches from one end of the map to the other at most.
fn clipped(cascade: &MaxPoolCascade, x: Shape) -> MaxPoolCascade {
    let across = (2 * x.h.max(x.w) - 1).max(3);
    MaxPoolCascade { kernel: cascade.kernel.min(across), ..*cascade }
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
    let Some(most) = most_at_once(builder.profile, cascade, x.shape) else {
        return plan_apart(builder, node, cascade, x, y);
    };
    let (mut from, mut parts, mut done) = (x.clone(), parts, 0);
    while done < cascade.times {
        let times = most.min(cascade.times - done);
        plan_tiles(
            builder,
            node,
            &MaxPoolCascade { times, ..*cascade },
            &from,
            parts.take(),
            &results(x, y, done, times),
        );
        done += times;
        from = results(x, y, done - 1, 1);
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
    let len = x.shape.n * x.shape.h.div_ceil(down.inner) * x.shape.w.div_ceil(across.inner) * x.channels4();
    let sizes = [
        ("RADIUS", cascade.kernel / 2),
        ("TIMES", cascade.times),
        ("TILE_H", down.whole),
        ("TILE_W", across.whole),
        ("INNER_H", down.inner),
        ("INNER_W", across.inner),
    ];
    let source = parts.map_or_else(|| x.clone(), Parts::first);
    let params = Params {
        len,
        channels4: source.channels4(),
        height: source.shape.h,
        width: source.shape.w,
        x_offset: source.offset4(),
        x_stride: source.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let step = Step::new(node, &SHADER, &params, u64::from(len));
    let step = match parts {
        Some(parts) => {
            let step = parts.read_by(step, 2).piece(piece!("source_parts")).piece(piece!("lanes"));
            step.constant("CHANNELS", Constant::U32(x.lanes_to_keep())).writes(0, y).result(x)
        }
        None => bind(step, x, y),
    };
    let step = step.constants(sizes.map(|(name, size)| (name, Constant::U32(size))));
    let step = step.constant("KEEPS_X", Constant::Bool(parts.is_some()));
    let step = step.constant("X_OFFSET", Constant::U32(parts.map_or(0, |_| x.offset4())));
    let loads = 4 * parts.map_or(1, Parts::count);
    let taps = cascade.kernel.saturating_add(3).saturating_mul(2);
    builder.push(step.loops([loads]).loops([cascade.times, taps.saturating_add(4)]));
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
