//! `spp segment`: which class each pixel of a picture is of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use spp_wgpu::detection::{Fit, Placement, labels};
use spp_wgpu::onnx::Port;
use spp_wgpu::{Tensor, detection};

use crate::failure::{Failure, Result};
use crate::network::{Labels, Network};
use crate::output::{say_json, say_table, writable};
use crate::paint;
use crate::picture::{self, Preparation};
use crate::planning::Stored;
use crate::source::Reading;

/// Tell with an ONNX file what each pixel of a picture shows, in colours over the picture
///
/// Pictures are prepared as torchvision's networks expect them; options say otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp segment deeplabv3.onnx street.jpg -o mask.png")]
pub(crate) struct Args {
    /// An ONNX file with an output [1, classes, rows, columns], or [1, rows, columns] of class numbers
    file: PathBuf,
    /// A PNG or JPEG file
    image: PathBuf,
    /// Where to write the picture: a PNG file
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
    /// Let kernels multiply matrices on tensor cores or their like, which wgpu calls experimental, if the adapter has them
    #[arg(long)]
    matrices: bool,
    #[command(flatten)]
    stored: Stored,
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
    writable(&args.output, args.force)?;
    let picture = picture::open(&args.image)?;
    let network = Network::open(&args.file, &args.reading, &args.stored, args.matrices, device)?;
    let usual = detection::Preparation {
        fit: Fit::Stretch,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        ..detection::Preparation::default()
    };
    let (input, placement) = picture::prepared(&picture, &args.preparation.or(usual)?, network.input)?;
    let chosen = chosen(args, &network)?;
    let results = network.run(input)?;
    let classes = classes(&network.model.outputs[chosen], &results[chosen]);

    let voc: Vec<&str> = if classes.count == Some(21) { [&["background"], &labels::VOC[..]].concat() } else { vec![] };
    let labels = Labels::open(args.labels.as_deref(), &network.model, &voc)?;
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

/// Which of the outputs it is. Errors: none is of such a shape, or there is none of that name.
fn chosen(args: &Args, network: &Network) -> Result<usize> {
    let outputs = &network.model.outputs;
    let is_map = |port: &Port| matches!(port.dims[..], [1, _, _, _] | [1, _, _]);
    let listed =
        || outputs.iter().map(|port| format!("'{}' {:?}", port.name, port.dims)).collect::<Vec<_>>().join(", ");
    let named = |name: &str| outputs.iter().position(|port| port.name == name && is_map(port));
    let found = match &args.tensor {
        Some(name) => named(name),
        None => named("out").or_else(|| outputs.iter().position(is_map)),
    };
    found.ok_or_else(|| {
        let needs = "no output [1, classes, rows, columns] or [1, rows, columns]";
        let called = args.tensor.as_ref().map(|name| format!(" called '{name}'")).unwrap_or_default();
        Failure::Usage(format!("{}: {needs}{called}; there is {}", args.file.display(), listed()))
    })
}

/// The largest of each pixel's scores; of one score, the number it is nearest to.
fn classes(port: &Port, result: &Tensor) -> Classes {
    let extent = |from_end: usize| port.dims[port.dims.len() - from_end] as usize;
    let (rows, columns) = (extent(2), extent(1));
    let count = if port.dims.len() == 4 { extent(3) } else { 1 };
    let planes: Vec<&[f32]> = result.data().chunks(rows * columns).take(count).collect();
    let of = |pixel: usize| match planes[..] {
        [only] => only[pixel].round().max(0.0) as usize,
        _ => {
            let better =
                |best: usize, class: usize| if planes[class][pixel] > planes[best][pixel] { class } else { best };
            (0..planes.len()).fold(0, better)
        }
    };
    Classes { of: (0..rows * columns).map(of).collect(), rows, columns, count: (count > 1).then_some(count) }
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
    use spp_wgpu::onnx::ElementType;

    use super::*;

    fn of(dims: &[u32], data: Vec<f32>) -> Classes {
        let port = Port { name: "out".into(), dims: dims.to_vec(), element: ElementType::Float };
        let shape = Shape::new(1, 1, 1, data.len() as u32);
        classes(&port, &Tensor::new(shape, data).expect("the shape is the data's"))
    }

    #[test]
    fn each_pixel_is_of_the_class_with_the_largest_score() {
        let three = of(&[1, 3, 1, 2], vec![0.0, 5.0, 1.0, f32::NAN, 0.5, 6.0]);
        assert_eq!((three.of, three.count), (vec![1, 2], Some(3)));
        let numbers = of(&[1, 1, 3], vec![7.0, f32::NAN, -1.0]);
        assert_eq!((numbers.of, numbers.count), (vec![7, 0, 0], None));
        assert_eq!(of(&[1, 1, 1, 2], vec![0.4, 0.6]).of, [0, 1]);
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
