//! The shape that producers send, `<name a="v" …>text</name>`, and nothing but blanks around it.
//!
//! One pass over ASCII, without allocating; a general reader keeps a stack of names and costs several times as much.
//! Whatever needs more than that (quotes of the other kind, entities, comments, more attributes, a fault) is not read
//! here: `None` sends it to the general reader, so there is one place that explains faults.

use std::borrow::Cow;

use super::super::is_blank;
use super::Parts;

/// More attributes than this are not plain; it bounds the search for duplicates.
const MOST_ATTRIBUTES: usize = 8;

pub(super) fn read(text: &str) -> Option<Parts<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.skip(is_blank);
    scanner.expect("<")?;
    let element = scanner.name()?;
    let timestamp = attributes(&mut scanner)?;
    let text = scanner.skip(is_plain_text);
    scanner.expect("</")?;
    scanner.expect(element)?;
    scanner.expect(">")?;
    scanner.skip(is_blank);
    scanner.is_at_end().then_some(Parts {
        element: Cow::Borrowed(element),
        timestamp: timestamp.map(Cow::Borrowed),
        text: Cow::Borrowed(text),
    })
}

/// The attributes up to the `>`; gives the timestamp.
fn attributes<'p>(scanner: &mut Scanner<'p>) -> Option<Option<&'p str>> {
    let mut names = [""; MOST_ATTRIBUTES];
    let mut timestamp = None;
    for count in 0..=MOST_ATTRIBUTES {
        if scanner.expect(">").is_some() {
            return Some(timestamp);
        }
        scanner.expect(" ")?;
        let name = scanner.name()?;
        if names[..count].contains(&name) {
            return None;
        }
        *names.get_mut(count)? = name;
        scanner.expect("=\"")?;
        let value = scanner.skip(is_plain_value);
        scanner.expect("\"")?;
        if name == "timestamp" {
            timestamp = Some(value);
        }
    }
    None
}

struct Scanner<'p> {
    text: &'p str,
    at: usize,
}

impl<'p> Scanner<'p> {
    /// Passes `expected` if it comes next.
    fn expect(&mut self, expected: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(expected.as_bytes()).then(|| self.at += expected.len())
    }

    /// Passes the bytes that fit, all of them ASCII, and gives them.
    fn skip(&mut self, fits: impl Fn(u8) -> bool) -> &'p str {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at += rest.iter().position(|&byte| !fits(byte)).unwrap_or(rest.len());
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn name(&mut self) -> Option<&'p str> {
        let first = *self.text.as_bytes().get(self.at)?;
        let starts_a_name = first.is_ascii_alphabetic() || first == b'_';
        starts_a_name.then(|| self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')))
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }
}

fn is_plain_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'>' | b'&')
}

fn is_plain_value(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'<' | b'&')
}
