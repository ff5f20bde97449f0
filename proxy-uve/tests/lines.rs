//! Lines: both forms, what is refused and why, and what a line costs in allocations.

use derived_stats::Number;
use proxy_uve::wire::line::{Line, LineForm, Metric, decode, decode_as, plain};

fn line(metric: Metric<'static>, timestamp: u64, value: Number, source: Option<&'static str>) -> Line<'static> {
    Line { key: b"T:a"[..].into(), metric, timestamp, value, text: None, source: source.map(Into::into) }
}

#[test]
fn lines_of_both_forms_are_read() {
    let attribute = || Metric::Attribute("flows".into());
    let stream = || Metric::Stream("Agent-flows".into());
    let cases = [
        (r#"{"key":"T:a","attr":"flows","ts":1,"value":2}"#, line(attribute(), 1, Number::U64(2), None)),
        (r#"{"ts":1,"key":"T:a","attr":"flows","value":2}"#, line(attribute(), 1, Number::U64(2), None)),
        (r#"{"value":2,"attr":"flows","key":"T:a","ts":1}"#, line(attribute(), 1, Number::U64(2), None)),
        (r#"{"key":"T\u003aa","attr":"fl\u006fws","ts":1,"value":2e0}"#, line(attribute(), 1, Number::F64(2.0), None)),
        (
            r#"{ "a":[{}], "key":"T:a", "stream":"Agent-flows", "ts":1, "value":2 } "#,
            line(stream(), 1, Number::U64(2), None),
        ),
        (
            r#"{"key":"T:a","attr":"other","stream":"Agent-flows","ts":1,"value":2}"#,
            line(stream(), 1, Number::U64(2), None),
        ),
        (r#"{"key":"T:a","attr":"flows","stream":null,"ts":1,"value":2}"#, line(attribute(), 1, Number::U64(2), None)),
        (
            r#"{"key":"T:a","attr":"flows","ts":1,"value":2,"source":"c7"}"#,
            line(attribute(), 1, Number::U64(2), Some("c7")),
        ),
        ("T:a\t<flows type=\"u64\" timestamp=\"1\">2</flows>", line(attribute(), 1, Number::U64(2), None)),
        ("T:a\t <flows timestamp='1'><![CDATA[-2]]></flows>", line(attribute(), 1, Number::I64(-2), None)),
    ];
    for (text, expected) in cases {
        assert_eq!(decode(text.as_bytes()), Ok(expected), "{text}");
    }
    assert_eq!(decode(b"T:\xff\t<e timestamp='1'>2</e>").map(|line| line.key.into_owned()), Ok(b"T:\xff".to_vec()));
}

#[test]
fn a_refused_line_has_a_reason() {
    let cases: [(&[u8], &str); 18] = [
        (br#"{"key":"T:a","ts":1,"value":2}"#, "no_metric"),
        (br#"{"key":"T:a","attr":null,"ts":1,"value":2}"#, "no_metric"),
        (br#"{"attr":"flows","ts":1,"value":2}"#, "no_key"),
        (br#"{"key":null,"attr":"flows","ts":1,"value":2}"#, "no_key"),
        (br#"{"key":7,"attr":"flows","ts":1,"value":2}"#, "not_a_string"),
        (br#"{"key":"T:a","attr":["flows"],"ts":1,"value":2}"#, "not_a_string"),
        (br#"{"key":"T:a","key":"T:b","attr":"flows","ts":1,"value":2}"#, "duplicate"),
        (br#"{"key":"T:a","attr":"flows","ts":1,"ts":1,"value":2}"#, "duplicate"),
        (br#"{"key":"T:a","attr":"flows","ts":1}"#, "missing_value"),
        (br#"{"key":"T:a","attr":"flows","ts":"1","value":2}"#, "bad_timestamp"),
        (br#"{"key":"T:a","attr":"flows","ts":1,"value":01}"#, "malformed"),
        (b"{\"key\":\"T:\xff\",\"attr\":\"flows\",\"ts\":1,\"value\":1}", "not_utf8"),
        (b"{", "malformed"),
        (b"", "no_tab"),
        (b" {\"key\":\"T:a\",\"attr\":\"flows\",\"ts\":1,\"value\":2}", "no_tab"),
        (b"T:a\t", "empty"),
        (b"T:a\t{\"ts\":1,\"value\":2}", "no_element"),
        (b"T:a\t<flows>2</flows>", "missing_timestamp"),
    ];
    for (text, expected) in cases {
        assert_eq!(decode(text).map_err(|error| error.label()), Err(expected), "{}", text.escape_ascii());
    }
    let texts: [(&[u8], &str); 3] = [
        (br#"{"attr":"a","ts":1,"value":2}"#, "the line has no \"key\"; add it, as \"key\":\"table:name\""),
        (br#"{"key":7,"attr":"a","ts":1,"value":2}"#, "the field \"key\" must be a string of JSON, found `7`"),
        (
            br#"{"key":"T:a","attr":"a","value":2}"#,
            "the sample cannot be read: the payload has no time; add the field `ts`, in microseconds",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(decode(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_form_that_is_known_is_not_guessed() {
    let tabbed = b"{odd}:a\t<e timestamp=\"1\">2</e>";
    assert!(decode(tabbed).is_err());
    assert_eq!(decode_as(LineForm::Tabbed, tabbed).map(|line| line.key.into_owned()), Ok(b"{odd}:a".to_vec()));
    assert!(decode_as(LineForm::Json, b" {\"key\":\"T:a\",\"attr\":\"x\",\"ts\":1,\"value\":2}").is_ok());
}

#[test]
fn a_block_of_plain_lines_is_read_line_by_line_without_allocating() {
    let json = "{\"ts\":1490306665057644,\"key\":\"T:a\",\"attr\":\"flows\",\"value\":3}\r\n".repeat(3);
    let tabbed = "T:a\t<flows type=\"u64\" timestamp=\"1490306665057644\">3</flows>\n".repeat(3);
    for (form, block) in [(LineForm::Json, json.trim_end()), (LineForm::Tabbed, tabbed.trim_end())] {
        let (mut lines, mut rest) = (0, block.as_bytes());
        let measured = allocation_counter::measure(|| {
            while !rest.is_empty() {
                let (line, taken) = plain(form, rest).expect("a plain line");
                assert_eq!((line.key, line.attribute), (&b"T:a"[..], &b"flows"[..]));
                assert_eq!((line.timestamp, line.value), (1_490_306_665_057_644, Number::U64(3)));
                rest = &rest[taken..];
                lines += 1;
            }
        });
        assert_eq!((lines, measured.count_total), (3, 0), "{form:?}");
    }
}
