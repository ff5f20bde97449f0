//! Partial states: how the state of a window leaves a table, and how another table takes it.
//!
//! A table sends what it has accumulated to its [sink](ResultSink::partial) when a window closes. The table that takes
//! it merges it into its own open window, as if it had taken the samples itself, and does at the close what follows:
//! detectors and results. The time of a partial state is the start of its period, which is before that of its samples:
//! a window closes when states of later periods have come.

use std::borrow::Cow;

use derived_stats::column::{WORD, WindowColumn};

use crate::position::Position;
use crate::table::closing::Closing;
use crate::table::objects::{Keys, ones};
use crate::table::plan::Plan;
use crate::table::stream_state::StreamState;
use crate::table::{Fate, PartialFault, Record, RecordFault, ResultSink, Table};
use crate::wire::PartialState;

/// A record with a partial state instead of a sample.
#[derive(Clone, Copy, Debug)]
pub struct PartialRecord<'r> {
    /// See [`Record::position`].
    pub position: Position,
    /// See [`Record::arrived`].
    pub arrived: u64,
    /// The state, with its object.
    pub state: &'r PartialState<'r>,
}

impl<S: ResultSink> Table<S> {
    /// Applies a partial state: merges it into the open window of its period in every window column that accumulates
    /// the same. As a record it has one outcome: it is late if its windows are closed, of the future by the start of
    /// its period, [`MalformedValue`](Fate::MalformedValue) if no column takes it, and
    /// [`MalformedPayload`](Fate::MalformedPayload) if its words are not a state.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName, Table, TableSettings};
    /// use proxy_uve::wire::PartialState;
    /// use proxy_uve::{Fate, PartialRecord, Position, ResultSink, Subject, AttributeResult};
    ///
    /// /// An edge: it keeps the lines of the states.
    /// #[derive(Default)]
    /// struct Edge(Vec<u8>);
    ///
    /// impl ResultSink for Edge {
    ///     fn begin(&mut self, _: &Subject<'_>) {}
    ///     fn attribute(&mut self, _: &Subject<'_>, _: &AttributeResult<'_>) {}
    ///     fn end(&mut self, _: &Subject<'_>) {}
    ///     fn wants_partials(&self) -> bool {
    ///         true
    ///     }
    ///     fn partial(&mut self, state: PartialState<'_>) {
    ///         state.encode(&mut self.0);
    ///     }
    /// }
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let stream = StreamName::new("Agent", "flows")?;
    /// let plan = Arc::new(Plan::for_partials(stream.clone(), &types)?);
    /// let mut edge = Table::with_sink(plan, TableSettings::default(), Edge::default());
    /// # use proxy_uve::Record;
    /// let payload = br#"{"ts":60000001,"value":36}"#;
    /// edge.ingest(&Record { position: Position::new(0), arrived: 60_000_001, key: b"VM:a", payload });
    /// edge.advance(120_000_000);
    ///
    /// let state = PartialState::decode(&edge.sink().0, 1000)?;
    /// let mut table = Table::new(Arc::new(Plan::new(stream, &types)), TableSettings::default());
    /// for position in [0, 1] {
    ///     let record = PartialRecord { position: Position::new(position), arrived: 120_000_000, state: &state };
    ///     assert_eq!(table.ingest_partial(&record), Fate::Aggregated);
    /// }
    /// table.advance(120_000_000);
    /// let row = table.drain().next().expect("the minute is over");
    /// assert!(row.json.ends_with(br#""value":{"value":72}}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ingest_partial(&mut self, record: &PartialRecord<'_>) -> Fate {
        self.stream.ingest_partial(&mut self.slots, record)
    }
}

impl<S: ResultSink> StreamState<S> {
    /// Decodes a partial state and applies it. One of another object than its record is not applied.
    pub(super) fn ingest_partial_payload(&mut self, keys: &mut impl Keys, record: &Record<'_>) -> Fate {
        let &Record { position, arrived, key, payload } = record;
        match PartialState::decode(payload, self.settings.max_payload_bytes) {
            Ok(state) if state.key.as_bytes() == key => {
                self.ingest_partial(keys, &PartialRecord { position, arrived, state: &state })
            }
            Ok(_) | Err(_) => self.refuse_payload(keys, position),
        }
    }

