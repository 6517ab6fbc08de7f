//! Channels of all parts, one part after the other.

use super::{Values, extents};
use crate::tensor::Shape;

/// Values and bounds are copied.
pub(super) fn concat(parts: &[&Values], out: Shape) -> Values {
    let mut values = Vec::with_capacity(out.len() as usize);
    let mut bound = Vec::new();
    for n in 0..out.n as usize {
        for part in parts {
            let [_, c, h, w] = extents(part.shape);
            let image = n * c * h * w..(n + 1) * c * h * w;
            values.extend_from_slice(&part.values[image.clone()]);
            bound.extend_from_slice(part.bound.get(image).unwrap_or(&[]));
        }
    }
    Values { shape: out, values, bound, cancellation: 1.0, precision: parts[0].precision }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting};
    use crate::ops::MaxPool;

    #[test]
    fn parts_alternate_in_every_image() {
        // Image 0: 1 2, 3 4 (two channels); image 1: 5 6, 7 8.
        let x = counting([2, 2, 1, 2]);
        let y = apply(&x, |graph, x| {
            let pooled = graph.max_pool("pool", x, MaxPool::same(3))?;
            graph.concat("concat", &[x, pooled, x])
        });
        let want = [1, 2, 3, 4, 2, 2, 4, 4, 1, 2, 3, 4, 5, 6, 7, 8, 6, 6, 8, 8, 5, 6, 7, 8].map(f64::from);
        assert_eq!((y.shape.c, y.values, y.bound), (6, want.to_vec(), vec![0.0; 24]));
    }
}
