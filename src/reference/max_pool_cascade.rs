//! Pools of pools, side by side: `[p1, p2, …]`, `p1 = pool(x)`, `p2 = pool(p1)`, ….

use super::Values;
use super::concat::concat;
use super::max_pool::max_pool;
use crate::ops::{MaxPool, MaxPoolCascade};
use crate::tensor::Shape;

pub(super) fn max_pool_cascade(op: &MaxPoolCascade, x: &Values, out: Shape) -> Values {
    let pool = MaxPool::same(op.kernel);
    let mut pools = vec![max_pool(&pool, x, x.shape)];
    for i in 1..op.times as usize {
        pools.push(max_pool(&pool, &pools[i - 1], x.shape));
    }
    concat(&pools.iter().collect::<Vec<_>>(), out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, tensor};
    use super::*;

    #[test]
    fn three_chained_pools_of_5_equal_pools_of_5_9_and_13() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let specials = [nan, inf, -inf, -0.0, 0.0, f32::MIN_POSITIVE, -1.0, f32::MAX];
        // Every special value somewhere in a 17 x 19 map of small numbers, or (second channel) of -inf.
        let mut data: Vec<f32> =
            (0..2 * 17 * 19).map(|i| if i < 17 * 19 { -((i * 7 % 31) as f32) } else { -inf }).collect();
        for (i, &special) in specials.iter().enumerate() {
            data[i * 41] = special;
            data[17 * 19 + i * 37 + 5] = special;
        }
        let x = tensor([1, 2, 17, 19], &data);
        let cascade = apply(&x, |graph, x| graph.max_pool_cascade("pools", x, MaxPoolCascade { kernel: 5, times: 3 }));
        let separate = apply(&x, |graph, x| {
            let pools = [5, 9, 13].map(|kernel| graph.max_pool(kernel.to_string(), x, MaxPool::same(kernel)));
            graph.concat("pools", &pools.into_iter().collect::<crate::Result<Vec<_>>>()?)
        });
        assert_eq!(cascade.shape, Shape::new(1, 6, 17, 19));
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()); // either zero is fine
        assert!(cascade.values.iter().zip(&separate.values).all(|(&a, &b)| same(a, b)));
        let nans = cascade.values.iter().filter(|value| value.is_nan()).count();
        assert!(nans > 100 && nans < cascade.values.len(), "{nans} NaN: the test would prove nothing");
        assert!(cascade.values.contains(&f64::NEG_INFINITY) && cascade.values.contains(&f64::INFINITY));
    }
}
