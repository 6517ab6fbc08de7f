//! `spp detect`: what an ONNX file finds in pictures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use image::RgbImage;
use serde_json::{Value, json};
use spp_wgpu::Error;
use spp_wgpu::detection::{self, Anchors, Detection, DetectionOptions, Head, Known, Output, Placement};

use crate::failure::{Failure, Result};
use crate::labels::Labels;
use crate::network::{Network, OTHER_TASK};
use crate::output::{note, progress, say_json, say_table, writable};
use crate::paint;
use crate::picture::{self, Preparation};
use crate::planning::Arithmetic;
use crate::source::Reading;

/// Find objects in pictures with an ONNX file: a table of boxes, and pictures with the boxes painted on
///
/// The form of the outputs is told by their shapes, and how pictures are prepared by that form; options say otherwise.
/// A file that takes several pictures at a time gets them, the last one repeated where there are no more.
/// With --json, "box" is left, top, right, bottom in shares of the picture, and "pixels" the same in its pixels.
///
/// All files are looked at first. If a picture turns out to be damaged later, the others are still read, and the exit code
/// is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: spp detect yolox_nano.onnx street.jpg -o out/
         spp detect yolov7.onnx *.jpg --head yolov7 --score 0.4 --json
         spp detect mine.onnx a.jpg --head yolov5 --anchors 8,9,14,22,25,16,31,60,60,44,61,118,110,95,150,200,360,330
         spp detect faces.onnx group.png --order bgr --mean 127 --std 128 --fit stretch")]
pub(crate) struct Args {
    /// An ONNX file
    file: PathBuf,
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    pictures: Vec<PathBuf>,
    /// Where to paint: a folder, which gets a PNG file by the name of each picture
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Overwrite pictures there
    #[arg(long)]
    force: bool,
    /// How the outputs are read [default: as their shapes tell]. Of raw maps, yolov7 is the family of yolov7.pt; yolov7-tiny
    /// has the default boxes of yolov5
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = PossibleValuesParser::new(Head::NAMES).try_map(head))]
    head: Option<Head>,
    /// Of raw maps of YOLOv3, v5 or v7: the default boxes' widths and heights as in the network's yaml, three per map, the
    /// finest map first: 10,13,16,30,33,23,30,61,...
    #[arg(long, value_name = "W,H,W,H,...", value_parser = anchors)]
    anchors: Option<Anchors>,
    /// What the classes are called, one per line, the background not among them [default: what the file notes, else COCO's,
    /// VOC's]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The least score
    #[arg(long, value_name = "SHARE", default_value = "0.25", value_parser = share)]
    score: f32,
    /// How much of their union two boxes of a class may share
    #[arg(long, value_name = "SHARE", default_value = "0.45", value_parser = share)]
    iou: f32,
    /// The most boxes in a picture, those with the best scores
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u32).range(1..))]
    max_boxes: u32,
    /// Let boxes of different classes rule each other out, too
    #[arg(long)]
    agnostic: bool,
    #[command(flatten)]
    preparation: Preparation,
    #[command(flatten)]
    reading: Reading,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    arithmetic: Arithmetic,
}

fn head(text: String) -> Result<Head, Error> {
    text.parse()
}

fn share(text: &str) -> Result<f32, String> {
    let value = text.parse::<f32>().map_err(|error| error.to_string())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("must be in 0..=1".into()) }
}

fn anchors(text: &str) -> Result<Anchors, String> {
    let number = |text: &str| text.trim().parse::<f32>().map_err(|error| format!("'{text}': {error}"));
    let numbers = text.split(',').map(number).collect::<Result<Vec<f32>, String>>()?;
    if numbers.iter().any(|&number| !(number > 0.0 && number.is_finite())) {
        return Err("widths and heights are above 0".into());
    }
    let (boxes, rest) = numbers.as_chunks::<2>();
    let (maps, left) = boxes.as_chunks::<3>();
    if !rest.is_empty() || !left.is_empty() {
        return Err(format!("{} numbers; needs 6 for each map, three widths and heights", numbers.len()));
    }
    Ok(maps.iter().map(|map| map.to_vec()).collect())
}

