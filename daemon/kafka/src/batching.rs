//! Batching of result lines into messages of the results topic.
//!
//! The cost of a message, at the client, on the broker and at every reader, is several times that of a result line, so
//! a million results in messages of their own take seconds. A line contains everything that a reader needs; no reader
//! of the daemon uses the key of a message.

/// Packs result lines, in order, into messages of at most `limit` bytes. A longer line is a message of its own.
///
/// A message with one result has the key of its object; a message with several has no key. With a limit of 0 every
/// result is a message of its own.
pub(crate) struct LineBatches<S> {
    limit: usize,
    send: S,
    lines: Vec<u8>,
    /// The key of the only line.
    key: Vec<u8>,
    count: usize,
}

impl<E, S: FnMut(Option<&[u8]>, &[u8]) -> Result<(), E>> LineBatches<S> {
    /// An empty batch; `send` takes the key and the payload of a message.
    pub(crate) fn new(limit: usize, send: S) -> Self {
        Self { limit, send, lines: Vec::new(), key: Vec::new(), count: 0 }
    }

    /// Adds the line that `write` appends; `key` is the key of its object.
    ///
    /// # Errors
    ///
    /// When `send` fails.
    pub(crate) fn add(&mut self, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Result<(), E> {
        let before = self.lines.len();
        if before > 0 {
            self.lines.push(b'\n');
        }
        let from = self.lines.len();
        write(&mut self.lines);
        if before > 0 && self.lines.len() > self.limit {
            let key = (self.count == 1).then_some(&*self.key);
            (self.send)(key, &self.lines[..before])?;
            self.lines.drain(..from);
            self.count = 0;
        }
        self.count += 1;
        self.key.clear();
        self.key.extend_from_slice(key);
        Ok(())
    }

    /// Sends the last message.
    ///
    /// # Errors
    ///
    /// When `send` fails.
    pub(crate) fn finish(mut self) -> Result<(), E> {
        if self.count == 0 {
            return Ok(());
        }
        let key = (self.count == 1).then_some(&*self.key);
        (self.send)(key, &self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lines: &[&str], limit: usize) -> Vec<(Option<String>, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut messages = Vec::new();
        let mut batches = LineBatches::new(limit, |key: Option<&[u8]>, lines: &[u8]| {
            messages.push((key.map(text), text(lines)));
            Ok::<_, ()>(())
        });
        for (number, line) in lines.iter().enumerate() {
            batches.add(number.to_string().as_bytes(), |out| out.extend_from_slice(line.as_bytes())).unwrap();
        }
        batches.finish().unwrap();
        messages
    }

    fn keyed(key: &str, lines: &str) -> (Option<String>, String) {
        (Some(key.to_owned()), lines.to_owned())
    }

    #[test]
    fn messages_are_filled_up_to_the_limit_and_only_a_single_result_has_its_key() {
        let lines = ["aaa", "bbb", "a long line", "c", "d"];
        let unkeyed = |lines: &str| (None, lines.to_owned());
        assert_eq!(messages(&lines, 7), [unkeyed("aaa\nbbb"), keyed("2", "a long line"), unkeyed("c\nd")]);
        assert_eq!(messages(&lines, 6).len(), 4, "the line feed counts");
        assert_eq!(messages(&[], 7), []);
    }

    #[test]
    fn a_limit_of_0_sends_every_result_in_a_message_of_its_own() {
        assert_eq!(messages(&["a", "b"], 0), [keyed("0", "a"), keyed("1", "b")]);
    }

    #[test]
    fn an_error_of_send_is_returned() {
        let mut batches = LineBatches::new(0, |_: Option<&[u8]>, lines: &[u8]| Err(lines.to_vec()));
        batches.add(b"k", |out| out.push(b'a')).unwrap();
        assert_eq!(batches.add(b"k", |out| out.push(b'b')), Err(b"a".to_vec()));
    }
}
