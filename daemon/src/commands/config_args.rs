//! The arguments of the configuration, which all commands with a configuration share.

use std::path::PathBuf;

use clap::Args;

use crate::config::Sources;

/// The sources of the configuration. A later source wins: defaults, collector's file, TOML file, environment, flags.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConfigArgs {
    /// The TOML file, or an existing contrail-collector.conf (recognised by `.conf`).
    #[arg(long, alias = "conf_file", value_name = "FILE", env = "DERIVED_STATSD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// An existing contrail-collector.conf under any name.
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
    /// The streams and their proxy types, as the flag of contrail-collector; repetitions add to the list.
    #[arg(long = "DEFAULT.uve_proxy_list", value_name = "LIST")]
    pub(crate) uve_proxy_list: Vec<String>,
}

impl ConfigArgs {
    /// The sources of these flags and of the environment of the process.
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            text: None,
            collector_file: self.collector_conf.clone(),
            environment: std::env::vars_os().collect(),
            uve_proxy_list: self.overrides.uve_proxy_list.clone(),
            set: self.overrides.set.clone(),
        }
    }
}
