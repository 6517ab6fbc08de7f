//! Raw maps of detectors with default boxes, before any sigmoid.

use super::Detection;
use super::head::Output;
use super::rows::{Candidates, corners, largest, sigmoid};

/// Widths and heights of the default boxes in pixels, one list per map, the finest map first.
pub type Anchors = Vec<Vec<[f32; 2]>>;

pub(super) const V5: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];
pub(super) const V7: [[[f32; 2]; 3]; 3] = [
    [[12.0, 16.0], [19.0, 36.0], [40.0, 28.0]],
    [[36.0, 75.0], [76.0, 55.0], [72.0, 146.0]],
    [[142.0, 110.0], [192.0, 243.0], [459.0, 401.0]],
];
pub(super) const TINY: [[[f32; 2]; 3]; 2] =
    [[[10.0, 14.0], [23.0, 27.0], [37.0, 58.0]], [[81.0, 82.0], [135.0, 169.0], [344.0, 319.0]]];
/// Of the models with a fourth grid, YOLOv5's and v7's.
pub(super) const P6: [[[f32; 2]; 3]; 4] = [
    [[19.0, 27.0], [44.0, 40.0], [38.0, 94.0]],
    [[96.0, 68.0], [86.0, 152.0], [180.0, 137.0]],
    [[140.0, 301.0], [303.0, 264.0], [238.0, 542.0]],
    [[436.0, 615.0], [739.0, 380.0], [925.0, 792.0]],
];

pub(super) fn anchors(maps: &[[[f32; 2]; 3]]) -> Anchors {
    maps.iter().map(|map| map.to_vec()).collect()
}

/// The published ones for so many maps.
pub(super) fn usual_anchors(maps: usize) -> Option<Anchors> {
    match maps {
        2 => Some(anchors(&TINY)),
        3 => Some(anchors(&V5)),
        4 => Some(anchors(&P6)),
        _ => None,
    }
}

/// The strides at which the finest map may lie; each map after it has twice the stride of the one before.
fn finest(maps: &Anchors) -> &'static [u32] {
    if *maps == anchors(&TINY) {
        &[16]
    } else if [&V5[..], &V7, &P6].into_iter().any(|published| *maps == anchors(published)) {
        &[8]
    } else {
        &[4, 8, 16, 32]
    }
}

/// Outputs that may be raw maps, with their dimensions; the fifth is 0 if there are four. In the order of the outputs.
pub(super) fn raw_maps<'a>(outputs: &[Output<'a>]) -> Vec<(Output<'a>, [u32; 5])> {
    let five = outputs.iter().filter_map(|output| <[u32; 5]>::try_from(output.dims).ok().map(|dims| (*output, dims)));
    let five: Vec<_> = five.collect();
    if !five.is_empty() {
        return five;
    }
    let four = |output: &Output<'a>| match *output.dims {
        [n, c, h, w] => Some((*output, [n, c, h, w, 0])),
        _ => None,
    };
    outputs.iter().filter_map(four).collect()
}

/// A grid's `n` images of `anchors` times `h` by `w` predictions of `width` numbers.
#[derive(Debug)]
pub(super) struct Map<'a> {
    data: &'a [f32],
    pub(super) n: usize,
    h: usize,
    w: usize,
    pub(super) width: usize,
    /// Whether the numbers of a prediction lie a plane apart.
    planar: bool,
    /// Pixels from column to column and from row to row.
    stride: [f32; 2],
    anchors: Vec<[f32; 2]>,
}

