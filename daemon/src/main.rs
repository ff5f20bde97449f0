//! `derived-statsd`: the daemon and its tools in one binary.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped in order |
//! | 1 | the start or the work failed |
//! | 2 | a bad annotation or a wrong argument |
//! | 64 | a bad configuration |

mod aggregate;
mod app;
mod backoff;
mod cli;
mod clock;
mod config;
mod contiv;
mod demo;
mod engine;
mod fault;
mod http;
mod intake;
mod kafka;
mod log;
mod logging;
mod outbound;
mod places;
mod poller;
mod recorded;
mod replay;
mod restored;
mod result_line;
mod results;
mod servers;
mod settings;
mod sink;
mod splitmix;
mod stop;
mod telemetry;
mod tools;
mod view;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigArgs};
use crate::config::Loaded;

/// `EX_USAGE` of sysexits.h, by which service managers know not to try again.
const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Eval(args) => tools::eval::run(&args),
        Command::Explain(args) => tools::explain::run(&args),
        Command::Simulate(args) => tools::simulate::run(&args),
        Command::TelegrafConfig(args) => tools::telegraf_config::run(&args),
        Command::Top(args) => tools::top::run(&args),
        Command::Validate(args) => tools::validate::run(&args, BAD_CONFIGURATION),
        Command::Run(args) => configured(&args, |loaded| app::run(settings::app(&loaded)?)),
        Command::Replay(args) => {
            configured(&args.config, |loaded| replay::run(&settings::engine(&loaded)?, &args.files, args.close_windows))
        }
        Command::Aggregate(args) => aggregate::run(&args),
        Command::Demo(args) => configured(&args.config, |loaded| demo::run(loaded, args.duration)),
        Command::Topics(args) => configured(&args.config, |loaded| kafka::topics::command::run(&args, &loaded)),
        Command::Results(args) => {
            configured(&args.config, |loaded| results::run(&settings::log(&loaded.config)?, args.from))
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Loads the configuration, starts logging, and does `work`.
fn configured(args: &ConfigArgs, work: impl FnOnce(Loaded) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let loaded = match config::load(&args.sources()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
    };
    if let Err(error) = logging::start(loaded.config.logging.format) {
        eprintln!("{error:#}");
        return Ok(ExitCode::from(BAD_CONFIGURATION));
    }
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    work(loaded).map(|()| ExitCode::SUCCESS)
}
