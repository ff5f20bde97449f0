//! The menu: the list of built-in algorithms, and the resolution of names in annotations.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::algorithm::{
    anomaly, average, category, change, count, distinct, ewm, first, histogram, increase, max, min, newest, non_zero,
    null, percentile, rate, spread, stddev, sum, time_average, top, variance,
};
use crate::annotation::{Annotation, AnnotationError, Arguments, Call, ErrorKind, Period, Span, nearest, one_of};
use crate::entry::{Argument, ArgumentError, ArgumentKind, Built, Entry, Given};
use crate::registry::Registry;

/// Every built-in algorithm.
static MENU: [&Entry; 23] = [
    &anomaly::ENTRY,
    &average::ENTRY,
    &category::ENTRY,
    &change::ENTRY,
    &count::ENTRY,
    &distinct::ENTRY,
    &ewm::ENTRY,
    &first::ENTRY,
    &histogram::ENTRY,
    &increase::ENTRY,
    &max::ENTRY,
    &min::ENTRY,
    &newest::ENTRY,
    &non_zero::ENTRY,
    &null::ENTRY,
    &percentile::ENTRY,
    &rate::ENTRY,
    &spread::ENTRY,
    &stddev::ENTRY,
    &sum::ENTRY,
    &time_average::ENTRY,
    &top::ENTRY,
    &variance::ENTRY,
];

/// The name before the name of a detector in annotations: `DSAnomaly:EWM:0.1`.
pub const DETECTOR_CALL: &str = "DSAnomaly";
/// [`DETECTOR_CALL`] with its separator.
const DETECTOR_PREFIX: &str = "DSAnomaly:";

/// The built-in algorithms.
pub fn menu() -> &'static [&'static Entry] {
    &MENU
}

/// A resolved call of an annotation: the entry, and the checked arguments.
pub(crate) struct Resolved<'a> {
    pub(crate) entry: &'static Entry,
    pub(crate) given: Given<'a>,
    pub(crate) built: Built,
    /// The arguments as written, one text each.
    pub(crate) texts: Vec<&'a str>,
    /// Name and arguments in canonical form.
    pub(crate) call: String,
    /// The span of the arguments, or the position at which they are missing.
    pub(crate) span: Span,
}

/// Resolves the algorithm of an annotation.
pub(crate) fn algorithm<'a>(
    annotation: &Annotation,
    call: &'a Call,
    registry: Option<&Registry>,
) -> Result<Resolved<'a>, AnnotationError> {
    let name = call.name().as_str();
    if name == DETECTOR_CALL {
        return detector(annotation, call, registry);
    }
    let known = || entries(registry).filter(|entry| !entry.roles().detector);
    match known().find(|entry| entry.name() == name) {
        Some(entry) => resolve(annotation, call, entry, Text::of(call.arguments()), Position::Algorithm),
        None => {
            let nearest = owned(nearest(name, known().map(Entry::name).chain([DETECTOR_CALL])));
            let kind =
                ErrorKind::UnknownAlgorithm { name: name.to_owned(), nearest, allowed: fitting(annotation, known()) };
            Err(annotation.error_at(call.name().span(), kind))
        }
    }
}

/// The names that are allowed with the written period, of entries that are not detectors.
fn fitting<'a>(annotation: &Annotation, known: impl Iterator<Item = &'a Entry>) -> Vec<String> {
    let period = annotation.period();
    if period.is_some_and(|period| !period.chain().is_empty()) {
        return [DETECTOR_CALL.to_owned()].into();
    }
    let every = period.map(Period::every);
    let mut allowed = names(known.filter(|entry| match every {
        // The struct's period may apply.
        None => entry.roles().inline || entry.roles().period,
        Some(0) => entry.roles().inline,
        Some(1..) => entry.roles().period,
    }));
    if every.unwrap_or(0) == 0 {
        allowed.push(DETECTOR_CALL.to_owned());
        allowed.sort();
    }
    allowed
}

/// Resolves a link of a chain: an algorithm that makes one value of a period.
pub(crate) fn pre_aggregation<'a>(
    annotation: &Annotation,
    call: &'a Call,
    registry: Option<&Registry>,
) -> Result<Resolved<'a>, AnnotationError> {
    let name = call.name().as_str();
    let allowed = || entries(registry).filter(|entry| entry.roles().pre_aggregation);
    match allowed().find(|entry| entry.name() == name) {
        Some(entry) => resolve(annotation, call, entry, Text::of(call.arguments()), Position::Chain),
        None => {
            let (nearest, allowed) = (owned(nearest(name, allowed().map(Entry::name))), names(allowed()));
            let kind = ErrorKind::UnknownPre { name: name.to_owned(), nearest, allowed };
            Err(annotation.error_at(call.name().span(), kind))
        }
    }
}

