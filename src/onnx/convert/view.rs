//! What a file calls a tensor, as a walk over the values of a graph's node. Transposes, slices, splits, expansions and
//! most reshapes are other walks over the same values: nothing is moved until an operation needs them in order.

use std::sync::Arc;

use crate::graph::NodeId;
use crate::ops::{Axis, Rearrange, Strided, Walk};
use crate::tensor::Shape;

/// What the file takes the values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Float,
    Int,
    Bool,
}

/// A tensor of any rank.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Whose values it has, counted in NCHW order.
    pub(super) node: NodeId,
    pub(super) offset: i64,
    pub(super) dims: Vec<Dim>,
    /// Where places are `None`.
    pub(super) fill: f32,
    pub(super) of: Type,
}

/// How one dimension walks over the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// By axes, the last of which moves first; none for an extent of 1.
    Axes(Vec<Step>),
    /// To these places; `None` stands for the value to fill in.
    Places(Arc<[Option<i64>]>),
}

/// As an [`Axis`] that may still leave the range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) extent: usize,
    pub(super) stride: i64,
}

impl Dim {
    pub(super) fn extent(&self) -> usize {
        match self {
            Self::Axes(axes) => axes.iter().map(|axis| axis.extent).product(),
            Self::Places(places) => places.len(),
        }
    }

    fn axis(extent: usize, stride: i64) -> Self {
        Self::Axes(if extent == 1 { Vec::new() } else { vec![Step { extent, stride }] })
    }

    /// Where `at` lies; `None` is filled in.
    fn place(&self, at: usize) -> Option<i64> {
        match self {
            Self::Places(places) => places[at],
            Self::Axes(axes) => {
                let (mut rest, mut place) = (at, 0);
                for axis in axes.iter().rev() {
                    place += (rest % axis.extent) as i64 * axis.stride;
                    rest /= axis.extent;
                }
                Some(place)
            }
        }
    }
}

/// Merges steps that go on where the one before moves.
fn merged(axes: Vec<Step>) -> Vec<Step> {
    let mut merged: Vec<Step> = Vec::with_capacity(axes.len());
    for axis in axes.into_iter().filter(|axis| axis.extent != 1) {
        match merged.last_mut() {
            Some(last) if last.stride == axis.stride * axis.extent as i64 => {
                *last = Step { extent: last.extent * axis.extent, stride: axis.stride };
            }
            _ => merged.push(axis),
        }
    }
    merged
}

impl View {
    /// All values of a node, in order.
    pub(super) fn whole(node: NodeId, extents: &[usize], of: Type) -> Self {
        let mut stride = 1;
        let mut dims: Vec<Dim> = Vec::with_capacity(extents.len());
        for &extent in extents.iter().rev() {
            dims.push(Dim::axis(extent, stride));
            stride *= extent.max(1) as i64;
        }
        dims.reverse();
        Self { node, offset: 0, dims, fill: 0.0, of }
    }

    pub(super) fn extents(&self) -> Vec<usize> {
        self.dims.iter().map(Dim::extent).collect()
    }

    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    pub(super) fn len(&self) -> usize {
        self.dims.iter().map(Dim::extent).product()
    }

    /// All axes, merged; `None` if a dimension goes by places.
    pub(super) fn axes(&self) -> Option<Vec<Step>> {
        let mut axes = Vec::new();
        for dim in &self.dims {
            let Dim::Axes(of) = dim else { return None };
            axes.extend(of);
        }
        Some(merged(axes))
    }

    /// Whether it is all `len` values of the node, in order.
    pub(super) fn is_whole(&self, len: u64) -> bool {
        self.offset == 0
            && self.len() as u64 == len
            && matches!(self.axes().as_deref(), Some([] | [Step { stride: 1, .. }]))
    }

