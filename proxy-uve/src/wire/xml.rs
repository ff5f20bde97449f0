//! The XML form: one element, its name the attribute of the stream, its text the value.
//!
//! Of a payload only the first element is read, as in the original: what follows its end tag is ignored. A line has one
//! sample, so [`decode_whole`] refuses what follows. There are two decoders,
//! which agree on every payload that both decode: [`plain`] is the fast path for the form that producers send, in one
//! pass and without allocating; [`general`] decodes all of XML and reports errors.

mod general;
mod plain;

use std::borrow::Cow;

use derived_stats::Number;

use super::error::{Format, WireError};
use super::{WireSample, is_blank, number, text_of};

pub(super) use self::plain::element;

/// The parts of a payload that the general decoder finds.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Parts {
    element: String,
    timestamp: Option<String>,
    /// All character data of the element, blanks included.
    text: String,
}

pub(super) fn decode(payload: &[u8]) -> Result<WireSample<'_>, WireError> {
    match decode_plain(payload) {
        Some(sample) => Ok(sample),
        None => decode_general(payload),
    }
}

/// Decodes a text that has one element and nothing behind it.
pub(super) fn decode_whole(text: &[u8]) -> Result<WireSample<'_>, WireError> {
    decode_plain(text).map_or_else(|| sample(general::read_whole(text_of(text)?)?), Ok)
}

/// An element with nothing but blanks around it.
fn decode_plain(payload: &[u8]) -> Option<WireSample<'_>> {
    let (element, rest) = element(payload.trim_ascii_start())?;
    let name = std::str::from_utf8(element.name).ok()?;
    rest.iter().copied().all(is_blank).then_some(WireSample {
        timestamp: element.timestamp,
        value: element.value,
        text: None,
        source: None,
        element: Some(Cow::Borrowed(name)),
    })
}

pub(super) fn decode_general(payload: &[u8]) -> Result<WireSample<'_>, WireError> {
    sample(general::read(text_of(payload)?)?)
}

