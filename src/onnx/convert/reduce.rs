//! What is made of all values along some dimensions: sums, extremes and their places, softmax.

use super::elementwise::Operand;
use super::view::{Type, View};
use super::{Converter, Value, axis_of, shape_of, unsupported_attribute};
use crate::error::{Error, Result};
use crate::onnx::file::Node;
use crate::ops::{Function, Reduce, ReduceKind, Softmax, SoftmaxAxis, TopK};

pub(super) const OPERATORS: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "LogSoftmax",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Softmax",
    "TopK",
];

impl Converter {
    pub(super) fn reduction(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let name = &node.name;
        let kind = match node.op.as_str() {
            "Softmax" | "LogSoftmax" => return Ok(vec![Value::View(self.softmax(node, &x)?)]),
            "TopK" => return self.top_k(node, &x),
            "ArgMax" | "ArgMin" => {
                let axis = axis_of(node, node.int("axis")?.unwrap_or(0), x.rank())?;
                let last = node.flag("select_last_index")?;
                let kind = if node.op == "ArgMax" { ReduceKind::ArgMax { last } } else { ReduceKind::ArgMin { last } };
                let keeps = node.int("keepdims")?.unwrap_or(1) != 0;
                let view = self.reduced(name, &x, &[axis], kind, keeps)?;
                return Ok(vec![Value::View(View { of: Type::Int, ..view })]);
            }
            "ReduceL1" => ReduceKind::L1,
            "ReduceL2" => ReduceKind::L2,
            "ReduceLogSum" | "ReduceSum" => ReduceKind::Sum,
            "ReduceLogSumExp" => ReduceKind::LogSumExp,
            "ReduceMax" => ReduceKind::Max,
            "ReduceMean" => ReduceKind::Mean,
            "ReduceMin" => ReduceKind::Min,
            "ReduceProd" => ReduceKind::Product,
            _ => ReduceKind::SumSquare,
        };
        let axes = match node.ints("axes")? {
            Some(axes) => Some(axes.to_vec()),
            None => self.known(node, 1, "axes")?.map(|axes| axes.to_ints().into_owned()),
        };
        let mut over = match axes.filter(|axes| !axes.is_empty()) {
            Some(axes) => axes.iter().map(|&axis| axis_of(node, axis, x.rank())).collect::<Result<Vec<_>>>()?,
            None if node.flag("noop_with_empty_axes")? => return Ok(vec![Value::View(x)]),
            None => (0..x.rank()).collect(),
        };
        over.sort_unstable();
        over.dedup();
        let keeps = node.int("keepdims")?.unwrap_or(1) != 0;
        let mut view = self.reduced(name, &x, &over, kind, keeps)?;
        if node.op == "ReduceLogSum" {
            view = self.map(name, Function::Log, &[Operand::View(view)])?;
        }
        Ok(vec![Value::View(view)])
    }

    /// One value for all along the dimensions `over`, which stay with extent 1 or go.
    pub(super) fn reduced(
        &mut self,
        name: &str,
        x: &View,
        over: &[usize],
        kind: ReduceKind,
        keeps: bool,
    ) -> Result<View> {
        let extents: Vec<usize> = x.extents();
        let kept_dims =
            |x: &View| (0..x.rank()).filter(|dim| !over.contains(dim)).map(|dim| x.dims[dim].clone()).collect();
        let walks = |x: &View| {
            let kept = View { dims: kept_dims(x), ..x.clone() };
            let reduced = View { dims: over.iter().map(|&dim| x.dims[dim].clone()).collect(), offset: 0, ..x.clone() };
            let (kept, over) = (kept.strided()?, reduced.strided()?);
            (kept.axes.len() <= 3 && over.axes.len() <= 3).then_some((kept, over.axes))
        };
        let shape_kept: Vec<usize> =
            (0..extents.len()).map(|dim| if over.contains(&dim) { 1 } else { extents[dim] }).collect();
        let shape = shape_of(name, &shape_kept)?;
        // The mean of each channel is pooling.
        let own = self.graph.shape(x.node)?;
        let is_pool = matches!(kind, ReduceKind::Mean | ReduceKind::Max)
            && extents.len() == 4
            && over == [2, 3]
            && x.is_whole(own.len())
            && shape_of(name, &extents)? == own
            && self.is_map(x.node);
        let id = if is_pool {
            use crate::ops::{GlobalPool, GlobalPoolKind};
            let kind = if kind == ReduceKind::Max { GlobalPoolKind::Max } else { GlobalPoolKind::Average };
            self.apply(name, GlobalPool { kind }, &[x.node])?
        } else {
            let (x, (kept, over)) = match walks(x) {
                Some(walks) => (x.clone(), walks),
                None => {
                    // Kept dimensions first, then the others: two axes.
                    let order: Vec<usize> =
                        (0..x.rank()).filter(|dim| !over.contains(dim)).chain(over.iter().copied()).collect();
                    let turned = self.dense(name, &x.transposed(&order))?;
                    let kept = x.rank() - over.len();
                    let [kept, over] = [&turned.dims[..kept], &turned.dims[kept..]]
                        .map(|dims| View { dims: dims.to_vec(), ..turned.clone() });
                    let walks = kept.strided().zip(over.strided().map(|walk| walk.axes));
                    let Some(walks) = walks else {
                        return Err(Error::data(name, "reduces more values than 32 bits count"));
                    };
                    (turned, walks)
                }
            };
            self.apply(name, Reduce { shape, kept, over, kind }, &[x.node])?
        };
        let left: Vec<usize> = if keeps {
            shape_kept
        } else {
            extents.iter().enumerate().filter(|(dim, _)| !over.contains(dim)).map(|(_, &extent)| extent).collect()
        };
        Ok(View::whole(id, &left, x.of))
    }

