//! Weights, and how they are made. Nothing is computed or copied before somebody asks for the values, and weights that
//! are made of the same in the same way are the same, so that a device needs to hold them only once.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// The weight of a convolution or a linear layer: a tensor, one of a file, or what the planner makes of others. Clones
/// share it, and programs that share it hold it once on a device. `Tensor` and `Arc<Tensor>` turn into it; two made of
/// equal tensors are different, unless these are one `Arc`.
#[derive(Clone)]
pub struct Weight {
    shape: Shape,
    values: Made<f32>,
    sizes: Arc<OnceLock<Box<[Sizes]>>>,
}

/// How values are made: of its own fields and nothing else, so that recipes which are equal make the same.
pub(crate) trait Recipe<T: Clone + 'static>: Key + Send + Sync {
    /// Computed at each call, unless they are there.
    fn values(&self) -> Cow<'_, [T]>;
}

/// Equality and hash of a recipe whose type is not known.
pub(crate) trait Key: Any {
    fn same(&self, other: &dyn Any) -> bool;
    fn digest(&self, state: &mut dyn Hasher);
}

impl<K: Any + Eq + Hash> Key for K {
    fn same(&self, other: &dyn Any) -> bool {
        other.downcast_ref().is_some_and(|other| self == other)
    }

    fn digest(&self, mut state: &mut dyn Hasher) {
        (TypeId::of::<K>(), self).hash(&mut state);
    }
}

/// Values by their recipe.
pub(crate) struct Made<T: Clone + 'static>(Arc<dyn Recipe<T>>);

impl<T: Clone + 'static> Made<T> {
    pub(crate) fn by(recipe: impl Recipe<T>) -> Self {
        Self(Arc::new(recipe))
    }

    pub(crate) fn values(&self) -> Cow<'_, [T]> {
        self.0.values()
    }
}

impl<T: Clone + 'static> Clone for Made<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone + 'static> fmt::Debug for Made<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

impl<T: Clone + 'static> PartialEq for Made<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.same(&*other.0)
    }
}

impl<T: Clone + 'static> Eq for Made<T> {}

impl<T: Clone + 'static> Hash for Made<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest(state);
    }
}

/// What is given, not made: the same only as itself. It stays where it is as long as this lives, so that nothing else
/// can be taken for it.
pub(crate) struct Given<T>(pub(crate) Arc<T>);

impl<T> PartialEq for Given<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Given<T> {}

impl<T> Hash for Given<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Recipe<f32> for Given<Tensor> {
    fn values(&self) -> Cow<'_, [f32]> {
        self.0.data().into()
    }
}

/// The weights of an output channel that are normal numbers: the smallest and the largest, by absolute value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) least: f32,
    pub(crate) most: f32,
    /// Whether there are others, zeros aside, that are smaller than all normal numbers.
    has_subnormals: bool,
}

impl Sizes {
    fn of(row: &[f32]) -> Self {
        let nothing = Self { least: f32::MAX, most: 0.0, has_subnormals: false };
        row.iter().map(|w| w.abs()).fold(nothing, |sizes, w| {
            let Self { least, most, has_subnormals } = sizes;
            match w {
                w if w.is_normal() => Self { least: least.min(w), most: most.max(w), has_subnormals },
                w => Self { has_subnormals: has_subnormals || w.is_subnormal(), ..sizes },
            }
        })
    }

    /// Those of weights `scale` times as large; `None` if only the weights themselves can tell.
    fn scaled(self, scale: f64) -> Option<Self> {
        let Self { least, most, has_subnormals } = self;
        let [scaled_least, scaled_most] = [least, most].map(|w| (f64::from(w) * scale.abs()) as f32);
        match self {
            Self { most: 0.0, has_subnormals: false, .. } => Some(self),
            _ if !has_subnormals && scaled_least.is_normal() && scaled_most.is_finite() => {
                Some(Self { least: scaled_least, most: scaled_most, has_subnormals })
            }
            _ => None,
        }
    }
}

