//! What the last layers of the known detectors mean.

use std::fmt;
use std::mem;
use std::str::FromStr;

use super::nms::{best, suppress};
use super::rows::{Rows, are_probabilities, corners, sigmoid, softmax};
use super::{Detection, DetectionOptions, MAX_CANDIDATES, decode, labels, priors, ultraface_priors};
use super::{Fit, Preparation, PriorConfig};
use crate::error::{Error, Result, unknown};

/// An output of a network as its file describes it.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// Any number of dimensions.
    pub dims: &'a [u32],
    /// The values, the last dimension first to change.
    pub data: &'a [f32],
}

/// Widths and heights of the default boxes in pixels, one list per map, the finest map first.
pub type Anchors = Vec<Vec<[f32; 2]>>;

/// How a detector's outputs are read. Boxes of rows are centre x, centre y, width and height in pixels of the input,
/// unless another form is named.
///
/// [`Head::find`] tells from the outputs; [`FromStr`] takes the names of [`Head::NAMES`], and those of the versions that
/// share a form: `yolov6`, `yolov9`, `yolo11` and so on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Head {
    /// `[n, cells, 5 + classes]`: box, objectness, classes, each cell of the grids at strides 8, 16, 32 (or also 64) a
    /// row. If it is not decoded, centres are relative to the cell and in strides, and sizes logarithms of strides.
    YoloX {
        /// Whether the boxes are in pixels.
        decoded: bool,
    },
    /// One `[n, anchors · (5 + classes), h, w]` or `[n, anchors, h, w, 5 + classes]` per grid, before any sigmoid; sizes
    /// are e^t of the anchor.
    YoloV3(Anchors),
    /// As `YoloV3`; sizes are (2 σ(t))² of the anchor. YOLOv7 has the form with anchors of its own.
    YoloV5(Anchors),
    /// `[n, rows, 5 + classes]`: box, objectness, classes. YOLOv3, v5 and v7 with their grids; v6 with an objectness of 1.
    Decoded,
    /// `[n, 4 + classes, rows]`, or the other way round: box, classes. YOLOv8, v9, 11 and, without its objectness, v6.
    YoloV8,
    /// `[n, rows, 6]`: left, top, right, bottom, score, class; nothing is left to suppress. YOLOv10.
    EndToEnd,
    /// Offsets `[n, priors, 4]` and scores `[n, priors, classes]`, the background first: SSD, RFBNet.
    Ssd(PriorConfig),
    /// Scores `[n, priors, 2]`, the background first, and boxes `[n, priors, 4]`.
    UltraFace {
        /// Whether these are corners in units of the input, not offsets from the default boxes.
        decoded: bool,
    },
}

const V5: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];
const V7: [[[f32; 2]; 3]; 3] = [
    [[12.0, 16.0], [19.0, 36.0], [40.0, 28.0]],
    [[36.0, 75.0], [76.0, 55.0], [72.0, 146.0]],
    [[142.0, 110.0], [192.0, 243.0], [459.0, 401.0]],
];
const TINY: [[[f32; 2]; 3]; 2] =
    [[[10.0, 14.0], [23.0, 27.0], [37.0, 58.0]], [[81.0, 82.0], [135.0, 169.0], [344.0, 319.0]]];
/// Of the models with a fourth grid, YOLOv5's and v7's.
const P6: [[[f32; 2]; 3]; 4] = [
    [[19.0, 27.0], [44.0, 40.0], [38.0, 94.0]],
    [[96.0, 68.0], [86.0, 152.0], [180.0, 137.0]],
    [[140.0, 301.0], [303.0, 264.0], [238.0, 542.0]],
    [[436.0, 615.0], [739.0, 380.0], [925.0, 792.0]],
];

fn anchors(maps: &[[[f32; 2]; 3]]) -> Anchors {
    maps.iter().map(|map| map.to_vec()).collect()
}

/// Names that stand for another of [`Head::NAMES`].
const ALIASES: [(&str, &str); 12] = [
    ("yolov3-decoded", "yolov5-decoded"),
    ("yolov7-decoded", "yolov5-decoded"),
    ("yolov6", "yolov5-decoded"),
    ("yolov7-p6", "yolov5-p6"),
    ("yolov9", "yolov8"),
    ("yolov11", "yolov8"),
    ("yolo11", "yolov8"),
    ("yolov12", "yolov8"),
    ("yolo12", "yolov8"),
    ("yolo26", "yolov10"),
    ("yolov26", "yolov10"),
    ("end-to-end", "yolov10"),
];

