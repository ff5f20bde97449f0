//! What a service manager is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::broker::Broker;
use crate::support::group::{Group, Input};
use crate::support::{Daemon, PATIENCE, command, line, wait_until};

/// Longer than any step of a worker that is not a wait for brokers, on a machine that does much else.
const WATCHDOG: Duration = Duration::from_secs(8);

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

/// What was received so far, each message as its lines.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    received: Vec<String>,
}

impl Manager {
    fn new(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { socket, path, received: Vec::new() }
    }

    fn start(&self, data: &Path, watchdog: Option<Duration>) -> Daemon {
        let mut command = command("run", data, &["log.commit_interval=100ms"]);
        // A worker in a system call that does not return.
        command.env("DERIVED_STATSD_HANG_AT", "commit.before:1");
        self.spawn(command, watchdog)
    }

    /// With a thread that hangs at a point.
    fn start_on_kafka(&self, group: &Group<'_>, point: &str) -> Daemon {
        let mut run = group.command("run", "a", &[]);
        run.env("DERIVED_STATSD_HANG_AT", point);
        self.spawn(run, Some(WATCHDOG))
    }

    fn spawn(&self, mut command: Command, watchdog: Option<Duration>) -> Daemon {
        command.env("NOTIFY_SOCKET", &self.path);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Daemon::spawn(command).unwrap()
    }

    /// Forgets what was sent up to now, also what was not received yet.
    fn forget(&mut self) {
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.received.clear();
    }

    /// Waits for a message with this line.
    fn wait_for(&mut self, line: &str) {
        self.wait_for_all(line, 1);
    }

    /// Waits for so many messages with this line.
    fn wait_for_all(&mut self, line: &str, count: usize) {
        wait_until(line, || {
            let mut buffer = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.received.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            let has_line = |message: &&String| message.lines().any(|it| it == line);
            (self.received.iter().filter(has_line).count() >= count).then_some(())
        });
    }
}

#[test]
fn the_manager_is_told_of_the_start_the_state_and_the_stop() {
    let folder = TempDir::new().unwrap();
    let mut manager = Manager::new(folder.path());
    let mut daemon = manager.start(&folder.path().join("data"), None);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=Ready.");
    daemon.signal("TERM");
    manager.wait_for("STOPPING=1");
    assert!(daemon.wait_for_end().success());
    assert!(manager.received.iter().all(|message| !message.contains("WATCHDOG")), "{:?}", manager.received);
}

#[test]
fn keep_alives_come_while_the_workers_make_progress_and_a_hang_triggers_the_watchdog() {
    let folder = TempDir::new().unwrap();
    let mut manager = Manager::new(folder.path());
    let daemon = manager.start(&folder.path().join("data"), Some(Duration::from_secs(2)));
    for _ in 0..3 {
        manager.received.clear();
        manager.wait_for("WATCHDOG=1");
    }
    let sample = line("vn1", "egress_flow_count", 1_490_000_000_000_000, 7);
    assert_eq!(daemon.post(sample.as_bytes(), None).unwrap().0, 200);
    wait_until("the silence of a worker is noticed", || {
        daemon.stderr().contains("A worker makes no progress").then_some(())
    });
    // Nothing follows while the worker hangs; the unit tests of the module hold that, at set times.
    manager.wait_for("WATCHDOG=trigger");
    manager.forget();
    manager.wait_for("WATCHDOG=1");
    daemon.stop();
}

fn is_ready(daemon: &Daemon) {
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
}

#[test]
fn on_kafka_a_worker_that_hangs_is_noticed() {
    let group = Group::new(&BROKER, "hangs", 1);
    let folder = TempDir::new().unwrap();
    let mut manager = Manager::new(folder.path());
    let daemon = manager.start_on_kafka(&group, "transaction.results:1");
    is_ready(&daemon);
    manager.wait_for("WATCHDOG=1");
    assert!(manager.received.iter().all(|message| !message.contains("trigger")), "{:?}", manager.received);
    group.publish(&Input::new(5, 1, 2, 20, 4).samples);
    manager.wait_for("WATCHDOG=trigger");
    drop(manager);
    daemon.stop();
}

#[test]
fn on_kafka_a_restore_that_hangs_is_noticed() {
    let group = Group::new(&BROKER, "restores", 1);
    let folder = TempDir::new().unwrap();
    let mut manager = Manager::new(folder.path());
    let daemon = manager.start_on_kafka(&group, "restore.mid:1");
    manager.wait_for("WATCHDOG=trigger");
    drop(manager);
    daemon.stop();
}

#[test]
fn a_process_that_stood_still_is_not_one_that_hangs() {
    let data = TempDir::new().unwrap();
    let mut manager = Manager::new(data.path());
    let daemon = manager.spawn(command("run", &data.path().join("log"), &[]), Some(WATCHDOG));
    manager.wait_for("WATCHDOG=1");
    daemon.signal("STOP");
    std::thread::sleep(WATCHDOG);
    manager.forget();
    daemon.signal("CONT");
    manager.wait_for("WATCHDOG=1");
    assert!(!manager.received.iter().any(|it| it.contains("WATCHDOG=trigger")), "{:?}", manager.received);
    drop(manager);
    daemon.stop();
}

/// Waits for keep-alives for twice the time of the watchdog.
fn shows_life_for_long(manager: &mut Manager, daemon: &Daemon) {
    manager.forget();
    // They come once a second.
    manager.wait_for_all("WATCHDOG=1", 2 * WATCHDOG.as_secs() as usize);
    assert!(!daemon.stderr().contains("A worker makes no progress"), "{}", daemon.stderr());
}

#[test]
fn on_kafka_brokers_that_are_away_for_longer_than_the_watchdog_waits_do_not_count_as_a_worker_that_hangs() {
    let mut broker = Broker::start();
    let group = Group::new(&broker, "outage", 2);
    let folder = TempDir::new().unwrap();
    let mut manager = Manager::new(folder.path());
    let daemon = manager.spawn(group.command("run", "a", &[]), Some(WATCHDOG));
    is_ready(&daemon);
    let input = Input::new(5, 2, 9, 20, 4);
    let (before, after) = input.samples.split_at(input.samples.len() / 2);
    group.publish(before);
    daemon.wait_until_applied();

    // Frozen first, so that requests get neither an answer nor an error; then away.
    group.broker.pause();
    shows_life_for_long(&mut manager, &daemon);
    let detached = group.detach();
    broker.kill();
    shows_life_for_long(&mut manager, &daemon);
    // Nobody reads the messages from here on: a full socket would hold up the daemon.
    drop(manager);
    broker.restart();
    let group = detached.attach(&broker);
    group.publish(after);
    let (expected, mut results) = (input.expected(), group.results());
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "an outage under a watchdog");
    daemon.stop();
}

/// What the unit may do, by systemd's own measure: 0 is nothing, 10 everything.
#[test]
fn the_unit_may_do_little() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/derived-statsd.service");
    let analyze = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager", unit])
        .output();
    match analyze {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => eprintln!("not checked: no systemd-analyze"),
        analyze => {
            let output = analyze.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
