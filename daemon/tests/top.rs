//! `derived-statsd top` against a daemon.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use support::broker::free_port;
use support::{Daemon, line};
use tempfile::TempDir;

#[test]
fn once_prints_one_table_of_a_running_daemon() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["log.partitions=1"]);
    let samples: String = (0..5).map(|at| line("vn1", "egress_flow_count", 1_488_000_000_000_000 + at, 1)).collect();
    daemon.post(samples.as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    let run = binary::run(&["top", "--once", "--url", &daemon.url("/")], "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "2 partitions (2 owned, 0 unowned), lag 0, - records/s, 1 objects");
    let row: Vec<_> = lines[2].split_whitespace().collect();
    // The watermark is the newest timestamp less the allowed lateness.
    let stream = "UveVirtualNetworkAgent-egress_flow_count";
    assert_eq!(row, [stream, "0", "itself", "5", "0", "-", "0", "2017-02-25T05:19:30Z", "1", "no"]);
    assert_eq!(lines.len(), 4);
}

#[test]
fn tap_refuses_a_key_that_no_object_can_have() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    for (key, expected) in [(":vn1", "no table before its first `:`"), ("ObjectVNTable:", "no name behind its `:`")] {
        let run = binary::run(&["tap", "--url", &daemon.url(""), key], "");
        let is_named = run.stderr.contains("`key` is of no object") && run.stderr.contains(expected);
        assert!(run.code == Some(1) && is_named, "{key}: {run:?}");
    }
    let (status, body) = daemon.get("/api/v1/tap?key=vn1");
    assert!(status == 400 && body.contains("no `:` between table and name"), "{status} {body}");
    daemon.stop();
}

/// A server that is not a daemon.
#[test]
fn tap_ends_at_a_line_that_is_too_long() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // 256 MiB, unless the client leaves.
        (0..4096).take_while(|_| client.write_all(&[b'y'; 65_536]).is_ok()).count()
    });
    let run = binary::run(&["tap", "--url", &url, "ObjectVNTable:a"], "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    let expected = format!("{url}/api/v1/tap?key=ObjectVNTable%3Aa sent a line of more than 1048576 bytes, `yyy");
    assert!(run.stderr.contains(&expected) && run.stderr.contains("check --url"), "{run:?}");
    assert!(server.join().unwrap() < 4096, "everything was read");
}

#[test]
fn once_without_a_daemon_is_an_error_with_the_address() {
    let closed = format!("127.0.0.1:{}", free_port());
    let run = binary::run(&["top", "--once", "--url", &format!("http://{closed}")], "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains(&format!("no answer from http://{closed}/api/v1/partitions")), "{run:?}");
}

/// Without a URL it is that of the configuration, as `run` reads it.
#[test]
fn health_takes_the_address_of_the_configuration() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(&data.path().join("log"), &[]);
    let address = daemon.url("").trim_start_matches("http://").to_owned();
    let configured = |variable: &str, value: &str, arguments: &[&str]| {
        let mut command = binary::command(&[&["health"], arguments].concat());
        binary::finish(
            {
                command.env(variable, value);
                command
            },
            "",
        )
    };
    let file = data.path().join("a.toml").display().to_string();
    std::fs::write(&file, format!("[http]\nlisten = \"{address}\"\n")).unwrap();
    let closed = "http://127.0.0.1:1";
    for (variable, value, arguments) in [
        ("DERIVED_STATSD_HTTP__LISTEN", &address, vec![]),
        ("DERIVED_STATSD_CONFIG", &file, vec![]),
        ("DERIVED_STATSD_URL", &daemon.url(""), vec![]),
        ("DERIVED_STATSD_HTTP__MAX_CONNECTIONS", &"9".to_owned(), vec!["--config", &file]),
    ] {
        let run = configured(variable, value, &arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), "ok\n"), "{variable}: {run:?}");
    }
    let run = configured("DERIVED_STATSD_URL", closed, &["--config", &file]);
    assert!(run.code == Some(1) && run.stderr.contains("no answer from http://127.0.0.1:1/healthz: "), "{run:?}");
    daemon.stop();
}

#[test]
fn health_ends_with_0_only_while_the_daemon_is_well() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(&data.path().join("log"), &[]);
    let health = |arguments: &[&str]| {
        let url = daemon.url("");
        let run = binary::run(&[&["health", "--url", &url], arguments].concat(), "");
        (run.code.unwrap(), run.stdout, run.stderr)
    };
    assert_eq!(health(&[]), (0, "ok\n".to_owned(), String::new()));
    support::wait_until("the daemon is ready", || (health(&["--ready"]).0 == 0).then_some(()));
    assert_eq!(health(&["--ready"]), (0, "ready\n".to_owned(), String::new()));
    std::fs::remove_dir_all(data.path().join("log/store")).unwrap();
    support::wait_until("the loss is noticed", || (health(&[]).0 == 1).then_some(()));
    let (_, stdout, stderr) = health(&[]);
    assert!(
        stdout.is_empty() && stderr.contains("/healthz responds with 503") && stderr.contains("log/store"),
        "{stderr}"
    );
    daemon.signal("KILL");
    support::wait_until("the daemon is gone", || health(&[]).2.contains("no answer").then_some(()));
}