/// Strides of the grids that anchor-free detectors have.
const GRIDS: [&[u32]; 4] = [&[8, 16, 32], &[8, 16, 32, 64], &[16, 32], &[4, 8, 16, 32]];

fn cells(input: [u32; 2], strides: &[u32]) -> usize {
    let map = |&stride: &u32| input.map(|pixels| pixels.div_ceil(stride) as usize).iter().product::<usize>();
    strides.iter().map(map).sum()
}

/// The strides of the grids that have so many cells.
fn grids(input: [u32; 2], rows: usize) -> Option<&'static [u32]> {
    GRIDS.into_iter().find(|strides| cells(input, strides) == rows)
}

impl Head {
    /// What [`FromStr`] takes, other versions of the same form aside.
    pub const NAMES: [&str; 20] = [
        "yolox",
        "yolox-decoded",
        "yolov3",
        "yolov3-tiny",
        "yolov5",
        "yolov5-p6",
        "yolov5-decoded",
        "yolov7",
        "yolov8",
        "yolov10",
        "ssd-voc-300",
        "ssd-voc-512",
        "ssd-coco-300",
        "ssd-coco-512",
        "rfbnet-voc-300",
        "rfbnet-voc-512",
        "rfbnet-coco-300",
        "rfbnet-coco-512",
        "ultraface",
        "ultraface-encoded",
    ];

    /// Tells by the shapes of all outputs, and by values only where shapes are the same: whether YOLOX's or UltraFace's
    /// boxes are decoded, and whether objectness is always 1, which is YOLOv6. `input` is rows and columns. Raw maps of
    /// five dimensions are taken for YOLOv5's, although YOLOv7's look the same; of four, coarsest map first, for YOLOv3's.
    ///
    /// Errors: outputs of no known form, and what there is instead; dimensions that do not fit the values.
    pub fn find(outputs: &[Output], input: [u32; 2]) -> Result<Self> {
        check(outputs)?;
        let found = by_pair(outputs, input).or_else(|| by_rows(outputs, input)).or_else(|| by_maps(outputs));
        found.ok_or_else(|| Error::Unsupported {
            op: "detection head".into(),
            what: format!("{} for an input of {}x{}", listed(outputs), input[0], input[1]),
            hint: format!("if it is one of these, name it: {}", Self::NAMES.join(", ")),
        })
    }

    /// How many classes there are, the background not counted; `None` if the outputs do not say.
    ///
    /// Errors: as for [`Self::detections`].
    pub fn classes(&self, outputs: &[Output], input: [u32; 2]) -> Result<Option<usize>> {
        check(outputs)?;
        Ok(match self {
            Self::YoloX { .. } | Self::Decoded => Some(self.rows(outputs, input)?.1 - 5),
            Self::YoloV8 => Some(self.rows(outputs, input)?.1 - 4),
            Self::EndToEnd => None,
            Self::YoloV3(anchors) | Self::YoloV5(anchors) => {
                self.maps(outputs, input, anchors)?.first().map(|map| map.width - 5)
            }
            Self::Ssd(_) | Self::UltraFace { .. } => Some(self.pair(outputs)?.1.width - 1),
        })
    }

