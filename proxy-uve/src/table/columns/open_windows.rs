//! The open windows of one window column.

use std::collections::VecDeque;

use derived_stats::column::{Update, WindowColumn};
use derived_stats::{Number, UpdateError};

use crate::table::columns::counters::Taken;
use crate::table::plan::WindowColumnPlan;
use crate::table::window::{by_window, window_start};

/// The open windows of a window column, with what each has accumulated. There are as many as the lateness and skew
/// allow: two or three.
#[derive(Debug)]
pub(in crate::table) struct OpenWindows {
    /// Length of a window in microseconds.
    length: u64,
    /// By start, oldest first.
    open: VecDeque<(u64, WindowColumn)>,
    /// A closed window's column, emptied, for the next one: its memory is reused.
    spare: Option<WindowColumn>,
    /// The column of a window without samples, to copy.
    empty: WindowColumn,
    /// Windows that start earlier are partial, because the window column did not exist at their start: it was new in a
    /// restore. 0 for one as old as its table. Microseconds.
    covered_from: u64,
}

impl OpenWindows {
    /// No windows. `None` for an inline spec, which has none.
    pub(in crate::table) fn new(plan: &WindowColumnPlan) -> Option<Self> {
        Some(Self {
            length: plan.length,
            open: VecDeque::new(),
            spare: None,
            empty: WindowColumn::new(&plan.spec)?,
            covered_from: 0,
        })
    }

    /// What a window without samples has accumulated.
    pub(in crate::table) fn empty(&self) -> &WindowColumn {
        &self.empty
    }

    /// Adds a state of time `at` to the window of that time. Whether the column takes such states.
    pub(in crate::table) fn merge(&mut self, slot: usize, at: u64, state: &WindowColumn) -> bool {
        let index = self.index_of(at);
        self.open[index].1.merge(slot, state, 0).is_ok()
    }

    /// Windows that start before this time are partial. Microseconds.
    pub(in crate::table) fn covered_from(&self) -> u64 {
        self.covered_from
    }

    pub(in crate::table) fn set_covered_from(&mut self, time: u64) {
        self.covered_from = time;
    }

    /// The starts of the windows and what each has accumulated, oldest first.
    pub(in crate::table) fn iter(&self) -> impl Iterator<Item = (u64, &WindowColumn)> {
        self.open.iter().map(|(start, column)| (*start, column))
    }

    /// Forgets all windows.
    pub(in crate::table) fn reset(&mut self) {
        self.open.clear();
    }

    /// Adds a sample to the window of its time.
    #[inline]
    pub(in crate::table) fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        let index = self.index_of(at);
        self.open[index].1.update(slot, at, value)
    }

    /// Adds a sample, or the increase of a counter, to the window of its time.
    pub(in crate::table) fn take(&mut self, slot: usize, at: u64, taken: Taken) -> Result<(), UpdateError> {
        let index = self.index_of(at);
        let window = &mut self.open[index].1;
        match taken {
            Taken::Increase { since, value } => window.update_increase(slot, since, at, value),
            Taken::Sample(value) => window.update(slot, at, value),
        }
    }

    /// Adds many samples to a column that [takes every value](Self::takes_every_value), each to the window of its time.
    pub(in crate::table) fn update_all(&mut self, updates: &[Update]) {
        for (start, updates) in by_window(updates, self.length) {
            let taken = self.window_at(start).update_all(updates);
            debug_assert!(taken.is_ok(), "the values were checked");
        }
    }

    /// Whether no sample can be refused whose value has the column's type.
    pub(in crate::table) fn takes_every_value(&self) -> bool {
        self.empty.takes_every_value()
    }

    /// The index of the window that contains `at`, which is opened if it does not exist.
    fn index_of(&mut self, at: u64) -> usize {
        // Most samples are of the newest window: no division for them.
        match self.open.back() {
            Some(&(newest, _)) if at.wrapping_sub(newest) < self.length => self.open.len() - 1,
            _ => self.index_at(window_start(at, self.length)),
        }
    }

    /// The column of the window that starts at `start`, which is opened if it does not exist.
    pub(in crate::table) fn window_at(&mut self, start: u64) -> &mut WindowColumn {
        let index = self.index_at(start);
        &mut self.open[index].1
    }

    fn index_at(&mut self, start: u64) -> usize {
        // Most samples are of the newest window, so search from the back.
        let after = self.open.iter().rposition(|&(open, _)| open <= start);
        match after {
            Some(index) if self.open[index].0 == start => index,
            _ => {
                let index = after.map_or(0, |index| index + 1);
                let column = self.empty_window();
                self.open.insert(index, (start, column));
                index
            }
        }
    }

    /// Takes out the window that ends at `end`, if it was opened.
    ///
    /// One that ended earlier was skipped because no object was alive at its end; it is empty.
    pub(in crate::table) fn take_ending(&mut self, end: u64) -> Option<WindowColumn> {
        while let Some(&(start, _)) = self.open.front() {
            let ends = start.saturating_add(self.length);
            if ends > end {
                break;
            }
            let (_, column) = self.open.pop_front()?;
            if ends == end {
                return Some(column);
            }
            self.recycle(column, 0);
        }
        None
    }

    /// The column of a window without samples, which [`recycle`](Self::recycle) takes back.
    pub(in crate::table) fn empty_window(&mut self) -> WindowColumn {
        self.spare.take().unwrap_or_else(|| self.new_window())
    }

    /// A new column of a window without samples.
    pub(in crate::table) fn new_window(&self) -> WindowColumn {
        self.empty.empty_clone()
    }

    /// Whether a window of this column ends at `end`.
    pub(in crate::table) fn ends_at(&self, end: u64) -> bool {
        end.is_multiple_of(self.length)
    }

    /// Takes back a column that is closed and whose slots below `cleared` are empty.
    pub(in crate::table) fn recycle(&mut self, mut column: WindowColumn, cleared: usize) {
        column.clear_many(cleared, usize::MAX);
        self.spare = Some(column);
    }

    /// Drops the windows that ended at or before `watermark` and were skipped: only refused samples opened them.
    pub(in crate::table) fn discard_until(&mut self, watermark: u64) {
        while self.open.front().is_some_and(|&(start, _)| start.saturating_add(self.length) <= watermark) {
            self.open.pop_front();
        }
    }

    /// Forgets an object: its cell in every open window.
    pub(in crate::table) fn clear(&mut self, slot: usize) {
        for (_, column) in &mut self.open {
            column.clear(slot);
        }
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(in crate::table) fn shrink(&mut self, slots: usize) {
        for (_, column) in &mut self.open {
            column.shrink(slots);
        }
        self.spare = None;
    }
}
