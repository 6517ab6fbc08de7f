//! Values in another order.

use super::Values;
use crate::ops::Rearrange;
use crate::tensor::{Precision, Shape};

/// Moves values and bounds along; what is filled in is exact.
pub(super) fn rearrange(op: &Rearrange, x: &Values, out: Shape) -> Values {
    let len = out.len();
    let mut values = Vec::with_capacity(len as usize);
    let mut bound = Vec::with_capacity(if x.bounded() { len as usize } else { 0 });
    for i in 0..len {
        let (mut rest, mut at) = (i, Some(i64::from(op.offset)));
        for walk in op.axes.iter().rev() {
            at = at.zip(walk.at(rest % walk.extent())).map(|(at, moved)| at + moved);
            rest /= walk.extent();
        }
        values.push(at.map_or(f64::from(op.fill), |at| x.values[at as usize]));
        if x.bounded() {
            bound.push(at.map_or(0.0, |at| x.bound[at as usize]));
        }
    }
    Values { shape: out, values, bound, cancellation: 1.0, precision: Precision::F32 }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting};
    use crate::ops::{Axis, Rearrange, Strided, Walk};
    use crate::tensor::Shape;

    #[test]
    fn a_transpose_and_a_padded_lookup() {
        let x = counting([1, 1, 2, 3]);
        let axes = vec![Axis { extent: 3, stride: 1 }, Axis { extent: 2, stride: 3 }];
        let turned = Rearrange::strided(Shape::new(1, 1, 3, 2), &Strided { offset: 0, axes });
        assert_eq!(apply(&x, |graph, x| graph.rearrange("y", x, turned)).values, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let rows = Walk::Steps(Axis { extent: 2, stride: -3 });
        let padded = Rearrange {
            shape: Shape::new(1, 1, 2, 3),
            offset: 3,
            axes: vec![rows, Walk::Places([None, Some(2), Some(0)].into())],
            fill: 9.0,
        };
        assert_eq!(apply(&x, |graph, x| graph.rearrange("y", x, padded)).values, [9.0, 6.0, 4.0, 9.0, 3.0, 1.0]);
    }
}
