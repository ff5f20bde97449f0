//! The UVE API as clients of Contrail's analytics API use it: links that resolve, filters, posted queries.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use support::{Daemon, encodings, line};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const PERIOD: u64 = 60_000_000;

/// Names with what a URL must encode, and some ordinary ones.
const NAMES: [&str; 12] = [
    ".",
    "..",
    "a/../b",
    "a/b",
    "50%",
    "50%25",
    "q?x=1",
    "h#y",
    "b l",
    "netz-\u{fc}",
    "default-domain:demo:vn1",
    "default-domain:demo:vn2",
];

/// A daemon with a closed window of every name.
fn daemon(data: &TempDir) -> Daemon {
    let daemon = Daemon::start(data.path(), &["aggregation.allowed_lateness=0s", "log.partitions=1"]);
    let first = NAMES.iter().map(|name| line(name, "egress_flow_count", START, 7));
    let body: String = first.chain([line("later", "egress_flow_count", START + PERIOD, 1)]).collect();
    let (status, body) = daemon.post(body.as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{body}");
    daemon.wait_for("/analytics/uves/virtual-network/default-domain:demo:vn2", |(status, _)| {
        (*status == 200).then_some(())
    });
    daemon
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The names of a list, which is an array or the member `value` of an object.
fn names(list: &Value) -> Vec<&str> {
    let entries = list.get("value").unwrap_or(list).as_array().unwrap();
    entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[test]
fn every_link_of_a_list_resolves_to_its_object() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data);
    let path = |href: &Value| href.as_str().unwrap().replace(&daemon.url(""), "");
    let types = parsed(&daemon.get("/analytics/uves").1);
    let list = parsed(&daemon.get(&path(&types[0]["href"])).1);
    let mut found = names(&list);
    found.sort_unstable();
    let mut expected = NAMES;
    expected.sort_unstable();
    assert_eq!(found, expected);
    for entry in list.as_array().unwrap() {
        let (status, body) = daemon.get(&path(&entry["href"]));
        assert_eq!(status, 200, "{entry}: {body}");
        assert!(body.contains(r#""value":{"value":7}"#), "{entry}: {body}");
    }
    // The links of a filtered list show what it filters.
    let list = parsed(&daemon.get("/analytics/uves/virtual-networks?cfilt=Absent").1);
    assert_eq!(daemon.get(&path(&list[0]["href"])).0, 404, "{list}");
    daemon.stop();
}

#[test]
fn tables_of_one_type_are_listed_apart_and_every_object_is_reachable() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["aggregation.allowed_lateness=0s", "log.partitions=1"]);
    let keys = ["Foo:a", "foo:b", "FOO:c", "Foo:same", "foo:same", "t/1 %?#\u{fc}:d", "ObjectVNTable:e"];
    let raw = |key: &str, at: u64, value: usize| {
        format!("{{\"key\":\"{key}\",\"attr\":\"egress_flow_count\",\"ts\":{at},\"value\":{value}}}\n")
    };
    let first = keys.iter().enumerate().map(|(value, key)| raw(key, START, value + 10));
    let body: String = first.chain([raw("T:later", START + PERIOD, 1)]).collect();
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{answer}");
    daemon.wait_for("/analytics/uves/virtual-network/e", |(status, _)| (*status == 200).then_some(()));

    let path = |href: &Value| href.as_str().unwrap().replace(&daemon.url(""), "");
    let types = parsed(&daemon.get("/analytics/uves").1);
    let mut listed = names(&types);
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), 5, "{types}");
    let mut values = Vec::new();
    for uve_type in types.as_array().unwrap() {
        // Page by page.
        let mut after = String::new();
        loop {
            let page = parsed(&daemon.get(&format!("{}?limit=1{after}", path(&uve_type["href"]))).1);
            let Some(entry) = page.as_array().unwrap_or_else(|| panic!("{uve_type}: {page}")).first() else { break };
            let (status, body) = daemon.get(&path(&entry["href"]));
            assert_eq!(status, 200, "{entry}: {body}");
            let sum = &parsed(&body)["AggProxySum-UveVirtualNetworkAgent-egress_flow_count"]["value"]["value"];
            values.push(sum.as_u64().unwrap());
            after = format!("&after={}", entry["name"].as_str().unwrap());
        }
    }
    values.sort_unstable();
    assert_eq!(values, (10..17).collect::<Vec<_>>());
    for name in ["a", "b", "c", "same"] {
        assert_eq!(daemon.get(&format!("/analytics/uves/foo/{name}")).0, 200, "the type names all of its tables");
    }
    let (status, answer) = daemon.post(raw("virtual-network:f", START + PERIOD, 1).as_bytes(), None).unwrap();
    assert!(status == 400 && answer.contains("write `ObjectVNTable:name`"), "{status} {answer}");
    daemon.stop();
}

