//! Several metrics of the same objects under one key map.

mod metric;
mod restore;

use std::sync::Arc;

pub use self::metric::{Metric, MetricMut};
pub use self::restore::{SavedMetric, SetRestoreError};
use crate::stream::StreamName;
use crate::table::objects::{Keys, Slots};
use crate::table::stream_state::StreamState;
use crate::table::{Plan, ResultBuffer, ResultSink, Snapshot, TableSettings};

/// Several metrics of the same objects: like one [`Table`](crate::Table) for each metric, but each key is stored once.
///
/// A metric is a stream with its own [`Plan`]. It has its own log position, watermark, outcomes and results. The
/// results are those of a `Table` that is fed with the same records; only the order of the objects at the end of a
/// window may differ, because slots are given out in the order of the first samples of all metrics. Two things are
/// shared: an object stays in the key map as long as any metric has state of it, and [`TableSettings::max_objects`]
/// limits the number of objects in all metrics.
///
/// An object costs its key, and 18 to 28 bytes to find it, once for all metrics. A record costs what it costs in a
/// `Table`. When an object expires in one metric, each other metric is checked for it.
///
/// ```
/// use std::sync::Arc;
///
/// use proxy_uve::derived_stats::Number;
/// use proxy_uve::schema::Schema;
/// use proxy_uve::{DecodedRecord, Plan, Position, StreamName, TableSet, TableSettings};
///
/// let streams = ["bytes", "flows", "packets"].map(|name| StreamName::new("Agent", name).expect("a valid name"));
/// let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
/// let plans = streams.clone().map(|stream| Arc::new(Plan::new(stream, &types)));
/// let mut set = TableSet::new(plans, TableSettings::default());
///
/// let flows = set.index_of(&streams[1]).expect("it is in the set");
/// for (metric, value) in [(0, 9000), (flows, 20)] {
///     let mut metric = set.metric_mut(metric).expect("there are three");
///     for (position, at) in (0..).map(Position::new).zip([60_000_000, 180_000_000]) {
///         let (key, value) = (b"ObjectVNTable:vn1", Number::U64(value));
///         metric.ingest_decoded(&DecodedRecord { position, arrived: at, key, at, value, source: "" });
///     }
/// }
/// assert_eq!(set.objects(), 1);
/// let flows = set.metric(flows).expect("there are three");
/// let row = flows.drain().next().expect("the first minute is over");
/// assert_eq!(row.uve_name, "AggProxySum-Agent-flows");
/// assert!(row.json.ends_with(br#""value":{"value":20}}"#));
/// ```
#[derive(Debug)]
pub struct TableSet<S = ResultBuffer> {
    metrics: Vec<StreamState<S>>,
    slots: Slots,
}

impl TableSet {
    /// An empty set with one metric for each of `plans`, in this order. The results of each metric wait as rows of JSON
    /// to be [drained](Metric::drain). `settings` apply to every metric.
    ///
    /// The streams of the plans are usually distinct; where two are not, the metrics differ only by their index.
    pub fn new(plans: impl IntoIterator<Item = Arc<Plan>>, settings: TableSettings) -> Self {
        Self::with_sinks(plans.into_iter().map(|plan| (plan, ResultBuffer::default())), settings)
    }
}

impl<S: ResultSink> TableSet<S> {
    /// An empty set with one metric for each plan, whose results go to the sink beside it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName};
    /// use proxy_uve::{TableSet, TableSettings};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = |name| Arc::new(Plan::new(StreamName::new("Agent", name).expect("a valid name"), &types));
    /// // `()` takes no results: the set only keeps the state.
    /// let set = TableSet::with_sinks([(plan("bytes"), ()), (plan("flows"), ())], TableSettings::default());
    /// assert_eq!(set.metrics().count(), 2);
    /// ```
    pub fn with_sinks(metrics: impl IntoIterator<Item = (Arc<Plan>, S)>, settings: TableSettings) -> Self {
        let metrics = metrics.into_iter().map(|(plan, sink)| StreamState::new(plan, settings, sink));
        Self { metrics: metrics.collect(), slots: Slots::new(&settings) }
    }

