//! Default boxes of SSD-style detectors, and boxes predicted relative to them.

use crate::error::{Error, Result};
use crate::tensor::MAX_ELEMENTS;

/// The default boxes of a detector, as in RFBNet's `VOC_300`, `VOC_512`, `COCO_300` and `COCO_512`.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorConfig {
    /// Rows and columns of the image, in pixels.
    pub image_size: [u32; 2],
    /// One entry per feature map, in the order the network concatenates its predictions.
    pub levels: Vec<PriorLevel>,
    /// Scales of predicted centres and of predicted sizes.
    pub variances: [f32; 2],
    /// Whether centres and sizes are clipped to 0..=1.
    pub clip: bool,
}

/// The default boxes of one feature map.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorLevel {
    /// Rows and columns of the feature map.
    pub cells: [u32; 2],
    /// Pixels from row to row and from column to column.
    pub step: [f64; 2],
    /// Side of the smaller square, in pixels.
    pub min_size: f64,
    /// The side of the larger square is the geometric mean of this and `min_size`.
    pub max_size: f64,
    /// For each, a box that much wider than tall and one that much taller than wide, of the smaller square's area.
    pub ratios: Vec<f64>,
}

/// Each feature map's cells, and pixels from cell to cell.
const MAPS_300: [(u32, f64); 6] = [(38, 8.0), (19, 16.0), (10, 32.0), (5, 64.0), (3, 100.0), (1, 300.0)];
const MAPS_512: [(u32, f64); 7] = [(64, 8.0), (32, 16.0), (16, 32.0), (8, 64.0), (4, 128.0), (2, 256.0), (1, 512.0)];

impl PriorConfig {
    /// As trained on Pascal VOC. Errors: a size other than 300 or 512.
    pub fn voc(image_size: u32) -> Result<Self> {
        match image_size {
            300 => Ok(Self::new(300, &MAPS_300, &[30.0, 60.0, 111.0, 162.0, 213.0, 264.0, 315.0])),
            512 => Ok(Self::new(512, &MAPS_512, &[35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6])),
            _ => Err(unknown_size("PriorConfig::voc", image_size)),
        }
    }

    /// As trained on COCO. Errors: a size other than 300 or 512.
    pub fn coco(image_size: u32) -> Result<Self> {
        match image_size {
            300 => Ok(Self::new(300, &MAPS_300, &[21.0, 45.0, 99.0, 153.0, 207.0, 261.0, 315.0])),
            512 => Ok(Self::new(512, &MAPS_512, &[20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72])),
            _ => Err(unknown_size("PriorConfig::coco", image_size)),
        }
    }

    /// `sizes` holds the smallest size of each map and the largest of the last; only the last two maps lack ratio 3.
    fn new(image_size: u32, maps: &[(u32, f64)], sizes: &[f64]) -> Self {
        let level = |(i, (&(cells, step), size)): (usize, (&(u32, f64), &[f64]))| {
            let ratios = if i + 2 < maps.len() { vec![2.0, 3.0] } else { vec![2.0] };
            PriorLevel { cells: [cells; 2], step: [step; 2], min_size: size[0], max_size: size[1], ratios }
        };
        let levels = maps.iter().zip(sizes.windows(2)).enumerate().map(level).collect();
        Self { image_size: [image_size; 2], levels, variances: [0.1, 0.2], clip: true }
    }

    /// The boxes of SSD, on which RFBNet is built: the first map lacks ratio 3.
    pub fn of_ssd(mut self) -> Self {
        if let Some(level) = self.levels.first_mut() {
            level.ratios.retain(|&ratio| ratio != 3.0);
        }
        self
    }

