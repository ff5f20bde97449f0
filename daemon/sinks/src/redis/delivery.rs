//! Repeats exchanges with Redis until they have an outcome, and tells the operator meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Pipeline, RedisResult};
use daemon_base::backoff::{Backoff, random_share};
use daemon_base::clock::Clock;
use tracing::{error, info, warn};

use super::Publish;
use super::client::{Client, Failure, FailureKind};
use super::connection::Connection;
use super::marker::{Marker, MarkerKey};
use super::missing::{self, Missing};
use super::telemetry::RedisTelemetry;
use super::transaction::{Names, UveMessage};

const PAUSE: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

/// The shortest time between two log messages of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The longest part of a server's message in the log.
const EXCERPT_CHARS: usize = 300;

/// The error of a delivery that a stop of the daemon ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("stopped before Redis took all results; the sink writes them after the next start")]
pub(super) struct Stopped;

/// Exchanges with retries.
pub(super) struct Delivery {
    client: Client,
    names: Names,
    publish: Option<Publish>,
    missing: Missing,
    clock: Arc<dyn Clock>,
    telemetry: RedisTelemetry,
    /// The number of consecutive failures.
    failures: u32,
    /// Whether one of these was logged.
    is_failure_logged: bool,
    /// The monotonic time of the last log message of each kind.
    logged_at: BTreeMap<&'static str, Duration>,
}

impl Delivery {
    pub(super) fn new(
        client: Client,
        names: Names,
        publish: Option<Publish>,
        clock: Arc<dyn Clock>,
        telemetry: RedisTelemetry,
    ) -> Self {
        let logged_at = BTreeMap::new();
        Self {
            client,
            names,
            publish,
            missing: Missing::default(),
            clock,
            telemetry,
            failures: 0,
            is_failure_logged: false,
            logged_at,
        }
    }

