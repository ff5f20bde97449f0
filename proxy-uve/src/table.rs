//! The table of one partition: every object of one stream whose samples meet there.
//!
//! A table is a state machine without clock, threads or I/O. Its owner hands it the records of the partition's log in
//! order, and takes the results out:
//!
//! ```text
//!            ingest(record)                    for each record, in log order
//!   log ───────────────────────► Table ─────► drain()          results of the windows that closed
//!            advance(stream time)       └───► snapshot()       what changed since the last one
//! ```
//!
//! *Event time.* A sample belongs to the window of its own timestamp. The *watermark* is the newest timestamp seen
//! minus the allowed lateness; a window closes when the watermark reaches its end, and a sample whose windows are all
//! closed is late. So the same records give the same results at any speed, and after any restart. A partition that
//! has gone quiet cannot move its own watermark: then the owner says with [`Table::advance`] how far time has come.
//!
//! *One sample's way:* position checked against the last one applied; payload decoded; key split; time checked
//! against arrival and watermark; due windows closed; key turned into a slot; value added to the slot's cell in each
//! lane's open window. At the close of a window: one pass over the slots moves every life, feeds detectors, and
//! encodes results.

mod bits;
mod close;
mod fate;
mod group;
mod ingest;
mod lane;
mod plan;
mod results;
mod settings;
mod slots;
mod snapshot;

use std::sync::Arc;

use derived_stats::column::DetectorColumn;
use derived_stats::{Number, State};

use self::bits::Bits;
pub use self::fate::{Fate, Fates};
use self::group::Group;
use self::lane::Lane;
pub use self::plan::Plan;
pub use self::results::ResultRow;
use self::results::Results;
pub use self::settings::TableSettings;
use self::slots::Slots;
pub use self::snapshot::{CHUNK_SLOTS, Snapshot, SnapshotError};

/// A record of the partition's log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// Its place in the log; a position at or below one already applied is a duplicate.
    pub position: u64,
    /// When the log took it, in microseconds since the epoch. Stored with the record, so that a replay judges as the
    /// first reading did.
    pub arrived: u64,
    /// `table:name`.
    pub key: &'r [u8],
    /// The sample: Contrail's XML element or the JSON form.
    pub payload: &'r [u8],
}

/// A record whose payload is decoded already.
#[derive(Clone, Copy, Debug)]
pub struct DecodedRecord<'r> {
    /// See [`Record::position`].
    pub position: u64,
    /// See [`Record::arrived`].
    pub arrived: u64,
    /// See [`Record::key`].
    pub key: &'r [u8],
    /// When it was measured: microseconds since the epoch.
    pub at: u64,
    /// What was measured.
    pub value: Number,
}

/// The objects of one stream in one partition.
#[derive(Debug)]
pub struct Table {
    plan: Arc<Plan>,
    settings: TableSettings,
    /// The `proxy` field of every result.
    proxy: String,
    slots: Slots,
    groups: Vec<Group>,
    lanes: Vec<Lane>,
    detectors: Vec<DetectorColumn>,
    /// States of inline attributes, by attribute and slot.
    inline: Vec<Vec<Option<State>>>,
    progress: Progress,
    results: Results,
    /// Chunks that changed since the last snapshot.
    dirty: Bits,
    /// Closes every window by itself, to hold the shortcut to.
    #[cfg(test)]
    never_skips: bool,
}

/// Where the table stands in the log and in time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Progress {
    /// The newest position applied.
    position: Option<u64>,
    /// The newest timestamp accepted.
    newest: Option<u64>,
    /// Every window that ends at or before this is closed.
    watermark: u64,
    /// Records were read without a gap from this time on; windows that start earlier are partial.
    covered_from: u64,
    fates: Fates,
}

impl Table {
    /// An empty table.
    pub fn new(plan: Arc<Plan>, settings: TableSettings) -> Self {
        let lanes = plan.lanes.iter().filter_map(Lane::new).collect();
        let detectors = plan.detectors.iter().filter_map(|detector| DetectorColumn::new(&detector.spec)).collect();
        Self {
            proxy: plan.stream.to_string(),
            groups: plan.groups.iter().map(|_| Group::default()).collect(),
            inline: plan.inline.iter().map(|_| Vec::new()).collect(),
            lanes,
            detectors,
            plan,
            settings,
            slots: Slots::default(),
            progress: Progress::default(),
            results: Results::default(),
            dirty: Bits::default(),
            #[cfg(test)]
            never_skips: false,
        }
    }

    /// Applies a record and closes the windows that it makes due. Amortised constant time; a record that closes a
    /// window costs a pass over the objects.
    ///
    /// Records come in the order of the log. The fate is counted.
    pub fn ingest(&mut self, record: &Record<'_>) -> Fate {
        let fate = self.judge_record(record);
        self.progress.fates.add(fate);
        fate
    }

    /// Applies records whose payloads are decoded, in order. What [`ingest`](Self::ingest) does without the decoding.
    pub fn ingest_batch(&mut self, records: &[DecodedRecord<'_>]) {
        for record in records {
            let fate = if self.is_new(record.position) { self.judge(record) } else { Fate::Duplicate };
            self.progress.fates.add(fate);
        }
    }

    /// Moves the watermark forward to `stream_time` (microseconds) and closes the windows that end at or before it.
    ///
    /// The samples themselves do this while they flow. The owner calls it for a partition that it knows to be idle:
    /// it has read the log to its end, and so much time has passed since. A time in the past changes nothing.
    pub fn advance(&mut self, stream_time: u64) {
        if stream_time <= self.progress.watermark {
            return;
        }
        let before = std::mem::replace(&mut self.progress.watermark, stream_time);
        // Every window that ended by then is closed, so only one that ends in between can be due.
        if self.plan.groups.iter().any(|group| before / group.period != stream_time / group.period) {
            self.close_due();
        }
    }

    /// Says that records up to time `until` (microseconds) may be missing: the log was cut off, or a source lost
    /// some. Results of windows that start earlier carry `"partial": true`.
    pub fn mark_gap(&mut self, until: u64) {
        self.progress.covered_from = self.progress.covered_from.max(until);
    }

    /// The results since the last call of [`clear_results`](Self::clear_results), in a fixed order.
    pub fn drain(&self) -> impl Iterator<Item = ResultRow<'_>> {
        let types = &self.plan.types;
        self.results.rows().map(|(index, row)| ResultRow { uve_name: &types[index].uve_name, ..row })
    }

    /// How many results wait to be drained, and their bytes.
    pub fn pending_results(&self) -> (usize, usize) {
        (self.results.len(), self.results.bytes())
    }

    /// Forgets the results that [`drain`](Self::drain) gave.
    pub fn clear_results(&mut self) {
        self.results.clear();
    }

    /// What became of the records so far. The sum of all fates is the number of records.
    pub fn fates(&self) -> &Fates {
        &self.progress.fates
    }

    /// How many objects have a slot.
    pub fn objects(&self) -> usize {
        self.slots.objects()
    }

    /// The newest position applied; `None` before the first record.
    pub fn position(&self) -> Option<u64> {
        self.progress.position
    }

    /// Every window that ends at or before this time is closed. Microseconds since the epoch.
    pub fn watermark(&self) -> u64 {
        self.progress.watermark
    }

    /// The newest timestamp accepted, in microseconds; `None` before the first sample.
    pub fn newest_timestamp(&self) -> Option<u64> {
        self.progress.newest
    }

    /// What the table computes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
