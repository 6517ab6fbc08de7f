//! Arithmetic, in `f32` and in integers, broadcast as in NumPy.

use std::borrow::Cow;

use super::{Op, shape};
use crate::error::Result;
use crate::onnx::array::{Array, Data, Kind, broadcast, broadcast_strides, places};

/// `None` if the operator is none of these.
pub(super) fn fold(op: &mut Op) -> Option<Result<Vec<Array>>> {
    let name = op.node.op.as_str();
    let one = match name {
        "Not" => not(op),
        "Pow" => pow(op),
        "Mod" => modulo(op),
        "Max" | "Min" | "Sum" | "Mean" => variadic(op),
        "Clip" => clip(op),
        "Range" => range(op),
        "CumSum" => running_sum(op),
        "MatMul" => matmul(op),
        "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" | "ReduceMean" => reduce(op),
        _ => {
            if let Some(functions) = unary(name) {
                each(op, functions)
            } else {
                let functions = binary(name)?;
                two(op).and_then(|(a, b)| pairwise(op, a, &b, functions))
            }
        }
    };
    Some(one.map(|array| vec![array]))
}

/// Of floats, and of integers where there is one.
type Unary = (fn(f32) -> f32, Option<fn(i64) -> i64>);

fn unary(op: &str) -> Option<Unary> {
    Some(match op {
        "Abs" => (f32::abs, Some(i64::wrapping_abs)),
        "Neg" => (|x| -x, Some(i64::wrapping_neg)),
        "Sign" => (
            |x| {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x
                }
            },
            Some(i64::signum),
        ),
        "Relu" => (|x| if x < 0.0 { 0.0 } else { x }, Some(|x| x.max(0))),
        "Reciprocal" => (f32::recip, None),
        "Sqrt" => (f32::sqrt, None),
        "Exp" => (f32::exp, None),
        "Log" => (f32::ln, None),
        "Floor" => (f32::floor, None),
        "Ceil" => (f32::ceil, None),
        "Round" => (f32::round_ties_even, None),
        "Sigmoid" => (|x| 1.0 / (1.0 + (-x).exp()), None),
        "Tanh" => (f32::tanh, None),
        "Sin" => (f32::sin, None),
        "Cos" => (f32::cos, None),
        "Tan" => (f32::tan, None),
        "Atan" => (f32::atan, None),
        "Softplus" => (|x| x.max(0.0) + (-x.abs()).exp().ln_1p(), None),
        "Softsign" => (|x| x / (1.0 + x.abs()), None),
        _ => return None,
    })
}

/// Of two floats, integers or truths; `None` where an operator has none, or the result is none.
#[derive(Clone, Copy)]
enum Binary {
    Numbers(fn(f32, f32) -> f32, fn(i64, i64) -> Option<i64>),
    Compared(fn(f32, f32) -> bool, fn(i64, i64) -> bool),
    Truths(fn(bool, bool) -> bool),
}

fn binary(op: &str) -> Option<Binary> {
    use Binary::{Compared, Numbers, Truths};
    Some(match op {
        "Add" => Numbers(|a, b| a + b, |a, b| Some(a.wrapping_add(b))),
        "Sub" => Numbers(|a, b| a - b, |a, b| Some(a.wrapping_sub(b))),
        "Mul" => Numbers(|a, b| a * b, |a, b| Some(a.wrapping_mul(b))),
        // Towards zero.
        "Div" => Numbers(|a, b| a / b, |a, b| (b != 0).then(|| a.wrapping_div(b))),
        "Equal" => Compared(|a, b| a == b, |a, b| a == b),
        "Greater" => Compared(|a, b| a > b, |a, b| a > b),
        "GreaterOrEqual" => Compared(|a, b| a >= b, |a, b| a >= b),
        "Less" => Compared(|a, b| a < b, |a, b| a < b),
        "LessOrEqual" => Compared(|a, b| a <= b, |a, b| a <= b),
        "And" => Truths(|a, b| a & b),
        "Or" => Truths(|a, b| a | b),
        "Xor" => Truths(|a, b| a ^ b),
        _ => return None,
    })
}

