//! `derived-statsd results`: prints the results log, one JSON line each.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::log::{EmbeddedLog, Log as _, LogConfig};

const READ_BYTES: usize = 1024 * 1024;

/// Prints the results from offset `from` on; from the oldest retained one if that is later.
///
/// # Errors
///
/// When the log cannot be opened (a daemon that runs holds it) or read.
pub(crate) fn run(directory: &Path, log: LogConfig, from: u64) -> anyhow::Result<()> {
    let log = EmbeddedLog::open(directory, log).with_context(|| format!("open the log in {}", directory.display()))?;
    let mut next = from.max(log.results_bounds()?.first).min(log.results_bounds()?.next);
    let mut out = BufWriter::new(std::io::stdout().lock());
    loop {
        let batch = log.read_results(next, READ_BYTES)?;
        if batch.is_empty() {
            return out.flush().context("write to standard output");
        }
        next = batch.next_offset();
        for record in batch.records() {
            out.write_all(record.payload)?;
            out.write_all(b"\n")?;
        }
    }
}
