//! The way of one record into the columns, and the reasons to turn it away.

use std::sync::Arc;

use derived_stats::{Number, Report, UpdateError};

use crate::key::{KeyError, ObjectKey};
use crate::position::Position;
use crate::table::keys::Keys;
use crate::table::slots::{MAX_KEY_BYTES, Slots};
use crate::table::stream_state::{Progress, StreamState};
use crate::table::{AttributeResult, CHUNK_SLOTS, DecodedRecord, Fate, Record, ResultSink, Subject, Table};
use crate::wire::{self, WireError};

/// Why a record is no sample.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// Its key names no object.
    #[error("the key is no `table:name`: {0}")]
    Key(KeyError),
    /// Its payload is not of a known form.
    #[error("the payload is no sample: {0}")]
    Payload(WireError),
    /// No proxy type takes its value.
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
    /// let record = DecodedRecord { position, arrived: at, key, at, value: Number::U64(18) };
    /// assert_eq!(table.ingest_decoded(&record), Fate::Aggregated);
    /// assert_eq!(table.ingest_decoded(&record), Fate::Duplicate, "its position was applied");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ingest_decoded(&mut self, record: &DecodedRecord<'_>) -> Fate {
        self.stream.ingest_decoded(&mut self.slots, record)
    }

    /// Why the table will never take such a record: its key, payload or value is invalid. `None` for a sample,
    /// whatever its time.
    ///
    /// For callers that send them to a dead-letter store: [`ingest`](Self::ingest) only counts them. Costs a decoding.
    pub fn fault(&self, key: &[u8], payload: &[u8]) -> Option<RecordFault> {
        self.stream.fault(key, payload)
    }
}

impl<S: ResultSink> StreamState<S> {
    pub(super) fn ingest_decoded(&mut self, keys: &mut impl Keys, record: &DecodedRecord<'_>) -> Fate {
        let slot = keys.slots().find(record.key);
        if let Some(slot) = slot.filter(|_| self.is_plain(record)) {
            self.apply_plain(slot, record);
            return Fate::Aggregated;
        }
        let fate =
            if self.is_new(record.position) { self.classify_and_apply(keys, record, slot) } else { Fate::Duplicate };
        self.count(keys, fate);
        fate
    }

    /// Whether a record of a known object takes the fast path: new, of the type that every lane takes, its windows
    /// open, none of them closing or due.
    fn is_plain(&self, record: &DecodedRecord<'_>) -> bool {
        let Progress { position: Some(position), newest: Some(newest), watermark, .. } = self.progress else {
            return false;
        };
        self.takes_columns
            && self.closing.is_none()
            && record.position > position
            && record.at >= watermark
            && !self.is_future(record)
            && self.plan.lanes[0].spec.accepts(record.value)
            && (record.at <= newest || !self.makes_due(record.at.saturating_sub(self.allowed_lateness)))
    }

    /// Applies a [plain](Self::is_plain) record. The less there is to do for one, the more records the processor has in
    /// flight while it waits for the memory of the first.
    fn apply_plain(&mut self, slot: usize, record: &DecodedRecord<'_>) {
        let Progress { position, newest, watermark, fates, .. } = &mut self.progress;
        *position = Some(record.position);
        *newest = (*newest).max(Some(record.at));
        *watermark = (*watermark).max(record.at.saturating_sub(self.allowed_lateness));
        fates.aggregated += 1;
        for lane in &mut self.lanes {
            let taken = lane.update(slot, record.at, record.value);
            debug_assert!(taken.is_ok(), "the value was checked");
        }
        for (group, plan) in self.groups.iter_mut().zip(&self.plan.groups) {
            group.touch(plan, slot, record.at);
        }
        self.dirty.insert(slot / CHUNK_SLOTS);
    }

