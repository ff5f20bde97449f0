//! The checkpoint at the beginning of each file of the journal: all changes that give the tables of its moment.
//!
//! Opening the log therefore reads one file of the journal, whatever the log retains.

use std::path::Path;

use crate::PartitionId;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::Change;
use crate::embedded::directory::io_error;
use crate::embedded::disk;
use crate::embedded::journal::{Kind, Record};
use crate::embedded::segment::{Family, HEAD_LEN, Segment};
use crate::embedded::tables::Tables;
use crate::error::LogError;

/// Creates a file of the journal with a checkpoint, durably; returns it with its end.
///
/// It has its name only when it is whole, so an interrupted creation leaves no journal.
///
/// # Errors
/// [`LogError::Io`] if the file system fails, [`LogError::InvalidArgument`] if the tables are too large.
pub fn create_journal(
    store: &Path,
    number: u32,
    tables: &Tables,
    catalog: &Catalog,
) -> Result<(Segment, u64), LogError> {
    let record = record(tables, catalog);
    if let Some(reason) = record.failure {
        return Err(LogError::invalid(reason));
    }
    if record.journal_len() > u64::from(u32::MAX) / 2 {
        return Err(LogError::invalid(format!(
            "the checkpoint has {} bytes; lower max_idempotency_keys",
            record.journal_len()
        )));
    }
    let mut segment = Segment::create(store, Family::Journal, number, ".new")?;
    let (head, changes) = record.blocks(Kind::Checkpoint, tables.sequence, tables.last_at);
    let written = disk::write(&segment.file, &segment.path, HEAD_LEN, [&head[..], &changes]);
    let end = written.map_err(|source| segment.write_error(source))?;
    segment.sync()?;
    let path = store.join(Family::Journal.file_name(number));
    disk::rename(&segment.path, &path)
        .and_then(|()| disk::sync_directory(store))
        .map_err(|source| io_error("name a file of the journal", &path, source))?;
    segment.path = path;
    Ok((segment, end))
}

fn record(tables: &Tables, catalog: &Catalog) -> Record {
    let mut record = Record::default();
    let results = (&PartitionId::RESULTS, &tables.results);
    for (log, ends) in tables.partitions.iter().map(|(id, it)| (id, &it.ends)).chain([results]) {
        record.change(&Change::Ends { log: *log, ends: *ends });
    }
    for (segment, logs) in tables.input_parts.iter().chain(&tables.results_parts) {
        logs.iter().for_each(|(log, part)| record.change(&Change::Part { segment: *segment, log: *log, part: *part }));
    }
    for ((family, segment), end) in &tables.file_ends {
        record.change(&Change::File { family: *family, segment: *segment, end: *end });
    }
    catalog.entries().for_each(|(log, entry)| record.change(&Change::Indexed { log, entry }));
    for (id, partition) in tables.partitions.iter().filter(|(_, it)| it.head.is_some()) {
        record.change(&Change::Head { partition: *id, head: partition.head.clone() });
    }
    for (id, partition) in &tables.partitions {
        let chunks = partition.chunks.iter();
        chunks.for_each(|(chunk, at)| record.change(&Change::Chunk { partition: *id, chunk: *chunk, at: Some(*at) }));
    }
    let named = tables.streams.iter().map(|(name, number)| Change::Stream { name: name.clone(), number: *number });
    named.for_each(|change| record.change(&change));
    let sinks = tables.sinks.iter();
    let sinks = sinks.map(|(name, it)| Change::Sink { name: name.clone(), position: Some(it.clone()) });
    sinks.for_each(|change| record.change(&change));
    record.change(&Change::Dropped(tables.results_dropped));
    tables.keys.iter().for_each(|key| record.change(&Change::Key(key.clone())));
    record
}
