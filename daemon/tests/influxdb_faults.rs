//! All kinds of responses of a server: every line must arrive in the end. The server is stricter than a real one and
//! fails by script.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the tests measure how long the daemon waits")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use support::strict_influxdb::{BUCKET, Next, ORG, StrictInfluxDb, TOKEN};
use support::{Daemon, certificates, line, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const OBJECTS: u64 = 10;

fn start(data: &Path, url: &str, settings: &[&str]) -> Daemon {
    let token = data.join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let own = [
        "aggregation.period=10".to_owned(),
        "aggregation.allowed_lateness=0s".to_owned(),
        "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum".to_owned(),
        "log.partitions=1".to_owned(),
        "sinks.influxdb.version=2".to_owned(),
        "sinks.influxdb.flush_interval=0s".to_owned(),
        "sinks.influxdb.timeout=30s".to_owned(),
        "shutdown.grace=120s".to_owned(),
        format!("sinks.influxdb.url={url}"),
        format!("sinks.influxdb.org={ORG}"),
        format!("sinks.influxdb.bucket={BUCKET}"),
        format!("sinks.influxdb.token_file={}", token.display()),
    ];
    let own: Vec<_> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    Daemon::start(&data.join("log"), &own)
}

/// Posts one sample for each object in each of `periods`; the samples of a period close the previous one.
fn post(daemon: &Daemon, periods: std::ops::Range<u64>) {
    let of = |period: u64| (0..OBJECTS).map(move |object| (period, object));
    let sample = |(period, object): (u64, u64)| {
        line(&format!("o{object}"), "egress_flow_count", START + period * PERIOD, 1_000 * period + object)
    };
    let body: String = periods.flat_map(of).map(sample).collect();
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
}

/// Waits until the server has the sums of `periods`, each once, and no other.
fn wait_for_sums(server: &StrictInfluxDb, periods: std::ops::Range<u64>) {
    let of = |period: u64| (0..OBJECTS).map(move |object| (period, object));
    let place = |(period, object): (u64, u64)| {
        let series =
            format!("AggProxySum,name=o{object},proxy=UveVirtualNetworkAgent-egress_flow_count,table=ObjectVNTable");
        ((series, (START + period * PERIOD).cast_signed()), format!("{}i", 1_000 * period + object))
    };
    let expected: BTreeMap<_, _> = periods.flat_map(of).map(place).collect();
    wait_until("the sums are complete", || (server.values("AggProxySum", "value_value") == expected).then_some(()));
}

/// The reactions of the server, each with the outcome in the metrics and a text of the log message.
fn troubles() -> impl Iterator<Item = (Next, &'static str, &'static str)> {
    [
        (
            Next::Answer(401, None, r#"{"code":"unauthorized","message":"unauthorized access"}"#),
            "auth",
            "sinks.influxdb.token_file",
        ),
        (Next::Answer(403, None, ""), "auth", "sinks.influxdb.token_file"),
        (
            Next::Answer(404, None, r#"{"code":"not found","message":"bucket not found"}"#),
            "not_found",
            "org and bucket",
        ),
        (Next::Answer(413, None, "too large"), "too_large", ""),
        (Next::Answer(429, Some("1"), ""), "busy", "the sink tries again"),
        (Next::Answer(503, Some("Thu, 23 Mar 2017 22:04:25 GMT"), ""), "busy", "the sink tries again"),
        (Next::Answer(500, None, "out of luck"), "server_error", "out of luck"),
        (Next::Answer(302, None, ""), "unexpected", "sinks.influxdb.url"),
        (Next::Answer(200, None, "<html>Welcome</html>"), "unexpected", ""),
        (Next::Hang, "timeout", "sinks.influxdb.timeout"),
        (Next::CutRequest, "transport", ""),
        (Next::CutAnswer, "transport", ""),
        (Next::Answer(400, None, r#"{"message":"unable to parse 'x': by accident"}"#), "refused", ""),
    ]
    .into_iter()
}

#[test]
fn all_points_arrive_after_every_kind_of_failure() {
    let (data, server) = (TempDir::new().unwrap(), StrictInfluxDb::start());
    let (mut daemon, mut messages) = (start(data.path(), server.url(), &[]), String::new());
    post(&daemon, 0..2);
    wait_for_sums(&server, 0..1);
    for (period, (trouble, outcome, said)) in (2..).zip(troubles()) {
        let hangs = matches!(trouble, Next::Hang);
        if hangs {
            // Only here: an answer that takes long must not count as one that does not come.
            messages += &daemon.stop();
            daemon = start(data.path(), server.url(), &["sinks.influxdb.timeout=500ms"]);
        }
        let counted = |metrics: &str| {
            let name = format!("derived_statsd_influxdb_requests_total{{outcome=\"{outcome}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0)
        };
        let before = counted(&daemon.get("/metrics").1);
        server.script([trouble.clone()]);
        post(&daemon, period..period + 1);
        wait_for_sums(&server, 0..period);
        let is_counted = |count: u64| if hangs { count > before } else { count == before + 1 };
        daemon.wait_for("/metrics", |(_, metrics)| is_counted(counted(metrics)).then_some(()));
        daemon.wait_until_said(said);
        if hangs {
            messages += &daemon.stop();
            daemon = start(data.path(), server.url(), &[]);
        }
    }
    messages += &daemon.stop();
    assert!(!messages.contains(TOKEN), "{messages}");
    assert!(server.requests().iter().all(|request| request.is_gzip));
}

#[test]
fn the_sink_honours_retry_after_and_a_stop_ends_the_wait() {
    let (data, server) = (TempDir::new().unwrap(), StrictInfluxDb::start());
    let daemon = start(data.path(), server.url(), &[]);
    server.script([Next::Answer(429, Some("2"), "")]);
    post(&daemon, 0..2);
    wait_for_sums(&server, 0..1);
    let requests = server.requests();
    let waited = requests[1].at - requests[0].at;
    assert!((Duration::from_secs(2)..Duration::from_secs(60)).contains(&waited), "{waited:?}");
    server.script([Next::Answer(503, Some("300"), "")]);
    post(&daemon, 2..3);
    wait_until("the server was asked", || server.is_played().then_some(()));
    let began = Instant::now();
    daemon.stop();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    // The sink continues at the next start.
    let daemon = start(data.path(), server.url(), &[]);
    wait_for_sums(&server, 0..2);
    daemon.stop();
}

#[test]
fn a_hung_server_does_not_block_a_stop() {
    let (data, server) = (TempDir::new().unwrap(), StrictInfluxDb::start());
    let daemon = start(data.path(), server.url(), &["sinks.influxdb.timeout=1h"]);
    server.script([Next::Hang]);
    post(&daemon, 0..2);
    wait_until("the server was asked", || server.is_played().then_some(()));
    let began = Instant::now();
    daemon.stop();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn requests_respect_the_batch_size_and_compression_can_be_disabled() {
    let (data, server) = (TempDir::new().unwrap(), StrictInfluxDb::start());
    let settings = ["sinks.influxdb.batch_lines=4", "sinks.influxdb.gzip=false", "sinks.influxdb.flush_interval=1h"];
    let daemon = start(data.path(), server.url(), &settings);
    post(&daemon, 0..4);
    daemon.wait_until_applied();
    daemon.stop();
    wait_for_sums(&server, 0..3);
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.lines <= 4 && !request.is_gzip && request.status == 204),
        "{requests:?}"
    );
    assert_eq!(requests.len(), 8, "thirty lines in fours: {requests:?}");
}

#[test]
fn over_tls_the_certificate_of_the_server_must_have_a_known_authority() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    let path = |name: &str| folder.path().join(name);
    let server = StrictInfluxDb::start_tls(&path("server.pem"), &path("server.key"), None);
    let data = TempDir::new().unwrap();
    let stranger = format!("sinks.influxdb.ca_file={}", path("stranger.pem").display());
    for settings in [&[][..], &[stranger.as_str()]] {
        let daemon = start(data.path(), server.url(), settings);
        post(&daemon, 0..2);
        daemon.wait_until_said("see sinks.influxdb.ca_file");
        daemon.stop();
    }
    assert_eq!(server.requests().len(), 0);
    let authority = format!("sinks.influxdb.ca_file={}", path("authority.pem").display());
    let daemon = start(data.path(), server.url(), &[&authority]);
    wait_for_sums(&server, 0..1);
    daemon.stop();
}

#[test]
fn over_tls_a_server_that_requires_a_certificate_gets_that_of_the_settings() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    let path = |name: &str| folder.path().join(name);
    let authority = path("authority.pem");
    let server = StrictInfluxDb::start_tls(&path("server.pem"), &path("server.key"), Some(&authority));
    let data = TempDir::new().unwrap();
    let set = |key: &str, name: &str| format!("sinks.influxdb.{key}={}", path(name).display());
    let authority = set("ca_file", "authority.pem");
    let daemon = start(data.path(), server.url(), &[&authority]);
    post(&daemon, 0..2);
    daemon.wait_until_said("retry_seconds");
    assert_eq!(server.requests().len(), 0);
    daemon.stop();
    let own = [set("certificate_file", "client.pem"), set("key_file", "client.key")];
    let daemon = start(data.path(), server.url(), &[&authority, &own[0], &own[1]]);
    wait_for_sums(&server, 0..1);
    daemon.stop();
}
