//! The stored forms of a result, and how each is read.
//!
//! | module | form |
//! |---|---|
//! | [`block`] | binary and typed, many results at a time: what the tables make and the results log stores |
//! | [`line`] | one line of JSON: what the file sink, the event stream and, if so configured, the results topic hold |
//! | [`record`] | one record of the results log, which holds either |
//!
//! # Crate features
//!
//! * `test-util`: [`block::sample`], results for the tests of other crates.

pub mod block;
pub mod line;
pub mod record;
