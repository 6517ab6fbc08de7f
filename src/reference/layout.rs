//! `x.permute(0, 2, 3, 1).reshape(n, rows, width)`.

use super::{Values, extents};
use crate::tensor::Shape;

/// Values and bounds are copied.
pub(super) fn layout(x: &Values, out: Shape) -> Values {
    let [_, channels, _, columns] = extents(x.shape);
    Values::from_fn(out, x.bounded(), |[n, row, _, column]| {
        let index = row * out.w as usize + column;
        let (pixel, c) = (index / channels, index % channels);
        x.at([n, c, pixel / columns, pixel % columns])
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, counting};
    use super::*;
    use crate::ops::Layout;

    #[test]
    fn rows_run_over_channels_then_columns_then_rows() {
        // Channels 1..6, 7..12, 13..18, 19..24 of 2 x 3 pixels.
        let y = apply(&counting([1, 4, 2, 3]), |graph, x| graph.layout("rows", x, Layout { width: 2 }));
        assert_eq!(y.shape, Shape::new(1, 12, 1, 2));
        let want = [1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23, 6, 12, 18, 24];
        assert_eq!(y.values, want.map(f64::from));
    }
}
