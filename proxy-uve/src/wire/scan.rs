//! Tokens of the fast paths of all forms, read eight bytes at a time.
//!
//! Each function takes the text from a token on and returns the token and the text after it. It accepts one canonical
//! spelling: ASCII, no escapes, no leading zeros, no exponents. For anything else it returns `None`, which means "use
//! the general decoder" and never "wrong": only the general decoder of each form reports errors.
//!
//! Text is passed on as the rest of a slice, so that a step checks one bound. Where the length of a token is known from
//! the text of the format (a literal, a time of 16 digits), the next step does not wait for the data: because of that
//! and of the words, a line costs tens of nanoseconds.

mod word;

use derived_stats::Number;

use self::word::{Word, name_end_in, text_end_in};
use super::number;

/// Powers of ten, up to what eight digits need and the fractions that are exact.
const POWERS: [u64; 16] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
];

/// A number of so many digits is below 2^53, so that its double is exact.
const EXACT_DIGITS: usize = 15;

/// Digits of the largest `u64`.
const MOST_DIGITS: usize = 20;

/// The text after `expected`, if it begins so.
#[inline(always)]
pub(super) fn literal<'t, const N: usize>(text: &'t [u8], expected: &[u8; N]) -> Option<&'t [u8]> {
    let (found, rest) = text.split_first_chunk::<N>()?;
    (found == expected).then_some(rest)
}

/// The text up to a `"`, which is left in the rest: what follows a `"` is known, so the caller compares both at once.
///
/// Printable ASCII and DEL are in it, without `\`.
#[inline(always)]
pub(super) fn until_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    text.split_at_checked(ordinary_length(text, b'"')?)
}

/// The text up to a tab, which is left in the rest. As [`until_quote`], and without `"`.
#[inline(always)]
pub(super) fn until_tab(text: &[u8]) -> Option<(&[u8], &[u8])> {
    text.split_at_checked(ordinary_length(text, b'\t')?)
}

/// How many ordinary bytes there are before `end`. Not inlined: in a function of its own the constants of the loop
/// stay in registers.
#[inline(never)]
fn ordinary_length(text: &[u8], end: u8) -> Option<usize> {
    let length = end_of(text, text_end_in);
    if *text.get(length)? == end { Some(length) } else { ordinary_length_from(text, end, length) }
}

/// The same where the first hit of the words, at `length`, is not the end: two printable bytes are taken for one.
#[cold]
fn ordinary_length_from(text: &[u8], end: u8, mut length: usize) -> Option<usize> {
    while let b' ' | b'!' = *text.get(length)? {
        length += 1;
        length += end_of(text.get(length..)?, text_end_in);
    }
    (*text.get(length)? == end).then_some(length)
}

/// A name of XML in ASCII and the text after it: letters, digits, `_`, `-`, `.`, the first a letter or `_`. The
/// neighbours of the letters (`[`, `\`, `]`, `^` and a backquote) pass too; the XML decoders here accept them.
#[inline(always)]
pub(super) fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *text.first()?;
    if !first.is_ascii_alphabetic() && first != b'_' {
        return None;
    }
    text.split_at_checked(name_length(text))
}

#[inline(never)]
fn name_length(text: &[u8]) -> usize {
    end_of(text, name_end_in)
}

/// The index of the first byte in `text` that `end_in` finds in a word of it; the length of `text` if there is none.
#[inline(always)]
fn end_of(text: &[u8], end_in: impl Fn(Word) -> Option<usize>) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut before = 0;
    for word in words {
        if let Some(end) = end_in(Word::new(*word)) {
            return before + end;
        }
        before += 8;
    }
    // The zeros after the end of the text are not part of a token.
    before + end_in(Word::read(tail)).unwrap_or(tail.len())
}

/// A time in microseconds and the text after it.
#[inline(always)]
pub(super) fn micros(text: &[u8]) -> Option<(u64, &[u8])> {
    // All times from 2001 to 2286.
    if let Some((digits, rest)) = text.split_first_chunk::<16>()
        && let ([high, low], _) = digits.as_chunks::<8>()
        && let (high, low) = (Word::new(*high), Word::new(*low))
        && high.all_digits(low)
        && digits[0] != b'0'
        && !rest.first().is_some_and(u8::is_ascii_digit)
    {
        return Some((high.eight_digits() * POWERS[8] + low.eight_digits(), rest));
    }
    integer(text)
}

/// A value and the text after it: an integer within 64 bits, or a fraction, with or without `-`.
///
/// As [`number::value`] reads it, exactly.
#[inline(always)]
pub(super) fn value(text: &[u8]) -> Option<(Number, &[u8])> {
    let word = Word::read(text);
    let digits = word.digits();
    let is_short_integer = (1..8).contains(&digits) & (word.byte(digits) != b'.');
    if !is_short_integer {
        return longer_value(text);
    }
    let leading_zero = (digits > 1) & (word.byte(0) == b'0');
    let rest = text.get(digits..)?;
    (!leading_zero).then_some((Number::U64(word.first_digits(digits)), rest))
}

#[inline(never)]
fn longer_value(text: &[u8]) -> Option<(Number, &[u8])> {
    let magnitude = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = magnitude.len() < text.len();
    let (whole, rest) = integer(magnitude)?;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (part, places, rest) = digits(fraction)?;
        let whole_digits = magnitude.len() - fraction.len() - 1;
        if whole_digits + places > EXACT_DIGITS {
            let text = text.get(..text.len() - rest.len())?;
            return Some((number::value(std::str::from_utf8(text).ok()?).ok()?, rest));
        }
        // Both are exact, so their quotient is the nearest double, which is what reading the text gives.
        let double = (whole * POWERS[places] + part) as f64 / POWERS[places] as f64;
        return Some((Number::F64(if is_negative { -double } else { double }), rest));
    }
    let number =
        if is_negative && whole > 0 { Number::I64(0i64.checked_sub_unsigned(whole)?) } else { Number::U64(whole) };
    Some((number, rest))
}

/// An integer without leading zeros and the text after it.
fn integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let (value, length, rest) = digits(text)?;
    let leading_zero = length > 1 && text.first() == Some(&b'0');
    (!leading_zero).then_some((value, rest))
}

/// At least one digit: their value, how many there are, and the text after them.
fn digits(text: &[u8]) -> Option<(u64, usize, &[u8])> {
    let (mut value, mut length, mut rest) = (0u64, 0, text);
    loop {
        let word = Word::read(rest);
        let digits = word.digits();
        if digits > 0 {
            value = value.checked_mul(POWERS[digits])?.checked_add(word.first_digits(digits))?;
        }
        length += digits;
        rest = rest.get(digits..)?;
        if digits < 8 {
            return (1..=MOST_DIGITS).contains(&length).then_some((value, length, rest));
        }
    }
}

#[cfg(test)]
mod tests;
