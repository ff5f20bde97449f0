//! The entry of an algorithm: its name, roles, arguments, fields and claims.
//!
//! An algorithm is one file: parameters, state, [`Algorithm`](crate::Algorithm), documentation, tests, and one static
//! [`Entry`]. The entries drive name resolution and its error texts, argument checks, the check of proxy types,
//! `explain`, the encodings of results (JSON, CSV, InfluxDB), and the property suite.
//!
//! To add a built-in algorithm:
//!
//! 1. write `algorithm/<name>.rs`;
//! 2. add its `mod`, its `pub use` and its row of the table to `algorithm.rs`;
//! 3. add its entry to `MENU` in `menu.rs`;
//! 4. write the tables of the book with `cargo run -p derived-stats --example menu`;
//! 5. add a pipeline for each of its roles to `PIPELINES` in `tests/golden/states.rs`, and write the files with
//!    `cargo test -p derived-stats --test golden -- --ignored record_`.
//!
//! A test fails if a step is missing.
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
mod part;
mod role;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::number::{Number, ValueType};

pub use self::argument::{Argument, ArgumentError, ArgumentKind, Given};
pub use self::build::Built;
pub use self::field::{Field, FieldKind, NumberKind, TextSource, Unit};
pub use self::part::ArgumentPart;
pub use self::role::{Form, Role};

/// The positions in an annotation at which an algorithm is allowed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Roles {
    /// `raw:NAME`: the algorithm takes every sample, with a result after each.
    pub inline: bool,
    /// `1-raw:NAME`: the algorithm takes the samples of one period, and is reset for the next.
    pub period: bool,
    /// `1.NAME-raw:…`: the algorithm makes one value of a period, for a detector or another pre-aggregation.
    pub pre_aggregation: bool,
    /// `DSAnomaly:NAME`: the algorithm scores one value for each period; inline, it scores every sample.
    pub detector: bool,
}

impl Roles {
    /// Inline, periodic, and as pre-aggregation: an aggregate with a single value.
    pub const AGGREGATE: Self = Self { inline: true, period: true, pre_aggregation: true, detector: false };
    /// A detector.
    pub const DETECTOR: Self = Self { inline: true, period: false, pre_aggregation: false, detector: true };
    /// Inline only.
    pub const INLINE: Self = Self { inline: true, period: false, pre_aggregation: false, detector: false };
    /// Periodic and as pre-aggregation, but not inline: for algorithms whose state needs the ends of periods.
    pub const OF_PERIODS: Self = Self { inline: false, period: true, pre_aggregation: true, detector: false };
    /// Inline and periodic.
    pub const PERIOD: Self = Self { inline: true, period: true, pre_aggregation: false, detector: false };
}

/// The type of a result in Sandesh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResultType {
    /// A number. The JSON form is the number, or `{"value": …}`.
    Number,
    /// A struct of this name, such as `AnomalyResult`, in any package.
    Struct(&'static str),
}

/// The claims of an algorithm about its arithmetic. The property suite tests each claim.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    /// [`Algorithm::merge`](crate::Algorithm::merge) of two states equals one pass over both inputs, for all arguments.
    /// Sums of doubles may be rounded differently, and a result that states an error may differ within that error.
    pub merges: bool,
    /// For integers, the order of the samples makes no difference, as long as no partial sum leaves the type.
    pub order_insensitive: bool,
    /// Every value is between the smallest and the largest sample, except for rounding of doubles and flagged
    /// overflows.
    pub within_samples: bool,
    /// Multiplying all samples by a power of two multiplies every value by it (doubles, far from the limits).
    pub scales: bool,
}

/// The output of `explain` for one compiled algorithm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// The result, without subject and full stop: "the sum of all samples".
    pub sentence: String,
    /// More lines: a label of one word, and a text.
    pub lines: Vec<(&'static str, String)>,
    /// Facts for programs: group, name, number.
    pub facts: Vec<(&'static str, &'static str, Number)>,
}

