//! What holds for every sequence of samples, periods and restarts, for every algorithm, type and kind of metric.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod input;
mod maps;
mod means;
mod restarts;
mod robustness;
mod windows;
