//! Resizing in ONNX's many modes. Each axis of the result has taps: where the operand is read, and how that is weighted.
//! Source: <https://onnx.ai/onnx/operators/onnx__Resize.html>

use super::view::{Type, View};
use super::{Converter, Value, axis_of, shape_of, unsupported_attribute};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::onnx::file::Node;
use crate::ops::{Resample, Resize, ResizeMode, Taps};
use crate::tensor::Shape;

pub(super) const OPERATORS: &[&str] = &["Resize", "Upsample"];

/// The nearest pixel before there were modes of it: up where the result is smaller, else down.
const BEFORE_MODES: &str = "";

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
struct Axis {
    input: usize,
    output: usize,
    scale: f64,
    /// Of the input that is resized, from 0 to 1.
    region: [f64; 2],
}

/// The attributes that say how.
struct Mode<'a> {
    mode: &'a str,
    coordinates: &'a str,
    nearest: &'a str,
    cubic: f64,
    excludes_outside: bool,
    antialias: bool,
}

impl Mode<'_> {
    /// Where on the input the middle of an output pixel is, which is to be weighted; `None` if outside of what is cropped.
    fn place(&self, at: usize, axis: Axis) -> Option<f64> {
        let (x, input, output) = (at as f64, axis.input as f64, axis.scale * axis.input as f64);
        let half = (x + 0.5) / axis.scale - 0.5;
        Some(match self.coordinates {
            "align_corners" if output == 1.0 => 0.0,
            "align_corners" => x * (input - 1.0) / (output - 1.0),
            "asymmetric" => x / axis.scale,
            "pytorch_half_pixel" if axis.output == 1 => -0.5,
            "half_pixel_symmetric" => input / 2.0 * (1.0 - axis.output as f64 / output) + half,
            "tf_half_pixel_for_nn" => (x + 0.5) / axis.scale,
            "tf_crop_and_resize" => {
                let [from, to] = axis.region;
                let along = match axis.output {
                    1 => (to - from) * (input - 1.0) / 2.0,
                    output => x * (to - from) * (input - 1.0) / (output as f64 - 1.0),
                };
                let place = along + from * (input - 1.0);
                return (0.0..=input - 1.0).contains(&place).then_some(place);
            }
            _ => half,
        })
    }

    /// The pixel nearest to the middle of an output pixel; `None` if outside of what is cropped. In `f32`, with the whole
    /// extents of the output, and itself where nothing is scaled, as in ONNX Runtime: of a place about half way between
    /// two pixels the rounding decides.
    fn nearest(&self, at: usize, axis: Axis) -> Option<u32> {
        let [x, input, output] = [at, axis.input, axis.output].map(|extent| extent as f32);
        let scale = axis.scale as f32;
        let last = input - 1.0;
        let place = match self.coordinates {
            "align_corners" | "pytorch_half_pixel" if axis.output == 1 => 0.0,
            coordinates if scale == 1.0 && coordinates != "tf_crop_and_resize" => x,
            "align_corners" => x * last / (output - 1.0),
            "asymmetric" => x / scale,
            "half_pixel_symmetric" => {
                let offset = input / 2.0 * (1.0 - output / (scale * input));
                (f64::from(offset) + (f64::from(x) + 0.5) / f64::from(scale) - 0.5) as f32
            }
            "tf_half_pixel_for_nn" => (x + 0.5) / scale,
            "tf_crop_and_resize" => {
                let [from, to] = axis.region.map(|part| part as f32);
                let place = match axis.output {
                    1 => (0.5 * f64::from(from + to) * f64::from(last)) as f32,
                    _ => from * last + x * (to - from) * last / (output - 1.0),
                };
                if !(0.0..=last).contains(&place) {
                    return None;
                }
                place
            }
            _ => (x + 0.5) / scale - 0.5,
        };
        let nearest = match self.nearest {
            "floor" => place.floor(),
            "ceil" => place.ceil(),
            BEFORE_MODES if scale < 1.0 => place.ceil(),
            BEFORE_MODES => place.trunc(),
            "round_prefer_floor" if place == place.trunc() + 0.5 => place.floor(),
            _ => place.round(),
        };
        Some(nearest.clamp(0.0, last) as u32)
    }

    /// The weights of the input's pixels from `first` on, for a place `ratio` after pixel 0.
    fn weights(&self, ratio: f64, scale: f64) -> (i64, Vec<f64>) {
        let a = self.cubic;
        let cubic = |x: f64| match x.abs() {
            x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            _ => 0.0,
        };
        let linear = |x: f64| (1.0 - x.abs()).max(0.0);
        let shrink = if self.antialias { scale.min(1.0) } else { 1.0 };
        let (kernel, radius): (&dyn Fn(f64) -> f64, f64) = match self.mode {
            "cubic" => (&cubic, 2.0),
            _ => (&linear, 1.0),
        };
        let first = (-radius / shrink).floor() as i64 + 1;
        let weights: Vec<f64> = (first..2 - first).map(|i| kernel(shrink * (i as f64 - ratio))).collect();
        let sum = if self.antialias { weights.iter().sum() } else { 1.0 };
        (first, weights.into_iter().map(|weight| weight / sum).collect())
    }

    fn taps(&self, axis: Axis) -> Vec<Taps> {
        (0..axis.output)
            .map(|at| {
                if self.mode == "nearest" {
                    return self.nearest(at, axis).into_iter().map(|at| (at, 1.0)).collect();
                }
                let Some(place) = self.place(at, axis) else { return Taps::new() };
                let base = place.floor();
                let (first, mut weights) = self.weights(place - base, axis.scale);
                let from = base as i64 + first;
                if self.excludes_outside {
                    for (i, weight) in weights.iter_mut().enumerate() {
                        if !(0..axis.input as i64).contains(&(from + i as i64)) {
                            *weight = 0.0;
                        }
                    }
                    let sum: f64 = weights.iter().sum();
                    weights.iter_mut().for_each(|weight| *weight /= sum);
                }
                let mut taps: Vec<(u32, f64)> = Vec::with_capacity(weights.len());
                for (i, weight) in weights.into_iter().enumerate().filter(|(_, weight)| *weight != 0.0) {
                    let at = (from + i as i64).clamp(0, axis.input as i64 - 1) as u32;
                    match taps.last_mut() {
                        Some((last, sum)) if *last == at => *sum += weight,
                        _ => taps.push((at, weight)),
                    }
                }
                taps.into_iter().map(|(at, weight)| (at, weight as f32)).collect()
            })
            .collect()
    }
}

