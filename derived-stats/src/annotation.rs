//! The annotation language: a line of text that defines a result, computed from one attribute.
//!
//! ```text
//! [period[.PRE[(arguments)]]…-]attribute[.component[.subcomponent]]:ALGORITHM[:arguments]
//! ```
//!
//! | part | meaning | form |
//! |---|---|---|
//! | `period` | act at every n-th period of the struct; 0 = at every sample | decimal digits, 0 to 4294967295 |
//! | `PRE` | aggregation inside one period; several form a chain, whose last result feeds the algorithm | name |
//! | `attribute…` | where the samples come from, at most three levels deep | names with `.` between |
//! | `ALGORITHM` | the algorithm of the result | name |
//! | `arguments` | the settings of one aggregation or algorithm, which parses them | any text without control characters; in parentheses also without `(` and `)` |
//!
//! A *name* is `[A-Za-z_][A-Za-z0-9_]*`. Blanks are allowed only in arguments. Outside of parentheses,
//! the first `-` before the first `:` ends the period, and the second `:` ends the algorithm; arguments may
//! contain both characters. Empty arguments mean the same as none: `raw:DSSum:` is `raw:DSSum`, and `DSSum()` is
//! `DSSum`.
//!
//! # Three layers
//!
//! The parser checks the form of a text and makes an [`Annotation`], in which every part has its span. Compiling checks
//! that the algorithm exists, suits the struct and accepts its arguments; its errors point into the same text, through
//! [`Annotation::error_at`].
//!
//! ```
//! use derived_stats::annotation::Annotation;
//!
//! let annotation: Annotation = "1.DSPercentile(99)-raw:DSAnomaly:EWM:0.1".parse()?;
//! let period = annotation.period().expect("a period is written");
//! assert_eq!(period.every(), 1);
//! assert_eq!(period.chain()[0].name().as_str(), "DSPercentile");
//! assert_eq!(period.chain()[0].arguments().as_str(), "99");
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
//! Without the parser, [`Annotation::new`] builds an annotation from its parts.
//!
//! # Input safety
//!
//! Annotations may come from users. `Limits` bounds the length (1024 bytes by default) and the chain (4
//! pre-aggregations); the grammar bounds everything else. Parsing is linear in the length, does not recurse and never
//! panics. The text of an error escapes characters that could garble a terminal or a log.

mod ast;
mod build;
#[cfg(feature = "parser")]
mod diagnose;
mod error;
mod fault;
mod kind;
mod nearest;
#[cfg(feature = "parser")]
mod parse;
mod piece;
mod sentence;

pub use ast::{Annotation, Call, Period, Source};
pub use build::PartError;
pub use error::AnnotationError;
pub use fault::{NameFault, ParenthesesFault, PeriodFault};
pub use kind::ErrorKind;
pub use nearest::nearest;
#[cfg(feature = "parser")]
pub use parse::Limits;
pub use piece::{Arguments, Ident, Span};
pub(crate) use sentence::one_of;
