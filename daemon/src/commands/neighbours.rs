//! Records whose time is far ahead of the records around them.
//!
//! Event time follows the newest timestamp, so one record of a wrong clock would make all records after it late. A
//! recorded file has what a running daemon has not: the records that follow. A record is rejected as one of the future
//! if it is ahead of the newest record before it and of the median of the next ones, by more than an hour and more than
//! the allowed lateness. After a gap in the records it is not: those that follow are as far ahead.

use std::time::Duration;

use daemon_base::clock::micros;
use daemon_base::setting::duration;
use daemon_sources::timestamp::{TimeUnit, check_recorded, with_number};
use proxy_uve::wire::line::{self, LineForm};

/// The number of records whose median decides. Fewer than half as many outliers in a row are found.
pub(crate) const FOLLOWING: usize = 15;

/// The shortest time by which a record is far ahead.
const FAR: Duration = Duration::from_secs(3600);

/// The newest record of the input so far.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    /// All times are in microseconds.
    far: u64,
    newest: Option<u64>,
}

impl Neighbours {
    /// The state before the first record, for tables with this allowed lateness in microseconds.
    pub(crate) fn new(allowed_lateness: u64) -> Self {
        Self { far: allowed_lateness.max(micros(FAR)), newest: None }
    }

    /// The state after records with these times.
    pub(crate) fn start_after(&mut self, times: &[u64]) {
        self.newest = median(times.to_vec());
    }

    /// Adds the next record. `following` returns the times of the records after it; it is rarely called.
    ///
    /// # Errors
    ///
    /// When the record is far ahead of those around it; it is then not added.
    #[inline]
    pub(crate) fn add(&mut self, at: u64, following: impl FnOnce() -> Vec<u64>) -> Result<(), String> {
        match self.newest {
            Some(newest) if at <= newest.saturating_add(self.far) => {
                self.newest = Some(newest.max(at));
                Ok(())
            }
            _ => self.add_far(at, following()),
        }
    }

    #[cold]
    fn add_far(&mut self, at: u64, following: Vec<u64>) -> Result<(), String> {
        match median(following) {
            Some(median) if at > median.saturating_add(self.far) => {
                let ahead = duration::print(Duration::from_secs((at - median) / 1_000_000));
                Err(format!(
                    "the timestamp {at} is {ahead} ahead of the records after it and is left out as one of the future; \
                     correct it, or the clock of its source"
                ))
            }
            _ => {
                self.newest = self.newest.max(Some(at));
                Ok(())
            }
        }
    }
}

fn median(mut times: Vec<u64>) -> Option<u64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// The time of a line in microseconds; `None` if it is not a record of a plausible time.
pub(crate) fn time_of(form: Option<LineForm>, unit: TimeUnit, line: &[u8]) -> Option<u64> {
    let form = form.unwrap_or_else(|| LineForm::of(line));
    let line = with_number(line, unit).ok()?;
    check_recorded(line::decode_texts_as(form, &line).ok()?.timestamp, unit).ok()
}

/// The times of the first [`FOLLOWING`] lines of a text that are records.
pub(crate) fn first_times(form: Option<LineForm>, unit: TimeUnit, text: &[u8]) -> Vec<u64> {
    let lines = text.split(|&byte| byte == b'\n').take(2 * FOLLOWING);
    lines.filter_map(|line| time_of(form, unit, line.trim_ascii())).take(FOLLOWING).collect()
}

/// The times of the last [`FOLLOWING`] lines of a text that are records, the last one first.
pub(crate) fn last_times(form: Option<LineForm>, unit: TimeUnit, text: &[u8]) -> Vec<u64> {
    let lines = text.rsplit(|&byte| byte == b'\n').take(2 * FOLLOWING);
    lines.filter_map(|line| time_of(form, unit, line.trim_ascii())).take(FOLLOWING).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_488_000_000_000_000;
    const HOUR: u64 = 3_600_000_000;

    /// The indexes of the records that are rejected.
    fn rejected(hours: &[u64]) -> Vec<usize> {
        let times: Vec<_> = hours.iter().map(|hour| START + hour * HOUR).collect();
        let mut neighbours = Neighbours::new(30_000_000);
        let add = |index: &usize| {
            let following = || times[index + 1..].iter().copied().take(FOLLOWING).collect();
            neighbours.add(times[*index], following).is_err()
        };
        (0..times.len()).filter(add).collect()
    }

    #[test]
    fn a_record_ahead_of_those_around_it_is_rejected_and_one_after_a_gap_is_not() {
        assert_eq!(rejected(&[0, 0, 9000, 0, 0]), [2]);
        assert_eq!(rejected(&[9000, 0, 0, 9000, 9000, 9000, 0, 0, 0, 0, 1, 9000, 1]), [0, 3, 4, 5, 11]);
        assert_eq!(rejected(&[0, 0, 9000, 9000, 9001, 20000, 20000]), [0; 0], "gaps");
        assert_eq!(rejected(&[0, 0, 1, 0, 0]), [0; 0], "not far");
        assert_eq!(rejected(&[5, 0, 5, 5, 5, 5]), [0; 0], "one record of the past");
        assert_eq!(rejected(&[0, 9000]), [0; 0], "nothing after it contradicts it");
    }
}
