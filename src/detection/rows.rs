//! Outputs as rows of numbers, whichever way round they lie.

use std::mem;

use super::head::Output;
use super::nms::best;
use super::{Detection, MAX_CANDIDATES};
use crate::error::{Error, Result};

/// What there is that cannot be read, and what to do.
pub(super) type Bad = (String, &'static str);

/// `n` images with `rows` rows of `width` numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) n: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    data: &'a [f32],
    /// From row to row, and from number to number of one row.
    steps: [usize; 2],
}

impl<'a> Rows<'a> {
    /// Of `[n, rows, width]`, also with a dimension of 1 before or after the rows, and of one image's `[rows, width]`. One
    /// row alone is no list, but a classifier's scores.
    pub(super) fn of(output: &Output<'a>) -> Option<Self> {
        let (n, rows, width) = match *output.dims {
            [rows, width] if rows > 1 => (1, rows, width),
            [n, rows, width] | [n, 1, rows, width] | [n, rows, 1, width] => (n, rows, width),
            _ => return None,
        };
        let [n, rows, width] = [n, rows, width].map(|extent| extent as usize);
        Some(Self { n, rows, width, data: output.data, steps: [width, 1] })
    }

    pub(super) fn transposed(self) -> Self {
        let [row, column] = self.steps;
        Self { rows: self.width, width: self.rows, steps: [column, row], ..self }
    }

    /// Of an index beyond the extents, which no caller has: 0.
    pub(super) fn at(&self, image: usize, row: usize, column: usize) -> f32 {
        let index = image * self.rows * self.width + row * self.steps[0] + column * self.steps[1];
        self.data.get(index).copied().unwrap_or_default()
    }

    /// The first four numbers of a row.
    pub(super) fn four(&self, image: usize, row: usize) -> [f32; 4] {
        [0, 1, 2, 3].map(|column| self.at(image, row, column))
    }

    /// Image and row of all rows.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { n, rows, .. } = *self;
        (0..n).flat_map(move |image| (0..rows).map(move |row| (image, row)))
    }

    /// All numbers of all images row by row, where they lie so.
    pub(super) fn image(&self, image: usize) -> &'a [f32] {
        let len = self.rows * self.width;
        self.data.get(image * len..(image + 1) * len).unwrap_or_default()
    }
}

/// The largest number and which it is, from 0; the first of equals. `None` if there is no number among them.
pub(super) fn largest(scores: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    let scores = scores.enumerate().filter(|(_, score)| !score.is_nan());
    scores.reduce(|best, other| if other.1 > best.1 { other } else { best })
}

/// Whether these are probabilities already: no row has a negative number, or another sum than 1, to within what `f16`
/// rounds off a thousand classes.
pub(super) fn are_probabilities(scores: &[f32], classes: usize) -> bool {
    scores
        .chunks(classes.max(1))
        .all(|row| row.iter().all(|&p| p >= 0.0) && (row.iter().sum::<f32>() - 1.0).abs() < 0.01)
}

/// `e^x` of each number of a row over their sum.
pub(super) fn softmax(scores: &[f32], classes: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = row.iter().map(|x| (x - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.into_iter().map(move |power| power / sum)
    };
    scores.chunks(classes.max(1)).flat_map(row).collect()
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// From centre and size.
pub(super) fn corners([cx, cy, w, h]: [f32; 4]) -> [f32; 4] {
    [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0]
}

/// What was found in one image, the best of it if it is very much.
#[derive(Debug, Default)]
pub(super) struct Candidates(pub(super) Vec<Detection>);

impl Candidates {
    pub(super) fn push(&mut self, class: usize, score: f32, corners: [f32; 4]) {
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
pub(super) fn of_rows(
    rows: Rows,
    classes: std::ops::Range<usize>,
    threshold: f32,
    place: impl Fn(usize, [f32; 4]) -> [f32; 4],
) -> Result<Vec<Vec<Detection>>, Bad> {
    check_scores(rows, 4..classes.end)?;
    let image = |image| {
        let mut found = Candidates::default();
        for row in 0..rows.rows {
            let objectness = if classes.start == 5 { rows.at(image, row, 4) } else { 1.0 };
            // No class is above 1, so that most rows are done with here.
            if objectness <= threshold {
                continue;
            }
            if let Some((class, score)) = largest(classes.clone().map(|column| rows.at(image, row, column))) {
                let score = objectness * score;
                if score > threshold {
                    found.push(class, score, corners(place(row, rows.four(image, row))));
                }
            }
        }
        found.0
    };
    Ok((0..rows.n).map(image).collect())
}

/// Angles and key points stand where scores would, and so do numbers that no sigmoid has seen.
fn check_scores(rows: Rows, columns: std::ops::Range<usize>) -> Result<(), Bad> {
    let is_score = |score: f32| score.is_nan() || (-0.01..=1.01).contains(&score);
    let mut scores = rows.places().flat_map(|(n, row)| columns.clone().map(move |column| rows.at(n, row, column)));
    match scores.find(|&score| !is_score(score)) {
        Some(score) => {
            let hint = "scores are 0 to 1; oriented boxes and key points cannot be read";
            Err((format!("a score of {score}"), hint))
        }
        None => Ok(()),
    }
}

pub(super) fn end_to_end(rows: Rows, threshold: f32) -> Result<Vec<Vec<Detection>>, Bad> {
    check_scores(rows, 4..5)?;
    let filled = |&(n, row): &(usize, usize)| rows.at(n, row, 4) > 0.0;
    let mut classes = rows.places().filter(filled).map(|(n, row)| rows.at(n, row, 5));
    let is_class = |&class: &f32| class >= 0.0 && class.fract() == 0.0;
    if let Some(class) = classes.find(|class| !is_class(class)) {
        let hint =
            "the sixth number of a row is a whole one from 0; rows of 4 + 2 scores, as RT-DETR's, cannot be read";
        return Err((format!("a class of {class}"), hint));
    }
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
    Ok((0..rows.n).map(image).collect())
}

/// Scores with the background first, and boxes in pixels.
pub(super) fn of_pair(
    n: usize,
    boxes: impl Fn(usize) -> Result<Vec<[f32; 4]>>,
    scores: Rows,
    threshold: f32,
    bad: impl Fn(Bad) -> Error,
) -> Result<Vec<Vec<Detection>>> {
    let image = |image| {
        let boxes = boxes(image)?;
        let classes = scores.width;
        let values = scores.image(image);
        let computed;
        let values = if are_probabilities(values, classes) {
            values
        } else if values.iter().all(|score| (0.0..=1.0).contains(score)) {
            let hint = "scores are softmax's or before it, the background first; those of a sigmoid cannot be read";
            return Err(bad(("rows of scores that do not sum to 1".into(), hint)));
        } else {
            computed = softmax(values, classes);
            &computed
        };
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

pub(super) fn scaled(mut boxes: Vec<[f32; 4]>, [rows, columns]: [u32; 2]) -> Vec<[f32; 4]> {
    let [rows, columns] = [rows, columns].map(|pixels| pixels as f32);
    boxes.iter_mut().for_each(|[x0, y0, x1, y1]| {
        [x0, x1].into_iter().for_each(|x| *x *= columns);
        [y0, y1].into_iter().for_each(|y| *y *= rows);
    });
    boxes
}
