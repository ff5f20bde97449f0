//! Tests of the sinks of alarms against a server that remembers what it was sent.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, mpsc};

use daemon_base::clock::ManualClock;
use daemon_log::{AppendBatch, Appended, Bounds, LogError, SinkPosition};
use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog as _, RecordBuffer};
use daemon_results::object_labels::ObjectLabels;
use serde_json::Value;

use super::reading::READ_BYTES;
use super::*;

const MINUTE: u64 = 60_000_000;
const START: u64 = 1_700_000_000_000_000;

/// A server that answers every request with one status, and passes bodies and signatures on.
struct Server {
    url: String,
    status: Arc<AtomicU16>,
    /// The statuses of the next requests, before that one.
    script: Arc<Mutex<VecDeque<u16>>>,
    /// A text with which a body is rejected.
    poison: Arc<Mutex<Option<&'static str>>>,
    /// The credentials of the last request.
    authorization: Arc<Mutex<String>>,
    requests: Mutex<mpsc::Receiver<(Value, String)>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (status, (sender, requests)) = (Arc::new(AtomicU16::new(200)), mpsc::channel());
        let shared = Arc::clone(&status);
        let script = Arc::<Mutex<VecDeque<u16>>>::default();
        let next = Arc::clone(&script);
        let (poison, authorization): (Arc<Mutex<Option<&'static str>>>, Arc<Mutex<String>>) = <_>::default();
        let (rejects, credentials) = (Arc::clone(&poison), Arc::clone(&authorization));
        std::thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let (mut length, mut signature, mut timestamp) = (0, String::new(), String::new());
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                        break;
                    }
                    let (name, value) = line.trim().split_once(": ").unwrap_or(("", ""));
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "authorization" => value.clone_into(&mut credentials.lock().unwrap()),
                        "x-derived-statsd-signature" => signature = value.to_owned(),
                        "x-derived-statsd-timestamp" => timestamp = value.to_owned(),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let scripted = next.lock().unwrap().pop_front().unwrap_or_else(|| shared.load(Ordering::SeqCst));
                let has = |text: &str| String::from_utf8_lossy(&body).contains(text);
                let code = if rejects.lock().unwrap().is_some_and(has) { 400 } else { scripted };
                if code == 200 {
                    let signed = hmac::hex(b"key", &[timestamp.as_bytes(), b".", &body]);
                    let valid = if signature == format!("sha256={signed}") { "signed" } else { "unsigned" };
                    let _ = sender.send((serde_json::from_slice(&body).unwrap(), valid.to_owned()));
                }
                let _ = write!(connection, "HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { url, status, script, poison, authorization, requests: Mutex::new(requests) }
    }

    fn take(&self) -> Vec<(Value, String)> {
        self.requests.lock().unwrap().try_iter().collect()
    }
}

