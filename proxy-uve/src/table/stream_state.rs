//! The state of one stream: everything but the keys.

use std::sync::Arc;

use crate::table::closing::Closing;
use crate::table::columns::Columns;
use crate::table::objects::{Keys, Objects};
use crate::table::output::ResultOutput;
use crate::table::plan::Plan;
use crate::table::progress::Progress;
use crate::table::settings::micros;
use crate::table::{ResultBuffer, ResultRow, ResultSink, TableSettings};

/// The state of one stream, in parts with one responsibility each. This type passes each record and window to them; the
/// parts implement the rules.
///
/// [`Keys`] maps slots to objects. Methods take it, so that several streams can share one key map.
#[derive(Debug)]
pub(super) struct StreamState<S> {
    pub(super) plan: Arc<Plan>,
    pub(super) settings: TableSettings,
    /// Position, event time, outcomes.
    pub(super) progress: Progress,
    /// Liveness.
    pub(super) objects: Objects,
    /// Windows and detectors.
    pub(super) columns: Columns,
    /// The window that is closing, unless it closed at once.
    pub(super) closing: Option<Closing>,
    pub(super) output: ResultOutput<S>,
}

impl<S> StreamState<S> {
    pub(super) fn new(plan: Arc<Plan>, settings: TableSettings, sink: S) -> Self {
        Self {
            progress: Progress::new(&settings),
            objects: Objects::new(&plan),
            columns: Columns::new(&plan, micros(settings.allowed_lateness)),
            closing: None,
            output: ResultOutput::new(&plan, sink),
            plan,
            settings,
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
        self.progress.mark_gap(until);
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(super) fn shrink(&mut self, slots: usize) {
        self.objects.shrink(slots);
        self.columns.shrink(slots);
    }
}

impl StreamState<ResultBuffer> {
    pub(super) fn drain(&self) -> impl Iterator<Item = ResultRow<'_>> {
        let types = &self.plan.types;
        self.output.sink.rows().map(|(index, row)| ResultRow { uve_name: &types[index].uve_name, ..row })
    }

    /// How many results wait, and their bytes.
    pub(super) fn pending_results(&self) -> (usize, usize) {
        (self.output.sink.len(), self.output.sink.bytes())
    }
}
