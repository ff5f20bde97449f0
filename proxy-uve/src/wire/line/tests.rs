//! The fast decoder against the general one: whatever the fast one takes, the other takes too, and alike.

use derived_stats::Number;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::WireError;
use super::*;

const JSON: &str = r#"{"ts":1488000000000000,"key":"ObjectVNTable:default-domain:vn-1","attr":"flows","value":31}"#;
const TABBED: &str =
    "ObjectVNTable:default-domain:vn-1\t<flows type=\"u64\" identifier=\"5\" timestamp=\"1488000000000000\">31</flows>";

/// Texts in the position of a number.
const VALUES: &[&str] = &[
    "01",
    "00",
    "-0",
    "-01",
    "1e5",
    "1E5",
    "1.5e3",
    "1.",
    ".5",
    "+1",
    "-",
    "",
    "1 ",
    " 1",
    "true",
    "null",
    "\"1\"",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "00000000000000000001",
    "-9223372036854775808",
    "-9223372036854775809",
    "12345678",
    "123456789012345678",
    "0.1",
    "-0.0",
    "0.30000000000000004",
    "9007199254740993.0",
    "123456789012345.678",
    "1.2.3",
    "1\u{0}",
    "é",
];

const NASTY_LINES: &[&[u8]] = &[
    b"",
    b"{",
    b"{}",
    b"{}\n",
    b"\t",
    b"\n",
    br#"{"ts":1,"key":"a\"b","attr":"x","value":1}"#,
    br#"{"ts":1,"key":"a\u0000","attr":"x","value":1}"#,
    br#"{"ts":1,"key":"a\\","attr":"x","value":1}"#,
    b"{\"ts\":1,\"key\":\"\x7f\",\"attr\":\"x\",\"value\":1}",
    b"{\"ts\":1,\"key\":\"\x80\",\"attr\":\"x\",\"value\":1}",
    b"{\"ts\":1,\"key\":\"\xc3\xa9\",\"attr\":\"x\",\"value\":1}",
    b"{\"ts\":1,\"key\":\"a\0\",\"attr\":\"x\",\"value\":1}",
    b"{\"ts\":1,\"key\":\"a\tb\",\"attr\":\"x\",\"value\":1}",
    b"{\"ts\":1,\"key\":\"a\nb\",\"attr\":\"x\",\"value\":1}",
    br#"{"ts":1"key":"a","attr":"x","value":1}"#,
    br#"{"ts":1,"key":"a","attr":"x","value":1,}"#,
    br#"{"ts":1,"key":"a","attr":"x","value":1}}"#,
    br#"{"ts":1,"key":"a","attr":"x","value":1}x"#,
    br#"{"ts":1,"key":"a","attr":"x","value":1} "#,
    b"{\"ts\":1,\"key\":\"a\",\"attr\":\"x\",\"value\":1}\0",
    b"{\"ts\":1,\"key\":\"a\",\"attr\":\"x\",\"value\":1}\r\r\n",
    br#"{"ts":1,"ts":1,"key":"a","attr":"x","value":1}"#,
    br#"{"ts":1,"key":"a","attr":"x","value":1,"value":1}"#,
    br#"{"ts":1,"key":"a","attr":"x","value":1,"source":"b"}"#,
    br#"{"ts":1,"key":"a","stream":"S-x","value":1}"#,
    br#"{"ts":1,"key":"a","attr":"x"}"#,
    b"a\tb\t<e timestamp=\"7\">3</e>",
    b"a\t\t<e timestamp=\"7\">3</e>",
    b"a\t<e timestamp=\"7\" timestamp=\"7\">3</e>",
    b"a\t<e type=\"u64\" type=\"u64\" timestamp=\"7\">3</e>",
    b"a\t<e timestamp=\"7\">3</f>",
    b"a\t<e timestamp=\"7\">3</e>x",
    b"a\t<e timestamp=\"7\">3</e><e timestamp=\"8\">4</e>",
];

/// The part of `text` that the fast decoder must take, if it takes anything: up to the first line break.
fn first_line(text: &[u8]) -> (&[u8], usize) {
    match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&text[..end], end + 1),
        None => (text, text.len()),
    }
}

