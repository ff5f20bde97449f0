//! The role of each row of a series when alarms are scored.
//!
//! Labelled ranges with at most 10 rows between them are one window. An alarm counts for a window from its first row
//! to its last one, 5 rows at least. The 10 rows after it are ignored: the detector recovers. The first tenth of the
//! rows is ignored, together with the windows that begin there.

/// The most rows between two ranges of one window.
const GAP: usize = 10;
/// The least number of rows on which an alarm counts for a window.
const CREDIT: usize = 5;
/// The number of rows after a window that are ignored.
const GRACE: usize = 10;
/// The share of rows that are ignored: one in ten.
const PROBATION: usize = 10;

/// The role of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    /// An alarm counts neither as a hit nor as a false alarm.
    Ignored,
    /// An alarm is a false alarm.
    Normal,
    /// An alarm is a hit of the window of this index.
    Window(u32),
}

/// The roles of the rows of one series, for scoring.
#[derive(Clone, Debug, PartialEq)]
pub struct Marks {
    pub(crate) rows: Vec<Mark>,
    /// The first row of each window.
    pub(crate) starts: Vec<usize>,
    /// The rows from one false alarm to the next one that counts.
    pub(crate) apart: usize,
    /// The weeks of the rows that are scored.
    pub(crate) weeks: f64,
    /// The times of the rows, in microseconds.
    pub(crate) times: Vec<u64>,
}

impl Marks {
    /// The roles of rows with these times in microseconds. `labelled` are the first and the last row of each anomaly,
    /// `interval` is the usual interval in seconds.
    pub fn new(times: Vec<u64>, labelled: &[(usize, usize)], interval: f64) -> Self {
        let count = times.len();
        let probation = count / PROBATION;
        let mut rows = vec![Mark::Normal; count];
        fill(&mut rows, 0, probation, Mark::Ignored);
        let windows = windows(labelled, count);
        let (early, scored): (Vec<_>, Vec<_>) = windows.into_iter().partition(|(first, _)| *first < probation);
        for (first, last) in early {
            fill(&mut rows, first, last + 1 + GRACE, Mark::Ignored);
        }
        for &(_, last) in &scored {
            fill(&mut rows, last + 1, last + 1 + GRACE, Mark::Ignored);
        }
        let mut starts = Vec::new();
        for (first, last) in scored {
            let index = starts.len() as u32;
            fill(&mut rows, first, last + 1, Mark::Window(index));
            starts.push(first);
        }
        let span = times.last().zip(times.get(probation)).map_or(0, |(end, start)| end.saturating_sub(*start));
        let apart = ((3600.0 / interval) as usize).max(10);
        Self { rows, starts, apart, weeks: span as f64 / 1e6 / 604_800.0, times }
    }

    /// The number of windows that are scored.
    pub fn windows(&self) -> usize {
        self.starts.len()
    }
}

fn fill(rows: &mut [Mark], first: usize, end: usize, mark: Mark) {
    let end = end.min(rows.len());
    rows.get_mut(first.min(end)..end).into_iter().flatten().for_each(|row| *row = mark);
}

/// The windows: ranges that are near are joined, and short ones are extended.
fn windows(labelled: &[(usize, usize)], count: usize) -> Vec<(usize, usize)> {
    let mut ranges = labelled.to_vec();
    ranges.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if first <= *end + 1 + GAP => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    let extend = |(first, last): (usize, usize)| (first, last.max(first + CREDIT - 1).min(count.saturating_sub(1)));
    joined.into_iter().map(extend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_near_are_one_window_and_short_ones_are_extended() {
        assert_eq!(windows(&[(40, 41), (10, 20), (31, 33), (98, 98)], 100), [(10, 41), (98, 99)]);
        assert_eq!(windows(&[(10, 20), (32, 33)], 100), [(10, 20), (32, 36)]);
    }

    #[test]
    fn a_row_is_ignored_before_the_scored_part_and_after_a_window() {
        let marks = Marks::new((0..200).map(|row| row * 60_000_000).collect(), &[(15, 30), (100, 110)], 60.0);
        let role = |row: usize| marks.rows[row];
        let ignored = [0, 19, 20, 30, 40, 111, 120];
        assert!(ignored.into_iter().all(|row| role(row) == Mark::Ignored));
        assert!([41, 99, 121, 199].into_iter().all(|row| role(row) == Mark::Normal));
        assert!([100, 110].into_iter().all(|row| role(row) == Mark::Window(0)));
        assert_eq!((marks.windows(), marks.apart, marks.weeks), (1, 60, 179.0 * 60.0 / 604_800.0));
    }
}
