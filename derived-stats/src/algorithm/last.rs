//! The last values of sources: the state of `DSSumLast`, `DSAvgLast` and `DSMaxLast`.
//!
//! ```text
//! x(s)   = the newest sample of the source s, at equal times the largest
//! result = the sum, the mean or the largest of x(s) over the sources that count
//! ```
//!
//! The samples of one object come from many sources, such as the vrouters of a network, and each reports a level, such
//! as its number of flows. The total of the object is the sum over the sources, whatever the number of samples that each
//! of them sent: so a source counts once, with its newest sample.
//!
//! *Sources that are silent.* A source counts in the period of its newest sample and in the next N-1 periods, N periods
//! in total; then it is dropped. With N = 1, which is the default, a source counts in the periods in which it has
//! samples. Sources that report about once a period have no sample in some periods, because of the jitter of their
//! clocks: N = 2 or 3 keeps the total from falling in these.
//! N periods are also the range of these algorithms: with periods of a minute, 60 of them are the last hour. A
//! [sliding window](crate::algorithm::Windowed) of last values would keep a list of sources in each of its 257 buckets,
//! for the same result.
//!
//! *Order.* A sample that is older than the newest one of its source adds nothing, but the source is not silent. The
//! order of the samples makes no difference to the result, and states [merge](Algorithm::merge): the union of the
//! sources, each with its newest sample.
//!
//! A state is a list that is sorted by the number of the source, so a sum of doubles has a fixed order. An object has 24
//! bytes, and 32 for each source. The number of sources is not limited here: the caller must bound those that it sends,
//! as `proxy-uve` does.

use alloc::string::String;
use alloc::vec::Vec;

use crate::algorithm::fixed::ensure;
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError};
use crate::entry::{Argument, ArgumentError, ArgumentKind, Built, Explanation, Given};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};
use crate::source_id::SourceId;

/// The largest number of periods in which a source counts.
pub(crate) const MOST_PERIODS: u32 = 1000;

/// The argument of the number of periods in which a source counts.
pub(crate) const PERIODS: Argument = Argument::optional(
    "periods",
    ArgumentKind::Whole { least: 1, most: MOST_PERIODS as u64 },
    "the number of periods in which a source counts, 1 to 1000",
    "3",
)
.absent_is(1);

/// The aggregate `A` of the last value of each source.
///
/// 24 bytes an object, and 32 for each source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Last<A> {
    aggregate: A,
    /// At least 1.
    periods: u32,
}

/// The last value of each source that counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastValues<T> {
    /// By source.
    sources: Vec<LastValue<T>>,
}

/// The newest sample of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LastValue<T> {
    source: SourceId,
    at: u64,
    value: T,
    /// The number of periods since the one of the sample, and in the lowest bit whether the value is the bound of an
    /// overflowed sum.
    packed: u64,
}

const OVERFLOWED: u64 = 1;
const PERIOD: u64 = 2;

