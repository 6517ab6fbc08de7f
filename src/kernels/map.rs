//! A formula, value by value. Attributes: [`crate::ops::Map`]; shader: `map`, whose formula is written here.

use std::fmt::Write;

use super::{WG_SIZE, rearrange, sizes, workgroups};
use crate::error::Result;
use crate::ops::{Axis, Formula, FormulaStep, Function, Map, Rearrange, Strided, Term};
use crate::plan::{Builder, Element, Fields, Order, Shader, Slice, Step, image_len, params, piece, shader};
use crate::tensor::Shape;

params! { Sizes {
    len: u32,
    valid: u32,
    y_offset: u32,
    a_offset: u32,
    b_offset: u32,
    c_offset: u32,
    y_step: u32,
    a_step: u32,
    b_step: u32,
    c_step: u32,
    unused_0: u32,
    unused_1: u32,
} }

params! { Leg {
    extent: u32,
    y: u32,
    a: u32,
    b: u32,
    c: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
} }

params! { Numbers {
    x: f32,
    y: f32,
    z: f32,
    w: f32,
} }

const TABLES: &[(&str, Fields)] = &[("Sizes", Sizes::FIELDS), ("Leg", Leg::FIELDS), ("Numbers", Numbers::FIELDS)];

pub(crate) static SHADER: Shader = Shader {
    stem: "map",
    text: shader!("map"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("functions"), piece!("activation"), piece!("functions_all")],
    params_binding: 4,
    params: &[],
    tables: TABLES,
};

/// What operands are called in the shader.
const NAMES: [&str; Map::MAX_OPERANDS] = ["a", "b", "c"];

/// One dispatch, and one for each operand whose walk goes together with no other: reads slices `xs`, all in NHWC or all
/// dense in NCHW, writes slice `y`, in the same order.
pub(crate) fn plan(builder: &mut Builder, node: &str, op: &Map, xs: &[Slice], y: &Slice) -> Result<()> {
    if y.order == Order::Nchw { plan_values(builder, node, op, xs, y) } else { plan_pixels(builder, node, op, xs, y) }
}

fn plan_pixels(builder: &mut Builder, node: &str, op: &Map, xs: &[Slice], y: &Slice) -> Result<()> {
    let Shape { n, c, h, w } = y.shape;
    let extents = [n, h, w, y.channels4()];
    let route = |x: &Slice| {
        let [_, pixel, image] = x.strides();
        let rows = [image, pixel.saturating_mul(x.shape.w), pixel].map(|stride| stride / 4);
        let there = [x.shape.n, x.shape.h, x.shape.w, x.shape.c].map(|extent| extent > 1);
        let strides = [rows[0], rows[1], rows[2], 1];
        let axes = (0..4).map(|i| Axis { extent: extents[i], stride: if there[i] { strides[i] as i32 } else { 0 } });
        Strided { offset: x.offset4(), axes: axes.collect() }
    };
    // The padding of channels is written, too, which those of a single channel have nothing for.
    let mut of_y = route(y);
    of_y.axes[3].stride = 1;
    let routes: Vec<Strided> = [of_y].into_iter().chain(xs.iter().map(route)).collect();
    let splat: Vec<bool> = xs.iter().map(|x| x.shape.c == 1 && c > 1).collect();
    let has_padding = !c.is_multiple_of(4);
    let mut axes = common(&routes, if has_padding { 1 } else { 0 }).unwrap_or_default();
    let valid = if has_padding { c } else { u32::MAX };
    if axes.is_empty() {
        axes.push(Common { extent: 1, strides: vec![0; routes.len()] });
    }
    let [one, two, three] = [piece!("pixels_1"), piece!("pixels_2"), piece!("pixels_3")];
    let taken = [one, two, three][xs.len() - 1];
    let text = Text::of(&op.formula, &splat);
    let len = y.pixels() * y.channels4();
    let step = step(node, len, valid, &routes, &axes, &text, (xs, y), 1);
    builder.push(step.piece(taken).piece(piece!("lanes")).pieces(builder.stored()));
    Ok(())
}

