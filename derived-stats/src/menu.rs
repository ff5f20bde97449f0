//! The menu: the list of built-in algorithms, and the resolution of names in annotations.

mod arguments;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::algorithm::{
    anomaly, average, average_last, category, change, count, cusum, distinct, ewm, ewm_prior, first, histogram,
    holt_winters, increase, mad, max, max_last, min, newest, non_zero, null, percentile, rate, seasonal,
    seasonal_small, spread, stddev, sum, sum_last, time_average, top, variance,
};
use crate::annotation::{Annotation, AnnotationError, Call, ErrorKind, Period, Span, nearest, one_of};
use crate::entry::{Built, Entry, Given};
use crate::registry::Registry;

use self::arguments::{Position, Text, resolve};

/// Every built-in algorithm.
static MENU: [&Entry; 32] = [
    &anomaly::ENTRY,
    &average::ENTRY,
    &average_last::ENTRY,
    &category::ENTRY,
    &change::ENTRY,
    &count::ENTRY,
    &cusum::ENTRY,
    &distinct::ENTRY,
    &ewm::ENTRY,
    &ewm_prior::ENTRY,
    &first::ENTRY,
    &histogram::ENTRY,
    &holt_winters::ENTRY,
    &increase::ENTRY,
    &mad::ENTRY,
    &max::ENTRY,
    &max_last::ENTRY,
    &min::ENTRY,
    &newest::ENTRY,
    &non_zero::ENTRY,
    &null::ENTRY,
    &percentile::ENTRY,
    &rate::ENTRY,
    &seasonal::ENTRY,
    &seasonal_small::ENTRY,
    &spread::ENTRY,
    &stddev::ENTRY,
    &sum::ENTRY,
    &sum_last::ENTRY,
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

/// The known algorithms, and the period in which the resolved one runs.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'r> {
    pub(crate) registry: Option<&'r Registry>,
    /// Its length in seconds; `None` without a period, or if the length is not known.
    pub(crate) period: Option<u64>,
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
    scope: Scope<'_>,
) -> Result<Resolved<'a>, AnnotationError> {
    let name = call.name().as_str();
    if name == DETECTOR_CALL {
        return detector(annotation, call, scope);
    }
    let known = || entries(scope.registry).filter(|entry| !entry.roles().detector);
    match known().find(|entry| entry.name() == name) {
        Some(entry) => {
            resolve(annotation, call, entry, Text::of(call.arguments()), (Position::Algorithm, scope.period))
        }
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
    scope: Scope<'_>,
) -> Result<Resolved<'a>, AnnotationError> {
    let name = call.name().as_str();
    let allowed = || entries(scope.registry).filter(|entry| entry.roles().pre_aggregation);
    match allowed().find(|entry| entry.name() == name) {
        Some(entry) => resolve(annotation, call, entry, Text::of(call.arguments()), (Position::Chain, scope.period)),
        None => {
            let (nearest, allowed) = (owned(nearest(name, allowed().map(Entry::name))), names(allowed()));
            let kind = ErrorKind::UnknownPre { name: name.to_owned(), nearest, allowed };
            Err(annotation.error_at(call.name().span(), kind))
        }
    }
}

