//! `spp detect`: what an ONNX file finds in pictures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::{Value, json};
use spp_wgpu::detection::{Detection, DetectionOptions, Head, Output, Placement};
use spp_wgpu::{Error, Tensor};

use crate::failure::{Failure, Result};
use crate::network::{Labels, Network};
use crate::output::{note, progress, say_json, say_table, writable};
use crate::paint;
use crate::picture::{self, Preparation};
use crate::planning::Stored;
use crate::source::Reading;

/// Find objects in pictures with an ONNX file: a table of boxes, and pictures with the boxes painted on
///
/// The form of the outputs is told by their shapes, and how pictures are prepared by that form; options say otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: spp detect yolox_nano.onnx street.jpg -o out/
         spp detect yolov7.onnx *.jpg --head yolov7 --score 0.4 --json
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
    /// How the outputs are read: yolox, yolov3, yolov5, yolov7, yolov8, yolov10, ssd-voc-300, ultraface and others
    #[arg(long, value_name = "NAME", value_parser = head)]
    head: Option<Head>,
    /// What the classes are called, one per line [default: what the file notes, else COCO's, VOC's]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The least score
    #[arg(long, value_name = "SHARE", default_value = "0.25", value_parser = share)]
    score: f32,
    /// How much of their union two boxes of a class may share
    #[arg(long, value_name = "SHARE", default_value = "0.45", value_parser = share)]
    iou: f32,
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
    /// Let kernels multiply matrices on tensor cores or their like, which wgpu calls experimental, if the adapter has them
    #[arg(long)]
    matrices: bool,
    #[command(flatten)]
    stored: Stored,
}

fn head(text: &str) -> Result<Head, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

fn share(text: &str) -> Result<f32, String> {
    let value = text.parse::<f32>().map_err(|error| error.to_string())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("must be in 0..=1".into()) }
}

/// A picture and what is in it, in its pixels.
struct Seen<'a> {
    path: &'a Path,
    picture: RgbImage,
    objects: Vec<Detection>,
}

pub(crate) fn detect(args: &Args, device: Option<&str>) -> Result<()> {
    let painted = painted(args)?;
    let network = Network::open(&args.file, &args.reading, &args.stored, args.matrices, device)?;
    let mut head = args.head.clone();
    let mut labels = None;
    let mut seen = Vec::new();
    let bar = progress(args.pictures.len());
    for (i, path) in args.pictures.iter().enumerate() {
        bar.set_message(path.display().to_string());
        let picture = picture::open(path)?;
        let (found, names) = find(args, &network, &picture, &mut head)?;
        let labels = labels.get_or_insert(names);
        if let Some(painted) = &painted {
            let mut canvas = picture.clone();
            // The best on top.
            for object in found.iter().rev() {
                let text = format!("{} {:.2}", labels.of(object.class), object.score);
                paint::frame(&mut canvas, object.corners, &text, paint::colour(object.class));
            }
            picture::save(&painted[i], &canvas, args.force)?;
        }
        seen.push(Seen { path, picture, objects: found });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let head = head.map(|head| head.to_string()).unwrap_or_default();
    if args.head.is_none() {
        note(format!("the outputs are read as those of {head}; --head says otherwise"));
    }
    let labels = labels.unwrap_or_default();
    if args.json {
        return Ok(say_json(&seen.iter().map(|seen| json(seen, &head, &labels)).collect())?);
    }
    let rows: Vec<_> = seen.iter().flat_map(|seen| rows(seen, &labels)).collect();
    Ok(say_table(["picture", "class", "label", "score", "x0", "y0", "x1", "y1"], &rows)?)
}

/// The files to write, one per picture. Errors: two of one name, or one that is there already.
fn painted(args: &Args) -> Result<Option<Vec<PathBuf>>> {
    let Some(folder) = &args.output else { return Ok(None) };
    let create = fs::create_dir_all(folder);
    create.map_err(|error| Error::File { path: folder.clone(), reason: error.to_string() })?;
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

/// The objects, in pixels of the picture, and what classes are called. Fills in the head at the first picture, of which a
/// first look is enough even if it should have been prepared otherwise.
fn find(
    args: &Args,
    network: &Network,
    picture: &RgbImage,
    head: &mut Option<Head>,
) -> Result<(Vec<Detection>, Labels)> {
    let first = match head {
        Some(head) => head.preparation(),
        None => spp_wgpu::detection::Preparation::default(),
    };
    let mut preparation = args.preparation.or(first)?;
    let (tensor, mut placement) = picture::prepared(picture, &preparation, network.input)?;
    let mut results = network.run(tensor)?;
    let known = match head {
        Some(head) => head,
        None => head.insert(Head::find(&outputs(network, &results), network.input)?),
    };
    let wanted = args.preparation.or(known.preparation())?;
    if wanted != preparation {
        preparation = wanted;
        let (tensor, at) = picture::prepared(picture, &preparation, network.input)?;
        (results, placement) = (network.run(tensor)?, at);
    }
    let outputs = outputs(network, &results);
    let options = DetectionOptions {
        score_threshold: args.score,
        iou_threshold: args.iou,
        agnostic: args.agnostic,
        ..DetectionOptions::default()
    };
    let images = known.detections(&outputs, network.input, &options)?;
    let usual = known.labels(known.classes(&outputs, network.input)?).unwrap_or_default();
    let labels = Labels::open(args.labels.as_deref(), &network.model, usual)?;
    Ok((images.into_iter().flatten().filter_map(|found| placed(found, &placement)).collect(), labels))
}

/// In the picture, unless it lies in the grey beside it.
fn placed(found: Detection, placement: &Placement) -> Option<Detection> {
    let corners @ [x0, y0, x1, y1] = placement.to_picture(found.corners);
    (x0 < x1 && y0 < y1).then_some(Detection { corners, ..found })
}

fn outputs<'a>(network: &'a Network, results: &'a [Tensor]) -> Vec<Output<'a>> {
    let ports = network.model.outputs.iter().zip(results);
    ports.map(|(port, result)| Output { name: &port.name, dims: &port.dims, data: result.data() }).collect()
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
    let (width, height) = (seen.picture.width(), seen.picture.height());
    let object = |found: &Detection| {
        let [x0, y0, x1, y1] = found.corners;
        let shares = [x0 / width as f32, y0 / height as f32, x1 / width as f32, y1 / height as f32];
        json!({ "class": found.class, "label": labels.of(found.class), "score": found.score, "box": shares })
    };
    json!({
        "image": seen.path, "width": width, "height": height, "head": head,
        "objects": seen.objects.iter().map(object).collect::<Vec<_>>(),
    })
}
