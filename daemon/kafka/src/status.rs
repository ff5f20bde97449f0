//! The status of all partitions of the group, from any of its daemons.
//!
//! The offsets are the group's, as committed in the transactions. The metadata of each offset contains its owner, the
//! watermark and the number of objects. So one request to the brokers returns the status of all partitions, and tools
//! such as `kafka-consumer-groups` show the same lag.
//!
//! A thread of its own requests the offsets, in a round whenever the status is wanted. A caller waits for a moment for a
//! round that began after it came: longer if the last one has succeeded and took long. While the brokers do not answer
//! it gets what the last round found, with its age. Cursor and end are always of one round, and so is the lag between
//! them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::{Stop, Unfinished};
use daemon_log::PartitionId;
use daemon_partition::{MemberStatus, PartitionStatus, StatusSource, TableStatus, WorkerTelemetry};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::debug;

use crate::client::{self, Isolation, LogContext, TIMEOUT};
use crate::end_offsets;
use crate::health::Health;
use crate::input_topics::InputTopics;
use crate::member::OffsetMetadata;
use crate::settings::KafkaSettings;
use crate::topology::Topology;

/// How long a caller waits for a round; one that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a caller waits at most where the last round took long.
const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// The status of all partitions of the group, from the offsets that their owners committed.
pub(crate) struct GroupStatus {
    client: BaseConsumer<LogContext>,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    telemetry: Arc<WorkerTelemetry>,
    health: Arc<Health>,
    rounds: Rounds,
}

/// The offsets of one input partition.
#[derive(Debug, Default, PartialEq)]
struct Offsets {
    /// The cursor of this process, if it works on the partition.
    own: Option<u64>,
    committed: Option<u64>,
    end: Option<u64>,
    metadata: OffsetMetadata,
}

impl Offsets {
    fn cursor(&self) -> u64 {
        self.own.or(self.committed).unwrap_or(0)
    }

    fn lag(&self) -> u64 {
        self.end.unwrap_or(0).saturating_sub(self.cursor())
    }
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
        health: &Arc<Health>,
    ) -> Result<Self, KafkaError> {
        let config = own.connection.reader(&own.names.group, Isolation::Committed);
        let client = BaseConsumer::from_config_and_context(&config, LogContext)?;
        let (telemetry, rounds) = (Arc::clone(telemetry), Rounds::new(Arc::clone(clock), PATIENCE));
        Ok(Self { client, topics, topology, telemetry, health: Arc::clone(health), rounds })
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

    /// Requests the committed offsets and the end offsets of all input partitions of all streams. The own cursors are
    /// those from before: a lag of 0 is never shown while there was one.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer, or the topics are not known yet: without any, there would be no partition to
    /// show.
    fn request(&self) -> anyhow::Result<Found> {
        client::discard_events(&self.client);
        anyhow::ensure!(self.topology.is_known(), "the topics have not been polled yet");
        let shapes = self.topology.shapes().into_iter().zip(0..);
        let ids = shapes.flat_map(|(shape, stream)| (0..shape.inputs).map(move |it| PartitionId::new(stream, it)));
        let ids: Vec<_> = ids.collect();
        if ids.is_empty() {
            return Ok(Found::new());
        }
        let list = |offset| self.topics.list(ids.iter().map(|id| (*id, offset)));
        let own = self.telemetry.tables();
        let committed = self.client.committed_offsets(list(Offset::Invalid), TIMEOUT)?;
        let ends = end_offsets::request(&self.client, &list(Offset::End))?;
        let found = ids.into_iter().map(|id| {
            let own = self.own(id, &own).and_then(|status| status.cursors.get(&id.partition).copied());
            (id, Offsets { own, ..self.offsets(id, &committed, &ends) })
        });
        Ok(found.collect())
    }

    /// The status of an input partition's shard, if this process works on it.
    fn own<'t>(&self, id: PartitionId, own: &'t BTreeMap<PartitionId, TableStatus>) -> Option<&'t TableStatus> {
        self.topology.shard_of(id).and_then(|shard| own.get(&shard))
    }

    fn offsets(&self, id: PartitionId, committed: &TopicPartitionList, ends: &TopicPartitionList) -> Offsets {
        let (topic, partition) = (self.topics.name(id.stream), i32::from(id.partition));
        let offset = |list: &TopicPartitionList| match list.find_partition(topic, partition).map(|it| it.offset()) {
            Some(Offset::Offset(offset)) => Some(offset.unsigned_abs()),
            _ => None,
        };
        let metadata = committed.find_partition(topic, partition).map(|it| it.metadata().to_owned());
        let metadata = OffsetMetadata::from_json(&metadata.unwrap_or_default());
        Offsets { own: None, committed: offset(committed), end: offset(ends), metadata }
    }

    fn partition(
        &self,
        id: PartitionId,
        offsets: &Offsets,
        own: &BTreeMap<PartitionId, TableStatus>,
        age: Duration,
    ) -> PartitionStatus {
        let metadata = &offsets.metadata;
        let (watermark, objects) = metadata.of(self.topics.stream(id.stream));
        let status = self.own(id, own);
        let shard = self.topology.shard_of(id).filter(|_| self.topology.is_grown(id.stream));
        PartitionStatus {
            stream: self.topics.stream(id.stream).to_owned(),
            partition: id.partition,
            owner: (!metadata.owner.is_empty()).then(|| metadata.owner.clone()),
            cursor: offsets.cursor(),
            lag: offsets.lag(),
            watermark: status.map_or(watermark, |status| status.watermark),
            objects: status.map_or(objects, |status| status.objects as u64),
            shard: shard.map(|shard| shard.partition),
            age: Some(age),
            table: status.cloned(),
        }
    }
}

