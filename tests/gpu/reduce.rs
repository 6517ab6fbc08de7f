//! Reductions over any axes: every kind, walks in any direction, NaN and infinities, ties.

use std::slice;

use spp_wgpu::ops::{Axis, Reduce, ReduceKind, Strided};
use spp_wgpu::{Graph, Shape, Tensor};

use crate::graphs::{axis, vector};
use crate::harness::{Data, check_bits_on_both, check_on_both, graph, random, random_halves, with_specials};

/// Which values are kept, and which are reduced.
struct Axes {
    x: Shape,
    y: Shape,
    kept: Strided,
    over: Vec<Axis>,
}

impl Axes {
    fn new(x: Shape, y: Shape, offset: u32, kept: &[Axis], over: &[Axis]) -> Self {
        Self { x, y, kept: Strided { offset, axes: kept.into() }, over: over.into() }
    }

    fn count(&self) -> u32 {
        self.over.iter().map(|axis| axis.extent).product()
    }

    fn of(&self, kind: ReduceKind) -> Reduce {
        Reduce { shape: self.y, kept: self.kept.clone(), over: self.over.clone(), kind }
    }

    fn graph(&self, kind: ReduceKind) -> Graph {
        graph(self.x, |graph, x| graph.reduce("y", x, self.of(kind)).unwrap())
    }
}

/// Few and many results, of few and many values; side by side, one behind the other, backwards, and the same again.
fn all_axes() -> Vec<Axes> {
    let x = Shape::new(2, 3, 4, 5);
    let back = |extent, stride: i32| Axis { extent, stride: -stride };
    vec![
        Axes::new(x, Shape::new(2, 3, 4, 1), 0, &[axis(24, 5)], &[axis(5, 1)]),
        Axes::new(x, Shape::new(2, 1, 4, 5), 0, &[axis(2, 60), axis(20, 1)], &[axis(3, 20)]),
        Axes::new(x, Shape::new(1, 1, 1, 1), 0, &[], &[axis(120, 1)]),
        Axes::new(x, Shape::new(1, 3, 1, 5), 0, &[axis(3, 20), axis(5, 1)], &[axis(2, 60), axis(4, 5)]),
        Axes::new(x, Shape::new(1, 2, 3, 5), 119, &[back(2, 60), back(3, 20), back(5, 1)], &[back(4, 5)]),
        Axes::new(x, Shape::new(2, 1, 2, 2), 4, &[axis(2, 60), axis(2, 10), back(2, 2)], &[axis(3, 20), axis(2, 5)]),
        Axes::new(x, Shape::new(1, 1, 3, 1), 1, &[axis(3, 20)], &[axis(2, 60), axis(2, 10), axis(2, 3)]),
        Axes::new(x, Shape::new(1, 1, 1, 7), 9, &[axis(7, 0)], &[axis(3, 2)]),
        Axes::new(Shape::new(1, 1, 3, 700), Shape::new(1, 1, 3, 1), 0, &[axis(3, 700)], &[axis(700, 1)]),
        Axes::new(Shape::new(1, 40, 9, 10), Shape::new(1, 1, 9, 10), 0, &[axis(90, 1)], &[axis(40, 90)]),
        Axes::new(Shape::new(1, 300, 3, 7), Shape::new(1, 1, 3, 7), 0, &[axis(21, 1)], &[axis(300, 21)]),
    ]
}

fn kinds(count: u32) -> Vec<ReduceKind> {
    use ReduceKind::{ArgMax, ArgMin, Expected, L1, L2, LogSumExp, Max, Mean, Min, Product, Sum, SumSquare};
    let places = [false, true].into_iter().flat_map(|last| [ArgMax { last }, ArgMin { last }]);
    let all = [Sum, Mean, Max, Min, Product, L1, L2, SumSquare, LogSumExp, Expected(vector(count, 4))];
    all.into_iter().chain(places).collect()
}

#[test]
fn agrees_with_the_reference_within_its_bound() {
    for (i, axes) in all_axes().iter().enumerate() {
        for kind in kinds(axes.count()) {
            for data in [Data::Uniform, Data::Integers, Data::WideRange] {
                let case = format!("{kind:?} of {data:?}, axes {i}");
                let x = if kind == ReduceKind::Product { around_1(axes.x) } else { random_halves(axes.x, 11, data) };
                check_on_both(&case, &axes.graph(kind.clone()), &[x]);
            }
        }
    }
}

/// Of many of them, the product is a number that an `f16` holds.
fn around_1(shape: Shape) -> Tensor {
    let mut x = random(shape, 5, Data::Uniform);
    x.data_mut().iter_mut().for_each(|value| *value = 1.0 + *value / 32.0);
    x
}

/// Values of which many are equal.
#[test]
fn extremes_and_places_are_exact() {
    let exact = |kind: &ReduceKind| {
        matches!(kind, ReduceKind::Max | ReduceKind::Min | ReduceKind::ArgMax { .. } | ReduceKind::ArgMin { .. })
    };
    for (i, axes) in all_axes().iter().enumerate() {
        for kind in kinds(axes.count()).into_iter().filter(exact) {
            let mut zeros = random(axes.x, 2, Data::Integers);
            zeros.data_mut().iter_mut().for_each(|value| *value *= 0.0);
            for x in [random(axes.x, 1, Data::Integers), zeros, with_specials(random(axes.x, 3, Data::Integers))] {
                check_bits_on_both(&format!("{kind:?}, axes {i}"), &axes.graph(kind.clone()), &[x]);
            }
        }
    }
}

#[test]
fn nan_spoils_its_result_and_infinities_what_they_must() {
    for (i, axes) in all_axes().iter().enumerate() {
        let mut x = around_1(axes.x);
        let len = x.data().len();
        for (i, special) in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN].into_iter().enumerate() {
            x.data_mut()[(i * 37 + 11) % len] = special;
        }
        let all = |value| Tensor::filled(axes.x, value).unwrap();
        for x in [x, all(f32::NEG_INFINITY), all(f32::INFINITY), all(-f32::NAN), all(-100.0)] {
            for kind in kinds(axes.count()) {
                check_on_both(&format!("{kind:?}, axes {i}"), &axes.graph(kind), slice::from_ref(&x));
            }
        }
    }
}

/// Results that are parts of a concatenation: an image's lie apart from the next one's.
#[test]
fn in_a_concatenation() {
    let x = Shape::new(3, 4, 2, 5);
    let over_rows = Axes::new(x, Shape::new(3, 4, 1, 5), 0, &[axis(12, 10), axis(5, 1)], &[axis(2, 5)]);
    let graph = graph(x, |graph, x| {
        let [a, b] = [("max", ReduceKind::Max), ("sum", ReduceKind::Sum)]
            .map(|(name, kind)| graph.reduce(name, x, over_rows.of(kind)).unwrap());
        graph.concat("y", &[a, b]).unwrap()
    });
    check_on_both("of rows", &graph, &[random(x, 6, Data::Uniform)]);
}
