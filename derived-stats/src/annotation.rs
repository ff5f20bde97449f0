//! The annotation language: one line of text says what is computed from which attribute.
//!
//! ```text
//! [period[.PRE]-]attribute[.component[.subcomponent]]:ALGORITHM[:arguments]
//! ```
//!
//! | part | meaning | form |
//! |---|---|---|
//! | `period` | act at every so many periods of the struct; 0 = at every sample | decimal digits, 0 to 4294967295 |
//! | `PRE` | aggregation inside one period whose result feeds the algorithm | name |
//! | `attribute…` | where the samples come from, at most three levels deep | names with `.` between |
//! | `ALGORITHM` | what is computed | name |
//! | `arguments` | the algorithm's own settings, read by the algorithm | any text without control characters |
//!
//! A *name* is `[A-Za-z_][A-Za-z0-9_]*`. Nowhere but in the arguments is a blank allowed. The first
//! `-` before the first `:` ends the period, and the second `:` ends the algorithm, so arguments may
//! hold both. A `:` with nothing after it adds nothing: `raw:DSSum:` is `raw:DSSum`.
//!
//! # Three layers
//!
//! Text becomes an [`Annotation`], which says only that the form is right and where each part stands.
//! Whether the algorithm exists, suits the struct and likes its arguments is checked when it is compiled;
//! faults found there point into the same text through [`Annotation::error_at`].
//!
//! ```
//! use derived_stats::annotation::Annotation;
//!
//! let annotation: Annotation = "1.DSSum-raw:DSAnomaly:EWM:0.1".parse()?;
//! let period = annotation.period().expect("a period is written");
//! assert_eq!(period.every(), 1);
//! assert_eq!(period.pre().map(|pre| pre.as_str()), Some("DSSum"));
//! assert_eq!(annotation.source().attribute().as_str(), "raw");
//! assert_eq!(annotation.algorithm().name().as_str(), "DSAnomaly");
//! assert_eq!(annotation.algorithm().arguments().as_str(), "EWM:0.1");
//!
//! let error = Annotation::parse("1,DSSum-raw:DSAnomaly:EWM:0.1").unwrap_err();
//! assert_eq!(error.span().range(), 0..7);
//! assert!(error.to_string().ends_with("did you mean `1.DSSum-`?"));
//! # Ok::<(), derived_stats::annotation::AnnotationError>(())
//! ```
//!
//! # Input safety
//!
//! Annotations may come from users. [`Limits`] bounds the length (1024 bytes by default); nesting and
//! the number of stages are bounded by the grammar itself. Parsing is linear in the length and never
//! panics, and an error's text escapes what could garble a terminal or a log.

mod ast;
mod diagnose;
mod error;
mod fault;
mod kind;
mod nearest;
mod parse;
mod piece;
mod printable;

pub use ast::{Annotation, Call, Period, Source};
pub use error::AnnotationError;
pub use fault::{NameFault, PeriodFault};
pub use kind::ErrorKind;
pub use nearest::nearest;
pub use parse::Limits;
pub use piece::{Arguments, Ident, Span};
