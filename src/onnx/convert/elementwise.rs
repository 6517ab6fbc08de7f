//! Functions of each value: activations, arithmetic, comparisons.

use super::view::{Type, View, refined};
use super::{Converter, Value, shape_of, unsupported, unsupported_attribute};
use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::onnx::array::broadcast;
use crate::onnx::file::Node;
use crate::ops::{Activation, Add, AffineActivation, Axis, Formula, FormulaStep, Function, Map, Strided, Term};
use crate::tensor::Shape;

/// Factors and summands of each channel are kept up to so many.
const MOST_CHANNELS: u32 = 1 << 20;

pub(super) const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
];

/// What a function is applied to: values, or one number for all of them.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    View(View),
    Number(f32),
}

impl Converter {
    pub(super) fn elementwise(&mut self, node: &Node) -> Result<Vec<Value>> {
        let name = &node.name;
        let alpha = |default: f32| -> Result<f32> { Ok(node.float("alpha")?.unwrap_or(default)) };
        let activation = match node.op.as_str() {
            "Relu" => Some(Activation::Relu),
            "LeakyRelu" => Some(Activation::LeakyRelu(alpha(0.01)?)),
            "Sigmoid" => Some(Activation::Sigmoid),
            "HardSigmoid" => Some(Activation::HardSigmoid(alpha(0.2)?, node.float("beta")?.unwrap_or(0.5))),
            "HardSwish" => Some(Activation::Hardswish),
            "Elu" => Some(Activation::Elu(alpha(1.0)?)),
            "Tanh" => Some(Activation::Tanh),
            "Softplus" => Some(Activation::Softplus),
            "Mish" => Some(Activation::Mish),
            "Swish" if alpha(1.0)? == 1.0 => Some(Activation::Silu),
            "Gelu" => match node.text("approximate")? {
                None | Some("none") => Some(Activation::Gelu),
                Some("tanh") => Some(Activation::GeluTanh),
                Some(other) => return Err(unsupported_attribute(node, "approximate", other)),
            },
            "Clip" => Some(self.clip(node)?),
            _ => None,
        };
        if let Some(activation) = activation {
            let x = self.view(node, 0)?;
            return Ok(vec![Value::View(self.activated(name, &x, activation)?)]);
        }
        let function = match node.op.as_str() {
            "Identity" | "Dropout" => return Ok(vec![self.value(node, 0)?]),
            "Cast" | "CastLike" => return self.cast(node),
            "Abs" => Function::Abs,
            "Ceil" => Function::Ceil,
            "Cos" => Function::Cos,
            "Erf" => Function::Erf,
            "Exp" => Function::Exp,
            "Floor" => Function::Floor,
            "Log" => Function::Log,
            "Neg" => Function::Neg,
            "Not" => Function::Not,
            "Reciprocal" => Function::Reciprocal,
            "Round" => Function::Round,
            "Sign" => Function::Sign,
            "Sin" => Function::Sin,
            "Sqrt" => Function::Sqrt,
            "Swish" => {
                // x * sigmoid(alpha * x)
                let x = Operand::View(self.view(node, 0)?);
                let scaled = self.binary(name, Function::Mul, &x, &Operand::Number(alpha(1.0)?))?;
                let gate = self.activated(name, &scaled, Activation::Sigmoid)?;
                return Ok(vec![Value::View(self.binary(name, Function::Mul, &x, &Operand::View(gate))?)]);
            }
            "Selu" => {
                let gamma = node.float("gamma")?.unwrap_or(1.050_701);
                let x = self.view(node, 0)?;
                let y = self.activated(name, &x, Activation::Elu(alpha(1.673_263_2)?))?;
                return Ok(vec![Value::View(self.binary(
                    name,
                    Function::Mul,
                    &Operand::View(y),
                    &Operand::Number(gamma),
                )?)]);
            }
            "Celu" => {
                // alpha * elu(x / alpha)
                let alpha = Operand::Number(alpha(1.0)?);
                let x = Operand::View(self.view(node, 0)?);
                let x = self.binary(name, Function::Div, &x, &alpha)?;
                let y = Operand::View(self.activated(name, &x, Activation::Elu(1.0))?);
                return Ok(vec![Value::View(self.binary(name, Function::Mul, &y, &alpha)?)]);
            }
            "Softsign" => {
                let x = Operand::View(self.view(node, 0)?);
                let size = Operand::View(self.map(name, Function::Abs, std::slice::from_ref(&x))?);
                let divisor = Operand::View(self.map(name, Function::Add, &[size, Operand::Number(1.0)])?);
                return Ok(vec![Value::View(self.map(name, Function::Div, &[x, divisor])?)]);
            }
            "ThresholdedRelu" => {
                let x = Operand::View(self.view(node, 0)?);
                let above = self.map(name, Function::Less, &[Operand::Number(alpha(1.0)?), x.clone()])?;
                let y = self.map(name, Function::Where, &[Operand::View(above), x, Operand::Number(0.0)])?;
                return Ok(vec![Value::View(View { of: Type::Float, ..y })]);
            }
            "Sum" | "Min" | "Max" => {
                let function = match node.op.as_str() {
                    "Sum" => Function::Add,
                    "Min" => Function::Min,
                    _ => Function::Max,
                };
                let mut total = self.operand(node, 0)?;
                for index in 1..node.inputs.len() {
                    let other = self.operand(node, index)?;
                    total = Operand::View(self.binary(name, function, &total, &other)?);
                }
                return match total {
                    Operand::View(view) => Ok(vec![Value::View(view)]),
                    Operand::Number(_) => Ok(vec![self.value(node, 0)?]),
                };
            }
            "Where" => {
                let operands = [self.operand(node, 0)?, self.operand(node, 1)?, self.operand(node, 2)?];
                let of = self.type_of(&operands[1..]);
                let view = self.map(name, Function::Where, &operands)?;
                return Ok(vec![Value::View(View { of, ..view })]);
            }
            "Greater" | "GreaterOrEqual" => {
                let function = if node.op == "Greater" { Function::Less } else { Function::LessOrEqual };
                let [a, b] = [self.operand(node, 1)?, self.operand(node, 0)?];
                let view = self.map(name, function, &[a, b])?;
                return Ok(vec![Value::View(View { of: Type::Bool, ..view })]);
            }
            "Equal" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" => {
                let [a, b] = [self.operand(node, 0)?, self.operand(node, 1)?];
                let view = match node.op.as_str() {
                    "Equal" => self.map(name, Function::Equal, &[a, b])?,
                    "Less" => self.map(name, Function::Less, &[a, b])?,
                    "LessOrEqual" => self.map(name, Function::LessOrEqual, &[a, b])?,
                    "And" => self.map(name, Function::And, &[a, b])?,
                    "Or" => self.map(name, Function::Or, &[a, b])?,
                    _ => {
                        let same = self.map(name, Function::Equal, &[a, b])?;
                        self.map(name, Function::Not, &[Operand::View(same)])?
                    }
                };
                return Ok(vec![Value::View(View { of: Type::Bool, ..view })]);
            }
            "Add" => Function::Add,
            "Sub" => Function::Sub,
            "Mul" => Function::Mul,
            "Div" => Function::Div,
            "Pow" => Function::Pow,
            "PRelu" => return self.prelu(node),
            "Mod" => {
                let [a, b] = [self.operand(node, 0)?, self.operand(node, 1)?];
                let is_float = self.type_of(&[a.clone(), b.clone()]) == Type::Float;
                if node.flag("fmod")? != is_float {
                    return Err(unsupported_attribute(node, "fmod", u8::from(node.flag("fmod")?)));
                }
                if !is_float {
                    return Ok(vec![Value::View(self.binary(name, Function::Mod, &a, &b)?)]);
                }
                // What C's fmod leaves has the dividend's sign.
                let quotient = self.binary(name, Function::Div, &a, &b)?;
                let whole = self.map(name, Function::Trunc, &[Operand::View(quotient)])?;
                let taken = self.binary(name, Function::Mul, &Operand::View(whole), &b)?;
                return Ok(vec![Value::View(self.binary(name, Function::Sub, &a, &Operand::View(taken))?)]);
            }
            _ => return Err(unsupported(node, "the operator".into())),
        };
        let view = match function.arity() {
            1 => {
                let x = self.operand(node, 0)?;
                self.map(name, function, &[x])?
            }
            _ => {
                let [a, b] = [self.operand(node, 0)?, self.operand(node, 1)?];
                self.binary(name, function, &a, &b)?
            }
        };
        Ok(vec![Value::View(view)])
    }

    /// An input: one number for all, or a view.
    fn operand(&mut self, node: &Node, index: usize) -> Result<Operand> {
        if let Value::Known(array) = self.value(node, index)?
            && let Some(number) = array.scalar()
            && array.dims.iter().all(|&dim| dim == 1)
        {
            // The dimensions of a number count where it has more of them than the others.
            let rank = |of: usize| self.dims(node, of).map(|dims| dims.len()).unwrap_or(0);
            let most = (0..node.inputs.len()).filter(|&of| of != index).map(rank).max().unwrap_or(0);
            if array.rank() <= most {
                return Ok(Operand::Number(number));
            }
        }
        self.view(node, index).map(Operand::View)
    }

    fn type_of(&self, operands: &[Operand]) -> Type {
        let mut types = operands.iter().filter_map(|operand| match operand {
            Operand::View(view) => Some(view.of),
            Operand::Number(_) => None,
        });
        types.next().unwrap_or(Type::Float)
    }

    fn clip(&mut self, node: &Node) -> Result<Activation> {
        let bound = |this: &Self, index: usize, attribute: &'static str| -> Result<Option<f32>> {
            if let Some(value) = node.float(attribute)? {
                return Ok(Some(value));
            }
            let Some(array) = this.known(node, index, attribute)? else { return Ok(None) };
            let wrong = || Error::data(node.label(), format!("has a {attribute} that is not one number"));
            array.scalar().ok_or_else(wrong).map(Some)
        };
        let least = bound(self, 1, "min")?.unwrap_or(f32::NEG_INFINITY);
        let most = bound(self, 2, "max")?.unwrap_or(f32::INFINITY);
        Ok(match (least, most) {
            (0.0, f32::INFINITY) => Activation::Relu,
            (f32::NEG_INFINITY, f32::INFINITY) => Activation::None,
            // What exporters write for no limit.
            (least, most) => {
                let open = |bound: f32, infinite: f32| if bound.abs() == f32::MAX { infinite } else { bound };
                match (open(least, f32::NEG_INFINITY), open(most, f32::INFINITY)) {
                    (0.0, f32::INFINITY) => Activation::Relu,
                    (least, most) => Activation::Clip(least, most),
                }
            }
        })
    }

    fn cast(&mut self, node: &Node) -> Result<Vec<Value>> {
        use crate::onnx::array::Kind;
        let x = self.view(node, 0)?;
        let of = if node.op == "CastLike" {
            match self.value(node, 1)? {
                Value::View(like) => like.of,
                Value::Known(array) if array.as_floats().is_some() => Type::Float,
                Value::Known(array) if array.as_ints().is_some() => Type::Int,
                _ => Type::Bool,
            }
        } else {
            let to = node.int("to")?.unwrap_or(0);
            match Kind::of(to) {
                Some(Kind::Bool) => Type::Bool,
                Some(kind) if kind.is_float() => Type::Float,
                Some(_) => Type::Int,
                None => return Err(unsupported_attribute(node, "to", to)),
            }
        };
        let view = match (x.of, of) {
            (Type::Float, Type::Int) => self.map(&node.name, Function::Trunc, &[Operand::View(x)])?,
            (Type::Float | Type::Int, Type::Bool) => {
                let zero = self.map(&node.name, Function::Not, &[Operand::View(x)])?;
                self.map(&node.name, Function::Not, &[Operand::View(zero)])?
            }
            _ => x,
        };
        Ok(vec![Value::View(View { of, ..view })])
    }

    fn prelu(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        if let Value::Known(slope) = self.value(node, 1)? {
            let values = slope.to_floats();
            if let Some(&first) = values.first()
                && values.iter().all(|&value| value == first)
            {
                return Ok(vec![Value::View(self.activated(&node.name, &x, Activation::LeakyRelu(first))?)]);
            }
        }
        let slope = self.view(node, 1)?;
        let view = self.map(&node.name, Function::Prelu, &[Operand::View(x), Operand::View(slope)])?;
        Ok(vec![Value::View(view)])
    }

    /// A view after an activation. In whatever order it walks over a node's values, the node is activated as it lies.
    pub(super) fn activated(&mut self, name: &str, x: &View, activation: Activation) -> Result<View> {
        if activation == Activation::None {
            return Ok(x.clone());
        }
        let shape = self.graph.shape(x.node)?;
        if x.is_order_of(shape.len()) && self.is_map(x.node) && shape.c <= MOST_CHANNELS {
            let id = self.apply(name, AffineActivation::activation(shape.c, activation), &[x.node])?;
            return Ok(View { node: id, ..x.clone() });
        }
        self.map(name, Function::Activation(activation), &[Operand::View(x.clone())])
    }

    /// A function of two operands, in the form that passes know how to fuse.
    pub(super) fn binary(&mut self, name: &str, function: Function, a: &Operand, b: &Operand) -> Result<View> {
        if let Some(view) = self.respelled(name, function, a, b)? {
            return Ok(view);
        }
        let is_int = self.type_of(&[a.clone(), b.clone()]) != Type::Float;
        match (function, a, b) {
            (Function::Add | Function::Mul, Operand::Number(_), Operand::View(_)) => {
                return self.binary(name, function, b, a);
            }
            (Function::Div, _, _) if is_int => {
                let quotient = self.map(name, Function::Div, &[a.clone(), b.clone()])?;
                let whole = self.map(name, Function::Trunc, &[Operand::View(quotient)])?;
                return Ok(View { of: Type::Int, ..whole });
            }
            (Function::Pow, Operand::View(_), Operand::Number(exponent)) if *exponent == 2.0 => {
                return self.map(name, Function::Mul, &[a.clone(), a.clone()]);
            }
            (Function::Pow, Operand::View(_), Operand::Number(exponent)) if *exponent == 0.5 => {
                return self.map(name, Function::Sqrt, std::slice::from_ref(a));
            }
            (Function::Pow, Operand::View(x), Operand::Number(exponent)) if *exponent == 1.0 => return Ok(x.clone()),
            (_, Operand::View(x), Operand::Number(number)) => {
                let number = f64::from(*number);
                let affine = match function {
                    Function::Mul => Some((number, 0.0)),
                    Function::Add => Some((1.0, number)),
                    Function::Sub => Some((1.0, -number)),
                    // Exact only for powers of two, as division is.
                    Function::Div if number != 0.0 && (1.0 / number as f32) as f64 * number == 1.0 => {
                        Some((1.0 / number, 0.0))
                    }
                    _ => None,
                };
                if let Some((scale, shift)) = affine.filter(|(scale, shift)| scale.is_finite() && shift.is_finite())
                    && let Some(view) = self.affine(name, x, |_| (scale, shift))?
                {
                    return Ok(view);
                }
            }
            (_, Operand::View(a), Operand::View(b)) => {
                if let Some(view) = self.per_channel(name, function, a, b)? {
                    return Ok(view);
                }
                if let Some(view) = self.added(name, function, a, b)? {
                    return Ok(view);
                }
            }
            _ => {}
        }
        self.map(name, function, &[a.clone(), b.clone()])
    }

    /// A map of channels times a factor and with a summand for each, if it is all of one.
    fn affine(&mut self, name: &str, x: &View, of: impl Fn(usize) -> (f64, f64)) -> Result<Option<View>> {
        let shape = self.graph.shape(x.node)?;
        if x.of != Type::Float || shape.c > MOST_CHANNELS || !x.is_order_of(shape.len()) || !self.is_map(x.node) {
            return Ok(None);
        }
        let (scale, shift): (Vec<f64>, Vec<f64>) = (0..shape.c as usize).map(of).unzip();
        let affine = AffineActivation { scale: scale.into(), shift: shift.into(), activation: Activation::None };
        let id = self.apply(name, affine, &[x.node])?;
        Ok(Some(View { node: id, ..x.clone() }))
    }

    /// A map and a constant with a value for each channel.
    fn per_channel(&mut self, name: &str, function: Function, a: &View, b: &View) -> Result<Option<View>> {
        let is_constant = |this: &Self, view: &View| match this.graph.node(view.node).map(|node| &node.op) {
            Ok(Op::Constant(constant)) => Some(constant.value.clone()),
            _ => None,
        };
        let (x, weight, constant) = match (is_constant(self, a), is_constant(self, b)) {
            (None, Some(weight)) => (a, weight, b),
            (Some(weight), None) if matches!(function, Function::Add | Function::Mul) => (b, weight, a),
            _ => return Ok(None),
        };
        let shape = self.graph.shape(x.node)?;
        let extents = x.extents();
        let mut dims = constant.extents();
        while dims.len() < extents.len() {
            dims.insert(0, 1);
        }
        let by_channel = dims.len() == extents.len()
            && x.rank() >= 2
            && x.is_whole(shape.len())
            && constant.is_whole(weight.shape().len())
            && extents[1] == shape.c as usize
            && dims.iter().enumerate().all(|(at, &dim)| dim == if at == 1 { extents[1] } else { 1 });
        if !by_channel {
            return Ok(None);
        }
        let values = weight.data();
        let affine = |c: usize| {
            let value = f64::from(values[c]);
            match function {
                Function::Mul => (value, 0.0),
                Function::Div => (1.0 / value, 0.0),
                Function::Sub => (1.0, -value),
                _ => (1.0, value),
            }
        };
        let fits = matches!(function, Function::Add | Function::Sub | Function::Mul)
            || (function == Function::Div && values.iter().all(|value| value.is_normal()));
        let finite = |c: usize| affine(c).0.is_finite() && affine(c).1.is_finite();
        if fits && (0..values.len()).all(finite) { self.affine(name, x, affine) } else { Ok(None) }
    }

    /// The sum or difference of two maps of the same form.
    fn added(&mut self, name: &str, function: Function, a: &View, b: &View) -> Result<Option<View>> {
        let (first, second, scale) = match function {
            Function::Add => (a, b, 1.0),
            Function::Sub => (b, a, -1.0),
            _ => return Ok(None),
        };
        let shape = self.graph.shape(a.node)?;
        let alike = a.dims == b.dims && a.offset == b.offset && shape == self.graph.shape(b.node)?;
        if !alike || a.of != Type::Float || !a.is_order_of(shape.len()) || !self.is_map(a.node) || !self.is_map(b.node)
        {
            return Ok(None);
        }
        let id = self.apply(name, Add { scale, activation: Activation::None }, &[first.node, second.node])?;
        Ok(Some(View { node: id, ..a.clone() }))
    }

    /// One function of views and numbers.
    pub(super) fn map(&mut self, name: &str, function: Function, operands: &[Operand]) -> Result<View> {
        let mut views: Vec<View> = Vec::new();
        let mut terms = Vec::with_capacity(operands.len());
        for operand in operands {
            terms.push(match operand {
                Operand::Number(number) => Term::Number(*number),
                Operand::View(view) => {
                    views.push(view.clone());
                    Term::Operand(views.len() as u32 - 1)
                }
            });
        }
        let of = self.type_of(operands);
        if views.is_empty() {
            return Err(Error::data(name, "a function of numbers alone"));
        }
        let formula = Formula { steps: vec![FormulaStep { function, terms }] };
        // A node read twice is one operand.
        let first = views[0].clone();
        let shape = self.graph.shape(first.node)?;
        let alike = |view: &View, shape_of: Shape| view.dims == first.dims && view.offset == 0 && shape_of == shape;
        let mut all_alike = first.is_order_of(shape.len());
        for view in &views {
            all_alike &= alike(view, self.graph.shape(view.node)?);
        }
        if all_alike {
            let nodes: Vec<NodeId> = views.iter().map(|view| view.node).collect();
            let walks = vec![None; nodes.len()];
            let id = self.apply(name, Map { shape, walks, formula }, &nodes)?;
            return Ok(View { node: id, of, ..first });
        }
        let extents: Vec<Vec<usize>> = views.iter().map(View::extents).collect();
        let Some(dims) = broadcast(extents.iter().map(Vec::as_slice)) else {
            return Err(Error::mismatch(name, format!("dimensions {extents:?} cannot be spread over each other")));
        };
        let shape = shape_of(name, &dims)?;
        let mut spread = Vec::with_capacity(views.len());
        for view in &views {
            let view = self.walkable(name, view)?;
            spread.push(view.spread(&dims));
        }
        // As maps, if each has all of its node's values, under extents that the result has or can be spread over.
        let mut nodes = Vec::with_capacity(views.len());
        let mut by_extent = dims.len() <= 4;
        for (view, extents) in views.iter().zip(&extents) {
            let mut padded = vec![1; dims.len() - extents.len()];
            padded.extend(extents);
            let padded = shape_of(name, &padded)?;
            by_extent &= view.is_whole(self.graph.shape(view.node)?.len()) && padded == self.graph.shape(view.node)?;
            nodes.push(view.node);
        }
        if by_extent {
            let walks = vec![None; nodes.len()];
            let id = self.apply(name, Map { shape, walks, formula }, &nodes)?;
            return Ok(View::whole(id, &dims, of));
        }
        let walks = match refined(&spread) {
            Some(walks) if walks[0].len() <= Strided::MAX_AXES => walks,
            _ => {
                for (view, spread) in views.iter().zip(&mut spread) {
                    *spread = self.dense(name, view)?.spread(&dims);
                }
                let hint = || unsupported_walk(name, &dims);
                refined(&spread).filter(|walks| walks[0].len() <= Strided::MAX_AXES).ok_or_else(hint)?
            }
        };
        let mut strided = Vec::with_capacity(walks.len());
        for (view, axes) in spread.iter().zip(walks) {
            let axes = axes.iter().map(|axis| {
                Some(Axis { extent: u32::try_from(axis.extent).ok()?, stride: i32::try_from(axis.stride).ok()? })
            });
            let walk = Strided {
                offset: u32::try_from(view.offset).map_err(|_| unsupported_walk(name, &dims))?,
                axes: axes.collect::<Option<_>>().ok_or_else(|| unsupported_walk(name, &dims))?,
            };
            strided.push(Some(walk));
        }
        let nodes: Vec<NodeId> = spread.iter().map(|view| view.node).collect();
        let id = self.apply(name, Map { shape, walks: strided, formula }, &nodes)?;
        Ok(View::whole(id, &dims, of))
    }
}

fn unsupported_walk(name: &str, dims: &[usize]) -> Error {
    Error::Unsupported {
        op: name.into(),
        what: format!("a function over the dimensions {dims:?}"),
        hint: "its operands are spread in more ways than six axes have".into(),
    }
}
