//! The scrape store: the counters of each node's last scrape, and the writer of points and increases.
//!
//! One write to the log has the points for the sinks, the increases for the pipelines, and the counters that are the
//! baseline of the next scrape. So a kill neither loses traffic nor counts any twice: the next scrape continues from the
//! counters of the last one that was written.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_log::{AppendBatch, LogError, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use derived_stats::Number;
use netplugin_adapter::{Increase, NodeCounters, Point, ServiceStats, Uncounted, encode_record, points};
use proxy_uve::wire::WireSample;
use tracing::{error, warn};

use crate::intake::Intake;

/// The name under which the log keeps the counters.
const SOURCE: &str = "source:contiv";

/// The maximum number of points in one record of the results.
const RECORD_POINTS: usize = 5_000;

/// The age in microseconds at which the counters of a node expire.
const EXPIRE_AFTER: u64 = 24 * 3600 * 1_000_000;

/// The answer of a node to one scrape.
#[derive(Clone, Debug)]
pub(super) struct Scrape {
    pub node: Arc<str>,
    /// The scrape time: µs UTC, a multiple of the interval.
    pub at: u64,
    pub stats: Arc<ServiceStats>,
}

/// The counters of each node's last scrape, and the writer of points and increases.
pub(super) struct ScrapeStore {
    log: Arc<dyn PartitionLog>,
    intake: Intake,
    partition: PartitionId,
    nodes: BTreeMap<Arc<str>, NodeEntry>,
    streams: Vec<Stream>,
    /// Entries that have not changed for so long, in microseconds, give no points; 0 for none.
    stale_after: u64,
}

/// The stored counters of a node, and the chunk of the state that holds them.
#[derive(Debug)]
struct NodeEntry {
    chunk: u32,
    counters: NodeCounters,
}

/// A configured stream: which of the three addresses of an increase is its object, and which counter its value.
#[derive(Clone, Copy)]
struct Stream {
    number: u16,
    table: &'static str,
    address: for<'i> fn(&Increase<'i>) -> &'i str,
    counter: fn(&Increase<'_>) -> u64,
}

type Address = for<'i> fn(&Increase<'i>) -> &'i str;
type Counter = fn(&Increase<'_>) -> u64;

/// The structs of the streams, which are the tables of their objects too.
const TABLES: [(&str, Address); 3] = [
    ("ContivEndpoint", |increase| increase.endpoint_ip),
    ("ContivProvider", |increase| increase.provider_ip),
    ("ContivService", |increase| increase.service_ip),
];

/// The attributes of the streams.
const COUNTERS: [(&str, Counter); 4] = [
    ("BytesIn", |increase| increase.bytes_in),
    ("BytesOut", |increase| increase.bytes_out),
    ("PacketsIn", |increase| increase.packets_in),
    ("PacketsOut", |increase| increase.packets_out),
];

/// How much a write added to the log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Written {
    pub points: u64,
    pub samples: u64,
    /// The oldest scrape time since which the increases count; `None` if they were the first scrapes.
    pub since: Option<u64>,
    /// The entries by node that look new, but do not count.
    pub uncounted: Vec<(Arc<str>, Uncounted)>,
}

impl ScrapeStore {
    /// Opens the store. The counters of nodes that have expired by `now` (µs UTC) are deleted.
    ///
    /// # Errors
    ///
    /// When the log cannot be used.
    pub(super) fn open(log: Arc<dyn PartitionLog>, intake: Intake, now: u64) -> Result<Self, LogError> {
        let partition = PartitionId::new(log.stream_id(SOURCE)?, 0);
        let streams = streams(&intake);
        let mut store = Self { log, intake, partition, nodes: BTreeMap::new(), streams, stale_after: 0 };
        store.restore()?;
        store.expire(now)?;
        Ok(store)
    }

    /// Leaves entries that have not changed for so long out of the points; zero for none.
    pub(super) fn leaving_out(self, stale_after: Duration) -> Self {
        Self { stale_after: micros(stale_after), ..self }
    }

    /// Reads the counters from the log. Where they cannot be read, the next scrape of the node counts as its first.
    ///
    /// # Errors
    ///
    /// When the log cannot be used.
    pub(super) fn restore(&mut self) -> Result<(), LogError> {
        let mut nodes = BTreeMap::new();
        let restored = match self.log.restore(self.partition) {
            Err(LogError::CorruptState { reason, .. }) => {
                error!(%reason, "The stored counters of Contiv's nodes are damaged; the next scrape of each counts as the first.");
                self.log.reset_state(self.partition)?;
                None
            }
            restored => restored?,
        };
        for (chunk, bytes) in restored.map(|restored| restored.chunks).unwrap_or_default() {
            match decode(&bytes) {
                Some((node, counters)) => {
                    nodes.insert(node, NodeEntry { chunk, counters });
                }
                None => {
                    warn!(chunk, "The stored counters of a node cannot be read; its next scrape counts as the first.")
                }
            }
        }
        self.nodes = nodes;
        Ok(())
    }

    fn expire(&mut self, now: u64) -> Result<(), LogError> {
        let is_old = |it: &NodeEntry| it.counters.last().is_some_and(|at| at.saturating_add(EXPIRE_AFTER) < now);
        let chunks: Vec<_> = self.nodes.values().filter(|it| is_old(it)).map(|it| (it.chunk, None)).collect();
        if chunks.is_empty() {
            return Ok(());
        }
        self.nodes.retain(|_, it| !is_old(it));
        self.write(chunks, RecordBuffer::default(), AppendBatch::new(now))
    }