/// Resolves `DSAnomaly:NAME[:arguments]`.
fn detector<'a>(
    annotation: &Annotation,
    call: &'a Call,
    registry: Option<&Registry>,
) -> Result<Resolved<'a>, AnnotationError> {
    let detectors = || entries(registry).filter(|entry| entry.roles().detector);
    let complete =
        |entry: &Entry| DETECTOR_PREFIX.to_owned() + &Position::Algorithm.call(entry.name(), &entry.example());
    let example = || detectors().next().map(complete).unwrap_or_default();
    let whole = Text::of(call.arguments());
    if whole.text.is_empty() {
        let (algorithm, argument) = (DETECTOR_CALL.to_owned(), "detector".to_owned());
        let expected = alloc::format!("the name of a detector, {}", one_of(&names(detectors()), "none is known"));
        let kind = ErrorKind::MissingArguments { algorithm, argument, expected, example: example() };
        return Err(annotation.error_at(call.name().span(), kind));
    }
    let (name, rest) = whole.split_first();
    match detectors().find(|entry| entry.name() == name.text) {
        Some(entry) => resolve(annotation, call, entry, rest, Position::Algorithm),
        None => {
            let (nearest, allowed) = (nearest(name.text, detectors().map(Entry::name)), names(detectors()));
            let (name, span) = (name.text.to_owned(), name.span());
            let kind = ErrorKind::UnknownDetector { name, nearest: owned(nearest), allowed, example: example() };
            Err(annotation.error_at(span, kind))
        }
    }
}

/// The position of a call, which determines the syntax of its arguments.
#[derive(Clone, Copy)]
enum Position {
    /// `NAME:arguments`.
    Algorithm,
    /// `NAME(arguments)`.
    Chain,
}

impl Position {
    /// The call in the syntax of this position.
    fn call(self, name: &str, arguments: &str) -> String {
        match self {
            _ if arguments.is_empty() => name.to_owned(),
            Self::Algorithm => alloc::format!("{name}:{arguments}"),
            Self::Chain => alloc::format!("{name}({arguments})"),
        }
    }
}

/// Checks the arguments of an entry, and builds it.
fn resolve<'a>(
    annotation: &Annotation,
    call: &Call,
    entry: &'static Entry,
    arguments: Text<'a>,
    position: Position,
) -> Result<Resolved<'a>, AnnotationError> {
    let taken = entry.argument_list();
    // A text argument at the end takes the rest.
    let takes_rest = taken.last().is_some_and(|argument| argument.kind() == ArgumentKind::Text);
    let mut parts = arguments.split(taken.len() + usize::from(!takes_rest));
    let surplus = parts.get(taken.len()).copied();
    parts.truncate(taken.len());
    let texts: Vec<&str> = parts.iter().map(|part| part.text).collect();
    let written = Written { annotation, call, entry, arguments, parts, position };
    let given = Given::check(taken, &texts).map_err(|error| written.error(error))?;
    if let Some(surplus) = surplus {
        return Err(written.surplus_error(surplus));
    }
    let built = entry.build(&given).map_err(|error| written.error(error))?;
    let canonical = given.canonical();
    let separator = if canonical.is_empty() { "" } else { ":" };
    let family = if entry.roles().detector { DETECTOR_PREFIX } else { "" };
    let call = alloc::format!("{family}{}{separator}{canonical}", entry.name());
    Ok(Resolved { entry, given, built, texts, call, span: arguments.span() })
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
struct Text<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Text<'a> {
    fn of(arguments: &'a Arguments) -> Self {
        Self { text: arguments.as_str(), start: arguments.span().start }
    }

    fn span(self) -> Span {
        Span { start: self.start, end: self.start + self.text.len() }
    }

    fn end(self) -> Span {
        let end = self.start + self.text.len();
        Span { start: end, end }
    }

    /// The text before and the text after the first `:`; the latter is empty without a `:`.
    fn split_first(self) -> (Self, Self) {
        let at = self.text.find(':').unwrap_or(self.text.len());
        let rest = (at + 1).min(self.text.len());
        (Self { text: &self.text[..at], ..self }, Self { text: &self.text[rest..], start: self.start + rest })
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

fn entries(registry: Option<&Registry>) -> impl Iterator<Item = &'static Entry> {
    MENU.into_iter().chain(registry.into_iter().flat_map(Registry::entries))
}

fn names<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<String> {
    let mut names: Vec<String> = entries.map(|entry| entry.name().to_owned()).collect();
    names.sort();
    names
}

