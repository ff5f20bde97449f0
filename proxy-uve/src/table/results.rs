//! Results as UVEs show them: JSON, encoded once, straight into one buffer.

use std::ops::Range;

use crate::json;
use crate::table::sink::{AttributeResult, ResultSink, Subject};

/// One change of one proxy UVE.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ResultRow<'r> {
    /// The object, `table:name`, as it came.
    pub key: &'r [u8],
    /// `<Type>-<Struct>-<attribute>`.
    pub uve_name: &'r str,
    /// Start of the last period, microseconds since the epoch; the sample's time for an inline result. The window of an
    /// attribute over N periods (`N-…`) starts N-1 periods earlier and has the same end.
    pub start: u64,
    /// End of the window (exclusive); the sample's time for an inline result.
    pub end: u64,
    /// The proxy UVE was deleted: its object expired.
    pub deleted: bool,
    /// The structure as it is shown in the UVE: one JSON object with `deleted`, `proxy`, and the attributes that
    /// changed; `partial` is true when the window was not covered from its start.
    pub json: &'r [u8],
}

impl<'r> ResultRow<'r> {
    /// A row that is not of a deletion, for tests of code that takes rows. `window` is its start and its end in
    /// microseconds.
    pub fn new(key: &'r [u8], uve_name: &'r str, window: Range<u64>, json: &'r [u8]) -> Self {
        Self { key, uve_name, start: window.start, end: window.end, deleted: false, json }
    }
}

/// The capacity that a drained buffer keeps for the next results. The end of a window makes half a kilobyte for each
/// object, more than the object itself takes, and no further results until the next period ends.
const KEEP_BYTES: usize = 64 * 1024;

/// The rows that were not drained yet.
#[derive(Debug, Default)]
pub struct ResultBuffer {
    /// For each row its key and its JSON.
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// The number of attributes of the current row, and its start.
    attributes: usize,
    from: usize,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    key_end: usize,
    json_end: usize,
    type_index: u32,
    deleted: bool,
    start: u64,
    end: u64,
}

impl ResultSink for ResultBuffer {
    fn begin(&mut self, subject: &Subject<'_>) {
        self.from = self.bytes.len();
        self.attributes = 0;
        self.bytes.extend_from_slice(subject.key);
        self.text(if subject.deleted { "{\"deleted\":true,\"proxy\":\"" } else { "{\"deleted\":false,\"proxy\":\"" });
        // Names of streams and attributes are identifiers, so nothing needs an escape.
        self.text(subject.proxy);
        self.text("\"");
        if subject.partial {
            self.text(",\"partial\":true");
        }
    }

    /// Writes a result that is valid: of a window, a number as `{"value": …}`, a detector's as its object; an inline
    /// one bare.
    fn attribute(&mut self, _: &Subject<'_>, result: &AttributeResult<'_>) {
        let Some(output) = result.report.as_ref().forced() else {
            return;
        };
        self.attributes += 1;
        self.text(",\"");
        self.text(result.name);
        self.text("\":");
        if !result.template.is_some_and(|template| template.write(output.record(), &mut self.bytes)) {
            json::write_output(output, result.inline, &mut self.bytes);
        }
    }

    /// Keeps the row if it has an attribute or is a deletion.
    fn end(&mut self, subject: &Subject<'_>) {
        if self.attributes == 0 && !subject.deleted {
            self.bytes.truncate(self.from);
            return;
        }
        self.text("}");
        let &Subject { deleted, start, end, type_index, key, .. } = subject;
        let (key_end, json_end) = (self.from + key.len(), self.bytes.len());
        self.rows.push(Row { key_end, json_end, type_index: type_index as u32, deleted, start, end });
    }
}

impl ResultBuffer {
    /// Rows waiting to be drained.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes waiting to be drained.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, ResultRow<'_>)> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|row| row.json_end));
        self.rows.iter().zip(starts).map(|(row, from)| {
            let key = &self.bytes[from..row.key_end];
            let json = &self.bytes[row.key_end..row.json_end];
            let Row { start, end, deleted, .. } = *row;
            (row.type_index as usize, ResultRow { key, uve_name: "", start, end, deleted, json })
        })
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.rows.shrink_to(KEEP_BYTES / size_of::<Row>());
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }
}
