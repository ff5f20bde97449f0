//! Opens the files: the newest checkpoint, the writes after it, and the end of a write that a crash tore.
//!
//! A write that was acknowledged is on the disk with all its bytes, and the next write begins only then. So only the
//! last write of the journal can be torn, in any of the files. It is cut off as a whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::LogConfig;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::Change;
use crate::embedded::checkpoint::create_journal;
use crate::embedded::directory::{Acknowledged, drop_results_path, io_error};
use crate::embedded::disk;
use crate::embedded::replay::{Last, Replayed, replay};
use crate::embedded::segment::{Family, HEAD_LEN, Segment};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::retention::hard_limit;

/// The open log.
pub(super) struct Opened {
    pub tables: Tables,
    pub catalog: Catalog,
    /// The open file of each family.
    pub open: [Open; 3],
    /// The files that were found missing, and of which nothing is needed.
    pub missing: Vec<(Family, u32)>,
}

/// The file of a family to which writes append.
pub(super) struct Open {
    pub segment: Arc<Segment>,
    /// The end of its head, or of its checkpoint.
    pub begin: u64,
    /// The committed end.
    pub end: u64,
}

/// Opens the files in `store`, and creates them if there are none.
///
/// Nothing is changed before it is clear that no acknowledged write is lost. Files are deleted last, when everything
/// that makes them unnecessary is on the disk.
///
/// The index of the readers has frames at `distance` bytes.
pub(super) fn recover(
    store: &Path,
    acknowledged: &Acknowledged,
    config: &LogConfig,
    distance: u32,
) -> Result<Opened, LogError> {
    let Listing { segments: found, unfinished } = list(store)?;
    let newest = found.iter().filter(|(family, _)| *family == Family::Journal).map(|(_, number)| *number).max();
    let Some(newest) = newest else { return create(store, &found, acknowledged, distance) };
    let (mut tables, mut catalog) = (Tables::default(), Catalog::new(distance));
    let journal = Arc::new(Segment::open(store, Family::Journal, newest)?);
    catalog.add_file(Family::Journal, Arc::clone(&journal));
    let Replayed { begin, end, last } = replay(store, &journal, &mut tables, &mut catalog, acknowledged.sequence)?;
    acknowledged.check(&journal.path, end, tables.sequence)?;
    let missing = retire_missing(store, &found, &mut tables, &mut catalog, config)?;
    let is_open = |file: &(Family, u32)| *file == (Family::Journal, newest);
    let (used, unused): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|file| !is_open(file))
        .partition(|(family, number)| is_used(&tables, *family, *number));
    for (family, number) in used {
        catalog.add_file(family, Arc::new(Segment::open_closed(store, family, number)?));
    }
    let open = open_files(store, &tables, &catalog, Open { segment: journal, begin, end })?;
    settle(store, &open, last.as_ref(), &catalog)?;
    let unused = unused.into_iter().map(|(family, number)| store.join(family.file_name(number)));
    unused.chain(unfinished).for_each(|path| disk::remove_unused(&path));
    catalog.publish(&tables, &[]);
    for (id, partition) in &mut tables.partitions {
        let (ends, cursor) = (partition.ends, partition.cursor());
        partition.cursor_bytes = cursor.map_or(ends.bytes_first, |cursor| catalog.bytes_before(*id, &ends, cursor));
    }
    Ok(Opened { tables, catalog, open, missing })
}

/// Cuts what follows the last whole write, and puts that write on the disk.
fn settle(store: &Path, open: &[Open; 3], last: Option<&Last>, catalog: &Catalog) -> Result<(), LogError> {
    for Open { segment, end, .. } in open {
        if segment.len()? > *end {
            segment.cut(*end)?;
        }
    }
    // The process before may have been killed before its sync, or the sync failed: then what is read here is in memory
    // only, and a further sync does not write it. So it is written again.
    if let Some(last) = last {
        rewrite(&open[Family::Journal as usize].segment, last.at, last.len as usize)?;
        for (family, place) in last.places() {
            let file = file(catalog, store, family, place.segment)?;
            rewrite(&file, u64::from(place.at), place.len as usize)?;
        }
    }
    for Open { segment, .. } in open {
        segment.sync()?;
    }
    // The system may have read an older state of the disk meanwhile.
    if let Some(last) = last
        && !last.is_whole(store)?
    {
        let journal = &open[Family::Journal as usize].segment;
        return Err(journal.damaged(last.at, "what this write names changed while the log was opened".to_owned()));
    }
    disk::sync_directory(store).map_err(|source| io_error("sync the directory of the log", store, source))
}

