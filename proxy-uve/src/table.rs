//! The table of one partition: every object of one stream with samples there.
//!
//! A table is a state machine without clock, threads or I/O. Its owner gives it the records of the partition's log in
//! order, and takes the results out:
//!
//! ```text
//!            ingest(record)                    for each record, in log order
//!   log ───────────────────────► Table ─────► drain()          results of the windows that closed
//!            advance(stream time)       └───► snapshot()       what changed since the last one
//! ```
//!
//! *Event time.* A sample belongs to the window of its own timestamp. The *watermark* is the newest timestamp seen
//! minus the allowed lateness; a window closes when the watermark reaches its end, and a sample whose windows are all
//! closed is late. So the same records give the same results at any speed, and after any restart. An idle partition
//! cannot move its own watermark: then the owner moves it with [`Table::advance`].
//!
//! *How a sample is applied:* its payload is decoded; its position is compared with the last one applied, its time with
//! its arrival and the watermark (`Progress`); due windows close; the key becomes a slot (`Slots`); the value is added
//! to the slot's cell in the open window of each window column (`Columns`; of a counter, the increase since the last
//! reading of its source; where each source counts once, its last value is kept until the window ends), and the slot to
//! the objects with samples in that window (`Objects`). At the close of a window, one pass over the slots, 64 at a time,
//! counts the idle periods of every object, feeds detectors, and encodes results (`ResultOutput`). Many samples at a time
//! go the same way [by column](Table::ingest_batch), which is several times faster once the objects do not fit the
//! caches.

mod batch;
mod by_source;
mod close;
mod closing;
mod columns;
mod fate;
mod identity;
mod ingest;
mod object;
mod objects;
mod output;
mod partial;
mod plan;
mod progress;
mod results;
mod retain;
mod set;
mod settings;
mod sink;
mod snapshot;
mod stream_state;
mod unknown;
mod uve;
mod window;

use std::sync::Arc;

use derived_stats::Number;

pub use self::fate::{Fate, Fates};
pub use self::ingest::RecordFault;
pub use self::object::{AttributeView, ObjectView, OpenWindow, TypeView};
use self::objects::Slots;
pub use self::partial::PartialRecord;
pub use self::plan::{NotMergeable, PartialFault, Plan};
pub use self::results::{ResultBuffer, ResultRow};
pub use self::set::{Metric, MetricMut, SavedMetric, SetRestoreError, TableSet};
pub use self::settings::TableSettings;
pub use self::sink::{AttributeResult, ResultSink, Subject};
pub use self::snapshot::{
    CHUNK_SLOTS, JoinError, RestoreOutcome, RestoreReport, RestoredState, Snapshot, SnapshotError, SnapshotPart,
    StateKind, TablePart,
};
use self::stream_state::StreamState;
pub use self::uve::{AttributeDescription, UveDescription};
use crate::position::Position;

/// A record of the partition's log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// Its offset in the log; a position at or below one already applied is a duplicate.
    pub position: Position,
    /// The time at which the log took it, in microseconds since the epoch. Stored with the record, so that a replay
    /// classifies the record as the first run did.
    pub arrived: u64,
    /// `table:name`.
    pub key: &'r [u8],
    /// The sample: Contrail's XML element or the JSON form.
    pub payload: &'r [u8],
}

/// A record whose payload is decoded already.
#[derive(Clone, Copy, Debug)]
pub struct DecodedRecord<'r> {
    /// See [`Record::position`].
    pub position: Position,
    /// See [`Record::arrived`].
    pub arrived: u64,
    /// See [`Record::key`].
    pub key: &'r [u8],
    /// The time of the measurement, in microseconds since the epoch.
    pub at: u64,
    /// The value that was measured; of a text its [hash](derived_stats::text_sample).
    pub value: Number,
    /// The sender, such as the name of a vrouter; empty if it is not known. Counters (`metric="agg"`) are those of one
    /// sender. At most [`MAX_SOURCE_BYTES`](crate::wire::MAX_SOURCE_BYTES) bytes.
    pub source: &'r str,
}

/// The objects of one stream in one partition. Results go to `S`, by default rows of JSON to be drained.
#[derive(Debug)]
pub struct Table<S = ResultBuffer> {
    stream: StreamState<S>,
    slots: Slots,
}

impl Table {
    /// An empty table whose results wait as rows of JSON to be drained.
    pub fn new(plan: Arc<Plan>, settings: TableSettings) -> Self {
        Self::with_sink(plan, settings, ResultBuffer::default())
    }

