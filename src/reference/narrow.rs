//! Some of a map's channels.

use super::Values;
use crate::ops::Narrow;
use crate::tensor::Shape;

/// Values and bounds are copied.
pub(super) fn narrow(op: &Narrow, x: &Values, out: Shape) -> Values {
    Values::from_fn(out, x.bounded(), |[n, c, h, w]| x.at([n, c + op.start as usize, h, w]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting};
    use super::*;

    #[test]
    fn channels_are_counted_from_the_first_of_them_in_every_image() {
        // Two images of three channels of two pixels, 1 to 12.
        let y = apply(&counting([2, 3, 1, 2]), |graph, x| graph.narrow("y", x, Narrow { start: 1, channels: 2 }));
        assert_eq!(y.values, [3, 4, 5, 6, 9, 10, 11, 12].map(f64::from));
    }
}