    /// What the classes are called if there are as many as in COCO or PASCAL VOC, or faces are all there is.
    pub fn labels(&self, classes: Option<usize>) -> Option<&'static [&'static str]> {
        match (self, classes) {
            (Self::UltraFace { .. }, _) => Some(&["face"]),
            (_, Some(80) | None) => Some(&labels::COCO),
            (_, Some(20)) => Some(&labels::VOC),
            _ => None,
        }
    }

    /// What the published networks with this head were trained to see.
    pub fn preparation(&self) -> Preparation {
        let raw = Preparation { scale: 1.0, ..Preparation::default() };
        match self {
            Self::YoloX { .. } => Preparation { fit: Fit::LetterboxTopLeft, bgr: true, ..raw },
            Self::Ssd(_) => Preparation { fit: Fit::Stretch, bgr: true, mean: [104.0, 117.0, 123.0], ..raw },
            Self::UltraFace { .. } => Preparation { fit: Fit::Stretch, mean: [127.0; 3], std: [128.0; 3], ..raw },
            _ => Preparation::default(),
        }
    }

    /// The objects of each image, best score first; `input` is rows and columns. A box of no size, and one with a number
    /// that is not finite, is no object.
    ///
    /// Errors: outputs of another form, dimensions that do not fit the values, a threshold outside 0..=1; angles or key
    /// points in the place of YOLOv8's scores.
    pub fn detections(
        &self,
        outputs: &[Output],
        input: [u32; 2],
        options: &DetectionOptions,
    ) -> Result<Vec<Vec<Detection>>> {
        options.check()?;
        check(outputs)?;
        let threshold = options.score_threshold;
        let images = match self {
            Self::YoloX { decoded } => {
                let (rows, width) = self.rows(outputs, input)?;
                let cells = if *decoded { Vec::new() } else { self.cells(input, rows.rows)? };
                let place = |row: usize, [x, y, w, h]: [f32; 4]| match cells.get(row) {
                    Some(&[left, top, stride]) => {
                        [(x + left) * stride, (y + top) * stride, w.exp() * stride, h.exp() * stride]
                    }
                    None => [x, y, w, h],
                };
                of_rows(rows, 5..width, threshold, place)
            }
            Self::Decoded => {
                let (rows, width) = self.rows(outputs, input)?;
                of_rows(rows, 5..width, threshold, |_, at| at)
            }
            Self::YoloV8 => {
                let (rows, width) = self.rows(outputs, input)?;
                // Angles and key points stand where more classes would.
                let is_score = |score: f32| score.is_nan() || (-0.01..=1.01).contains(&score);
                let mut scores = (0..rows.n)
                    .flat_map(|n| (0..rows.rows).flat_map(move |row| (4..width).map(move |at| rows.at(n, row, at))));
                if let Some(score) = scores.find(|&score| !is_score(score)) {
                    return Err(Error::Unsupported {
                        op: self.to_string(),
                        what: format!("a score of {score}"),
                        hint: "scores are 0 to 1; oriented boxes and key points cannot be read".into(),
                    });
                }
                of_rows(rows, 4..width, threshold, |_, at| at)
            }
            Self::EndToEnd => {
                let (rows, _) = self.rows(outputs, input)?;
                let images = end_to_end(rows, threshold);
                let options = DetectionOptions { iou_threshold: 1.0, agnostic: true, ..*options };
                return Ok(images.into_iter().map(|found| suppress(found, &options)).collect());
            }
            Self::YoloV3(anchors) | Self::YoloV5(anchors) => {
                let maps = self.maps(outputs, input, anchors)?;
                let n = maps.first().map_or(0, |map| map.n);
                let exponential = matches!(self, Self::YoloV3(_));
                (0..n).map(|image| of_maps(&maps, image, exponential, threshold)).collect()
            }
            Self::Ssd(config) => {
                let (boxes, scores) = self.pair(outputs)?;
                let config = config.for_image(input)?;
                let priors = priors(&config)?;
                let of = |image| Ok(scaled(decode(boxes.image(image), &priors, config.variances)?, input));
                of_pair(boxes.n, of, scores, threshold)?
            }
            Self::UltraFace { decoded } => {
                let (boxes, scores) = self.pair(outputs)?;
                let priors = if *decoded { Vec::new() } else { ultraface_priors(input)? };
                let of = |image| {
                    let values = boxes.image(image);
                    let corners =
                        if *decoded { values.as_chunks().0.to_vec() } else { decode(values, &priors, [0.1, 0.2])? };
                    Ok(scaled(corners, input))
                };
                of_pair(boxes.n, of, scores, threshold)?
            }
        };
        Ok(images.into_iter().map(|found| suppress(found, options)).collect())
    }

    /// The output whose rows are boxes, and how many of its columns count: those of a segmenter go on with coefficients.
    fn rows<'a>(&self, outputs: &[Output<'a>], input: [u32; 2]) -> Result<(Rows<'a>, usize)> {
        let (least, needs) = match self {
            Self::EndToEnd => (6, "[n, rows, 6]"),
            Self::YoloV8 => (5, "[n, 4 + classes, rows]"),
            _ => (6, "[n, rows, 5 + classes]"),
        };
        let wrong = || self.wrong(outputs, needs);
        let (rows, coefficients) = main_rows(outputs).ok_or_else(wrong)?;
        let channels_first =
            grids(input, rows.width).is_some() || grids(input, rows.rows).is_none() && rows.rows < rows.width;
        let rows = if *self == Self::YoloV8 && channels_first { rows.transposed() } else { rows };
        let width = rows.width.checked_sub(coefficients).filter(|&width| width >= least).ok_or_else(wrong)?;
        Ok((rows, width))
    }

    /// Of each row of YOLOX: its column and row in its grid, and the grid's stride.
    fn cells(&self, input: [u32; 2], rows: usize) -> Result<Vec<[f32; 3]>> {
        let Some(strides) = grids(input, rows) else {
            let [h, w] = input;
            let detail = format!("{rows} rows are not the cells of grids at strides 8, 16, 32 on an input of {h}x{w}");
            return Err(Error::mismatch(self.to_string(), detail));
        };
        let grid = |&stride: &u32| {
            let [h, w] = input.map(|pixels| pixels.div_ceil(stride));
            (0..h).flat_map(move |y| (0..w).map(move |x| [x as f32, y as f32, stride as f32]))
        };
        Ok(strides.iter().flat_map(grid).collect())
    }

    /// Boxes and scores.
    fn pair<'a>(&self, outputs: &[Output<'a>]) -> Result<(Rows<'a>, Rows<'a>)> {
        let found = pair(outputs).filter(|(_, scores)| !matches!(self, Self::UltraFace { .. }) || scores.width == 2);
        found.ok_or_else(|| self.wrong(outputs, "[n, priors, 4] and [n, priors, classes]"))
    }

    fn maps<'a>(&self, outputs: &[Output<'a>], input: [u32; 2], anchors: &Anchors) -> Result<Vec<Map<'a>>> {
        let needs = "[n, anchors, h, w, 5 + classes] or [n, anchors * (5 + classes), h, w] for each grid";
        let mut grids = raw_maps(outputs);
        // The finest first, as anchors are.
        grids.sort_by_key(|(_, dims)| std::cmp::Reverse(u64::from(dims[2]) * u64::from(dims[3])));
        if grids.is_empty() || grids.len() != anchors.len() {
            let needs = format!("{needs}, of which the anchors have {}", anchors.len());
            return Err(self.wrong(outputs, &needs));
        }
        let map = |((output, dims), anchors): (&(Output<'a>, [u32; 5]), &Vec<[f32; 2]>)| {
            let [n, channels, h, w, width] = dims.map(|extent| extent as usize);
            let count = anchors.len();
            // Of four dimensions, anchors and numbers are one.
            let (width, planar) = if width == 0 { (channels / count.max(1), true) } else { (width, false) };
            let same = if planar { width * count == channels } else { channels == count };
            if !same || width < 6 {
                return Err(self.wrong(outputs, &format!("{needs}, with {count} anchors")));
            }
            let stride = [f64::from(input[1]) / w as f64, f64::from(input[0]) / h as f64].map(|stride| stride as f32);
            Ok(Map { data: output.data, n, h, w, width, planar, stride, anchors: anchors.clone() })
        };
        let maps: Vec<Map> = grids.iter().zip(anchors).map(map).collect::<Result<_>>()?;
        let alike = |map: &Map| (map.n, map.width) == (maps[0].n, maps[0].width);
        if maps.iter().all(alike) { Ok(maps) } else { Err(self.wrong(outputs, needs)) }
    }

    fn wrong(&self, outputs: &[Output], needs: &str) -> Error {
        Error::mismatch(self.to_string(), format!("needs {needs}, but there is {}", listed(outputs)))
    }

    fn published() -> impl Iterator<Item = (&'static str, Self)> {
        Self::NAMES.iter().filter_map(|&name| name.parse().ok().map(|head| (name, head)))
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == text).map_or(text, |(_, name)| name);
        Ok(match name {
            "yolox" => Self::YoloX { decoded: false },
            "yolox-decoded" => Self::YoloX { decoded: true },
            "yolov3" => Self::YoloV3(anchors(&V5)),
            "yolov3-tiny" => Self::YoloV3(anchors(&TINY)),
            "yolov5" => Self::YoloV5(anchors(&V5)),
            "yolov5-p6" => Self::YoloV5(anchors(&P6)),
            "yolov7" => Self::YoloV5(anchors(&V7)),
            "yolov5-decoded" => Self::Decoded,
            "yolov8" => Self::YoloV8,
            "yolov10" => Self::EndToEnd,
            "ssd-voc-300" => Self::Ssd(PriorConfig::voc(300)?.of_ssd()),
            "ssd-voc-512" => Self::Ssd(PriorConfig::voc(512)?.of_ssd()),
            "ssd-coco-300" => Self::Ssd(PriorConfig::coco(300)?.of_ssd()),
            "ssd-coco-512" => Self::Ssd(PriorConfig::coco(512)?.of_ssd()),
            "rfbnet-voc-300" => Self::Ssd(PriorConfig::voc(300)?),
            "rfbnet-voc-512" => Self::Ssd(PriorConfig::voc(512)?),
            "rfbnet-coco-300" => Self::Ssd(PriorConfig::coco(300)?),
            "rfbnet-coco-512" => Self::Ssd(PriorConfig::coco(512)?),
            "ultraface" => Self::UltraFace { decoded: true },
            "ultraface-encoded" => Self::UltraFace { decoded: false },
            _ => return Err(Error::param("detection head", "name", text, &unknown(text, &Self::NAMES))),
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::published().find(|(_, head)| head == self).map(|(name, _)| name);
        f.write_str(name.unwrap_or(match self {
            Self::YoloV3(_) => "yolov3",
            Self::YoloV5(_) => "yolov5",
            _ => "ssd",
        }))
    }
}

