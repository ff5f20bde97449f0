//! The open windows of one lane.

use std::collections::VecDeque;

use derived_stats::column::{CounterColumn, Update, WindowColumn};
use derived_stats::{Number, UpdateError};

use crate::table::batch::by_window;
use crate::table::plan::LanePlan;

/// What the windows that are open have accumulated. There are as many as the lateness and skew allow: two or three.
#[derive(Debug)]
pub(crate) struct Lane {
    window: u64,
    /// By start, oldest first.
    pub(crate) open: VecDeque<(u64, WindowColumn)>,
    /// A closed window's column, emptied, for the next one: windows come and go, their memory stays.
    spare: Option<WindowColumn>,
    /// Before its first window a lane has no column to copy.
    empty: WindowColumn,
    pub(crate) counters: Option<CounterColumn>,
    /// Windows that start earlier are partial, because the lane was not there from their start: it was new in a
    /// restore. 0 for a lane as old as its table. Microseconds.
    pub(crate) covered_from: u64,
}

impl Lane {
    /// `None` for an inline spec, which no lane has.
    pub(crate) fn new(plan: &LanePlan) -> Option<Self> {
        Some(Self {
            window: plan.window,
            open: VecDeque::new(),
            spare: None,
            empty: WindowColumn::new(&plan.spec)?,
            counters: plan.has_counters().then(|| CounterColumn::new(&plan.spec)),
            covered_from: 0,
        })
    }

    /// Adds a sample to the window of its time.
    #[inline]
    pub(crate) fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        let index = self.index_of(at);
        // Out of the lane while its windows are borrowed.
        match self.counters.take() {
            None => self.open[index].1.update(slot, at, value),
            Some(mut counters) => {
                let window = &mut self.open[index].1;
                let updated = counters.update(slot, value, |difference| window.update(slot, at, difference));
                self.counters = Some(counters);
                updated
            }
        }
    }

    /// Adds many samples of a lane [without counters](Self::takes_every_value), each to the window of its time.
    pub(crate) fn update_all(&mut self, updates: &[Update]) {
        for (start, updates) in by_window(updates, self.window) {
            let taken = self.window_at(start).update_all(updates);
            debug_assert!(taken.is_ok(), "the values were checked");
        }
    }

    /// Whether no sample can be refused whose value has the lane's type.
    pub(crate) fn takes_every_value(&self) -> bool {
        self.counters.is_none() && self.empty.takes_every_value()
    }

    /// The open window that holds `at`, opened if need be.
    fn index_of(&mut self, at: u64) -> usize {
        // Most samples are of the newest window: no division for them.
        match self.open.back() {
            Some(&(newest, _)) if at.wrapping_sub(newest) < self.window => self.open.len() - 1,
            _ => self.index_at(at - at % self.window),
        }
    }

    /// The column of the window that starts at `start`, opened if need be.
    pub(crate) fn window_at(&mut self, start: u64) -> &mut WindowColumn {
        let index = self.index_at(start);
        &mut self.open[index].1
    }

    fn index_at(&mut self, start: u64) -> usize {
        // The newest window is the usual one, so search from the back.
        let after = self.open.iter().rposition(|&(open, _)| open <= start);
        match after {
            Some(index) if self.open[index].0 == start => index,
            _ => {
                let index = after.map_or(0, |index| index + 1);
                let column = self.spare.take().unwrap_or_else(|| self.empty.empty_clone());
                self.open.insert(index, (start, column));
                index
            }
        }
    }

    /// Takes out the window that ends at `end`, if it was opened.
    ///
    /// One that ended earlier was passed over because no object lived at its end; it holds nothing.
    pub(crate) fn take_ending(&mut self, end: u64) -> Option<WindowColumn> {
        while let Some(&(start, _)) = self.open.front() {
            let ends = start.saturating_add(self.window);
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

    /// Whether a window of this lane ends at `end`.
    pub(crate) fn ends_at(&self, end: u64) -> bool {
        end.is_multiple_of(self.window)
    }

    /// Takes back a column that was read and whose slots below `cleared` are empty.
    pub(crate) fn recycle(&mut self, mut column: WindowColumn, cleared: usize) {
        column.clear_many(cleared, usize::MAX);
        self.spare = Some(column);
    }

    /// Drops the windows that ended at or before `watermark` and were passed over: only refused samples opened them.
    pub(crate) fn discard_until(&mut self, watermark: u64) {
        while self.open.front().is_some_and(|&(start, _)| start.saturating_add(self.window) <= watermark) {
            self.open.pop_front();
        }
    }

    /// Forgets an object: its cell in every open window, and its counter's reading.
    pub(crate) fn clear(&mut self, slot: usize) {
        for (_, column) in &mut self.open {
            column.clear(slot);
        }
        if let Some(counters) = &mut self.counters {
            counters.clear(slot);
        }
    }

    pub(crate) fn shrink(&mut self, slots: usize) {
        for (_, column) in &mut self.open {
            column.shrink(slots);
        }
        self.spare = None;
        if let Some(counters) = &mut self.counters {
            counters.shrink(slots);
        }
    }
}
