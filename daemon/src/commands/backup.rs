//! `derived-statsd backup` copies the data directory of a daemon, which may run meanwhile.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use daemon_log::{Bounds, EmbeddedLog, Log as _, LogError, PartitionLog as _, PartitionStats};
use daemon_log_tools::{backup, make_private};

use crate::commands::check::partitions_of;
use crate::commands::config_args::ConfigArgs;
use crate::config::Config;
use crate::engine::{LogSettings, RESULT_INDEX, VIEW_CHECKPOINT};

/// The size of the reads that check the copy.
const READ_BYTES: usize = 1024 * 1024;

/// Arguments of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The directory to create for the copy.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) target: PathBuf,
    /// An older copy of the same directory on the same file system: files that it has already are linked.
    #[arg(long, value_name = "COPY")]
    pub(crate) onto: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Copies the embedded log to `target`, opens the copy as a daemon would, and reads what a daemon reads: the states, the
/// input that is not applied, and the results.
///
/// # Errors
///
/// Fails if there is no log, if `target` exists or cannot be written, or if the copy has damage, which the log has then,
/// too; such a copy stays.
pub(crate) fn run(settings: &LogSettings, args: &BackupArgs) -> anyhow::Result<()> {
    let LogSettings::Embedded(own) = settings else {
        anyhow::bail!(
            "log.kind is \"kafka\": this daemon keeps nothing of its own; copy the topics with Kafka's tools"
        );
    };
    let (from, target, onto) = (&own.data_dir, args.target.as_path(), args.onto.as_deref());
    let is_default = args.config.config.is_none() && *from == Config::default().log.data_dir;
    let origin = if is_default { "the default of log.data_dir; --config FILE names another" } else { "log.data_dir" };
    let size = backup(from, target, onto)
        .with_context(|| format!("copy the log in {} ({origin}) to {}", from.display(), target.display()))?;
    let checked = EmbeddedLog::open(target, own.log.clone()).and_then(|log| check(&log));
    let Checked { states, results } = checked.with_context(|| format!("check the copy in {}", target.display()))?;
    // The check has opened it, which makes files.
    make_private(target).with_context(|| format!("keep the copy in {} private", target.display()))?;
    let linked = match onto {
        Some(onto) => format!(", and linked {} MiB of {}", size.linked.div_ceil(1024 * 1024), onto.display()),
        None => String::new(),
    };
    let copied = format!(
        "Copied {} MiB of {} ({origin}) to {}{linked}. The copy is whole: the states of {states} partitions, {results} records of results.\n",
        size.copied.div_ceil(1024 * 1024),
        from.display(),
        target.display(),
    );
    super::print::print(&copied).context("write to standard output")?;
    partitions_of(target).map(drop).map_err(|damage| {
        anyhow::anyhow!(
            "{damage}; put the number back in {} too, and restore this copy with --partitions N",
            from.display()
        )
    })
}

/// What was read of a copy.
struct Checked {
    states: usize,
    results: u64,
}

fn check(log: &EmbeddedLog) -> Result<Checked, LogError> {
    let mut checked = Checked { states: 0, results: 0 };
    // They are worth nothing without the results, and a start does without them.
    let without = [log.find_stream(VIEW_CHECKPOINT)?, log.find_stream(RESULT_INDEX)?];
    for PartitionStats { partition, bounds, .. } in log.stats()?.partitions {
        if without.contains(&Some(partition.stream)) {
            continue;
        }
        let restored = log.restore(partition)?;
        checked.states += usize::from(restored.is_some());
        let mut next = restored.map_or(bounds.first, |restored| restored.cursor);
        while next < bounds.next {
            next = log.read(partition, next, READ_BYTES)?.next_offset();
        }
    }
    let Bounds { first, next: end } = log.results_bounds()?;
    let mut next = first;
    while next < end {
        next = log.read_results(next, READ_BYTES)?.next_offset();
    }
    checked.results = end - first;
    Ok(checked)
}
