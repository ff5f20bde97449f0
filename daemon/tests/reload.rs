//! A configuration that changes while the daemon runs: by SIGHUP and by `POST /api/v1/config`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use support::campaign::{assert_same, batches_of, by_object};
use support::configured::{Configured, STREAM, hang_up, list, text, wait_until_changed};
use support::{Daemon, line, results, wait_until};

const SUM: &str = "AggProxySum";
const SCORE: &str = "AggProxySumAnomalyEWM01";
const LAST: &str = "AggProxySumLast";
const START: u64 = 1_488_000_000_000_000;

fn start(configured: &Configured) -> Daemon {
    let daemon = Daemon::spawn(configured.command()).expect("the daemon starts");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    daemon
}

/// The batches with the lines of the stream only.
fn batches(windows: u64) -> Vec<String> {
    let of_stream = |body: &str| {
        let lines = body.lines().filter(|line| line.contains("egress_flow_count"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    batches_of(5, windows).iter().map(|batch| of_stream(&batch.body)).collect()
}

/// The results of one proxy type after batches, before the `index`-th of which the file becomes `change(index)`.
fn results_of(proxy: &str, types: &[&str], change: impl Fn(usize) -> Option<String>) -> Vec<String> {
    let configured = Configured::new(types);
    let daemon = start(&configured);
    let mut changes = 0;
    for (index, batch) in batches(24).iter().enumerate() {
        if let Some(text) = change(index) {
            configured.write(&text);
            changes += 1;
            hang_up(&daemon, changes);
        }
        assert_eq!(daemon.post(batch.as_bytes(), None).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    daemon.stop();
    let uve = format!("\"uve\":\"{proxy}-{STREAM}\"");
    by_object(results(&configured.data()).into_iter().filter(|line| line.contains(&uve)).collect())
}

#[test]
fn what_stays_configured_gives_the_same_results_byte_for_byte_over_changes() {
    let expected = results_of(SCORE, &[SCORE, SUM], |_| None);
    assert!(expected.len() > 30, "the input proves nothing");
    // In the middle of windows, with other types, another order, and other numbers of workers.
    let got = results_of(SCORE, &[SCORE, SUM], |index| match index {
        20 => Some(text(&[SCORE])),
        40 => Some(text(&[LAST, SCORE])),
        50 => Some(text(&[SUM, SCORE, LAST]).replace("threads = 2", "threads = 1")),
        _ => None,
    });
    assert_same(&got, &expected, "changes");
}

#[test]
fn samples_are_taken_and_events_come_once_while_the_configuration_changes() {
    let configured = Configured::new(&[SCORE]);
    let daemon = start(&configured);
    let mut stream = ureq::get(daemon.url("/api/v1/results/stream")).call().unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&events);
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(stream.body_mut().as_reader()).lines().map_while(Result::ok);
        let data = lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        data.filter(|line| !line.is_empty()).for_each(|line| received.lock().unwrap().push(line));
    });
    for (index, batch) in batches(16).iter().enumerate() {
        match index {
            18 => {
                configured.write(&text(&[SUM, SCORE]));
                daemon.signal("HUP");
            }
            // The batches between came while it changed.
            24 => wait_until_changed(&daemon, 1),
            _ => {}
        }
        assert_eq!(daemon.post(batch.as_bytes(), None).unwrap().0, 200);
    }
    // Of a type that is there since the change.
    let is_of_sum = |line: &String| line.contains(&format!("\"{SUM}-{STREAM}\""));
    wait_until("an event of the new type", || events.lock().unwrap().iter().any(is_of_sum).then_some(()));
    daemon.stop();
    reader.join().unwrap();
    // The last ones may not have been sent before the stop.
    let (events, stored) = (events.lock().unwrap(), results(&configured.data()));
    assert!(events.len() <= stored.len(), "some came twice");
    assert_same(&events, &stored[..events.len()], "the event stream");
}

#[test]
fn an_added_stream_is_taken_and_a_removed_one_is_gone() {
    let configured = Configured::new(&[SUM]);
    let daemon = start(&configured);
    let sample = |attribute: &str, window: u64| line("a", attribute, START + window * 10_000_000, 7);
    let post = |line: String| daemon.post(line.as_bytes(), None).unwrap().0;
    (0..5).for_each(|window| assert_eq!(post(sample("egress_flow_count", window)), 200));
    assert_eq!(post(sample("ingress_flow_count", 1)), 400);
    let shown = "/analytics/uves/virtual-network/a?flat";
    let uve = |name: &str| format!("{SUM}-UveVirtualNetworkAgent-{name}_flow_count");
    daemon.wait_for(shown, |(_, body)| body.contains(&uve("egress")).then_some(()));
    configured.write(&list(&format!("UveVirtualNetworkAgent-ingress_flow_count:{SUM}")));
    hang_up(&daemon, 1);
    assert_eq!(post(sample("egress_flow_count", 6)), 400);
    (0..5).for_each(|window| assert_eq!(post(sample("ingress_flow_count", window)), 200));
    daemon
        .wait_for(shown, |(_, body)| (body.contains(&uve("ingress")) && !body.contains(&uve("egress"))).then_some(()));
    let (_, metrics) = daemon.get("/metrics");
    assert!(!metrics.contains("objects{stream=\"UveVirtualNetworkAgent-egress"), "{metrics}");
    // It goes on where it was.
    configured.write(&text(&[SUM]));
    hang_up(&daemon, 2);
    daemon.wait_for(shown, |(_, body)| body.contains(&uve("egress")).then_some(()));
    daemon.stop();
}

#[test]
fn a_file_with_faults_changes_nothing_and_every_fault_is_named() {
    let configured = Configured::new(&[SUM]);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let before = std::fs::read_to_string(configured.file()).unwrap();
    let faulty = text(&["NoSuchType"]) + "[sinks.file]\npaht = \"x\"\n";
    let (status, answer) = configured.post(&daemon, &faulty);
    let problems = answer["problems"].to_string();
    assert_eq!(status, 400, "{answer}");
    assert!(problems.contains("NoSuchType") && problems.contains("paht") && problems.contains(".toml:"), "{problems}");
    assert_eq!(std::fs::read_to_string(configured.file()).unwrap(), before);
    configured.write(&faulty);
    daemon.signal("HUP");
    let invalid = "configuration_changes_total{outcome=\"invalid\"} 2\n";
    let metrics = || configured.ask(&daemon, "GET", "/metrics", "").unwrap().1;
    wait_until("the file is read", || metrics().contains(invalid).then_some(()));
    let said = daemon.wait_until_said("The configuration is not valid; nothing has changed.");
    assert!(said.contains("NoSuchType") && said.contains("paht"), "{said}");
    configured.write(&before);
    let shown = configured.ask(&daemon, "GET", "/api/v1/config", "").unwrap().1;
    assert!(shown.contains(&format!("{SUM}-{STREAM}")), "{shown}");
    daemon.stop();
}

/// The configuration before would read the same states, so there is no way back to it.
#[test]
fn a_change_whose_workers_find_a_damaged_state_ends_the_daemon_as_a_start_with_it_would() {
    let configured = Configured::new(&[SUM]);
    let mut daemon = start(&configured);
    let sample = |second: u64| line("a", "egress_flow_count", START + second * 1_000_000, 7);
    assert_eq!(daemon.post((0..60).map(sample).collect::<String>().as_bytes(), None).unwrap().0, 200);
    daemon.wait_for("/analytics/uves/virtual-network/a", |(status, _)| (*status == 200).then_some(()));
    daemon.wait_until_applied();
    // A stop would write the view's checkpoint behind the states.
    daemon.signal("KILL");
    daemon.wait();
    let mut daemon = start(&configured);
    let files = std::fs::read_dir(configured.data().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let state = files.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("state-"));
    let state = state.unwrap();
    let mut bytes = std::fs::read(&state).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&state, bytes).unwrap();
    configured.write(&text(&[SUM, SCORE]));
    daemon.signal("HUP");
    assert_eq!(daemon.wait().code(), Some(65), "{}", daemon.stderr());
    assert!(daemon.stderr().contains("the saved state of partition"), "{}", daemon.stderr());
}

#[test]
fn each_refusal_of_a_signal_is_written_at_once() {
    let configured = Configured::new(&[SUM]);
    let daemon = start(&configured);
    for (count, name) in ["First", "Second", "Third"].into_iter().enumerate() {
        configured.write(&text(&[name]));
        daemon.signal("HUP");
        let invalid = format!("configuration_changes_total{{outcome=\"invalid\"}} {}\n", count + 1);
        daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(&invalid).then_some(()));
    }
    // A limit would hold the second one back and leave it out: the third replaces it.
    let said = daemon.stop();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("The configuration is not valid")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, name) in lines.iter().zip(["First", "Second", "Third"]) {
        assert!(line.contains(&format!("`{name}`")) && !line.contains("left out"), "{line}");
    }
}

