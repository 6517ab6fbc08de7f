//! One object, written in the form of every head and read back.

use spp_wgpu::Error;
use spp_wgpu::detection::{
    Detection, DetectionOptions, Head, Known, MAX_CANDIDATES, Output, PriorConfig, priors, ultraface_priors,
};

/// 12x16 + 6x8 + 3x4 cells at strides 8, 16 and 32.
const INPUT: [u32; 2] = [96, 128];
const CELLS: usize = 252;

/// Centre, size, and the corners they make: in the cell of row 3 and column 5 of the finest grid, row 3·16 + 5 of all.
const BOX: [f32; 4] = [44.0, 28.0, 20.0, 26.0];
const CORNERS: [f32; 4] = [34.0, 15.0, 54.0, 41.0];
const CELL: [usize; 2] = [3, 5];
const ROW: usize = 53;

/// An array of a network, with its dimensions.
struct Array {
    dims: Vec<u32>,
    data: Vec<f32>,
}

impl Array {
    fn filled(dims: &[usize], value: f32) -> Self {
        Self { dims: dims.iter().map(|&d| d as u32).collect(), data: vec![value; dims.iter().product()] }
    }

    fn rows(rows: usize, width: usize, at: usize, row: &[f32]) -> Self {
        let mut array = Self::filled(&[1, rows, width], 0.0);
        array.data[at * width..at * width + row.len()].copy_from_slice(row);
        array
    }

    fn transposed(self) -> Self {
        let [n, rows, width] = self.dims[..] else { panic!("{:?}", self.dims) };
        let data = (0..width).flat_map(|c| (0..rows).map(move |r| r * width + c)).map(|i| self.data[i as usize]);
        Self { data: data.collect(), dims: vec![n, width, rows] }
    }
}

fn outputs(arrays: &[Array]) -> Vec<Output<'_>> {
    arrays.iter().map(|array| Output { name: "y", dims: &array.dims, data: &array.data }).collect()
}

fn options() -> DetectionOptions {
    DetectionOptions { score_threshold: 0.3, ..Default::default() }
}

fn inverse_sigmoid(y: f32) -> f32 {
    (y / (1.0 - y)).ln()
}

/// Finds `head`, one object of this class with a score of ½, and it where it is.
#[track_caller]
fn reads(arrays: &[Array], input: [u32; 2], head: &str, class: usize, corners: [f32; 4]) -> usize {
    let outputs = outputs(arrays);
    let found = Head::find(&outputs, input).unwrap();
    assert_eq!(found, head.parse::<Head>().unwrap(), "{found} is not {head}");
    let images = found.detections(&outputs, input, &options()).unwrap();
    assert_eq!(images.len(), 1);
    let [Detection { class: is, score, corners: at }] = images[0][..] else { panic!("{head}: {images:?}") };
    assert_eq!(is, class, "{head}");
    assert!((score - 0.5).abs() < 1e-5, "{head}: {score}");
    // The forms with e^x and its inverse round a few times.
    assert!(at.iter().zip(corners).all(|(a, b)| (a - b).abs() < 1e-3), "{head}: {at:?}, not {corners:?}");
    found.classes(&outputs, input).unwrap().unwrap_or_default()
}

