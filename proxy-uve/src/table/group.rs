//! The liveness of objects: which had samples when, which are idle for how long.

use std::collections::VecDeque;

use derived_stats::column::Update;

use crate::table::bits::Bits;
use crate::table::plan::GroupPlan;

/// One object's liveness in a group. An object that is not alive has no proxy UVE.
///
/// 0 for an object that is not alive, else one more than its idle periods in a row: 4 bytes, because each
/// object has one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Liveness(u32);

/// The most idle periods that are counted, and so the longest timeout.
pub(crate) const MAX_SILENT: u32 = u32::MAX - 1;

impl Liveness {
    /// Alive, and silent for so many periods; they stop at [`MAX_SILENT`].
    pub(crate) fn after(silent: u32) -> Self {
        Self(silent.saturating_add(1))
    }

    pub(crate) fn is_alive(self) -> bool {
        self.0 > 0
    }

    /// The liveness after one more window.
    fn after_window(self, touched: bool, timeout: u32) -> Self {
        if touched {
            return Self::after(0);
        }
        if !self.is_alive() {
            return self;
        }
        let silent = self.silent() + 1;
        if timeout > 0 && silent >= timeout { Self::default() } else { Self::after(silent) }
    }

    /// Silent periods in a row; 0 for an object that is not alive.
    pub(crate) fn silent(self) -> u32 {
        self.0.saturating_sub(1)
    }
}

/// What the end of a window means to 64 objects, one bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct LivenessChange {
    /// Had samples in the window, or are silent for less than the timeout.
    pub(crate) alive: u64,
    /// Silent for as long as the timeout says: the proxy UVE is deleted now.
    pub(crate) deleted: u64,
}

/// The windows and the liveness of the proxy types that share period, timeout and silence.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Which objects had samples, for each open window, oldest first.
    pub(crate) open: VecDeque<(u64, Bits)>,
    pub(crate) liveness: Vec<Liveness>,
    /// How many objects are alive.
    pub(crate) alive: usize,
    /// The end of the newest closed window; `None` before the first.
    pub(crate) closed_to: Option<u64>,
    /// Windows without any sample that were closed one after the other.
    pub(crate) quiet: u32,
    spare: Option<Bits>,
}

impl Group {
    /// Notes a sample of time `at`.
    #[inline]
    pub(crate) fn touch(&mut self, plan: &GroupPlan, slot: usize, at: u64) {
        match self.open.back_mut() {
            // Most samples are of the newest window: no division for them.
            Some((newest, touched)) if at.wrapping_sub(*newest) < plan.period => touched.insert(slot),
            _ => self.window_at(at - at % plan.period).insert(slot),
        }
    }

    /// Notes samples of the window that starts at `start`.
    pub(crate) fn touch_all(&mut self, start: u64, updates: &[Update]) {
        let touched = self.window_at(start);
        updates.iter().for_each(|update| touched.insert(update.slot as usize));
    }

    /// The set of the window that starts at `start`, opened if need be.
    pub(crate) fn window_at(&mut self, start: u64) -> &mut Bits {
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

    /// The start of the oldest window that is not closed and matters: the next one in line while objects live, else
    /// the oldest with samples.
    pub(crate) fn next_start(&self) -> Option<u64> {
        let oldest = self.open.front().map(|&(start, _)| start);
        match self.closed_to {
            Some(closed_to) if self.alive > 0 => Some(closed_to),
            _ => oldest,
        }
    }

    /// Takes out the window that starts at `start`, if it was opened.
    pub(crate) fn take(&mut self, start: u64) -> Option<Bits> {
        let &(oldest, _) = self.open.front()?;
        if oldest == start { self.open.pop_front().map(|(_, bits)| bits) } else { None }
    }

    pub(crate) fn recycle(&mut self, mut bits: Bits) {
        bits.clear();
        self.spare = Some(bits);
    }

    /// Moves the liveness of 64 objects, from slot `64 * word` on, past the end of a window in which those of `touched`
    /// had samples.
    pub(crate) fn advance(&mut self, plan: &GroupPlan, word: usize, touched: u64) -> LivenessChange {
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
            *liveness = before.after_window(touched >> bit & 1 == 1, plan.timeout);
            change.alive |= u64::from(liveness.is_alive()) << bit;
            change.deleted |= u64::from(before.is_alive() && !liveness.is_alive()) << bit;
            self.alive += usize::from(liveness.is_alive());
            self.alive -= usize::from(before.is_alive());
        }
        change
    }

    /// The same for 64 objects all of which had samples: what is usual, and takes no look at each.
    fn advance_all(&mut self, first: usize) -> LivenessChange {
        let liveness = &mut self.liveness[first..first + 64];
        self.alive += 64 - liveness.iter().filter(|liveness| liveness.is_alive()).count();
        liveness.fill(Liveness::after(0));
        LivenessChange { alive: u64::MAX, deleted: 0 }
    }

