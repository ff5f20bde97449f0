//! Clients that hold connections or bodies open: the daemon's files are its own, and honest producers are served.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the tests measure how long the daemon waits")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Daemon, command, line};
use tempfile::TempDir;

const START: u64 = 1_490_000_000_000_000;

const PERIOD: u64 = 10_000_000;

/// `command` with a limit of open files, soft and hard.
fn with_open_files(command: &Command, limit: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
}

/// Lets the test itself have many sockets.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

fn connect(address: &str, sends: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The server may have closed it already.
    let _ = stream.write_all(sends.as_bytes());
    stream
}

/// The same from another address of this machine.
fn connect_from(client: &str, address: &str, sends: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
        socket.connect(address.parse().unwrap()).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    (&stream).write_all(sends.as_bytes()).unwrap();
    stream
}

fn post_head(length: usize) -> String {
    format!("POST /api/v1/samples HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n")
}

/// All that the server sends until it closes the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    String::from_utf8_lossy(&rest).into_owned()
}

/// Posts one sample for each window, and checks the sum of each.
fn produce(daemon: &Daemon, windows: u64, mut meanwhile: impl FnMut()) {
    for window in 0..windows {
        let at = START + window * PERIOD;
        let (status, body) = daemon.post(line("a", "egress_flow_count", at, window).as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{body}");
        meanwhile();
    }
    daemon.wait_until_applied();
    daemon.wait_for(
        "/analytics/uves/virtual-network/a?cfilt=AggProxySum-UveVirtualNetworkAgent-egress_flow_count:value",
        |(_, body)| body.contains(&format!("{{\"value\":{}}}", windows - 2)).then_some(()),
    );
}

#[test]
fn idle_connections_do_not_take_the_files_of_the_log() {
    raise_open_files();
    let data = TempDir::new().unwrap();
    let settings = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.commit_interval=10ms"];
    let page = ["contiv.nodes=127.0.0.1:1", "contiv.listen=127.0.0.1:0"];
    let command = command("run", data.path(), &[settings.as_slice(), &page].concat());
    let daemon = Daemon::spawn(with_open_files(&command, 1024)).unwrap();
    let mut idle = Vec::new();
    for sends in ["", "GET / HTTP/1.1\r\nhost"] {
        for address in [daemon.address(), daemon.contiv_address()] {
            idle.extend((0..550).map(|_| connect(address, sends)));
        }
    }
    let address = daemon.address().to_owned();
    produce(&daemon, 50, || idle.extend((0..20).map(|_| connect(&address, "GET"))));
    assert_eq!(daemon.get("/readyz").0, 200);
    let stderr = daemon.stop();
    assert!(!stderr.contains("Too many open files"), "{stderr}");
    assert!(stderr.contains("allows fewer connections than http.max_connections"), "{stderr}");
    let full = stderr.lines().filter(|line| line.contains("in use") || line.contains("A client has")).count();
    assert!(full <= 4, "{stderr}");
}

#[test]
fn refused_connections_are_counted() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["http.max_connections_per_client=1"]);
    let refused = || {
        let (status, metrics) = daemon.try_get("/metrics").filter(|(status, _)| *status == 200)?;
        let value =
            metrics.lines().find_map(|line| line.strip_prefix("derived_statsd_http_connections_refused_total "));
        Some(value.unwrap_or_else(|| panic!("{status}: {metrics}")).parse::<u64>().unwrap())
    };
    assert_eq!(refused(), Some(0));
    // The connections before end a moment later.
    let stream = support::wait_until("the stream is open", || {
        let mut stream = connect(daemon.address(), "GET /api/v1/results/stream HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut head = [0; 12];
        stream.read_exact(&mut head).is_ok().then_some(())?;
        head.ends_with(b"200").then_some(stream)
    });
    let answer = rest(&mut connect(daemon.address(), ""));
    assert!(answer.contains("429") && answer.contains("http.max_connections_per_client"), "{answer}");
    drop(stream);
    // The connection ends a moment later.
    let counted = support::wait_until("the connection is closed", refused);
    assert!(counted >= 1, "{counted}");
    daemon.stop();
}