#[test]
fn a_name_in_the_query_is_of_the_type_that_the_path_has() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["aggregation.allowed_lateness=0s", "log.partitions=1"]);
    let raw = |key: &str, at: u64, value: usize| {
        format!("{{\"key\":\"{key}\",\"attr\":\"egress_flow_count\",\"ts\":{at},\"value\":{value}}}\n")
    };
    let samples =
        [("disk:a", START, 10), ("disks:a", START, 11), ("link:a", START, 12), ("T:later", START + PERIOD, 1)];
    let body: String = samples.into_iter().map(|(key, at, value)| raw(key, at, value)).collect();
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
    daemon.wait_for("/analytics/uves/link/a", |(status, _)| (*status == 200).then_some(()));
    // Where the type of the path is none, it is the plural of one.
    for (path, expected) in [("disk", 10), ("disks", 11), ("link", 12), ("links", 12)] {
        let uve = parsed(&daemon.get(&format!("/analytics/uves/{path}?name=a")).1);
        let sum = &uve["AggProxySum-UveVirtualNetworkAgent-egress_flow_count"]["value"]["value"];
        assert_eq!(*sum, expected, "{path}: {uve}");
    }
    daemon.stop();
}

#[test]
fn names_are_filtered_in_lists_in_prefixes_and_in_posted_queries() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data);
    let cases = [
        ("virtual-networks?kfilt=h%23y,default*", vec!["default-domain:demo:vn1", "default-domain:demo:vn2", "h#y"]),
        ("virtual-networks?kfilt=absent", vec![]),
        ("virtual-network/default*?kfilt=", vec!["default-domain:demo:vn1", "default-domain:demo:vn2"]),
        ("virtual-network/default*?cfilt=&kfilt", vec!["default-domain:demo:vn1", "default-domain:demo:vn2"]),
        ("virtual-network/*?kfilt=a/b,absent,50%25*", vec!["50%", "50%25", "a/b"]),
        ("virtual-network/default*?kfilt=*vn1,default-domain:demo:vn2,a/b", vec!["default-domain:demo:vn2"]),
    ];
    for (path, expected) in cases {
        let (status, body) = daemon.get(&format!("/analytics/uves/{path}"));
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(names(&parsed(&body)), expected, "{path}");
    }
    let page = daemon.get("/analytics/uves/virtual-networks?limit=1&kfilt=b%20l,a/b");
    assert_eq!(names(&parsed(&page.1)), ["a/b"]);
    assert_eq!(daemon.get("/analytics/uves/virtual-network/a%2Fb?kfilt=a*").0, 200);
    assert_eq!(daemon.get("/analytics/uves/virtual-network/a%2Fb?kfilt=b*").0, 404);
    daemon.stop();
}

#[test]
fn a_posted_query_selects_names_and_structures() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data);
    let post = |body: &Value| {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let request = agent.post(daemon.url("/analytics/uves/virtual-network")).content_type("application/json");
        let mut response = request.send(body.to_string()).unwrap();
        (response.status().as_u16(), parsed(&response.body_mut().read_to_string().unwrap()))
    };
    let (status, all) = post(&json!({}));
    assert_eq!((status, names(&all).len()), (200, NAMES.len()));
    let structure = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
    let (status, some) = post(&json!({ "kfilt": ["a/b", "default*", "absent"], "cfilt": [structure] }));
    assert_eq!(status, 200, "{some}");
    assert_eq!(names(&some), ["a/b", "default-domain:demo:vn1", "default-domain:demo:vn2"]);
    assert!(some["value"][0]["value"][structure].is_object(), "{some}");
    let (status, all) = post(&json!({ "kfilt": null, "cfilt": null, "sfilt": null, "mfilt": null }));
    assert_eq!((status, names(&all).len()), (200, NAMES.len()), "{all}");
    let (status, none) = post(&json!({ "kfilt": [] }));
    assert_eq!((status, names(&none).len()), (200, 0), "{none}");
    for (body, expected) in [
        (json!({ "kfilt": "a" }), "kfilt"),
        (json!({ "sfilt": "host" }), "sources"),
        (json!({ "where": [] }), "where"),
        (json!("kfilt"), "expected"),
        (json!([]), "expected"),
    ] {
        let (status, error) = post(&body);
        assert!(status == 400 && error["error"].as_str().unwrap().contains(expected), "{body}: {status} {error}");
    }
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    for name in ["kfilt", "cfilt"] {
        let twice = format!(r#"{{"{name}":["a/b"],"{name}":["default*"]}}"#);
        let mut response = agent.post(daemon.url("/analytics/uves/virtual-network")).send(&twice).unwrap();
        let (status, body) = (response.status().as_u16(), response.body_mut().read_to_string().unwrap());
        assert!(status == 400 && body.contains("duplicate field") && body.contains(name), "{status} {body}");
    }
    daemon.stop();
}

