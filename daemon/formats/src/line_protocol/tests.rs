//! What lines become, and that a bad line affects no other.

use proptest::prelude::*;

use super::*;
use crate::Integer;

const NOW: i64 = 1_700_000_000_000;

fn request(body: &[u8]) -> Request<'_> {
    Request { body, precision: Precision::Nanoseconds, now_ms: NOW, limits: Limits::default() }
}

/// The series of a request as text, or why a line is not taken.
fn read(request: Request<'_>) -> Result<(Vec<String>, Summary), TooMany> {
    let mut found = Vec::new();
    let summary = request.series(|series| {
        found.push(match series {
            Ok(series) => {
                let labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let samples: Vec<_> =
                    series.samples.iter().map(|it| format!("{}@{}", it.value, it.timestamp_ms)).collect();
                format!("{} {}", labels.join("|"), samples.join(" "))
            }
            Err(fault) => fault.to_string(),
        });
    })?;
    Ok((found, summary))
}

fn series(text: &str) -> Vec<String> {
    read(request(text.as_bytes())).unwrap().0
}

#[test]
fn each_field_with_a_number_is_a_series() {
    let text =
        "cpu,host=a,cpu=cpu0 usage_idle=93.5,cores=4i,load=7u,up=true,down=F,model=\"x, y=z\" 1700000000123456789\n";
    let expected = [
        "__name__=cpu.usage_idle|cpu=cpu0|host=a 93.5@1700000000123",
        "__name__=cpu.cores|cpu=cpu0|host=a 4@1700000000123",
        "__name__=cpu.load|cpu=cpu0|host=a 7@1700000000123",
        "__name__=cpu.up|cpu=cpu0|host=a 1@1700000000123",
        "__name__=cpu.down|cpu=cpu0|host=a 0@1700000000123",
    ];
    let (found, summary) = read(request(text.as_bytes())).unwrap();
    assert_eq!(found, expected);
    assert_eq!(summary, Summary { texts: 1, without_time: 0 });
}

#[test]
fn integers_are_exact_in_all_64_bits() {
    let text = b"m a=18446744073709551615u,b=-9223372036854775808i,c=9007199254740991i,d=1e19";
    let mut found = Vec::new();
    request(text).series(|series| found.extend(series.unwrap().samples.iter().map(|it| it.integer))).unwrap();
    let [unsigned, signed] = [Integer::Unsigned(u64::MAX), Integer::Signed(i64::MIN)];
    assert_eq!(found, [Some(unsigned), Some(signed), None, None], "the value itself has the third one, and the last");
}

#[test]
fn what_the_syntax_allows_is_taken() {
    let cases = [
        ("m f=1 5000000", "__name__=m.f 1@5"),
        ("  m   f=1   5000000  ", "__name__=m.f 1@5"),
        ("m f=1\r\n", "__name__=m.f 1@1700000000000"),
        ("m f=-1.5e-3 -1", "__name__=m.f -0.0015@-1"),
        ("m f=+.5 0", "__name__=m.f 0.5@0"),
        ("m\\,a\\ b,t\\=x=a\\ b\\,c f\\ g=1i 0", "__name__=m,a b.f g|t=x=a b,c 1@0"),
        ("m,path=C:\\dir f=1 0", "__name__=m.f|path=C:\\dir 1@0"),
        ("m=x f=1 0", "__name__=m=x.f 1@0"),
        ("m s=\"two\nlines \\\" #\",f=1 0", "__name__=m.f 1@0"),
        ("# a comment\n\n \nm f=1 0", "__name__=m.f 1@0"),
        ("m,t=größe f=1 0", "__name__=m.f|t=größe 1@0"),
    ];
    for (text, expected) in cases {
        assert_eq!(series(text), [expected], "{text}");
    }
}

#[test]
fn a_line_that_is_not_a_point_is_named_and_affects_no_other() {
    let cases = [
        ("m", "a field is missing; write `measurement,tag=value field=1 time`"),
        (",t=a f=1", "the measurement is missing; write `measurement,tag=value field=1 time`"),
        ("m, f=1", "the name of a tag is missing; write `measurement,tag=value field=1 time`"),
        ("m,t= f=1", "the value of a tag is missing; write `measurement,tag=value field=1 time`"),
        ("m,t f=1", "the `=` between a name and a value is missing; write `measurement,tag=value field=1 time`"),
        ("m,t=a=b f=1", "the backslash before `=` in a tag is missing; write `measurement,tag=value field=1 time`"),
        ("m f", "the `=` between a name and a value is missing; write `measurement,tag=value field=1 time`"),
        ("m f=1 5.5", "the time `5.5` is not a whole number of 64 bits; send one in the unit of `precision`"),
        (
            "m f=1 9223372036854775808",
            "the time `9223372036854775808` is not a whole number of 64 bits; send one in the unit of `precision`",
        ),
        ("m,t=1,t=2 f=1", "the label `t` is there twice; send each label once"),
        ("m,__name__=a f=1", "the label `__name__` is there twice; send each label once"),
        (
            "m f=",
            "the value `` of the field `f` is no number, boolean or quoted text; write 1.5, 1i, 1u, true or \"text\"",
        ),
    ];
    for (text, expected) in cases {
        let found = series(&format!("m f=1 0\n{text}\nm f=2 0"));
        let error = format!("line 2, `{text}`: {expected}");
        assert_eq!(found, ["__name__=m.f 1@0", &error, "__name__=m.f 2@0"], "{text}");
    }
}

