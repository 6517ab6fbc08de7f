//! Values by index, known or computed.

use super::elementwise::Operand;
use super::view::{Dim, Step, Type, View, refined};
use super::{Converter, Value, axis_of, shape_of, unsupported, unsupported_attribute};
use crate::error::{Error, Result};
use crate::onnx::file::Node;
use crate::ops::{Axis, Function, Gather, Strided};

pub(super) const OPERATORS: &[&str] = &["Gather", "GatherElements", "GatherND", "ScatterND"];

impl Converter {
    pub(super) fn indexed(&mut self, node: &Node) -> Result<Vec<Value>> {
        match node.op.as_str() {
            "Gather" => self.gather(node),
            "GatherND" => self.gather_nd(node),
            "ScatterND" => self.scatter_nd(node),
            _ => {
                let x = self.view(node, 0)?;
                let axis = axis_of(node, node.int("axis")?.unwrap_or(0), x.rank())?;
                let indices = self.view(node, 1)?;
                let (of, at) = (x.extents(), indices.extents());
                let fits = of.len() == at.len() && (0..of.len()).all(|dim| dim == axis || at[dim] <= of[dim]);
                if !fits {
                    return Err(Error::mismatch(node.label(), format!("indices {at:?} into {of:?}")));
                }
                Ok(vec![Value::View(self.gathered_elements(&node.name, &x, &indices, axis)?)])
            }
        }
    }

    fn gather(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let of = x.extents();
        let axis = axis_of(node, node.int("axis")?.unwrap_or(0), x.rank())?;
        if let Value::Known(indices) = self.value(node, 1)? {
            let extent = of[axis] as i64;
            let index = |&index: &i64| {
                let at = if index < 0 { index + extent } else { index };
                (0..extent).contains(&at).then_some(Some(at as usize))
            };
            let at = indices.to_ints().iter().map(index).collect::<Option<Vec<_>>>();
            let beyond = || Error::data(node.label(), format!("has an index beyond dimension {axis} of {of:?}"));
            let at = at.ok_or_else(beyond)?;
            if at.is_empty() {
                return Err(unsupported(node, "no indices".into()));
            }
            let extents: Vec<usize> = of[..axis].iter().chain(&indices.dims).chain(&of[axis + 1..]).copied().collect();
            self.limited(node, &extents)?;
            let picked = x.looked_up(axis, &at);
            let view = match indices.rank() {
                0 => picked.without_dim(axis),
                1 => picked,
                _ => match picked.reshaped(&extents) {
                    Some(view) => view,
                    None => {
                        let dense = self.dense(&node.name, &picked)?;
                        dense
                            .reshaped(&extents)
                            .ok_or_else(|| unsupported(node, format!("indices {:?}", indices.dims)))?
                    }
                },
            };
            return Ok(vec![Value::View(view)]);
        }
        let indices = self.view(node, 1)?;
        let at = indices.extents();
        let x = self.single_axes(&node.name, &x)?;
        let looked_up = axis_steps(&x.dims[axis]);
        let extents: Vec<usize> = of[..axis].iter().chain(&at).chain(&of[axis + 1..]).copied().collect();
        let (before, after) = (&x.dims[..axis], &x.dims[axis + 1..]);
        let between = at.iter().map(|&extent| still(extent));
        let from =
            View { dims: before.iter().cloned().chain(between).chain(after.iter().cloned()).collect(), ..x.clone() };
        let mut spread = indices.clone();
        for _ in 0..after.len() {
            spread = spread.with_dim(spread.rank());
        }
        let view = self.gathered(&node.name, &from, &spread, looked_up, &extents, x.of)?;
        Ok(vec![Value::View(view)])
    }