/// A picture and what is in it, in its pixels.
struct Seen<'a> {
    path: &'a Path,
    /// Rows and columns.
    size: [u32; 2],
    objects: Vec<Detection>,
}

/// What is known after the first pictures.
struct Reader<'a> {
    args: &'a Args,
    network: Network,
    known: Known,
    head: Option<Head>,
    labels: Labels,
    /// Until the first pictures are read.
    is_first: bool,
}

pub(crate) fn detect(args: &Args, device: Option<&str>) -> Result<()> {
    let painted = painted(args)?;
    let network = |error: std::io::Error| Error::File { path: args.file.clone(), reason: error.to_string() };
    fs::File::open(&args.file).map_err(network)?;
    let bad: Vec<String> =
        args.pictures.iter().filter_map(|path| picture::check(path).err()).map(|error| error.to_string()).collect();
    if !bad.is_empty() {
        return Err(Failure::Usage(bad.join("\n")));
    }
    let head = match (&args.head, &args.anchors) {
        (Some(head), Some(anchors)) => Some(head.clone().with_anchors(anchors.clone())?),
        (head, _) => head.clone(),
    };
    let refused = |task: &str| (!["detect", "segment"].contains(&task)).then_some(OTHER_TASK);
    let network = Network::open(&args.file, &args.reading, refused, &args.arithmetic, device)?;
    let labels = Labels::open(args.labels.as_deref(), &network.model)?;
    let known = Known { classes: labels.count(), anchors: args.anchors.clone() };
    let mut reader = Reader { args, network, known, head, labels, is_first: true };
    let (mut seen, mut failed) = (Vec::new(), false);
    let mut fail = |error: String| {
        note(format!("error: {error}"));
        failed = true;
    };
    let bar = progress(args.pictures.len());
    let files: Vec<(usize, &PathBuf)> = args.pictures.iter().enumerate().collect();
    for files in files.chunks(reader.network.len) {
        let mut pictures = Vec::new();
        for &(i, path) in files {
            bar.set_message(path.display().to_string());
            match picture::open(path) {
                Ok(picture) => pictures.push((i, path, picture)),
                Err(error) => fail(error.to_string()),
            }
        }
        let Some((_, first, _)) = pictures.first() else { continue };
        let found = match reader.find(pictures.iter().map(|(_, _, picture)| picture)) {
            // What is wrong with the first pictures' outputs is wrong with the network.
            Err(error) if seen.is_empty() => return Err(error),
            Err(error) => {
                fail(format!("{}: {error}", first.display()));
                continue;
            }
            Ok(found) => found,
        };
        for ((i, path, picture), mut objects) in pictures.into_iter().zip(found) {
            let most = args.max_boxes as usize;
            if objects.len() > most {
                objects.truncate(most);
                note(format!("{}: only the best {most} boxes are kept; --max-boxes says otherwise", path.display()));
            }
            let size = picture::size(&picture);
            if let Some(painted) = &painted {
                let canvas = reader.painted(picture, &objects);
                if let Err(error) = picture::save(&painted[i], &canvas, args.force) {
                    fail(error.to_string());
                }
            }
            seen.push(Seen { path, size, objects });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let head = reader.head.map(|head| head.to_string()).unwrap_or_default();
    if !seen.is_empty() && seen.iter().all(|seen| seen.objects.is_empty()) {
        note(format!("nothing scores above {}; --score lowers the limit", args.score));
    }
    if args.head.is_none() && !seen.is_empty() {
        note(format!("the outputs are read as those of {head}; --head says otherwise"));
    }
    let labels = &reader.labels;
    if args.json {
        say_json(&seen.iter().map(|seen| json(seen, &head, labels)).collect())?;
    } else {
        let rows: Vec<_> = seen.iter().flat_map(|seen| rows(seen, labels)).collect();
        say_table(["picture", "class", "label", "score", "x0", "y0", "x1", "y1"], &rows)?;
    }
    if failed { Err(Failure::Check) } else { Ok(()) }
}

/// The files to write, one per picture. Errors: two of one name, or one that is there already.
fn painted(args: &Args) -> Result<Option<Vec<PathBuf>>> {
    let Some(folder) = &args.output else { return Ok(None) };
    let bad = |reason: String| Error::File { path: folder.clone(), reason };
    if folder.exists() && !folder.is_dir() {
        return Err(bad("is a file; -o needs a folder, in which each picture gets a file of its own".into()).into());
    }
    fs::create_dir_all(folder).map_err(|error| bad(error.to_string()))?;
    let mut by_name = BTreeMap::new();
    let mut files = Vec::new();
    for image in &args.pictures {
        let Some(stem) = image.file_stem() else {
            return Err(Failure::Usage(format!("{}: is not the name of a file", image.display())));
        };
        let mut name = stem.to_os_string();
        name.push(".png");
        if let Some(other) = by_name.insert(name.clone(), image) {
            let both = format!("{} and {}", other.display(), image.display());
            return Err(Failure::Usage(format!("{both}: both would become {}", folder.join(name).display())));
        }
        files.push(folder.join(name));
    }
    for file in &files {
        writable(file, args.force)?;
    }
    Ok(Some(files))
}

impl Reader<'_> {
    /// The objects of each picture, in its pixels. Fills in the head at the first pictures, of which a first look is enough
    /// even if they should have been prepared otherwise.
    fn find<'a>(&mut self, pictures: impl Iterator<Item = &'a RgbImage> + Clone) -> Result<Vec<Vec<Detection>>> {
        let (args, network) = (self.args, &self.network);
        let look = |preparation: &detection::Preparation| -> Result<_> {
            let prepared = pictures.clone().map(|picture| picture::prepared(picture, preparation, network.input));
            let (tensors, placements): (Vec<_>, Vec<Placement>) =
                prepared.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
            Ok((network.run(&tensors)?, placements))
        };
        let usual = self.head.as_ref().map_or_else(detection::Preparation::default, Head::preparation);
        let first = args.preparation.or(usual)?;
        let (mut results, mut placements) = look(&first)?;
        let head = match &self.head {
            Some(head) => head.clone(),
            None => Head::find_with(&network.outputs(&results), network.input, &self.known)?,
        };
        let head = match &args.anchors {
            Some(anchors) => head.with_anchors(anchors.clone())?,
            None => head,
        };
        let wanted = args.preparation.or(head.preparation())?;
        if wanted != first {
            (results, placements) = look(&wanted)?;
        }
        let outputs = network.outputs(&results);
        let doubt = head.doubt(&outputs, network.input, &self.known)?;
        if let Some(doubt) = doubt.filter(|_| self.is_first && args.head.is_none()) {
            note(doubt);
        }
        let options = DetectionOptions {
            score_threshold: args.score,
            iou_threshold: args.iou,
            agnostic: args.agnostic,
            keep_per_class: usize::MAX,
            // One more tells that there are more.
            keep_total: (args.max_boxes as usize).saturating_add(1),
            ..DetectionOptions::default()
        };
        let images = objects(&head, &outputs, network.input, &placements, &options)?;
        if self.is_first
            && (network.model.metadata.get("task").is_some_and(|task| task == "segment") || prototypes(&outputs))
        {
            note("only boxes are read; the masks of this network are not");
        }
        if images.len() != network.len {
            let (of, needs) = (images.len(), network.len);
            return Err(Failure::Usage(format!("{head}: the outputs are of {of} pictures, not of {needs}")));
        }
        let classes = head.classes(&outputs, network.input)?;
        self.name_classes(&head, classes);
        self.head = Some(head);
        self.is_first = false;
        Ok(images.into_iter().take(placements.len()).collect())
    }

    /// An end-to-end head does not say how many classes there are, so that the usual names may be wrong.
    fn name_classes(&mut self, head: &Head, classes: Option<usize>) {
        let unsure = *head == Head::EndToEnd && self.known.classes.is_none();
        if self.is_first {
            self.labels.default_to(head.labels(classes).unwrap_or_default());
            if unsure && classes.is_none() {
                note("the file does not name its classes: these are COCO's names; --labels says otherwise");
            }
        }
        if let Some(classes) = classes.filter(|_| unsure) {
            note(format!(
                "the file does not name its classes, at least {classes}: they have numbers; --labels names them"
            ));
            self.labels = Labels::default();
        }
    }

    /// The best on top.
    fn painted(&self, mut canvas: RgbImage, objects: &[Detection]) -> RgbImage {
        for object in objects.iter().rev() {
            let text = format!("{} {:.2}", self.labels.of(object.class), object.score);
            paint::frame(&mut canvas, object.corners, &text, paint::colour(object.class));
        }
        canvas
    }
}