/// A log, and rows of alarms in it.
struct Rig {
    _directory: tempfile::TempDir,
    log: Arc<EmbeddedLog>,
    clock: Arc<ManualClock>,
    minute: u64,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        log.restore(PartitionId::new(0, 0)).unwrap();
        let clock = Arc::new(ManualClock::default());
        clock.advance(Duration::from_micros(START));
        Self { _directory: directory, log, clock, minute: 0 }
    }

    /// Commits rows: objects of which the alarm fires since its minute, and those whose alarm ends.
    fn rows(&mut self, firing: &[(&str, u64)], ended: &[&str]) {
        self.minute += 1;
        self.rows_of("T", 0, firing, ended);
    }

    /// The same in a table and with a severity, without a minute going by.
    fn rows_of(&mut self, table: &str, severity: u8, firing: &[(&str, u64)], ended: &[&str]) {
        let now = START + self.minute * MINUTE;
        let mut results = RecordBuffer::default();
        let alarm = |state: &str, fired: u64, resolved: &str| {
            format!(
                r#"{{"type":"high","severity":{severity},"timestamp":{fired},"since":{fired},{resolved}"token":"","ack":false,"description":"loud","uve":"A-S-b","attribute":"value","state":"{state}","alarm_rules":{{}}}}"#
            )
        };
        let mut push = |key: &str, data: String| {
            let line = format!(
                r#"{{"key":"{table}:{key}","uve":"UVEAlarms","start":{},"end":{now},"data":{{{data},"proxy":"S-b"}}}}"#,
                now - MINUTE
            );
            results.push(b"", line.as_bytes()).unwrap();
        };
        for (key, minute) in firing {
            let alarm = alarm("firing", START + minute * MINUTE, "");
            push(key, format!(r#""deleted":false,"alarms":[{alarm}]"#));
        }
        for key in ended {
            let alarm = alarm("resolved", START, &format!("\"resolved\":{now},"));
            push(key, format!(r#""deleted":true,"alarms":[],"resolved":[{alarm}]"#));
        }
        let partition = PartitionId::new(0, 0);
        let commit = PartitionCommit { partition, cursor: 0, meta: vec![], chunks: vec![], results };
        self.log.commit(vec![commit], now).unwrap();
        if table == "T" {
            self.clock.advance(Duration::from_secs(60));
        }
    }

    /// A process that delivers everything and stops.
    fn run(&self, sink: impl Sink) {
        let stop = Stop::default();
        stop.set();
        let log: Arc<dyn Log> = self.log.clone();
        crate::run(sink, &log, &stop, |_, _, _| ()).unwrap();
    }

    /// Delivers what was committed since `next`; returns the next offset.
    fn deliver(&self, sink: &mut impl Sink, next: u64) -> u64 {
        let batch = self.log.read_results(next, READ_BYTES).unwrap();
        sink.deliver(&*self.log, &batch).unwrap();
        batch.next_offset()
    }

    fn alertmanager(&self, server: &Server, per_group: usize) -> AlarmSink {
        self.limited_alertmanager(server, per_group, 10_000)
    }

    fn limited_alertmanager(&self, server: &Server, per_group: usize, per_minute: usize) -> AlarmSink {
        let section = AlertmanagerConfig {
            url: Some(server.url.clone()),
            alarms_per_group: per_group,
            alerts_per_minute: per_minute,
            page_url: Some("http://page/".to_owned()),
            ..AlertmanagerConfig::default()
        };
        let settings = AlertmanagerSettings::new(&section).unwrap().unwrap();
        AlarmSink::alertmanager(settings, self.clock.clone(), AlarmTelemetry::default(), Stop::default())
    }

    fn webhook(&self, server: &Server) -> AlarmSink {
        let section = toml::from_str(&format!("url = \"{}/hook\"\nsecret = \"key\"\nalarms_per_group = 2", server.url));
        let settings = WebhookSettings::new(&section.unwrap()).unwrap().unwrap();
        AlarmSink::webhook(settings, self.clock.clone(), AlarmTelemetry::default(), Stop::default())
    }
}

/// Object or group, and whether the alert has ended, of each alert.
fn alerts(server: &Server, now: u64) -> Vec<String> {
    let requests = server.take().into_iter();
    let alerts = requests.flat_map(|(body, _)| body.as_array().cloned().unwrap_or_default());
    let short = |alert: Value| {
        assert_eq!((&alert["labels"]["alertname"], &alert["labels"]["severity"]), (&"high".into(), &"critical".into()));
        let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
        let is_over = ends.as_microsecond() <= i64::try_from(now).unwrap();
        let name = alert["labels"]["object"].as_str().unwrap_or("group").to_owned();
        format!("{name} {}", if is_over { "ended" } else { "fires" })
    };
    let mut found: Vec<_> = alerts.map(short).collect();
    found.sort();
    found
}

#[test]
fn an_alertmanager_is_told_of_the_start_and_the_end_also_by_another_process() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.rows(&[("a", 1), ("b", 1)], &[]);
    rig.run(rig.alertmanager(&server, 20));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a fires", "b fires"]);
    rig.rows(&[("a", 1)], &["b"]);
    rig.run(rig.alertmanager(&server, 20));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a fires", "b ended"]);
    rig.rows(&[], &["a"]);
    rig.run(rig.alertmanager(&server, 20));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a ended"]);
}

#[test]
fn many_alarms_of_a_rule_are_some_alerts_and_one_for_the_rest() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let names: Vec<_> = (0..1000).map(|number| format!("vn{number:03}")).collect();
    let firing: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut sink = rig.alertmanager(&server, 2);
    let next = sink.start(&*rig.log).unwrap();
    rig.rows(&firing, &[]);
    let next = rig.deliver(&mut sink, next);
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["group fires", "vn000 fires", "vn001 fires"]);
    rig.rows(&firing[1..], &["vn000"]);
    let next = rig.deliver(&mut sink, next);
    let found = alerts(&server, rig.clock.now_micros());
    assert_eq!(found, ["group fires", "vn000 ended", "vn001 fires"], "no other object pages");
    let recovered: Vec<_> = names[1..998].iter().map(String::as_str).collect();
    rig.rows(&firing[998..], &recovered);
    rig.deliver(&mut sink, next);
    let found = alerts(&server, rig.clock.now_micros());
    assert_eq!(found, ["group ended", "vn001 ended", "vn998 fires", "vn999 fires"], "the group fits again");
}

