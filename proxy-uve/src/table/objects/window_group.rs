//! The liveness of all objects in one window group: which had samples in which window, and how long each is idle.

use std::collections::VecDeque;

use derived_stats::column::{Update, WORD};

use crate::table::objects::bits::Bits;
use crate::table::objects::liveness::{Liveness, LivenessChange};
use crate::table::plan::GroupPlan;
use crate::table::window::window_start;

/// The windows and the liveness of the proxy types that share period, timeout and silence.
#[derive(Debug, Default)]
pub(in crate::table) struct WindowGroup {
    /// Which objects had samples, for each open window, oldest first.
    pub(super) open: VecDeque<(u64, Bits)>,
    /// The window that is closing.
    closing: Option<ClosingSet>,
    pub(super) liveness: Vec<Liveness>,
    /// How many objects are alive.
    pub(super) alive: usize,
    /// The end of the newest closed window; `None` before the first.
    pub(super) closed_to: Option<u64>,
    /// Windows without any sample that were closed one after the other.
    pub(super) quiet: u32,
    /// Those of them since the last unknown one.
    pub(super) known_quiet: u32,
    /// A closed window's set, emptied, for the next one.
    spare: Option<Bits>,
}

/// Which objects had samples in the window that is closing.
#[derive(Debug)]
struct ClosingSet {
    touched: Bits,
    /// The next objects to close, in words of 64.
    next: usize,
}

impl WindowGroup {
    /// Continues from a snapshot, after [the objects](Self::restore_liveness).
    pub(in crate::table) fn restore(&mut self, closed_to: Option<u64>) {
        self.closed_to = closed_to;
        self.alive = self.liveness.iter().filter(|liveness| liveness.is_alive()).count();
    }

    /// Makes an object alive that was silent for so many periods.
    pub(in crate::table) fn restore_liveness(&mut self, slot: usize, silent: u32) {
        self.liveness.resize(self.liveness.len().max(slot + 1), Liveness::default());
        self.liveness[slot] = Liveness::after(silent);
    }

    /// The end of the newest closed window; `None` before the first.
    pub(in crate::table) fn closed_to(&self) -> Option<u64> {
        self.closed_to
    }

    /// How many objects are alive.
    pub(in crate::table) fn alive(&self) -> usize {
        self.alive
    }

    /// The silent periods in a row of an object; `None` if it is not alive.
    pub(in crate::table) fn silent_periods(&self, slot: usize) -> Option<u32> {
        self.liveness.get(slot).filter(|liveness| liveness.is_alive()).map(|liveness| liveness.silent())
    }

    /// The starts of the open windows, oldest first, with the objects that have samples in each.
    pub(in crate::table) fn open_windows(&self) -> impl Iterator<Item = (u64, &Bits)> {
        self.open.iter().map(|(start, touched)| (*start, touched))
    }

    /// Records a sample of time `at`.
    #[inline]
    pub(in crate::table) fn touch(&mut self, plan: &GroupPlan, slot: usize, at: u64) {
        match self.open.back_mut() {
            // Most samples are of the newest window: no division for them.
            Some((newest, touched)) if at.wrapping_sub(*newest) < plan.period => touched.insert(slot),
            _ => self.window_at(window_start(at, plan.period)).insert(slot),
        }
    }

    /// Records samples of the window that starts at `start`.
    pub(in crate::table) fn touch_all(&mut self, start: u64, updates: &[Update]) {
        let touched = self.window_at(start);
        updates.iter().for_each(|update| touched.insert(update.slot as usize));
    }

    /// The set of the window that starts at `start`, which is opened if it does not exist.
    pub(in crate::table) fn window_at(&mut self, start: u64) -> &mut Bits {
        let after = self.open.iter().rposition(|&(open, _)| open <= start);
        let index = match after {
            Some(index) if self.open[index].0 == start => index,
            _ => {
                let index = after.map_or(0, |index| index + 1);
                self.open.insert(index, (start, self.spare.take().unwrap_or_default()));
                index
            }
        };
        &mut self.open[index].1
    }

