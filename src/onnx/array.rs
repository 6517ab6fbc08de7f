//! Arrays on the host: a model's constants, and what is computed from them at load.

use std::borrow::Cow;
use std::io::{self, Read};

use half::{bf16, f16};
use rten_onnx::onnx::DataType;

use crate::tensor::MAX_ELEMENTS;

/// More dimensions than any model has.
pub(crate) const MAX_RANK: usize = 16;

/// The type that a file gives to elements; [`Data`] has fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    F16,
    Bf16,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl Kind {
    /// By ONNX's number of it. `None`: text, complex numbers, floats of fewer than 16 bits and integers of fewer than 8.
    pub(crate) fn of(code: i64) -> Option<Self> {
        Some(match DataType(i32::try_from(code).ok()?) {
            DataType::FLOAT => Self::F32,
            DataType::FLOAT16 => Self::F16,
            DataType::BFLOAT16 => Self::Bf16,
            DataType::DOUBLE => Self::F64,
            DataType::INT8 => Self::I8,
            DataType::INT16 => Self::I16,
            DataType::INT32 => Self::I32,
            DataType::INT64 => Self::I64,
            DataType::UINT8 => Self::U8,
            DataType::UINT16 => Self::U16,
            DataType::UINT32 => Self::U32,
            DataType::UINT64 => Self::U64,
            DataType::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// Of an element in a file.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    pub(crate) const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16 | Self::F64)
    }

    /// What the type makes of a number beyond its range.
    pub(crate) const fn wrapped(self, value: i64) -> i64 {
        match self {
            Self::I8 => value as i8 as i64,
            Self::I16 => value as i16 as i64,
            Self::I32 => value as i32 as i64,
            Self::U8 => value as u8 as i64,
            Self::U16 => value as u16 as i64,
            Self::U32 => value as u32 as i64,
            _ => value,
        }
    }

    /// What the type makes of a number between its own.
    pub(crate) fn rounded(self, value: f32) -> f32 {
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
            _ => value,
        }
    }
}

/// Elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    F32(Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }
}

/// As many elements as the product of `dims`; none of these, one element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) kind: Kind,
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Data,
}

impl Array {
    pub(crate) fn floats(dims: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Self { kind: Kind::F32, dims: dims.into(), data: Data::F32(values) }
    }

    pub(crate) fn ints(dims: impl Into<Vec<usize>>, values: Vec<i64>) -> Self {
        Self { kind: Kind::I64, dims: dims.into(), data: Data::I64(values) }
    }

    pub(crate) fn bools(dims: impl Into<Vec<usize>>, values: Vec<bool>) -> Self {
        Self { kind: Kind::Bool, dims: dims.into(), data: Data::Bool(values) }
    }

    /// What a file holds, little-endian: `len` elements.
    pub(crate) fn read(kind: Kind, dims: Vec<usize>, len: usize, source: &mut impl Read) -> io::Result<Self> {
        let data = if kind == Kind::F32 {
            let mut values = vec![0f32; len];
            source.read_exact(bytemuck::cast_slice_mut(&mut values))?;
            values.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
            Data::F32(values)
        } else {
            let mut bytes = vec![0; len * kind.bytes()];
            source.read_exact(&mut bytes)?;
            match kind {
                Kind::F32 | Kind::F16 => Data::F32(each(&bytes, |b| f16::from_le_bytes(b).to_f32())),
                Kind::Bf16 => Data::F32(each(&bytes, |b| bf16::from_le_bytes(b).to_f32())),
                Kind::F64 => Data::F32(each(&bytes, |b| f64::from_le_bytes(b) as f32)),
                Kind::I8 => Data::I64(each(&bytes, |b| i8::from_le_bytes(b).into())),
                Kind::I16 => Data::I64(each(&bytes, |b| i16::from_le_bytes(b).into())),
                Kind::I32 => Data::I64(each(&bytes, |b| i32::from_le_bytes(b).into())),
                Kind::U8 => Data::I64(each(&bytes, |b| u8::from_le_bytes(b).into())),
                Kind::U16 => Data::I64(each(&bytes, |b| u16::from_le_bytes(b).into())),
                Kind::U32 => Data::I64(each(&bytes, |b| u32::from_le_bytes(b).into())),
                Kind::I64 | Kind::U64 => Data::I64(each(&bytes, i64::from_le_bytes)),
                Kind::Bool => Data::Bool(each(&bytes, |[b]| b != 0)),
            }
        };
        Ok(Self { kind, dims, data })
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// `None` if they are not floats.
    pub(crate) fn as_floats(&self) -> Option<&[f32]> {
        if let Data::F32(values) = &self.data { Some(values) } else { None }
    }

    /// `None` if they are not integers.
    pub(crate) fn as_ints(&self) -> Option<&[i64]> {
        if let Data::I64(values) = &self.data { Some(values) } else { None }
    }

    /// Of any kind.
    pub(crate) fn to_floats(&self) -> Cow<'_, [f32]> {
        match &self.data {
            Data::F32(values) => values.into(),
            Data::I64(values) => values.iter().map(|&value| value as f32).collect(),
            Data::Bool(values) => values.iter().map(|&value| f32::from(u8::from(value))).collect(),
        }
    }

