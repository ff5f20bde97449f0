//! The attributes whose windows are longer than the last period of their result.

use std::cmp::Reverse;
use std::ops::Range;

use proxy_uve::{AttributeResult, Subject};

use super::BlockSink;

/// The attributes of the current result whose windows are longer than its last period.
#[derive(Debug, Default)]
pub(super) struct LongerWindows {
    /// Index and value of each attribute, encoded.
    pub(super) bytes: Vec<u8>,
    attributes: Vec<LongerAttribute>,
}

/// One of them.
#[derive(Debug)]
struct LongerAttribute {
    /// The start of its window.
    start: u64,
    partial: bool,
    /// The position of its index and value in the buffer.
    encoded: Range<usize>,
}

impl LongerWindows {
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Adds an attribute, whose index and value are in the buffer from `from` on.
    pub(super) fn push(&mut self, result: &AttributeResult<'_>, from: usize) {
        let &AttributeResult { start, partial, .. } = result;
        self.attributes.push(LongerAttribute { start, partial, encoded: from..self.bytes.len() });
    }
}

impl BlockSink {
    /// Adds a row for each longer window that has attributes.
    pub(super) fn put_longer(&mut self, subject: &Subject<'_>) {
        let mut longer = std::mem::take(&mut self.longer);
        longer.attributes.sort_unstable_by_key(|attribute| (Reverse(attribute.start), attribute.encoded.start));
        for of_window in longer.attributes.chunk_by(|one, other| one.start == other.start) {
            let mut subject = *subject;
            subject.start = of_window.first().map_or(subject.start, |attribute| attribute.start);
            self.begin_row(&subject);
            for attribute in of_window {
                self.bytes.extend_from_slice(&longer.bytes[attribute.encoded.clone()]);
                self.row.partial |= attribute.partial;
            }
            self.row.attributes = of_window.len();
            self.end_row(&subject);
        }
        longer.bytes.clear();
        longer.attributes.clear();
        self.longer = longer;
    }
}
