//! A formula of one or several tensors, value by value.

use std::fmt;

use super::strided::check_len;
use super::{Activation, Operand, Operation, Strided, View, Work};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// `y[i] = formula(a[i], b[i], …)`. Operands are spread over the result as NumPy broadcasts them, or walked over.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Of the result.
    pub shape: Shape,
    /// For each operand, the walk over its values, a step for each of the result's; `None` for one whose extents are
    /// those of the result or 1.
    pub walks: Vec<Option<Strided>>,
    /// What is computed.
    pub formula: Formula,
}

/// Steps, each of which may use operands, numbers and the results of steps before it; the last makes the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    /// In order.
    pub steps: Vec<FormulaStep>,
}

/// A function and what it is applied to.
#[derive(Clone, Debug, PartialEq)]
pub struct FormulaStep {
    /// What is computed.
    pub function: Function,
    /// As many as the function takes.
    pub terms: Vec<Term>,
}

/// What a function is applied to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// A value of an operand, by position.
    Operand(u32),
    /// The result of a step, by position.
    Step(u32),
    /// A number; it may be infinite or `NaN`.
    Number(f32),
}

/// A function of one, two or three numbers. Truth is 1, falsehood 0, and whatever is not 0 is true.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named as in ONNX, or as in Rust")]
pub enum Function {
    Activation(Activation),
    Neg,
    Abs,
    Sign,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Erf,
    Floor,
    Ceil,
    /// To the nearest whole number, halves to the even one.
    Round,
    /// Towards zero.
    Trunc,
    Sin,
    Cos,
    Not,
    Add,
    Sub,
    Mul,
    Div,
    /// `x^y`; of a negative `x` a number only where `y` is whole.
    Pow,
    /// `NaN` if one of them is.
    Min,
    /// `NaN` if one of them is.
    Max,
    /// What is left of a division, with the divisor's sign.
    Mod,
    /// `x` where positive, else `slope * x`: the slope is the second number.
    Prelu,
    Equal,
    Less,
    LessOrEqual,
    And,
    Or,
    /// The second number where the first is true, else the third.
    Where,
}

impl Function {
    /// How many numbers it takes.
    pub const fn arity(self) -> usize {
        match self {
            Self::Activation(_)
            | Self::Neg
            | Self::Abs
            | Self::Sign
            | Self::Exp
            | Self::Log
            | Self::Sqrt
            | Self::Reciprocal
            | Self::Erf
            | Self::Floor
            | Self::Ceil
            | Self::Round
            | Self::Trunc
            | Self::Sin
            | Self::Cos
            | Self::Not => 1,
            Self::Add
            | Self::Sub
            | Self::Mul
            | Self::Div
            | Self::Pow
            | Self::Min
            | Self::Max
            | Self::Mod
            | Self::Prelu
            | Self::Equal
            | Self::Less
            | Self::LessOrEqual
            | Self::And
            | Self::Or => 2,
            Self::Where => 3,
        }
    }
}

impl Function {
    /// In shaders, before `_of`, and for people; of an activation, only the word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Activation(_) => "activation",
            Self::Neg => "neg",
            Self::Abs => "abs",
            Self::Sign => "sign",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
            Self::Reciprocal => "reciprocal",
            Self::Erf => "erf",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
            Self::Round => "round",
            Self::Trunc => "trunc",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Not => "not",
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Pow => "pow",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mod => "mod",
            Self::Prelu => "prelu",
            Self::Equal => "equal",
            Self::Less => "less",
            Self::LessOrEqual => "less_or_equal",
            Self::And => "and",
            Self::Or => "or",
            Self::Where => "where",
        }
    }
}

impl Formula {
    /// The most steps.
    pub const MAX_STEPS: usize = 32;

    /// One function of the operands, in order.
    pub fn of(function: Function) -> Self {
        let terms = (0..function.arity() as u32).map(Term::Operand).collect();
        Self { steps: vec![FormulaStep { function, terms }] }
    }

    fn check(&self, op: &str, operands: usize) -> Result<()> {
        let refuse = |reason: String| Err(Error::param(op, "formula", format!("{self}"), &reason));
        if self.steps.is_empty() || self.steps.len() > Self::MAX_STEPS {
            return refuse(format!("needs 1 to {} steps", Self::MAX_STEPS));
        }
        for (i, FormulaStep { function, terms }) in self.steps.iter().enumerate() {
            if terms.len() != function.arity() {
                return refuse(format!("{function:?} takes {} numbers, got {}", function.arity(), terms.len()));
            }
            let is_there = |term: &Term| match *term {
                Term::Operand(operand) => (operand as usize) < operands,
                Term::Step(step) => (step as usize) < i,
                Term::Number(_) => true,
            };
            if !terms.iter().all(is_there) {
                return refuse(format!("step {i} uses an operand or a step that is not there"));
            }
            if let Function::Activation(activation) = function {
                activation.check(op)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, FormulaStep { function, .. }) in self.steps.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            match function {
                Function::Activation(activation) => write!(f, "{separator}{activation:?}")?,
                function => write!(f, "{separator}{}", function.name())?,
            }
        }
        Ok(())
    }
}

impl Map {
    /// The most operands: with the result, they are as many buffers as every device binds.
    pub const MAX_OPERANDS: usize = 3;

    /// Output shape for operands of these shapes. Errors: none or too many of them, one that can be spread over the result
    /// in no way or whose walk leaves it, a formula that uses what is not there.
    pub fn output_shape(&self, op: &str, xs: &[Shape]) -> Result<Shape> {
        if xs.is_empty() || xs.len() > Self::MAX_OPERANDS || xs.len() != self.walks.len() {
            let reason = format!("takes 1 to {} operands, each with its walk; got {}", Self::MAX_OPERANDS, xs.len());
            return Err(Error::param(op, "walks", self.walks.len(), &reason));
        }
        self.shape.check(op)?;
        for (x, walk) in xs.iter().zip(&self.walks) {
            match walk {
                None => {
                    let y = self.shape;
                    let spreads = [(x.n, y.n), (x.c, y.c), (x.h, y.h), (x.w, y.w)];
                    if spreads.iter().any(|&(from, to)| from != to && from != 1) {
                        return Err(Error::mismatch(op, format!("{x} cannot be spread over {y}")));
                    }
                }
                Some(walk) => {
                    walk.check(op, *x)?;
                    check_len(op, self.shape, walk.len())?;
                }
            }
        }
        self.formula.check(op, xs.len())?;
        Ok(self.shape)
    }
}

impl Operation for Map {
    fn shape(&self, op: &str, xs: &[Operand]) -> Result<Shape> {
        let shapes: Vec<Shape> = xs.iter().map(|x| x.shape).collect();
        self.output_shape(op, &shapes)
    }

    fn work(&self, _: Shape) -> Work {
        Work::NONE
    }

    fn view(&self) -> View {
        if self.walks.iter().all(Option::is_none) { View::PIXEL } else { View::Whole }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}", self.formula)
    }
}
