//! Results put together into messages of the results topic, several lines in each.
//!
//! What a message costs, at the client, on the broker and at every reader, is several times what the line of a result
//! does, so a million results in messages of their own take seconds to pass. A line holds all that a reader needs; the
//! key of a message matters to none of ours.

/// Hands messages of at most `limit` bytes to `send`, as few as keep the order. A line that is larger goes alone.
///
/// A message that holds one result has its key; one that holds several has none. With a limit of 0 every result is alone.
///
/// # Errors
///
/// The first of `send`.
pub(crate) fn put_together<'r, E>(
    results: impl Iterator<Item = (&'r [u8], &'r [u8])>,
    limit: usize,
    mut send: impl FnMut(Option<&[u8]>, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut message = Message::default();
    for (key, line) in results {
        if !message.has_room_for(line, limit) {
            send(message.key, &message.lines)?;
            message = Message { lines: message.cleared(), key: None };
        }
        message.add(key, line);
    }
    if message.lines.is_empty() { Ok(()) } else { send(message.key, &message.lines) }
}

/// The message that is being filled.
#[derive(Default)]
struct Message<'r> {
    lines: Vec<u8>,
    key: Option<&'r [u8]>,
}

impl<'r> Message<'r> {
    fn has_room_for(&self, line: &[u8], limit: usize) -> bool {
        self.lines.is_empty() || self.lines.len() + 1 + line.len() <= limit
    }

    fn add(&mut self, key: &'r [u8], line: &[u8]) {
        if self.lines.is_empty() {
            self.key = Some(key);
        } else {
            self.key = None;
            self.lines.push(b'\n');
        }
        self.lines.extend_from_slice(line);
    }

    fn cleared(self) -> Vec<u8> {
        let mut lines = self.lines;
        lines.clear();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lines: &[&str], limit: usize) -> Vec<(Option<String>, String)> {
        let keys: Vec<_> = (0..lines.len()).map(|number| number.to_string()).collect();
        let results = keys.iter().zip(lines).map(|(key, line)| (key.as_bytes(), line.as_bytes()));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut messages = Vec::new();
        let sent = put_together(results, limit, |key, lines| {
            messages.push((key.map(text), text(lines)));
            Ok::<_, ()>(())
        });
        sent.unwrap();
        messages
    }

    fn keyed(key: &str, lines: &str) -> (Option<String>, String) {
        (Some(key.to_owned()), lines.to_owned())
    }

    #[test]
    fn messages_are_as_full_as_the_limit_allows_and_only_a_result_alone_has_its_key() {
        let lines = ["aaa", "bbb", "a long line", "c", "d"];
        let together = |lines: &str| (None, lines.to_owned());
        assert_eq!(messages(&lines, 7), [together("aaa\nbbb"), keyed("2", "a long line"), together("c\nd")]);
        assert_eq!(messages(&lines, 6).len(), 4, "the line feed counts");
        assert_eq!(messages(&[], 7), []);
    }

    #[test]
    fn a_limit_of_0_keeps_results_apart() {
        assert_eq!(messages(&["a", "b"], 0), [keyed("0", "a"), keyed("1", "b")]);
    }

    #[test]
    fn a_failure_ends_it() {
        let results = [(&b"k"[..], &b"a"[..]), (&b"k"[..], &b"b"[..])];
        assert_eq!(put_together(results.into_iter(), 0, |_, lines| Err(lines.to_vec())), Err(b"a".to_vec()));
    }
}