/// One tap for each pixel, which is that pixel.
fn is_identity(taps: &[Taps], input: usize) -> bool {
    taps.len() == input && taps.iter().enumerate().all(|(i, taps)| *taps == [(i as u32, 1.0)])
}

impl Converter {
    pub(super) fn resized(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let extents = x.extents();
        let old = node.op == "Upsample" || self.opset < 11;
        let mode = Mode {
            mode: match node.text("mode")?.unwrap_or("nearest") {
                "linear" | "bilinear" => "linear",
                "cubic" => "cubic",
                "nearest" => "nearest",
                other => return Err(unsupported_attribute(node, "mode", other)),
            },
            coordinates: if old {
                "asymmetric"
            } else {
                node.text("coordinate_transformation_mode")?.unwrap_or("half_pixel")
            },
            nearest: if old { BEFORE_MODES } else { node.text("nearest_mode")?.unwrap_or("round_prefer_floor") },
            cubic: node.float("cubic_coeff_a")?.unwrap_or(-0.75).into(),
            excludes_outside: node.flag("exclude_outside")?,
            antialias: node.flag("antialias")?,
        };
        const COORDINATES: &[&str] = &[
            "align_corners",
            "asymmetric",
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "tf_crop_and_resize",
            "tf_half_pixel_for_nn",
        ];
        const NEAREST: &[&str] = &["ceil", "floor", "round_prefer_ceil", "round_prefer_floor"];
        if !COORDINATES.contains(&mode.coordinates) {
            return Err(unsupported_attribute(node, "coordinate_transformation_mode", mode.coordinates));
        }
        if !old && !NEAREST.contains(&mode.nearest) {
            return Err(unsupported_attribute(node, "nearest_mode", mode.nearest));
        }
        let axes = self.resized_axes(node, &extents, old)?;
        let fill = node.float("extrapolation_value")?.unwrap_or(0.0);
        let taps: Vec<Option<Vec<Taps>>> = axes
            .iter()
            .map(|axis| {
                let taps = mode.taps(*axis);
                (!is_identity(&taps, axis.input)).then_some(taps)
            })
            .collect();
        let mut view = x;
        let rank = extents.len();
        let on_plane = (3..=4).contains(&rank) && taps[..2].iter().all(Option::is_none);
        if on_plane {
            let shape = shape_of(&node.name, &extents)?;
            let [rows, columns] = if rank == 3 { [None, taps[2].clone()] } else { [taps[2].clone(), taps[3].clone()] };
            let exact = |axis: &Axis| (axis.scale * axis.input as f64 - axis.output as f64).abs() < 1e-6;
            let is_usual = mode.mode == "linear"
                && !mode.antialias
                && !mode.excludes_outside
                && matches!(mode.coordinates, "half_pixel" | "pytorch_half_pixel")
                && axes.iter().all(|axis| exact(axis) && (axis.output > 1 || axis.input == 1));
            let mut to = extents.clone();
            (2..rank).for_each(|dim| to[dim] = axes[dim].output);
            let made = self.resampled(&node.name, &view, shape, [rows, columns], fill, is_usual)?;
            view = View::whole(made, &to, Type::Float);
            return Ok(vec![Value::View(view)]);
        }
        for (dim, taps) in taps.into_iter().enumerate().filter_map(|(dim, taps)| Some((dim, taps?))) {
            // The axis as rows, those after it as columns.
            let mut to = view.extents();
            let (outer, inner) = (to[..dim].iter().product(), to[dim + 1..].iter().product());
            let shape = shape_of(&node.name, &[outer, 1, to[dim], inner])?;
            to[dim] = taps.len();
            let made = self.resampled(&node.name, &view, shape, [Some(taps), None], fill, false)?;
            view = View::whole(made, &to, Type::Float);
        }
        Ok(vec![Value::View(view)])
    }