/// Whether there is a map from which a segmenter's rows make masks. Heads whose boxes are maps have several.
fn prototypes(outputs: &[Output]) -> bool {
    let maps = outputs.iter().filter(|output| matches!(*output.dims, [_, _, h, w] if h > 1 && w > 1));
    maps.count() == 1 && outputs.len() > 1
}

/// What is in each image, in pixels of its picture: the best that do not lie in the grey. Images beyond the placements show
/// the last picture again.
fn objects(
    head: &Head,
    outputs: &[Output],
    input: [u32; 2],
    placements: &[Placement],
    options: &DetectionOptions,
) -> Result<Vec<Vec<Detection>>, Error> {
    let images = head.detections(outputs, input, &DetectionOptions { keep_total: usize::MAX, ..*options })?;
    let placements = placements.iter().chain(placements.last().into_iter().cycle());
    let placed = |(found, placement): (Vec<Detection>, &Placement)| {
        found.into_iter().filter_map(|found| placed(found, placement)).take(options.keep_total).collect()
    };
    Ok(images.into_iter().zip(placements).map(placed).collect())
}

/// In the picture, unless it lies in the grey beside it.
fn placed(found: Detection, placement: &Placement) -> Option<Detection> {
    let corners @ [x0, y0, x1, y1] = placement.to_picture(found.corners);
    (x0 < x1 && y0 < y1).then_some(Detection { corners, ..found })
}

