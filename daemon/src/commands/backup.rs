//! `derived-statsd backup` copies the data directory of a daemon, which may run meanwhile.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use daemon_log::{EmbeddedLog, Log as _, PartitionLog as _};

use crate::commands::config_args::ConfigArgs;
use crate::engine::{LogSettings, copy_partitions};

/// Arguments of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The directory to create for the copy.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Copies the embedded log to `target`, opens the copy as a daemon would, and reads the states of all partitions.
///
/// # Errors
///
/// Fails if there is no log, if `target` exists or cannot be written, or if the copy cannot be opened; then it stays, for
/// what can be read of it.
pub(crate) fn run(settings: &LogSettings, target: &Path) -> anyhow::Result<()> {
    let LogSettings::Embedded(own) = settings else {
        anyhow::bail!(
            "log.kind is \"kafka\": this daemon keeps nothing of its own; copy the topics with Kafka's tools"
        );
    };
    let from = &own.data_dir;
    let bytes = EmbeddedLog::backup(from, target)
        .with_context(|| format!("copy the log in {} (log.data_dir) to {}", from.display(), target.display()))?;
    copy_partitions(from, target)?;
    let log = EmbeddedLog::open(target, own.log.clone());
    let log = log.with_context(|| format!("open the copy in {}", target.display()))?;
    let partitions = log.stats()?.partitions;
    for partition in &partitions {
        let restored = log.restore(partition.partition);
        restored.with_context(|| format!("read the states in the copy in {}", target.display()))?;
    }
    let (results, mebibytes) = (log.results_bounds()?.next, bytes.div_ceil(1024 * 1024));
    println!(
        "Copied {mebibytes} MiB to {}: {} partitions, results up to offset {results}. The copy opens, and all states are \
         readable.",
        target.display(),
        partitions.len(),
    );
    Ok(())
}
