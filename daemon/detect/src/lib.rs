//! Detectors on recorded series: what `derived-statsd detect` and the benchmark of the detectors have in common.
//!
//! * [`series`]: reads `timestamp,value[,label]` in the usual forms;
//! * [`labels`]: the time ranges of known anomalies;
//! * [`run`]: runs a detector over a series;
//! * [`rows`] and [`summary`]: what it found, as text and in numbers;
//! * [`plot`]: draws values, band, alarms and labels as SVG;
//! * [`score`]: the quality of a detector, by the rules of the Numenta Anomaly Benchmark and by events;
//! * [`generate`]: seeded series as operators have them, with labelled anomalies.
//!
//! The crate has no clock and opens no files.

#![deny(missing_docs)]

pub mod generate;
pub mod labels;
pub mod plot;
pub mod rows;
pub mod run;
pub mod score;
pub mod series;
pub mod summary;
pub mod timestamp;
