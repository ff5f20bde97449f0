//! A new log that is written file by file, with the offsets of another one.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use daemon_log::files::{
    Catalog, Change, ChunkAt, Directory, Ends, Entry, Family, FrameAt, FrameHeader, HEAD_LEN, HEADER_LEN, Head, Place,
    Segment, Tables, create_journal, create_version, io_error, store_path, sync_directory,
};
use daemon_log::{Bounds, LogError, PartitionId, RecordBuffer};

use crate::private::make_private;

/// The sizes at which a file of each family is closed.
const SEGMENT_BYTES: [u64; 3] = [64 * 1024 * 1024, 64 * 1024 * 1024, 16 * 1024 * 1024];

/// The distance in a file between two frames of a log that the index of the readers names.
const DISTANCE: u32 = 64 * 1024;

/// The most records without content in one frame.
const EMPTY_PER_FRAME: u64 = 100_000;

/// A log in the making. It is one when [`finish`](Self::finish) returns.
pub(crate) struct Rebuild {
    path: PathBuf,
    store: PathBuf,
    tables: Tables,
    catalog: Catalog,
    /// The open file of each family and its end.
    open: [(Segment, u64); 3],
}

impl Rebuild {
    /// Begins a log in the directory `path`, which exists and is empty, with the sequence, times, streams, sinks and
    /// idempotency keys of `tables`.
    pub(crate) fn begin(path: &Path, tables: &Tables) -> Result<Self, LogError> {
        let store = store_path(path);
        std::fs::create_dir(&store)
            .map_err(|source| io_error("create the directory of the log's files", &store, source))?;
        let create = |family| Ok::<_, LogError>((Segment::create(&store, family, 1, "")?, HEAD_LEN));
        let open = [create(Family::Journal)?, create(Family::Results)?, create(Family::State)?];
        let mut new = tables.clone();
        (new.partitions, new.results) = Default::default();
        (new.input_parts, new.results_parts) = Default::default();
        (new.file_ends, new.live) = Default::default();
        for family in [Family::Results, Family::State] {
            new.apply(Change::File { family, segment: 1, end: HEAD_LEN });
        }
        Ok(Self { path: path.to_owned(), store, tables: new, catalog: Catalog::new(DISTANCE), open })
    }

    /// The tables so far.
    pub(crate) fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Sets where a log begins, before its first frame.
    pub(crate) fn begin_log(&mut self, log: PartitionId, first: u64, bytes_first: u64) {
        let ends =
            Ends { bounds: Bounds { first, next: first }, bytes_first, bytes_next: bytes_first, oldest_at: None };
        self.tables.apply(Change::Ends { log, ends });
    }

    /// The end of a log.
    pub(crate) fn end(&self, log: PartitionId) -> u64 {
        self.tables.ends(log).bounds.next
    }

    /// Appends a frame as it was stored; its offsets follow the end of its log.
    pub(crate) fn frame(&mut self, header: FrameHeader, bytes: &[u8]) -> Result<(), LogError> {
        let log = header.partition;
        let family = if log == PartitionId::RESULTS { Family::Results } else { Family::Journal };
        let place = self.add(family, bytes)?;
        let bytes_before = self.tables.ends(log).bytes_next;
        let entry = Entry { base: header.base, bytes_before, place };
        self.catalog.index(log, entry);
        let FrameHeader { count, written_at, .. } = header;
        self.tables.apply(Change::Frame(FrameAt { log, entry, count, written_at }));
        Ok(())
    }

    /// Appends records with this payload up to the offset `until`, in the place of lost ones.
    pub(crate) fn fill(
        &mut self,
        log: PartitionId,
        until: u64,
        written_at: u64,
        payload: &[u8],
    ) -> Result<(), LogError> {
        while self.end(log) < until {
            let base = self.end(log);
            let mut empty = RecordBuffer::default();
            for _ in 0..(until - base).min(EMPTY_PER_FRAME) {
                empty.push(b"", payload)?;
            }
            empty.finish();
            for frame in empty.into_frames() {
                let before = self.tables.ends(log).bytes_next;
                let bytes = frame.seal(log, self.end(log), written_at, before);
                let header = FrameHeader::parse(&bytes).map_err(LogError::invalid)?;
                debug_assert_eq!(bytes.len(), HEADER_LEN + header.body_len as usize);
                self.frame(header, &bytes)?;
            }
        }
        Ok(())
    }

    /// Writes the state of a partition.
    pub(crate) fn state(
        &mut self,
        partition: PartitionId,
        head: Head,
        chunks: impl IntoIterator<Item = (u32, Vec<u8>)>,
    ) -> Result<(), LogError> {
        self.tables.apply(Change::Head { partition, head: Some(head) });
        for (chunk, bytes) in chunks {
            let place = self.add(Family::State, &bytes)?;
            let at = Some(ChunkAt { place, crc: crc32fast::hash(&bytes) });
            self.tables.apply(Change::Chunk { partition, chunk, at });
        }
        Ok(())
    }

    /// Syncs all files, writes the journal that makes them a log, and leaves them to the owner of the directory.
    pub(crate) fn finish(self) -> Result<(), LogError> {
        let Self { path, store, tables, catalog, open } = self;
        for (segment, _) in &open {
            sync(segment)?;
        }
        sync_directory(&store).map_err(|source| io_error("sync the directory of the log", &store, source))?;
        let journal = open[Family::Journal as usize].0.number + 1;
        create_journal(&store, journal, &tables, &catalog)?;
        // Last: without its file VERSION the directory is not a log.
        create_version(&path)?;
        Directory::open(&path)?.acknowledge(tables.sequence);
        make_private(&path)
    }

    fn add(&mut self, family: Family, bytes: &[u8]) -> Result<Place, LogError> {
        let (segment, end) = &mut self.open[family as usize];
        if *end > HEAD_LEN && *end + bytes.len() as u64 > SEGMENT_BYTES[family as usize] {
            sync(segment)?;
            (*segment, *end) = (Segment::create(&self.store, family, segment.number + 1, "")?, HEAD_LEN);
            if family != Family::Journal {
                self.tables.apply(Change::File { family, segment: segment.number, end: HEAD_LEN });
            }
        }
        let written = segment.file.write_all_at(bytes, *end);
        written.map_err(|source| io_error("write a file of the log", &segment.path, source))?;
        // A frame and a chunk are far below the 4 GiB of a place.
        let place = Place { segment: segment.number, at: *end as u32, len: bytes.len() as u32 };
        *end += bytes.len() as u64;
        Ok(place)
    }
}

fn sync(segment: &Segment) -> Result<(), LogError> {
    segment.file.sync_all().map_err(|source| io_error("sync a file of the log", &segment.path, source))
}