#[test]
fn a_connection_without_a_request_is_closed_after_the_time_for_it() {
    let data = TempDir::new().unwrap();
    // A complete request, and each of the test's own, comes within the first of them also on a slow machine.
    let daemon = Daemon::start(data.path(), &["http.header_timeout=3s", "http.idle_timeout=5s"]);
    for (sends, least) in
        [("", 3000), ("GET /healthz HTTP/1.1\r\nho", 3000), ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 5000)]
    {
        let began = Instant::now();
        let answer = rest(&mut connect(daemon.address(), sends));
        assert_eq!(answer.contains("200 OK"), least == 5000, "{sends:?}: {answer}");
        let open = began.elapsed();
        assert!(open >= Duration::from_millis(least) && open < Duration::from_secs(60), "{sends:?}: {open:?}");
    }
    for counted in ["reason=\"header_timeout\"} 2", "reason=\"idle_timeout\"} 1", "reason=\"not_read\"} 0"] {
        let counted = format!("derived_statsd_http_connections_closed_total{{{counted}\n");
        // A moment after the client finds the connection closed.
        daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(&counted).then_some(()));
    }
    daemon.stop();
}

#[test]
fn bodies_that_do_not_come_take_no_permits() {
    let data = TempDir::new().unwrap();
    let settings = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.commit_interval=10ms"];
    let daemon = Daemon::start(data.path(), &[settings.as_slice(), &["http.body_timeout=10s"]].concat());
    let silent: Vec<_> = (0..100).map(|_| connect(daemon.address(), &post_head(1 << 20))).collect();
    let mut slow: Vec<_> = (0..20).map(|_| connect(daemon.address(), &post_head(1 << 20))).collect();
    // A write fails once its time is over.
    produce(&daemon, 20, || slow.iter_mut().for_each(|stream| drop(stream.write_all(b"{"))));
    for mut stream in silent {
        let answer = rest(&mut stream);
        assert!(answer.contains("408") && answer.contains("http.body_timeout"), "{answer}");
    }
    // One byte at a time does not extend the time for the whole body.
    let began = Instant::now();
    while slow.iter_mut().any(|stream| stream.write_all(b"{").is_ok()) {
        assert!(began.elapsed() < Duration::from_secs(30), "slow bodies are still read");
        thread::sleep(Duration::from_millis(100));
    }
    daemon.stop();
}

#[test]
fn bodies_that_do_not_come_take_no_connections() {
    raise_open_files();
    let data = TempDir::new().unwrap();
    let settings = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.commit_interval=10ms"];
    let daemon = Daemon::spawn(with_open_files(&command("run", data.path(), &settings), 1024)).unwrap();
    let mut silent: Vec<_> = (0..1100).map(|_| connect(daemon.address(), &post_head(1 << 20))).collect();
    let address = daemon.address().to_owned();
    produce(&daemon, 20, || silent.extend((0..20).map(|_| connect(&address, &(post_head(1 << 20) + "{")))));
    daemon.stop();
}