/// What is wrong with the fast decoder at the start of `text`, if anything.
fn disagreement(form: LineForm, text: &[u8]) -> Option<String> {
    let (plain, taken) = plain(form, text)?;
    let (line, length) = first_line(text);
    let shown = text.escape_ascii();
    if taken != length {
        return Some(format!("{taken} bytes taken of {length}: {shown}"));
    }
    let fast = plain.into_line().expect("ASCII");
    let bits = fast.value.as_f64().to_bits();
    match general::decode(form, line) {
        Ok(slow) if slow == fast && slow.value.as_f64().to_bits() == bits => None,
        slow => Some(format!("{fast:?} where the general decoder returns {slow:?}: {shown}")),
    }
}

fn assert_agreed(text: &[u8]) {
    for form in [LineForm::Json, LineForm::Tabbed] {
        assert_eq!(disagreement(form, text), None);
    }
}

#[test]
fn the_lines_of_producers_are_plain_and_read_alike() {
    let lines = [
        JSON,
        r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":31}"#,
        r#"{"key":"","attr":"","ts":0,"value":0}"#,
        r#"{"ts":18446744073709551615,"key":"T:a b!","attr":"x","value":18446744073709551615}"#,
        r#"{"ts":1,"key":"T:a","attr":"x","value":-9223372036854775808}"#,
        r#"{"ts":1,"key":"T:a","attr":"x","value":12.5}"#,
        "{\"ts\":1,\"key\":\"T:\u{7f}\",\"attr\":\"x\",\"value\":-0.0}",
        TABBED,
        "T:a\t<e timestamp=\"7\">3</e>",
        "T:a\t<e type=\"double\" timestamp=\"7\"> -3.25 </e>",
        "T:a\t<e aggtype=\"sum\" identifier=\"24\" type=\"u32\" timestamp=\"7\" note=\"a&b<c>\">3</e>",
        "\t<e timestamp=\"7\">3</e>",
    ];
    for line in lines {
        for end in ["", "\n", "\r\n", "\r", "\nnext", "\r\nnext", "\n\n"] {
            let text = format!("{line}{end}");
            let form = LineForm::of(line.as_bytes());
            assert!(plain(form, text.as_bytes()).is_some(), "{text:?}");
            assert_agreed(text.as_bytes());
        }
        let whole = decode(line.as_bytes());
        assert_eq!(whole, general::decode(LineForm::of(line.as_bytes()), line.as_bytes()), "{line}");
    }
}

#[test]
fn whatever_stands_for_a_value_is_read_alike() {
    for value in VALUES {
        assert_agreed(JSON.replace("31", value).as_bytes());
        assert_agreed(JSON.replace("1488000000000000", value).as_bytes());
        assert_agreed(TABBED.replace("31", value).as_bytes());
        assert_agreed(TABBED.replace("1488000000000000", value).as_bytes());
    }
}

#[test]
fn whatever_is_nasty_is_read_alike() {
    for &line in NASTY_LINES {
        assert_agreed(line);
        assert_agreed(&[line, b"\n"].concat());
        assert_agreed(&[line, b"\r\n", line].concat());
    }
}

#[test]
fn every_truncation_and_every_other_byte_is_read_alike() {
    for line in [JSON.as_bytes(), TABBED.as_bytes()] {
        for at in 0..line.len() {
            assert_agreed(&line[..at]);
            let mut changed = [line, b"\n"].concat();
            for byte in 0..=u8::MAX {
                changed[at] = byte;
                assert_agreed(&changed);
            }
        }
    }
}

#[test]
fn a_line_over_the_limit_is_not_plain() {
    let long = |length| JSON.replace("vn-1", &"x".repeat(length));
    let spare = super::super::MAX_PAYLOAD_LENGTH - long(0).len();
    assert!(plain(LineForm::Json, long(spare).as_bytes()).is_some());
    assert!(plain(LineForm::Json, long(spare + 1).as_bytes()).is_none());
    let line = long(spare + 1);
    assert!(matches!(decode(line.as_bytes()), Err(LineError::Wire(WireError::TooLong { .. }))));
    // The limit of a tabbed line is on its payload: a long key does not count.
    let long_key = TABBED.replace("vn-1", &"x".repeat(super::super::MAX_PAYLOAD_LENGTH));
    assert!(plain(LineForm::Tabbed, long_key.as_bytes()).is_some());
    assert_agreed(long_key.as_bytes());
}

