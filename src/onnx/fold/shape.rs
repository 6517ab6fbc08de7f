//! The dimensions of what only changes them or moves elements. The errors are reasons.

/// An axis that may count from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    index(axis, rank).ok_or_else(|| format!("axis {axis} is not one of {rank} dimensions"))
}

/// An index that may count from the end.
pub(crate) fn index(index: i64, len: usize) -> Option<usize> {
    let from_start = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(from_start).ok().filter(|&index| index < len)
}

/// Axes, each once.
pub(crate) fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    // Not as many as a file may list.
    let axes = given.iter().take(rank + 1).map(|&given| axis(given, rank)).collect::<Result<Vec<_>, _>>()?;
    let twice = (0..axes.len()).find(|&i| axes[..i].contains(&axes[i]));
    twice.map_or(Ok(()), |i| Err(format!("axis {} is named twice", axes[i])))?;
    Ok(axes)
}

/// The values of `Shape`: some of the dimensions, all by default.
pub(crate) fn shape_of(dims: &[usize], start: Option<i64>, end: Option<i64>) -> Vec<i64> {
    let rank = dims.len() as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank) as usize;
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(rank)));
    dims.get(start..end).unwrap_or_default().iter().map(|&dim| dim as i64).collect()
}

/// `Reshape`: 0 keeps a dimension unless `allow_zero`, and one -1 takes what is left.
pub(crate) fn reshape(dims: &[usize], shape: &[i64], allow_zero: bool) -> Result<Vec<usize>, String> {
    let fault = || format!("cannot reshape {dims:?} to {shape:?}");
    let size = |(i, &given): (usize, &i64)| match given {
        0 if !allow_zero => dims.get(i).copied().ok_or_else(fault),
        -1 => Ok(1),
        given => usize::try_from(given).map_err(|_| fault()),
    };
    let mut result = shape.iter().enumerate().map(size).collect::<Result<Vec<_>, _>>()?;
    let product = |dims: &[usize]| dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    let (from, to) = (product(dims).ok_or_else(fault)?, product(&result).ok_or_else(fault)?);
    let mut open = (0..shape.len()).filter(|&i| shape[i] == -1);
    match (open.next(), open.next()) {
        (None, _) if from == to => {}
        (Some(i), None) if to != 0 && from.is_multiple_of(to) => result[i] = from / to,
        _ => return Err(fault()),
    }
    Ok(result)
}

/// `Flatten`: what is before the axis, and the rest.
pub(crate) fn flatten(dims: &[usize], axis: i64) -> Result<[usize; 2], String> {
    // The axis may be the end.
    let axis = self::axis(axis, dims.len() + usize::from(axis >= 0))?;
    Ok([dims[..axis].iter().product(), dims[axis..].iter().product()])
}

/// `Squeeze`: without the axes, or without all dimensions of 1.
pub(crate) fn squeeze(dims: &[usize], given: Option<&[i64]>) -> Result<Vec<usize>, String> {
    let gone = given.map(|given| axes(given, dims.len())).transpose()?;
    if let Some(&axis) = gone.iter().flatten().find(|&&axis| dims[axis] != 1) {
        return Err(format!("axis {axis} of {dims:?} is not 1"));
    }
    let stays = |&(i, dim): &(usize, usize)| gone.as_ref().map_or(dim != 1, |gone| !gone.contains(&i));
    Ok(dims.iter().copied().enumerate().filter(stays).map(|(_, dim)| dim).collect())
}

/// `Unsqueeze`: with a dimension of 1 at each of the axes of the result.
pub(crate) fn unsqueeze(dims: &[usize], given: &[i64]) -> Result<Vec<usize>, String> {
    let rank = dims.len() + given.len();
    if rank > crate::onnx::array::MAX_RANK {
        return Err(format!("would have {rank} dimensions"));
    }
    let new = axes(given, rank)?;
    let mut old = dims.iter().copied();
    Ok((0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().unwrap_or(1) }).collect())
}

/// `Transpose`: reversed by default.
pub(crate) fn permutation(given: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, String> {
    let Some(given) = given else { return Ok((0..rank).rev().collect()) };
    let order = axes(given, rank)?;
    if order.len() == rank { Ok(order) } else { Err(format!("{given:?} is no order of {rank} dimensions")) }
}

/// What a slice takes of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) step: isize,
    pub(crate) count: usize,
}

/// `Slice`, with a span for each dimension.
pub(crate) fn slice(
    dims: &[usize],
    starts: &[i64],
    ends: &[i64],
    given: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Vec<Span>, String> {
    let first: Vec<i64>;
    let given = match given {
        Some(given) => given,
        None => {
            first = (0..starts.len().min(dims.len() + 1) as i64).collect();
            &first
        }
    };
    let axes = axes(given, dims.len())?;
    if starts.len() != axes.len() || ends.len() != axes.len() || steps.is_some_and(|steps| steps.len() != axes.len()) {
        return Err("has different numbers of starts, ends, axes and steps".into());
    }
    let mut spans: Vec<Span> = dims.iter().map(|&count| Span { start: 0, step: 1, count }).collect();
    for (i, &axis) in axes.iter().enumerate() {
        spans[axis] = span(dims[axis], starts[i], ends[i], steps.map_or(1, |steps| steps[i]))?;
    }
    Ok(spans)
}

fn span(dim: usize, start: i64, end: i64, step: i64) -> Result<Span, String> {
    let len = dim as i64;
    let from_start = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (start, end) = (from_start(start), from_start(end));
    let (start, distance) = match step {
        0 => return Err("has a step of 0".into()),
        1.. => {
            let start = start.clamp(0, len);
            (start, end.clamp(0, len) - start)
        }
        _ => {
            let start = start.clamp(-1, len - 1);
            (start, start - end.clamp(-1, len - 1))
        }
    };
    let count = if distance <= 0 { 0 } else { (distance as u64).div_ceil(step.unsigned_abs()) };
    // A step beyond all is taken only once, so any will do.
    let step = step.clamp(-len.max(1), len.max(1)) as isize;
    Ok(Span { start: start.max(0) as usize, step, count: count as usize })
}

/// `Split`: the sizes of the parts. By default they are the same; from version 18 on the last may be smaller.
pub(crate) fn split(dim: usize, sizes: Option<&[i64]>, parts: usize, opset: i64) -> Result<Vec<usize>, String> {
    let Some(sizes) = sizes else {
        if opset < 18 && !dim.is_multiple_of(parts.max(1)) {
            return Err(format!("cannot split {dim} into {parts} equal parts"));
        }
        let size = dim.div_ceil(parts.max(1));
        return Ok((0..parts).map(|i| dim.saturating_sub(i * size).min(size)).collect());
    };
    let fault = || format!("cannot split {dim} into {parts} parts of {sizes:?}");
    let checked: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    let checked = checked.filter(|sizes| sizes.len() == parts).ok_or_else(fault)?;
    let sum = checked.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    if sum == Some(dim) { Ok(checked) } else { Err(fault()) }
}