#[test]
fn values_of_no_type_are_refused() {
    for value in
        ["x", "NaN", "inf", "1e999", "1.5i", "-1u", "9223372036854775808i", "tRUE", "\"a\"b", "0x1", "1 i", "\"a"]
    {
        let found = series(&format!("m f={value}\nm f=2 0"));
        assert!(found[0].starts_with("line 1, "), "{value}: {found:?}");
        assert_eq!(found.len(), 2, "{value}: {found:?}");
        assert_eq!(found[1], "__name__=m.f 2@0", "{value}");
    }
}

#[test]
fn a_line_that_is_not_utf_8_is_named() {
    let (found, _) = read(request(b"m f=1 0\nm,t=\xff f=1 0\nm f=2 0")).unwrap();
    assert_eq!(found[1], "line 2, `m,t=\u{FFFD} f=1 0`: it is not UTF-8; send UTF-8");
    assert_eq!(found.len(), 3);
}

#[test]
fn line_numbers_count_the_lines_of_a_text() {
    let found = series("m s=\"a\nb\nc\" 0\nbad");
    assert_eq!(found, ["line 4, `bad`: a field is missing; write `measurement,tag=value field=1 time`"]);
}

#[test]
fn times_are_in_the_unit_of_the_request_or_that_of_its_arrival() {
    let cases = [("h", 2, 7_200_000), ("m", 2, 120_000), ("s", 2, 2000), ("ms", 2, 2), ("us", -1, -1), ("ns", -1, -1)];
    for (precision, time, expected) in cases {
        let text = format!("m f=1 {time}");
        let precision = Precision::of(precision).unwrap();
        let found = read(Request { precision, ..request(text.as_bytes()) }).unwrap().0;
        assert_eq!(found, [format!("__name__=m.f 1@{expected}")], "{precision:?}");
    }
    let (found, summary) = read(request(b"m f=1")).unwrap();
    assert_eq!((found, summary.without_time), (vec![format!("__name__=m.f 1@{NOW}")], 1));
}

#[test]
fn the_limits_of_fields_and_tags_are_held() {
    let limits = Limits { samples: 2, labels: 3, label_value_bytes: 4, ..Limits::default() };
    let within = |body: &'static [u8]| read(Request { limits, ..request(body) });
    assert_eq!(within(b"m a=1,b=2 0").unwrap().0.len(), 2);
    assert_eq!(within(b"m a=1,b=2 0\nm a=1 0").unwrap_err(), TooMany { limit: 2 });
    let found = within(b"m,a=1,b=2,c=3 f=1 0\nm,a=12345 f=1 0").unwrap().0;
    assert!(found[0].contains("it has 4 labels, at most 3"), "{found:?}");
    assert!(found[1].contains("the value of the label `a` has 5 bytes"), "{found:?}");
}

#[test]
fn a_line_is_parsed_no_further_than_its_limits() {
    let limits = Limits { samples: 2, labels: 3, ..Limits::default() };
    let fields = |text: &'static str| Line::parse(text.as_bytes(), &limits).unwrap().unwrap().fields.len();
    assert_eq!(fields("m a=1,b=2 0"), 2);
    assert_eq!(fields("m a=1,b=2,c=3,d=4,e=5 0"), 3, "one too many is enough to refuse the request");
    let tags = |text: &'static str| Line::parse(text.as_bytes(), &limits).map(|line| line.unwrap().tags.len());
    assert_eq!(tags("m,a=1,b=2 f=1 0"), Ok(2));
    let fault = Fault::Series(SeriesFault::TooManyLabels { found: 6, limit: 3 });
    assert_eq!(tags("m,a=1,b=2,c=3,d=4,e=5 f=1 0"), Err(fault));
}

/// A text with a backslash before what is special in a tag.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|it| [',', '=', ' '].contains(&it).then_some('\\').into_iter().chain([it])).collect()
}

proptest! {
    #[test]
    fn property_escaped_tags_and_numbers_come_back(
        tags in prop::collection::btree_map("[a-z ,=]{1,5}", "[a-zé ,=\"]{1,5}", 0..5),
        value: i32,
        time in -1_000_000_000_000i64..1_000_000_000_000,
    ) {
        let text: String = tags.iter().map(|(name, value)| format!(",{}={}", escaped(name), escaped(value))).collect();
        let text = format!("m{text} f={value}i {time}");
        let found = read(Request { precision: Precision::Milliseconds, ..request(text.as_bytes()) }).unwrap().0;
        let labels: String = tags.iter().map(|(name, value)| format!("|{name}={value}")).collect();
        let labels = labels.trim_start_matches('|');
        // `__name__` comes before letters, and after a space or a comma.
        prop_assert_eq!(found.len(), 1);
        let pairs: Vec<_> = found[0].rsplit_once(' ').unwrap().0.split('|').filter(|it| *it != "__name__=m.f").collect();
        prop_assert_eq!(pairs.join("|"), labels);
        prop_assert!(found[0].ends_with(&format!(" {value}@{time}")), "{:?}", found);
    }

    #[test]
    fn property_any_bytes_are_read_to_their_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lines = 0;
        let read = request(&body).series(|_| lines += 1);
        prop_assert!(read.is_ok());
    }
}
