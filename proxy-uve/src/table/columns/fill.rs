//! Windows of the last values of sources: filled when they end, and previewed before.

use derived_stats::column::{WORD, WindowColumn};

use crate::table::closing::Closing;
use crate::table::columns::last_values::End;
use crate::table::columns::{Columns, EndedWindows};
use crate::table::objects::ones;
use crate::table::plan::Plan;

impl Columns {
    /// Fills the windows that ended and have the last values of sources, for 64 objects from slot `64 * word` on.
    pub(in crate::table) fn fill(&mut self, closing: &mut Closing, word: usize, alive: u64) {
        let Closing { unknown_columns, windows: EndedWindows { columns, .. }, end, .. } = closing;
        for (column, window) in columns {
            if let Some(window) = window.as_mut().filter(|_| self.readings.has_last_values(*column)) {
                let end = End { at: *end, is_unknown: unknown_columns.contains(column) };
                self.readings.close(*column, ones(alive).map(|bit| word * WORD + bit), end, window);
            }
        }
    }

    /// Whether a window of a group without samples may have a result, because an object has last values.
    pub(in crate::table) fn keep_values(&self, plan: &Plan, group: usize) -> bool {
        plan.groups[group].window_columns.iter().any(|&column| self.readings.keeps_values(column))
    }

    /// The open windows of a column with last values in which an object has samples: their starts, and the window of
    /// the values so far, in slot 0.
    pub(in crate::table) fn previews(
        &self,
        column: usize,
        slot: usize,
        watermark: u64,
    ) -> impl Iterator<Item = (u64, WindowColumn)> {
        let starts = self.readings.open_windows(column, slot, watermark);
        starts.into_iter().map(move |start| {
            let mut window = self.windows[column].new_window();
            self.readings.preview(column, slot, start, watermark, &mut window);
            (start, window)
        })
    }

    /// Forgets what a group has of an object from windows that ended at or before `end`, when it is deleted and has
    /// samples in later windows. A counter's reading and an inline state follow the log, not the windows, so they are
    /// kept.
    pub(in crate::table) fn forget_ended(&mut self, plan: &Plan, group: usize, slot: usize, end: u64) {
        self.clear_detectors(plan, group, slot);
        for &column in &plan.groups[group].window_columns {
            self.readings.forget_ended(column, slot, end);
        }
    }
}
