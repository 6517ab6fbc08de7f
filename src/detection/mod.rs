//! From a network's outputs to boxes on the picture, on the CPU: pictures as inputs, the heads of detectors, default
//! boxes, decoding, non-maximum suppression.

mod find;
mod head;
pub mod labels;
mod maps;
mod nms;
mod prepare;
mod priors;
mod rows;

pub use head::{Head, Known, Output};
pub use maps::Anchors;
pub use nms::{MAX_CANDIDATES, non_maximum_suppression};
pub use prepare::{Fit, Placement, Preparation};
pub use priors::{PriorConfig, PriorLevel, decode, priors, ultraface_priors};

use nms::suppress;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// One object found in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// From [`detections`], the column of the confidence tensor, where 0 is the background and never appears here; from a
    /// [`Head`], the class, the background not counted.
    pub class: usize,
    /// The confidence.
    pub score: f32,
    /// Left, top, right, bottom; may reach beyond the image. From [`detections`] in units of the image: 0 is its left or
    /// upper border, 1 the right or lower one. From a [`Head`] in pixels of the network's input, and
    /// [`Placement::to_picture`] goes on from there.
    pub corners: [f32; 4],
}

/// Which boxes are worth reporting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectionOptions {
    /// Scores must be above this.
    pub score_threshold: f32,
    /// Of two boxes of one class whose intersection over union is above this, the one with the lower score is dropped.
    pub iou_threshold: f32,
    /// Whether boxes of different classes rival each other as well.
    pub agnostic: bool,
    /// The most boxes of an image that are looked at, those with the best scores; more than [`MAX_CANDIDATES`] never are.
    pub candidates: usize,
    /// The most boxes of one class in one image, if classes do not rival each other.
    pub keep_per_class: usize,
    /// The most boxes in one image.
    pub keep_total: usize,
}

impl Default for DetectionOptions {
    fn default() -> Self {
        Self {
            score_threshold: 0.01,
            iou_threshold: 0.45,
            agnostic: false,
            candidates: MAX_CANDIDATES,
            keep_per_class: 200,
            keep_total: 200,
        }
    }
}

/// The objects of each image, best score first; equal scores by class, then by prior.
/// `loc` is `[n, priors, 1, 4]`; `conf` is `[n, priors, 1, classes]`, class probabilities with the background first.
///
/// Errors: tensors of other shapes, or with a row count that is not `config`'s number of priors; a threshold outside
/// 0..=1.
pub fn detections(
    loc: &Tensor,
    conf: &Tensor,
    config: &PriorConfig,
    options: &DetectionOptions,
) -> Result<Vec<Vec<Detection>>> {
    options.check()?;
    let (l, c) = (loc.shape(), conf.shape());
    let rows = config.len()?;
    if (l.n, l.c, l.h, l.w) != (c.n, c.c, 1, 4) || c.h != 1 || u64::from(l.c) != rows {
        let detail = format!("loc {l} and conf {c} must be [n, {rows}, 1, 4] and [n, {rows}, 1, classes]");
        return Err(Error::mismatch("detections", detail));
    }
    let priors = priors(config)?;
    let classes = c.w as usize;
    let images = loc.data().chunks(priors.len() * 4).zip(conf.data().chunks(priors.len() * classes));
    images
        .map(|(loc, conf)| {
            let boxes = decode(loc, &priors, config.variances)?;
            let mut found = Vec::new();
            // Class by class, so that equal scores stay in the order of class and prior.
            for class in 1..classes {
                found.extend(of_class(class, &boxes, conf, classes, options.score_threshold));
            }
            Ok(suppress(found, options))
        })
        .collect()
}

fn of_class(
    class: usize,
    boxes: &[[f32; 4]],
    conf: &[f32],
    classes: usize,
    score_threshold: f32,
) -> impl Iterator<Item = Detection> {
    let scores = conf.iter().skip(class).step_by(classes);
    let candidates = boxes.iter().zip(scores).filter(move |&(_, &score)| score > score_threshold);
    candidates.map(move |(&corners, &score)| Detection { class, score, corners })
}

impl DetectionOptions {
    fn check(&self) -> Result<()> {
        check_threshold("score_threshold", self.score_threshold)?;
        check_threshold("iou_threshold", self.iou_threshold)
    }
}

