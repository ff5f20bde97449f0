//! The command line: what can be asked of the program.
//!
//! Usage errors end with exit code 2 (clap's), a bad annotation too, a bad configuration with 64, a failed start
//! with 1; see `docs/src/reference/tools.md`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use derived_stats::{Annotation, AnnotationError, Context, MetricKind, Periods, Registry, Silence, Spec, ValueType};

use proxy_uve::wire::line::LineForm;

use crate::config::Sources;

/// The period of the struct that the tools assume around an annotation, in seconds: that of the built-in proxy types.
pub(crate) const ASSUMED_PERIOD_SECONDS: u32 = 60;

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
    Run(ConfigArgs),
    /// Feed files of samples to the log as fast as it takes them, then stop.
    Replay(ReplayArgs),
    /// Aggregate recorded files without a log: what would this annotation have said?
    Aggregate(AggregateArgs),
    /// Start with simulated vrouters and show their anomaly on this terminal.
    Demo(DemoArgs),
    /// Serve a simulated cluster on loopback, to be scraped.
    Simulate(crate::tools::simulate::SimulateArgs),
    /// Print a Telegraf configuration that reads Contiv's traffic from this daemon.
    TelegrafConfig(crate::tools::telegraf_config::TelegrafConfigArgs),
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

/// Where the configuration comes from. Later ones win: defaults, collector's file, our file, environment, flags.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// Our TOML file, or an existing contrail-collector.conf (recognised by `.conf`).
    #[arg(long, alias = "conf_file", value_name = "FILE", env = "DERIVED_STATSD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// An existing contrail-collector.conf, whatever its name.
    #[arg(long, value_name = "FILE")]
    pub(crate) collector_conf: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Single settings on the command line.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// One setting, such as `--set http.listen=127.0.0.1:9000`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The streams and their proxy types, as the original's flag; a repetition adds to it.
    #[arg(long = "DEFAULT.uve_proxy_list", value_name = "LIST")]
    pub(crate) uve_proxy_list: Vec<String>,
}

impl ConfigArgs {
    /// These flags and the process's environment, as the loader wants them.
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            collector_file: self.collector_conf.clone(),
            environment: std::env::vars_os().collect(),
            uve_proxy_list: self.overrides.uve_proxy_list.clone(),
            set: self.overrides.set.clone(),
        }
    }
}

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Files of samples, one a line, plain or compressed (.gz, .zst).
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// At the end, close the windows that are still open and write their results. Without it they stay open, as samples
    /// of the same time may still come.
    #[arg(long)]
    pub(crate) close_windows: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Arguments of `aggregate`.
#[derive(Args, Debug)]
pub(crate) struct AggregateArgs {
    /// Files of records, one a line, plain or compressed (.gz, .zst); `-` is standard input. Several are read side by
    /// side, in the order of their records' time.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The form of the lines: `{"ts":µs,"key":…,"attr":…,"value":…}`, or key, tab, Contrail's XML element. Without it
    /// the first byte of each line tells.
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    /// What to compute of the `value` of each key and attribute, such as `1.DSSum-value:DSAnomaly:EWM:0.1`. Without it,
    /// the proxy types of the schema.
    #[arg(long, conflicts_with = "schema")]
    pub(crate) annotation: Option<String>,
    /// The annotation's period.
    #[arg(long, value_name = "SECONDS", default_value_t = ASSUMED_PERIOD_SECONDS,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) period: u32,
    /// The annotation's element type: f64 takes every number and is exact for integers up to 2^53, u64 and i64 are
    /// exact for all of theirs.
    #[arg(long = "type", value_enum, default_value_t = TypeArg::F64)]
    pub(crate) value_type: TypeArg,
    /// What a period without samples means to the annotation's detector: the first one of a row is a zero (once), each
    /// is one (zero), or none is (skip).
    #[arg(long, value_enum, default_value_t = SilenceArg::Once)]
    pub(crate) silence: SilenceArg,
    /// Proxy types in Sandesh syntax to run instead of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// How far behind the newest record a record may be and still count, as aggregation.allowed_lateness of the daemon.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = daemon_base::setting::duration::parse)]
    pub(crate) allowed_lateness: std::time::Duration,
    /// Threads at work; the rows are the same for any number. Up to 16.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Where the rows go: CSV, or JSON lines if it ends in .ndjson; without it, CSV to standard output.
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Begin the CSV with the names of its columns.
    #[arg(long)]
    pub(crate) header: bool,
    /// Stop at the first bad line. Without it, bad lines are counted, the first ten named, and left out.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// The meanings of a silent period, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SilenceArg {
    Once,
    Skip,
    Zero,
}

