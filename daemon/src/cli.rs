//! The command line: the list of commands. The arguments of each stand beside its code in [`commands`](crate::commands).
//!
//! Usage errors end with exit code 2 (clap's), a bad annotation too, a bad configuration with 64, a failed start
//! with 1; see `docs/src/reference/tools.md`.

use clap::{Parser, Subcommand};

use crate::commands::aggregate::AggregateArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::eval::EvalArgs;
use crate::commands::explain::ExplainArgs;
use crate::commands::replay::ReplayArgs;
use crate::commands::results::ResultsArgs;
use crate::commands::run::RunArgs;
use crate::commands::simulate::SimulateArgs;
use crate::commands::telegraf_config::TelegrafConfigArgs;
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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon.
    Run(RunArgs),
    /// Feed files of samples to the log as fast as it takes them, then stop.
    Replay(ReplayArgs),
    /// Aggregate recorded files without a log: what would this annotation have said?
    Aggregate(AggregateArgs),
    /// Start with simulated vrouters and show their anomaly on this terminal.
    Demo(DemoArgs),
    /// Serve a simulated cluster on loopback, to be scraped.
    Simulate(SimulateArgs),
    /// Print a Telegraf configuration that reads Contiv's traffic from this daemon.
    TelegrafConfig(TelegrafConfigArgs),
    /// Print the results log as NDJSON.
    Results(ResultsArgs),
    /// Say which Kafka topics there are, are missing or are wrong; create those that are missing.
    Topics(TopicsArgs),
    /// Show where the partitions of a running daemon stand, again and again.
    Top(TopArgs),
    /// Check a configuration and print every problem with its remedy.
    Validate(ValidateArgs),
    /// Say in words what an annotation computes.
    Explain(ExplainArgs),
    /// Run a pipeline over NDJSON events from standard input, one answer line for each.
    Eval(EvalArgs),
}
