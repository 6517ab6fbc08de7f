//! Activations that exporters spell out: `x * Sigmoid(x)` is one activation, and so are others.

use super::Converter;
use super::elementwise::Operand;
use super::view::{Type, View};
use crate::error::Result;
use crate::graph::{NodeId, Op};
use crate::ops::{Activation, Formula, FormulaStep, Function, Term};

/// A factor or a summand: a node's values, or a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Factor {
    Node(NodeId),
    Number(f64),
}

/// Products and sums of so many levels are looked into.
const DEPTH: usize = 4;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs()
}

impl Converter {
    /// The activation that a function of two operands completes, if it is one.
    pub(super) fn respelled(
        &mut self,
        name: &str,
        function: Function,
        a: &Operand,
        b: &Operand,
    ) -> Result<Option<View>> {
        let (view, other) = match (a, b) {
            (Operand::View(view), other) => (view, other),
            (other @ Operand::Number(_), Operand::View(view)) if function != Function::Div => (view, other),
            _ => return Ok(None),
        };
        if view.of != Type::Float || !view.is_order_of(self.graph.shape(view.node)?.len()) {
            return Ok(None);
        }
        // Of two views, both must walk over their nodes in the same way.
        let other = match other {
            Operand::Number(number) => Factor::Number((*number).into()),
            Operand::View(other) => {
                let alike = other.dims == view.dims && other.offset == view.offset;
                if !alike || self.graph.shape(other.node)? != self.graph.shape(view.node)? {
                    return Ok(None);
                }
                Factor::Node(other.node)
            }
        };
        let mut number = 1.0;
        let mut factors = Vec::new();
        match (function, other) {
            (Function::Mul, other) => {
                self.product(Factor::Node(view.node), DEPTH, &mut number, &mut factors);
                self.product(other, DEPTH, &mut number, &mut factors);
            }
            (Function::Div, Factor::Number(divisor)) => {
                self.product(Factor::Node(view.node), DEPTH, &mut number, &mut factors);
                number /= divisor;
            }
            (Function::Max, Factor::Node(other)) => {
                return match self.leaky([view.node, other]) {
                    Some((x, slope)) => {
                        let x = View { node: x, ..view.clone() };
                        self.activated(name, &x, Activation::LeakyRelu(slope)).map(Some)
                    }
                    None => Ok(None),
                };
            }
            _ => return Ok(None),
        }
        match self.activation(number, &factors) {
            Some((x, activation)) => {
                let x = View { node: x, ..view.clone() };
                self.activated(name, &x, activation).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The activation that is a number times these factors, and what it is applied to.
    fn activation(&self, number: f64, factors: &[NodeId]) -> Option<(NodeId, Activation)> {
        if let &[gate] = factors {
            // clip(x + 3, 0, 6) / 6
            let x = self.shifted(self.clipped(gate, 0.0, 6.0)?, 3.0)?;
            return close(number, 1.0 / 6.0).then_some((x, Activation::HardSigmoid((1.0f64 / 6.0) as f32, 0.5)));
        }
        let &[a, b] = factors else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
            let activation = self.gated(x, gate, number)?;
            Some((x, activation))
        })
    }

    /// The activation that is `number * x * gate`.
    fn gated(&self, x: NodeId, gate: NodeId, number: f64) -> Option<Activation> {
        let of_x = |of: Option<NodeId>| of == Some(x);
        if close(number, 1.0) {
            match self.applied(gate) {
                Some((Activation::Sigmoid, of)) if of == x => return Some(Activation::Silu),
                Some((Activation::HardSigmoid(alpha, beta), of))
                    if of == x && close(alpha.into(), 1.0 / 6.0) && beta == 0.5 =>
                {
                    return Some(Activation::Hardswish);
                }
                Some((Activation::Tanh, of))
                    if self.applied(of).is_some_and(|(inner, of)| inner == Activation::Softplus && of == x) =>
                {
                    return Some(Activation::Mish);
                }
                _ => {}
            }
        }
        if close(number, 1.0 / 6.0) && of_x(self.clipped(gate, 0.0, 6.0).and_then(|sum| self.shifted(sum, 3.0))) {
            return Some(Activation::Hardswish);
        }
        if close(number, 0.5) {
            let inner = self.shifted(gate, 1.0)?;
            if let Some((Function::Erf, of)) = self.function(inner)
                && self.scaled(of, std::f64::consts::FRAC_1_SQRT_2) == Some(x)
            {
                return Some(Activation::Gelu);
            }
            if let Some((Activation::Tanh, of)) = self.applied(inner) {
                let cubic = self.scaled(of, (2.0 / std::f64::consts::PI).sqrt())?;
                return self.is_cubic(cubic, x).then_some(Activation::GeluTanh);
            }
        }
        None
    }

    /// Whether it is `x + 0.044715 x³`.
    fn is_cubic(&self, sum: NodeId, x: NodeId) -> bool {
        let Some((Function::Add, [Factor::Node(a), Factor::Node(b)])) = self.pair(sum) else { return false };
        [(a, b), (b, a)].into_iter().any(|(first, cube)| {
            let (mut number, mut factors) = (1.0, Vec::new());
            self.product(Factor::Node(cube), DEPTH, &mut number, &mut factors);
            let is_cube = match factors[..] {
                [a, b, c] => a == x && b == x && c == x,
                [power] => matches!(self.pair(power), Some((Function::Pow, [Factor::Node(of), Factor::Number(3.0)])) if of == x),
                _ => false,
            };
            first == x && is_cube && close(number, 0.044715)
        })
    }

    /// The larger of `x` and `slope * x`.
    fn leaky(&self, [a, b]: [NodeId; 2]) -> Option<(NodeId, f32)> {
        [(a, b), (b, a)].into_iter().find_map(|(x, scaled)| {
            let (mut number, mut factors) = (1.0, Vec::new());
            self.product(Factor::Node(scaled), 1, &mut number, &mut factors);
            (factors == [x] && (0.0..1.0).contains(&number)).then_some((x, number as f32))
        })
    }

    /// `x`, if the node is `clip(x, least, most)`.
    fn clipped(&self, id: NodeId, least: f32, most: f32) -> Option<NodeId> {
        let (activation, x) = self.applied(id)?;
        (activation == Activation::Clip(least, most)).then_some(x)
    }

    /// `x`, if the node is `x + number`.
    fn shifted(&self, id: NodeId, number: f64) -> Option<NodeId> {
        match self.pair(id)? {
            (Function::Add, [Factor::Node(x), Factor::Number(shift)] | [Factor::Number(shift), Factor::Node(x)])
                if shift == number =>
            {
                Some(x)
            }
            _ => None,
        }
    }

    /// `x`, if the node is about `x * number`.
    fn scaled(&self, id: NodeId, number: f64) -> Option<NodeId> {
        let (mut found, mut factors) = (1.0, Vec::new());
        self.product(Factor::Node(id), 1, &mut found, &mut factors);
        match factors.as_slice() {
            &[x] if close(found, number) => Some(x),
            _ => None,
        }
    }

    /// What a node is the product of, to a depth: numbers all together, and others.
    fn product(&self, of: Factor, depth: usize, number: &mut f64, factors: &mut Vec<NodeId>) {
        let id = match of {
            Factor::Number(of) => {
                *number *= of;
                return;
            }
            Factor::Node(id) => id,
        };
        match self.pair(id) {
            Some((Function::Mul, [a, b])) if depth > 0 => {
                self.product(a, depth - 1, number, factors);
                self.product(b, depth - 1, number, factors);
            }
            Some((Function::Div, [a, Factor::Number(divisor)])) if depth > 0 => {
                self.product(a, depth - 1, number, factors);
                *number /= divisor;
            }
            _ => factors.push(id),
        }
    }

    /// The activation of a node that is nothing else, and what it is applied to.
    fn applied(&self, id: NodeId) -> Option<(Activation, NodeId)> {
        let node = self.graph.node(id).ok()?;
        match &node.op {
            Op::AffineActivation(affine) if affine.is_bare_activation() => Some((affine.activation, node.inputs[0])),
            _ => match self.function(id)? {
                (Function::Activation(activation), x) => Some((activation, x)),
                _ => None,
            },
        }
    }

    /// The function of one operand that a node is.
    fn function(&self, id: NodeId) -> Option<(Function, NodeId)> {
        let (function, [Term::Operand(_)]) = self.step(id)? else { return None };
        Some((function, self.graph.node(id).ok()?.inputs[0]))
    }

    /// The sum, product or other function of two that a node is.
    fn pair(&self, id: NodeId) -> Option<(Function, [Factor; 2])> {
        let node = self.graph.node(id).ok()?;
        match &node.op {
            Op::Add(add) if add.scale == 1.0 && add.activation == Activation::None => {
                Some((Function::Add, [0, 1].map(|i| Factor::Node(node.inputs[i]))))
            }
            Op::AffineActivation(affine) if affine.activation == Activation::None => {
                let (scale, shift) = (affine.scale.first()?, affine.shift.first()?);
                let uniform = affine.scale.iter().all(|of| of == scale) && affine.shift.iter().all(|of| of == shift);
                let x = Factor::Node(node.inputs[0]);
                match (uniform, *scale, *shift) {
                    (true, scale, 0.0) => Some((Function::Mul, [x, Factor::Number(scale)])),
                    (true, 1.0, shift) => Some((Function::Add, [x, Factor::Number(shift)])),
                    _ => None,
                }
            }
            _ => {
                let (function, &[a, b]) = self.step(id)? else { return None };
                let factor = |term: Term| match term {
                    Term::Operand(operand) => Some(Factor::Node(*node.inputs.get(operand as usize)?)),
                    Term::Number(number) => Some(Factor::Number(number.into())),
                    Term::Step(_) => None,
                };
                Some((function, [factor(a)?, factor(b)?]))
            }
        }
    }

    /// The only step of a map of operands that have its shape.
    fn step(&self, id: NodeId) -> Option<(Function, &[Term])> {
        let node = self.graph.node(id).ok()?;
        let Op::Map(map) = &node.op else { return None };
        let alike = |id: &NodeId| self.graph.shape(*id).is_ok_and(|shape| shape == node.shape);
        let Formula { steps } = &map.formula;
        match steps.as_slice() {
            [FormulaStep { function, terms }]
                if map.walks.iter().all(Option::is_none) && node.inputs.iter().all(alike) =>
            {
                Some((*function, terms))
            }
            _ => None,
        }
    }
}
