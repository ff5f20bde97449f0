//! One metric of a set, to read and to feed.

use crate::position::Position;
use crate::table::objects::Slots;
use crate::table::set::SharedKeys;
use crate::table::stream_state::StreamState;
use crate::table::{
    DecodedRecord, Fate, Fates, ObjectView, Plan, Record, RecordFault, ResultBuffer, ResultRow, ResultSink,
};

/// One metric of a [`TableSet`](crate::TableSet), to read.
#[derive(Debug)]
pub struct Metric<'s, S = ResultBuffer> {
    stream: &'s StreamState<S>,
    slots: &'s Slots,
}

impl<S> Clone for Metric<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Metric<'_, S> {}

/// One metric of a [`TableSet`](crate::TableSet), to feed.
///
/// ```
/// # use std::sync::Arc;
/// # use proxy_uve::{schema::Schema, Plan, StreamName};
/// use proxy_uve::{Fate, Position, Record, TableSet, TableSettings};
///
/// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
/// # let plan = |name| Arc::new(Plan::new(StreamName::new("Agent", name).expect("a valid name"), &types));
/// let mut set = TableSet::new([plan("bytes"), plan("flows")], TableSettings::default());
/// let mut flows = set.metric_mut(1).expect("there are two");
/// let (position, key, payload) = (Position::new(0), b"T:vn1", br#"{"ts":60000000,"value":8}"#);
/// assert_eq!(flows.ingest(&Record { position, arrived: 60_000_000, key, payload }), Fate::Aggregated);
/// flows.advance(120_000_000);
/// let flows = flows.as_metric();
/// assert_eq!((flows.position(), flows.watermark()), (Some(position), 120_000_000));
/// assert_eq!(flows.drain().count(), 1);
/// ```
#[derive(Debug)]
pub struct MetricMut<'s, S = ResultBuffer> {
    stream: &'s mut StreamState<S>,
    keys: SharedKeys<'s, S>,
}

impl<'s> Metric<'s> {
    /// The results since the last call of [`clear_results`](MetricMut::clear_results), in a fixed order.
    pub fn drain(self) -> impl Iterator<Item = ResultRow<'s>> {
        self.stream.drain()
    }

    /// How many results wait to be drained, and their bytes.
    pub fn pending_results(self) -> (usize, usize) {
        self.stream.pending_results()
    }
}

impl<'s, S: ResultSink> Metric<'s, S> {
    pub(super) fn new(stream: &'s StreamState<S>, slots: &'s Slots) -> Self {
        Self { stream, slots }
    }

    /// The plan: what the metric computes, and of which stream.
    pub fn plan(self) -> &'s Plan {
        &self.stream.plan
    }

    /// The newest position applied; `None` before the first record.
    pub fn position(self) -> Option<Position> {
        self.stream.progress.position()
    }

    /// Every window of the metric that ends at or before this time is closed. Microseconds since the epoch.
    pub fn watermark(self) -> u64 {
        self.stream.progress.watermark()
    }

    /// The newest timestamp accepted, in microseconds; `None` before the first sample.
    pub fn newest_timestamp(self) -> Option<u64> {
        self.stream.progress.newest()
    }

    /// The counts of the metric's records so far, by outcome. Their sum is the number of its records.
    pub fn fates(self) -> &'s Fates {
        self.stream.progress.fates()
    }

    /// Whether a window of the metric is closing: some of its results are sent, the others follow with the next
    /// records.
    pub fn is_closing(self) -> bool {
        self.stream.closing.is_some()
    }

    /// The current state of an object in the metric; `None` if it has none, even if another metric has. Costs what
    /// [`Table::object`](crate::Table::object) costs.
    pub fn object(self, key: &[u8]) -> Option<ObjectView<'s>> {
        let slot = self.slots.find(key).filter(|&slot| self.stream.objects.contains(slot))?;
        Some(self.stream.object(self.slots, slot))
    }

    /// The keys of the objects of which the metric has state, in the order of their slots.
    pub fn keys(self) -> impl Iterator<Item = &'s [u8]> {
        let slots = (0..self.slots.len()).filter(move |&slot| self.stream.objects.contains(slot));
        slots.map(move |slot| self.slots.key(slot))
    }

    /// The reason why the metric never accepts such a record; see [`Table::fault`](crate::Table::fault).
    pub fn fault(self, key: &[u8], payload: &[u8]) -> Option<RecordFault> {
        self.stream.fault(self.slots, key, payload)
    }

    /// The sink of the metric's results.
    pub fn sink(self) -> &'s S {
        &self.stream.output.sink
    }
}