impl<'a> Map<'a> {
    /// The raw maps of outputs, the finest first as anchors are. Errors: what is needed instead.
    pub(super) fn all(outputs: &[Output<'a>], input: [u32; 2], anchors: &Anchors) -> Result<Vec<Self>, String> {
        let needs = "needs [n, anchors, h, w, 5 + classes] or [n, anchors * (5 + classes), h, w] for each grid";
        let mut grids = raw_maps(outputs);
        grids.sort_by_key(|(_, dims)| std::cmp::Reverse(u64::from(dims[2]) * u64::from(dims[3])));
        if grids.is_empty() || grids.len() != anchors.len() {
            return Err(format!("{needs}, of which the anchors have {}", anchors.len()));
        }
        let sizes =
            |finest: u32| (0..grids.len()).map(move |i| input.map(|pixels| pixels.div_ceil(finest << i.min(9))));
        let is = || grids.iter().map(|(_, dims)| [dims[2], dims[3]]);
        if !finest(anchors).iter().any(|&finest| sizes(finest).eq(is())) {
            let listed = |sizes: &mut dyn Iterator<Item = [u32; 2]>| {
                sizes.map(|[h, w]| format!("{h}x{w}")).collect::<Vec<_>>().join(", ")
            };
            let of_published = sizes(finest(anchors)[0]);
            let [is, would_be] = [listed(&mut is()), listed(&mut { of_published })];
            return Err(format!("needs maps of {would_be} for this input, or so, but they are of {is}"));
        }
        let map = |((output, dims), anchors): (&(Output<'a>, [u32; 5]), &Vec<[f32; 2]>)| {
            let [n, channels, h, w, width] = dims.map(|extent| extent as usize);
            let count = anchors.len();
            // Of four dimensions, anchors and numbers are one.
            let (width, planar) = if width == 0 { (channels / count.max(1), true) } else { (width, false) };
            let same = if planar { width * count == channels } else { channels == count };
            if !same || width < 6 {
                return Err(format!("{needs}, with {count} anchors"));
            }
            let stride = [f64::from(input[1]) / w as f64, f64::from(input[0]) / h as f64].map(|stride| stride as f32);
            Ok(Map { data: output.data, n, h, w, width, planar, stride, anchors: anchors.clone() })
        };
        let maps: Vec<Map> = grids.iter().zip(anchors).map(map).collect::<Result<_, _>>()?;
        let alike = |map: &Map| (map.n, map.width) == (maps[0].n, maps[0].width);
        if maps.iter().all(alike) { Ok(maps) } else { Err(needs.into()) }
    }

    fn at(&self, image: usize, anchor: usize, cell: usize, number: usize) -> f32 {
        let (area, block) = (self.h * self.w, image * self.anchors.len() + anchor);
        let index = if self.planar {
            (block * self.width + number) * area + cell
        } else {
            (block * area + cell) * self.width + number
        };
        self.data.get(index).copied().unwrap_or_default()
    }
}

/// What raw maps say of one image; `exponential` is YOLOv3's form.
pub(super) fn of_maps(maps: &[Map], image: usize, exponential: bool, threshold: f32) -> Vec<Detection> {
    let mut found = Candidates::default();
    for map in maps {
        for (anchor, &[anchor_w, anchor_h]) in map.anchors.iter().enumerate() {
            for cell in 0..map.h * map.w {
                let at = |number| map.at(image, anchor, cell, number);
                let objectness = sigmoid(at(4));
                if objectness <= threshold || objectness.is_nan() {
                    continue;
                }
                let Some((class, score)) = largest((5..map.width).map(at)) else { continue };
                let score = objectness * sigmoid(score);
                if score > threshold {
                    let cell = [cell % map.w, cell / map.w].map(|cell| cell as f32);
                    let centre = |axis: usize| {
                        let moved = sigmoid(at(axis));
                        let moved = if exponential { moved } else { 2.0 * moved - 0.5 };
                        (cell[axis] + moved) * map.stride[axis]
                    };
                    let size = |number, anchor: f32| {
                        let factor = if exponential { at(number).exp() } else { (2.0 * sigmoid(at(number))).powi(2) };
                        factor * anchor
                    };
                    found.push(class, score, corners([centre(0), centre(1), size(2, anchor_w), size(3, anchor_h)]));
                }
            }
        }
    }
    found.0
}
