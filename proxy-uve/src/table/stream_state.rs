//! What a table holds of one stream: everything but the keys.

use std::sync::Arc;

use derived_stats::column::{DownstreamColumn, InlineColumn};

use crate::position::Position;
use crate::table::bits::Bits;
use crate::table::close::{AttributeReports, Closing};
use crate::table::group::Group;
use crate::table::keys::Keys;
use crate::table::lane::Lane;
use crate::table::plan::Plan;
use crate::table::settings::micros;
use crate::table::{Fates, ResultBuffer, ResultRow, ResultSink, TableSettings};

/// Windows, liveness, detectors and progress of one stream's objects, by slot.
///
/// Which object a slot belongs to is the [`Keys`]' part. Methods take them, so that several streams can share one key
/// map.
#[derive(Debug)]
pub(super) struct StreamState<S> {
    pub(super) plan: Arc<Plan>,
    pub(super) settings: TableSettings,
    /// The settings of these names, in microseconds.
    pub(super) allowed_lateness: u64,
    pub(super) allowed_skew: u64,
    /// The `proxy` field of every result.
    pub(super) proxy: String,
    pub(super) groups: Vec<Group>,
    pub(super) lanes: Vec<Lane>,
    pub(super) detectors: Vec<DownstreamColumn>,
    pub(super) inline: Vec<InlineColumn>,
    /// The reports of 64 objects at the end of a window, by attribute: a buffer.
    pub(super) reports: Vec<AttributeReports>,
    pub(super) progress: Progress,
    /// The first end of a window after the watermark; earlier while nothing has closed since the table was made.
    pub(super) next_end: u64,
    /// The latest time from which a lane is covered that was new in a restore; 0 if none was.
    pub(super) lanes_covered_from: u64,
    /// The window that is on its way out, unless it went at once.
    pub(super) closing: Option<Closing>,
    /// Whether every record takes the same path, so that batches can go by column.
    pub(super) takes_columns: bool,
    pub(super) sink: S,
    /// Chunks that changed since the last snapshot.
    pub(super) dirty: Bits,
    /// Closes every window by itself, to hold the shortcut to.
    #[cfg(test)]
    pub(super) never_skips: bool,
}

/// Where a stream stands in the log and in time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// The newest position applied.
    pub(super) position: Option<Position>,
    /// The newest timestamp accepted.
    pub(super) newest: Option<u64>,
    /// Every window that ends at or before this is closed.
    pub(super) watermark: u64,
    /// Records were read without a gap from this time on; windows that start earlier are partial.
    pub(super) covered_from: u64,
    pub(super) fates: Fates,
}

impl<S> StreamState<S> {
    pub(super) fn new(plan: Arc<Plan>, settings: TableSettings, sink: S) -> Self {
        let lanes: Vec<Lane> = plan.lanes.iter().filter_map(Lane::new).collect();
        let detectors = plan.detectors.iter().filter_map(|detector| DownstreamColumn::new(&detector.spec)).collect();
        Self {
            proxy: plan.stream.to_string(),
            groups: plan.groups.iter().map(|_| Group::default()).collect(),
            inline: plan.inline.iter().filter_map(|inline| InlineColumn::new(&inline.spec)).collect(),
            reports: Vec::new(),
            takes_columns: plan.has_one_value_type() && lanes.iter().all(Lane::takes_every_value),
            lanes,
            detectors,
            plan,
            allowed_lateness: micros(settings.allowed_lateness),
            allowed_skew: micros(settings.allowed_skew),
            settings,
            progress: Progress::default(),
            next_end: 0,
            lanes_covered_from: 0,
            closing: None,
            sink,
            dirty: Bits::default(),
            #[cfg(test)]
            never_skips: false,
        }
    }
}

impl<S: ResultSink> StreamState<S> {
    /// Moves the watermark forward and closes every window that this makes due.
    pub(super) fn advance(&mut self, keys: &mut impl Keys, stream_time: u64) {
        if self.move_watermark(keys, stream_time) {
            self.finish_closing(keys);
        }
    }

    /// Marks records up to a time as possibly missing.
    pub(super) fn mark_gap(&mut self, keys: &mut impl Keys, until: u64) {
        // The results of one window are either all partial or none.
        self.finish_closing(keys);
        self.progress.covered_from = self.progress.covered_from.max(until);
    }
}

impl StreamState<ResultBuffer> {
    pub(super) fn drain(&self) -> impl Iterator<Item = ResultRow<'_>> {
        let types = &self.plan.types;
        self.sink.rows().map(|(index, row)| ResultRow { uve_name: &types[index].uve_name, ..row })
    }

    /// How many results wait, and their bytes.
    pub(super) fn pending_results(&self) -> (usize, usize) {
        (self.sink.len(), self.sink.bytes())
    }
}
