//! Single records: how one is classified and applied.

use derived_stats::Number;
use derived_stats::column::Update;

use crate::key::KeyError;
use crate::position::Position;
use crate::table::by_source::SourceId;
use crate::table::columns::{Accepted, NotAccepted, Outcome, best};
use crate::table::objects::{Keys, Slots};
use crate::table::stream_state::StreamState;
use crate::table::{DecodedRecord, Fate, PartialFault, Record, ResultSink, Table};
use crate::wire::{self, PartialError, WireError, WireSample};

/// The reason why a record is not a sample.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// Its key does not name an object.
    #[error("the key is not `table:name`: {0}")]
    Key(KeyError),
    /// Its payload is not of a known form.
    #[error("the payload is not a sample: {0}")]
    Payload(WireError),
    /// Its payload is a partial state that is damaged.
    #[error("{0}")]
    Partial(PartialError),
    /// Its payload is a partial state that no proxy type takes.
    #[error("{0}")]
    PartialState(PartialFault),
    /// No proxy type accepts its value.
    #[error("the value {0} does not fit the raw type of any proxy type")]
    Value(Number),
}

impl<S: ResultSink> Table<S> {
    /// Applies a record whose payload is decoded, as [`ingest`](Self::ingest) does.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName, Table, TableSettings};
    /// use derived_stats::Number;
    /// use proxy_uve::{DecodedRecord, Fate, Position};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?, &types));
    /// let mut table = Table::new(plan, TableSettings::default());
    /// let at = 60_000_000;
    /// let (position, key) = (Position::new(0), b"ObjectVNTable:demo");
    /// let record = DecodedRecord { position, arrived: at, key, at, value: Number::U64(18), source: "" };
    /// assert_eq!(table.ingest_decoded(&record), Fate::Aggregated);
    /// assert_eq!(table.ingest_decoded(&record), Fate::Duplicate, "its position was applied");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ingest_decoded(&mut self, record: &DecodedRecord<'_>) -> Fate {
        self.stream.ingest_decoded(&mut self.slots, record)
    }

    /// The reason why the table never accepts such a record: its key, payload or value is invalid. `None` for a valid
    /// sample of any time.
    ///
    /// For callers that send them to a dead-letter store: [`ingest`](Self::ingest) only counts them. Costs a decoding.
    pub fn fault(&self, key: &[u8], payload: &[u8]) -> Option<RecordFault> {
        self.stream.fault(&self.slots, key, payload)
    }
}

impl<S: ResultSink> StreamState<S> {
    pub(super) fn ingest_decoded(&mut self, keys: &mut impl Keys, record: &DecodedRecord<'_>) -> Fate {
        let slot = keys.slots().find(record.key);
        if let Some(slot) = slot
            && self.apply_plain(slot, record)
        {
            return Fate::Aggregated;
        }
        let is_new = self.progress.advance_to(record.position);
        let fate = if is_new { self.classify_and_apply(keys, record, slot) } else { Fate::Duplicate };
        self.count(keys, fate);
        fate
    }

    /// Applies a record of a known object on the fast path, if it can take it: new, of the type that every column
    /// takes, its windows open, none of them closing or due. The less there is to do for one, the more records the
    /// processor has in flight while it waits for the memory of the first.
    fn apply_plain(&mut self, slot: usize, record: &DecodedRecord<'_>) -> bool {
        let Some(mut run) = self.progress.run() else {
            return false;
        };
        if self.closing.is_some() || !run.add(record) || !self.columns.is_plain(record.value) {
            return false;
        }
        let Some(end) = run.end() else {
            return false;
        };
        self.progress.apply_run(end);
        self.progress.count(Fate::Aggregated, 1);
        self.columns.update_plain(slot, record.at, record.value);
        self.objects.touch(&self.plan, slot, record.at);
        true
    }

    /// Decodes a record and applies it.
    pub(super) fn ingest(&mut self, keys: &mut impl Keys, record: &Record<'_>) -> Fate {
        let decoded = wire::decode_texts(record.payload, self.settings.max_payload_bytes);
        self.apply_decoded(keys, record, decoded)
    }

    /// Applies a record whose payload was decoded.
    pub(super) fn apply_decoded(
        &mut self,
        keys: &mut impl Keys,
        record: &Record<'_>,
        decoded: Result<WireSample<'_>, WireError>,
    ) -> Fate {
        let &Record { position, arrived, key, .. } = record;
        match decoded {
            Ok(sample) => match self.plan.value_of(&sample) {
                Ok(value) => {
                    let (at, source) = (sample.timestamp, sample.source.as_deref().unwrap_or(""));
                    self.ingest_decoded(keys, &DecodedRecord { position, arrived, key, at, value, source })
                }
                Err(_) => self.refuse_payload(keys, position),
            },
            Err(_) if wire::is_partial(record.payload) => self.ingest_partial_payload(keys, record),
            Err(_) => self.refuse_payload(keys, position),
        }
    }

    /// Counts a record whose payload cannot be decoded.
    pub(super) fn refuse_payload(&mut self, keys: &mut impl Keys, position: Position) -> Fate {
        let fate = if self.progress.advance_to(position) { Fate::MalformedPayload } else { Fate::Duplicate };
        self.count(keys, fate);
        fate
    }

    /// Counts a classified record, and does its share of the window that is closing.
    pub(super) fn count(&mut self, keys: &mut impl Keys, fate: Fate) {
        self.progress.count(fate, 1);
        if self.closing.is_some() {
            self.close_some(keys);
        }
    }