#[test]
fn an_alert_that_is_rejected_holds_up_no_other_and_is_not_repeated_at_once() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let names: Vec<_> = (0..600).map(|number| format!("vn{number:03}")).collect();
    let firing: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    rig.rows(&firing, &[]);
    *server.poison.lock().unwrap() = Some("\"vn017\"");
    let mut sink = rig.alertmanager(&server, 1000);
    sink.start(&*rig.log).unwrap();
    for _ in 0..3 {
        sink.idle(&*rig.log, false).unwrap();
    }
    assert_eq!(alerts(&server, rig.clock.now_micros()).len(), 599, "all others, once");
    let problem = sink.telemetry.problem(AlarmSink::ALERTMANAGER).unwrap();
    assert!(problem.contains("dropped") && problem.contains("status 400"), "{problem}");
    *server.poison.lock().unwrap() = None;
    rig.clock.advance(Duration::from_secs(60));
    sink.idle(&*rig.log, false).unwrap();
    assert_eq!(alerts(&server, rig.clock.now_micros()).len(), 600, "all in the next interval");
}

#[test]
fn an_alert_that_was_sent_in_half_a_request_ends() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let names: Vec<_> = (0..600).map(|number| format!("vn{number:03}")).collect();
    let firing: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut sink = rig.alertmanager(&server, 1000);
    let next = sink.start(&*rig.log).unwrap();
    rig.rows(&firing, &[]);
    server.script.lock().unwrap().extend([200, 503]);
    let next = rig.deliver(&mut sink, next);
    assert_eq!(alerts(&server, rig.clock.now_micros()).len(), 500);
    rig.rows(&firing[1..], &["vn000"]);
    rig.deliver(&mut sink, next);
    let found = alerts(&server, rig.clock.now_micros());
    assert!(found.len() == 600 && found[0] == "vn000 ended", "{} {}", found.len(), found[0]);
}

#[test]
fn a_new_sink_sends_what_fires_once_and_no_history() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.rows(&[("a", 1), ("b", 1)], &[]);
    rig.rows(&[("a", 1)], &["b"]);
    server.status.store(503, Ordering::SeqCst);
    rig.run(rig.webhook(&server));
    server.status.store(200, Ordering::SeqCst);
    rig.run(rig.webhook(&server));
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let group = &body["groups"][0];
    assert_eq!((group["fired"].as_array().map(Vec::len), &group["fired"][0]["object"]), (Some(1), &"a".into()));
    assert_eq!(group["resolved"].as_array().map(Vec::len), Some(0));
    rig.run(rig.webhook(&server));
    assert!(server.take().is_empty(), "it is sent once");
    rig.run(rig.alertmanager(&server, 20));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a fires"]);
}