fn rows(seen: &Seen, labels: &Labels) -> Vec<[String; 8]> {
    let row = |found: &Detection| {
        let [x0, y0, x1, y1] = found.corners.map(|x| format!("{x:.1}"));
        let (class, score) = (found.class.to_string(), format!("{:.3}", found.score));
        [seen.path.display().to_string(), class, labels.of(found.class), score, x0, y0, x1, y1]
    };
    seen.objects.iter().map(row).collect()
}

fn json(seen: &Seen, head: &str, labels: &Labels) -> Value {
    let [height, width] = seen.size;
    let object = |found: &Detection| {
        let [x0, y0, x1, y1] = found.corners;
        let shares = [x0 / width as f32, y0 / height as f32, x1 / width as f32, y1 / height as f32];
        json!({
            "class": found.class, "label": labels.of(found.class), "score": found.score,
            "box": shares, "pixels": found.corners,
        })
    };
    json!({
        "image": seen.path, "width": width, "height": height, "head": head,
        "objects": seen.objects.iter().map(object).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use spp_wgpu::detection::Fit;

    use super::*;

    #[test]
    fn boxes_beside_the_picture_are_not_among_those_that_are_counted() {
        // A wide picture in a square input lies in rows 16 to 48: the best box is above it.
        let placement = Fit::Letterbox.place([10, 20], [64, 64]).expect("it has pixels");
        let data = [
            [0.0, 0.0, 9.0, 9.0, 0.9, 1.0],
            [0.0, 20.0, 9.0, 29.0, 0.5, 2.0],
            [0.0, 20.0, 9.0, 29.0, 0.4, 3.0],
            [0.0, 20.0, 9.0, 29.0, 0.3, 4.0],
        ];
        let output = Output { name: "y", dims: &[1, 4, 6], data: data.as_flattened() };
        let options = DetectionOptions { keep_total: 2, ..DetectionOptions::default() };
        let found = objects(&Head::EndToEnd, &[output], [64, 64], &[placement], &options).expect("rows");
        let classes: Vec<usize> = found[0].iter().map(|found| found.class).collect();
        assert_eq!(classes, [2, 3]);
    }
}
