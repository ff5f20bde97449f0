//! A log with the results of another one, and its states in other partitions.

use std::path::Path;

use daemon_log::files::{Family, Head, Partition, copy_beside, sync_parent};
use daemon_log::{LogError, PartitionId};

use crate::backup::check_not_inside;
use crate::check::{Content, read};
use crate::rebuild::Rebuild;
use crate::report::Report;
use crate::restore::{in_empty, write_beside};
use crate::salvage::{Loss, remove_acknowledged};
use crate::states::{StateToCheck, read_chunk};

/// The state of a partition of a new log.
#[derive(Clone, Debug)]
pub struct NewState {
    /// The partition.
    pub partition: PartitionId,
    /// The worker's own data.
    pub meta: Vec<u8>,
    /// All chunks.
    pub chunks: Vec<(u32, Vec<u8>)>,
}

/// Splits a state into those of new partitions; returns why that cannot be.
pub type SplitState<'a> = dyn FnMut(&StateToCheck<'_>) -> Result<Vec<NewState>, String> + 'a;

/// Writes a log to the directory `out`, which must be empty or missing, with the results, sinks and idempotency keys of
/// the log in `path`, and with the states that `split` makes of its states. It has no input: each new partition begins at
/// the cursor of the old one. `beside` are files for the owner of the log, with their content. No process may write the
/// log in `path` meanwhile. If that log is damaged nothing is written, and the report has the damage.
///
/// # Errors
/// [`LogError::InvalidArgument`] if input is not applied, or with the reason of `split`. Those of
/// [`check`](crate::check()), and [`LogError::Io`] if `out` cannot be written. Nothing stays of an attempt that fails.
pub fn regrow(
    path: &Path,
    out: &Path,
    beside: &[(&str, String)],
    split: &mut SplitState<'_>,
) -> Result<Report, LogError> {
    let (content, _) = read(path, &mut |_| Ok(()))?;
    if !content.report.is_sound() {
        return Ok(content.report);
    }
    content.check_applied()?;
    check_not_inside(path, out)?;
    in_empty(out, || write(path, out, beside, &content, split))?;
    Ok(content.report)
}

fn write(
    path: &Path,
    out: &Path,
    beside: &[(&str, String)],
    content: &Content,
    split: &mut SplitState<'_>,
) -> Result<(), LogError> {
    copy_beside(path, out)?;
    remove_acknowledged(out)?;
    write_beside(out, beside)?;
    let tables = &content.history.tables;
    let mut rebuild = Rebuild::begin(out, tables)?;
    rebuild.begin_log(PartitionId::RESULTS, tables.results.bounds.first, tables.results.bytes_first);
    content.copy_frames(Family::Results, &mut rebuild, &mut Loss::default())?;
    for (id, partition) in &tables.partitions {
        let Some(head) = &partition.head else { continue };
        let chunks = content.read_state(*id, partition)?;
        for NewState { partition: new, meta, chunks } in content.split(*id, head, &chunks, split)? {
            rebuild.begin_log(new, head.cursor, 0);
            let head = Head { cursor: head.cursor, sequence: head.sequence, meta };
            rebuild.state(new, head, chunks)?;
        }
    }
    rebuild.finish()?;
    sync_parent(out)
}

impl Content {
    pub(crate) fn read_state(&self, id: PartitionId, partition: &Partition) -> Result<Vec<(u32, Vec<u8>)>, LogError> {
        let read = |(chunk, at): (&u32, _)| match read_chunk(&self.snapshot, at) {
            Ok(bytes) => Ok((*chunk, bytes)),
            Err(reason) => Err(LogError::CorruptState { partition: id, chunk: Some(*chunk), reason }),
        };
        partition.chunks.iter().map(|(chunk, at)| read((chunk, *at))).collect()
    }

    fn split(
        &self,
        partition: PartitionId,
        head: &Head,
        chunks: &[(u32, Vec<u8>)],
        split: &mut SplitState<'_>,
    ) -> Result<Vec<NewState>, LogError> {
        let stream = self.stream(partition);
        let state = StateToCheck { partition, stream, cursor: head.cursor, meta: &head.meta, chunks };
        split(&state).map_err(|reason| LogError::invalid(format!("partition {partition} ({stream}): {reason}")))
    }
}