fn max(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

fn min(a: f32, b: f32) -> f32 {
    if a < b || a.is_nan() { a } else { b }
}

/// Floats as the kind rounds them.
fn floats(kind: Kind, dims: Vec<usize>, values: impl Iterator<Item = f32>) -> Array {
    Array { kind, dims, data: Data::F32(values.map(|value| kind.rounded(value)).collect()) }
}

/// Integers as the kind wraps them.
fn ints(kind: Kind, dims: Vec<usize>, values: impl Iterator<Item = i64>) -> Array {
    Array { kind, dims, data: Data::I64(values.map(|value| kind.wrapped(value)).collect()) }
}

fn each(op: &mut Op, (of_floats, of_ints): Unary) -> Result<Array> {
    let input = op.input(0)?;
    op.allot(input.kind, &input.dims)?;
    match (&input.data, of_ints) {
        (Data::F32(values), _) => Ok(floats(input.kind, input.dims.clone(), values.iter().map(|&x| of_floats(x)))),
        (Data::I64(values), Some(f)) => Ok(ints(input.kind, input.dims.clone(), values.iter().map(|&x| f(x)))),
        _ => Err(op.error(format!("is not defined for {:?}", input.kind))),
    }
}

fn not(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    op.allot(Kind::Bool, &input.dims)?;
    let Data::Bool(values) = &input.data else { return Err(op.error(format!("is not defined for {:?}", input.kind))) };
    Ok(Array::bools(input.dims.clone(), values.iter().map(|value| !value).collect()))
}

/// The operands. Before version 7 an attribute said along which axis the second lies.
fn two<'a>(op: &Op<'a>) -> Result<(&'a Array, Cow<'a, Array>)> {
    let (a, b) = (op.input(0)?, op.input(1)?);
    let Some(axis) = op.node.int("axis")?.filter(|_| op.opset < 7) else { return Ok((a, Cow::Borrowed(b))) };
    let behind = a.rank().saturating_sub(op.checked(shape::axis(axis, a.rank()))? + b.rank());
    let mut dims = b.dims.clone();
    dims.extend(std::iter::repeat_n(1, behind));
    Ok((a, Cow::Owned(b.reshaped(dims))))
}

fn together(op: &Op, a: &Array, b: &Array) -> Result<Vec<usize>> {
    let dims = broadcast([&a.dims[..], &b.dims]);
    dims.ok_or_else(|| op.error(format!("cannot broadcast {:?} and {:?} together", a.dims, b.dims)))
}

/// The places of the elements that meet.
fn meet(a: &Array, b: &Array, dims: &[usize]) -> impl Iterator<Item = (usize, usize)> + use<> {
    let walk = |array: &Array| places(dims, &broadcast_strides(&array.dims, dims), 0);
    walk(a).zip(walk(b))
}

fn pairwise(op: &mut Op, a: &Array, b: &Array, function: Binary) -> Result<Array> {
    let dims = together(op, a, b)?;
    let kind = if let Binary::Numbers(..) = function { a.kind } else { Kind::Bool };
    op.allot(kind, &dims)?;
    let pairs = meet(a, b, &dims);
    match (function, &a.data, &b.data) {
        (Binary::Numbers(f, _), Data::F32(x), Data::F32(y)) => {
            Ok(floats(kind, dims.clone(), pairs.map(|(i, j)| f(x[i], y[j]))))
        }
        (Binary::Numbers(_, f), Data::I64(x), Data::I64(y)) => {
            let values: Option<Vec<i64>> = pairs.map(|(i, j)| f(x[i], y[j])).collect();
            let values = values.ok_or_else(|| op.error("divides an integer by zero"))?;
            Ok(ints(kind, dims, values.into_iter()))
        }
        (Binary::Compared(f, _), Data::F32(x), Data::F32(y)) => {
            Ok(Array::bools(dims.clone(), pairs.map(|(i, j)| f(x[i], y[j])).collect()))
        }
        (Binary::Compared(_, f), Data::I64(x), Data::I64(y)) => {
            Ok(Array::bools(dims.clone(), pairs.map(|(i, j)| f(x[i], y[j])).collect()))
        }
        (Binary::Compared(_, f), Data::Bool(x), Data::Bool(y)) => {
            Ok(Array::bools(dims.clone(), pairs.map(|(i, j)| f(x[i].into(), y[j].into())).collect()))
        }
        (Binary::Truths(f), Data::Bool(x), Data::Bool(y)) => {
            Ok(Array::bools(dims.clone(), pairs.map(|(i, j)| f(x[i], y[j])).collect()))
        }
        _ => Err(op.error(format!("is not defined for {:?} and {:?}", a.kind, b.kind))),
    }
}