/// Writes bytes of a file again, in place.
fn rewrite(file: &Segment, at: u64, len: usize) -> Result<(), LogError> {
    let Some(bytes) = file.read(at, len)? else { return Err(file.damaged(at, "it ends here".to_owned())) };
    disk::write(&file.file, &file.path, at, [&bytes[..]]).map(drop).map_err(|source| file.write_error(source))
}

/// The files of a store.
struct Listing {
    segments: BTreeSet<(Family, u32)>,
    /// Files whose creation was interrupted.
    unfinished: Vec<PathBuf>,
}

/// The segments in a store.
///
/// # Errors
/// [`LogError::Io`] if the directory cannot be read.
pub fn files(store: &Path) -> Result<BTreeSet<(Family, u32)>, LogError> {
    list(store).map(|listing| listing.segments)
}

fn list(store: &Path) -> Result<Listing, LogError> {
    let io = |source| io_error("list the files of the log", store, source);
    let mut listing = Listing { segments: BTreeSet::new(), unfinished: Vec::new() };
    for entry in std::fs::read_dir(store).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        match name.strip_suffix(".new").and_then(Family::parse) {
            Some(_) => listing.unfinished.push(path),
            None => listing.segments.extend(Family::parse(name)),
        }
    }
    Ok(listing)
}

/// Creates the first file of each family.
fn create(
    store: &Path,
    found: &BTreeSet<(Family, u32)>,
    acknowledged: &Acknowledged,
    distance: u32,
) -> Result<Opened, LogError> {
    acknowledged.check(store, 0, 0)?;
    // The journal is created last, so the others alone are what an interrupted creation left.
    if found.iter().any(|file| file.1 != 1) {
        let (path, location) = (store.to_owned(), "the newest file journal-N".to_owned());
        return Err(LogError::Damaged { path, location, reason: "it is missing".to_owned() });
    }
    let mut tables = Tables::default();
    let mut catalog = Catalog::new(distance);
    let mut first = |family| {
        let segment = Arc::new(Segment::create(store, family, 1, "")?);
        segment.sync()?;
        tables.apply(Change::File { family, segment: 1, end: HEAD_LEN });
        catalog.add_file(family, Arc::clone(&segment));
        Ok(Open { segment, begin: HEAD_LEN, end: HEAD_LEN })
    };
    let (results, state) = (first(Family::Results)?, first(Family::State)?);
    // The journal has its name only after the others have theirs.
    disk::sync_directory(store).map_err(|source| io_error("sync the directory of the log", store, source))?;
    let (journal, end) = create_journal(store, 1, &tables, &catalog)?;
    let journal = Open { segment: Arc::new(journal), begin: end, end };
    catalog.add_file(Family::Journal, Arc::clone(&journal.segment));
    Ok(Opened { tables, catalog, open: [journal, results, state], missing: Vec::new() })
}

fn file(catalog: &Catalog, store: &Path, family: Family, number: u32) -> Result<Arc<Segment>, LogError> {
    catalog.file(family, number).ok_or_else(|| missing(store, family, number))
}

fn missing(store: &Path, family: Family, number: u32) -> LogError {
    let (path, location) = (store.to_owned(), family.file_name(number));
    LogError::Damaged { path, location, reason: "the file is missing".to_owned() }
}

