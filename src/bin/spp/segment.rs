//! `spp segment`: which class each pixel of a picture is of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use spp_wgpu::detection::labels::VOC;
use spp_wgpu::detection::{self, Fit, Head, Placement};
use spp_wgpu::onnx::{ElementType, Port};
use spp_wgpu::{Error, Tensor};

use crate::failure::{Failure, Result};
use crate::labels::Labels;
use crate::network::{Network, OTHER_TASK};
use crate::output::{note, say_json, say_table};
use crate::paint;
use crate::picture::{self, Preparation};
use crate::planning::Arithmetic;
use crate::source::Reading;

/// Tell with an ONNX file what each pixel of a picture shows, in colours over the picture
///
/// Pictures are prepared as torchvision's networks expect them; options say otherwise. Of one channel of floats, what is
/// above a threshold is class 1: above 0.5 if all numbers are 0 to 1, else above 0, where a sigmoid is 0.5.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp segment deeplabv3.onnx street.jpg -o mask.png")]
pub(crate) struct Args {
    /// An ONNX file with an output [n, classes, rows, columns], or [n, rows, columns] of whole class numbers
    file: PathBuf,
    /// A PNG or JPEG file
    image: PathBuf,
    /// Where to write the picture: a PNG or JPEG file, by the ending of its name
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite it
    #[arg(long)]
    force: bool,
    /// Which output [default: out, else the first of such a shape]
    #[arg(long, value_name = "NAME")]
    tensor: Option<String>,
    /// What the classes are called, one per line [default: what the file notes, else VOC's if there are 21]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
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

/// How much of the colour is seen, and how much of the picture.
const OPACITY: f32 = 0.6;

/// The class of each pixel of an output, row by row.
struct Classes {
    of: Vec<usize>,
    rows: usize,
    columns: usize,
    /// How many there are, if the output says.
    count: Option<usize>,
}

pub(crate) fn segment(args: &Args, device: Option<&str>) -> Result<()> {
    picture::savable(&args.output, args.force)?;
    let picture = picture::open(&args.image)?;
    let refused = |task: &str| match task {
        "semantic" => None,
        "segment" => Some(": instance masks are not read; spp detect reads their boxes"),
        "detect" => Some("; spp detect reads its boxes"),
        _ => Some(OTHER_TASK),
    };
    let network = Network::open(&args.file, &args.reading, refused, &args.arithmetic, device)?;
    let bad = |what: String| Failure::Usage(format!("{}: {what}", args.file.display()));
    let usual = detection::Preparation {
        fit: Fit::Stretch,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        ..detection::Preparation::default()
    };
    let (input, placement) = picture::prepared(&picture, &args.preparation.or(usual)?, network.input)?;
    let results = network.run(&[input])?;
    if args.tensor.is_none()
        && let Ok(head) = Head::find(&network.outputs(&results), network.input)
    {
        let hint = "spp detect reads them; if it is no detector, --tensor names the output";
        return Err(bad(format!("the outputs look like those of a detector, {head}; {hint}")));
    }
    let chosen = chosen(&network.model.outputs, network.len, args.tensor.as_deref()).map_err(bad)?;
    let classes = classes(&network.model.outputs[chosen], &results[chosen])?;
    let mut labels = Labels::open(args.labels.as_deref(), &network.model)?;
    let named = labels.count();
    if let (Some(count), Some(named)) = (classes.count, named)
        && named < count
    {
        let remedy = "--labels needs a line for each, the background's first";
        return Err(bad(format!("only {named} of {count} classes have a name; {remedy}")));
    }

    let voc: Vec<&str> = if classes.count == Some(21) { [&["background"], &VOC[..]].concat() } else { vec![] };
    let prepared = "the picture is prepared as torchvision's networks need it (--fit, --order, --scale, --mean, --std)";
    let called = "the classes are called by VOC's names (--labels)";
    let is_assumed = [(!args.preparation.is_given(), prepared), (named.is_none() && !voc.is_empty(), called)];
    let assumed: Vec<&str> = is_assumed.into_iter().filter_map(|(is, what)| is.then_some(what)).collect();
    if !assumed.is_empty() {
        note(format!("{}; options say otherwise", assumed.join(", and ")));
    }
    labels.default_to(&voc);
    let (painted, counts) = paint(&picture, &classes, &placement, network.input);
    picture::save(&args.output, &painted, args.force)?;

    let pixels = f64::from(picture.width()) * f64::from(picture.height());
    let mut rows: Vec<(usize, f64)> = counts.into_iter().map(|(class, count)| (class, count as f64 / pixels)).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    if args.json {
        let row = |&(class, share): &(usize, f64)| -> Value {
            json!({ "class": class, "label": labels.of(class), "share": share, "colour": paint::pascal(class).0 })
        };
        return Ok(say_json(&rows.iter().map(row).collect())?);
    }
    let row = |&(class, share): &(usize, f64)| [class.to_string(), labels.of(class), format!("{share:.4}")];
    Ok(say_table(["class", "label", "share"], &rows.iter().map(row).collect::<Vec<_>>())?)
}

/// Which of the outputs of `n` pictures it is. Errors: none is of such a shape, or there is none of that name; without a
/// name, maps of different sizes, such as a detector's or a backbone's.
fn chosen(outputs: &[Port], n: usize, name: Option<&str>) -> Result<usize, String> {
    let is_map = |port: &Port| match port.dims[..] {
        [of, _, _, _] => of as usize == n,
        [of, _, _] => of as usize == n && is_whole(port),
        _ => false,
    };
    let listed = || {
        let port =
            |port: &Port| format!("'{}' {:?} {}", port.name, port.dims, format!("{:?}", port.element).to_lowercase());
        outputs.iter().map(port).collect::<Vec<_>>().join(", ")
    };
    let named = |name: &str| outputs.iter().position(|port| port.name == name && is_map(port));
    let found = match name {
        Some(name) => named(name),
        None => named("out").or_else(|| outputs.iter().position(is_map)),
    };
    let Some(found) = found else {
        let needs = format!("no output [{n}, classes, rows, columns], or [{n}, rows, columns] of whole numbers");
        let called = name.map(|name| format!(" called '{name}'")).unwrap_or_default();
        return Err(format!("{needs}{called}; there is {}", listed()));
    };
    let mut others = outputs.iter().filter(|port| is_map(port));
    if name.is_none() && outputs[found].name != "out" && others.any(|port| port.dims != outputs[found].dims) {
        return Err(format!(
            "outputs of several sizes, as of a detector or a backbone: {}; --tensor names one",
            listed()
        ));
    }
    Ok(found)
}

fn is_whole(port: &Port) -> bool {
    port.element != ElementType::Float
}

/// The largest of each pixel's scores; of whole numbers, the class itself; of one score, whether it is above a threshold.
/// Of several pictures, the first.
///
/// Errors: whole numbers for each class, a class below 0.
fn classes(port: &Port, result: &Tensor) -> Result<Classes, Error> {
    let extent = |from_end: usize| port.dims[port.dims.len() - from_end] as usize;
    let (rows, columns) = (extent(2), extent(1));
    let count = if port.dims.len() == 4 { extent(3) } else { 1 };
    let planes: Vec<&[f32]> = result.data().chunks(rows * columns).take(count).collect();
    let refuse = |what: String| {
        let hint = "needs scores of classes in floats, or one channel of whole class numbers from 0".into();
        Err(Error::Unsupported { op: format!("output '{}'", port.name), what, hint })
    };
    let (of, count) = match planes[..] {
        [only] if is_whole(port) => {
            if let Some(class) = only.iter().find(|&&class| class < 0.0) {
                return refuse(format!("a class of {class}"));
            }
            (only.iter().map(|&class| class as usize).collect(), None)
        }
        _ if is_whole(port) => return refuse(format!("{:?} of whole numbers", port.dims)),
        [only] => {
            let threshold = if only.iter().all(|score| (0.0..=1.0).contains(score)) { 0.5 } else { 0.0 };
            note(format!("'{}' is one channel: class 1 is what is above {threshold}", port.name));
            (only.iter().map(|&score| usize::from(score > threshold)).collect(), Some(2))
        }
        _ => {
            let of = |pixel: usize| {
                let better =
                    |best: usize, class: usize| if planes[class][pixel] > planes[best][pixel] { class } else { best };
                (0..planes.len()).fold(0, better)
            };
            ((0..rows * columns).map(of).collect(), Some(count))
        }
    };
    Ok(Classes { of, rows, columns, count })
}

/// The picture under the colours, and how many pixels are of each class.
fn paint(
    picture: &RgbImage,
    classes: &Classes,
    placement: &Placement,
    input: [u32; 2],
) -> (RgbImage, BTreeMap<usize, u64>) {
    let mut counts = BTreeMap::new();
    let mut painted = picture.clone();
    // From a pixel's middle to the input, and on to the output.
    let along = |axis: usize, cells: usize| -> Vec<usize> {
        let step = f64::from(placement.scaled[axis]) / f64::from(placement.picture[axis]);
        let at = |pixel| (f64::from(pixel) + 0.5) * step + f64::from(placement.offset[axis]);
        let cell = |pixel| (at(pixel) / f64::from(input[axis]) * cells as f64) as usize;
        (0..placement.picture[axis]).map(|pixel| cell(pixel).min(cells - 1)).collect()
    };
    let (rows, columns) = (along(0, classes.rows), along(1, classes.columns));
    for (x, y, pixel) in painted.enumerate_pixels_mut() {
        let class = classes.of[rows[y as usize] * classes.columns + columns[x as usize]];
        *counts.entry(class).or_default() += 1;
        let Rgb(colour) = paint::pascal(class);
        *pixel = Rgb([0, 1, 2].map(|channel| paint::mix(pixel.0[channel], colour[channel], OPACITY)));
    }
    (painted, counts)
}

#[cfg(test)]
mod tests {
    use spp_wgpu::Shape;

