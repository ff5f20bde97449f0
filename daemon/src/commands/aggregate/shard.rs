//! One part of the objects: their tables, one for each attribute.

use std::io;
use std::sync::Arc;

use daemon_base::clock::micros;
use proxy_uve::{DecodedRecord, Fates, Plan, Position, Table, TableSettings};

use crate::commands::aggregate::batch::{AttributeNames, Batch, DueAt, Entry};
use crate::commands::aggregate::rows::{RowFormat, Rows};

/// What all shards have in common.
#[derive(Clone, Copy)]
pub(crate) struct Common<'p> {
    pub(crate) plan: &'p Arc<Plan>,
    pub(crate) settings: TableSettings,
    pub(crate) format: &'p RowFormat,
    pub(crate) names: &'p AttributeNames,
}

/// The tables of a part of the objects.
pub(crate) struct Shard<'p> {
    common: Common<'p>,
    /// Which part it is.
    pub(crate) index: usize,
    /// By name, so that rows come in an order that does not depend on numbers.
    attributes: Vec<Attribute>,
    /// Place in `attributes` by number.
    places: Vec<Option<u16>>,
    /// Of all shards' records.
    newest: Option<u64>,
    due: DueAt<'p>,
    /// How often windows were due.
    moments: u64,
    /// Inline rows since the last moment.
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
            places: Vec::new(),
            newest: None,
            due,
            moments: 0,
            waiting: Vec::new(),
        }
    }

    /// Applies the shard's records of a batch, and closes the windows that all of the batch makes due. `emit` takes the
    /// rows of each such moment, with its number: the same moments in all shards, however the records are batched.
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
            // A batch does not know how far the ones before it have come.
            if mark.newest < self.due.next {
                continue;
            }
            let to = mark.before[self.index] as usize;
            self.ingest(batch, &entries[from..to], rows);
            self.due.pass(mark.newest);
            self.newest = self.newest.max(Some(mark.newest));
            self.advance(self.common.settings.watermark(mark.newest), rows);
            emit(self.moments, rows)?;
            self.moments += 1;
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
            if let Some(place) = self.places[usize::from(entry.attribute)] {
                let (key, attribute) = (batch.key(entry), &mut self.attributes[usize::from(place)]);
                attribute.position += 1;
                let &Entry { at, value, .. } = entry;
                let position = Position::new(attribute.position);
                // Nothing says when a recorded sample arrived; nothing is ahead of its time.
                records[usize::from(place)].push(DecodedRecord { position, arrived: at, key, at, value });
            }
        }
        for (attribute, records) in self.attributes.iter_mut().zip(&records) {
            attribute.with_output(rows, |table| {
                table.ingest_batch(records);
            });
        }
    }

    /// Makes tables for attributes that are new here.
    fn add_missing(&mut self, entries: &[Entry]) {
        for id in entries.iter().map(|entry| entry.attribute) {
            let index = usize::from(id);
            if self.places.get(index).is_some_and(Option::is_some) {
                continue;
            }
            let name = self.common.names.name(id);
            let at = self.attributes.partition_point(|attribute| attribute.name < name);
            for place in self.places.iter_mut().flatten().filter(|place| usize::from(**place) >= at) {
                *place += 1;
            }
            if self.places.len() <= index {
                self.places.resize(index + 1, None);
            }
            self.places[index] = Some(at as u16);
            let Common { plan, settings, format, .. } = self.common;
            let rows = Rows::new(format.clone(), &name);
            let mut table = Table::with_sink(Arc::clone(plan), settings, rows);
            // Late for all is late for the first record of an attribute, too.
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

    /// Closes every window that has samples: nothing more will come. The number of the last moment.
    pub(crate) fn finish(&mut self, rows: &mut Vec<u8>) -> u64 {
        rows.append(&mut self.waiting);
        let longest = self.common.plan.longest_window();
        if let Some(newest) = self.newest {
            self.advance((newest - newest % longest).saturating_add(longest), rows);
        }
        self.moments
    }

    /// The objects, the sink with its counts, and the fates of the records, for each attribute.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (usize, &Rows, &Fates)> {
        self.attributes.iter().map(|Attribute { table, .. }| (table.objects(), table.sink(), table.fates()))
    }
}

impl Attribute {
    /// Lends the table the buffer for its rows: one for all tables, as each of them fills half a megabyte at a time.
    fn with_output(&mut self, rows: &mut Vec<u8>, work: impl FnOnce(&mut Table<Rows>)) {
        std::mem::swap(&mut self.table.sink_mut().bytes, rows);
        work(&mut self.table);
        std::mem::swap(&mut self.table.sink_mut().bytes, rows);
    }
}