    /// Decodes a record and applies it.
    pub(super) fn ingest(&mut self, keys: &mut impl Keys, record: &Record<'_>) -> Fate {
        let &Record { position, arrived, key, payload } = record;
        match wire::decode_within(payload, self.settings.max_payload_bytes) {
            Ok(sample) => {
                let (at, value) = (sample.timestamp, sample.value);
                self.ingest_decoded(keys, &DecodedRecord { position, arrived, key, at, value })
            }
            Err(_) => self.refuse_payload(keys, position),
        }
    }

    /// Counts a record whose payload cannot be decoded.
    pub(super) fn refuse_payload(&mut self, keys: &mut impl Keys, position: Position) -> Fate {
        let fate = if self.is_new(position) { Fate::MalformedPayload } else { Fate::Duplicate };
        self.count(keys, fate);
        fate
    }

    /// Counts a classified record, and does its share of the window that is closing.
    pub(super) fn count(&mut self, keys: &mut impl Keys, fate: Fate) {
        self.progress.fates.add(fate, 1);
        if self.closing.is_some() {
            self.close_some(keys);
        }
    }

    /// Whether the position is past all that were applied; it is then the newest.
    pub(super) fn is_new(&mut self, position: Position) -> bool {
        let new = self.progress.position.is_none_or(|newest| position > newest);
        if new {
            self.progress.position = Some(position);
        }
        new
    }

    /// Applies a record of the object in `slot`, which is none for an object without a slot.
    pub(super) fn classify_and_apply(
        &mut self,
        keys: &mut impl Keys,
        record: &DecodedRecord<'_>,
        slot: Option<usize>,
    ) -> Fate {
        // A known key was checked when it became known.
        if slot.is_none() && !self.is_key(record.key) {
            return Fate::MalformedKey;
        }
        if self.is_future(record) {
            return Fate::Future;
        }
        if !self.plan.accepts(record.value) {
            return Fate::MalformedValue;
        }
        // Windows that close may take the slot away.
        let slot = if self.note_time(keys, record.at) { None } else { slot };
        if !self.is_open_at(record.at) {
            return Fate::Late;
        }
        match slot.or_else(|| self.slot(keys.slots_mut(), record.key)) {
            Some(slot) => self.apply(keys, slot, record),
            None => Fate::OverLimit,
        }
    }

    pub(super) fn fault(&self, key: &[u8], payload: &[u8]) -> Option<RecordFault> {
        let limit = self.settings.max_key_bytes.min(MAX_KEY_BYTES);
        match (wire::decode_within(payload, self.settings.max_payload_bytes), ObjectKey::parse_within(key, limit)) {
            (Err(error), _) => Some(RecordFault::Payload(error)),
            (_, Err(error)) => Some(RecordFault::Key(error)),
            (Ok(sample), Ok(_)) if !self.plan.accepts(sample.value) => Some(RecordFault::Value(sample.value)),
            _ => None,
        }
    }

    pub(super) fn is_key(&self, key: &[u8]) -> bool {
        ObjectKey::parse_within(key, self.settings.max_key_bytes.min(MAX_KEY_BYTES)).is_ok()
    }

    /// The slot of an object, which gets one if it is new; `None` if there are as many objects as are allowed.
    pub(super) fn slot(&self, slots: &mut Slots, key: &[u8]) -> Option<usize> {
        let known = slots.find(key);
        let has_room = slots.objects() < self.settings.max_objects && slots.has_room_for(key);
        known.or_else(|| has_room.then(|| slots.insert(key)))
    }

    /// Moves time on. Whether windows may have closed.
    fn note_time(&mut self, keys: &mut impl Keys, at: u64) -> bool {
        match self.progress.newest {
            Some(newest) if newest >= at => return false,
            Some(_) => {}
            None => self.progress.covered_from = self.progress.covered_from.max(at),
        }
        self.progress.newest = Some(at);
        let watermark = at.saturating_sub(self.allowed_lateness);
        let makes_due = self.makes_due(watermark);
        self.move_watermark(keys, watermark);
        makes_due
    }