    /// The start of the next window to close: the one after the newest closed one while objects are alive, else the
    /// oldest with samples.
    pub(in crate::table) fn next_start(&self) -> Option<u64> {
        let oldest = self.open.front().map(|&(start, _)| start);
        match self.closed_to {
            Some(closed_to) if self.alive > 0 => Some(closed_to),
            _ => oldest,
        }
    }

    /// Begins to close the window that ends at `end`: it is not open any more.
    pub(in crate::table) fn begin_close(&mut self, plan: &GroupPlan, end: u64) {
        let start = end - plan.period;
        let is_open = self.open.front().is_some_and(|&(oldest, _)| oldest == start);
        let touched = if is_open { self.open.pop_front().map(|(_, touched)| touched) } else { None };
        self.closing = Some(ClosingSet { touched: touched.unwrap_or_default(), next: 0 });
        self.closed_to = Some(end);
    }

    /// Moves the liveness of 64 objects, from slot `64 * word` on, past the end of the closing window. Words come in
    /// order. Where the window is unknown, silence does not count: `ages` is false.
    pub(in crate::table) fn close_word(&mut self, plan: &GroupPlan, word: usize, ages: bool) -> LivenessChange {
        let touched = self.closing.as_mut().map_or(0, |closing| {
            closing.next = word + 1;
            closing.touched.word(word)
        });
        self.advance(plan, word, touched, ages)
    }

    /// Which of 64 objects, from slot `64 * word` on, had samples in the window that is closing.
    pub(in crate::table) fn touched_word(&self, word: usize) -> u64 {
        self.closing.as_ref().map_or(0, |closing| closing.touched.word(word))
    }

    /// How many known windows in a row up to the newest closed one had no samples.
    pub(in crate::table) fn known_silent_windows(&self) -> u32 {
        self.known_quiet
    }

    /// Ends the close of a window, after its last word; see [`close_word`](Self::close_word) for `ages`.
    pub(in crate::table) fn end_close(&mut self, ages: bool) {
        let Some(ClosingSet { mut touched, .. }) = self.closing.take() else {
            return;
        };
        self.quiet = if touched.is_empty() { self.quiet.saturating_add(1) } else { 0 };
        self.known_quiet = if touched.is_empty() && ages { self.known_quiet.saturating_add(1) } else { 0 };
        touched.clear();
        self.spare = Some(touched);
    }

    /// Moves the liveness of 64 objects past the end of a window in which those of `touched` had samples. The others
    /// become older if `ages`.
    fn advance(&mut self, plan: &GroupPlan, word: usize, touched: u64, ages: bool) -> LivenessChange {
        let first = word * 64;
        let end = first + 64 - touched.leading_zeros() as usize;
        if touched != 0 && end > self.liveness.len() {
            self.liveness.resize(end, Liveness::default());
        }
        if touched == u64::MAX {
            return self.advance_all(first);
        }
        let mut change = LivenessChange::default();
        let end = self.liveness.len().min(first + 64);
        for (bit, liveness) in self.liveness.get_mut(first..end).unwrap_or_default().iter_mut().enumerate() {
            let before = *liveness;
            let is_touched = touched >> bit & 1 == 1;
            *liveness = if is_touched || ages { before.after_window(is_touched, plan.timeout) } else { before };
            change.alive |= u64::from(liveness.is_alive()) << bit;
            change.deleted |= u64::from(before.is_alive() && !liveness.is_alive()) << bit;
            self.alive += usize::from(liveness.is_alive());
            self.alive -= usize::from(before.is_alive());
        }
        change
    }

    /// The same for 64 objects all of which had samples: the fast path, without a branch for each object.
    fn advance_all(&mut self, first: usize) -> LivenessChange {
        let liveness = &mut self.liveness[first..first + 64];
        self.alive += 64 - liveness.iter().filter(|liveness| liveness.is_alive()).count();
        liveness.fill(Liveness::after(0));
        LivenessChange { alive: u64::MAX, deleted: 0 }
    }