#[test]
fn a_posted_query_may_be_compressed_within_its_limit() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data);
    let post = |coding: &str, body: &[u8]| {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let request = agent.post(daemon.url("/analytics/uves/virtual-network")).header("content-encoding", coding);
        let mut response = request.send(body).unwrap();
        (response.status().as_u16(), parsed(&response.body_mut().read_to_string().unwrap()))
    };
    let query = json!({ "kfilt": ["a/b", "absent"] }).to_string();
    for (coding, encode) in encodings::all() {
        let (status, list) = post(coding, &encode(query.as_bytes()));
        assert!(status == 200 && names(&list) == ["a/b"], "{coding}: {status} {list}");
        for (body, expected, part) in
            [(encode(&vec![b' '; 300_000]), 413, "262144"), (query.clone().into_bytes(), 400, "not valid")]
        {
            let (status, error) = post(coding, &body);
            assert!(
                status == expected && error["error"].as_str().unwrap().contains(part),
                "{coding}: {status} {error}"
            );
        }
    }
    let (status, error) = post("br", query.as_bytes());
    assert!(status == 415 && error["error"].as_str().unwrap().contains("\"br\""), "{status} {error}");
    daemon.stop();
}

#[test]
fn a_type_that_does_not_exist_is_not_found() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data);
    let post = |path: &str| {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut response = agent.post(daemon.url(&format!("/analytics/uves/{path}"))).send("{}").unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    let absent = "/analytics/uves";
    for (answer, remedy) in [
        (post("virtual-networks"), "/analytics/uves/virtual-network,"),
        (post("absent"), absent),
        (post("absents"), absent),
        (daemon.get("/analytics/uves/absents"), absent),
        (daemon.get("/analytics/uves/absent/*"), absent),
        (daemon.get("/analytics/uves/absent/a"), absent),
        (daemon.get("/analytics/uves/virtual-network"), "/analytics/uves/virtual-networks"),
    ] {
        assert!(answer.0 == 404 && answer.1.contains(remedy), "{answer:?}");
    }
    // A type of Contrail may have its first object later.
    assert_eq!(daemon.get("/analytics/uves/vrouters").0, 200);
    assert_eq!(post("vrouter").0, 200);
    daemon.stop();
}

#[test]
fn a_parameter_that_cannot_be_honoured_is_refused() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let lists = ["virtual-networks", "virtual-network/*", "virtual-network/a"];
    let cases =
        [("sfilt=host", "sfilt"), ("mfilt=Config:x:0", "mfilt"), ("cfill=a", "cfill"), ("kfilt=a&kfilt=b", "kfilt")];
    for path in lists {
        for (query, expected) in cases {
            let (status, body) = daemon.get(&format!("/analytics/uves/{path}?{query}"));
            assert!(status == 400 && body.contains(expected), "{path}?{query}: {status} {body}");
        }
    }
    for path in [
        "/analytics/uves/virtual-networks?after=%ff",
        "/analytics/uves/virtual-network/a?cfilt=%C3",
        "/analytics/uves?%ff",
        "/api/v1/results/stream?from=%ff",
    ] {
        let (status, body) = daemon.get(path);
        assert!(status == 400 && body.contains("UTF-8"), "{path}: {status} {body}");
    }
    let (status, body) = daemon.get("/analytics/uves?x=1");
    assert!(status == 400 && body.contains("`x`"), "{status} {body}");
    assert_eq!(daemon.get("/analytics/uves?flat").0, 200);
    daemon.stop();
}
