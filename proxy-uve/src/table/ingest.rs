//! The way of one record into the columns, and the reasons to turn it away.

use std::sync::Arc;

use derived_stats::{Number, Report, UpdateError};

use crate::key::ObjectKey;
use crate::table::results::Subject;
use crate::table::slots::MAX_KEY_BYTES;
use crate::table::{CHUNK_SLOTS, DecodedRecord, Fate, Record, Table};
use crate::wire;

impl Table {
    pub(super) fn judge_record(&mut self, record: &Record<'_>) -> Fate {
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
    pub(super) fn is_new(&mut self, position: u64) -> bool {
        let new = self.progress.position.is_none_or(|newest| position > newest);
        if new {
            self.progress.position = Some(position);
        }
        new
    }

    pub(super) fn judge(&mut self, record: &DecodedRecord<'_>) -> Fate {
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
        let Self { plan, lanes, inline, groups, .. } = self;
        let mut outcome = Err(UpdateError::ForeignState);
        for &lane in &plan.groups[index].lanes {
            let updated = lanes[lane].update(slot, record.at, record.value);
            outcome = if outcome.is_ok() { outcome } else { updated };
        }
        for (states, plan) in inline.iter_mut().zip(&plan.inline).filter(|(_, plan)| plan.group == index) {
            if states.len() <= slot {
                states.resize(slot + 1, None);
            }
            let state = states[slot].get_or_insert_with(|| plan.spec.start());
            let updated = plan.spec.update(state, record.at, record.value);
            outcome = if outcome.is_ok() { outcome } else { updated };
        }
        if outcome.is_ok() {
            groups[index].touch(&plan.groups[index], slot, record.at);
            self.emit_inline(index, slot, record);
        } else if groups[index].is_done_with(slot) {
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
            };
            let mut row = self.results.begin(subject, false);
            for (attribute, inline) in shown {
                let state = self.inline[attribute].get(slot).and_then(Option::as_ref);
                let report = state.map(|state| inline.spec.report(state, record.at));
                if let Some(Report::Value(output)) = report {
                    row.inline_attribute(&inline.name, &output);
                }
            }
            row.finish();
        }
    }
}

/// The end of the window that holds `at`. The last one, which 64 bits cut short, never closes.
fn window_end(at: u64, period: u64) -> u64 {
    (at - at % period).saturating_add(period)
}
