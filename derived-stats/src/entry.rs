//! The entry of an algorithm: everything that the rest of the program must know about it.
//!
//! An algorithm is one file: parameters, state, [`Algorithm`](crate::Algorithm), documentation, tests, and one static
//! [`Entry`]. From the entries follow name resolution and its error texts, argument checks, the check of proxy types,
//! `explain`, the encodings of results (JSON, CSV, InfluxDB), and the property suite.
//!
//! To add a built-in algorithm:
//!
//! 1. write `algorithm/<name>.rs`;
//! 2. add its `mod`, its `pub use` and its row of the table to `algorithm.rs`;
//! 3. add its entry to `MENU` in `menu.rs`;
//! 4. add its row to `docs/src/reference/annotations.md`;
//! 5. add a pipeline for each of its roles to `PIPELINES` in `tests/golden/states.rs`, and write the files with
//!    `cargo test -p derived-stats --test golden -- --ignored record_`.
//!
//! Tests fail for a forgotten step.
//!
//! ```
//! use derived_stats::entry::Entry;
//! use derived_stats::menu;
//!
//! let names: Vec<&str> = menu().iter().map(|entry| entry.name()).collect();
//! assert!(names.contains(&"DSSum") && names.contains(&"EWM"));
//! let sum: &Entry = menu().iter().find(|entry| entry.name() == "DSSum").expect("built in");
//! assert!(sum.roles().inline && sum.roles().period && sum.roles().pre_aggregation && !sum.roles().detector);
//! ```

mod argument;
mod build;
mod field;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::number::{Number, ValueType};

pub use self::argument::{Argument, ArgumentError, ArgumentKind, Given};
pub use self::build::Built;
pub use self::field::{Field, FieldKind, Form, NumberKind, Role, TextSource, Unit};

/// Where an algorithm may stand in an annotation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Roles {
    /// `raw:NAME`: it takes every sample, and there is a result after each.
    pub inline: bool,
    /// `1-raw:NAME`: it takes the samples of one period, and starts anew with the next.
    pub period: bool,
    /// `1.NAME-raw:…`: it makes the one value of a period that a detector or another pre-aggregation sees.
    pub pre_aggregation: bool,
    /// `DSAnomaly:NAME`: it takes one value a period and scores it; inline, it scores every sample.
    pub detector: bool,
}

impl Roles {
    /// Inline and per period, and as pre-aggregation: an aggregate with a value.
    pub const AGGREGATE: Self = Self { inline: true, period: true, pre_aggregation: true, detector: false };
    /// A detector.
    pub const DETECTOR: Self = Self { inline: true, period: false, pre_aggregation: false, detector: true };
    /// Inline only.
    pub const INLINE: Self = Self { inline: true, period: false, pre_aggregation: false, detector: false };
    /// Inline and per period.
    pub const PERIOD: Self = Self { inline: true, period: true, pre_aggregation: false, detector: false };
}

/// What Sandesh declares a field of this result as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResultType {
    /// A number. Results are one number, shown bare or as `{"value": …}`.
    Number,
    /// A struct of this name, such as `AnomalyResult`; any package may stand before it.
    Struct(&'static str),
}

/// What an algorithm claims about its arithmetic. The property suite holds each claim.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    /// [`Algorithm::merge`](crate::Algorithm::merge) of two states equals one pass over both inputs, for all arguments.
    /// Sums of doubles may round otherwise.
    pub merges: bool,
    /// For integers, the order of the samples makes no difference, as long as no partial sum leaves the type.
    pub order_insensitive: bool,
    /// Every value lies between the smallest and the largest sample, but for rounding of doubles and marked overflows.
    pub within_samples: bool,
    /// Samples that are all multiplied by a power of two multiply every value by it (doubles, away from the limits).
    pub scales: bool,
}

/// What `explain` prints of one compiled algorithm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// What it computes, without subject and full stop: "the sum of all samples".
    pub sentence: String,
    /// Further lines: a label of one word, and a text.
    pub lines: Vec<(&'static str, String)>,
    /// Facts for programs: group, name, number.
    pub facts: Vec<(&'static str, &'static str, Number)>,
}

impl Explanation {
    /// One sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), ..Self::default() }
    }

    /// Adds a line.
    #[must_use]
    pub fn line(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.lines.push((label, text.into()));
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, group: &'static str, name: &'static str, number: Number) -> Self {
        self.facts.push((group, name, number));
        self
    }
}

