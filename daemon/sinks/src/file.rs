//! A sink that writes results to a file, one JSON object per line.
//!
//! The sink stores its position in the log together with the length and the identity of the file. After a crash it cuts
//! the file to the stored length and writes the results from the stored position on again, so the file holds each result
//! exactly once.
//!
//! Other programs may rotate the file. Before each batch the sink checks whether the path names another file or none,
//! and whether the file is shorter than it left it. It then stores the length of the file that it continues before it
//! writes to it. Lines of a delivery that failed are first cut from the file that was renamed, so that they are in the
//! new one only. The file is open for appending: a write never leaves a gap where the file was cut in the meantime.

mod output;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use daemon_log::{Log, RecordBatch, SinkPosition};
use daemon_results::record::RecordReader;
use serde::Deserialize;
use tracing::info;

use self::output::Output;
pub use self::output::check_kind;
use crate::Sink;

/// The size of a write. A write ends with a line, so that a file that is cut between two writes begins with a line.
const WRITE_BYTES: usize = 256 * 1024;

/// The configuration section `[sinks.file]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The file to which the sink appends results, one JSON object per line. Default unset: no file. Its directory must
    /// exist. It is a regular file, also behind links; a pipe, a device or a directory is refused at the start. The
    /// file may be rotated, by renaming it or by cutting it.
    pub path: Option<PathBuf>,
}

/// A sink that appends each result to a file as a line of JSON, exactly once.
pub struct FileSink {
    path: PathBuf,
    /// The open file; `None` before the start.
    output: Option<Output>,
    reader: RecordReader,
    /// A buffer for the lines of one write.
    lines: Vec<u8>,
}

impl FileSink {
    /// The name of the sink, under which it stores its position.
    pub const NAME: &'static str = "file";

    /// Creates a sink for the file at `path`, which [`start`](Sink::start) opens.
    pub fn new(path: PathBuf) -> Self {
        Self { path, output: None, reader: RecordReader::default(), lines: Vec::new() }
    }

    /// Turns to the file that the path names now, or to the end of the file that was cut. Returns whether the file or its
    /// length changed, so that the position has to be stored before the next write.
    fn follow_rotation(&mut self) -> anyhow::Result<bool> {
        let Some(output) = &mut self.output else {
            return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
        };
        let found = output.file.metadata()?.len();
        if !output.is_at(&self.path)? {
            // The lines of a delivery that failed come again, in the new file.
            output.cut_to_length(found)?;
            *output = Output::open(&self.path)?;
            info!(path = %self.path.display(), "The file of results was renamed or removed; the sink opened a new one.");
            return Ok(true);
        }
        if found < output.length {
            let left = output.length;
            info!(path = %self.path.display(), left, found, "The file of results was cut; the sink goes on at its end.");
            output.length = found;
            return Ok(true);
        }
        output.cut_to_length(found)?;
        Ok(false)
    }

    /// Writes a batch to the end of the file, syncs it, and returns the new length.
    fn append(&mut self, batch: &RecordBatch) -> anyhow::Result<u64> {
        let Self { output, reader, lines, .. } = self;
        let output = output.as_mut().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        lines.clear();
        for record in batch.records() {
            let read = reader.each(record.offset, record.payload, |_, result| {
                result.write_line(lines);
                lines.push(b'\n');
            });
            read.with_context(|| format!("read the results at offset {}", record.offset))?;
            if lines.len() >= WRITE_BYTES {
                output.file.write_all(lines)?;
                lines.clear();
            }
        }
        output.file.write_all(lines)?;
        output.file.sync_data()?;
        // Not the old length and what was written: the file may have been cut in between.
        Ok(output.file.metadata()?.len())
    }

    /// Stores that all results before `next` are in the first `length` bytes of the file.
    fn store(&self, log: &dyn Log, next: u64, length: u64) -> anyhow::Result<()> {
        let detail = self.output.as_ref().map(|output| output.detail(length).encode()).unwrap_or_default();
        let stored = log.set_sink_position(Self::NAME, SinkPosition { next, detail });
        stored.context("store the position of the file sink")
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let position = log.sink_position(Self::NAME)?;
        let mut output = Output::open(&self.path)?;
        let next = match position {
            None => log.results_bounds()?.first,
            Some(SinkPosition { next, detail }) => {
                output.resume(&self.path, &detail);
                next
            }
        };
        let length = output.length;
        self.output = Some(output);
        // Registers a new sink, so that the log keeps unread results for it.
        self.store(log, next, length)?;
        Ok(next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        let describe = format!("write {}; check sinks.file.path", self.path.display());
        let first = batch.records().next().map(|record| record.offset);
        let is_other = self.follow_rotation().with_context(|| describe.clone())?;
        if let Some(first) = first.filter(|_| is_other) {
            // Before the write: a start after a kill cuts the file to this length.
            self.store(log, first, self.output.as_ref().map_or(0, |output| output.length))?;
        }
        let length = self.append(batch).context(describe)?;
        self.store(log, batch.next_offset(), length)?;
        // Not before the position is stored: otherwise the batch comes again, and its lines are cut first.
        self.output.iter_mut().for_each(|output| output.length = length);
        Ok(())
    }
}
