//! A sink that sends results as gauges by OTLP over HTTP, to an OpenTelemetry collector or a store that takes it
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! Each number of a result is a point of a gauge, at the end of the window ([`daemon_results::series`]). A withdrawn
//! object ends its series with points that have the flag for no recorded value.
//!
//! **Order.** A request has at most one point of each series, and the position is stored after each request. What a killed
//! process sends again is thus, for each series, the newest point that the receiver can have, with the same time and value.
//!
//! **Answers.** A success may say that points were rejected: these are counted and not sent again. A status of 500 and the
//! like may blame the request, as the specification has it; only 429, 502, 503 and 504 are worth any number of repetitions.

mod config;
mod format;
mod settings;

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_results::line::LineReader;

use self::format::Otlp;
use crate::Sink;
use crate::post::{PostSink, PostTelemetry};
use crate::samples::Samples;

pub use self::config::OtlpConfig;
pub use self::settings::OtlpSettings;

/// The name of the sink, under which it stores its position.
pub const NAME: &str = "otlp";

/// A sink that sends results by OTLP. It parses results in JSON with `lines`, and ends a wait or a request when `stop` is
/// set.
pub fn sink(
    settings: OtlpSettings,
    lines: LineReader,
    clock: Arc<dyn Clock>,
    telemetry: PostTelemetry,
    stop: Stop,
) -> impl Sink {
    let OtlpSettings { post, headers, attributes, objects } = settings;
    let samples = Samples::new(Otlp { attributes, headers }, lines).with_objects(objects);
    PostSink::new(post, samples, clock, telemetry, stop)
}