impl From<SilenceArg> for Silence {
    fn from(silence: SilenceArg) -> Self {
        match silence {
            SilenceArg::Once => Self::Once,
            SilenceArg::Skip => Self::Skip,
            SilenceArg::Zero => Self::Zero,
        }
    }
}

/// The forms of a recorded line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatArg {
    Ndjson,
    Contrail,
}

impl From<FormatArg> for LineForm {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Ndjson => Self::Json,
            FormatArg::Contrail => Self::Tabbed,
        }
    }
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Stop after this long, such as 90s; without it, run until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = daemon_base::setting::duration::parse)]
    pub(crate) duration: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Arguments of `results`.
#[derive(Args, Debug)]
pub(crate) struct ResultsArgs {
    /// The offset of the first result to print.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub(crate) from: u64,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Arguments of `topics`.
#[derive(Args, Debug)]
pub(crate) struct TopicsArgs {
    /// Create what is missing, input topics too.
    #[arg(long)]
    pub(crate) create: bool,
    /// Print one JSON object for each topic instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Arguments of `top`.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Where a daemon's HTTP server is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub(crate) url: String,
    /// How often to look, at least 100ms.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = daemon_base::setting::duration::parse)]
    pub(crate) interval: std::time::Duration,
    /// Print one table and stop.
    #[arg(long)]
    pub(crate) once: bool,
    /// All partitions, not only as many as the terminal has lines for.
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// The file to check: TOML, or a contrail-collector.conf.
    #[arg(value_name = "CONFIG")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Print one JSON object instead of words.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// An annotation and what its struct would say about the metric.
#[derive(Args, Debug)]
pub(crate) struct PipelineArgs {
    /// The element type of the samples.
    #[arg(long = "type", value_enum, default_value_t = TypeArg::U64)]
    pub(crate) value: TypeArg,
    /// What the samples are: plain values, a cumulative counter (agg), or differences already (diff).
    #[arg(long, value_enum, default_value_t = MetricArg::Plain)]
    pub(crate) metric: MetricArg,
    /// The metric is a map of values; every key has a pipeline of its own.
    #[arg(long)]
    pub(crate) mstats: bool,
    /// Such as `1.DSSum-raw:DSAnomaly:EWM:0.1`.
    pub(crate) annotation: String,
}

/// The element types, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TypeArg {
    F64,
    I64,
    U64,
}

/// The kinds of metric, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MetricArg {
    Agg,
    Diff,
    Plain,
}

impl PipelineArgs {
    /// Compiles the annotation with the algorithms of `registry`: inline where it has no period or `0-`, else within a
    /// struct of [`ASSUMED_PERIOD_SECONDS`].
    pub(crate) fn compile(&self, registry: &Registry) -> Result<Spec, AnnotationError> {
        let annotation = Annotation::parse(&self.annotation)?;
        let periods = match annotation.period() {
            Some(period) if period.every() > 0 => Periods::Every { seconds: ASSUMED_PERIOD_SECONDS },
            _ => Periods::Plain,
        };
        let (value, metric) = (self.value.into(), self.metric.into());
        Spec::compile(
            &annotation,
            Context::new(value).with_metric(metric).with_periods(periods).with_registry(registry),
        )
    }
}

impl From<TypeArg> for ValueType {
    fn from(value: TypeArg) -> Self {
        match value {
            TypeArg::F64 => Self::F64,
            TypeArg::I64 => Self::I64,
            TypeArg::U64 => Self::U64,
        }
    }
}

impl From<MetricArg> for MetricKind {
    fn from(metric: MetricArg) -> Self {
        match metric {
            MetricArg::Agg => Self::Agg,
            MetricArg::Diff => Self::Diff,
            MetricArg::Plain => Self::Plain,
        }
    }
}
