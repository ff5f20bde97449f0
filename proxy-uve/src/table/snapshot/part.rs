//! Parts of tables, and their join: the objects of a stream in other partitions.
//!
//! A part has some of the objects of a table, packed into chunks without free slots. The parts of several tables of one
//! plan are joined to the snapshot of one table, which is as if it had taken the samples of all these objects itself.

use crate::table::objects::Keys as _;
use crate::table::snapshot::encode::{ChunkEncoder, Used};
use crate::table::snapshot::sources::SavedColumn;
use crate::table::snapshot::{CHUNK_SLOTS, Meta, SavedGroup, Snapshot, columns};
use crate::table::{Fates, ResultSink, Table};

/// The size of a chunk above which its objects go to two: logs limit the size of what they store.
const LARGE_CHUNK: usize = 4 * 1024 * 1024;

/// Some of the objects of a table, with its event time and its unknown time.
#[derive(Debug)]
pub struct TablePart {
    meta: Meta,
    chunks: Vec<Vec<u8>>,
}

/// The reason why parts of tables cannot be joined.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The tables do not compute the same.
    #[error("parts of tables of different streams or plans cannot be joined; restore all of them with one plan")]
    Plan,
    /// A window is closed in one table and open in another one.
    #[error(
        "the event time of one part is {first}, and that of another one is {other}, so a window may be closed in one \
         of them only; advance all tables to the latest event time before the parts are taken"
    )]
    EventTime {
        /// That of the first part, in microseconds since the epoch.
        first: u64,
        /// That of the other one.
        other: u64,
    },
}

impl<S: ResultSink> Table<S> {
    /// The part of the table with the objects whose keys `keep` accepts. The table stays as it is, except that a window
    /// that is [closing](Self::is_closing) is closed to its end; take its results. Proportional to the number of slots
    /// and to the states of the part.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{Plan, Position, Record, StreamName, Table, TablePart, TableSettings};
    ///
    /// let stream = StreamName::new("Agent", "flows")?;
    /// let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    /// let plan = Arc::new(Plan::new(stream, &types));
    /// let payload = br#"<flows type="u64" timestamp="60000000">8</flows>"#;
    /// let mut tables = [["T:a", "T:b"], ["T:c", "T:d"]].map(|keys| {
    ///     let mut table = Table::new(Arc::clone(&plan), TableSettings::default());
    ///     for (position, key) in (0..).map(Position::new).zip(keys) {
    ///         table.ingest(&Record { position, arrived: 60_000_000, key: key.as_bytes(), payload });
    ///     }
    ///     table
    /// });
    /// let parts = tables.iter_mut().map(|table| table.part(|key| matches!(key, b"T:b" | b"T:c")));
    /// let joined = TablePart::join(parts)?.unwrap();
    /// let chunks = joined.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    /// let (table, _) = Table::restore(plan, TableSettings::default(), &joined.meta, chunks)?;
    /// assert_eq!(table.keys().collect::<Vec<_>>(), [b"T:b", b"T:c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn part(&mut self, mut keep: impl FnMut(&[u8]) -> bool) -> TablePart {
        let Self { stream, slots } = self;
        stream.finish_closing(slots);
        let used = (0..slots.len()).filter(|&slot| stream.objects.contains(slot) && keep(slots.key(slot)));
        let used: Vec<usize> = used.collect();
        let columns = columns::distinct_columns(&stream.plan);
        let encoder = ChunkEncoder::new(slots.slots(), &stream.objects, &stream.columns, &columns);
        let mut buffer = Vec::new();
        let mut chunks = Vec::new();
        for slots in used.chunks(CHUNK_SLOTS) {
            pack(&encoder, slots, &mut buffer, &mut chunks);
        }
        TablePart { meta: stream.meta(&columns), chunks }
    }
}

/// Adds a chunk with these objects, or several: objects with many sources may have been in different ones.
fn pack(encoder: &ChunkEncoder<'_>, slots: &[usize], buffer: &mut Vec<u8>, chunks: &mut Vec<Vec<u8>>) {
    let used: Vec<_> = slots.iter().zip(0..).map(|(&slot, place)| Used { slot, place }).collect();
    match encoder.encode_objects(&used, buffer) {
        Some(chunk) if chunk.len() > LARGE_CHUNK && slots.len() > 1 => {
            let (left, right) = slots.split_at(slots.len() / 2);
            pack(encoder, left, buffer, chunks);
            pack(encoder, right, buffer, chunks);
        }
        chunk => chunks.extend(chunk),
    }
}

impl TablePart {
    /// The same part without the [counts](Table::fates) of the outcomes, which belong to one of the parts of a table.
    #[must_use]
    pub fn without_counts(self) -> Self {
        Self { meta: Meta { fates: Fates::default(), ..self.meta }, ..self }
    }

    /// The snapshot of one table with the objects of all parts; `None` without parts. No two of them may have the same
    /// object: [`Table::restore`] fails then. The positions begin anew.
    ///
    /// Windows that were partial or unknown in one of the tables are that for all objects, as nothing less is known of
    /// the whole table.
    ///
    /// # Errors
    ///
    /// When the parts are of different plans, or of different event times. Tables without any sample have none.
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Result<Option<Snapshot>, JoinError> {
        let mut joined: Option<Self> = None;
        for part in parts {
            joined = Some(match joined {
                Some(before) => before.with(part)?,
                None => part,
            });
        }
        Ok(joined.map(|Self { mut meta, chunks }| {
            meta.position = None;
            let numbered = chunks.into_iter().zip(0..).map(|(bytes, chunk)| (chunk, Some(bytes)));
            Snapshot { meta: meta.encode(), chunks: numbered.collect() }
        }))
    }

    fn with(self, mut other: Self) -> Result<Self, JoinError> {
        if !self.meta.is_of_plan(&other.meta) {
            return Err(JoinError::Plan);
        }
        let mut fates = self.meta.fates;
        fates.add_all(&other.meta.fates);
        let (mut meta, mut chunks) = (self.meta, self.chunks);
        match (meta.newest.is_some(), other.meta.newest.is_some()) {
            (true, true) => meta.take_time(&other.meta)?,
            // Without any sample there is no object and no time.
            (false, true) => meta = std::mem::take(&mut other.meta),
            (_, false) => {}
        }
        meta.fates = fates;
        chunks.append(&mut other.chunks);
        Ok(Self { meta, chunks })
    }
}

impl Meta {
    fn is_of_plan(&self, other: &Self) -> bool {
        let name = |column: &SavedColumn| (column.kind, column.identity.clone(), column.group);
        let groups = |meta: &Self| meta.groups.iter().map(|it| it.group).collect::<Vec<_>>();
        self.stream == other.stream
            && groups(self) == groups(other)
            && self.columns.iter().map(name).eq(other.columns.iter().map(name))
    }

    /// Takes over the event time and the unknown time of another table.
    fn take_time(&mut self, other: &Self) -> Result<(), JoinError> {
        if self.watermark != other.watermark {
            return Err(JoinError::EventTime { first: self.watermark, other: other.watermark });
        }
        self.newest = self.newest.max(other.newest);
        self.covered_from = self.covered_from.max(other.covered_from);
        self.unknown.take(&other.unknown);
        for (SavedGroup { closed_to, .. }, other) in self.groups.iter_mut().zip(&other.groups) {
            *closed_to = (*closed_to).max(other.closed_to);
        }
        for (column, other) in self.columns.iter_mut().zip(&other.columns) {
            column.covered_from = column.covered_from.max(other.covered_from);
        }
        Ok(())
    }
}
