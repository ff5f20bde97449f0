//! Signals to the real binary: which end it, how fast, and which do not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use support::process::KilledOnDrop;
use support::{Daemon, command, line};
use tempfile::TempDir;

const IGNORED: &str = "SIGHUP is ignored";

#[test]
fn a_hangup_without_a_change_changes_nothing() {
    let data = TempDir::new().unwrap();
    let mut daemon = Daemon::start(data.path(), &[]);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    daemon.signal("HUP");
    daemon.wait_until_said("The configuration is the one in force already.");
    assert!(daemon.is_running());
    let batch = line("a", "egress_flow_count", 1_488_000_000_000_000, 1);
    assert_eq!(daemon.post(batch.as_bytes(), None).unwrap().0, 200);
    daemon.stop();
}

#[test]
fn the_demo_prints_the_address_of_its_page_first_and_ignores_a_hangup() {
    let data = TempDir::new().unwrap();
    let mut command = command("demo", data.path(), &[]);
    let mut demo = KilledOnDrop(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let pid = demo.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    let mut out = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = out.next().expect("the demo starts");
    let page = first.strip_suffix(" is the page of this demo").expect(&first);
    let document = ureq::get(page).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(document.contains("\"assets/page-"), "{document}");
    out.find(|line| line.contains("Press Ctrl-C")).expect("the demo has started");
    signal("HUP");
    let mut messages = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    messages.find(|line| line.contains(IGNORED)).expect("a message about the signal");
    signal("TERM");
    // Read to their ends, so that the demo does not wait for its output.
    let rest = std::thread::spawn(move || messages.count());
    out.for_each(drop);
    rest.join().unwrap();
    assert!(demo.wait().unwrap().success());
}
