//! What moves values without computing: mostly another walk over the same.

use super::view::{Dim, Step, View};
use super::{Converter, Value, axis_of, shape_of, unsupported, unsupported_attribute};
use crate::error::{Error, Result};
use crate::graph::{Node as GraphNode, Op};
use crate::onnx::array::Array;
use crate::onnx::file::Node;

pub(super) const OPERATORS: &[&str] = &[
    "Concat",
    "Constant",
    "ConstantOfShape",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "Pad",
    "Range",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

impl Converter {
    pub(super) fn moved(&mut self, node: &Node) -> Result<Vec<Value>> {
        let one = |view: View| Ok(vec![Value::View(view)]);
        match node.op.as_str() {
            "Shape" => {
                let dims = self.dims(node, 0)?;
                let rank = dims.len() as i64;
                let place = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
                let start = place(node.int("start")?.unwrap_or(0));
                let end = place(node.int("end")?.unwrap_or(rank)).max(start);
                let values: Vec<i64> = dims[start..end].iter().map(|&dim| dim as i64).collect();
                Ok(vec![Value::Known(Array::ints(vec![values.len()], values).into())])
            }
            "Size" => {
                let size = self.dims(node, 0)?.iter().product::<usize>() as i64;
                Ok(vec![Value::Known(Array::ints(Vec::new(), vec![size]).into())])
            }
            "Transpose" => {
                let x = self.view(node, 0)?;
                let order = match node.ints("perm")? {
                    Some(order) => order.iter().map(|&dim| axis_of(node, dim, x.rank())).collect::<Result<Vec<_>>>()?,
                    None => (0..x.rank()).rev().collect(),
                };
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if !sorted.iter().copied().eq(0..x.rank()) {
                    let detail = format!("has the perm {order:?} for {} dimensions", x.rank());
                    return Err(Error::data(node.label(), detail));
                }
                one(x.transposed(&order))
            }
            "Reshape" | "Flatten" => self.reshaped(node),
            "Squeeze" | "Unsqueeze" => self.squeezed(node),
            "Expand" => {
                let x = self.view(node, 0)?;
                let to = self.sizes(node, 1, "a shape")?;
                let Some(extents) = crate::onnx::array::broadcast([&x.extents()[..], &to[..]]) else {
                    return Err(Error::mismatch(
                        node.label(),
                        format!("{:?} cannot be spread over {to:?}", x.extents()),
                    ));
                };
                self.limited(node, &extents)?;
                one(x.spread(&extents))
            }
            "Tile" => {
                let x = self.view(node, 0)?;
                let times = self.sizes(node, 1, "repeats")?;
                if times.len() != x.rank() || times.contains(&0) {
                    return Err(Error::data(node.label(), format!("repeats {:?} {times:?} times", x.extents())));
                }
                let extents: Vec<usize> = x.extents().iter().zip(&times).map(|(a, b)| a.saturating_mul(*b)).collect();
                self.limited(node, &extents)?;
                one(x.tiled(&times))
            }
            "Concat" => self.concat(node),
            "Split" => self.split(node),
            "Slice" => self.slice(node),
            "Pad" => self.pad(node),
            "DepthToSpace" | "SpaceToDepth" => self.space(node),
            // With known inputs they are folded.
            _ => Err(unsupported(node, "inputs that are computed by the model".into())),
        }
    }

    /// An input of sizes, which must be known.
    fn sizes(&self, node: &Node, index: usize, what: &str) -> Result<Vec<usize>> {
        let Some(array) = self.known(node, index, what)? else {
            return Err(Error::data(node.label(), format!("lacks {what}")));
        };
        let size = |&size: &i64| usize::try_from(size);
        let sizes = array.to_ints().iter().map(size).collect::<Result<Vec<_>, _>>();
        sizes.map_err(|_| Error::data(node.label(), format!("has {what} {:?}", array.to_ints())))
    }

    /// Checks that a result has as many values as one tensor may.
    pub(super) fn limited(&self, node: &Node, extents: &[usize]) -> Result<()> {
        shape_of(&node.label(), extents).map(|_| ())
    }

    fn reshaped(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let from = x.extents();
        let len = x.len();
        let to: Vec<usize> = if node.op == "Flatten" {
            let axis = node.int("axis")?.unwrap_or(1);
            let axis = if axis == from.len() as i64 { from.len() } else { axis_of(node, axis, from.len())? };
            vec![from[..axis].iter().product(), from[axis..].iter().product()]
        } else {
            let wanted = match node.ints("shape")? {
                Some(shape) => shape.to_vec(),
                None => match self.known(node, 1, "a shape")? {
                    Some(shape) => shape.to_ints().into_owned(),
                    None => return Err(Error::data(node.label(), "lacks its shape")),
                },
            };
            let zero_is_zero = node.flag("allowzero")?;
            let bad = || Error::mismatch(node.label(), format!("{from:?} cannot be reshaped to {wanted:?}"));
            let mut to = Vec::with_capacity(wanted.len());
            for (dim, &size) in wanted.iter().enumerate() {
                to.push(match size {
                    -1 => 1,
                    0 if !zero_is_zero => *from.get(dim).ok_or_else(bad)?,
                    size => usize::try_from(size).map_err(|_| bad())?,
                });
            }
            if let Some(open) = wanted.iter().position(|&size| size == -1) {
                let rest = to.iter().try_fold(1usize, |product, &size| product.checked_mul(size)).ok_or_else(bad)?;
                if rest == 0 || !len.is_multiple_of(rest) {
                    return Err(bad());
                }
                to[open] = len / rest;
            }
            if to.iter().try_fold(1usize, |product, &size| product.checked_mul(size)) != Some(len) {
                return Err(bad());
            }
            to
        };
        self.limited(node, &to)?;
        let view = match x.reshaped(&to) {
            Some(view) => view,
            None => {
                let dense = self.dense(&node.name, &x)?;
                dense.reshaped(&to).ok_or_else(|| unsupported(node, format!("{from:?} to {to:?}")))?
            }
        };
        Ok(vec![Value::View(view)])
    }

    fn squeezed(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let axes = match node.ints("axes")? {
            Some(axes) => Some(axes.to_vec()),
            None => self.known(node, 1, "axes")?.map(|axes| axes.to_ints().into_owned()),
        };
        let view = if node.op == "Unsqueeze" {
            let axes = axes.ok_or_else(|| Error::data(node.label(), "lacks its axes"))?;
            let rank = x.rank() + axes.len();
            let mut at = axes.iter().map(|&axis| axis_of(node, axis, rank)).collect::<Result<Vec<_>>>()?;
            at.sort_unstable();
            at.dedup();
            if at.len() != axes.len() || rank > crate::onnx::array::MAX_RANK {
                return Err(Error::data(node.label(), format!("has the axes {axes:?}")));
            }
            at.into_iter().fold(x, |view, at| view.with_dim(at))
        } else {
            let extents = x.extents();
            let mut at: Vec<usize> = match axes {
                Some(axes) => axes.iter().map(|&axis| axis_of(node, axis, x.rank())).collect::<Result<_>>()?,
                None => (0..x.rank()).filter(|&dim| extents[dim] == 1).collect(),
            };
            at.sort_unstable();
            at.dedup();
            if let Some(dim) = at.iter().find(|&&dim| extents[dim] != 1) {
                let detail = format!("takes away dimension {dim} of {extents:?}, whose extent is not 1");
                return Err(Error::data(node.label(), detail));
            }
            at.into_iter().rev().fold(x, |view, at| view.without_dim(at))
        };
        Ok(vec![Value::View(view)])
    }

    fn concat(&mut self, node: &Node) -> Result<Vec<Value>> {
        let mut views = Vec::with_capacity(node.inputs.len());
        for index in 0..node.inputs.len() {
            // Tensors without values add nothing.
            if self.dims(node, index)?.contains(&0) {
                continue;
            }
            views.push(self.view(node, index)?);
        }
        let Some(first) = views.first() else {
            return Err(unsupported(node, "a concatenation without values".into()));
        };
        let rank = first.rank();
        let axis = match node.int("axis")? {
            Some(axis) => axis_of(node, axis, rank)?,
            None if self.opset < 4 => 1,
            None => return Err(Error::data(node.label(), "lacks its axis")),
        };
        let all: Vec<Vec<usize>> = views.iter().map(View::extents).collect();
        let alike = |extents: &Vec<usize>| {
            extents.len() == rank && (0..rank).all(|dim| dim == axis || extents[dim] == all[0][dim])
        };
        if !all.iter().all(alike) {
            return Err(Error::mismatch(
                node.label(),
                format!("tensors of {all:?} do not fit together along dimension {axis}"),
            ));
        }
        Ok(vec![Value::View(self.joined(&node.name, &views, axis)?)])
    }

    /// Tensors side by side along one dimension; their others agree.
    pub(super) fn joined(&mut self, name: &str, views: &[View], axis: usize) -> Result<View> {
        let views = &self.rejoined(name, views, axis)?[..];
        let all: Vec<Vec<usize>> = views.iter().map(View::extents).collect();
        let rank = all[0].len();
        if let [only] = views {
            return Ok(only.clone());
        }
        if let Some(view) = interleaved(views, axis) {
            return Ok(view);
        }
        let mut extents = all[0].clone();
        extents[axis] = all.iter().map(|extents| extents[axis]).sum();
        shape_of(name, &extents)?;
        let of = views[0].of;
        // Along the channels of maps, or else of what lies before, along and after the axis.
        let mut by_channel = axis == 1 && (2..=4).contains(&rank);
        if by_channel {
            let mut any = false;
            for view in views {
                any |= view.is_whole(self.graph.shape(view.node)?.len()) && self.is_map(view.node);
            }
            by_channel = any;
        }
        let mut parts = Vec::with_capacity(views.len());
        for (view, extents) in views.iter().zip(&all) {
            let shape = if by_channel {
                shape_of(name, extents)?
            } else {
                let (outer, inner) = (extents[..axis].iter().product(), extents[axis + 1..].iter().product());
                shape_of(name, &[outer, extents[axis], 1, inner])?
            };
            parts.push(self.shaped(name, view, shape)?);
        }
        let name = self.name(name);
        let id = self.graph.concat(name, &parts)?;
        Ok(View::whole(id, &extents, of))
    }

    /// The same without seams: neighbours that are neighbours in one tensor are one.
    fn rejoined(&mut self, name: &str, views: &[View], axis: usize) -> Result<Vec<View>> {
        let mut joined: Vec<View> = Vec::with_capacity(views.len());
        for view in views {
            // Channels of a map, as the map has them.
            let mut view = view.clone();
            let GraphNode { op, inputs, shape, .. } = self.graph.node(view.node)?;
            if let (Op::Narrow(narrow), true) = (op, view.is_whole(shape.len())) {
                let (from, start) = (inputs[0], narrow.start as usize);
                let mut extents = view.extents();
                let of = self.graph.shape(from)?;
                if extents.len() >= 2 && extents[1] == shape.c as usize {
                    extents[1] = of.c as usize;
                    view = View::whole(from, &extents, view.of).sliced(1, start, 1, shape.c as usize);
                }
            }
            match joined.last_mut().and_then(|last| followed(last, &view, axis)) {
                Some(both) => *joined.last_mut().unwrap_or(&mut view) = both,
                None => joined.push(view),
            }
        }
        joined.iter().map(|view| self.narrowed(name, view)).collect()
    }

    fn split(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let axis = axis_of(node, node.int("axis")?.unwrap_or(0), x.rank())?;
        let extent = x.extents()[axis];
        let parts = match node.ints("split")? {
            Some(parts) => Some(parts.to_vec()),
            None => self.known(node, 1, "a split")?.map(|parts| parts.to_ints().into_owned()),
        };
        let parts: Vec<usize> = match parts {
            Some(parts) => {
                let part = |&part: &i64| usize::try_from(part).ok();
                let sizes = parts.iter().map(part).collect::<Option<Vec<_>>>();
                let sum = |sizes: &Vec<usize>| sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
                let fits = |sizes: &Vec<usize>| sum(sizes) == Some(extent);
                let bad = || Error::data(node.label(), format!("splits {extent} into {parts:?}"));
                sizes.filter(fits).ok_or_else(bad)?
            }
            None => {
                let count = match node.int("num_outputs")? {
                    Some(count) => usize::try_from(count).unwrap_or(0),
                    None => node.outputs.len(),
                };
                if count == 0 || count > extent {
                    return Err(Error::data(node.label(), format!("splits {extent} into {count}")));
                }
                // The last may be smaller.
                let size = extent.div_ceil(count);
                (0..count).map(|i| size.min(extent.saturating_sub(i * size))).collect()
            }
        };
        let mut start = 0;
        let mut results = Vec::with_capacity(parts.len());
        for part in parts {
            if part == 0 {
                let mut dims = x.extents();
                dims[axis] = 0;
                results.push(Value::Known(Array::floats(dims, Vec::new()).into()));
                continue;
            }
            results.push(Value::View(self.narrowed(&node.name, &x.sliced(axis, start, 1, part))?));
            start += part;
        }
        Ok(results)
    }

    fn slice(&mut self, node: &Node) -> Result<Vec<Value>> {
        let mut view = self.view(node, 0)?;
        let list = |this: &Self, attribute: &'static str, index: usize| -> Result<Option<Vec<i64>>> {
            match node.ints(attribute)? {
                Some(values) => Ok(Some(values.to_vec())),
                None => Ok(this.known(node, index, attribute)?.map(|array| array.to_ints().into_owned())),
            }
        };
        let (starts, ends) = (list(self, "starts", 1)?, list(self, "ends", 2)?);
        let (Some(starts), Some(ends)) = (starts, ends) else {
            return Err(Error::data(node.label(), "lacks its starts or ends"));
        };
        let axes = list(self, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = match node.input(4) {
            Some(_) => list(self, "steps", 4)?.unwrap_or_default(),
            None => vec![1; starts.len()],
        };
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(Error::data(node.label(), "has lists of different lengths"));
        }
        for i in 0..starts.len() {
            let dim = axis_of(node, axes[i], view.rank())?;
            let extent = view.extents()[dim] as i64;
            let (first, len) = sliced(extent, starts[i], ends[i], steps[i])
                .ok_or_else(|| Error::data(node.label(), "has a step of 0"))?;
            if len == 0 {
                let mut dims = view.extents();
                dims[dim] = 0;
                return Ok(vec![Value::Known(Array::floats(dims, Vec::new()).into())]);
            }
            // The step of a single one may be any number.
            view = view.sliced(dim, first, if len == 1 { 1 } else { steps[i] }, len);
        }
        Ok(vec![Value::View(self.narrowed(&node.name, &view)?)])
    }

    fn pad(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let rank = x.rank();
        let pads = match node.ints("pads")?.or(node.ints("paddings")?) {
            Some(pads) => pads.to_vec(),
            None => match self.known(node, 1, "pads")? {
                Some(pads) => pads.to_ints().into_owned(),
                None => return Err(Error::data(node.label(), "lacks its pads")),
            },
        };
        let fill = match node.float("value")? {
            Some(value) => value,
            None => self.known(node, 2, "a value")?.and_then(|value| value.scalar()).unwrap_or(0.0),
        };
        let listed: Vec<usize> = match self.known(node, 3, "axes")? {
            Some(axes) => axes.to_ints().iter().map(|&axis| axis_of(node, axis, rank)).collect::<Result<_>>()?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * listed.len() {
            return Err(Error::data(node.label(), format!("has {} pads for {} axes", pads.len(), listed.len())));
        }
        let mode = node.text("mode")?.unwrap_or("constant");
        if !["constant", "edge", "reflect", "wrap"].contains(&mode) {
            return Err(unsupported_attribute(node, "mode", mode));
        }
        let mut view = if x.fill.to_bits() == fill.to_bits() || !x.dims.iter().any(|dim| matches!(dim, Dim::Places(_)))
        {
            View { fill, ..x.clone() }
        } else {
            View { fill, ..self.dense(&node.name, &x)? }
        };
        let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
        for (i, &dim) in listed.iter().enumerate() {
            (before[dim], after[dim]) = (pads[i], pads[listed.len() + i]);
        }
        let mut extents = x.extents();
        for dim in 0..rank {
            let padded = (extents[dim] as i64).checked_add(before[dim]).and_then(|sum| sum.checked_add(after[dim]));
            let Some(padded) = padded.and_then(|len| usize::try_from(len).ok()).filter(|&len| len > 0) else {
                return Err(Error::data(node.label(), format!("pads {extents:?} by {pads:?}")));
            };
            extents[dim] = padded;
        }
        self.limited(node, &extents)?;
        for (dim, &extent) in extents.iter().enumerate().filter(|&(dim, _)| (before[dim], after[dim]) != (0, 0)) {
            // The place of each is kept.
            if extent > 1 << 22 {
                let (value, max) = (extent as u64, 1 << 22);
                return Err(Error::TooLarge { op: node.label(), what: "the padded extent", value, max });
            }
            let from = x.extents()[dim] as i64;
            let place = |i: usize| {
                let at = i as i64 - before[dim];
                let inside = match mode {
                    "edge" => at.clamp(0, from - 1),
                    "wrap" => at.rem_euclid(from),
                    "reflect" if from > 1 => {
                        let turn = at.rem_euclid(2 * (from - 1));
                        turn.min(2 * (from - 1) - turn)
                    }
                    "reflect" => 0,
                    _ => at,
                };
                usize::try_from(inside).ok().filter(|&at| (at as i64) < from)
            };
            view = view.looked_up(dim, &(0..extent).map(place).collect::<Vec<_>>());
        }
        // A convolution pads by itself.
        let zeros = mode == "constant" && fill == 0.0 && rank == 4 && before[..2] == [0, 0] && after[..2] == [0, 0];
        let sides: Vec<i64> = before.iter().skip(2).chain(after.iter().skip(2)).copied().collect();
        if zeros && sides.iter().all(|&side| (0..=1 << 20).contains(&side)) {
            let dense = self.dense(&node.name, &view)?;
            let sides = [0, 1, 2, 3].map(|i| sides[i] as u32);
            self.padded.insert(dense.node, (x, sides));
            view = dense;
        }
        Ok(vec![Value::View(view)])
    }

    fn space(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let block = node.int("blocksize")?.unwrap_or(0);
        let &[n, c, h, w] = &x.extents()[..] else {
            return Err(Error::data(node.label(), format!("moves {:?}, which is no map", x.extents())));
        };
        let b = usize::try_from(block).ok().filter(|&b| (1..=1 << 15).contains(&b));
        let Some(b) = b else { return Err(unsupported_attribute(node, "blocksize", block)) };
        let to_space = node.op == "DepthToSpace";
        let fits = if to_space { c.is_multiple_of(b * b) } else { h.is_multiple_of(b) && w.is_multiple_of(b) };
        if !fits {
            return Err(unsupported_attribute(node, "blocksize", block));
        }
        let (split, order, joined): (Vec<usize>, [usize; 6], [usize; 4]) = if to_space {
            let (c, columns_first) = (c / (b * b), node.text("mode")? == Some("CRD"));
            if columns_first {
                (vec![n, c, b, b, h, w], [0, 1, 4, 2, 5, 3], [n, c, h * b, w * b])
            } else {
                (vec![n, b, b, c, h, w], [0, 3, 4, 1, 5, 2], [n, c, h * b, w * b])
            }
        } else {
            (vec![n, c, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4], [n, c * b * b, h / b, w / b])
        };
        let x = if x.reshaped(&split).is_some() { x } else { self.dense(&node.name, &x)? };
        let turned = x.reshaped(&split).map(|view| view.transposed(&order));
        let view = turned.and_then(|view| view.reshaped(&joined));
        Ok(vec![Value::View(view.ok_or_else(|| unsupported(node, "these dimensions".into()))?)])
    }
}

/// The first index and how many there are, by NumPy's rule for slices; `None` for a step of 0.
fn sliced(extent: i64, start: i64, end: i64, step: i64) -> Option<(usize, usize)> {
    let counted = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
    let (least, most) = if step < 0 { (-1, extent - 1) } else { (0, extent) };
    let (start, end) = (counted(start).clamp(least, most), counted(end).clamp(least, most));
    let room = match step {
        0 => return None,
        step if step > 0 => end - start,
        _ => start - end,
    };
    let len = if room <= 0 { 0 } else { (room - 1) / step.unsigned_abs().min(i64::MAX as u64) as i64 + 1 };
    Some((start.max(0) as usize, len as usize))
}

/// Parts of one tensor, side by side, that are all of it or of its neighbours: one walk with an axis more. YOLOv5's
/// Focus takes every second row and column, from each of four.
fn interleaved(views: &[View], axis: usize) -> Option<View> {
    let first = &views[0];
    if views.iter().any(|view| view.node != first.node || view.dims != first.dims) {
        return None;
    }
    let Dim::Axes(inner) = &first.dims[axis] else { return None };
    let offsets: Vec<i64> = views.iter().map(|view| view.offset - first.offset).collect();
    let steps = steps(&offsets)?;
    let axes: Vec<Step> = steps.into_iter().chain(inner.iter().copied()).collect();
    let mut view = first.clone();
    view.dims[axis] = Dim::Axes(axes);
    Some(view)
}

/// Two views of one tensor as one, if the second goes on along an axis where the first ends.
fn followed(first: &View, second: &View, axis: usize) -> Option<View> {
    let alike = first.node == second.node
        && (0..first.rank()).all(|dim| dim == axis || first.dims.get(dim) == second.dims.get(dim))
        && first.rank() == second.rank();
    let (Dim::Axes(a), Dim::Axes(b)) = (first.dims.get(axis)?, second.dims.get(axis)?) else { return None };
    let step = match (&a[..], &b[..]) {
        (&[a], &[b]) if a.stride == b.stride => a,
        // The distance of single ones is that to the next.
        ([], []) => Step { extent: 1, stride: second.offset - first.offset },
        (&[a], []) => a,
        ([], &[b]) => Step { extent: 1, ..b },
        _ => return None,
    };
    let goes_on = second.offset == first.offset + step.extent as i64 * step.stride && step.stride > 0;
    let extent = first.dims[axis].extent() + second.dims[axis].extent();
    (alike && goes_on).then(|| {
        let mut both = first.clone();
        both.dims[axis] = Dim::Axes(vec![Step { extent, ..step }]);
        both
    })
}

/// The axes that walk to these places, at most two.
fn steps(offsets: &[i64]) -> Option<Vec<Step>> {
    let len = offsets.len();
    let stride = offsets.get(1)? - offsets[0];
    let run = (1..len).take_while(|&i| offsets[i] == i as i64 * stride).count() + 1;
    if run == len {
        return Some(vec![Step { extent: len, stride }]);
    }
    let outer = *offsets.get(run)?;
    let fits = |i: usize| offsets[i] == (i / run) as i64 * outer + (i % run) as i64 * stride;
    (len.is_multiple_of(run) && (0..len).all(fits))
        .then(|| vec![Step { extent: len / run, stride: outer }, Step { extent: run, stride }])
}