    /// How many windows from now on, all of them silent, would change no liveness and feed no detector: after one
    /// silent window, those before the next deletion.
    pub(crate) fn uneventful(&self, plan: &GroupPlan) -> u64 {
        let alive = self.liveness.iter().filter(|liveness| liveness.is_alive());
        let until_deletion = alive.map(|liveness| match plan.timeout {
            0 => u64::MAX,
            timeout => u64::from(timeout.saturating_sub(liveness.silent()).saturating_sub(1)),
        });
        until_deletion.min().unwrap_or(u64::MAX)
    }

    /// How many silent windows it takes until no object is alive.
    pub(crate) fn longest_life(&self, plan: &GroupPlan) -> u64 {
        let alive = self.liveness.iter().filter(|liveness| liveness.is_alive());
        let until_deletion = alive.map(|liveness| match plan.timeout {
            0 => u64::MAX,
            timeout => u64::from(timeout.saturating_sub(liveness.silent()).max(1)),
        });
        until_deletion.max().unwrap_or(0)
    }

    /// Lets `windows` uneventful windows pass.
    pub(crate) fn skip(&mut self, windows: u64) {
        let silent = u32::try_from(windows).unwrap_or(u32::MAX);
        self.quiet = self.quiet.saturating_add(silent);
        for liveness in self.liveness.iter_mut().filter(|liveness| liveness.is_alive()) {
            *liveness = Liveness::after(liveness.silent().saturating_add(silent));
        }
    }

    /// Whether an object is neither alive nor has samples in an open window.
    pub(crate) fn is_done_with(&self, slot: usize) -> bool {
        let alive = self.liveness.get(slot).is_some_and(|liveness| liveness.is_alive());
        !alive && !self.has_open_samples(slot)
    }

    pub(crate) fn has_open_samples(&self, slot: usize) -> bool {
        self.open.iter().any(|(_, bits)| bits.contains(slot))
    }

    /// Forgets an object: its liveness, and its samples in open windows. A window that this leaves empty goes, as if it
    /// had never been opened.
    pub(crate) fn remove(&mut self, slot: usize) {
        if let Some(liveness) = self.liveness.get_mut(slot) {
            self.alive -= usize::from(liveness.is_alive());
            *liveness = Liveness::default();
        }
        self.open.retain_mut(|(_, touched)| !(touched.remove(slot) && touched.is_empty()));
    }

    pub(crate) fn shrink(&mut self, slots: usize) {
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
        GroupPlan { period: 60, timeout, silence: Silence::Once, lanes: vec![], types: vec![], identity: String::new() }
    }

    const ALIVE: LivenessChange = LivenessChange { alive: 1, deleted: 0 };
    const DELETED: LivenessChange = LivenessChange { alive: 0, deleted: 1 };

    #[test]
    fn an_object_is_deleted_once_after_exactly_timeout_silent_periods() {
        for timeout in 1..4 {
            let plan = plan(timeout);
            let mut group = Group::default();
            assert_eq!(group.advance(&plan, 3, 1), ALIVE);
            for silent in 1..timeout {
                assert_eq!(group.advance(&plan, 3, 0), ALIVE, "{silent} silent periods of {timeout}");
            }
            assert_eq!(group.advance(&plan, 3, 0), DELETED);
            assert_eq!(group.advance(&plan, 3, 0), LivenessChange::default());
            assert_eq!(group.alive, 0);
        }
    }

    #[test]
    fn without_timeout_an_object_lives_for_ever() {
        let plan = plan(0);
        let mut group = Group::default();
        group.advance(&plan, 0, 1);
        for _ in 0..1000 {
            assert_eq!(group.advance(&plan, 0, 0), ALIVE);
        }
        assert_eq!(group.uneventful(&plan), u64::MAX);
    }

    #[test]
    fn skipping_uneventful_windows_is_the_same_as_closing_them() {
        let plan = plan(10);
        let (mut one_by_one, mut skipped) = (Group::default(), Group::default());
        for group in [&mut one_by_one, &mut skipped] {
            group.advance(&plan, 0, 0b11);
            group.advance(&plan, 0, 0b10);
        }
        let windows = skipped.uneventful(&plan);
        assert_eq!(windows, 8);
        skipped.skip(windows);
        for _ in 0..windows {
            assert_eq!(one_by_one.advance(&plan, 0, 0), LivenessChange { alive: 0b11, deleted: 0 });
        }
        assert_eq!(one_by_one.liveness, skipped.liveness);
        assert_eq!(skipped.advance(&plan, 0, 0), LivenessChange { alive: 0b10, deleted: 0b01 });
    }
}
