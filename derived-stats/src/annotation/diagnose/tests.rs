use super::*;
use crate::annotation::Annotation;

fn refusal(text: &str) -> String {
    Annotation::parse(text).unwrap_err().to_string()
}

fn suggestion(text: &str) -> Option<String> {
    match Annotation::parse(text).unwrap_err().kind() {
        ErrorKind::BadPeriod { suggestion, .. } => suggestion.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_missing_part_is_asked_for_where_it_belongs() {
    insta::assert_snapshot!(refusal("raw"), @r"
    annotation error:
        raw
           ^
    expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`
    ");
    insta::assert_snapshot!(refusal("raw:"), @r"
    annotation error:
        raw:
            ^
    expected the name of an algorithm after the `:`, such as `DSSum`
    ");
    insta::assert_snapshot!(refusal("raw::EWM:0.1"), @r"
    annotation error:
        raw::EWM:0.1
            ^
    expected the name of an algorithm after the `:`, such as `DSSum`
    ");
    insta::assert_snapshot!(refusal("-1-raw:DSSum"), @r"
    annotation error:
        -1-raw:DSSum
        ^
    expected a period before the first `-`, digits such as `1`; without one, remove the `-`
    ");
    insta::assert_snapshot!(refusal("1.-raw:DSAnomaly:EWM:0.1"), @r"
    annotation error:
        1.-raw:DSAnomaly:EWM:0.1
          ^
    expected the name of a pre-aggregation between `.` and `-`, as in `1.DSSum-`; without one, write `1-`
    ");
}

#[test]
fn a_missing_name_is_asked_for_where_it_belongs() {
    insta::assert_snapshot!(refusal(":DSSum"), @r"
    annotation error:
        :DSSum
        ^
    expected the name of an attribute here, as in `raw:DSSum`
    ");
    insta::assert_snapshot!(refusal("1-:DSSum"), @r"
    annotation error:
        1-:DSSum
          ^
    expected the name of an attribute here, as in `raw:DSSum`
    ");
    insta::assert_snapshot!(refusal(".count:DSSum"), @r"
    annotation error:
        .count:DSSum
        ^
    expected the name of an attribute here, as in `raw:DSSum`
    ");
    insta::assert_snapshot!(refusal("fz.:DSSum"), @r"
    annotation error:
        fz.:DSSum
           ^
    expected the name of a component after the `.`; without one, remove the `.`
    ");
}

#[test]
fn a_wrong_separator_is_pointed_at() {
    insta::assert_snapshot!(refusal("raw;DSSum"), @r"
    annotation error:
        raw;DSSum
           ^
    expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`
    ");
    insta::assert_snapshot!(refusal("1,DSSum-raw:DSAnomaly:EWM:0.1"), @r"
    annotation error:
        1,DSSum-raw:DSAnomaly:EWM:0.1
        ^^^^^^^
    the text before the first `-` is the period and must be digits such as `1`, found `1,DSSum`; did you mean `1.DSSum-`?
    ");
}

#[test]
fn a_blank_is_to_be_removed() {
    insta::assert_snapshot!(refusal(" raw:DSSum"), @r"
    annotation error:
         raw:DSSum
        ^
    ` raw` is not the name of an attribute or component: remove the blank
    ");
    insta::assert_snapshot!(refusal("raw: DSSum"), @r"
    annotation error:
        raw: DSSum
            ^
    ` DSSum` is not the name of an algorithm: remove the blank
    ");
    insta::assert_snapshot!(refusal("raw:DSSum "), @r"
    annotation error:
        raw:DSSum 
                 ^
    `DSSum ` is not the name of an algorithm: remove the blank
    ");
    insta::assert_snapshot!(refusal("5- raw:DSSum"), @r"
    annotation error:
        5- raw:DSSum
          ^
    ` raw` is not the name of an attribute or component: remove the blank
    ");
}

#[test]
fn text_before_the_first_dash_must_be_a_period() {
    insta::assert_snapshot!(refusal("raw-x:DSSum"), @r"
    annotation error:
        raw-x:DSSum
        ^^^
    the text before the first `-` is the period and must be digits such as `1`, found `raw`
    ");
    insta::assert_snapshot!(refusal("fz.count-x:DSSum"), @r"
    annotation error:
        fz.count-x:DSSum
        ^^
    the text before the first `-` is the period and must be digits such as `1`, found `fz`
    ");
    insta::assert_snapshot!(refusal("DSSum-raw:DSAnomaly:EWM:0.1"), @r"
    annotation error:
        DSSum-raw:DSAnomaly:EWM:0.1
        ^^^^^
    the text before the first `-` is the period and must be digits such as `1`, found `DSSum`; did you mean `1.DSSum-`?
    ");
    insta::assert_snapshot!(refusal("1e2-raw:DSSum"), @r"
    annotation error:
        1e2-raw:DSSum
        ^^^
    the text before the first `-` is the period and must be digits such as `1`, found `1e2`
    ");
    insta::assert_snapshot!(refusal(" 1-raw:DSSum"), @r"
    annotation error:
         1-raw:DSSum
        ^^
    the text before the first `-` is the period and must be digits such as `1`, found ` 1`; did you mean `1-`?
    ");
    insta::assert_snapshot!(refusal("4294967296-raw:DSSum"), @r"
    annotation error:
        4294967296-raw:DSSum
        ^^^^^^^^^^
    period `4294967296` is too large; at most 4294967295 is allowed
    ");
}

#[test]
fn a_pre_aggregation_is_a_name() {
    insta::assert_snapshot!(refusal("1.5-raw:DSSum"), @r"
    annotation error:
        1.5-raw:DSSum
          ^
    `5` is not a pre-aggregation: a name starts with a letter or `_`; expected a whole period, `.` and a name, as in `1.DSSum-`
    ");
    insta::assert_snapshot!(refusal("1.DSSum.DSAvg.D SX(1)-raw:DSSum"), @r"
    annotation error:
        1.DSSum.DSAvg.D SX(1)-raw:DSSum
                      ^^^^
    `D SX` is not a pre-aggregation: remove the blank; expected a whole period, `.` and a name, as in `1.DSSum-`
    ");
    insta::assert_snapshot!(refusal("1.DSX)-raw:DSSum"), @r"
    annotation error:
        1.DSX)-raw:DSSum
          ^^^^
    `DSX)` is not a pre-aggregation: `)` is not allowed in a name, which consists of letters, digits and `_`; expected a whole period, `.` and a name, as in `1.DSSum-`
    ");
}

#[test]
fn the_name_of_each_link_is_required() {
    insta::assert_snapshot!(refusal("1.DSSum.-raw:DSSum"), @r"
    annotation error:
        1.DSSum.-raw:DSSum
                ^
    expected the name of a pre-aggregation after the `.`, as in `1.DSSum.DSChange-`
    ");
    insta::assert_snapshot!(refusal("1..DSSum-raw:DSSum"), @r"
    annotation error:
        1..DSSum-raw:DSSum
          ^
    expected the name of a pre-aggregation after the `.`, as in `1.DSSum.DSChange-`
    ");
    insta::assert_snapshot!(refusal("1.(60)-raw:DSSum"), @r"
    annotation error:
        1.(60)-raw:DSSum
          ^
    expected the name of a pre-aggregation after the `.`, as in `1.DSSum.DSChange-`
    ");
}

#[test]
fn arguments_of_a_pre_aggregation_belong_in_parentheses() {
    insta::assert_snapshot!(refusal("1.DSSum:60-raw:DSAnomaly:EWM:0.1"), @r"
    annotation error:
        1.DSSum:60-raw:DSAnomaly:EWM:0.1
               ^^^
    the arguments of a pre-aggregation belong in parentheses; write `1.DSSum(60)-`
    ");
    insta::assert_snapshot!(refusal("1.DSSum.DSX:a:b-raw:DSSum"), @r"
    annotation error:
        1.DSSum.DSX:a:b-raw:DSSum
                   ^^^^
    the arguments of a pre-aggregation belong in parentheses; write `1.DSSum.DSX(a:b)-`
    ");
    insta::assert_snapshot!(refusal("1.DSSum:-raw:DSSum"), @r"
    annotation error:
        1.DSSum:-raw:DSSum
               ^
    the arguments of a pre-aggregation belong in parentheses; write `1.DSSum-`
    ");
    insta::assert_snapshot!(refusal("1.DSSum:f(a-b)-raw:DSSum"), @r"
    annotation error:
        1.DSSum:f(a-b)-raw:DSSum
               ^^^^^^^
    the arguments of a pre-aggregation belong in parentheses; write `1.DSSum(…)-`, where the arguments hold no parentheses
    ");
    insta::assert_snapshot!(refusal("raw:DSSum(60)"), @r"
    annotation error:
        raw:DSSum(60)
                 ^
    `DSSum(60)` is not the name of an algorithm: `(` is not allowed in a name, only pre-aggregations take arguments in parentheses
    ");
}

#[test]
fn an_open_parenthesis_is_pointed_at() {
    insta::assert_snapshot!(refusal("1.DSX(5-raw:DSAnomaly:EWM:0.1"), @r"
    annotation error:
        1.DSX(5-raw:DSAnomaly:EWM:0.1
             ^
    the `(` after `DSX` is not closed; expected `)` before the `-` that ends the period
    ");
    insta::assert_snapshot!(refusal("1.DSSum.DSX(a:b-raw:DSSum"), @r"
    annotation error:
        1.DSSum.DSX(a:b-raw:DSSum
                   ^
    the `(` after `DSX` is not closed; expected `)` before the `-` that ends the period
    ");
    insta::assert_snapshot!(refusal("1.DSX(5-raw:Mine:f(x)"), @r"
    annotation error:
        1.DSX(5-raw:Mine:f(x)
             ^
    the `(` after `DSX` is not closed; expected `)` before the `-` that ends the period
    ");
    insta::assert_snapshot!(refusal("1.DSX(5-raw:Mine:x)"), @r"
    annotation error:
        1.DSX(5-raw:Mine:x)
             ^
    the `(` after `DSX` is not closed; expected `)` before the `-` that ends the period
    ");
}

#[test]
fn nested_parentheses_are_refused() {
    insta::assert_snapshot!(refusal("1.DSX(a.b(c))-raw:DSSum"), @r"
    annotation error:
        1.DSX(a.b(c))-raw:DSSum
                 ^
    expected `)` after the arguments of `DSX`, found `(`; arguments in parentheses cannot hold parentheses, remove the inner ones
    ");
    insta::assert_snapshot!(refusal("1.DSX(a.DSY(b)-raw:DSSum"), @r"
    annotation error:
        1.DSX(a.DSY(b)-raw:DSSum
                   ^
    expected `)` after the arguments of `DSX`, found `(`; arguments in parentheses cannot hold parentheses, remove the inner ones
    ");
}

#[test]
fn after_parentheses_the_chain_continues_or_ends() {
    insta::assert_snapshot!(refusal("1.DSX(5)x-raw:DSSum"), @r"
    annotation error:
        1.DSX(5)x-raw:DSSum
                ^
    expected `.` or `-` after the `)` of `DSX`, found `x`
    ");
    insta::assert_snapshot!(refusal("1.DSX(5)).DSSum-raw:DSSum"), @r"
    annotation error:
        1.DSX(5)).DSSum-raw:DSSum
                ^
    expected `.` or `-` after the `)` of `DSX`, found `)`
    ");
    insta::assert_snapshot!(refusal("1.DSX(5):60-raw:DSSum"), @r"
    annotation error:
        1.DSX(5):60-raw:DSSum
                ^^^
    expected `.` or `-` after the `)` of `DSX`, found `:60`
    ");
    insta::assert_snapshot!(refusal("1.DSSum(60)raw:DSSum"), @r"
    annotation error:
        1.DSSum(60)raw:DSSum
                   ^^^
    expected `.` or `-` after the `)` of `DSSum`, found `raw`
    ");
}

#[test]
fn a_chain_is_limited() {
    insta::assert_snapshot!(refusal("1.A.B.C.D(x-y.z).E.F-raw:DSSum"), @r"
    annotation error:
        1.A.B.C.D(x-y.z).E.F-raw:DSSum
                        ^^^^
    the chain has 6 pre-aggregations and the limit is 4; remove the rest
    ");
}

#[test]
fn separators_in_parentheses_are_text() {
    insta::assert_snapshot!(refusal("1.DSX(a:b)-raw"), @r"
    annotation error:
        1.DSX(a:b)-raw
                      ^
    expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`
    ");
    insta::assert_snapshot!(refusal("1.DSX(a=b c)-raw=DSSum"), @r"
    annotation error:
        1.DSX(a=b c)-raw=DSSum
                        ^
    expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`
    ");
}

#[test]
fn names_are_letters_digits_and_underscores() {
    insta::assert_snapshot!(refusal("1raw:DSSum"), @r"
    annotation error:
        1raw:DSSum
        ^
    `1raw` is not the name of an attribute or component: a name starts with a letter or `_`
    ");
    insta::assert_snapshot!(refusal("räw:DSSum"), @r"
    annotation error:
        räw:DSSum
         ^
    `räw` is not the name of an attribute or component: `ä` is not allowed in a name, which consists of letters, digits and `_`
    ");
    insta::assert_snapshot!(refusal("1-raw-x:DSSum"), @r"
    annotation error:
        1-raw-x:DSSum
             ^
    `raw-x` is not the name of an attribute or component: `-` is not allowed in a name, it only ends a period
    ");
    insta::assert_snapshot!(refusal("raw:DS/Sum"), @r"
    annotation error:
        raw:DS/Sum
              ^
    `DS/Sum` is not the name of an algorithm: `/` is not allowed in a name, which consists of letters, digits and `_`
    ");
}

#[test]
fn a_path_has_at_most_three_names() {
    insta::assert_snapshot!(refusal("fz.inner.value.deep.er:DSSum"), @r"
    annotation error:
        fz.inner.value.deep.er:DSSum
                      ^^^^^^^^
    the path has 5 names where at most three are allowed, `attribute.component.subcomponent`; remove the rest
    ");
}

#[test]
fn control_characters_are_shown_as_escapes() {
    insta::assert_snapshot!(refusal("raw:DSSum\n"), @r"
    annotation error:
        raw:DSSum\n
                 ^^
    the control character `\n` is not allowed; remove it
    ");
}

#[test]
fn nothing_and_blanks_are_empty() {
    for text in ["", " ", "\t\n", "\u{a0}"] {
        let error = Annotation::parse(text).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Empty, "{text:?}");
        assert_eq!(error.span().range(), 0..text.len(), "{text:?}");
    }
}

#[test]
fn the_prefix_that_was_meant_is_suggested() {
    let cases = [
        ("1,DSSum-raw:DSSum", Some("1.DSSum-")),
        ("12_DSSum-raw:DSSum", Some("12.DSSum-")),
        ("1 . DSSum-raw:DSSum", Some("1.DSSum-")),
        ("1DSSum-raw:DSSum", Some("1.DSSum-")),
        ("dssum-raw:DSSum", Some("1.dssum-")),
        (" 1.DSSum-raw:DSSum", Some("1.DSSum-")),
        ("+5-raw:DSSum", Some("5-")),
        ("5 -raw:DSSum", Some("5-")),
        ("raw-x:DSSum", None),
        ("1x-raw:DSSum", None),
        ("1,DS Sum-raw:DSSum", None),
        ("1,DSX(60)-raw:DSSum", Some("1.DSX(60)-")),
        ("DSSum.DSX(a-b)-raw:DSSum", Some("1.DSSum.DSX(a-b)-")),
        ("DSSum.DSX(a-raw:DSSum", None),
        ("DSA.DSB.DSC.DSD.DSE-raw:DSSum", None),
        ("99999999999 -raw:DSSum", None),
        ("99999999999,DSSum-raw:DSSum", None),
        ("é-raw:DSSum", None),
        ("0x2-raw:DSSum", None),
    ];
    for (text, expected) in cases {
        assert_eq!(suggestion(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_first_mistake_from_the_left_is_reported() {
    let cases = [
        ("x-.:", 0..1),
        ("1.-.:", 2..2),
        ("1-.:", 2..2),
        ("1-a..b.c.d:", 4..4),
        ("1-a.b.c.d:", 7..9),
        ("1-a:", 4..4),
        ("1-a: x:y", 4..5),
        ("raw-:DSSum", 0..3),
        ("1.5:60-raw:DSSum", 0..1),
        ("1.:60-raw:DSSum", 0..1),
        ("x.DSSum:60-raw:DSSum", 8..10),
        ("1.X(a.5.Y)5-raw:DSSum", 10..11),
        ("1.5.X(-raw:DSSum", 2..3),
        ("1.X(.5.-raw:DSSum", 3..4),
        ("1.A.B.C.D.5-raw:DSSum", 9..11),
        ("1.A.5.C.D.E-raw:DSSum", 4..5),
        ("99999999999.X(-raw:DSSum", 0..11),
        ("1(a-b(c-d:e", 0..3),
    ];
    for (text, expected) in cases {
        assert_eq!(Annotation::parse(text).unwrap_err().span().range(), expected, "{text}");
    }
}

#[test]
fn what_was_written_for_a_colon_is_underlined_as_a_whole() {
    for (text, range) in [("raw;DSSum", 3..4), ("raw  DSSum", 3..5), ("é;; DSSum", 2..5), ("raw= = DSSum =", 3..7)] {
        let error = Annotation::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.span().range()), (&ErrorKind::MissingAlgorithm, range), "{error}");
    }
}

#[test]
fn a_dash_without_a_colon_after_it_ends_the_period_unless_it_is_in_later_arguments() {
    let ends_period = |text| match Annotation::parse(text).unwrap_err().kind() {
        ErrorKind::PreHasArguments { .. } => true,
        ErrorKind::BadAttribute { .. } => false,
        other => panic!("{text}: {other:?}"),
    };
    for text in ["1.DSSum:60-raw:DSSum", "1.DSSum:6:0-raw:DSSum", "1.DSSum:60-raw"] {
        assert!(ends_period(text), "{text}");
    }
    for text in ["1.DSSum:Mine:60-raw", "1.DSSum:60"] {
        assert!(!ends_period(text), "{text}");
    }
}
