//! An algorithm over the last seconds: [`Ranged`].

use alloc::boxed::Box;

use crate::algorithm::range::buckets::Buckets;
use crate::algorithm::range::{Range, window};
use crate::algorithm::{Algorithm, MergeError, Sample, UpdateError};
use crate::entry::{ArgumentError, Built, Given};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};

/// An algorithm whose states [`Ranged`] can keep in the buckets of a sliding window.
///
/// An algorithm that merges needs no method: `impl<T: Numeric> Windowed<T> for Mine {}`. One that depends on the order
/// of samples has no [`merge`](Algorithm::merge), but can slide if it overrides [`append`](Self::append).
///
/// The states may allocate: up to 258 of them are in a window, so the window takes at most 258 times
/// [`heap_bytes`](Algorithm::heap_bytes) in addition to their own size.
pub trait Windowed<T: Numeric>: Algorithm<T> {
    /// Whether [`subtract`](Self::subtract) is implemented: the window then has a running total.
    const SUBTRACTS: bool = false;

    /// Appends a state to the state of earlier samples, or to one without samples. The default is
    /// [`merge`](Algorithm::merge).
    fn append(&self, state: &mut Self::State, later: &Self::State) {
        // Only an algorithm that does not merge fails, and it overrides this.
        let _ = self.merge(state, later);
    }

    /// The report of a full window whose samples have all expired; `total` is its state.
    fn report_nothing(&self, total: &Self::State) -> Report<Record> {
        let _ = total;
        Report::NotReady(None)
    }

    /// The report of a full window with samples: `parts` are the states of which it consists, from the oldest to the
    /// newest. There are at most three of them, unless buckets have expired since the newest sample that no sample has
    /// folded: then each bucket is a part.
    ///
    /// The default appends the parts to each other. Override it for states that allocate, to read them without a copy.
    fn report_window(&self, parts: &mut dyn Iterator<Item = &Self::State>, now: u64) -> Report<Record> {
        let mut whole = self.start();
        parts.for_each(|part| self.append(&mut whole, part));
        if self.is_empty(&whole) { self.report_nothing(&whole) } else { self.report(&whole, now) }
    }

    /// As [`report_window`](Self::report_window), into a record that the caller uses again; see
    /// [`Algorithm::report_into`].
    fn report_window_into(
        &self,
        parts: &mut dyn Iterator<Item = &Self::State>,
        now: u64,
        record: &mut Record,
    ) -> Report<()> {
        record.put(self.report_window(parts, now))
    }

    /// Subtracts the oldest state from the total of a window; `false` if the total must be made again from the states
    /// that are left.
    fn subtract(&self, total: &mut Self::State, oldest: &Self::State) -> bool {
        let _ = (total, oldest);
        false
    }

    /// Whether the total has left its type, so that it must be made again from the states that are left.
    fn is_saturated(&self, total: &Self::State) -> bool {
        let _ = total;
        false
    }

    /// Writes the total of a window for an algorithm that subtracts.
    fn save_total(&self, total: &Self::State, words: &mut WordWriter<'_>) {
        self.save(total, words);
    }

    /// Reads what [`save_total`](Self::save_total) wrote.
    ///
    /// # Errors
    ///
    /// As [`restore`](Algorithm::restore).
    fn restore_total(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        self.restore(words)
    }

    /// Checks a restored total against the state of all restored buckets, and completes it.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Invalid`] if it is not the total of them.
    fn checked_total(&self, total: Self::State, buckets: &Self::State) -> Result<Self::State, RestoreError> {
        let _ = buckets;
        Ok(total)
    }
}

/// Builds an algorithm, over a sliding window if the argument [`RANGE`](super::RANGE) at `index` is given.
pub(crate) fn built<A>(given: &Given<'_>, index: usize, algorithm: A) -> Result<Built, ArgumentError>
where
    A: Windowed<f64> + Windowed<i64> + Windowed<u64> + Clone,
{
    Ok(match window(given, index)? {
        None => Built::aggregate(algorithm),
        Some(range) => Built::aggregate(Ranged::of(algorithm, range)).with_window(range.seconds()),
    })
}

/// An algorithm over the samples of the last `range` seconds.
///
/// Not ready until one whole range has passed since the first sample. A sample of an older bucket than the newest is refused
/// with [`UpdateError::TimeWentBack`], so after one sample of a time in the far future all are: check the times, or start
/// with a new state. An [increase](Algorithm::update_increase) whose time is inside the window counts in the newest
/// bucket instead.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut bytes = Pipeline::parse("raw:DSSum:60")?;
/// for second in 0..=60 {
///     bytes.update(second * 1_000_000, Number::U64(second))?;
/// }
/// assert_eq!(bytes.number(), Some(Number::U64(1830)), "1 + 2 + ... + 60");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranged<A> {
    algorithm: A,
    range: Range,
}