    /// The metric at an index, to read; `None` if there are not so many. Constant time.
    pub fn metric(&self, index: usize) -> Option<Metric<'_, S>> {
        Some(Metric::new(self.metrics.get(index)?, &self.slots))
    }

    /// The metric at an index, to feed; `None` if there are not so many. Constant time.
    pub fn metric_mut(&mut self, index: usize) -> Option<MetricMut<'_, S>> {
        self.parts(index).map(|(stream, keys)| MetricMut::new(stream, keys))
    }

    /// All metrics, to read, in the order of their indexes.
    pub fn metrics(&self) -> impl Iterator<Item = Metric<'_, S>> {
        self.metrics.iter().map(|stream| Metric::new(stream, &self.slots))
    }

    /// The index of a stream's metric; of the first one if several have the stream. A comparison of each name.
    pub fn index_of(&self, stream: &StreamName) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.plan.stream == *stream)
    }

    /// How many objects have a slot in any metric.
    pub fn objects(&self) -> usize {
        self.slots.objects()
    }

    /// The keys of all objects, in the order of their slots: that of their first samples, where a freed slot goes to
    /// the next new object. The same after a restore.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.keys()
    }

    /// Removes an object from all metrics, as [`Table::remove`](crate::Table::remove) does. Returns whether there was
    /// such an object. Costs a look-up, and what `Table::remove` costs for each metric that has the object.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        for index in 0..self.metrics.len() {
            if let Some((stream, mut keys)) = self.parts(index) {
                stream.finish_closing(&mut keys);
            }
        }
        let Some(slot) = self.slots.find(key) else {
            return false;
        };
        self.metrics.iter_mut().filter(|metric| metric.objects.contains(slot)).for_each(|metric| metric.remove(slot));
        self.slots.remove(slot);
        true
    }

    /// What changed in each metric since the last snapshot, in the order of the metrics. Each one is a snapshot as
    /// [`Table::snapshot`](crate::Table::snapshot) makes it, and can be restored as a `Table`.
    ///
    /// Store all of them in one transaction: a later snapshot of one metric may give a slot to another key than an
    /// earlier one of another metric, and then [`restore`](Self::restore) is an error. Windows that are closing are
    /// closed to their end. The cost is that of the changed chunks.
    pub fn snapshot(&mut self) -> Vec<Snapshot> {
        let metrics = 0..self.metrics.len();
        let snapshot = |index| self.parts(index).map(|(stream, mut keys)| stream.snapshot(&mut keys));
        metrics.filter_map(snapshot).collect()
    }

    /// The state of a metric, and the keys as it uses them.
    fn parts(&mut self, index: usize) -> Option<(&mut StreamState<S>, SharedKeys<'_, S>)> {
        let (before, rest) = self.metrics.split_at_mut_checked(index)?;
        let (stream, after) = rest.split_first_mut()?;
        Some((stream, SharedKeys { slots: &mut self.slots, before, after }))
    }
}

/// The key map of a set, as one of its metrics uses it.
#[derive(Debug)]
struct SharedKeys<'s, S> {
    slots: &'s mut Slots,
    /// The other metrics.
    before: &'s mut [StreamState<S>],
    after: &'s mut [StreamState<S>],
}

impl<S: ResultSink> Keys for SharedKeys<'_, S> {
    #[inline]
    fn slots(&self) -> &Slots {
        self.slots
    }

    #[inline]
    fn slots_mut(&mut self) -> &mut Slots {
        self.slots
    }

    fn free(&mut self, slot: usize) {
        let mut others = self.before.iter().chain(&*self.after);
        if !others.any(|other| other.objects.contains(slot)) {
            self.slots.remove(slot);
        }
    }

    fn shrink(&mut self) -> Option<usize> {
        let slots = self.slots.shrink()?;
        self.before.iter_mut().chain(&mut *self.after).for_each(|other| other.shrink(slots));
        Some(slots)
    }
}
