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
mod format;
mod settings;

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_results::line::LineReader;

use self::format::RemoteWrite;
use crate::Sink;
use crate::post::{PostSink, PostTelemetry};
use crate::samples::Samples;

pub use self::config::RemoteWriteConfig;
pub use self::settings::RemoteWriteSettings;

/// The name of the sink, under which it stores its position.
pub const NAME: &str = "remote_write";

/// A sink that writes results by remote write. It parses results in JSON with `lines`, and ends a wait or a request when
/// `stop` is set.
pub fn sink(
    settings: RemoteWriteSettings,
    lines: LineReader,
    clock: Arc<dyn Clock>,
    telemetry: PostTelemetry,
    stop: Stop,
) -> impl Sink {
    let RemoteWriteSettings { post, headers, labels, objects } = settings;
    let samples = Samples::new(RemoteWrite { labels, headers }, lines).with_objects(objects);
    PostSink::new(post, samples, clock, telemetry, stop)
}