    /// Runs `work` with the connection until it succeeds.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the daemon stops before; Redis may have executed it.
    pub(super) fn exchange<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> RedisResult<T> + Clone + Send + 'static,
    ) -> Result<T, Stopped> {
        loop {
            match self.client.exchange(work.clone()) {
                Ok(outcome) => {
                    self.telemetry.requested("ok");
                    self.recovered();
                    return Ok(outcome);
                }
                Err(failure) => self.pause(failure)?,
            }
        }
    }

    /// Executes a transaction if the marker is still `expected`; returns whether it was. Counts the commands that Redis
    /// refuses: the others are executed, the new marker included, so a second try would not write them either.
    ///
    /// # Errors
    ///
    /// As [`exchange`](Self::exchange).
    pub(super) fn commit(&mut self, marker: &MarkerKey, expected: Marker, commands: Pipeline) -> Result<bool, Stopped> {
        let (marker, commands) = (marker.clone(), Arc::new(commands));
        let committed = self.exchange(move |connection| marker.commit(connection, &expected, &commands))?;
        let Some(committed) = committed else { return Ok(false) };
        if committed.refused > 0 {
            self.telemetry.left_out("refused", committed.refused);
            if self.should_log("refused") {
                let (refused, text) = (committed.refused, excerpt(&committed.text));
                error!(
                    refused,
                    text,
                    "Redis refused commands of a transaction and lacks their results. Remove the key of a wrong \
                     type, then the key DERIVED-STATSD:<generator>: the sink writes all retained results again."
                );
            }
        }
        Ok(true)
    }

    /// Publishes messages until Kafka has them, and keeps those whose topics do not exist.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the daemon stops before; Kafka may have a part of them.
    pub(super) fn publish(&mut self, messages: Vec<UveMessage>) -> Result<(), Stopped> {
        let Some(publish) = self.publish.clone() else { return Ok(()) };
        let (messages, lost) = self.missing.next(messages, self.clock.monotonic());
        self.telemetry.left_out("unannounced", lost);
        if messages.is_empty() {
            return self.store_kept();
        }
        let messages: Arc<[UveMessage]> = messages.into();
        loop {
            let (publish, batch) = (Arc::clone(&publish), Arc::clone(&messages));
            let outcome = self.client.aside(move || publish(&batch));
            let failed = |error: anyhow::Error| Failure::Failed(FailureKind::Kafka, format!("{error:#}"));
            match outcome.and_then(|outcome| outcome.map_err(failed)) {
                Ok(missing) => {
                    self.published(&messages, &missing);
                    self.recovered();
                    return self.store_kept();
                }
                Err(failure) => self.pause(failure)?,
            }
        }
    }

    /// Reads the messages that a former process kept, once; `again` where Redis may have lost what it had.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the daemon stops before.
    pub(super) fn load_kept(&mut self, again: bool) -> Result<(), Stopped> {
        if self.missing.is_loaded() && !again {
            return Ok(());
        }
        let key = self.names.waiting_key();
        if !self.names.has_messages() {
            // The next sink with messages must not find what may be outdated by then.
            self.exchange(move |connection| ::redis::cmd("DEL").arg(key).exec(connection))?;
            self.missing.load(Vec::new(), |_| false);
        } else {
            let stored = self.exchange(move |connection| missing::read(connection, &key))?;
            self.missing.load(stored, |message| self.names.is_own(message));
        }
        self.store_kept()
    }

    /// Changes the copy of the kept messages in Redis.
    fn store_kept(&mut self) -> Result<(), Stopped> {
        let changes: Arc<[missing::Change]> = self.missing.take_changes().into();
        if changes.is_empty() {
            return Ok(());
        }
        let key = self.names.waiting_key();
        self.exchange(move |connection| missing::write(connection, &key, &changes))
    }

    /// Publishes messages that are kept, if they are due.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub(super) fn publish_kept(&mut self) -> Result<(), Stopped> {
        if self.missing.is_due(self.clock.monotonic()) { self.publish(Vec::new()) } else { Ok(()) }
    }

    /// Takes over which topics do not exist, and names those that are new or back.
    fn published(&mut self, messages: &[UveMessage], missing: &BTreeSet<String>) {
        let refused = messages.iter().filter(|message| missing.contains(&message.topic)).count();
        self.telemetry.published((messages.len() - refused) as u64);
        let (gone, back, lost) = self.missing.update(messages, missing, self.clock.monotonic());
        self.telemetry.left_out("unannounced", lost);
        self.telemetry.set_missing_topics(self.missing.topics());
        if !gone.is_empty() {
            let topics = excerpt(&gone.join(", "));
            warn!(
                topics,
                "Topics for alarm-gen do not exist; their messages wait, and all else goes on. A collector or alarm-gen \
                 with as many partitions creates them: check sinks.redis.uve_topics and sinks.redis.partitions."
            );
        }
        if !back.is_empty() {
            let topics = excerpt(&back.join(", "));
            info!(topics, "Topics for alarm-gen exist now; they have the messages that waited.");
        }
    }

    /// Whether a message of this kind is due, at most one per [`LOG_INTERVAL`].
    pub(super) fn should_log(&mut self, kind: &'static str) -> bool {
        let now = self.clock.monotonic();
        let is_due = self.logged_at.get(kind).is_none_or(|&before| now.saturating_sub(before) >= LOG_INTERVAL);
        if is_due {
            self.logged_at.insert(kind, now);
        }
        is_due
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.telemetry.set_failure(None);
        if std::mem::take(&mut self.is_failure_logged) {
            info!("Redis takes results again.");
        }
    }

    /// Logs a failure and waits, longer with each consecutive one.
    fn pause(&mut self, failure: Failure) -> Result<(), Stopped> {
        let Failure::Failed(kind, text) = failure else { return Err(Stopped) };
        self.telemetry.requested(kind.label());
        let pause = PAUSE.after(self.failures, random_share());
        self.failures = self.failures.saturating_add(1);
        let text = excerpt(&text);
        let (reason, remedy, state) = (kind.label(), remedy(kind, &text), state(kind));
        self.telemetry.set_failure(format!("{state} ({reason}): {text}; {remedy}"));
        if self.should_log(reason) {
            self.is_failure_logged = true;
            let retry = pause.as_secs_f64();
            warn!(reason, text, retry_seconds = retry, "{state}; {remedy}. The results stay in the log.");
        }
        self.client.wait(pause).then_some(()).ok_or(Stopped)
    }
}

/// The beginning of a server's message.
fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}

/// What a failure stops.
fn state(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Kafka => "Kafka takes no messages for alarm-gen; the sink waits",
        _ => "Redis takes no results at present",
    }
}

/// The action that resolves a failure.
fn remedy(kind: FailureKind, text: &str) -> &'static str {
    match kind {
        FailureKind::Auth => {
            "check sinks.redis.user and password_file, and that the user may use all commands on all keys of the database"
        }
        FailureKind::Database => "check sinks.redis.url and sinks.redis.database; a Redis cluster is not supported",
        FailureKind::Kafka => {
            "check kafka.brokers, and that the user may write to the topics of sinks.redis.uve_topics"
        }
        FailureKind::Transport if text.contains("certificate") => "check sinks.redis.ca_file",
        FailureKind::Unexpected => "check sinks.redis.url and sinks.redis.database",
        FailureKind::Server | FailureKind::Timeout | FailureKind::Transport => "the sink tries again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_what_waits_and_what_to_check() {
        assert!(state(FailureKind::Kafka).starts_with("Kafka takes no messages for alarm-gen"));
        let cases = [
            (FailureKind::Database, "a Redis cluster is not supported"),
            (FailureKind::Kafka, "sinks.redis.uve_topics"),
            (FailureKind::Unexpected, "sinks.redis.database"),
        ];
        for (kind, part) in cases {
            assert!(remedy(kind, "").contains(part), "{kind:?}");
        }
        for kind in FailureKind::ALL.into_iter().filter(|kind| *kind != FailureKind::Kafka) {
            assert_eq!(state(kind), "Redis takes no results at present", "{kind:?}");
        }
    }
}
