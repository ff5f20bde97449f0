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
    assert_eq!(texts(&input["urls"]), ["https://stats.example.org:4000/?all&server"]);
}

#[test]
fn measurement_tags_and_integer_fields_are_those_of_the_pages_queries() {
    let config: Table = printed(&[]).parse().unwrap();
    let input = &config["inputs"]["http"][0];
    assert_eq!(input["data_format"].as_str(), Some("json_v2"));
    let parser = &input["json_v2"][0];
    assert_eq!(parser["measurement_name"].as_str(), Some("httpjson_svcstats"));
    let object = &parser["object"][0];
    assert_eq!((object["path"].as_str(), object["optional"].as_bool()), (Some("@this"), Some(true)));
    let fields: Vec<_> =
        object["fields"].as_table().unwrap().iter().map(|(name, kind)| (&**name, kind.as_str())).collect();
    assert_eq!(fields, ["BytesIn", "BytesOut", "PacketsIn", "PacketsOut"].map(|name| (name, Some("uint"))));
    // `host` of the agent is the only further tag: the page groups by every tag.
    assert_eq!(texts(&object["tags"]), ["EndpointIP", "ProviderIP", "ServiceIP", "server"]);
    assert_eq!(texts(&input["tagexclude"]), ["url"]);
    assert_eq!((input.get("tags"), config.get("processors")), (None, None));
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