    /// Whether it is all `len` values of the node, each once, in whatever order.
    pub(super) fn is_order_of(&self, len: u64) -> bool {
        let Some(mut axes) = self.axes() else { return false };
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.stride));
        let mut stride = 1;
        let dense = axes.iter().rev().all(|axis| {
            let fits = axis.stride == stride;
            stride *= axis.extent as i64;
            fits
        });
        self.offset == 0 && dense && self.len() as u64 == len
    }

    /// The walk by plain axes, if 32 bits hold it.
    pub(super) fn strided(&self) -> Option<Strided> {
        let axis = |Step { extent, stride }: &Step| {
            Some(Axis { extent: u32::try_from(*extent).ok()?, stride: i32::try_from(*stride).ok()? })
        };
        let axes = self.axes()?.iter().map(axis).collect::<Option<_>>()?;
        Some(Strided { offset: u32::try_from(self.offset).ok()?, axes })
    }

    /// The copy that makes a dense tensor of it, if kernels can walk so.
    pub(super) fn rearranged(&self, shape: Shape) -> Option<Rearrange> {
        let mut axes: Vec<Walk> = Vec::new();
        // Places are counted from the least of them, as indices have no sign.
        let mut offset = self.offset;
        let mut plain: Vec<Step> = Vec::new();
        let flush = |plain: &mut Vec<Step>, axes: &mut Vec<Walk>| {
            for Step { extent, stride } in merged(std::mem::take(plain)) {
                let axis = Axis { extent: u32::try_from(extent).ok()?, stride: i32::try_from(stride).ok()? };
                axes.push(Walk::Steps(axis));
            }
            Some(())
        };
        for dim in &self.dims {
            match dim {
                Dim::Axes(of) => plain.extend(of),
                Dim::Places(places) => {
                    flush(&mut plain, &mut axes)?;
                    let least = places.iter().flatten().min().copied().unwrap_or(0);
                    offset += least;
                    let place = |place: &Option<i64>| match place {
                        Some(place) => u32::try_from(place - least).ok().map(Some),
                        None => Some(None),
                    };
                    axes.push(Walk::Places(places.iter().map(place).collect::<Option<_>>()?));
                }
            }
        }
        flush(&mut plain, &mut axes)?;
        // Two axes too many become a table of their places: the two that make the shortest.
        while axes.len() > Strided::MAX_AXES {
            let len = |at: &usize| axes[*at].extent() * axes[at + 1].extent();
            let at = (0..axes.len() - 1).min_by_key(len).filter(|at| len(at) <= 1 << 22)?;
            let inner = axes.remove(at + 1);
            let place = |i, j| Some(axes[at].at(i)? + inner.at(j)?);
            let places = (0..axes[at].extent()).flat_map(|i| (0..inner.extent()).map(move |j| (i, j)));
            let places: Vec<Option<i64>> = places.map(|(i, j)| place(i, j)).collect();
            let least = places.iter().flatten().min().copied().unwrap_or(0);
            offset += least;
            let counted = |place: Option<i64>| place.map(|place| u32::try_from(place - least)).transpose();
            axes[at] = Walk::Places(places.into_iter().map(counted).collect::<Result<_, _>>().ok()?);
        }
        let offset = u32::try_from(offset).ok()?;
        Some(Rearrange { shape, offset, axes, fill: self.fill })
    }

    pub(super) fn transposed(&self, order: &[usize]) -> Self {
        Self { dims: order.iter().map(|&from| self.dims[from].clone()).collect(), ..self.clone() }
    }

    /// Every `step`th of a dimension from `start` on, `len` of them.
    pub(super) fn sliced(&self, dim: usize, start: usize, step: i64, len: usize) -> Self {
        let mut view = self.clone();
        let sliced = match &self.dims[dim] {
            Dim::Axes(axes) => match axes.as_slice() {
                [] => Some((0, Dim::Axes(Vec::new()))),
                &[Step { stride, .. }] => Some((start as i64 * stride, Dim::axis(len, stride * step))),
                [outer, rest @ ..] if step == 1 => {
                    let inner: usize = rest.iter().map(|axis| axis.extent).product();
                    (start.is_multiple_of(inner) && len.is_multiple_of(inner)).then(|| {
                        let first = Step { extent: len / inner, ..*outer };
                        let axes = merged([first].into_iter().chain(rest.iter().copied()).collect());
                        ((start / inner) as i64 * outer.stride, Dim::Axes(axes))
                    })
                }
                _ => None,
            },
            Dim::Places(_) => None,
        };
        match sliced {
            Some((offset, dim_of)) if len > 0 => {
                view.offset += offset;
                view.dims[dim] = dim_of;
            }
            _ => {
                let place = |i: usize| self.dims[dim].place((start as i64 + i as i64 * step) as usize);
                view.dims[dim] = Dim::Places((0..len).map(place).collect());
            }
        }
        view
    }

    /// A dimension looked up at these of its places; `None` is filled in.
    pub(super) fn looked_up(&self, dim: usize, at: &[Option<usize>]) -> Self {
        if let [Some(first), ..] = at
            && at.iter().all(Option::is_some)
        {
            let step = match at {
                [Some(a), Some(b), ..] => *b as i64 - *a as i64,
                _ => 1,
            };
            let is_even = |(i, at): (usize, &Option<usize>)| *at == Some((*first as i64 + i as i64 * step) as usize);
            if step != 0 && at.iter().enumerate().all(is_even) {
                return self.sliced(dim, *first, step, at.len());
            }
        }
        let mut view = self.clone();
        view.dims[dim] = Dim::Places(at.iter().map(|at| at.and_then(|at| self.dims[dim].place(at))).collect());
        view
    }

    /// With a dimension of extent 1 before position `at`.
    pub(super) fn with_dim(&self, at: usize) -> Self {
        let mut view = self.clone();
        view.dims.insert(at, Dim::Axes(Vec::new()));
        view
    }

    /// Without a dimension of extent 1.
    pub(super) fn without_dim(&self, at: usize) -> Self {
        let mut view = self.clone();
        if let Dim::Places(places) = view.dims.remove(at) {
            match places.first().copied().flatten() {
                Some(place) => view.offset += place,
                // Nothing but what is filled in.
                None => view.dims.insert(at.min(view.dims.len()), Dim::Places(places)),
            }
        }
        view
    }

    /// Spread over these extents by NumPy's rule; they must fit.
    pub(super) fn spread(&self, extents: &[usize]) -> Self {
        let mut view = self.clone();
        while view.rank() < extents.len() {
            view.dims.insert(0, Dim::Axes(Vec::new()));
        }
        for (dim, &extent) in view.dims.iter_mut().zip(extents) {
            if dim.extent() == 1 && extent != 1 {
                *dim = match dim {
                    Dim::Axes(_) => Dim::axis(extent, 0),
                    Dim::Places(places) => Dim::Places(vec![places[0]; extent].into()),
                };
            }
        }
        view
    }

    /// Each dimension that many times.
    pub(super) fn tiled(&self, times: &[usize]) -> Self {
        let mut view = self.clone();
        for (dim, &times) in view.dims.iter_mut().zip(times) {
            *dim = match dim {
                _ if times == 1 => continue,
                Dim::Axes(axes) => {
                    let first = Step { extent: times, stride: 0 };
                    Dim::Axes([first].into_iter().chain(axes.iter().copied()).collect())
                }
                Dim::Places(places) => Dim::Places(places.repeat(times).into()),
            };
        }
        view
    }

    /// The same values under other extents, as many; `None` if the walk does not fall into them.
    pub(super) fn reshaped(&self, extents: &[usize]) -> Option<Self> {
        let mut rest: Vec<Step> = merged(self.dims.iter().try_fold(Vec::new(), |mut all, dim| {
            let Dim::Axes(axes) = dim else { return None };
            all.extend(axes);
            Some(all)
        })?);
        rest.reverse();
        let mut dims = Vec::with_capacity(extents.len());
        for &extent in extents {
            let (mut axes, mut wanted) = (Vec::new(), extent);
            while wanted > 1 {
                let Step { extent, stride } = rest.pop()?;
                if wanted.is_multiple_of(extent) {
                    axes.push(Step { extent, stride });
                    wanted /= extent;
                } else if extent.is_multiple_of(wanted) {
                    let inner = extent / wanted;
                    axes.push(Step { extent: wanted, stride: stride * inner as i64 });
                    rest.push(Step { extent: inner, stride });
                    wanted = 1;
                } else {
                    return None;
                }
            }
            dims.push(Dim::Axes(axes));
        }
        rest.is_empty().then(|| Self { dims, ..self.clone() })
    }
}

