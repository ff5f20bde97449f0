//! Every detector with alarms, on series as operators have them.
//!
//! The detectors are those entries of the menu whose result has an alarm, so a new one is tested without a change here.
//! All series are seeded: a failure repeats.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod clean;
mod events;
mod robust;
mod series;
mod subject;
mod times;
