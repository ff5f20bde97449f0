//! Built algorithms, and their links for each element type.

use alloc::sync::Arc;

use crate::algorithm::{Algorithm, Detector};
use crate::entry::Entry;
use crate::link::{Link, TypedLink};
use crate::number::ValueType;

/// An algorithm with its parameters, ready for any element type.
#[derive(Clone, Debug)]
pub struct Built {
    links: Arc<dyn Links>,
    seconds: Option<u64>,
    alarms: Option<f64>,
    longest_period: Option<u64>,
    last_values: Option<u32>,
    takes_increases: bool,
    largest_score: Option<f64>,
}

impl Built {
    /// An algorithm that is not a detector.
    pub fn aggregate<A>(algorithm: A) -> Self
    where
        A: Algorithm<f64> + Algorithm<i64> + Algorithm<u64> + Clone,
    {
        Self::of(Arc::new(Aggregate(algorithm)))
    }

    /// A detector.
    pub fn detector<D>(detector: D) -> Self
    where
        D: Detector<f64> + Detector<i64> + Detector<u64> + Clone,
    {
        Self::of(Arc::new(Detecting(detector)))
    }

    fn of(links: Arc<dyn Links>) -> Self {
        Self {
            links,
            seconds: None,
            alarms: None,
            longest_period: None,
            last_values: None,
            takes_increases: false,
            largest_score: None,
        }
    }

    /// Declares that the value of a period is made of the last values of its sources, and that a source counts in so
    /// many periods from its newest sample on. An engine with many sources keeps the values, and gives them to
    /// [`update_from`](crate::Algorithm::update_from) at the end of each period.
    #[must_use]
    pub fn with_last_values(mut self, periods: u32) -> Self {
        self.last_values = Some(periods);
        self
    }

    /// The number of periods in which a source counts, if the algorithm takes the last values of sources.
    pub(crate) fn last_values(&self) -> Option<u32> {
        self.last_values
    }

    /// Declares that the algorithm compares readings of a counter, and takes the
    /// [increases](crate::Algorithm::update_increase) of many counters in their place. An engine with many sources keeps
    /// the last reading of each, so that the readings of two sources are not compared with each other.
    #[must_use]
    pub fn with_increases(mut self) -> Self {
        self.takes_increases = true;
        self
    }

    /// Whether the algorithm takes the increases of many counters in place of the readings of one.
    pub(crate) fn takes_increases(&self) -> bool {
        self.takes_increases
    }

    /// Sets the length of the window in seconds. In a struct the window must not be longer than the period of the
    /// struct: every period resets it, so it would never fill.
    #[must_use]
    pub fn with_window(mut self, seconds: u64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// Sets the bound of the scores of a detector by size: a larger threshold is never reached.
    #[must_use]
    pub fn with_largest_score(mut self, score: f64) -> Self {
        self.largest_score = Some(score);
        self
    }

    /// The bound of the scores by size, if there is one.
    pub(crate) fn largest_score(&self) -> Option<f64> {
        self.largest_score
    }

    /// Sets the number of alarms a week that a detector aims at. With a known period, it must be at most a fifth of the
    /// number of periods in a week: a detector does not learn a threshold that more of its values exceed.
    #[must_use]
    pub fn with_alarms(mut self, per_week: f64) -> Self {
        self.alarms = Some(per_week);
        self
    }

    /// Sets the longest period in seconds with which a detector works, as one that needs some values in each season. A
    /// longer period is an error.
    #[must_use]
    pub fn with_longest_period(mut self, seconds: u64) -> Self {
        self.longest_period = Some(seconds);
        self
    }

    /// The longest period in seconds, if there is one.
    pub(crate) fn longest_period(&self) -> Option<u64> {
        self.longest_period
    }

    /// The number of alarms a week, if there is one.
    pub fn alarms_per_week(&self) -> Option<f64> {
        self.alarms
    }

    /// The length of the window in seconds, if there is one.
    pub(crate) fn window_seconds(&self) -> Option<u64> {
        self.seconds
    }

    /// The link for samples of this type. `value` is the index and the type of the result's value.
    pub(crate) fn link(
        &self,
        entry: &'static Entry,
        value_type: ValueType,
        value: Option<(usize, ValueType)>,
    ) -> Arc<dyn Link> {
        self.links.link(entry, value_type, value)
    }
}

trait Links: core::fmt::Debug + Send + Sync {
    fn link(&self, entry: &'static Entry, value_type: ValueType, value: Option<(usize, ValueType)>) -> Arc<dyn Link>;
}

#[derive(Debug)]
struct Aggregate<A>(A);

impl<A> Links for Aggregate<A>
where
    A: Algorithm<f64> + Algorithm<i64> + Algorithm<u64> + Clone,
{
    fn link(&self, entry: &'static Entry, value_type: ValueType, value: Option<(usize, ValueType)>) -> Arc<dyn Link> {
        let algorithm = self.0.clone();
        match value_type {
            ValueType::F64 => Arc::new(TypedLink::<f64, A>::aggregate(entry, algorithm, value)),
            ValueType::I64 => Arc::new(TypedLink::<i64, A>::aggregate(entry, algorithm, value)),
            ValueType::U64 => Arc::new(TypedLink::<u64, A>::aggregate(entry, algorithm, value)),
        }
    }
}

#[derive(Debug)]
struct Detecting<D>(D);

impl<D> Links for Detecting<D>
where
    D: Detector<f64> + Detector<i64> + Detector<u64> + Clone,
{
    fn link(&self, entry: &'static Entry, value_type: ValueType, value: Option<(usize, ValueType)>) -> Arc<dyn Link> {
        let detector = self.0.clone();
        match value_type {
            ValueType::F64 => Arc::new(TypedLink::<f64, D>::detector(entry, detector, value)),
            ValueType::I64 => Arc::new(TypedLink::<i64, D>::detector(entry, detector, value)),
            ValueType::U64 => Arc::new(TypedLink::<u64, D>::detector(entry, detector, value)),
        }
    }
}
