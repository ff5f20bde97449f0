//! What the HTTP server counts.

use daemon_base::listener::Refusals;
use daemon_sources::mapping::Tally;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

/// The paths that take samples, with the names of their inputs.
const INGESTS: [(&str, &str); 6] = [
    ("/api/v1/partials", "partials"),
    ("/api/v1/samples", "samples"),
    ("/api/v1/write", "remote_write"),
    ("/api/v2/write", "influx"),
    ("/v1/metrics", "otlp"),
    ("/write", "influx"),
];

/// The formats of labelled series.
const FORMATS: [&str; 3] = ["influx", "otlp", "remote_write"];

/// Why a request is refused as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// The token, the origin or the listener of the request does not allow it.
    Access,
    /// A limit of requests, of their rate or of the backlog is reached.
    Busy,
    /// The body has an unknown type or coding.
    Coding,
    /// The body is not of its format.
    Format,
    /// A parameter, a header or the method of the request is wrong.
    Request,
    /// The body is too large.
    Size,
    /// The body came too slowly, or not to its end.
    Slow,
    /// The log did not take the samples, or the daemon stops.
    Unavailable,
}

impl Refused {
    /// All reasons.
    pub(crate) const ALL: [Self; 8] = [
        Self::Access,
        Self::Busy,
        Self::Coding,
        Self::Format,
        Self::Request,
        Self::Size,
        Self::Slow,
        Self::Unavailable,
    ];

    /// The value of the label `reason`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Busy => "busy",
            Self::Coding => "coding",
            Self::Format => "format",
            Self::Request => "request",
            Self::Size => "size",
            Self::Slow => "slow",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The counters of the HTTP server.
#[derive(Debug, Default)]
pub(crate) struct HttpTelemetry {
    accepted: Counter,
    rejected: Counter,
    requests: Family<Vec<(&'static str, String)>, Counter>,
    /// Points of labelled series, by format and outcome.
    points: Family<[(&'static str, &'static str); 2], Counter>,
    /// Requests with samples that are refused as a whole, by input and reason.
    refused: Family<[(&'static str, &'static str); 2], Counter>,
    /// What histories have read of the results.
    history_read: Counter,
    /// Connections that got 429, also those to Contiv's page.
    pub refusals: Refusals,
}

impl HttpTelemetry {
    /// Counts the lines of a request with samples.
    pub(crate) fn ingested(&self, accepted: u64, rejected: u64) {
        self.accepted.inc_by(accepted);
        self.rejected.inc_by(rejected);
    }

    /// Counts the points of a request with labelled series, once they are durable.
    pub(crate) fn mapped(&self, format: &'static str, tally: &Tally) {
        self.ingested(tally.stored, tally.rejected);
        self.count_points(format, tally);
    }

    fn count_points(&self, format: &'static str, tally: &Tally) {
        let Tally { stored, unmatched, stale, not_finite, replicas, texts, rejected, .. } = *tally;
        let outcomes = [
            ("not_finite", not_finite),
            ("rejected", rejected),
            ("replica", replicas),
            ("stale_marker", stale),
            ("stored", stored),
            ("text", texts),
            ("unmatched", unmatched),
        ];
        for (outcome, count) in outcomes {
            self.points.get_or_create(&[("format", format), ("outcome", outcome)]).inc_by(count);
        }
    }

    /// Counts a request with samples that is refused as a whole.
    pub(crate) fn refused(&self, input: &'static str, reason: Refused) {
        self.refused.get_or_create(&[("input", input), ("reason", reason.name())]).inc();
    }

    /// Counts what a history has read of the log.
    pub(crate) fn history_read(&self, bytes: usize) {
        self.history_read.inc_by(bytes as u64);
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, path: &str, status: u16) {
        let labels = vec![("path", path.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// Registers the counters. Those of an alert exist from the start, or their first increase would not be seen.
    pub(super) fn register(&self, registry: &mut Registry) {
        for (path, input) in INGESTS {
            for status in ["200", "400", "429", "500", "503"] {
                drop(self.requests.get_or_create(&vec![("path", path.to_owned()), ("status", status.to_owned())]));
            }
            for reason in Refused::ALL {
                drop(self.refused.get_or_create(&[("input", input), ("reason", reason.name())]));
            }
        }
        FORMATS.iter().for_each(|format| self.count_points(format, &Tally::default()));
        registry.register("samples_accepted", "Samples accepted by HTTP and durable", self.accepted.clone());
        registry.register("samples_rejected", "Lines rejected by HTTP", self.rejected.clone());
        registry.register("http_requests", "Requests answered", self.requests.clone());
        let help = "Requests with samples refused as a whole, by input and reason";
        registry.register("requests_refused", help, self.refused.clone());
        let help = "Results read for histories of objects";
        registry.register_with_unit("history_read", help, Unit::Bytes, self.history_read.clone());
        registry.register("series_points", "Points of labelled series by format and outcome", self.points.clone());
    }
}

/// The name of the input at a path; `None` if the path takes no samples.
pub(crate) fn input_of(path: &str) -> Option<&'static str> {
    INGESTS.iter().find(|(of, _)| *of == path).map(|(_, input)| *input)
}