    /// The same boxes, in pixels, for an image of other rows and columns, whose feature maps have `cells` rows and
    /// columns, one pair per level. A step stays if with it the cells cover the image to within one; else they share it
    /// evenly.
    ///
    /// Errors: another number of maps, a map or an image without pixels.
    pub fn resized(&self, image_size: [u32; 2], cells: &[[u32; 2]]) -> Result<Self> {
        if cells.len() != self.levels.len() {
            let detail = format!("{} maps for {} levels", cells.len(), self.levels.len());
            return Err(Error::mismatch("priors", detail));
        }
        if let Some(empty) = cells.iter().chain([&image_size]).find(|extents| extents.contains(&0)) {
            return Err(Error::param("priors", "cells", format!("{empty:?}"), "must not be 0"));
        }
        let level = |(level, &cells): (&PriorLevel, &[u32; 2])| {
            let step = [0, 1].map(|axis| {
                let (pixels, step) = (f64::from(image_size[axis]), level.step[axis]);
                let kept = (pixels / step - f64::from(cells[axis])).abs() < 1.0;
                if kept { step } else { pixels / f64::from(cells[axis]) }
            });
            PriorLevel { cells, step, ..level.clone() }
        };
        let levels = self.levels.iter().zip(cells).map(level).collect();
        Ok(Self { image_size, levels, ..self.clone() })
    }

    /// [`Self::resized`] with the feature maps that SSD and RFBNet, published for 300 or 512, have for such an image.
    pub(super) fn for_image(&self, image_size: [u32; 2]) -> Result<Self> {
        if image_size == self.image_size {
            return Ok(self.clone());
        }
        // VGG16 halves three times, the third time upwards; then strides of 2 with a border, and at last windows
        // without one, or of 4 with one.
        let unpadded = if self.levels.len() == 6 { 4 } else { 6 };
        let axis = |pixels: u32| {
            let mut cells = (pixels / 4).div_ceil(2);
            let next = |level| {
                let this = cells;
                cells = match level {
                    0 => cells / 2,
                    _ if level + 1 < unpadded => cells.div_ceil(2),
                    _ if unpadded == 4 => cells.saturating_sub(2),
                    _ => cells.saturating_sub(1),
                };
                this
            };
            (0..self.levels.len()).map(next).collect::<Vec<_>>()
        };
        let [rows, columns] = image_size.map(axis);
        let cells: Vec<_> = rows.into_iter().zip(columns).map(|(rows, columns)| [rows, columns]).collect();
        self.resized(image_size, &cells)
    }

    /// How many boxes there are. Errors: a size, step or ratio that is not positive and finite; more boxes than one
    /// tensor can hold.
    pub(super) fn len(&self) -> Result<u64> {
        let positive = |param, value: f64| {
            let reason = "must be positive and finite";
            if value > 0.0 && value.is_finite() { Ok(()) } else { Err(Error::param("priors", param, value, reason)) }
        };
        self.image_size.iter().try_for_each(|&size| positive("image_size", size.into()))?;
        let mut count = 0_u128;
        for level in &self.levels {
            let [row, column] = level.step;
            for (param, value) in
                [("step", row), ("step", column), ("min_size", level.min_size), ("max_size", level.max_size)]
            {
                positive(param, value)?;
            }
            level.ratios.iter().try_for_each(|&ratio| positive("ratios", ratio))?;
            let [rows, columns] = level.cells.map(u128::from);
            count += rows * columns * (2 + 2 * level.ratios.len() as u128);
        }
        let max = MAX_ELEMENTS / 4;
        if count > u128::from(max) {
            let value = u64::try_from(count).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { op: "priors".into(), what: "the number of boxes", value, max });
        }
        Ok(count as u64)
    }
}

fn unknown_size(op: &str, image_size: u32) -> Error {
    Error::Unsupported {
        op: op.into(),
        what: format!("image size {image_size}"),
        hint: "the published networks take 300 or 512; for another size fill in the fields of PriorConfig".into(),
    }
}

/// All default boxes as centre x, centre y, width and height in units of the image: level by level, cell by cell in
/// rows, in each cell the smaller square, the larger one, then a wide and a tall one for each ratio.
///
/// Errors: a size, step or ratio that is not positive and finite; more boxes than one tensor can hold.
pub fn priors(config: &PriorConfig) -> Result<Vec<[f32; 4]>> {
    let mut boxes = Vec::with_capacity(config.len()? as usize);
    let [rows, columns] = config.image_size.map(f64::from);
    for level in &config.levels {
        let [w, h] = [columns, rows].map(|pixels| level.min_size / pixels);
        let [larger_w, larger_h] =
            [(w, columns), (h, rows)].map(|(side, pixels)| (side * (level.max_size / pixels)).sqrt());
        let mut sizes = vec![[w, h], [larger_w, larger_h]];
        for root in level.ratios.iter().map(|ratio| ratio.sqrt()) {
            sizes.extend([[w * root, h / root], [w / root, h * root]]);
        }
        let centre = |cell: u32, step: f64, pixels: f64| (f64::from(cell) + 0.5) * step / pixels;
        for y in 0..level.cells[0] {
            for x in 0..level.cells[1] {
                for &[w, h] in &sizes {
                    let [x, y] = [centre(x, level.step[1], columns), centre(y, level.step[0], rows)];
                    let prior = [x, y, w, h];
                    boxes.push(prior.map(|v| if config.clip { v.clamp(0.0, 1.0) } else { v } as f32));
                }
            }
        }
    }
    Ok(boxes)
}

