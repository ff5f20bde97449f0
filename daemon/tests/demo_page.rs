//! The way of a new user: `make demo`, the page whose address it prints, an alarm that fires, the chart that explains it,
//! and the end of the alarm.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the time that it took is printed")]

mod support;

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use support::browser::Browser;
use tempfile::TempDir;

/// What a demo may take until its alarm has ended, by the times of its windows.
const MICROS: u64 = 120_000_000;

/// The table of the alarms of an object, and its rows that are anomalies.
const ALARMS: &str = "[...document.querySelectorAll('[aria-labelledby=alarms] tbody tr')].map((row) => row.innerText)";
const ANOMALIES: &str = "document.querySelectorAll('[aria-labelledby=anomalies] tbody button').length";

/// A demo, which is killed when dropped.
struct Demo {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    /// Starts it as the Makefile does, but on a free port, with its temporary files below a folder, and with an end if no
    /// signal comes.
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        command.args(["demo", "--set", "http.listen=127.0.0.1:0", "--for", "4m"]).current_dir(folder);
        command.env("TMPDIR", folder).env("NO_COLOR", "1").env("RUST_LOG", "error");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    /// The next line of the output that has all `parts`.
    fn line(&mut self, parts: &[&str]) -> String {
        let found = self.output.by_ref().map(Result::unwrap).find(|line| parts.iter().all(|part| line.contains(part)));
        found.unwrap_or_else(|| panic!("the demo has ended without a line with {parts:?}"))
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        // To its end, so that the demo does not wait for its output.
        self.output.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "takes a minute and a half; part of `make test-full`"]
fn the_demo_leads_from_the_address_of_its_page_to_an_alarm_that_fires_and_ends() {
    let (folder, started) = (TempDir::new().unwrap(), Instant::now());
    let mut demo = Demo::start(folder.path());
    let first = demo.line(&[]);
    let page = first.strip_suffix(" is the page of this demo").expect(&first).to_owned();
    let facts = demo.line(&["derived-statsd demo: "]);
    let network = facts.split("; ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let browser = Browser::start(1400, 1000);
    browser.open(&page);
    browser.wait("document.querySelector('#health').textContent === 'Ready'");
    demo.line(&["ALARM ", &network, " fires: "]);
    follows_the_loudest(&browser, &network);
    demo.line(&["ALARM ", &network, " is resolved"]);
    browser.wait(&format!("{ALARMS}.length > 0 && {ALARMS}.every((row) => !row.includes('\\tfires\\t'))"));
    browser.wait("document.querySelectorAll('.mark.fired').length > 0");
    browser.wait("document.querySelectorAll('.mark.resolved').length > 0");
    browser.wait(&format!("{ANOMALIES} > 0"));
    fits_into_two_minutes(&page, &network);
    println!("from the start of the demo to the end of its alarm: {} s", started.elapsed().as_secs());
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    demo.interrupt();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "the demo has left {left:?}");
}

/// From the overview to the chart of the network, with a marked anomaly and an alarm that fires.
fn follows_the_loudest(browser: &Browser, network: &str) {
    let name = network.rsplit(':').next().unwrap();
    let loudest = "document.querySelector('[aria-label=\"Loudest objects\"] tbody tr')";
    browser.wait(&format!("{loudest}.className === 'anomalous' && {loudest}.innerText.includes('{network}')"));
    browser.wait("document.querySelector('[aria-labelledby=alarms] .alarm-groups').innerText.includes('unusual')");
    browser.click(&format!("[aria-label='Loudest objects'] tbody a[href$='{name}']"));
    browser.wait(&format!("document.querySelector('h1').textContent === '{network}'"));
    let readouts = "[...document.querySelectorAll('.readout')].map((readout) => readout.textContent)";
    browser.wait(&format!(
        "{readouts}.some((text) => /, [1-9]\\d* anomal(y|ies), [1-9]\\d* alarms? in view$/.test(text))"
    ));
    browser.wait("document.querySelectorAll('.mark.fired').length > 0");
    browser.wait(&format!("{ANOMALIES} > 0"));
    browser.wait(&format!("{ALARMS}.some((row) => row.includes('\\tfires\\t') && row.includes('has sigma '))"));
}

/// The windows from the first one of the network to the end of its first alarm.
fn fits_into_two_minutes(page: &str, network: &str) {
    let url = format!("{page}api/v1/history/virtual-network?name={network}");
    let history: Value =
        serde_json::from_str(&ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()).unwrap();
    let starts = history["series"].as_array().unwrap().iter().filter_map(|series| series["points"][0][0].as_u64());
    let ends = history["alarms"].as_array().unwrap().iter().filter_map(|alarm| alarm["resolved"].as_u64());
    let (start, end) = (starts.min().unwrap(), ends.min().expect("an alarm has ended"));
    assert!(
        end > start && end - start < MICROS,
        "the alarm ended {} s after the first window",
        (end - start) / 1_000_000
    );
}