fn sample<'p>(parts: Parts) -> Result<WireSample<'p>, WireError> {
    let timestamp = parts.timestamp.ok_or(WireError::MissingTimestamp { format: Format::Xml })?;
    // The original's number reader skips blanks before the digits and ignores what comes after them.
    let value = parts.text.trim_matches(|character: char| u8::try_from(character).is_ok_and(is_blank));
    let (value, text) = match number::value(value) {
        Err(WireError::NotANumber { text }) if !text.is_empty() => (Number::U64(0), Some(Cow::Owned(text))),
        number => (number?, None),
    };
    Ok(WireSample {
        timestamp: number::timestamp(&timestamp, Format::Xml)?,
        value,
        text,
        source: None,
        element: Some(Cow::Owned(parts.element)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xml_is_read_as_xml_readers_do() {
        let cases = [
            (r#"<e timestamp="7">36</e>"#, Number::U64(36)),
            ("<e timestamp='7'>36</e>", Number::U64(36)),
            (r#" <e  timestamp = "7" > 36 </e > "#, Number::U64(36)),
            ("<e\n\ttimestamp=\"7\"\r\n>\t-9\n</e>", Number::I64(-9)),
            (r#"<?xml version="1.0"?><!-- c --><e timestamp="7">36</e>"#, Number::U64(36)),
            (r#"<!DOCTYPE e><e timestamp="7">36</e>"#, Number::U64(36)),
            (r#"<e timestamp="7"><![CDATA[44]]></e>"#, Number::U64(44)),
            (r#"<e timestamp="7"><!-- c -->3<!-- c -->6<?p i?></e>"#, Number::U64(36)),
            (r#"<e timestamp="7">&#51;&#x36;</e>"#, Number::U64(36)),
            (r#"<e timestamp="&#55;" note="a&b<c">36</e>"#, Number::U64(36)),
            (r#"<e timestamp="7">36</e><e timestamp="8">99</e>"#, Number::U64(36)),
            (r#"<e timestamp="7">36</e>garbage <"#, Number::U64(36)),
            (r#"<e type="string" timestamp="7">1e3</e>"#, Number::F64(1000.0)),
        ];
        for (text, value) in cases {
            let expected = WireSample { timestamp: 7, value, text: None, source: None, element: Some("e".into()) };
            assert_eq!(decode(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_are_distinguished() {
        let cases = [
            ("<e>36</e>", "missing_timestamp"),
            ("<e Timestamp='7'>36</e>", "missing_timestamp"),
            ("<e timestamp=''>36</e>", "bad_timestamp"),
            ("<e timestamp=' 7'>36</e>", "bad_timestamp"),
            ("<e timestamp='7' timestamp='7'>36</e>", "duplicate"),
            ("<e timestamp='7' a='1' a='1'>36</e>", "duplicate"),
            ("<e timestamp='7'></e>", "not_a_number"),
            ("<e timestamp='7'/>", "not_a_number"),
            ("<e timestamp='7'>3 6</e>", "not_a_number"),
            ("<e timestamp='7'>&lt;</e>", "not_a_number"),
            ("<e timestamp='7'><v>36</v></e>", "nested_element"),
            ("<e timestamp='7'><v/></e>", "nested_element"),
            ("<e timestamp='7'>&nbsp;</e>", "malformed"),
            ("<e timestamp='&nbsp;'>36</e>", "malformed"),
            ("<e timestamp='7'>36</f>", "malformed"),
            ("<e timestamp='7'>36", "malformed"),
            ("<e timestamp='7'", "malformed"),
            ("<e timestamp=7>36</e>", "malformed"),
            ("<e timestamp>36</e>", "malformed"),
            ("<", "malformed"),
            ("<>36</>", "malformed"),
            ("<!-- c -->", "malformed"),
            ("<!-- c -->x<e timestamp='7'>36</e>", "malformed"),
            ("<!-- c --></e>", "malformed"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                decode(text.as_bytes()).and_then(WireSample::number).map_err(|error| error.label()),
                Err(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_producers_send_is_read_without_allocating() {
        let sample = decode(br#"<egress_flow_count type="u64" timestamp="7">36</egress_flow_count>"#).unwrap();
        assert!(matches!(sample.element, Some(Cow::Borrowed("egress_flow_count"))));
    }

    /// Pieces that make up payloads, so that most of them are nearly right.
    fn almost_a_payload() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "<e",
            "<f",
            ">",
            "/>",
            "</e>",
            "</f>",
            " ",
            "\n",
            " timestamp=\"7\"",
            " type=\"u64\"",
            " a='1'",
            "36",
            "-1.5",
            "é",
            "&lt;",
            "&",
            "<!--c-->",
            "<![CDATA[4]]>",
            "\"",
            "=",
            "\u{1}",
            "\r",
            "]]>",
            "x",
            ":",
        ]);
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn ordinary_payload() -> impl Strategy<Value = String> {
        let attribute = "[a-z_:][a-z0-9_.-]{0,4}=\"[ -~&&[^\"<&]]{0,5}\"";
        ("[A-Za-z_][A-Za-z0-9_.-]{0,8}", prop::collection::vec(attribute, 0..10), "[ -~&&[^<&>]]{0,9}", "[ \n]{0,2}")
            .prop_map(|(name, attributes, text, rest)| {
                let attributes: String = attributes.iter().map(|attribute| format!(" {attribute}")).collect();
                format!("<{name}{attributes}>{text}</{name}>{rest}")
            })
    }

    proptest! {
        #[test]
        fn property_both_readers_agree_on_what_the_plain_one_reads(
            text in prop_oneof![ordinary_payload(), almost_a_payload()],
        ) {
            if let Some(sample) = decode_plain(text.as_bytes()) {
                let value = sample.value.as_f64().to_bits();
                prop_assert_eq!(decode_general(text.as_bytes()), Ok(sample));
                prop_assert_eq!(decode_general(text.as_bytes()).map(|sample| sample.value.as_f64().to_bits()), Ok(value));
            }
        }

        #[test]
        fn property_the_plain_reader_reads_every_ordinary_payload(
            name in "[A-Za-z_][A-Za-z0-9_]{0,40}",
            timestamp: u64,
            value: i64,
        ) {
            let text = format!(r#"<{name} type="u64" identifier="5" timestamp="{timestamp}">{value}</{name}>"#);
            prop_assert!(decode_plain(text.as_bytes()).is_some());
        }
    }
}
