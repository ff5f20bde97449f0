//! The status of all partitions of the group, from any of its daemons.
//!
//! The offsets are the group's, as committed in the transactions. The metadata of each offset contains its owner, the
//! watermark and the number of objects. So one request to the brokers returns the status of all partitions, and tools
//! such as `kafka-consumer-groups` show the same lag.
//!
//! A thread of its own requests the offsets, in a round whenever the status is wanted. A caller waits for a moment for a
//! round that began after it came. While the brokers do not answer it gets what the last round found, with its age.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::{Stop, Unfinished};
use daemon_log::PartitionId;
use daemon_partition::{PartitionStatus, StatusSource, TableStatus, WorkerTelemetry};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;
use tracing::debug;

use crate::client::{self, Isolation, LogContext, TIMEOUT};
use crate::end_offsets;
use crate::input_topics::InputTopics;
use crate::settings::KafkaSettings;
use crate::topology::Topology;

/// How long a caller waits for a round; one that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The status of all partitions of the group, from the offsets that their owners committed.
pub(crate) struct GroupStatus {
    client: BaseConsumer<LogContext>,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    telemetry: Arc<WorkerTelemetry>,
    rounds: Rounds,
}

/// The offsets of one input partition.
#[derive(Debug, Default, PartialEq)]
struct Offsets {
    committed: Option<u64>,
    end: Option<u64>,
    metadata: OffsetMetadata,
}

/// The metadata that the owner of a shard commits with its offsets.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct OffsetMetadata {
    owner: String,
    watermark: u64,
    objects: u64,
}

/// What a round has found.
type Found = BTreeMap<PartitionId, Offsets>;

impl GroupStatus {
    pub(crate) fn new(
        own: &KafkaSettings,
        topics: Arc<InputTopics>,
        topology: Arc<Topology>,
        telemetry: &Arc<WorkerTelemetry>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        let config = own.connection.reader(&own.names.group, Isolation::Committed);
        let client = BaseConsumer::from_config_and_context(&config, LogContext)?;
        let (telemetry, rounds) = (Arc::clone(telemetry), Rounds::new(Arc::clone(clock)));
        Ok(Self { client, topics, topology, telemetry, rounds })
    }

    /// Requests the offsets whenever the status is wanted, until `stop` is set. A stop does not wait for brokers that do
    /// not answer.
    pub(crate) fn run(self: &Arc<Self>, stop: &Stop) {
        while self.rounds.begin(stop) {
            let own = Arc::clone(self);
            let found = match stop.aside("status", Duration::ZERO, move || own.request()) {
                Ok(Ok(found)) => Some(found),
                Ok(Err(error)) => {
                    debug!(%error, "The offsets of the group cannot be read.");
                    None
                }
                Err(Unfinished::Stopped) => return,
                Err(error) => {
                    debug!(?error, "The offsets of the group cannot be read.");
                    None
                }
            };
            self.rounds.end(found);
        }
    }

    /// Requests the committed offsets and the end offsets of all input partitions of all streams.
    fn request(&self) -> Result<Found, KafkaError> {
        client::discard_events(&self.client);
        let shapes = self.topology.shapes().into_iter().zip(0..);
        let ids = shapes.flat_map(|(shape, stream)| (0..shape.inputs).map(move |it| PartitionId::new(stream, it)));
        let ids: Vec<_> = ids.collect();
        if ids.is_empty() {
            return Ok(Found::new());
        }
        let list = |offset| self.topics.list(ids.iter().map(|id| (*id, offset)));
        let committed = self.client.committed_offsets(list(Offset::Invalid), TIMEOUT)?;
        let ends = end_offsets::request(&self.client, &list(Offset::End))?;
        Ok(ids.into_iter().map(|id| (id, self.offsets(id, &committed, &ends))).collect())
    }

    fn offsets(&self, id: PartitionId, committed: &TopicPartitionList, ends: &TopicPartitionList) -> Offsets {
        let (topic, partition) = (self.topics.name(id.stream), i32::from(id.partition));
        let offset = |list: &TopicPartitionList| match list.find_partition(topic, partition).map(|it| it.offset()) {
            Some(Offset::Offset(offset)) => Some(offset.unsigned_abs()),
            _ => None,
        };
        let metadata = committed.find_partition(topic, partition).map(|it| it.metadata().to_owned());
        let metadata = serde_json::from_str(&metadata.unwrap_or_default()).unwrap_or_default();
        Offsets { committed: offset(committed), end: offset(ends), metadata }
    }

    fn partition(
        &self,
        id: PartitionId,
        offsets: &Offsets,
        own: &BTreeMap<PartitionId, TableStatus>,
        age: Duration,
    ) -> PartitionStatus {
        let Offsets { committed, end, metadata } = offsets;
        let status = self.topology.shard_of(id).and_then(|shard| own.get(&shard));
        let cursor = status.and_then(|status| status.cursors.get(&id.partition).copied()).or(*committed).unwrap_or(0);
        PartitionStatus {
            stream: self.topics.stream(id.stream).to_owned(),
            partition: id.partition,
            owner: (!metadata.owner.is_empty()).then(|| metadata.owner.clone()),
            cursor,
            lag: end.unwrap_or(0).saturating_sub(cursor),
            watermark: status.map_or(metadata.watermark, |status| status.watermark),
            objects: status.map_or(metadata.objects, |status| status.objects as u64),
            age: Some(age),
            table: status.cloned(),
        }
    }
}

