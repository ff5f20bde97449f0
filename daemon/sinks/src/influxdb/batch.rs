//! A buffer of lines in order, which is cut into requests.

use std::ops::Range;

/// The capacity that a cleared batch keeps; the memory of a larger burst is freed.
const KEEP_BYTES: usize = 8 * 1024 * 1024;

/// The largest size of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub lines: usize,
    /// The limit in bytes; a single line may exceed it.
    pub bytes: usize,
}

/// A buffer of lines, each with its line feed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The offset in `bytes` of each line's end.
    ends: Vec<usize>,
}

impl Batch {
    /// Calls `write` to append one line or none, and returns its result.
    pub(super) fn add<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = write(&mut self.bytes);
        if self.bytes.len() > self.start(self.ends.len()) {
            self.ends.push(self.bytes.len());
        }
        written
    }

    /// The number of lines.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the batch fills a request.
    pub(super) fn is_full(&self, limits: Limits) -> bool {
        self.len() >= limits.lines || self.bytes.len() >= limits.bytes
    }

    /// Cuts the lines into requests, in order, with as many lines as fit into each.
    pub(super) fn requests(&self, limits: Limits) -> impl Iterator<Item = Range<usize>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let (first, start) = (next, self.start(next));
            let fitting = self.ends[first..].iter().take(limits.lines).take_while(|&&end| end - start <= limits.bytes);
            next += fitting.count().max(1);
            (first < self.len()).then_some(first..next)
        })
    }

    /// The text of a range of lines.
    pub(super) fn text(&self, lines: &Range<usize>) -> &[u8] {
        &self.bytes[self.start(lines.start)..self.start(lines.end)]
    }

    /// Removes all lines.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.ends.shrink_to(KEEP_BYTES / 64);
    }

    fn start(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        lines.iter().for_each(|line| batch.add(|out| out.extend_from_slice(line.as_bytes())));
        batch
    }

    fn cut(batch: &Batch, lines: usize, bytes: usize) -> Vec<&str> {
        let requests = batch.requests(Limits { lines, bytes });
        requests.map(|range| std::str::from_utf8(batch.text(&range)).unwrap()).collect()
    }

    #[test]
    fn requests_hold_as_many_lines_as_fit_in_order() {
        let batch = batch(&["a\n", "bb\n", "", "ccc\n", "d\n"]);
        assert_eq!(batch.len(), 4, "an empty write adds no line");
        assert_eq!(cut(&batch, 9, 99), ["a\nbb\nccc\nd\n"]);
        assert_eq!(cut(&batch, 2, 99), ["a\nbb\n", "ccc\nd\n"]);
        assert_eq!(cut(&batch, 3, 99), ["a\nbb\nccc\n", "d\n"]);
        assert_eq!(cut(&batch, 9, 5), ["a\nbb\n", "ccc\n", "d\n"]);
        assert_eq!(
            cut(&batch, 9, 3),
            ["a\n", "bb\n", "ccc\n", "d\n"],
            "a line that is too large is a request of its own"
        );
        assert_eq!(cut(&Batch::default(), 9, 9), [""; 0]);
    }

    #[test]
    fn a_batch_is_full_by_lines_or_by_bytes() {
        let batch = batch(&["a\n", "bb\n"]);
        let full = |lines, bytes| batch.is_full(Limits { lines, bytes });
        assert_eq!((full(3, 6), full(2, 6), full(3, 5)), (false, true, true));
    }

    #[test]
    fn a_cleared_batch_is_empty_and_usable() {
        let mut batch = batch(&["a\n"]);
        batch.clear();
        assert_eq!(batch.len(), 0);
        batch.add(|out| out.extend_from_slice(b"b\n"));
        assert_eq!(cut(&batch, 1, 1), ["b\n"]);
    }
}
