//! The settings of the workers, and the plans of the streams.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon_alarms::Rules;
use daemon_base::observation::{Observations, StreamObservation};
use proxy_uve::{Plan, TableSettings};

use crate::{DropLog, Taps};

/// The settings that all workers share.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Limits of each partition's table.
    pub table: TableSettings,
    /// The time without records after which a partition at the end of its log is idle: from then on its windows close
    /// by the clock.
    pub idle_timeout: Duration,
    /// The longest time between two commits of a partition whose cursor moves.
    pub commit_interval: Duration,
    /// The rules of alarms.
    pub alarms: Arc<Rules>,
    /// What the sources have observed.
    pub observations: Observations,
    /// On the embedded log, the file whose existence at the start allows partitions to start over when their states
    /// cannot be used.
    pub start_over: PathBuf,
    /// The partitions of each stream on the embedded log.
    pub partitions: u16,
    /// Whether it existed. It is for that start only: a state that cannot be used later is an error.
    pub may_start_over: bool,
    /// Who looks on.
    pub taps: Taps,
}

/// A stream with its plan.
#[derive(Debug)]
pub struct StreamPlan {
    /// The name, `Struct-attribute`.
    pub name: String,
    /// The names of its proxy types, in the order of the plan.
    pub types: Arc<[String]>,
    /// The proxy types computed from the stream.
    pub plan: Arc<Plan>,
    /// What the sources of the stream have observed.
    pub observation: StreamObservation,
    /// The messages about its dropped records.
    pub drops: DropLog,
    /// Who looks on.
    pub taps: Taps,
    /// The rules of alarms, of all streams.
    pub alarms: Arc<Rules>,
    /// The last time, both ends included (µs since the epoch), in which the stream was not configured.
    pub absence: Option<(u64, u64)>,
}

impl StreamPlan {
    /// The plan of a stream, with what is observed of it, and without alarms.
    pub fn new(plan: Arc<Plan>, observations: &Observations) -> Self {
        let name = plan.stream().to_string();
        let observation = observations.stream(&name);
        Self {
            drops: DropLog::new(name.clone()),
            types: type_names(&plan, &name).collect(),
            name,
            plan,
            observation,
            taps: Taps::default(),
            alarms: Arc::default(),
            absence: None,
        }
    }

    /// Passes the records of the stream to these taps.
    #[must_use]
    pub fn with_taps(self, taps: &Taps) -> Self {
        Self { taps: taps.clone(), ..self }
    }

    /// Takes `absence` for unknown time.
    #[must_use]
    pub fn with_absence(self, absence: Option<(u64, u64)>) -> Self {
        Self { absence, ..self }
    }

    /// Evaluates these rules.
    #[must_use]
    pub fn with_alarms(self, alarms: &Arc<Rules>) -> Self {
        Self { alarms: Arc::clone(alarms), ..self }
    }
}

/// The names of the proxy types, without that of the stream: `AggProxySum`.
fn type_names<'p>(plan: &'p Plan, stream: &str) -> impl Iterator<Item = String> + use<'p> {
    let end = format!("-{stream}");
    plan.uve_names().map(move |name| name.strip_suffix(&end).unwrap_or(name).to_owned())
}
