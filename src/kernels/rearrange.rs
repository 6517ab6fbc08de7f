//! A copy in another order. Attributes: [`crate::ops::Rearrange`]; shader: `rearrange`.

use std::borrow::Cow;

use super::{WG_SIZE, sizes, workgroups};
use crate::error::Result;
use crate::ops::{Axis, Rearrange, Recipe, Strided, Walk};
use crate::plan::{Builder, Constant, Element, Fields, Shader, Slice, Step, image_len, params, piece, shader};
use crate::tensor::Shape;

params! { Sizes {
    len: u32,
    x_offset: u32,
    fill: u32,
    y_offset: u32,
    y_image: u32,
    y_stride: u32,
    unused_0: u32,
    unused_1: u32,
} }

params! { Leg {
    extent: u32,
    step: u32,
    unused_0: u32,
    unused_1: u32,
} }

const TABLES: &[(&str, Fields)] = &[("Sizes", Sizes::FIELDS), ("Leg", Leg::FIELDS)];

pub(crate) static SHADER: Shader = Shader {
    stem: "rearrange",
    text: shader!("rearrange"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: &[],
    tables: TABLES,
};

/// Stands in tables where a value is filled in.
const FILLED: u32 = u32::MAX;

/// One dispatch: reads slice `x`, of any order that [`reads_pixels`] allows, or else dense in NCHW; writes slice `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, op: &Rearrange, x: &Slice, y: &Slice) -> Result<()> {
    let (offset, walks) = match in_places(op, x.shape) {
        Some((offset, walks)) => {
            let strides = x.strides().map(i64::from);
            let at = |place: &Place| (0..3).map(|i| place[i] * strides[i]).sum::<i64>();
            (at(&offset), walks.iter().map(|walk| walk.at(at)).collect())
        }
        None => (op.offset.into(), op.axes.iter().map(Leap::of).collect()),
    };
    let (mut offset, leaps) = merged(i64::from(x.offset) + offset, walks);
    let has_places = leaps.iter().any(|leap| matches!(leap, Leap::Places(_)));
    if has_places {
        offset += leaps.iter().map(lowest).sum::<i64>();
    }
    let len = y.shape.len() as u32;
    let sizes_of = Sizes {
        len,
        x_offset: offset as u32,
        fill: op.fill.to_bits(),
        y_offset: y.offset,
        y_image: image_len(y.shape),
        y_stride: y.stride,
        ..Sizes::default()
    };
    let mut entries = 0;
    let legs: Vec<Leg> = leaps
        .iter()
        .map(|leap| {
            let (extent, step) = match leap {
                Leap::Steps { extent, step } => (*extent, *step as u32),
                Leap::Places(places) => (places.len() as u32, 0),
            };
            let begin = entries as u32;
            entries += u64::from(extent);
            Leg { extent, step: if has_places { begin } else { step }, ..Leg::default() }
        })
        .collect();
    let mut step = Step::new(node, &SHADER, &[0u32; 0], workgroups(len)).reads(0, x).writes(1, y);
    step.params = [bytemuck::bytes_of(&sizes_of), bytemuck::cast_slice(&legs)].concat();
    let step = if has_places {
        let places = builder.table(format!("places of '{node}'"), entries, Places(leaps))?;
        step.table(3, places).piece(piece!("walk_places"))
    } else {
        step.piece(piece!("walk_steps"))
    };
    let step = step.piece(match x.element {
        Element::F16 => piece!("bits_f16"),
        Element::F32 | Element::U8 | Element::U32 => piece!("bits_f32"),
    });
    let step = step.constants(sizes([("WG_SIZE", WG_SIZE), ("AXES", legs.len() as u32)]));
    builder.push(step.constant("IMAGES", Constant::Bool(!y.is_dense())).loops([legs.len() as u32]));
    Ok(())
}

/// Whether the walk over `x` can be made where pixels hold their channels: no axis goes on from one channel, or one image,
/// into the next.
pub(crate) fn reads_pixels(op: &Rearrange, x: Shape) -> bool {
    in_places(op, x).is_some()
}

/// How far a walk is from the first value in channels, pixels and images.
type Place = [i64; 3];

/// How an axis moves, in places `P`.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Leap<P> {
    Steps { extent: u32, step: P },
    Places(Vec<Option<P>>),
}

impl Leap<i64> {
    fn of(walk: &Walk) -> Self {
        match walk {
            Walk::Steps(Axis { extent, stride }) => Self::Steps { extent: *extent, step: i64::from(*stride) },
            Walk::Places(places) => Self::Places(places.iter().map(|place| place.map(i64::from)).collect()),
        }
    }
}

impl Leap<Place> {
    fn at(&self, at: impl Fn(&Place) -> i64) -> Leap<i64> {
        match self {
            Self::Steps { extent, step } => Leap::Steps { extent: *extent, step: at(step) },
            Self::Places(places) => Leap::Places(places.iter().map(|place| place.as_ref().map(&at)).collect()),
        }
    }

