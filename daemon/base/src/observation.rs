//! What the sources of a stream have observed.
//!
//! Absence means two different things. A source that answered and had no sample of an object was silent about it; a
//! source that did not answer gives no information. A source that fetches its samples therefore states for which time it has
//! fetched everything, and the worker of each partition treats all other time as unknown. Samples that are pushed come
//! without such a statement: of a stream without [`Observer`], absence is silence.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// The most gaps that a stream remembers. A worker reads them within a second; beyond, the two oldest become one.
const MAX_GAPS: usize = 64;

/// The observations of all streams, by their names.
#[derive(Clone, Debug, Default)]
pub struct Observations(Arc<Mutex<BTreeMap<String, StreamObservation>>>);

impl Observations {
    /// Returns the observation of a stream, `Struct-attribute`.
    pub fn stream(&self, name: &str) -> StreamObservation {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(name.to_owned()).or_default().clone()
    }

    /// Returns an observer of streams, which are unknown from `until` (µs since the epoch) on until it states more. Call
    /// it before the workers start, or they take the absence of samples for silence up to now.
    pub fn observer<'s>(&self, streams: impl IntoIterator<Item = &'s str>, until: u64) -> Observer {
        self.begin(streams, until, true)
    }

    /// The same for streams whose samples may come from elsewhere: each is observed from its first statement on, or if it
    /// was when the state of its workers was saved.
    pub fn candidate<'s>(&self, streams: impl IntoIterator<Item = &'s str>, until: u64) -> Observer {
        self.begin(streams, until, false)
    }

    /// Returns whether a source is not certain of a stream of its own.
    pub fn has_candidates(&self) -> bool {
        let observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        observed.values().filter_map(StreamObservation::get).any(|observed| !observed.is_certain)
    }

    /// Makes [candidates](Self::candidate) among these streams certain: a source is known to bring their samples.
    pub fn confirm<'s>(&self, streams: impl IntoIterator<Item = &'s str>) {
        let observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.into_iter().filter_map(|name| observed.get(name)).for_each(StreamObservation::confirm);
    }

    fn begin<'s>(&self, streams: impl IntoIterator<Item = &'s str>, until: u64, is_certain: bool) -> Observer {
        let streams: Vec<_> = streams.into_iter().map(|name| self.stream(name)).collect();
        streams.iter().for_each(|stream| stream.begin(until, is_certain));
        Observer(streams)
    }
}

/// The observation of one stream, shared by its source and its workers.
#[derive(Clone, Debug, Default)]
pub struct StreamObservation(Arc<Mutex<Option<Observed>>>);

/// The time that a source has observed. All times are microseconds since the epoch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    /// The source began to observe at this time.
    pub began: u64,
    /// All samples since then and before this time are in the log, except those of the gaps.
    pub until: u64,
    /// A source observes the stream for sure; else its samples may come from elsewhere.
    pub is_certain: bool,
    /// The intervals of which samples may be missing, both ends included, oldest first: the newest 64.
    pub gaps: VecDeque<(u64, u64)>,
}

impl StreamObservation {
    /// Returns what is observed; `None` for a stream without observer.
    pub fn get(&self) -> Option<Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self, until: u64, is_certain: bool) {
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Observed { began: until, until, is_certain, gaps: VecDeque::new() };
        observed.get_or_insert_with(new).is_certain |= is_certain;
    }

    fn confirm(&self) {
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        observed.iter_mut().for_each(|observed| observed.is_certain = true);
    }

    fn observed(&self, from: u64, until: u64) {
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Observed { began: from, until: from, is_certain: true, gaps: VecDeque::new() };
        let observed = observed.get_or_insert_with(new);
        observed.is_certain = true;
        if let Some(last) = from.checked_sub(1).filter(|last| *last >= observed.until) {
            observed.gaps.push_back((observed.until, last));
        }
        // An earlier end than before, too: a wall clock that was ahead has stepped back.
        observed.until = until.max(from);
        if observed.gaps.len() > MAX_GAPS
            && let Some((from, _)) = observed.gaps.pop_front()
            && let Some(second) = observed.gaps.front_mut()
        {
            second.0 = from;
        }
    }
}