    /// Writes scrapes that came before `now` (µs UTC).
    ///
    /// # Errors
    ///
    /// When the log refuses them. The store is then as before, or as the log has it, and the next scrapes have the same
    /// traffic.
    pub(super) fn write_scrapes(&mut self, scrapes: &[Scrape], now: u64) -> Result<Written, LogError> {
        let written = self.try_write_scrapes(scrapes, now);
        if written.is_err()
            && let Err(error) = self.restore()
        {
            warn!(%error, "The stored counters of Contiv's nodes cannot be read after a failed write.");
        }
        written
    }

    fn try_write_scrapes(&mut self, scrapes: &[Scrape], now: u64) -> Result<Written, LogError> {
        let mut written = Written::default();
        let mut chunks: BTreeMap<u32, Option<Vec<u8>>> = BTreeMap::new();
        let mut results = RecordBuffer::default();
        let mut samples = AppendBatch::new(self.log.arrival(now));
        for scrape in scrapes {
            let (chunk, bytes) = self.count(scrape, &mut samples, &mut written)?;
            chunks.insert(chunk, Some(bytes));
            written.points += self.push_points(scrape, &mut results)?;
        }
        self.write(chunks.into_iter().collect(), results, samples)?;
        Ok(written)
    }

    fn write(
        &self,
        chunks: Vec<(u32, Option<Vec<u8>>)>,
        results: RecordBuffer,
        samples: AppendBatch,
    ) -> Result<(), LogError> {
        let commit = PartitionCommit { partition: self.partition, cursor: 0, meta: Vec::new(), chunks, results };
        self.log.commit_source(commit, samples)
    }

    /// Adds the points of a scrape, whose increases are counted, to the results; returns their number.
    fn push_points(&self, scrape: &Scrape, results: &mut RecordBuffer) -> Result<u64, LogError> {
        match self.nodes.get(&scrape.node).filter(|_| self.stale_after > 0) {
            Some(node) => {
                let oldest = scrape.at.saturating_sub(self.stale_after);
                push_points(scrape, node.counters.changed_points(&scrape.stats, oldest), results)
            }
            None => push_points(scrape, points(&scrape.stats), results),
        }
    }

    /// Adds the increases since the last scrape to `samples`; returns the chunk with the node's new counters.
    fn count(
        &mut self,
        scrape: &Scrape,
        samples: &mut AppendBatch,
        written: &mut Written,
    ) -> Result<(u32, Vec<u8>), LogError> {
        let Self { nodes, streams, intake, .. } = self;
        let free = || (0..).find(|chunk| nodes.values().all(|it| it.chunk != *chunk)).unwrap_or(u32::MAX);
        let chunk = nodes.get(&scrape.node).map_or_else(free, |it| it.chunk);
        let fresh = || NodeEntry { chunk, counters: NodeCounters::default() };
        let counters = &mut nodes.entry(Arc::clone(&scrape.node)).or_insert_with(fresh).counters;
        written.since = written.since.into_iter().chain(counters.last()).min();
        let mut sums: BTreeMap<(usize, String), u64> = BTreeMap::new();
        let uncounted = counters.observe(scrape.at, &scrape.stats, |increase| {
            for (index, stream) in streams.iter().enumerate() {
                let value = (stream.counter)(&increase);
                if value > 0 {
                    let key = format!("{}:{}", stream.table, (stream.address)(&increase));
                    let sum = sums.entry((index, key)).or_default();
                    *sum = sum.saturating_add(value);
                }
            }
        });
        if uncounted.example().is_some() {
            written.uncounted.push((Arc::clone(&scrape.node), uncounted));
        }
        let mut scratch = Vec::new();
        for ((index, key), sum) in sums {
            let value = Number::U64(sum);
            let sample = WireSample { timestamp: scrape.at, value, text: None, source: None, element: None };
            match intake.add(streams[index].number, key.as_bytes(), &sample, samples, &mut scratch) {
                Ok(()) => written.samples += 1,
                Err(crate::intake::LineError::Log(error)) => return Err(error),
                Err(error) => warn!(%key, %error, "An increase is refused."),
            }
        }
        Ok((chunk, encode(&scrape.node, counters)))
    }
}

/// Returns the names of all streams that the scraper has counters for, configured or not.
pub fn stream_names() -> Vec<String> {
    TABLES.iter().flat_map(|(table, _)| COUNTERS.iter().map(move |(name, _)| format!("{table}-{name}"))).collect()
}

/// Returns the configured streams among those that Contiv has counters for.
fn streams(intake: &Intake) -> Vec<Stream> {
    let pairs = TABLES.into_iter().flat_map(|table| COUNTERS.into_iter().map(move |counter| (table, counter)));
    let known = pairs.filter_map(|((table, address), (name, counter))| {
        let number = intake.stream(&format!("{table}-{name}")).ok()?;
        Some(Stream { number, table, address, counter })
    });
    known.collect()
}

/// Adds the points of a scrape of `node` to the results; returns their number.
fn push_points<'s>(
    scrape: &Scrape,
    points: impl Iterator<Item = Point<'s>>,
    results: &mut RecordBuffer,
) -> Result<u64, LogError> {
    let mut points = points.peekable();
    let (mut line, mut count) = (Vec::new(), 0);
    while points.peek().is_some() {
        line.clear();
        encode_record(&scrape.node, scrape.at, points.by_ref().take(RECORD_POINTS).inspect(|_| count += 1), &mut line);
        results.push(scrape.node.as_bytes(), &line)?;
    }
    Ok(count)
}

/// Encodes a node's chunk: the length of its name, its name, its counters.
fn encode(node: &str, counters: &NodeCounters) -> Vec<u8> {
    let mut bytes = (node.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(node.as_bytes());
    counters.save(&mut bytes);
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Arc<str>, NodeCounters)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (node, counters) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(node).ok()?.into(), NodeCounters::load(counters).ok()?))
}