/// Errors: dimensions that do not fit the values.
fn check(outputs: &[Output]) -> Result<()> {
    for Output { name, dims, data } in outputs {
        if dims.iter().skip(1).any(|&extent| extent == 0) {
            return Err(Error::mismatch("detections", format!("output '{name}' is {dims:?}: only the batch may be 0")));
        }
        let len = dims.iter().try_fold(1_u64, |len, &extent| len.checked_mul(extent.into()));
        if len != Some(data.len() as u64) {
            let detail = format!("output '{name}' is {dims:?}, but has {} values", data.len());
            return Err(Error::mismatch("detections", detail));
        }
    }
    Ok(())
}

fn listed(outputs: &[Output]) -> String {
    const MOST: usize = 8;
    let some: Vec<String> = outputs.iter().take(MOST).map(|o| format!("'{}' {:?}", o.name, o.dims)).collect();
    let more = outputs.len().saturating_sub(MOST);
    match (some.is_empty(), more) {
        (true, _) => "no output".into(),
        (_, 0) => some.join(", "),
        _ => format!("{} and {more} more", some.join(", ")),
    }
}

/// Boxes and scores of two outputs with as many rows.
fn pair<'a>(outputs: &[Output<'a>]) -> Option<(Rows<'a>, Rows<'a>)> {
    let all: Vec<Rows> = outputs.iter().filter_map(Rows::of).collect();
    let boxes = all.iter().enumerate().filter(|(_, rows)| rows.width == 4);
    let mut pairs = boxes.flat_map(|(i, &boxes)| all.iter().enumerate().map(move |(j, &scores)| (i, j, boxes, scores)));
    let fits = |&(i, j, boxes, scores): &(usize, usize, Rows, Rows)| {
        i != j && scores.width >= 2 && (boxes.n, boxes.rows) == (scores.n, scores.rows)
    };
    pairs.find(fits).map(|(_, _, boxes, scores)| (boxes, scores))
}