/// The only operator whose operands may have different types.
fn pow(op: &mut Op) -> Result<Array> {
    let (a, b) = two(op)?;
    let dims = together(op, a, &b)?;
    op.allot(a.kind, &dims)?;
    let pairs = meet(a, &b, &dims);
    match (&a.data, &b.data) {
        (Data::I64(x), Data::I64(y)) => {
            let power = |base: i64, exponent: i64| match u32::try_from(exponent) {
                Ok(exponent) => base.wrapping_pow(exponent),
                Err(_) => (base as f64).powf(exponent as f64) as i64,
            };
            Ok(ints(a.kind, dims.clone(), pairs.map(|(i, j)| power(x[i], y[j]))))
        }
        (Data::I64(x), Data::F32(y)) => {
            Ok(ints(a.kind, dims.clone(), pairs.map(|(i, j)| (x[i] as f64).powf(y[j].into()) as i64)))
        }
        (Data::F32(x), Data::F32(_) | Data::I64(_)) => {
            let y = b.to_floats();
            Ok(floats(a.kind, dims.clone(), pairs.map(|(i, j)| x[i].powf(y[j]))))
        }
        _ => Err(op.error(format!("is not defined for {:?} and {:?}", a.kind, b.kind))),
    }
}

fn modulo(op: &mut Op) -> Result<Array> {
    let (a, b) = two(op)?;
    // With the sign of the dividend, or of the divisor.
    let function = if op.node.flag("fmod")? {
        Binary::Numbers(|a, b| a % b, |a, b| (b != 0).then(|| a.wrapping_rem(b)))
    } else {
        fn float(a: f32, b: f32) -> f32 {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest.copysign(b) }
        }
        fn int(a: i64, b: i64) -> Option<i64> {
            let rest = if b == 0 { return None } else { a.wrapping_rem(b) };
            Some(if rest != 0 && (rest < 0) != (b < 0) { rest.wrapping_add(b) } else { rest })
        }
        Binary::Numbers(float, int)
    };
    pairwise(op, a, &b, function)
}

fn variadic(op: &mut Op) -> Result<Array> {
    let function = match op.node.op.as_str() {
        "Max" => Binary::Numbers(max, |a, b| Some(a.max(b))),
        "Min" => Binary::Numbers(min, |a, b| Some(a.min(b))),
        _ => Binary::Numbers(|a, b| a + b, |a, b| Some(a.wrapping_add(b))),
    };
    let first = op.input(0)?;
    op.allot(first.kind, &first.dims)?;
    let mut result = first.clone();
    for index in 1..op.inputs.len() {
        let next = op.input(index)?;
        result = pairwise(op, &result, next, function)?;
    }
    if op.node.op == "Mean" {
        let Data::F32(values) = &mut result.data else { return Err(op.error("is defined for floats only")) };
        let count = op.inputs.len() as f32;
        values.iter_mut().for_each(|value| *value = result.kind.rounded(*value / count));
    }
    Ok(result)
}

fn clip(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    op.allot(input.kind, &input.dims)?;
    let dims = input.dims.clone();
    let scalar = |array: &Array| array.len() == 1 && array.kind == input.kind;
    if [1, 2].into_iter().filter_map(|i| op.optional(i)).any(|bound| !scalar(bound)) {
        return Err(op.error("has a bound that is no scalar of the input's type"));
    }
    match &input.data {
        Data::F32(values) => {
            let given = |index, name| {
                Ok::<_, crate::error::Error>(op.optional(index).and_then(Array::scalar).or(op.node.float(name)?))
            };
            let (low, high) = (given(1, "min")?, given(2, "max")?);
            let below = |x: f32| low.filter(|&low| x < low).unwrap_or(x);
            let within = |x: f32| high.filter(|&high| x > high).unwrap_or(x);
            Ok(floats(input.kind, dims, values.iter().map(|&x| within(below(x)))))
        }
        Data::I64(values) => {
            let given = |index| op.optional(index).and_then(Array::scalar_int);
            let (low, high) = (given(1).unwrap_or(i64::MIN), given(2).unwrap_or(i64::MAX));
            Ok(ints(input.kind, dims, values.iter().map(|&x| x.max(low).min(high))))
        }
        Data::Bool(_) => Err(op.error("is not defined for truths")),
    }
}

