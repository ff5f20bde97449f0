//! The crate against the original, on recorded vectors.
//!
//! Source: `testdata/golden/{ewm,sum_avg,simple,periodic,maps}.jsonl.gz`, made by compiling the unmodified
//! `derived_stats.h` and `derived_stats_algo.h` of Contrail's sandesh library (g++ 12.2, `-O2 -ffp-contract=off`,
//! x86-64 without FMA) with the code that its own compiler generates, and recording every value after every step.
//! `annotations.jsonl.gz` has its own test, `tests/annotations.rs`.
//!
//! The files cover:
//!
//! - `ewm`: mean, deviation, score, state text and return code of the detector, sample by sample;
//! - `sum_avg`: sums with and without window, their buckets, and when a window is full;
//! - `simple`: the algorithms without memory, and `DSEWM`;
//! - `periodic`: the results between, at and after the ends of periods, silent ones included;
//! - `maps`: the same results for each key, with new, silent and deleted keys.
//!
//! Doubles are compared bit for bit. A failure means that we diverged from the original: do not relax it. The `i32` of
//! the vectors run as `i64`. Fields that are undefined in the original (uninitialised, or a cast out of range) are
//! left out: the code of the first `DSChange`, the `metric` of doubles that are negative or huge.
//!
//! Deliberate deviations are the lists `DEVIATIONS` and `REFUSED` in each module; `docs/src/reference/deviations.md`
//! describes the behaviour of the original and the reason of each deviation. Each list is checked in three ways (see
//! [`verdict`]): our results equal those of a simple model; they differ from those of the original; and with the defect
//! of the original enabled, the model equals the original, so that a listed record deviates in nothing else.
//!
//! Return codes of `Flush` are compared for scalar aggregates only; elsewhere the original's is always true.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod docs;
mod ewm;
mod maps;
mod model;
mod periodic;
mod record;
mod seasonal;
mod simple;
mod states;
mod subject;
mod sum_avg;
mod verdict;
