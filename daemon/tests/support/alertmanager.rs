//! A real Alertmanager, which can be killed and restarted with the same port, and without its data.
//!
//! A test fails if it is not installed; `.ci/setup` installs it.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::broker::free_ports;
use super::process::{Running, kill, start, wait_until_it_answers};
use super::{agent, answer};

const CONFIG: &str = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n";

/// An Alertmanager that runs or is killed.
pub(crate) struct Alertmanager {
    folder: TempDir,
    port: u16,
    running: Option<Running>,
}

impl Alertmanager {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("alertmanager.yml"), CONFIG).unwrap();
        let [port] = free_ports();
        let mut alertmanager = Self { folder, port, running: None };
        alertmanager.restart();
        alertmanager
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", self.folder.path().join("alertmanager.yml").display()));
        // Without what it had before a kill: only the daemon can bring alerts back.
        let data = self.folder.path().join("data");
        let _ = std::fs::remove_dir_all(&data);
        command.arg(format!("--storage.path={}", data.display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        // Without a cluster, which would listen on another port.
        command.arg("--cluster.listen-address=");
        self.running = Some(start(command, &self.folder));
        let ready = format!("{}/-/ready", self.url());
        wait_until_it_answers(&ready, self.running.as_mut().unwrap(), &self.folder);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running);
        }
    }

    /// The alerts that fire, as its API has them; `None` while it does not answer.
    pub(crate) fn alerts(&self) -> Option<Vec<Value>> {
        let (status, body) = answer(agent().get(format!("{}/api/v2/alerts", self.url())).call())?;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).ok()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.kill();
    }
}