impl StatusSource for GroupStatus {
    fn partitions(&self) -> anyhow::Result<Vec<PartitionStatus>> {
        let Some((found, age)) = self.rounds.newest() else {
            let reason = self.health.waits_for().unwrap_or_else(|| "the daemon starts; ask again".to_owned());
            anyhow::bail!("no broker has answered with the offsets of the group yet: {reason}");
        };
        let own = self.telemetry.tables();
        let exists = |id: PartitionId| id.partition < self.topology.shape(id.stream).inputs;
        let found = found.iter().filter(|(id, _)| exists(**id));
        Ok(found.map(|(id, offsets)| self.partition(*id, offsets, &own, age)).collect())
    }

    fn members(&self) -> Option<Vec<MemberStatus>> {
        Some(self.health.members())
    }
}

/// The rounds of requests, each with a number from 1: one thread makes them, and others wait for them.
struct Rounds {
    clock: Arc<dyn Clock>,
    /// How long a caller waits where the last round did not take long.
    patience: Duration,
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
    /// How long the last round took, if it has succeeded.
    took: Duration,
    /// What the last round that succeeded has found, and when it began.
    found: Option<(Arc<Found>, Duration)>,
}

impl Rounds {
    fn new(clock: Arc<dyn Clock>, patience: Duration) -> Self {
        Self { clock, patience, progress: Mutex::default(), ended: Condvar::new(), waiting: OnceLock::new() }
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
        let now = self.clock.monotonic();
        let mut progress = self.progress();
        progress.ended = progress.begun;
        progress.took = found.as_ref().map_or(Duration::ZERO, |_| now.saturating_sub(progress.began));
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
        let patience = self.patience(&progress);
        let hangs = progress.ended < progress.begun && came.saturating_sub(progress.began) >= patience;
        drop(progress);
        // Without the lock: the thread takes it while it holds that of the flag.
        self.waiting.get().into_iter().for_each(Stop::wake);
        let mut progress = self.progress();
        if !hangs {
            let waits = self.ended.wait_timeout_while(progress, patience, |progress| progress.ended < next);
            progress = waits.unwrap_or_else(PoisonError::into_inner).0;
        }
        let (found, as_of) = progress.found.clone()?;
        Some((found, came.saturating_sub(as_of)))
    }

    /// How long a caller waits. It may come at the beginning of a round, and needs the one after that.
    fn patience(&self, progress: &Progress) -> Duration {
        progress.took.saturating_mul(2).min(MAX_PATIENCE).max(self.patience)
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

    const SECOND: Duration = Duration::from_secs(1);

    /// A wait of that long is a failure of the test, on any machine.
    const NEVER: Duration = Duration::from_secs(3600);

    fn rounds(patience: Duration) -> (Arc<ManualClock>, Arc<Rounds>) {
        let clock = Arc::new(ManualClock::at(0));
        let rounds = Arc::new(Rounds::new(Arc::clone(&clock) as Arc<dyn Clock>, patience));
        (clock, rounds)
    }

    /// Begins a round that somebody wants.
    fn begin(rounds: &Rounds) {
        rounds.progress().wanted += 1;
        assert!(rounds.begin(&Stop::default()));
    }

    #[test]
    fn a_caller_gets_a_round_that_began_after_it_came() {
        let (clock, rounds) = rounds(NEVER);
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
        for partitions in 0..3 {
            clock.advance(SECOND);
            let ids = (0..partitions).map(|number| (PartitionId::new(0, number), Offsets::default()));
            answer.send(Some(ids.collect())).unwrap();
            let (found, age) = rounds.newest().unwrap();
            assert_eq!((found.len(), age), (usize::from(partitions), Duration::ZERO));
        }
        stop.set();
        drop(answer);
        thread.join().unwrap();
    }

    #[test]
    fn without_an_answer_a_caller_gets_the_last_round_with_its_age() {
        for (patience, waited) in [(Duration::from_millis(1), Duration::ZERO), (NEVER, NEVER)] {
            let (clock, rounds) = rounds(patience);
            rounds.end(Some(Found::new()));
            clock.advance(5 * SECOND);
            begin(&rounds);
            // One that has hung for that long is not waited for.
            clock.advance(waited);
            for _ in 0..100 {
                assert_eq!(rounds.newest(), Some((Arc::default(), 5 * SECOND + waited)));
            }
        }
    }

    #[test]
    fn a_caller_waits_longer_where_the_last_round_succeeded_and_took_long() {
        let (clock, rounds) = rounds(PATIENCE);
        let round = |takes: Duration, found: Option<Found>| {
            begin(&rounds);
            clock.advance(takes);
            rounds.end(found);
            rounds.patience(&rounds.progress())
        };
        assert_eq!(round(SECOND / 10, Some(Found::new())), PATIENCE);
        assert_eq!(round(2 * SECOND, Some(Found::new())), 4 * SECOND);
        assert_eq!(round(9 * SECOND, Some(Found::new())), MAX_PATIENCE);
        assert_eq!(round(10 * SECOND, None), PATIENCE);
    }

    #[test]
    fn the_lag_is_that_of_one_round() {
        let mut offsets = Offsets { committed: Some(7), end: Some(20), ..Offsets::default() };
        assert_eq!((offsets.cursor(), offsets.lag()), (7, 13));
        offsets.own = Some(12);
        assert_eq!((offsets.cursor(), offsets.lag()), (12, 8));
    }
}