fn owned(name: Option<&str>) -> Option<String> {
    name.map(str::to_owned)
}

#[cfg(test)]
mod unparsed_tests {
    use super::*;
    use crate::annotation::{Ident, Source};
    use crate::number::ValueType;
    use crate::spec::{Context, Spec};

    #[test]
    fn an_unknown_name_gets_a_remedy_without_the_parser_too() {
        let ident = |name| Ident::new(name).expect("a name");
        let source = Source::new([ident("raw")]).expect("a path");
        let annotation = Annotation::new(None, source, Call::new(ident("Maximum"), Arguments::default()));
        let error = Spec::compile(&annotation, Context::new(ValueType::U64)).expect_err("an unknown name");
        let sentence = error.kind().to_string();
        assert!(sentence.starts_with("unknown algorithm `Maximum`; expected `DSAnomaly`, `DSAvg`, "), "{sentence}");
        assert!(sentence.ends_with("(`Context::with_registry`)"), "{sentence}");
    }
}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::*;
    use crate::algorithm::Sum;
    use crate::entry::Roles;
    use crate::number::ValueType;
    use crate::spec::{Context, Spec};

    static TRIPLE: Entry = Entry::new("Triple", Roles::AGGREGATE, "a sum", |given| match given.text(0) {
        Some("odd") => Err(ArgumentError::other("write another note")),
        _ => Ok(Built::aggregate(Sum)),
    })
    .arguments(&[
        Argument::required("note", ArgumentKind::Text, "a note", "x"),
        Argument::required("count", ArgumentKind::Whole { least: 1, most: 9 }, "a count, 1 to 9", "3"),
        Argument::optional("last", ArgumentKind::Whole { least: 1, most: 9 }, "a last count, 1 to 9", "3"),
    ]);

    /// The names of the entries with some roles, in order.
    fn known(has: fn(Roles) -> bool) -> Vec<String> {
        names(MENU.into_iter().chain([&TRIPLE]).filter(|entry| has(entry.roles())))
    }

    #[test]
    fn an_error_points_to_the_part_that_is_wrong() {
        let mut registry = Registry::new();
        registry.register(&TRIPLE).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let cases = [
            ("raw:DSsum", 4..9),
            ("1.DSsum-raw:DSAnomaly:EWM:0.1", 2..7),
            ("raw:DSNone:3", 11..12),
            // The surplus ones, or the first that is wrong before them.
            ("raw:DSSum:1:2", 12..13),
            ("raw:DSSum:1:2:3", 12..15),
            ("raw:DSSum:1:", 12..12),
            ("raw:DSSum:x:2", 10..11),
            ("1.DSSum(1:2)-raw:DSAnomaly:EWM:0.1", 10..11),
            ("1.DSSum-raw:DSAnomaly:EWM:0.1:é", 30..32),
            ("1.DSSum(é)-raw:DSAnomaly:EWM:0.1", 8..10),
            ("raw:DSAnomaly", 4..13),
            ("raw:DSAnomaly:EMW:0.1", 14..17),
            ("raw:DSAnomaly:EMW", 14..17),
            ("raw:DSAnomaly:EWM:2.5", 18..21),
            // Nothing is written where an argument must be: the end.
            ("raw:DSAnomaly:EWM", 17..17),
            ("raw:DSAnomaly:EWM:", 18..18),
            ("raw:Triple", 4..10),
            ("raw:Triple:abc", 14..14),
            ("raw:Triple:abc:10:1", 15..17),
            ("raw:Triple:abc:5:0:7", 17..18),
            ("raw:Triple:abc:5:1:7", 19..20),
            ("raw:Triple:odd:5:1:7", 19..20),
            ("raw:Triple:odd:5", 11..16),
        ];
        for (annotation, range) in cases {
            let error = Spec::parse(annotation, context).expect_err("a wrong part");
            assert_eq!(error.span().range(), range, "{error}");
        }
    }

    /// The error's sentence, and the part of the annotation that it marks.
    fn refusal(annotation: &str) -> (String, String) {
        let mut registry = Registry::new();
        registry.register(&TRIPLE).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let error = Spec::parse(annotation, context).expect_err("a wrong annotation");
        (error.kind().to_string(), annotation[error.span().range()].to_owned())
    }

    #[test]
    fn a_call_without_its_arguments_is_completed_in_the_form_of_its_position() {
        let missing = "`Triple` lacks the argument `note`; expected a note; write";
        assert_eq!(refusal("raw:Triple"), (format!("{missing} `Triple:x:3`"), "Triple".to_owned()));
        let pre = "1.DSSum.Triple-raw:DSAnomaly:EWM:0.5";
        assert_eq!(refusal(pre), (format!("{missing} `Triple(x:3)`"), "Triple".to_owned()));
        let detector = "`DSAnomaly` lacks the argument `detector`; expected the name of a detector, `EWM`; \
                        write `DSAnomaly:EWM:0.1`";
        assert_eq!(refusal("raw:DSAnomaly"), (detector.to_owned(), DETECTOR_CALL.to_owned()));
    }

    #[test]
    fn every_call_that_an_error_proposes_compiles() {
        let mut registry = Registry::new();
        registry.register(&TRIPLE).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        for written in ["raw:Triple", "raw:DSEWM", "raw:DSAnomaly", "1.DSSum.Triple-raw:DSAnomaly:EWM:0.5"] {
            let (sentence, marked) = refusal(written);
            let call = sentence.rsplit('`').nth(1).expect("a call in quotes");
            let obeyed = written.replacen(&marked, call, 1);
            assert!(Spec::parse(&obeyed, context).is_ok(), "{written}: {sentence}");
        }
    }

    #[test]
    fn surplus_arguments_are_counted_and_marked() {
        let cases = [
            ("raw:DSSum:5:6", "`DSSum` takes at most 1 argument (`range`); remove `:6`", "6"),
            ("raw:DSSum:5:6:", "`DSSum` takes at most 1 argument (`range`); remove `:6:`", "6:"),
            ("raw:DSAnomaly:EWM:0.1:5", "`EWM` takes at most 1 argument (`alpha`); remove `:5`", "5"),
            (
                "1.Triple(x:3:3:4)-raw:DSAnomaly:EWM:0.1",
                "`Triple` takes at most 3 arguments (`note`, `count`, `last`); remove `:4`",
                "4",
            ),
            ("raw:DSNone:3", "`DSNone` takes no arguments; remove `:3`", "3"),
            ("1.DSNone(3)-raw:DSAnomaly:EWM:0.1", "`DSNone` takes no arguments; remove `(3)`", "3"),
        ];
        for (annotation, sentence, marked) in cases {
            assert_eq!(refusal(annotation), (sentence.to_owned(), marked.to_owned()), "{annotation}");
        }
    }

    #[test]
    fn the_names_that_fit_are_listed_when_none_is_near() {
        let own = "for an algorithm of your own, register it in the registry of the context (`Context::with_registry`)";
        let (mut every, periodic) = (known(|roles| !roles.detector), known(|roles| roles.period));
        every.push(DETECTOR_CALL.to_owned());
        every.sort();
        let [every, periodic] = [every, periodic].map(|names| one_of(&names, "none").to_string());
        assert!(every.contains("`DSNull`, ") && every.ends_with(" or `Triple`"), "{every}");
        let cases = [
            ("raw:Maximum:7", &*every),
            ("0-raw:Maximum:7", &*every),
            ("1-raw:Maximum", &*periodic),
            ("1.DSSum-raw:Maximum", "`DSAnomaly`"),
        ];
        for (annotation, names) in cases {
            let sentence = format!("unknown algorithm `Maximum`; expected {names}; {own}");
            assert_eq!(refusal(annotation), (sentence, "Maximum".to_owned()), "{annotation}");
        }
        let near = "unknown algorithm `DSSumm`; did you mean `DSSum`?";
        assert_eq!(refusal("raw:DSSumm"), (near.to_owned(), "DSSumm".to_owned()));
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_and_the_allowed_ones() {
        let mut registry = Registry::new();
        registry.register(&TRIPLE).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let kind = |annotation| Spec::parse(annotation, context).expect_err("an unknown name").kind().clone();
        let (name, nearest) = ("Tripel".to_owned(), Some("Triple".to_owned()));
        let allowed = known(|roles| roles.period);
        let expected = ErrorKind::UnknownAlgorithm { name: name.clone(), nearest: nearest.clone(), allowed };
        assert_eq!(kind("1-raw:Tripel"), expected);
        let allowed = known(|roles| roles.pre_aggregation);
        assert_eq!(kind("1.Tripel-raw:DSAnomaly:EWM:0.1"), ErrorKind::UnknownPre { name, nearest, allowed });
        let (name, nearest) = ("EMW".to_owned(), Some("EWM".to_owned()));
        let (allowed, example) = ([String::from("EWM")].into(), "DSAnomaly:EWM:0.1".to_owned());
        let expected = ErrorKind::UnknownDetector { name, nearest, allowed, example };
        assert_eq!(kind("raw:DSAnomaly:EMW:0.1"), expected);
    }
}