fn by_pair(outputs: &[Output], input: [u32; 2]) -> Option<Head> {
    let (boxes, scores) = pair(outputs)?;
    let faces = cells(input, &[8]) * 3 + cells(input, &[16, 32]) * 2 + cells(input, &[64]) * 3;
    if scores.width == 2 && boxes.rows == faces {
        let is_box = |[x0, y0, x1, y1]: [f32; 4]| x0 <= x1 && y0 <= y1;
        let decoded = (0..boxes.n).all(|image| (0..boxes.rows).all(|row| is_box(boxes.four(image, row))));
        return Some(Head::UltraFace { decoded });
    }
    let set = match scores.width {
        21 => "voc",
        81 => "coco",
        _ => return None,
    };
    let fits = |head: &Head| match head {
        Head::Ssd(config) => {
            config.for_image(input).and_then(|config| config.len()).is_ok_and(|len| len == boxes.rows as u64)
        }
        _ => false,
    };
    Head::published().find(|(name, head)| name.contains(set) && fits(head)).map(|(_, head)| head)
}

/// The output whose rows are boxes, and how many numbers of a row are a segmenter's coefficients: as many as there are
/// prototypes. Where a network has one output for training and one for use, of the same shape, the last is for use.
fn main_rows<'a>(outputs: &[Output<'a>]) -> Option<(Rows<'a>, usize)> {
    let rows = outputs.iter().rev().filter(|output| output.dims.len() == 3).find_map(Rows::of);
    let rows = rows.or_else(|| outputs.iter().find_map(Rows::of))?;
    let mut maps = outputs.iter().filter_map(|output| match *output.dims {
        [_, channels, h, w] if h > 1 && w > 1 => Some(channels as usize),
        _ => None,
    });
    match (maps.next(), maps.next()) {
        (Some(prototypes), None) => Some((rows, prototypes)),
        _ => Some((rows, 0)),
    }
}

