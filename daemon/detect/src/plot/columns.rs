//! The reduction of a series to the columns of a picture.

use crate::run::Scored;

/// All values of one column of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Column {
    /// The pixel.
    pub(super) x: f64,
    /// The smallest and the largest value.
    pub(super) least: f64,
    pub(super) most: f64,
    /// The newest expected value.
    pub(super) expected: Option<f64>,
    /// The lowest and the highest bound of the band.
    pub(super) band: Option<(f64, f64)>,
    /// The highest score by size.
    pub(super) score: f64,
}

/// The columns, from left to right. `x` is the pixel of a value.
pub(super) fn columns(scored: &[Scored], x: impl Fn(&Scored) -> f64) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for one in scored {
        let (x, score) = (x(one).round(), one.score.unwrap_or(0.0).abs());
        // The band and the expected value of a warm-up mean nothing.
        let ready = one.score.is_some();
        let band = one.low.zip(one.high).filter(|_| ready);
        let expected = one.expected.filter(|_| ready);
        match columns.last_mut() {
            // A time that goes back counts to the newest column.
            Some(column) if x <= column.x => {
                column.least = column.least.min(one.value);
                column.most = column.most.max(one.value);
                column.expected = expected.or(column.expected);
                column.band = match (column.band, band) {
                    (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
                    (known, new) => new.or(known),
                };
                column.score = column.score.max(score);
            }
            _ => columns.push(Column { x, least: one.value, most: one.value, expected, band, score }),
        }
    }
    columns
}
