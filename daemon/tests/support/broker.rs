//! A real Kafka broker: one JVM on loopback with its data in a temporary directory. It can be stopped, killed, frozen
//! and started again with the same port and data. What to do with it as a client is in [`client`].
//!
//! A test that needs a broker fails if there is none. The script `.ci/kafka` fetches the jars, once.

mod client;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::PATIENCE;

#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use super::redis::ports::{free_port, free_ports};

#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use client::{Isolation, Record};

/// How often a start or a stop is looked after.
const STEP: Duration = Duration::from_millis(20);
/// The settings that every broker has.
const SETTINGS: &str = include_str!("../kafka/server.properties");

/// How a JVM compiles.
#[derive(Clone, Copy)]
pub(crate) enum Compiler {
    /// The simple compiler only: starts soonest.
    Quick,
    /// Both compilers: for measurements under heavy load.
    Thorough,
}

/// A broker that runs, or is stopped and may run again. Killed when dropped, and also when the test process ends
/// without dropping it, as it does if the broker is in a static.
pub(crate) struct Broker {
    folder: TempDir,
    libs: PathBuf,
    compiler: Compiler,
    bootstrap: String,
    secure: String,
    running: Option<Running>,
}

/// The JVM, and a shell that kills it at the end of this process, however it ends.
struct Running {
    jvm: Child,
    guard: Child,
}

impl Broker {
    /// Starts a broker with no topics and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(Compiler::Quick, "")
    }

    /// The same, with lines for `server.properties` that are added to those of every broker. A line that says again
    /// what one above it says counts.
    pub(crate) fn start_with(compiler: Compiler, settings: &str) -> Self {
        Self::start_listening(compiler, false, settings)
    }

    /// The same with one more listener, called `SECURE`; what it asks of clients is up to `settings`.
    pub(crate) fn start_secured(settings: &str) -> Self {
        Self::start_listening(Compiler::Quick, true, settings)
    }

    fn start_listening(compiler: Compiler, secured: bool, settings: &str) -> Self {
        let libs = jars();
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("log");
        copy_folder(&libs.with_file_name("storage"), &log);
        let [port, controller, secure] = free_ports();
        let third = if secured { format!(",SECURE://127.0.0.1:{secure}") } else { String::new() };
        let own = format!(
            "listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{third}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             log.dirs={}\n",
            log.display()
        );
        fs::write(folder.path().join("server.properties"), [SETTINGS, &own, settings].join("\n")).unwrap();
        let (bootstrap, secure) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{secure}"));
        let mut broker = Self { folder, libs, compiler, bootstrap, secure, running: None };
        broker.restart();
        broker
    }

    /// What a client calls `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The same of the listener that [`start_secured`](Self::start_secured) adds.
    pub(crate) fn secure_bootstrap(&self) -> &str {
        &self.secure
    }

    /// Runs a tool of Kafka's by the name of its class, as an administrator on the plain listener.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) {
        let mut java = Command::new("java");
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=ERROR", "-cp"]);
        java.arg(class_path(&self.libs)).args([class, "--bootstrap-server", &self.bootstrap]).args(arguments);
        let output = java.stdin(Stdio::null()).output().expect("java starts");
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{class} ended with {}:\n{said}", output.status);
    }

    /// The process id of the JVM.
    pub(crate) fn pid(&self) -> u32 {
        self.jvm().id()
    }

    /// Stops in order, as an operator does. Kills it if that takes too long.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let Some(running) = &mut self.running else { return };
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if running.jvm.try_wait().unwrap().is_some() {
                break;
            }
            thread::sleep(STEP);
        }
        self.kill();
    }

    /// Ends it without a chance to write anything.
    pub(crate) fn kill(&mut self) {
        let Some(Running { mut jvm, mut guard }) = self.running.take() else { return };
        // The guard first: it must not kill a later process that is given the same id.
        guard.kill().unwrap();
        guard.wait().unwrap();
        // It may have ended already.
        let _ = jvm.kill();
        jvm.wait().unwrap();
    }

    /// Starts it with the same port and data and waits until it answers; stops it in order before, if it runs.
    pub(crate) fn restart(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
        let jvm = self.java().spawn().expect("java starts");
        let guard = guard(jvm.id(), self.folder.path());
        self.running = Some(Running { jvm, guard });
        self.wait_until_it_answers();
    }

    /// Freezes it: connections stay open and nothing answers.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// What the broker said since its first start: warnings and errors.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.output_path()).unwrap_or_default()
    }

    fn java(&self) -> Command {
        let output = File::options().create(true).append(true).open(self.output_path()).unwrap();
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-Dorg.apache.logging.log4j.level=WARN"]);
        // Loaded classes from .ci/kafka. A JVM to which the archive does not belong leaves it aside.
        java.arg(format!("-XX:SharedArchiveFile={}", self.libs.with_file_name("classes.jsa").display()));
        java.arg("-Xlog:disable");
        if matches!(self.compiler, Compiler::Quick) {
            java.arg("-XX:TieredStopAtLevel=1");
        }
        java.arg("-cp").arg(class_path(&self.libs));
        java.arg("kafka.Kafka").arg(self.folder.path().join("server.properties"));
        java.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        java
    }

    fn wait_until_it_answers(&mut self) {
        // Without the shorter pause a client that came too early waits up to ten seconds.
        let client: BaseConsumer = self.client().set("reconnect.backoff.max.ms", "100").create().unwrap();
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            let ended = self.running.as_mut().and_then(|running| running.jvm.try_wait().unwrap());
            assert!(ended.is_none(), "the broker ended with {ended:?}:\n{}", self.tail());
            if client.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| !metadata.brokers().is_empty())
            {
                return;
            }
            thread::sleep(STEP);
        }
        panic!("the broker does not answer:\n{}", self.tail());
    }

    fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<_> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn output_path(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    fn jvm(&self) -> &Child {
        &self.running.as_ref().expect("the broker runs").jvm
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.jvm()), signal).unwrap();
    }

    /// The settings with which any client begins.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of the broker's jars.
fn jars() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/kafka");
    let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "no broker to test with: .ci/kafka ended with {}", output.status);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// The jars in the order in which the archive of classes knows them.
fn class_path(libs: &Path) -> String {
    let mut jars: Vec<_> = fs::read_dir(libs)
        .unwrap()
        .map(|entry| entry.unwrap().path().into_os_string().into_string().unwrap())
        .collect();
    jars.sort_unstable();
    jars.join(":")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Waits for the end of its standard input, that is of this process; then kills the server and removes its folder.
pub(crate) fn guard(jvm: u32, folder: &Path) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat >/dev/null; kill -9 \"$1\"; rm -rf \"$2\"", "sh", &jvm.to_string()]).arg(folder);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
