//! The table of one partition: every object of one stream whose samples meet there.
//!
//! A table is a state machine without clock, threads or I/O. Its owner hands it the records of the partition's log in
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
//! closed is late. So the same records give the same results at any speed, and after any restart. A partition that
//! has gone quiet cannot move its own watermark: then the owner says with [`Table::advance`] how far time has come.
//!
//! *One sample's way:* position checked against the last one applied; payload decoded; key split; time checked
//! against arrival and watermark; due windows closed; key turned into a slot; value added to the slot's cell in each
//! lane's open window. At the close of a window: one pass over the slots moves every life, feeds detectors, and
//! encodes results.

mod bits;
mod close;
mod fate;
mod group;
mod lane;
mod plan;
mod results;
mod settings;
mod slots;
mod snapshot;

use std::sync::Arc;

use derived_stats::column::DetectorColumn;
use derived_stats::{Number, State, UpdateError};

use crate::key::ObjectKey;
use crate::wire;

use self::bits::Bits;
pub use self::fate::{Fate, Fates};
use self::group::Group;
use self::lane::Lane;
pub use self::plan::Plan;
pub use self::results::ResultRow;
use self::results::{Results, Subject};
pub use self::settings::TableSettings;
use self::slots::{MAX_KEY_BYTES, Slots};
pub use self::snapshot::{CHUNK_SLOTS, Snapshot, SnapshotError};

/// A record of the partition's log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// Its place in the log; a position at or below one already applied is a duplicate.
    pub position: u64,
    /// When the log took it, in microseconds since the epoch. Stored with the record, so that a replay judges as the
    /// first reading did.
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
    pub position: u64,
    /// See [`Record::arrived`].
    pub arrived: u64,
    /// See [`Record::key`].
    pub key: &'r [u8],
    /// When it was measured: microseconds since the epoch.
    pub at: u64,
    /// What was measured.
    pub value: Number,
}

/// The objects of one stream in one partition.
#[derive(Debug)]
pub struct Table {
    plan: Arc<Plan>,
    settings: TableSettings,
    /// The `proxy` field of every result.
    proxy: String,
    slots: Slots,
    groups: Vec<Group>,
    lanes: Vec<Lane>,
    detectors: Vec<DetectorColumn>,
    /// States of inline attributes, by attribute and slot.
    inline: Vec<Vec<Option<State>>>,
    progress: Progress,
    results: Results,
    /// Chunks that changed since the last snapshot.
    dirty: Bits,
    /// Closes every window by itself, to hold the shortcut to.
    #[cfg(test)]
    never_skips: bool,
}

/// Where the table stands in the log and in time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Progress {
    /// The newest position applied.
    position: Option<u64>,
    /// The newest timestamp accepted.
    newest: Option<u64>,
    /// Every window that ends at or before this is closed.
    watermark: u64,
    /// Records were read without a gap from this time on; windows that start earlier are partial.
    covered_from: u64,
    fates: Fates,
}

impl Table {
    /// An empty table.
    pub fn new(plan: Arc<Plan>, settings: TableSettings) -> Self {
        let lanes = plan.lanes.iter().filter_map(Lane::new).collect();
        let detectors = plan.detectors.iter().filter_map(|detector| DetectorColumn::new(&detector.spec)).collect();
        Self {
            proxy: plan.stream.to_string(),
            groups: plan.groups.iter().map(|_| Group::default()).collect(),
            inline: plan.inline.iter().map(|_| Vec::new()).collect(),
            lanes,
            detectors,
            plan,
            settings,
            slots: Slots::default(),
            progress: Progress::default(),
            results: Results::default(),
            dirty: Bits::default(),
            #[cfg(test)]
            never_skips: false,
        }
    }

    /// Applies a record and closes the windows that it makes due. Amortised constant time; a record that closes a
    /// window costs a pass over the objects.
    ///
    /// Records come in the order of the log. The fate is counted.
    pub fn ingest(&mut self, record: &Record<'_>) -> Fate {
        let fate = self.judge_record(record);
        self.progress.fates.add(fate);
        fate
    }