fn check_threshold(param: &'static str, value: f32) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::param("detections", param, value, "must be in 0..=1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    /// 2x2 cells in an image of 8x8, no ratios: each cell has two priors that are the same box, of size 4/8 = ½ and
    /// √(½ · ½) = ½.
    fn config() -> PriorConfig {
        let level = PriorLevel { cells: [2; 2], step: [4.0; 2], min_size: 4.0, max_size: 4.0, ratios: vec![] };
        PriorConfig { image_size: [8; 2], levels: vec![level], variances: [0.1, 0.2], clip: true }
    }

    fn tensor(rows: u32, width: u32, data: Vec<f32>) -> Tensor {
        let n = data.len() as u32 / (rows * width);
        Tensor::new(Shape::new(n, rows, 1, width), data).unwrap()
    }

    fn found(conf: Vec<f32>, options: DetectionOptions) -> Vec<Vec<(usize, f32, [f32; 4])>> {
        let conf = tensor(8, 3, conf);
        let loc = tensor(8, 4, vec![0.0; conf.shape().n as usize * 32]);
        let images = detections(&loc, &conf, &config(), &options).unwrap();
        images.into_iter().map(|image| image.into_iter().map(|d| (d.class, d.score, d.corners)).collect()).collect()
    }

    /// The boxes of priors 0 and 1, of 2 and 3, and so on.
    const CELLS: [[f32; 4]; 4] =
        [[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]];

    #[test]
    fn the_background_is_skipped_and_classes_do_not_suppress_each_other() {
        #[rustfmt::skip]
        let first = vec![ // background, class 1, class 2
            1.0, 0.25, 0.0,   0.0, 0.5, 0.5, // cell 0: the 0.25 of class 1 gives way to the 0.5 on the same box
            0.0, 0.0, 0.0,    0.0, 0.0, 0.0,
            0.0, 0.0, 0.01,   0.0, 0.0, f32::NAN, // not above the threshold; not a number
            0.9, 0.75, 0.0,   0.0, 0.0, 0.0,
        ];
        let mut second = vec![0.0; 24];
        second[3 * 2 + 2] = 0.125; // prior 2, class 2
        let images = found([first, second].concat(), DetectionOptions::default());
        assert_eq!(images[0], [(1, 0.75, CELLS[3]), (1, 0.5, CELLS[0]), (2, 0.5, CELLS[0])]);
        assert_eq!(images[1], [(2, 0.125, CELLS[1])]);
    }

    #[test]
    fn counts_are_limited_per_class_and_in_total() {
        let conf = (0..24).map(|i| if i % 3 == 0 { 0.0 } else { 0.5 + i as f32 / 64.0 }).collect::<Vec<_>>();
        let options = DetectionOptions { keep_per_class: 2, keep_total: 3, ..Default::default() };
        // The later the prior the higher the score, class 2 above class 1: 23/64, 22/64 on cell 3, then on cell 2.
        let scores = [23.0, 22.0, 17.0].map(|i| 0.5 + i / 64.0);
        let expected = [(2, scores[0], CELLS[3]), (1, scores[1], CELLS[3]), (2, scores[2], CELLS[2])];
        assert_eq!(found(conf.clone(), options), [expected]);
        assert_eq!(found(conf, DetectionOptions { keep_total: 0, ..options }), [[]]);
    }

    #[test]
    fn no_images_give_no_detections() {
        let loc = Tensor::filled(Shape::new(0, 8, 1, 4), 0.0).unwrap();
        let conf = Tensor::filled(Shape::new(0, 8, 1, 3), 0.0).unwrap();
        assert!(detections(&loc, &conf, &config(), &DetectionOptions::default()).unwrap().is_empty());
    }

    #[test]
    fn shapes_and_thresholds_are_checked() {
        let run = |loc: [u32; 4], conf: [u32; 4], options| {
            let [loc, conf] = [loc, conf].map(|[n, c, h, w]| Tensor::filled(Shape::new(n, c, h, w), 0.5).unwrap());
            detections(&loc, &conf, &config(), &options).map(|_| ())
        };
        let usual = DetectionOptions::default();
        run([1, 8, 1, 4], [1, 8, 1, 3], usual).unwrap();
        for (loc, conf) in [
            ([1, 7, 1, 4], [1, 7, 1, 3]),
            ([1, 8, 1, 5], [1, 8, 1, 3]),
            ([1, 8, 4, 1], [1, 8, 1, 3]),
            ([1, 8, 1, 4], [2, 8, 1, 3]),
            ([1, 8, 1, 4], [1, 8, 3, 1]),
        ] {
            let error = run(loc, conf, usual).unwrap_err();
            assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        }
        for value in [f32::NAN, -0.1, 1.5, f32::INFINITY] {
            for options in [
                DetectionOptions { score_threshold: value, ..usual },
                DetectionOptions { iou_threshold: value, ..usual },
            ] {
                let error = run([1, 8, 1, 4], [1, 8, 1, 3], options).unwrap_err();
                assert!(error.to_string().contains("_threshold"), "{error}");
            }
        }
    }
}
