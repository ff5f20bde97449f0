//! The arguments of an algorithm: their declaration, and their values in an annotation.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::text::is_decimal;

/// The declaration of one argument.
#[derive(Debug)]
pub struct Argument {
    name: &'static str,
    kind: ArgumentKind,
    expected: &'static str,
    example: &'static str,
    required: bool,
    /// The value that means the same as no argument.
    absent: Option<Absent>,
    /// Whether the argument is written with its name.
    named: bool,
}

/// The value that an argument has when it is left out.
#[derive(Clone, Copy, Debug)]
enum Absent {
    Decimal(f64),
    /// The value of the whole argument at an index, times a factor.
    Times(usize, u64),
    Whole(u64),
}

/// The form of an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ArgumentKind {
    /// A [plain decimal](crate::is_decimal) within bounds.
    Decimal {
        /// The lower bound.
        above: f64,
        /// The upper bound, included.
        most: f64,
    },
    /// A text of parts with `,` between them, which the algorithm parses. The numbers 1, 2, 3 and so on are such parts.
    List {
        /// The largest number of parts.
        most: usize,
    },
    /// Any text, which the algorithm parses.
    Text,
    /// Decimal digits within bounds.
    Whole {
        /// The lower bound, included.
        least: u64,
        /// The upper bound, included.
        most: u64,
    },
}

