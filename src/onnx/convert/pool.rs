//! Pooling along one, two or three axes, and over whole maps.

use super::conv::Window;
use super::elementwise::Operand;
use super::view::{Type, View};
use super::{Converter, Value, shape_of, unsupported};
use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::onnx::array::Array;
use crate::onnx::file::Node;
use crate::ops::{AvgPool, Function, GlobalPool, GlobalPoolKind, MaxPool, Padding, ReduceKind};
use crate::tensor::Shape;

pub(super) const OPERATORS: &[&str] = &["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"];

impl Converter {
    pub(super) fn pool(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let extents = x.extents();
        if extents.len() < 3 {
            let detail = format!("pools a tensor {extents:?} without spatial axes");
            return Err(Error::data(node.label(), detail));
        }
        if node.op.starts_with("Global") {
            let kind = if node.op == "GlobalMaxPool" { GlobalPoolKind::Max } else { GlobalPoolKind::Average };
            let (id, _) = self.map_of(&node.name, &x)?;
            let id = self.apply(&node.name, GlobalPool { kind }, &[id])?;
            let mut pooled = vec![1; extents.len()];
            pooled[..2].copy_from_slice(&extents[..2]);
            return Ok(vec![Value::View(View::whole(id, &pooled, Type::Float))]);
        }
        let Some(kernel) = node.ints("kernel_shape")? else {
            return Err(Error::data(node.label(), "lacks its kernel_shape"));
        };
        let extent = |&extent: &i64| u32::try_from(extent).ok().filter(|&extent| extent > 0);
        let Some(kernel) = kernel.iter().map(extent).collect::<Option<Vec<u32>>>() else {
            return Err(Error::data(node.label(), format!("has the kernel_shape {kernel:?}")));
        };
        let ceil_mode = node.flag("ceil_mode")?;
        let window = Window::of(node, kernel, &extents[2..])?;
        match extents.len() {
            3 | 4 => {
                let shape = shape_of(&node.name, &extents)?;
                let (kernel, stride, dilation, padding) = window.plane();
                let pooled = self.pooled(node, &x, shape, (kernel, stride, dilation, padding), ceil_mode)?;
                let Shape { n, c, h, w } = pooled.1;
                let to = if extents.len() == 3 { vec![n, c, w] } else { vec![n, c, h, w] };
                let to: Vec<usize> = to.into_iter().map(|extent| extent as usize).collect();
                let mut results = vec![Value::View(View::whole(pooled.0, &to, Type::Float))];
                if node.outputs.get(1).is_some_and(|name| self.uses.contains_key(name)) {
                    let places = self.places(node, &x, shape, (kernel, stride, dilation, padding), pooled.1)?;
                    results.push(Value::View(View::whole(places, &to, Type::Int)));
                }
                Ok(results)
            }
            5 => {
                // Windows are boxes: their rows and columns first, each depth a channel, then along the depth.
                let [n, c, depth, h, w] = extents[..] else { return Err(unsupported(node, "these dimensions".into())) };
                let shape = shape_of(&node.name, &[n, c * depth, h, w])?;
                let (kernel, stride, dilation, padding) = window.plane();
                let (id, Shape { h, w, .. }) =
                    self.pooled(node, &x, shape, (kernel, stride, dilation, padding), ceil_mode)?;
                let [h, w] = [h, w].map(|extent| extent as usize);
                let columns = View::whole(id, &[n, c, depth, h, w], Type::Float);
                let shape = shape_of(&node.name, &[n, c, depth, h * w])?;
                let padding = Padding { top: window.before[0], left: 0, bottom: window.after[0], right: 0 };
                let along = ([window.kernel[0], 1], [window.stride[0], 1], [window.dilation[0], 1], padding);
                let (id, shape) = self.pooled(node, &columns, shape, along, ceil_mode)?;
                let extents = [n, c, shape.h as usize, h, w];
                Ok(vec![Value::View(View::whole(id, &extents, Type::Float))])
            }
            rank => Err(unsupported(node, format!("pooling along {} axes", rank - 2))),
        }
    }

