//! The average precision: the area under the curve of precision and recall (AUC-PR) of a ranking of rows.
//!
//! It needs no threshold. Rows with equal scores are ranked together.

use crate::score::Marks;
use crate::score::marks::Mark;

/// The average precision of the scores of a series against its windows; `None` without a window.
pub fn average_precision(marks: &Marks, scores: &[f64]) -> Option<f64> {
    let is_window = |mark: &Mark| matches!(mark, Mark::Window(_));
    let positives = marks.rows.iter().filter(|mark| is_window(mark)).count();
    if positives == 0 {
        return None;
    }
    let scored = scores.iter().zip(&marks.rows).filter(|(_, mark)| **mark != Mark::Ignored);
    let mut ranked: Vec<(f64, bool)> = scored.map(|(score, mark)| (*score, is_window(mark))).collect();
    ranked.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
    let (mut found, mut seen, mut area) = (0usize, 0usize, 0.0);
    for equal in ranked.chunk_by(|one, other| one.0 == other.0) {
        let hits = equal.iter().filter(|(_, is_window)| *is_window).count();
        (found, seen) = (found + hits, seen + equal.len());
        area += hits as f64 / positives as f64 * found as f64 / seen as f64;
    }
    Some(area)
}
