//! What is asked of the brokers about topics: each call blocks until it is answered or given up.
//!
//! Looking goes through a consumer that is kept, as its connections are. It asks for each topic by name: a list of all
//! would be long on a shared cluster, and would leave out what the user may not see instead of saying so. An
//! administrator's client is made when needed only: nothing takes what it has to say out of its queue, which would grow
//! as long as brokers are away.

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

use super::fault::{self, Operation};
use super::plan::{Purpose, Settings};
use crate::client::{self, Connection, Spoken};

/// How long brokers have to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long they may take to make a topic on all that keep it.
const PATIENCE_TO_CREATE: Duration = Duration::from_secs(30);

/// How long to listen for what the client has to say.
const LISTEN: Duration = Duration::from_millis(1);

/// The brokers, with a connection that is kept.
pub(super) struct Cluster {
    connection: Connection,
    brokers: String,
    consumer: BaseConsumer<Heard>,
}

impl Cluster {
    /// Makes the client; it connects when it is asked something.
    ///
    /// # Errors
    ///
    /// When a property of librdkafka is wrong.
    pub(super) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let config = connection.admin();
        let brokers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        let consumer = config.create_with_context(Heard::default()).map_err(|error| unusable(&error))?;
        Ok(Self { connection: connection.clone(), brokers, consumer })
    }

    /// How many partitions a topic has; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// When no broker answers, or the user may not know.
    pub(super) fn partitions(&self, topic: &str) -> anyhow::Result<Option<u16>> {
        let answer = self.consumer.fetch_metadata(Some(topic), PATIENCE);
        self.listen();
        let metadata = answer.map_err(|error| self.failed(Operation::Look, topic, &error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(Code::from) {
            // A partition without a leader at this moment is one all the same.
            None | Some(Code::LeaderNotAvailable) => {
                let partitions = u16::try_from(found.partitions().len()).unwrap_or(u16::MAX);
                Ok((partitions > 0).then_some(partitions))
            }
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => Ok(None),
            Some(code) => Err(fault::explain(Operation::Look, topic, code, &self.unreachable())),
        }
    }

    /// A client that reads settings and makes topics.
    ///
    /// # Errors
    ///
    /// When a property of librdkafka is wrong.
    pub(super) fn administrator(&self) -> anyhow::Result<Administrator<'_>> {
        let client = self.connection.admin().create_with_context(Spoken).map_err(|error| unusable(&error))?;
        Ok(Administrator { cluster: self, client })
    }

    /// Takes what the client has to say out of its queue, which would else grow.
    fn listen(&self) {
        while self.consumer.poll(LISTEN).is_some() {}
    }

    fn failed(&self, operation: Operation, topic: &str, error: &KafkaError) -> anyhow::Error {
        match fault::code(error) {
            Some(code) => fault::explain(operation, topic, code, &self.unreachable()),
            None => anyhow::anyhow!("cannot {operation} topic {topic}: {error}"),
        }
    }

    fn unreachable(&self) -> String {
        fault::unreachable(&self.brokers, self.consumer.context().last().as_ref())
    }
}

/// Reads settings and makes topics.
pub(super) struct Administrator<'c> {
    cluster: &'c Cluster,
    client: AdminClient<Spoken>,
}

impl Administrator<'_> {
    /// Reads the settings of a topic that exists.
    ///
    /// # Errors
    ///
    /// When no broker answers, or the user may not know.
    pub(super) fn settings(&self, topic: &str) -> anyhow::Result<Settings> {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let answers = block_on(self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
        let answers = answers.map_err(|error| self.cluster.failed(Operation::Settings, topic, &error))?;
        match answers.into_iter().next() {
            Some(Ok(resource)) => Ok(Settings {
                cleanup_policy: value(&resource, topic, "cleanup.policy")?.to_owned(),
                max_message_bytes: value(&resource, topic, "max.message.bytes")?.parse()?,
            }),
            Some(Err(code)) => Err(fault::explain(Operation::Settings, topic, code, &self.cluster.unreachable())),
            None => anyhow::bail!("cannot read the settings of topic {topic}: the brokers gave no answer; try again"),
        }
    }

    /// Makes a topic; whether it was us and not another at the same time. `replication` 0 is what the brokers think
    /// best.
    ///
    /// # Errors
    ///
    /// When no broker answers, the user may not, or it cannot be as it should.
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
        let options = options.request_timeout(Some(PATIENCE_TO_CREATE)).operation_timeout(Some(PATIENCE_TO_CREATE));
        let answers = block_on(self.client.create_topics(&[new], &options));
        let answers = answers.map_err(|error| self.cluster.failed(Operation::Create, topic, &error))?;
        match answers.into_iter().next() {
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(fault::explain(Operation::Create, topic, code, &self.cluster.unreachable())),
            Some(Ok(_)) | None => Ok(true),
        }
    }
}

fn value<'r>(resource: &'r ConfigResource, topic: &str, name: &str) -> anyhow::Result<&'r str> {
    let value = resource.get(name).and_then(|entry| entry.value.as_deref());
    value.ok_or_else(|| {
        anyhow::anyhow!("the brokers do not say what {name} of topic {topic} is; use Kafka 1.1 or later")
    })
}

fn unusable(error: &KafkaError) -> anyhow::Error {
    anyhow::anyhow!("Kafka's client cannot be made: {error}; check the section [kafka], kafka.properties above all")
}

/// Keeps the last reason why a broker could not be reached, with its code: the calls themselves only say that time is
/// over.
#[derive(Debug, Default)]
struct Heard(Mutex<Option<(Code, String)>>);

impl Heard {
    fn last(&self) -> Option<(Code, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client.");
        // That all are away follows each reason for it, and says less.
        if let Some(code) = error.rdkafka_error_code().filter(|code| *code != Code::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Heard {}

/// Waits on this thread. The answers come from a thread of the client's own, so no runtime is needed; and unlike a
/// runtime, this may be called from within another.
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
    fn brokers_that_are_away_are_named_with_the_reason() {
        let heard = Heard::default();
        heard.error(KafkaError::Global(Code::BrokerTransportFailure), "a:1/bootstrap: Connection refused");
        heard.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        let expected = (Code::BrokerTransportFailure, "a:1/bootstrap: Connection refused".to_owned());
        assert_eq!(heard.last(), Some(expected));
    }

    #[test]
    fn waiting_ends_when_another_thread_answers() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(7)
        });
        assert_eq!(block_on(receiver), Ok(7));
        assert_eq!(other.join().unwrap(), Ok(()));
    }
}
