//! Which head a network has, told from its outputs.

use super::head::{Head, Known, Output};
use super::maps::{Anchors, Map, raw_maps, usual_anchors};
use super::rows::Rows;

/// Strides of the grids that anchor-free detectors have.
const GRIDS: [&[u32]; 4] = [&[8, 16, 32], &[8, 16, 32, 64], &[16, 32], &[4, 8, 16, 32]];

/// The numbers of classes that networks without notes are mostly trained for: COCO's and PASCAL VOC's.
pub(super) const USUAL_CLASSES: [usize; 2] = [80, 20];

fn cells(input: [u32; 2], strides: &[u32]) -> usize {
    let map = |&stride: &u32| input.map(|pixels| pixels.div_ceil(stride) as usize).iter().product::<usize>();
    strides.iter().map(map).sum()
}

/// The strides of the grids that have so many cells.
pub(super) fn grids(input: [u32; 2], rows: usize) -> Option<&'static [u32]> {
    GRIDS.into_iter().find(|strides| cells(input, strides) == rows)
}

/// Whether there are three boxes for each cell of such grids.
pub(super) fn anchored(input: [u32; 2], rows: usize) -> bool {
    rows.is_multiple_of(3) && grids(input, rows / 3).is_some()
}

/// Boxes and scores of two outputs with as many rows.
pub(super) fn pair<'a>(outputs: &[Output<'a>]) -> Option<(Rows<'a>, Rows<'a>)> {
    let all: Vec<Rows> = outputs.iter().filter_map(Rows::of).collect();
    let boxes = all.iter().enumerate().filter(|(_, rows)| rows.width == 4);
    let mut pairs = boxes.flat_map(|(i, &boxes)| all.iter().enumerate().map(move |(j, &scores)| (i, j, boxes, scores)));
    let fits = |&(i, j, boxes, scores): &(usize, usize, Rows, Rows)| {
        i != j && scores.width >= 2 && (boxes.n, boxes.rows) == (scores.n, scores.rows)
    };
    pairs.find(fits).map(|(_, _, boxes, scores)| (boxes, scores))
}

pub(super) fn by_pair(outputs: &[Output], input: [u32; 2]) -> Option<Head> {
    let (boxes, scores) = pair(outputs)?;
    let faces = cells(input, &[8]) * 3 + cells(input, &[16, 32]) * 2 + cells(input, &[64]) * 3;
    if scores.width == 2 && boxes.rows == faces {
        let is_box = |[x0, y0, x1, y1]: [f32; 4]| x0 <= x1 && y0 <= y1;
        let decoded = boxes.places().all(|(image, row)| is_box(boxes.four(image, row)));
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
///
/// Errors: no such output, or one beside it that says that rows of the first are only a part of the result.
pub(super) fn main_rows<'a>(outputs: &[Output<'a>]) -> Result<(Rows<'a>, usize), String> {
    let rows = |output: &Output<'a>| Rows::of(output).map(|rows| (rows, output.dims));
    let last = outputs.iter().rev().filter(|output| output.dims.len() == 3).find_map(rows);
    let (rows, dims) = last.or_else(|| outputs.iter().find_map(rows)).ok_or("has no rows of boxes")?;
    // Raw maps and prototypes have four dimensions or more, unless boxes stand in a column of their own.
    let is_part = |output: &&Output| {
        let shares_rows = Rows::of(output).is_some_and(|other| [rows.rows, rows.width].contains(&other.rows));
        output.dims != dims && (output.dims.len() <= 3 || shares_rows)
    };
    if let Some(other) = outputs.iter().find(is_part) {
        let (name, other) = (other.name, other.dims);
        return Err(format!(
            "has '{name}' {other:?} beside rows {dims:?}: boxes, scores, classes and key points in tensors of \
             their own are not read, but for SSD's and UltraFace's"
        ));
    }
    let mut maps = outputs.iter().filter_map(|output| match *output.dims {
        [_, channels, h, w] if h > 1 && w > 1 => Some(channels as usize),
        _ => None,
    });
    match (maps.next(), maps.next()) {
        (Some(prototypes), None) => Ok((rows, prototypes)),
        _ => Ok((rows, 0)),
    }
}

/// Errors: why rows that are there are of no head.
pub(super) fn by_rows(outputs: &[Output], input: [u32; 2], known: &Known) -> Result<Option<Head>, String> {
    if !outputs.iter().any(|output| Rows::of(output).is_some()) {
        return Ok(None);
    }
    let (rows, coefficients) = main_rows(outputs)?;
    let width = rows.width.saturating_sub(coefficients);
    if grids(input, rows.width).is_some() && rows.rows.saturating_sub(coefficients) >= 5 {
        return Ok(Some(Head::YoloV8));
    }
    if let Some(strides) = grids(input, rows.rows) {
        // With an objectness there is one number more; if nobody knows, COCO's 80 classes decide.
        let plain = known.classes.map_or(width == 84, |classes| width.checked_sub(4) == Some(classes));
        return Ok(match width {
            0..=4 => None,
            _ if plain => Some(Head::YoloV8),
            5 => None,
            _ if objectness_is_1(rows) => Some(Head::Decoded),
            _ => Some(Head::YoloX { decoded: centres_are_pixels(rows, input, strides) == Some(true) }),
        });
    }
    Ok(match width {
        6.. if anchored(input, rows.rows) => Some(Head::Decoded),
        6 => Some(Head::EndToEnd),
        _ => None,
    })
}

