//! The summary of a scored series.

use crate::labels::{Range, rows};
use crate::run::{Scored, alarms};
use crate::score::Marks;
use crate::score::events::{Corpus, Outcome};

/// Seconds in a week.
const WEEK: f64 = 604_800.0;

/// The numbers of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The number of scored values.
    pub values: usize,
    /// The weeks from the first to the last value.
    pub weeks: f64,
    /// The number of alarms, where those less than an hour after the one before are left out.
    pub alarms: usize,
    /// The events of the labels, if there are labels; see [`events`](crate::score::events).
    pub events: Option<Outcome>,
}

impl Summary {
    /// The summary of the scored values of a series. `labels` are the time ranges of known anomalies, if there are
    /// labels; `interval` is the usual interval of the values in seconds.
    pub fn of(scored: &[Scored], labels: Option<&[Range]>, interval: f64) -> Self {
        let times: Vec<u64> = scored.iter().map(|one| one.at).collect();
        let (first, last) = (times.iter().min().copied(), times.iter().max().copied());
        let span = last.zip(first).map_or(0, |(last, first)| last - first);
        let events = labels.map(|labels| {
            let mut corpus = Corpus::default();
            corpus.push("", Marks::new(times.clone(), &rows(&times, labels), interval));
            let alarms = scored.iter().map(|one| f64::from(u8::from(one.is_alarm))).collect();
            corpus.at(&[alarms], 1.0).pop().unwrap_or_default()
        });
        Self { values: scored.len(), weeks: span as f64 / 1e6 / WEEK, alarms: alarms(scored).count(), events }
    }

    /// The alarms a week; 0 for a series without a span of time.
    pub fn alarms_a_week(&self) -> f64 {
        if self.weeks > 0.0 { self.alarms as f64 / self.weeks } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_counted_with_and_without_labels() {
        let one = |minute: u64| Scored {
            at: minute * 60_000_000,
            value: 0.0,
            score: Some(0.0),
            strangeness: 0.0,
            threshold: None,
            expected: None,
            low: None,
            high: None,
            is_alarm: matches!(minute, 5000 | 5010 | 7003 | 9000),
        };
        let scored: Vec<Scored> = (0..=10_080).map(one).collect();
        let summary = Summary::of(&scored, None, 60.0);
        assert_eq!((summary.values, summary.weeks, summary.alarms, summary.events.as_ref()), (10_081, 1.0, 3, None));
        assert_eq!(summary.alarms_a_week(), 3.0);
        let minute = 60_000_000;
        let labels = [(7000 * minute, 7010 * minute), (9500 * minute, 9600 * minute)];
        let events = Summary::of(&scored, Some(&labels), 60.0).events.unwrap();
        assert_eq!((events.hits, events.windows, events.false_alarms, &*events.delays), (1, 2, 2, &[180.0][..]));
        assert_eq!(Summary::of(&[], None, 60.0).alarms_a_week(), 0.0);
    }
}
