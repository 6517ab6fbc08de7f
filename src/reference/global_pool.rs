//! Mean or maximum of each channel.

use super::{NOTHING, U, Values, extents, finite_bound, larger};
use crate::ops::{GlobalPool, GlobalPoolKind};
use crate::tensor::Shape;

/// A mean of `n` values has the bound `√Σ bound² / n + (n + 2)·u·Σ|x| / n`.
pub(super) fn global_pool(op: &GlobalPool, x: &Values, out: Shape) -> Values {
    let [_, _, h, w] = extents(x.shape);
    let count = (h * w) as f64;
    Values::from_fn(out, x.bounded(), |[n, c, _, _]| {
        let pixels = (0..h).flat_map(|y| (0..w).map(move |column| [n, c, y, column])).map(|at| x.at(at));
        match op.kind {
            GlobalPoolKind::Max => pixels.fold(NOTHING, larger),
            GlobalPoolKind::Average => {
                let [mut sum, mut magnitude, mut carried] = [0.0; 3];
                for (x, bound) in pixels {
                    sum += x;
                    magnitude += x.abs();
                    carried += bound * bound;
                }
                let bound = (carried.sqrt() + (count + 2.0) * U * magnitude) / count;
                (sum / count, finite_bound(sum, bound))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;

    #[test]
    fn mean_and_maximum_of_each_channel() {
        let x = tensor([1, 2, 1, 3], &[1.0, -5.0, 7.0, 2.0, f32::NAN, f32::NEG_INFINITY]);
        let pooled = |kind| apply(&x, |graph, x| graph.global_pool("pool", x, GlobalPool { kind }));
        let (mean, most) = (pooled(GlobalPoolKind::Average), pooled(GlobalPoolKind::Max));
        assert_eq!((mean.shape, mean.values[0], most.values[0]), (Shape::new(1, 2, 1, 1), 1.0, 7.0));
        assert!(mean.values[1].is_nan() && most.values[1].is_nan());
        assert_eq!((mean.bound, most.bound), (vec![5.0 * U * 13.0 / 3.0, 0.0], vec![0.0; 2]));
    }

    #[test]
    fn the_mean_propagates_independent_errors() {
        let x = Values { bound: vec![3.0, 4.0], ..Values::exact(&tensor([1, 1, 2, 1], &[0.0; 2])) };
        let mean = global_pool(&GlobalPool { kind: GlobalPoolKind::Average }, &x, Shape::new(1, 1, 1, 1));
        assert_eq!(mean.bound, [2.5]);
    }
}
