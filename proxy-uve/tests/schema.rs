//! Definitions of proxy types: what they compile to, and every mistake with its location.

use derived_stats::algorithm::Sum;
use derived_stats::entry::{Built, Entry, Roles};
use derived_stats::{MetricKind, Registry, Silence, ValueType};
use proptest::prelude::*;
use proxy_uve::schema::{ProxyType, Schema, SchemaErrorKind};

/// The lines up to the raw value that every proxy type begins with: three of them, after the struct's own.
const HEAD: &str = "struct T {\n1: string name (key=\"\")\n2: string proxy\n3: optional bool deleted\n";

/// A struct with the given fields after [`HEAD`], and the given annotations.
fn definition(fields: &str, annotations: &str) -> String {
    format!("{HEAD}{fields}\n}} {annotations}\n")
}

const RAW: &str = "4: optional u64 raw (hidden=\"yes\")";
const SUM: &str = "5: optional u64 value (stats=\"1-raw:DSSum\")";
const PERIOD: &str = "(period=\"60\")";

fn with_result(result: &str) -> String {
    definition(&format!("{RAW}\n{result}"), PERIOD)
}

fn compiled(text: &str) -> ProxyType {
    let schema = Schema::parse("my.sandesh", text).unwrap_or_else(|errors| panic!("{errors}"));
    schema.get("T").map(|found| (**found).clone()).expect("a type T")
}

/// `line:column sentence` of each error.
fn errors_of(text: &str) -> Vec<String> {
    let errors = Schema::parse("my.sandesh", text).expect_err(text);
    errors.into_iter().map(|error| format!("{}:{} {}", error.line(), error.column(), error.kind())).collect()
}

/// Checks that the text of each case has exactly these errors.
fn check(cases: &[(&str, &str, &[&str])], text: impl Fn(&str) -> String) {
    for (case, piece, expected) in cases {
        let text = text(piece);
        assert_eq!(errors_of(&text), *expected, "{case}:\n{text}");
    }
}

#[test]
fn the_built_in_types_are_those_of_the_original() {
    let schema = Schema::builtin();
    let types: Vec<_> = schema.types().collect();
    assert_eq!(schema.names().collect::<Vec<_>>(), ["AggProxySum", "AggProxySumAnomalyEWM01"]);
    for (proxy_type, annotation) in types.iter().zip(["1-raw:DSSum", "1.DSSum-raw:DSAnomaly:EWM:0.1"]) {
        assert_eq!(
            (proxy_type.period_seconds(), proxy_type.timeout(), proxy_type.silence()),
            (Some(60), 1, Silence::Once)
        );
        assert_eq!(proxy_type.raw().name, "raw");
        assert_eq!((proxy_type.raw().value, proxy_type.raw().metric), (ValueType::U64, MetricKind::Plain));
        let [value] = proxy_type.attributes() else { panic!("{proxy_type:?}") };
        assert_eq!((value.name.as_str(), value.hidden, &value.tags[..]), ("value", false, &["proxy".to_owned()][..]));
        assert_eq!(value.spec.annotation().text(), annotation);
        assert_eq!(value.spec.every(), 1);
    }
    assert_eq!(types[1].attributes()[0].result_type, "derived_stats_results.AnomalyResult");
}

#[test]
fn every_part_of_a_definition_is_found() {
    let text = r##"
        // A comment. # Another
        struct T { # and one more
            1: string name (key="ObjectVNTable");  /* of a
            table */ 2: required string proxy,
            3: optional bool deleted
            4: optional i32 count (hidden='yes' metric="agg");
            5: optional derived_stats_results.AnomalyResult value (stats="2.DSAvg-count:DSAnomaly:EWM:0.5", tags="proxy, name")
            6: optional i64 sum (stats="count:DSSum", hidden="yes")
            7: optional i64 last (stats="0-count:DSNon0")
        } (period="45", timeout="3", silence="zero")"##;
    let found = compiled(text);
    assert_eq!((found.period_seconds(), found.timeout(), found.silence()), (Some(45), 3, Silence::Zero));
    assert_eq!(
        (found.raw().name.as_str(), found.raw().value, found.raw().metric),
        ("count", ValueType::I64, MetricKind::Agg)
    );
    let attributes: Vec<_> = found
        .attributes()
        .iter()
        .map(|attribute| (attribute.name.as_str(), attribute.spec.every(), attribute.hidden, attribute.tags.len()))
        .collect();
    assert_eq!(attributes, [("value", 2, false, 2), ("sum", 1, true, 0), ("last", 0, false, 0)]);
    assert!(!found.is_inline());
}

