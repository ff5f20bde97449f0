//! The arguments of a call: their parts, names and errors.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::{DETECTOR_PREFIX, Resolved, owned};
use crate::annotation::{Annotation, AnnotationError, Arguments, Call, ErrorKind, Span, nearest};
use crate::entry::{Argument, ArgumentError, ArgumentKind, Entry, FieldKind, Given};
use crate::number::ValueType;
use crate::record::Record;

/// The position of a call, which determines the syntax of its arguments.
#[derive(Clone, Copy)]
pub(super) enum Position {
    /// `NAME:arguments`.
    Algorithm,
    /// `NAME(arguments)`.
    Chain,
}

impl Position {
    /// The call in the syntax of this position.
    pub(super) fn call(self, name: &str, arguments: &str) -> String {
        match self {
            _ if arguments.is_empty() => name.to_owned(),
            Self::Algorithm => alloc::format!("{name}:{arguments}"),
            Self::Chain => alloc::format!("{name}({arguments})"),
        }
    }
}

/// Checks the arguments of an entry, and builds it for periods of this length in seconds, if it is known.
pub(super) fn resolve<'a>(
    annotation: &Annotation,
    call: &Call,
    entry: &'static Entry,
    arguments: Text<'a>,
    (position, period): (Position, Option<u64>),
) -> Result<Resolved<'a>, AnnotationError> {
    let taken = entry.argument_list();
    let Parts { parts, surplus } = if taken.iter().any(Argument::is_named) {
        named_parts(annotation, entry, arguments)?
    } else {
        Parts::by_position(taken, arguments)
    };
    let texts: Vec<&str> = parts.iter().map(|part| part.text).collect();
    let written = Written { annotation, call, entry, arguments, parts, position };
    let given = Given::check(taken, &texts).map_err(|error| written.error(error))?.with_period(period);
    if let Some(surplus) = surplus {
        return Err(written.surplus_error(surplus));
    }
    let built = entry.build(&given).map_err(|error| written.error(error))?;
    fits_a_record(entry, &given).map_err(|error| written.error(error))?;
    let canonical = given.canonical(taken);
    let separator = if canonical.is_empty() { "" } else { ":" };
    let family = if entry.roles().detector { DETECTOR_PREFIX } else { "" };
    let call = alloc::format!("{family}{}{separator}{canonical}", entry.name());
    Ok(Resolved { entry, given, built, texts, call, span: arguments.span() })
}

/// Checks that a record can have all numbers of the result.
fn fits_a_record(entry: &Entry, given: &Given<'_>) -> Result<(), ArgumentError> {
    let most = Record::MAX_NUMBERS;
    for value_type in [ValueType::F64, ValueType::I64, ValueType::U64] {
        let fields = entry.fields(given, value_type);
        let numbers = fields.iter().filter(|field| matches!(field.kind(), FieldKind::Number(_))).count();
        if numbers > most {
            let name = entry.name();
            let message = alloc::format!(
                "the result of `{name}` has {numbers} numbers, and at most {most} are allowed; give it fewer fields"
            );
            return Err(ArgumentError::other(message));
        }
    }
    Ok(())
}

/// The written arguments in the order of the entry. An argument that is left out is an empty text.
struct Parts<'a> {
    parts: Vec<Text<'a>>,
    surplus: Option<Text<'a>>,
}

impl<'a> Parts<'a> {
    fn by_position(taken: &[Argument], arguments: Text<'a>) -> Self {
        // A text argument at the end takes the rest.
        let takes_rest = taken.last().is_some_and(|argument| argument.kind() == ArgumentKind::Text);
        let mut parts = arguments.split(taken.len() + usize::from(!takes_rest));
        let surplus = parts.get(taken.len()).copied();
        parts.truncate(taken.len());
        Self { parts, surplus }
    }
}

/// The parts of an entry with named arguments: each `name=value` is the argument of that name, and the others are the
/// arguments without a name, in their order.
fn named_parts<'a>(annotation: &Annotation, entry: &Entry, arguments: Text<'a>) -> Result<Parts<'a>, AnnotationError> {
    let taken = entry.argument_list();
    let mut unnamed = taken.iter().enumerate().filter(|(_, argument)| !argument.is_named());
    let mut parts: Vec<Option<Text<'a>>> = alloc::vec![None; taken.len()];
    for part in arguments.split(usize::MAX) {
        let (index, value) = match part.split_name() {
            Some((name, value)) => (named_index(annotation, entry, name, value)?, value),
            None => match unnamed.next() {
                Some((index, _)) => (index, part),
                None if part.text.is_empty() => continue,
                None => return Err(unnamed_error(annotation, taken, part)),
            },
        };
        let target = parts.get_mut(index).filter(|target| target.is_none());
        let name = || taken.get(index).map(Argument::name).unwrap_or_default().to_owned();
        *target.ok_or_else(|| annotation.error_at(part.span(), ErrorKind::RepeatedArgument { name: name() }))? =
            Some(value);
    }
    let written = parts.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let absent = Text { text: "", start: arguments.end().start };
    Ok(Parts { parts: parts.into_iter().take(written).map(|part| part.unwrap_or(absent)).collect(), surplus: None })
}