fn range(op: &mut Op) -> Result<Array> {
    let [start, limit, delta] = [op.input(0)?, op.input(1)?, op.input(2)?];
    let fault = || op.error("needs three numbers of one type, and a step that is not zero");
    if let (Some(start), Some(limit), Some(delta)) = (start.scalar_int(), limit.scalar_int(), delta.scalar_int()) {
        let distance = i128::from(limit) - i128::from(start);
        let distance = if delta < 0 { -distance } else { distance };
        if delta == 0 {
            return Err(fault());
        }
        let len = distance.max(0).cast_unsigned().div_ceil(delta.unsigned_abs().into());
        let len = op.allot(Kind::I64, &[usize::try_from(len).unwrap_or(usize::MAX)])?;
        let kind = op.input(0)?.kind;
        return Ok(ints(kind, vec![len], (0..len as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta)))));
    }
    let all_floats = [start, limit, delta].iter().all(|input| input.kind.is_float());
    let (Some(first), Some(limit), Some(delta)) = (start.scalar(), limit.scalar(), delta.scalar()) else {
        return Err(fault());
    };
    let len = ((f64::from(limit) - f64::from(first)) / f64::from(delta)).ceil();
    if !all_floats || !len.is_finite() {
        return Err(fault());
    }
    // A float beyond the range of integers becomes the nearest.
    let len = op.allot(start.kind, &[len.max(0.0) as usize])?;
    Ok(floats(start.kind, vec![len], (0..len).map(|i| first + i as f32 * delta)))
}

fn running_sum(op: &mut Op) -> Result<Array> {
    let (input, axis) = (op.input(0)?, op.input(1)?.scalar_int());
    let axis = axis.ok_or_else(|| op.error("needs an axis"))?;
    let axis = op.checked(shape::axis(axis, input.rank()))?;
    let (exclusive, reverse) = (op.node.flag("exclusive")?, op.node.flag("reverse")?);
    op.allot(input.kind, &input.dims)?;
    let (dim, inner) = (input.dims[axis], input.dims[axis + 1..].iter().product::<usize>());
    let mut result = input.clone();
    fn sums<T: Copy + Default>(
        values: &mut [T],
        (dim, inner): (usize, usize),
        (exclusive, reverse): (bool, bool),
        add: impl Fn(T, T) -> T,
    ) {
        for row in values.chunks_exact_mut((dim * inner).max(1)) {
            for column in 0..inner {
                let mut sum = T::default();
                for i in 0..dim {
                    let i = if reverse { dim - 1 - i } else { i };
                    let value = &mut row[i * inner + column];
                    let next = add(sum, *value);
                    *value = if exclusive { sum } else { next };
                    sum = next;
                }
            }
        }
    }
    let kind = input.kind;
    match &mut result.data {
        Data::F32(values) => sums(values, (dim, inner), (exclusive, reverse), |a, b| kind.rounded(a + b)),
        Data::I64(values) => sums(values, (dim, inner), (exclusive, reverse), |a, b| kind.wrapped(a.wrapping_add(b))),
        Data::Bool(_) => return Err(op.error("is not defined for truths")),
    }
    Ok(result)
}