type Build = fn(&Given<'_>) -> Result<Built, ArgumentError>;
type Explain = fn(&Given<'_>, Option<u64>) -> Explanation;
type Fields = fn(&Given<'_>, ValueType) -> Cow<'static, [Field]>;

/// The entry of one algorithm in the menu. One `static` in the algorithm's file.
///
/// See `examples/register.rs` for a whole one.
#[derive(Debug)]
pub struct Entry {
    name: &'static str,
    roles: Roles,
    arguments: &'static [Argument],
    fields: FieldsOf,
    result_type: ResultType,
    summary: &'static str,
    explain: Option<Explain>,
    claims: Claims,
    version: u16,
    build: Build,
}

#[derive(Debug)]
enum FieldsOf {
    Fixed(&'static [Field]),
    ByArguments(Fields),
}

impl Entry {
    /// An entry whose result is one number named `value`, without arguments or claims, with version 1 of its state.
    ///
    /// `name` is a name of the annotation grammar. `summary` completes the sentence "it computes …": lower case,
    /// without full stop. `build` makes the algorithm from its checked arguments.
    pub const fn new(name: &'static str, roles: Roles, summary: &'static str, build: Build) -> Self {
        Self {
            name,
            roles,
            arguments: &[],
            fields: FieldsOf::Fixed(&[Field::VALUE]),
            result_type: ResultType::Number,
            summary,
            explain: None,
            claims: Claims { merges: false, order_insensitive: false, within_samples: false, scales: false },
            version: 1,
            build,
        }
    }

    /// The same with arguments, in the order in which they are written.
    #[must_use]
    pub const fn arguments(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    /// The same with results that are a struct of `fields`; [`Record`](crate::Record)s hold the numeric ones in this
    /// order.
    #[must_use]
    pub const fn structured(mut self, result_type: &'static str, fields: &'static [Field]) -> Self {
        self.fields = FieldsOf::Fixed(fields);
        self.result_type = ResultType::Struct(result_type);
        self
    }

    /// The same with fields that depend on the arguments or the element type of the metric.
    #[must_use]
    pub const fn structured_by(mut self, result_type: &'static str, fields: Fields) -> Self {
        self.fields = FieldsOf::ByArguments(fields);
        self.result_type = ResultType::Struct(result_type);
        self
    }

    /// The same with a text of its own for `explain`. The function gets the arguments and the length in seconds of the
    /// period that the values are of, if there is one.
    #[must_use]
    pub const fn explained(mut self, explain: Explain) -> Self {
        self.explain = Some(explain);
        self
    }

    /// The same with claims about its arithmetic.
    #[must_use]
    pub const fn claims(mut self, claims: Claims) -> Self {
        self.claims = claims;
        self
    }

    /// The same with another version of the state's words. Raised when the words change; the algorithm's
    /// [`migrate`](crate::Algorithm::migrate) reads the older ones.
    #[must_use]
    pub const fn version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    /// The name in annotations; of a detector, the one behind `DSAnomaly:`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it may stand.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// Its arguments, in the order in which they are written.
    pub fn argument_list(&self) -> &'static [Argument] {
        self.arguments
    }

    /// What Sandesh declares its result as.
    pub fn result_type(&self) -> ResultType {
        self.result_type
    }

    /// What it computes, without subject and full stop.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// What it claims.
    pub fn claim_list(&self) -> Claims {
        self.claims
    }

    /// The version of its state's words.
    pub fn state_version(&self) -> u16 {
        self.version
    }

    /// The fields of its results for these arguments and element type.
    pub fn fields(&self, given: &Given<'_>, metric: ValueType) -> Cow<'static, [Field]> {
        match self.fields {
            FieldsOf::Fixed(fields) => Cow::Borrowed(fields),
            FieldsOf::ByArguments(fields) => fields(given, metric),
        }
    }

    /// What `explain` prints; `seconds` is the length of the period that the values are of.
    pub fn explain(&self, given: &Given<'_>, seconds: Option<u64>) -> Explanation {
        match self.explain {
            Some(explain) => explain(given, seconds),
            None => Explanation::new(self.summary),
        }
    }

    pub(crate) fn build(&self, given: &Given<'_>) -> Result<Built, ArgumentError> {
        (self.build)(given)
    }

    /// Arguments that would do, for an error text; empty if none are needed.
    pub fn example(&self) -> String {
        let examples: Vec<&str> =
            self.arguments.iter().filter(|argument| argument.is_required()).map(Argument::example).collect();
        examples.join(":")
    }
}

/// Entries are statics: one entry, one address.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}