#[test]
fn what_fires_in_a_stream_that_was_removed_ends_at_the_start() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.rows(&[("a", 1)], &[]);
    rig.run(rig.alertmanager(&server, 20).with_streams(["S-b".to_owned()]));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a fires"]);
    rig.run(rig.webhook(&server).with_streams(["S-b".to_owned()]));
    assert_eq!(server.take().len(), 1);
    rig.run(rig.alertmanager(&server, 20).with_streams(["S-c".to_owned()]));
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let reason = "the stream is not configured any more";
    assert_eq!((&body[0]["labels"]["object"], &body[0]["annotations"]["reason"]), (&"a".into(), &reason.into()));
    rig.run(rig.webhook(&server).with_streams(["S-c".to_owned()]));
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let ended = &body["groups"][0]["resolved"][0];
    assert_eq!((&ended["object"], &ended["reason"]), (&"a".into(), &reason.into()));
    rig.run(rig.webhook(&server).with_streams(["S-c".to_owned()]));
    rig.run(rig.alertmanager(&server, 20).with_streams(["S-c".to_owned()]));
    assert!(server.take().is_empty(), "it ends once");
}

#[test]
fn what_a_server_does_not_take_is_sent_later() {
    let (server, mut rig) = (Server::start(), Rig::new());
    server.status.store(503, Ordering::SeqCst);
    rig.rows(&[("a", 1)], &[]);
    rig.run(rig.webhook(&server));
    rig.run(rig.alertmanager(&server, 20));
    assert!(server.take().is_empty());
    server.status.store(200, Ordering::SeqCst);
    rig.run(rig.alertmanager(&server, 20));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a fires"]);
    rig.run(rig.webhook(&server));
    assert_eq!(server.take().len(), 1);
    rig.run(rig.webhook(&server));
    assert!(server.take().is_empty(), "it is told once");
}