    /// Of any kind; what is behind the point of a float is cut off.
    pub(crate) fn to_ints(&self) -> Cow<'_, [i64]> {
        match &self.data {
            Data::F32(values) => values.iter().map(|&value| value as i64).collect(),
            Data::I64(values) => values.into(),
            Data::Bool(values) => values.iter().map(|&value| value.into()).collect(),
        }
    }

    /// Of any kind: whether they are not zero.
    pub(crate) fn to_bools(&self) -> Cow<'_, [bool]> {
        match &self.data {
            Data::F32(values) => values.iter().map(|&value| value != 0.0).collect(),
            Data::I64(values) => values.iter().map(|&value| value != 0).collect(),
            Data::Bool(values) => values.into(),
        }
    }

    /// The only element, of any kind.
    pub(crate) fn scalar(&self) -> Option<f32> {
        (self.len() == 1).then(|| self.to_floats().first().copied())?
    }

    /// The only element, an integer.
    pub(crate) fn scalar_int(&self) -> Option<i64> {
        if let &[value] = self.as_ints()? { Some(value) } else { None }
    }

    /// The same elements, as many as the product of `dims`.
    pub(crate) fn reshaped(&self, dims: impl Into<Vec<usize>>) -> Self {
        Self { dims: dims.into(), ..self.clone() }
    }

    /// Elements by their places in the array: as many as the product of `dims`.
    pub(crate) fn taken(&self, dims: impl Into<Vec<usize>>, places: impl Iterator<Item = usize>) -> Self {
        let data = match &self.data {
            Data::F32(values) => Data::F32(places.map(|i| values[i]).collect()),
            Data::I64(values) => Data::I64(places.map(|i| values[i]).collect()),
            Data::Bool(values) => Data::Bool(places.map(|i| values[i]).collect()),
        };
        Self { kind: self.kind, dims: dims.into(), data }
    }
}

fn each<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&bytes| value(bytes)).collect()
}

/// What an element takes in [`Data`].
pub(crate) const fn element_bytes(kind: Kind) -> u64 {
    match kind {
        Kind::Bool => 1,
        kind if kind.is_float() => 4,
        _ => 8,
    }
}

/// The elements of an array. The error is a reason.
pub(crate) fn count(dims: &[usize]) -> Result<usize, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("has {} dimensions, over {MAX_RANK}", dims.len()));
    }
    // An array without elements must not have dimensions beyond the limit either.
    let product = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim.max(1) as u64));
    match product {
        Some(product) if product <= MAX_ELEMENTS => Ok(if dims.contains(&0) { 0 } else { product as usize }),
        _ => Err(format!("has the dimensions {dims:?}: more than {MAX_ELEMENTS} elements")),
    }
}

/// The dimensions of a file as sizes, and the elements. The error is a reason.
pub(crate) fn sizes(dims: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let size = |&dim: &i64| usize::try_from(dim).map_err(|_| format!("has the dimensions {dims:?}"));
    let dims = dims.iter().take(MAX_RANK + 1).map(size).collect::<Result<Vec<_>, _>>()?;
    let len = count(&dims)?;
    Ok((dims, len))
}

/// The steps, in elements, between neighbours along each dimension.
pub(crate) fn strides(dims: &[usize]) -> Vec<isize> {
    let mut step = 1;
    let mut strides: Vec<isize> = dims
        .iter()
        .rev()
        .map(|&dim| {
            let stride = step;
            step *= dim.max(1) as isize;
            stride
        })
        .collect();
    strides.reverse();
    strides
}

/// The dimensions that arrays have together, by NumPy's rule.
pub(crate) fn broadcast<'a>(all: impl IntoIterator<Item = &'a [usize]>) -> Option<Vec<usize>> {
    let mut result: Vec<usize> = Vec::new();
    for dims in all {
        if dims.len() > result.len() {
            let missing = dims.len() - result.len();
            result.splice(..0, std::iter::repeat_n(1, missing));
        }
        let offset = result.len() - dims.len();
        for (into, &dim) in result[offset..].iter_mut().zip(dims) {
            match (*into, dim) {
                (1, _) => *into = dim,
                (a, b) if a == b || b == 1 => {}
                _ => return None,
            }
        }
    }
    Some(result)
}

