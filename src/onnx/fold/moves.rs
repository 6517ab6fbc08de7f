//! What takes elements as they are: each result is a list of places in its inputs.

use super::{Op, shape};
use crate::error::Result;
use crate::onnx::array::{Array, Data, Kind, broadcast, broadcast_strides, places, strides};

/// `None` if the operator is none of these.
pub(super) fn fold(op: &mut Op) -> Option<Result<Vec<Array>>> {
    let one = match op.node.op.as_str() {
        "Split" => return Some(split(op)),
        "Identity" => same(op),
        // Not while training.
        "Dropout" if op.optional(2).is_none_or(|training| !training.to_bools().contains(&true)) => same(op),
        "Cast" => cast(op),
        "CastLike" => op.input(1).and_then(|like| cast_to(op, like.kind)),
        "Shape" => shape(op),
        "Size" => op.input(0).map(|input| Array::ints([], vec![input.len() as i64])),
        "ConstantOfShape" => constant_of_shape(op),
        "Reshape" => reshape(op),
        "Flatten" => flatten(op),
        "Squeeze" => squeeze(op),
        "Unsqueeze" => unsqueeze(op),
        "Transpose" => transpose(op),
        "Expand" => expand(op),
        "Tile" => tile(op),
        "Slice" => slice(op),
        "Gather" => gather(op),
        "GatherElements" => gather_elements(op),
        "Concat" => concat(op),
        "Where" => choose(op),
        "ScatterND" if matches!(op.node.text("reduction"), Ok(None | Some("none"))) => scatter_nd(op),
        "NonZero" => non_zero(op),
        "Trilu" => trilu(op),
        "OneHot" => one_hot(op),
        _ => return None,
    };
    Some(one.map(|array| vec![array]))
}

fn same(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    op.allot(input.kind, &input.dims)?;
    Ok(input.clone())
}

fn reshaped(op: &mut Op, dims: Vec<usize>) -> Result<Array> {
    let input = op.input(0)?;
    op.allot(input.kind, &dims)?;
    Ok(input.reshaped(dims))
}

fn taken(op: &mut Op, array: &Array, dims: Vec<usize>, places: impl Iterator<Item = usize>) -> Result<Array> {
    op.allot(array.kind, &dims)?;
    Ok(array.taken(dims, places))
}

fn cast(op: &mut Op) -> Result<Array> {
    let to = op.node.int("to")?.ok_or_else(|| op.error("does not say what it casts to"))?;
    let kind = Kind::of(to).ok_or_else(|| op.error(format!("cannot cast to ONNX's type {to}")))?;
    cast_to(op, kind)
}

fn cast_to(op: &mut Op, kind: Kind) -> Result<Array> {
    let input = op.input(0)?;
    op.allot(kind, &input.dims)?;
    let data = match kind {
        Kind::Bool => Data::Bool(input.to_bools().into_owned()),
        kind if kind.is_float() => Data::F32(input.to_floats().iter().map(|&value| kind.rounded(value)).collect()),
        kind => Data::I64(input.to_ints().iter().map(|&value| kind.wrapped(value)).collect()),
    };
    Ok(Array { kind, dims: input.dims.clone(), data })
}

fn shape(op: &mut Op) -> Result<Array> {
    let dims = shape::shape_of(&op.input(0)?.dims, op.node.int("start")?, op.node.int("end")?);
    Ok(Array::ints([dims.len()], dims))
}

fn sizes(op: &Op, index: usize) -> Result<Vec<usize>> {
    let given = op.ints(index)?;
    let sizes = given.iter().map(|&size| usize::try_from(size).map_err(|_| format!("has the dimensions {given:?}")));
    op.checked(sizes.collect())
}

fn constant_of_shape(op: &mut Op) -> Result<Array> {
    let zero = Array::floats([1], vec![0.0]);
    let value = op.node.tensor("value")?.map_or(&zero, |value| value);
    if value.len() != 1 {
        return Err(op.error(format!("has {} values", value.len())));
    }
    let dims = sizes(op, 0)?;
    let len = op.allot(value.kind, &dims)?;
    Ok(value.taken(dims, std::iter::repeat_n(0, len)))
}