fn by_rows(outputs: &[Output], input: [u32; 2]) -> Option<Head> {
    let (rows, coefficients) = main_rows(outputs)?;
    let width = rows.width.saturating_sub(coefficients);
    let anchored = |rows: usize| rows.is_multiple_of(3) && grids(input, rows / 3).is_some();
    if grids(input, rows.width).is_some() && rows.rows.saturating_sub(coefficients) >= 5 {
        return Some(Head::YoloV8);
    }
    if let Some(strides) = grids(input, rows.rows) {
        return match width {
            0..=5 => None,
            84 => Some(Head::YoloV8),
            _ if objectness_is_1(rows) => Some(Head::Decoded),
            _ => Some(Head::YoloX { decoded: centres_are_pixels(rows, input, strides) }),
        };
    }
    match width {
        6.. if anchored(rows.rows) => Some(Head::Decoded),
        6 => Some(Head::EndToEnd),
        _ => None,
    }
}

fn objectness_is_1(rows: Rows) -> bool {
    (0..rows.n).all(|image| (0..rows.rows).all(|row| rows.at(image, row, 4) == 1.0))
}

/// Whether most cells have a centre nearer to the cell's than to the corner of the image.
fn centres_are_pixels(rows: Rows, input: [u32; 2], strides: &[u32]) -> bool {
    let (mut near, mut all, mut row) = (0_usize, 0_usize, 0);
    for &stride in strides {
        let [h, w] = input.map(|pixels| pixels.div_ceil(stride));
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            // Close to the corner, there is no telling.
            if x >= 4 || y >= 4 {
                let [cx, cy, ..] = rows.four(0, row);
                let [x, y] = [x, y].map(|cell| (cell as f32 + 0.5) * stride as f32);
                near += usize::from((cx - x).hypot(cy - y) < cx.hypot(cy));
                all += 1;
            }
            row += 1;
        }
    }
    2 * near > all
}

