//! A sink that writes results to a file, one JSON object per line.
//!
//! The sink stores its position in the log together with the length of the file. After a crash it cuts the file to the
//! stored length and writes the results from the stored position on again, so the file holds each result exactly once.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use daemon_log::{Log, RecordBatch, SinkPosition};
use daemon_results::record::RecordReader;
use serde::Deserialize;
use tracing::warn;

use crate::Sink;

/// The configuration section `[sinks.file]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The file to which the sink appends results, one JSON object per line. Default unset: no file. Its directory must
    /// exist.
    pub path: Option<PathBuf>,
}

/// A sink that appends each result to a file as a line of JSON, exactly once.
pub struct FileSink {
    path: PathBuf,
    /// The open file; `None` before the start.
    file: Option<File>,
    /// The length of the file at the stored position.
    length: u64,
    reader: RecordReader,
    /// A buffer for the lines of one record.
    lines: Vec<u8>,
}

impl FileSink {
    /// The name of the sink, under which it stores its position.
    pub const NAME: &'static str = "file";

    /// Creates a sink for the file at `path`, which [`start`](Sink::start) opens.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, length: 0, reader: RecordReader::default(), lines: Vec::new() }
    }

    /// Writes a batch to the end of the file, syncs it, and returns the new length.
    fn append(&mut self, batch: &RecordBatch) -> anyhow::Result<u64> {
        let Self { file, reader, lines, .. } = self;
        let file = file.as_mut().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        // Cuts the lines of an earlier delivery that failed.
        file.set_len(self.length)?;
        file.seek(SeekFrom::Start(self.length))?;
        let mut writer = BufWriter::with_capacity(256 * 1024, &*file);
        let mut length = self.length;
        for record in batch.records() {
            lines.clear();
            let read = reader.each(record.offset, record.payload, |_, result| {
                result.write_line(lines);
                lines.push(b'\n');
            });
            read.with_context(|| format!("read the results at offset {}", record.offset))?;
            writer.write_all(lines)?;
            length += lines.len() as u64;
        }
        writer.flush()?;
        drop(writer);
        file.sync_data()?;
        Ok(length)
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let position = log.sink_position(Self::NAME)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&self.path);
        let file = file.with_context(|| format!("open {}; check sinks.file.path", self.path.display()))?;
        let on_disk = file.metadata()?.len();
        let (next, length) = match position {
            None => (log.results_bounds()?.first, on_disk),
            Some(SinkPosition { next, detail }) => {
                let stored = detail.try_into().map(u64::from_le_bytes).unwrap_or(0);
                if on_disk < stored {
                    warn!(
                        path = %self.path.display(),
                        stored,
                        found = on_disk,
                        "The file of results is shorter than at the last delivery: it was replaced or cut. The sink \
                         appends new results and does not write the missing ones again."
                    );
                }
                // A shorter file is another file: append to its end, from the stored position on.
                (next, stored.min(on_disk))
            }
        };
        self.length = length;
        self.file = Some(file);
        // Registers a new sink, so that the log keeps unread results for it.
        log.set_sink_position(Self::NAME, SinkPosition { next, detail: length.to_le_bytes().to_vec() })?;
        Ok(next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        let length = self.append(batch).with_context(|| format!("write {}", self.path.display()))?;
        let position = SinkPosition { next: batch.next_offset(), detail: length.to_le_bytes().to_vec() };
        log.set_sink_position(Self::NAME, position).context("store the position of the file sink")?;
        self.length = length;
        Ok(())
    }
}