#[test]
fn rows_of_boxes_are_read_in_every_form() {
    let [cx, cy, w, h] = BOX;
    let scores = [0.25, 0.625, 0.125]; // times 0.8 is ½
    let with_objectness = [&BOX[..], &[0.8], &scores].concat();
    let read = |array, head| assert_eq!(reads(&[array], INPUT, head, 1, CORNERS), 3);
    read(Array::rows(3 * CELLS, 8, 200, &with_objectness), "yolov5-decoded");

    // Before grid and stride: the cell's corner is at (40, 24).
    let raw = [(cx - 40.0) / 8.0, (cy - 24.0) / 8.0, (w / 8.0).ln(), (h / 8.0).ln()];
    read(Array::rows(CELLS, 8, ROW, &[&raw[..], &[0.8], &scores].concat()), "yolox");
    let mut decoded = Array::rows(CELLS, 8, ROW, &with_objectness);
    for (row, cell) in decoded.data.chunks_mut(8).enumerate().take(192).filter(|(row, _)| *row != ROW) {
        cell[..2].copy_from_slice(&[(row % 16) as f32 * 8.0, (row / 16) as f32 * 8.0]);
    }
    read(decoded, "yolox-decoded");

    let plain = [&BOX[..], &[0.25, 0.5, 0.125]].concat();
    let mut v6 = Array::rows(CELLS, 8, ROW, &[&BOX[..], &[1.0, 0.25, 0.5, 0.125]].concat());
    v6.data.chunks_mut(8).for_each(|row| row[4] = 1.0);
    read(v6, "yolov6");
    read(Array::rows(CELLS, 7, ROW, &plain).transposed(), "yolov8");
    let mut coco = Array::rows(CELLS, 84, ROW, &BOX);
    coco.data[ROW * 84 + 4 + 79] = 0.5;
    assert_eq!(reads(&[coco], INPUT, "yolo11", 79, CORNERS), 80);
    reads(&[Array::rows(300, 6, 7, &[&CORNERS[..], &[0.5, 17.0]].concat())], INPUT, "yolov10", 17, CORNERS);
}

/// Read the other way, all boxes would be in a corner or nowhere, and the answer that there is no object.
#[test]
fn a_named_head_does_not_read_boxes_that_are_decoded_otherwise() {
    let cell = |row: usize, stride: usize| [(row % (128 / stride)) as f32 + 0.5, (row / (128 / stride)) as f32 + 0.5];
    let rows = |pixels: bool| {
        let place = |(stride, count): (usize, usize)| (0..count).map(move |row| (stride, cell(row, stride)));
        let boxes = [(8, 192), (16, 48), (32, 12)].into_iter().flat_map(place).flat_map(|(stride, [x, y])| {
            let stride = stride as f32;
            if pixels { [x * stride, y * stride, 20.0, 26.0] } else { [0.25, 0.75, 1.5, -0.5] }
        });
        let boxes: Vec<f32> = boxes.collect();
        let row = |row: &[f32]| [row, &[0.8; 81]].concat();
        Array { dims: vec![1, CELLS as u32, 85], data: boxes.chunks(4).flat_map(row).collect() }
    };
    for (decoded, reading, refusing) in [
        (true, &["yolox-decoded", "yolov8", "yolo12", "yolov6"][..], &["yolox"][..]),
        (false, &["yolox"], &["yolox-decoded", "yolov8", "yolov9", "yolo11", "yolov5-decoded"]),
    ] {
        let arrays = [rows(decoded)];
        let named = |name: &&str| name.parse::<Head>().unwrap().detections(&outputs(&arrays), INPUT, &options());
        for name in reading {
            assert!(!named(name).unwrap()[0].is_empty(), "{name}");
        }
        for name in refusing {
            let text = named(name).expect_err(name).to_string();
            assert!(text.contains("pixels of the input") && text.contains("the head is yolox"), "{text}");
        }
    }
}

#[test]
fn a_segmenters_coefficients_are_no_classes() {
    let plain = [&BOX[..], &[0.25, 0.5, 0.125], &[9.0; 32]].concat();
    let prototypes = || Array::filled(&[1, 32, 24, 32], 0.5);
    let boxes = Array::rows(CELLS, 39, ROW, &plain).transposed();
    assert_eq!(reads(&[boxes, prototypes()], INPUT, "yolov8", 1, CORNERS), 3);
    let v5 = [&BOX[..], &[0.8, 0.25, 0.625, 0.125], &[9.0; 32]].concat();
    let boxes = Array::rows(3 * CELLS, 40, 100, &v5);
    assert_eq!(reads(&[boxes, prototypes()], INPUT, "yolov5-decoded", 1, CORNERS), 3);
}

/// That these are read as no head at all, whether they are to be told or are named, and what every refusal says.
#[track_caller]
fn refuses(arrays: &[Array], input: [u32; 2], says: &str) {
    let outputs = outputs(arrays);
    let told = Head::find(&outputs, input).and_then(|head| head.detections(&outputs, input, &options()));
    let text = told.expect_err("read").to_string();
    assert!(text.contains(says), "{text}");
    for name in Head::NAMES {
        let named = name.parse::<Head>().unwrap().detections(&outputs, input, &options());
        assert!(named.is_err(), "{name} reads {:?}: {named:?}", outputs[0].dims);
    }
}

