//! The program: from its arguments to the exit code of a command.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use daemon_sinks::Sink;
use daemon_sources::Source;
use derived_stats::entry::Entry;
use derived_stats::{RegisterError, Registry};

use crate::cli::{Cli, Command};
use crate::commands::config_args::ConfigArgs;
use crate::commands::print::{is_reader_gone, message};
use crate::config::{self, Loaded};
use crate::engine::permanent_damage;
use crate::extensions::Extensions;
use crate::{commands, logging, settings};

/// `EX_USAGE` of sysexits.h, by which service managers know not to try again.
const BAD_CONFIGURATION: u8 = 64;

/// `EX_DATAERR`: files are damaged, or are those of a newer program; the next start would end the same way.
const DAMAGE: u8 = 65;

/// The entry point of the daemon and its tools.
#[derive(Debug)]
pub enum Daemon {}

impl Daemon {
    /// A program with the built-in algorithms only.
    pub fn builder() -> DaemonBuilder {
        DaemonBuilder::default()
    }
}

/// The parts that a program adds to the daemon, and the methods that run it.
#[derive(Debug, Default)]
#[must_use = "nothing happens before `run` or `run_from`"]
pub struct DaemonBuilder {
    registry: Registry,
    refused: Option<RegisterError>,
    own: Extensions,
}

impl DaemonBuilder {
    /// Adds an algorithm to the built-in ones.
    ///
    /// An annotation can name it wherever it is compiled: in `eval`, `explain`, `aggregate` and `validate`, and in the
    /// files of `aggregation.schema_files` that `run`, `replay` and `demo` read. An entry that cannot be registered
    /// (its name is taken, say) makes [`run`](Self::run) fail with the reason.
    pub fn register(mut self, entry: &'static Entry) -> Self {
        if let Err(error) = self.registry.register(entry) {
            self.refused.get_or_insert(error);
        }
        self
    }

    /// Adds the algorithms of `registry` to the built-in ones, in place of those of earlier calls.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Adds a source of samples to `run` and `demo`.
    ///
    /// Its streams must be in `aggregation.uve_proxy_list`, as those of any source.
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        self.own.sources.push(Box::new(source));
        self
    }

    /// Adds a sink to `run`, `replay` and `demo`. Its name must differ from those of all other sinks; those of the sections
    /// of `[sinks]`, and `view`, are the daemon's own.
    ///
    /// A sink that stores its position is remembered: the log keeps results for it, up to
    /// `log.retention.results_hard_limit_bytes`, also when a later start does not add it any more.
    pub fn sink(mut self, sink: impl Sink + 'static) -> Self {
        self.own.sinks.push(Box::new(sink));
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
                if is_reader_gone(&error) {
                    return ExitCode::SUCCESS;
                }
                message(format_args!("error: {error:#}"));
                permanent_damage(&error).map_or(ExitCode::FAILURE, |_| ExitCode::from(DAMAGE))
            }),
            Err(error) => {
                // A reader that has gone away (`--help | head`) is not an error.
                let _ = error.print();
                u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
            }
        }
    }

    fn execute(self, command: Command) -> anyhow::Result<ExitCode> {
        let Self { registry, refused, mut own } = self;
        own.algorithms = registry.clone();
        refused.map_or(Ok(()), Err).context("register an algorithm")?;
        match command {
            Command::Eval(args) => commands::eval::run(&args, &registry),
            Command::Explain(args) => commands::explain::run(&args, &registry, BAD_CONFIGURATION),
            Command::Size(args) => commands::size::run(&args, &registry),
            Command::Simulate(args) => commands::simulate::run(&args),
            Command::TelegrafConfig(args) => commands::telegraf_config::run(&args),
            Command::Tap(args) => commands::tap::run(&args),
            Command::Top(args) => commands::top::run(&args),
            Command::Validate(args) => commands::validate::run(&args, &registry, BAD_CONFIGURATION),
            Command::Check(args) => loaded(&args.config, &registry, |loaded| commands::check::run(&args, &loaded)),
            Command::Migrate(args) => loaded(&args.config, &registry, |loaded| commands::migrate::run(&args, &loaded)),
            Command::Restore(args) => loaded(&args.config, &registry, |loaded| commands::restore::run(&args, &loaded)),
            Command::Completions(args) => commands::generate::completions(&args, Cli::command()),
            Command::Man(args) => commands::generate::man(&args, Cli::command()),
            Command::Health(args) => commands::health::run(&args),
            Command::Token(args) => commands::token::run(&args),
            Command::Test(args) => commands::test::run(&args, &registry, BAD_CONFIGURATION),
            Command::Aggregate(args) => commands::aggregate::run(&args, &registry),
            Command::Merge(args) => commands::merge::run(&args, &registry),
            Command::Detect(args) => commands::detect::run(&args, &registry),
            Command::Run(args) => configured(&args.config, &registry, |loaded| commands::run::run(&args, &loaded, own)),
            Command::Replay(args) => configured(&args.config, &registry, |loaded| {
                commands::replay::run(&args, &settings::engine(&loaded)?, own)
            }),
            Command::Demo(args) => {
                configured(&args.configuration()?, &registry, |loaded| commands::demo::run(loaded, &args, own))
            }
            Command::Topics(args) => {
                configured(&args.config, &registry, |loaded| commands::topics::run(&args, &loaded))
            }
            Command::Results(args) => configured(&args.config, &registry, |loaded| {
                commands::results::run(&settings::log(&loaded)?, args.from, args.skip_damaged)
            }),
            Command::Backup(args) => {
                configured(&args.config, &registry, |loaded| commands::backup::run(&settings::log(&loaded)?, &args))
            }
        }
    }
}

/// Loads the configuration, and does `work`.
fn loaded(
    args: &ConfigArgs,
    registry: &Registry,
    work: impl FnOnce(Loaded) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    match config::load(&args.sources(), registry) {
        Ok(loaded) => work(loaded),
        Err(problems) => {
            message(format_args!("{problems}"));
            Ok(ExitCode::from(BAD_CONFIGURATION))
        }
    }
}

/// Loads the configuration, starts logging, and does `work`.
fn configured(
    args: &ConfigArgs,
    registry: &Registry,
    work: impl FnOnce(Loaded) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    loaded(args, registry, |loaded| {
        let _logging = match logging::start(loaded.config.logging.format) {
            Ok(logging) => logging,
            Err(error) => {
                message(format_args!("{error:#}"));
                return Ok(ExitCode::from(BAD_CONFIGURATION));
            }
        };
        for notice in &loaded.notices {
            tracing::warn!("{notice}");
        }
        let Err(error) = work(loaded) else { return Ok(ExitCode::SUCCESS) };
        let Some(problems) = commands::preflight::problems(&error, &args.sources(), registry) else {
            return Err(error);
        };
        message(format_args!("error: {error:#}\n{problems}"));
        Ok(ExitCode::from(BAD_CONFIGURATION))
    })
}