    fn ingest_partial(&mut self, keys: &mut impl Keys, record: &PartialRecord<'_>) -> Fate {
        let is_new = self.progress.advance_to(record.position);
        let fate = if is_new { self.classify_partial(keys, record) } else { Fate::Duplicate };
        self.count(keys, fate);
        fate
    }

    fn classify_partial(&mut self, keys: &mut impl Keys, record: &PartialRecord<'_>) -> Fate {
        let &PartialRecord { arrived, state, .. } = record;
        let (key, at) = (state.key.as_bytes(), state.window);
        if keys.slots().check(key).is_err() {
            return Fate::MalformedKey;
        }
        let (columns, window) = match self.plan.restore_partial(state) {
            Ok(restored) => restored,
            Err(PartialFault::Foreign { .. }) => return Fate::MalformedValue,
            Err(PartialFault::State { .. }) => return Fate::MalformedPayload,
        };
        if self.progress.is_future(at, arrived) {
            return Fate::Future;
        }
        self.accept_time(keys, at);
        if !self.progress.is_open(at, state.period) {
            return Fate::Late;
        }
        match keys.slots().find(key).or_else(|| keys.slots_mut().find_or_insert(key)) {
            Some(slot) => self.merge(keys, slot, at, &columns, &window),
            None => Fate::OverLimit,
        }
    }

    /// Merges the state into the columns, which take it: the plan chose them for that.
    fn merge(&mut self, keys: &mut impl Keys, slot: usize, at: u64, columns: &[usize], window: &WindowColumn) -> Fate {
        let Self { plan, columns: states, objects, .. } = self;
        let mut is_merged = false;
        for &column in columns {
            let group = plan.window_columns[column].group;
            if states.windows_mut(column).merge(slot, at, window) {
                objects.group_mut(group).touch(&plan.groups[group], slot, at);
                is_merged = true;
            }
        }
        if !is_merged && !objects.contains(slot) {
            keys.free(slot);
        }
        objects.mark_changed(slot);
        if is_merged { Fate::Aggregated } else { Fate::Refused }
    }

    /// The reason why a payload that begins as a partial state is never applied.
    pub(super) fn partial_fault(&self, payload: &[u8]) -> Option<RecordFault> {
        match PartialState::decode(payload, self.settings.max_payload_bytes) {
            Ok(state) => self.plan.check_partial(&state).err().map(RecordFault::PartialState),
            Err(error) => Some(RecordFault::Partial(error)),
        }
    }

    /// Sends the states of 64 objects, of those that had samples in the closing window. An object whose samples a
    /// column did not take has an empty state there: the object is alive all the same.
    pub(super) fn send_partials(&mut self, keys: &impl Keys, plan: &Plan, closing: &Closing, word: usize) {
        let group = &plan.groups[closing.group];
        // Types with another timeout are another group, with equal windows: their states would count twice.
        let is_first = |column: &&usize| {
            let identity = &plan.window_columns[**column].identity;
            plan.window_columns.iter().position(|other| other.identity == *identity) == Some(**column)
        };
        let columns: Vec<usize> = group.window_columns.iter().filter(is_first).copied().collect();
        for bit in ones(self.objects.group(closing.group).touched_word(word)) {
            let slot = word * WORD + bit;
            // Keys are checked when they get a slot.
            let key = String::from_utf8_lossy(keys.slots().key(slot));
            for &column in &columns {
                let Some(window) = closing.windows.get(column) else { continue };
                let window = window.unwrap_or_else(|| self.columns.windows(column).empty());
                let mut words = Vec::new();
                window.save(slot, &mut words);
                self.output.sink.partial(PartialState {
                    key: key.clone(),
                    attribute: Cow::Borrowed(plan.stream.attribute()),
                    window: closing.start,
                    period: group.period,
                    state: Cow::Borrowed(&plan.window_columns[column].window_identity),
                    version: window.versions().first().copied().unwrap_or_default(),
                    words,
                });
            }
        }
    }
}