#[test]
fn a_struct_without_period_has_inline_results_only() {
    let found = compiled(&definition("4: double raw (hidden=\"yes\")\n5: double value (stats=\"raw:DSSum:60\")", ""));
    assert_eq!((found.period_seconds(), found.timeout()), (None, 0));
    assert_eq!(found.raw().value, ValueType::F64);
    assert!(found.is_inline());
}

#[test]
fn every_width_of_number_has_its_element_type() {
    let cases = [
        ("i16", ValueType::I64),
        ("i32", ValueType::I64),
        ("i64", ValueType::I64),
        ("u16", ValueType::U64),
        ("u32", ValueType::U64),
        ("u64", ValueType::U64),
        ("double", ValueType::F64),
    ];
    for (width, value) in cases {
        let fields = format!("4: {width} raw (hidden=\"yes\")\n{SUM}");
        assert_eq!(compiled(&definition(&fields, PERIOD)).raw().value, value, "{width}");
    }
}

#[test]
fn files_in_the_style_of_contrail_are_read() {
    let text = format!(
        "include \"sandesh/library/common/derived_stats_results.sandesh\"\nnamespace cpp aggregates\n\
         typedef u64 count_type\nstruct both_values {{\n 1: optional count_type staging\n 2: optional count_type value\n}}\n\
         {}uve sandesh TTrace {{\n 1: T data\n}}\n",
        definition(
            "4: optional count_type raw (hidden=\"yes\")\n5: optional both_values value (stats=\"raw:DSSum\")",
            PERIOD
        )
    );
    let found = compiled(&text);
    assert_eq!((found.raw().value, found.attributes()[0].result_type.as_str()), (ValueType::U64, "both_values"));
    assert_eq!(
        Schema::parse("my.sandesh", &text).unwrap().names().collect::<Vec<_>>(),
        ["T"],
        "the others are not proxy types"
    );
}

