//! The topic: the thread that reads it and renews leases, and the records that are written.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::stop::Stop;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;

use super::agreed::Read;
use super::record::Entry;
use super::{Elections, Written};
use crate::client::{self, Isolation, LogContext, TIMEOUT};
use crate::producer::{Acknowledgements, Pending, send};

/// How long one poll waits for records.
const POLL: Duration = Duration::from_millis(100);

/// How long a broker waits for records.
const FETCH_WAIT_MS: &str = "500";

/// How long to wait before the topic is read anew after an error.
const RETRY: Duration = Duration::from_secs(1);

/// The time for a record to reach the brokers, in milliseconds.
const MESSAGE_TIMEOUT_MS: &str = "10000";

impl Elections {
    /// Reads the topic and renews leases until `stop` is set. It waits for the first request that needs it.
    pub fn run(&self, stop: &Stop) {
        self.lock().stop = Some(stop.clone());
        stop.wait_for(Duration::MAX, || self.lock().is_wanted.then_some(()));
        while !stop.is_set() {
            if let Err(error) = self.read(stop) {
                self.lock().forget(format!("{error:#}"));
                self.changed.notify_all();
                stop.rest(RETRY);
            }
        }
    }

    /// Reads the topic until `stop` is set.
    fn read(&self, stop: &Stop) -> anyhow::Result<()> {
        let consumer = self.consumer()?;
        self.lock().producer = Some(Arc::new(self.producer()?));
        while !stop.is_set() {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.apply(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let mut state = self.lock();
                    (state.is_read, state.failure) = (true, None);
                    drop(state);
                    self.changed.notify_all();
                }
                // librdkafka reconnects by itself. Meanwhile leases run out, and requests fail.
                Some(Err(error)) if client::is_unreachable(&error) => {
                    self.lock().failure = Some(error.to_string());
                }
                Some(Err(error)) => return Err(self.explain("read", "Read", &error)),
                None => {}
            }
            anyhow::ensure!(!self.lock().is_broken, "topic {}: its producer failed; another one is made", self.topic);
            self.renew();
        }
        Ok(())
    }

    fn consumer(&self) -> anyhow::Result<BaseConsumer<LogContext>> {
        let mut config = self.connection.reader(&self.group, Isolation::Committed);
        // A record ends the wait of the broker; without any there are few requests.
        config.set("fetch.wait.max.ms", FETCH_WAIT_MS);
        let consumer: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
        let metadata = consumer.fetch_metadata(Some(&self.topic), TIMEOUT);
        let metadata = metadata.map_err(|error| self.explain("read", "Read", &error))?;
        if let Some(code) = metadata.topics().iter().find_map(|topic| topic.error()) {
            return Err(self.explain("read", "Read", &KafkaError::MetadataFetch(code.into())));
        }
        consumer.assign(&client::partition_0(&self.topic, Offset::Beginning)?)?;
        Ok(consumer)
    }

    fn producer(&self) -> anyhow::Result<ThreadedProducer<Acknowledgements>> {
        let mut config = self.connection.producer(&format!("{}/elections", self.process));
        config.set("linger.ms", "0").set("message.timeout.ms", MESSAGE_TIMEOUT_MS);
        let producer = ThreadedProducer::from_config_and_context(&config, Acknowledgements)?;
        // With the metadata in its cache a producer sends at once; without, it takes a second.
        producer.client().fetch_metadata(Some(&self.topic), TIMEOUT).context("read the metadata of the topic")?;
        Ok(producer)
    }

    fn apply(&self, message: &BorrowedMessage<'_>) {
        let now = self.clock.monotonic();
        let Some(cluster) = message.key().and_then(|key| std::str::from_utf8(key).ok()) else { return };
        let at = message.timestamp().to_millis().unwrap_or(0);
        let mut state = self.lock();
        let Some(payload) = message.payload() else { return state.agreed.forget(cluster, at) };
        let Some(entry) = Entry::decode(payload) else { return };
        let own = (entry.by == self.process).then_some(entry.number);
        let sent = own.and_then(|number| state.sent.remove(&number));
        let (offset, is_of_before) = (message.offset().unsigned_abs(), !state.is_read);
        state.agreed.apply(cluster, &entry, Read { offset, at, now, is_of_before, sent });
        if let Some(number) = own {
            state.read_back = state.read_back.max(number);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Renews the leases that are due, and forgets clusters that have been silent for long.
    fn renew(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        if !state.is_read {
            return;
        }
        let due = state.agreed.due(now);
        let mut records: Vec<Written> =
            due.into_iter().map(|(cluster, entry)| (cluster, Some(state.number(entry, &self.process, now)))).collect();
        records.extend(state.agreed.gone(now).into_iter().map(|cluster| (cluster, None)));
        let producer = state.producer.clone();
        drop(state);
        if let Some(producer) = producer.filter(|_| !records.is_empty()) {
            // A record that is lost renews no lease: the next request finds out.
            let _ = self.write(&producer, &records);
        }
    }

    /// Puts records into the queue of the producer.
    pub(super) fn write(
        &self,
        producer: &ThreadedProducer<Acknowledgements>,
        records: &[Written],
    ) -> Result<Arc<Pending>, KafkaError> {
        let pending = Arc::new(Pending::default());
        for (cluster, value) in records {
            let record = BaseRecord::<str, [u8], _>::with_opaque_to(&self.topic, Arc::clone(&pending));
            let record = record.partition(0).key(cluster.as_str());
            let record = if let Some(value) = value { record.payload(value.as_slice()) } else { record };
            send(producer, record, &pending)?;
        }
        Ok(pending)
    }
}
