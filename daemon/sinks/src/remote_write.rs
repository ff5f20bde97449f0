//! A sink that writes results to Prometheus and others by remote write 1.0
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec/>).
//!
//! Each number of a result is a sample of a series, at the end of the window ([`daemon_results::series`]). A withdrawn
//! object ends its series with staleness markers.
//!
//! **Order.** A receiver takes the samples of a series in the order of time only. A request has at most one sample of each
//! series, and the position is stored after each request. What a killed process sends again is thus, for each series, the
//! newest sample that the receiver can have, with the same value: Prometheus takes it as the one it has.

mod config;
mod samples;
mod settings;

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{Log, RecordBatch};
use daemon_results::line::LineReader;

use self::samples::Samples;
use crate::Sink;
use crate::post::{PostSink, PostTelemetry};

pub use self::config::RemoteWriteConfig;
pub use self::settings::RemoteWriteSettings;

/// A sink that writes results by remote write.
pub struct RemoteWriteSink(PostSink<Samples>);

impl RemoteWriteSink {
    /// The name of the sink, under which it stores its position.
    pub const NAME: &'static str = "remote_write";

    /// Creates a sink that parses results in JSON with `lines`, and ends a wait or a request when `stop` is set.
    pub fn new(
        settings: RemoteWriteSettings,
        lines: LineReader,
        clock: Arc<dyn Clock>,
        telemetry: PostTelemetry,
        stop: Stop,
    ) -> Self {
        let RemoteWriteSettings { post, headers, labels } = settings;
        Self(PostSink::new(post, Samples::new(labels, headers, lines), clock, telemetry, stop))
    }
}

impl Sink for RemoteWriteSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        self.0.start(log)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        self.0.deliver(log, batch)
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        self.0.idle(log, stopping)
    }

    fn delivered(&self, next: u64) -> u64 {
        self.0.delivered(next)
    }
}
