//! Closing windows.
//!
//! A window that is due is taken out of the open ones at once, so further samples go into the next. Then its objects
//! are iterated, 64 at a time: idle periods are counted, detectors are fed, results go to the sink. All of that happens
//! in the call that made the window due, or, for [`TableSettings::close_per_record`](super::TableSettings), spread over
//! the records that follow.

use std::sync::Arc;

use derived_stats::column::WORD;

use crate::table::ResultSink;
use crate::table::closing::Closing;
use crate::table::objects::{Keys, ones};
use crate::table::output::ResultOutput;
use crate::table::plan::Plan;
use crate::table::stream_state::StreamState;

impl<S: ResultSink> StreamState<S> {
    /// Moves the watermark forward, and begins to close what that makes due. Whether there is anything to close.
    pub(super) fn move_watermark(&mut self, keys: &mut impl Keys, stream_time: u64) -> bool {
        let makes_due = self.progress.makes_due(stream_time);
        if makes_due {
            // One window at a time.
            self.finish_closing(keys);
        }
        self.progress.move_watermark(&self.plan, stream_time);
        if self.plan.has_counters() {
            self.expire_sources();
        }
        if makes_due {
            self.begin_next();
        }
        if self.settings.close_per_record == usize::MAX || !self.plan.may_close_in_parts() {
            self.finish_closing(keys);
        }
        self.closing.is_some()
    }

    /// Drops the sources that have expired, which changes their objects.
    pub(super) fn expire_sources(&mut self) {
        let Self { plan, settings, progress, columns, objects, .. } = self;
        let rules = settings.source_rules(plan, progress);
        columns.readings_mut().expire(&rules, |slot| objects.mark_changed(slot));
    }

    /// Closes every window that is due to its end.
    pub(super) fn finish_closing(&mut self, keys: &mut impl Keys) {
        while self.closing.is_some() {
            self.close_words(keys, usize::MAX);
        }
    }

    /// Closes the share of one record.
    pub(super) fn close_some(&mut self, keys: &mut impl Keys) {
        self.close_words(keys, self.settings.close_per_record.div_ceil(WORD).max(1));
    }

    /// Closes up to `objects` objects of the due windows; returns the unused rest.
    pub(super) fn close_objects(&mut self, keys: &mut impl Keys, objects: usize) -> usize {
        let mut words = objects.div_ceil(WORD);
        while words > 0 && self.closing.is_some() {
            // A window without objects is a step, too.
            words = words.saturating_sub(self.close_words(keys, words).max(1));
        }
        words.saturating_mul(WORD)
    }

    /// Closes up to `objects` objects of the window that is closing, and none of the next one; returns the unused rest.
    pub(super) fn close_objects_of_window(&mut self, keys: &mut impl Keys, objects: usize) -> usize {
        let window = |closing: &Closing| (closing.group, closing.end);
        let Some(first) = self.closing.as_ref().map(window) else { return objects };
        let mut words = objects.div_ceil(WORD);
        while words > 0 && self.closing.as_ref().map(window) == Some(first) {
            words = words.saturating_sub(self.close_words(keys, words).max(1));
        }
        words.saturating_mul(WORD)
    }

    /// Takes the next window that is due out of the open ones, in the order of their ends.
    fn begin_next(&mut self) {
        let Self { plan, settings, objects, columns, progress, .. } = self;
        match objects.next_due(plan, progress.watermark()) {
            Some((end, group)) => {
                objects.group_mut(group).begin_close(&plan.groups[group], end);
                self.closing = Some(Closing::new(columns, plan, group, end, progress));
            }
            None => {
                columns.discard_until(progress.watermark());
                let oldest_open = progress.watermark().saturating_sub(plan.longest_window());
                progress.unknown_mut().forget_before(oldest_open, settings.kept_silence(plan));
            }
        }
    }

    /// Closes the next `words` times 64 objects of the closing window; after the last one, begins with the next window.
    /// Returns the number of words closed.
    fn close_words(&mut self, keys: &mut impl Keys, words: usize) -> usize {
        let Some(mut closing) = self.closing.take() else {
            return 0;
        };
        let plan = Arc::clone(&self.plan);
        let last = keys.slots().len().div_ceil(WORD);
        let from = closing.next;
        for word in from..last.min(from.saturating_add(words)) {
            self.close_word(keys, &plan, &mut closing, word);
            closing.next = word + 1;
            closing.windows.clear_word(word);
        }
        let taken = closing.next - from;
        if closing.next < last {
            self.closing = Some(closing);
        } else {
            self.end_close(keys, &plan, closing);
            self.begin_next();
        }
        taken
    }

    fn close_word(&mut self, keys: &mut impl Keys, plan: &Plan, closing: &mut Closing, word: usize) {
        let change = self.objects.close_word(plan, closing, word);
        if change.alive | change.deleted == 0 {
            return;
        }
        self.columns.fill(closing, word, change.alive);
        if self.output.sink.wants_partials() {
            self.send_partials(keys, plan, closing, word);
        }
        self.columns.feed(plan, closing, word, change.alive);
        self.output.prepare(plan, &self.columns, closing, word, change.alive);
        let touched = self.objects.group(closing.group).touched_word(word);
        for bit in ones(ResultOutput::<S>::relevant(change)) {
            let slot = word * WORD + bit;
            match change.alive >> bit & 1 {
                1 => self.output.send_window(plan, closing, keys.slots().key(slot), slot, touched),
                _ => self.delete(keys, plan, closing, slot),
            }
        }
    }

    /// Ends an object's proxy UVEs: one last row each, without value, and everything about it is forgotten. One that
    /// has samples in later windows already begins anew with those.
    fn delete(&mut self, keys: &mut impl Keys, plan: &Plan, closing: &Closing, slot: usize) {
        self.output.send_deletion(plan, closing, keys.slots().key(slot));
        if self.objects.group(closing.group).has_open_samples(slot) {
            self.columns.forget_ended(plan, closing.group, slot, closing.end);
        } else {
            self.columns.forget(plan, closing.group, slot);
        }
        if !self.objects.contains(slot) {
            keys.free(slot);
        }
    }

    /// Releases the memory of a window, and skips windows in which nothing happens.
    fn end_close(&mut self, keys: &mut impl Keys, plan: &Plan, closing: Closing) {
        let Closing { group, windows, next, is_unknown, .. } = closing;
        self.columns.recycle(windows, next * WORD);
        self.objects.group_mut(group).end_close(!is_unknown);
        if let Some(slots) = keys.shrink() {
            self.shrink(slots);
        }
        let is_silence_uneventful = !self.columns.keep_values(plan, group)
            && self.objects.group(group).known_silent_windows() >= self.output.sink.silent_windows();
        self.objects.skip_uneventful(plan, group, &self.progress, keys.slots().len(), is_silence_uneventful);
    }
}
