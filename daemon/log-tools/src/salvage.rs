//! A new log of what can be read of a damaged one.
//!
//! The cursors, the states and the sinks are those of the last write that can be read without a gap; what was written
//! later is left out, except its input, which the workers apply again. All offsets stay. Where records are lost in the
//! middle, records without content take their offsets: a worker counts those of the input as malformed, and those of the
//! results have no result. A state that is damaged is left out, and its partition starts over from the input that there
//! is.

use std::collections::BTreeSet;
use std::path::Path;

use daemon_log::files::{Family, Frame, Partition, Tables, acknowledged_path, copy_beside, io_error, sync_parent};
use daemon_log::{LogError, PartitionId};

use crate::backup::check_not_inside;
use crate::check::{Content, read};
use crate::rebuild::Rebuild;
use crate::report::Report;
use crate::restore::{in_empty, write_beside};
use crate::states::{DecodeState, read_chunk};
use crate::walk::{Block, Walk};

/// What a salvaged log does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Input records that no commit covered: their samples count nowhere.
    pub input: u64,
    /// Input records that were applied: they are needed only to start a state over.
    pub applied_input: u64,
    /// Records of results, each a block of up to 64 KiB.
    pub results: u64,
    /// States of partitions.
    pub states: u64,
    /// States that the owner of the log makes again of the rest.
    pub rebuilt: u64,
    /// Writes from the first one that cannot be read on. Their input is kept if it can be read; the workers apply it again.
    pub writes: u64,
}

impl Loss {
    /// Whether nothing is lost.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What the owner of a log adds to a salvaged one.
#[derive(Clone, Debug, Default)]
pub struct Owned<'o> {
    /// A record of results without any, for those that are lost.
    pub empty_result: Vec<u8>,
    /// The streams whose states the owner makes again of the rest.
    pub rebuilt: &'o [&'o str],
    /// Files beside the store, with their content, in place of those of the log.
    pub beside: Vec<(&'static str, String)>,
}

/// Writes what can be read of the log in `path` to the directory `out`, which must be empty or missing; returns what the
/// check of `path` found, and the loss. Nothing stays of an attempt that fails.
///
/// # Errors
/// Those of [`check`](crate::check()), and [`LogError::Io`] if `out` cannot be written. [`LogError::Damaged`] if no journal
/// has a checkpoint that can be read: what the files belong to is then not known.
pub fn salvage(
    path: &Path,
    out: &Path,
    owned: &Owned<'_>,
    decode: &mut DecodeState<'_>,
) -> Result<(Report, Loss), LogError> {
    let (mut content, damaged) = read(path, decode)?;
    content.empty_result.clone_from(&owned.empty_result);
    if !content.history.is_known {
        return Err(LogError::Damaged {
            path: content.store,
            location: "all files journal-N".to_owned(),
            reason: "none has a checkpoint that can be read, so nothing can be salvaged".to_owned(),
        });
    }
    check_not_inside(path, out)?;
    let loss = in_empty(out, || write(path, out, owned, &content, &damaged))?;
    Ok((content.report, loss))
}

fn write(
    path: &Path,
    out: &Path,
    owned: &Owned<'_>,
    content: &Content,
    damaged: &BTreeSet<PartitionId>,
) -> Result<Loss, LogError> {
    copy_beside(path, out)?;
    write_beside(out, &owned.beside)?;
    remove_acknowledged(out)?;
    let tables = &content.history.tables;
    let mut loss = Loss { writes: content.lost_writes(), ..Loss::default() };
    let mut rebuild = Rebuild::begin(out, tables)?;
    content.begin_logs(&mut rebuild, &mut loss);
    content.copy_frames(Family::Journal, &mut rebuild, &mut loss)?;
    content.copy_frames(Family::Results, &mut rebuild, &mut loss)?;
    for (id, partition) in &tables.partitions {
        content.fill_up(&mut rebuild, *id, partition.ends.bounds.next, &mut loss)?;
    }
    content.fill_up(&mut rebuild, PartitionId::RESULTS, tables.results.bounds.next, &mut loss)?;
    for (id, partition) in &tables.partitions {
        if !content.copy_state(&mut rebuild, *id, partition, damaged)? {
            let is_rebuilt = owned.rebuilt.contains(&content.stream(*id));
            *(if is_rebuilt { &mut loss.rebuilt } else { &mut loss.states }) += 1;
        }
    }
    let end = rebuild.end(PartitionId::RESULTS);
    rebuild.tables_mut().sinks.values_mut().for_each(|sink| sink.next = sink.next.min(end));
    rebuild.finish()?;
    sync_parent(out)?;
    Ok(loss)
}