fn plan_values(builder: &mut Builder, node: &str, op: &Map, xs: &[Slice], y: &Slice) -> Result<()> {
    let mut xs = xs.to_vec();
    let mut walks = op.walks.clone();
    let (routes, mut axes) = loop {
        let image = Axis { extent: image_len(y.shape), stride: 1 };
        let of_y = Strided { offset: y.offset, axes: vec![Axis { extent: y.shape.n, stride: y.stride as i32 }, image] };
        let of_xs = xs.iter().zip(&walks).map(|(x, walk)| match walk {
            Some(walk) => Strided { offset: x.offset + walk.offset, axes: walk.axes.clone() },
            None => spread(x, y.shape),
        });
        let routes: Vec<Strided> = [of_y].into_iter().chain(of_xs).collect();
        if let Some(axes) = common(&routes, 0) {
            break (routes, axes);
        }
        let Some(i) = walks.iter().rposition(Option::is_some) else { return Ok(()) };
        if let Some(walk) = walks[i].take() {
            let dense = builder.scratch_nchw(format!("{node}, operand {i}"), y.shape, Element::F32)?;
            rearrange::plan(builder, node, &Rearrange::strided(y.shape, &walk), &xs[i], &dense)?;
            xs[i] = dense;
        }
    };
    if axes.is_empty() {
        axes.push(Common { extent: 1, strides: vec![0; routes.len()] });
    }
    let valid = axes[axes.len() - 1].extent;
    let rows: u32 = axes[..axes.len() - 1].iter().map(|axis| axis.extent).product();
    let taken = [piece!("values_1"), piece!("values_2"), piece!("values_3")][xs.len() - 1];
    let text = Text::of(&op.formula, &vec![false; xs.len()]);
    let step = step(node, rows * valid.div_ceil(4), valid, &routes, &axes, &text, (&xs, y), 4);
    builder.push(step.piece(taken).piece(piece!("values")));
    Ok(())
}

/// The walk over a dense `x` that spreads it over `shape`.
fn spread(x: &Slice, shape: Shape) -> Strided {
    let extents = |shape: Shape| [shape.n, shape.c, shape.h, shape.w];
    let mut walk = Strided::dense(&extents(x.shape));
    walk.offset = x.offset;
    for (axis, extent) in walk.axes.iter_mut().zip(extents(shape)) {
        if axis.extent != extent {
            *axis = Axis { extent, stride: 0 };
        }
    }
    walk
}

/// An axis along which each of several walks moves by equal steps.
#[derive(Clone, Debug, PartialEq)]
struct Common {
    extent: u32,
    strides: Vec<i64>,
}

/// The fewest axes that all these walks, of as many steps, have in common; the last `apart` of theirs stay as they are.
/// `None`: one goes on in the middle of another's, or there are more than kernels walk.
fn common(walks: &[Strided], apart: usize) -> Option<Vec<Common>> {
    let mut rest: Vec<Vec<(u32, i64)>> = walks
        .iter()
        .map(|walk| {
            let (outer, last) = walk.axes.split_at(walk.axes.len() - apart.min(walk.axes.len()));
            let merged = Strided { offset: 0, axes: outer.to_vec() }.merged().axes;
            merged.iter().chain(last).map(|axis| (axis.extent, i64::from(axis.stride))).collect()
        })
        .collect();
    let mut axes: Vec<Common> = Vec::new();
    loop {
        let kept = if axes.len() < apart { 0 } else { 1 };
        for walk in &mut rest {
            while kept == 1 && walk.last().is_some_and(|(extent, _)| *extent == 1) {
                walk.pop();
            }
        }
        let last: Vec<(u32, i64)> = rest.iter().filter_map(|walk| walk.last().copied()).collect();
        if last.len() < walks.len() {
            break;
        }
        let extent = last.iter().map(|(extent, _)| *extent).min()?;
        if last.iter().any(|(of, _)| of % extent != 0) {
            return None;
        }
        for walk in &mut rest {
            if let Some((of, stride)) = walk.last_mut() {
                (*of, *stride) = (*of / extent, *stride * i64::from(extent));
                if *of == 1 {
                    walk.pop();
                }
            }
        }
        let outer = Common { extent, strides: last.into_iter().map(|(_, stride)| stride).collect() };
        let may_join = axes.len() > apart;
        match axes.last_mut() {
            Some(inner) if may_join && follows(&outer, inner) => inner.extent *= outer.extent,
            _ => axes.push(outer),
        }
    }
    axes.reverse();
    (axes.len() <= Strided::MAX_AXES).then_some(axes)
}

/// Whether `outer` goes on where `inner` ends, in every walk.
fn follows(outer: &Common, inner: &Common) -> bool {
    let goes_on = |(outer, within): (&i64, &i64)| *outer == within * i64::from(inner.extent);
    outer.strides.iter().zip(&inner.strides).all(goes_on)
}