    use super::*;

    fn of(dims: &[u32], element: ElementType, data: Vec<f32>) -> Result<Classes, Error> {
        let port = Port { name: "out".into(), dims: dims.to_vec(), element };
        let shape = Shape::new(1, 1, 1, data.len() as u32);
        classes(&port, &Tensor::new(shape, data).expect("the shape is the data's"))
    }

    #[test]
    fn each_pixel_is_of_the_class_with_the_largest_score() {
        let three = of(&[1, 3, 1, 2], ElementType::Float, vec![0.0, 5.0, 1.0, f32::NAN, 0.5, 6.0]).expect("scores");
        assert_eq!((three.of, three.count), (vec![1, 2], Some(3)));
        let second_of_two = of(&[2, 2, 1, 1], ElementType::Float, vec![0.0, 1.0, 9.0, 0.0]).expect("scores");
        assert_eq!(second_of_two.of, [1]);
    }

    #[test]
    fn whole_numbers_are_classes_and_one_channel_of_floats_is_a_mask() {
        let numbers = of(&[1, 1, 3], ElementType::Int, vec![7.0, 0.0, 1.0]).expect("classes");
        assert_eq!((numbers.of, numbers.count), (vec![7, 0, 1], None));
        let of_floats = |data| of(&[1, 1, 1, 3], ElementType::Float, data).expect("a mask").of;
        assert_eq!(of_floats(vec![0.4, 0.6, 0.5]), [0, 1, 0]);
        assert_eq!(of_floats(vec![-3.0, 0.4, f32::NAN]), [0, 1, 0]);
        for (dims, data) in [([1, 1, 1, 1], vec![-1.0]), ([1, 2, 1, 1], vec![0.0, 1.0])] {
            assert!(of(&dims, ElementType::Int, data).is_err());
        }
    }