/// Removes the copy of the number of the last acknowledged write; the new log gets its own.
pub(crate) fn remove_acknowledged(out: &Path) -> Result<(), LogError> {
    let copied = acknowledged_path(out);
    match std::fs::remove_file(&copied) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| io_error("replace", &copied, source)),
    }
}

impl Content {
    /// Lets each log begin at its first record that can be read.
    fn begin_logs(&self, rebuild: &mut Rebuild, loss: &mut Loss) {
        let tables = &self.history.tables;
        let results = (PartitionId::RESULTS, tables.results);
        for (log, ends) in tables.partitions.iter().map(|(id, it)| (*id, it.ends)).chain([results]) {
            let bounds = ends.bounds;
            let gaps = self.readable.get(&log).map(|it| it.missing(bounds.first..bounds.next));
            let lost = gaps.into_iter().flatten().next().filter(|gap| gap.start == bounds.first);
            // Without any record the offsets up to the end are filled, so that the cursor stays in range.
            let first = lost.map_or(bounds.first, |gap| if gap.end == bounds.next { gap.start } else { gap.end });
            self.count(log, bounds.first, first, loss);
            rebuild.begin_log(log, first, ends.bytes_first);
        }
    }

    /// Copies all frames of a family that can be read, and fills the gaps between them.
    pub(crate) fn copy_frames(&self, family: Family, rebuild: &mut Rebuild, loss: &mut Loss) -> Result<(), LogError> {
        for (number, source) in self.snapshot.of(family) {
            let end = match family {
                Family::Results => self.history.tables.file_ends.get(&(family, number)).copied().unwrap_or(0),
                _ => source.len,
            };
            for block in Walk::new(source, end) {
                let Ok(Block::Frame(frame)) = block else { continue };
                if self.is_wanted(&frame, rebuild) {
                    let header = frame.header();
                    self.fill_up(rebuild, header.partition, header.base, loss)?;
                    rebuild.frame(header, frame.bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Whether a frame belongs into the new log: its partition is known, it follows what is there, and it was written
    /// before the last write that can be read, or is input of a write behind damage.
    fn is_wanted(&self, frame: &Frame, rebuild: &Rebuild) -> bool {
        let (header, tables) = (frame.header(), &self.history.tables);
        let log = header.partition;
        let is_known = log == PartitionId::RESULTS || tables.partitions.contains_key(&log);
        let is_behind = log != PartitionId::RESULTS && self.lost_writes() > 0;
        is_known && header.base >= rebuild.end(log) && (header.end() <= tables.ends(log).bounds.next || is_behind)
    }

    /// Fills a log with records without content up to an offset, and counts them as lost.
    fn fill_up(&self, rebuild: &mut Rebuild, log: PartitionId, until: u64, loss: &mut Loss) -> Result<(), LogError> {
        let end = rebuild.end(log);
        if end >= until {
            return Ok(());
        }
        self.count(log, end, until, loss);
        let Tables { input_parts, results_parts, .. } = rebuild.tables_mut();
        let last = input_parts.values().chain(results_parts.values()).filter_map(|logs| logs.get(&log)).next_back();
        let written_at = last.map_or(0, |part| part.newest_at);
        let payload: &[u8] = if log == PartitionId::RESULTS { &self.empty_result } else { b"" };
        rebuild.fill(log, until, written_at, payload)
    }

    /// Copies the state of a partition; false if it is damaged.
    fn copy_state(
        &self,
        rebuild: &mut Rebuild,
        id: PartitionId,
        partition: &Partition,
        damaged: &BTreeSet<PartitionId>,
    ) -> Result<bool, LogError> {
        let Some(mut head) = partition.head.clone() else { return Ok(true) };
        let chunks = partition.chunks.iter().map(|(chunk, at)| Some((*chunk, read_chunk(&self.snapshot, *at).ok()?)));
        let chunks: Option<Vec<_>> = chunks.collect();
        let Some(chunks) = chunks.filter(|_| !damaged.contains(&id)) else { return Ok(false) };
        let bounds = rebuild.tables_mut().ends(id).bounds;
        head.cursor = head.cursor.clamp(bounds.first, bounds.next);
        rebuild.state(id, head, chunks).map(|()| true)
    }

    /// Counts the records of a range as lost.
    fn count(&self, log: PartitionId, from: u64, until: u64, loss: &mut Loss) {
        let lost = until.saturating_sub(from);
        if log == PartitionId::RESULTS {
            loss.results += lost;
            return;
        }
        let applied = self.history.tables.partitions.get(&log).map_or(0, Partition::applied);
        let waiting = until.saturating_sub(from.max(applied)).min(lost);
        loss.input += waiting;
        loss.applied_input += lost - waiting;
    }
}
