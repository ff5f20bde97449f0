//! The arguments that `aggregate` and `merge` share: what is computed, and where the rows go.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use derived_stats::Silence;

use crate::commands::pipeline_args::{ASSUMED_PERIOD_SECONDS, TypeArg};

/// The computation and the output.
#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    /// The annotation to compute for the `value` of each key and attribute, such as `1.DSSum-value:DSAnomaly:EWM:0.1`.
    /// The default is the proxy types of the schema.
    #[arg(long, conflicts_with = "schema")]
    pub(crate) annotation: Option<String>,
    /// The period of the annotation.
    #[arg(long, value_name = "SECONDS", default_value_t = ASSUMED_PERIOD_SECONDS, requires = "annotation",
          conflicts_with = "schema", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) period: u32,
    /// The element type of the annotation: f64 accepts every number and is exact for integers up to 2^53; u64 and i64
    /// accept integers of their range only and are exact.
    #[arg(long = "type", value_enum, default_value_t = TypeArg::F64, requires = "annotation",
          conflicts_with = "schema")]
    pub(crate) value_type: TypeArg,
    /// The value of a period without samples for the detector of the annotation: zero for the first one in a row
    /// (once), zero for each one (zero), or none (skip).
    #[arg(long, value_enum, default_value_t = SilenceArg::Once, requires = "annotation", conflicts_with = "schema")]
    pub(crate) silence: SilenceArg,
    /// A file of proxy types in Sandesh syntax, which replace the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// The output file: CSV, or JSON lines if its name ends in .ndjson. The default is CSV on standard output.
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Begin the CSV with a header line.
    #[arg(long)]
    pub(crate) header: bool,
}

/// The silence policies, as spelled on the command line.
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