impl MetricMut<'_> {
    /// Drops the results that [`drain`](Metric::drain) returned.
    pub fn clear_results(&mut self) {
        self.stream.output.sink.clear();
    }
}

impl<'s, S: ResultSink> MetricMut<'s, S> {
    pub(super) fn new(stream: &'s mut StreamState<S>, keys: SharedKeys<'s, S>) -> Self {
        Self { stream, keys }
    }

    /// The same metric, to read.
    pub fn as_metric(&self) -> Metric<'_, S> {
        Metric::new(self.stream, self.keys.slots)
    }

    /// Applies a record and closes the windows that it makes due, as [`Table::ingest`](crate::Table::ingest) does.
    pub fn ingest(&mut self, record: &Record<'_>) -> Fate {
        self.stream.ingest(&mut self.keys, record)
    }

    /// Applies a record whose payload is decoded, as [`Table::ingest_decoded`](crate::Table::ingest_decoded) does.
    pub fn ingest_decoded(&mut self, record: &DecodedRecord<'_>) -> Fate {
        self.stream.ingest_decoded(&mut self.keys, record)
    }

    /// Applies many records whose payloads are decoded, as [`Table::ingest_batch`](crate::Table::ingest_batch) does.
    /// Returns the counts of these records by outcome.
    pub fn ingest_batch(&mut self, records: &[DecodedRecord<'_>]) -> Fates {
        self.ingest_batch_with(records, |_, _| {})
    }

    /// The same, and calls `not_aggregated` with the index in `records` and the outcome of each record that is not
    /// [`Fate::Aggregated`], in order.
    pub fn ingest_batch_with(
        &mut self,
        records: &[DecodedRecord<'_>],
        not_aggregated: impl FnMut(usize, Fate),
    ) -> Fates {
        self.stream.ingest_batch(&mut self.keys, records, not_aggregated)
    }

    /// Applies records with their payloads, as [`Table::ingest_payloads`](crate::Table::ingest_payloads) does.
    pub fn ingest_payloads<'r>(&mut self, records: impl IntoIterator<Item = Record<'r>>) -> Fates {
        self.ingest_payloads_with(records, |_, _| {})
    }

    /// The same, and calls `not_aggregated` as [`ingest_batch_with`](Self::ingest_batch_with) does; the index counts
    /// the records from 0.
    pub fn ingest_payloads_with<'r>(
        &mut self,
        records: impl IntoIterator<Item = Record<'r>>,
        not_aggregated: impl FnMut(usize, Fate),
    ) -> Fates {
        self.stream.ingest_payloads(&mut self.keys, records, not_aggregated)
    }

    /// Moves the metric's watermark forward to `stream_time_micros` (microseconds since the epoch), as
    /// [`Table::advance`](crate::Table::advance) does. The watermarks of the other metrics stay.
    pub fn advance(&mut self, stream_time_micros: u64) {
        self.stream.advance(&mut self.keys, stream_time_micros);
    }

    /// Closes up to `objects` further objects of the metric's windows that are due, as
    /// [`Table::close_more`](crate::Table::close_more) does. Returns the rest of `objects` that was not needed.
    pub fn close_more(&mut self, objects: usize) -> usize {
        self.stream.close_objects(&mut self.keys, objects)
    }

    /// Marks the metric's records up to the time `until_micros` (microseconds since the epoch) as possibly missing, as
    /// [`Table::mark_gap`](crate::Table::mark_gap) does.
    pub fn mark_gap(&mut self, until_micros: u64) {
        self.stream.mark_gap(&mut self.keys, until_micros);
    }

    /// Marks event time, both ends included, as unknown, as [`Table::mark_unknown`](crate::Table::mark_unknown) does.
    pub fn mark_unknown(&mut self, from_micros: u64, until_micros: u64) {
        self.stream.progress.unknown_mut().add(from_micros, until_micros);
    }

    /// Sets the time up to which the sources are observed, as
    /// [`Table::set_observed_until`](crate::Table::set_observed_until) does.
    pub fn set_observed_until(&mut self, micros: Option<u64>) {
        self.stream.progress.unknown_mut().set_observed_until(micros);
    }

    /// The sink of the metric's results, to take results out.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.stream.output.sink
    }
}