/// The default boxes of UltraFace for an image of so many rows and columns, in the form of [`priors`]: squares on maps at
/// strides 8, 16, 32 and 64.
///
/// Errors: an image without pixels; more boxes than one tensor can hold.
pub fn ultraface_priors(image_size: [u32; 2]) -> Result<Vec<[f32; 4]>> {
    const LEVELS: [(u32, &[f64]); 4] =
        [(8, &[10.0, 16.0, 24.0]), (16, &[32.0, 48.0]), (32, &[64.0, 96.0]), (64, &[128.0, 192.0, 256.0])];
    if image_size.contains(&0) {
        return Err(Error::param("ultraface_priors", "image_size", format!("{image_size:?}"), "must not be 0"));
    }
    let cells = |stride| image_size.map(|pixels| pixels.div_ceil(stride));
    let count =
        |(stride, sides): (u32, &[f64])| cells(stride).map(u64::from).iter().product::<u64>() * sides.len() as u64;
    let (value, max) = (LEVELS.into_iter().map(count).fold(0, u64::saturating_add), MAX_ELEMENTS / 4);
    if value > max {
        return Err(Error::TooLarge { op: "ultraface_priors".into(), what: "the number of boxes", value, max });
    }
    let mut boxes = Vec::with_capacity(value as usize);
    let [rows, columns] = image_size.map(f64::from);
    for (stride, sides) in LEVELS {
        // Cells share the image evenly, also where they are a little less than a stride.
        let centre = |cell: u32, of: u32| (f64::from(cell) + 0.5) / f64::from(of);
        let [in_rows, in_columns] = cells(stride);
        for (y, x) in (0..in_rows).flat_map(|y| (0..in_columns).map(move |x| (y, x))) {
            for side in sides {
                let prior = [centre(x, in_columns), centre(y, in_rows), side / columns, side / rows];
                boxes.push(prior.map(|v| v.clamp(0.0, 1.0) as f32));
            }
        }
    }
    Ok(boxes)
}