#[test]
fn the_bytes_of_incomplete_bodies_are_bounded() {
    // Twice what every body may have without space.
    const BODY: usize = 128 * 1024;
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["http.max_body_bytes=131072", "http.max_in_flight=4"]);
    let body = line("a", "egress_flow_count", START, 1).repeat(BODY)[..BODY - 1].replace('\n', " ");
    // Two bodies that lack their last byte fill the share of a client, and four the whole space; one that comes at the
    // same time may be one of them.
    let mut held = Vec::new();
    let mut hold = |client: &str, most: usize| {
        let whole = post_head(BODY) + &body;
        support::wait_until("there is no space for a further body", || {
            held.push(connect_from(client, daemon.address(), &whole));
            let closing = post_head(BODY - 1).replace("host: x", "host: x\r\nconnection: close");
            let refused = rest(&mut connect_from(client, daemon.address(), &(closing + &body)));
            (refused.contains("429") && held.len() >= most).then_some(refused)
        })
    };
    let share = hold("127.0.0.1", 2);
    assert!(share.contains("of this address take its share of the space"), "{share}");
    let full = [hold("127.0.0.2", 4), hold("127.0.0.3", 4)];
    assert!(full[1].contains("incomplete bodies take all the space"), "{full:?}");
    assert_eq!(daemon.get("/healthz").0, 200);
    let sample = line("a", "egress_flow_count", START, 1);
    assert_eq!(daemon.post(sample.as_bytes(), None).unwrap().0, 200, "a small body needs no space");
    let answers = held.iter_mut().map(|stream| {
        stream.write_all(b"\n").unwrap();
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    });
    let complete = answers.filter(|answer| answer.contains("400 Bad Request")).count();
    assert!((3..=4).contains(&complete), "{complete} bodies had space");
    assert_ne!(daemon.post(body.as_bytes(), None).unwrap().0, 429, "the space is free again");
    let too_large = rest(&mut connect(daemon.address(), &post_head(BODY + 1)));
    assert!(too_large.contains("413") && too_large.contains("http.max_body_bytes"), "{too_large}");
    daemon.stop();
}

#[test]
fn a_stop_does_not_wait_for_bodies_that_do_not_come() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["shutdown.grace=120s"]);
    let mut silent = connect(daemon.address(), &post_head(100));
    let half = connect(daemon.address(), "GET / HTTP");
    // The server has read the head once a later request is answered.
    assert_eq!(daemon.get("/healthz").0, 200);
    let began = Instant::now();
    daemon.stop();
    // Half of the grace is what a request may take that is not cut off.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let answer = rest(&mut silent);
    assert!(answer.contains("503"), "{answer}");
    drop(half);
}

#[test]
fn a_head_that_is_too_long_gets_431_or_414() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let get = |target: &str, headers: &str| {
        rest(&mut connect(
            daemon.address(),
            &format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"),
        ))
    };
    let numbered = |count: usize| (0..count).map(|at| format!("x-{at}: 1\r\n")).collect::<String>();
    // Two are there already.
    assert!(get("/healthz", &numbered(98)).starts_with("HTTP/1.1 200"));
    assert!(get("/healthz", &numbered(99)).starts_with("HTTP/1.1 431"));
    let long = |bytes: usize| format!("x: {}\r\n", "a".repeat(bytes));
    assert!(get("/healthz", &long(60_000)).starts_with("HTTP/1.1 200"));
    assert!(get("/healthz", &long(128 * 1024)).starts_with("HTTP/1.1 431"));
    let path = |bytes: usize| format!("/healthz?{}", "a".repeat(bytes));
    assert!(get(&path(60_000), "").starts_with("HTTP/1.1 200"));
    // By how much of it is there when the server reads.
    let answer = get(&path(65_536), "");
    assert!(["HTTP/1.1 414", "HTTP/1.1 431"].iter().any(|status| answer.starts_with(status)), "{answer}");
    assert_eq!(daemon.get("/healthz").0, 200);
    daemon.stop();
}

#[test]
fn requests_with_samples_beyond_the_limit_get_429_with_the_setting() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["http.max_in_flight=1"]);
    // Small enough to need no space for incomplete bodies.
    let body = line("a", "egress_flow_count", START, 1).repeat(400);
    assert!(body.len() < 64 * 1024, "{}", body.len());
    let refused = std::sync::Mutex::new(None);
    let is_over = || refused.lock().unwrap().is_some();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // One at a time is worked on; the limit of the test ends it if none is ever refused.
                for _ in 0..1000 {
                    match daemon.post(body.as_bytes(), None) {
                        _ if is_over() => break,
                        Some((429, answer)) if answer.contains("share of http.max_in_flight, 1") => {
                            *refused.lock().unwrap() = Some(answer);
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let refused = refused.into_inner().unwrap().expect("a request is refused");
    assert!(refused.contains("retry after a second"), "{refused}");
    assert_eq!(daemon.post(line("a", "egress_flow_count", START, 1).as_bytes(), None).unwrap().0, 200);
    daemon.stop();
}