    /// The results since the last call of [`clear_results`](Self::clear_results), in a fixed order.
    pub fn drain(&self) -> impl Iterator<Item = ResultRow<'_>> {
        self.stream.drain()
    }

    /// How many results wait to be drained, and their bytes.
    pub fn pending_results(&self) -> (usize, usize) {
        self.stream.pending_results()
    }

    /// Drops the results that [`drain`](Self::drain) returned.
    pub fn clear_results(&mut self) {
        self.stream.output.sink.clear();
    }
}

impl<S: ResultSink> Table<S> {
    /// An empty table whose results go to `sink`. Costs no more than the sink: nothing is kept to be drained.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use proxy_uve::derived_stats::Number;
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{
    ///     AttributeResult, Plan, Position, Record, ResultSink, StreamName, Subject, Table, TableSettings,
    /// };
    ///
    /// #[derive(Default)]
    /// struct Sums(Vec<(Vec<u8>, f64)>);
    ///
    /// impl ResultSink for Sums {
    ///     fn begin(&mut self, _: &Subject<'_>) {}
    ///
    ///     fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
    ///         let sum = result.report.as_ref().forced().and_then(|output| output.value());
    ///         self.0.extend(sum.map(|sum| (subject.key.to_vec(), sum.as_f64())));
    ///     }
    ///
    ///     fn end(&mut self, _: &Subject<'_>) {}
    /// }
    ///
    /// let stream = StreamName::new("Agent", "flows").unwrap();
    /// let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    /// let mut table = Table::with_sink(Arc::new(Plan::new(stream, &types)), TableSettings::default(), Sums::default());
    /// for (position, at) in (0..).map(Position::new).zip([60_000_000, 180_000_000]) {
    ///     let payload = format!(r#"<flows type="u64" timestamp="{at}">8</flows>"#);
    ///     table.ingest(&Record { position, arrived: at, key: b"T:a", payload: payload.as_bytes() });
    /// }
    /// assert_eq!(table.sink().0, [(b"T:a".to_vec(), 8.0)]);
    /// ```
    pub fn with_sink(plan: Arc<Plan>, settings: TableSettings, sink: S) -> Self {
        Self { stream: StreamState::new(plan, settings, sink), slots: Slots::new(&settings) }
    }

    /// Applies a record and closes the windows that it makes due. Amortised constant time; a record that closes a
    /// window costs a pass over the objects, or its [share](TableSettings::close_per_record) of it.
    ///
    /// Call it in the order of the log. Returns the outcome of the record, which is counted.
    pub fn ingest(&mut self, record: &Record<'_>) -> Fate {
        self.stream.ingest(&mut self.slots, record)
    }

    /// Moves the watermark forward to `stream_time_micros` (microseconds since the epoch) and closes the windows that
    /// end at or before it, all of them at once.
    ///
    /// The samples themselves do this while they flow. The owner calls it for an idle partition: one whose log it has
    /// read to the end, and so much time has passed since. A time in the past changes nothing.
    pub fn advance(&mut self, stream_time_micros: u64) {
        self.stream.advance(&mut self.slots, stream_time_micros);
    }

    /// Closes up to `objects` further objects of the windows that are due, in steps of 64, where
    /// [`TableSettings::close_per_record`] leaves them to the next records: for an owner with idle time, or without
    /// further records. Returns the rest of `objects` that was not needed when no window is closing any more; 0 means
    /// that one may be. An object costs what it costs in [`advance`](Self::advance), some tens of nanoseconds and its
    /// result.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{Plan, Position, Record, StreamName, Table, TableSettings};
    ///
    /// let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    /// let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    /// let settings = TableSettings::default().with_close_per_record(64);
    /// let mut table = Table::new(Arc::new(Plan::new(stream, &types)), settings);
    /// for (position, object) in (0..).zip((0..1000).chain([0])) {
    ///     let (key, ts) = (format!("ObjectVNTable:vn{object}"), if position < 1000 { 0 } else { 120_000_000 });
    ///     let payload = format!(r#"{{"ts":{ts},"value":7}}"#);
    ///     let (key, payload) = (key.as_bytes(), payload.as_bytes());
    ///     table.ingest_payloads([Record { position: Position::new(position), arrived: ts, key, payload }]);
    /// }
    /// assert!(table.is_closing());
    /// assert_eq!(table.close_more(128), 0);
    /// assert!(table.is_closing() && table.close_more(1_000_000) > 0);
    /// assert_eq!(table.drain().filter(|row| row.json.ends_with(br#""value":{"value":7}}"#)).count(), 1000);
    /// ```
    pub fn close_more(&mut self, objects: usize) -> usize {
        self.stream.close_objects(&mut self.slots, objects)
    }

    /// Does what [`close_more`](Self::close_more) does, for the window only that is closing now: the rest of `objects` is
    /// also returned where the next window is due. For an owner that measures windows of different
    /// [periods](Self::closing_period) apart.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{Plan, Position, Record, StreamName, Table, TableSettings};
    ///
    /// let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    /// let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    /// let settings = TableSettings::default().with_close_per_record(64);
    /// let mut table = Table::new(Arc::new(Plan::new(stream, &types)), settings);
    /// for (position, object) in (0..).zip((0..1000).chain([0])) {
    ///     let (key, ts) = (format!("ObjectVNTable:vn{object}"), if position < 1000 { 0 } else { 180_000_000 });
    ///     let payload = format!(r#"{{"ts":{ts},"value":7}}"#);
    ///     let (key, payload) = (key.as_bytes(), payload.as_bytes());
    ///     table.ingest_payloads([Record { position: Position::new(position), arrived: ts, key, payload }]);
    /// }
    /// // The first two minutes are due, and the second one begins to close with the end of the first.
    /// assert_eq!(table.closing_period(), Some(60_000_000));
    /// assert!(table.close_window_more(1_000_000) > 0 && table.is_closing());
    /// assert!(table.close_window_more(1_000_000) > 0 && !table.is_closing());
    /// ```
    pub fn close_window_more(&mut self, objects: usize) -> usize {
        self.stream.close_objects_of_window(&mut self.slots, objects)
    }

    /// Whether a window is closing: some of its results are sent, the others follow with the next records.
    pub fn is_closing(&self) -> bool {
        self.stream.closing.is_some()
    }

    /// The period in microseconds of the proxy types whose window is closing; `None` if none is.
    pub fn closing_period(&self) -> Option<u64> {
        let group = self.stream.closing.as_ref()?.group;
        self.stream.plan.groups.get(group).map(|group| group.period)
    }

    /// Marks records up to the time `until_micros` (microseconds since the epoch) as possibly missing: the log was cut
    /// off, or a source lost some. Results of windows that start earlier carry `"partial": true`; a window that is
    /// closing is closed to its end before.
    pub fn mark_gap(&mut self, until_micros: u64) {
        self.stream.mark_gap(&mut self.slots, until_micros);
    }

    /// The sink of the results.
    pub fn sink(&self) -> &S {
        &self.stream.output.sink
    }

    /// The sink, to take results out.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.stream.output.sink
    }

