//! Lines gathered for the server, in order, cut into requests.

use std::ops::Range;

/// What an emptied batch keeps for the next one: a burst should not be paid for ever.
const KEEP_BYTES: usize = 8 * 1024 * 1024;

/// How much a request holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub lines: usize,
    /// A single line may be larger.
    pub bytes: usize,
}

/// The lines, each with its line feed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Batch {
    /// Lets `write` append one line, or nothing.
    pub(super) fn add<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = write(&mut self.bytes);
        if self.bytes.len() > self.start(self.ends.len()) {
            self.ends.push(self.bytes.len());
        }
        written
    }

    /// Number of lines.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is enough for a request.
    pub(super) fn is_full(&self, limits: Limits) -> bool {
        self.len() >= limits.lines || self.bytes.len() >= limits.bytes
    }

    /// The lines cut into requests, in order: as many as fit in each.
    pub(super) fn requests(&self, limits: Limits) -> impl Iterator<Item = Range<usize>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let (first, start) = (next, self.start(next));
            let fitting = self.ends[first..].iter().take(limits.lines).take_while(|&&end| end - start <= limits.bytes);
            next += fitting.count().max(1);
            (first < self.len()).then_some(first..next)
        })
    }

    /// The text of some lines.
    pub(super) fn text(&self, lines: &Range<usize>) -> &[u8] {
        &self.bytes[self.start(lines.start)..self.start(lines.end)]
    }

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
        assert_eq!(batch.len(), 4, "nothing is no line");
        assert_eq!(cut(&batch, 9, 99), ["a\nbb\nccc\nd\n"]);
        assert_eq!(cut(&batch, 2, 99), ["a\nbb\n", "ccc\nd\n"]);
        assert_eq!(cut(&batch, 3, 99), ["a\nbb\nccc\n", "d\n"]);
        assert_eq!(cut(&batch, 9, 5), ["a\nbb\n", "ccc\n", "d\n"]);
        assert_eq!(cut(&batch, 9, 3), ["a\n", "bb\n", "ccc\n", "d\n"], "a line that is too large goes alone");
        assert_eq!(cut(&Batch::default(), 9, 9), [""; 0]);
    }

    #[test]
    fn a_batch_is_full_by_lines_or_by_bytes() {
        let batch = batch(&["a\n", "bb\n"]);
        let full = |lines, bytes| batch.is_full(Limits { lines, bytes });
        assert_eq!((full(3, 6), full(2, 6), full(3, 5)), (false, true, true));
    }

    #[test]
    fn an_emptied_batch_begins_anew() {
        let mut batch = batch(&["a\n"]);
        batch.clear();
        assert_eq!(batch.len(), 0);
        batch.add(|out| out.extend_from_slice(b"b\n"));
        assert_eq!(cut(&batch, 1, 1), ["b\n"]);
    }
}
