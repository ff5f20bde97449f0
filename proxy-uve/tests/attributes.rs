//! The annotations of the golden records whose error is in the attribute that they name, in a struct like the
//! original's.
//!
//! Source: six records of the original's golden vectors for annotations, found in
//! `derived-stats/testdata/golden/annotations.jsonl.gz` under the same ids. The parser of annotations accepts
//! them: only the schema checks whether an attribute exists, is a number and is sampled. In the original three of them
//! end in C++ that does not compile, two in a failed assertion, and one in a result that is never computed.

use derived_stats::annotation::ErrorKind;
use proxy_uve::schema::{Schema, SchemaErrorKind};

/// The struct that the records were compiled with, up to the annotated attribute, without the fields that no record
/// names. A proxy type has one raw value, so here `fz` and `z` are separate errors, in lines of their own.
const STRUCT: &str = r#"
struct inner_type { 1: i32 staging 2: i32 value }
struct component { 1: i32 count 2: optional bool deleted 3: inner_type inner }
struct T {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional u64 raw (hidden="yes")
  5: optional component fz
  6: optional map<string,component> z
"#;

const ANNOTATED_LINE: usize = 11;

/// One record: what is annotated, and the text that the error must point at.
struct Record {
    id: &'static str,
    annotated: &'static str,
    points_at: &'static str,
    expected: SchemaErrorKind,
}

fn in_the_annotation(kind: ErrorKind) -> SchemaErrorKind {
    SchemaErrorKind::Annotation(Box::new(kind))
}

fn records() -> [Record; 6] {
    let unknown = |name: &str| in_the_annotation(ErrorKind::UnknownAttribute { name: name.to_owned(), nearest: None });
    let own = str::to_owned;
    let record = |id, annotated, points_at, expected| Record { id, annotated, points_at, expected };
    [
        record(
            "ann-00052",
            r#"optional i32 value (stats="fz.inner:DSNone")"#,
            "inner:",
            in_the_annotation(ErrorKind::NeedsComponent { name: own("inner") }),
        ),
        record("ann-00053", r#"optional i32 value (stats="fz.nosuch:DSSum")"#, "nosuch", unknown("nosuch")),
        record(
            "ann-00071",
            r#"optional map<string,component> value (mstats="z:DSNone:")"#,
            "mstats",
            SchemaErrorKind::MapRaw,
        ),
        record("ann-00077", r#"optional i32 value (stats="nosuch:DSSum")"#, "nosuch", unknown("nosuch")),
        record(
            "ann-00115",
            r#"optional i32 value (stats="value:DSSum")"#,
            "value:",
            in_the_annotation(ErrorKind::SelfReference { name: own("value") }),
        ),
        record(
            "ann-00116",
            r#"optional i32 value (stats="name:DSSum")"#,
            "name:",
            in_the_annotation(ErrorKind::NotNumeric { name: own("name") }),
        ),
    ]
}

/// The column and kind of each error in the annotated line.
fn errors_of(line: &str, end: &str) -> Vec<(usize, SchemaErrorKind)> {
    let text = format!("{STRUCT}{line}\n{end}\n");
    let errors = Schema::parse("vector.sandesh", &text).expect_err(line);
    let there = errors.into_iter().filter(|error| error.line() == ANNOTATED_LINE);
    there.map(|error| (error.column(), error.kind().clone())).collect()
}

#[test]
fn the_schema_refuses_the_attributes_that_the_annotations_parser_cannot_check() {
    for Record { id, annotated, points_at, expected } in records() {
        let line = format!("  7: {annotated}");
        let column = line.rfind(points_at).expect("it is in the line") + 1;
        for end in [r#"} (period="60", timeout="1")"#, "}"] {
            assert_eq!(errors_of(&line, end), [(column, expected.clone())], "{id} before {end}");
        }
    }
}

#[test]
fn a_path_into_a_struct_is_followed_to_its_end() {
    let needs = |name: &str| in_the_annotation(ErrorKind::NeedsComponent { name: name.to_owned() });
    let no_number = |name: &str| in_the_annotation(ErrorKind::NotNumeric { name: name.to_owned() });
    let unknown = |name: &str, nearest: Option<&str>| {
        let (name, nearest) = (name.to_owned(), nearest.map(str::to_owned));
        in_the_annotation(ErrorKind::UnknownAttribute { name, nearest })
    };
    let cases = [
        ("fz", Some(needs("fz"))),
        ("fz.count", None),
        ("fz.cuont", Some(unknown("cuont", Some("count")))),
        ("fz.count.x", Some(unknown("x", None))),
        ("fz.deleted", Some(no_number("deleted"))),
        ("fz.inner.value", None),
        ("fz.inner.valeu", Some(unknown("valeu", Some("value")))),
    ];
    for (path, expected) in cases {
        let errors = errors_of(&format!(r#"  7: optional i32 value (stats="{path}:DSSum")"#), r#"} (period="60")"#);
        let kinds: Vec<_> = errors.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, expected.into_iter().collect::<Vec<_>>(), "{path}");
    }
}
