//! A map as a texture: colours, a heat map or classes, alone or over a picture.

use super::{U, Values, finite_bound};
use crate::ops::{Color, Paint, Paints, Rect, Texels};
use crate::tensor::Shape;

/// A texel in bytes is rounded by up to half of 1/255, and a bit more where products are.
const BYTE: f64 = 0.5 / 255.0 + 8.0 * U;

/// A place between values is within a few u of its own size, times how much the map changes around it; the rest is as
/// in [`resize`](super::resize). Where two classes are nearer to each other than that, any colour is right.
pub(super) fn paint(op: &Paint, x: &Values, picture: Option<&Values>, out: Shape) -> Values {
    let (seen, placed, net) = match &op.through {
        Some(through) => (through.seen(out.h, out.w), through.placed(out.h, out.w), (through.out_h, through.out_w)),
        None => {
            let whole = Rect::whole(out.h, out.w);
            (whole, whole, (out.h, out.w))
        }
    };
    let opacity = f64::from(op.opacity);
    let values = Values::from_fn(out, x.bounded(), |[n, c, oy, ox]| {
        let base = picture.map(|picture| (picture.at([n, c, oy, ox]).0, 5.0 * U));
        let place = |at: usize, ends: [u32; 4], [extent, values]: [u32; 2]| -> Option<Place> {
            let [begin, len, first, count] = ends.map(f64::from);
            let at = at as f64 + 0.5 - begin;
            let scale = f64::from(values) / f64::from(extent);
            (0.0..len).contains(&at).then(|| Place::new(at * count / len * scale, first * scale, values))
        };
        let row = place(oy, [seen.top, seen.h, placed.top, placed.h], [net.0, x.shape.h]);
        let column = place(ox, [seen.left, seen.w, placed.left, placed.w], [net.1, x.shape.w]);
        let (value, bound) = match (row, column, base) {
            (Some(_), Some(_), None) if c == 3 => (opacity, 0.0),
            (_, _, Some(_)) if c == 3 => (1.0, 0.0),
            (Some(row), Some(column), base) => {
                let (color, bound) = color(&op.paints, x, n, &row, &column, c);
                // Under an opaque colour, nothing shows, not even an infinity.
                let (base, base_bound) = base.filter(|_| opacity < 1.0).unwrap_or((0.0, 0.0));
                let share = if picture.is_some() { opacity } else { 1.0 };
                (color * share + base * (1.0 - share), bound * share + base_bound * (1.0 - share) + 4.0 * U)
            }
            (_, _, base) => base.unwrap_or((0.0, 0.0)),
        };
        (value, bound + if op.texels == Texels::Rgba16Float { value.abs() / 1024.0 + 1e-7 } else { BYTE })
    });
    // Texels are rounded, dark ones by as much as bright ones: the bound alone judges.
    Values { cancellation: f64::INFINITY, ..values }
}

/// A place between two values of a row or a column.
struct Place {
    first: usize,
    second: usize,
    share: f64,
    error: f64,
    /// The values whose differences tell how much an error of the place matters.
    around: std::ops::Range<usize>,
}

impl Place {
    fn new(scaled: f64, offset: f64, extent: u32) -> Self {
        let last = extent as usize - 1;
        let place = (scaled + offset - 0.5).clamp(0.0, last as f64);
        let first = place as usize;
        Self {
            first,
            second: (first + usize::from(place.fract() > 0.0)).min(last),
            share: place.fract(),
            error: 8.0 * U * (scaled.abs() + offset.abs() + 1.0),
            around: first.saturating_sub(1)..(first + 3).min(last + 1),
        }
    }
}

impl Place {
    /// Values and their weights: on a value, only that one, so that it may be infinite.
    fn sides(&self) -> impl Iterator<Item = (usize, f64)> {
        let both = [(self.first, 1.0 - self.share), (self.second, self.share)];
        both.into_iter().filter(|(_, weight)| *weight > 0.0)
    }
}

/// A channel at a place.
fn between(x: &Values, [n, c]: [usize; 2], row: &Place, column: &Place) -> (f64, f64) {
    let (mut sum, mut magnitude, mut carried) = (0.0, 0.0, 0.0);
    for (iy, wy) in row.sides() {
        for (ix, wx) in column.sides() {
            let (value, bound) = x.at([n, c, iy, ix]);
            sum += wy * wx * value;
            magnitude += wy * wx * value.abs();
            carried += wy * wx * bound;
        }
    }
    let around = row.around.clone().flat_map(|iy| column.around.clone().map(move |ix| x.at([n, c, iy, ix]).0));
    let [low, high] = around.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
    let moved = (row.error + column.error) * (high - low);
    (sum, finite_bound(sum, carried + moved + 14.0 * U * magnitude))
}

