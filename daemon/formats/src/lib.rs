//! Decoders of the formats in which other systems send metrics.
//!
//! Each is a pure function from bytes to [`Series`], with the URL of the format above it and [`Limits`] on what a
//! request may contain. The daemon maps series to samples of objects; nothing here has a stream, a clock or a socket.
//!
//! | module | format |
//! |---|---|
//! | [`json_fields`] | JSON of any shape, by paths |
//! | [`line_protocol`] | InfluxDB line protocol, as Telegraf writes it |
//! | [`otlp`] | OpenTelemetry metrics, protobuf and JSON |
//! | [`remote_write`] | Prometheus remote write, versions 1 and 2 |
//! | [`text`] | one sample as people write it, `http_requests_total{job="a"} 3` |

#![deny(missing_docs)]

pub mod json_fields;
mod limits;
pub mod line_protocol;
pub mod otlp;
mod pattern;
mod protobuf;
pub mod remote_write;
mod series;
pub mod text;

pub use self::limits::Limits;
pub use self::pattern::Pattern;
pub use self::series::{
    HistogramPoint, Integer, Labels, METRIC_NAME, Meaning, Point, STALE_MARKER, Series, SeriesError, SeriesFault,
    is_stale_marker,
};
