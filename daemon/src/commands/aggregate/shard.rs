//! A shard of the objects, with a table for each attribute.

use std::io;
use std::sync::Arc;

use daemon_base::clock::micros;
use proxy_uve::{DecodedRecord, Fates, Plan, Position, Table, TableSettings};

use crate::commands::aggregate::batch::{Batch, DueAt, Entry};
use crate::commands::aggregate::names::AttributeNames;
use crate::commands::aggregate::rows::{RowFormat, Rows};

/// The settings that all shards share.
#[derive(Clone, Copy)]
pub(crate) struct Common<'p> {
    pub(crate) plan: &'p Arc<Plan>,
    pub(crate) settings: TableSettings,
    pub(crate) format: &'p RowFormat,
    pub(crate) names: &'p AttributeNames,
}

/// The tables of one shard of the objects.
pub(crate) struct Shard<'p> {
    common: Common<'p>,
    /// The number of the shard.
    pub(crate) index: usize,
    /// Sorted by name, so that the order of rows does not depend on attribute ids.
    attributes: Vec<Attribute>,
    /// The index in `attributes` by attribute id.
    indexes: Vec<Option<u16>>,
    /// The newest timestamp of the records of all shards.
    newest: Option<u64>,
    due: DueAt<'p>,
    /// The number of watermark advances.
    advances: u64,
    /// Inline rows since the last advance.
    waiting: Vec<u8>,
}

struct Attribute {
    name: String,
    table: Table<Rows>,
    position: u64,
}

impl<'p> Shard<'p> {
    pub(crate) fn new(common: Common<'p>, index: usize) -> Self {
        let due = DueAt::new(common.plan, micros(common.settings.allowed_lateness));
        Self {
            common,
            index,
            attributes: Vec::new(),
            indexes: Vec::new(),
            newest: None,
            due,
            advances: 0,
            waiting: Vec::new(),
        }
    }

    /// Applies the shard's records of a batch, and advances the watermark at each mark that closes a window. `emit`
    /// receives the number and the rows of each advance. The advances are the same in all shards and for any division
    /// into batches.
    pub(crate) fn apply(
        &mut self,
        batch: &Batch,
        rows: &mut Vec<u8>,
        mut emit: impl FnMut(u64, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let entries = &batch.shards[self.index];
        rows.append(&mut self.waiting);
        let mut from = 0;
        for mark in &batch.marks {
            // A batch makes marks without regard to earlier batches, so some close no window.
            if mark.newest < self.due.next {
                continue;
            }
            let to = mark.before[self.index] as usize;
            self.ingest(batch, &entries[from..to], rows);
            self.due.pass(mark.newest);
            self.newest = self.newest.max(Some(mark.newest));
            self.advance(self.common.settings.watermark(mark.newest), rows);
            emit(self.advances, rows)?;
            self.advances += 1;
            from = to;
        }
        self.ingest(batch, &entries[from..], rows);
        self.newest = self.newest.max(batch.newest);
        self.waiting.append(rows);
        Ok(())
    }

    fn ingest(&mut self, batch: &Batch, entries: &[Entry], rows: &mut Vec<u8>) {
        if entries.is_empty() {
            return;
        }
        self.add_missing(entries);
        let mut records: Vec<Vec<DecodedRecord<'_>>> = Vec::new();
        records.resize_with(self.attributes.len(), Vec::new);
        for entry in entries {
            if let Some(index) = self.indexes[usize::from(entry.attribute)].map(usize::from) {
                let (key, attribute) = (batch.key(entry), &mut self.attributes[index]);
                attribute.position += 1;
                let &Entry { at, value, .. } = entry;
                let position = Position::new(attribute.position);
                // The arrival time of a recorded sample is unknown, so no timestamp is in the future.
                records[index].push(DecodedRecord {
                    position,
                    arrived: at,
                    key,
                    at,
                    value,
                    source: batch.source(entry),
                });
            }
        }
        for (attribute, records) in self.attributes.iter_mut().zip(&records) {
            attribute.with_output(rows, |table| {
                table.ingest_batch(records);
            });
        }
    }

    /// Creates tables for attributes that are new in this shard.
    fn add_missing(&mut self, entries: &[Entry]) {
        for id in entries.iter().map(|entry| entry.attribute) {
            let id_index = usize::from(id);
            if self.indexes.get(id_index).is_some_and(Option::is_some) {
                continue;
            }
            let name = self.common.names.name(id);
            let at = self.attributes.partition_point(|attribute| attribute.name < name);
            for index in self.indexes.iter_mut().flatten().filter(|index| usize::from(**index) >= at) {
                *index += 1;
            }
            if self.indexes.len() <= id_index {
                self.indexes.resize(id_index + 1, None);
            }
            self.indexes[id_index] = Some(at as u16);
            let Common { plan, settings, format, .. } = self.common;
            let rows = Rows::new(format.clone(), &name);
            let mut table = Table::with_sink(Arc::clone(plan), settings, rows);
            // The watermark of all attributes also applies to the first record of a new one.
            if let Some(newest) = self.newest {
                table.advance(settings.watermark(newest));
            }
            self.attributes.insert(at, Attribute { name, table, position: 0 });
        }
    }

    fn advance(&mut self, watermark: u64, rows: &mut Vec<u8>) {
        for attribute in &mut self.attributes {
            attribute.with_output(rows, |table| table.advance(watermark));
        }
    }

    /// Closes every window that has samples, at the end of the input, and returns the number of this last advance.
    pub(crate) fn finish(&mut self, rows: &mut Vec<u8>) -> u64 {
        rows.append(&mut self.waiting);
        if let Some(newest) = self.newest {
            self.advance(self.common.plan.last_window_end(newest), rows);
        }
        self.advances
    }

    /// The number of objects, the sink with its counts, and the fates of the records, for each attribute.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (usize, &Rows, &Fates)> {
        self.attributes.iter().map(|Attribute { table, .. }| (table.objects(), table.sink(), table.fates()))
    }
}

impl Attribute {
    /// Lends the table the buffer for its rows. All tables share one buffer, because each fills half a megabyte at a
    /// time.
    fn with_output(&mut self, rows: &mut Vec<u8>, work: impl FnOnce(&mut Table<Rows>)) {
        std::mem::swap(&mut self.table.sink_mut().bytes, rows);
        work(&mut self.table);
        std::mem::swap(&mut self.table.sink_mut().bytes, rows);
    }
}