/// The detector has taken all values of 30 windows, of which the last two are open.
fn goes_on(configured: &Configured) {
    let counts = results(&configured.data()).into_iter().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["data"]["value"]["samples"].as_u64()
    });
    let counts: Vec<_> = counts.collect();
    assert!(counts.is_sorted_by(|before, after| *after == before + 1), "the detector began anew: {counts:?}");
    assert_eq!(counts.last(), Some(&28), "{counts:?}");
}

/// A configuration that is valid, and with which no daemon can start: the client of the brokers refuses the property.
fn unusable() -> String {
    text(&[SUM, SCORE])
        + NO_SUCH_PROPERTY
        + "[sinks.redis]\nurl = \"redis://127.0.0.1:1\"\nuve_topics = \"-uve-topic-\"\n"
}

/// Without effect while there is no client of brokers.
const NO_SUCH_PROPERTY: &str = "[kafka]\nbrokers = \"127.0.0.1:1\"\nproperties = [\"no.such.property=1\"]\n";

#[test]
fn a_start_that_fails_leaves_the_configuration_before_in_force_and_its_states() {
    let configured = Configured::new(&[SCORE]);
    let before = text(&[SCORE]) + NO_SUCH_PROPERTY;
    configured.write(&before);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let send = |windows: std::ops::Range<u64>| {
        let samples = windows.map(|window| line("a", "egress_flow_count", START + window * 10_000_000, 7 + window));
        let (status, answer) =
            configured.ask(&daemon, "POST", "/api/v1/samples", &samples.collect::<String>()).unwrap();
        assert_eq!(status, 200, "{answer}");
    };
    send(0..15);
    let (status, answer) = configured.post(&daemon, &unusable());
    assert_eq!(status, 500, "{answer}");
    assert!(answer["problems"].to_string().contains("no.such.property"), "{answer}");
    assert_eq!(std::fs::read_to_string(configured.file()).unwrap(), before, "the next start would fail");
    send(15..30);
    wait_until("everything is applied", || {
        let (_, partitions) = configured.ask(&daemon, "GET", "/api/v1/partitions", "")?;
        support::is_applied(&partitions).then_some(())
    });
    let shown = configured.ask(&daemon, "GET", "/api/v1/config", "").unwrap().1;
    assert!(!shown.contains(&format!("{SUM}-{STREAM}")), "{shown}");
    // By a signal, too, and a good configuration is taken after that.
    configured.write(&unusable());
    daemon.signal("HUP");
    let failed = "configuration_changes_total{outcome=\"failed\"} 2\n";
    wait_until("the daemon is back", || {
        configured.ask(&daemon, "GET", "/metrics", "")?.1.contains(failed).then_some(())
    });
    let said = "The daemon cannot start with the changed configuration; the one before is in force again.";
    wait_until("both are said", || (daemon.stderr().matches(said).count() == 2).then_some(()));
    let (status, answer) = configured.post(&daemon, &(text(&[SCORE, SUM]) + NO_SUCH_PROPERTY));
    assert_eq!((status, &answer["added"][0]), (200, &format!("{SUM}-{STREAM}").into()), "{answer}");
    assert_eq!(std::fs::read_dir(configured.path()).unwrap().count(), 3, "no file is left over");
    daemon.stop();
    goes_on(&configured);
}

