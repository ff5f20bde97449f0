//! The bodies of the fuzz targets: each takes any bytes and panics when the project breaks a promise about them.
//!
//! Two programs run them: the binaries of cargo-fuzz in `fuzz_targets/`, which need a nightly toolchain, and
//! `tests/smoke.rs`, which needs none. `.ci/fuzz` takes the first where it can.
//!
//! | target | input | promise |
//! |---|---|---|
//! | [`annotation`] | text | parses and prints back equal, or the error lies in the text; what compiles has a start |
//! | [`schema`] | Sandesh text | types with a period take another one, or each error has its line |
//! | [`proxy_list`] | text | prints back equal, or each error has its line |
//! | [`wire_xml`], [`wire_json`] | payload | a finite sample that encodes and decodes back equal, or an error |
//! | [`wire_lines`] | block of lines | the fast and the general decoder agree on every line |
//! | [`netplugin_body`] | body of `/svcstats` | sorted points, each in the endpoint that lists it, or an error |
//! | [`partial`] | line of a partial state | encodes back equal, or an error; a table that takes it has rows of JSON |
//! | [`json_fields`] | message in JSON | a finite sample with key and source, or an error |
//! | [`line_protocol`] | body of InfluxDB line protocol | finite points and numbered faults within the limits |
//! | [`otlp`] | body of OTLP, protobuf and JSON | points with valid labels within the limits, or an error |
//! | [`remote_write`] | body of remote write | series with valid labels within the limits, or an error |
//! | [`saved_state`] | words | saves the words that it was restored from, and every later result is finite |
//! | [`snapshot`] | meta part and chunks | a table that goes on, writes JSON and restores from its own snapshot |

#![forbid(unsafe_code)]

mod annotation;
mod json_fields;
mod line_protocol;
mod netplugin;
mod otlp;
mod partial;
mod proxy_list;
mod remote_write;
mod saved_state;
mod schema;
mod snapshot;
mod wire;

pub use self::annotation::annotation;
pub use self::json_fields::json_fields;
pub use self::line_protocol::line_protocol;
pub use self::netplugin::netplugin_body;
pub use self::otlp::otlp;
pub use self::partial::partial;
pub use self::proxy_list::proxy_list;
pub use self::remote_write::remote_write;
pub use self::saved_state::saved_state;
pub use self::schema::schema;
pub use self::snapshot::snapshot;
pub use self::wire::{wire_json, wire_lines, wire_xml};
