//! Outputs as rows of numbers, whichever way round they lie.

use super::head::Output;

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
    /// Of `[n, rows, width]`, also with a dimension of 1 before or after the rows, and of one image's `[rows, width]`.
    pub(super) fn of(output: &Output<'a>) -> Option<Self> {
        let (n, rows, width) = match *output.dims {
            [rows, width] => (1, rows, width),
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

    /// The largest number of these columns and which of them it is, from 0; the first of equals. `None` if there is no
    /// number among them.
    pub(super) fn best(&self, image: usize, row: usize, columns: std::ops::Range<usize>) -> Option<(usize, f32)> {
        let scores = columns.map(|column| self.at(image, row, column)).enumerate();
        scores.filter(|(_, score)| !score.is_nan()).reduce(|best, other| if other.1 > best.1 { other } else { best })
    }

    /// All numbers of all images row by row, where they lie so.
    pub(super) fn image(&self, image: usize) -> &'a [f32] {
        let len = self.rows * self.width;
        self.data.get(image * len..(image + 1) * len).unwrap_or_default()
    }
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