    /// The least and the most that it adds to each coordinate.
    fn reach(&self) -> [[i64; 2]; 3] {
        match self {
            Self::Steps { extent, step } => step.map(|step| {
                let last = step * (i64::from(*extent) - 1).max(0);
                [last.min(0), last.max(0)]
            }),
            Self::Places(places) => [0, 1, 2].map(|i| {
                let there = || places.iter().flatten().map(|place| place[i]);
                [there().min().unwrap_or(0), there().max().unwrap_or(0)]
            }),
        }
    }
}

/// The walk by channels, pixels and images; `None` if an axis goes on from one channel or image into the next, so that a
/// step is not always as far.
fn in_places(op: &Rearrange, x: Shape) -> Option<(Place, Vec<Leap<Place>>)> {
    let pixels = i64::from(x.h) * i64::from(x.w);
    let image = pixels * i64::from(x.c);
    if image == 0 {
        return None;
    }
    let place = |index: i64| -> Place {
        let size = index.abs();
        [size / pixels % i64::from(x.c), size % pixels, size / image].map(|part| part * index.signum())
    };
    let mut leaps = Vec::with_capacity(op.axes.len());
    for walk in &op.axes {
        match walk {
            Walk::Steps(axis) => {
                let axes = split(*axis, image).into_iter().flat_map(|axis| split(axis, pixels));
                leaps.extend(axes.map(|Axis { extent, stride }| Leap::Steps { extent, step: place(stride.into()) }));
            }
            Walk::Places(places) => {
                leaps.push(Leap::Places(places.iter().map(|at| at.map(|at| place(at.into()))).collect()));
            }
        }
    }
    let offset = place(op.offset.into());
    let extents = [x.c.into(), pixels, x.n.into()];
    let stays = |i: usize| {
        let reach = leaps.iter().map(|leap| leap.reach()[i]);
        let [least, most] = reach.fold([offset[i]; 2], |[a, b], [c, d]| [a + c, b + d]);
        least >= 0 && most < extents[i]
    };
    ((0..3).all(stays) && leaps.len() <= Strided::MAX_AXES).then_some((offset, leaps))
}

/// An axis as two that each stay on their side of multiples of `len`, if it can be.
fn split(axis: Axis, len: i64) -> Vec<Axis> {
    let (extent, stride) = (i64::from(axis.extent), i64::from(axis.stride));
    let inner = len / stride.abs().max(1);
    let crosses = stride != 0 && stride.abs() < len && stride.abs() * extent > len;
    if !crosses || len % stride != 0 || extent % inner != 0 {
        return vec![axis];
    }
    // No longer than the axis, and no stride beyond the tensor.
    let outer = Axis { extent: (extent / inner) as u32, stride: (len * stride.signum()) as i32 };
    vec![outer, Axis { extent: inner as u32, stride: axis.stride }]
}

/// In the fewest axes, as [`Strided::merged`].
fn merged(mut offset: i64, leaps: Vec<Leap<i64>>) -> (i64, Vec<Leap<i64>>) {
    let mut merged: Vec<Leap<i64>> = Vec::with_capacity(leaps.len());
    for leap in leaps {
        match (leap, merged.last_mut()) {
            (Leap::Steps { extent: 1, .. }, _) => {}
            (Leap::Places(places), _) if matches!(places[..], [Some(_)]) => {
                offset += places.into_iter().flatten().sum::<i64>();
            }
            (Leap::Steps { extent, step }, Some(Leap::Steps { extent: outer, step: of }))
                if *of == step * i64::from(extent) =>
            {
                // A walk has as many steps as the result has values, which 32 bits count.
                (*outer, *of) = (*outer * extent, step);
            }
            (leap, _) => merged.push(leap),
        }
    }
    if merged.is_empty() {
        merged.push(Leap::Steps { extent: 1, step: 0 });
    }
    (offset, merged)
}

/// The lowest that equal steps lead to.
fn lowest(leap: &Leap<i64>) -> i64 {
    match leap {
        Leap::Steps { extent, step } => (step * (i64::from(*extent) - 1)).min(0),
        Leap::Places(_) => 0,
    }
}

/// All axes of a walk, one after the other; equal steps count from their lowest value on, so that none is as low as what
/// stands for a value to fill in.
#[derive(PartialEq, Eq, Hash)]
struct Places(Vec<Leap<i64>>);

impl Recipe<u32> for Places {
    fn values(&self) -> Cow<'_, [u32]> {
        let mut table = Vec::new();
        for leap in &self.0 {
            match leap {
                Leap::Steps { extent, step } => {
                    table.extend((0..i64::from(*extent)).map(|i| (i * step - lowest(leap)) as u32));
                }
                Leap::Places(places) => table.extend(places.iter().map(|at| at.map_or(FILLED, |at| at as u32))),
            }
        }
        table.into()
    }
}