/// Resolves `DSAnomaly:NAME[:arguments]`.
fn detector<'a>(annotation: &Annotation, call: &'a Call, scope: Scope<'_>) -> Result<Resolved<'a>, AnnotationError> {
    let detectors = || entries(scope.registry).filter(|entry| entry.roles().detector);
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
        Some(entry) => resolve(annotation, call, entry, rest, (Position::Algorithm, scope.period)),
        None => {
            let (nearest, allowed) = (nearest(name.text, detectors().map(Entry::name)), names(detectors()));
            let (name, span) = (name.text.to_owned(), name.span());
            let kind = ErrorKind::UnknownDetector { name, nearest: owned(nearest), allowed, example: example() };
            Err(annotation.error_at(span, kind))
        }
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
    use crate::annotation::{Arguments, Ident, Source};
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
    use crate::entry::{Argument, ArgumentError, ArgumentKind, Roles};
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

    static TUNED: Entry = Entry::new("Tuned", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum))).arguments(&[
        Argument::optional("count", ArgumentKind::Whole { least: 1, most: 9 }, "a count, 1 to 9", "3"),
        Argument::optional("first", ArgumentKind::Whole { least: 1, most: 9 }, "a first, 1 to 9", "3").named(),
        Argument::optional("last", ArgumentKind::Decimal { above: 0.0, most: 9.0 }, "a last, at most 9", "3").named(),
    ]);

    #[test]
    fn named_arguments_are_found_in_any_order_and_may_name_the_others_too() {
        let mut registry = Registry::new();
        registry.register(&TUNED).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let call = |annotation: &str| {
            let spec = Spec::parse(annotation, context).expect("good arguments");
            let link = spec.links().next().expect("a spec has a link");
            (link.call().to_owned(), link.arguments().collect::<Vec<_>>().join(","))
        };
        let cases = [
            ("raw:Tuned", "Tuned", ""),
            ("raw:Tuned:", "Tuned", ""),
            ("raw:Tuned:07", "Tuned:7", "07"),
            ("raw:Tuned:last=2.50:first=1", "Tuned:first=1:last=2.5", ",1,2.50"),
            ("raw:Tuned:first=1:2", "Tuned:2:first=1", "2,1"),
            ("raw:Tuned:count=2:first=1", "Tuned:2:first=1", "2,1"),
            ("raw:Tuned::first=1", "Tuned:first=1", ",1"),
            ("1.Tuned(2:last=3)-raw:DSAnomaly:EWM:0.1", "Tuned:2:last=3", "2,,3"),
        ];
        for (annotation, canonical, written) in cases {
            assert_eq!(call(annotation), (canonical.to_owned(), written.to_owned()), "{annotation}");
        }
    }

    #[test]
    fn a_mistake_in_a_named_argument_is_marked_with_its_name() {
        let mut registry = Registry::new();
        registry.register(&TUNED).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let cases = [
            ("raw:Tuned:frist=1", "frist", "`Tuned` has no argument `frist`; did you mean `first`?"),
            ("raw:Tuned:x=1", "x", "`Tuned` has no argument `x`; expected `count`, `first` or `last`"),
            ("raw:Tuned:first=0", "0", "expected a first, 1 to 9, found `0`"),
            ("raw:Tuned:2:last=:first=1", "", "expected a last, at most 9, found nothing"),
            ("raw:Tuned:last=1=2", "1=2", "expected a last, at most 9, found `1=2`"),
            ("raw:Tuned:2:3", "3", "`3` lacks the name of its argument; write for example `first=3`"),
            ("raw:Tuned:2:count=3", "count=3", "the argument `count` is written twice; remove one of them"),
            ("raw:Tuned:last=1:last=1", "last=1", "the argument `last` is written twice; remove one of them"),
        ];
        for (annotation, marked, sentence) in cases {
            let error = Spec::parse(annotation, context).expect_err("a wrong argument");
            assert_eq!(
                (&annotation[error.span().range()], &*error.kind().to_string()),
                (marked, sentence),
                "{annotation}"
            );
        }
    }

    #[test]
    fn a_call_without_its_arguments_is_completed_in_the_form_of_its_position() {
        let missing = "`Triple` lacks the argument `note`; expected a note; write";
        assert_eq!(refusal("raw:Triple"), (format!("{missing} `Triple:x:3`"), "Triple".to_owned()));
        let pre = "1.DSSum.Triple-raw:DSAnomaly:EWM:0.5";
        assert_eq!(refusal(pre), (format!("{missing} `Triple(x:3)`"), "Triple".to_owned()));
        let detectors = one_of(&names(entries(None).filter(|entry| entry.roles().detector)), "none");
        let detector = format!(
            "`DSAnomaly` lacks the argument `detector`; expected the name of a detector, {detectors}; write \
             `DSAnomaly:EWM:0.1`"
        );
        assert_eq!(refusal("raw:DSAnomaly"), (detector, DETECTOR_CALL.to_owned()));
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
        let (mut every, mut inline) = (known(|roles| !roles.detector), known(|roles| roles.inline && !roles.detector));
        for names in [&mut every, &mut inline] {
            names.push(DETECTOR_CALL.to_owned());
            names.sort();
        }
        let names = [every, inline, known(|roles| roles.period)];
        let [every, inline, periodic] = names.map(|names| one_of(&names, "none").to_string());
        assert!(every.contains("`DSNull`, ") && every.ends_with(" or `Triple`"), "{every}");
        let cases = [
            ("raw:Maximum:7", &*every),
            ("0-raw:Maximum:7", &*inline),
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
        let detectors = names(entries(None).filter(|entry| entry.roles().detector));
        let (allowed, example) = (detectors, "DSAnomaly:EWM:0.1".to_owned());
        let expected = ErrorKind::UnknownDetector { name, nearest, allowed, example };
        assert_eq!(kind("raw:DSAnomaly:EMW:0.1"), expected);
    }
}
