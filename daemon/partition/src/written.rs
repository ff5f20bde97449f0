//! The alarms of partitions whose states were lost, as the results show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon_alarms::row::{AlarmRow, is_alarms};
use daemon_log::PartitionId;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use proxy_uve::Plan;

use crate::settings::StreamPlan;

/// What the results have of one partition.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The newest row of each object with an alarm, by its key.
    rows: BTreeMap<String, AlarmRow>,
    /// The end of the newest window with a result.
    pub(crate) until: u64,
}

impl Written {
    /// The newest row of each object with an alarm.
    pub(crate) fn into_rows(self) -> Vec<AlarmRow> {
        self.rows.into_values().collect()
    }

    /// The end of the newest window with a result, in microseconds since the epoch.
    pub fn until(&self) -> u64 {
        self.until
    }
}

/// What the results have of the partitions of some streams.
pub struct WrittenReader {
    /// By name, with the number of partitions.
    streams: BTreeMap<String, (u16, u16)>,
    records: RecordReader,
    lines: LineReader,
    found: BTreeMap<PartitionId, Written>,
}

impl WrittenReader {
    /// Nothing is read yet. Each stream has its number and that of its partitions.
    pub fn new<'s>(streams: impl IntoIterator<Item = (u16, &'s Arc<StreamPlan>, u16)>) -> Self {
        let (mut by_name, mut plans): (BTreeMap<_, _>, Vec<Arc<Plan>>) = <_>::default();
        for (id, stream, partitions) in streams {
            by_name.insert(stream.name.clone(), (id, partitions));
            plans.push(Arc::clone(&stream.plan));
        }
        let lines = LineReader::new(&plans);
        Self { streams: by_name, records: RecordReader::default(), lines, found: BTreeMap::new() }
    }

    /// Takes a record of the results. They are to come in their order.
    pub fn take(&mut self, offset: u64, payload: &[u8]) {
        let Self { streams, records, lines, found } = self;
        // What cannot be decoded is left out: the view logs it.
        let _ = records.each(offset, payload, |_, result| {
            let row = match &result {
                Stored::Row(row) => Some(*row),
                Stored::Line(line) if is_alarms(line) => return take_alarms(streams, line, found),
                Stored::Line(line) if !is_scrape(line) => lines.row(line).ok(),
                _ => None,
            };
            if let Some((row, id)) = row.and_then(|row| Some((row, partition(streams, &row.shape.proxy, row.key)?))) {
                let written = found.entry(id).or_default();
                written.until = written.until.max(row.end);
            }
        });
    }

    /// What was found.
    pub fn into_found(self) -> BTreeMap<PartitionId, Written> {
        self.found
    }
}

fn take_alarms(streams: &BTreeMap<String, (u16, u16)>, line: &[u8], found: &mut BTreeMap<PartitionId, Written>) {
    let Ok(row) = AlarmRow::read(line) else { return };
    let Some(id) = partition(streams, &row.data.proxy, &row.key) else { return };
    let rows = &mut found.entry(id).or_default().rows;
    match row.data.deleted {
        true => drop(rows.remove(&row.key)),
        false => drop(rows.insert(row.key.clone(), row)),
    }
}

/// The partition of an object of a stream; `None` for other streams.
fn partition(streams: &BTreeMap<String, (u16, u16)>, stream: &str, key: &str) -> Option<PartitionId> {
    let (id, partitions) = *streams.get(stream)?;
    let number = proxy_uve::partition(key.as_bytes(), u32::from(partitions));
    Some(PartitionId::new(id, u16::try_from(number).ok()?))
}
