//! `derived-statsd migrate` moves the states of a daemon: to more partitions, to Kafka, and back.

mod from_kafka;
mod regrow;
mod streams;
mod to_kafka;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use daemon_kafka::migration::{GroupStates, InputStart};
use daemon_log::{EmbeddedLog, LogConfig, PartitionId};
use daemon_log_tools::Report;

use super::check::found;
use super::print::{message, print};
use crate::commands::config_args::ConfigArgs;
use crate::config::Loaded;
use crate::settings;

/// Arguments of `migrate`.
#[derive(Args, Debug)]
#[command(override_usage = "derived-statsd migrate --partitions <N> [OPTIONS] <DIRECTORY> <NEW>
       derived-statsd migrate --to-kafka [--input <START>] [OPTIONS] <DIRECTORY>
       derived-statsd migrate --from-kafka [--partitions <N>] [OPTIONS] <NEW>")]
pub(crate) struct MigrateArgs {
    /// The partitions of each stream in the new directory: a multiple of those that the directory has. With
    /// --from-kafka any number, without it log.partitions.
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024),
        required_unless_present_any = ["to_kafka", "from_kafka"], conflicts_with = "to_kafka",
    )]
    pub(crate) partitions: Option<u16>,
    /// Write the states of the directory to the state topics of the Kafka group of the configuration, which must have
    /// none and no members.
    #[arg(long, conflicts_with = "from_kafka")]
    pub(crate) to_kafka: bool,
    /// Make the new directory of the states of the Kafka group of the configuration, which must have no members and
    /// have applied its input.
    #[arg(long)]
    pub(crate) from_kafka: bool,
    /// Where the group begins with records that its input topics have already. Needed only if they have some.
    // What conflicts with --to-kafka would satisfy the requirement.
    #[arg(long, value_name = "START", requires = "to_kafka", conflicts_with_all = ["from_kafka", "new", "partitions"])]
    pub(crate) input: Option<Start>,
    /// The data directory; with --from-kafka the one to make.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// The data directory to make, which must be empty or missing.
    #[arg(
        value_name = "NEW", required_unless_present_any = ["to_kafka", "from_kafka"],
        conflicts_with_all = ["to_kafka", "from_kafka"],
    )]
    pub(crate) new: Option<PathBuf>,
    /// It must have all streams of the states, with the proxy types that they were saved with.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Start {
    /// With the oldest record: the daemon of the directory has taken none of these samples.
    Start,
    /// Behind the newest record: the daemon of the directory has taken all of these samples.
    End,
}

/// Moves the states; their source stays as it is.
///
/// # Errors
///
/// Fails if the source is in use or has input that is not applied, if the target is not empty or cannot be written,
/// and if the configuration is not that of the states. Nothing of the target counts then.
pub(crate) fn run(args: &MigrateArgs, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let input = args.input.map(|start| match start {
        Start::Start => InputStart::Start,
        Start::End => InputStart::End,
    });
    match (&args.new, args.partitions) {
        _ if args.to_kafka => to_kafka::run(&args.directory, input, loaded),
        (None, partitions) => {
            from_kafka::run(&args.directory, partitions.unwrap_or(loaded.config.log.partitions), loaded)
        }
        (Some(new), Some(partitions)) => regrow::run(&args.directory, new, partitions, loaded),
        (Some(_), None) => anyhow::bail!("--partitions N is missing"),
    }
}

/// Opens a log: its lock keeps daemons away, and it cuts off what a kill has torn.
fn lock(directory: &Path) -> anyhow::Result<EmbeddedLog> {
    let log = EmbeddedLog::open_existing(directory, LogConfig::default());
    log.with_context(|| format!("open the log in {}", directory.display()))
}

/// Names the damage because of which nothing was written.
fn damaged(report: &Report, directory: &Path) -> anyhow::Result<ExitCode> {
    print(&found(report, 0)).context("write to standard output")?;
    message(format_args!("error: {} is damaged; restore a copy, or salvage it first", directory.display()));
    Ok(ExitCode::FAILURE)
}

/// Whether a state that is of no stream of the configuration is that of a source, of the index or of the view: these have no
/// input, and a state in their first partition only.
fn is_of_the_daemon(partition: PartitionId, cursor: u64) -> bool {
    partition.partition == 0 && cursor == 0
}

/// The group of the configuration.
fn group(loaded: &Loaded) -> anyhow::Result<GroupStates> {
    anyhow::ensure!(
        !loaded.config.kafka.brokers.trim().is_empty(),
        "no broker is configured; set kafka.brokers to `host:port`, such as `--set kafka.brokers=10.0.0.5:9092`"
    );
    GroupStates::new(&settings::group(loaded)?, &settings::plans(&loaded.streams), &loaded.streams.alarms)
}