fn objectness_is_1(rows: Rows) -> bool {
    rows.places().all(|(image, row)| rows.at(image, row, 4) == 1.0)
}

/// Whether most cells have a centre nearer to the cell's than to the corner of the image; `None` if there is no telling.
pub(super) fn centres_are_pixels(rows: Rows, input: [u32; 2], strides: &[u32]) -> Option<bool> {
    let (mut near, mut all, mut row) = (0_usize, 0_usize, 0);
    for &stride in strides {
        let [h, w] = input.map(|pixels| pixels.div_ceil(stride));
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let numbers @ [cx, cy, ..] = rows.four(0, row);
            let is_box = numbers != [0.0; 4] && cx.is_finite() && cy.is_finite();
            // Close to the corner, there is no telling.
            if is_box && (x >= 4 || y >= 4) {
                let [x, y] = [x, y].map(|cell| (cell as f32 + 0.5) * stride as f32);
                near += usize::from((cx - x).hypot(cy - y) < cx.hypot(cy));
                all += 1;
            }
            row += 1;
        }
    }
    (all > 0).then_some(2 * near > all)
}

/// Errors: why maps that are there are of no head.
pub(super) fn by_maps(outputs: &[Output], input: [u32; 2], known: &Known) -> Result<Option<Head>, String> {
    let maps = raw_maps(outputs);
    let (Some((_, first)), Some((_, last))) = (maps.first(), maps.last()) else { return Ok(None) };
    let Some(anchors) = known.anchors.clone().or_else(|| usual_anchors(maps.len())) else { return Ok(None) };
    let planar = first[4] == 0;
    let per_cell = anchors.first().map_or(0, |map| map.len()).max(1);
    let width = if planar { first[1] as usize / per_cell } else { first[4] as usize };
    // Features and distances of other networks come as maps, too.
    if width < 6 || if planar { !(first[1] as usize).is_multiple_of(per_cell) } else { first[1] as usize != per_cell } {
        return Ok(None);
    }
    Map::all(outputs, input, &anchors)?;
    let classes = width - 5;
    if planar && first[1] > 64 && is_unusual(classes, known) {
        let others = first[1] - 64;
        return Err(format!(
            "has maps of {} channels: of {per_cell} default boxes with {classes} classes, of YOLOv8 with {others} classes \
             before its decoding, which is not read, or features of a backbone; if it is the first, --head yolov5 or yolov3 \
             says so",
            first[1]
        ));
    }
    // The versions that write maps of four dimensions with the coarsest first have the older formula.
    Ok(Some(if planar && first[2] < last[2] { Head::YoloV3(anchors) } else { Head::YoloV5(anchors) }))
}

fn is_unusual(classes: usize, known: &Known) -> bool {
    known.classes.is_none() && known.anchors.is_none() && !USUAL_CLASSES.contains(&classes)
}

/// What else the outputs could be that this head was found in.
pub(super) fn doubt(head: &Head, outputs: &[Output], input: [u32; 2], known: &Known) -> Option<String> {
    if let Head::YoloV3(anchors) | Head::YoloV5(anchors) = head {
        return of_raw_maps(anchors, outputs, known);
    }
    if !matches!(head, Head::YoloX { .. } | Head::YoloV8) || known.classes.is_some() {
        return None;
    }
    let (rows, coefficients) = main_rows(outputs).ok()?;
    if grids(input, rows.width).is_some() {
        return None;
    }
    let width = rows.width.checked_sub(coefficients)?;
    let (with, without) = (width.checked_sub(5)?, width - 4);
    let of_yolox = format!("an objectness and {with} classes, as YOLOX's");
    let of_yolov8 = format!("{without} classes, as YOLOv8's");
    match head {
        Head::YoloV8 => {
            Some(format!("rows of {width} are taken for {of_yolov8}; --head yolox takes them for {of_yolox}"))
        }
        _ if USUAL_CLASSES.contains(&with) => None,
        _ => Some(format!("rows of {width} are taken for {of_yolox}; --head yolov8 takes them for {of_yolov8}")),
    }
}

fn of_raw_maps(anchors: &Anchors, outputs: &[Output], known: &Known) -> Option<String> {
    if known.anchors.is_some() {
        return None;
    }
    let (_, [_, channels, _, _, width]) = *raw_maps(outputs).first()?;
    let per_cell = anchors.first()?.len();
    let classes = (channels as usize / per_cell.max(1)).saturating_sub(5);
    if width == 0 && is_unusual(classes, known) {
        return Some(format!(
            "maps of {channels} channels are taken for {per_cell} default boxes with {classes} classes, of the published sizes; \
             --head or --anchors says otherwise"
        ));
    }
    let other = if anchors.len() == 3 { "; if it is YOLOv7, say --head yolov7" } else { "" };
    Some(format!("the default boxes are taken for the published ones{other}, or give them: --anchors"))
}
