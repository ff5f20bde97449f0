//! Requests to the brokers about topics: each call blocks until it has a response or times out.
//!
//! Partition counts are requested through one consumer, so that its connections are reused. It requests the metadata of
//! each topic by name: a list of all topics is long on a shared cluster, and omits the topics that the user may not see
//! instead of reporting an error; only a daemon that is not admitted yet, or gives way, requests one. An admin client is made for each use only: nothing takes events out of its queue,
//! which would grow while brokers are unreachable.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::error::{self, Operation};
use super::plan::{Purpose, Settings};
use crate::client::{self, Connection, LogContext};
use crate::topic_id::{self, IdContext, TopicId};

/// The timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for the creation of a topic on all its replicas.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one poll waits for an event of the client.
const EVENT_WAIT: Duration = Duration::from_millis(1);

/// The client for metadata of topics.
pub(super) struct Cluster {
    connection: Connection,
    brokers: String,
    consumer: BaseConsumer<LastError>,
}

impl Cluster {
    /// Makes the client; it connects with the first request.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a property.
    pub(super) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let config = IdContext::configure(connection.admin());
        let brokers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        let consumer = config.create_with_context(LastError::default()).map_err(|error| unusable(&error))?;
        Ok(Self { connection: connection.clone(), brokers, consumer })
    }

    /// Requests the number of partitions of a topic; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// When no broker responds, or the user lacks a right.
    pub(super) fn partitions(&self, topic: &str) -> anyhow::Result<Option<u16>> {
        let answer = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        topic_id::wait(|| self.id(topic), || self.take_events());
        let metadata = answer.map_err(|error| self.failed(Operation::Describe, topic, &error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(Code::from) {
            // A partition counts even while it has no leader.
            None | Some(Code::LeaderNotAvailable) => {
                let partitions = u16::try_from(found.partitions().len()).unwrap_or(u16::MAX);
                Ok((partitions > 0).then_some(partitions))
            }
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => Ok(None),
            Some(code) => Err(error::explain(Operation::Describe, topic, code, &self.unreachable())),
        }
    }

    /// Requests the names of all topics that the user may see.
    ///
    /// # Errors
    ///
    /// When no broker responds.
    pub(super) fn names(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.consumer.fetch_metadata(None, REQUEST_TIMEOUT);
        self.take_events();
        let metadata = answer.map_err(|error| self.failed(Operation::Describe, "(all)", &error))?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// The id of a topic, as of the last request for its partitions; `None` if the brokers have no ids.
    pub(super) fn id(&self, topic: &str) -> Option<TopicId> {
        self.consumer.context().ids.id(topic)
    }

    /// Makes a client that reads the settings of topics and creates topics.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a property.
    pub(super) fn admin(&self) -> anyhow::Result<Admin<'_>> {
        let client = self.connection.admin().create_with_context(LogContext).map_err(|error| unusable(&error))?;
        Ok(Admin { cluster: self, client })
    }

    /// Takes the events out of the client's queue, which would grow otherwise.
    fn take_events(&self) {
        while self.consumer.poll(EVENT_WAIT).is_some() {}
    }

    fn failed(&self, operation: Operation, topic: &str, error: &KafkaError) -> anyhow::Error {
        match error::code(error) {
            Some(code) => error::explain(operation, topic, code, &self.unreachable()),
            None => anyhow::anyhow!("cannot {operation} topic {topic}: {error}"),
        }
    }

    fn unreachable(&self) -> String {
        error::unreachable(&self.brokers, self.consumer.context().last().as_ref())
    }
}

/// The client that reads the settings of topics and creates topics.
pub(super) struct Admin<'c> {
    cluster: &'c Cluster,
    client: AdminClient<LogContext>,
}