fn matmul(op: &mut Op) -> Result<Array> {
    let (a, b) = (op.input(0)?, op.input(1)?);
    // Vectors are a row and a column, whose dimension of 1 goes again.
    let mut left = a.dims.clone();
    let mut right = b.dims.clone();
    if a.rank() == 1 {
        left.insert(0, 1);
    }
    if b.rank() == 1 {
        right.push(1);
    }
    let fault = || op.error(format!("cannot multiply {:?} by {:?}", a.dims, b.dims));
    let (&[ref batch_a @ .., m, k], &[ref batch_b @ .., rows, n]) = (&left[..], &right[..]) else {
        return Err(fault());
    };
    let batch = broadcast([batch_a, batch_b]).filter(|_| k == rows).ok_or_else(fault)?;
    let mut dims = batch.clone();
    if a.rank() > 1 {
        dims.push(m);
    }
    if b.rank() > 1 {
        dims.push(n);
    }
    let len = op.allot(a.kind, &dims)?;
    op.work((len as u64).saturating_mul(k as u64))?;
    let walk = |dims: &[usize]| places(&batch, &broadcast_strides(dims, &batch), 0);
    fn products<T: Copy>(
        [x, y]: [&[T]; 2],
        [m, k, n]: [usize; 3],
        batches: impl Iterator<Item = (usize, usize)>,
        zero: T,
        add_product: impl Fn(T, T, T) -> T,
    ) -> Vec<T> {
        let mut result = Vec::new();
        for (i, j) in batches {
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                let terms = (0..k).map(|l| (x[(i * m + row) * k + l], y[(j * k + l) * n + column]));
                result.push(terms.fold(zero, |sum, (x, y)| add_product(sum, x, y)));
            }
        }
        result
    }
    let batches = walk(batch_a).zip(walk(batch_b));
    match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) => {
            let values = products([x, y], [m, k, n], batches, 0.0, |sum, x, y| sum + x * y);
            Ok(floats(a.kind, dims, values.into_iter()))
        }
        (Data::I64(x), Data::I64(y)) => {
            let add_product = |sum: i64, x: i64, y: i64| sum.wrapping_add(x.wrapping_mul(y));
            Ok(ints(a.kind, dims, products([x, y], [m, k, n], batches, 0, add_product).into_iter()))
        }
        _ => Err(op.error(format!("is not defined for {:?} and {:?}", a.kind, b.kind))),
    }
}

fn reduce(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    let given = op.attribute_or_input("axes", 1)?.unwrap_or_default();
    let all: Vec<usize> = (0..input.rank()).collect();
    let axes = if !given.is_empty() {
        op.checked(shape::axes(given, input.rank()))?
    } else if op.node.flag("noop_with_empty_axes")? {
        Vec::new()
    } else {
        all
    };
    let keep = op.node.int("keepdims")?.unwrap_or(1) != 0;
    let kept: Vec<usize> =
        input.dims.iter().enumerate().map(|(i, &dim)| if axes.contains(&i) { 1 } else { dim }).collect();
    let stays = |&(i, _): &(usize, &usize)| keep || !axes.contains(&i);
    let dims: Vec<usize> = kept.iter().enumerate().filter(stays).map(|(_, &dim)| dim).collect();
    let len = op.allot(input.kind, &dims)?;
    op.work(input.len() as u64)?;
    let each: usize = axes.iter().map(|&axis| input.dims[axis]).product();
    let name = op.node.op.as_str();
    let into = places(&input.dims, &broadcast_strides(&kept, &input.dims), 0);
    match &input.data {
        Data::F32(values) => {
            let (start, step): (f32, fn(f32, f32) -> f32) = match name {
                "ReduceProd" => (1.0, |a, b| a * b),
                "ReduceMax" => (f32::NEG_INFINITY, max),
                "ReduceMin" => (f32::INFINITY, min),
                _ => (0.0, |a, b| a + b),
            };
            let mut results = vec![start; len];
            into.zip(values).for_each(|(i, &value)| results[i] = step(results[i], value));
            let divisor = if name == "ReduceMean" { each as f32 } else { 1.0 };
            Ok(floats(input.kind, dims, results.into_iter().map(|value| value / divisor)))
        }
        Data::I64(values) => {
            let (start, step): (i64, fn(i64, i64) -> i64) = match name {
                "ReduceProd" => (1, i64::wrapping_mul),
                "ReduceMax" => (i64::MIN, i64::max),
                "ReduceMin" => (i64::MAX, i64::min),
                _ => (0, i64::wrapping_add),
            };
            let mut results = vec![start; len];
            into.zip(values).for_each(|(i, &value)| results[i] = step(results[i], value));
            let divisor = if name == "ReduceMean" { each as i64 } else { 1 };
            if divisor == 0 {
                return Err(op.error(format!("has no elements to reduce in {:?}", input.dims)));
            }
            Ok(ints(input.kind, dims, results.into_iter().map(|value| value / divisor)))
        }
        Data::Bool(values) => {
            let (start, step): (bool, fn(bool, bool) -> bool) = match name {
                "ReduceMax" => (false, |a, b| a | b),
                "ReduceMin" => (true, |a, b| a & b),
                _ => return Err(op.error("is not defined for truths")),
            };
            let mut results = vec![start; len];
            into.zip(values).for_each(|(i, &value)| results[i] = step(results[i], value));
            Ok(Array::bools(dims, results))
        }
    }
}