    /// For each dimension how it is resized.
    fn resized_axes(&self, node: &Node, extents: &[usize], old: bool) -> Result<Vec<Axis>> {
        let rank = extents.len();
        let listed = match node.ints("axes")? {
            Some(axes) => axes.iter().map(|&axis| axis_of(node, axis, rank)).collect::<Result<Vec<_>>>()?,
            None => (0..rank).collect(),
        };
        let (scales, sizes) = match (old, node.floats("scales")?) {
            (true, Some(scales)) => (Some(scales.to_vec()), None),
            (true, None) => (self.known(node, 1, "scales")?.map(|scales| scales.to_floats().into_owned()), None),
            (false, _) => {
                let scales = self.known(node, 2, "scales")?.filter(|scales| scales.len() > 0);
                let sizes = self.known(node, 3, "sizes")?.filter(|sizes| sizes.len() > 0);
                (scales.map(|scales| scales.to_floats().into_owned()), sizes.map(|sizes| sizes.to_ints().into_owned()))
            }
        };
        let counted = scales.as_ref().map(Vec::len).or(sizes.as_ref().map(Vec::len));
        if counted != Some(listed.len()) {
            let detail = format!("has {} scales or sizes for {} axes", counted.unwrap_or(0), listed.len());
            return Err(Error::data(node.label(), detail));
        }
        let region = match self.known(node, 1, "roi")? {
            Some(region) if !old && region.len() == 2 * listed.len() => region.to_floats().into_owned(),
            _ => [vec![0.0; listed.len()], vec![1.0; listed.len()]].concat(),
        };
        let mut axes: Vec<Axis> =
            extents.iter().map(|&input| Axis { input, output: input, scale: 1.0, region: [0.0, 1.0] }).collect();
        let policy = node.text("keep_aspect_ratio_policy")?.unwrap_or("stretch");
        let ratios = |sizes: &[i64]| -> Vec<f64> {
            listed.iter().zip(sizes).map(|(&dim, &size)| size as f64 / extents[dim] as f64).collect()
        };
        let common = match (policy, &sizes) {
            ("not_larger", Some(sizes)) => Some(ratios(sizes).into_iter().fold(f64::INFINITY, f64::min)),
            ("not_smaller", Some(sizes)) => Some(ratios(sizes).into_iter().fold(0.0, f64::max)),
            ("stretch", _) | (_, None) => None,
            (other, _) => return Err(unsupported_attribute(node, "keep_aspect_ratio_policy", other)),
        };
        // Such a file was written for another number of images: blending or leaving out some is not what anybody wants.
        if let (Some(sizes), [0, ..]) = (&sizes, &listed[..])
            && rank > 3
            && sizes[0] != extents[0] as i64
        {
            return Err(Error::Unsupported {
                op: node.label(),
                what: format!("sizes = {sizes:?} of {} images", extents[0]),
                hint: "the file computes one number of images only".into(),
            });
        }
        for (i, &dim) in listed.iter().enumerate() {
            let input = extents[dim];
            let (scale, output) = match (common, &scales, &sizes) {
                // In f32, as in ONNX itself.
                (Some(scale), _, _) => (scale, f64::from((scale as f32 * input as f32).round())),
                (None, Some(scales), _) => (f64::from(scales[i]), f64::from((scales[i] * input as f32).floor())),
                (None, None, Some(sizes)) => (sizes[i] as f64 / input as f64, sizes[i] as f64),
                (None, None, None) => (1.0, input as f64),
            };
            if !(scale > 0.0 && scale.is_finite() && (1.0..=f64::from(i32::MAX)).contains(&output)) {
                return Err(Error::data(node.label(), format!("resizes {input} to {output}, by {scale}")));
            }
            let region = [region[i], region[listed.len() + i]].map(f64::from);
            axes[dim] = Axis { input, output: output as usize, scale, region };
        }
        // So many taps are made, and as much is read.
        let made = axes.iter().fold(0u64, |sum, axis| sum.saturating_add(axis.output as u64));
        if made > 1 << 22 {
            let (value, max) = (made, 1 << 22);
            return Err(Error::TooLarge { op: node.label(), what: "the resized extent", value, max });
        }
        Ok(axes)
    }

