//! Sinks, which read the results log and deliver its results, each with its own position in the log.
//!
//! A sink implements the trait [`Sink`], and [`run()`] drives it on one thread: it reads the log, calls the sink, retries
//! after errors and stops. The example at [`Sink`] is a complete sink.
//!
//! A slow or stopped sink lags behind the log. It loses no result, because the log keeps the results after its stored
//! position up to `results_hard_limit_bytes`, and it does not delay other sinks. The sink stores its position in the
//! log after it has delivered the results before that position. After a restart it continues at the stored position.
//!
//! | module | sink |
//! |---|---|
//! | [`alarms`] | alarms for an Alertmanager, and for a webhook |
//! | [`file`](mod@file) | a file of JSON lines |
//! | [`influxdb`](mod@influxdb) | points in an InfluxDB |
//! | [`otlp`] | gauges for an OpenTelemetry collector |
//! | [`redis`](mod@redis) | UVEs in the Redis of a Contrail collector |
//! | [`remote_write`] | series in a Prometheus |
//! | [`results_webhook`] | results as JSON for a webhook |

#![deny(missing_docs)]

pub mod alarms;
mod before_damage;
mod endpoint;
mod exchange;
pub mod file;
pub mod influxdb;
pub mod otlp;
mod post;
mod problem;
pub mod redis;
pub mod remote_write;
pub mod results_webhook;
mod run;
mod samples;
mod sink;

pub use self::before_damage::read_before_damage;
pub use self::post::PostTelemetry;
pub use self::run::{run, run_until};
pub use self::sink::Sink;
