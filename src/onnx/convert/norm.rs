//! Normalisation by statistics of the file, or of the values themselves.

use super::elementwise::Operand;
use super::view::{Type, View};
use super::{Converter, Value, shape_of, unsupported};
use crate::error::{Error, Result};
use crate::onnx::file::Node;
use crate::ops::{Activation, AffineActivation, Function, ReduceKind};

pub(super) const OPERATORS: &[&str] =
    &["BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization"];

impl Converter {
    pub(super) fn normalization(&mut self, node: &Node) -> Result<Vec<Value>> {
        match node.op.as_str() {
            "BatchNormalization" if node.flag("training_mode")? => self.batch_statistics(node),
            "BatchNormalization" => self.batch_norm(node),
            "InstanceNormalization" => {
                let x = self.view(node, 0)?;
                let over: Vec<usize> = (2..x.rank()).collect();
                let [y, ..] = self.normalized(node, &x, &over)?;
                Ok(vec![Value::View(self.scaled_by(node, &y, [1, 2], 1)?)])
            }
            "GroupNormalization" => {
                let x = self.view(node, 0)?;
                let extents = x.extents();
                let groups = node.int("num_groups")?.unwrap_or(1);
                let count = usize::try_from(groups)
                    .ok()
                    .filter(|&g| g > 0 && extents.len() > 1 && extents[1].is_multiple_of(g));
                let Some(count) = count else { return Err(super::unsupported_attribute(node, "num_groups", groups)) };
                let mut split = extents.clone();
                split.splice(1..2, [count, extents[1] / count]);
                let dense = self.dense(&node.name, &x)?;
                let grouped = dense.reshaped(&split).ok_or_else(|| unsupported(node, format!("{extents:?}")))?;
                let over: Vec<usize> = (2..split.len()).collect();
                let [y, ..] = self.normalized(node, &grouped, &over)?;
                let y = self.dense(&node.name, &y)?;
                let y = y.reshaped(&extents).ok_or_else(|| unsupported(node, format!("{extents:?}")))?;
                // Before version 21, a value for each group.
                let per_group = self.dims(node, 1)? == [count] && count != extents[1];
                if per_group {
                    return Err(unsupported(node, "a scale for each group".into()));
                }
                Ok(vec![Value::View(self.scaled_by(node, &y, [1, 2], 1)?)])
            }
            _ => {
                let x = self.view(node, 0)?;
                let first = super::axis_of(node, node.int("axis")?.unwrap_or(-1), x.rank())?;
                let over: Vec<usize> = (first..x.rank()).collect();
                let [y, ..] = self.normalized(node, &x, &over)?;
                let scale = Operand::View(self.view(node, 1)?);
                let mut y = self.map(&node.name, Function::Mul, &[Operand::View(y), scale])?;
                if node.input(2).is_some() {
                    let shift = Operand::View(self.view(node, 2)?);
                    y = self.map(&node.name, Function::Add, &[Operand::View(y), shift])?;
                }
                Ok(vec![Value::View(y)])
            }
        }
    }

    fn batch_norm(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let mut values = Vec::with_capacity(4);
        for (index, what) in ["scale", "B", "mean", "var"].into_iter().enumerate() {
            let Some(array) = self.known(node, index + 1, what)? else {
                return Err(Error::data(node.label(), format!("lacks its {what}")));
            };
            values.push(array.to_floats().into_owned());
        }
        let eps = node.float("epsilon")?.unwrap_or(1e-5);
        let [scale, shift, mean, var] = [0, 1, 2, 3].map(|i| values[i].as_slice());
        let affine =
            AffineActivation::batch_norm(&node.label(), [scale, shift, mean, var], eps.into(), Activation::None)?;
        let extents = x.extents();
        let shape = shape_of(&node.name, &extents)?;
        let id = self.shaped(&node.name, &x, shape)?;
        let id = self.apply(&node.name, affine, &[id])?;
        Ok(vec![Value::View(View::whole(id, &extents, Type::Float))])
    }

    /// With the statistics of the batch, and what is left of the running ones.
    fn batch_statistics(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        if x.rank() < 2 {
            return Err(unsupported(node, format!("a tensor {:?}", x.extents())));
        }
        let over: Vec<usize> = (0..x.rank()).filter(|&dim| dim != 1).collect();
        let [y, mean, var] = self.normalized(node, &x, &over)?;
        let y = self.scaled_by(node, &y, [1, 2], 1)?;
        let momentum = node.float("momentum")?.unwrap_or(0.9);
        let mut results = vec![Value::View(y)];
        for (index, of_batch) in [(3, mean), (4, var)] {
            let channels = of_batch.extents()[1];
            let of_batch = self.dense(&node.name, &of_batch)?;
            let Some(of_batch) = of_batch.reshaped(&[channels]) else {
                return Err(unsupported(node, "these dimensions".into()));
            };
            let old = Operand::View(self.view(node, index)?);
            let old = self.map(&node.name, Function::Mul, &[old, Operand::Number(momentum)])?;
            let new =
                self.map(&node.name, Function::Mul, &[Operand::View(of_batch), Operand::Number(1.0 - momentum)])?;
            let sum = self.map(&node.name, Function::Add, &[Operand::View(old), Operand::View(new)])?;
            results.push(Value::View(sum));
        }
        Ok(results)
    }

    /// `(x - mean) / sqrt(var + epsilon)`, and both.
    fn normalized(&mut self, node: &Node, x: &View, over: &[usize]) -> Result<[View; 3]> {
        let name = &node.name;
        let eps = node.float("epsilon")?.unwrap_or(1e-5);
        let x = Operand::View(x.clone());
        let Operand::View(of) = &x else { unreachable!("a view") };
        let mean = self.reduced(name, of, over, ReduceKind::Mean, true)?;
        let centred = self.map(name, Function::Sub, &[x.clone(), Operand::View(mean.clone())])?;
        let squares =
            self.map(name, Function::Mul, &[Operand::View(centred.clone()), Operand::View(centred.clone())])?;
        let var = self.reduced(name, &squares, over, ReduceKind::Mean, true)?;
        let spread = self.map(name, Function::Add, &[Operand::View(var.clone()), Operand::Number(eps)])?;
        let root = self.map(name, Function::Sqrt, &[Operand::View(spread)])?;
        let y = self.map(name, Function::Div, &[Operand::View(centred), Operand::View(root)])?;
        Ok([y, mean, var])
    }

    /// Times one input and plus another, which have a value for each index of a dimension.
    fn scaled_by(&mut self, node: &Node, y: &View, [scale, shift]: [usize; 2], dim: usize) -> Result<View> {
        let along = |view: View, rank: usize| (dim + 1..rank).fold(view, |view, _| view.with_dim(view.rank()));
        let scale = along(self.view(node, scale)?, y.rank());
        let shift = along(self.view(node, shift)?, y.rank());
        let y = self.map(&node.name, Function::Mul, &[Operand::View(y.clone()), Operand::View(scale)])?;
        self.map(&node.name, Function::Add, &[Operand::View(y), Operand::View(shift)])
    }
}
