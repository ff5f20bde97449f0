//! A daemon with a configuration file that changes while it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Daemon, command};

/// The stream of the tests.
pub(crate) const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";

/// A folder with a configuration file, tokens and the data of a daemon.
pub(crate) struct Configured {
    folder: TempDir,
    /// The token with all scopes.
    admin: String,
}

impl Configured {
    /// A folder with a file that computes these proxy types of the stream.
    pub(crate) fn new(types: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let admin = add_token(&folder.path().join("tokens"), "admin", "admin,read,write");
        let configured = Self { folder, admin };
        configured.write(&text(types));
        configured
    }

    /// The token with all scopes.
    pub(crate) fn token(&self) -> &str {
        &self.admin
    }

    /// Another token, for the next start of the daemon.
    pub(crate) fn add_token(&self, name: &str, scopes: &str) -> String {
        add_token(&self.folder.path().join("tokens"), name, scopes)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("derived-statsd.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the file.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// The command of a daemon without tokens, for signals.
    pub(crate) fn command(&self) -> Command {
        let mut command = command("run", &self.data(), &[]);
        command.arg("--config").arg(self.file());
        command
    }

    /// The command of a daemon with tokens.
    pub(crate) fn guarded(&self) -> Command {
        let mut command = self.command();
        command.args(["--set", &format!("http.tokens_file={}", self.folder.path().join("tokens").display())]);
        command
    }

    /// A request with the token of all scopes; `None` if the connection broke.
    pub(crate) fn ask(&self, daemon: &Daemon, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder().method(method).uri(daemon.url(path));
        let request = request.header("authorization", format!("Bearer {}", self.admin));
        let request = request.header("content-type", "text/plain").body(body.to_owned()).unwrap();
        let mut answer = agent.run(request).ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    /// Posts a configuration; the status and the answer.
    pub(crate) fn post(&self, daemon: &Daemon, text: &str) -> (u16, Value) {
        let (status, body) = self.ask(daemon, "POST", "/api/v1/config", text).expect("the daemon answers");
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
    }
}

/// Makes a token and appends its line to the file.
fn add_token(file: &Path, name: &str, scopes: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_derived-statsd")).args(["token", name, "--scopes", scopes]).output().unwrap();
    let mut lines = std::fs::read(file).unwrap_or_default();
    lines.extend(&output.stdout);
    std::fs::write(file, lines).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    said.trim().rsplit(' ').next().unwrap().to_owned()
}

/// A file that computes these proxy types of the stream.
pub(crate) fn text(types: &[&str]) -> String {
    list(&format!("{STREAM}:{}", types.join(":")))
}

/// A file with this list of streams.
pub(crate) fn list(list: &str) -> String {
    format!(
        "# by hand\n[aggregation]\nperiod = 10\nallowed_lateness = \"5s\"\nuve_proxy_list = \"{list}\"\n\
         [log]\npartitions = 2\ncommit_interval = \"20ms\"\n[workers]\nthreads = 2\n"
    )
}

/// Sends SIGHUP and waits until the change is in force: the `count`-th of the process.
pub(crate) fn hang_up(daemon: &Daemon, count: usize) {
    daemon.signal("HUP");
    wait_until_changed(daemon, count);
}

/// Waits until so many changes of the process are in force.
pub(crate) fn wait_until_changed(daemon: &Daemon, count: usize) {
    let applied = format!("configuration_changes_total{{outcome=\"applied\"}} {count}\n");
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(&applied).then_some(()));
}