fn any_number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<u64>().prop_map(Number::U64),
        (0u64..100_000).prop_map(Number::U64),
        (i64::MIN..0).prop_map(Number::I64),
        (-1e6..1e6f64).prop_map(Number::F64),
        (-100_000i32..100_000).prop_map(|cents| Number::F64(f64::from(cents) / 100.0)),
    ]
}

/// Lines in the three shapes that producers write.
fn plain_line() -> impl Strategy<Value = String> {
    let time = prop_oneof![any::<u64>(), 1_400_000_000_000_000..1_900_000_000_000_000u64];
    (0..4, "[ -~&&[^\"\\\\]]{0,60}", "[a-z_][a-z0-9_]{0,30}", time, any_number()).prop_map(
        |(shape, key, name, time, value)| match shape {
            0 => format!(r#"{{"ts":{time},"key":"{key}","attr":"{name}","value":{value}}}"#),
            1 => format!(r#"{{"key":"{key}","attr":"{name}","ts":{time},"value":{value}}}"#),
            2 => format!("x{key}\t<{name} type=\"u64\" timestamp=\"{time}\">{value}</{name}>"),
            _ => format!("x{key}\t<{name} type=\"u64\" identifier=\"5\" timestamp=\"{time}\">{value}</{name}>"),
        },
    )
}

/// Bytes that mean something, so that most damage is nearly right.
fn meaningful_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}:,.<>/=-+eE0123456789 \t\r\n\0\x7f\x80&'!#[]".to_vec())]
}

#[derive(Clone, Debug)]
enum Damage {
    Delete(Index),
    Duplicate(Index, Index),
    Flip(Index, u8),
    Insert(Index, u8),
    Truncate(Index),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<Index>().prop_map(Damage::Delete),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Duplicate(from, to)),
        (any::<Index>(), meaningful_byte()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (any::<Index>(), meaningful_byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn damage(text: &mut Vec<u8>, damage: &Damage) {
    let position = |index: &Index| index.index(text.len());
    match damage {
        _ if text.is_empty() => {}
        Damage::Delete(at) => {
            let at = position(at);
            text.remove(at);
        }
        Damage::Duplicate(from, to) => {
            let (from, to) = (position(from).min(position(to)), position(from).max(position(to)));
            let part = text[from..to].to_vec();
            text.splice(to..to, part);
        }
        Damage::Flip(at, byte) => {
            let at = position(at);
            text[at] = *byte;
        }
        Damage::Insert(at, byte) => {
            let at = position(at);
            text.insert(at, *byte);
        }
        Damage::Truncate(at) => {
            let at = position(at);
            text.truncate(at);
        }
    }
}

#[test]
fn a_line_has_one_sample_and_nothing_behind_it() {
    let element = r#"<u type="u64" timestamp="1700000000000000">5</u>"#;
    for rest in [
        "<u timestamp=\"7\">6</u>",
        "\tX:b\t<u timestamp=\"7\">7</u>",
        "\rX:c\t<u>8</u>",
        " trailing <junk",
        ",",
        "]]>",
    ] {
        let line = format!("X:a\t{element}{rest}");
        let error = decode(line.as_bytes()).unwrap_err();
        assert!(matches!(&error, LineError::Wire(WireError::Malformed { .. })), "{line}: {error}");
    }
    for rest in ["", " ", "\r", " <!-- a comment -->", "<?pi?> "] {
        let line = format!("X:a\t{element}{rest}");
        assert_eq!(decode(line.as_bytes()).map(|line| line.value), Ok(Number::U64(5)), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn property_plain_lines_are_read_alike(line in plain_line(), end in "(\r?\n.{0,20})?") {
        let text = format!("{line}{end}");
        let form = LineForm::of(text.as_bytes());
        // A key with a quote or a backslash is not plain; the strategy makes none of them.
        prop_assert!(plain(form, text.as_bytes()).is_some(), "{}", text);
        prop_assert_eq!(disagreement(form, text.as_bytes()), None);
    }

    #[test]
    fn property_damaged_lines_are_read_alike(
        line in plain_line(),
        next in "(\r?\n.{0,20})?",
        damages in prop::collection::vec(any_damage(), 1..4),
    ) {
        let mut text = format!("{line}{next}").into_bytes();
        for one in &damages {
            damage(&mut text, one);
        }
        for form in [LineForm::Json, LineForm::Tabbed] {
            prop_assert_eq!(disagreement(form, &text), None);
        }
    }
}
