//! The two forms of a record, parsed by expecting: each step compares the bytes that must come next, eight at a time.
//!
//! There is no branch that a good record takes both ways, except on the length of a name or number. Every parser is
//! given some readable bytes behind the record, so that the eight bytes at a place can always be read; a record that
//! would run to the very end of its bytes is therefore refused.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const ZEROS: u64 = ONES * b'0' as u64;

/// One record of the common job.
pub(crate) struct Record<'b> {
    /// Its time, microseconds since the epoch.
    pub(crate) at: u64,
    pub(crate) key: &'b [u8],
    pub(crate) attribute: &'b [u8],
    pub(crate) value: u64,
}

/// A form of records.
pub(crate) trait Form {
    /// The record at the start of `bytes` and what follows its line end; none if the form is another.
    fn parse(bytes: &[u8]) -> Option<(Record<'_>, &[u8])>;
}

/// `{"ts":1488000000000000,"key":"table:name","attr":"name","value":36}` and a line end, without blanks.
pub(crate) struct Json;

/// `table:name<TAB><name type="u64" identifier="5" timestamp="1488000000000000">36</name>` and a line end.
pub(crate) struct Xml;

impl Form for Json {
    #[inline]
    fn parse(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
        let (at, rest) = number(bytes.strip_prefix(b"{\"ts\":")?)?;
        let (key, rest) = until::<b'"', b'\\'>(rest.strip_prefix(b",\"key\":\"")?)?;
        let (attribute, rest) = until::<b'"', b'\\'>(rest.strip_prefix(b"\",\"attr\":\"")?)?;
        let (value, rest) = number(rest.strip_prefix(b"\",\"value\":")?)?;
        Some((Record { at, key, attribute, value }, rest.strip_prefix(b"}\n")?))
    }
}

impl Form for Xml {
    #[inline]
    fn parse(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
        let (key, rest) = until::<b'\t', b'\n'>(bytes)?;
        let (attribute, rest) = until::<b' ', b'>'>(rest.strip_prefix(b"\t<")?)?;
        let (_, rest) = number(rest.strip_prefix(b" type=\"u64\" identifier=\"")?)?;
        let (at, rest) = number(rest.strip_prefix(b"\" timestamp=\"")?)?;
        let (value, rest) = number(rest.strip_prefix(b"\">")?)?;
        let rest = rest.strip_prefix(b"</")?.strip_prefix(attribute)?;
        Some((Record { at, key, attribute, value }, rest.strip_prefix(b">\n")?))
    }
}

/// The bytes before the first `STOP`, and the rest from it on; none if a `NEVER` comes first.
#[inline]
fn until<const STOP: u8, const NEVER: u8>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let word = word(bytes.get(from..)?)?;
        let (stop, never) = (zero_bytes(word ^ (ONES * STOP as u64)), zero_bytes(word ^ (ONES * NEVER as u64)));
        if stop | never != 0 {
            let length = from + (stop.trailing_zeros() / 8) as usize;
            return if stop.trailing_zeros() < never.trailing_zeros() { bytes.split_at_checked(length) } else { None };
        }
        from += 8;
    }
}

/// The decimal number at the start and what follows it: 1 to 19 digits.
#[inline]
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut length) = (0, 0);
    loop {
        let word = word(bytes.get(length..)?)?;
        let digits = leading_digits(word);
        length += digits;
        if digits < 8 {
            value = value * POWERS[digits] + eight_digits(padded(word, digits));
            break;
        }
        if length > 16 {
            return None;
        }
        value = value * 100_000_000 + eight_digits(word);
    }
    if length == 0 || length > 19 { None } else { Some((value, &bytes[length..])) }
}

const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

#[inline]
fn word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The high bit of the first zero byte; of later bytes the bits mean nothing.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[inline]
fn leading_digits(word: u64) -> usize {
    let distance = word ^ ZEROS;
    let others = (distance.wrapping_add(ONES * 0x76) | distance) & HIGHS;
    (others.trailing_zeros() / 8) as usize
}

/// The first `digits` (below eight) digits of `word`, with zeros before them.
#[inline]
fn padded(word: u64, digits: usize) -> u64 {
    if digits == 0 { ZEROS } else { word << (64 - 8 * digits) | ZEROS >> (8 * digits) }
}

/// The value of eight digits in reading order: pairs, then fours, then all.
#[inline]
fn eight_digits(word: u64) -> u64 {
    const FIRST_AND_THIRD_PAIR: u64 = 0x0000_00FF_0000_00FF;
    let word = word.wrapping_sub(ZEROS);
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let first = (pairs & FIRST_AND_THIRD_PAIR).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & FIRST_AND_THIRD_PAIR).wrapping_mul(1 + (10_000 << 32));
    first.wrapping_add(second) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "        ";

    #[test]
    fn numbers_of_every_length_are_exact() {
        for digits in 1..=19 {
            let text = "9876543210123456789"[..digits].to_owned();
            let bytes = format!("{text},{ROOM}");
            let (value, rest) = number(bytes.as_bytes()).unwrap();
            assert_eq!((value, rest[0]), (text.parse().unwrap(), b','), "{text}");
        }
    }

    #[test]
    fn no_digit_or_too_many_are_refused() {
        for text in ["", "-1", "x", "12345678901234567890", "123456789012345678901234567890"] {
            assert!(number(format!("{text},{ROOM}").as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn bytes_next_to_the_digits_are_no_digits() {
        for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            let bytes = [b'4', b'2', byte, b'7', b'7', b'7', b'7', b'7', b'7', b'7', b'7'];
            assert_eq!(number(&bytes).unwrap().0, 42, "{byte}");
        }
    }

    #[test]
    fn a_name_ends_at_the_first_stop_wherever_it_is() {
        for length in 0..40 {
            let text = format!("{}\"\"{ROOM}", "n".repeat(length));
            let (name, rest) = until::<b'"', b'\\'>(text.as_bytes()).unwrap();
            assert_eq!((name.len(), &rest[..2]), (length, &b"\"\""[..]));
        }
    }

    #[test]
    fn an_escape_in_a_name_is_refused() {
        assert!(until::<b'"', b'\\'>(format!("na\\\"me\"{ROOM}").as_bytes()).is_none());
        assert!(until::<b'"', b'\\'>(format!("name\"\\{ROOM}").as_bytes()).is_some());
    }

    #[test]
    fn the_closing_tag_must_name_the_attribute() {
        let element = |tag| format!("t:n\t<a type=\"u64\" identifier=\"5\" timestamp=\"7\">36</{tag}>\n{ROOM}");
        let good = element("a");
        let (record, rest) = Xml::parse(good.as_bytes()).unwrap();
        assert_eq!((record.at, record.key, record.attribute, record.value), (7, &b"t:n"[..], &b"a"[..], 36));
        assert_eq!(rest, ROOM.as_bytes());
        assert!(Xml::parse(element("b").as_bytes()).is_none());
    }
}
