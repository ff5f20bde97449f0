//! `derived-statsd results` prints the results log, one JSON line for each result.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use daemon_base::clock::{Clock, SystemClock};
use daemon_log::{EmbeddedLog, Log};
use daemon_results::record::RecordReader;

use crate::commands::config_args::ConfigArgs;
use crate::engine::LogSettings;

const READ_BYTES: usize = 1024 * 1024;

/// Arguments of `results`.
#[derive(Args, Debug)]
pub(crate) struct ResultsArgs {
    /// The offset of the first results record to print.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub(crate) from: u64,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Prints the results from offset `from` of the results log on, or from the oldest retained offset if that is later.
/// An offset counts records, which are blocks or, on Kafka, messages of many results.
///
/// # Errors
///
/// Fails if `from` is behind the end of the results, if there is no log, which it does not create, or if the log cannot
/// be opened (a running daemon locks its embedded log) or read.
pub(crate) fn run(settings: &LogSettings, from: u64) -> anyhow::Result<()> {
    match settings {
        LogSettings::Embedded(own) => {
            let log = EmbeddedLog::open_existing(&own.data_dir, own.log.clone());
            print(&log.with_context(|| format!("open the log in {} (log.data_dir)", own.data_dir.display()))?, from)
        }
        LogSettings::Kafka(own) => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            print(&*daemon_kafka::reader(own, &clock)?, from)
        }
    }
}

fn print(log: &dyn Log, from: u64) -> anyhow::Result<()> {
    let bounds = log.results_bounds()?;
    anyhow::ensure!(
        from <= bounds.next,
        "--from {from} is behind the end of the results, whose offsets are {} to {}; give one of them",
        bounds.first,
        bounds.next
    );
    let mut next = from.max(bounds.first);
    let mut out = super::print::output();
    let (mut reader, mut lines) = (RecordReader::default(), Vec::new());
    loop {
        let batch = log.read_results(next, READ_BYTES)?;
        if batch.is_empty() {
            return out.flush().context("write to standard output");
        }
        next = batch.next_offset();
        for record in batch.records() {
            lines.clear();
            let read = reader.each(record.offset, record.payload, |_, result| {
                result.write_line(&mut lines);
                lines.push(b'\n');
            });
            read.with_context(|| format!("read the results at offset {}", record.offset))?;
            out.write_all(&lines).context("write to standard output")?;
        }
    }
}
