//! Property tests: any content of any source gives a configuration or a problem, never a panic.

use std::ffi::OsString;
use std::path::Path;

use derived_stats::Registry;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Sources, keys, load, survey};

const EXAMPLE: &str = include_str!("../../derived-statsd.example.toml");

/// Values that some key accepts, and values that no key accepts.
const VALUES: [&str; 30] = [
    "0",
    "1",
    "-1",
    "8",
    "65536",
    "18446744073709551616",
    "1.5",
    "true",
    "\"\"",
    "\"30s\"",
    "\"1d\"",
    "\"0ms\"",
    "\"99999999999999999999d\"",
    "\"kafka\"",
    "\"embedded\"",
    "\"127.0.0.1:0\"",
    "\"[::1]:8081\"",
    "\"localhost\"",
    "\"http://h:1/x?y#z\"",
    "\"A-b:AggProxySum\"",
    "\"A-b:x\"",
    "[]",
    "[\"a=b\"]",
    "[1, \"x\"]",
    "{ a = 1 }",
    "nan",
    "1979-05-27",
    "\"\\u00e9\\n\"",
    "'",
    "\"\"\"",
];

/// A line similar to one of the example file.
fn line() -> impl Strategy<Value = String> {
    let lines: Vec<_> = EXAMPLE.lines().map(|line| line.trim_start_matches('#').trim_start()).collect();
    let names: Vec<_> = keys::all().iter().filter_map(|key| key.rsplit('.').next().map(str::to_owned)).collect();
    prop_oneof![
        6 => select(lines).prop_map(str::to_owned),
        4 => (select(names), select(&VALUES[..])).prop_map(|(name, value)| format!("{name} = {value}")),
        1 => ".{0,20}",
    ]
}

fn toml_text() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(line(), 0..12).prop_map(|lines| lines.join("\n").into_bytes());
    let cut = (Just(EXAMPLE), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    });
    prop_oneof![4 => lines, 2 => cut, 1 => prop::collection::vec(any::<u8>(), 0..60)]
}

fn collector_text() -> impl Strategy<Value = Vec<u8>> {
    let names = vec!["uve_proxy_list", "partitions", "http_server_port", "kafka_broker_list", "port"];
    let line = prop_oneof![
        2 => Just("[DEFAULT]".to_owned()),
        1 => select(vec!["[COLLECTOR]", "[DEFAULT", "]", "=", ":", "# x", "; x"]).prop_map(str::to_owned),
        6 => (select(names), "[=:]", prop_oneof![".{0,12}", "[0-9]{0,6}", Just("A-b:AggProxySum".to_owned())])
            .prop_map(|(name, sign, value)| format!("{name} {sign}{value}")),
        1 => ".{0,20}",
    ];
    let lines = prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n").into_bytes());
    prop_oneof![6 => lines, 1 => prop::collection::vec(any::<u8>(), 0..60)]
}

/// A key, in most cases a valid one, and a value.
fn setting() -> impl Strategy<Value = (String, String)> {
    let key = prop_oneof![8 => select(keys::all()), 1 => "[a-z_.]{0,12}", 1 => ".{0,8}"];
    let value = prop_oneof![6 => select(&VALUES[..]).prop_map(str::to_owned), 1 => ".{0,20}", 1 => "[0-9]{0,21}"];
    (key, value)
}

fn variable() -> impl Strategy<Value = (OsString, OsString)> {
    setting().prop_map(|(key, value)| {
        let name = format!("DERIVED_STATSD_{}", key.to_uppercase().replace('.', "__"));
        (name.into(), value.into())
    })
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn property_any_sources_give_a_configuration_or_a_problem(
        toml in toml_text(),
        collector in collector_text(),
        environment in prop::collection::vec(variable(), 0..3),
        set in prop::collection::vec(setting(), 0..3),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (file, collector_file) = (directory.path().join("c.toml"), directory.path().join("c.conf"));
        write(&file, &toml);
        write(&collector_file, &collector);
        let set = set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let sources = Sources {
            file: Some(file),
            text: None,
            collector_file: Some(collector_file),
            environment,
            uve_proxy_list: Vec::new(),
            set,
        };
        let survey = survey(&sources, &Registry::new());
        for problem in &survey.problems {
            prop_assert!(!problem.to_string().ends_with(": "), "a problem without a message: {problem}");
        }
        match load(&sources, &Registry::new()) {
            Ok(loaded) => {
                prop_assert_eq!(survey.problems, []);
                prop_assert_eq!(loaded.config, survey.config);
            }
            Err(problems) => {
                prop_assert!(problems.len() > 0, "rejected without a problem");
                prop_assert_eq!(problems.len(), survey.problems.len());
            }
        }
    }

    #[test]
    fn property_a_valid_setting_means_the_same_in_the_file_the_environment_and_a_flag((key, value) in setting()) {
        let name = format!("DERIVED_STATSD_{}", key.to_uppercase().replace('.', "__"));
        let variable = Sources { environment: vec![(name.into(), value.clone().into())], ..Sources::default() };
        let flag = Sources { set: vec![format!("{key}={value}")], ..Sources::default() };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        write(&path, format!("{key} = {value}\n").as_bytes());
        let file = Sources { file: Some(path), ..Sources::default() };
        if let (Ok(from_file), true) = (load(&file, &Registry::new()), keys::all().contains(&key)) {
            prop_assert_eq!(load(&variable, &Registry::new()).map(|loaded| loaded.config).ok(), load(&flag, &Registry::new()).map(|loaded| loaded.config).ok());
            // On the command line the quotes may be part of the text.
            let is_text = value.starts_with(['"', '\'']);
            if !is_text {
                prop_assert_eq!(load(&flag, &Registry::new()).map(|loaded| loaded.config).ok(), Some(from_file.config));
            }
        }
    }
}
