//! The real binary, started and stopped by a test, on loopback and in a temporary directory.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod alertmanager;
pub(crate) mod analytics;
pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod campaign;
pub(crate) mod certificates;
pub(crate) mod configured;
pub(crate) mod contiv;
pub(crate) mod contiv_field;
pub(crate) mod dashboards;
pub(crate) mod disk;
pub(crate) mod encodings;
pub(crate) mod group;
pub(crate) mod influxdb;
pub(crate) mod outage;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod result_series;
pub(crate) mod series;
pub(crate) mod strict_influxdb;
pub(crate) mod tls;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a test waits for something that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a test looks whether something has happened.
const POLL: Duration = Duration::from_millis(20);

/// A daemon that runs. Killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Empty if it ended before it listened.
    http: String,
    contiv: Option<String>,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// An answer: status and body.
pub(crate) type Answer = (u16, String);

/// The command with the data directory and a free port, and with `settings` set.
pub(crate) fn command(subcommand: &str, data: &Path, settings: &[&str]) -> Command {
    command_of(env!("CARGO_BIN_EXE_derived-statsd"), subcommand, data, settings)
}

/// The same of another program.
pub(crate) fn command_of(program: impl AsRef<OsStr>, subcommand: &str, data: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg(subcommand).arg("--set").arg(format!("log.data_dir={}", data.display()));
    command.args(["--set", "http.listen=127.0.0.1:0"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.env("RUST_LOG", "info").env("NO_COLOR", "1");
    command
}

impl Daemon {
    /// Starts a daemon and waits until it listens.
    pub(crate) fn start(data: &Path, settings: &[&str]) -> Self {
        Self::spawn(command("run", data, settings)).expect("the daemon starts")
    }

    /// Starts `command`; `None` if the process ends before it listens.
    pub(crate) fn spawn(command: Command) -> Option<Self> {
        Self::try_spawn(command).ok()
    }

    /// Starts `command`; how it ended and what it said, if it ends before it listens.
    pub(crate) fn try_spawn(command: Command) -> Result<Self, (ExitStatus, String)> {
        let mut daemon = Self::launch(command);
        if daemon.http.is_empty() {
            return Err((daemon.wait(), daemon.stderr()));
        }
        Ok(daemon)
    }

    /// Starts `command`, to be killed at a failpoint. That may strike before it listens; then the daemon is dead
    /// already.
    pub(crate) fn doomed(mut command: Command, point: &str) -> Self {
        command.env("DERIVED_STATSD_KILL_AT", point);
        let mut daemon = Self::launch(command);
        if daemon.http.is_empty() {
            let status = daemon.wait();
            assert!(status.signal().is_some(), "no death at {point}, but {status}:\n{}", daemon.stderr());
        }
        daemon
    }

    /// Starts `command` with its messages going to `stderr`, and waits until it listens.
    pub(crate) fn with_stderr(command: Command, stderr: impl Into<Stdio>) -> Self {
        let daemon = Self::launch_with(command, stderr.into());
        assert!(!daemon.http.is_empty(), "the daemon does not listen");
        daemon
    }

    /// Starts `command`, and waits until it listens or ends. Without an address, it has ended.
    fn launch(command: Command) -> Self {
        Self::launch_with(command, Stdio::piped())
    }

    fn launch_with(mut command: Command, stderr: Stdio) -> Self {
        let ready = tempfile::tempdir().unwrap();
        let ready_file = ready.path().join("ready.json");
        command.arg("--ready-file").arg(&ready_file);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let reader = child.stderr.take().map(|pipe| keep_lines(pipe, Arc::clone(&stderr)));
        let mut daemon = Self { child, http: String::new(), contiv: None, stderr, reader };
        daemon.read_addresses(&ready_file);
        daemon
    }

    /// Waits for the file that the daemon writes once it listens.
    fn read_addresses(&mut self, ready_file: &Path) {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if let Ok(text) = std::fs::read_to_string(ready_file) {
                let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
                self.http = addresses["http"].as_str().unwrap().to_owned();
                self.contiv = addresses["contiv"].as_str().map(str::to_owned);
                return;
            }
            if !self.is_running() {
                return;
            }
            thread::sleep(POLL);
        }
        panic!("the daemon neither listens nor ends:\n{}", self.stderr());
    }

    /// The address of Contiv's page.
    pub(crate) fn contiv_address(&self) -> &str {
        self.contiv.as_deref().expect("contiv.listen is set")
    }

    /// The address of the HTTP server.
    pub(crate) fn address(&self) -> &str {
        &self.http
    }

    /// The most memory that the process had since its start or the last reset, in bytes.
    pub(crate) fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Forgets the peak; returns the memory that the process has.
    pub(crate) fn reset_peak_resident_bytes(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).expect("the daemon answers")
    }

    /// The answer; `None` if the connection broke.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        answer(agent().get(self.url(path)).call())
    }

    /// Posts a batch; `None` if the connection broke.
    pub(crate) fn post(&self, body: &[u8], idempotency_key: Option<&str>) -> Option<Answer> {
        self.post_to("/api/v1/samples", body, idempotency_key)
    }

    /// Posts a batch to a path; `None` if the connection broke.
    pub(crate) fn post_to(&self, path: &str, body: &[u8], idempotency_key: Option<&str>) -> Option<Answer> {
        let mut request = agent().post(self.url(path)).header("content-type", "text/plain");
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        answer(request.send(body))
    }

    /// Asks until `check` gives something.
    pub(crate) fn wait_for<T>(&self, path: &str, check: impl Fn(&Answer) -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if let Some(found) = check(&self.get(path)) {
                return found;
            }
            thread::sleep(POLL);
        }
        panic!("waited in vain for {path}: {:?}\n{}", self.get(path), self.stderr());
    }

    /// Waits until everything that was appended is applied.
    pub(crate) fn wait_until_applied(&self) {
        self.wait_for("/api/v1/partitions", |(_, body)| is_applied(body).then_some(()));
    }

    /// Waits until everything that was appended is applied, or the process has ended or is frozen.
    pub(crate) fn wait_until_applied_or_gone(&mut self) {
        wait_until("the daemon has applied its input, or is gone", || {
            if !self.is_running() || self.is_frozen() {
                return Some(());
            }
            // It may be frozen at any time from here on.
            let request = agent_with(Duration::from_secs(5)).get(self.url("/api/v1/partitions"));
            answer(request.call()).is_some_and(|(_, body)| is_applied(&body)).then_some(())
        });
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its number's name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Waits for the end, and fails with all messages if it does not come.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if !self.is_running() {
                return self.wait();
            }
            thread::sleep(POLL);
        }
        panic!("the daemon does not end:\n{}", self.stderr());
    }

    /// Stops in order and demands that it works.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "stopping gave {status}:\n{}", self.stderr());
        self.stderr()
    }

    /// Waits until the process has stopped itself, as it does at a failpoint that freezes.
    pub(crate) fn wait_until_frozen(&self) {
        wait_until("the daemon is frozen", || self.is_frozen().then_some(()));
    }

    pub(crate) fn is_frozen(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        status.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// Waits until its messages hold a text; all of them.
    pub(crate) fn wait_until_said(&self, text: &str) -> String {
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            let said = self.stderr();
            if said.contains(text) {
                return said;
            }
            thread::sleep(POLL);
        }
        panic!("waited in vain for {text:?} in\n{}", self.stderr());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of an example. Cargo builds it with all tests of the package, but not with one test that is named: then
/// it may be missing or of older sources.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("a test is in <profile>/deps");
    let program = profile.join("examples").join(name);
    let remedy = format!("run `cargo build -p daemon --example {name}` with the features of the tests");
    assert!(program.exists(), "{} is missing: {remedy}", program.display());
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).unwrap();
    // Cargo's list of the sources that the program was built from; blanks in paths are escaped.
    let list = std::fs::read_to_string(program.with_extension("d")).unwrap().replace("\\ ", "\0");
    let sources: Vec<_> = list.split_whitespace().skip(1).map(|path| PathBuf::from(path.replace('\0', " "))).collect();
    assert!(sources.iter().any(|path| path.ends_with("daemon/src/lib.rs")), "{list}");
    let newer = sources.iter().find(|path| modified(path) > modified(&program));
    assert_eq!(newer, None, "{} is older than this source: {remedy}", program.display());
    program
}