/// Red, green or blue.
fn color(paints: &Paints, x: &Values, n: usize, row: &Place, column: &Place, k: usize) -> (f64, f64) {
    match paints {
        Paints::Colors { scale, shift } => {
            let (value, bound) = between(x, [n, k], row, column);
            let [scale, shift] = [scale[k], shift[k]].map(f64::from);
            let y = scale * value + shift;
            let bound = scale.abs() * bound + 4.0 * U * ((scale * value).abs() + shift.abs());
            // Of no factor times infinity, nothing is left but what it is exactly.
            (unit(y), if bound.is_nan() { 0.0 } else { bound })
        }
        Paints::HeatMap { channel, range, colors } => {
            let (value, bound) = between(x, [n, *channel as usize], row, column);
            let [low, high] = range.map(f64::from);
            let y = (value - low) / (high - low);
            let size = (value / (high - low)).abs() + (low / (high - low)).abs();
            let bound = bound / (high - low).abs() + 8.0 * U * size;
            let spans = (colors.len() - 1) as f64;
            let at = |share: f64| {
                let place = unit(share) * spans;
                let first = (place as usize).min(colors.len() - 2);
                let [from, to] = [first, first + 1].map(|i| f64::from(colors[i][k]));
                from + (to - from) * (place - first as f64)
            };
            let steepest = colors.windows(2).map(|pair| f64::from((pair[1][k] - pair[0][k]).abs())).fold(0.0, f64::max);
            (at(y), steepest * spans * finite_bound(y, bound + 4.0 * U) + 4.0 * U)
        }
        Paints::Classes { colors } => class(colors, x, n, row, column, k),
    }
}

fn class(colors: &[Color], x: &Values, n: usize, row: &Place, column: &Place, k: usize) -> (f64, f64) {
    let scores: Vec<(f64, f64)> = (0..colors.len()).map(|c| between(x, [n, c], row, column)).collect();
    let larger = |a: f64, b: f64| a > b || (a.is_nan() && !b.is_nan());
    let best = (1..scores.len()).fold(0, |best, c| if larger(scores[c].0, scores[best].0) { c } else { best });
    let (top, bound) = scores[best];
    let near = |(value, other): &(f64, f64)| !top.is_nan() && top - value <= bound + other;
    let rivals = scores.iter().enumerate().filter(|(c, score)| *c != best && near(score)).map(|(c, _)| c);
    let value = f64::from(colors[best][k]);
    let apart = rivals.map(|c| (f64::from(colors[c][k]) - value).abs()).fold(0.0, f64::max);
    (value, apart)
}

/// From 0 to 1; `NaN` is 0.
fn unit(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::ops::Texture;
    use crate::reference::run;
    use crate::tensor::Tensor;

    fn painted(x: &Tensor, picture: Option<&Tensor>, paint: Paint) -> Vec<f32> {
        let mut graph = Graph::new();
        let map = graph.input("x", x.shape()).unwrap();
        let mut inputs = vec![x.clone()];
        let over = picture.map(|picture| {
            inputs.push(picture.clone());
            graph.picture("picture", picture.shape(), Texels::Rgba8).unwrap()
        });
        let y = graph.paint("y", &[Some(map), over].into_iter().flatten().collect::<Vec<_>>(), paint).unwrap();
        graph.output("y", y).unwrap();
        run(&graph, &inputs).unwrap().remove(0).into_data()
    }

    #[test]
    fn values_become_colours_by_range() {
        let x = Tensor::new(Shape::new(1, 1, 1, 5), vec![-1.0, 0.0, 0.5, 3.0, f32::NAN]).unwrap();
        let colors = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]].into();
        let heat = Paints::HeatMap { channel: 0, range: [0.0, 2.0], colors };
        let got = painted(&x, None, Paint { opacity: 0.25, ..Paint::new(1, 5, heat) });
        assert_eq!(got[..5], [0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(got[5..10], [0.0, 0.0, 0.5, 0.0, 0.0]);
        assert_eq!(got[10..15], [1.0, 1.0, 0.5, 0.0, 1.0]);
        assert_eq!(got[15..], [0.25; 5]);
    }

    #[test]
    fn classes_are_painted_where_the_network_looked() {
        // Three classes of a map of one row; the picture is four pixels wide, of which it saw the two in the middle.
        let x = Tensor::new(Shape::new(1, 3, 1, 2), vec![1.0, 0.0, 0.0, 2.0, 1.0, -1.0]).unwrap();
        let picture = Tensor::filled(Shape::new(1, 4, 1, 4), 0.5).unwrap();
        let colors = [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]].into();
        let through = Texture { crop: Some(Rect { top: 0, left: 1, h: 1, w: 2 }), ..Texture::stretch(8, 16) };
        let paint = Paint { opacity: 0.5, through: Some(through), ..Paint::new(1, 4, Paints::Classes { colors }) };
        // The first of equal scores, black; then red; the rest as it was.
        assert_eq!(
            painted(&x, Some(&picture), paint.clone()),
            [[0.5, 0.25, 0.75, 0.5], [0.5, 0.25, 0.25, 0.5], [0.5, 0.25, 0.25, 0.5], [1.0; 4]].concat()
        );
        let alone = painted(&x, None, paint);
        assert_eq!(alone[..4], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(alone[12..], [0.0, 0.5, 0.5, 0.0]);
    }
}
