//! Lists of many objects: their memory, their pages, and the probes beside them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use tempfile::TempDir;

use crate::support::{Daemon, line, wait_until};

/// Short windows without lateness: a sample of the next window closes the previous one.
const SETTINGS: [&str; 3] = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.partitions=1"];

const START: u64 = 1_490_000_000_000_000;

const PERIOD: u64 = 10_000_000;

const ALL: &str = "/analytics/uves/virtual-network/*";

/// What any number of readers may add to the daemon's memory.
const READERS_BYTES: u64 = 64 << 20;

/// A response of which only the head is read, so that the client decides how fast the rest comes.
struct Slow {
    status: String,
    head: String,
    body: BufReader<TcpStream>,
}

impl Slow {
    fn get(daemon: &Daemon, path: &str) -> Self {
        Self::get_from("127.0.0.1", daemon, path)
    }

    /// The same from another address of this machine.
    fn get_from(client: &str, daemon: &Daemon, path: &str) -> Self {
        let mut stream = connect_from(client, daemon.address());
        // The body of HTTP/1.0 is all that follows the head.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        let mut body = BufReader::new(stream);
        let mut lines = body.by_ref().lines().map(Result::unwrap);
        let status = lines.next().expect("a status line");
        let head = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        Self { status, head, body }
    }

    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.body.read_to_string(&mut rest).unwrap();
        rest
    }
}