    /// A map of `shape` with other rows and columns; `None` keeps them.
    fn resampled(
        &mut self,
        name: &str,
        x: &View,
        shape: Shape,
        [rows, columns]: [Option<Vec<Taps>>; 2],
        fill: f32,
        is_bilinear: bool,
    ) -> Result<crate::graph::NodeId> {
        let id = self.shaped(name, x, shape)?;
        if rows.is_none() && columns.is_none() {
            return Ok(id);
        }
        let kept = |extent: u32| (0..extent).map(|i| vec![(i, 1.0)]).collect::<Vec<Taps>>();
        let (rows, columns) = (rows.unwrap_or_else(|| kept(shape.h)), columns.unwrap_or_else(|| kept(shape.w)));
        let (out_h, out_w) = (rows.len() as u32, columns.len() as u32);
        let is_nearest = |taps: &[Taps], input: u32| {
            let out = taps.len() as u64;
            let place = |i: usize| (i as u64 * u64::from(input) / out) as u32;
            taps.iter().enumerate().all(|(i, taps)| *taps == [(place(i), 1.0)])
        };
        let small = [out_h, out_w, shape.h, shape.w].iter().all(|&extent| extent <= 1 << 15);
        let op: Op = if small && is_bilinear {
            Resize { out_h, out_w, mode: ResizeMode::Bilinear }.into()
        } else if small && is_nearest(&rows, shape.h) && is_nearest(&columns, shape.w) {
            Resize { out_h, out_w, mode: ResizeMode::Nearest }.into()
        } else {
            Resample { rows: rows.into(), columns: columns.into(), fill }.into()
        };
        self.apply(name, op, &[id])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of ONNX Runtime 1.32; in `f64` the places lie on the other side.
    #[test]
    fn the_nearest_pixel_is_found_in_f32() {
        let row = |input: usize, scale: f32, coordinates, nearest| {
            let mode =
                Mode { mode: "nearest", coordinates, nearest, cubic: 0.0, excludes_outside: false, antialias: false };
            let output = (scale * input as f32).floor() as usize;
            let taps = mode.taps(Axis { input, output, scale: scale.into(), region: [0.0, 1.0] });
            taps.iter().map(|taps| taps[0].0).collect::<Vec<u32>>()
        };
        assert_eq!(row(9, 0.333_333_34, "asymmetric", "floor"), [0, 3, 6]);
        assert_eq!(row(20, 0.9, "asymmetric", "ceil"), [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19]);
        assert_eq!(
            row(20, 0.9, "half_pixel", "round_prefer_floor"),
            [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19]
        );
        assert_eq!(row(3, 1.0, "tf_half_pixel_for_nn", "ceil"), [0, 1, 2]);
        assert_eq!(row(3, 0.333_333_34, "pytorch_half_pixel", "round_prefer_ceil"), [0]);
    }
}
