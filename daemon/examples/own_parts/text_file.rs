//! A sink: each result as a line of text, `key uve json`, in a file.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use derived_statsd::sink::{Log, RecordBatch, RecordReader, Sink, SinkPosition, Stored};

/// Appends results to a file.
///
/// The position is stored after the file is synced. A kill in between writes a batch again: results are delivered at
/// least once. The daemon's own file sink stores the length of the file too, and cuts it back.
pub(crate) struct TextFile {
    path: PathBuf,
    reader: RecordReader,
}

impl TextFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, reader: RecordReader::default() }
    }

    fn open(&self) -> anyhow::Result<File> {
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        file.with_context(|| format!("open {}", self.path.display()))
    }
}

impl Sink for TextFile {
    fn name(&self) -> &str {
        "text-file"
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let next = match log.sink_position(self.name())? {
            Some(position) => position.next,
            None => log.results_bounds()?.first,
        };
        // From now on the log keeps results for this sink.
        log.set_sink_position(self.name(), SinkPosition { next, detail: Vec::new() })?;
        Ok(next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for record in batch.records() {
            self.reader.each(record.offset, record.payload, |_, result| {
                if let Stored::Row(row) = result {
                    text.extend_from_slice(format!("{} {} ", row.key, row.shape.uve).as_bytes());
                    result.write_line(&mut text);
                    text.push(b'\n');
                }
            })?;
        }
        let mut file = self.open()?;
        file.write_all(&text)?;
        file.sync_data()?;
        log.set_sink_position(self.name(), SinkPosition { next: batch.next_offset(), detail: Vec::new() })?;
        Ok(())
    }
}
