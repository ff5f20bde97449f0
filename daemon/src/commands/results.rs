//! `derived-statsd results` prints the results log, one JSON line for each result.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use daemon_base::clock::{Clock, SystemClock};
use daemon_log::{EmbeddedLog, Log, LogError, RecordBatch};
use daemon_results::record::RecordReader;
use daemon_sinks::read_before_damage;

use crate::commands::config_args::ConfigArgs;
use crate::engine::LogSettings;

const READ_BYTES: usize = 1024 * 1024;

/// Arguments of `results`.
#[derive(Args, Debug)]
pub(crate) struct ResultsArgs {
    /// The offset of the first results record to print.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub(crate) from: u64,
    /// Leave out what is damaged, and print what is behind it.
    #[arg(long)]
    pub(crate) skip_damaged: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Prints the results from offset `from` of the results log on, or from the oldest retained offset if that is later.
/// An offset counts records, which are blocks or, on Kafka, messages of many results.
///
/// # Errors
///
/// Fails if `from` is behind the end of the results, if there is no log, which it does not create, or if the log cannot
/// be opened (a running daemon locks its embedded log) or read. What is in front of damage is printed in any case; with
/// `skip_damaged` what is behind it, too.
pub(crate) fn run(settings: &LogSettings, from: u64, skip_damaged: bool) -> anyhow::Result<()> {
    match settings {
        LogSettings::Embedded(own) => {
            let log = EmbeddedLog::open_existing(&own.data_dir, own.log.clone());
            print(
                &log.with_context(|| format!("open the log in {} (log.data_dir)", own.data_dir.display()))?,
                from,
                skip_damaged,
            )
        }
        LogSettings::Kafka(own) => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            print(&*daemon_kafka::reader(own, &clock)?, from, skip_damaged)
        }
    }
}

fn print(log: &dyn Log, from: u64, skip_damaged: bool) -> anyhow::Result<()> {
    let bounds = log.results_bounds()?;
    anyhow::ensure!(
        from <= bounds.next,
        "--from {from} is behind the end of the results, whose offsets are {} to {}; give one of them",
        bounds.first,
        bounds.next
    );
    let (mut out, mut reader) = (super::print::output(), RecordReader::default());
    let mut next = from.max(bounds.first);
    let (mut left_out, mut is_behind_damage, mut damage) = (0_u64, false, None);
    loop {
        match read_before_damage(log, next, READ_BYTES, is_damage) {
            Err(error) if is_damage(&error) => {
                out.flush().context("write to standard output")?;
                if !skip_damaged || next >= bounds.next {
                    return Err(error).context("--skip-damaged prints what is behind damage");
                }
                if !is_behind_damage {
                    super::print::message(format_args!("derived-statsd: {error}; it is left out"));
                }
                (next, left_out, is_behind_damage) = (next + 1, left_out + 1, true);
                damage.get_or_insert(error);
            }
            batch => {
                let batch = batch?;
                if batch.is_empty() {
                    break;
                }
                (next, is_behind_damage) = (batch.next_offset(), false);
                write(&batch, &mut reader, &mut out)?;
            }
        }
    }
    out.flush().context("write to standard output")?;
    let text = || format!("{left_out} records of the results are damaged, or between damage, and left out");
    damage.map_or(Ok(()), |error| Err(error).with_context(text))
}

/// Writes the results of a batch as lines.
fn write(batch: &RecordBatch, reader: &mut RecordReader, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for record in batch.records() {
        lines.clear();
        let read = reader.each(record.offset, record.payload, |_, result| {
            result.write_line(&mut lines);
            lines.push(b'\n');
        });
        read.with_context(|| format!("read the results at offset {}", record.offset))?;
        out.write_all(&lines).context("write to standard output")?;
    }
    Ok(())
}

fn is_damage(error: &LogError) -> bool {
    // A bad disk gives an error of the system as well.
    matches!(error, LogError::CorruptFrame { .. } | LogError::Io { .. })
}