#[test]
fn a_webhook_has_the_changes_by_group_and_is_signed() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.rows(&[("a", 1), ("b", 1), ("c", 1)], &[]);
    rig.run(rig.webhook(&server));
    let [(body, signed)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let group = &body["groups"][0];
    assert_eq!(signed, "signed");
    assert_eq!((&group["rule"], &group["table"], &group["firing"]), (&"high".into(), &"T".into(), &3.into()));
    assert_eq!((group["fired"].as_array().map(Vec::len), &group["fired_more"]), (Some(2), &1.into()));
    assert_eq!(group["fired"][0]["id"], format!("high/T:a/A-S-b/{}/fired", START + MINUTE));
    rig.rows(&[("b", 1), ("c", 1)], &["a"]);
    rig.run(rig.webhook(&server));
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let group = &body["groups"][0];
    assert_eq!((&group["firing"], &group["resolved"][0]["object"]), (&2.into(), &"a".into()));
    assert_eq!(group["fired"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_a_server_rejects_for_good_does_not_hold_up_the_rest() {
    let (server, mut rig) = (Server::start(), Rig::new());
    server.status.store(400, Ordering::SeqCst);
    rig.rows(&[("a", 1)], &[]);
    rig.run(rig.webhook(&server));
    server.status.store(200, Ordering::SeqCst);
    rig.rows(&[("a", 1), ("b", 2)], &[]);
    rig.run(rig.webhook(&server));
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    assert_eq!(body["groups"][0]["fired"][0]["object"], "b");
}

#[test]
fn a_group_that_a_webhook_rejects_takes_no_other_with_it() {
    let (server, mut rig) = (Server::start(), Rig::new());
    for table in ["A", "B", "C", "D", "E"] {
        rig.rows_of(table, 0, &[(table, 1)], &[]);
    }
    *server.poison.lock().unwrap() = Some("\"table\":\"C\"");
    rig.run(rig.webhook(&server));
    let requests = server.take();
    assert!(requests.iter().all(|(_, signed)| signed == "signed"), "{requests:?}");
    let tables = requests.iter().flat_map(|(body, _)| body["groups"].as_array().unwrap());
    let tables: Vec<_> = tables.map(|group| group["table"].as_str().unwrap()).collect();
    assert_eq!(tables, ["A", "B", "D", "E"]);
}

#[test]
fn a_receiver_that_takes_nothing_gets_a_bounded_number_of_requests() {
    let mut requests = 0;
    let sent = client::in_parts(&[(); 500], &mut |_| {
        requests += 1;
        Err(Failure::Rejected("no".to_owned()))
    });
    assert!(sent.is_err() && requests < 200, "{requests}");
}

#[test]
fn alerts_go_to_every_member_and_one_that_is_away_holds_up_none() {
    let (servers, mut rig) = ([Server::start(), Server::start()], Rig::new());
    let section = AlertmanagerConfig {
        url: Some(servers[0].url.clone()),
        // A proxy may take a path as a credential.
        other_urls: vec![format!("{}/hunter2", servers[1].url)],
        user: Some("me".to_owned()),
        password: Some(toml::Value::from("pass").try_into().unwrap()),
        ..AlertmanagerConfig::default()
    };
    let sink = || {
        let settings = AlertmanagerSettings::new(&section).unwrap().unwrap();
        AlarmSink::alertmanager(settings, rig.clock.clone(), AlarmTelemetry::default(), Stop::default())
    };
    let mut sink = sink();
    let next = sink.start(&*rig.log).unwrap();
    rig.rows(&[("a", 1)], &[]);
    let next = rig.deliver(&mut sink, next);
    for server in &servers {
        assert_eq!(alerts(server, rig.clock.now_micros()), ["a fires"]);
        // Of `me:pass`.
        assert_eq!(*server.authorization.lock().unwrap(), "Basic bWU6cGFzcw==");
    }
    servers[1].status.store(503, Ordering::SeqCst);
    rig.rows(&[("a", 1), ("b", 2)], &[]);
    rig.deliver(&mut sink, next);
    let problem = sink.telemetry.problem(AlarmSink::ALERTMANAGER).unwrap();
    assert!(problem.contains(&servers[1].url) && problem.contains("503"), "{problem}");
    assert!(!problem.contains("hunter2"), "{problem}");
    assert!(alerts(&servers[0], rig.clock.now_micros()).contains(&"b fires".to_owned()));
    assert_eq!(sink.sent_to, sink.next, "what one has is sent");
    // It has all again with the next interval.
    servers[1].status.store(200, Ordering::SeqCst);
    rig.clock.advance(Duration::from_secs(60));
    sink.idle(&*rig.log, false).unwrap();
    assert_eq!(alerts(&servers[1], rig.clock.now_micros()), ["a fires", "b fires"]);
    assert_eq!(sink.telemetry.problem(AlarmSink::ALERTMANAGER), None);
}

/// Severity and name of each alert that fires, as they were sent.
fn severe(server: &Server) -> Vec<String> {
    let requests = server.take().into_iter();
    let alerts = requests.flat_map(|(body, _)| body.as_array().cloned().unwrap_or_default());
    let short = |alert: Value| {
        let text = |name: &str| alert["labels"][name].as_str().unwrap_or("-").to_owned();
        let name = if text("alertname") == "high" { text("object") } else { text("alertname") };
        format!("{} {name}", text("severity"))
    };
    let mut found: Vec<_> = alerts.map(short).collect();
    found.sort();
    found
}

#[test]
fn over_all_groups_no_more_alerts_begin_in_a_minute_than_the_limit_and_the_worst_are_first() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let mut sink = rig.limited_alertmanager(&server, 20, 3);
    let next = sink.start(&*rig.log).unwrap();
    for (table, severity) in [("A", 2), ("B", 1), ("C", 0), ("D", 1)] {
        let names = ["1", "2"].map(|number| format!("{table}{number}"));
        rig.rows_of(table, severity, &[(&names[0], 1), (&names[1], 1)], &[]);
    }
    let next = rig.deliver(&mut sink, next);
    assert_eq!(severe(&server), ["critical C1", "critical C2", "major B1", "major alarms are held back"]);
    assert_eq!(sink.notifier.held().len(), 5);
    sink.idle(&*rig.log, false).unwrap();
    assert!(server.take().is_empty(), "not before a minute has gone by");
    // One that waits and ends before its turn is never sent.
    rig.rows_of("D", 1, &[], &["D1"]);
    let _ = rig.deliver(&mut sink, next);
    assert_eq!(severe(&server), ["major alarms are held back"], "their number is another one");
    rig.clock.advance(Duration::from_secs(61));
    sink.idle(&*rig.log, false).unwrap();
    let sent = severe(&server);
    let new = ["major B2", "major D2", "minor A1", "minor alarms are held back"];
    assert!(new.iter().all(|alert| sent.iter().any(|sent| sent == alert)), "{sent:?}");
    assert!(!sent.iter().any(|alert| alert == "minor A2" || alert == "major D1"), "{sent:?}");
    rig.clock.advance(Duration::from_secs(61));
    sink.idle(&*rig.log, false).unwrap();
    assert!(severe(&server).contains(&"minor A2".to_owned()));
    assert!(sink.notifier.held().is_empty());
    rig.clock.advance(Duration::from_secs(61));
    sink.idle(&*rig.log, false).unwrap();
    let held = |alert: &String| alert.ends_with("held back");
    assert!(!severe(&server).iter().any(held), "the alert about them has ended");
}

#[test]
fn a_restart_knows_what_was_held_back_and_what_was_sent() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.run(rig.limited_alertmanager(&server, 20, 2));
    for (table, severity) in [("A", 2), ("B", 1), ("C", 0)] {
        rig.rows_of(table, severity, &[(table, 1)], &[]);
    }
    rig.run(rig.limited_alertmanager(&server, 20, 2));
    assert_eq!(severe(&server), ["critical C", "major B", "minor alarms are held back"]);
    rig.run(rig.limited_alertmanager(&server, 20, 1));
    let sent = severe(&server);
    assert!(["critical C", "major B", "minor A"].iter().all(|alert| sent.contains(&(*alert).to_owned())), "{sent:?}");
    rig.run(rig.limited_alertmanager(&server, 20, 1));
    assert_eq!(severe(&server), ["critical C", "major B", "minor A"], "nothing waits");
}

#[test]
fn a_large_group_under_the_limit_is_one_alert_first() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let names: Vec<_> = (0..100).map(|number| format!("vn{number:03}")).collect();
    let firing: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut sink = rig.limited_alertmanager(&server, 20, 5);
    let next = sink.start(&*rig.log).unwrap();
    rig.rows(&firing, &[]);
    rig.deliver(&mut sink, next);
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let rest = body.as_array().unwrap().iter().find(|alert| alert["labels"]["grouped"] == "true").unwrap();
    assert_eq!((&rest["annotations"]["firing"], &rest["annotations"]["alarms"]), (&"100".into(), &"96".into()));
    assert_eq!(rest["generatorURL"], "http://page/#/objects?type=Ts&alarm=rule%3Ahigh");
    assert_eq!(body.as_array().map(Vec::len), Some(5), "four objects and the rest: {body}");
    assert!(sink.notifier.held().is_empty(), "the others are a part of the rest");
    let one = body.as_array().unwrap().iter().find(|alert| alert["labels"]["object"] == "vn000").unwrap();
    let (from, to) = (START / 1_000_000 + 60 - 3600, START / 1_000_000 + 60 + 1800);
    assert_eq!(
        one["generatorURL"],
        format!("http://page/#/object/T/vn000?from={from}&to={to}&uve=A-S-b&attribute=value")
    );
    assert_eq!(one["annotations"]["firing"], "100");
}