#[test]
fn a_stop_ends_a_change_that_waits_and_leaves_the_file_before() {
    let configured = Configured::new(&[SUM]);
    // A server that takes connections and never answers: its sink has a backlog, for which a change waits.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let influxdb = format!(
        "[sinks.influxdb]\nurl = \"http://{}\"\ndatabase = \"d\"\n[shutdown]\ngrace = \"1s\"\n",
        silent.local_addr().unwrap()
    );
    let before = text(&[SUM]) + &influxdb;
    configured.write(&before);
    let mut daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    for window in 0..5 {
        let sample = line("a", "egress_flow_count", START + window * 10_000_000, 7);
        assert_eq!(configured.ask(&daemon, "POST", "/api/v1/samples", &sample).unwrap().0, 200);
    }
    let lag = "derived_statsd_sink_lag_results{sink=\"influxdb\"} 0";
    wait_until("the sink has a backlog", || {
        let (_, metrics) = configured.ask(&daemon, "GET", "/metrics", "")?;
        (metrics.contains("sink_lag_results{sink=\"influxdb\"}") && !metrics.contains(lag)).then_some(())
    });
    std::thread::scope(|scope| {
        let post = scope.spawn(|| configured.ask(&daemon, "POST", "/api/v1/config", &(text(&[SUM, LAST]) + &influxdb)));
        daemon.wait_until_said("The configuration changes: workers and sinks end first.");
        daemon.signal("TERM");
        // Answered before the end, or cut off by it.
        assert_ne!(post.join().unwrap().map(|(status, _)| status), Some(200));
    });
    assert!(daemon.wait_for_end().success());
    assert_eq!(std::fs::read_to_string(configured.file()).unwrap(), before, "the stop did not end the change");
    assert!(!daemon.stderr().contains("The configuration was changed."), "{}", daemon.stderr());
}

