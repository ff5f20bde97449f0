//! `telegraf-config` prints a configuration with which a current Telegraf reads Contiv's traffic from this daemon.
//!
//! It replaces `backendConfig.sh`, `endpointExtract.py` and `configBase.conf` of Contiv's backend, which configured
//! Telegraf 0.13. The reasons for its form, found with Telegraf 1.37:
//!
//! * Telegraf 1.30 removed `inputs.httpjson`; `inputs.http` with a JSON parser replaces it. It makes one point of each
//!   object of a list, so one URL serves all endpoints, and a new endpoint needs no new configuration.
//! * The `json` parser makes every number a float, which rounds from 2^53 on. `json_v2` with `uint` is exact. The
//!   output writes integers, capped at 2^63-1 like those of the daemon's sink. Its time grows with the square of the
//!   list's length: 0.2 s for 5,000 pairs, 2 s for 20,000, 15 s for 60,000. Larger clusters need the daemon's own sink.
//! * The tag `server` is the node's name, from the list (`server` in the URL): a constant would join the series of an
//!   endpoint that Netplugin has on two nodes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::setting::duration;

use super::http_url::http_url;

/// The configuration, with names in double braces in place of the arguments.
const TEMPLATE: &str = include_str!("telegraf_config/telegraf.conf");

/// Arguments of `telegraf-config`.
#[derive(Args, Debug)]
pub(crate) struct TelegrafConfigArgs {
    /// The URL at which Telegraf reaches the contiv.listen address of this daemon.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4000", value_parser = http_url)]
    adapter: String,
    /// The URL of the InfluxDB that Telegraf writes to.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086", value_parser = http_url)]
    influxdb: String,
    /// The database in that InfluxDB.
    #[arg(long, value_name = "NAME", default_value = "telegraf")]
    database: String,
    /// The interval of Telegraf's requests, in whole seconds; Contiv's page needs a point of each pair every 15
    /// seconds.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = interval)]
    interval: Duration,
}

/// Prints the configuration.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn run(args: &TelegrafConfigArgs) -> anyhow::Result<ExitCode> {
    super::print::print(&config(args)).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &TelegrafConfigArgs) -> String {
    // A response must arrive before the next request; 5 s is the timeout of Contiv's own configuration.
    let timeout = args.interval.as_secs().min(5);
    let placeholders = [
        ("{{all pairs}}", quoted(&format!("{}/?all&server", args.adapter))),
        ("{{database}}", quoted(&args.database)),
        ("{{influxdb}}", quoted(&args.influxdb)),
        ("{{interval}}", quoted(&format!("{}s", args.interval.as_secs()))),
        ("{{timeout}}", quoted(&format!("{timeout}s"))),
    ];
    // One pass over the template, so that a placeholder within an argument is not replaced.
    let mut config = String::new();
    let mut rest = TEMPLATE;
    let next =
        |rest: &str| placeholders.iter().filter_map(|placeholder| Some((rest.find(placeholder.0)?, placeholder))).min();
    while let Some((at, (name, value))) = next(rest) {
        config.push_str(&rest[..at]);
        config.push_str(value);
        rest = &rest[at + name.len()..];
    }
    config + rest
}

/// The text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    let whole = interval.subsec_nanos() == 0 && interval.as_secs() > 0;
    whole.then_some(interval).ok_or_else(|| format!("expected whole seconds, at least \"1s\", found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> TelegrafConfigArgs {
        TelegrafConfigArgs {
            adapter: "http://a:4000".to_owned(),
            influxdb: "http://b:8086".to_owned(),
            database: "telegraf".to_owned(),
            interval: Duration::from_secs(10),
        }
    }

    #[test]
    fn an_argument_stays_one_toml_string() {
        let odd = r#"a"b\c{{interval}}'"#;
        let config = config(&TelegrafConfigArgs { database: odd.to_owned(), ..args() });
        let config: toml::Table = config.parse().unwrap();
        assert_eq!(config["outputs"]["influxdb"][0]["database"].as_str(), Some(odd));
        assert_eq!(config["agent"]["interval"].as_str(), Some("10s"));
    }

    #[test]
    fn the_timeout_is_at_most_the_interval() {
        for (interval, timeout) in [(1, "1s"), (5, "5s"), (10, "5s"), (86_400, "5s")] {
            let config = config(&TelegrafConfigArgs { interval: Duration::from_secs(interval), ..args() });
            let config: toml::Table = config.parse().unwrap();
            assert_eq!(config["agent"]["interval"].as_str(), Some(&*format!("{interval}s")));
            assert_eq!(config["inputs"]["http"][0]["timeout"].as_str(), Some(timeout));
        }
    }

    #[test]
    fn only_whole_seconds_are_accepted() {
        assert_eq!(interval("2m"), Ok(Duration::from_secs(120)));
        for text in ["0s", "500ms", "1500ms", "10"] {
            assert!(interval(text).is_err(), "{text:?} was taken");
        }
    }
}
