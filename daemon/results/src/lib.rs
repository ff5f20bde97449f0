//! The stored forms of a result, with their encoders and decoders.
//!
//! | module | form |
//! |---|---|
//! | [`block`] | binary and typed, with many results: the tables produce blocks, and the results log stores them |
//! | [`line`](mod@line) | one line of JSON: the file sink, the event stream and, if so configured, the Kafka topic of results |
//! | [`record`] | one record of the results log, which holds a block or lines |
//!
//! [`reading`] and [`series`] are views of a decoded result: its numbers by their roles, and its numbers as series of
//! Prometheus, with the labels of its object in [`object_labels`].
//!
//! # Panics and errors
//!
//! No input makes a decoder panic. [`BlockError`](block::BlockError) and [`LineError`](line::LineError) state the
//! location, the found value and the expected one.
//!
//! # Crate features
//!
//! * `test-util`: `block::sample`, results for the tests of other crates.

#![deny(missing_docs)]

pub mod block;
pub mod line;
pub mod object_labels;
pub mod reading;
pub mod record;
pub mod series;
