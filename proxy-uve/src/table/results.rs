//! Results on their way out: encoded once, straight into one buffer.

use derived_stats::{Output, Report};
use serde::Serialize;

/// One change of one proxy UVE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResultRow<'r> {
    /// The object, `table:name`, as it came.
    pub key: &'r [u8],
    /// `<Type>-<Struct>-<attribute>`.
    pub uve_name: &'r str,
    /// Start of the window, microseconds since the epoch; the sample's time for an inline result.
    pub start: u64,
    /// End of the window (exclusive); the sample's time for an inline result.
    pub end: u64,
    /// The proxy UVE ceased to be.
    pub deleted: bool,
    /// The structure as the UVE shows it: one JSON object with `deleted`, `proxy`, and the attributes that changed;
    /// `partial` is true when the window was not covered from its start.
    pub json: &'r [u8],
}

/// What a drained buffer keeps for the next results. The end of a window makes half a kilobyte for each object, more
/// than the object itself takes, and then nothing comes for a period.
const KEEP_BYTES: usize = 64 * 1024;

/// The rows that were not drained yet.
#[derive(Debug, Default)]
pub(crate) struct Results {
    bytes: Vec<u8>,
    rows: Vec<Row>,
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

/// What a row is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'p> {
    pub(crate) key: &'p [u8],
    pub(crate) type_index: usize,
    /// The stream, as the `proxy` field shows it.
    pub(crate) proxy: &'p str,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) partial: bool,
}

impl Results {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes waiting to be drained.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Begins a row. It becomes one with [`RowWriter::finish`], and leaves no trace otherwise.
    pub(crate) fn begin<'b>(&'b mut self, subject: Subject<'_>, deleted: bool) -> RowWriter<'b> {
        let (from, Subject { key, start, end, type_index, .. }) = (self.bytes.len(), subject);
        self.bytes.extend_from_slice(key);
        let row = Row { key_end: self.bytes.len(), json_end: 0, type_index: type_index as u32, deleted, start, end };
        let mut writer = RowWriter { results: self, from, row, attributes: 0 };
        writer.head(subject, deleted);
        writer
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
}

/// A row in the making.
pub(crate) struct RowWriter<'b> {
    results: &'b mut Results,
    from: usize,
    row: Row,
    attributes: usize,
}

impl RowWriter<'_> {
    fn head(&mut self, subject: Subject<'_>, deleted: bool) {
        self.text(if deleted { "{\"deleted\":true,\"proxy\":" } else { "{\"deleted\":false,\"proxy\":" });
        self.json(subject.proxy);
        if subject.partial {
            self.text(",\"partial\":true");
        }
    }

    /// Writes the result of a window: a number as `{"value": …}`, a detector's as its object.
    pub(crate) fn attribute(&mut self, name: &str, report: Report<Output<'_>>) {
        let Some(output) = report.forced() else {
            return;
        };
        self.name(name);
        match &output {
            Output::Number(number) => {
                self.text("{\"value\":");
                self.json(&number.value);
                self.error(number.error());
                self.text("}");
            }
            output => self.json(output),
        }
    }

    /// Writes an inline result, which is bare.
    pub(crate) fn inline_attribute(&mut self, name: &str, output: &Output<'_>) {
        self.name(name);
        self.json(output);
    }

    fn name(&mut self, name: &str) {
        self.attributes += 1;
        self.text(",");
        self.json(name);
        self.text(":");
    }

    fn error(&mut self, error: Option<&str>) {
        if let Some(error) = error {
            self.text(",\"error\":");
            self.json(error);
        }
    }

    fn text(&mut self, text: &str) {
        self.results.bytes.extend_from_slice(text.as_bytes());
    }

    fn json<V: Serialize + ?Sized>(&mut self, value: &V) {
        // Writing numbers and strings into memory has no way to fail.
        let written = serde_json::to_writer(&mut self.results.bytes, value);
        debug_assert!(written.is_ok(), "a result is plain data");
    }

    /// Keeps the row if it says something: an attribute, or the deletion.
    pub(crate) fn finish(mut self) {
        if self.attributes == 0 && !self.row.deleted {
            self.results.bytes.truncate(self.from);
            return;
        }
        self.text("}");
        self.row.json_end = self.results.bytes.len();
        self.results.rows.push(self.row);
    }
}