    /// The counts of the records so far, by outcome. Their sum is the number of records.
    pub fn fates(&self) -> &Fates {
        self.stream.progress.fates()
    }

    /// How many objects have a slot.
    pub fn objects(&self) -> usize {
        self.slots.objects()
    }

    /// How many objects have a UVE of each proxy type, in the order of [`Plan::uve_names`]: they had a sample in a window
    /// that has closed, and are silent for less than the type's timeout. Constant time for each type.
    pub fn objects_by_type(&self) -> impl Iterator<Item = usize> {
        let groups = &self.stream.plan.groups;
        let group_of = |index: usize| groups.iter().position(|group| group.types.contains(&index));
        (0..self.stream.plan.types.len())
            .map(move |index| group_of(index).map_or(0, |group| self.stream.objects.group(group).alive()))
    }

    /// The newest position applied; `None` before the first record.
    pub fn position(&self) -> Option<Position> {
        self.stream.progress.position()
    }

    /// Every window that ends at or before this time is closed. Microseconds since the epoch.
    pub fn watermark(&self) -> u64 {
        self.stream.progress.watermark()
    }

    /// Whether a sample of time `at` that arrived at `arrived`, both in microseconds since the epoch, is
    /// [of the future](Fate::Future). For callers that order records before they apply them: a record that is refused
    /// must not hold up others. Constant time.
    pub fn is_future(&self, at: u64, arrived: u64) -> bool {
        self.stream.progress.is_future(at, arrived)
    }

    /// The newest timestamp accepted, in microseconds; `None` before the first sample.
    pub fn newest_timestamp(&self) -> Option<u64> {
        self.stream.progress.newest()
    }

    /// The limits of the table.
    pub fn settings(&self) -> &TableSettings {
        &self.stream.settings
    }

    /// The plan: what the table computes.
    pub fn plan(&self) -> &Plan {
        &self.stream.plan
    }
}