impl Weight {
    /// Errors: an extent of 0 (except the first), too many elements.
    pub(crate) fn made(shape: Shape, by: impl Recipe<f32>) -> Result<Self> {
        shape.check("tensor")?;
        Ok(Self { shape, values: Made::by(by), sizes: Arc::default() })
    }

    /// `[out, in / groups, kernel_h, kernel_w]` of a convolution, `[out, in, 1, 1]` of a linear layer.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The values, in the order of the shape. Of a file in other types than `f32`, and of what the planner makes, they
    /// are computed at each call.
    pub fn data(&self) -> Cow<'_, [f32]> {
        self.values.values()
    }

    /// Shape and values, to change them. Errors: those of [`Tensor::new`].
    pub fn to_tensor(&self) -> Result<Tensor> {
        Tensor::new(self.shape, self.data().into_owned())
    }

    /// Of each output channel. Looked for once.
    pub(crate) fn sizes(&self) -> &[Sizes] {
        self.sizes.get_or_init(|| {
            let row = self.shape.len() / u64::from(self.shape.n.max(1));
            self.data().chunks(row.max(1) as usize).map(Sizes::of).collect()
        })
    }

    /// Each output channel times a factor of its own, rounded once.
    pub(crate) fn scaled(&self, scale: &[f64]) -> Result<Self> {
        let bits = scale.iter().map(|scale| scale.to_bits()).collect();
        let scaled = Self::made(self.shape, Scaled { weight: self.clone(), scale: bits })?;
        if let Some(sizes) = self.sizes.get()
            && let Some(sizes) = sizes.iter().zip(scale).map(|(sizes, &scale)| sizes.scaled(scale)).collect()
        {
            // Nobody else has it yet.
            let _ = scaled.sizes.set(sizes);
        }
        Ok(scaled)
    }

    /// These input channels of a one-tap kernel, and if asked for one more output channel of zeros.
    pub(crate) fn columns(&self, channels: Vec<Range<usize>>, and_zeros: bool) -> Result<Self> {
        let Shape { n, .. } = self.shape;
        let c = channels.iter().map(|channels| channels.len() as u32).sum();
        let shape = Shape { n: if and_zeros { n + 1 } else { n }, c, ..self.shape };
        Self::made(shape, Columns { weight: self.clone(), channels, and_zeros })
    }
}

impl From<Tensor> for Weight {
    fn from(tensor: Tensor) -> Self {
        Arc::new(tensor).into()
    }
}

impl From<Arc<Tensor>> for Weight {
    fn from(tensor: Arc<Tensor>) -> Self {
        Self { shape: tensor.shape(), values: Made::by(Given(tensor)), sizes: Arc::default() }
    }
}

impl PartialEq for Weight {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.values == other.values
    }
}

impl Eq for Weight {}

impl Hash for Weight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.shape, &self.values).hash(state);
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight {}", self.shape)
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Scaled {
    weight: Weight,
    /// Bits of an `f64` for each output channel.
    scale: Box<[u64]>,
}

impl Recipe<f32> for Scaled {
    fn values(&self) -> Cow<'_, [f32]> {
        let row = self.weight.shape.len() as usize / self.scale.len();
        let scaled = |(i, &w): (usize, &f32)| (f64::from(w) * f64::from_bits(self.scale[i / row])) as f32;
        self.weight.data().iter().enumerate().map(scaled).collect()
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Columns {
    weight: Weight,
    channels: Vec<Range<usize>>,
    and_zeros: bool,
}

impl Recipe<f32> for Columns {
    fn values(&self) -> Cow<'_, [f32]> {
        let data = self.weight.data();
        let rows = data.chunks(self.weight.shape.c as usize);
        let columns = rows.flat_map(|row| self.channels.iter().flat_map(|channels| &row[channels.clone()]));
        let mut columns: Vec<f32> = columns.copied().collect();
        if self.and_zeros {
            columns.resize(columns.len() + self.channels.iter().map(ExactSizeIterator::len).sum::<usize>(), 0.0);
        }
        columns.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(shape: [u32; 4], values: &[f32]) -> Weight {
        let [n, c, h, w] = shape;
        Tensor::new(Shape::new(n, c, h, w), values.to_vec()).unwrap().into()
    }

