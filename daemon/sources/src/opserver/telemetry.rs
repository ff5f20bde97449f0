//! What the poller counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// Why a value became no sample.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Rejected {
    /// More series than are remembered.
    Capacity,
    /// An attribute without a value.
    Empty,
    /// Neither a number nor alternatives by source.
    Form,
    /// The intake refused it.
    Line,
    /// A text that is no number, or one too large.
    Number,
    /// An object that is none, or whose name is no key.
    Object,
    /// An alternative without a source, or with a strange one.
    Source,
}

impl Rejected {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Empty => "empty",
            Self::Form => "form",
            Self::Line => "line",
            Self::Number => "number",
            Self::Object => "object",
            Self::Source => "source",
        }
    }
}

/// The outcome of one poll interval.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Outcome {
    /// No server answered before the next poll interval.
    Failed,
    /// The log refused the samples.
    LogFailed,
    /// The interval passed while an earlier poll was under way.
    Missed,
    Ok,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::LogFailed => "log_failed",
            Self::Missed => "missed",
            Self::Ok => "ok",
        }
    }
}

/// The poller's counters.
#[derive(Clone, Debug, Default)]
pub struct PollerTelemetry {
    polls: Labelled,
    failures: Labelled,
    samples: Counter,
    rejected: Labelled,
}

impl PollerTelemetry {
    /// Adds them to what a scrape shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("opserver_polls", "Beats of the poller by how they ended", self.polls.clone());
        let help = "Times a server of the analytics API failed, by reason";
        registry.register("opserver_server_failures", help, self.failures.clone());
        registry.register("opserver_samples", "Samples polled and durable", self.samples.clone());
        registry.register("opserver_rejected", "Polled values that became no sample, by reason", self.rejected.clone());
    }

    pub(super) fn ended(&self, outcome: Outcome, beats: u64) {
        self.polls.get_or_create(&[("outcome", outcome.label())]).inc_by(beats);
    }

    pub(super) fn server_failed(&self, reason: &'static str) {
        self.failures.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn sampled(&self, count: u64) {
        self.samples.inc_by(count);
    }

    pub(super) fn rejected(&self, reason: Rejected) {
        self.rejected.get_or_create(&[("reason", reason.label())]).inc();
    }
}
