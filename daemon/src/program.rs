//! The program: from its arguments to the exit code of a command.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use derived_stats::Registry;

use crate::cli::{Cli, Command};
use crate::commands::config_args::ConfigArgs;
use crate::config::{self, Loaded};
use crate::{app, commands, logging, settings};

/// `EX_USAGE` of sysexits.h, by which service managers know not to try again.
const BAD_CONFIGURATION: u8 = 64;

/// The daemon and its tools as one program, which [`Daemon::builder`] makes.
#[derive(Debug)]
pub enum Daemon {}

impl Daemon {
    /// A program with the built-in algorithms only.
    pub fn builder() -> DaemonBuilder {
        DaemonBuilder::default()
    }
}

/// What a program adds to the daemon, and the methods that run it.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before `run` or `run_from`"]
pub struct DaemonBuilder {
    registry: Registry,
}

impl DaemonBuilder {
    /// Adds the algorithms of `registry` to the built-in ones, in place of those of an earlier call.
    ///
    /// An annotation can name them wherever it is compiled: in `eval`, `explain`, `aggregate` and `validate`, and in
    /// the files of `aggregation.schema_files` that `run`, `replay` and `demo` read.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Runs the command that the process's arguments name, until it is done.
    ///
    /// Errors are printed on standard error; the exit codes are those of the [crate documentation](crate#exit-codes).
    pub fn run(self) -> ExitCode {
        self.run_from(std::env::args_os())
    }

    /// As [`run`](Self::run), with arguments that the caller gives. The first one is the program's name.
    ///
    /// ```
    /// use std::process::ExitCode;
    ///
    /// use derived_statsd::Daemon;
    ///
    /// assert_eq!(Daemon::builder().run_from(["mine", "explain", "raw:DSSum"]), ExitCode::SUCCESS);
    /// assert_eq!(Daemon::builder().run_from(["mine", "explain", "raw:Mine"]), ExitCode::from(2));
    /// ```
    pub fn run_from<A: Into<OsString> + Clone>(self, args: impl IntoIterator<Item = A>) -> ExitCode {
        match Cli::try_parse_from(args) {
            Ok(cli) => self.execute(cli.command).unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }),
            Err(error) => {
                // A reader that has gone away (`--help | head`) is not an error.
                let _ = error.print();
                u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
            }
        }
    }

    fn execute(&self, command: Command) -> anyhow::Result<ExitCode> {
        let registry = &self.registry;
        match command {
            Command::Eval(args) => commands::eval::run(&args, registry),
            Command::Explain(args) => commands::explain::run(&args, registry),
            Command::Simulate(args) => commands::simulate::run(&args),
            Command::TelegrafConfig(args) => commands::telegraf_config::run(&args),
            Command::Top(args) => commands::top::run(&args),
            Command::Validate(args) => commands::validate::run(&args, registry, BAD_CONFIGURATION),
            Command::Run(args) => self.configured(&args, |loaded| app::run(settings::app(&loaded)?)),
            Command::Replay(args) => self.configured(&args.config, |loaded| {
                commands::replay::run(&settings::engine(&loaded)?, &args.files, args.close_windows)
            }),
            Command::Aggregate(args) => commands::aggregate::run(&args, registry),
            Command::Demo(args) => self.configured(&args.config, |loaded| commands::demo::run(loaded, args.duration)),
            Command::Topics(args) => self.configured(&args.config, |loaded| commands::topics::run(&args, &loaded)),
            Command::Results(args) => self
                .configured(&args.config, |loaded| commands::results::run(&settings::log(&loaded.config)?, args.from)),
        }
    }

    /// Loads the configuration, starts logging, and does `work`.
    fn configured(
        &self,
        args: &ConfigArgs,
        work: impl FnOnce(Loaded) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let loaded = match config::load(&args.sources(), &self.registry) {
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
}