impl StatusSource for GroupStatus {
    fn partitions(&self) -> anyhow::Result<Vec<PartitionStatus>> {
        let Some((found, age)) = self.rounds.newest() else {
            anyhow::bail!(
                "no broker has answered with the offsets of the group yet; `GET /readyz` has the reason if there is one"
            );
        };
        let own = self.telemetry.tables();
        let exists = |id: PartitionId| id.partition < self.topology.shape(id.stream).inputs;
        let found = found.iter().filter(|(id, _)| exists(**id));
        Ok(found.map(|(id, offsets)| self.partition(*id, offsets, &own, age)).collect())
    }
}

/// The rounds of requests, each with a number from 1: one thread makes them, and others wait for them.
struct Rounds {
    clock: Arc<dyn Clock>,
    progress: Mutex<Progress>,
    /// Notified after each round.
    ended: Condvar,
    /// The flag at which the thread that makes the rounds waits.
    waiting: OnceLock<Stop>,
}

#[derive(Default)]
struct Progress {
    wanted: u64,
    begun: u64,
    ended: u64,
    /// When the last round began.
    began: Duration,
    /// What the last round that succeeded has found, and when it began.
    found: Option<(Arc<Found>, Duration)>,
}

impl Rounds {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, progress: Mutex::default(), ended: Condvar::new(), waiting: OnceLock::new() }
    }

    /// Waits until a round is wanted, and begins it; `false` if `stop` is set.
    fn begin(&self, stop: &Stop) -> bool {
        self.waiting.get_or_init(|| stop.clone());
        let is_wanted = || {
            let mut progress = self.progress();
            (progress.wanted > progress.begun).then(|| {
                progress.begun += 1;
                progress.began = self.clock.monotonic();
            })
        };
        stop.wait_for(Duration::MAX, is_wanted).is_some()
    }

    /// Ends a round; `None` if it has failed.
    fn end(&self, found: Option<Found>) {
        let mut progress = self.progress();
        progress.ended = progress.begun;
        if let Some(found) = found {
            progress.found = Some((Arc::new(found), progress.began));
        }
        self.ended.notify_all();
    }

    /// Requests a round and waits for it, but not for brokers that do not answer. Returns what the newest round has
    /// found, with its age; `None` if none has succeeded yet.
    fn newest(&self) -> Option<(Arc<Found>, Duration)> {
        let came = self.clock.monotonic();
        let mut progress = self.progress();
        let next = progress.begun + 1;
        progress.wanted = next;
        let hangs = progress.ended < progress.begun && came.saturating_sub(progress.began) >= PATIENCE;
        drop(progress);
        // Without the lock: the thread takes it while it holds that of the flag.
        self.waiting.get().into_iter().for_each(Stop::wake);
        let mut progress = self.progress();
        if !hangs {
            let waits = self.ended.wait_timeout_while(progress, PATIENCE, |progress| progress.ended < next);
            progress = waits.unwrap_or_else(PoisonError::into_inner).0;
        }
        let (found, as_of) = progress.found.clone()?;
        Some((found, came.saturating_sub(as_of)))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use daemon_base::clock::ManualClock;

    use super::*;

    #[test]
    fn a_caller_gets_a_round_that_began_after_it_came_or_else_the_last_one_with_its_age() {
        let clock = Arc::new(ManualClock::at(0));
        let rounds = Arc::new(Rounds::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let (stop, (answer, answers)) = (Stop::default(), mpsc::channel::<Option<Found>>());
        let thread = {
            let (rounds, stop) = (Arc::clone(&rounds), stop.clone());
            thread::spawn(move || {
                while rounds.begin(&stop) {
                    let Ok(found) = answers.recv() else { return };
                    rounds.end(found);
                }
            })
        };
        answer.send(None).unwrap();
        assert!(rounds.newest().is_none(), "the first round has failed");
        answer.send(Some(Found::from([(PartitionId::new(0, 0), Offsets::default())]))).unwrap();
        let (found, age) = rounds.newest().unwrap();
        assert_eq!((found.len(), age), (1, Duration::ZERO));
        // The brokers do not answer from here on: the first caller waits for a moment, all others do not.
        clock.advance(Duration::from_secs(5));
        assert_eq!(rounds.newest().unwrap().1, Duration::from_secs(5));
        clock.advance(Duration::from_secs(42));
        let system = daemon_base::clock::SystemClock::new();
        let began = system.monotonic();
        for _ in 0..100 {
            assert_eq!(rounds.newest().unwrap().1, Duration::from_secs(47));
        }
        assert!(system.monotonic() - began < 10 * PATIENCE, "each of them waits");
        answer.send(Some(Found::new())).unwrap();
        answer.send(Some(Found::new())).unwrap();
        let fresh = (0..5_000).find_map(|_| {
            thread::sleep(Duration::from_millis(1));
            rounds.newest().filter(|(_, age)| age.is_zero())
        });
        assert_eq!(fresh, Some((Arc::default(), Duration::ZERO)));
        stop.set();
        drop(answer);
        thread.join().unwrap();
    }
}
