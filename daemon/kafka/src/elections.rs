//! The elected replicas of the group: the records of one small topic, on whose order all daemons agree.
//!
//! [`agreed`] has the rules by which each daemon reads the same from the topic. What a daemon adds to them:
//!
//! * It takes samples of the elected replica only with a *lease*: for two thirds of `aggregation.replica_timeout` since it sent a
//!   record that it has read back as valid. Another daemon replaces the replica a whole timeout after it has *read* that
//!   record, so after the lease is over. Both spans are measured by a monotonic clock, so clocks that differ do no harm.
//! * While samples arrive, the lease is renewed in the background. A request waits for the brokers only where a replica is
//!   elected, or the lease is over.
//! * Nothing is read or written before a request has samples of a replica.

mod agreed;
mod record;
mod topic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{Candidate, ElectionCounts, GroupElections, LogError, Standing};
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use tracing::{info, warn};

use self::agreed::Agreed;
pub(crate) use self::agreed::COMPACTION_LAG;
use self::record::Entry;
use crate::client::{Connection, TIMEOUT};
use crate::producer::Acknowledgements;
use crate::settings::KafkaSettings;

/// After this time a record that was sent and not read back is not a lease.
const MAX_UNREAD: Duration = Duration::from_secs(60);

/// A record of the topic: its key, the cluster, and its value; without a value the cluster is forgotten.
type Written = (String, Option<Vec<u8>>);

/// The elections of one daemon: a reader of the topic, which runs on a thread of its own, and a producer.
pub struct Elections {
    connection: Connection,
    topic: String,
    /// The consumer group that librdkafka wants; nothing is committed.
    group: String,
    /// Tells the records of this process from others.
    process: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while this process settles candidates, with the time and the reason of the last failure.
    settling: Mutex<Option<(Duration, String)>>,
}

struct State {
    agreed: Agreed,
    /// Whether a request has asked for the topic.
    is_wanted: bool,
    /// Wakes the thread that reads it.
    stop: Option<Stop>,
    /// Whether the topic was read up to its end.
    is_read: bool,
    /// There while the topic is read.
    producer: Option<Arc<ThreadedProducer<Acknowledgements>>>,
    /// Whether the producer cannot be used any more.
    is_broken: bool,
    /// Why the topic cannot be read.
    failure: Option<String>,
    /// The number of the last record of this process.
    written: u64,
    /// The number of the last record of this process that was read back.
    read_back: u64,
    /// When the records were sent that are not read back.
    sent: BTreeMap<u64, Duration>,
    is_failure_logged: bool,
}

impl Elections {
    /// The elections of the group of these settings. It connects when the first sample of a replica arrives.
    pub fn new(own: &KafkaSettings, clock: &Arc<dyn Clock>) -> Self {
        let state = State {
            agreed: Agreed::new(own.election_timeout),
            is_wanted: false,
            stop: None,
            is_read: false,
            producer: None,
            is_broken: false,
            failure: None,
            written: 0,
            read_back: 0,
            sent: BTreeMap::new(),
            is_failure_logged: false,
        };
        Self {
            connection: own.connection.clone(),
            topic: own.names.elections(),
            group: format!("{}-elections", own.names.group),
            process: format!("{}/{}", own.names.instance, own.names.process),
            clock: Arc::clone(clock),
            state: Mutex::new(state),
            changed: Condvar::new(),
            settling: Mutex::default(),
        }
    }

    /// Makes the thread begin to read the topic.
    fn want(&self) {
        let mut state = self.lock();
        let wake = (!std::mem::replace(&mut state.is_wanted, true)).then(|| state.stop.clone()).flatten();
        drop(state);
        if let Some(stop) = wake {
            stop.wake();
        }
    }

    /// Writes what elects the candidates, and waits until it is read back.
    fn agree(&self, open: &[Candidate]) -> anyhow::Result<()> {
        self.want();
        let mut state = self.wait(self.lock(), |state| state.is_read)?;
        let now = self.clock.monotonic();
        let mut records = Vec::new();
        for (cluster, replica) in open {
            if let Some(entry) = state.agreed.proposal(cluster, replica, now) {
                records.push((cluster.clone(), Some(state.number(entry, &self.process, now))));
            }
        }
        let (last, producer) = (state.written, state.producer.clone());
        drop(state);
        let Some(producer) = producer.filter(|_| !records.is_empty()) else { return Ok(()) };
        let written = self.write(&producer, &records).and_then(|pending| pending.wait().map_or(Ok(()), Err));
        if let Err(error) = written {
            if producer.client().fatal_error().is_some() {
                // It sends nothing any more: the thread makes another one.
                self.lock().is_broken = true;
            }
            return Err(self.explain("write to", "Write", &error));
        }
        self.wait(self.lock(), |state| state.read_back >= last).map(drop)
    }