impl Explanation {
    /// An explanation of one sentence.
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
/// See `examples/register.rs` for a complete entry.
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
    takes_readings: bool,
    takes_texts: bool,
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
            takes_readings: false,
            takes_texts: false,
            version: 1,
            build,
        }
    }

    /// Adds arguments, in the order of the annotation.
    #[must_use]
    pub const fn arguments(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    /// Makes the result one number whose type or unit is not that of the metric. The field has the role
    /// [`Role::Value`].
    #[must_use]
    pub const fn number(mut self, field: &'static [Field; 1]) -> Self {
        self.fields = FieldsOf::Fixed(field);
        self
    }

    /// Makes the result a struct of `fields`; a [`Record`](crate::Record) holds the numeric fields in this order. At most
    /// [`MAX_NUMBERS`](crate::Record::MAX_NUMBERS) of them may be numbers: annotations with more are refused.
    #[must_use]
    pub const fn structured(mut self, result_type: &'static str, fields: &'static [Field]) -> Self {
        self.fields = FieldsOf::Fixed(fields);
        self.result_type = ResultType::Struct(result_type);
        self
    }

    /// Makes the result a struct with fields that depend on the arguments or the element type of the metric. Their number
    /// has the same limit as those of [`structured`](Self::structured).
    #[must_use]
    pub const fn structured_by(mut self, result_type: &'static str, fields: Fields) -> Self {
        self.fields = FieldsOf::ByArguments(fields);
        self.result_type = ResultType::Struct(result_type);
        self
    }

    /// Sets the function that makes the output of `explain`, from the arguments and the length in seconds of the period
    /// of the values, if there is one.
    #[must_use]
    pub const fn explained(mut self, explain: Explain) -> Self {
        self.explain = Some(explain);
        self
    }

    /// Sets the claims about the arithmetic.
    #[must_use]
    pub const fn claims(mut self, claims: Claims) -> Self {
        self.claims = claims;
        self
    }

    /// Marks an algorithm that takes readings, as one that makes the differences of a cumulative counter itself, or one
    /// of the last values of sources. It cannot take the samples of a metric whose samples are differences
    /// ([`MetricKind`](crate::MetricKind)).
    #[must_use]
    pub const fn of_readings(mut self) -> Self {
        self.takes_readings = true;
        self
    }

    /// Marks an algorithm that only compares samples for equality, or counts them. Its samples can be texts, each as its
    /// [hash](crate::text_sample).
    #[must_use]
    pub const fn of_texts(mut self) -> Self {
        self.takes_texts = true;
        self
    }

    /// Sets the version of the state's words. Increase it when the words change; the algorithm's
    /// [`migrate`](crate::Algorithm::migrate) reads the older versions.
    #[must_use]
    pub const fn version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    /// The name in annotations; for a detector, the name after `DSAnomaly:`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The positions at which the algorithm is allowed.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// The arguments, in the order of the annotation.
    pub fn argument_list(&self) -> &'static [Argument] {
        self.arguments
    }

    /// The type of the result in Sandesh.
    pub fn result_type(&self) -> ResultType {
        self.result_type
    }

    /// The result, without subject and full stop.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// The claims about the arithmetic.
    pub fn claim_list(&self) -> Claims {
        self.claims
    }

    /// Whether the algorithm takes readings, and not the differences of a counter.
    pub fn takes_readings(&self) -> bool {
        self.takes_readings
    }

    /// Whether the samples can be the [hashes](crate::text_sample) of texts.
    pub fn takes_texts(&self) -> bool {
        self.takes_texts
    }

    /// The version of the state's words.
    pub fn state_version(&self) -> u16 {
        self.version
    }

    /// The fields of the results for these arguments and this element type.
    pub fn fields(&self, given: &Given<'_>, metric: ValueType) -> Cow<'static, [Field]> {
        match self.fields {
            FieldsOf::Fixed(fields) => Cow::Borrowed(fields),
            FieldsOf::ByArguments(fields) => fields(given, metric),
        }
    }

    /// The output of `explain`; `seconds` is the length of the period of the values.
    pub fn explain(&self, given: &Given<'_>, seconds: Option<u64>) -> Explanation {
        match self.explain {
            Some(explain) => explain(given, seconds),
            None => Explanation::new(self.summary),
        }
    }

    pub(crate) fn build(&self, given: &Given<'_>) -> Result<Built, ArgumentError> {
        (self.build)(given)
    }

    /// An example of the required arguments, for error texts; empty if there are none.
    pub fn example(&self) -> String {
        let examples: Vec<&str> =
            self.arguments.iter().filter(|argument| argument.is_required()).map(Argument::example).collect();
        examples.join(":")
    }
}

/// Entries are statics: an entry is equal only to itself.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}