    /// Whether an object is neither alive nor has samples in a window that is open, or that is closing and has not
    /// reached the object.
    pub(in crate::table) fn is_done_with(&self, slot: usize) -> bool {
        let alive = self.liveness.get(slot).is_some_and(|liveness| liveness.is_alive());
        let waits = |closing: &ClosingSet| slot / WORD >= closing.next && closing.touched.contains(slot);
        !alive && !self.has_open_samples(slot) && !self.closing.as_ref().is_some_and(waits)
    }

    /// Whether an object has samples in an open window.
    pub(in crate::table) fn has_open_samples(&self, slot: usize) -> bool {
        self.open.iter().any(|(_, bits)| bits.contains(slot))
    }

    /// Forgets an object: its liveness, and its samples in open windows. A window without other samples is removed, as
    /// if it had never been opened.
    pub(in crate::table) fn remove(&mut self, slot: usize) {
        if let Some(liveness) = self.liveness.get_mut(slot) {
            self.alive -= usize::from(liveness.is_alive());
            *liveness = Liveness::default();
        }
        self.open.retain_mut(|(_, touched)| !(touched.remove(slot) && touched.is_empty()));
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(in crate::table) fn shrink(&mut self, slots: usize) {
        self.liveness.truncate(slots);
        self.liveness.shrink_to_fit();
        self.spare = None;
    }
}

#[cfg(test)]
mod tests {
    use derived_stats::Silence;

    use super::*;

    fn plan(timeout: u32) -> GroupPlan {
        let identity = String::new();
        GroupPlan { period: 60, timeout, silence: Silence::Once, window_columns: vec![], types: vec![], identity }
    }

    const ALIVE: LivenessChange = LivenessChange { alive: 1, deleted: 0 };
    const DELETED: LivenessChange = LivenessChange { alive: 0, deleted: 1 };

    #[test]
    fn an_object_is_deleted_once_after_exactly_timeout_silent_periods() {
        for timeout in 1..4 {
            let plan = plan(timeout);
            let mut group = WindowGroup::default();
            assert_eq!(group.advance(&plan, 3, 1, true), ALIVE);
            for silent in 1..timeout {
                assert_eq!(group.advance(&plan, 3, 0, true), ALIVE, "{silent} silent periods of {timeout}");
            }
            assert_eq!(group.advance(&plan, 3, 0, true), DELETED);
            assert_eq!(group.advance(&plan, 3, 0, true), LivenessChange::default());
            assert_eq!(group.alive, 0);
        }
    }

    #[test]
    fn without_timeout_an_object_is_alive_for_ever() {
        let plan = plan(0);
        let mut group = WindowGroup::default();
        group.advance(&plan, 0, 1, true);
        for _ in 0..1000 {
            assert_eq!(group.advance(&plan, 0, 0, true), ALIVE);
        }
        assert_eq!(group.uneventful(&plan), u64::MAX);
    }

    #[test]
    fn skipping_uneventful_windows_is_the_same_as_closing_them() {
        let plan = plan(10);
        let (mut one_by_one, mut skipped) = (WindowGroup::default(), WindowGroup::default());
        for group in [&mut one_by_one, &mut skipped] {
            group.advance(&plan, 0, 0b11, true);
            group.advance(&plan, 0, 0b10, true);
        }
        let windows = skipped.uneventful(&plan);
        assert_eq!(windows, 8);
        skipped.skip(&plan, windows, true);
        for _ in 0..windows {
            assert_eq!(one_by_one.advance(&plan, 0, 0, true), LivenessChange { alive: 0b11, deleted: 0 });
        }
        assert_eq!(one_by_one.liveness, skipped.liveness);
        assert_eq!(skipped.advance(&plan, 0, 0, true), LivenessChange { alive: 0b10, deleted: 0b01 });
    }
}
