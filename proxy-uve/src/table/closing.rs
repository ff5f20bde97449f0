//! A window that is closing.

use derived_stats::column::{WORD, WindowColumn};

use crate::table::columns::{Columns, EndedWindows};
use crate::table::plan::Plan;

/// The window of a group that is closing: its objects are closed in the order of their slots, 64 at a time.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) group: usize,
    /// The start and the end (exclusive) of the group's window.
    pub(super) start: u64,
    pub(super) end: u64,
    /// The windows of the group's columns that end with it.
    pub(super) windows: EndedWindows,
    /// The next objects to close, in words of 64.
    pub(super) next: usize,
    /// The proxy types that show a window which was covered in part only.
    partial_types: Vec<usize>,
}

impl Closing {
    /// Takes the columns of a group that end at `end` out of `columns`. Windows that start before `covered_from` are
    /// partial.
    pub(super) fn new(columns: &mut Columns, plan: &Plan, group: usize, end: u64, covered_from: u64) -> Self {
        let windows = columns.take_ending(plan, group, end);
        let is_partial = |type_index: &usize| {
            plan.types[*type_index].attributes.iter().any(|attribute| {
                let covered_from = covered_from.max(columns.windows(attribute.window_column).covered_from());
                let start = end.saturating_sub(attribute.window_length);
                windows.get(attribute.window_column).is_some() && start < covered_from
            })
        };
        let partial_types = plan.groups[group].types.iter().copied().filter(is_partial).collect();
        Self { group, start: end - plan.groups[group].period, end, windows, next: 0, partial_types }
    }

    /// Whether the type shows a window that was covered in part only.
    #[inline]
    pub(super) fn is_partial(&self, type_index: usize) -> bool {
        self.partial_types.contains(&type_index)
    }

    /// The end and the window of a column, if the object is not closed yet.
    pub(super) fn waiting(&self, column: usize, slot: usize) -> Option<(u64, &WindowColumn)> {
        let window = self.windows.get(column).flatten().filter(|_| slot / WORD >= self.next)?;
        Some((self.end, window))
    }
}
