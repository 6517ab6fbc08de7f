//! Pictures: read, prepared for a network, written. Options that several commands share.

use std::path::Path;

use image::error::UnsupportedErrorKind;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits, RgbImage};
use spp_wgpu::detection::{self, Fit, Placement};
use spp_wgpu::{Error, Tensor};

use crate::output::{writable, write_file};

/// More pixels along an axis, or more bytes in all, are no picture but an attempt to fill the memory.
const MAX_SIDE: u32 = 1 << 16;
const MAX_BYTES: u64 = 1 << 30;

/// Keeps the options together in the help.
const HEADING: &str = "How pictures are prepared";

/// How a picture becomes a network's input.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Preparation {
    /// How the picture is made to fit: as a whole with grey beside it (at the bottom or right: top-left), or stretched
    /// [default: of detect as the head needs it, of segment stretch, of run letterbox]
    #[arg(long, help_heading = HEADING, value_enum)]
    fit: Option<FitName>,
    /// Which colour is the first channel [default: of detect as the head needs it, else rgb]
    #[arg(long, help_heading = HEADING, value_enum)]
    order: Option<Order>,
    /// Multiplies the values, which are 0 to 255: a number or a fraction [default: of detect as the head needs it,
    /// else 1/255]
    #[arg(long, help_heading = HEADING, value_name = "FACTOR", value_parser = number)]
    scale: Option<f32>,
    /// Taken away after that: one number, or one for each channel in their order [default: of detect as the head needs it,
    /// of segment ImageNet's 0.485,0.456,0.406, of run 0]
    #[arg(long, help_heading = HEADING, value_name = "A,B,C", value_delimiter = ',', value_parser = number)]
    #[arg(allow_hyphen_values = true)]
    mean: Vec<f32>,
    /// What is left is divided by it: one number, or one for each channel in their order [default: of detect as the head
    /// needs it, of segment ImageNet's 0.229,0.224,0.225, of run 1]
    #[arg(long, help_heading = HEADING, value_name = "A,B,C", value_delimiter = ',', value_parser = number)]
    std: Vec<f32>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FitName {
    Letterbox,
    TopLeft,
    Stretch,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Order {
    Rgb,
    Bgr,
}

fn number(text: &str) -> Result<f32, String> {
    let one = |text: &str| text.trim().parse::<f32>().map_err(|error| format!("'{text}': {error}"));
    let value = match text.split_once('/') {
        Some((over, under)) => one(over)? / one(under)?,
        None => one(text)?,
    };
    if value.is_finite() { Ok(value) } else { Err("must be finite".into()) }
}

impl Preparation {
    /// Whether any of it is given.
    pub(crate) const fn is_given(&self) -> bool {
        let Self { fit, order, scale, mean, std } = self;
        fit.is_some() || order.is_some() || scale.is_some() || !mean.is_empty() || !std.is_empty()
    }

    /// What is given, and the rest as it usually is.
    pub(crate) fn or(&self, usual: detection::Preparation) -> Result<detection::Preparation, Error> {
        let three = |param, given: &[f32], usual| match *given {
            [] => Ok(usual),
            [all] => Ok([all; 3]),
            [a, b, c] => Ok([a, b, c]),
            _ => {
                let reason = "takes one number, or three".to_string();
                Err(Error::InvalidParam { op: "picture".into(), param, value: format!("{given:?}"), reason })
            }
        };
        let fit = |name| match name {
            FitName::Letterbox => Fit::Letterbox,
            FitName::TopLeft => Fit::LetterboxTopLeft,
            FitName::Stretch => Fit::Stretch,
        };
        Ok(detection::Preparation {
            fit: self.fit.map_or(usual.fit, fit),
            bgr: self.order.map_or(usual.bgr, |order| order == Order::Bgr),
            scale: self.scale.unwrap_or(usual.scale),
            mean: three("mean", &self.mean, usual.mean)?,
            std: three("std", &self.std, usual.std)?,
        })
    }
}

/// Rows and columns.
pub(crate) fn size(picture: &RgbImage) -> [u32; 2] {
    [picture.height(), picture.width()]
}

/// As an input `[1, 3, rows, columns]`.
pub(crate) fn prepared(
    picture: &RgbImage,
    preparation: &detection::Preparation,
    input: [u32; 2],
) -> Result<(Tensor, Placement), Error> {
    preparation.apply(picture.as_raw(), size(picture), input)
}

/// Whether [`open`] stands a chance, as far as the first bytes tell. Errors: as there.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    decoder(path).map(|_| ()).map_err(|error| unread(path, &error))
}

/// A PNG or JPEG file, turned upright, in eight bits per colour; what is transparent shows the colour it has.
///
/// Errors: another format, a damaged file, one that takes more than 1 GiB.
pub(crate) fn open(path: &Path) -> Result<RgbImage, Error> {
    let decoded = || {
        let mut decoder = decoder(path)?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture.into_rgb8())
    };
    let picture: RgbImage = decoded().map_err(|error: ImageError| unread(path, &error))?;
    if size(&picture).contains(&0) {
        return Err(Error::File { path: path.into(), reason: "has no pixels".into() });
    }
    Ok(picture)
}

fn decoder(path: &Path) -> ImageResult<impl ImageDecoder> {
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits.clone());
    let decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    Ok(decoder)
}

fn unread(path: &Path, error: &ImageError) -> Error {
    let reason = match error {
        ImageError::Unsupported(error) if matches!(error.kind(), UnsupportedErrorKind::Format(_)) => {
            "is no PNG or JPEG picture, which are the formats that are read".into()
        }
        error => error.to_string(),
    };
    Error::File { path: path.into(), reason }
}

/// What to write by the ending of a name. Errors: another than `.png`, `.jpg` or `.jpeg`.
fn format(path: &Path) -> Result<ImageFormat, Error> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("png") => Ok(ImageFormat::Png),
        Some("jpg" | "jpeg") => Ok(ImageFormat::Jpeg),
        _ => {
            let reason = "a picture is written as PNG or JPEG: end the name in .png, .jpg or .jpeg";
            Err(Error::File { path: path.into(), reason: reason.into() })
        }
    }
}

/// Whether [`save`] stands a chance. Errors: as there.
pub(crate) fn savable(path: &Path, force: bool) -> Result<(), Error> {
    writable(path, force)?;
    format(path).map(|_| ())
}

/// Writes a PNG or JPEG file, whole or not at all. Errors: as [`write_file`]; another ending of the name.
pub(crate) fn save(path: &Path, picture: &RgbImage, force: bool) -> Result<(), Error> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut bytes, format(path)?);
    encoded.map_err(|error| Error::File { path: path.into(), reason: error.to_string() })?;
    write_file(path, bytes.get_ref(), force)
}