/// Objects of the stream `S-b` in the table `T`, with labels of which some are names that annotations use.
fn labelled() -> ObjectLabels {
    ObjectLabels::new([("S-b", "T", ["job", "summary", "page", "table", "instance"])])
}

#[test]
fn alerts_and_changes_have_the_labels_of_their_objects_under_names_of_their_own() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let section = AlertmanagerConfig { url: Some(server.url.clone()), ..AlertmanagerConfig::default() };
    let settings = AlertmanagerSettings::new(&section).unwrap().unwrap().with_objects(labelled());
    let alertmanager = AlarmSink::alertmanager(settings, rig.clock.clone(), AlarmTelemetry::default(), Stop::default());
    let section = toml::from_str(&format!("url = \"{}/hook\"", server.url)).unwrap();
    let settings = WebhookSettings::new(&section).unwrap().unwrap().with_objects(labelled());
    let webhook = AlarmSink::webhook(settings, rig.clock.clone(), AlarmTelemetry::default(), Stop::default());
    rig.rows(&[(r"shop\\,eu,page,x,,h:9", 1), ("unlabelled", 1)], &[]);
    rig.run(alertmanager);
    let [(alerts, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let own = |alert: &Value| {
        let mut found = alert["annotations"].as_object().unwrap().clone();
        found.retain(|name, _| !["alarms", "firing", "page", "summary"].contains(&&**name));
        Value::Object(found)
    };
    let expected = serde_json::json!(
        {"job": "shop,eu", "exported_summary": "page", "exported_page": "x", "instance": "h:9"}
    );
    assert_eq!((own(&alerts[0]), own(&alerts[1])), (expected.clone(), serde_json::json!({})), "{alerts}");
    // An alert keeps its labels when the configuration of its stream changes.
    let labels = ["alertname", "object", "severity", "stream", "table", "uve"];
    assert!(alerts[0]["labels"].as_object().unwrap().keys().eq(labels), "{alerts}");
    rig.run(webhook);
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let fired = &body["groups"][0]["fired"];
    assert_eq!((&fired[0]["labels"], fired[1].get("labels")), (&expected, None), "{body}");
}

#[test]
fn the_texts_of_alarms_escape_what_the_log_escapes() {
    for character in (0..=0x1f_ffff).filter_map(char::from_u32) {
        let is_escaped = *daemon_alarms::escape::escaped(character.encode_utf8(&mut [0; 4])) != *character.to_string();
        assert_eq!(is_escaped, daemon_base::one_line::is_not_shown(character), "{character:?}");
    }
}

/// A process that sends what is due and is killed: the receiver has taken what it answered to with a failure.
fn killed_while_it_sends(rig: &Rig, mut sink: AlarmSink, next: Option<u64>) -> u64 {
    let start = sink.start(&*rig.log).unwrap();
    rig.deliver(&mut sink, next.unwrap_or(start))
}

#[test]
fn an_end_behind_the_position_is_sent_as_its_start_may_have_been() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.run(rig.alertmanager(&server, 2));
    rig.rows(&[("a", 1), ("b", 1)], &[]);
    server.status.store(503, Ordering::SeqCst);
    killed_while_it_sends(&rig, rig.alertmanager(&server, 2), None);
    rig.rows(&[("b", 1)], &["a"]);
    server.status.store(200, Ordering::SeqCst);
    let mut sink = rig.alertmanager(&server, 2);
    let next = sink.start(&*rig.log).unwrap();
    rig.clock.advance(Duration::from_secs(60));
    // The first attempt fails, and the next has the end, too.
    server.script.lock().unwrap().extend([503]);
    let next = rig.deliver(&mut sink, next);
    assert!(server.take().is_empty());
    rig.clock.advance(Duration::from_secs(60));
    sink.idle(&*rig.log, false).unwrap();
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a ended", "b fires"], "and no group");
    // What begins and ends from now on was sent by this process or by none.
    rig.rows_of("T", 0, &[("c", 3)], &[]);
    rig.rows_of("T", 0, &[], &["c"]);
    rig.deliver(&mut sink, next);
    assert!(alerts(&server, rig.clock.now_micros()).iter().all(|alert| !alert.starts_with('c')));
}

