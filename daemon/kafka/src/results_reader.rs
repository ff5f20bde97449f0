//! Reads the results topic by offset: for the view, the sinks, and the event stream.
//!
//! The topic has one partition, so all results have one order and an offset identifies a position at every daemon.
//! Every daemon reads all results for its view, so the rate at which one daemon can read limits the rate of results
//! anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_log::{Bounds, LogError, RecordBatch};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message as _, Timestamp};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{self, Connection, Isolation, LogContext, TIMEOUT};
use crate::names::Names;

/// How long a reader at the end waits for further results.
const WAIT: Duration = Duration::from_millis(100);

/// The most consumers that are kept for a next read from their position.
const MAX_IDLE_READERS: usize = 8;

/// A read of so many bytes at most is one of a place: the history of an object reads records here and there. Such a read
/// has a consumer that fetches little, and leaves those alone that read on where they are.
const PLACE_BYTES: usize = 128 * 1024;

/// What such a consumer fetches at once, in bytes, and holds ahead, in KiB.
const PLACE_FETCH: [(&str, &str); 2] = [("fetch.message.max.bytes", "131072"), ("queued.max.messages.kbytes", "1024")];

/// The most consumers of places that are kept.
const MAX_IDLE_PLACES: usize = 4;

/// Reads the results topic by offset, with a pool of consumers.
pub(crate) struct ResultsReader {
    connection: Connection,
    topic: String,
    group: String,
    idle: Mutex<Vec<Reader>>,
    /// Consumers for reads of a place.
    places: Mutex<Vec<Reader>>,
    /// Whether the topic was found to exist. It is missing when a daemon starts for the first time.
    exists: AtomicBool,
    clock: Arc<dyn Clock>,
}

/// A consumer with its position.
struct Reader {
    consumer: BaseConsumer<LogContext>,
    next: u64,
    /// Whether it has reached the end of the partition.
    at_end: bool,
    /// Whether the control records between the last message and the end are passed.
    is_past_controls: bool,
}

impl ResultsReader {
    /// Makes a reader without consumers: a read opens one.
    pub(crate) fn new(connection: &Connection, names: &Names, clock: Arc<dyn Clock>) -> Self {
        let (topic, group) = (names.results(), format!("{}-results", names.group));
        Self {
            connection: connection.clone(),
            topic,
            group,
            idle: Mutex::default(),
            places: Mutex::default(),
            exists: AtomicBool::new(false),
            clock,
        }
    }

    /// Reads results from the offset `from`; the batch is empty only at the end of the topic, and continues there.
    pub(crate) fn read(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        if from == 0 && !self.exists()? {
            thread::sleep(WAIT);
            return Ok(RecordBatch::loose(from));
        }
        if max_bytes <= PLACE_BYTES {
            return self.read_place(from, max_bytes);
        }
        let mut reader = self.reader(from)?;
        let mut batch = self.fill(&mut reader, from, max_bytes)?;
        if batch.is_empty() && !reader.is_past_controls {
            batch = self.pass_controls(&mut reader, from, max_bytes)?;
        }
        let mut idle = self.lock();
        if idle.len() >= MAX_IDLE_READERS {
            idle.remove(0);
        }
        idle.push(reader);
        Ok(batch)
    }

    /// Passes the control records of transactions behind the last message, or reads the messages that have come
    /// meanwhile. No message shows the offsets of control records, so that who has read everything would seem to lag.
    fn pass_controls(&self, reader: &mut Reader, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let failed = |error: KafkaError| self.failed(&error);
        let (_, end) = reader.consumer.fetch_watermarks(&self.topic, 0, TIMEOUT).map_err(failed)?;
        let end = end.unsigned_abs();
        let mut batch = RecordBatch::loose(from);
        if end > from {
            // Read anew, so that the consumer reaches an end that is not before this one.
            self.assign(&reader.consumer, from).map_err(failed)?;
            reader.at_end = false;
            batch = self.fill(reader, from, max_bytes)?;
            if batch.is_empty() {
                (batch, reader.next) = (RecordBatch::loose(end), end);
            }
        }
        reader.is_past_controls = batch.is_empty();
        Ok(batch)
    }

    /// Reads a few results from the offset `from`.
    fn read_place(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let found = self.places().pop();
        let mut reader = match found {
            Some(reader) => reader,
            None => self.open(None, &PLACE_FETCH)?,
        };
        if reader.next != from {
            self.assign(&reader.consumer, from).map_err(|error| self.failed(&error))?;
            (reader.next, reader.at_end) = (from, false);
        }
        let batch = self.fill(&mut reader, from, max_bytes)?;
        let mut places = self.places();
        if places.len() < MAX_IDLE_PLACES {
            places.push(reader);
        }
        Ok(batch)
    }