    #[test]
    fn the_output_is_a_map_of_classes_and_the_only_one_of_its_kind() {
        let port = |name: &str, element, dims: &[u32]| Port { name: name.into(), dims: dims.to_vec(), element };
        let floats = |name, dims: &[u32]| port(name, ElementType::Float, dims);
        let found = |ports: &[Port], name| chosen(ports, 2, name).ok();
        let (large, small) = (floats("a", &[2, 21, 8, 8]), floats("b", &[2, 21, 4, 4]));
        assert_eq!(found(&[floats("aux", &[2, 21, 4, 4]), floats("out", &[2, 21, 8, 8])], None), Some(1));
        assert_eq!(found(&[large.clone(), floats("c", &[2, 21, 8, 8])], None), Some(0));
        assert_eq!(found(&[large.clone(), small.clone()], None), None, "features of a backbone");
        assert_eq!(found(&[large, small], Some("b")), Some(1));
        assert_eq!(found(&[floats("rows", &[2, 84, 252])], None), None, "a detector's");
        assert_eq!(found(&[port("classes", ElementType::Int, &[2, 8, 8])], None), Some(0));
        assert_eq!(found(&[floats("one", &[1, 21, 8, 8])], None), None, "of one picture, not of two");
    }

    #[test]
    fn classes_lie_over_the_picture_where_the_letterbox_put_it() {
        // A wide picture in a square input: of four rows of classes, the middle two are of the picture.
        let placement = Fit::Letterbox.place([10, 20], [64, 64]).expect("it has pixels");
        let all = Classes { of: vec![9, 9, 1, 2, 3, 4, 9, 9], rows: 4, columns: 2, count: None };
        let (painted, counts) = paint(&RgbImage::new(20, 10), &all, &placement, [64, 64]);
        assert_eq!(counts, [1, 2, 3, 4].map(|class| (class, 50)).into());
        let colour = |class| Rgb(paint::pascal(class).0.map(|value| paint::mix(0, value, OPACITY)));
        assert_eq!((painted.get_pixel(0, 0), painted.get_pixel(19, 9)), (&colour(1), &colour(4)));
    }
}