#[test]
fn an_error_shows_its_line_and_underlines_the_mistake() {
    let text = with_result("5: optional u64 value (stats=\"1-rwa:DSSum\", tag=\"proxy\")");
    insta::assert_snapshot!(Schema::parse("my.sandesh", &text).unwrap_err(), @r#"
    schema error at my.sandesh:6:33:
        5: optional u64 value (stats="1-rwa:DSSum", tag="proxy")
                                        ^^^
    unknown attribute `rwa`; did you mean `raw`?

    schema error at my.sandesh:6:45:
        5: optional u64 value (stats="1-rwa:DSSum", tag="proxy")
                                                    ^^^
    unknown annotation `tag`; expected `key`, `hidden`, `metric`, `stats` or `tags`; did you mean `tags`?
    "#);
}

#[test]
fn faults_of_syntax_say_what_was_expected_and_do_not_hide_each_other() {
    let text = format!(
        "structure A {{\n1: string name\n}}\nstruct {{\n}}\n{}",
        with_result("5 optional u64 value\n6: optional u64 (stats=\"raw:DSSum\")\n7: u64 other (stats=raw:DSSum)\n= 3")
    );
    assert_eq!(
        errors_of(&text),
        [
            "1:1 expected a definition such as `struct AggProxySum { … } (period=\"60\")`, found `structure`",
            "4:8 expected a name, found `{`",
            "11:3 expected `:`, found `optional`",
            "12:17 expected a name, found `(`",
            "13:21 expected text in quotes on one line, found `raw`",
        ]
    );
}

/// Lines after a good raw value, and what is wrong with their syntax.
const SYNTAX: &[(&str, &str, &[&str])] = &[
    ("no colon", "5 optional u64 value (stats=\"raw:DSSum\")", &["6:3 expected `:`, found `optional`"]),
    ("no type", "5: = value (stats=\"raw:DSSum\")", &["6:4 expected a type, found `=`"]),
    ("no name", "5: u64 (stats=\"raw:DSSum\")", &["6:8 expected a name, found `(`"]),
    ("no quotes", "5: u64 value (stats=raw:DSSum)", &["6:21 expected text in quotes on one line, found `raw`"]),
    ("no closing quote", "5: u64 value (stats=\"raw:DSSum)", &["6:21 expected text in quotes on one line, found `\"`"]),
    (
        "a default value",
        "5: u64 value (stats=\"raw:DSSum\")\n6: u64 x = 3",
        &["7:10 expected a field such as `1: string name (key=\"\")`, found `=`"],
    ),
    ("an open map", "5: map<string value", &["6:15 expected `,`, found `value`"]),
    ("a nested list", "5: list<list<u64>> value", &["6:13 expected `>`, found `<`"]),
];

#[test]
fn faults_of_syntax_are_located() {
    check(SYNTAX, with_result);
}

#[test]
fn what_has_no_end_is_told_where_it_begins() {
    assert_eq!(
        errors_of(&format!("{HEAD}{RAW}\n{SUM}\n")),
        ["1:8 the struct `T` has no end; add `}` after its last field"]
    );
    assert_eq!(errors_of(&format!("{}/* x\ny", with_result(SUM))), ["8:1 the comment has no end; add `*/`"]);
}

/// Annotations of the struct, and their errors.
const SETTINGS: &[(&str, &str, &[&str])] = &[
    (
        "unknown",
        "(period=\"60\", time_out=\"1\")",
        &["7:17 unknown annotation `time_out`; expected `period`, `timeout` or `silence`; did you mean `timeout`?"],
    ),
    ("twice", "(period=\"60\", period=\"60\")", &["7:17 the annotation `period` appears twice; keep one"]),
    ("no value", "(period)", &["7:4 the annotation `period` needs a value; write `period=\"60\"`"]),
    ("zero", "(period=\"0\")", &["7:12 expected a period in whole seconds, 1 to 86400, found `0`"]),
    (
        "a day and a second",
        "(period=\"86401\")",
        &["7:12 expected a period in whole seconds, 1 to 86400, found `86401`"],
    ),
    ("not whole", "(period=\"1.5\")", &["7:12 expected a period in whole seconds, 1 to 86400, found `1.5`"]),
    ("empty", "(period=\"\")", &["7:12 expected a period in whole seconds, 1 to 86400, found nothing"]),
    ("signed", "(period=\"+60\")", &["7:12 expected a period in whole seconds, 1 to 86400, found `+60`"]),
    (
        "negative timeout",
        "(period=\"60\", timeout=\"-1\")",
        &["7:26 expected a number of periods, 0 (never) to 4294967295, found `-1`"],
    ),
    (
        "silence",
        "(period=\"60\", silence=\"onse\")",
        &["7:26 expected `once`, `zero` or `skip`, found `onse`; did you mean `once`?"],
    ),
    (
        "no period",
        "",
        &["6:31 the struct has no period, so period 1 has no meaning; remove the text up to `-`, \
             or give the struct a period"],
    ),
    (
        "timeout without period",
        "(timeout=\"1\")",
        &[
            "6:31 the struct has no period, so period 1 has no meaning; remove the text up to `-`, \
             or give the struct a period",
            "7:4 `timeout` counts periods, and the struct has none; add `period=\"60\"` or remove it",
        ],
    ),
];

#[test]
fn annotations_of_the_struct_are_checked() {
    check(SETTINGS, |annotations| definition(&format!("{RAW}\n{SUM}"), annotations));
    for longest in ["1", "86400"] {
        let annotations = format!("(period=\"{longest}\", timeout=\"4294967295\", silence=\"skip\")");
        let found = compiled(&definition(&format!("{RAW}\n{SUM}"), &annotations));
        assert_eq!((found.period_seconds(), found.timeout()), (Some(longest.parse().unwrap()), u32::MAX));
        assert_eq!(found.silence(), Silence::Skip);
    }
}

/// Fields before the raw value, and their errors.
const FIELDS: &[(&str, &str, &[&str])] = &[
    (
        "no key",
        "1: string proxy\n3: optional bool deleted",
        &["1:8 the struct has no key; add `1: string name (key=\"\")`"],
    ),
    (
        "a number as key",
        "1: u64 name (key=\"\")\n2: string proxy\n3: optional bool deleted",
        &["2:4 the field `name` must be `string`"],
    ),
    (
        "two keys",
        "1: string name (key=\"\")\n2: string proxy\n3: optional bool deleted\n9: string other (key=\"\")",
        &["5:11 the key is the field `name` already; remove the annotation here"],
    ),
    (
        "no proxy",
        "1: string name (key=\"\")\n3: optional bool deleted",
        &["1:8 expected the field `2: string proxy`, which every proxy type has; add it in this form"],
    ),
    (
        "a proxy of another type",
        "1: string name (key=\"\")\n2: bool proxy\n3: optional bool deleted",
        &["3:4 the field `proxy` must be `string`"],
    ),
    (
        "no deleted",
        "1: string name (key=\"\")\n2: string proxy",
        &["1:8 expected the field `3: optional bool deleted`, which every proxy type has; add it in this form"],
    ),
    (
        "a deleted that is always there",
        "1: string name (key=\"\")\n2: string proxy\n3: bool deleted",
        &["4:4 the field `deleted` must be `optional bool`"],
    ),
    (
        "a deleted of another type",
        "1: string name (key=\"\")\n2: string proxy\n3: optional u64 deleted",
        &["4:13 the field `deleted` must be `optional bool`"],
    ),
    (
        "an unused one",
        "1: string name (key=\"\")\n2: string proxy\n3: optional bool deleted\n9: string other",
        &["5:11 nothing would ever fill the field `other`; give it `stats`, or remove it"],
    ),
    (
        "bad numbers",
        "1: string name (key=\"\")\n1: string proxy\n0: optional bool deleted",
        &[
            "3:1 the number 1 belongs to the field `name` already; number each field once",
            "4:1 a field is numbered from 1 to 32767, found `0`",
        ],
    ),
    (
        "one name twice",
        "1: string name (key=\"\")\n2: string proxy\n3: optional bool deleted\n9: string proxy",
        &["5:11 the struct has a field `proxy` already; rename one of them"],
    ),
];

#[test]
fn the_fields_that_every_proxy_type_has_are_checked() {
    check(FIELDS, |fields| format!("struct T {{\n{fields}\n{RAW}\n{SUM}\n}} {PERIOD}"));
}

/// The errors of the raw value, and its location.
const RAWS: &[(&str, &str, &[&str])] = &[
    (
        "none",
        "",
        &[
            "1:8 the struct has no raw value; add a hidden number such as `4: optional u64 raw (hidden=\"yes\")`",
            "6:33 unknown attribute `raw`",
        ],
    ),
    (
        "two",
        "4: u64 other\n6: u64 raw (hidden=\"yes\")",
        &["5:8 the raw value is the field `raw` already; a proxy type has one, so remove this one"],
    ),
    ("shown", "4: u64 raw", &["5:8 the raw value `raw` is not part of the results; add `(hidden=\"yes\")`"]),
    ("hidden=no", "4: u64 raw (hidden=\"no\")", &["5:21 expected `yes`, found `no`"]),
    (
        "a map",
        "4: map<string,u64> raw (hidden=\"yes\")",
        &["5:4 proxy types take a scalar raw value for now, not a map; use a number and `stats`"],
    ),
    (
        "text",
        "4: string raw (hidden=\"yes\")",
        &["6:17 the result `value` computes DSSum of texts, which takes numbers; use `DSCategory`, `DSDistinct` or \
             `DSCount`, or declare `raw` as a number"],
    ),
    (
        "text that is not hidden",
        "4: string raw",
        &[
            "1:8 the struct has no raw value; add a hidden number such as `4: optional u64 raw (hidden=\"yes\")`",
            "5:11 nothing would ever fill the field `raw`; give it `stats`, or remove it",
            "6:33 `raw` is not numeric; name an attribute or component that is",
        ],
    ),
    ("an unknown type", "4: doubl raw (hidden=\"yes\")", &["5:4 unknown type `doubl`; did you mean `double`?"]),
    (
        "an unknown metric",
        "4: u64 raw (hidden=\"yes\", metric=\"aggr\")",
        &["5:35 expected `agg` (a counter) or `diff` (differences), found `aggr`; did you mean `agg`?"],
    ),
    (
        "tags",
        "4: u64 raw (hidden=\"yes\", tags=\"proxy\")",
        &["5:27 the annotation `tags` belongs on a result; remove it here"],
    ),
];

#[test]
fn the_raw_value_is_one_hidden_number() {
    check(RAWS, |raw| definition(&format!("{raw}\n{SUM}"), PERIOD));
}

/// Results, and their errors.
const RESULTS: &[(&str, &str, &[&str])] = &[
    (
        "none",
        "",
        &["1:8 the struct has no result; add a field such as `5: optional u64 value (stats=\"1-raw:DSSum\")`"],
    ),
    ("empty", "5: u64 value (stats)", &["6:15 the annotation `stats` needs a value; write `stats=\"1-raw:DSSum\"`"]),
    ("algorithm", "5: u64 value (stats=\"1-raw:DSSumm\")", &["6:28 unknown algorithm `DSSumm`; did you mean `DSSum`?"]),
    (
        "not at the start of the line",
        "\t 5: u64 value (stats=\"1-raw:DSSumm\")",
        &["6:30 unknown algorithm `DSSumm`; did you mean `DSSum`?"],
    ),
    (
        "itself",
        "5: u64 value (stats=\"1-value:DSSum\")",
        &["6:24 `value` is itself a computed result; name an attribute that is sampled"],
    ),
    (
        "text",
        "5: u64 value (stats=\"1-name:DSSum\")",
        &["6:24 `name` is not numeric; name an attribute or component that is"],
    ),
    ("component", "5: u64 value (stats=\"1-raw.count:DSSum\")", &["6:28 unknown attribute `count`"]),
    (
        "alpha",
        "5: x.AnomalyResult value (stats=\"1.DSSum-raw:DSAnomaly:EWM:2\")",
        &["6:60 expected alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`, found `2`"],
    ),
    (
        "a number for a struct",
        "5: u64 value (stats=\"1.DSSum-raw:DSAnomaly:EWM:0.1\")",
        &["6:4 DSAnomaly gives an `AnomalyResult`, which the type `u64` cannot hold"],
    ),
    (
        "a struct for a number",
        "5: x.AnomalyResult value (stats=\"raw:DSSum\")",
        &["6:4 DSSum gives a number, which the type `x.AnomalyResult` cannot hold"],
    ),
    (
        "a fraction for an integer",
        "5: u64 value (stats=\"raw:DSStddev\")",
        &["6:4 DSStddev gives a `double`, which the type `u64` cannot hold"],
    ),
    (
        "mstats",
        "5: map<string,u64> value (mstats=\"raw:DSSum\")",
        &["6:27 proxy types take a scalar raw value for now, not a map; use a number and `stats`"],
    ),
    (
        "tags",
        "5: u64 value (stats=\"raw:DSSum\", tags=\"prxy,name,raw\")",
        &[
            "6:40 `prxy` is not a string field of this struct, so it cannot be a tag; did you mean `proxy`?",
            "6:40 `raw` is not a string field of this struct, so it cannot be a tag",
        ],
    ),
    (
        "too long",
        "5: u64 value (stats=\"4294967295-raw:DSSum\")",
        &["6:22 every 4294967295 periods of 60 s is more than 136 years; lower one of them"],
    ),
    (
        "metric",
        "5: u64 value (stats=\"raw:DSSum\", metric=\"agg\")",
        &["6:34 the annotation `metric` belongs on the raw value; remove it here"],
    ),
];

#[test]
fn results_are_compiled_and_their_errors_point_into_the_text() {
    check(RESULTS, with_result);
}

#[test]
fn two_types_of_one_name_are_refused_and_both_places_named() {
    let text = with_result(SUM);
    let error = "the type `T` is defined already, at my.sandesh:1:8; rename one of them";
    assert_eq!(errors_of(&format!("{text}{text}")), [format!("8:8 {error}")]);

    let mut schema = Schema::parse("my.sandesh", &text).unwrap();
    let other = Schema::parse("other.sandesh", &format!("\n{text}{}", text.replace("struct T", "struct U"))).unwrap();
    let errors = schema.extend(other.clone()).unwrap_err();
    let [found] = errors.errors() else { panic!("{errors}") };
    assert_eq!((found.file(), found.line(), found.column()), ("other.sandesh", 2, 8));
    assert_eq!(found.kind().to_string(), error);
    assert!(schema.get("U").is_none(), "nothing is added");

    let mut schema = Schema::builtin();
    schema.extend(other).unwrap();
    assert_eq!(schema.names().collect::<Vec<_>>(), ["AggProxySum", "AggProxySumAnomalyEWM01", "T", "U"]);
}

#[test]
fn another_period_compiles_every_type_anew() {
    let windowed = with_result("5: u64 value (stats=\"raw:DSSum:30\")");
    let plain = definition("4: u64 raw (hidden=\"yes\")\n5: u64 value (stats=\"raw:DSSum\")", "")
        .replace("struct T", "struct P");
    let schema = Schema::parse("my.sandesh", &format!("{windowed}{plain}")).unwrap();

    let faster = schema.with_period(40).unwrap();
    assert_eq!(faster.get("T").unwrap().period_seconds(), Some(40));
    assert_eq!(faster.get("P").unwrap().period_seconds(), None, "a struct without period has none to change");
    assert_eq!(schema.get("T").unwrap().period_seconds(), Some(60));

    let errors = schema.with_period(10).unwrap_err();
    let [error] = errors.errors() else { panic!("{errors}") };
    assert_eq!((error.line(), error.column()), (6, 32), "{error}");
    assert!(error.kind().to_string().starts_with("a window of 30 s never fills"), "{error}");
    for seconds in [0, 86_401] {
        let errors = Schema::builtin().with_period(seconds).unwrap_err();
        assert_eq!(errors.errors().len(), 2, "{errors}");
        assert!(matches!(errors.errors()[0].kind(), SchemaErrorKind::BadValue { .. }), "{errors}");
    }
}

#[test]
fn the_result_of_whole_numbers_can_be_a_fraction_or_a_count() {
    for result in ["5: double value (stats=\"raw:DSStddev\")", "5: i64 value (stats=\"raw:DSCount\")"] {
        compiled(&with_result(result));
    }
}

#[test]
fn increases_are_not_taken_for_readings() {
    let raw = RAW.replace("hidden", "metric=\"agg\", hidden");
    let text = definition(&format!("{raw}\n5: double value (stats=\"raw:DSRate\")"), PERIOD);
    let [error] = &errors_of(&text)[..] else { panic!("one error") };
    assert!(error.contains("DSRate takes readings, but with `metric=\"agg\"`"), "{error}");
}

static MINE: Entry = Entry::new("Mine", Roles::AGGREGATE, "the sum of all samples", |_| Ok(Built::aggregate(Sum)));

#[test]
fn algorithms_of_the_embedding_program_can_be_named() {
    let text = with_result("5: u64 value (stats=\"raw:Mine\")");
    let errors = errors_of(&text);
    let [unknown] = &errors[..] else { panic!("{errors:?}") };
    assert!(unknown.starts_with("6:26 unknown algorithm `Mine`; expected `DSAnomaly`, `DSAvg`, "), "{unknown}");
    let remedy =
        "; for an algorithm of your own, register it in the registry of the context (`Context::with_registry`)";
    assert!(unknown.ends_with(remedy), "{unknown}");
    let mut registry = Registry::new();
    registry.register(&MINE).unwrap();
    let schema = Schema::parse_with("my.sandesh", &text, &registry).unwrap();
    assert!(schema.with_period(5).is_ok(), "it is known when types are compiled anew, too");
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let text = format!("{}#{}", with_result(SUM), "x".repeat(1024 * 1024));
    let errors = errors_of(&text);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].ends_with("where at most 1048576 are allowed; split it"), "{errors:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn property_any_text_compiles_or_gives_errors_that_can_be_shown(text in any::<String>()) {
        if let Err(errors) = Schema::parse("my.sandesh", &text) {
            prop_assert!(!errors.errors().is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.errors().len() * 5 - 1);
        }
    }

    #[test]
    fn property_a_definition_with_one_piece_changed_compiles_or_gives_errors_that_can_be_shown(
        start in 0usize..300,
        length in 0usize..20,
        piece in prop::sample::select(vec![
            "", " ", "\n", "\"", "(", ")", "{", "}", ":", "struct", "1: ", "/*", "*/", "//", "stats=\"raw:DSSum\"", "é", "u64", ",",
        ]),
    ) {
        let mut text = with_result(SUM);
        let start = start.min(text.len());
        let end = (start + length).min(text.len());
        text.replace_range(start..end, piece);
        if let Err(errors) = Schema::parse("my.sandesh", &text) {
            prop_assert!(errors.to_string().lines().count() >= 4);
        }
    }
}
