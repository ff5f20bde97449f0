//! What a service manager is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Daemon, command, line, wait_until};

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
        command.env("NOTIFY_SOCKET", &self.path);
        // A worker in a system call that does not return.
        command.env("DERIVED_STATSD_HANG_AT", "commit.before:1");
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Daemon::spawn(command).unwrap()
    }

    /// Waits for a message with this line.
    fn wait_for(&mut self, line: &str) {
        wait_until(line, || {
            let mut buffer = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.received.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            self.received.iter().any(|message| message.lines().any(|it| it == line)).then_some(())
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
fn signs_of_life_come_while_the_workers_make_progress_and_stop_when_one_hangs() {
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
    manager.wait_for("WATCHDOG=trigger");
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    // Longer than the time between two signs of life.
    manager.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert!(manager.socket.recv(&mut [0; 4096]).is_err(), "signs of life while a worker hangs");
    manager.received.clear();
    manager.wait_for("WATCHDOG=1");
    daemon.stop();
}

/// What the unit may do, by systemd's own measure: 0 is nothing, 10 everything.
#[test]
fn the_unit_may_do_little() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/derived-statsd.service");
    let analyze = std::process::Command::new("systemd-analyze")
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
