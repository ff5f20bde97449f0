//! A sink that writes results to the Redis of a Contrail collector, where opserver and alarm-gen read UVEs.
//!
//! `transaction` converts results into commands and messages, `xml` converts attributes, `delivery` repeats what fails.
//! Redis executes the commands of about a thousand results together with the new `marker` as one transaction. The sink
//! then publishes the messages for alarm-gen, if it shall, and stores its position in the log after that.
//!
//! Redis is not durable: a restart can lose everything or the last seconds, and a collector flushes the database at its
//! start. So the marker, and not the position in the log, decides what Redis lacks. The sink compares it before each
//! transaction and once a second, and reads the results from there on again. Without a marker, or with one that is not
//! of the log, it removes what it ever wrote and writes all retained results again. The order is that of the log, so
//! every value ends as the newest one.

mod bounded;
mod client;
mod config;
mod connection;
mod delivery;
mod marker;
mod missing;
mod partition;
mod resume;
mod settings;
mod telemetry;
mod transaction;
mod withdraw;
mod xml;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_alarms::row::is_alarms;
use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{Log, RecordBatch, SinkPosition};
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use tracing::warn;

use self::client::Client;
use self::delivery::{Delivery, Stopped};
use self::marker::{LastResult, Marker, MarkerKey};
use self::transaction::{Names, Transaction};
use crate::Sink;

pub use self::config::RedisConfig;
pub use self::settings::RedisSettings;
pub use self::telemetry::RedisTelemetry;
pub use self::transaction::UveMessage;

/// Publishes messages for alarm-gen and returns when they are durable, with the topics that do not exist: their messages
/// are not published.
pub type Publish = Arc<dyn Fn(&[UveMessage]) -> anyhow::Result<BTreeSet<String>> + Send + Sync>;

/// The size of the batches that the sink reads again after Redis lost results.
const READ_BYTES: usize = 1024 * 1024;

/// The number of results after which a transaction ends with the record. A larger one holds up readers of Redis.
const TRANSACTION_RESULTS: u64 = 1_000;

/// How often an idle sink reads the marker.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The detail of a position whose sink has not yet removed what another log left in Redis.
const FIRST_START: &[u8] = b"first start";

/// A sink that writes results to a Contrail collector's Redis.
pub struct RedisSink {
    names: Names,
    marker_key: MarkerKey,
    is_shared: bool,
    records: RecordReader,
    lines: LineReader,
    delivery: Delivery,
    telemetry: RedisTelemetry,
    clock: Arc<dyn Clock>,
    /// The first offset whose results are not delivered.
    next: u64,
    /// The marker in Redis; `None` if it must be read.
    marker: Option<Marker>,
    /// Whether Redis may have results of another log under the same generator.
    is_first_start: bool,
    /// The monotonic time of the last exchange.
    checked: Duration,
}

/// The outcome of writing a batch.
enum Written {
    All,
    /// The marker changed, so some or all results are not written.
    Moved,
}

impl RedisSink {
    /// The name of the sink, under which it stores its position.
    pub const NAME: &'static str = "redis";

    /// Creates a sink that parses results in JSON with `lines`, sends messages by `publish`, and ends a wait or an
    /// exchange when `stop` is set.
    pub fn new(
        settings: &RedisSettings,
        lines: LineReader,
        publish: Option<Publish>,
        clock: Arc<dyn Clock>,
        telemetry: RedisTelemetry,
        stop: Stop,
    ) -> Self {
        let (client, names) = (Client::new(settings, stop), Names::new(settings));
        let delivery = Delivery::new(client, names.clone(), publish, Arc::clone(&clock), telemetry.clone());
        Self {
            names,
            marker_key: MarkerKey::new(settings),
            is_shared: settings.is_shared,
            records: RecordReader::default(),
            lines,
            delivery,
            telemetry,
            clock,
            next: 0,
            marker: None,
            is_first_start: false,
            checked: Duration::ZERO,
        }
    }

    /// Writes what Redis lacks of the results before `until`.
    fn catch_up(&mut self, log: &dyn Log, until: u64) -> anyhow::Result<()> {
        loop {
            let from = self.first_missing(log)?;
            if from >= until {
                return Ok(());
            }
            let batch = log.read_results(from, READ_BYTES).inspect_err(|_| {
                // Retention may have deleted what the marker asks for: it is compared with the log again.
                self.marker = None;
            });
            let batch = batch.context("read results that Redis lacks")?;
            if batch.is_empty() {
                return Ok(());
            }
            self.write(&batch, from)?;
        }
    }