#[test]
fn numbers_in_the_place_of_scores_are_refused_by_every_head_of_rows() {
    for odd in [2.0, -0.5, f32::INFINITY] {
        // YOLOv8's oriented boxes and poses, YOLOv5's faces, and NanoDet's scores, which distances follow.
        let plain = [&BOX[..], &[0.5, 0.25, odd]].concat();
        let anchored = [&BOX[..], &[0.8, 0.5, odd]].concat();
        for array in [
            Array::rows(CELLS, 7, ROW, &plain).transposed(),
            Array::rows(CELLS, 7, ROW, &anchored),
            Array::rows(3 * CELLS, 7, ROW, &anchored),
            Array::rows(300, 6, 7, &[&CORNERS[..], &[odd, 3.0]].concat()),
        ] {
            refuses(&[array], INPUT, "a score of");
        }
    }
}

#[test]
fn the_last_number_of_an_end_to_end_row_is_a_class() {
    for class in [0.25, -1.0, f32::NAN] {
        refuses(&[Array::rows(300, 6, 7, &[&CORNERS[..], &[0.5, class]].concat())], INPUT, "a class of");
    }
    // Rows that are not filled say nothing.
    reads(
        &[Array::rows(300, 6, 7, &[&CORNERS[..], &[0.5, 17.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]].concat())],
        INPUT,
        "yolov10",
        17,
        CORNERS,
    );
    // Of a classifier.
    refuses(&[Array { dims: vec![1, 6], data: vec![0.1, 0.2, 0.3, 0.4, 0.9, 3.0] }], INPUT, "[1, 6]");
    let many = [Array::rows(300, 6, 7, &[&CORNERS[..], &[0.5, 90.0]].concat())];
    let found = Head::EndToEnd.classes(&outputs(&many), INPUT).unwrap();
    assert_eq!((found, Head::EndToEnd.labels(found)), (Some(91), None), "COCO has 80");
}

#[test]
fn boxes_and_scores_apart_are_not_taken_for_rows_of_both() {
    let of = |dims: &[usize]| Array::filled(dims, 0.25);
    for arrays in [
        // YOLO-NAS both ways round, PP-YOLOE, YOLOv4, RetinaFace, DETR, a suppression's results.
        vec![of(&[1, CELLS, 4]), of(&[1, CELLS, 80])],
        vec![of(&[1, CELLS, 80]), of(&[1, CELLS, 4])],
        vec![of(&[1, CELLS, 4]), of(&[1, 80, CELLS])],
        vec![of(&[1, 3 * CELLS, 1, 4]), of(&[1, 3 * CELLS, 80])],
        vec![of(&[1, 2 * CELLS, 4]), of(&[1, 2 * CELLS, 2]), of(&[1, 2 * CELLS, 10])],
        vec![of(&[1, 100, 92]), of(&[1, 100, 4])],
        vec![of(&[1, 100, 6]), of(&[1, 100])],
        vec![of(&[1, CELLS, 84]), of(&[1, CELLS, 51])],
    ] {
        let told = Head::find(&outputs(&arrays), INPUT).map(|head| head.to_string());
        let text = told.expect_err("found").to_string();
        assert!(text.contains("in tensors of their own"), "{text}");
        for name in ["yolox", "yolov5-decoded", "yolov8", "yolov10"] {
            let named = name.parse::<Head>().unwrap().detections(&outputs(&arrays), INPUT, &options());
            assert!(named.is_err(), "{name} reads {:?}", arrays[1].dims);
        }
    }
}

#[test]
fn scores_of_a_sigmoid_beside_boxes_are_no_softmax() {
    let arrays = [Array::filled(&[1, 8732, 4], 0.0), Array::filled(&[1, 8732, 21], 0.25)];
    let outputs = outputs(&arrays);
    let head = Head::find(&outputs, [300, 300]).unwrap();
    let text = head.detections(&outputs, [300, 300], &options()).unwrap_err().to_string();
    assert!(text.contains("do not sum to 1"), "{text}");
}

