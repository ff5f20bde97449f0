//! The Grafana dashboards of the book ask for what exists: metrics that the daemon shows, measurements, tags and fields
//! that it writes. That InfluxDB understands the queries is shown where it runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::dashboards::{self, Dashboard};
use support::{Daemon, EVERY_PART, command, line};
use tempfile::TempDir;

/// Telegraf's names, which the InfluxDB sink's own tests hold it to.
const CONTIV: [&str; 9] = [
    "httpjson_svcstats",
    "EndpointIP",
    "ProviderIP",
    "ServiceIP",
    "server",
    "BytesIn",
    "BytesOut",
    "PacketsIn",
    "PacketsOut",
];

/// The tags of results.
const TAGS: [&str; 3] = ["name", "proxy", "table"];

/// The pieces of a text that are of these characters.
fn words(text: &str, is_of_word: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |character| !is_of_word(character)).filter(|word| !word.is_empty())
}

/// What a text has between double quotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

fn ids(dashboard: &Dashboard) -> Vec<u64> {
    dashboard.panels().iter().map(|panel| panel["id"].as_u64().unwrap()).collect()
}

/// Every data source that something in `json` names.
fn sources(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "datasource" {
                    found.insert(format!("{} {}", value["type"].as_str().unwrap(), value["uid"].as_str().unwrap()));
                }
                sources(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| sources(item, found)),
        _ => {}
    }
}

#[test]
fn a_dashboard_can_be_imported_anywhere() {
    let all = dashboards::all();
    assert_eq!(
        all.iter().map(|it| it.file.as_str()).collect::<Vec<_>>(),
        ["contiv.json", "contrail.json", "daemon.json", "results.json"]
    );
    for dashboard in all {
        let Dashboard { file, json } = &dashboard;
        // Links of alerts lead to the daemon's own dashboard; of the others, a site may have several.
        let uid = if file == "daemon.json" { Value::from("derived-statsd") } else { Value::Null };
        assert!(json["id"].is_null() && json["uid"] == uid, "{file} has an identity of its own");
        assert!(json["schemaVersion"].as_u64().unwrap() >= 41, "{file}");
        let mut found = BTreeSet::new();
        sources(json, &mut found);
        let mut chosen = BTreeSet::from(["prometheus ${prometheus}".to_owned()]);
        if !matches!(file.as_str(), "daemon.json" | "results.json") {
            chosen.insert("influxdb ${influxdb}".to_owned());
        }
        assert_eq!(found, chosen, "{file} names a data source that not everybody has");
        let own: BTreeSet<_> = ids(&dashboard).into_iter().collect();
        assert_eq!(own.len(), dashboard.panels().len(), "{file} has two panels of one id");
        for panel in dashboard.panels() {
            let place = &panel["gridPos"];
            assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{file}: {}", panel["title"]);
            let targets = panel["targets"].as_array().map_or(0, Vec::len);
            assert!(targets > 0 || panel["type"] == "row", "{file}: {} shows nothing", panel["title"]);
        }
    }
}

#[test]
fn every_variable_of_a_query_is_one_of_the_dashboard() {
    for dashboard in dashboards::all() {
        for query in dashboard.influxql("time > now() - 1h") {
            // The dollar that is left is the end of a pattern.
            let left = query.text.replace("$/", "/");
            assert!(!left.contains('$'), "{}: {left}", query.location);
        }
    }
}

/// The metrics of the reference, each with whether it has labels.
fn reference() -> BTreeMap<String, bool> {
    let page = include_str!("../../docs/src/reference/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let names = |cells: Vec<&str>| {
        let has_labels = !cells[2].is_empty();
        let names = cells[1].split('`').skip(1).step_by(2);
        let full = |name: &str| match name.strip_prefix("process_") {
            Some(_) => name.to_owned(),
            None => format!("derived_statsd_{name}"),
        };
        names.map(|name| (full(name), has_labels)).collect::<Vec<_>>()
    };
    cells.flat_map(names).collect()
}

#[test]
fn a_dashboard_shows_every_metric_that_is_worth_an_alert() {
    let page = include_str!("../../docs/src/reference/metrics.md");
    let alerts = page.split_once("Worth an alert").unwrap().1.split("```").nth(1).unwrap();
    let metrics = |text: &str| -> BTreeSet<String> {
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        words(text, is_of_name).filter(|word| word.starts_with("derived_statsd_")).map(str::to_owned).collect()
    };
    let named = metrics(alerts);
    assert!(named.len() >= 8, "{named:?}");
    let shown: BTreeSet<_> =
        dashboards::all().iter().flat_map(Dashboard::promql).flat_map(|query| metrics(&query.text)).collect();
    let missing: Vec<_> = named.difference(&shown).collect();
    assert!(missing.is_empty(), "in no dashboard: {missing:?}");
}

/// What the daemon answers to a scrape, and the names of its metrics.
fn shown() -> (String, BTreeSet<String>) {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &EVERY_PART);
    let metrics = daemon.get("/metrics").1;
    let described = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = described.map(|(name, _)| name.to_owned()).collect();
    (metrics, names)
}

