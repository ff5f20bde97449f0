//! `derived-statsd results`: prints the results log, one JSON line each.

use std::io::{BufWriter, Write as _};
use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::{Clock, SystemClock};
use crate::engine::LogSettings;
use crate::kafka;
use crate::log::{EmbeddedLog, Log};

const READ_BYTES: usize = 1024 * 1024;

/// Prints the results from offset `from` on; from the oldest retained one if that is later.
///
/// # Errors
///
/// When the log cannot be opened (a daemon that runs holds an embedded one) or read.
pub(crate) fn run(settings: &LogSettings, from: u64) -> anyhow::Result<()> {
    match settings {
        LogSettings::Embedded(own) => {
            let log = EmbeddedLog::open(&own.data_dir, own.log.clone());
            print(&log.with_context(|| format!("open the log in {}", own.data_dir.display()))?, from)
        }
        LogSettings::Kafka(own) => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            print(&*kafka::engine::reader(own, &clock)?, from)
        }
    }
}

fn print(log: &dyn Log, from: u64) -> anyhow::Result<()> {
    let bounds = log.results_bounds()?;
    let mut next = from.max(bounds.first).min(bounds.next);
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