    /// Applies records whose payloads are decoded, in order. What [`ingest`](Self::ingest) does without the decoding.
    pub fn ingest_batch(&mut self, records: &[DecodedRecord<'_>]) {
        for record in records {
            let fate = if self.is_new(record.position) { self.judge(record) } else { Fate::Duplicate };
            self.progress.fates.add(fate);
        }
    }

    fn judge_record(&mut self, record: &Record<'_>) -> Fate {
        if !self.is_new(record.position) {
            return Fate::Duplicate;
        }
        let Ok(sample) = wire::decode_within(record.payload, self.settings.max_payload_bytes) else {
            return Fate::MalformedPayload;
        };
        let &Record { position, arrived, key, .. } = record;
        self.judge(&DecodedRecord { position, arrived, key, at: sample.timestamp, value: sample.value })
    }

    /// Whether the position is past all that were applied; it is then the newest.
    fn is_new(&mut self, position: u64) -> bool {
        let new = self.progress.position.is_none_or(|newest| position > newest);
        if new {
            self.progress.position = Some(position);
        }
        new
    }

    fn judge(&mut self, record: &DecodedRecord<'_>) -> Fate {
        if ObjectKey::parse_within(record.key, self.settings.max_key_bytes.min(MAX_KEY_BYTES)).is_err() {
            return Fate::MalformedKey;
        }
        if record.at > record.arrived.saturating_add(self.settings.allowed_skew) {
            return Fate::Future;
        }
        if !self.accepts(record.value) {
            return Fate::MalformedValue;
        }
        self.note_time(record.at);
        if !self.is_open_at(record.at) {
            return Fate::Late;
        }
        let slot = match self.slots.find(record.key) {
            Some(slot) => slot,
            None if self.slots.objects() >= self.settings.max_objects => return Fate::OverLimit,
            None => self.slots.insert(record.key),
        };
        self.apply(slot, record)
    }

    /// Whether any proxy type can take the value.
    fn accepts(&self, value: Number) -> bool {
        let lanes = self.plan.lanes.iter().map(|lane| &lane.spec);
        lanes.chain(self.plan.inline.iter().map(|inline| &inline.spec)).any(|spec| spec.accepts(value))
    }

    fn note_time(&mut self, at: u64) {
        if self.progress.newest.is_none() {
            self.progress.covered_from = self.progress.covered_from.max(at);
        }
        let newest = self.progress.newest.map_or(at, |newest| newest.max(at));
        self.progress.newest = Some(newest);
        self.advance(newest.saturating_sub(self.settings.allowed_lateness));
    }

    fn is_open_at(&self, at: u64) -> bool {
        let watermark = self.progress.watermark;
        self.plan.groups.iter().any(|group| window_end(at, group.period) > watermark)
    }

    fn apply(&mut self, slot: usize, record: &DecodedRecord<'_>) -> Fate {
        let mut outcome = Fate::Refused;
        for index in 0..self.groups.len() {
            if window_end(record.at, self.plan.groups[index].period) > self.progress.watermark {
                match self.apply_to_group(index, slot, record) {
                    Ok(()) => outcome = Fate::Aggregated,
                    Err(_) => continue,
                }
            }
        }
        if outcome == Fate::Refused && self.groups.iter().all(|group| group.is_done_with(slot)) {
            self.slots.remove(slot);
        }
        self.dirty.insert(slot / CHUNK_SLOTS);
        outcome
    }

    /// Adds the sample to every lane and inline attribute of the group. An error if none of them took it.
    fn apply_to_group(&mut self, index: usize, slot: usize, record: &DecodedRecord<'_>) -> Result<(), UpdateError> {
        let plan = Arc::clone(&self.plan);
        let mut outcome = Err(UpdateError::ForeignState);
        for &lane in &plan.groups[index].lanes {
            let updated = self.lanes[lane].update(slot, record.at, record.value);
            outcome = if outcome.is_ok() { outcome } else { updated };
        }
        for (attribute, inline) in plan.inline.iter().enumerate().filter(|(_, inline)| inline.group == index) {
            let states = &mut self.inline[attribute];
            if states.len() <= slot {
                states.resize(slot + 1, None);
            }
            let state = states[slot].get_or_insert_with(|| inline.spec.start());
            let updated = inline.spec.update(state, record.at, record.value);
            outcome = if outcome.is_ok() { outcome } else { updated };
        }
        if outcome.is_ok() {
            self.groups[index].touch(&plan.groups[index], slot, record.at);
            self.emit_inline(&plan, index, slot, record);
        } else if self.groups[index].is_done_with(slot) {
            // A refused first sample leaves nothing behind, for whom the slot goes to next.
            self.forget(&plan, index, slot);
        }
        outcome
    }

    /// Sends the inline results of a sample: those that are new, as the original sends them.
    fn emit_inline(&mut self, plan: &Plan, group: usize, slot: usize, record: &DecodedRecord<'_>) {
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
            };
            let mut row = self.results.begin(subject, false);
            for (attribute, inline) in shown {
                let state = self.inline[attribute].get(slot).and_then(Option::as_ref);
                let report = state.map(|state| inline.spec.report(state, record.at));
                if let Some(derived_stats::Report::Value(output)) = report {
                    row.inline_attribute(&inline.name, &output);
                }
            }
            row.finish();
        }
    }

    /// Moves the watermark forward to `stream_time` (microseconds) and closes the windows that end at or before it.
    ///
    /// The samples themselves do this while they flow. The owner calls it for a partition that it knows to be idle:
    /// it has read the log to its end, and so much time has passed since. A time in the past changes nothing.
    pub fn advance(&mut self, stream_time: u64) {
        if stream_time <= self.progress.watermark {
            return;
        }
        self.progress.watermark = stream_time;
        self.close_due();
    }

    /// Says that records up to time `until` (microseconds) may be missing: the log was cut off, or a source lost
    /// some. Results of windows that start earlier carry `"partial": true`.
    pub fn mark_gap(&mut self, until: u64) {
        self.progress.covered_from = self.progress.covered_from.max(until);
    }

    /// The results since the last call of [`clear_results`](Self::clear_results), in a fixed order.
    pub fn drain(&self) -> impl Iterator<Item = ResultRow<'_>> {
        let types = &self.plan.types;
        self.results.rows().map(|(index, row)| ResultRow { uve_name: &types[index].uve_name, ..row })
    }

    /// How many results wait to be drained, and their bytes.
    pub fn pending_results(&self) -> (usize, usize) {
        (self.results.len(), self.results.bytes())
    }

    /// Forgets the results that [`drain`](Self::drain) gave.
    pub fn clear_results(&mut self) {
        self.results.clear();
    }

    /// What became of the records so far. The sum of all fates is the number of records.
    pub fn fates(&self) -> &Fates {
        &self.progress.fates
    }

    /// How many objects have a slot.
    pub fn objects(&self) -> usize {
        self.slots.objects()
    }

    /// The newest position applied; `None` before the first record.
    pub fn position(&self) -> Option<u64> {
        self.progress.position
    }

    /// Every window that ends at or before this time is closed. Microseconds since the epoch.
    pub fn watermark(&self) -> u64 {
        self.progress.watermark
    }

    /// The newest timestamp accepted, in microseconds; `None` before the first sample.
    pub fn newest_timestamp(&self) -> Option<u64> {
        self.progress.newest
    }

    /// What the table computes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// The end of the window that holds `at`. The last one, which 64 bits cut short, never closes.
fn window_end(at: u64, period: u64) -> u64 {
    (at - at % period).saturating_add(period)
}
