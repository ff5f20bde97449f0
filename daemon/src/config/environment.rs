//! The source for environment variables: `DERIVED_STATSD_<SECTION>__<KEY>`, such as `DERIVED_STATSD_HTTP__LISTEN`.
//!
//! Two underscores stand for the dot, because keys contain single ones. A variable with the prefix and an unknown key
//! is an error: a typo in a deployment must not start a daemon with defaults.

use std::ffi::OsString;

use super::layers::Layers;
use super::problem::SourceLocation;

const PREFIX: &str = "DERIVED_STATSD_";

/// Variables with the prefix that are not settings: the path of the configuration file, the URL and the files of commands
/// that connect to a daemon, and the failpoints of test builds.
const OTHERS: &[&str] = &[
    "DERIVED_STATSD_CA",
    "DERIVED_STATSD_CERTIFICATE",
    "DERIVED_STATSD_CONFIG",
    "DERIVED_STATSD_KEY",
    "DERIVED_STATSD_TOKEN_FILE",
    "DERIVED_STATSD_URL",
    #[cfg(feature = "fault-points")]
    daemon_base::failpoint::KILL_AT,
    #[cfg(feature = "fault-points")]
    daemon_base::failpoint::STOP_AT,
    #[cfg(feature = "fault-points")]
    daemon_base::failpoint::PANIC_AT,
    #[cfg(feature = "fault-points")]
    daemon_base::failpoint::HANG_AT,
    #[cfg(feature = "fault-points")]
    daemon_base::failpoint::WITHOUT,
    #[cfg(feature = "fault-points")]
    "DERIVED_STATSD_FAULT_SAMPLES",
    #[cfg(feature = "fault-points")]
    "DERIVED_STATSD_FAULT_SEED",
    #[cfg(feature = "fault-points")]
    "DERIVED_STATSD_FAULT_SEEDS",
];

/// Merges the settings of the environment into `layers`.
pub(super) fn read(variables: &[(OsString, OsString)], layers: &mut Layers) {
    let ours = variables.iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        (name.starts_with(PREFIX) && !OTHERS.contains(&name)).then_some((name, value))
    });
    let mut ours: Vec<_> = ours.collect();
    ours.sort();
    for (name, value) in ours {
        let location = SourceLocation::Variable(name.to_owned());
        let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        match value.to_str() {
            Some(value) => layers.set_text(&key, value, location),
            None => layers.add_problem(location, "the value is not UTF-8; write it as UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(name: &str, value: &str) -> Layers {
        let mut layers = Layers::default();
        read(&[(name.into(), value.into())], &mut layers);
        layers
    }

    #[test]
    fn two_underscores_separate_section_and_key() {
        let config = read_one("DERIVED_STATSD_LOG__RETENTION__MAX_INPUT_BYTES", "7").config();
        assert_eq!(config.log.retention.max_input_bytes, 7);
        let config = read_one("DERIVED_STATSD_AGGREGATION__ALLOWED_SKEW", "1s").config();
        assert_eq!(config.aggregation.allowed_skew.as_secs(), 1);
    }

    #[test]
    fn a_variable_with_an_unknown_key_is_an_error_and_one_without_the_prefix_is_not() {
        let problems = read_one("DERIVED_STATSD_HTTP_LISTEN", "x").problems;
        let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let expected = "environment variable DERIVED_STATSD_HTTP_LISTEN: unknown key `http_listen`; did you mean \
                        `http.listen`?";
        assert_eq!(text, [expected]);
        assert!(read_one("DERIVED_STATS_HTTP__LISTEN", "x").problems.is_empty());
        assert!(read_one("DERIVED_STATSD_CONFIG", "/etc/x.toml").problems.is_empty());
    }
}
