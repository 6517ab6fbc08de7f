//! What the last layers of the known detectors mean.

use std::fmt;
use std::str::FromStr;

use super::find::{anchored, by_maps, by_pair, by_rows, centres_are_pixels, doubt, grids, main_rows, pair};
use super::maps::{Anchors, Map, P6, TINY, V5, V7, anchors, of_maps};
use super::nms::suppress;
use super::rows::{Rows, end_to_end, of_pair, of_rows, scaled};
use super::{Detection, DetectionOptions, decode, labels, priors, ultraface_priors};
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

/// What is known of a network beside its outputs, such as from the notes in its file.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// How many classes there are, the background not counted.
    pub classes: Option<usize>,
    /// The default boxes, if its outputs are raw maps.
    pub anchors: Option<Anchors>,
}

/// How a detector's outputs are read. Boxes of rows are centre x, centre y, width and height in pixels of the input,
/// unless another form is named.
///
/// [`Head::find`] tells from the outputs; [`FromStr`] takes the names of [`Head::NAMES`].
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

impl Head {
    /// What [`FromStr`] takes, in any case. Of several names of one head, the first is how it is displayed.
    pub const NAMES: [&str; 33] = [
        "yolox",
        "yolox-decoded",
        "yolov3",
        "yolov3-tiny",
        "yolov5",
        "yolov7-tiny",
        "yolov5-p6",
        "yolov7-p6",
        "yolov5-decoded",
        "yolov3-decoded",
        "yolov6",
        "yolov7-decoded",
        "yolov7",
        "yolov8",
        "yolov9",
        "yolo11",
        "yolov11",
        "yolo12",
        "yolov12",
        "yolov10",
        "yolo26",
        "yolov26",
        "end-to-end",
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

    /// As [`Self::find_with`], with nothing known beside the outputs.
    pub fn find(outputs: &[Output], input: [u32; 2]) -> Result<Self> {
        Self::find_with(outputs, input, &Known::default())
    }

    /// Tells by the shapes of all outputs, and by values only where shapes are the same: whether YOLOX's or UltraFace's
    /// boxes are decoded, and whether objectness is always 1, which is YOLOv6. `input` is rows and columns. Raw maps of
    /// five dimensions are taken for YOLOv5's, although YOLOv7's look the same; of four, coarsest map first, for YOLOv3's.
    /// [`Self::doubt`] says what else it could be.
    ///
    /// Errors: outputs of no known form, and what there is instead; dimensions that do not fit the values; another number
    /// of classes than is known.
    pub fn find_with(outputs: &[Output], input: [u32; 2], known: &Known) -> Result<Self> {
        check(outputs)?;
        let found = match by_pair(outputs, input) {
            Some(head) => Ok(Some(head)),
            None => match by_rows(outputs, input, known) {
                Ok(None) => by_maps(outputs, input, known),
                found => found,
            },
        };
        let of = format!("{} for an input of {}x{}", listed(outputs), input[0], input[1]);
        let unsupported = |what, hint| Err(Error::Unsupported { op: "detection head".into(), what, hint });
        match found {
            Ok(Some(head)) => head.check_classes(outputs, input, known).map(|()| head),
            Ok(None) => unsupported(of, format!("if it is one of these, name it: {}", Self::NAMES.join(", "))),
            Err(why) => unsupported(of, format!("it {why}; heads that are read: {}", Self::NAMES.join(", "))),
        }
    }

    /// What else outputs in which this head was found could be, and how to say so; `None` if there is no doubt.
    ///
    /// Errors: as for [`Self::detections`]; another number of classes than is known.
    pub fn doubt(&self, outputs: &[Output], input: [u32; 2], known: &Known) -> Result<Option<String>> {
        self.check_classes(outputs, input, known)?;
        Ok(doubt(self, outputs, input, known))
    }

    fn check_classes(&self, outputs: &[Output], input: [u32; 2], known: &Known) -> Result<()> {
        match (self.classes(outputs, input)?, known.classes) {
            (Some(has), Some(known)) if *self == Self::EndToEnd && has <= known => Ok(()),
            (Some(has), Some(known)) if has != known => {
                let detail = format!("has {has} classes in {}, but {known} are noted or named", listed(outputs));
                Err(Error::mismatch(self.to_string(), detail))
            }
            _ => Ok(()),
        }
    }

    /// With other default boxes. Errors: a head without any.
    pub fn with_anchors(self, anchors: Anchors) -> Result<Self> {
        match self {
            Self::YoloV3(_) => Ok(Self::YoloV3(anchors)),
            Self::YoloV5(_) => Ok(Self::YoloV5(anchors)),
            head => {
                let reason = "only raw maps of YOLOv3, v5 and v7 have default boxes that can be given";
                Err(Error::param(head.to_string(), "anchors", format!("{} maps", anchors.len()), reason))
            }
        }
    }

    /// How many classes there are, the background not counted; `None` if the outputs do not say. Of `EndToEnd`, which
    /// never says, at least so many, if they are more than COCO's.
    ///
    /// Errors: as for [`Self::detections`].
    pub fn classes(&self, outputs: &[Output], input: [u32; 2]) -> Result<Option<usize>> {
        check(outputs)?;
        Ok(match self {
            Self::YoloX { .. } | Self::Decoded => Some(self.rows(outputs, input)?.1 - 5),
            Self::YoloV8 => Some(self.rows(outputs, input)?.1 - 4),
            Self::EndToEnd => {
                let (rows, _) = self.rows(outputs, input)?;
                let most = rows.places().map(|(n, row)| rows.at(n, row, 5)).fold(0.0, f32::max) as usize;
                (most >= labels::COCO.len()).then_some(most.saturating_add(1))
            }
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
    /// Errors: outputs of another form, dimensions that do not fit the values, a threshold outside 0..=1; scores that are
    /// none, such as angles or key points in their place; a class that is no whole number; boxes of rows that are decoded,
    /// where the head's are not, or the other way round.
    pub fn detections(
        &self,
        outputs: &[Output],
        input: [u32; 2],
        options: &DetectionOptions,
    ) -> Result<Vec<Vec<Detection>>> {
        options.check()?;
        check(outputs)?;
        let threshold = options.score_threshold;
        let bad = |(what, hint): (String, &str)| Error::Unsupported { op: self.to_string(), what, hint: hint.into() };
        let images = match self {
            Self::YoloX { decoded } => {
                let (rows, width) = self.rows(outputs, input)?;
                self.check_centres(rows, input, *decoded)?;
                let cells = if *decoded { Vec::new() } else { self.cells(input, rows.rows)? };
                let place = |row: usize, [x, y, w, h]: [f32; 4]| match cells.get(row) {
                    Some(&[left, top, stride]) => {
                        [(x + left) * stride, (y + top) * stride, w.exp() * stride, h.exp() * stride]
                    }
                    None => [x, y, w, h],
                };
                of_rows(rows, 5..width, threshold, place).map_err(bad)?
            }
            Self::Decoded => {
                let (rows, width) = self.rows(outputs, input)?;
                self.check_centres(rows, input, true)?;
                of_rows(rows, 5..width, threshold, |_, at| at).map_err(bad)?
            }
            Self::YoloV8 => {
                let (rows, width) = self.rows(outputs, input)?;
                self.check_centres(rows, input, true)?;
                of_rows(rows, 4..width, threshold, |_, at| at).map_err(bad)?
            }
            Self::EndToEnd => {
                let (rows, _) = self.rows(outputs, input)?;
                let images = end_to_end(rows, threshold).map_err(bad)?;
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
                of_pair(boxes.n, of, scores, threshold, bad)?
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
                of_pair(boxes.n, of, scores, threshold, bad)?
            }
        };
        Ok(images.into_iter().map(|found| suppress(found, options)).collect())
    }

    /// The output whose rows are boxes, and how many of its columns count: those of a segmenter go on with coefficients.
    fn rows<'a>(&self, outputs: &[Output<'a>], input: [u32; 2]) -> Result<(Rows<'a>, usize)> {
        let (least, needs) = match self {
            Self::EndToEnd => (6, "needs [n, rows, 6]"),
            Self::YoloV8 => {
                (5, "needs [n, 4 + classes, rows], of as many rows as grids at strides 8, 16, 32 have cells")
            }
            _ => (6, "needs [n, rows, 5 + classes], of as many rows as grids at strides 8, 16, 32 have cells"),
        };
        let (rows, coefficients) = main_rows(outputs).map_err(|why| self.wrong(outputs, &why))?;
        let (rows, fits) = match self {
            Self::YoloV8 if grids(input, rows.width).is_some() => (rows.transposed(), true),
            Self::YoloV8 | Self::YoloX { .. } => (rows, grids(input, rows.rows).is_some()),
            Self::Decoded => (rows, grids(input, rows.rows).is_some() || anchored(input, rows.rows)),
            _ => (rows, rows.width == least + coefficients),
        };
        match rows.width.checked_sub(coefficients).filter(|&width| fits && width >= least) {
            Some(width) => Ok((rows, width)),
            None => Err(self.wrong(outputs, needs)),
        }
    }

    /// Whether boxes are decoded as the head has them: read the other way, they would be nowhere, and nothing be found.
    fn check_centres(&self, rows: Rows, input: [u32; 2], decoded: bool) -> Result<()> {
        let detail = match grids(input, rows.rows).and_then(|strides| centres_are_pixels(rows, input, strides)) {
            Some(false) if decoded => {
                "needs boxes in pixels of the input, each near its cell of the grids, and these are not; if they are \
                 relative to the cells and in strides, the head is yolox"
            }
            Some(true) if !decoded => {
                "needs boxes relative to the cells and in strides; these are in pixels of the input, as if the head is \
                 yolox-decoded"
            }
            _ => return Ok(()),
        };
        Err(Error::mismatch(self.to_string(), detail))
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
        found.ok_or_else(|| self.wrong(outputs, "needs [n, priors, 4] and [n, priors, classes]"))
    }

    fn maps<'a>(&self, outputs: &[Output<'a>], input: [u32; 2], anchors: &Anchors) -> Result<Vec<Map<'a>>> {
        Map::all(outputs, input, anchors).map_err(|why| self.wrong(outputs, &why))
    }

    fn wrong(&self, outputs: &[Output], why: &str) -> Error {
        Error::mismatch(self.to_string(), format!("{why}; there is {}", listed(outputs)))
    }

    pub(super) fn published() -> impl Iterator<Item = (&'static str, Self)> {
        Self::NAMES.iter().filter_map(|&name| name.parse().ok().map(|head| (name, head)))
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.to_lowercase().as_str() {
            "yolox" => Self::YoloX { decoded: false },
            "yolox-decoded" => Self::YoloX { decoded: true },
            "yolov3" => Self::YoloV3(anchors(&V5)),
            "yolov3-tiny" => Self::YoloV3(anchors(&TINY)),
            "yolov5" | "yolov7-tiny" => Self::YoloV5(anchors(&V5)),
            "yolov5-p6" | "yolov7-p6" => Self::YoloV5(anchors(&P6)),
            "yolov7" => Self::YoloV5(anchors(&V7)),
            "yolov5-decoded" | "yolov3-decoded" | "yolov6" | "yolov7-decoded" => Self::Decoded,
            "yolov8" | "yolov9" | "yolo11" | "yolov11" | "yolo12" | "yolov12" => Self::YoloV8,
            "yolov10" | "yolo26" | "yolov26" | "end-to-end" => Self::EndToEnd,
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