impl<A> Ranged<A> {
    /// An algorithm without parameters over the window of `range`.
    pub fn new(range: Range) -> Self
    where
        A: Default,
    {
        Self::of(A::default(), range)
    }

    /// An algorithm over the window of `range`.
    pub fn of(algorithm: A, range: Range) -> Self {
        Self { algorithm, range }
    }

    /// The window.
    pub fn range(&self) -> Range {
        self.range
    }

    /// Adds a sample of time `at` with `update`.
    #[inline]
    fn take<T: Numeric>(
        &self,
        state: &mut RangeState<A::State>,
        at: u64,
        update: impl Fn(&A, &mut A::State) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError>
    where
        A: Windowed<T>,
    {
        if let Some(window) = &mut state.0 {
            return window.update(&self.algorithm, self.range, at, update);
        }
        let mut window = Box::new(Buckets::new(self.range, self.range.bucket(at), self.algorithm.start()));
        window.update(&self.algorithm, self.range, at, update)?;
        state.0 = Some(window);
        Ok(())
    }
}

/// One object's window: 8 bytes, and the buckets on the heap from the first sample on.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeState<S>(Option<Box<Buckets<S>>>);

impl<S> Default for RangeState<S> {
    fn default() -> Self {
        Self(None)
    }
}

impl<S: Clone> RangeState<S> {
    /// The number of samples that were refused because their bucket was older than the newest.
    pub fn refused(&self) -> u64 {
        self.0.as_ref().map_or(0, |window| window.refused())
    }

    /// The number of buckets with samples: at most 256.
    pub fn buckets(&self) -> usize {
        self.0.as_ref().map_or(0, |window| window.len())
    }
}

impl<T: Numeric, A: Windowed<T>> Algorithm<T> for Ranged<A> {
    type State = RangeState<A::State>;

    fn start(&self) -> RangeState<A::State> {
        RangeState(None)
    }

    fn is_empty(&self, state: &RangeState<A::State>) -> bool {
        state.0.is_none()
    }

    fn update(&self, state: &mut RangeState<A::State>, sample: Sample<T>) -> Result<(), UpdateError> {
        self.take(state, sample.at, |algorithm, state| algorithm.update(state, sample))
    }

    fn update_increase(&self, state: &mut Self::State, since: u64, increase: Sample<T>) -> Result<(), UpdateError> {
        // The counters of many sources are not read at one time, so one of them lags behind the newest.
        let at = state.0.as_ref().map_or(increase.at, |window| window.lagging(self.range, increase.at));
        self.take(state, at, |algorithm, state| algorithm.update_increase(state, since, increase))
    }

    fn report(&self, state: &RangeState<A::State>, now: u64) -> Report<Record> {
        let read = |parts: &mut dyn Iterator<Item = &A::State>| self.algorithm.report_window(parts, now);
        let report = state.0.as_ref().and_then(|window| window.read(&self.algorithm, self.range, now, read));
        report.unwrap_or(Report::NotReady(None))
    }

    fn report_into(&self, state: &RangeState<A::State>, now: u64, record: &mut Record) -> Report<()> {
        let mut report = None;
        if let Some(window) = &state.0 {
            let read =
                |parts: &mut dyn Iterator<Item = &A::State>| self.algorithm.report_window_into(parts, now, record);
            report = window.read(&self.algorithm, self.range, now, read);
        }
        report.unwrap_or_else(|| record.put(Report::NotReady(None)))
    }

    fn merge(&self, into: &mut RangeState<A::State>, from: &RangeState<A::State>) -> Result<(), MergeError> {
        match (&mut into.0, &from.0) {
            (_, None) => {}
            (Some(window), Some(from)) => window.merge(&self.algorithm, self.range, from),
            (window @ None, Some(from)) => *window = Some(from.clone()),
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        Buckets::<A::State>::heap_bytes(self.range, self.algorithm.heap_bytes())
    }

    fn allocated_bytes(&self, state: &RangeState<A::State>) -> usize {
        state.0.as_ref().map_or(0, |window| window.allocated_bytes(&self.algorithm))
    }

    fn grows(&self) -> bool {
        self.algorithm.grows()
    }

    fn save(&self, state: &RangeState<A::State>, words: &mut WordWriter<'_>) {
        words.push(u64::from(state.0.is_some()));
        if let Some(window) = &state.0 {
            window.save(&self.algorithm, words);
        }
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<RangeState<A::State>, RestoreError> {
        match words.flag("window")? {
            false => Ok(RangeState(None)),
            true => Ok(RangeState(Some(Box::new(Buckets::restore(&self.algorithm, self.range, words)?)))),
        }
    }
}
