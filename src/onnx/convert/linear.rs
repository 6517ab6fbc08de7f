//! Products of matrices, with weights or with each other.

use std::sync::Arc;

use super::elementwise::Operand;
use super::view::{Type, View};
use super::{Converter, Value, shape_of};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::onnx::array::{Array, broadcast};
use crate::onnx::file::Node;
use crate::ops::{Activation, Function, Linear, Matmul, Strided, Weight};
use crate::tensor::{Shape, Tensor};

pub(super) const OPERATORS: &[&str] = &["Gemm", "MatMul"];

impl Converter {
    pub(super) fn matrices(&mut self, node: &Node) -> Result<Vec<Value>> {
        let view = if node.op == "Gemm" { self.gemm(node)? } else { self.matmul(node)? };
        Ok(vec![Value::View(view)])
    }

    /// `alpha * a * b + beta * c`, each of the first two turned or not.
    fn gemm(&mut self, node: &Node) -> Result<View> {
        let (alpha, beta) = (node.float("alpha")?.unwrap_or(1.0), node.float("beta")?.unwrap_or(1.0));
        let turned = |view: View, flag: bool| if flag { view.transposed(&[1, 0]) } else { view };
        let a = self.view(node, 0)?;
        let dims_b = self.dims(node, 1)?;
        if a.rank() != 2 || dims_b.len() != 2 {
            let detail = format!("multiplies {:?} by {dims_b:?}, which are no two matrices", a.extents());
            return Err(Error::data(node.label(), detail));
        }
        let a = turned(a, node.flag("transA")?);
        let is_turned = node.flag("transB")?;
        let (m, k) = (a.extents()[0], a.extents()[1]);
        let (b_k, n) = if is_turned { (dims_b[1], dims_b[0]) } else { (dims_b[0], dims_b[1]) };
        if b_k != k {
            return Err(Error::mismatch(node.label(), format!("{m}x{k} by {b_k}x{n}")));
        }
        let c = self.optional(node, 2)?;
        if let Value::Known(b) = self.value(node, 1)? {
            // One value for each column is the layer's bias.
            let bias = match &c {
                None => None,
                Some(Value::Known(c)) if c.len() == 1 || (c.len() == n && c.dims.last() == Some(&n)) => {
                    let values = c.to_floats();
                    Some((0..n).map(|i| values[if c.len() == 1 { 0 } else { i }] * beta).collect::<Arc<[f32]>>())
                }
                Some(_) => None,
            };
            let is_added = c.is_none() || bias.is_some();
            let y = self.linear(node, &a, &b, is_turned, (k, n), alpha, bias)?;
            if is_added { Ok(y) } else { self.plus(node, &y, beta) }
        } else {
            let b = turned(self.view(node, 1)?, is_turned);
            let mut y = self.multiplied(&node.name, &a, &b)?;
            if alpha != 1.0 {
                y = self.binary(&node.name, Function::Mul, &Operand::View(y), &Operand::Number(alpha))?;
            }
            if c.is_none() { Ok(y) } else { self.plus(node, &y, beta) }
        }
    }

    fn plus(&mut self, node: &Node, y: &View, beta: f32) -> Result<View> {
        let mut c = Operand::View(self.view(node, 2)?);
        if beta != 1.0 {
            c = Operand::View(self.binary(&node.name, Function::Mul, &c, &Operand::Number(beta))?);
        }
        self.binary(&node.name, Function::Add, &Operand::View(y.clone()), &c)
    }

    /// Rows times a weight `[k, n]`, or `[n, k]` if turned.
    #[expect(clippy::too_many_arguments, reason = "the operands and attributes of Gemm")]
    fn linear(
        &mut self,
        node: &Node,
        a: &View,
        b: &Arc<Array>,
        is_turned: bool,
        (k, n): (usize, usize),
        alpha: f32,
        bias: Option<Arc<[f32]>>,
    ) -> Result<View> {
        let shape = shape_of(&node.name, &[n, k])?;
        let weight = if is_turned && alpha == 1.0 {
            self.weight(b, shape)?
        } else {
            let values = b.to_floats();
            let at = |i: usize| if is_turned { values[i] } else { values[i % k * n + i / k] };
            let values: Vec<f32> = (0..n * k).map(|i| at(i) * alpha).collect();
            Weight::from(Tensor::new(shape, values)?)
        };
        let mut extents = a.extents();
        let rows: usize = extents.iter().rev().skip(1).product();
        let x = self.rows(&node.name, a, rows, k)?;
        let id = self.apply(&node.name, Linear { weight, bias, activation: Activation::None }, &[x])?;
        if let Some(last) = extents.last_mut() {
            *last = n;
        }
        Ok(View::whole(id, &extents, Type::Float))
    }