#[test]
fn the_reference_has_every_metric_of_the_daemon_and_no_other_without_labels() {
    let ((_, shown), reference) = (shown(), reference());
    let missing: Vec<_> = shown.iter().filter(|name| !reference.contains_key(*name)).collect();
    assert!(missing.is_empty(), "not in docs/src/reference/metrics.md: {missing:?}");
    // A metric with labels is shown once there is something to count.
    let gone: Vec<_> = reference.iter().filter(|(name, has_labels)| !**has_labels && !shown.contains(*name)).collect();
    assert!(gone.is_empty(), "only in docs/src/reference/metrics.md: {gone:?}");
}

#[test]
fn every_metric_of_a_dashboard_is_in_the_reference_and_shown_by_the_daemon() {
    let (metrics, shown) = shown();
    let reference = reference();
    let mut asked = 0;
    for query in dashboards::all().iter().flat_map(Dashboard::promql) {
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let is_metric = |word: &&str| word.starts_with("derived_statsd_") || word.starts_with("process_");
        for word in words(&query.text, is_of_name).filter(is_metric) {
            // A part of a histogram.
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
            let has_labels = reference.get(name).unwrap_or_else(|| panic!("{}: {name} is not known", query.location));
            // One with labels is shown when there is something to tell.
            assert!(*has_labels || shown.contains(name), "{}: there is no {name} in\n{metrics}", query.location);
            asked += 1;
        }
    }
    assert!(asked > 20, "only {asked} metrics were looked at");
}

/// The names of the fields that a result gives: the way to each number, as the InfluxDB sink writes it.
fn fields(json: &Value, path: &str, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(parts) => {
            for (name, value) in parts {
                let path = if path.is_empty() { name.clone() } else { format!("{path}_{name}") };
                fields(value, &path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// The measurements and fields of both built-in types, off results of the real binary.
fn results() -> BTreeSet<String> {
    let data = TempDir::new().unwrap();
    let file = data.path().join("samples");
    let samples = (0..20u64)
        .map(|minute| line("vn1", "egress_flow_count", 1_488_000_000_000_000 + minute * 60_000_000, minute % 7));
    std::fs::write(&file, samples.collect::<String>()).unwrap();
    let log = data.path().join("log");
    assert!(command("replay", &log, &[]).arg(&file).status().unwrap().success());
    let mut found = BTreeSet::new();
    for line in support::results(&log) {
        let result: Value = serde_json::from_str(&line).unwrap();
        found.insert(result["uve"].as_str().unwrap().split_once('-').unwrap().0.to_owned());
        fields(&result["data"], "", &mut found);
    }
    found
}

/// The subqueries of Contiv's counters: from the name of the measurement to the parenthesis.
fn counters(text: &str) -> impl Iterator<Item = &str> {
    let subquery = |rest: &'_ str| {
        let mut depth = 0;
        rest.find(|character| {
            depth += i32::from(character == '(') - i32::from(character == ')');
            depth < 0
        })
    };
    let after = text.split("FROM \"httpjson_svcstats\"").skip(1);
    after.filter_map(move |rest| Some(&rest[..subquery(rest)?]))
}

/// The queries in the code of the book, each with its page.
fn documented() -> Vec<(String, String)> {
    let book = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src");
    let folders = std::fs::read_dir(book).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_dir());
    let pages = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|it| it.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|it| it == "md"));
    let code = |page: std::path::PathBuf| {
        let text = std::fs::read_to_string(&page).unwrap();
        let blocks = text.split("```").skip(1).step_by(2).map(str::to_owned);
        blocks.map(|block| (page.display().to_string(), block)).collect::<Vec<_>>()
    };
    pages.flat_map(code).collect()
}

#[test]
fn differences_of_contivs_counters_are_taken_for_each_node_by_itself() {
    let dashboards = dashboards::all();
    let queries = dashboards.iter().flat_map(|it| it.influxql("time > now() - 1h"));
    let queries = queries.map(|query| (query.location, query.text));
    let (mut asked, mut pages) = (0, BTreeSet::new());
    for (location, text) in queries.chain(documented()) {
        for subquery in counters(&text) {
            assert!(subquery.contains("\"server\""), "{location}: {text}");
            (asked, _) = (asked + 1, pages.insert(location.clone()));
        }
    }
    assert!(asked > 7 && pages.iter().any(|page| page.ends_with("contiv.md")), "{pages:?}");
}

#[test]
fn every_measurement_tag_and_field_of_a_dashboard_is_written_by_the_daemon() {
    let results = results();
    let known: BTreeSet<&str> = CONTIV.into_iter().chain(TAGS).chain(results.iter().map(String::as_str)).collect();
    let queries: Vec<_> = dashboards::all().iter().flat_map(|it| it.influxql("time > now() - 1h")).collect();
    for query in &queries {
        // A name that the query gives itself.
        let given: BTreeSet<&str> = query.text.split(" AS ").skip(1).flat_map(|rest| rest.split('"').nth(1)).collect();
        for name in quoted(&query.text).difference(&given) {
            assert!(known.contains(name), "{}: nobody writes {name:?}; known are {known:?}", query.location);
        }
        let unquoted = words(&query.text, |character| character.is_ascii_alphanumeric() || character == '_');
        let from = unquoted.collect::<Vec<_>>().windows(2).any(|pair| pair[0] == "FROM");
        assert!(from, "{}: {}", query.location, query.text);
    }
    assert!(queries.len() > 15, "only {} queries were looked at", queries.len());
}