/// The steps along the dimensions `to` through an array that is broadcast to them.
pub(crate) fn broadcast_strides(dims: &[usize], to: &[usize]) -> Vec<isize> {
    let mut steps = vec![0; to.len() - dims.len().min(to.len())];
    steps.extend(strides(dims).into_iter().zip(dims).map(|(stride, &dim)| if dim == 1 { 0 } else { stride }));
    steps
}

/// The places in an array of the elements of a view, in the view's row-major order: `start`, and `strides` from there.
/// The caller sees to it that all of them are in the array.
pub(crate) fn places(dims: &[usize], strides: &[isize], start: isize) -> impl Iterator<Item = usize> + use<> {
    let axes: Vec<(usize, isize)> = dims.iter().copied().zip(strides.iter().copied()).collect();
    let mut index = vec![0; axes.len()];
    let mut place = (!dims.contains(&0)).then_some(start);
    std::iter::from_fn(move || {
        let current = place?;
        let mut next = current;
        place = None;
        for (i, &(dim, stride)) in index.iter_mut().zip(&axes).rev() {
            *i += 1;
            next += stride;
            if *i < dim {
                place = Some(next);
                break;
            }
            next -= stride * dim as isize;
            *i = 0;
        }
        usize::try_from(current).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_walked_in_its_own_order() {
        let walk = |dims: &[usize], strides: &[isize], start| places(dims, strides, start).collect::<Vec<_>>();
        assert_eq!(walk(&[3, 2], &[1, 3], 0), [0, 3, 1, 4, 2, 5], "transposed");
        assert_eq!(walk(&[2, 3], &[0, -1], 2), [2, 1, 0, 2, 1, 0], "repeated and reversed");
        assert_eq!(walk(&[], &[], 5), [5], "a scalar");
        assert_eq!(walk(&[2, 0], &[1, 1], 0), [0usize; 0]);
    }

    #[test]
    fn dimensions_broadcast_as_in_numpy() {
        let all = |dims: &[&[usize]]| broadcast(dims.iter().copied());
        assert_eq!(all(&[&[3, 1], &[4], &[2, 1, 1]]), Some(vec![2, 3, 4]));
        assert_eq!(all(&[&[1], &[0]]), Some(vec![0]));
        assert_eq!(all(&[&[2], &[0]]), None);
        assert_eq!(all(&[&[], &[]]), Some(vec![]));
        assert_eq!(broadcast_strides(&[3, 1], &[2, 3, 4]), [0, 1, 0]);
    }

    #[test]
    fn counts_are_checked_before_anything_is_allocated() {
        assert_eq!(sizes(&[2, 0, 3]), Ok((vec![2, 0, 3], 0)));
        assert_eq!(sizes(&[]), Ok((vec![], 1)));
        for dims in [&[-1][..], &[i64::MAX, 2], &[1 << 31], &[0, 1 << 40], &[i64::MIN], &[1; 17]] {
            assert!(sizes(dims).is_err(), "{dims:?}");
        }
    }

    #[test]
    fn elements_of_all_kinds_are_read() {
        let read = |kind: Kind, bytes: &[u8]| {
            let len = bytes.len() / kind.bytes();
            Array::read(kind, vec![len], len, &mut &*bytes).unwrap().data
        };
        let one = f16::ONE.to_le_bytes();
        assert_eq!(read(Kind::F32, &1.5f32.to_le_bytes()), Data::F32(vec![1.5]));
        assert_eq!(read(Kind::F16, &one), Data::F32(vec![1.0]));
        assert_eq!(read(Kind::Bf16, &bf16::from_f32(-2.0).to_le_bytes()), Data::F32(vec![-2.0]));
        assert_eq!(read(Kind::F64, &0.25f64.to_le_bytes()), Data::F32(vec![0.25]));
        assert_eq!(read(Kind::I8, &[0xff, 1]), Data::I64(vec![-1, 1]));
        assert_eq!(read(Kind::U8, &[0xff, 1]), Data::I64(vec![255, 1]));
        assert_eq!(read(Kind::I16, &[0xfe, 0xff]), Data::I64(vec![-2]));
        assert_eq!(read(Kind::U16, &[0xfe, 0xff]), Data::I64(vec![65534]));
        assert_eq!(read(Kind::I32, &[0xfd, 0xff, 0xff, 0xff]), Data::I64(vec![-3]));
        assert_eq!(read(Kind::U32, &[0xfd, 0xff, 0xff, 0xff]), Data::I64(vec![(1 << 32) - 3]));
        assert_eq!(read(Kind::I64, &(-4i64).to_le_bytes()), Data::I64(vec![-4]));
        assert_eq!(read(Kind::Bool, &[0, 2]), Data::Bool(vec![false, true]));
        assert!(Array::read(Kind::I64, vec![2], 2, &mut &[0u8; 15][..]).is_err());
    }
}
