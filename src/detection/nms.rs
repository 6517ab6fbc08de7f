//! Greedy non-maximum suppression.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Detection, DetectionOptions, check_threshold};
use crate::error::{Error, Result};

/// The most boxes that suppression looks at: every box of the largest published RFBNet, and few enough that a network
/// that finds something everywhere keeps nobody waiting.
pub const MAX_CANDIDATES: usize = 1 << 15;

/// Indices of the boxes to keep, at most `keep_top`, best score first, equal scores by index. A box is dropped if its
/// intersection over union with one already kept is above `iou_threshold`. `boxes` are left, top, right, bottom; one
/// without area overlaps nothing. A score that is `NaN`, or a box with a corner that is not finite, is never kept. Of more
/// than [`MAX_CANDIDATES`] boxes only so many, those with the best scores, are looked at.
///
/// Errors: lengths that differ, a threshold outside 0..=1.
pub fn non_maximum_suppression(
    boxes: &[[f32; 4]],
    scores: &[f32],
    iou_threshold: f32,
    keep_top: usize,
) -> Result<Vec<usize>> {
    check_threshold("iou_threshold", iou_threshold)?;
    if boxes.len() != scores.len() {
        let detail = format!("{} boxes and {} scores", boxes.len(), scores.len());
        return Err(Error::mismatch("non_maximum_suppression", detail));
    }
    let usable = |i: &usize| !scores[*i].is_nan() && boxes[*i].iter().all(|x| x.is_finite());
    let order = best((0..boxes.len()).filter(usable).collect(), MAX_CANDIDATES, |&i| scores[i]);

    let mut kept = Vec::<usize>::new();
    for i in order {
        if kept.len() == keep_top {
            break;
        }
        if kept.iter().all(|&k| intersection_over_union(boxes[k], boxes[i]) <= f64::from(iou_threshold)) {
            kept.push(i);
        }
    }
    Ok(kept)
}

/// What is left of the candidates, best score first, equal scores as they came.
pub(super) fn suppress(candidates: Vec<Detection>, options: &DetectionOptions) -> Vec<Detection> {
    let usable = candidates.into_iter().filter(|found| found.corners.iter().all(|x| x.is_finite())).collect();
    let mut kept: BTreeMap<usize, Vec<[f32; 4]>> = BTreeMap::new();
    let mut left = Vec::new();
    for found in best(usable, options.candidates.min(MAX_CANDIDATES), |found: &Detection| found.score) {
        if left.len() == options.keep_total {
            break;
        }
        let (class, most) = if options.agnostic { (0, usize::MAX) } else { (found.class, options.keep_per_class) };
        let rivals = kept.entry(class).or_default();
        let overlaps = |&rival| intersection_over_union(rival, found.corners) > f64::from(options.iou_threshold);
        if rivals.len() < most && !rivals.iter().any(overlaps) {
            rivals.push(found.corners);
            left.push(found);
        }
    }
    left
}

/// The items with the best scores, best first, equal scores in the order given; no score is `NaN`.
pub(super) fn best<T>(items: Vec<T>, most: usize, score: impl Fn(&T) -> f32) -> Vec<T> {
    let mut order: Vec<(usize, T)> = items.into_iter().enumerate().collect();
    // Not total_cmp, for which -0 and 0 differ.
    let better = |(i, a): &(usize, T), (j, b): &(usize, T)| {
        score(b).partial_cmp(&score(a)).unwrap_or(Ordering::Equal).then(i.cmp(j))
    };
    if order.len() > most {
        order.select_nth_unstable_by(most, better);
        order.truncate(most);
    }
    order.sort_unstable_by(better);
    order.into_iter().map(|(_, item)| item).collect()
}

