//! The trait of a source, and how the daemon runs one.

mod telemetry;

use std::time::Duration;

use daemon_base::backoff::{Backoff, random_share};
use daemon_base::clock::Clock;
use daemon_base::observation::{Observations, Observer};
use daemon_base::stop::Stop;
use daemon_log::{AppendBatch, Log, LogError};
use derived_stats::Number;
use proxy_uve::wire::WireSample;
use tracing::{error, info};

use crate::append_when_room;
use crate::intake::{CurrentIntake, Intake, LineError};

pub use self::telemetry::SourceTelemetry;

/// How long a source that failed waits before it runs again.
const RESTART: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// Something that brings samples, on a thread of its own.
///
/// The daemon calls [`run`](Self::run) once it has started. After an error it calls it again, with growing pauses, so
/// `run` begins with what it needs to connect. It ends when [`SourceContext::is_stopping`] is true: the workers then
/// apply what it appended, and the sinks deliver the results.
///
/// ```
/// use std::time::Duration;
///
/// use daemon_sources::{Sample, Source, SourceContext};
/// use derived_stats::Number;
///
/// /// The load of this machine, once a second.
/// struct Load;
///
/// impl Source for Load {
///     fn name(&self) -> &str {
///         "load"
///     }
///
///     fn run(&mut self, context: &SourceContext<'_>) -> anyhow::Result<()> {
///         while context.rest(Duration::from_secs(1)) {
///             let text = std::fs::read_to_string("/proc/loadavg")?;
///             let load: f64 = text.split(' ').next().unwrap_or_default().parse()?;
///             let sample = Sample {
///                 stream: "Host-load",
///                 key: "ObjectHost:here",
///                 timestamp: context.now(),
///                 value: Number::F64(load),
///                 source: None,
///             };
///             let appended = context.append(&[sample])?;
///             if let Some((_, error)) = appended.rejected.first() {
///                 anyhow::bail!("{error}");
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Source: Send {
    /// The name, in log messages, as the thread's name and as the label `source` of the metrics.
    fn name(&self) -> &str;

    /// Brings samples until the context is stopping.
    ///
    /// # Errors
    ///
    /// What made it fail. It is logged, and `run` is called again after a pause.
    fn run(&mut self, context: &SourceContext<'_>) -> anyhow::Result<()>;
}

/// One sample for the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The stream, `Struct-attribute`, as `aggregation.uve_proxy_list` names it.
    pub stream: &'a str,
    /// The object, `table:name`.
    pub key: &'a str,
    /// Microseconds since the epoch. By this time the sample finds its window.
    pub timestamp: u64,
    /// The value.
    pub value: Number,
    /// What measured it, if one object has several sources.
    pub source: Option<&'a str>,
}

/// The outcome of an append.
#[derive(Debug, Default)]
pub struct AppendOutcome {
    /// How many samples are durable.
    pub accepted: usize,
    /// The others, by their index, each with the reason. They do not get better by another try.
    pub rejected: Vec<(usize, LineError)>,
}

/// What a source works with.
pub struct SourceContext<'e> {
    source: &'e str,
    telemetry: &'e SourceTelemetry,
    log: &'e dyn Log,
    intake: &'e CurrentIntake,
    observations: &'e Observations,
    clock: &'e dyn Clock,
    stop: &'e Stop,
}

impl<'e> SourceContext<'e> {
    /// The context of the source of that name, which appends to `log` until `stop` is set.
    pub fn new(
        source: &'e str,
        telemetry: &'e SourceTelemetry,
        log: &'e dyn Log,
        intake: &'e CurrentIntake,
        observations: &'e Observations,
        clock: &'e dyn Clock,
        stop: &'e Stop,
    ) -> Self {
        Self { source, telemetry, log, intake, observations, clock, stop }
    }

    /// The wall clock in microseconds since the epoch.
    pub fn now(&self) -> u64 {
        self.clock.now_micros()
    }

    /// Whether the daemon stops: return soon.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_set()
    }

    /// Waits for `time`; `false` as soon as the daemon stops.
    pub fn rest(&self, time: Duration) -> bool {
        self.stop.rest(time)
    }

    /// Returns the observer of `streams`, for a source that fetches samples and notices when it cannot: what it does not
    /// state as observed is unknown time instead of silence. Without an observer the absence of samples is silence.
    pub fn observer(&self, streams: &[&str]) -> Observer {
        self.observations.observer(streams.iter().copied(), self.now())
    }

    /// Appends samples in one atomic write and returns when they are durable. While the log is full it waits, so that a
    /// source goes no faster than the workers.
    ///
    /// # Errors
    ///
    /// When the log failed: what was to be written may or may not be there. When the daemon stops while the log is
    /// full: nothing was written.
    pub fn append(&self, samples: &[Sample<'_>]) -> Result<AppendOutcome, LogError> {
        let mut outcome = AppendOutcome::default();
        let (mut batch, mut scratch) = (AppendBatch::new(self.log.arrival(self.now())), Vec::new());
        let intake = self.intake.load();
        for (index, sample) in samples.iter().enumerate() {
            match push(&intake, sample, &mut batch, &mut scratch) {
                Ok(()) => outcome.accepted += 1,
                Err(error) => outcome.rejected.push((index, error)),
            }
        }
        if outcome.accepted > 0 {
            append_when_room(self.log, batch, |retry_after| self.rest(retry_after))?;
        }
        self.telemetry.appended(self.source, outcome.accepted, outcome.rejected.len());
        Ok(outcome)
    }
}

fn push(intake: &Intake, sample: &Sample<'_>, batch: &mut AppendBatch, scratch: &mut Vec<u8>) -> Result<(), LineError> {
    let stream = intake.stream(sample.stream)?;
    let wire = WireSample {
        timestamp: sample.timestamp,
        value: sample.value,
        text: None,
        source: sample.source.map(Into::into),
        element: None,
    };
    intake.add(stream, sample.key.as_bytes(), &wire, batch, scratch)
}

/// Runs a source until it ends by itself or the daemon stops; after an error again, with pauses.
pub fn run(source: &mut dyn Source, context: &SourceContext<'_>) {
    let mut failures = 0;
    loop {
        let began = context.clock.monotonic();
        match source.run(context) {
            Ok(()) => {
                if !context.is_stopping() {
                    info!(source = source.name(), "The source ended.");
                }
                return;
            }
            Err(_) if context.is_stopping() => return,
            Err(error) => {
                // One that worked for a while begins again with a short pause.
                if context.clock.monotonic().saturating_sub(began) > RESTART.longest {
                    failures = 0;
                }
                let pause = RESTART.after(failures, random_share());
                error!(
                    source = source.name(), error = %format!("{error:#}"), retry_seconds = pause.as_secs_f64(),
                    "The source failed; it restarts after a pause."
                );
                failures += 1;
                context.telemetry.failed(context.source);
                if !context.rest(pause) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
