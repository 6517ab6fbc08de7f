//! Greedy non-maximum suppression.

use std::cmp::Ordering;

use super::check_threshold;
use crate::error::{Error, Result};

/// Indices of the boxes to keep, at most `keep_top`, best score first, equal scores by index. A box is dropped if its
/// intersection over union with one already kept is above `iou_threshold`. `boxes` are left, top, right, bottom; one
/// without area overlaps nothing. A score that is `NaN`, or a box with a corner that is not finite, is never kept.
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
    let mut order = (0..boxes.len()).filter(usable).collect::<Vec<_>>();
    // Stable; not total_cmp, for which -0 and 0 differ.
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal));

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

/// In `f64`, where the area of finite `f32` corners can neither overflow nor vanish.
fn intersection_over_union(a: [f32; 4], b: [f32; 4]) -> f64 {
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
    fn nothing_in_is_nothing_out_and_wrong_lengths_are_refused() {
        assert_eq!(kept(&[], &[], 0.5), [] as [usize; 0]);
        let error = non_maximum_suppression(&ROW, &[0.5; 2], 0.5, 9).unwrap_err();
        assert!(error.to_string().contains("3 boxes and 2 scores"), "{error}");
        for value in [f32::NAN, -0.5, 1.001] {
            assert!(matches!(non_maximum_suppression(&ROW, &[0.5; 3], value, 9), Err(Error::InvalidParam { .. })));
        }
    }
}
