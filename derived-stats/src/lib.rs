//! Annotations such as `1.DSSum-raw:DSAnomaly:EWM:0.1`, compiled into streaming aggregation pipelines.
//!
//! This annotation adds up the samples of each period and feeds each sum to a detector with an exponentially weighted
//! mean of alpha 0.1. The language and the results are those of Contrail's DerivedStats, bit for bit.
//!
//! This crate does no I/O, reads no clock, starts no thread and logs nothing. It is not a metrics registry, and it has
//! no object keys, no event-time windows and no wire formats; those are in `proxy-uve`.
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
//! * [`annotation`]: the parser and the printer of annotations, with spans, and errors that underline the mistake.
//! * [`Spec`] and [`State`]: a compiled annotation, which objects share, and the state of one object.
//! * [`Pipeline`] and [`MapPipeline`]: a spec with its state, for a scalar metric and for a map (`mstats`).
//! * [`algorithm`]: the built-in algorithms, one type each with its formula, and the trait for registered ones, which
//!   a [`Registry`] holds.
//! * [`mod@column`]: the states of many objects under one spec, in arrays.
//!
//! # Determinism
//!
//! The same calls give the same bytes, on every platform with IEEE-754 doubles: time is an argument, maps are
//! ordered, sums are made in order of arrival, and no fused multiply-add is used.
//!
//! # Panics and errors
//!
//! No input makes the crate panic. Every mistake of a caller is an error whose text contains the remedy. A refused
//! sample does not change the state; [`UpdateError`] lists the two exceptions.
//!
//! # Floating point
//!
//! NaN and infinities are refused at the boundary ([`ValueError`]). Integers are exact: sums never convert them to
//! doubles. A sum that leaves the range of its type saturates, and every later result carries an error
//! ([`Output::error`]; the JSON form of a result that is a single number does not contain it). The moments of a
//! detector are doubles: a detector rounds integers above 2^53.
//!
//! # Saved state
//!
//! [`SavedState`] holds a version, the pipeline's text and 64-bit words, and works with any serde format. A restored
//! pipeline continues bit for bit. Restoring validates every word. [`SavedMap`] is the saved state of a
//! [`MapPipeline`].
//!
//! # Input safety
//!
//! Annotations are limited to 1024 bytes and 4 pre-aggregations (`annotation::Limits`). A ranged window holds at most
//! 256 buckets. The number of keys of a [`MapPipeline`] is not limited: the caller must bound the keys that it sends
//! and does not delete.
//!
//! # Crate features
//!
//! * `parser` (default): text to annotations. Without it there is no `Annotation::parse`, `Spec::parse` and
//!   `Pipeline::parse`, [`annotation::nearest`] returns `None`, and annotations are built in code
//!   ([`Annotation::new`]). Needs `std`.
//! * `serde` (default): serialisation of results and saved states.
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
mod fnv;
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
mod source_id;
mod spec;
mod state;
mod text;
mod text_sample;
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
pub use self::report::{BEYOND_SINGLE, COLLAPSED, Flaw, OVERFLOW, Report, TOO_LARGE};
pub use self::saved::{RestoreError, STATE_VERSION, SavedState, WordWriter, Words};
pub use self::source_id::SourceId;
pub use self::spec::{Context, MetricKind, Periods, Silence, Spec, SpecLink, counter_increase};
pub use self::state::State;
pub use self::text::{is_decimal, six_digits, write_six_digits};
pub use self::text_sample::{MAX_TEXT_SAMPLE, TextSampleError, text_sample};

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