    #[test]
    fn weights_are_the_same_if_they_are_made_of_the_same_in_the_same_way() {
        let tensor = Arc::new(Tensor::filled(Shape::new(2, 2, 1, 1), 1.0).unwrap());
        let [a, b] = [&tensor, &tensor].map(|tensor| Weight::from(Arc::clone(tensor)));
        let other = Weight::from((*tensor).clone());
        assert!(a == b && a == a.clone() && a != other, "equal values are not enough");
        let scaled = |weight: &Weight, scale: [f64; 2]| weight.scaled(&scale).unwrap();
        assert!(scaled(&a, [1.0, 2.0]) == scaled(&b, [1.0, 2.0]));
        assert!(
            scaled(&a, [1.0, 2.0]) != scaled(&a, [1.0, 3.0]) && scaled(&a, [1.0, 2.0]) != scaled(&other, [1.0, 2.0])
        );
        assert!(scaled(&a, [0.0, 1.0]) != scaled(&a, [-0.0, 1.0]), "by their bits");
        let columns = |from: usize, zeros| a.columns(std::iter::once(from..from + 1).collect(), zeros).unwrap();
        assert!(columns(0, false) == columns(0, false) && columns(0, false) != columns(1, false));
        assert!(columns(0, false) != columns(0, true) && columns(0, false) != scaled(&a, [1.0, 1.0]));
        let hash = |weight: &Weight| {
            let mut state = std::hash::DefaultHasher::new();
            weight.hash(&mut state);
            state.finish()
        };
        assert_eq!(hash(&scaled(&a, [1.0, 2.0])), hash(&scaled(&b, [1.0, 2.0])));
        assert_ne!(hash(&a), hash(&other));
    }

    #[test]
    fn columns_and_scaled_weights_have_the_values_they_promise() {
        let a = weight([2, 3, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let columns = a.columns(vec![2..3, 0..1], true).unwrap();
        assert_eq!(columns.to_tensor().unwrap().data(), [3.0, 1.0, 6.0, 4.0, 0.0, 0.0]);
        assert_eq!(columns.shape(), Shape::new(3, 2, 1, 1));
        assert_eq!(*a.scaled(&[2.0, -1.0]).unwrap().data(), [2.0, 4.0, 6.0, -4.0, -5.0, -6.0]);
    }

    /// What is told without looking is what there is, whatever the weights and factors.
    #[test]
    fn sizes_of_scaled_weights_are_those_of_their_values() {
        let tiny = f32::MIN_POSITIVE;
        let rows: [[f32; 3]; 8] = [
            [1.0, -2.0, 0.5],
            [0.0, 0.0, 0.0],
            [tiny / 4.0, 1.0, 0.0],
            [tiny / 4.0, 0.0, 0.0],
            [tiny * 2.0, 1e30, f32::NAN],
            [f32::INFINITY, 3.0, -1.0],
            [f32::MAX, 1.0, tiny],
            [f32::NAN, f32::INFINITY, 0.0],
        ];
        for scale in [1.0, -0.1, 0.0, 0.25, 8.0, 1e-40, 1e30, 1e-300, f64::INFINITY] {
            let a = weight([8, 3, 1, 1], rows.as_flattened());
            a.sizes();
            for (row, sizes) in rows.iter().zip(a.sizes()) {
                let scaled: Vec<f32> = row.iter().map(|&w| (f64::from(w) * scale) as f32).collect();
                let told = sizes.scaled(scale);
                assert!(told.is_none_or(|told| told == Sizes::of(&scaled)), "{row:?} x {scale}: {told:?}");
            }
            let looked: Vec<Sizes> = a.scaled(&[scale; 8]).unwrap().data().chunks(3).map(Sizes::of).collect();
            assert_eq!(a.scaled(&[scale; 8]).unwrap().sizes(), looked);
        }
        assert!(Sizes::of(&rows[0]).scaled(0.1).is_some(), "usual weights need no look");
    }
}