/// Splits the axes of several walks over the same extents until all have the same; `None` if they do not divide.
pub(super) fn refined(views: &[View]) -> Option<Vec<Vec<Step>>> {
    let mut results: Vec<Vec<Step>> = vec![Vec::new(); views.len()];
    for dim in 0..views[0].rank() {
        let mut rests: Vec<Vec<Step>> = Vec::with_capacity(views.len());
        for view in views {
            let Dim::Axes(axes) = &view.dims[dim] else { return None };
            rests.push(axes.clone());
        }
        // From the innermost outwards.
        let mut pieces: Vec<Vec<Step>> = vec![Vec::new(); views.len()];
        while rests.iter().any(|rest| !rest.is_empty()) {
            let least = rests.iter().map(|rest| rest.last().map_or(1, |axis| axis.extent)).min()?;
            for (rest, piece) in rests.iter_mut().zip(&mut pieces) {
                let Step { extent, stride } = rest.pop()?;
                if !extent.is_multiple_of(least) {
                    return None;
                }
                piece.push(Step { extent: least, stride });
                if extent > least {
                    rest.push(Step { extent: extent / least, stride: stride * least as i64 });
                }
            }
        }
        for (result, piece) in results.iter_mut().zip(pieces) {
            result.extend(piece.into_iter().rev());
        }
    }
    // Merge where all of them can.
    let mut merged: Vec<Vec<Step>> = vec![Vec::new(); views.len()];
    for at in 0..results[0].len() {
        let goes_on = |(result, merged): (&Vec<Step>, &Vec<Step>)| {
            let axis = result[at];
            merged.last().is_some_and(|last| last.stride == axis.stride * axis.extent as i64)
        };
        if results.iter().zip(&merged).all(goes_on) {
            for (result, merged) in results.iter().zip(&mut merged) {
                if let Some(last) = merged.last_mut() {
                    *last = Step { extent: last.extent * result[at].extent, stride: result[at].stride };
                }
            }
        } else {
            results.iter().zip(&mut merged).for_each(|(result, merged)| merged.push(result[at]));
        }
    }
    Some(merged)
}