fn reshape(op: &mut Op) -> Result<Array> {
    let given = op.attribute_or_input("shape", 1)?.ok_or_else(|| op.error("has no shape"))?;
    let dims = op.checked(shape::reshape(&op.input(0)?.dims, given, op.node.flag("allowzero")?))?;
    reshaped(op, dims)
}

fn flatten(op: &mut Op) -> Result<Array> {
    let dims = op.checked(shape::flatten(&op.input(0)?.dims, op.node.int("axis")?.unwrap_or(1)))?;
    reshaped(op, dims.into())
}

fn squeeze(op: &mut Op) -> Result<Array> {
    let axes = op.attribute_or_input("axes", 1)?;
    let dims = op.checked(shape::squeeze(&op.input(0)?.dims, axes))?;
    reshaped(op, dims)
}

fn unsqueeze(op: &mut Op) -> Result<Array> {
    let axes = op.attribute_or_input("axes", 1)?.ok_or_else(|| op.error("has no axes"))?;
    let dims = op.checked(shape::unsqueeze(&op.input(0)?.dims, axes))?;
    reshaped(op, dims)
}

fn transpose(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    let order = op.checked(shape::permutation(op.node.ints("perm")?, input.rank()))?;
    let steps = strides(&input.dims);
    let dims: Vec<usize> = order.iter().map(|&axis| input.dims[axis]).collect();
    let steps: Vec<isize> = order.iter().map(|&axis| steps[axis]).collect();
    let places = places(&dims, &steps, 0);
    taken(op, input, dims, places)
}

fn expand(op: &mut Op) -> Result<Array> {
    let (input, shape) = (op.input(0)?, sizes(op, 1)?);
    let dims = broadcast([&input.dims[..], &shape]);
    let dims = dims.ok_or_else(|| op.error(format!("cannot expand {:?} to {shape:?}", input.dims)))?;
    let places = places(&dims, &broadcast_strides(&input.dims, &dims), 0);
    taken(op, input, dims, places)
}

fn tile(op: &mut Op) -> Result<Array> {
    let (input, repeats) = (op.input(0)?, sizes(op, 1)?);
    if repeats.len() != input.rank() {
        return Err(op.error(format!("repeats {:?} as {repeats:?}", input.dims)));
    }
    let pairs = || input.dims.iter().copied().zip(repeats.iter().copied());
    let dims: Vec<usize> = pairs().map(|(dim, times)| dim.saturating_mul(times)).collect();
    let axes: Vec<usize> = pairs().flat_map(|(dim, times)| [times, dim]).collect();
    let steps: Vec<isize> = strides(&input.dims).into_iter().flat_map(|step| [0, step]).collect();
    taken(op, input, dims, places(&axes, &steps, 0))
}

/// Some of an array: a span of each dimension.
fn part(op: &mut Op, input: &Array, spans: &[shape::Span]) -> Result<Array> {
    let steps = strides(&input.dims);
    let dims: Vec<usize> = spans.iter().map(|span| span.count).collect();
    let start = spans.iter().zip(&steps).map(|(span, step)| span.start as isize * step).sum();
    let steps: Vec<isize> = spans.iter().zip(&steps).map(|(span, step)| span.step * step).collect();
    let places = places(&dims, &steps, start);
    taken(op, input, dims, places)
}

fn slice(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    let starts = op.attribute_or_input("starts", 1)?.ok_or_else(|| op.error("has no starts"))?;
    let ends = op.attribute_or_input("ends", 2)?.ok_or_else(|| op.error("has no ends"))?;
    let axes = op.attribute_or_input("axes", 3)?;
    let steps = op.optional(4).map(|_| op.ints(4)).transpose()?;
    let spans = op.checked(shape::slice(&input.dims, starts, ends, axes, steps))?;
    part(op, input, &spans)
}

fn split(op: &mut Op) -> Result<Vec<Array>> {
    let input = op.input(0)?;
    let axis = op.axis(0, input.rank())?;
    let sizes = op.checked(shape::split(
        input.dims[axis],
        op.attribute_or_input("split", 1)?,
        op.node.outputs.len(),
        op.opset,
    ))?;
    let mut spans: Vec<shape::Span> =
        input.dims.iter().map(|&count| shape::Span { start: 0, step: 1, count }).collect();
    let mut parts = Vec::new();
    spans[axis].start = 0;
    for count in sizes {
        spans[axis].count = count;
        parts.push(part(op, input, &spans)?);
        spans[axis].start += count;
    }
    Ok(parts)
}

