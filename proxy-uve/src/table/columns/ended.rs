//! The windows of a group that end at the same time, taken out of the open ones.

use derived_stats::column::{WORD, WindowColumn};

/// The window columns that end at the close of a group's window, and which detectors they fed.
#[derive(Debug)]
pub(in crate::table) struct EndedWindows {
    /// By window column of the plan; one without samples has none.
    pub(super) columns: Vec<(usize, Option<WindowColumn>)>,
    /// Which of the current 64 objects had their detector fed, by detector.
    pub(super) fed: Vec<u64>,
}

impl EndedWindows {
    /// `None` if no window of the column ends here, `Some(None)` if one does but had no samples at all.
    pub(in crate::table) fn get(&self, column: usize) -> Option<Option<&WindowColumn>> {
        find(&self.columns, column)
    }

    /// Empties the cells of 64 objects for the next window, while they are in the cache.
    pub(in crate::table) fn clear_word(&mut self, word: usize) {
        for column in self.columns.iter_mut().filter_map(|(_, column)| column.as_mut()) {
            column.clear_many(word * WORD, WORD);
        }
    }
}

/// Does what [`EndedWindows::get`] does, for a caller that borrows the columns alone.
pub(super) fn find(columns: &[(usize, Option<WindowColumn>)], column: usize) -> Option<Option<&WindowColumn>> {
    columns.iter().find(|&&(index, _)| index == column).map(|(_, window)| window.as_ref())
}