#[test]
fn maps_of_other_networks_are_not_taken_for_boxes() {
    let square = [320, 320];
    let of = |channels: usize, strides: &[usize]| -> Vec<Array> {
        strides.iter().map(|stride| Array::filled(&[1, channels, 320 / stride, 320 / stride], 0.5)).collect()
    };
    // DeepLab with its auxiliary output, at full and at part size; U-Nets; backbones.
    for (arrays, says) in [
        (of(21, &[1, 1]), "needs maps of 20x20, 10x10"),
        (of(21, &[4, 8]), "needs maps of 20x20, 10x10"),
        (of(21, &[1, 1, 1]), "needs maps of 40x40, 20x20, 10x10"),
        (of(96, &[4, 8, 16, 32]), "needs maps of 40x40, 20x20, 10x10, 5x5"),
    ] {
        refuses(&arrays, square, says);
    }
    // A pyramid's features, and YOLOv8 before its decoding: of the shape, unless somebody says that they are.
    for channels in [96, 144] {
        let arrays = of(channels, &[8, 16, 32]);
        let text = Head::find(&outputs(&arrays), square).unwrap_err().to_string();
        assert!(text.contains("YOLOv8") && text.contains("--head yolov5"), "{text}");
        let known = Known { classes: Some(channels / 3 - 5), ..Known::default() };
        assert_eq!(Head::find_with(&outputs(&arrays), square, &known).unwrap().to_string(), "yolov5");
        let known = Known { classes: Some(channels - 64), ..Known::default() };
        Head::find_with(&outputs(&arrays), square, &known).unwrap_err();
    }
}

#[test]
fn the_number_of_classes_decides_between_rows_of_one_shape() {
    let row = [&BOX[..], &[0.8, 0.25, 0.625, 0.125]].concat();
    let arrays = [Array::rows(CELLS, 8, ROW, &row)];
    let outputs = outputs(&arrays);
    let known = |classes| Known { classes, ..Known::default() };
    let find = |classes| Head::find_with(&outputs, INPUT, &known(Some(classes))).map(|head| head.to_string());
    assert_eq!((find(3).unwrap(), find(4).unwrap()), ("yolox-decoded".into(), "yolov8".into()));
    let text = find(80).unwrap_err().to_string();
    assert!(text.contains("3 classes") && text.contains("80"), "{text}");
    let doubt = |head: Head, classes| head.doubt(&outputs, INPUT, &known(classes));
    let yolox: Head = "yolox".parse().unwrap();
    assert!(doubt(yolox.clone(), None).unwrap().unwrap().contains("--head yolov8"));
    assert!(doubt(Head::YoloV8, None).unwrap().unwrap().contains("--head yolox"));
    assert_eq!(doubt(yolox.clone(), Some(3)).unwrap(), None);
    doubt(yolox, Some(4)).unwrap_err();
    let coco = [Array::filled(&[1, CELLS, 85], 0.0)];
    let usual = Head::YoloX { decoded: true }.doubt(&self::outputs(&coco), INPUT, &Known::default());
    assert_eq!(usual.unwrap(), None, "80 classes are COCO's");
}

#[test]
fn a_named_head_is_checked_as_a_found_one() {
    let named = |name: &str, array: Array| {
        let head: Head = name.parse().unwrap();
        head.detections(&outputs(&[array]), INPUT, &options()).unwrap_err().to_string()
    };
    let of = |dims: &[usize]| Array::filled(dims, 0.5);
    for (name, array, says) in [
        ("yolov10", of(&[1, 300, 85]), "[n, rows, 6]"),
        ("yolov8", of(&[1, 300, 84]), "cells"),
        ("yolov8", of(&[1, 84, 300]), "cells"),
        ("yolov8", of(&[1, 3 * CELLS, 85]), "cells"),
        ("yolox", of(&[1, 3 * CELLS, 85]), "cells"),
        ("yolov5-decoded", of(&[1, 300, 85]), "cells"),
        ("yolox-decoded", of(&[1, 300, 85]), "cells"),
        ("yolov5", of(&[1, 3, 12, 16, 8]), "needs"),
    ] {
        let text = named(name, array);
        assert!(text.contains(says) && text.starts_with(name), "{text}");
    }
}