    /// Waits until `is_met`, for [`TIMEOUT`] at most.
    fn wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        is_met: impl Fn(&State) -> bool,
    ) -> anyhow::Result<MutexGuard<'s, State>> {
        let until = self.clock.monotonic() + TIMEOUT;
        loop {
            if is_met(&state) {
                return Ok(state);
            }
            let left = until.saturating_sub(self.clock.monotonic());
            let failure = state.failure.clone().filter(|_| !state.is_read);
            if let Some(failure) = failure {
                anyhow::bail!(failure);
            }
            anyhow::ensure!(!left.is_zero(), "topic {} was not read within {} s", self.topic, TIMEOUT.as_secs());
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, verb: &str, right: &str, error: &KafkaError) -> anyhow::Error {
        let topic = &self.topic;
        match error.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed) => {
                anyhow::anyhow!("the user may not {verb} topic {topic}: grant {right} on it")
            }
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => anyhow::anyhow!(
                "topic {topic} does not exist; the daemon makes it if it may, and `derived-statsd topics --create` does"
            ),
            _ => anyhow::anyhow!("topic {topic}: {error}"),
        }
    }
}

impl State {
    /// The value of a record with its number, noting when it was sent.
    fn number(&mut self, entry: Entry, process: &str, now: Duration) -> Vec<u8> {
        self.written += 1;
        while self.sent.first_entry().is_some_and(|first| now.saturating_sub(*first.get()) > MAX_UNREAD) {
            self.sent.pop_first();
        }
        self.sent.insert(self.written, now);
        Entry { by: process.to_owned(), number: self.written, ..entry }.encode()
    }

    /// Forgets what was read: the topic is read anew.
    fn forget(&mut self, failure: String) {
        self.agreed.clear();
        self.sent.clear();
        (self.is_read, self.is_broken, self.producer, self.failure) = (false, false, None, Some(failure));
    }
}

impl GroupElections for Elections {
    fn standing(&self, cluster: &str, replica: &str) -> Standing {
        let mut state = self.lock();
        if !state.is_read {
            return Standing::Open;
        }
        state.agreed.standing(cluster, replica, self.clock.monotonic())
    }

    fn took(&self, cluster: &str, replica: &str) {
        self.lock().agreed.took(cluster, replica);
    }

    fn former_until_ms(&self, cluster: &str, replica: &str) -> Option<i64> {
        self.lock().agreed.former_until_ms(cluster, replica)
    }

    fn counts(&self) -> ElectionCounts {
        self.lock().agreed.counts()
    }

    fn settle(&self, open: &[Candidate]) -> Result<(), LogError> {
        let began = self.clock.monotonic();
        let mut last = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |reason| LogError::Cluster { operation: "elect a replica".to_owned(), reason };
        // A request that has waited for another one's failure must not wait for its own.
        if let Some((_, reason)) = last.as_ref().filter(|(at, _)| *at >= began) {
            return Err(failed(reason.clone()));
        }
        let agreed = self.agree(open).map_err(|error| format!("{error:#}"));
        let was_logged = std::mem::replace(&mut self.lock().is_failure_logged, agreed.is_err());
        match agreed {
            Ok(()) => {
                *last = None;
                if was_logged {
                    info!("The replicas of senders can be elected again.");
                }
                Ok(())
            }
            Err(reason) => {
                if !was_logged {
                    warn!(%reason, "No replica of a sender can be elected; series of replicas get 503.");
                }
                *last = Some((self.clock.monotonic(), reason.clone()));
                Err(failed(reason))
            }
        }
    }
}

impl fmt::Debug for Elections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection contains secrets.
        f.debug_struct("Elections").field("topic", &self.topic).finish_non_exhaustive()
    }
}