/// In `f64`, where the area of finite `f32` corners can neither overflow nor vanish.
fn intersection_over_union(a: [f32; 4], b: [f32; 4]) -> f64 {
    if a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1] {
        return 0.0; // most pairs, and quickly
    }
    let area = |[x0, y0, x1, y1]: [f32; 4]| {
        let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(f64::from);
        (x1 - x0).max(0.0) * (y1 - y0).max(0.0)
    };
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    if both == 0.0 { 0.0 } else { both / (area(a) + area(b) - both) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(boxes: &[[f32; 4]], scores: &[f32], iou_threshold: f32) -> Vec<usize> {
        non_maximum_suppression(boxes, scores, iou_threshold, usize::MAX).unwrap()
    }

    /// 2x2 squares, each 1 right of the one before: neighbours share 1·2 = 2 of 4 + 4 - 2 = 6, a third; others nothing.
    const ROW: [[f32; 4]; 3] = [[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [2.0, 0.0, 4.0, 2.0]];

    #[test]
    fn a_box_gives_way_only_to_kept_boxes_that_overlap_it_by_more_than_the_threshold() {
        assert_eq!(kept(&ROW, &[0.1, 0.3, 0.2], 0.3), [1]);
        assert_eq!(kept(&ROW, &[0.1, 0.2, 0.3], 0.3), [2, 0]); // 1 gives way to 2, and so no longer rules out 0
        assert_eq!(kept(&ROW, &[0.1, 0.2, 0.3], 0.34), [2, 1, 0]);
        // (0,0,2,1) shares 2 of 4 + 2 - 2 = 4 with the square: exactly a half, which is not above a half.
        assert_eq!(kept(&[ROW[0], [0.0, 0.0, 2.0, 1.0]], &[0.2, 0.1], 0.5), [0, 1]);
        assert_eq!(kept(&[ROW[0], [0.0, 0.0, 2.0, 1.0]], &[0.2, 0.1], 0.499), [0]);
    }

    #[test]
    fn equal_scores_are_taken_by_index() {
        assert_eq!(kept(&ROW, &[0.5; 3], 1.0), [0, 1, 2]);
        assert_eq!(kept(&ROW, &[0.5; 3], 0.0), [0, 2]);
        assert_eq!(kept(&ROW, &[-0.0, 0.0, -0.0], 1.0), [0, 1, 2]);
        assert_eq!(non_maximum_suppression(&ROW, &[0.5; 3], 1.0, 2).unwrap(), [0, 1]);
        assert_eq!(non_maximum_suppression(&ROW, &[0.5; 3], 1.0, 0).unwrap(), [] as [usize; 0]);
    }

    #[test]
    fn identical_boxes_leave_one_unless_the_threshold_is_one() {
        assert_eq!(kept(&[ROW[0]; 3], &[0.1, 0.3, 0.2], 0.99), [1]);
        assert_eq!(kept(&[ROW[0]; 3], &[0.1, 0.3, 0.2], 1.0), [1, 2, 0]);
    }

    #[test]
    fn what_is_not_a_number_is_never_kept() {
        let [inf, nan] = [f32::INFINITY, f32::NAN];
        assert_eq!(kept(&ROW, &[nan, 0.1, -nan], 0.3), [1]);
        assert_eq!(kept(&[[nan, 0.0, 1.0, 1.0], [-inf, 0.0, inf, 1.0], ROW[2]], &[0.9, 0.8, 0.7], 0.3), [2]);
        assert_eq!(kept(&ROW, &[-inf, inf, 0.0], 1.0), [1, 2, 0]);
    }

    #[test]
    fn boxes_without_area_overlap_nothing() {
        let [point, line, inverted] = [[1.0; 4], [0.0, 1.0, 2.0, 1.0], [2.0, 2.0, 0.0, 0.0]];
        assert_eq!(kept(&[ROW[0], point, point, line, inverted], &[0.5; 5], 0.0), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn huge_and_tiny_boxes_overlap_like_any_other() {
        // Areas of 3e38² and 1e-45² leave the range of f32, not that of f64.
        for size in [3e38, 1e-45] {
            assert_eq!(kept(&[[0.0, 0.0, size, size]; 2], &[0.5; 2], 0.9), [0], "{size}");
        }
    }

    #[test]
    fn classes_rival_each_other_only_if_asked_to() {
        let found = |class, score, corners| Detection { class, score, corners };
        let all = vec![found(1, 0.5, ROW[0]), found(0, 0.75, ROW[0]), found(1, 0.25, ROW[0]), found(0, 0.5, ROW[2])];
        let options = DetectionOptions { iou_threshold: 0.3, ..Default::default() };
        let kept = |options: &DetectionOptions| {
            suppress(all.clone(), options).iter().map(|found| (found.class, found.score)).collect::<Vec<_>>()
        };
        assert_eq!(kept(&options), [(0, 0.75), (1, 0.5), (0, 0.5)]);
        assert_eq!(kept(&DetectionOptions { agnostic: true, ..options }), [(0, 0.75), (0, 0.5)]);
        assert_eq!(kept(&DetectionOptions { keep_per_class: 1, ..options }), [(0, 0.75), (1, 0.5)]);
        assert_eq!(kept(&DetectionOptions { agnostic: true, keep_total: 1, ..options }), [(0, 0.75)]);
        // Of two that are equal, the first is the candidate.
        assert_eq!(kept(&DetectionOptions { candidates: 2, ..options }), [(0, 0.75), (1, 0.5)]);
        assert_eq!(kept(&DetectionOptions { candidates: 0, ..options }), []);
        let broken = vec![found(0, 0.5, [0.0, 0.0, f32::NAN, 1.0]), found(0, 0.5, [0.0, 0.0, f32::INFINITY, 1.0])];
        assert_eq!(suppress(broken, &options), []);
    }

    #[test]
    fn a_million_boxes_keep_nobody_waiting() {
        let boxes: Vec<[f32; 4]> = (0..1 << 20).map(|i| [i as f32, 0.0, i as f32 + 1.0, 1.0]).collect();
        let scores = vec![0.5; boxes.len()];
        let kept = kept(&boxes, &scores, 0.5);
        assert_eq!(kept, (0..MAX_CANDIDATES).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_in_is_nothing_out_and_wrong_lengths_are_refused() {
        assert_eq!(kept(&[], &[], 0.5), [] as [usize; 0]);
        let error = non_maximum_suppression(&ROW, &[0.5; 2], 0.5, 9).unwrap_err();
        assert!(error.to_string().contains("3 boxes and 2 scores"), "{error}");
        for value in [f32::NAN, -0.5, 1.001] {
            assert!(matches!(non_maximum_suppression(&ROW, &[0.5; 3], value, 9), Err(Error::InvalidParam { .. })));
        }
    }
}
