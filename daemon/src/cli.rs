//! The command line: the list of commands. The arguments of each stand beside its code in [`commands`](crate::commands).
//!
//! Usage errors end with exit code 2 (clap's), a bad annotation too, a bad configuration with 64, a failed start
//! with 1; see `docs/src/reference/tools.md`.

use clap::{Parser, Subcommand};

use crate::commands::aggregate::AggregateArgs;
use crate::commands::backup::BackupArgs;
use crate::commands::check::CheckArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::detect::DetectArgs;
use crate::commands::eval::EvalArgs;
use crate::commands::explain::ExplainArgs;
use crate::commands::generate::{CompletionsArgs, ManArgs};
use crate::commands::health::HealthArgs;
use crate::commands::merge::MergeArgs;
use crate::commands::migrate::MigrateArgs;
use crate::commands::replay::ReplayArgs;
use crate::commands::restore::RestoreArgs;
use crate::commands::results::ResultsArgs;
use crate::commands::run::RunArgs;
use crate::commands::simulate::SimulateArgs;
use crate::commands::size::SizeArgs;
use crate::commands::tap::TapArgs;
use crate::commands::telegraf_config::TelegrafConfigArgs;
use crate::commands::test::TestArgs;
use crate::commands::token::TokenArgs;
use crate::commands::top::TopArgs;
use crate::commands::topics::TopicsArgs;
use crate::commands::validate::ValidateArgs;

/// Streaming aggregation of Contrail metrics: proxy UVEs from annotations, durable, in one binary.
#[derive(Debug, Parser)]
#[command(name = "derived-statsd", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon.
    Run(RunArgs),
    /// Append recorded samples to the log and, on the embedded log, wait until they are applied.
    Replay(ReplayArgs),
    /// Run proxy types or an annotation over recorded files, without a log.
    Aggregate(AggregateArgs),
    /// Merge the partial states of `aggregate --partial` to the results of one `aggregate` over all samples.
    Merge(MergeArgs),
    /// Run a detector over recorded series: scores, band, alarms, and a picture.
    Detect(DetectArgs),
    /// Run the daemon on simulated vrouters and Contiv nodes, and show the anomalies it detects.
    Demo(DemoArgs),
    /// Serve a simulated cluster on loopback, to be scraped.
    Simulate(SimulateArgs),
    /// Compute what a number of objects and samples takes: memory, disk, CPU, partitions, retention.
    Size(SizeArgs),
    /// Print a Telegraf configuration that reads Contiv's traffic from this daemon.
    TelegrafConfig(TelegrafConfigArgs),
    /// Print the results log as NDJSON.
    Results(ResultsArgs),
    /// Copy the data directory, also of a running daemon.
    Backup(BackupArgs),
    /// Read all of a data directory, also of a running daemon, and name every damage; `--salvage` writes what can be read.
    Check(CheckArgs),
    /// Move the states of a data directory to more partitions or to Kafka, or those of a Kafka group to a directory.
    Migrate(MigrateArgs),
    /// Make a data directory of a copy.
    Restore(RestoreArgs),
    /// Compare the Kafka topics with those that the group needs; `--create` creates the missing ones.
    Topics(TopicsArgs),
    /// Show cursor, lag and watermark of each partition of a running daemon.
    Top(TopArgs),
    /// Show the samples of a stream or an object of a running daemon with their outcomes, and their results.
    Tap(TapArgs),
    /// Make the token of a client of the HTTP server.
    Token(TokenArgs),
    /// Ask a running daemon whether it is well: the probe of a container.
    Health(HealthArgs),
    /// Check a configuration and print every problem with its remedy.
    Validate(ValidateArgs),
    /// Run unit tests of a configuration: samples with times, and the results that must come of them.
    Test(TestArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Write the man pages, for a package.
    #[command(hide = true)]
    Man(ManArgs),
    /// Explain what an annotation computes.
    Explain(ExplainArgs),
    /// Run a pipeline over NDJSON events from standard input, one answer line for each.
    Eval(EvalArgs),
}