    /// At each place, the part of `x` that all of the last dimension's indices lead to: those of one dimension.
    fn gather_nd(&mut self, node: &Node) -> Result<Vec<Value>> {
        if node.int("batch_dims")?.unwrap_or(0) != 0 {
            return Err(unsupported_attribute(node, "batch_dims", node.int("batch_dims")?.unwrap_or(0)));
        }
        let (x, indices) = (self.view(node, 0)?, self.view(node, 1)?);
        let (of, at) = (x.extents(), indices.extents());
        let Some((&depth, outer)) = at.split_last() else {
            return Err(Error::data(node.label(), "has indices without dimensions"));
        };
        if depth == 0 || depth > of.len() {
            return Err(Error::mismatch(node.label(), format!("indices {at:?} into {of:?}")));
        }
        let name = &node.name;
        let mut flat: Option<View> = None;
        for dim in 0..depth {
            let part = indices.sliced(at.len() - 1, dim, 1, 1).without_dim(at.len() - 1);
            let stride: usize = of[dim + 1..depth].iter().product();
            // Indices from the end would not add up: they are counted from the start first.
            let extent = of[dim] as f32;
            let is_negative = self.map(name, Function::Less, &[Operand::View(part.clone()), Operand::Number(0.0)])?;
            let wrap = self.map(name, Function::Mul, &[Operand::View(is_negative), Operand::Number(extent)])?;
            let part = self.map(name, Function::Add, &[Operand::View(part), Operand::View(wrap)])?;
            let part = self.map(name, Function::Mul, &[Operand::View(part), Operand::Number(stride as f32)])?;
            flat = Some(match flat {
                None => part,
                Some(sum) => self.map(name, Function::Add, &[Operand::View(sum), Operand::View(part)])?,
            });
        }
        let Some(flat) = flat else { return Err(unsupported(node, "no indices".into())) };
        let inner = &of[depth..];
        let joined: Vec<usize> = [of[..depth].iter().product()].into_iter().chain(inner.iter().copied()).collect();
        let x = match x.reshaped(&joined) {
            Some(x) => x,
            None => self.dense(name, &x)?.reshaped(&joined).ok_or_else(|| unsupported(node, format!("{of:?}")))?,
        };
        let x = self.single_axes(name, &x)?;
        let looked_up = axis_steps(&x.dims[0]);
        let extents: Vec<usize> = outer.iter().chain(inner).copied().collect();
        let still = outer.iter().map(|&extent| still(extent));
        let from = View { dims: still.chain(x.dims[1..].iter().cloned()).collect(), ..x.clone() };
        let spread = inner.iter().fold(flat, |view, _| view.with_dim(view.rank()));
        Ok(vec![Value::View(self.gathered(name, &from, &spread, looked_up, &extents, x.of)?)])
    }

    /// A copy in which a box is replaced, as exporters write `x[..., a:b] = updates`.
    fn scatter_nd(&mut self, node: &Node) -> Result<Vec<Value>> {
        if let Some(reduction) = node.text("reduction")?.filter(|reduction| *reduction != "none") {
            return Err(unsupported_attribute(node, "reduction", reduction));
        }
        let (x, updates) = (self.view(node, 0)?, self.view(node, 2)?);
        let Some(indices) = self.known(node, 1, "indices")? else {
            return Err(Error::data(node.label(), "lacks its indices"));
        };
        let of = x.extents();
        let no_box = || unsupported(node, "indices that are no box of values".into());
        let Some((&depth, outer)) = indices.dims.split_last() else { return Err(no_box()) };
        let values = indices.to_ints();
        if depth == 0 || depth > of.len() || values.is_empty() {
            return Err(no_box());
        }
        let at = |i: usize, dim: usize| {
            let index = values[i * depth + dim];
            if index < 0 { index + of[dim] as i64 } else { index }
        };
        let count = values.len() / depth;
        let first: Vec<i64> = (0..depth).map(|dim| at(0, dim)).collect();
        let last: Vec<i64> = (0..depth).map(|dim| at(count - 1, dim)).collect();
        let inside = |dim: usize| 0 <= first[dim] && first[dim] <= last[dim] && last[dim] < of[dim] as i64;
        if !(0..depth).all(inside) {
            return Err(no_box());
        }
        let sizes: Vec<usize> = (0..depth).map(|dim| (last[dim] - first[dim] + 1) as usize).collect();
        let in_order = |i: usize| {
            let mut rest = i;
            (0..depth).rev().all(|dim| {
                let here = first[dim] + (rest % sizes[dim]) as i64;
                rest /= sizes[dim];
                at(i, dim) == here
            })
        };
        if sizes.iter().product::<usize>() != count || !(0..count).all(in_order) {
            return Err(no_box());
        }
        let box_of: Vec<usize> = sizes.iter().copied().chain(of[depth..].iter().copied()).collect();
        let expected: Vec<usize> = outer.iter().chain(&of[depth..]).copied().collect();
        if updates.extents() != expected {
            let detail = format!("updates {:?} for indices {:?} into {of:?}", updates.extents(), indices.dims);
            return Err(Error::mismatch(node.label(), detail));
        }
        let updates = match updates.reshaped(&box_of) {
            Some(updates) => updates,
            None => self.dense(&node.name, &updates)?.reshaped(&box_of).ok_or_else(no_box)?,
        };
        let starts: Vec<usize> = first.iter().map(|&start| start as usize).collect();
        Ok(vec![Value::View(self.replaced(&node.name, &x, updates, &starts)?)])
    }