fn gather(op: &mut Op) -> Result<Array> {
    let (input, indices) = (op.input(0)?, op.input(1)?);
    let axis = op.axis(0, input.rank())?;
    let dim = input.dims[axis];
    let rows = indices_of(op, dim)?;
    let inner: usize = input.dims[axis + 1..].iter().product();
    let outer: usize = input.dims[..axis].iter().product();
    let dims = [&input.dims[..axis], &indices.dims, &input.dims[axis + 1..]].concat();
    let places =
        (0..outer).flat_map(|i| rows.iter().flat_map(move |row| (0..inner).map(move |j| (i * dim + row) * inner + j)));
    taken(op, input, dims, places)
}

/// The second input's values, in a dimension.
fn indices_of(op: &Op, dim: usize) -> Result<Vec<usize>> {
    let index = |&given: &i64| shape::index(given, dim).ok_or_else(|| format!("index {given} is not one of {dim}"));
    op.checked(op.ints(1)?.iter().map(index).collect())
}

fn gather_elements(op: &mut Op) -> Result<Array> {
    let (input, indices) = (op.input(0)?, op.input(1)?);
    let axis = op.axis(0, input.rank())?;
    let fits = |i: usize| i == axis || indices.dims[i] <= input.dims[i];
    if indices.rank() != input.rank() || !(0..input.rank()).all(fits) {
        return Err(op.error(format!("has {:?} and indices {:?}", input.dims, indices.dims)));
    }
    let rows = indices_of(op, input.dims[axis])?;
    let mut steps = strides(&input.dims);
    let step = std::mem::take(&mut steps[axis]) as usize;
    let places = places(&indices.dims, &steps, 0).zip(rows).map(|(place, row)| place + row * step);
    taken(op, input, indices.dims.clone(), places)
}

/// The elements of arrays of one kind, one after the other.
fn joined(op: &mut Op, arrays: &[&Array]) -> Result<Array> {
    let (first, rest) = arrays.split_first().ok_or_else(|| op.error("has no inputs"))?;
    let len = arrays.iter().map(|array| array.len()).sum();
    op.allot(first.kind, &[len])?;
    let mut all = first.reshaped([len]);
    for array in rest {
        match (&mut all.data, &array.data) {
            (Data::F32(all), Data::F32(more)) => all.extend(more),
            (Data::I64(all), Data::I64(more)) => all.extend(more),
            (Data::Bool(all), Data::Bool(more)) => all.extend(more),
            _ => return Err(op.error("has inputs of different types")),
        }
    }
    Ok(all)
}

fn concat(op: &mut Op) -> Result<Array> {
    let arrays: Vec<&Array> = op.inputs.iter().copied().flatten().collect();
    let all = joined(op, &arrays)?;
    let axis = op.axis(1, arrays[0].rank())?;
    let mut dims = arrays[0].dims.clone();
    for array in &arrays[1..] {
        let fits = |i: usize| i == axis || array.dims[i] == dims[i];
        if array.rank() != dims.len() || !(0..dims.len()).all(fits) {
            return Err(op.error(format!("cannot put {:?} behind {dims:?} along axis {axis}", array.dims)));
        }
        dims[axis] += array.dims[axis];
    }
    let inner: usize = dims[axis + 1..].iter().product();
    let outer: usize = dims[..axis].iter().product();
    let mut start = 0;
    let mut rows = Vec::new();
    for array in &arrays {
        rows.push((start, array.dims[axis] * inner));
        start += array.len();
    }
    let rows = &rows;
    let places =
        (0..outer).flat_map(|i| rows.iter().flat_map(move |&(start, len)| start + i * len..start + (i + 1) * len));
    taken(op, &all, dims, places)
}

fn choose(op: &mut Op) -> Result<Array> {
    let (condition, x, y) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let dims = broadcast([&condition.dims[..], &x.dims, &y.dims]);
    let dims = dims.ok_or_else(|| op.error(format!("has {:?}, {:?} and {:?}", condition.dims, x.dims, y.dims)))?;
    let both = joined(op, &[x, y])?;
    let walk = |array: &Array| places(&dims, &broadcast_strides(&array.dims, &dims), 0);
    let conditions = condition.to_bools();
    let behind = x.len();
    let places = walk(condition).zip(walk(x).zip(walk(y)));
    let places = places.map(|(c, (x, y))| if conditions[c] { x } else { behind + y });
    taken(op, &both, dims.clone(), places)
}