    /// Writes the results of a batch from offset `from` on, and the messages of all its results.
    fn write(&mut self, batch: &RecordBatch, from: u64) -> anyhow::Result<Written> {
        let mut transaction = Transaction::default();
        let (mut results, mut last) = (0, None);
        for record in batch.records() {
            last = Some(LastResult { offset: record.offset, at: record.appended_at });
            results += self.add(&mut transaction, record.offset, record.payload, record.offset < from)?;
            if results >= TRANSACTION_RESULTS {
                results = 0;
                let next = (record.offset + 1).max(from);
                if let Written::Moved = self.commit(std::mem::take(&mut transaction), next, last)? {
                    return Ok(Written::Moved);
                }
            }
        }
        Ok(self.commit(transaction, batch.next_offset().max(from), last)?)
    }

    /// Adds the results of a record to a transaction, and returns their number.
    fn add(&mut self, to: &mut Transaction, offset: u64, record: &[u8], is_written: bool) -> anyhow::Result<u64> {
        let Self { records, lines, names, telemetry, .. } = self;
        let mut results = 0;
        let read = records.each(offset, record, |_, result| {
            let added = match result {
                // alarm-gen writes the UVE of alarms of its own.
                Stored::Line(line) if is_scrape(line) || is_alarms(line) => return,
                Stored::Line(line) => match lines.row(line) {
                    Ok(row) => to.add(names, &row, offset, is_written).map_err(anyhow::Error::from),
                    Err(error) => Err(error.into()),
                },
                Stored::Row(row) => to.add(names, &row, offset, is_written).map_err(anyhow::Error::from),
            };
            results += 1;
            if let Err(error) = added {
                telemetry.left_out("unreadable", 1);
                warn!(offset, %error, "A stored result cannot be written; the Redis sink skips it.");
            }
        });
        read.with_context(|| format!("read the results at offset {offset}"))?;
        Ok(results)
    }

    /// Executes a transaction that moves the marker to `next`, behind the result `last`, then publishes its messages.
    fn commit(&mut self, transaction: Transaction, next: u64, last: Option<LastResult>) -> Result<Written, Stopped> {
        let Some(expected) = self.marker.take() else { return Ok(Written::Moved) };
        let (mut commands, messages, counts) = transaction.finish(&self.names);
        let mut marker = expected.clone();
        if expected.next != Some(next) || !commands.is_empty() {
            // The messages of the transaction before this one are published.
            let announced = expected.next.unwrap_or(next).min(next);
            marker = self.marker_key.at(next, announced, last.or(expected.last));
            self.marker_key.seal(&mut commands, &marker);
            if !self.delivery.commit(&self.marker_key, expected, commands)? {
                return Ok(Written::Moved);
            }
            self.telemetry.committed(counts, self.clock.now_micros());
            if counts.oversized > 0 && self.delivery.should_log("oversized") {
                let (attributes, limit) = (counts.oversized, xml::DROPPED_FROM_BYTES);
                warn!(
                    attributes,
                    limit, "Attributes are so long that Contrail's readers drop them; they are left out."
                );
            }
        }
        self.marker = Some(marker);
        self.checked = self.clock.monotonic();
        self.delivery.publish(messages)?;
        Ok(Written::All)
    }

    fn store(&self, log: &dyn Log) -> anyhow::Result<()> {
        let detail = if self.is_first_start { FIRST_START.to_vec() } else { Vec::new() };
        let position = SinkPosition { next: self.next, detail };
        log.set_sink_position(Self::NAME, position).context("store the position of the Redis sink")
    }
}

impl Sink for RedisSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        (self.next, self.is_first_start) = match log.sink_position(Self::NAME)? {
            Some(position) => (position.next, position.detail == FIRST_START),
            // Of a shared log another daemon may have written to Redis already.
            None => (log.results_bounds()?.first, !self.is_shared),
        };
        // Registers a new sink, so that the log keeps unread results for it.
        self.store(log)?;
        Ok(self.next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        let first = batch.records().next().map_or_else(|| batch.next_offset(), |record| record.offset);
        loop {
            self.catch_up(log, first)?;
            let from = self.first_missing(log)?;
            if let Written::All = self.write(batch, from)? {
                break;
            }
        }
        self.next = batch.next_offset();
        self.store(log)
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        if stopping || self.clock.monotonic().saturating_sub(self.checked) < CHECK_INTERVAL {
            return Ok(());
        }
        self.delivery.publish_kept()?;
        let key = self.marker_key.clone();
        let found = self.delivery.exchange(move |connection| key.read(connection))?;
        self.checked = self.clock.monotonic();
        if self.marker.as_ref() != Some(&found) {
            self.marker = None;
            let is_first = self.is_first_start;
            self.catch_up(log, self.next)?;
            if is_first != self.is_first_start {
                self.store(log)?;
            }
        }
        Ok(())
    }
}
