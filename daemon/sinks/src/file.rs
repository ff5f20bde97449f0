//! Results as a file of JSON lines.
//!
//! The position in the log and the length of the file are stored together. After a crash the file is cut back to the
//! stored length and the results from the stored position are written again, so it holds every result exactly once.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use daemon_log::{Log, RecordBatch, SinkPosition};
use daemon_results::record::RecordReader;
use serde::Deserialize;
use tracing::warn;

use crate::Sink;

/// `[sinks.file]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The file to append results to, one JSON object a line. Default unset: no file. Its directory must exist.
    pub path: Option<PathBuf>,
}

/// Appends results to a file.
pub struct FileSink {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    reader: RecordReader,
    /// The lines of a record: a buffer.
    lines: Vec<u8>,
}

impl FileSink {
    /// The name under which its position is stored.
    pub const NAME: &'static str = "file";

    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, length: 0, reader: RecordReader::default(), lines: Vec::new() }
    }

    fn append(&mut self, batch: &RecordBatch) -> anyhow::Result<u64> {
        let Self { file, reader, lines, .. } = self;
        let file = file.as_mut().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        // A delivery that failed half-way left a tail behind.
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
                        "The file of results is shorter than it was left: it was replaced or cut. New results go to its \
                         end; those that it lacks are not written again."
                    );
                }
                // A shorter file is another file: begin at its end, and let the results go on.
                (next, stored.min(on_disk))
            }
        };
        self.length = length;
        self.file = Some(file);
        // Registers a new sink: from now on results are kept until it has them.
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