/// Predicted boxes as left, top, right, bottom. With a prior's centre p and size s, and the variances v:
/// `centre = p + loc.xy * v[0] * s`, `size = s * exp(loc.wh * v[1])`. `loc` holds four values per prior.
///
/// Errors: a different number of values, a variance that is not finite.
pub fn decode(loc: &[f32], priors: &[[f32; 4]], variances: [f32; 2]) -> Result<Vec<[f32; 4]>> {
    let (rows, rest) = loc.as_chunks::<4>();
    if rows.len() != priors.len() || !rest.is_empty() {
        let detail = format!("{} values for {} priors, which need 4 each", loc.len(), priors.len());
        return Err(Error::mismatch("decode", detail));
    }
    if let Some(&variance) = variances.iter().find(|v| !v.is_finite()) {
        return Err(Error::param("decode", "variances", variance, "must be finite"));
    }
    let one = |(&[dx, dy, dw, dh], &[cx, cy, w, h]): (&[f32; 4], &[f32; 4])| {
        let (cx, cy) = (cx + dx * variances[0] * w, cy + dy * variances[0] * h);
        let (w, h) = (w * (dw * variances[1]).exp(), h * (dh * variances[1]).exp());
        [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0]
    };
    Ok(rows.iter().zip(priors).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_config_has_its_sizes() {
        let count = |config: Result<PriorConfig>| priors(&config.unwrap()).unwrap().len();
        // 6·(38² + 19² + 10² + 5²) + 4·(3² + 1²); 6·(64² + 32² + 16² + 8² + 4²) + 4·(2² + 1²)
        assert_eq!((count(PriorConfig::voc(300)), count(PriorConfig::coco(300))), (11_620, 11_620));
        assert_eq!((count(PriorConfig::voc(512)), count(PriorConfig::coco(512))), (32_756, 32_756));
        let ends = |config: Result<PriorConfig>| {
            let levels = config.unwrap().levels;
            (levels[0].min_size, levels[0].max_size, levels[levels.len() - 1].max_size)
        };
        assert_eq!(ends(PriorConfig::coco(300)), (21.0, 45.0, 315.0));
        assert_eq!(ends(PriorConfig::voc(512)), (35.84, 76.8, 537.6));
        for size in [0, 299, 511] {
            assert!(matches!(PriorConfig::voc(size), Err(Error::Unsupported { .. })));
            assert!(PriorConfig::coco(size).unwrap_err().to_string().contains(&size.to_string()));
        }
    }

    /// An image of 8x8, 2x2 cells of 4; sizes 2 and 8, ratio 4.
    fn small(clip: bool) -> PriorConfig {
        let level = PriorLevel { cells: [2; 2], step: [4.0; 2], min_size: 2.0, max_size: 8.0, ratios: vec![4.0] };
        PriorConfig { image_size: [8; 2], levels: vec![level], variances: [0.1, 0.2], clip }
    }

    #[test]
    fn the_boxes_of_a_cell_are_two_squares_and_two_per_ratio() {
        // Centres (0.5·4/8, 1.5·4/8) = (¼, ¾). Squares 2/8 = ¼ and √(¼ · 8/8) = ½; with √4 = 2: ¼·2 by ¼/2.
        let sizes = [[0.25, 0.25], [0.5, 0.5], [0.5, 0.125], [0.125, 0.5]];
        let all = priors(&small(true)).unwrap();
        let centres = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]];
        let expected = centres.iter().flat_map(|&[x, y]| sizes.map(|[w, h]| [x, y, w, h])).collect::<Vec<_>>();
        assert_eq!(all, expected);
    }

    #[test]
    fn an_image_that_is_not_square_has_rows_and_columns_of_its_own() {
        // 8 rows and 16 columns, 2x4 cells of 4: the boxes keep their pixels, 2 of 8 rows being 2 of 16 columns.
        let wide = small(true).resized([8, 16], &[[2, 4]]).unwrap();
        let all = priors(&wide).unwrap();
        assert_eq!(all.len(), 2 * 4 * 4);
        assert_eq!(all[0], [0.125, 0.25, 0.125, 0.25]);
        assert_eq!(all[1], [0.125, 0.25, 0.25, 0.5]);
        assert_eq!(all[2], [0.125, 0.25, 0.25, 0.125]);
        // The last cell: row 1, column 3.
        assert_eq!(all[28], [0.875, 0.75, 0.125, 0.25]);
        // 3 columns for 16 pixels: steps of 16/3, as 4 would leave a quarter of the image without a centre.
        let uneven = small(true).resized([8, 16], &[[2, 3]]).unwrap();
        assert_eq!(uneven.levels[0].step, [4.0, 16.0 / 3.0]);
        for (size, cells) in [([8, 16], &[][..]), ([8, 0], &[[2, 4]]), ([8, 16], &[[2, 0]])] {
            small(true).resized(size, cells).unwrap_err();
        }
    }

    #[test]
    fn the_published_networks_have_their_maps_at_other_sizes() {
        for size in [300, 512] {
            let config = PriorConfig::voc(size).unwrap();
            let other = PriorConfig { image_size: [1; 2], ..config.clone() };
            let cells = |config: PriorConfig| config.levels.into_iter().map(|level| level.cells).collect::<Vec<_>>();
            // By the rule, not by the shortcut for the size itself.
            assert_eq!(cells(other.for_image([size; 2]).unwrap()), cells(config.clone()));
            let tall = config.for_image([size, 2 * size]).unwrap();
            assert_eq!(tall.levels[1].cells, if size == 300 { [19, 37] } else { [32, 64] });
            assert_eq!(tall.levels[1].step, [16.0; 2], "of 37.5 cells one is cut");
        }
        assert!(PriorConfig::voc(300).unwrap().for_image([32, 300]).is_err(), "the last maps are empty");
    }

    #[test]
    fn ssd_and_ultraface_have_their_published_numbers_of_boxes() {
        let ssd = |config: Result<PriorConfig>| priors(&config.unwrap().of_ssd()).unwrap().len();
        assert_eq!((ssd(PriorConfig::voc(300)), ssd(PriorConfig::coco(512))), (8732, 24_564));
        let ultraface = ultraface_priors([240, 320]).unwrap();
        assert_eq!(ultraface.len(), 4420);
        // Cell (1, 0) of the first map, its second square: 1.5 · 8 and 0.5 · 8 pixels, 16 wide and tall.
        assert_eq!(ultraface[4], [12.0 / 320.0, 4.0 / 240.0, 16.0 / 320.0, 16.0 / 240.0]);
        // 240 rows are 7.5 strides of 32, but eight cells: the last of the last map is centred in the last of 4 rows.
        assert_eq!(ultraface[4419][..2], [0.9, 0.875]);
        assert_eq!(ultraface_priors([480, 640]).unwrap().len(), 17_640);
        assert!(ultraface_priors([0, 320]).is_err() && ultraface_priors([u32::MAX; 2]).is_err());
    }

    #[test]
    fn clipping_bounds_centres_and_sizes() {
        let large = |clip| {
            let mut config = small(clip);
            config.levels[0] =
                PriorLevel { cells: [2; 2], step: [6.0; 2], min_size: 16.0, max_size: 16.0, ratios: vec![] };
            priors(&config).unwrap()[6]
        };
        // Last cell: 1.5 · 6/8 = 1.125; 16/8 = 2.
        assert_eq!(large(false), [1.125, 1.125, 2.0, 2.0]);
        assert_eq!(large(true), [1.0; 4]);
    }

    #[test]
    fn meaningless_configs_are_refused() {
        let level = |level: PriorLevel| PriorConfig { levels: vec![level], ..small(true) };
        let usual = small(true).levels[0].clone();
        for (config, param) in [
            (PriorConfig { image_size: [8, 0], ..small(true) }, "image_size"),
            (level(PriorLevel { step: [4.0, 0.0], ..usual.clone() }), "step"),
            (level(PriorLevel { min_size: f64::NAN, ..usual.clone() }), "min_size"),
            (level(PriorLevel { max_size: f64::INFINITY, ..usual.clone() }), "max_size"),
            (level(PriorLevel { ratios: vec![2.0, -1.0], ..usual.clone() }), "ratios"),
            (level(PriorLevel { cells: [u32::MAX; 2], ..usual }), "number of boxes"),
        ] {
            let error = priors(&config).unwrap_err().to_string();
            assert!(error.contains(param), "{error}");
        }
        assert!(priors(&PriorConfig { levels: vec![], ..small(true) }).unwrap().is_empty());
    }

    #[test]
    fn decoding_moves_by_variance_and_size() {
        // Centre ½ + 2·½·¼ = ¾ and ½ - 1·½·½ = ¼; width ¼·exp(0·¼) = ¼, height ½·exp(4·¼) = ½·e = 1.3591409.
        let boxes = decode(&[2.0, -1.0, 0.0, 4.0], &[[0.5, 0.5, 0.25, 0.5]], [0.5, 0.25]).unwrap();
        let half = 0.5 * 1.359_140_9_f32;
        assert_eq!((boxes[0][0], boxes[0][2]), (0.625, 0.875));
        // exp is off by at most a unit in the last place, 2⁻²³ of 1.36, halved; the sum rounds by 2⁻²⁴ more.
        assert!((boxes[0][1] - (0.25 - half)).abs() < 2e-7 && (boxes[0][3] - (0.25 + half)).abs() < 2e-7, "{boxes:?}");
        assert_eq!(decode(&[], &[], [0.1, 0.2]).unwrap(), [] as [[f32; 4]; 0]);
    }

    #[test]
    fn decoding_checks_lengths_and_variances() {
        for len in [0, 3, 4, 7, 9] {
            let error = decode(&vec![0.0; len], &[[0.5; 4]; 2], [0.1, 0.2]).unwrap_err().to_string();
            assert!(error.contains(&format!("{len} values for 2 priors")), "{error}");
        }
        assert!(matches!(decode(&[], &[], [f32::NAN, 0.2]), Err(Error::InvalidParam { .. })));
    }
}
