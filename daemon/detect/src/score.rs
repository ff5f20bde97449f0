//! The quality of a detector on series with labels.
//!
//! | measure | module |
//! |---|---|
//! | hits, false alarms, F1 and delay, by events | [`events`] |
//! | average precision of the ranking | [`precision`] |
//! | points of the Numenta Anomaly Benchmark | [`nab`] |
//!
//! A detector has one threshold for all series. Labels are for scoring only.

pub mod events;
mod marks;
pub mod nab;
pub mod precision;

pub use self::marks::Marks;