    /// Requests the first offset and the end offset.
    pub(crate) fn bounds(&self) -> Result<Bounds, LogError> {
        if !self.exists()? {
            return Ok(Bounds { first: 0, next: 0 });
        }
        let found = self.lock().pop();
        let reader = match found {
            Some(reader) => reader,
            None => self.open(None, &[])?,
        };
        let marks = reader.consumer.fetch_watermarks(&self.topic, 0, TIMEOUT);
        let (low, high) = marks.map_err(|error| self.failed(&error))?;
        self.lock().push(reader);
        Ok(Bounds { first: low.unsigned_abs(), next: high.unsigned_abs() })
    }

    /// Whether the topic exists, or has existed since the start of this process: until then there are no results.
    fn exists(&self) -> Result<bool, LogError> {
        if self.exists.load(Ordering::Acquire) {
            return Ok(true);
        }
        let found = self.lock().pop();
        let reader = match found {
            Some(reader) => reader,
            None => self.open(None, &[])?,
        };
        let metadata =
            reader.consumer.fetch_metadata(Some(&self.topic), TIMEOUT).map_err(|error| self.failed(&error))?;
        let mut topics = metadata.topics().iter().filter(|topic| topic.name() == self.topic);
        let unknown = |code| matches!(code, RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition);
        // Any other error is one of the request that follows.
        let exists = topics.all(|topic| topic.error().is_none_or(|code| !unknown(RDKafkaErrorCode::from(code))));
        self.exists.store(exists, Ordering::Release);
        self.lock().push(reader);
        Ok(exists)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self, from: u64) -> Result<Reader, LogError> {
        let mut idle = self.lock();
        if let Some(index) = idle.iter().position(|reader| reader.next == from) {
            return Ok(idle.swap_remove(index));
        }
        drop(idle);
        let bounds = self.bounds()?;
        if !(bounds.first..=bounds.next).contains(&from) {
            return Err(LogError::OffsetOutOfRange { location: "the results".to_owned(), requested: from, bounds });
        }
        self.open(Some(from), &[])
    }

    /// A consumer with these settings, which reads from an offset on if there is one.
    fn open(&self, from: Option<u64>, settings: &[(&str, &str)]) -> Result<Reader, LogError> {
        let mut config = self.connection.reader(&self.group, Isolation::Committed);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let opened = || {
            let consumer = BaseConsumer::from_config_and_context(&config, LogContext)?;
            // With the metadata in its cache a consumer begins to read at once; without, it takes a second.
            consumer.fetch_metadata(Some(&self.topic), TIMEOUT)?;
            if let Some(from) = from {
                self.assign(&consumer, from)?;
            }
            Ok(consumer)
        };
        let consumer = opened().map_err(|error: KafkaError| self.failed(&error))?;
        Ok(Reader { consumer, next: from.unwrap_or(u64::MAX), at_end: false, is_past_controls: false })
    }

    /// Makes a consumer read from an offset on.
    fn assign(&self, consumer: &BaseConsumer<LogContext>, from: u64) -> Result<(), KafkaError> {
        consumer.assign(&client::partition_0(&self.topic, Offset::Offset(from.cast_signed()))?)
    }

    fn fill(&self, reader: &mut Reader, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let mut batch = RecordBatch::loose(from);
        let began = self.clock.monotonic();
        while batch.bytes() < max_bytes {
            let wait = if batch.is_empty() { WAIT } else { Duration::ZERO };
            match reader.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let at = match message.timestamp() {
                        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms.unsigned_abs() * 1000,
                        Timestamp::NotAvailable => 0,
                    };
                    let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                    batch.push(message.offset().unsigned_abs(), at, key, payload);
                    (reader.next, reader.at_end, reader.is_past_controls) = (batch.next_offset(), false, false);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    // Also behind control records that came without a message, as those of a transaction that was aborted.
                    (reader.at_end, reader.is_past_controls) = (true, false);
                    break;
                }
                Some(Err(error)) => return Err(self.read_failed(from, &error)),
                None if reader.at_end || !batch.is_empty() => break,
                None if self.clock.monotonic().saturating_sub(began) > TIMEOUT => {
                    return Err(self.failed(&KafkaError::Canceled));
                }
                None => {}
            }
        }
        Ok(batch)
    }

    fn read_failed(&self, from: u64, error: &KafkaError) -> LogError {
        match self.bounds() {
            Ok(bounds) if client::is_out_of_range(error) => {
                LogError::OffsetOutOfRange { location: "the results".to_owned(), requested: from, bounds }
            }
            _ => self.failed(error),
        }
    }

    fn failed(&self, error: &KafkaError) -> LogError {
        LogError::Cluster { operation: format!("read {}", self.topic), reason: error.to_string() }
    }
}