/// The three grids with nothing in them but the object, at the second anchor of the finest.
fn maps(numbers: [f32; 4], planar: bool) -> Vec<Array> {
    let grid = |(i, [h, w]): (usize, [usize; 2])| {
        let mut array = Array::filled(&[1, 3, h, w, 8], -9.0);
        if i == 0 {
            let at = ((h + CELL[0]) * w + CELL[1]) * 8;
            let scores = [0.8, 0.25, 0.625, 0.125].map(inverse_sigmoid);
            array.data[at..at + 8].copy_from_slice(&[numbers, scores].concat());
        }
        if !planar {
            return array;
        }
        let at = |anchor: usize, number: usize, cell: usize| (anchor * h * w + cell) * 8 + number;
        let order = (0..24).flat_map(|c| (0..h * w).map(move |cell| at(c / 8, c % 8, cell)));
        Array { dims: vec![1, 24, h as u32, w as u32], data: order.map(|i| array.data[i]).collect() }
    };
    [[12, 16], [6, 8], [3, 4]].into_iter().enumerate().map(grid).collect()
}

#[test]
fn raw_maps_are_read_with_the_formula_of_their_version() {
    // The second anchor is 16x30, the cell's corner (40, 24), the centre half a cell beyond it.
    let v5 = [inverse_sigmoid(0.5), inverse_sigmoid(0.5), 20.0_f32 / 16.0, 26.0 / 30.0];
    let v5 = [v5[0], v5[1], inverse_sigmoid(v5[2].sqrt() / 2.0), inverse_sigmoid(v5[3].sqrt() / 2.0)];
    assert_eq!(reads(&maps(v5, false), INPUT, "yolov5", 1, CORNERS), 3);
    assert_eq!(reads(&maps(v5, true), INPUT, "yolov5", 1, CORNERS), 3);
    let v3 = [0.0, 0.0, (20.0_f32 / 16.0).ln(), (26.0_f32 / 30.0).ln()];
    let mut coarsest_first = maps(v3, true);
    coarsest_first.reverse();
    assert_eq!(reads(&coarsest_first, INPUT, "yolov3", 1, CORNERS), 3);

    // Another version by name: its second anchor is 19x36.
    let arrays = maps(v5, false);
    let v7: Head = "yolov7".parse().unwrap();
    let found = &v7.detections(&outputs(&arrays), INPUT, &options()).unwrap()[0];
    let width = found[0].corners[2] - found[0].corners[0];
    assert!((width - 20.0 / 16.0 * 19.0).abs() < 1e-3, "{found:?}");
    // Boxes of one's own, for a finer set of maps as well.
    let doubled = |map: &[[f32; 2]]| map.iter().map(|side| side.map(|x| 2.0 * x)).collect();
    let Head::YoloV5(published) = "yolov5".parse().unwrap() else { panic!() };
    let twice: Vec<_> = published.iter().map(|map| doubled(map)).collect();
    let known = Known { anchors: Some(twice), ..Known::default() };
    let head = Head::find_with(&outputs(&arrays), INPUT, &known).unwrap();
    let found = &head.detections(&outputs(&arrays), INPUT, &options()).unwrap()[0];
    assert!((found[0].corners[2] - found[0].corners[0] - 40.0).abs() < 1e-3, "{found:?}");
    let half = [INPUT[0] / 2, INPUT[1] / 2];
    assert!(Head::find(&outputs(&arrays), half).is_err(), "published boxes are for strides 8, 16, 32");
    Head::find_with(&outputs(&arrays), half, &known).unwrap();
    assert!(Head::YoloV8.with_anchors(published).is_err());
    // The grids of an older export stand beside the boxes made of them.
    let with_objectness = [&BOX[..], &[0.8, 0.25, 0.625, 0.125]].concat();
    let mut both = vec![Array::rows(3 * CELLS, 8, 200, &with_objectness)];
    both.extend(maps(v5, false));
    reads(&both, INPUT, "yolov5-decoded", 1, CORNERS);
}