/// A dispatch of the formula; `lanes` values of the last axis at once.
#[expect(clippy::too_many_arguments, reason = "they are what a dispatch is made of")]
fn step(
    node: &str,
    len: u32,
    valid: u32,
    routes: &[Strided],
    axes: &[Common],
    text: &Text,
    (xs, y): (&[Slice], &Slice),
    lanes: u32,
) -> Step {
    let offset = |i: usize| routes.get(i).map_or(0, |route| route.offset);
    let last = &axes[axes.len() - 1];
    let step_of = |i: usize| last.strides.get(i).map_or(0, |stride| *stride as u32);
    let head = Sizes {
        len,
        valid,
        y_offset: offset(0),
        a_offset: offset(1),
        b_offset: offset(2),
        c_offset: offset(3),
        y_step: step_of(0),
        a_step: step_of(1),
        b_step: step_of(2),
        c_step: step_of(3),
        ..Sizes::default()
    };
    let leg = |(i, axis): (usize, &Common)| {
        let (extent, times) =
            if i + 1 == axes.len() { (axis.extent.div_ceil(lanes), i64::from(lanes)) } else { (axis.extent, 1) };
        let at = |i: usize| axis.strides.get(i).map_or(0, |stride| (*stride * times) as u32);
        Leg { extent, y: at(0), a: at(1), b: at(2), c: at(3), ..Leg::default() }
    };
    let legs: Vec<Leg> = axes.iter().enumerate().map(leg).collect();
    let at = |i: usize| text.numbers.get(i).copied().unwrap_or(0.0);
    let numbers: Vec<Numbers> = (0..text.numbers.len().div_ceil(4).max(1))
        .map(|i| 4 * i)
        .map(|i| Numbers { x: at(i), y: at(i + 1), z: at(i + 2), w: at(i + 3) })
        .collect();
    let mut step = Step::new(node, &SHADER, &[0u32; 0], workgroups(len)).formula(&text.text);
    step.params =
        [bytemuck::bytes_of(&head), bytemuck::cast_slice::<_, u8>(&legs), bytemuck::cast_slice(&numbers)].concat();
    for (slot, x) in (0..).zip(xs) {
        step = step.reads(slot, x);
    }
    let axes = legs.len() as u32;
    let constants = sizes([("WG_SIZE", WG_SIZE), ("AXES", axes), ("NUMBERS", numbers.len() as u32)]);
    step.writes(3, y).constants(constants).loops([axes]).flops(y.shape.len().saturating_mul(text.steps))
}

/// A formula in WGSL. Its numbers are no part of the text, so that formulas which differ in nothing else share a kernel,
/// and no compiler computes with them.
struct Text {
    text: String,
    numbers: Vec<f32>,
    steps: u64,
}

impl Text {
    /// `splat`: operands whose only channel stands for all.
    fn of(formula: &Formula, splat: &[bool]) -> Self {
        let mut text = String::from("fn computed(places: Places) -> vec4f {\n");
        let mut numbers = Vec::new();
        // Writing to a string cannot fail.
        for (name, splat) in NAMES.iter().zip(splat) {
            let load = if *splat { format!("splat(load_{name}(places))") } else { format!("load_{name}(places)") };
            let _ = writeln!(text, "    let x{name} = {load};");
        }
        for (i, FormulaStep { function, terms }) in formula.steps.iter().enumerate() {
            let terms: Vec<String> = terms.iter().map(|term| written(*term, &mut numbers)).collect();
            let call = match function {
                Function::Activation(activation) => {
                    let [alpha, beta] = activation.parameters().map(|of| written(Term::Number(of), &mut numbers));
                    format!("activate({}, {}u, {alpha}.x, {beta}.x)", terms.join(", "), activation.number())
                }
                function => format!("{}_of({})", function.name(), terms.join(", ")),
            };
            let _ = writeln!(text, "    let s{i} = {call};");
        }
        let _ = writeln!(text, "    return s{};\n}}", formula.steps.len() - 1);
        Self { text, numbers, steps: formula.steps.len() as u64 }
    }
}

fn written(term: Term, numbers: &mut Vec<f32>) -> String {
    match term {
        Term::Operand(i) => format!("x{}", NAMES[i as usize]),
        Term::Step(i) => format!("s{i}"),
        Term::Number(number) => {
            let same = |other: &f32| other.to_bits() == number.to_bits();
            let at = numbers.iter().position(same).unwrap_or_else(|| {
                numbers.push(number);
                numbers.len() - 1
            });
            format!("vec4f(params.numbers[{}].{})", at / 4, ["x", "y", "z", "w"][at % 4])
        }
    }
}