/// The open file of each family: the newest that the tables know.
fn open_files(store: &Path, tables: &Tables, catalog: &Catalog, journal: Open) -> Result<[Open; 3], LogError> {
    let newest = |family| {
        let known = tables.file_ends.iter().rev().find(|((it, _), _)| *it == family);
        let (number, end) = known.map_or((1, HEAD_LEN), |((_, number), end)| (*number, *end));
        Ok(Open { segment: file(catalog, store, family, number)?, begin: HEAD_LEN, end })
    };
    Ok([journal, newest(Family::Results)?, newest(Family::State)?])
}

/// Forgets missing files of which nothing is needed, and returns them: a retention that was interrupted deleted them.
/// Any other missing file is damage, except of state: the partition reports that.
fn retire_missing(
    store: &Path,
    found: &BTreeSet<(Family, u32)>,
    tables: &mut Tables,
    catalog: &mut Catalog,
    config: &LogConfig,
) -> Result<Vec<(Family, u32)>, LogError> {
    let mut gone = Vec::new();
    for family in [Family::Journal, Family::Results] {
        let parts = tables.parts(family);
        let is_there = |number: &u32| found.contains(&(family, *number));
        let oldest = parts.keys().copied().find(is_there).unwrap_or(u32::MAX);
        for (number, logs) in parts.iter().filter(|(number, _)| !is_there(number)) {
            let needed = match family {
                Family::Journal => !logs.iter().all(|(id, part)| tables.is_applied(*id, part)),
                // Results go in order, also those that a sink has not read.
                _ => *number > oldest,
            };
            if needed {
                return Err(missing(store, family, *number));
            }
            gone.push((family, *number));
        }
    }
    check_lost(store, &gone, tables, config)?;
    let dropped = tables.results_dropped;
    for (family, number) in &gone {
        let file = store.join(family.file_name(*number));
        tracing::warn!(
            file = %file.display(),
            "A file of the log is missing that retention may delete: a kill or a full disk interrupted its deletion, or \
             somebody else deleted it. If it comes back, it is deleted."
        );
        tables.retire(*family, *number);
        catalog.retire(*family, *number);
    }
    if tables.results_dropped > dropped {
        let records = tables.results_dropped - dropped;
        tracing::warn!(
            records,
            "Files of results that a sink had not read are missing; the records of results count as dropped."
        );
    }
    Ok(gone)
}

/// Fails if results are missing that a sink had not read, and that no limit of retention allowed to delete, unless the
/// operator has accepted that.
fn check_lost(store: &Path, gone: &[(Family, u32)], tables: &Tables, config: &LogConfig) -> Result<(), LogError> {
    let size = |number: u32| {
        let known = tables.file_ends.get(&(Family::Results, number)).copied().unwrap_or(0);
        // A failed write may be behind the known end.
        std::fs::metadata(store.join(Family::Results.file_name(number))).map_or(known, |file| file.len().max(known))
    };
    let mut left: u64 = tables.results_parts.keys().map(|number| size(*number)).sum();
    let unread = tables.unread_results().max(tables.results.bounds.first);
    let mut lost = None;
    for (_, number) in gone.iter().filter(|(family, _)| *family == Family::Results) {
        let end = tables.results_parts.get(number).and_then(|logs| logs.values().map(|part| part.end).max());
        if let Some(end) = end.filter(|end| *end > unread && left <= hard_limit(config)) {
            let first = lost.map_or(*number, |(first, _)| first);
            lost = Some((first, end));
        }
        left = left.saturating_sub(size(*number));
    }
    let permission = drop_results_path(store);
    let Some((first, end)) = lost.filter(|_| !permission.exists()) else { return Ok(()) };
    let behind = tables.sinks.iter().filter(|(_, position)| position.next < end).map(|(name, _)| name.as_str());
    Err(LogError::LostResults {
        path: store.join(Family::Results.file_name(first)),
        records: end - unread,
        sinks: behind.collect::<Vec<_>>().join(", "),
        permission,
    })
}

/// Whether a committed write refers to a file.
fn is_used(tables: &Tables, family: Family, number: u32) -> bool {
    match family {
        Family::Journal => tables.input_parts.contains_key(&number),
        Family::Results | Family::State => tables.file_ends.contains_key(&(family, number)),
    }
}