impl Admin<'_> {
    /// Reads the settings of a topic that exists.
    ///
    /// # Errors
    ///
    /// When no broker responds, or the user lacks a right.
    pub(super) fn settings(&self, topic: &str) -> anyhow::Result<Settings> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let answers = block_on(self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
        let answers = answers.map_err(|error| self.cluster.failed(Operation::Settings, topic, &error))?;
        match answers.into_iter().next() {
            Some(Ok(resource)) => Ok(Settings {
                timestamp_type: value(&resource, topic, "message.timestamp.type")?.to_owned(),
                // -1: for ever.
                retention: value(&resource, topic, "retention.ms")?.parse().ok().map(Duration::from_millis),
                compaction_lag: Duration::from_millis(value(&resource, topic, "min.compaction.lag.ms")?.parse()?),
                cleanup_policy: value(&resource, topic, "cleanup.policy")?.to_owned(),
                max_message_bytes: value(&resource, topic, "max.message.bytes")?.parse()?,
            }),
            Some(Err(code)) => Err(error::explain(Operation::Settings, topic, code, &self.cluster.unreachable())),
            None => anyhow::bail!(
                "cannot read the settings of topic {topic}: the brokers sent an empty response; try again"
            ),
        }
    }

    /// Creates a topic; returns `false` if it exists already. A `replication` of 0 means the default of the brokers.
    ///
    /// # Errors
    ///
    /// When no broker responds, the user lacks a right, or the brokers reject the settings.
    pub(super) fn create(
        &self,
        topic: &str,
        purpose: Purpose,
        partitions: u16,
        replication: u16,
    ) -> anyhow::Result<bool> {
        let copies = if replication == 0 { -1 } else { i32::from(replication) };
        let mut new = NewTopic::new(topic, partitions.into(), TopicReplication::Fixed(copies));
        for (name, value) in purpose.settings() {
            new = new.set(name, value);
        }
        let options = AdminOptions::new();
        let options = options.request_timeout(Some(CREATE_TIMEOUT)).operation_timeout(Some(CREATE_TIMEOUT));
        let answers = block_on(self.client.create_topics(&[new], &options));
        let answers = answers.map_err(|error| self.cluster.failed(Operation::Create, topic, &error))?;
        match answers.into_iter().next() {
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(error::explain(Operation::Create, topic, code, &self.cluster.unreachable())),
            Some(Ok(_)) | None => Ok(true),
        }
    }
}

fn value<'r>(resource: &'r ConfigResource, topic: &str, name: &str) -> anyhow::Result<&'r str> {
    let value = resource.get(name).and_then(|entry| entry.value.as_deref());
    value.ok_or_else(|| {
        anyhow::anyhow!("the response of the brokers does not contain {name} of topic {topic}; use Kafka 1.1 or later")
    })
}

fn unusable(error: &KafkaError) -> anyhow::Error {
    anyhow::anyhow!(
        "librdkafka rejects the configuration: {error}; check the section [kafka], in particular kafka.properties"
    )
}

/// The client context that keeps the ids of topics, and the last connection error with its code: the error of a call is
/// only a timeout.
#[derive(Debug, Default)]
struct LastError {
    error: Mutex<Option<(Code, String)>>,
    ids: IdContext,
}

impl LastError {
    fn last(&self) -> Option<(Code, String)> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for LastError {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if !self.ids.takes(level, message) {
            client::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client.");
        // `AllBrokersDown` follows the error of each broker, and contains no reason.
        if let Some(code) = error.rdkafka_error_code().filter(|code| *code != Code::AllBrokersDown) {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for LastError {}

/// Waits for a future on this thread. librdkafka's thread completes it, so no runtime is needed; and unlike a runtime,
/// this may be called within another.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_that_of_a_broker() {
        let last_error = LastError::default();
        last_error.error(KafkaError::Global(Code::BrokerTransportFailure), "a:1/bootstrap: Connection refused");
        last_error.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        let expected = (Code::BrokerTransportFailure, "a:1/bootstrap: Connection refused".to_owned());
        assert_eq!(last_error.last(), Some(expected));
    }

    #[test]
    fn block_on_returns_when_another_thread_completes_the_future() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(7)
        });
        assert_eq!(block_on(receiver), Ok(7));
        assert_eq!(other.join().unwrap(), Ok(()));
    }
}