fn connect_from(client: &str, server: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
        socket.connect(server.parse().unwrap()).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// A response is 429 with these words.
#[track_caller]
fn is_busy(response: Slow, parts: &[&str]) {
    let Slow { status, head, .. } = &response;
    assert!(status.contains("429") && head.contains("retry-after: 1"), "{status} {head}");
    let rest = response.rest();
    assert!(parts.iter().all(|part| rest.contains(part)), "{rest}");
}

fn name(object: usize) -> String {
    format!("default-domain:demo-project:vn{object:06}")
}

/// Gives each object one result.
fn fill(daemon: &Daemon, objects: usize) {
    for from in (0..objects).step_by(20_000) {
        let lines = (from..objects.min(from + 20_000)).map(|object| line(&name(object), "egress_flow_count", START, 7));
        assert_eq!(daemon.post(lines.collect::<String>().as_bytes(), None).unwrap().0, 200);
    }
    let last = line(&name(0), "egress_flow_count", START + PERIOD, 7);
    assert_eq!(daemon.post(last.as_bytes(), None).unwrap().0, 200);
    daemon.wait_until_applied();
    daemon.wait_for("/metrics", |(_, body)| body.contains("sink_lag_results{sink=\"view\"} 0").then_some(()));
}

fn names(list: &serde_json::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn slow_readers_of_long_lists_take_little_memory_and_hold_up_no_probe() {
    const OBJECTS: usize = 100_000;
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    fill(&daemon, OBJECTS);
    let before = daemon.reset_peak_resident_bytes();
    let mut readers: Vec<_> = (0..4).map(|_| Slow::get(&daemon, ALL)).collect();
    is_busy(Slow::get(&daemon, ALL), &["http.max_readers", "this address"]);
    readers.extend((0..4).map(|_| Slow::get_from("127.0.0.2", &daemon, ALL)));
    for reader in &mut readers {
        assert!(reader.status.contains("200"), "{}", reader.status);
        reader.body.read_exact(&mut vec![0; 1 << 20]).unwrap();
        assert_eq!(daemon.get("/healthz").0, 200);
        assert_eq!(daemon.get("/metrics").0, 200);
    }
    is_busy(Slow::get_from("127.0.0.3", &daemon, ALL), &["all of http.max_readers"]);
    let added = daemon.peak_resident_bytes().saturating_sub(before);
    assert!(added <= READERS_BYTES, "the readers added {added} bytes to {before}");
    drop(readers);
    let whole = wait_until("the readers that are gone leave their permits", || {
        let list = Slow::get(&daemon, ALL);
        list.status.contains("200").then(|| list.rest())
    });
    let whole: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(names(&whole["value"]), (0..OBJECTS).map(name).collect::<Vec<_>>());
    let links = Slow::get(&daemon, "/analytics/uves/virtual-networks").rest();
    assert_eq!(names(&serde_json::from_str(&links).unwrap()).len(), OBJECTS);
    let added = daemon.peak_resident_bytes().saturating_sub(before);
    assert!(added <= READERS_BYTES, "the readers added {added} bytes to {before}");
    daemon.stop();
}

#[test]
fn a_client_has_half_of_the_event_streams_at_most() {
    const STREAM: &str = "/api/v1/results/stream";
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["http.max_streams=2"]);
    let first = Slow::get(&daemon, STREAM);
    is_busy(Slow::get(&daemon, STREAM), &["http.max_streams", "this address"]);
    let other = Slow::get_from("127.0.0.2", &daemon, STREAM);
    is_busy(Slow::get_from("127.0.0.3", &daemon, STREAM), &["all of http.max_streams"]);
    assert!([&first, &other].iter().all(|stream| stream.status.contains("200")), "{} {}", first.status, other.status);
    drop(first);
    wait_until("a stream that is gone leaves its permit", || {
        Slow::get(&daemon, STREAM).status.contains("200").then_some(())
    });
    daemon.stop();
}

#[test]
fn the_links_of_pages_lead_through_the_whole_list() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    fill(&daemon, 10);
    let all: Vec<_> = (0..10).map(name).collect();
    for (list, member) in [(ALL, "/value"), ("/analytics/uves/virtual-networks", "")] {
        let (mut path, mut pages) = (format!("{list}?limit=4"), Vec::new());
        loop {
            let page = Slow::get(&daemon, &path);
            let link = page.head.lines().find_map(|line| line.strip_prefix("link: <")).map(str::to_owned);
            let body: serde_json::Value = serde_json::from_str(&page.rest()).unwrap();
            pages.push(names(body.pointer(member).unwrap()));
            let Some(link) = link else { break };
            path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
        assert_eq!(pages, all.chunks(4).collect::<Vec<_>>(), "{list}");
    }
    let after = daemon.get(&format!("{ALL}?after={}", name(7)));
    assert_eq!(names(&serde_json::from_str::<serde_json::Value>(&after.1).unwrap()["value"]), all[8..]);
    for bad in ["0", "-1", "x", ""] {
        let (status, body) = daemon.get(&format!("{ALL}?limit={bad}"));
        assert_eq!(status, 400, "{bad}: {body}");
        assert!(body.contains("expected a whole number, 1 or more"), "{body}");
    }
    daemon.stop();
}

#[test]
fn the_list_of_types_and_the_status_of_partitions_are_bounded_too() {
    const TYPES: usize = 30_000;
    let data = TempDir::new().unwrap();
    let settings = [&SETTINGS[..2], &["log.partitions=512"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    let sample =
        |number: usize, at| line("a", "egress_flow_count", at, 7).replace("ObjectVN", &format!("Object{number:05}"));
    for at in [START, START + PERIOD] {
        let samples: String = (0..TYPES).map(|number| sample(number, at)).collect();
        assert_eq!(daemon.post(samples.as_bytes(), None).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    wait_until("the results of all types are in the view", || {
        let types: serde_json::Value = serde_json::from_str(&Slow::get(&daemon, "/analytics/uves").rest()).unwrap();
        (names(&types).len() == TYPES).then_some(())
    });
    let before = daemon.reset_peak_resident_bytes();
    let mut readers: Vec<_> = (0..16).map(|_| Slow::get(&daemon, "/analytics/uves")).collect();
    let statuses: Vec<_> = (0..64).map(|_| Slow::get(&daemon, "/api/v1/partitions")).collect();
    for reader in readers.iter().chain(&statuses) {
        assert!(reader.status.contains("200") || reader.status.contains("429"), "{}", reader.status);
    }
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/metrics").0, 200);
    let types: serde_json::Value = serde_json::from_str(&readers.remove(0).rest()).unwrap();
    assert_eq!(names(&types).len(), TYPES);
    assert_eq!(types[1]["name"], "object00001tables", "{}", types[1]);
    let added = daemon.peak_resident_bytes().saturating_sub(before);
    assert!(added <= READERS_BYTES, "the readers added {added} bytes to {before}");
    drop((readers, statuses));
    daemon.wait_for("/api/v1/partitions", |(status, body)| (*status == 200 && support::is_applied(body)).then_some(()));
    daemon.stop();
}
