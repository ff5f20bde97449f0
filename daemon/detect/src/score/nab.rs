//! The points of the Numenta Anomaly Benchmark.
//!
//! The rules are those of A. Lavin and S. Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta
//! Anomaly Benchmark", 2015 (arXiv:1510.03336), for the standard profile, on any set of files:
//!
//! * the first 15 % of the rows, at most those of 750, are not scored;
//! * the earliest alarm in a window earns up to 1 point, the more the earlier: `f(y)/f(-1)` with
//!   `f(y) = 2/(1+exp(5y)) - 1`, where y is -1 at the start of the window and about 0 at its end;
//! * a window without an alarm costs 1 point;
//! * each alarm outside of the windows costs up to 0.11 points, the less the nearer it is after a window.
//!
//! The sum is scaled so that no alarm at all has 0 points, and a perfect detector 100.

/// The cost of an alarm outside of the windows.
const FALSE_ALARM: f64 = 0.11;
/// The largest share of rows that are not scored, and their largest number.
const PROBATION: (f64, usize) = (0.15, 750);

/// The points of a corpus of files.
#[derive(Clone, Debug, Default)]
pub struct Points {
    rows: Vec<Row>,
    /// The number of windows, and of those in which a row is scored.
    windows: usize,
    scored_windows: usize,
}

/// A scored row.
#[derive(Clone, Copy, Debug)]
struct Row {
    score: f64,
    /// The window of the row, counted over all files; `None` outside.
    window: Option<usize>,
    /// The points of an alarm, without weight.
    value: f64,
}

impl Points {
    /// Adds a file: the scores of its rows, and the first and last row of each window in order.
    pub fn push(&mut self, scores: &[f64], windows: &[(usize, usize)]) {
        let probation = ((PROBATION.0 * scores.len() as f64) as usize).min(PROBATION.1);
        let mut ended: Option<(usize, usize)> = None;
        let mut open = windows.iter().enumerate().peekable();
        for (row, &score) in scores.iter().enumerate() {
            while let Some((_, window)) = open.next_if(|(_, (_, last))| row > *last) {
                ended = Some(*window);
            }
            let inside = open.peek().filter(|(_, (first, _))| row >= *first);
            let (window, value) = match inside {
                Some(&(index, &(first, last))) => {
                    let position = -((last - row + 1) as f64) / (last - first + 1) as f64;
                    (Some(self.windows + index), sigmoid(position) / sigmoid(-1.0))
                }
                None => (None, ended.map_or(-1.0, |(first, last)| after(row - last, last - first))),
            };
            if row >= probation {
                self.rows.push(Row { score, window, value });
            }
        }
        self.windows += windows.len();
        let is_scored = |(_, last): &&(usize, usize)| *last >= probation && *last < scores.len();
        self.scored_windows += windows.iter().filter(is_scored).count();
    }

    /// The points at a threshold.
    pub fn at(&self, threshold: f64) -> f64 {
        let mut best: Vec<Option<f64>> = vec![None; self.windows];
        let mut raw = 0.0;
        for row in self.rows.iter().filter(|row| row.score >= threshold) {
            match row.window.and_then(|window| best.get_mut(window)) {
                Some(best) => *best = Some(best.map_or(row.value, |known| known.max(row.value))),
                None => raw += FALSE_ALARM * row.value,
            }
        }
        let hits = best.iter().flatten();
        let missed = self.scored_windows as f64 - hits.clone().count() as f64;
        self.scaled(raw + hits.sum::<f64>() - missed)
    }

    /// The highest points of all thresholds, and the threshold.
    pub fn best(&self) -> (f64, f64) {
        let mut rows = self.rows.clone();
        rows.sort_by(|one, other| other.score.total_cmp(&one.score));
        let mut best: Vec<f64> = vec![-1.0; self.windows];
        let mut raw = -(self.scored_windows as f64);
        let mut highest = (raw, f64::INFINITY);
        for equal in rows.chunk_by(|one, other| one.score == other.score) {
            for row in equal {
                match row.window.and_then(|window| best.get_mut(window)) {
                    Some(best) => {
                        raw += (row.value - *best).max(0.0);
                        *best = best.max(row.value);
                    }
                    None => raw += FALSE_ALARM * row.value,
                }
            }
            // Sums of other orders differ in the last digits: the higher threshold wins a tie.
            if let Some(row) = equal.first().filter(|_| raw > highest.0 + 1e-9) {
                highest = (raw, row.score);
            }
        }
        (self.scaled(highest.0), highest.1)
    }

    fn scaled(&self, raw: f64) -> f64 {
        let (none, perfect) = (-(self.scored_windows as f64), self.windows as f64);
        if perfect > none { 100.0 * (raw - none) / (perfect - none) } else { 0.0 }
    }
}

/// The points of an alarm `rows` after a window of `width + 1` rows.
fn after(rows: usize, width: usize) -> f64 {
    if width == 0 { -1.0 } else { sigmoid(rows as f64 / width as f64) }
}

fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}
