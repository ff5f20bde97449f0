//! Annotations such as `1.DSSum-raw:DSAnomaly:EWM:0.1`, compiled into streaming aggregation pipelines.
//!
//! That one says: sum the samples of each period, then feed each period's sum to an exponentially weighted mean
//! detector with alpha 0.1. The language and the numbers are those of Contrail's DerivedStats, bit for bit.
//!
//! This crate does no I/O, reads no clock, starts no thread and logs nothing. It is not a metrics registry, and it
//! does not know objects, windows or wire formats: `proxy-uve` does.
//!
//! ```
//! use derived_stats::{Number, Pipeline};
//!
//! let mut flows = Pipeline::parse("1.DSSum-raw:DSAnomaly:EWM:0.5")?;
//! for period in 1..=2u64 {
//!     flows.update(period, Number::U64(20))?; // from one vrouter
//!     flows.update(period, Number::U64(16))?; // from another
//!     flows.close_period(period);
//! }
//! let result = flows.report(2).forced().expect("EWM:0.5 is ready after two periods");
//! assert_eq!((result.value(), result.number("mean")), (Some(Number::U64(36)), Some(Number::F64(27.0))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! * [`annotation`]: text to a typed value with spans, and back; errors with a caret.
//! * [`Spec`] and [`State`]: a compiled annotation, shared, and the small state of one object.
//! * [`Pipeline`] and [`MapPipeline`]: both in one, for a scalar and for a map of them (`mstats`).
//! * [`algorithm`]: the menu, one type each with its formula, and the trait for your own; [`Registry`] names them.
//! * [`mod@column`]: many objects under one spec, side by side.
//!
//! # Determinism
//!
//! The same calls give the same bytes, on every platform with IEEE-754 doubles: time is an argument, maps are
//! ordered, sums are made in order of arrival, and no fused multiply-add is used.
//!
//! # Panics and errors
//!
//! Nothing here panics on any input. What a caller can get wrong is an error that says what to change; a refused
//! sample leaves the state as it was, but for what [`UpdateError`] names.
//!
//! # Floating point
//!
//! NaN and infinities are refused at the boundary ([`ValueError`]). Integers are exact: they never pass through a
//! double on their way to a sum, and a sum that leaves its type stops at the bound and carries an error in every result
//! ([`Output::error`]; a result that JSON shows as a bare number has no room for it). The moments of a detector are
//! doubles; integers above 2^53 are rounded when they reach it.
//!
//! # Saved state
//!
//! [`SavedState`] holds a version, the pipeline's text and 64-bit words, and goes through any serde format. Restored
//! at any point it continues bit for bit. Restoring checks all of it. [`SavedMap`] is the same for a [`MapPipeline`].
//!
//! # Input safety
//!
//! Annotations are limited to 1024 bytes and 4 pre-aggregations (`annotation::Limits`). A ranged window holds at most
//! 256 buckets. The keys of a [`MapPipeline`] are as many as its caller sends and does not delete: bound them before
//! they get here.
//!
//! # Crate features
//!
//! * `parser` (default): text to annotations. Without it there is no `Annotation::parse`, `Spec::parse` and
//!   `Pipeline::parse`, and [`annotation::nearest`] finds nothing; annotations are built in code
//!   ([`Annotation::new`]). Needs `std`.
//! * `serde` (default): results and saved states through any serde format.
//! * `std` (default): without it the crate needs `alloc` only, and builds for bare metal and WebAssembly.

#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod algorithm;
pub mod annotation;
pub mod column;
mod description;
pub mod entry;
pub mod excerpt;
mod link;
mod map;
mod math;
mod menu;
mod number;
mod output;
mod pipeline;
mod record;
mod registry;
mod report;
mod saved;
mod spec;
mod state;
mod text;
mod wide;

pub use self::algorithm::{Algorithm, Detector, Measured, MergeError, Sample, UpdateError};
pub use self::annotation::{Annotation, AnnotationError};
pub use self::description::{DescribedField, Description, FieldValue};
pub use self::entry::Entry;
pub use self::map::{MapError, MapPipeline, SavedMap};
pub use self::menu::{DETECTOR_CALL, menu};
pub use self::number::{Number, Numeric, ValueError, ValueType};
pub use self::output::Output;
pub use self::pipeline::Pipeline;
pub use self::record::Record;
pub use self::registry::{RegisterError, Registry};
pub use self::report::{Flaw, OVERFLOW, Report, TOO_LARGE};
pub use self::saved::{RestoreError, STATE_VERSION, SavedState, WordWriter, Words};
pub use self::spec::{Context, MetricKind, Periods, Silence, Spec, SpecLink};
pub use self::state::State;
pub use self::text::{is_decimal, six_digits, write_six_digits};

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
