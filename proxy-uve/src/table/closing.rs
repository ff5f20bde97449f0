//! A window that is closing.

use derived_stats::column::{WORD, WindowColumn};

use crate::table::columns::{Columns, EndedWindows};
use crate::table::plan::{AttributePlan, Plan};
use crate::table::progress::Progress;

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
    /// A part of the group's window is [unknown](crate::table::unknown): no object ages.
    pub(super) is_unknown: bool,
    /// The group's window is neither unknown nor before the time from which the stream was covered.
    pub(super) is_observed: bool,
    /// The window columns of which a part of the window is unknown: they feed no detector.
    pub(super) unknown_columns: Vec<usize>,
    /// The proxy types that show a window which was covered in part only.
    partial_types: Vec<usize>,
    /// The attributes of such windows, by [`AttributePlan::index`].
    partial_attributes: Vec<usize>,
}

impl Closing {
    /// Takes the columns of a group that end at `end` out of `columns`. Windows that start before the stream was covered,
    /// or that overlap unknown time, are partial.
    pub(super) fn new(columns: &mut Columns, plan: &Plan, group: usize, end: u64, progress: &Progress) -> Self {
        let windows = columns.take_ending(plan, group, end);
        let is_unknown = |length: u64| progress.unknown().overlaps(end.saturating_sub(length), end);
        let is_partial = |attribute: &&AttributePlan| {
            let covered_from = progress.covered_from().max(columns.windows(attribute.window_column).covered_from());
            let start = end.saturating_sub(attribute.window_length).saturating_sub(attribute.looks_back);
            let is_whole = start >= covered_from && !is_unknown(attribute.window_length);
            windows.get(attribute.window_column).is_some() && !is_whole
        };
        let (mut partial_types, mut partial_attributes) = (Vec::new(), Vec::new());
        for &type_index in &plan.groups[group].types {
            let before = partial_attributes.len();
            let of_type = plan.types[type_index].attributes.iter().filter(is_partial);
            partial_attributes.extend(of_type.map(|attribute| attribute.index));
            partial_types.extend((partial_attributes.len() > before).then_some(type_index));
        }
        let period = plan.groups[group].period;
        let of_group = plan.groups[group].window_columns.iter().copied();
        let unknown_columns = of_group.filter(|&column| is_unknown(plan.window_columns[column].length)).collect();
        let (start, is_unknown) = (end - period, is_unknown(period));
        let is_observed = !is_unknown && start >= progress.covered_from();
        Self {
            group,
            start,
            end,
            windows,
            next: 0,
            is_unknown,
            is_observed,
            unknown_columns,
            partial_types,
            partial_attributes,
        }
    }

    /// Whether the type shows a window that was covered in part only.
    #[inline]
    pub(super) fn is_partial(&self, type_index: usize) -> bool {
        self.partial_types.contains(&type_index)
    }

    /// Whether the window of the attribute with this index was covered in part only.
    #[inline]
    pub(super) fn is_partial_attribute(&self, index: usize) -> bool {
        self.partial_attributes.contains(&index)
    }

    /// The end and the window of a column, if the object is not closed yet.
    pub(super) fn waiting(&self, column: usize, slot: usize) -> Option<(u64, &WindowColumn)> {
        let window = self.windows.get(column).flatten().filter(|_| slot / WORD >= self.next)?;
        Some((self.end, window))
    }
}