    /// `x`, but for a box of it that begins at `starts`: along each dimension, what is before, the box, what is after.
    fn replaced(&mut self, name: &str, x: &View, updates: View, starts: &[usize]) -> Result<View> {
        let of = x.extents();
        let sizes = updates.extents();
        let Some(dim) = (0..starts.len()).rev().find(|&dim| sizes[dim] != of[dim]) else { return Ok(updates) };
        // The other dimensions that the box does not fill: a slab of `x` with the box replaced comes first.
        let slab = (0..starts.len()).rfind(|&other| other != dim && sizes[other] != of[other]);
        let parts = |view: &View, middle: View| {
            let (start, size) = (starts[dim], sizes[dim]);
            let before = (start > 0).then(|| view.sliced(dim, 0, 1, start));
            let rest = of[dim] - start - size;
            let after = (rest > 0).then(|| view.sliced(dim, start + size, 1, rest));
            [before, Some(middle), after].into_iter().flatten().collect::<Vec<View>>()
        };
        if slab.is_none() {
            return self.joined(name, &parts(x, updates), dim);
        }
        let mut around = x.clone();
        for other in (0..starts.len()).filter(|&other| other != dim) {
            around = around.sliced(other, starts[other], 1, sizes[other]);
        }
        let filled = self.joined(name, &parts(&around, updates), dim)?;
        self.replaced(name, x, filled, starts)
    }

    /// ONNX's GatherElements: at each place of `indices`, the value of `x` there, but for the index along `axis`.
    pub(super) fn gathered_elements(&mut self, name: &str, x: &View, indices: &View, axis: usize) -> Result<View> {
        let picked = indices.extents();
        let x = self.single_axes(name, x)?;
        let (extent, stride) = axis_steps(&x.dims[axis]);
        let from = View {
            dims: (0..x.rank())
                .map(|dim| match axis_steps(&x.dims[dim]) {
                    _ if dim == axis => Dim::Axes(if picked[dim] == 1 {
                        Vec::new()
                    } else {
                        vec![Step { extent: picked[dim], stride: 0 }]
                    }),
                    (_, stride) => Dim::Axes(if picked[dim] == 1 {
                        Vec::new()
                    } else {
                        vec![Step { extent: picked[dim], stride }]
                    }),
                })
                .collect(),
            ..x.clone()
        };
        self.gathered(name, &from, indices, (extent, stride), &picked, x.of)
    }

    /// Values of one node at the indices of another: both walk over the same dimensions.
    pub(super) fn gathered(
        &mut self,
        name: &str,
        x: &View,
        indices: &View,
        (extent, stride): (usize, i64),
        extents: &[usize],
        of: Type,
    ) -> Result<View> {
        let indices = self.walkable(name, indices)?;
        let beyond = || Error::Unsupported {
            op: name.into(),
            what: format!("values {extents:?} by computed indices"),
            hint: "they are walked over in more ways than six axes have".into(),
        };
        let spread = indices.spread(extents);
        let walks = refined(&[x.clone(), spread.clone()]).ok_or_else(beyond)?;
        let strided = |view: &View, axes: &[Step]| {
            let axis = |step: &Step| {
                let extent = u32::try_from(step.extent).ok()?;
                Some(Axis { extent, stride: i32::try_from(step.stride).ok()? })
            };
            let axes = axes.iter().map(axis).collect::<Option<Vec<_>>>()?;
            (axes.len() <= Strided::MAX_AXES).then_some(Strided { offset: u32::try_from(view.offset).ok()?, axes })
        };
        let from = strided(x, &walks[0]).ok_or_else(beyond)?;
        let at = strided(&spread, &walks[1]).ok_or_else(beyond)?;
        let shape = shape_of(name, extents)?;
        let (Ok(extent), Ok(stride)) = (u32::try_from(extent), u32::try_from(stride)) else { return Err(beyond()) };
        let gather = Gather { shape, x: from, indices: at, extent, stride };
        let id = self.apply(name, gather, &[x.node, indices.node])?;
        Ok(View::whole(id, extents, of))
    }

    /// A view each of whose dimensions is one axis that moves forwards.
    pub(super) fn single_axes(&mut self, name: &str, x: &View) -> Result<View> {
        let is_single =
            |dim: &Dim| matches!(dim, Dim::Axes(axes) if axes.len() <= 1 && axes.iter().all(|axis| axis.stride >= 0));
        if x.dims.iter().all(is_single) { Ok(x.clone()) } else { self.dense(name, x) }
    }
}

/// Extent and stride of a dimension that is one axis.
pub(super) fn axis_steps(dim: &Dim) -> (usize, i64) {
    match dim {
        Dim::Axes(axes) => axes.first().map_or((1, 0), |axis| (axis.extent, axis.stride)),
        Dim::Places(places) => (places.len(), 0),
    }
}

/// A dimension along which a walk stays where it is.
fn still(extent: usize) -> Dim {
    Dim::Axes(if extent == 1 { Vec::new() } else { vec![Step { extent, stride: 0 }] })
}
