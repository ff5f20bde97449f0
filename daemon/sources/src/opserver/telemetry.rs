//! The metrics of the poller.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// Why a value was rejected.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Rejected {
    /// The limit on series is reached.
    Capacity,
    /// An attribute without a value.
    Empty,
    /// Neither a number nor a list of values by source.
    Form,
    /// The intake rejected it.
    Line,
    /// A text that is not a number, or a number that is too large.
    Number,
    /// A malformed object, or one whose name cannot be a key.
    Object,
    /// A value in a list without a source, or with a malformed one.
    Source,
}

impl Rejected {
    const ALL: [Self; 7] =
        [Self::Capacity, Self::Empty, Self::Form, Self::Line, Self::Number, Self::Object, Self::Source];

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
    /// The interval passed while an earlier poll was in flight.
    Missed,
    Ok,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Failed, Self::LogFailed, Self::Missed, Self::Ok];

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
    /// Registers the counters under their names, each at 0: the first increase of one that appears with it is not seen.
    pub fn register(&self, registry: &mut Registry) {
        Outcome::ALL.into_iter().for_each(|outcome| self.ended(outcome, 0));
        for reason in Rejected::ALL {
            drop(self.rejected.get_or_create(&[("reason", reason.label())]));
        }
        registry.register("opserver_polls", "Poll intervals by outcome", self.polls.clone());
        let help = "Times a server of the analytics API failed, by reason";
        registry.register("opserver_server_failures", help, self.failures.clone());
        registry.register("opserver_samples", "Samples polled and durable", self.samples.clone());
        registry.register("opserver_rejected", "Polled values that were rejected, by reason", self.rejected.clone());
    }

    pub(super) fn ended(&self, outcome: Outcome, intervals: u64) {
        self.polls.get_or_create(&[("outcome", outcome.label())]).inc_by(intervals);
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