    /// Whether the timestamp is further ahead of the arrival than is allowed, or later than any clock.
    #[inline]
    pub(super) fn is_future(&self, record: &DecodedRecord<'_>) -> bool {
        record.at > record.arrived.saturating_add(self.allowed_skew).min(LATEST)
    }

    fn is_open_at(&self, at: u64) -> bool {
        self.plan.groups.iter().any(|group| self.is_open(at, group.period))
    }

    /// Whether the window of `period` that holds `at` is not closed.
    fn is_open(&self, at: u64, period: u64) -> bool {
        let watermark = self.progress.watermark;
        // A window ends after all its times: no division for most samples.
        at >= watermark || window_end(at, period) > watermark
    }

    fn apply(&mut self, keys: &mut impl Keys, slot: usize, record: &DecodedRecord<'_>) -> Fate {
        let mut outcome = Fate::Refused;
        for index in 0..self.groups.len() {
            if self.is_open(record.at, self.plan.groups[index].period) {
                match self.apply_to_group(index, slot, record) {
                    Ok(()) => outcome = Fate::Aggregated,
                    Err(_) => continue,
                }
            }
        }
        if outcome == Fate::Refused && !self.holds(slot) {
            keys.free(slot);
        }
        self.dirty.insert(slot / CHUNK_SLOTS);
        outcome
    }

    /// Adds the sample to every lane and inline attribute of the group. An error if none of them took it.
    fn apply_to_group(&mut self, index: usize, slot: usize, record: &DecodedRecord<'_>) -> Result<(), UpdateError> {
        let Self { plan, lanes, inline, groups, .. } = self;
        let mut outcome = Err(UpdateError::ForeignState);
        for &lane in &plan.groups[index].lanes {
            let updated = lanes[lane].update(slot, record.at, record.value);
            outcome = if outcome.is_ok() { outcome } else { updated };
        }
        for (states, _) in inline.iter_mut().zip(&plan.inline).filter(|(_, plan)| plan.group == index) {
            let updated = states.update(slot, record.at, record.value);
            outcome = if outcome.is_ok() { outcome } else { updated };
        }
        if outcome.is_ok() {
            groups[index].touch(&plan.groups[index], slot, record.at);
            self.emit_inline(index, slot, record);
        } else if self.group_is_done_with(index, slot) {
            // A refused first sample leaves nothing behind, for whom the slot goes to next.
            let plan = Arc::clone(&self.plan);
            self.forget(&plan, index, slot);
        }
        outcome
    }

    /// Sends the inline results of a sample: those that are new, as the original sends them.
    fn emit_inline(&mut self, group: usize, slot: usize, record: &DecodedRecord<'_>) {
        let plan = &*self.plan;
        if plan.inline.is_empty() {
            return;
        }
        for type_index in plan.groups[group].types.iter().copied() {
            let of_type = plan.inline.iter().enumerate().filter(|(_, inline)| inline.type_index == type_index);
            let mut shown = of_type.filter(|(_, inline)| !inline.hidden).peekable();
            if shown.peek().is_none() {
                continue;
            }
            let subject = Subject {
                key: record.key,
                type_index,
                proxy: &self.proxy,
                start: record.at,
                end: record.at,
                partial: false,
                deleted: false,
            };
            self.sink.begin(&subject);
            for (attribute, inline) in shown {
                let report = self.inline[attribute].report(slot, record.at);
                if let Some(report @ Report::Value(_)) = report {
                    let (name, start) = (&inline.name, record.at);
                    let result = AttributeResult { name, report, start, silent: false, inline: true, template: None };
                    self.sink.attribute(&subject, &result);
                }
            }
            self.sink.end(&subject);
        }
    }
}

/// The latest timestamp taken, in microseconds: in the year 294,247. No window that holds it is cut short by 64 bits.
const LATEST: u64 = i64::MAX as u64;

/// The end of the window that holds `at`.
pub(super) fn window_end(at: u64, period: u64) -> u64 {
    (at - at % period).saturating_add(period)
}