/// The algorithm with the number of periods of its argument.
pub(crate) fn built<A>(given: &Given<'_>, aggregate: A) -> Result<Built, ArgumentError>
where
    A: Algorithm<f64> + Algorithm<i64> + Algorithm<u64> + Clone,
{
    let periods = periods(given);
    Ok(Built::aggregate(Last::new(aggregate, periods)).with_last_values(periods))
}

/// The output of `explain`; `whole` is the aggregate, such as "the sum".
pub(crate) fn explain(given: &Given<'_>, seconds: Option<u64>, whole: &str) -> Explanation {
    let periods = periods(given);
    let drop = match (periods, seconds) {
        (1, _) => String::from("counts in the periods in which it has samples"),
        (_, None) => alloc::format!("counts with its last value in {periods} periods, then it is dropped"),
        (_, Some(seconds)) => alloc::format!(
            "counts with its last value in {periods} periods ({} s), then it is dropped",
            u64::from(periods).saturating_mul(seconds)
        ),
    };
    Explanation::new(alloc::format!("{whole} of the last values of all sources, each counted once"))
        .line("sources", alloc::format!("a source {drop}; samples without a source are of one unnamed source"))
        .fact("sources", "periods", Number::U64(periods.into()))
}

fn periods(given: &Given<'_>) -> u32 {
    given.whole(0).and_then(|periods| u32::try_from(periods).ok()).unwrap_or(1).clamp(1, MOST_PERIODS)
}

impl<A> Last<A> {
    /// The aggregate of the last values of sources that count in `periods` periods, 1 to 1000; others become the nearest
    /// of these.
    pub fn new(aggregate: A, periods: u32) -> Self {
        Self { aggregate, periods: periods.clamp(1, MOST_PERIODS) }
    }

    /// The state of the aggregate after the last value of each source.
    fn aggregated<T: Numeric>(&self, state: &LastValues<T>) -> A::State
    where
        A: Algorithm<T>,
    {
        let mut aggregated = self.aggregate.start();
        for last in &state.sources {
            // An aggregate that refuses a value has none of this source.
            let _ = self.aggregate.update(&mut aggregated, last.sample());
        }
        aggregated
    }
}

impl<T: Numeric> LastValue<T> {
    fn new(source: SourceId, sample: Sample<T>) -> Self {
        let Sample { at, value, overflowed } = sample;
        Self { source, at, value, packed: OVERFLOWED * u64::from(overflowed) }
    }

    fn sample(&self) -> Sample<T> {
        Sample { at: self.at, value: self.value, overflowed: self.packed & OVERFLOWED != 0 }
    }

    /// The number of periods since the one of the newest sample.
    fn silent(&self) -> u64 {
        self.packed / PERIOD
    }

    /// Takes a later or an earlier value of the source. It is as silent as the less silent of the two.
    fn join(&mut self, other: Self) {
        let silent = self.silent().min(other.silent());
        if (other.at, other.value) > (self.at, self.value) {
            *self = other;
        }
        self.packed = (self.packed & OVERFLOWED) | (silent * PERIOD);
    }
}

impl<T: Numeric> LastValues<T> {
    fn add(&mut self, new: LastValue<T>) {
        match self.sources.binary_search_by_key(&new.source, |last| last.source) {
            Ok(index) => self.sources.iter_mut().skip(index).take(1).for_each(|last| last.join(new)),
            Err(index) => {
                if self.sources.is_empty() {
                    // Many objects have one source; a list would grow to four.
                    self.sources.reserve_exact(1);
                }
                self.sources.insert(index, new);
            }
        }
    }
}

impl<T: Numeric, A: Algorithm<T>> Algorithm<T> for Last<A> {
    type State = LastValues<T>;

    fn start(&self) -> LastValues<T> {
        LastValues { sources: Vec::new() }
    }

    #[inline]
    fn is_empty(&self, state: &LastValues<T>) -> bool {
        state.sources.is_empty()
    }

    fn update(&self, state: &mut LastValues<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        self.update_from(state, SourceId::UNNAMED, sample)
    }

    fn update_from(&self, state: &mut LastValues<T>, source: SourceId, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(LastValue::new(source, sample));
        Ok(())
    }

    fn next_period(&self, ended: &LastValues<T>) -> LastValues<T> {
        let kept = || ended.sources.iter().filter(|last| last.silent() + 1 < u64::from(self.periods));
        let mut sources = Vec::new();
        sources.reserve_exact(kept().count());
        sources.extend(kept().map(|last| LastValue { packed: last.packed + PERIOD, ..*last }));
        LastValues { sources }
    }

    fn report(&self, state: &LastValues<T>, now: u64) -> Report<Record> {
        self.aggregate.report(&self.aggregated(state), now)
    }

    fn value(&self, state: &LastValues<T>, now: u64, value: usize) -> Option<Measured> {
        self.aggregate.value(&self.aggregated(state), now, value)
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut LastValues<T>, from: &LastValues<T>) -> Result<(), MergeError> {
        from.sources.iter().for_each(|last| into.add(*last));
        Ok(())
    }

    /// That of one source: the number of sources is not limited here.
    fn heap_bytes(&self) -> usize {
        size_of::<LastValue<T>>()
    }

    fn allocated_bytes(&self, state: &LastValues<T>) -> usize {
        state.sources.capacity() * size_of::<LastValue<T>>()
    }

    fn grows(&self) -> bool {
        true
    }

    fn save(&self, state: &LastValues<T>, words: &mut WordWriter<'_>) {
        words.push(state.sources.len() as u64);
        for last in &state.sources {
            words.extend([last.source.number(), last.at, last.value.to_bits(), last.packed]);
        }
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<LastValues<T>, RestoreError> {
        let mut sources: Vec<LastValue<T>> = Vec::new();
        for _ in 0..words.next("number of sources")? {
            let number = words.next("source")?;
            let source = SourceId::new(number);
            ensure(sources.last().is_none_or(|last| last.source < source), "source", number)?;
            let (at, value) = (words.next("time of the last value")?, words.finite("last value")?);
            let packed = words.next("silent periods")?;
            ensure(packed / PERIOD < u64::from(self.periods), "silent periods", packed)?;
            sources.push(LastValue { source, at, value, packed });
        }
        Ok(LastValues { sources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Average, Max, Sum, saved};

    const SOURCES: [SourceId; 3] = [SourceId::new(7), SourceId::UNNAMED, SourceId::new(u64::MAX)];

    /// The state after samples of the sources at these indices.
    fn after<A: Algorithm<u64>>(last: &Last<A>, samples: &[(usize, u64, u64)]) -> LastValues<u64> {
        let mut state = Algorithm::<u64>::start(last);
        for &(source, at, value) in samples {
            last.update_from(&mut state, SOURCES[source], Sample::new(at, value)).expect("every value is a sample");
        }
        state
    }

    fn value<A: Algorithm<u64>>(last: &Last<A>, state: &LastValues<u64>) -> Option<Number> {
        let value = last.value(state, 9, 0).map(|measured| measured.number);
        assert_eq!(value, last.report(state, 9).forced().and_then(|record| record.get(0)));
        value
    }

    #[test]
    fn each_source_counts_once_with_its_newest_sample() {
        let samples = [(0, 1, 10), (1, 1, 5), (0, 3, 20), (2, 2, 8), (0, 2, 90)];
        let results = [
            value(&Last::new(Sum, 1), &after(&Last::new(Sum, 1), &samples)),
            value(&Last::new(Average, 1), &after(&Last::new(Average, 1), &samples)),
            value(&Last::new(Max, 1), &after(&Last::new(Max, 1), &samples)),
        ];
        assert_eq!(results, [20 + 5 + 8, 11, 20].map(|number| Some(Number::U64(number))));
        assert_eq!(value(&Last::new(Sum, 1), &LastValues::default()), None);
    }

    #[test]
    fn samples_of_one_time_have_the_value_of_the_largest_in_any_order() {
        let last = Last::new(Sum, 1);
        for samples in [[(0, 4, 3), (0, 4, 9)], [(0, 4, 9), (0, 4, 3)]] {
            assert_eq!(value(&last, &after(&last, &samples)), Some(Number::U64(9)));
        }
    }

    #[test]
    fn a_silent_source_counts_for_its_periods_and_is_dropped() {
        for periods in 1..4 {
            let last = Last::new(Sum, periods);
            let mut state = after(&last, &[(0, 1, 10), (1, 1, 5)]);
            for period in 1..6 {
                state = Algorithm::<u64>::next_period(&last, &state);
                // The other one goes on, once with a sample that is older than its newest one.
                let at = if period == 3 { 0 } else { 1 + u64::from(period) };
                last.update_from(&mut state, SOURCES[1], Sample::new(at, 6)).expect("every value is a sample");
                let expected = 6 + if period < periods { 10 } else { 0 };
                assert_eq!(value(&last, &state), Some(Number::U64(expected)), "period {period} of {periods}");
            }
        }
    }

    #[test]
    fn merged_states_have_the_newest_sample_of_each_source() {
        let last = Last::new(Sum, 3);
        let samples = [(0, 1, 10), (1, 1, 5), (0, 3, 20), (2, 2, 8), (1, 0, 90)];
        let whole = after(&last, &samples);
        for cut in 0..=samples.len() {
            let (left, right) = samples.split_at(cut);
            let (left, right) = (after(&last, left), after(&last, right));
            for (into, from) in [(&left, &right), (&right, &left)] {
                let mut merged = into.clone();
                assert_eq!(last.merge(&mut merged, from), Ok(()));
                assert_eq!(merged, whole, "cut at {cut}");
            }
        }
        let silent = Algorithm::<u64>::next_period(&last, &whole);
        let mut merged = silent.clone();
        assert_eq!(last.merge(&mut merged, &whole), Ok(()));
        assert_eq!(merged, whole, "the less silent of two");
    }

    #[test]
    fn the_bound_of_an_overflowed_value_marks_the_result_while_the_source_counts() {
        let last = Last::new(Sum, 1);
        let mut state: LastValues<u64> = last.start();
        let bound = Sample { at: 1, value: u64::MAX, overflowed: true };
        last.update(&mut state, bound).expect("every value is a sample");
        assert_eq!(last.value(&state, 1, 0).map(|measured| measured.overflowed), Some(true));
        last.update(&mut state, Sample::new(2, 7)).expect("every value is a sample");
        assert_eq!(last.value(&state, 2, 0).map(|measured| measured.overflowed), Some(false));
    }

    #[test]
    fn saved_states_come_back_and_impossible_ones_are_refused() {
        let last = Last::new(Sum, 2);
        let state = Algorithm::<u64>::next_period(&last, &after(&last, &[(0, 1, 10), (1, 4, 5)]));
        let words = saved(&last, &state);
        assert_eq!(words, [2, 0, 4, 5, 2, 7, 1, 10, 2]);
        let restored =
            |words: &[u64]| -> Result<LastValues<u64>, RestoreError> { last.restore(&mut Words::new(words)) };
        assert_eq!(restored(&words), Ok(state));
        for (index, word, field) in [(1, 7, "source"), (5, 0, "source"), (4, 4, "silent periods")] {
            let mut changed = words.clone();
            changed[index] = word;
            assert_eq!(restored(&changed), Err(RestoreError::invalid(field, if index == 1 { 7 } else { word })));
        }
        assert_eq!(restored(&[u64::MAX]), Err(RestoreError::TooShort { field: "source" }));
    }
}