    fn softmax(&mut self, node: &Node, x: &View) -> Result<View> {
        let name = &node.name;
        let log = node.op == "LogSoftmax";
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = axis_of(node, node.int("axis")?.unwrap_or(default), x.rank().max(1))?;
        let extents = x.extents();
        // Before version 13, all dimensions from the axis on were one.
        let flat = self.opset < 13 && axis + 1 < extents.len() && extents[axis + 1..].iter().any(|&extent| extent != 1);
        let own = self.graph.shape(x.node)?;
        let (n, c) = (own.n as usize, own.c as usize);
        let by_channel = !flat && axis == 1 && extents.len() >= 2 && extents[..2] == [n, c];
        if by_channel && !log && x.is_whole(own.len()) && self.is_map(x.node) {
            let softmax = Softmax::new(SoftmaxAxis::Channels);
            let id = self.apply(name, softmax, &[x.node])?;
            self.softmaxes.insert(id, (x.clone(), axis));
            return Ok(View::whole(id, &extents, Type::Float));
        }
        let dense = self.dense(name, x)?;
        let rest: usize = if extents.is_empty() { 1 } else { extents[axis..].iter().product() };
        let (len, inner) = if flat {
            (rest, 1)
        } else {
            let len = extents.get(axis).copied().unwrap_or(1);
            (len, rest / len)
        };
        let axis_of = SoftmaxAxis::Values { len: len as u32, inner: inner as u32 };
        let id = self.apply(name, Softmax { log, ..Softmax::new(axis_of) }, &[dense.node])?;
        if !flat && !log {
            self.softmaxes.insert(id, (x.clone(), axis));
        }
        Ok(View::whole(id, &extents, Type::Float))
    }

    fn top_k(&mut self, node: &Node, x: &View) -> Result<Vec<Value>> {
        let axis = axis_of(node, node.int("axis")?.unwrap_or(-1), x.rank())?;
        let k = match node.int("k")? {
            Some(k) => k,
            None => match self.known(node, 1, "k")?.and_then(|array| array.scalar_int()) {
                Some(k) => k,
                None => return Err(Error::data(node.label(), "lacks its k")),
            },
        };
        let largest = node.int("largest")?.unwrap_or(1) != 0;
        let name = &node.name;
        let dense = self.dense(name, x)?;
        let extents = x.extents();
        let len = extents[axis];
        let Some(k) = usize::try_from(k).ok().filter(|k| (1..=len.min(TopK::MAX_K as usize)).contains(k)) else {
            return Err(unsupported_attribute(node, "k", k));
        };
        let inner: usize = extents[axis + 1..].iter().product();
        let mut picked = extents.clone();
        picked[axis] = k;
        let shape = shape_of(name, &picked)?;
        let op = TopK { shape, k: k as u32, len: len as u32, inner: inner as u32, largest };
        let id = self.apply(name, op, &[dense.node])?;
        let indices = View::whole(id, &picked, Type::Int);
        let values = self.gathered_elements(name, &dense, &indices, axis)?;
        Ok(vec![Value::View(values), Value::View(indices)])
    }
}