impl Argument {
    /// A required argument. `expected` completes the sentence "expected …" of an error with the form and the range;
    /// `example` is a valid text.
    pub const fn required(
        name: &'static str,
        kind: ArgumentKind,
        expected: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, kind, expected, example, required: true, absent: None, named: false }
    }

    /// An optional argument.
    pub const fn optional(
        name: &'static str,
        kind: ArgumentKind,
        expected: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, kind, expected, example, required: false, absent: None, named: false }
    }

    /// Makes this whole number mean the same as no argument, also in the [identity](crate::Spec::identity).
    pub const fn absent_is(mut self, value: u64) -> Self {
        self.absent = Some(Absent::Whole(value));
        self
    }

    /// Makes this decimal number mean the same as no argument.
    pub const fn absent_is_decimal(mut self, value: f64) -> Self {
        self.absent = Some(Absent::Decimal(value));
        self
    }

    /// Makes the value of the whole argument at `index` of the entry, times `factor`, mean the same as no argument.
    pub const fn absent_is_times(mut self, index: usize, factor: u64) -> Self {
        self.absent = Some(Absent::Times(index, factor));
        self
    }

    /// Makes the argument one that is written with its name, `name=value`, in any order. An entry lists such arguments
    /// after those without names, and its last argument is then not a [text](ArgumentKind::Text) that takes the rest.
    pub const fn named(mut self) -> Self {
        self.named = true;
        self
    }

    /// The name in tables and explanations.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The form.
    pub fn kind(&self) -> ArgumentKind {
        self.kind
    }

    /// The expected form and range, as errors print it.
    pub fn expected(&self) -> &'static str {
        self.expected
    }

    /// A valid text.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// Whether the argument is required.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether the argument is written with its name.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The text of the default, if there is one that does not depend on other arguments.
    pub fn absent(&self) -> Option<String> {
        match self.absent? {
            Absent::Decimal(value) => Some(value.to_string()),
            Absent::Times(..) => None,
            Absent::Whole(value) => Some(value.to_string()),
        }
    }

    /// The index of the argument whose value, times the factor, is the default, if the default depends on another one.
    pub fn absent_by(&self) -> Option<(usize, u64)> {
        match self.absent? {
            Absent::Times(index, factor) => Some((index, factor)),
            Absent::Decimal(_) | Absent::Whole(_) => None,
        }
    }

    /// The argument with the value `text`, as annotations contain it: `alarms=2`, or the text itself.
    pub fn written(&self, text: &str) -> String {
        if self.named { alloc::format!("{}={text}", self.name) } else { text.to_string() }
    }

    /// The value of a text; `None` if the text has another form or is out of bounds.
    fn read(&self, text: &str) -> Option<Value> {
        match self.kind {
            ArgumentKind::List { most } => (!text.is_empty() && text.split(',').count() <= most).then_some(Value::Text),
            ArgumentKind::Text => (!text.is_empty()).then_some(Value::Text),
            ArgumentKind::Whole { least, most } => {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let value = text.parse().ok().filter(|_| digits)?;
                (least..=most).contains(&value).then_some(Value::Whole(value))
            }
            ArgumentKind::Decimal { above, most } => {
                let value: f64 = text.parse().ok().filter(|_| is_decimal(text))?;
                (value > above && value <= most).then_some(Value::Decimal(value))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Decimal(f64),
    Text,
    Whole(u64),
}

/// The arguments of an algorithm in an annotation, checked against the entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Given<'a> {
    values: Vec<Option<(&'a str, Value)>>,
    period: Option<u64>,
}

/// The reason why an algorithm refuses arguments.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// An argument has another form or is out of range.
    #[error("expected {expected}")]
    Bad {
        /// The index of the argument.
        index: usize,
        /// The expected form and range.
        expected: String,
    },
    /// A required argument is missing.
    #[error("the argument {name} is missing; write for example `{example}`")]
    Missing {
        /// The index of the argument.
        index: usize,
        /// The name of the argument.
        name: &'static str,
        /// A valid text.
        example: &'static str,
    },
    /// An error of the algorithm itself: a lower-case sentence with the remedy.
    #[error("{message}")]
    Other {
        /// The sentence.
        message: String,
    },
}

impl ArgumentError {
    /// An error of the algorithm itself: a lower-case sentence with the remedy.
    pub fn other(message: impl fmt::Display) -> Self {
        Self::Other { message: message.to_string() }
    }
}

impl<'a> Given<'a> {
    /// Checks texts, one for each argument from the first on, against the declared arguments. There are at most as many
    /// texts as arguments; an empty text means that the argument is left out.
    ///
    /// # Errors
    ///
    /// The first argument that is missing, has another form or is out of range.
    pub fn check(taken: &'static [Argument], texts: &[&'a str]) -> Result<Self, ArgumentError> {
        let mut values = Vec::with_capacity(taken.len());
        for (index, argument) in taken.iter().enumerate() {
            let text = texts.get(index).copied().unwrap_or_default();
            if text.is_empty() && !argument.required {
                values.push(None);
                continue;
            }
            if index >= texts.len() {
                let Argument { name, example, .. } = *argument;
                return Err(ArgumentError::Missing { index, name, example });
            }
            let bad = || ArgumentError::Bad { index, expected: argument.expected.to_string() };
            values.push(Some((text, argument.read(text).ok_or_else(bad)?)));
        }
        let mut given = Self { values, period: None };
        given.leave_out_defaults(taken);
        Ok(given)
    }

    /// Sets the length in seconds of the period in which the algorithm runs.
    pub(crate) fn with_period(mut self, seconds: Option<u64>) -> Self {
        self.period = seconds;
        self
    }

    /// The length in seconds of the period in which the algorithm runs; `None` for an inline one, and for a period of
    /// unknown length.
    pub fn period_seconds(&self) -> Option<u64> {
        self.period
    }

    /// Leaves out the arguments that have their default.
    fn leave_out_defaults(&mut self, taken: &[Argument]) {
        let whole_at = |index: usize| match (self.whole(index), taken.get(index).and_then(|argument| argument.absent)) {
            (Some(value), _) | (None, Some(Absent::Whole(value))) => Some(value),
            _ => None,
        };
        let default = |argument: &Argument| match argument.absent? {
            Absent::Decimal(value) => Some(Value::Decimal(value)),
            Absent::Times(index, factor) => {
                whole_at(index).and_then(|value| value.checked_mul(factor)).map(Value::Whole)
            }
            Absent::Whole(value) => Some(Value::Whole(value)),
        };
        let defaults: Vec<_> = taken.iter().map(default).collect();
        for (given, default) in self.values.iter_mut().zip(defaults) {
            if given.is_some_and(|(_, value)| Some(value) == default) {
                *given = None;
            }
        }
    }

    /// The argument at `index` as written; `None` if it is left out or has the value that means the same.
    pub fn text(&self, index: usize) -> Option<&'a str> {
        self.values.get(index).copied().flatten().map(|(text, _)| text)
    }

    /// The value of a [whole](ArgumentKind::Whole) argument.
    pub fn whole(&self, index: usize) -> Option<u64> {
        match self.values.get(index).copied().flatten()? {
            (_, Value::Whole(value)) => Some(value),
            (_, Value::Decimal(_) | Value::Text) => None,
        }
    }

    /// The value of a [decimal](ArgumentKind::Decimal) argument.
    pub fn decimal(&self, index: usize) -> Option<f64> {
        match self.values.get(index).copied().flatten()? {
            (_, Value::Decimal(value)) => Some(value),
            (_, Value::Text | Value::Whole(_)) => None,
        }
    }

    /// The canonical text, with the names of `taken`: arguments with the same meaning have the same text. It does not
    /// contain trailing arguments that are left out. A blank or a backslash in a text has a backslash before it.
    pub(crate) fn canonical(&self, taken: &[Argument]) -> String {
        let text = |value: &Option<(&str, Value)>| match value {
            None => String::new(),
            Some((_, Value::Decimal(value))) => value.to_string(),
            // Blanks separate calls; the escape prevents that an argument looks like another call.
            Some((text, Value::Text)) => text.replace('\\', r"\\").replace(' ', r"\ "),
            Some((_, Value::Whole(value))) => value.to_string(),
        };
        let all = || taken.iter().zip(&self.values);
        let unnamed: Vec<_> = all().filter(|(argument, _)| !argument.named).map(|(_, value)| value).collect();
        let written = unnamed.iter().rposition(|value| value.is_some()).map_or(0, |last| last + 1);
        let mut texts: Vec<String> = unnamed.into_iter().take(written).map(text).collect();
        let named = all().filter(|(argument, value)| argument.named && value.is_some());
        texts.extend(named.map(|(argument, value)| argument.written(&text(value))));
        texts.join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TAKEN: [Argument; 3] = [
        Argument::required("alpha", ArgumentKind::Decimal { above: 0.0, most: 1.0 }, "alpha, 0 to 1", "0.1"),
        Argument::optional("count", ArgumentKind::Whole { least: 0, most: 9 }, "a count, 0 to 9", "3").absent_is(0),
        Argument::optional("note", ArgumentKind::Text, "a text", "x"),
    ];

    #[test]
    fn arguments_are_checked_by_form_and_range() {
        let bad = |texts: &[&'static str]| Given::check(&TAKEN, texts).expect_err("a bad argument");
        let at = |index, expected: &str| ArgumentError::Bad { index, expected: expected.to_string() };
        assert_eq!(bad(&["0"]), at(0, "alpha, 0 to 1"));
        assert_eq!(bad(&["1.1"]), at(0, "alpha, 0 to 1"));
        assert_eq!(bad(&["+0.1"]), at(0, "alpha, 0 to 1"));
        assert_eq!(bad(&["1", "-1"]), at(1, "a count, 0 to 9"));
        assert_eq!(bad(&["1", "+1"]), at(1, "a count, 0 to 9"));
        assert_eq!(bad(&["1", "10"]), at(1, "a count, 0 to 9"));
        assert_eq!(bad(&[]), ArgumentError::Missing { index: 0, name: "alpha", example: "0.1" });
        let given = Given::check(&TAKEN, &["1", "9", "a:b"]).expect("good arguments");
        assert_eq!((given.decimal(0), given.whole(1), given.text(2)), (Some(1.0), Some(9), Some("a:b")));
        assert_eq!((given.whole(0), given.decimal(1), given.text(3)), (None, None, None));
    }

    #[test]
    fn the_canonical_text_has_one_form_for_one_meaning() {
        let canonical = |texts: &[&'static str]| Given::check(&TAKEN, texts).expect("good arguments").canonical(&TAKEN);
        assert_eq!(canonical(&["0.10", "03"]), "0.1:3");
        assert_eq!(canonical(&["1e-1"]), "0.1");
        assert_eq!(canonical(&["0.1", "", "x"]), "0.1::x");
        assert_eq!(canonical(&["0.1", ""]), "0.1");
        assert_eq!(canonical(&["0.1", "", "a:"]), "0.1::a:");
        assert_eq!(canonical(&["0.1", "0", "a"]), "0.1::a");
        assert_eq!(canonical(&["0.1", "0"]), "0.1");
        assert_eq!(canonical(&["0.1", "0", r"a b\c"]), r"0.1::a\ b\\c");
    }

    #[test]
    fn named_arguments_follow_the_others_in_the_order_of_the_entry() {
        const KIND: ArgumentKind = ArgumentKind::Whole { least: 0, most: 9 };
        static NAMED: [Argument; 3] = [
            Argument::optional("count", KIND, "a count, 0 to 9", "3"),
            Argument::optional("first", KIND, "a first, 0 to 9", "3").named(),
            Argument::optional("last", KIND, "a last, 0 to 9", "3").named(),
        ];
        let canonical = |texts: &[&'static str]| Given::check(&NAMED, texts).expect("good arguments").canonical(&NAMED);
        assert_eq!(canonical(&["07", "", "1"]), "7:last=1");
        assert_eq!(canonical(&["", "02", "1"]), "first=2:last=1");
        assert_eq!(canonical(&["", "", ""]), "");
        assert_eq!(NAMED.each_ref().map(|argument| argument.written("5")), ["5", "first=5", "last=5"]);
        assert_eq!(NAMED.each_ref().map(Argument::is_named), [false, true, true]);
    }

    #[test]
    fn an_argument_with_its_default_is_left_out() {
        const KIND: ArgumentKind = ArgumentKind::Whole { least: 0, most: 99 };
        static TAKEN: [Argument; 3] = [
            Argument::optional("season", KIND, "a season, 0 to 99", "3").absent_is(7),
            Argument::optional("warmup", KIND, "a warm-up, 0 to 99", "3").absent_is_times(0, 2),
            Argument::optional("rate", ArgumentKind::Decimal { above: 0.0, most: 9.0 }, "a rate, 0 to 9", "3")
                .absent_is_decimal(1.0)
                .named(),
        ];
        let canonical = |texts: &[&'static str]| Given::check(&TAKEN, texts).expect("good arguments").canonical(&TAKEN);
        for defaults in [&[][..], &["7"], &["07", "14"], &["", "14"], &["", "", "1.0"], &["7", "14", "1e0"]] {
            assert_eq!(canonical(defaults), "", "{defaults:?}");
        }
        assert_eq!(canonical(&["8", "16", "1"]), "8");
        assert_eq!(canonical(&["8", "14", "2"]), "8:14:rate=2");
        assert_eq!(canonical(&["7", "16"]), ":16");
        assert_eq!(TAKEN.each_ref().map(Argument::absent), [Some("7".to_string()), None, Some("1".to_string())]);
    }

    #[test]
    fn an_argument_has_what_it_was_made_of() {
        let parts = |argument: &Argument| (argument.name(), argument.expected(), argument.example());
        assert_eq!(
            TAKEN.each_ref().map(parts),
            [("alpha", "alpha, 0 to 1", "0.1"), ("count", "a count, 0 to 9", "3"), ("note", "a text", "x"),]
        );
        assert_eq!(TAKEN.each_ref().map(Argument::is_required), [true, false, false]);
        assert_eq!(TAKEN[1].kind(), ArgumentKind::Whole { least: 0, most: 9 });
    }
}
