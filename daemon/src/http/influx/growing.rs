//! Bodies that come again with more lines at their end.
//!
//! Telegraf sends a batch that got no answer again, together with the points that came meanwhile: the new body is the
//! earlier one and more lines. So the idempotency key of a body is its first line, which has a time that no other batch
//! of the sender begins with, and the outcome under the key is the length and the digest of the body. A later body with
//! this first line that begins with the earlier one is stored from there on, under the key of the first line that is
//! left.
//!
//! A body that differs from the earlier one has a key of its own. So has what is left after [`MAX_EARLIER`] earlier
//! bodies: if that grows, too, its lines count twice.

use daemon_formats::line_protocol::Precision;
use daemon_sources::mapping::Tally;

use crate::http::ingest::Failure;
use crate::http::series::{Identity, Stored, digest};

/// The most earlier bodies that one body consists of. What is left after these has a key of its own. For each of them
/// what is left is read again, so a large number would make a request of known lines expensive.
const MAX_EARLIER: usize = 8;

/// How a body is identified.
#[derive(Clone, Copy)]
pub(super) enum Identification {
    FirstLine,
    Whole,
}

/// The parameters of a request. They differ between the identifications, so that a body of one line has two
/// identities.
pub(super) struct Parameters {
    of_first_line: String,
    of_whole: String,
}

/// Stores the lines that no earlier request has stored, by calls of `store` with a body that is to be stored as a whole.
///
/// # Errors
///
/// Those of `store`.
pub(super) fn store(
    body: &[u8],
    mut store: impl FnMut(&[u8], Identification) -> Result<Stored, Failure>,
) -> Result<Tally, Failure> {
    let mut rest = without_end(body);
    let mut first = None;
    for _ in 0..MAX_EARLIER {
        let Stored { tally, earlier } = store(rest, Identification::FirstLine)?;
        // The answer is of all lines.
        let tally = first.get_or_insert(tally).clone();
        let Some(earlier) = earlier else { return Ok(tally) };
        match after(rest, &earlier) {
            Some([]) => return Ok(tally),
            Some(left) => rest = left,
            None => break,
        }
    }
    let Stored { tally, .. } = store(rest, Identification::Whole)?;
    Ok(first.unwrap_or(tally))
}

impl Parameters {
    pub(super) fn new(precision: Precision) -> Self {
        Self { of_first_line: format!("{precision:?} first line"), of_whole: format!("{precision:?}") }
    }
}

impl Identification {
    /// The identity of a body.
    pub(super) fn of<'b>(self, body: &'b [u8], parameters: &'b Parameters) -> Identity<'b> {
        let Parameters { of_first_line, of_whole } = parameters;
        match self {
            Self::FirstLine => Identity { parameters: of_first_line, bytes: first_line(body), outcome: outcome(body) },
            Self::Whole => Identity::of_body(of_whole, body),
        }
    }
}

/// The body without the line breaks at its end.
fn without_end(mut body: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n'] = body {
        body = rest;
    }
    body
}

/// The first line that may be a point: an empty one, or a comment, is at the start of many bodies.
fn first_line(body: &[u8]) -> &[u8] {
    let is_point = |line: &&[u8]| !matches!(line.trim_ascii_start().first(), None | Some(b'#'));
    body.split(|byte| *byte == b'\n').find(is_point).unwrap_or_default()
}

/// The length of a body and its digest.
fn outcome(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_le_bytes()[..], &digest("", body)].concat()
}

/// What follows in `body` after the lines of an earlier one; `None` if it does not begin with these.
fn after<'b>(body: &'b [u8], earlier: &[u8]) -> Option<&'b [u8]> {
    let (length, _) = earlier.split_first_chunk()?;
    let (begin, left) = body.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let is_of_lines = left.is_empty() || left.starts_with(b"\n");
    let start = left.iter().take_while(|byte| **byte == b'\n').count();
    (is_of_lines && outcome(begin) == earlier).then(|| left.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A log of the lines that are stored, with its keys.
    #[derive(Default)]
    struct Log {
        outcomes: HashMap<(String, Vec<u8>), Vec<u8>>,
        lines: Vec<String>,
    }

    impl Log {
        fn store(&mut self, body: &str) {
            let parameters = Parameters::new(Precision::Seconds);
            store(body.as_bytes(), |body, identification| {
                let Identity { parameters, bytes, outcome } = identification.of(body, &parameters);
                let key = (parameters.to_owned(), bytes.to_vec());
                let earlier = self.outcomes.get(&key).cloned();
                if earlier.is_none() && !body.is_empty() {
                    self.outcomes.insert(key, outcome);
                    self.lines.extend(String::from_utf8_lossy(body).lines().map(str::to_owned));
                }
                Ok(Stored { tally: Tally::default(), earlier })
            })
            .map_err(|_| "no failure")
            .unwrap();
        }
    }

    #[test]
    fn the_lines_of_earlier_bodies_are_stored_once() {
        let cases: [(&[&str], &str); 12] = [
            (&["a", "a"], "a"),
            (&["a\nb", "a\nb\n", "a\nb\n\n\nc"], "a b c"),
            (&["a\nb\n", "a\nb\nc\n", "a\nb\nc\nd\n"], "a b c d"),
            (&["a\n", "b\n", "a\nb\nc\n", "c\nd\n"], "a b c d"),
            // The end of one line is not that of the other.
            (&["a 1", "a 10", "a 1\na 10"], "a 1 a 10"),
            (&["a\nb 1", "a\nb 10"], "a b 1 a b 10"),
            // Another body with the same first line, twice.
            (&["a\nb", "a\nc", "a\nc"], "a b a c"),
            // Comments and empty lines are the same in many bodies.
            (&["# hdr\na", "# hdr\nb", "# hdr\nb\nc", "\nd", "\nd\ne"], "# hdr a # hdr b c  d e"),
            // A shorter one.
            (&["a\nb", "a", "a"], "a b a"),
            // Whether a line is rejected makes no difference: a sender that got no answer does not know it.
            (&["a\nb", "a\nb\nbad", "a\nb\nbad"], "a b bad"),
            (&["a\nbad", "a\nbad\nc"], "a bad c"),
            (&["", "\n"], ""),
        ];
        for (bodies, expected) in cases {
            let mut log = Log::default();
            bodies.iter().for_each(|body| log.store(body));
            assert_eq!(log.lines.join(" "), expected, "{bodies:?}");
        }
    }

    #[test]
    fn the_number_of_earlier_bodies_is_limited_and_all_lines_are_stored() {
        let mut log = Log::default();
        let lines: Vec<_> = (0..MAX_EARLIER + 10).map(|line| line.to_string()).collect();
        lines.iter().for_each(|line| log.store(line));
        log.store(&lines.join("\n"));
        log.store(&lines.join("\n"));
        assert_eq!(log.lines.len(), lines.len() + 10);
    }
}