/// Offsets that move a prior to this box, both in units of the image.
fn encoded(corners: [f32; 4], [cx, cy, w, h]: [f32; 4]) -> [f32; 4] {
    let [x0, y0, x1, y1] = corners;
    let centre = [((x0 + x1) / 2.0 - cx) / w / 0.1, ((y0 + y1) / 2.0 - cy) / h / 0.1];
    [centre[0], centre[1], ((x1 - x0) / w).ln() / 0.2, ((y1 - y0) / h).ln() / 0.2]
}

#[test]
fn boxes_relative_to_priors_are_read_as_probabilities_and_as_scores() {
    let pixels = |corners: [f32; 4], [h, w]: [u32; 2]| [w, h, w, h].map(|x| x as f32).zip4(corners);
    let corners = [0.25, 0.125, 0.5, 0.375];
    let row = 40;
    for (head, config, classes, count) in [
        ("ssd-voc-300", PriorConfig::voc(300).unwrap().of_ssd(), 21, 8732),
        ("ssd-coco-512", PriorConfig::coco(512).unwrap().of_ssd(), 81, 24_564),
        ("rfbnet-voc-512", PriorConfig::voc(512).unwrap(), 21, 32_756),
        ("rfbnet-coco-300", PriorConfig::coco(300).unwrap(), 81, 11_620),
    ] {
        let loc = || Array::rows(count, 4, row, &encoded(corners, priors(&config).unwrap()[row]));
        let mut conf = Array::filled(&[1, count, classes], 0.0);
        conf.data.chunks_mut(classes).for_each(|row| row[0] = 1.0);
        conf.data[row * classes] = 0.5;
        conf.data[row * classes + 15] = 0.5;
        // e^x of these sums to twice that of class 15.
        let mut scores = Array::filled(&[1, count, classes], 0.0);
        scores.data.chunks_mut(classes).for_each(|row| row[0] = 20.0);
        scores.data[row * classes..(row + 1) * classes].fill(-20.0);
        scores.data[row * classes] = 3.0;
        scores.data[row * classes + 15] = 3.0;
        let input = config.image_size;
        for conf in [conf, scores] {
            assert_eq!(reads(&[loc(), conf], input, head, 14, pixels(corners, input)), classes - 1);
        }
    }
    let input = [240, 320];
    let face = |boxes: Array, head| {
        let mut scores = Array::filled(&[1, 4420, 2], 0.0);
        scores.data.chunks_mut(2).for_each(|row| row[0] = 1.0);
        scores.data[2 * row..2 * row + 2].fill(0.5);
        assert_eq!(reads(&[scores, boxes], input, head, 0, pixels(corners, input)), 1);
    };
    face(Array::rows(4420, 4, row, &corners), "ultraface");
    let mut offsets = Array::filled(&[1, 4420, 4], 0.0);
    offsets.data.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 7) as f32 - 3.0);
    let prior = ultraface_priors(input).unwrap()[row];
    offsets.data[4 * row..4 * row + 4].copy_from_slice(&encoded(corners, prior));
    face(offsets, "ultraface-encoded");
}

trait Zip4 {
    fn zip4(self, other: Self) -> Self;
}

impl Zip4 for [f32; 4] {
    fn zip4(self, other: Self) -> Self {
        [0, 1, 2, 3].map(|i| self[i] * other[i])
    }
}

#[test]
fn every_name_is_read_in_any_case_and_a_head_is_displayed_by_the_first_of_its_names() {
    for (i, name) in Head::NAMES.iter().enumerate() {
        let head: Head = name.parse().unwrap();
        assert_eq!(name.to_uppercase().parse::<Head>().unwrap(), head);
        let first = Head::NAMES.iter().find(|other| other.parse::<Head>().unwrap() == head).unwrap();
        assert_eq!(head.to_string(), *first);
        assert!(!Head::NAMES[..i].contains(name), "{name} is there twice");
    }
    for (name, stands_for) in [("yolov7-tiny", "yolov5"), ("yolo12", "yolov8"), ("yolo26", "yolov10")] {
        assert_eq!(name.parse::<Head>().unwrap().to_string(), stands_for);
    }
    let error = "yolov55".parse::<Head>().unwrap_err().to_string();
    assert!(error.contains("did you mean 'yolov5'"), "{error}");
    assert!(Head::NAMES.iter().all(|name| error.contains(name)), "{error}");
}