#[test]
fn a_posted_setting_that_a_flag_hides_is_named_and_rules_of_alarms_are_compared() {
    let configured = Configured::new(&[SUM]);
    let mut command = configured.guarded();
    command.args(["--set", "aggregation.idle_timeout=7s"]);
    let daemon = Daemon::spawn(command).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let with = |rule: &str| {
        let text = text(&[SUM]).replace("period = 10\n", "period = 10\nidle_timeout = \"9s\"\n");
        format!("{text}[[alarms]]\nrule = 'alarm \"high\" when AggProxySum.value > {rule}'\n")
    };
    let (status, answer) = configured.post(&daemon, &with("5"));
    let hidden = serde_json::json!([{ "key": "aggregation.idle_timeout", "by": "flag --set" }]);
    assert_eq!((status, &answer["hidden"]), (200, &hidden), "{answer}");
    assert_eq!(answer["alarms"]["added"], serde_json::json!(["high"]), "{answer}");
    let (status, shown) = configured.ask(&daemon, "GET", "/api/v1/config", "").unwrap();
    assert!(status == 200 && shown.contains(r#""alarms":{"high":"when=AggProxySum.value > 5; for=1;"#), "{shown}");
    let (status, answer) = configured.post(&daemon, &with("6 for 2"));
    assert_eq!((status, &answer["alarms"]["changed"][0]["name"]), (200, &"high".into()), "{answer}");
    assert!(answer["alarms"]["changed"][0]["why"].as_str().unwrap().contains("for=2"), "{answer}");
    daemon.stop();
}

#[test]
fn one_stream_is_added_changed_and_removed() {
    let configured = Configured::new(&[SUM]);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let ask = |method: &str, name: &str, keys: &str| {
        let (status, answer) =
            configured.ask(&daemon, method, &format!("/api/v1/config/streams/{name}"), keys).unwrap();
        (status, answer.parse::<serde_json::Value>().unwrap())
    };
    let other = "UveVirtualNetworkAgent-ingress_flow_count";
    let (status, answer) = ask("POST", other, "types = [\"AggProxySum\", \"AggProxySumLast\"]");
    let added = [format!("{SUM}-{other}"), format!("{LAST}-{other}")];
    assert_eq!((status, &answer["added"]), (200, &serde_json::json!(added)), "{answer}");
    assert_eq!(answer["kept"][0]["name"], format!("{SUM}-{STREAM}"), "{answer}");
    let (status, answer) = ask("POST", other, "types = [\"AggProxySum\"]");
    assert_eq!((status, &answer["removed"]), (200, &serde_json::json!([added[1]])), "{answer}");
    let series =
        "metric = \"http_requests_total\"\nobject = [\"job\"]\nkind = \"counter\"\naggregations = [\"AggProxySum\"]";
    let (status, answer) = ask("POST", "http-requests", series);
    assert_eq!(
        (status, &answer["added"]),
        (200, &serde_json::json!([format!("{SUM}-http_requests-http_requests_total")])),
        "{answer}"
    );
    let file = std::fs::read_to_string(configured.file()).unwrap();
    assert!(file.starts_with("# by hand\n") && file.contains(&format!("{STREAM}:{SUM} {other}:{SUM}\"")), "{file}");
    let (status, answer) = ask("DELETE", STREAM, "");
    assert_eq!((status, &answer["removed"]), (200, &serde_json::json!([format!("{SUM}-{STREAM}")])), "{answer}");
    for (method, name, keys, expected) in [
        ("POST", other, "types = [\"NoSuchType\"]", "NoSuchType"),
        ("POST", other, "types = 3", "expected a list of names"),
        ("DELETE", STREAM, "", "no stream"),
    ] {
        let before = std::fs::read_to_string(configured.file()).unwrap();
        let (status, answer) = ask(method, name, keys);
        assert!(status == 400 && answer["problems"].to_string().contains(expected), "{answer}");
        assert_eq!(std::fs::read_to_string(configured.file()).unwrap(), before);
    }
    let unknown = ureq::post(daemon.url(&format!("/api/v1/config/streams/{other}"))).send("types = []");
    assert_eq!(unknown.unwrap_err().to_string(), "http status: 401");
    daemon.stop();
}

#[test]
fn what_needs_a_restart_is_refused_by_name() {
    let configured = Configured::new(&[SUM]);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let more = "[shutdown]\ngrace = \"3s\"\n[http]\nmax_streams = 7\n";
    let (status, answer) = configured.post(&daemon, &(text(&[SUM, SCORE]) + more));
    assert_eq!(status, 409, "{answer}");
    let problems: Vec<_> = answer["problems"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let expected = [
        "setting http.max_streams: 7 instead of 64: restart the daemon to change it",
        "setting shutdown.grace: \"3s\" instead of \"10s\": restart the daemon to change it",
    ];
    assert_eq!(problems, expected);
    // A problem of several lines is one.
    let alarm = "[[alarms]]\nname = \"a\"\nwhen = \"AggProxySum.value >> 100\"\n";
    let (status, answer) = configured.post(&daemon, &(text(&[SUM]) + alarm));
    let problems = answer["problems"].as_array().map(|problems| problems.len());
    assert!(status == 400 && problems == Some(1) && answer.to_string().contains("^^"), "{answer}");
    // A problem that only a start would meet.
    let (status, answer) = configured.post(&daemon, &text(&[SUM]).replace("partitions = 2", "partitions = 4"));
    assert!(status == 400 && answer.to_string().contains("log.partitions"), "{answer}");
    assert!(!daemon.stop().contains("The configuration was changed."));
}

#[test]
fn a_posted_configuration_is_that_of_the_next_start_and_the_answer_names_what_changes() {
    let configured = Configured::new(&[SUM, SCORE]);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let sample = line("a", "egress_flow_count", START, 7);
    assert_eq!(configured.ask(&daemon, "POST", "/api/v1/samples", &sample).unwrap().0, 200);
    let text = text(&[SUM, LAST]);
    let (status, answer) = configured.post(&daemon, &text);
    assert_eq!(status, 200, "{answer}");
    let name = |proxy: &str| format!("{proxy}-{STREAM}");
    assert_eq!(answer["kept"][0]["name"], name(SUM), "{answer}");
    assert_eq!((&answer["added"][0], &answer["removed"][0]), (&name(LAST).into(), &name(SCORE).into()), "{answer}");
    assert_eq!(answer["keys"][0]["key"], "aggregation.uve_proxy_list", "{answer}");
    assert!(answer["states"]["dropped"].to_string().contains("DSAnomaly"), "{answer}");
    assert!(answer["states"]["kept"].as_u64() > Some(0), "{answer}");
    assert_eq!(std::fs::read_to_string(configured.file()).unwrap(), text, "comments included");
    // The same again, and with another comment.
    for text in [&text, &text.replace("by hand", "by mouth")] {
        let (status, answer) = configured.post(&daemon, text);
        assert_eq!((status, &answer["changed"]), (200, &false.into()), "{answer}");
        assert_eq!(&std::fs::read_to_string(configured.file()).unwrap(), text);
    }
    let (status, answer) = configured.post(&daemon, &text.replace("period = 10", "period = 20"));
    assert_eq!((status, &answer["reset"][0]["name"]), (200, &name(SUM).into()), "{answer}");
    let why = answer["reset"][0]["why"].as_str().unwrap();
    assert!(why.contains("period=20s") && why.contains("instead of `period=10s"), "{why}");
    daemon.stop();
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    let shown = configured.ask(&daemon, "GET", "/api/v1/config", "").unwrap().1;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["settings"]["aggregation"]["period"], 20, "{shown}");
    assert_eq!(std::fs::read_dir(configured.path()).unwrap().count(), 3, "no file is left over");
}

#[test]
fn a_change_over_http_needs_the_scope_admin_and_a_file() {
    let configured = Configured::new(&[SUM]);
    let unguarded = Daemon::spawn(configured.command()).unwrap();
    let (status, answer) = unguarded.post_to("/api/v1/config", text(&[SUM]).as_bytes(), None).unwrap();
    assert!(status == 403 && answer.contains("http.tokens_file"), "{answer}");
    unguarded.stop();
    let run = binary::run(&["token", "telegraf", "--scopes", "read,write"], "");
    let token = run.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    let tokens = configured.path().join("tokens");
    std::fs::write(&tokens, std::fs::read_to_string(&tokens).unwrap() + &run.stdout).unwrap();
    let tokens = format!("http.tokens_file={}", tokens.display());
    let daemon = Daemon::start(&configured.data(), &[&tokens, "log.partitions=2"]);
    let authorization = format!("Bearer {token}");
    let post = ureq::post(daemon.url("/api/v1/config")).header("authorization", authorization);
    assert_eq!(post.send("").unwrap_err().to_string(), "http status: 403");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let (status, answer) = configured.post(&daemon, &text(&[SUM]));
    assert!(status == 409 && answer.to_string().contains("--config"), "{answer}");
    daemon.stop();
}

#[test]
fn the_configuration_is_shown_without_secrets_and_compared_with_a_file() {
    let configured = Configured::new(&[SUM, SCORE]);
    let secrets = "[kafka]\npassword = \"hunter2\"\nproperties = [\"ssl.key.password=hunter2\"]\n\
                   [sinks.influxdb]\ntoken = \"hunter2\"\n";
    configured.write(&(text(&[SUM, SCORE]) + secrets));
    let daemon = start(&configured);
    let (status, shown) = daemon.get("/api/v1/config");
    assert!(status == 200 && !shown.contains("hunter2") && shown.contains("ssl.key.password=…"), "{shown}");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["hidden"], serde_json::json!(["kafka.password", "sinks.influxdb.token"]));
    assert_eq!(shown["settings"]["http"]["max_streams"], 64, "a default");
    let next = configured.path().join("next.toml");
    std::fs::write(&next, text(&[SUM, LAST]).replace("commit_interval = \"20ms\"", "commit_interval = \"1s\""))
        .unwrap();
    let (url, data) = (daemon.url(""), format!("log.data_dir={}", configured.data().display()));
    for other in [&url, &configured.file().display().to_string()] {
        let next = next.display().to_string();
        let run = binary::run(&["validate", &next, "--diff", other, "--set", &data], "");
        assert_eq!(run.code, Some(0), "{run:?}");
        for part in [
            format!("kept    {SUM}-{STREAM}: its states continue\n"),
            format!("added   {LAST}-{STREAM}: its windows that have begun are partial\n"),
            format!("removed {SCORE}-{STREAM}: its states are dropped"),
            "setting log.commit_interval: \"1s\" instead of \"20ms\"\n".to_owned(),
        ] {
            assert!(run.stdout.contains(&part), "{other}: {part}\n{run:?}");
        }
    }
    daemon.stop();
}

#[test]
fn a_tap_shows_samples_with_their_outcomes_and_results() {
    let configured = Configured::new(&[SUM]);
    let daemon = start(&configured);
    let mut command = binary::command(&["tap", "ObjectVNTable:a", "--url", &daemon.url("")]);
    let mut tap = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(tap.stdout.take().unwrap()).lines().map_while(Result::ok);
    let reader = std::thread::spawn(move || lines.collect::<Vec<_>>());
    let streams = "derived_statsd_http_requests_total{path=\"/api/v1/tap\",status=\"200\"} 1";
    wait_until("the tap is open", || daemon.get("/metrics").1.contains(streams).then_some(()));
    for (key, minute) in [("a", 0), ("b", 1), ("a", 2), ("a", 0)] {
        let sample = line(key, "egress_flow_count", START + minute * 60_000_000, 7);
        assert_eq!(daemon.post(sample.as_bytes(), None).unwrap().0, 200);
        daemon.wait_until_applied();
    }
    sends_what_is_rejected(&daemon);
    // A change leaves the tap as it is.
    configured.write(&text(&[SUM, SCORE]));
    hang_up(&daemon, 1);
    assert_eq!(daemon.post(line("a", "egress_flow_count", START + 240_000_000, 9).as_bytes(), None).unwrap().0, 200);
    daemon.wait_until_applied();
    daemon.stop();
    let shown = reader.join().unwrap();
    assert!(tap.wait().unwrap().success());
    let first = format!("sample {STREAM} ObjectVNTable:a 7 at {START}: aggregated");
    assert_eq!(shown[0], first, "{shown:?}");
    let late = format!(
        "sample {STREAM} ObjectVNTable:a 7 at {START}: late: all its windows are closed; see \
                        aggregation.allowed_lateness"
    );
    assert!(shown.contains(&late), "{shown:?}");
    shows_what_is_rejected(&shown);
    assert!(
        shown.iter().any(|line| line.starts_with(&format!("result {SUM}-{STREAM} ObjectVNTable:a {START}"))),
        "{shown:?}"
    );
    assert!(shown.iter().any(|line| line.contains(" 9 at ")), "after the change: {shown:?}");
    assert!(!shown.iter().any(|line| line.contains("ObjectVNTable:b")), "{shown:?}");
}

/// Samples of two objects that the daemon cannot take.
fn sends_what_is_rejected(daemon: &Daemon) {
    for (key, at, value) in [("a", START, "-3"), ("a", 3_786_912_000_000_000, "5"), ("b", START, "-4")] {
        let sample = line(key, "egress_flow_count", at, 0).replace("\"value\":0", &format!("\"value\":{value}"));
        let (status, body) = daemon.post(sample.as_bytes(), None).unwrap();
        assert!(status == 400 && body.contains("\"rejected\":1"), "{sample}: {body}");
    }
    let of_no_stream = line("a", "nothing", START, 6);
    assert_eq!(daemon.post(of_no_stream.as_bytes(), None).unwrap().0, 400);
}

fn shows_what_is_rejected(shown: &[String]) {
    for (of, rejected) in [
        (STREAM, format!("-3 at {START}: rejected: the value -3 does not fit")),
        (STREAM, "5 at 3786912000000000: rejected: the timestamp 3786912000000000 is".to_owned()),
        ("nothing", format!("6 at {START}: rejected: no stream `nothing` is configured")),
    ] {
        let beginning = format!("sample {of} ObjectVNTable:a {rejected}");
        assert!(shown.iter().any(|line| line.starts_with(&beginning)), "{beginning}: {shown:?}");
    }
}

#[test]
fn a_tap_of_an_unknown_stream_names_those_that_there_are() {
    let configured = Configured::new(&[SUM]);
    let daemon = start(&configured);
    let run = binary::run(&["tap", "Agent-nothing", "--url", &daemon.url("")], "");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no stream `Agent-nothing`") && run.stderr.contains(STREAM), "{run:?}");
    daemon.stop();
}

#[test]
fn commands_send_the_token_of_a_file() {
    let configured = Configured::new(&[SUM]);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let run = binary::run(&["token", "grafana", "--scopes", "read"], "");
    let token = configured.path().join("secret");
    std::fs::write(&token, run.stderr.trim().rsplit(' ').next().unwrap().to_owned() + "\n").unwrap();
    let tokens = configured.path().join("tokens");
    std::fs::write(&tokens, std::fs::read_to_string(&tokens).unwrap() + &run.stdout).unwrap();
    let url = daemon.url("");
    let token = token.display().to_string();
    let top = ["top", "--once", "--url", &url];
    assert!(binary::run(&top, "").stderr.contains("401"));
    let with_token = [&top[..], &["--token-file", &token]].concat();
    wait_until("the token is known", || (binary::run(&with_token, "").code == Some(0)).then_some(()));
    assert_eq!(binary::run(&["health", "--url", &url, "--token-file", &token], "").code, Some(0));
    daemon.stop();
}

#[test]
fn an_administrator_can_send_files_of_the_daemon_out_and_gets_no_text_of_others() {
    let configured = Configured::new(&[SUM]);
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let file = configured.path().join("any-file");
    std::fs::write(&file, "hunter2\n").unwrap();
    // A file that is none of proxy types is not quoted in the answer.
    let schema = text(&[SUM]).replace("period = 10", &format!("period = 10\nschema_files = [{file:?}]"));
    let (status, answer) = configured.post(&daemon, &schema);
    assert!(status == 400 && answer.to_string().contains("does not define proxy types"), "{answer}");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    // As the token of a server of one's own, it is sent to that.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let sink = text(&[SUM]) + &format!("[sinks.remote_write]\nurl = \"{url}\"\ntoken_file = {file:?}\n");
    let (status, answer) = configured.post(&daemon, &sink);
    assert_eq!(status, 200, "{answer}");
    let received = std::thread::spawn(move || {
        let mut lines = BufReader::new(server.accept().unwrap().0).lines().map_while(Result::ok);
        lines.find(|line| line.to_lowercase().starts_with("authorization:"))
    });
    for batch in batches(4) {
        assert_eq!(configured.ask(&daemon, "POST", "/api/v1/samples", &batch).unwrap().0, 200);
    }
    assert!(received.join().unwrap().unwrap().ends_with("Bearer hunter2"));
    daemon.stop();
}