#[test]
fn the_alert_of_a_group_and_the_one_about_what_is_held_end_behind_the_position_too() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.run(rig.limited_alertmanager(&server, 1, 1));
    rig.rows(&[("a", 1), ("b", 1), ("c", 1)], &[]);
    server.status.store(503, Ordering::SeqCst);
    killed_while_it_sends(&rig, rig.limited_alertmanager(&server, 1, 1), None);
    rig.rows(&[], &["a", "b", "c"]);
    server.status.store(200, Ordering::SeqCst);
    rig.run(rig.limited_alertmanager(&server, 1, 1));
    let [(body, _)]: [(Value, String); 1] = server.take().try_into().unwrap();
    let ends = body.as_array().unwrap();
    let count = |is_it: &dyn Fn(&Value) -> bool| ends.iter().filter(|alert| is_it(&alert["labels"])).count();
    assert_eq!(count(&|labels| labels["object"].is_string()), 3, "{body}");
    assert_eq!(count(&|labels| labels["alertname"] == "high" && labels["grouped"] == "true"), 1, "{body}");
    assert_eq!(count(&|labels| labels["alertname"] == "alarms are held back"), 3, "one of each severity: {body}");
    assert_eq!(ends.len(), 7, "{body}");
    rig.run(rig.limited_alertmanager(&server, 1, 1));
    assert!(server.take().is_empty(), "once");
}