/// The index of the argument `name`, which has the `value`.
fn named_index(
    annotation: &Annotation,
    entry: &Entry,
    name: Text<'_>,
    value: Text<'_>,
) -> Result<usize, AnnotationError> {
    let taken = entry.argument_list();
    let Some(index) = taken.iter().position(|argument| argument.name() == name.text) else {
        let nearest = owned(nearest(name.text, taken.iter().map(Argument::name)));
        let takes = taken.iter().map(|argument| argument.name().to_owned()).collect();
        let (algorithm, unknown) = (entry.name().to_owned(), name.text.to_owned());
        let kind = ErrorKind::UnknownArgument { algorithm, name: unknown, nearest, takes };
        return Err(annotation.error_at(name.span(), kind));
    };
    if value.text.is_empty() {
        let expected = taken.get(index).map(Argument::expected).unwrap_or_default().to_owned();
        return Err(annotation.error_at(value.span(), ErrorKind::BadArgument { expected, text: String::new() }));
    }
    Ok(index)
}

/// The error for a value without the name of its argument.
fn unnamed_error(annotation: &Annotation, taken: &[Argument], part: Text<'_>) -> AnnotationError {
    let example = taken.iter().find(|argument| argument.is_named());
    let example = example.map(|argument| argument.written(argument.example())).unwrap_or_default();
    annotation.error_at(part.span(), ErrorKind::UnnamedArgument { text: part.text.to_owned(), example })
}

/// The arguments of an entry in an annotation, for its errors.
struct Written<'a> {
    annotation: &'a Annotation,
    call: &'a Call,
    entry: &'static Entry,
    arguments: Text<'a>,
    parts: Vec<Text<'a>>,
    position: Position,
}

impl Written<'_> {
    /// The error of an argument, with its span in the annotation.
    fn error(&self, error: ArgumentError) -> AnnotationError {
        let (annotation, arguments) = (self.annotation, self.arguments);
        match error {
            ArgumentError::Missing { index, name, .. } => {
                let expected = self.entry.argument_list().get(index).map(Argument::expected);
                let expected = expected.unwrap_or_default().to_owned();
                if self.call.arguments().is_empty() {
                    let (algorithm, argument) = (self.entry.name().to_owned(), name.to_owned());
                    let example = self.position.call(self.entry.name(), &self.entry.example());
                    let kind = ErrorKind::MissingArguments { algorithm, argument, expected, example };
                    return annotation.error_at(self.call.name().span(), kind);
                }
                annotation.error_at(arguments.end(), ErrorKind::BadArgument { expected, text: String::new() })
            }
            ArgumentError::Bad { index, expected } => {
                let part = self.parts.get(index).copied().unwrap_or(arguments);
                let kind = ErrorKind::BadArgument { expected, text: part.text.to_owned() };
                annotation.error_at(part.span(), kind)
            }
            ArgumentError::Other { message } => annotation.error_at(arguments.span(), ErrorKind::Custom { message }),
        }
    }

    /// The error for text after the last argument.
    fn surplus_error(&self, surplus: Text<'_>) -> AnnotationError {
        let (algorithm, taken) = (self.entry.name().to_owned(), self.entry.argument_list());
        let takes = taken.iter().map(|argument| argument.name().to_owned()).collect();
        let surplus_text = match self.position {
            Position::Chain if taken.is_empty() => alloc::format!("({})", surplus.text),
            Position::Algorithm | Position::Chain => alloc::format!(":{}", surplus.text),
        };
        let kind = ErrorKind::UnexpectedArguments { algorithm, takes, surplus: surplus_text };
        self.annotation.error_at(surplus.span(), kind)
    }
}

/// Arguments, or a part of them, with their position.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    start: usize,
}

impl<'a> Text<'a> {
    pub(super) fn of(arguments: &'a Arguments) -> Self {
        Self { text: arguments.as_str(), start: arguments.span().start }
    }

    pub(super) fn span(self) -> Span {
        Span { start: self.start, end: self.start + self.text.len() }
    }

    fn end(self) -> Span {
        let end = self.start + self.text.len();
        Span { start: end, end }
    }

    /// The text before and the text after the first `:`; the latter is empty without a `:`.
    pub(super) fn split_first(self) -> (Self, Self) {
        let at = self.text.find(':').unwrap_or(self.text.len());
        let rest = (at + 1).min(self.text.len());
        (Self { text: &self.text[..at], ..self }, Self { text: &self.text[rest..], start: self.start + rest })
    }

    /// The texts before and after the first `=`, if there is one.
    fn split_name(self) -> Option<(Self, Self)> {
        let (name, value) = self.text.split_once('=')?;
        Some((Self { text: name, ..self }, Self { text: value, start: self.start + name.len() + 1 }))
    }

    /// Splits at each `:` into at most `most` parts; the last part takes the rest. An empty text has no parts.
    fn split(self, most: usize) -> Vec<Self> {
        let mut start = self.start;
        let texts = self.text.splitn(most, ':').filter(|_| !self.text.is_empty());
        let part = |text: &'a str| {
            let part = Self { text, start };
            start += text.len() + 1;
            part
        };
        texts.map(part).collect()
    }
}