    /// Applies a record. `slot` is that of its object, `None` for an object without a slot.
    pub(super) fn classify_and_apply(
        &mut self,
        keys: &mut impl Keys,
        record: &DecodedRecord<'_>,
        slot: Option<usize>,
    ) -> Fate {
        // A known key was checked when it became known.
        if slot.is_none() && keys.slots().check(record.key).is_err() {
            return Fate::MalformedKey;
        }
        // What is no sample at any time comes before what is none at this time.
        if !self.plan.accepts(record.value) {
            return Fate::MalformedValue;
        }
        if self.plan.keeps_sources() && wire::check_source(record.source).is_err() {
            return Fate::MalformedPayload;
        }
        if self.progress.is_future(record.at, record.arrived) {
            return Fate::Future;
        }
        // Windows that close may take the slot away.
        let slot = if self.accept_time(keys, record.at) { None } else { slot };
        let is_late = !self.plan.groups.iter().any(|group| self.progress.is_open(record.at, group.period));
        if is_late && !self.is_start(record) {
            return Fate::Late;
        }
        match slot.or_else(|| keys.slots_mut().find_or_insert(record.key)) {
            Some(slot) => self.apply(keys, slot, record),
            None => Fate::OverLimit,
        }
    }

    pub(super) fn fault(&self, slots: &Slots, key: &[u8], payload: &[u8]) -> Option<RecordFault> {
        let decoded = wire::decode_texts(payload, self.settings.max_payload_bytes);
        let decoded = decoded.and_then(|sample| Ok(WireSample { value: self.plan.value_of(&sample)?, ..sample }));
        match (decoded, slots.check(key)) {
            (Err(_), Ok(())) if wire::is_partial(payload) => self.partial_fault(payload),
            (Err(error), _) => Some(RecordFault::Payload(error)),
            (_, Err(error)) => Some(RecordFault::Key(error)),
            (Ok(sample), Ok(())) if !self.plan.accepts(sample.value) => Some(RecordFault::Value(sample.value)),
            (Ok(sample), Ok(())) if self.plan.keeps_sources() => {
                wire::check_source(sample.source.as_deref().unwrap_or("")).err().map(RecordFault::Payload)
            }
            _ => None,
        }
    }

    /// Moves event time on. Whether windows may have closed.
    pub(super) fn accept_time(&mut self, keys: &mut impl Keys, at: u64) -> bool {
        let Some(watermark) = self.progress.accept_time(at) else {
            return false;
        };
        let makes_due = self.progress.makes_due(watermark);
        self.move_watermark(keys, watermark);
        makes_due
    }

    /// Whether a record is the start of a counter, also where its window is closed.
    fn is_start(&self, record: &DecodedRecord<'_>) -> bool {
        self.settings.late_starts && self.plan.has_counters() && record.value.as_f64() == 0.0
    }

    /// Adds the sample to every group whose window is open; in the others the start of a counter.
    fn apply(&mut self, keys: &mut impl Keys, slot: usize, record: &DecodedRecord<'_>) -> Fate {
        let source = self.plan.keeps_sources().then(|| self.columns.readings_mut().begin_sample(record.source));
        let mut outcome = Err(NotAccepted::Late);
        for group in 0..self.plan.groups.len() {
            let is_open = self.progress.is_open(record.at, self.plan.groups[group].period);
            outcome = best(
                outcome,
                match source {
                    _ if is_open => self.apply_to_group(group, slot, record, source),
                    Some(source) if self.is_start(record) => self.apply_start_to_group(group, slot, record.at, source),
                    _ => Err(NotAccepted::Late),
                },
            );
        }
        source.into_iter().for_each(|source| self.columns.readings_mut().end_sample(source));
        if outcome.is_err() && !self.objects.contains(slot) {
            keys.free(slot);
        }
        self.objects.mark_changed(slot);
        match outcome {
            Ok(Accepted::Added | Accepted::OnlyRead) => Fate::Aggregated,
            Err(NotAccepted::Late) => Fate::Late,
            Err(NotAccepted::OverLimit) => Fate::OverLimit,
            Err(NotAccepted::Refused) => Fate::Refused,
        }
    }

    /// Takes the start of a counter, at a time whose window of the group is closed. The object is alive from the oldest open
    /// window on.
    fn apply_start_to_group(&mut self, group: usize, slot: usize, at: u64, source: SourceId) -> Outcome {
        let Self { plan, settings, progress, columns, objects, .. } = self;
        let rules = settings.source_rules(plan, progress);
        let outcome = columns.start_counters(plan, group, slot, at, (source, rules));
        if outcome.is_ok() {
            objects.group_mut(group).touch(&plan.groups[group], slot, progress.watermark());
        }
        outcome
    }

    /// Adds the sample to the columns of the group. An error if none of them accepts it.
    fn apply_to_group(
        &mut self,
        group: usize,
        slot: usize,
        record: &DecodedRecord<'_>,
        source: Option<SourceId>,
    ) -> Outcome {
        let Self { plan, settings, progress, columns, objects, output, .. } = self;
        let update = Update { slot: slot as u32, at: record.at, value: record.value };
        let source = source.map(|source| (source, settings.source_rules(plan, progress)));
        let outcome = columns.update(plan, group, &update, source);
        match outcome {
            Ok(accepted) => {
                objects.group_mut(group).touch(&plan.groups[group], slot, record.at);
                if accepted == Accepted::Added {
                    output.send_inline(plan, columns, group, slot, record);
                }
            }
            // A refused first sample leaves no state behind for the next object in the slot.
            Err(_) if objects.group(group).is_done_with(slot) => columns.forget(plan, group, slot),
            Err(_) => {}
        }
        outcome
    }
}