    fn pooled(
        &mut self,
        node: &Node,
        x: &View,
        shape: Shape,
        (kernel, stride, dilation, padding): ([u32; 2], [u32; 2], [u32; 2], Padding),
        ceil_mode: bool,
    ) -> Result<(NodeId, Shape)> {
        let input = self.shaped(&node.name, x, shape)?;
        let op: Op = if node.op == "MaxPool" {
            MaxPool { kernel, stride, padding, dilation, ceil_mode }.into()
        } else {
            let count_include_pad = node.flag("count_include_pad")?;
            AvgPool { kernel, stride, padding, dilation, ceil_mode, count_include_pad }.into()
        };
        let id = self.apply(&node.name, op, &[input])?;
        Ok((id, self.graph.shape(id)?))
    }

    /// Where on the whole tensor each maximum is: the windows side by side, the place of the largest in each.
    fn places(
        &mut self,
        node: &Node,
        x: &View,
        shape: Shape,
        (kernel, stride, dilation, padding): ([u32; 2], [u32; 2], [u32; 2], Padding),
        out: Shape,
    ) -> Result<NodeId> {
        let name = &node.name;
        let [n, c, h, w] = [shape.n, shape.c, shape.h, shape.w].map(|extent| extent as usize);
        let [out_h, out_w] = [out.h, out.w].map(|extent| extent as usize);
        let taps = |i: usize, out: usize, extent: usize, before: u32| -> Vec<Option<usize>> {
            let at = move |o: usize, k: u32| {
                let at = o as i64 * i64::from(stride[i]) + i64::from(k) * i64::from(dilation[i]) - i64::from(before);
                usize::try_from(at).ok().filter(|&at| at < extent)
            };
            (0..out).flat_map(|o| (0..kernel[i]).map(move |k| at(o, k))).collect()
        };
        let rows = taps(0, out_h, h, padding.top);
        let columns = taps(1, out_w, w, padding.left);
        let id = self.shaped(name, x, shape)?;
        let whole = View { fill: f32::NEG_INFINITY, ..View::whole(id, &[n, c, h, w], Type::Float) };
        let windows = self.dense(name, &whole.looked_up(2, &rows).looked_up(3, &columns))?;
        let [kh, kw] = kernel.map(|extent| extent as usize);
        let Some(windows) = windows.reshaped(&[n, c, out_h, kh, out_w, kw]) else {
            return Err(unsupported(node, "these windows".into()));
        };
        let largest = self.reduced(name, &windows, &[3, 5], ReduceKind::ArgMax { last: false }, false)?;
        // The largest is tap `row * kw + column` of its window.
        let row = self.map(name, Function::Div, &[Operand::View(largest.clone()), Operand::Number(kw as f32)])?;
        let row = self.map(name, Function::Floor, &[Operand::View(row)])?;
        let before = self.map(name, Function::Mul, &[Operand::View(row.clone()), Operand::Number(kw as f32)])?;
        let column = self.map(name, Function::Sub, &[Operand::View(largest), Operand::View(before)])?;
        let columns_first = node.int("storage_order")?.unwrap_or(0) == 1;
        let (row_step, column_step) = if columns_first { (1, h) } else { (w, 1) };
        let first = |plane: usize, oy: usize, ox: usize| {
            let y = oy as i64 * i64::from(stride[0]) - i64::from(padding.top);
            let x = ox as i64 * i64::from(stride[1]) - i64::from(padding.left);
            (plane * h * w) as i64 + y * row_step as i64 + x * column_step as i64
        };
        let firsts =
            (0..n * c).flat_map(|plane| (0..out_h).flat_map(move |oy| (0..out_w).map(move |ox| first(plane, oy, ox))));
        let firsts: Vec<f32> = firsts.map(|first| first as f32).collect();
        let firsts = self.constant(name, &Array::floats(vec![n, c, out_h, out_w], firsts).into())?;
        let steps = [(row, row_step, dilation[0]), (column, column_step, dilation[1])];
        let mut place = firsts;
        for (taps, step, dilation) in steps {
            let step = Operand::Number((step * dilation as usize) as f32);
            let moved = self.map(name, Function::Mul, &[Operand::View(taps), step])?;
            place = self.map(name, Function::Add, &[Operand::View(place), Operand::View(moved)])?;
        }
        self.shaped(name, &place, out)
    }
}
