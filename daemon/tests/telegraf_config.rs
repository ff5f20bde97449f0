//! `telegraf-config` as a process: its output is pinned, and each field is checked.
//!
//! The tests do not install Telegraf. The configuration was tried by hand with Telegraf 1.37 against the simulated
//! cluster and InfluxDB 1.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;

use toml::{Table, Value};

fn printed(arguments: &[&str]) -> String {
    let run = binary::run(&[&["telegraf-config"], arguments].concat(), "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    run.stdout
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_default_configuration_is_pinned() {
    assert_eq!(printed(&[]), include_str!("telegraf/telegraf.conf"));
}

#[test]
fn every_argument_sets_its_field() {
    let config: Table = printed(&[
        "--adapter=https://stats.example.org:4000/",
        "--influxdb=http://influx:8086",
        "--database=contiv",
        "--interval=15s",
    ])
    .parse()
    .unwrap();
    let (agent, output, input) = (&config["agent"], &config["outputs"]["influxdb"][0], &config["inputs"]["http"][0]);
    assert_eq!((agent["interval"].as_str(), agent["flush_interval"].as_str()), (Some("15s"), Some("15s")));
    assert_eq!(texts(&output["urls"]), ["http://influx:8086"]);
    assert_eq!(output["database"].as_str(), Some("contiv"));
    assert_eq!(texts(&input["urls"]), ["https://stats.example.org:4000/?all"]);
    assert_eq!(input["tags"]["server"].as_str(), Some("https://stats.example.org:4000"));
}

#[test]
fn measurement_tags_and_integer_fields_are_those_of_the_pages_queries() {
    let config: Table = printed(&[]).parse().unwrap();
    let (input, converter) = (&config["inputs"]["http"][0], &config["processors"]["converter"][0]);
    assert_eq!(input["name_override"].as_str(), Some("httpjson_svcstats"));
    assert_eq!(input["data_format"].as_str(), Some("json"));
    assert_eq!(texts(&input["tag_keys"]), ["EndpointIP", "ProviderIP", "ServiceIP"]);
    assert_eq!(texts(&converter["namepass"]), ["httpjson_svcstats"]);
    let fields = converter["fields"].as_table().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["unsigned"]);
    assert_eq!(texts(&fields["unsigned"]), ["BytesIn", "BytesOut", "PacketsIn", "PacketsOut"]);
    // `host` of the agent and `server` are all the other tags: the page groups by every tag.
    assert_eq!(texts(&input["tagexclude"]), ["url"]);
    assert_eq!(input["tags"].as_table().unwrap().keys().collect::<Vec<_>>(), ["server"]);
    assert_eq!(config["agent"]["precision"].as_str(), Some("1s"));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for argument in ["--adapter=localhost:4000", "--influxdb=", "--interval=500ms"] {
        let run = binary::run(&["telegraf-config", argument], "");
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{argument}");
        assert!(run.stderr.contains("expected"), "{run:?}");
    }
}