/// Outputs that may be raw maps, with their dimensions; the fifth is 0 if there are four.
fn raw_maps<'a>(outputs: &[Output<'a>]) -> Vec<(Output<'a>, [u32; 5])> {
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

fn by_maps(outputs: &[Output]) -> Option<Head> {
    let maps = raw_maps(outputs);
    let (_, first) = maps.first()?;
    let (_, last) = maps.last()?;
    let width = if first[4] == 0 { first[1] / 3 } else { first[4] };
    let alike = maps.iter().all(|(_, dims)| (dims[0], dims[1], dims[4]) == (first[0], first[1], first[4]));
    if !alike || width < 6 || !(first[1] == 3 || first[4] == 0 && first[1].is_multiple_of(3)) {
        return None;
    }
    let coarsest_first = first[2] < last[2];
    match (maps.len(), first[4] == 0 && coarsest_first) {
        (2, true) => Some(Head::YoloV3(anchors(&TINY))),
        (3, true) => Some(Head::YoloV3(anchors(&V5))),
        (2, false) => Some(Head::YoloV5(anchors(&TINY))),
        (3, false) => Some(Head::YoloV5(anchors(&V5))),
        (4, _) => Some(Head::YoloV5(anchors(&P6))),
        _ => None,
    }
}

/// What was found in one image, the best of it if it is very much.
#[derive(Debug, Default)]
struct Candidates(Vec<Detection>);

impl Candidates {
    fn push(&mut self, class: usize, score: f32, corners: [f32; 4]) {
        let [x0, y0, x1, y1] = corners;
        let sound = score.is_finite() && corners.iter().all(|x| x.is_finite()) && x0 < x1 && y0 < y1;
        if !sound {
            return;
        }
        if self.0.len() == 4 * MAX_CANDIDATES {
            self.0 = best(mem::take(&mut self.0), MAX_CANDIDATES, |found: &Detection| found.score);
        }
        self.0.push(Detection { class, score, corners });
    }
}

/// Box, perhaps an objectness before the classes, and the classes. `place` turns a row's box into pixels.
fn of_rows(
    rows: Rows,
    classes: std::ops::Range<usize>,
    threshold: f32,
    place: impl Fn(usize, [f32; 4]) -> [f32; 4],
) -> Vec<Vec<Detection>> {
    let image = |image| {
        let mut found = Candidates::default();
        for row in 0..rows.rows {
            let objectness = if classes.start == 5 { rows.at(image, row, 4) } else { 1.0 };
            // No class is above 1, so that most rows are done with here.
            if objectness <= threshold {
                continue;
            }
            if let Some((class, score)) = rows.best(image, row, classes.clone()) {
                let score = objectness * score;
                if score > threshold {
                    found.push(class, score, corners(place(row, rows.four(image, row))));
                }
            }
        }
        found.0
    };
    (0..rows.n).map(image).collect()
}

fn end_to_end(rows: Rows, threshold: f32) -> Vec<Vec<Detection>> {
    let image = |image| {
        let mut found = Candidates::default();
        for row in 0..rows.rows {
            let [score, class] = [4, 5].map(|column| rows.at(image, row, column));
            if score > threshold && class >= 0.0 && class < MAX_CANDIDATES as f32 {
                found.push(class as usize, score, rows.four(image, row));
            }
        }
        found.0
    };
    (0..rows.n).map(image).collect()
}

/// Scores with the background first, and boxes in pixels.
fn of_pair(
    n: usize,
    boxes: impl Fn(usize) -> Result<Vec<[f32; 4]>>,
    scores: Rows,
    threshold: f32,
) -> Result<Vec<Vec<Detection>>> {
    let image = |image| {
        let boxes = boxes(image)?;
        let classes = scores.width;
        let values = scores.image(image);
        let computed = if are_probabilities(values, classes) { Vec::new() } else { softmax(values, classes) };
        let values = if computed.is_empty() { values } else { &computed };
        let mut found = Candidates::default();
        for class in 1..classes {
            let scores = values.iter().skip(class).step_by(classes);
            for (&corners, &score) in boxes.iter().zip(scores).filter(|&(_, &score)| score > threshold) {
                found.push(class - 1, score, corners);
            }
        }
        Ok(found.0)
    };
    (0..n).map(image).collect()
}

fn scaled(mut boxes: Vec<[f32; 4]>, [rows, columns]: [u32; 2]) -> Vec<[f32; 4]> {
    let [rows, columns] = [rows, columns].map(|pixels| pixels as f32);
    boxes.iter_mut().for_each(|[x0, y0, x1, y1]| {
        [x0, x1].into_iter().for_each(|x| *x *= columns);
        [y0, y1].into_iter().for_each(|y| *y *= rows);
    });
    boxes
}

/// A grid's `n` images of `anchors` times `h` by `w` predictions of `width` numbers.
#[derive(Debug)]
struct Map<'a> {
    data: &'a [f32],
    n: usize,
    h: usize,
    w: usize,
    width: usize,
    /// Whether the numbers of a prediction lie a plane apart.
    planar: bool,
    /// Pixels from column to column and from row to row.
    stride: [f32; 2],
    anchors: Vec<[f32; 2]>,
}

impl Map<'_> {
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

fn of_maps(maps: &[Map], image: usize, exponential: bool, threshold: f32) -> Vec<Detection> {
    let mut found = Candidates::default();
    for map in maps {
        for (anchor, &[anchor_w, anchor_h]) in map.anchors.iter().enumerate() {
            for cell in 0..map.h * map.w {
                let at = |number| map.at(image, anchor, cell, number);
                let objectness = sigmoid(at(4));
                if objectness <= threshold || objectness.is_nan() {
                    continue;
                }
                let classes =
                    (0..map.width - 5).map(|class| (class, at(5 + class))).filter(|(_, score)| !score.is_nan());
                let Some((class, score)) = classes.reduce(|best, other| if other.1 > best.1 { other } else { best })
                else {
                    continue;
                };
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