#[test]
fn outputs_of_no_known_form_are_listed_with_the_names() {
    for dims in [&[1, 1000][..], &[1, 21, 96, 128], &[1, 252, 5], &[1, 250, 85], &[1], &[], &[1, 3, 12, 16, 4]] {
        let array = Array::filled(dims, 0.5);
        let error = Head::find(&outputs(&[array]), INPUT).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{dims:?}")) && text.contains("yolox, ") && text.contains("96x128"), "{text}");
    }
    assert!(Head::find(&[], INPUT).unwrap_err().to_string().contains("no output"));
    let two = [Array::filled(&[1, 8732, 4], 0.0), Array::filled(&[1, 8732, 5], 0.0)];
    assert!(Head::find(&outputs(&two), [300, 300]).is_err(), "four classes are of neither data set");
}

/// Whatever outputs say, every head gives an error or an answer, soon.
#[test]
fn no_head_fails_on_absurd_outputs() {
    let heads: Vec<Head> = Head::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    #[rustfmt::skip]
    let shapes: [&[&[usize]]; 17] = [
        &[], &[&[]], &[&[0]], &[&[0, 5]], &[&[0, 252, 8]], &[&[1, 0, 8]], &[&[1, 252, 0]], &[&[1, 252, 4]], &[&[2, 252, 8]],
        &[&[1, 6, 252]], &[&[1, 1, 1, 1]], &[&[1, 3, 1, 1, 6], &[1, 3, 2, 2, 6], &[2, 3, 1, 1, 6]],
        &[&[1, 8732, 4], &[1, 8732, 1]], &[&[1, 8732, 4], &[1, 8731, 21]], &[&[2, 4420, 4], &[2, 4420, 2]],
        &[&[1, 252, 39], &[1, 64, 24, 32]], &[&[1, 400, 252], &[1, 300, 24, 32]],
    ];
    for value in [0.0, 1.0, -1.0, 1e30, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for shapes in shapes {
            let arrays: Vec<Array> = shapes.iter().map(|dims| Array::filled(dims, value)).collect();
            let outputs = outputs(&arrays);
            for input in [INPUT, [0, 0], [1, 1], [300, 300], [240, 320], [u32::MAX, 1], [u32::MAX, u32::MAX]] {
                let _ = Head::find(&outputs, input);
                for head in &heads {
                    let _ = head.classes(&outputs, input);
                    for classes in [None, Some(0), Some(usize::MAX)] {
                        let known = Known { classes, ..Known::default() };
                        let _ = head.doubt(&outputs, input, &known);
                        let _ = Head::find_with(&outputs, input, &known);
                    }
                    let found = head.detections(&outputs, input, &options()).into_iter().flatten().flatten();
                    for Detection { score, corners, .. } in found {
                        assert!(score.is_finite() && corners.iter().all(|x| x.is_finite()), "{head}: {corners:?}");
                    }
                }
            }
        }
    }
    let lying = Output { name: "y", dims: &[1, 252, 8], data: &[0.0; 8] };
    assert!(Head::find(&[lying], INPUT).is_err() && Head::Decoded.detections(&[lying], INPUT, &options()).is_err());
}

#[test]
fn a_network_that_finds_something_everywhere_is_soon_done() {
    let rows = 10 * MAX_CANDIDATES;
    let mut array = Array::filled(&[1, rows, 6], 0.5);
    for (i, row) in array.data.chunks_mut(6).enumerate() {
        let best = i == rows - 1;
        row.copy_from_slice(&[i as f32, 0.0, i as f32 + 1.0, 1.0, if best { 0.75 } else { 0.5 }, (i % 80) as f32]);
    }
    let found = &Head::EndToEnd.detections(&outputs(&[array]), INPUT, &options()).unwrap()[0];
    assert_eq!(found.len(), 200);
    assert_eq!((found[0].score, found[0].corners[0], found[1].corners[0]), (0.75, rows as f32 - 1.0, 0.0));
}
