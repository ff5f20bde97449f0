//! The crate against the original, on recorded vectors.
//!
//! Source: `testdata/golden/{ewm,sum_avg,simple,periodic,maps}.jsonl.gz`, made by compiling the unmodified
//! `derived_stats.h` and `derived_stats_algo.h` of Contrail's sandesh library (g++ 12.2, `-O2 -ffp-contract=off`,
//! x86-64 without FMA), together with what its own compiler generates, and writing down every value after every step.
//! `annotations.jsonl.gz` has its own test, `tests/annotations.rs`.
//!
//! What each file pins down:
//!
//! - `ewm`: mean, deviation, score, state text and return code of the detector, sample by sample;
//! - `sum_avg`: sums with and without window, their buckets, and when a window is full;
//! - `simple`: the algorithms without memory, and `DSEWM`;
//! - `periodic`: which result is shown between, at and after the ends of periods, silent ones included;
//! - `maps`: the same by key, with keys that come, go and are deleted.
//!
//! Doubles are compared bit for bit. A failure means that we diverged from the original: do not relax it. The `i32` of
//! the vectors run as `i64`. Fields that are undefined in the original (uninitialised, or a cast out of range) are
//! left out: the code of the first `DSChange`, the `metric` of doubles that are negative or huge.
//!
//! Deliberate deviations are the lists `DEVIATIONS` and `REFUSED` in each module;
//! `docs/src/reference/deviations.md` says what the original does and why we do otherwise. Each list is held in three
//! ways (see [`verdict`]): our results equal a plain model of what we should do; they differ from the original's; and
//! with the original's accident switched on, the model equals the original, so a listed record deviates in nothing
//! else.
//!
//! Return codes of `Flush` are compared for scalar aggregates only; elsewhere the original's is always true.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod docs;
mod ewm;
mod maps;
mod model;
mod periodic;
mod record;
mod simple;
mod states;
mod subject;
mod sum_avg;
mod verdict;
