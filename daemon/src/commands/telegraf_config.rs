//! `telegraf-config`: a configuration with which a current Telegraf reads Contiv's traffic from this daemon.
//!
//! It does what the seed's `backendConfig.sh`, `endpointExtract.py` and `configBase.conf` did for Telegraf 0.13. Why it
//! is as it is, found with Telegraf 1.37:
//!
//! * `inputs.httpjson` is gone since 1.30; `inputs.http` with the `json` parser is in its place. It gives one point for
//!   each object of a list, so one URL serves all endpoints, and a new endpoint needs no new configuration.
//! * The `json` parser makes every number a float, and InfluxDB has integers from our own sink. `processors.converter`
//!   makes them `unsigned`, which the output writes as integers, capped at 2^63-1 as our sink does. Converted to
//!   `integer`, a counter from 2^63 on would come out negative.
//! * Numbers above 2^53 lose their last digits on the way through a float; that is 9 PB of one pair. `json_v2` would
//!   keep them, but takes time with the square of the list's length: 15 s of CPU for 60,000 pairs, where this takes
//!   0.6. `xpath_json` has the same floats, and fails the whole list for one counter from 2^63 on.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::setting::duration;

/// The configuration with names in double braces where the arguments go.
const TEMPLATE: &str = include_str!("telegraf_config/telegraf.conf");

/// Arguments of `telegraf-config`.
#[derive(Args, Debug)]
pub(crate) struct TelegrafConfigArgs {
    /// Where this daemon answers Contiv's page: what contiv.listen says, seen from Telegraf.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4000", value_parser = url)]
    adapter: String,
    /// InfluxDB, which Telegraf writes to.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086", value_parser = url)]
    influxdb: String,
    /// The database in it.
    #[arg(long, value_name = "NAME", default_value = "telegraf")]
    database: String,
    /// How often Telegraf asks, in whole seconds; Contiv's page wants a point of each pair in 15 seconds.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = interval)]
    interval: Duration,
}

/// Prints the configuration.
///
/// # Errors
///
/// When standard output cannot be written.
pub(crate) fn run(args: &TelegrafConfigArgs) -> anyhow::Result<ExitCode> {
    super::print::print(&config(args)).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &TelegrafConfigArgs) -> String {
    // No answer may take longer than the time to the next question; 5 s as the seed had it.
    let timeout = args.interval.as_secs().min(5);
    let places = [
        ("{{adapter}}", quoted(&args.adapter)),
        ("{{all pairs}}", quoted(&format!("{}/?all", args.adapter))),
        ("{{database}}", quoted(&args.database)),
        ("{{influxdb}}", quoted(&args.influxdb)),
        ("{{interval}}", quoted(&format!("{}s", args.interval.as_secs()))),
        ("{{timeout}}", quoted(&format!("{timeout}s"))),
    ];
    // Piece by piece: what an argument holds is not looked at again.
    let mut config = String::new();
    let mut rest = TEMPLATE;
    while let Some((at, (name, value))) = places.iter().filter_map(|place| Some((rest.find(place.0)?, place))).min() {
        config.push_str(&rest[..at]);
        config.push_str(value);
        rest = &rest[at + name.len()..];
    }
    config + rest
}

/// A TOML text.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// `http://…` or `https://…` without a slash at the end.
fn url(text: &str) -> Result<String, String> {
    let uri: Result<axum::http::Uri, _> = text.parse();
    let whole = uri.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    let expected = || format!("expected a URL such as \"http://127.0.0.1:4000\", found {text:?}");
    whole.then(|| text.trim_end_matches('/').to_owned()).ok_or_else(expected)
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
    fn nothing_in_an_argument_gets_out_of_its_place() {
        let odd = r#"a"b\c{{interval}}'"#;
        let config = config(&TelegrafConfigArgs { database: odd.to_owned(), ..args() });
        let config: toml::Table = config.parse().unwrap();
        assert_eq!(config["outputs"]["influxdb"][0]["database"].as_str(), Some(odd));
        assert_eq!(config["agent"]["interval"].as_str(), Some("10s"));
    }

    #[test]
    fn no_answer_may_take_longer_than_the_interval() {
        for (interval, timeout) in [(1, "1s"), (5, "5s"), (10, "5s"), (86_400, "5s")] {
            let config = config(&TelegrafConfigArgs { interval: Duration::from_secs(interval), ..args() });
            let config: toml::Table = config.parse().unwrap();
            assert_eq!(config["agent"]["interval"].as_str(), Some(&*format!("{interval}s")));
            assert_eq!(config["inputs"]["http"][0]["timeout"].as_str(), Some(timeout));
        }
    }

    #[test]
    fn only_urls_and_whole_seconds_are_taken() {
        for (text, taken) in
            [("http://a:1", "http://a:1"), ("https://a/x/", "https://a/x"), ("http://[::1]:4000", "http://[::1]:4000")]
        {
            assert_eq!(url(text).as_deref(), Ok(taken));
        }
        for text in ["", "a:4000", "ftp://a", "http://", "http://a/?all", "http://a b"] {
            assert!(url(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(interval("2m"), Ok(Duration::from_secs(120)));
        for text in ["0s", "500ms", "1500ms", "10"] {
            assert!(interval(text).is_err(), "{text:?} was taken");
        }
    }
}