/// States what a source has observed of its streams.
///
/// ```
/// use daemon_base::observation::Observations;
///
/// let observations = Observations::default();
/// // A source that fetches every ten seconds starts at second 5.
/// let observer = observations.observer(["ContivService-BytesIn"], 10_000_000);
/// observer.observed(10_000_000, 20_000_000);
/// // The fetch at second 20 failed, that at second 30 did not.
/// observer.observed(30_000_000, 40_000_000);
/// let observed = observations.stream("ContivService-BytesIn").get().unwrap();
/// assert_eq!((observed.until, observed.gaps.into()), (40_000_000, vec![(20_000_000, 29_999_999)]));
/// assert_eq!(observations.stream("Host-load").get(), None, "its samples come by themselves");
/// ```
#[derive(Clone, Debug)]
pub struct Observer(Vec<StreamObservation>);

impl Observer {
    /// States that all samples with a time from `from` to `until` (exclusive, µs since the epoch) are in the log. The
    /// time between the last statement and `from` is a gap. Call it after the append: what a failed append has lost is
    /// not observed.
    pub fn observed(&self, from: u64, until: u64) {
        self.observed_of(|_| true, from, until);
    }

    /// The same for those of the streams, by their index, that are `wanted`.
    pub fn observed_of(&self, wanted: impl Fn(usize) -> bool, from: u64, until: u64) {
        let streams = self.0.iter().enumerate().filter(|(index, _)| wanted(*index));
        streams.for_each(|(_, stream)| stream.observed(from, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(statements: impl IntoIterator<Item = (u64, u64)>) -> Observed {
        let observations = Observations::default();
        let observer = observations.observer(["S-a"], 10);
        statements.into_iter().for_each(|(from, until)| observer.observed(from, until));
        observations.stream("S-a").get().unwrap()
    }

    fn expected<const N: usize>(until: u64, gaps: [(u64, u64); N]) -> Observed {
        Observed { began: 10, until, is_certain: true, gaps: gaps.into() }
    }

    #[test]
    fn statements_without_a_gap_only_move_the_end() {
        assert_eq!(observed([(10, 20), (20, 30)]), expected(30, []));
    }

    #[test]
    fn the_time_between_two_statements_is_a_gap() {
        assert_eq!(observed([(12, 20), (31, 40)]), expected(40, [(10, 11), (20, 30)]));
    }

    #[test]
    fn a_clock_that_steps_back_takes_back_what_it_stated() {
        assert_eq!(observed([(10, 20), (1_000, 1_010), (30, 40)]).until, 40);
    }

    #[test]
    fn a_candidate_is_observed_from_its_first_statement_on() {
        let observations = Observations::default();
        let observer = observations.candidate(["S-a", "S-b"], 10);
        observer.observed_of(|index| index == 1, 10, 20);
        let is_certain = |name| observations.stream(name).get().unwrap().is_certain;
        assert_eq!([is_certain("S-a"), is_certain("S-b")], [false, true]);
        observations.observer(["S-a"], 10);
        assert!(is_certain("S-a"), "another source is sure");
    }

    #[test]
    fn beyond_the_bound_the_oldest_gaps_become_one() {
        let observed = observed((1..=100).map(|number| (number * 100, number * 100 + 50)));
        assert_eq!(observed.gaps.len(), MAX_GAPS);
        assert_eq!(observed.gaps.front(), Some(&(10, 3_699)), "from the first to the 37th");
        assert_eq!(observed.gaps.back(), Some(&(9_950, 9_999)));
    }

    #[test]
    fn a_second_observer_of_a_stream_continues_the_first() {
        let observations = Observations::default();
        observations.observer(["S-a"], 10).observed(10, 20);
        observations.observer(["S-a"], 15).observed(40, 50);
        let gaps = observations.stream("S-a").get().unwrap().gaps;
        assert_eq!(gaps, [(20, 39)]);
    }
}
