//! What the pipelines of a configuration make of samples.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::observation::Observations;
use daemon_log::AppendBatch;
use daemon_partition::{PartitionTable, StreamPlan};
use daemon_results::block::MAX_BLOCK_BYTES;
use daemon_results::record::RecordReader;
use daemon_sources::intake::{Intake, PayloadForm};
use proxy_uve::{Fate, Fates, Plan, Position, Record};
use serde_json::Value;

use crate::commands::test::series::Sample;
use crate::config::Loaded;
use crate::settings;

/// The results of a test, and what became of its samples.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub results: Vec<Found>,
    pub fates: Fates,
    /// Why the intake rejected samples.
    pub rejected: Vec<String>,
    /// The event time of each stream at the end, in microseconds since the epoch: its windows up to there are closed.
    pub closed_until: BTreeMap<String, u64>,
}

/// A result.
#[derive(Debug)]
pub(super) struct Found {
    pub key: String,
    /// The type and the stream, with a dash between them.
    pub uve: String,
    pub start: u64,
    pub end: u64,
    pub data: Value,
}

impl Outcome {
    /// Gives the samples to the pipelines, one partition for each stream, and closes every window at the end.
    ///
    /// # Errors
    ///
    /// When a result cannot be read back: a bug of this program.
    pub(super) fn of(samples: &[Sample], loaded: &Loaded) -> Result<Self, String> {
        let table = settings::table(&loaded.config.aggregation);
        let plans: Vec<Arc<Plan>> = settings::plans(&loaded.streams);
        let numbered = || plans.iter().zip(0_u16..);
        let intake = Intake::new(numbered(), 1, PayloadForm::Stored, loaded.config.aggregation.allowed_skew);
        let table_of = |(plan, id): (&Arc<Plan>, u16)| {
            let stream = StreamPlan::new(Arc::clone(plan), &Observations::default());
            let stream = stream.with_alarms(&loaded.streams.alarms);
            (id, PartitionTable::new(Arc::new(stream), table, MAX_BLOCK_BYTES))
        };
        let mut tables: BTreeMap<u16, PartitionTable> = numbered().map(table_of).collect();
        let (mut outcome, mut scratch) = (Self::default(), Vec::new());
        for (sample, offset) in samples.iter().zip(0_u64..) {
            let mut batch = AppendBatch::new(sample.arrived);
            if let Err(error) = intake.push(sample.line.as_bytes(), &mut batch, &mut scratch) {
                outcome.rejected.push(error.to_string());
                continue;
            }
            let now = Duration::from_micros(sample.arrived);
            for (id, key, payload) in batch.records() {
                let Some(table) = tables.get_mut(&id.stream) else { continue };
                let record = Record { position: Position::new(offset), arrived: sample.arrived, key, payload };
                table.apply(0, std::iter::once(record), offset + 1, now, |_| {});
                outcome.take(table, now)?;
            }
        }
        for (id, table) in &mut tables {
            table.close_all(Duration::MAX);
            if let Some(plan) = plans.get(usize::from(*id)) {
                outcome.closed_until.insert(plan.stream().to_string(), table.watermark());
            }
            outcome.take(table, Duration::MAX)?;
            outcome.fates.add_all(&table.status().fates);
        }
        Ok(outcome)
    }

    /// Closes the windows that are due, and takes their results.
    fn take(&mut self, table: &mut PartitionTable, now: Duration) -> Result<(), String> {
        while table.is_closing() {
            table.close_more(usize::MAX, now);
        }
        if table.pending_bytes() == 0 {
            return Ok(());
        }
        let commit = table.prepare_commit(now).map_err(|error| error.to_string())?;
        let (mut reader, mut line) = (RecordReader::default(), Vec::new());
        for (offset, (_, record)) in (0_u64..).zip(commit.results.records()) {
            let read = reader.each(offset, record, |_, result| {
                line.clear();
                result.write_line(&mut line);
                self.results.extend(Found::parse(&line));
            });
            read.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The samples with an outcome, by its name; `None` if there is no such outcome.
    pub(super) fn dropped(&self, outcome: &str) -> Option<u64> {
        if outcome == "rejected" {
            return Some(self.rejected.len() as u64);
        }
        let fate = Fate::ALL.iter().find(|fate| fate.name() == outcome && **fate != Fate::Aggregated)?;
        Some(self.fates.count(*fate))
    }

    /// The names of all outcomes but that of aggregated samples.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        let dropped = Fate::ALL.iter().filter(|fate| **fate != Fate::Aggregated);
        std::iter::once("rejected").chain(dropped.map(|fate| fate.name()))
    }
}

impl Found {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut result: Value = serde_json::from_slice(line).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (key, uve) = (text(&result["key"])?, text(&result["uve"])?);
        let (start, end) = (result["start"].as_u64()?, result["end"].as_u64()?);
        Some(Self { key, uve, start, end, data: result["data"].take() })
    }
}