#[test]
fn what_fired_behind_the_position_in_a_stream_that_was_removed_ends() {
    let (server, mut rig) = (Server::start(), Rig::new());
    rig.run(rig.alertmanager(&server, 20));
    rig.rows(&[("a", 1)], &[]);
    rig.run(rig.alertmanager(&server, 20).with_streams(["S-c".to_owned()]));
    assert_eq!(alerts(&server, rig.clock.now_micros()), ["a ended"]);
}

/// A log whose positions have so many bytes at most.
struct Narrow(Arc<EmbeddedLog>, usize);

impl Log for Narrow {
    fn append(&self, batch: AppendBatch) -> Result<Appended, LogError> {
        self.0.append(batch)
    }

    fn arrival(&self, at: u64) -> u64 {
        self.0.arrival(at)
    }

    fn read_results(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        self.0.read_results(from, max_bytes)
    }

    fn results_bounds(&self) -> Result<Bounds, LogError> {
        self.0.results_bounds()
    }

    fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError> {
        self.0.sink_position(sink)
    }

    fn set_sink_position(&self, sink: &str, position: SinkPosition) -> Result<(), LogError> {
        if position.detail.len() > self.1 {
            return Err(LogError::invalid(format!("{} bytes are too many", position.detail.len())));
        }
        self.0.set_sink_position(sink, position)
    }

    fn remove_sink(&self, sink: &str) -> Result<(), LogError> {
        self.0.remove_sink(sink)
    }

    fn wait_for_results(&self, seen: u64, timeout: Duration) -> u64 {
        self.0.wait_for_results(seen, timeout)
    }

    fn wake_all(&self) {
        self.0.wake_all();
    }
}

#[test]
fn a_log_that_takes_short_positions_only_holds_up_no_alarm_and_the_problem_names_what_a_start_forgets() {
    let (server, mut rig) = (Server::start(), Rig::new());
    let names: Vec<_> = (0..300).map(|number| format!("vn{number:03}")).collect();
    let firing: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    for (bytes, remembered) in [(2048, 290), (600, 165), (0, 0)] {
        rig.log.remove_sink(AlarmSink::ALERTMANAGER).unwrap();
        let (log, mut sink) = (Narrow(rig.log.clone(), bytes), rig.limited_alertmanager(&server, 1000, 10));
        let next = sink.start(&log).unwrap();
        rig.rows(&firing, &[]);
        let batch = rig.log.read_results(next, READ_BYTES).unwrap();
        sink.deliver(&log, &batch).unwrap();
        assert_eq!(severe(&server).len(), 11, "ten, and the number of the others");
        let problem = sink.telemetry.problem(AlarmSink::ALERTMANAGER);
        let expected = match bytes {
            2048 => None,
            600 => Some("a restart sends 125 of the alerts that wait at once"),
            _ => Some("8 bytes are too many"),
        };
        assert_eq!(problem.is_some(), expected.is_some(), "{problem:?}");
        assert!(problem.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        let found = rig.log.sink_position(AlarmSink::ALERTMANAGER).unwrap().map(Position::from);
        assert_eq!(found.unwrap().held.len(), remembered, "{bytes}");
        // What is not remembered is sent, and the rest waits.
        let mut sink = rig.limited_alertmanager(&server, 1000, 10);
        let next = sink.start(&log).unwrap();
        let batch = rig.log.read_results(next, READ_BYTES).unwrap();
        if batch.is_empty() { sink.idle(&log, false) } else { sink.deliver(&log, &batch) }.unwrap();
        let sent = severe(&server);
        let single = sent.iter().filter(|alert| alert.starts_with("critical vn")).count();
        assert_eq!(single, if bytes == 0 { 10 } else { 300 - remembered + 10 });
        let ended: Vec<_> = names.iter().map(String::as_str).collect();
        rig.rows(&[], &ended);
    }
}