fn scatter_nd(op: &mut Op) -> Result<Array> {
    let (input, indices, updates) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let fits =
        |depth: usize, outer: &[usize]| depth <= input.rank() && updates.dims == [outer, &input.dims[depth..]].concat();
    let split = indices.dims.split_last().filter(|(depth, outer)| fits(**depth, outer));
    let Some((&depth, outer)) = split else {
        return Err(op.error(format!("puts {:?} into {:?} at {:?}", updates.dims, input.dims, indices.dims)));
    };
    let (steps, inner) = (strides(&input.dims), input.dims[depth..].iter().product::<usize>());
    op.allot(Kind::I64, outer)?;
    let mut starts = Vec::new();
    if depth == 0 {
        starts.resize(outer.iter().product(), 0);
    }
    for tuple in op.ints(1)?.chunks_exact(depth.max(1)) {
        let mut start = 0;
        for (i, &given) in tuple.iter().enumerate() {
            let dim = input.dims[i];
            let index =
                shape::index(given, dim).ok_or_else(|| op.error(format!("index {given} is not one of {dim}")))?;
            start += index * steps[i] as usize;
        }
        starts.push(start);
    }
    let all = joined(op, &[input, updates])?;
    op.allot(Kind::I64, &input.dims)?;
    let mut sources: Vec<usize> = (0..input.len()).collect();
    for (i, start) in starts.into_iter().enumerate() {
        (0..inner).for_each(|j| sources[start + j] = input.len() + i * inner + j);
    }
    taken(op, &all, input.dims.clone(), sources.into_iter())
}

fn non_zero(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    op.work(input.len() as u64)?;
    let values = input.to_bools();
    let found = values.iter().filter(|&&value| value).count();
    op.allot(Kind::I64, &[input.rank(), found])?;
    let mut coordinates = Vec::with_capacity(input.rank() * found);
    for (&dim, step) in input.dims.iter().zip(strides(&input.dims)) {
        let places = values.iter().enumerate().filter(|(_, value)| **value);
        coordinates.extend(places.map(|(i, _)| (i / step as usize % dim) as i64));
    }
    Ok(Array::ints([input.rank(), found], coordinates))
}

fn trilu(op: &mut Op) -> Result<Array> {
    let input = op.input(0)?;
    let &[.., rows, columns] = &input.dims[..] else { return Err(op.error("needs two dimensions")) };
    let upper = op.node.int("upper")?.unwrap_or(1) != 0;
    let offset = op.optional(1).map_or(Some(0), Array::scalar_int).ok_or_else(|| op.error("k must be an integer"))?;
    // Behind the elements stands the zero that replaces some of them.
    let zero = Array::ints([1], vec![0]);
    let zero = match input.data {
        Data::F32(_) => Array::floats([1], vec![0.0]),
        Data::I64(_) => zero,
        Data::Bool(_) => Array::bools([1], vec![false]),
    };
    let all = joined(op, &[input, &zero])?;
    let len = input.len();
    let stays = |i: usize| {
        let (row, column) = ((i / columns % rows) as i64, (i % columns) as i64);
        let ahead = column - row;
        if upper { ahead >= offset } else { ahead <= offset }
    };
    taken(op, &all, input.dims.clone(), (0..len).map(|i| if stays(i) { i } else { len }))
}

fn one_hot(op: &mut Op) -> Result<Array> {
    let (indices, depth, values) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let depth = depth.to_ints().first().and_then(|&depth| usize::try_from(depth).ok());
    let depth = depth.filter(|_| values.len() == 2).ok_or_else(|| op.error("needs a depth and two values"))?;
    let axis = op.axis(-1, indices.rank() + 1)?;
    let mut dims = indices.dims.clone();
    dims.insert(axis, depth);
    let mut steps = strides(&indices.dims);
    steps.insert(axis, 0);
    let inner: usize = dims[axis + 1..].iter().product();
    let given = indices.to_ints();
    let places = places(&dims, &steps, 0).enumerate();
    let places = places.map(|(i, place)| usize::from(shape::index(given[place], depth) == Some(i / inner % depth)));
    taken(op, values, dims.clone(), places)
}