/// Adds the lines of a pipe to a text until its other end closes.
fn keep_lines(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut text = text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    })
}

/// Status and body of what curl gets, or its message.
pub(crate) fn curl(arguments: &[&str]) -> Result<Answer, String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--write-out", "\n%{http_code}"]);
    let output = curl.args(arguments).stdin(Stdio::null()).output().expect("curl is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_default();
    match output.status.success() {
        true => Ok((status.parse().unwrap(), body.to_owned())),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Waits until `check` gives something.
pub(crate) fn wait_until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
        if let Some(found) = check() {
            return found;
        }
        thread::sleep(POLL);
    }
    panic!("waited in vain: {what}");
}

/// Whether the answer of `/api/v1/partitions` says that everything is applied, and no window still closing.
pub(crate) fn is_applied(partitions: &str) -> bool {
    let partitions: Vec<serde_json::Value> = serde_json::from_str(partitions).unwrap_or_default();
    !partitions.is_empty() && partitions.iter().all(|partition| partition["lag"] == 0 && partition["closing"] == false)
}

fn agent() -> ureq::Agent {
    agent_with(PATIENCE)
}

fn agent_with(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(patience)).build().new_agent()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut response = response.ok()?;
    let status = response.status().as_u16();
    Some((status, response.body_mut().read_to_string().ok()?))
}

/// The results log of a data directory that no daemon has open.
pub(crate) fn results(data: &Path) -> Vec<String> {
    let output = command("results", data, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Settings with which the daemon has the metrics of all its parts, although none of the servers exists.
pub(crate) const EVERY_PART: [&str; 8] = [
    "contiv.nodes=127.0.0.1:1",
    "sinks.alertmanager.url=http://127.0.0.1:1",
    "sinks.influxdb.url=http://127.0.0.1:1",
    "sinks.otlp.url=http://127.0.0.1:1",
    "sinks.redis.url=redis://127.0.0.1:1",
    "sinks.remote_write.url=http://127.0.0.1:1",
    "sinks.results_webhook.url=http://127.0.0.1:1",
    "sinks.webhook.url=http://127.0.0.1:1",
];

/// A line of `POST /api/v1/samples`.
pub(crate) fn line(key: &str, attribute: &str, at: u64, value: u64) -> String {
    format!("{{\"key\":\"ObjectVNTable:{key}\",\"attr\":\"{attribute}\",\"ts\":{at},\"value\":{value}}}\n")
}

/// SplitMix64.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
