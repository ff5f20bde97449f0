//! Windows in time. All of them are aligned to the epoch.

use derived_stats::column::Update;

/// The start of the window that contains `at`.
#[inline]
pub(super) fn window_start(at: u64, length: u64) -> u64 {
    at - at % length
}

/// The end (exclusive) of the window that contains `at`.
#[inline]
pub(super) fn window_end(at: u64, length: u64) -> u64 {
    window_start(at, length).saturating_add(length)
}

/// The runs of samples that belong to the same window of `length`, with its start.
pub(super) fn by_window(mut updates: &[Update], length: u64) -> impl Iterator<Item = (u64, &[Update])> {
    std::iter::from_fn(move || {
        let first = updates.first()?;
        let start = window_start(first.at, length);
        let other = updates.iter().position(|update| update.at.wrapping_sub(start) >= length);
        let (run, rest) = updates.split_at(other.unwrap_or(updates.len()));
        updates = rest;
        Some((start, run))
    })
}
