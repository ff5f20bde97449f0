use proptest::prelude::*;

use super::*;

#[test]
fn a_text_ends_at_its_quote_wherever_that_is() {
    for length in 0..40 {
        for after in 0..20 {
            let ordinary = "x !#~[]".repeat(8)[..length].to_owned();
            let text = format!("{ordinary}\"{}", "y".repeat(after));
            let expected = Some(text.as_bytes().split_at(length));
            assert_eq!(until_quote(text.as_bytes()), expected, "{text}");
        }
    }
}

#[test]
fn a_text_with_an_unusual_byte_before_its_quote_is_left_to_others() {
    for byte in (0..=u8::MAX).filter(|byte| !matches!(byte, b' '..=0x7f) || *byte == b'\\') {
        for at in 0..20 {
            let mut text = [b"a".repeat(20), b"\"bbbbbbbb".to_vec()].concat();
            text[at] = byte;
            assert_eq!(until_quote(&text), None, "{}", text.escape_ascii());
        }
    }
    assert_eq!(until_quote(b"no end"), None);
    assert_eq!(until_quote(b""), None);
    assert_eq!(until_tab(b"a b!\tc"), Some((&b"a b!"[..], &b"\tc"[..])));
    assert_eq!(until_tab(b"a\"\tc"), None);
}

#[test]
fn many_blanks_are_passed_without_a_stack() {
    let text = [b" ".repeat(1 << 20), b"\"".to_vec()].concat();
    assert_eq!(until_quote(&text).map(|(found, _)| found.len()), Some(1 << 20));
}

#[test]
fn a_name_ends_at_the_first_byte_that_is_none_of_it() {
    for byte in 0..=u8::MAX {
        let belongs = matches!(byte, b'-' | b'.' | b'0'..=b'9' | b'A'..=b'z');
        for at in 1..20 {
            let mut text = b"a".repeat(20);
            text[at] = byte;
            let found = name(&text).map(|(name, _)| name.len());
            assert_eq!(found, Some(if belongs { 20 } else { at }), "{}", text.escape_ascii());
        }
    }
    for text in ["", "1a", "-a", ".a", "<a", " a"] {
        assert_eq!(name(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn numbers_in_another_spelling_are_left_to_others() {
    for text in ["", "-", "+1", "01", "00", "-01", "01.5", ".5", "1.", "-.5", "x", " 1", "18446744073709551616"] {
        assert_eq!(value(text.as_bytes()), None, "{text}");
        assert_eq!(micros(text.as_bytes()).filter(|(_, rest)| rest.is_empty()), None, "{text}");
    }
    assert_eq!(value(b"-9223372036854775809"), None);
    assert_eq!(micros(b"0123456789012345"), None);
    // The next step checks the text after a number.
    assert_eq!(value(b"1e5"), Some((Number::U64(1), &b"e5"[..])));
    assert_eq!(micros(b"12345678901234567"), Some((12_345_678_901_234_567, &b""[..])));
}

#[test]
fn numbers_are_exact_at_their_limits() {
    let cases = [
        ("0", Number::U64(0)),
        ("-0", Number::U64(0)),
        ("9999999", Number::U64(9_999_999)),
        ("99999999", Number::U64(99_999_999)),
        ("18446744073709551615", Number::U64(u64::MAX)),
        ("-9223372036854775808", Number::I64(i64::MIN)),
        ("0.5", Number::F64(0.5)),
        ("12.50", Number::F64(12.5)),
        ("99999999999999.9", Number::F64(99_999_999_999_999.9)),
        ("0.30000000000000004", Number::F64(0.300_000_000_000_000_04)),
    ];
    for (text, expected) in cases {
        for after in ["", "}", "</e>", "}\n{\"ts\":"] {
            let whole = format!("{text}{after}");
            assert_eq!(value(whole.as_bytes()), Some((expected, after.as_bytes())), "{whole}");
        }
    }
    assert_eq!(value(b"-0.0").map(|(value, _)| value.as_f64().to_bits()), Some(f64::to_bits(-0.0)));
}

proptest! {
    #[test]
    fn property_values_are_those_of_the_general_reader(text in "-?[0-9]{1,20}(\\.[0-9]{1,18})?", after in "[}<,]?[a-z0-9]{0,9}") {
        let whole = format!("{text}{}", if after.starts_with(['}', '<', ',']) { &after } else { "" });
        if let Some((found, rest)) = value(whole.as_bytes()) {
            let general = number::value(&text).expect("a number");
            prop_assert_eq!(found, general);
            prop_assert_eq!(found.as_f64().to_bits(), general.as_f64().to_bits());
            prop_assert_eq!(rest, &whole.as_bytes()[text.len()..]);
        }
    }

    #[test]
    fn property_every_canonical_integer_is_read(number: u64, after in "[}\"<,]?") {
        let text = format!("{number}{after}");
        prop_assert_eq!(micros(text.as_bytes()), Some((number, after.as_bytes())));
        prop_assert_eq!(value(text.as_bytes()), Some((Number::U64(number), after.as_bytes())));
    }
}