    /// Rows of `k` features. A map of which each image is a row stays as it is.
    fn rows(&mut self, name: &str, a: &View, rows: usize, k: usize) -> Result<NodeId> {
        let own = self.graph.shape(a.node)?;
        let is_row = own.n as usize == rows && own.len() == (rows * k) as u64;
        if is_row && a.is_whole(own.len()) {
            return Ok(a.node);
        }
        self.shaped(name, a, shape_of(name, &[rows, k])?)
    }

    /// As NumPy's, with its rules for vectors and for the dimensions before the last two.
    fn matmul(&mut self, node: &Node) -> Result<View> {
        let (dims_a, dims_b) = (self.dims(node, 0)?, self.dims(node, 1)?);
        if dims_a.is_empty() || dims_b.is_empty() {
            return Err(Error::data(node.label(), "multiplies a number, not a matrix"));
        }
        if let (Value::View(a), Value::Known(b)) = (self.value(node, 0)?, self.value(node, 1)?)
            && let &[k, n] = &b.dims[..]
            && a.extents().last() == Some(&k)
            && a.rank() >= 2
        {
            return self.linear(node, &a, &b, false, (k, n), 1.0, None);
        }
        let (mut a, mut b) = (self.view(node, 0)?, self.view(node, 1)?);
        let (is_row, is_column) = (a.rank() == 1, b.rank() == 1);
        if is_row {
            a = a.with_dim(0);
        }
        if is_column {
            b = b.with_dim(1);
        }
        let mut y = self.multiplied(&node.name, &a, &b)?;
        if is_column {
            y = y.without_dim(y.rank() - 1);
        }
        if is_row {
            y = y.without_dim(y.rank() - if is_column { 1 } else { 2 });
        }
        Ok(y)
    }

    /// Matrices of the last two dimensions.
    fn multiplied(&mut self, name: &str, a: &View, b: &View) -> Result<View> {
        let (of_a, of_b) = (a.extents(), b.extents());
        let (&[ref batch_a @ .., m, k], &[ref batch_b @ .., b_k, n]) = (&of_a[..], &of_b[..]) else {
            return Err(Error::data(name, format!("multiplies {of_a:?} by {of_b:?}")));
        };
        let Some(batch) = broadcast([batch_a, batch_b]).filter(|_| k == b_k) else {
            return Err(Error::mismatch(name, format!("{of_a:?} by {of_b:?}")));
        };
        let walk = |this: &mut Self, view: &View, [rows, columns]: [usize; 2]| -> Result<(NodeId, Strided)> {
            let full: Vec<usize> = batch.iter().copied().chain([rows, columns]).collect();
            // Each dimension must be one axis.
            let single = |view: &View| {
                view.dims.iter().all(|dim| matches!(dim, super::view::Dim::Axes(axes) if axes.len() <= 1))
            };
            let view = if single(view) { view.clone() } else { this.dense(name, view)? };
            let spread = view.spread(&full);
            let axes = spread.dims.iter().map(|dim| match dim {
                super::view::Dim::Axes(axes) => {
                    let step = axes.first().copied();
                    let (extent, stride) = step.map_or((1, 0), |step| (step.extent, step.stride));
                    Some(crate::ops::Axis { extent: u32::try_from(extent).ok()?, stride: i32::try_from(stride).ok()? })
                }
                super::view::Dim::Places(_) => None,
            });
            let beyond = || Error::Unsupported {
                op: name.into(),
                what: format!("a product of matrices {full:?}"),
                hint: "32 bits do not hold its strides".into(),
            };
            let offset = u32::try_from(spread.offset).map_err(|_| beyond())?;
            Ok((view.node, Strided { offset, axes: axes.collect::<Option<_>>().ok_or_else(beyond)? }))
        };
        let (node_a, a) = walk(self, a, [m, k])?;
        let (node_b, b) = walk(self, b, [k, n])?;
        let extents: Vec<usize> = batch.iter().copied().chain([m, n]).collect();
        let shape: Shape = shape_of(name, &extents)?;
        let id = self.apply(name, Matmul { shape, a, b }, &[node_a, node_b])?;
        Ok(View::whole(id, &extents, Type::Float))
    }
}
